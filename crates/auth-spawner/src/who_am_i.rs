//! The question to a CLI whose credential it would use.
//!
//! It runs the command that the registry names, in the environment that it is given, and reads the answer. It may use the
//! registry and processes. An answer that is not understood is never a login.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::process::{BoundedCommand, ChildEnv, CommandError};
use crate::registry::{Pattern, WhoAmI};

/// Most bytes of each stream that are read.
const MAX_BYTES: usize = 64 * 1024;

/// The answer of a CLI to the question whose credential it would use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// The CLI would use its login. The names are those that it gave.
    LoggedIn {
        /// The email address.
        email: Option<String>,
        /// The provider's own id of the account.
        subject: Option<String>,
    },
    /// The CLI would use another credential than its login. The text says which.
    Other(String),
    /// The CLI has no login.
    LoggedOut,
    /// The answer is not understood, or there is none. The text is the reason.
    Unclear(String),
}

/// A question to a CLI.
pub struct WhoAmICommand<'a> {
    /// The command and the reading of its output.
    pub question: &'a WhoAmI,
    /// The program.
    pub program: &'a Path,
    /// The whole environment of the program.
    pub environment: &'a ChildEnv,
    /// The working directory, because settings of a project count as well.
    pub dir: &'a Path,
    /// The longest run time. After it the process group is killed.
    pub limit: Duration,
}

impl WhoAmICommand<'_> {
    /// Asks the CLI. The future ends within the time limit.
    pub async fn ask(self) -> Identity {
        let command = BoundedCommand {
            program: self.program,
            args: &self.question.args,
            env: self.environment,
            dir: self.dir,
            limit: self.limit,
            out: MAX_BYTES,
            err: MAX_BYTES,
        };
        match command.run().await {
            Ok(ended) => self.question.read(&ended.out, &ended.err),
            Err(CommandError::Io(error)) => Identity::Unclear(format!("the CLI cannot be run: {error}")),
            Err(CommandError::TooLong) => Identity::Unclear("the CLI printed too much".to_owned()),
            Err(CommandError::TimedOut) => {
                Identity::Unclear(format!("the CLI did not answer within {} s", self.limit.as_secs()))
            }
        }
    }
}

impl WhoAmI {
    /// Reads the output of the command.
    fn read(&self, out: &[u8], err: &[u8]) -> Identity {
        let lines = || out.split(|byte| *byte == b'\n').chain(err.split(|byte| *byte == b'\n'));
        let says = |patterns: &[Pattern]| lines().any(|line| matches(patterns, line.trim_ascii_end()));
        if says(&self.logged_out) {
            return Identity::LoggedOut;
        }
        for line in lines().map(<[u8]>::trim_ascii_end) {
            if let Some(pattern) = self.other.iter().find(|pattern| pattern.is_match(line)) {
                return Identity::Other(method(pattern, line));
            }
        }
        if self.prints_json() {
            return self.read_json(out);
        }
        let found = lines().map(<[u8]>::trim_ascii_end).find_map(|line| {
            let found = self.logged_in.iter().find_map(|pattern| pattern.captures(line))?;
            let group = |name: &str| found.name(name).and_then(|text| printable(text.as_bytes()));
            Some(Identity::LoggedIn { email: group("email"), subject: group("subject") })
        });
        found.unwrap_or_else(|| Identity::Unclear("the CLI's answer is not understood".to_owned()))
    }

    fn read_json(&self, out: &[u8]) -> Identity {
        let unclear = || Identity::Unclear("the CLI's answer is not understood".to_owned());
        let Ok(document) = serde_json::from_slice::<Value>(out) else { return unclear() };
        let text = |pointer: &str| document.pointer(pointer).and_then(as_text);
        let required = self.expects.iter().map(|rule| (rule, true));
        for ((pointer, accepted), required) in required.chain(self.accepts.iter().map(|rule| (rule, false))) {
            match (document.pointer(pointer).filter(|value| !value.is_null()), text(pointer)) {
                (None, _) if !required => {}
                (_, None) => return unclear(),
                (_, Some(found)) if accepted.contains(&found) => {}
                (_, Some(found)) => {
                    let name = pointer.trim_start_matches('/').replace('/', ".");
                    return Identity::Other(format!("{name} is {found}"));
                }
            }
        }
        let names = |pointer: &Option<String>| pointer.as_deref().and_then(text);
        let (email, subject) = (names(&self.email), names(&self.subject));
        // Without a rule about the kind of credential, only a name shows that there is a login.
        if email.is_none() && subject.is_none() && self.expects.is_empty() {
            return unclear();
        }
        Identity::LoggedIn { email, subject }
    }
}

fn matches(patterns: &[Pattern], line: &[u8]) -> bool {
    patterns.iter().any(|pattern| pattern.is_match(line))
}

