//! Renewal of a login by its own CLI, in the CLI's own directory.
//!
//! The CLI alone speaks to its provider, and it alone writes its files. The outcome is not what the CLI says: the caller
//! compares the proofs before and after the run. The answer of the CLI only explains an unchanged file. The room uses
//! the registry, processes and proofs. It must not decide when a login is renewed.

mod quota;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::process::{ChildEnv, RunEnd, SupervisedCommand, Turn, asking_env, own_env, private_directory};
use crate::proof::Proof;
use crate::registry::{AppRequest, Cli, KeepAliveBy, Provider, Reach};

pub use quota::{Limits, QuotaWindow};

/// The most lines of an answer that are read.
const MOST_LINES: usize = 1000;
/// The interval at which the files of a program that does not end are looked at.
const LOOK: Duration = Duration::from_millis(100);
/// The id of the request that matters.
const QUESTION: u64 = 2;

/// A command for one of a CLI's logins, in the login's own directory.
#[derive(Debug)]
pub struct LoginCommand<'a> {
    /// The provider of the login.
    pub provider: &'a Provider,
    /// The path of its CLI.
    pub program: &'a Path,
    /// The child's environment, without the provider's variables.
    pub environment: &'a ChildEnv,
    /// The parent of the directories shared by all logins with a provider.
    pub shared: &'a Path,
    /// The directory of the login: the one that the CLI's variable points to, or would point to.
    pub dir: PathBuf,
    /// The way in which the CLI locates the directory.
    pub reach: Reach,
    /// The working directory, which is empty, so that no settings of a project count.
    pub work_dir: &'a Path,
    /// The maximum run time.
    pub limit: Duration,
}

/// The run of a CLI that was to renew its login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenewalRun {
    /// The way in which it ended.
    pub end: RunEnd,
    /// The CLI's own answer.
    pub answer: CliAnswer,
    /// True if the CLI showed the address of a new login.
    pub shows_login: bool,
    /// True if the CLI's output shows that the provider refused the login.
    pub shows_refusal: bool,
}

/// A CLI's own answer to the request for a renewal. It is no evidence of a renewal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CliAnswer {
    /// The CLI gives no answer of this kind.
    Silent,
    /// The CLI has a usable login.
    Account,
    /// The CLI has no usable login.
    NoAccount,
    /// The CLI failed. The text is its own.
    Failed(String),
}

