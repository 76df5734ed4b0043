//! Finds the meaning of lines of text for a login.

use std::sync::LazyLock;

use regex::bytes::{Captures, Regex};
use serde_json::Value;
use url::Url;

use super::token::Token;
use crate::registry::{Pattern, Patterns, Provider, Recipe, is_loopback};
use crate::terminal::Line;

/// Longest address that is reported.
const URL_BYTES: usize = 8192;

/// Pattern for any address.
pub(crate) const URL: &str = r#"https?://[^\s"'<>`\\]+"#;

static ANY_URL: LazyLock<Option<Regex>> =
    LazyLock::new(|| Pattern::try_from(URL.to_owned()).ok()?.regex().cloned());

/// A fact that a line reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Finding {
    /// An address to open. `device` is true if a device code is entered there.
    Url { url: String, openable: bool, device: bool },
    /// A code to enter at an address.
    DeviceCode(String),
    /// The CLI waits for a paste.
    Prompt,
    /// The CLI did not take the paste and waits for another one.
    Refused,
    /// The CLI says that it is logged in.
    LoggedIn { email: Option<String> },
    /// The CLI says that the login was refused. Holds its text, without addresses.
    Denied(String),
    /// The CLI says that the login failed for another reason. Holds its text, without addresses.
    Failed(String),
    /// The CLI has printed the credential itself.
    Token(Token),
    /// The program says that it is no longer the provider's CLI. Holds its text.
    Retired(String),
    /// The CLI shows the line at which this step of the recipe is typed.
    Step(usize),
}

/// The degree to which a line is known to be complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Completeness {
    /// The line ended with a line feed.
    Whole,
    /// The line has not changed for so long that no more of it is expected.
    Settled,
    /// More of the line may follow. Only a prompt, and a match that does not touch the end, is used.
    Partial,
}

/// A search for meaning in the lines of one output stream.
#[derive(Clone)]
pub(crate) struct Matcher {
    patterns: Patterns,
    steps: Vec<Pattern>,
    hosts: Vec<String>,
    /// The previous line, because a device code may be below its announcement.
    before: String,
    /// Both lines; the buffer is kept to reuse its memory.
    joined: String,
    /// The last address that was reported.
    known: String,
}

impl Matcher {
    pub(crate) fn new(provider: &Provider, recipe: &Recipe) -> Self {
        Self {
            patterns: recipe.patterns.clone(),
            steps: recipe.steps.iter().map(|step| step.when.clone()).collect(),
            hosts: provider.cli.as_ref().map(|cli| cli.url_hosts.clone()).unwrap_or_default(),
            before: String::new(),
            joined: String::new(),
            known: String::new(),
        }
    }

    /// Returns whether there is a prompt to look for.
    pub(crate) fn has_prompt(&self) -> bool {
        !self.patterns.prompt.is_empty()
    }

    /// Returns whether this unfinished text is a prompt, so that the rest of its line need not be waited for.
    pub(crate) fn is_prompt(&self, text: &str) -> bool {
        self.patterns.prompt.iter().any(|pattern| pattern.is_match(text.as_bytes()))
    }

    /// Returns the facts of a line, in the order in which a session needs them. An empty line stands for lines without
    /// meaning.
    pub(crate) fn read(&mut self, line: &Line, completeness: Completeness) -> Vec<Finding> {
        let text = line.text.as_bytes();
        let mut seen = Vec::new();
        if line.is_empty() {
            self.remember(line, completeness);
            return seen;
        }
        seen.extend(self.url(line, completeness));
        seen.extend(self.device_code(line, completeness).map(Finding::DeviceCode));
        if self.is_prompt(&line.text) {
            seen.push(Finding::Prompt);
        }
        let reached = self.steps.iter().enumerate().filter(|(_, when)| when.is_match(text));
        seen.extend(reached.map(|(position, _)| Finding::Step(position)));
        if completeness != Completeness::Partial {
            if let Some(found) = matches(&self.patterns.token, text) {
                seen.extend(group(&found, "token").map(|token| Finding::Token(Token::new(&token))));
            }
            if matches(&self.patterns.retired, text).is_some() {
                seen.push(Finding::Retired(public_words(&line.text)));
            }
            if matches(&self.patterns.refused, text).is_some() {
                seen.push(Finding::Refused);
            }
            if let Some(found) = matches(&self.patterns.logged_in, text) {
                seen.push(Finding::LoggedIn { email: group(&found, "email") });
            }
            if let Some(found) = matches(&self.patterns.denied, text) {
                seen.push(Finding::Denied(reason(&found, &line.text)));
            } else if let Some(found) = matches(&self.patterns.failed, text) {
                seen.push(Finding::Failed(reason(&found, &line.text)));
            }
        }
        self.remember(line, completeness);
        seen
    }

    fn remember(&mut self, line: &Line, completeness: Completeness) {
        if completeness == Completeness::Whole && !self.patterns.device_code.is_empty() {
            self.before.clone_from(&line.text);
        }
    }

