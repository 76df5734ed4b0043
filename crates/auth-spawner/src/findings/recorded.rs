//! Recordings of a CLI's output, read as a session reads them.
//!
//! A list of recordings is a TOML file, and the bytes of each are in a file beside it, one JSON array
//! `[seconds, stream, text]` a line.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt as _;
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use tokio::io::{AsyncRead, ReadBuf};

use super::matcher::{Completeness, Finding, Matcher};
use super::output::{Output, Reader, SETTLED};
use crate::registry::{Provider, Terminal};
use crate::terminal::View;

/// Pause after which a session looks at unfinished output.
pub(super) const STILL: Duration = Duration::from_millis(100);
/// Longest wait for one pause of a recording. A longer one has the same effect.
const SHORTENED: Duration = Duration::from_millis(150);
/// Limit of the terminal's text, as in a session.
const VIEW_BYTES: usize = 8192;

/// A list of recordings.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recordings {
    /// The recordings, in the order of the file.
    pub recording: Vec<Recording>,
}

impl Recordings {
    /// Reads a list.
    ///
    /// # Errors
    /// The place and the reason, for people.
    pub fn parse(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())
    }
}

/// A recording of one login, and what a session hears in it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recording {
    /// Name of the file with the output, without its ending.
    pub name: String,
    /// Id of the provider.
    pub provider: String,
    /// Id of the recipe.
    pub recipe: String,
    /// Version of the CLI.
    pub version: String,
    /// The terminal or pipe that the CLI was attached to.
    pub on: Terminal,
    /// The findings, in this order, each once.
    pub heard: Vec<String>,
    /// The findings if the output of a terminal is read as lines, when they differ.
    #[serde(default)]
    pub heard_as_lines: Option<Vec<String>>,
    /// The end of the login, for the replay through a process.
    #[serde(default)]
    pub ends: Option<String>,
    /// The exit code, for the replay through a process.
    #[serde(default)]
    pub exit: Option<u8>,
    /// The files that the CLI had written, for the replay through a process.
    #[serde(default)]
    pub writes: std::collections::BTreeMap<String, String>,
}

/// The bytes that arrived together on one stream, and the pause before them.
#[derive(Debug, Clone)]
pub struct Recorded {
    pub(super) pause: Duration,
    pub(super) error: bool,
    pub(super) bytes: Vec<u8>,
}

impl Recorded {
    /// Reads the file of a recording. Typed text, and checks made meanwhile, are not part of the output.
    ///
    /// # Errors
    /// The number of the line that is not in the format.
    pub fn parse(text: &str) -> Result<Vec<Self>, String> {
        let mut before = 0.0;
        let mut chunks = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let (at, stream, text): (f64, String, String) = serde_json::from_str(line)
                .map_err(|_| format!("line {} is not [seconds, stream, text]", number + 1))?;
            if !matches!(stream.as_str(), "out" | "err" | "tty") || text == "EOF" {
                continue;
            }
            let pause = Duration::try_from_secs_f64((at - std::mem::replace(&mut before, at)).max(0.0));
            let pause = pause.map_err(|_| format!("line {} has no time", number + 1))?;
            chunks.push(Self { pause, error: stream == "err", bytes: text.into_bytes() });
        }
        Ok(chunks)
    }
}

impl Recording {
    /// Reads the output by the entry of the provider, and compares the findings with the expected ones. It takes up to
    /// a few seconds, because pauses have a meaning.
    ///
    /// # Errors
    /// The difference, for people.
    pub async fn check(&self, provider: &Provider, output: &[Recorded]) -> Result<(), String> {
        let recipe = provider.recipe(&self.recipe, Some(&self.version));
        let recipe = recipe.ok_or_else(|| format!("{} has no login {}", self.provider, self.recipe))?;
        let matcher = Matcher::new(provider, &recipe);
        let heard = hear(&matcher, output, self.on).await;
        if same(&heard, &self.heard) {
            return Ok(());
        }
        Err(format!("heard {heard:?}, expected {:?}", self.heard))
    }
}