impl LoginCommand<'_> {
    /// Lets the CLI renew its login. `early` requests it before the CLI's own window.
    pub async fn renew(&self, early: bool) -> RenewalRun {
        let Some(cli) = &self.provider.cli else { return not_started("the provider has no CLI") };
        let Some(keep) = &cli.keep_alive else {
            return not_started("its CLI cannot be told to renew a login");
        };
        let (mut shows_login, mut shows_refusal) = (false, false);
        let mut watch = |line: &[u8]| {
            shows_login |= shows_address(cli, line);
            let plain = uncoloured(line);
            shows_refusal |= keep.refusal_lines.iter().any(|pattern| pattern.is_match(&plain));
        };
        let env: Vec<(String, String)> = keep.env.clone().into_iter().collect();
        let (end, answer) = match (keep.by, &keep.request) {
            (KeepAliveBy::AppServer, Some(request)) => {
                let params = keep.forced.as_ref().filter(|_| early).unwrap_or(&request.params);
                let (end, reply) = self.ask(cli, &keep.args, &env, request, params, &mut watch).await;
                let answer =
                    reply.map_or(CliAnswer::Silent, |reply| answer_of(&reply, request.account.as_deref()));
                (end, answer)
            }
            (KeepAliveBy::Command, _) => {
                let listen = |line: &[u8], _| {
                    watch(line);
                    Turn::Listen
                };
                (
                    self.supervise(cli, &keep.args, &env, None, listen, std::future::pending()).await,
                    CliAnswer::Silent,
                )
            }
            (KeepAliveBy::Start, _) => {
                let listen = |line: &[u8], _| {
                    watch(line);
                    Turn::Listen
                };
                let moved = self.moved(cli);
                (
                    self.supervise(cli, &keep.args, &env, Some(Vec::new()), listen, moved).await,
                    CliAnswer::Silent,
                )
            }
            (KeepAliveBy::AppServer | KeepAliveBy::None, _) => {
                return not_started("its CLI cannot be told to renew a login");
            }
        };
        RenewalRun { end, answer, shows_login, shows_refusal }
    }

    /// Asks the CLI for the limits of its login. `now` is the current time, in Unix milliseconds.
    ///
    /// # Errors
    /// The reason why they are not known, for people.
    pub async fn limits(&self, now: i64) -> Result<Limits, String> {
        let cli = self.provider.cli.as_ref().ok_or("the provider has no CLI")?;
        let question = cli.quota.as_ref().ok_or("its CLI does not tell the limits")?;
        let env: Vec<(String, String)> = question.env.clone().into_iter().collect();
        let Some(request) = &question.request else {
            let mut lines = Vec::new();
            let listen = |line: &[u8], out: bool| {
                if out && lines.len() < MOST_LINES {
                    lines.push(line.to_owned());
                }
                Turn::Listen
            };
            let end = self.supervise(cli, &question.args, &env, None, listen, std::future::pending()).await;
            return match end {
                RunEnd::Exited(_) => quota::of_lines(question, &lines, now),
                other => Err(unanswered(&other)),
            };
        };
        let (end, reply) =
            self.ask(cli, &question.args, &env, request, &request.params, &mut |_: &[u8]| {}).await;
        match reply {
            Some(reply) => quota::of_reply(&reply),
            None => Err(unanswered(&end)),
        }
    }

    /// Sends one request to the CLI's app server. Returns the reply: a JSON-RPC message with `result` or `error`.
    async fn ask(
        &self,
        cli: &Cli,
        args: &[String],
        env: &[(String, String)],
        request: &AppRequest,
        params: &Value,
        watch: &mut impl FnMut(&[u8]),
    ) -> (RunEnd, Option<Value>) {
        let mut reply = None;
        let listen = |line: &[u8], out: bool| {
            watch(line);
            let message: Option<Value> = serde_json::from_slice(line).ok().filter(|_| out && reply.is_none());
            match message.filter(|message| message["id"] == QUESTION) {
                Some(message) => {
                    reply = Some(message);
                    Turn::Close
                }
                None => Turn::Listen,
            }
        };
        let input = dialogue(&request.method, params);
        let end = self.supervise(cli, args, env, Some(input), listen, std::future::pending()).await;
        (end, reply)
    }

    async fn supervise(
        &self,
        cli: &Cli,
        args: &[String],
        more: &[(String, String)],
        input: Option<Vec<u8>>,
        listen: impl FnMut(&[u8], bool) -> Turn,
        done: impl Future<Output = ()>,
    ) -> RunEnd {
        let common = self.shared.join(&self.provider.id);
        let mut env = match self.reach {
            Reach::Bundle => asking_env(self.environment, cli, &self.dir, &common),
            Reach::Variable | Reach::Usual => own_env(self.environment, cli, &self.dir, self.reach),
        };
        for (name, value) in more {
            env.set(name, value);
        }
        if cli.config_dir.shares() && self.reach == Reach::Bundle {
            let made = tokio::task::spawn_blocking(move || private_directory(&common)).await;
            if !matches!(made, Ok(Ok(()))) {
                return RunEnd::NotStarted("the directory of its caches cannot be made".to_owned());
            }
        }
        let args = match self.reach {
            Reach::Bundle | Reach::Variable => cli.config_dir.arguments(args, &self.dir),
            Reach::Usual => args.to_vec(),
        };
        let command = SupervisedCommand {
            program: self.program,
            args: &args,
            env: &env,
            dir: self.work_dir,
            limit: self.limit,
        };
        command.run(input, listen, done).await
    }

    /// Resolves when the login in the directory has changed.
    async fn moved(&self, cli: &Cli) {
        let look = || {
            let (cli, dir, reach) = (cli.clone(), self.dir.clone(), self.reach);
            tokio::task::spawn_blocking(move || cli.prove(&dir, reach))
        };
        let before = look().await.ok();
        loop {
            tokio::time::sleep(LOOK).await;
            let after = look().await.ok();
            if matches!(&after, Some(Proof::LoggedIn(_))) && after != before {
                return;
            }
        }
    }
}

fn not_started(reason: &str) -> RenewalRun {
    let end = RunEnd::NotStarted(reason.to_owned());
    RenewalRun { end, answer: CliAnswer::Silent, shows_login: false, shows_refusal: false }
}

/// Returns the reason for a question without an answer.
fn unanswered(end: &RunEnd) -> String {
    match end {
        RunEnd::TimedOut => "its CLI did not answer in time".to_owned(),
        RunEnd::Flooded => "its CLI printed too much".to_owned(),
        RunEnd::NotStarted(reason) => format!("its CLI cannot be run: {reason}"),
        RunEnd::Exited(_) | RunEnd::Ended => "its CLI gave no answer".to_owned(),
    }
}

/// Returns the lines of a dialogue with one question.
fn dialogue(method: &str, params: &Value) -> Vec<u8> {
    let client = json!({"name": "srvd", "title": "srvd", "version": env!("CARGO_PKG_VERSION")});
    let hello = json!({"id": 1, "method": "initialize", "params": {"clientInfo": client}});
    let question = json!({"id": QUESTION, "method": method, "params": params});
    [hello, json!({"method": "initialized"}), question].map(|line| format!("{line}\n")).concat().into_bytes()
}