/// Returns the name of the credential in a line: the group `method`, or else the whole line.
fn method(pattern: &Pattern, line: &[u8]) -> String {
    let named = pattern.captures(line).and_then(|found| printable(found.name("method")?.as_bytes()));
    named.or_else(|| printable(line)).unwrap_or_else(|| "another credential".to_owned())
}

fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => printable(text.as_bytes()),
        Value::Bool(value) => Some(value.to_string()),
        _ => None,
    }
}

/// Returns a text that is safe to display and not empty, because a CLI could print any text.
fn printable(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?.trim();
    (!text.is_empty() && text.len() <= 320 && !text.chars().any(char::is_control)).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Registry;

    fn question(provider: &str) -> WhoAmI {
        let registry = Registry::builtin().unwrap();
        registry.provider(provider).unwrap().cli.clone().unwrap().who_am_i.unwrap()
    }

    fn check(provider: &str, out: &str, err: &str, expected: &Identity) {
        assert_eq!(
            &question(provider).read(out.as_bytes(), err.as_bytes()),
            expected,
            "{provider} {out} {err}"
        );
    }

    fn person(email: &str) -> Identity {
        Identity::LoggedIn { email: Some(email.to_owned()), subject: None }
    }

    fn unclear() -> Identity {
        Identity::Unclear("the CLI's answer is not understood".to_owned())
    }

    #[test]
    fn answer_names_the_person_or_the_other_credential() {
        let claude = r#"{"loggedIn": true, "authMethod": "claude.ai", "email": "me@x.test"}"#;
        check("claude", claude, "", &person("me@x.test"));
        let helper = r#"{"loggedIn": true, "authMethod": "oauth_token", "apiKeySource": "apiKeyHelper"}"#;
        check("claude", helper, "", &Identity::Other("authMethod is oauth_token".to_owned()));
        let token = question("claude").about_token();
        assert!(matches!(token.read(helper.as_bytes(), b""), Identity::Other(_)));
        let plain = r#"{"loggedIn": true, "authMethod": "oauth_token"}"#;
        let unnamed = Identity::LoggedIn { email: None, subject: None };
        assert_eq!(token.read(plain.as_bytes(), b""), unnamed);
        let console =
            r#"{"authMethod": "api_key", "apiKeySource": "/login managed key", "email": "me@x.test"}"#;
        check("claude", console, "", &person("me@x.test"));
        let key = r#"{"authMethod": "api_key", "apiKeySource": "ANTHROPIC_API_KEY"}"#;
        check("claude", key, "", &Identity::Other("apiKeySource is ANTHROPIC_API_KEY".to_owned()));
        check("claude", "{\n  \"loggedIn\": false,\n  \"authMethod\": \"none\"\n}", "", &Identity::LoggedOut);
        let named = Identity::LoggedIn { email: None, subject: None };
        check("codex", "", "Logged in using ChatGPT\n", &named);
        check(
            "codex",
            "",
            "Logged in using an API key - sk-x***y\n",
            &Identity::Other("an API key".to_owned()),
        );
        check("codex", "API key configured - ***\n", "", &Identity::Other("API key configured".to_owned()));
        check("codex", "Not logged in\r\n", "", &Identity::LoggedOut);
    }

    #[test]
    fn answer_that_is_not_understood_is_never_a_login() {
        for text in
            ["", "Logged in", "{}", "[]", "error: Not logged into", "\u{1b}[31mLogged in using ChatGPT"]
        {
            check("codex", text, "", &unclear());
            check("claude", text, "", &unclear());
        }
        check("claude", r#"{"loggedIn": true, "email": "me@x.test"}"#, "", &unclear());
        check("claude", r#"{"authMethod": "claude.ai"} trailing"#, "", &unclear());
    }

    #[tokio::test]
    async fn command_that_hangs_or_floods_is_unclear() {
        let question =
            WhoAmI { args: vec!["-c".to_owned(), "exec sleep 600".to_owned()], ..question("codex") };
        let environment = ChildEnv::default();
        let ask = |question: WhoAmI| {
            let environment = environment.clone();
            async move {
                let limit = Duration::from_secs(1);
                let (program, dir) = (Path::new("/bin/sh"), Path::new("/"));
                WhoAmICommand { question: &question, program, environment: &environment, dir, limit }
                    .ask()
                    .await
            }
        };
        let late = Identity::Unclear("the CLI did not answer within 1 s".to_owned());
        assert_eq!(ask(question.clone()).await, late);
        let flood = "while :; do echo Logged in using ChatGPT; done".to_owned();
        let flood = ask(WhoAmI { args: vec!["-c".to_owned(), flood], ..question }).await;
        assert!(matches!(flood, Identity::Unclear(_)), "{flood:?}");
    }
}