    fn url(&mut self, line: &Line, completeness: Completeness) -> Option<Finding> {
        let asked_for = !self.patterns.url.is_empty();
        let is_match = |text: &[u8]| {
            let own = self.patterns.url.iter().any(|pattern| pattern.is_match(text));
            own || (!asked_for && ANY_URL.as_ref().is_some_and(|any| any.is_match(text)))
        };
        // The target of a hyperlink is whole even if its visible text is wrapped or cut.
        let linked = line.links.iter().filter(|link| is_match(link.as_bytes()));
        let shown = ANY_URL.as_ref()?.find_iter(line.text.as_bytes()).filter_map(|found| {
            let whole = completeness != Completeness::Partial || found.end() < line.text.len();
            let text = line.text.get(found.range()).filter(|_| whole)?;
            is_match(text.as_bytes()).then(|| text.trim_end_matches(['.', ',', ';', ':', ')', ']', '}']))
        });
        let device = !self.patterns.device_code.is_empty();
        let seen = linked.map(String::as_str).chain(shown).find_map(|text| {
            // The beginning of a known address is that address, cut by a box around it or by the width that the program
            // assumes.
            let cut = text.len() < self.known.len() && self.known.starts_with(text);
            let openable = openable(text, &self.hosts, asked_for).filter(|_| !cut)?;
            Some(Finding::Url { url: text.to_owned(), openable, device })
        })?;
        if let Finding::Url { url, .. } = &seen {
            self.known.clone_from(url);
        }
        Some(seen)
    }

    fn device_code(&mut self, line: &Line, completeness: Completeness) -> Option<String> {
        if self.patterns.device_code.is_empty() {
            return None;
        }
        let joined = &mut self.joined;
        joined.clear();
        joined.extend([self.before.as_str(), "\n", &line.text]);
        let found = matches(&self.patterns.device_code, joined.as_bytes())?;
        let code = found.name("code")?;
        let whole = completeness != Completeness::Partial || code.end() < joined.len();
        // A code that ends in the previous line has been reported with that line.
        let fresh = code.end() > self.before.len() + 1;
        (whole && fresh).then(|| group(&found, "code")).flatten()
    }
}

/// Returns `None` if the text is not an address for a person; otherwise whether it may be opened without asking.
/// `asked_for` is true if the recipe has a pattern for its address.
fn openable(text: &str, hosts: &[String], asked_for: bool) -> Option<bool> {
    let url = Url::parse(text).ok().filter(|_| text.len() <= URL_BYTES)?;
    let host = url.host_str()?;
    let listed = hosts.iter().any(|entry| match entry.strip_prefix("*.") {
        Some(parent) => host.strip_suffix(parent).is_some_and(|below| below.ends_with('.')),
        None => host.eq_ignore_ascii_case(entry),
    });
    let loopback = is_loopback(&url);
    // A person does not open the CLI's own listener. A vendor's service on this machine matches a pattern.
    if loopback && !listed && !asked_for {
        return None;
    }
    let plain = url.username().is_empty() && url.password().is_none();
    match url.scheme() {
        "https" => Some(listed && plain),
        "http" => Some(listed && plain && loopback),
        _ => None,
    }
}

fn matches<'a>(patterns: &[Pattern], text: &'a [u8]) -> Option<Captures<'a>> {
    patterns.iter().find_map(|pattern| pattern.captures(text))
}

fn group(found: &Captures<'_>, name: &str) -> Option<String> {
    String::from_utf8(found.name(name)?.as_bytes().to_vec()).ok()
}

/// Returns the reason in a pattern's match: its group `reason`, or the whole line.
fn reason(found: &Captures<'_>, line: &str) -> String {
    let named = group(found, "reason").filter(|reason| !reason.trim().is_empty());
    public_words(named.as_deref().unwrap_or(line))
}

/// Shortens a CLI's text for display. Addresses and long words are removed, because either can carry a code or a token.
/// From a line of JSON it takes the text that explains the error.
pub(crate) fn public_words(text: &str) -> String {
    let document: Option<Value> = serde_json::from_str(text.trim()).ok().filter(Value::is_object);
    let explained =
        document.map(|document| explanation(&document).unwrap_or("an error without a message").to_owned());
    let text = explained.as_deref().unwrap_or(text);
    let word = |word: &str| match word {
        _ if word.contains("://") => "(address)".to_owned(),
        _ if word.len() > 40 => "(...)".to_owned(),
        _ => word.to_owned(),
    };
    let words: Vec<String> = text.split_whitespace().map(word).collect();
    words.join(" ").chars().take(300).collect()
}

