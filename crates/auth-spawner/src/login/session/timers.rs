//! The moments that a session waits for.

use std::time::Duration;

use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

use crate::findings::{Completeness, SETTLED};
use crate::login::machine::Input;

/// Time without change after which a line is searched for a prompt.
const STILL: Duration = Duration::from_millis(100);
/// Shortest pause of the output in which unread text is read, once it has waited for [`PATIENT`].
const PAUSE: Duration = Duration::from_millis(20);
/// Wait of unread text after which the next pause of [`PAUSE`] is enough to read it.
const PATIENT: Duration = Duration::from_millis(400);
/// Longest wait of unread text. After it the text is read even without a pause.
const LATE: Duration = Duration::from_millis(500);
/// Time that a CLI has to offer another attempt after it has reported a failure. After it the CLI is ended.
const GIVE_UP: Duration = Duration::from_secs(5);
/// Longest silence after the child's end before reading stops. A grandchild may hold the output open for ever.
const DRAIN: Duration = Duration::from_millis(100);
/// Longest time that output is read after the child's end. The child's last output may be long, and a grandchild's may
/// never end.
const DRAIN_MOST: Duration = Duration::from_secs(2);
/// Time between two looks at the credential file.
const TICK: Duration = Duration::from_secs(1);

/// The next look at unread text.
#[derive(Clone, Copy)]
pub(super) struct Look {
    pub(super) at: Instant,
    pub(super) completeness: Completeness,
}

/// The moments that a session waits for.
pub(super) struct Timers {
    pub(super) deadline: Instant,
    pub(super) tick: Interval,
    pub(super) still: Option<Look>,
    /// The moment since which there has been unread text.
    unread: Option<Instant>,
    pub(super) drain: Option<Instant>,
    drain_most: Option<Instant>,
    /// The moment at which a CLI that reported a failure is ended.
    pub(super) give_up: Option<Instant>,
}

impl Timers {
    pub(super) fn new(deadline: Instant) -> Self {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { deadline, tick, still: None, unread: None, drain: None, drain_most: None, give_up: None }
    }

    /// Records an input of the machine. A reported failure starts the CLI's remaining time; any request that a person
    /// can answer stops it.
    pub(super) fn told(&mut self, input: Input) {
        match input {
            Input::Denied | Input::Failed => {
                self.give_up.get_or_insert(Instant::now() + GIVE_UP);
            }
            Input::Url { .. } | Input::Code | Input::Prompt | Input::Delivering => self.give_up = None,
            _ => {}
        }
    }

    /// Records the end of the child. Its last output is still to be read.
    pub(super) fn exited(&mut self) {
        let now = Instant::now();
        self.drain = Some(now + DRAIN);
        self.drain_most = Some(now + DRAIN_MOST);
    }

    /// Records that some of a child's last output has just arrived.
    pub(super) fn drains(&mut self) {
        if let (Some(_), Some(most)) = (self.drain, self.drain_most) {
            self.drain = Some((Instant::now() + DRAIN).min(most));
        }
    }

    /// Records that output has just arrived, and whether some text is unread.
    pub(super) fn heard(&mut self, unread: bool) {
        let now = Instant::now();
        self.unread = unread.then(|| self.unread.unwrap_or(now));
        self.still =
            self.unread.map(|since| Look { at: next_look(since, now), completeness: Completeness::Partial });
    }

    /// Records that the unread text has been read. Schedules the next look if no more output arrives.
    pub(super) fn looked(&mut self, completeness: Completeness) {
        self.unread = None;
        self.still = (completeness == Completeness::Partial)
            .then(|| Look { at: Instant::now() + SETTLED, completeness: Completeness::Settled });
    }
}

/// Returns the moment to read text that has been unread since `since`, if no more output arrives after `last`.
fn next_look(since: Instant, last: Instant) -> Instant {
    (last + STILL).min((since + PATIENT).max(last + PAUSE)).min(since + LATE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unread_output_is_examined_at_a_pause_or_after_half_a_second() {
        let start = Instant::now();
        let check = |last: u64, look: u64| {
            let at = |after| start + Duration::from_millis(after);
            assert_eq!(next_look(start, at(last)), at(look), "last output after {last} ms");
        };
        // Still at once, still later, a spinner, and output without a pause.
        check(0, 100);
        check(250, 350);
        check(320, 400);
        check(395, 415);
        check(490, 500);
        check(3000, 500);
    }
}
