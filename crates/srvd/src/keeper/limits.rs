//! The judgement of what is left of a login's limits. Pure.

use auth_spawner::Limits;
use serde::{Deserialize, Serialize};

use crate::wire::quota::{QuotaState, Window};

/// The least time between two questions about one login, in milliseconds, and the one for a login that is spent.
const LEAST: i64 = 180_000;
const SPENT: i64 = 600_000;
/// The maximum pause after failures, in milliseconds.
const LONGEST: i64 = 60 * 60_000;
/// The time for which a login counts as in use after a launch or a look, in milliseconds.
const IN_USE: i64 = 24 * 60 * 60_000;
const LOOKED: i64 = 10 * 60_000;
/// The share from which a limit is near, in percent.
const NEAR: u8 = 80;
/// The share from which a login is not suggested, in percent.
const TIGHT: u8 = 90;
/// A week is ahead of its pace from this number of points on.
const AHEAD: i64 = 15;
const DAY: i64 = 24 * 60 * 60_000;

/// The figures of a login, as they are stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Figures {
    pub(super) measured_at: i64,
    pub(super) source: String,
    pub(super) plan: Option<String>,
    pub(super) windows: Vec<Figure>,
}

/// One stored figure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Figure {
    pub(super) key: String,
    pub(super) seconds: Option<u32>,
    pub(super) used: u8,
    pub(super) resets_at: Option<i64>,
}

/// The knowledge about the limits of a login.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Known {
    pub(super) figures: Option<Figures>,
    /// The reason why the last question had no answer.
    pub(super) reason: Option<String>,
    pub(super) asked_at: Option<i64>,
    pub(super) failures: u32,
    /// The times of the last launch and of the last look.
    pub(super) used_at: Option<i64>,
    pub(super) looked_at: Option<i64>,
}

impl Figures {
    /// Converts an answer of a CLI.
    pub(super) fn of(limits: Limits, source: &str, now: i64) -> Self {
        let figure = |window: auth_spawner::QuotaWindow| Figure {
            key: window.key,
            seconds: window.seconds,
            used: window.used_percent,
            resets_at: window.resets_at,
        };
        Self {
            measured_at: now,
            source: source.to_owned(),
            plan: limits.plan,
            windows: limits.windows.into_iter().map(figure).collect(),
        }
    }
}

impl Known {
    /// Returns whether the CLI may be asked now. `wanted` is true if a client asks for it.
    pub(super) fn may_ask(&self, wanted: bool, now: i64) -> bool {
        let recent = |at: Option<i64>, span: i64| at.is_some_and(|at| (0..span).contains(&(now - at)));
        let in_use = wanted || recent(self.used_at, IN_USE) || recent(self.looked_at, LOOKED);
        in_use && !recent(self.asked_at, self.pause(now))
    }

    fn pause(&self, now: i64) -> i64 {
        if self.failures > 0 {
            return LEAST.checked_shl(self.failures.min(10)).unwrap_or(LONGEST).min(LONGEST);
        }
        if self.state(now) == QuotaState::Spent { SPENT } else { LEAST }
    }

    /// Returns the windows at this time. A window that has started again has no figure.
    pub(super) fn windows(&self, now: i64) -> Vec<Window> {
        let Some(figures) = &self.figures else { return Vec::new() };
        let shown = |figure: &Figure| {
            let over = figure.resets_at.is_some_and(|at| at <= now);
            Window {
                key: figure.key.clone(),
                seconds: figure.seconds,
                used_percent: (!over).then_some(figure.used),
                resets_at: figure.resets_at.filter(|_| !over),
                ahead: !over && is_ahead(figure, figures.measured_at),
            }
        };
        figures.windows.iter().map(shown).collect()
    }

    pub(super) fn state(&self, now: i64) -> QuotaState {
        match self.windows(now).iter().filter_map(|window| window.used_percent).max() {
            None => QuotaState::Unknown,
            Some(100..) => QuotaState::Spent,
            Some(NEAR..) => QuotaState::Near,
            Some(_) => QuotaState::Fine,
        }
    }

    /// Returns the rank of a login among those of one provider, and the reason for it.
    pub(super) fn rank(&self, now: i64) -> (Rank, String) {
        let windows = self.windows(now);
        let Some(tightest) =
            windows.iter().filter(|one| one.used_percent.is_some()).max_by_key(|one| one.used_percent)
        else {
            return (Rank::Unknown, "its limits are not known".to_owned());
        };
        let used = tightest.used_percent.unwrap_or_default();
        let text = format!("{used}% of {} used", tightest.key);
        if used >= 100 {
            return (Rank::Spent(tightest.resets_at.unwrap_or(i64::MAX)), format!("spent: {text}"));
        }
        if used > TIGHT {
            return (Rank::Tight(used), text);
        }
        let weekly = windows
            .iter()
            .filter(|window| is_weekly(window.seconds))
            .filter_map(|window| window.resets_at)
            .min();
        let reason = if weekly.is_some() { format!("{text}; its week starts again first") } else { text };
        (Rank::Free(weekly.unwrap_or(i64::MAX), used), reason)
    }
}