/// Returns the error text in a JSON object, by the names of RFC 6749 and those that CLIs use.
fn explanation(document: &Value) -> Option<&str> {
    let text = |name: &str| document.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let below = |name: &str| document.get(name).filter(|value| value.is_object()).and_then(explanation);
    let inner = || ["error", "data", "detail"].into_iter().find_map(below);
    text("error_description")
        .or_else(inner)
        .or_else(|| ["message", "reason", "error"].into_iter().find_map(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Registry;

    #[test]
    fn reason_is_in_words_when_the_line_is_json() {
        let check = |line: &str, expected: &str| assert_eq!(public_words(line), expected, "{line}");
        check(
            r#"{"type": "waiting", "message": "Waiting ...: no", "data": {"error": "access_denied", "error_description": "The person said no"}}"#,
            "The person said no",
        );
        check(r#"{"error": {"message": "Invalid code", "code": "x"}}"#, "Invalid code");
        check(r#"{"error": "access_denied"}"#, "access_denied");
        check(r#"{"message": "see https://a.example/?code=1 please"}"#, "see (address) please");
        check(r#"{"type": "waiting"}"#, "an error without a message");
        check(r#"{"type": broken"#, r#"{"type": broken"#);
        check("[1]", "[1]");
    }

    fn seen(provider: &str, recipe: &str, lines: &[&str]) -> Vec<Finding> {
        let registry = Registry::builtin().unwrap();
        let provider = registry.provider(provider).unwrap();
        let mut matcher = Matcher::new(provider, &provider.recipe(recipe, None).unwrap());
        let line = |text: &&str| Line { text: (*text).to_owned(), links: Vec::new() };
        lines.iter().map(line).flat_map(|line| matcher.read(&line, Completeness::Whole)).collect()
    }

    #[test]
    fn matcher_recognizes_lines_of_each_provider() {
        let check = |provider: &str, recipe: &str, lines: &[&str], expected: &[Finding]| {
            assert_eq!(seen(provider, recipe, lines), expected, "{lines:?}");
        };
        let url =
            |url: &str, openable: bool, device: bool| Finding::Url { url: url.to_owned(), openable, device };
        check("codex", "login", &["Starting local login server on http://localhost:1455."], &[]);
        check(
            "codex",
            "login",
            &["https://auth.openai.com/oauth/authorize?a=b&state=s"],
            &[url("https://auth.openai.com/oauth/authorize?a=b&state=s", true, false)],
        );
        check(
            "codex",
            "login",
            &["https://auth.openai.com.evil.example/oauth/authorize?a=b"],
            &[url("https://auth.openai.com.evil.example/oauth/authorize?a=b", false, false)],
        );
        check(
            "codex",
            "login",
            &["https://auth.openai.com@evil.example/oauth/authorize?a=b"],
            &[url("https://auth.openai.com@evil.example/oauth/authorize?a=b", false, false)],
        );
        check(
            "codex",
            "device-auth",
            &[
                "   https://auth.openai.com/codex/device",
                "2. Enter this one-time code (expires in 15 minutes)",
                "   ABCD-12345",
                "   other",
            ],
            &[
                url("https://auth.openai.com/codex/device", true, true),
                Finding::DeviceCode("ABCD-12345".into()),
            ],
        );
        check(
            "codex",
            "device-auth",
            &["   http://127.0.0.1:4000/codex/device", "see http://127.0.0.1:4000/other"],
            &[url("http://127.0.0.1:4000/codex/device", false, true)],
        );
        check(
            "claude",
            "login",
            &["That doesn't look like the full code. Copy all of it, including the # in the middle."],
            &[Finding::Refused],
        );
        check(
            "claude",
            "login",
            &["Couldn't log in: That code wasn't accepted. See https://claude.com/x?code=secret please"],
            &[Finding::Failed("That code wasn't accepted. See (address) please".into())],
        );
        check("claude", "login", &["javascript://claude.com/oauth/authorize?x"], &[]);
    }

    #[test]
    fn address_is_kept_when_a_truncated_copy_follows() {
        let whole = "https://auth.openai.com/oauth/authorize?a=b&state=s";
        let url = |url: &str| Finding::Url { url: url.to_owned(), openable: true, device: false };
        let boxed = "| https://auth.openai.com/oauth/authorize?a=b&st |";
        assert_eq!(seen("codex", "login", &[whole, boxed, "| ate=s |"]), [url(whole)]);
        let cut = "https://auth.openai.com/oauth/authorize?a=b&st";
        assert_eq!(seen("codex", "login", &[boxed, whole]), [url(cut), url(whole)]);
    }

    #[test]
    fn address_is_withheld_when_its_line_is_partial() {
        let registry = Registry::builtin().unwrap();
        let provider = registry.provider("codex").unwrap();
        let mut matcher = Matcher::new(provider, &provider.recipe("login", None).unwrap());
        let line = |text: &str| Line { text: text.to_owned(), links: Vec::new() };
        let cut = line("https://auth.openai.com/oauth/authorize?a=");
        assert_eq!(matcher.read(&cut, Completeness::Partial), []);
        let whole = line("https://auth.openai.com/oauth/authorize?a=b next");
        let url = "https://auth.openai.com/oauth/authorize?a=b".to_owned();
        let expected = [Finding::Url { url, openable: true, device: false }];
        assert_eq!(matcher.read(&whole, Completeness::Partial), expected);
    }
}
