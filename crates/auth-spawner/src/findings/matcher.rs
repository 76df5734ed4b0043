//! Interprets lines of CLI output for a login.

use std::sync::LazyLock;

use regex::bytes::{Captures, Regex};
use serde_json::Value;
use url::Url;

use super::token::Token;
use crate::registry::{Pattern, Patterns, Provider, Recipe, is_loopback};
use crate::terminal::Line;

/// The maximum length of a reported URL.
const URL_BYTES: usize = 8192;

/// A pattern that matches any URL.
pub(crate) const URL: &str = r#"https?://[^\s"'<>`\\]+"#;

static ANY_URL: LazyLock<Option<Regex>> =
    LazyLock::new(|| Pattern::try_from(URL.to_owned()).ok()?.regex().cloned());

/// A finding reported by a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Finding {
    /// A URL to open. `device` is true if a device code is entered there.
    Url { url: String, openable: bool, device: bool },
    /// A code to enter at a URL.
    DeviceCode(String),
    /// The CLI is waiting for a paste.
    Prompt,
    /// The CLI rejected the paste and is waiting for another one.
    Refused,
    /// The CLI reports that it is logged in.
    LoggedIn { email: Option<String> },
    /// The CLI reports that the login was denied. Contains its message, without URLs.
    Denied(String),
    /// The CLI reports that the login failed for another reason. Contains its message, without URLs.
    Failed(String),
    /// The CLI has printed the credential itself.
    Token(Token),
    /// The program reports that it is no longer the provider's CLI. Contains its message.
    Retired(String),
    /// The CLI shows the prompt at which this step of the recipe must be typed.
    Step(usize),
}

/// The certainty that a line is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Completeness {
    /// The line ended with a line feed.
    Whole,
    /// The line has not changed for long enough that it is considered complete.
    Settled,
    /// The line may still grow. Only a prompt, or a match that does not reach the end, is used.
    Partial,
}

/// The interpreter for the lines of one output stream.
#[derive(Clone)]
pub(crate) struct Matcher {
    patterns: Patterns,
    steps: Vec<Pattern>,
    hosts: Vec<String>,
    /// The previous line, because a device code may be on the line below its announcement.
    before: String,
    /// The previous and the current line. The buffer is stored so that its memory can be reused.
    joined: String,
    /// The last URL that was reported.
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

    /// Returns whether the recipe has a prompt pattern.
    pub(crate) fn has_prompt(&self) -> bool {
        !self.patterns.prompt.is_empty()
    }

    /// Returns whether this unfinished text is a prompt, in which case there is no need to wait for the rest of the
    /// line.
    pub(crate) fn is_prompt(&self, text: &str) -> bool {
        self.patterns.prompt.iter().any(|pattern| pattern.is_match(text.as_bytes()))
    }

    /// Returns the findings in a line, in the order in which a session needs them. An empty line stands for lines with
    /// nothing to report.
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
        // A hyperlink's target is complete even if its visible text is wrapped or truncated.
        let linked = line.links.iter().filter(|link| is_match(link.as_bytes()));
        let shown = ANY_URL.as_ref()?.find_iter(line.text.as_bytes()).filter_map(|found| {
            let whole = completeness != Completeness::Partial || found.end() < line.text.len();
            let text = line.text.get(found.range()).filter(|_| whole)?;
            is_match(text.as_bytes()).then(|| text.trim_end_matches(['.', ',', ';', ':', ')', ']', '}']))
        });
        let device = !self.patterns.device_code.is_empty();
        let seen = linked.map(String::as_str).chain(shown).find_map(|text| {
            // A prefix of a known URL is that same URL, truncated by a surrounding box or by the width that the program
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
        // A code that ends on the previous line was already reported with that line.
        let fresh = code.end() > self.before.len() + 1;
        (whole && fresh).then(|| group(&found, "code")).flatten()
    }
}

/// Returns `None` if the text is not a URL for the user; otherwise, whether it may be opened without asking.
/// `asked_for` is true if the recipe has a pattern for its URL.
fn openable(text: &str, hosts: &[String], asked_for: bool) -> Option<bool> {
    let url = Url::parse(text).ok().filter(|_| text.len() <= URL_BYTES)?;
    let host = url.host_str()?;
    let listed = hosts.iter().any(|entry| match entry.strip_prefix("*.") {
        Some(parent) => host.strip_suffix(parent).is_some_and(|below| below.ends_with('.')),
        None => host.eq_ignore_ascii_case(entry),
    });
    let loopback = is_loopback(&url);
    // Users never open the CLI's own listener. A vendor's service on this machine matches a pattern.
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

/// Returns the reason from a pattern match: its group `reason`, or the whole line.
fn reason(found: &Captures<'_>, line: &str) -> String {
    let named = group(found, "reason").filter(|reason| !reason.trim().is_empty());
    public_words(named.as_deref().unwrap_or(line))
}

/// Shortens CLI output for display. URLs and long words are removed because either can contain a code or token. From a
/// line of JSON, only the text that explains the error is used.
pub(crate) fn public_words(text: &str) -> String {
    let document: Option<Value> = serde_json::from_str(text.trim()).ok().filter(Value::is_object);
    let explained = document.map(|document| explanation(&document).unwrap_or("unspecified error").to_owned());
    let text = explained.as_deref().unwrap_or(text);
    let word = |word: &str| match word {
        _ if word.contains("://") => "(URL)".to_owned(),
        _ if word.len() > 40 => "(...)".to_owned(),
        _ => word.to_owned(),
    };
    let words: Vec<String> = text.split_whitespace().map(word).collect();
    words.join(" ").chars().take(300).collect()
}

/// Returns the error text of a JSON object, using the field names of RFC 6749 and those common in CLIs.
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
    fn reason_is_readable_text_when_the_line_is_json() {
        let check = |line: &str, expected: &str| assert_eq!(public_words(line), expected, "{line}");
        check(
            r#"{"type": "waiting", "message": "Waiting ...: no", "data": {"error": "access_denied", "error_description": "The person said no"}}"#,
            "The person said no",
        );
        check(r#"{"error": {"message": "Invalid code", "code": "x"}}"#, "Invalid code");
        check(r#"{"error": "access_denied"}"#, "access_denied");
        check(r#"{"message": "see https://a.example/?code=1 please"}"#, "see (URL) please");
        check(r#"{"type": "waiting"}"#, "unspecified error");
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
            &[Finding::Failed("That code wasn't accepted. See (URL) please".into())],
        );
        check("claude", "login", &["javascript://claude.com/oauth/authorize?x"], &[]);
    }

    #[test]
    fn url_is_kept_when_a_truncated_copy_follows() {
        let whole = "https://auth.openai.com/oauth/authorize?a=b&state=s";
        let url = |url: &str| Finding::Url { url: url.to_owned(), openable: true, device: false };
        let boxed = "| https://auth.openai.com/oauth/authorize?a=b&st |";
        assert_eq!(seen("codex", "login", &[whole, boxed, "| ate=s |"]), [url(whole)]);
        let cut = "https://auth.openai.com/oauth/authorize?a=b&st";
        assert_eq!(seen("codex", "login", &[boxed, whole]), [url(cut), url(whole)]);
    }

    #[test]
    fn url_is_withheld_while_its_line_is_incomplete() {
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