/// The rank of a login; a smaller one is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// Something is left. The login whose week starts again first comes first, then the one that is used least.
    Free(i64, u8),
    /// Nothing is known.
    Unknown,
    /// Little is left.
    Tight(u8),
    /// Nothing is left until this time.
    Spent(i64),
}

fn is_weekly(seconds: Option<u32>) -> bool {
    seconds.is_some_and(|seconds| seconds >= 6 * 86_400)
}

/// Returns whether a week is used faster than it passes. The first day after it started says too little.
fn is_ahead(figure: &Figure, measured_at: i64) -> bool {
    let (Some(seconds), Some(end)) = (figure.seconds.filter(|_| is_weekly(figure.seconds)), figure.resets_at)
    else {
        return false;
    };
    let period = i64::from(seconds) * 1000;
    let elapsed = period - (end - measured_at);
    if elapsed < DAY || elapsed > period {
        return false;
    }
    (i64::from(figure.used) - AHEAD) * period >= elapsed * 100
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000_000;
    const WEEK: u32 = 604_800;

    fn known(windows: &[(&str, u32, u8, i64)]) -> Known {
        let windows = windows.iter().map(|(key, seconds, used, left)| Figure {
            key: (*key).to_owned(),
            seconds: Some(*seconds),
            used: *used,
            resets_at: Some(NOW + left),
        });
        let figures =
            Figures { measured_at: NOW, source: "x".to_owned(), plan: None, windows: windows.collect() };
        Known { figures: Some(figures), asked_at: Some(NOW), ..Known::default() }
    }

    #[test]
    fn state_is_that_of_the_tightest_window_that_has_not_started_again() {
        for (windows, expected) in [
            (vec![("5h", 18_000, 42, 1), ("7d", WEEK, 79, 1)], QuotaState::Fine),
            (vec![("5h", 18_000, 80, 1)], QuotaState::Near),
            (vec![("5h", 18_000, 100, 1), ("7d", WEEK, 5, 1)], QuotaState::Spent),
            (vec![("5h", 18_000, 100, -1), ("7d", WEEK, 5, 1)], QuotaState::Fine),
            (vec![("5h", 18_000, 100, -1)], QuotaState::Unknown),
            (vec![], QuotaState::Unknown),
        ] {
            assert_eq!(known(&windows).state(NOW), expected, "{windows:?}");
        }
    }

    /// The table of the pace: silent for 24 hours, 15 points, and judged at the time of the figure.
    #[test]
    fn week_is_ahead_when_it_is_used_fifteen_points_faster_than_it_passes() {
        for (used, day, expected) in [
            (90, 0, false),
            (14, 1, false),
            (29, 1, false),
            (30, 1, true),
            (57, 3, false),
            (58, 3, true),
            (100, 7, false),
        ] {
            let left = i64::from(WEEK) * 1000 - day * DAY;
            let windows = known(&[("7d", WEEK, used, left)]).windows(NOW + 3_600_000);
            assert_eq!(windows[0].ahead, expected, "{used}% after {day} days");
        }
        assert!(!known(&[("5h", 18_000, 99, 1000)]).windows(NOW)[0].ahead);
    }

    #[test]
    fn cli_is_asked_at_most_once_in_three_minutes_and_only_for_a_login_in_use() {
        let mut one = known(&[("5h", 18_000, 42, 1_000_000_000)]);
        assert!(!one.may_ask(false, NOW + LEAST) && one.may_ask(true, NOW + LEAST));
        assert!(!one.may_ask(true, NOW + LEAST - 1));
        one.used_at = Some(NOW);
        assert!(one.may_ask(false, NOW + LEAST) && !one.may_ask(false, NOW + IN_USE));
        one.failures = 2;
        assert!(!one.may_ask(true, NOW + 4 * LEAST - 1) && one.may_ask(true, NOW + 4 * LEAST));
        let mut spent = known(&[("5h", 18_000, 100, 1_000_000_000)]);
        spent.looked_at = Some(NOW + SPENT - 1);
        assert!(!spent.may_ask(false, NOW + LEAST) && spent.may_ask(false, NOW + SPENT));
        // An hour of looking asks at most twenty times.
        let (mut asked, mut looking) = (0, Known::default());
        for second in 0..3600 {
            let now = NOW + second * 1000;
            looking.looked_at = Some(now);
            if looking.may_ask(false, now) {
                (asked, looking.asked_at) = (asked + 1, Some(now));
            }
        }
        assert_eq!(asked, 20);
    }

    #[test]
    fn login_whose_week_starts_again_first_is_the_best_of_those_with_something_left() {
        let day = |days: i64, used| known(&[("5h", 18_000, 10, 1000), ("7d", WEEK, used, days * DAY)]);
        let mut logins = [
            ("spent", day(1, 100)),
            ("tight", day(1, 95)),
            ("late", day(6, 10)),
            ("soon", day(2, 70)),
            ("unknown", Known::default()),
        ];
        logins.sort_by_key(|(_, known)| known.rank(NOW).0);
        assert_eq!(logins.map(|(name, _)| name), ["soon", "late", "unknown", "tight", "spent"]);
    }
}