fn answer_of(reply: &Value, account: Option<&str>) -> CliAnswer {
    match (reply.get("result"), account) {
        (Some(result), Some(account)) => match result.pointer(account) {
            None | Some(Value::Null) => CliAnswer::NoAccount,
            Some(_) => CliAnswer::Account,
        },
        (Some(_), None) => CliAnswer::Account,
        (None, _) => {
            let message = reply.pointer("/error/message").and_then(Value::as_str).unwrap_or_default();
            CliAnswer::Failed(line(message))
        }
    }
}

/// Returns a text that is safe to display, because a CLI could print any text.
fn line(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(200).collect()
}

/// Returns a line without the sequences that set colours, and without its end.
fn uncoloured(line: &[u8]) -> Vec<u8> {
    let (mut plain, mut rest) = (Vec::with_capacity(line.len()), line.trim_ascii_end());
    while let Some(at) = memchr::memchr(0x1b, rest) {
        plain.extend_from_slice(&rest[..at]);
        let end = rest[at..].iter().position(u8::is_ascii_alphabetic).map_or(rest.len(), |end| at + end + 1);
        rest = &rest[end..];
    }
    plain.extend_from_slice(rest);
    plain
}

/// Returns whether a line has the address of one of the provider's pages for a login.
fn shows_address(cli: &Cli, line: &[u8]) -> bool {
    let text = String::from_utf8_lossy(line);
    let mut addresses = text.match_indices("https://").map(|(at, scheme)| &text[at + scheme.len()..]);
    let shown = |address: &str| {
        let host = address.split(|letter: char| !(letter.is_ascii_alphanumeric() || "-.".contains(letter)));
        let host = host.into_iter().next().unwrap_or_default();
        let page = address.contains("oauth") || address.contains("device") || address.contains("login");
        page && cli.url_hosts.iter().any(|known| known == host)
    };
    addresses.any(shown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Registry;

    /// The answers of codex 0.171: after a refusal, after a failed request, and after a renewal that the service did not
    /// confirm.
    #[test]
    fn answer_distinguishes_a_refusal_from_a_failure() {
        let check = |reply: &str, expected: CliAnswer| {
            assert_eq!(
                answer_of(&serde_json::from_str(reply).unwrap(), Some("/account")),
                expected,
                "{reply}"
            );
        };
        check(
            r#"{"id":2,"result":{"account":null,"userId":null,"requiresOpenaiAuth":true}}"#,
            CliAnswer::NoAccount,
        );
        check(r#"{"id":2,"result":{"account":{"type":"chatgpt","email":"a@x"}}}"#, CliAnswer::Account);
        let failed = CliAnswer::Failed("workspace routing discovery failed".to_owned());
        check(r#"{"error":{"code":-32603,"message":"workspace routing discovery failed"},"id":2}"#, failed);
    }

    /// The lines of codex 0.171 after a refusal and after a failure of the service.
    #[test]
    fn refusal_is_recognized_in_the_output() {
        let registry = Registry::builtin().unwrap();
        let keep = registry.provider("codex").unwrap().cli.clone().unwrap().keep_alive.unwrap();
        let head = "\u{1b}[2m2026-12-01T11:59:05Z\u{1b}[0m \u{1b}[31mERROR\u{1b}[0m codex_login::auth::manager: Failed to refresh token";
        for (rest, expected) in [
            (" \u{1b}[3mstatus\u{1b}[0m\u{1b}[2m=\u{1b}[0m400 Bad Request\n", true),
            (" \u{1b}[3mstatus\u{1b}[0m\u{1b}[2m=\u{1b}[0m401 Unauthorized\n", true),
            (": Your access token could not be refreshed. Please log out and sign in again.\n", true),
            (" \u{1b}[3mstatus\u{1b}[0m\u{1b}[2m=\u{1b}[0m500 Internal Server Error\n", false),
            (": error sending request for url (http://127.0.0.1:9799/oauth/token)\n", false),
        ] {
            let line = uncoloured(format!("{head}{rest}").as_bytes());
            assert_eq!(keep.refusal_lines.iter().any(|pattern| pattern.is_match(&line)), expected, "{rest}");
        }
    }

    #[test]
    fn address_of_a_login_is_recognized_by_its_host_and_path() {
        let registry = Registry::builtin().unwrap();
        let gemini = registry.provider("gemini").unwrap().cli.as_ref().unwrap();
        for (line, expected) in [
            ("Visit https://accounts.google.com/o/oauth2/v2/auth?client_id=x", true),
            ("see https://accounts.google.com/help", false),
            ("see https://example.com/oauth2", false),
            ("", false),
        ] {
            assert_eq!(shows_address(gemini, line.as_bytes()), expected, "{line}");
        }
    }
}
