//! The order in which accounts are checked. Pure: it uses neither a clock nor the store.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::ops::Bound;

use identity_store::AccountId;

/// The known accounts, and the checks that are pending.
#[derive(Default)]
pub(super) struct Agenda {
    entries: HashMap<AccountId, Entry>,
    /// Accounts that wait for a check; each occurs at most once.
    queue: VecDeque<AccountId>,
    timers: BTreeSet<(i64, AccountId)>,
    /// Accounts whose changes are not reported.
    unheard: BTreeSet<AccountId>,
    /// The last account of `unheard` that a poll requested.
    cursor: Option<AccountId>,
}

#[derive(Default)]
struct Entry {
    state: State,
    next: Option<i64>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Idle,
    Queued,
    Looking,
    /// A new reason arose during the check.
    Again,
}

impl Agenda {
    /// Requests a check of an account.
    pub(super) fn want(&mut self, id: &AccountId) {
        let entry = self.entries.entry(id.clone()).or_default();
        match entry.state {
            State::Idle => {
                entry.state = State::Queued;
                self.queue.push_back(id.clone());
            }
            State::Looking => entry.state = State::Again,
            State::Queued | State::Again => {}
        }
    }

    /// Returns whether an account is on the agenda.
    pub(super) fn knows(&self, id: &AccountId) -> bool {
        self.entries.contains_key(id)
    }

    /// Requests a check of all known accounts.
    pub(super) fn want_all(&mut self) {
        let all: Vec<AccountId> = self.entries.keys().cloned().collect();
        for id in &all {
            self.want(id);
        }
    }

    /// Takes the next account to check.
    pub(super) fn start(&mut self) -> Option<AccountId> {
        let id = self.queue.pop_front()?;
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.state = State::Looking;
        }
        Some(id)
    }

    /// Records that a check ended. The time `next` or a slow poll may be the next reason.
    pub(super) fn looked(&mut self, id: &AccountId, next: Option<i64>, heard: bool) {
        let Some(entry) = self.entries.get_mut(id) else { return };
        if let Some(old) = std::mem::replace(&mut entry.next, next) {
            self.timers.remove(&(old, id.clone()));
        }
        let again = std::mem::take(&mut entry.state) == State::Again;
        self.timers.extend(next.map(|at| (at, id.clone())));
        if heard {
            self.unheard.remove(id);
        } else {
            self.unheard.insert(id.clone());
        }
        if again {
            self.want(id);
        }
    }

    /// Forgets an account. Only a change of its row is a reason to check it again.
    pub(super) fn drop_one(&mut self, id: &AccountId) {
        let Some(entry) = self.entries.remove(id) else { return };
        if let Some(at) = entry.next {
            self.timers.remove(&(at, id.clone()));
        }
        self.unheard.remove(id);
        if entry.state == State::Again {
            self.want(id);
        }
    }

    /// Requests a check of every account whose time was reached.
    pub(super) fn due(&mut self, now: i64) {
        while let Some((at, id)) = self.timers.first().cloned() {
            if at > now {
                return;
            }
            self.timers.pop_first();
            if let Some(entry) = self.entries.get_mut(&id) {
                entry.next = None;
            }
            self.want(&id);
        }
    }

    /// Returns the earliest time at which an account has to be checked.
    pub(super) fn next(&self) -> Option<i64> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Requests a check of up to `most` accounts whose changes are not reported, in turn.
    pub(super) fn poll(&mut self, most: usize) {
        let after = self.cursor.take().map_or(Bound::Unbounded, Bound::Excluded);
        let some: Vec<AccountId> =
            self.unheard.range((after, Bound::Unbounded)).take(most).cloned().collect();
        for id in &some {
            self.want(id);
        }
        // After the last account the poll starts again with the first.
        self.cursor = some.last().filter(|_| some.len() == most).cloned();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> AccountId {
        name.parse().unwrap()
    }

    fn started(agenda: &mut Agenda) -> Vec<String> {
        std::iter::from_fn(|| agenda.start()).map(|id| id.to_string()).collect()
    }

    #[test]
    fn agenda_merges_requests_and_keeps_one_made_during_a_check() {
        let mut agenda = Agenda::default();
        agenda.want(&id("a"));
        agenda.want(&id("a"));
        assert_eq!(started(&mut agenda), ["a"]);
        agenda.want(&id("a"));
        agenda.want(&id("a"));
        assert_eq!(started(&mut agenda), [""; 0]);
        agenda.looked(&id("a"), None, true);
        assert_eq!(started(&mut agenda), ["a"]);
        agenda.looked(&id("a"), None, true);
        assert_eq!(started(&mut agenda), [""; 0]);
        // A reason is also kept if the account was found to be gone: its row may exist again.
        agenda.want(&id("a"));
        agenda.start();
        agenda.want(&id("a"));
        agenda.drop_one(&id("a"));
        assert_eq!(started(&mut agenda), ["a"]);
    }

    #[test]
    fn agenda_keeps_one_timer_per_account() {
        let mut agenda = Agenda::default();
        for name in ["a", "b"] {
            agenda.want(&id(name));
        }
        started(&mut agenda);
        agenda.looked(&id("a"), Some(20), true);
        agenda.looked(&id("b"), Some(10), true);
        assert_eq!(agenda.next(), Some(10));
        agenda.due(9);
        assert_eq!(started(&mut agenda), [""; 0]);
        agenda.due(10);
        assert_eq!(started(&mut agenda), ["b"]);
        agenda.looked(&id("b"), None, true);
        agenda.want(&id("a"));
        started(&mut agenda);
        agenda.looked(&id("a"), Some(30), true);
        assert_eq!(agenda.next(), Some(30));
        agenda.drop_one(&id("a"));
        assert_eq!(agenda.next(), None);
    }

    #[test]
    fn agenda_poll_rotates_through_unwatched_accounts() {
        let mut agenda = Agenda::default();
        for name in ["a", "b", "c", "d"] {
            agenda.want(&id(name));
        }
        started(&mut agenda);
        for name in ["a", "b", "c", "d"] {
            agenda.looked(&id(name), None, name == "b");
        }
        let mut turns = Vec::new();
        for _ in 0..4 {
            agenda.poll(2);
            let some = started(&mut agenda);
            for name in &some {
                agenda.looked(&id(name), None, false);
            }
            turns.push(some.join(""));
        }
        assert_eq!(turns, ["ac", "d", "ac", "d"]);
    }
}
