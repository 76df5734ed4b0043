//! What the registry can say about one way to log in with a CLI.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use regex::bytes::{Captures, Regex, RegexBuilder};
use serde::Deserialize;

/// One way to log in with a CLI.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Recipe {
    /// Id, unique within the provider, such as `login` or `device-auth`.
    pub id: String,
    /// Arguments of the CLI.
    pub args: Vec<String>,
    /// What the CLI is attached to.
    #[serde(default = "pipe")]
    pub terminal: Terminal,
    /// Variables for this recipe only.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Fixed loopback ports that the CLI listens on; a login leases them.
    #[serde(default)]
    pub callback_ports: Vec<u16>,
    /// Whether and how a pasted answer is taken back.
    #[serde(default)]
    pub paste: Option<Paste>,
    /// What is typed for the person, in this order.
    #[serde(default)]
    pub steps: Vec<Step>,
    /// What the CLI prints.
    #[serde(default)]
    pub patterns: Patterns,
    /// Longest time a login may take, in seconds.
    #[serde(default = "quarter_hour", rename = "deadline-s", deserialize_with = "seconds")]
    pub deadline: Duration,
    /// Whether the child is given `BROWSER`; false where a set `BROWSER` changes the CLI's flow.
    #[serde(default = "yes")]
    pub browser: bool,
    /// Whether it shows its address or code without any network.
    #[serde(default = "yes")]
    pub offline: bool,
}

impl Recipe {
    /// Everything that a line of output is compared with.
    pub(crate) fn expressions(&self) -> impl Iterator<Item = &Pattern> {
        // Named one by one, so that a kind of pattern that is added cannot be forgotten here.
        let Patterns { url, device_code, prompt, logged_in, denied, refused, token, retired } =
            &self.patterns;
        let optional = [url, device_code, prompt, token].into_iter().flatten();
        let lists = logged_in.iter().chain(denied).chain(refused).chain(retired);
        optional.chain(lists).chain(self.steps.iter().map(|step| &step.when))
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

/// What a CLI is attached to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Terminal {
    /// Three pipes.
    Pipe,
    /// A pseudo-terminal of this size. Wide, so that a long address is not wrapped.
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

/// Keys that are typed into a CLI's menu, so that the person need not see it. Never a secret.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The line at which they are typed; each step once, and only after the one before it.
    pub when: Pattern,
    /// The keys. A carriage return stands for the Enter key, whatever the child is attached to.
    pub send: String,
}

/// How a pasted answer is taken back.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Paste {
    /// What a person may paste.
    pub shapes: Vec<PasteShape>,
    /// How it reaches the CLI.
    pub delivery: Delivery,
    /// What a line on stdin holds.
    #[serde(default)]
    pub form: PasteForm,
}

/// A shape of pasted text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PasteShape {
    /// The whole address that the browser ended on.
    Url,
    /// `code#state`.
    CodeState,
    /// The code alone.
    Code,
}

/// How a pasted answer reaches the CLI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// One line on standard input.
    StdinLine,
    /// The text on standard input, and after a pause the Enter key: some TUIs take what arrives in one piece for
    /// pasted text, with the Enter key as a part of it.
    StdinTyped,
    /// A GET to the CLI's own loopback callback, as the browser would have sent it.
    CallbackGet,
}

/// What a line on standard input holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PasteForm {
    /// What was pasted, unchanged.
    #[default]
    AsPasted,
    /// `code#state`, whatever was pasted.
    CodeState,
    /// The code alone, whatever was pasted.
    Code,
}

/// What a CLI prints. Patterns are byte regular expressions without Unicode classes.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Patterns {
    /// The address to open; every http(s) address counts when absent. Group `url` or the whole match.
    pub url: Option<Pattern>,
    /// The device code in group `code`. It is looked for in two consecutive lines joined by a line feed.
    pub device_code: Option<Pattern>,
    /// The CLI waits for a paste.
    pub prompt: Option<Pattern>,
    /// The CLI says that the login succeeded; an optional group `email`. Only a hint: the file proves it.
    pub logged_in: Vec<Pattern>,
    /// The CLI says that the login was refused or failed.
    pub denied: Vec<Pattern>,
    /// The CLI refused a paste and waits for another one.
    pub refused: Vec<Pattern>,
    /// The credential itself in group `token`, for a CLI that shows it and stores nothing. It is sealed, and seen by
    /// nobody.
    pub token: Option<Pattern>,
    /// The program says that it is not the provider's CLI any more.
    pub retired: Vec<Pattern>,
}

/// A regular expression over bytes. Its syntax is checked when it is read; it is compiled when it is first used,
/// because a daemon at rest need not hold those of every provider.
#[derive(Clone, Deserialize)]
#[serde(try_from = "String")]
pub struct Pattern(Arc<Expression>);

struct Expression {
    text: String,
    compiled: OnceLock<Option<Regex>>,
}

impl Pattern {
    /// The expression as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    /// The compiled expression; `None` only for one that [`Pattern::check`] refuses.
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

    /// Whether it is small enough to be compiled; forgets the result.
    pub(crate) fn check(&self) -> Result<(), regex::Error> {
        self.compile().map(drop)
    }

    /// Whether it has a group of this name.
    pub(crate) fn names(&self, group: &str) -> bool {
        [format!("(?P<{group}>"), format!("(?<{group}>")].iter().any(|opening| self.0.text.contains(opening))
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
        regex_syntax::ParserBuilder::new().unicode(false).utf8(false).build().parse(&text)?;
        Ok(Self(Arc::new(Expression { text, compiled: OnceLock::new() })))
    }
}
