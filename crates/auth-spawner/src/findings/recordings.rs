//! Recordings of real CLIs, read the way a session reads them. `tests/fixtures/recordings.toml` contains the expected
//! findings for each. The bytes are in files next to it, with one `[seconds, stream, text]` entry per line.

use std::time::Duration;

use futures_util::FutureExt as _;

use super::matcher::{Completeness, Finding, Matcher};
use super::output::{Output, Reader, SETTLED};
use super::recorded::{Heard, Recorded, Recording, Recordings, STILL, Tape, same, word};
use crate::registry::VersionRange;
use crate::terminal::View;
use crate::{Recipe, Registry, Terminal};

/// Longest time between two looks of a session at unfinished output.
const LATE: Duration = Duration::from_millis(500);

fn recordings() -> Vec<Recording> {
    Recordings::parse(include_str!("../../tests/fixtures/recordings.toml")).unwrap().recording
}

fn recorded(name: &str) -> Vec<Recorded> {
    let path = format!("{}/tests/fixtures/{name}.events", env!("CARGO_MANIFEST_DIR"));
    Recorded::parse(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The output side of a session, and its findings.
struct Listener {
    output: Output,
    streams: [Tape; 2],
    heard: Heard,
    unread: Duration,
}

impl Listener {
    fn new(matcher: &Matcher, terminal: Terminal) -> Self {
        let streams = [Tape::default(), Tape::default()];
        let readers = streams.iter().map(|stream| -> Reader { Box::new(stream.clone()) }).collect();
        let view = || View::new(terminal, 8192);
        let output = Output::new(readers, view, || matcher.clone());
        Self { output, streams, heard: Heard::default(), unread: Duration::ZERO }
    }

    fn hear(&mut self, seen: Vec<Finding>) {
        self.heard.add(seen);
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
        self.streams[usize::from(error)].print(bytes);
        self.read();
    }

    async fn end(mut self) -> Vec<String> {
        self.pause(STILL + SETTLED).await;
        for stream in &self.streams {
            stream.end();
        }
        self.read();
        self.heard.0.iter().map(word).collect()
    }
}

/// Reads the recording with one more place at which a read ends.
async fn cut(matcher: &Matcher, chunks: &[Recorded], view: Terminal, at: usize) -> Vec<String> {
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

/// Reads the recording one byte at a time: every cut at once.
async fn crumbs(matcher: &Matcher, chunks: &[Recorded], view: Terminal) -> Vec<String> {
    let mut listener = Listener::new(matcher, view);
    for chunk in chunks {
        listener.pause(chunk.pause).await;
        for byte in &chunk.bytes {
            listener.print(chunk.error, &[*byte]);
        }
    }
    listener.end().await
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

#[tokio::test(start_paused = true)]
async fn recording_is_heard_as_expected_when_its_pauses_are_shortened() {
    let registry = Registry::builtin().unwrap();
    for recording in recordings() {
        let provider = registry.provider(&recording.provider).unwrap();
        let checked = recording.check(provider, &recorded(&recording.name)).await;
        assert_eq!(checked, Ok(()), "{}", recording.name);
    }
}

#[tokio::test(start_paused = true)]
async fn recording_names_the_difference_when_the_entry_has_changed() {
    let overlay = |text: &str| crate::Overlay { source: "z.toml".to_owned(), text: text.to_owned() };
    let changed = "[providers.cline.cli]\nurl-hosts = ['other.example']\n";
    let registry = Registry::with_overlays(&[overlay(changed)]).unwrap();
    let recording = recordings().into_iter().find(|recording| recording.name == "cline-login-pipe").unwrap();
    let output = recorded(&recording.name);
    let checked = recording.check(registry.provider("cline").unwrap(), &output).await;
    assert!(checked.is_err_and(|reason| reason.contains("verify at (foreign) https://authkit.cline.bot/")));
    let unknown = Recording { recipe: "other".to_owned(), ..recording };
    let checked = unknown.check(registry.provider("cline").unwrap(), &output).await;
    assert_eq!(checked, Err("cline has no login other".to_owned()));
}

#[test]
fn recorded_output_is_refused_when_a_line_is_not_in_its_format() {
    for (text, expected) in [
        ("[0.1, \"out\", \"a\"]\nnot json", "line 2 is not [seconds, stream, text]"),
        ("{}", "line 1 is not [seconds, stream, text]"),
        ("[1e300, \"out\", \"a\"]", "line 1 has no time"),
    ] {
        assert_eq!(Recorded::parse(text).unwrap_err(), expected);
    }
    assert!(Recordings::parse("[[recording]]\nname = 'x'\n").is_err());
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
        // An entry without a tested version was not run at all, and says so.
        let tested = provider.cli.as_ref().is_some_and(|cli| cli.tested.is_some());
        for recipe in recipes().filter(|_| tested) {
            // A variant that differs in its arguments only has the same patterns.
            let dialogue = |recipe: &Recipe| format!("{:?} {:?}", recipe.terminal, recipe.patterns);
            let mut twins =
                recipes().filter(|twin| twin.id == recipe.id && dialogue(twin) == dialogue(recipe));
            let found = twins.any(was_recorded);
            assert!(found, "no recording of {} {} on {:?}", provider.id, recipe.id, recipe.terminal);
        }
    }
}
