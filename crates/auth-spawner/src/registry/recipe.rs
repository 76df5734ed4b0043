//! The registry's description of one way to log in with a CLI.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use regex::bytes::{Captures, Regex, RegexBuilder};
use serde::Deserialize;

use super::versions::VersionRange;

/// One way to log in with a CLI.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Recipe {
    /// Id, such as `login` or `device-auth`. Recipes that share an id are the same login for different versions of the
    /// CLI.
    pub id: String,
    /// The name of this way to log in, for a user who chooses; absent if its kind says enough.
    #[serde(default)]
    pub label: Option<String>,
    /// The versions of the CLI that the recipe is for; all of them if absent.
    #[serde(default)]
    pub versions: Option<VersionRange>,
    /// Arguments of the CLI.
    pub args: Vec<String>,
    /// Other arguments by which a client means this recipe. They are never run.
    #[serde(default)]
    pub args_aliases: Vec<Vec<String>>,
    /// The kind of terminal or pipe that the CLI runs on.
    #[serde(default = "pipe")]
    pub terminal: Terminal,
    /// Variables for this recipe only.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Fixed loopback ports that the CLI listens on; a login leases them.
    #[serde(default)]
    pub callback_ports: Vec<u16>,
    /// The rules for a pasted answer; absent if none is accepted.
    #[serde(default)]
    pub paste: Option<Paste>,
    /// Keys that are typed for the user, in this order.
    #[serde(default)]
    pub steps: Vec<Step>,
    /// Patterns of the CLI's output.
    #[serde(default)]
    pub patterns: Patterns,
    /// The maximum duration of a login, in seconds.
    #[serde(default = "quarter_hour", rename = "deadline-s", deserialize_with = "seconds")]
    pub deadline: Duration,
    /// True if the child gets `BROWSER`; false if a set `BROWSER` changes the CLI's flow.
    #[serde(default = "yes")]
    pub browser: bool,
    /// True if the CLI shows its URL or code without network access.
    #[serde(default = "yes")]
    pub offline: bool,
}

impl Recipe {
    /// Returns every pattern that a line of output is compared with.
    pub(crate) fn expressions(&self) -> impl Iterator<Item = &Pattern> {
        self.patterns.lists().into_iter().flatten().chain(self.steps.iter().map(|step| &step.when))
    }

    /// Returns the recipe for one version of the CLI, which may be unknown, without the patterns for other versions.
    #[must_use]
    pub(crate) fn at(&self, version: Option<&str>) -> Self {
        let mut recipe = self.clone();
        for list in recipe.patterns.lists_mut() {
            list.retain(|pattern| VersionRange::applies(pattern.versions(), version));
        }
        recipe
    }
}

fn pipe() -> Terminal {
    Terminal::Pipe
}

fn yes() -> bool {
    true
}

fn quarter_hour() -> Duration {
    Duration::from_mins(15)
}

fn seconds<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    u64::deserialize(deserializer).map(Duration::from_secs)
}

/// The kind of connection between a CLI and srvd.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Terminal {
    /// Three pipes.
    Pipe,
    /// A pseudo-terminal of this size. It is wide, so that a long URL is not wrapped.
    #[serde(rename_all = "kebab-case")]
    Pty {
        /// Width in characters.
        #[serde(default = "wide")]
        columns: u16,
        /// Height in lines.
        #[serde(default = "tall")]
        rows: u16,
    },
}

impl Terminal {
    /// A pseudo-terminal of 1000 columns and 24 rows.
    pub const WIDE: Self = Self::Pty { columns: 1000, rows: 24 };
}

fn wide() -> u16 {
    1000
}

fn tall() -> u16 {
    24
}

/// Keys that are typed into a CLI's menu, so that the user need not see it. They are never a secret.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The line at which the keys are typed. Each step is typed once, and only after the one before it.
    pub when: Pattern,
    /// The keys. A carriage return stands for the Enter key, on a pseudo-terminal and on pipes.
    pub send: String,
}

/// The rules for a pasted answer.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Paste {
    /// Shapes of text that a user may paste.
    pub shapes: Vec<PasteShape>,
    /// The way in which the answer reaches the CLI.
    pub delivery: Delivery,
    /// The content of a line on standard input.
    #[serde(default)]
    pub form: PasteForm,
    /// Parameters of a pasted URL that the CLI's callback needs besides `code` and `state`.
    #[serde(default)]
    pub carry: Vec<String>,
}

/// A shape of pasted text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PasteShape {
    /// The complete URL of the page that the browser was redirected to.
    Url,
    /// `code#state`.
    CodeState,
    /// The code alone.
    Code,
}

/// The way in which a pasted answer reaches the CLI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// One line on standard input.
    StdinLine,
    /// The text on standard input, and after a pause the Enter key. Some TUIs treat text that arrives in one piece as
    /// pasted, with the Enter key as a part of it.
    StdinTyped,
    /// A GET to the CLI's own loopback callback, as the browser would have sent it.
    CallbackGet,
}

/// The content of a line on standard input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PasteForm {
    /// The pasted text, unchanged.
    #[default]
    AsPasted,
    /// `code#state`, for every pasted shape.
    CodeState,
    /// The code alone, for every pasted shape.
    Code,
}

