//! Recordings of real CLIs, read the way a session reads them. `tests/fixtures/recordings.toml` contains the expected
//! findings for each. The bytes are in files next to it, with one `[seconds, stream, text]` entry per line.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt;
use secrecy::ExposeSecret;
use serde::Deserialize;
use tokio::io::{AsyncRead, ReadBuf};

use super::matcher::{Completeness, Finding, Matcher};
use super::output::{Output, Reader, SETTLED};
use crate::registry::VersionRange;
use crate::terminal::View;
use crate::{Recipe, Registry, Terminal};

/// The pause after which a session inspects unfinished output, and the maximum time between two inspections.
const STILL: Duration = Duration::from_millis(100);
const LATE: Duration = Duration::from_millis(500);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fixtures {
    recording: Vec<Recording>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Recording {
    name: String,
    provider: String,
    recipe: String,
    version: String,
    on: Terminal,
    /// The expected findings, in order, each listed once.
    heard: Vec<String>,
    /// The findings when the recording is read as plain lines, if they differ: a screen's rows are overwritten and
    /// moved.
    #[serde(default)]
    heard_as_lines: Option<Vec<String>>,
    /// The fields from here on are used by another test, which replays the recording through a process.
    #[serde(rename = "ends")]
    _ends: toml::Value,
    #[serde(default, rename = "exit")]
    _exit: Option<toml::Value>,
    #[serde(default, rename = "writes")]
    _writes: Option<toml::Value>,
}

fn recordings() -> Vec<Recording> {
    let text = include_str!("../../tests/fixtures/recordings.toml");
    toml::from_str::<Fixtures>(text).unwrap().recording
}

/// Bytes that arrived together on one stream, and the pause before them.
#[derive(Clone)]
struct Chunk {
    pause: Duration,
    error: bool,
    bytes: Vec<u8>,
}

fn recorded(name: &str) -> Vec<Chunk> {
    let path = format!("{}/tests/fixtures/{name}.events", env!("CARGO_MANIFEST_DIR"));
    let mut before = 0.0;
    let chunk = |line: &str| {
        let (at, stream, text): (f64, String, String) = serde_json::from_str(line).unwrap();
        // Typed input and checks in between are not part of the output.
        if !matches!(stream.as_str(), "out" | "err" | "tty") || text == "EOF" {
            return None;
        }
        let pause = Duration::from_secs_f64((at - std::mem::replace(&mut before, at)).max(0.0));
        Some(Chunk { pause, error: stream == "err", bytes: text.into_bytes() })
    };
    std::fs::read_to_string(path).unwrap().lines().filter_map(chunk).collect()
}

/// One stream of a child, filled by the test.
#[derive(Clone, Default)]
struct TestStream(Arc<Mutex<(VecDeque<u8>, bool)>>);

impl AsyncRead for TestStream {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (bytes, ended) = &mut *self.0.lock().unwrap();
        if bytes.is_empty() && !*ended {
            // No waker is needed: the test polls again after adding bytes.
            return Poll::Pending;
        }
        let length = bytes.len().min(buffer.remaining());
        buffer.put_slice(&bytes.drain(..length).collect::<Vec<u8>>());
        Poll::Ready(Ok(()))
    }
}

/// The output side of a session, and its findings.
struct Listener {
    output: Output,
    streams: [TestStream; 2],
    heard: Vec<Finding>,
    unread: Duration,
}

impl Listener {
    fn new(matcher: &Matcher, terminal: Terminal) -> Self {
        let streams = [TestStream::default(), TestStream::default()];
        let readers = streams.iter().map(|stream| -> Reader { Box::new(stream.clone()) }).collect();
        let view = || View::new(terminal, 8192);
        let output = Output::new(readers, view, || matcher.clone());
        Self { output, streams, heard: Vec::new(), unread: Duration::ZERO }
    }

    fn hear(&mut self, seen: Vec<Finding>) {
        for seen in seen {
            if !self.heard.contains(&seen) {
                self.heard.push(seen);
            }
        }
    }

    /// Lets time pass without output, during which a session inspects unread text.
    async fn pause(&mut self, length: Duration) {
        tokio::time::advance(length).await;
        self.unread += length;
        if !self.output.has_partial() {
            self.unread = Duration::ZERO;
        }
        if length >= STILL || self.unread >= LATE {
            self.unread = Duration::ZERO;
            let seen = self.output.still(Completeness::Partial).found;
            self.hear(seen);
        }
        if length >= STILL + SETTLED {
            let seen = self.output.still(Completeness::Settled).found;
            self.hear(seen);
        }
    }

    fn read(&mut self) {
        while let Some(findings) = self.output.next().now_or_never() {
            self.hear(findings.found);
            // The answers are not used, but they must not accumulate.
            while self.output.reply().is_some() {}
        }
    }

