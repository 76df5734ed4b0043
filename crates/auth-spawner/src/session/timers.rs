//! The moments that a session waits for.

use std::time::Duration;

use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

use super::output::SETTLED;
use crate::machine::Input;
use crate::matcher::Wholeness;

/// A line that has been still this long is looked at for a prompt.
const STILL: Duration = Duration::from_millis(100);
/// Under output that never stops, what is unread is looked at in the first pause of this length ...
const PAUSE: Duration = Duration::from_millis(20);
/// ... after this long ...
const PATIENT: Duration = Duration::from_millis(400);
/// ... or, when there is no pause either, after this long.
const LATE: Duration = Duration::from_millis(500);
/// A CLI that reported a failure may offer another try. One that does not within this time is ended.
const GIVE_UP: Duration = Duration::from_secs(5);
/// How long output is still read after the child has ended and nothing has come: a grandchild may hold it open for ever.
const DRAIN: Duration = Duration::from_millis(100);
/// The same while there still comes something: the child's last words may be many, and a grandchild's have no end.
const DRAIN_MOST: Duration = Duration::from_secs(2);
/// How often the credential file is looked at.
const TICK: Duration = Duration::from_secs(1);

/// The moments that a session waits for.
pub(super) struct Timers {
    pub(super) deadline: Instant,
    pub(super) tick: Interval,
    pub(super) still: Option<(Instant, Wholeness)>,
    /// Since when something has been unread.
    unread: Option<Instant>,
    pub(super) drain: Option<Instant>,
    drain_most: Option<Instant>,
    /// When a CLI that reported a failure is ended.
    pub(super) give_up: Option<Instant>,
}

impl Timers {
    pub(super) fn new(deadline: Instant) -> Self {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { deadline, tick, still: None, unread: None, drain: None, drain_most: None, give_up: None }
    }

    /// Notes an input of the machine: a reported failure starts the time that the CLI has left, and anything that a person
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

    /// The child has ended; its last words are still to be read.
    pub(super) fn exited(&mut self) {
        let now = Instant::now();
        self.drain = Some(now + DRAIN);
        self.drain_most = Some(now + DRAIN_MOST);
    }

    /// Some of a child's last words came just now.
    pub(super) fn drains(&mut self) {
        if let (Some(_), Some(most)) = (self.drain, self.drain_most) {
            self.drain = Some((Instant::now() + DRAIN).min(most));
        }
    }

    /// Output came just now, and something of it may be unread.
    pub(super) fn heard(&mut self, unread: bool) {
        let now = Instant::now();
        self.unread = unread.then(|| self.unread.unwrap_or(now));
        self.still = self.unread.map(|since| (next_look(since, now), Wholeness::Partial));
    }

    /// What is unread has been looked at; says what is to be looked at next, if nothing more comes.
    pub(super) fn looked(&mut self, wholeness: Wholeness) {
        self.unread = None;
        self.still =
            (wholeness == Wholeness::Partial).then(|| (Instant::now() + SETTLED, Wholeness::Settled));
    }
}

/// When to look at what has been unread `since` then, if nothing more comes after `last`.
fn next_look(since: Instant, last: Instant) -> Instant {
    (last + STILL).min((since + PATIENT).max(last + PAUSE)).min(since + LATE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unread_output_is_looked_at_in_a_pause_and_never_late() {
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