/// The patterns of a CLI's output. They are byte regular expressions without Unicode classes. A line matches a list if
/// it matches any one of its patterns.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Patterns {
    /// The URL to open, in group `url` or the entire match. Without a pattern, every http(s) URL is used.
    #[serde(deserialize_with = "one_or_many")]
    pub url: Vec<Pattern>,
    /// The device code in group `code`. It is looked for in two consecutive lines joined by a line feed.
    #[serde(deserialize_with = "one_or_many")]
    pub device_code: Vec<Pattern>,
    /// The CLI waits for a pasted answer.
    #[serde(deserialize_with = "one_or_many")]
    pub prompt: Vec<Pattern>,
    /// The CLI reports a successful login; an optional group `email`. The line is only a hint; the credential file is
    /// the proof.
    #[serde(deserialize_with = "one_or_many")]
    pub logged_in: Vec<Pattern>,
    /// The provider or the user denied the login.
    #[serde(deserialize_with = "one_or_many")]
    pub denied: Vec<Pattern>,
    /// The login failed for another reason, such as the network. Group `reason` or the whole line is the reason.
    #[serde(deserialize_with = "one_or_many")]
    pub failed: Vec<Pattern>,
    /// The CLI rejected a pasted answer and waits for another one.
    #[serde(deserialize_with = "one_or_many")]
    pub refused: Vec<Pattern>,
    /// The credential itself in group `token`, for a CLI that shows it and stores nothing. It is sealed in the store
    /// and never shown.
    #[serde(deserialize_with = "one_or_many")]
    pub token: Vec<Pattern>,
    /// The program reports that it is no longer the provider's CLI.
    #[serde(deserialize_with = "one_or_many")]
    pub retired: Vec<Pattern>,
}

impl Patterns {
    fn lists(&self) -> [&Vec<Pattern>; 9] {
        // There is no `..`, so that a new kind of pattern cannot be forgotten here.
        let Self { url, device_code, prompt, logged_in, denied, failed, refused, token, retired } = self;
        [url, device_code, prompt, logged_in, denied, failed, refused, token, retired]
    }

    fn lists_mut(&mut self) -> [&mut Vec<Pattern>; 9] {
        let Self { url, device_code, prompt, logged_in, denied, failed, refused, token, retired } = self;
        [url, device_code, prompt, logged_in, denied, failed, refused, token, retired]
    }
}

/// Reads a list of patterns, or one pattern as a list of one.
pub(super) fn one_or_many<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<Pattern>, D::Error> {
    // An untagged enum would lose the error in a pattern.
    let read = |value: toml::Value| value.try_into().map_err(serde::de::Error::custom);
    match toml::Value::deserialize(deserializer)? {
        toml::Value::Array(values) => values.into_iter().map(read).collect(),
        value => Ok(vec![read(value)?]),
    }
}

/// A regular expression over bytes, for some versions of the CLI or for all. Its syntax is checked when it is read. It
/// is compiled at its first use, because an idle daemon need not hold the compiled patterns of every provider.
#[derive(Clone, Deserialize)]
#[serde(try_from = "toml::Value")]
pub struct Pattern(Arc<Expression>);

struct Expression {
    text: String,
    versions: Option<VersionRange>,
    compiled: OnceLock<Option<Regex>>,
}

/// A pattern in a file that names the versions that it is for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ranged {
    pattern: String,
    versions: Option<VersionRange>,
}

impl Pattern {
    /// Returns the expression as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    /// Returns the versions of the CLI that the pattern is for; `None` means all of them.
    #[must_use]
    pub fn versions(&self) -> Option<&VersionRange> {
        self.0.versions.as_ref()
    }

    /// Returns the compiled expression; `None` only for one that [`Pattern::check`] rejects.
    pub(crate) fn regex(&self) -> Option<&Regex> {
        let compile =
            || self.compile().inspect_err(|error| tracing::error!(%error, "a pattern is unusable")).ok();
        self.0.compiled.get_or_init(compile).as_ref()
    }

    pub(crate) fn is_match(&self, text: &[u8]) -> bool {
        self.regex().is_some_and(|regex| regex.is_match(text))
    }

    pub(crate) fn captures<'t>(&self, text: &'t [u8]) -> Option<Captures<'t>> {
        self.regex()?.captures(text)
    }

    /// Checks that the pattern is small enough to be compiled. The compiled expression is discarded.
    pub(crate) fn check(&self) -> Result<(), regex::Error> {
        self.compile().map(drop)
    }

    /// Returns whether the pattern has a group of this name.
    pub(crate) fn names(&self, group: &str) -> bool {
        [format!("(?P<{group}>"), format!("(?<{group}>")].iter().any(|opening| self.0.text.contains(opening))
    }

    fn parse(text: String, versions: Option<VersionRange>) -> Result<Self, Box<regex_syntax::Error>> {
        regex_syntax::ParserBuilder::new().unicode(false).utf8(false).build().parse(&text)?;
        Ok(Self(Arc::new(Expression { text, versions, compiled: OnceLock::new() })))
    }

    fn compile(&self) -> Result<Regex, regex::Error> {
        // Unicode classes cost a factor of ten on CLI output and no CLI needs them.
        RegexBuilder::new(&self.0.text).unicode(false).size_limit(1 << 20).build()
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Pattern").field(&self.0.text).finish()
    }
}

impl TryFrom<String> for Pattern {
    type Error = Box<regex_syntax::Error>;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(text, None)
    }
}

impl TryFrom<toml::Value> for Pattern {
    type Error = String;

    fn try_from(value: toml::Value) -> Result<Self, Self::Error> {
        let Ranged { pattern, versions } = match value {
            toml::Value::String(pattern) => Ranged { pattern, versions: None },
            table => table.try_into().map_err(|error: toml::de::Error| error.to_string())?,
        };
        Self::parse(pattern, versions).map_err(|error| error.to_string())
    }
}
