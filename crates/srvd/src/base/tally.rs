//! Counts of what the daemon has done since its start, for the figures that it shows to a monitor.
//!
//! They are process-wide, as the log is, so that a room can count without being given a handle. Labels are words of fixed
//! lists; a text of a user or a CLI must not be one.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// The ends of logins: the state, and the kind of the failure.
pub(crate) static LOGINS: Tally = Tally::new();
/// The ends of refreshes of tokens: the outcome.
pub(crate) static REFRESHES: Tally = Tally::new();

/// Counts by two labels. The second one can be empty.
#[derive(Debug)]
pub(crate) struct Tally(Mutex<BTreeMap<[&'static str; 2], u64>>);

impl Tally {
    const fn new() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }

    /// Counts one event.
    pub(crate) fn add(&self, labels: [&'static str; 2]) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(labels).or_default() += 1;
    }

    /// Returns all counts.
    pub(crate) fn counts(&self) -> Vec<([&'static str; 2], u64)> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.iter().map(|(labels, count)| (*labels, *count)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tally_counts_by_both_labels() {
        let tally = Tally::new();
        for labels in [["failed", "denied"], ["success", ""], ["failed", "denied"]] {
            tally.add(labels);
        }
        assert_eq!(tally.counts(), [(["failed", "denied"], 2), (["success", ""], 1)]);
    }
}
