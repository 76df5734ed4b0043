//! The timers of a session.

use std::time::Duration;

use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

use crate::findings::{Completeness, SETTLED};
use crate::login::machine::Input;

/// The time for which a line must stay unchanged before it is checked for a prompt.
const STILL: Duration = Duration::from_millis(100);
/// The shortest pause in the output that is enough to read text that has been unread for [`PATIENT`].
const PAUSE: Duration = Duration::from_millis(20);
/// The time for which text may stay unread before the next [`PAUSE`] is enough to read it.
const PATIENT: Duration = Duration::from_millis(400);
/// The maximum time that text stays unread. After that, it is read even without a pause.
const LATE: Duration = Duration::from_millis(500);
/// The time that a CLI has to offer another attempt after reporting a failure. After that, it is ended.
const GIVE_UP: Duration = Duration::from_secs(5);
/// The time for which the output must be silent after the child's exit before reading stops. A grandchild may hold the
/// output open forever.
const DRAIN: Duration = Duration::from_millis(100);
/// The maximum time to read output after the child's exit. The child's last output may be long, and a grandchild's may
/// never end.
const DRAIN_MOST: Duration = Duration::from_secs(2);
/// The interval between checks of the credential file.
const TICK: Duration = Duration::from_secs(1);

/// The next inspection of unread text.
#[derive(Clone, Copy)]
pub(super) struct Look {
    pub(super) at: Instant,
    pub(super) completeness: Completeness,
}

/// The points in time that a session waits for.
pub(super) struct Timers {
    pub(super) deadline: Instant,
    pub(super) tick: Interval,
    pub(super) still: Option<Look>,
    /// The time since which there has been unread text.
    unread: Option<Instant>,
    pub(super) drain: Option<Instant>,
    drain_most: Option<Instant>,
    /// The time at which a CLI that reported a failure is ended.
    pub(super) give_up: Option<Instant>,
}

impl Timers {
    pub(super) fn new(deadline: Instant) -> Self {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { deadline, tick, still: None, unread: None, drain: None, drain_most: None, give_up: None }
    }

    /// Records an input of the machine. A reported failure starts the give-up timer; any prompt that the user can
    /// answer stops it.
    pub(super) fn told(&mut self, input: Input) {
        match input {
            Input::Denied | Input::Failed => {
                self.give_up.get_or_insert(Instant::now() + GIVE_UP);
            }
            Input::Url { .. } | Input::Code | Input::Prompt | Input::Delivering => self.give_up = None,
            _ => {}
        }
    }

    /// Records that the child has exited. Its last output must still be read.
    pub(super) fn exited(&mut self) {
        let now = Instant::now();
        self.drain = Some(now + DRAIN);
        self.drain_most = Some(now + DRAIN_MOST);
    }

    /// Records that more of the child's last output has arrived.
    pub(super) fn drains(&mut self) {
        if let (Some(_), Some(most)) = (self.drain, self.drain_most) {
            self.drain = Some((Instant::now() + DRAIN).min(most));
        }
    }

    /// Records that output has arrived, and whether some text is unread.
    pub(super) fn heard(&mut self, unread: bool) {
        let now = Instant::now();
        self.unread = unread.then(|| self.unread.unwrap_or(now));
        self.still =
            self.unread.map(|since| Look { at: next_look(since, now), completeness: Completeness::Partial });
    }

    /// Records that the unread text has been read. Schedules the next inspection in case no more output arrives.
    pub(super) fn looked(&mut self, completeness: Completeness) {
        self.unread = None;
        self.still = (completeness == Completeness::Partial)
            .then(|| Look { at: Instant::now() + SETTLED, completeness: Completeness::Settled });
    }
}

/// Returns when to read text that has been unread since `since`, if no more output arrives after `last`.
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
        // Still from the start, still later, a spinner, and output without a pause.
        check(0, 100);
        check(250, 350);
        check(320, 400);
        check(395, 415);
        check(490, 500);
        check(3000, 500);
    }
}