    fn print(&mut self, error: bool, bytes: &[u8]) {
        self.streams[usize::from(error)].0.lock().unwrap().0.extend(bytes);
        self.read();
    }

    async fn end(mut self) -> Vec<String> {
        self.pause(STILL + SETTLED).await;
        for stream in &self.streams {
            stream.0.lock().unwrap().1 = true;
        }
        self.read();
        self.heard.iter().map(word).collect()
    }
}

fn word(seen: &Finding) -> String {
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

/// Reads the recording with one additional read boundary.
async fn cut(matcher: &Matcher, chunks: &[Chunk], view: Terminal, at: usize) -> Vec<String> {
    let mut listener = Listener::new(matcher, view);
    let mut left = at;
    for chunk in chunks {
        listener.pause(chunk.pause).await;
        let (head, tail) = chunk.bytes.split_at(left.min(chunk.bytes.len()));
        left -= head.len();
        for part in [head, tail] {
            if !part.is_empty() {
                listener.print(chunk.error, part);
            }
        }
    }
    listener.end().await
}

/// Reads the recording one byte at a time, which splits it everywhere at once.
async fn crumbs(matcher: &Matcher, chunks: &[Chunk], view: Terminal) -> Vec<String> {
    let mut listener = Listener::new(matcher, view);
    for chunk in chunks {
        listener.pause(chunk.pause).await;
        for byte in &chunk.bytes {
            listener.print(chunk.error, &[*byte]);
        }
    }
    listener.end().await
}

/// Compares findings but ignores the order of prompts: the cursor can reach a prompt before the rows above it have been
/// read.
fn same(heard: &[String], expected: &[String]) -> bool {
    let prompts = |all: &[String]| all.iter().any(|word| word == "prompt");
    let others = |all: &[String]| all.iter().filter(|word| *word != "prompt").cloned().collect::<Vec<_>>();
    prompts(heard) == prompts(expected) && others(heard) == others(expected)
}

async fn each_is_heard(views: impl Fn(&Recording) -> Option<(Terminal, Vec<String>)>) {
    let registry = Registry::builtin().unwrap();
    let mut wrong = Vec::new();
    for recording in recordings() {
        let Some((view, expected)) = views(&recording) else { continue };
        let provider = registry.provider(&recording.provider).unwrap();
        let chunks = recorded(&recording.name);
        let length: usize = chunks.iter().map(|chunk| chunk.bytes.len()).sum();
        let recipe = provider.recipe(&recording.recipe, Some(&recording.version)).unwrap();
        let matcher = Matcher::new(provider, &recipe);
        let heard = crumbs(&matcher, &chunks, view).await;
        if !same(&heard, &expected) {
            wrong.push(format!("{} on {view:?}, byte by byte: {heard:#?}", recording.name));
            continue;
        }
        for at in 0..=length {
            let heard = cut(&matcher, &chunks, view, at).await;
            if !same(&heard, &expected) {
                wrong.push(format!("{} on {view:?}, cut at {at}: {heard:#?}", recording.name));
                break;
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test(start_paused = true)]
async fn recordings_give_the_same_findings_as_lines_when_split_at_any_byte() {
    each_is_heard(|recording| {
        let heard = recording.heard_as_lines.as_ref().unwrap_or(&recording.heard);
        Some((Terminal::Pipe, heard.clone()))
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn recordings_give_the_same_findings_as_a_screen_when_split_at_any_byte() {
    each_is_heard(|recording| {
        (recording.on != Terminal::Pipe).then(|| (recording.on, recording.heard.clone()))
    })
    .await;
}

#[test]
fn every_builtin_recipe_has_a_recording_of_its_dialogue() {
    let recordings = recordings();
    for provider in Registry::builtin().unwrap().iter() {
        let recipes = || provider.cli.iter().flat_map(|cli| &cli.recipes);
        let was_recorded = |recipe: &Recipe| {
            let meant = |recording: &&Recording| {
                recording.provider == provider.id
                    && recording.recipe == recipe.id
                    && VersionRange::applies(recipe.versions.as_ref(), Some(&recording.version))
            };
            recordings.iter().filter(meant).any(|recording| recording.on == recipe.terminal)
        };
        for recipe in recipes() {
            // A variant that differs only in its arguments has the same patterns.
            let dialogue = |recipe: &Recipe| format!("{:?} {:?}", recipe.terminal, recipe.patterns);
            let mut twins =
                recipes().filter(|twin| twin.id == recipe.id && dialogue(twin) == dialogue(recipe));
            let found = twins.any(was_recorded);
            assert!(found, "no recording of {} {} on {:?}", provider.id, recipe.id, recipe.terminal);
        }
    }
}