/// Reads an output as a session does, with each long pause shortened.
async fn hear(matcher: &Matcher, chunks: &[Recorded], terminal: Terminal) -> Vec<String> {
    let tapes = [Tape::default(), Tape::default()];
    let readers = tapes.iter().map(|tape| -> Reader { Box::new(tape.clone()) }).collect();
    let mut output = Output::new(readers, || View::new(terminal, VIEW_BYTES), || matcher.clone());
    let mut heard = Heard::default();
    for chunk in chunks {
        if chunk.pause >= STILL {
            tokio::time::sleep(chunk.pause.min(SHORTENED)).await;
            heard.add(output.still(Completeness::Partial).found);
        }
        if chunk.pause >= STILL + SETTLED {
            heard.add(output.still(Completeness::Settled).found);
        }
        tapes[usize::from(chunk.error)].print(&chunk.bytes);
        read(&mut output, &mut heard);
    }
    tokio::time::sleep(SHORTENED).await;
    heard.add(output.still(Completeness::Partial).found);
    heard.add(output.still(Completeness::Settled).found);
    tapes.iter().for_each(Tape::end);
    read(&mut output, &mut heard);
    heard.0.iter().map(word).collect()
}

fn read(output: &mut Output, heard: &mut Heard) {
    while let Some(findings) = output.next().now_or_never() {
        heard.add(findings.found);
        // The answers are not used, but they must not pile up.
        while output.reply().is_some() {}
        if output.ended() {
            return;
        }
    }
}

/// The findings so far, each once.
#[derive(Default)]
pub(super) struct Heard(pub(super) Vec<Finding>);

impl Heard {
    pub(super) fn add(&mut self, found: Vec<Finding>) {
        for found in found {
            if !self.0.contains(&found) {
                self.0.push(found);
            }
        }
    }
}

/// One stream of a child, filled by its owner.
#[derive(Clone, Default)]
pub(super) struct Tape(Arc<Mutex<(VecDeque<u8>, bool)>>);

impl Tape {
    pub(super) fn print(&self, bytes: &[u8]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0.extend(bytes);
    }

    pub(super) fn end(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1 = true;
    }
}

impl AsyncRead for Tape {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (bytes, ended) = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if bytes.is_empty() && !*ended {
            // No waker is needed: the owner reads again after it has added bytes.
            return Poll::Pending;
        }
        let length = bytes.len().min(buffer.remaining());
        buffer.put_slice(&bytes.drain(..length).collect::<Vec<u8>>());
        Poll::Ready(Ok(()))
    }
}

/// Returns a finding in the words of a list of recordings.
pub(super) fn word(seen: &Finding) -> String {
    match seen {
        Finding::Url { url, openable, device } => {
            let kind = if *device { "verify at" } else { "go to" };
            let foreign = if *openable { "" } else { " (foreign)" };
            format!("{kind}{foreign} {url}")
        }
        Finding::DeviceCode(code) => format!("code {code}"),
        Finding::Prompt => "prompt".to_owned(),
        Finding::Refused => "refused".to_owned(),
        Finding::LoggedIn { email: None } => "logged in".to_owned(),
        Finding::LoggedIn { email: Some(email) } => format!("logged in as {email}"),
        Finding::Denied(words) => format!("denied: {words}"),
        Finding::Failed(words) => format!("failed: {words}"),
        Finding::Token(token) => format!("token of {} characters", token.secret().expose_secret().len()),
        Finding::Retired(words) => format!("retired: {words}"),
        Finding::Step(position) => format!("step {position}"),
    }
}

/// Compares findings without the order of prompts: the cursor can be on a prompt before the rows above it are read.
pub(super) fn same(heard: &[String], expected: &[String]) -> bool {
    let prompts = |all: &[String]| all.iter().any(|word| word == "prompt");
    let others = |all: &[String]| all.iter().filter(|word| *word != "prompt").cloned().collect::<Vec<_>>();
    prompts(heard) == prompts(expected) && others(heard) == others(expected)
}
