//! The state sent to the guard, used by both sides of the pipe. The code has no side effects, uses bounded memory, and
//! skips invalid input.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// The maximum line length. Longer lines are skipped completely.
const LINE: usize = 512;
/// The maximum length of a session id.
const NAME: usize = 128;
/// The maximum number of sessions stored. A daemon never has this many.
const SESSIONS: usize = 4096;

/// The process that leads a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Leader {
    pub(super) pid: u32,
    pub(super) start: Option<String>,
}

/// Sessions by id, each with its leader if known.
pub(super) type Sessions = BTreeMap<String, Option<Leader>>;

/// Returns whether a session id can be sent: it must consist of visible ASCII only.
pub(super) fn is_name(text: &str) -> bool {
    (1..=NAME).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The state that the guard should have.
#[derive(Debug, Clone, Default)]
pub(super) struct GuardState {
    /// The revision of the state. It increases with every change.
    pub(super) revision: u64,
    pub(super) sessions: Sessions,
    standing: BTreeSet<String>,
    pub(super) closing: bool,
}

impl GuardState {
    /// Adds a mark to look for as long as the daemon runs.
    pub(super) fn stand(&mut self, mark: &str) {
        self.standing.insert(mark.to_owned());
        self.begin(mark);
    }

    pub(super) fn begin(&mut self, session: &str) -> u64 {
        self.sessions.entry(session.to_owned()).or_default();
        self.revision += 1;
        self.revision
    }

    pub(super) fn lead(&mut self, session: &str, leader: Leader) -> bool {
        let Some(known) = self.sessions.get_mut(session) else { return false };
        *known = Some(leader);
        self.revision += 1;
        true
    }

    pub(super) fn end(&mut self, session: &str) -> bool {
        let known = self.sessions.remove(session).is_some();
        self.revision += u64::from(known);
        known
    }

    /// Begins an orderly shutdown. The standing marks are removed because they no longer need watching.
    pub(super) fn close(&mut self) {
        for mark in std::mem::take(&mut self.standing) {
            self.sessions.remove(&mark);
        }
        self.closing = true;
        self.revision += 1;
    }
}

/// Returns the lines that turn the state already sent into the current one.
pub(super) fn difference(sent: &Sessions, now: &Sessions) -> String {
    let mut lines = String::new();
    for session in sent.keys().filter(|session| !now.contains_key(*session)) {
        let _ = writeln!(lines, "end {session}");
    }
    for (session, leader) in now {
        let known = sent.get(session);
        if known.is_none() {
            let _ = writeln!(lines, "begin {session}");
        }
        if let Some(Leader { pid, start }) = leader
            && known.is_none_or(|known| known != leader)
        {
            let _ = writeln!(lines, "group {session} {pid} {}", start.as_deref().unwrap_or("-"));
        }
    }
    lines
}

/// The state received by the guard so far.
#[derive(Debug, Default)]
pub(super) struct ReceivedSessions {
    pub(super) sessions: Sessions,
    /// The unfinished line.
    line: Vec<u8>,
    /// True if the unfinished line exceeds the maximum length.
    overlong: bool,
}

impl ReceivedSessions {
    /// Processes received bytes, in pieces of any size.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, whole) = match piece.split_last() {
                Some((b'\n', text)) => (text, true),
                _ => (piece, false),
            };
            self.overlong |= self.line.len() + text.len() > LINE;
            if !self.overlong {
                self.line.extend_from_slice(text);
            }
            if whole {
                let line = std::mem::take(&mut self.line);
                if !std::mem::take(&mut self.overlong) {
                    self.take(&line);
                }
            }
        }
    }

    fn take(&mut self, line: &[u8]) -> Option<()> {
        let mut words = std::str::from_utf8(line).ok()?.split(' ');
        let (verb, session) = (words.next()?, words.next().filter(|session| is_name(session))?);
        match verb {
            "begin" if self.sessions.len() < SESSIONS => {
                self.sessions.entry(session.to_owned()).or_default();
            }
            "group" => {
                let pid = words.next()?.parse().ok()?;
                let start = words.next().filter(|start| is_name(start))?;
                let start = (start != "-").then(|| start.to_owned());
                *self.sessions.get_mut(session)? = Some(Leader { pid, start });
            }
            "end" => {
                self.sessions.remove(session);
            }
            _ => {}
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn received(text: &str) -> Sessions {
        let mut received = ReceivedSessions::default();
        received.feed(text.as_bytes());
        received.sessions
    }

    #[test]
    fn notes_survive_a_round_trip() {
        let mut state = GuardState::default();
        state.stand("probe");
        let mut known = ReceivedSessions::default();
        let mut last = Sessions::new();
        let mut tell = |state: &GuardState| {
            let lines = difference(&last, &state.sessions);
            last = state.sessions.clone();
            known.feed(lines.as_bytes());
            assert_eq!(known.sessions, state.sessions, "{lines}");
            lines
        };
        assert_eq!(state.begin("a"), 2);
        assert_eq!(tell(&state), "begin a\nbegin probe\n");
        assert!(state.lead("a", Leader { pid: 7, start: Some("99".into()) }));
        assert!(!state.lead("b", Leader { pid: 8, start: None }));
        state.begin("b");
        assert_eq!(tell(&state), "group a 7 99\nbegin b\n");
        assert!(state.lead("b", Leader { pid: 8, start: None }));
        assert!(state.end("a") && !state.end("a"));
        assert_eq!(tell(&state), "end a\ngroup b 8 -\n");
        state.close();
        assert_eq!(tell(&state), "end probe\n");
        assert_eq!(difference(&Sessions::new(), &state.sessions), "begin b\ngroup b 8 -\n");
    }

    #[test]
    fn notes_skip_invalid_lines() {
        let check = |text: &str| assert_eq!(received(text), Sessions::new(), "{text:?}");
        check("begin a");
        check("begin\nbegin \nend a\ngroup a 7 1\nBEGIN a\n\n\0\n");
        check(&format!("begin {}\n", "x".repeat(NAME + 1)));
        check(&format!("{}\n", "begin ".repeat(LINE)));
        check("begin a\u{e9}\nbegin a\tb\n");
        // An invalid group line leaves the session unchanged.
        let kept = received("begin a\ngroup a x 1\ngroup a -7 1\ngroup a 7\ngroup a 99999999999 1\n");
        assert_eq!(kept, Sessions::from([("a".to_owned(), None)]));
        let kept = received("nonsense\nbegin a\ngroup a 7 1\n\u{7f}\n");
        assert_eq!(
            kept,
            Sessions::from([("a".to_owned(), Some(Leader { pid: 7, start: Some("1".to_owned()) }))])
        );
    }

    #[test]
    fn notes_use_bounded_memory_when_input_floods() {
        let mut received = ReceivedSessions::default();
        for number in 0..2 * SESSIONS {
            received.feed(format!("begin {number}\n").as_bytes());
        }
        assert_eq!(received.sessions.len(), SESSIONS);
        for _ in 0..1000 {
            received.feed(&[b'x'; 10_000]);
            assert!(received.line.len() <= LINE);
        }
        received.feed(b"\nend 0\nbegin last\n");
        assert!(received.sessions.contains_key("last"));
    }

    proptest! {
        #[test]
        fn notes_read_the_same_when_split_into_pieces(lines in "((begin|group|end) [ab]( [0-9]{1,2}){0,2}\n){0,8}", cut in 0..100usize) {
            let cut = cut.min(lines.len());
            let mut pieces = ReceivedSessions::default();
            pieces.feed(&lines.as_bytes()[..cut]);
            pieces.feed(&lines.as_bytes()[cut..]);
            prop_assert_eq!(pieces.sessions, received(&lines));
        }

        #[test]
        fn notes_accept_any_bytes_within_the_line_limit(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
            let mut received = ReceivedSessions::default();
            received.feed(&bytes);
            prop_assert!(received.line.len() <= LINE);
        }
    }
}
