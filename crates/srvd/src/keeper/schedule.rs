//! The decision when a login is renewed. Pure: equal facts give equal decisions.

use auth_spawner::{Credential, KeepAlive, KeepAliveBy, Refusal};
use identity_store::Keeping;

use super::seen::Seen;
use crate::wire::keeping::{KeepState, UNKNOWN_END};

/// A launch renews a login first if less than this time is left, in milliseconds.
pub(super) const LAUNCH: i64 = 5 * MINUTE;
/// A login is renewed at the latest this time before its end, in milliseconds.
const LATEST: i64 = 60 * MINUTE;
/// Before the CLI's own window there is a time in which nothing is forced, in milliseconds: the CLI would renew twice.
const MARGIN: i64 = MINUTE;
/// The time inside the CLI's own window after which its command is run, in milliseconds.
const INSIDE: i64 = MINUTE / 2;
/// The time between two looks at a login that waits for another process, in milliseconds.
pub(super) const SOON: i64 = 2_000;
/// The time between two looks at a login that waits for a person's login, in milliseconds.
const BUSY: i64 = MINUTE / 2;
/// The pause after the first failure, and the maximum pause, in milliseconds.
const FIRST_PAUSE: i64 = MINUTE / 2;
const LONGEST_PAUSE: i64 = 60 * MINUTE;
/// The time within which one login is not renewed twice on request, in milliseconds.
const AGAIN: i64 = MINUTE;

const MINUTE: i64 = 60_000;

/// The reason for a look at a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// The time has come.
    Due,
    /// A launch is about to use the login.
    Launch,
    /// The user asked for it.
    Asked,
    /// A service refused the access token.
    Refused,
}

/// The facts about a login.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, and every combination occurs")]
pub(super) struct Facts<'a> {
    pub(super) keep: Option<&'a KeepAlive>,
    /// True if all logins are renewed unless their account says otherwise.
    pub(super) on: bool,
    /// True if the directory is the user's own.
    pub(super) adopted: bool,
    pub(super) seen: &'a Seen,
    pub(super) keeping: &'a Keeping,
    /// True if another directory holds the same refresh token.
    pub(super) copied: bool,
    /// True if a login of the provider runs in a bundle of the account.
    pub(super) busy: bool,
    /// The current time, in unix milliseconds.
    pub(super) now: i64,
}

/// The decision about a login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) state: KeepState,
    pub(super) step: Step,
    /// The reason for the state, for people.
    pub(super) reason: Option<String>,
}

/// The next step for a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Run the CLI. `early` requests a renewal before the CLI's own window.
    Run { early: bool },
    /// Look again at this time, in unix milliseconds.
    At(i64),
    /// Nothing, until something changes.
    Rest,
}

/// Decides about a login.
pub(super) fn plan(facts: &Facts<'_>, why: Why) -> Plan {
    let rest = |state, reason: &str| Plan { state, step: Step::Rest, reason: Some(reason.to_owned()) };
    let asked = why == Why::Asked;
    if let Some(dead) = dead(facts) {
        return dead;
    }
    let Some(keep) = facts.keep else {
        return rest(KeepState::None, "no way is known to make its CLI renew the login");
    };
    if keep.by == KeepAliveBy::None {
        return rest(KeepState::None, keep.reason.as_deref().unwrap_or_default());
    }
    match facts.keeping.switch {
        Some(false) if !asked => return rest(KeepState::Off, "it is switched off for this account"),
        None if !facts.on && !asked => return rest(KeepState::Off, "it is switched off in srvd.toml"),
        None if facts.adopted && !asked => {
            return rest(KeepState::Own, "it is your own login, which your own CLI renews");
        }
        _ => {}
    }
    let login = match facts.seen {
        Seen::Login(login) => login,
        Seen::Keychain => return rest(KeepState::Keychain, "unknown: keychain"),
        Seen::AnotherPerson => {
            return rest(KeepState::NoLogin, "its directory holds a login of another person");
        }
        Seen::Emptied | Seen::Gone => return rest(KeepState::NoLogin, "its directory holds no login"),
        Seen::Unreadable(reason) => return rest(KeepState::NoLogin, reason),
    };
    if !login.refreshable {
        return rest(KeepState::NoLogin, "the login has no refresh token");
    }
    if facts.copied && keep.rotates {
        let reason = "another directory holds the same login, so a renewal in one ends it in the other";
        return rest(KeepState::Copied, reason);
    }
    if facts.busy {
        let reason = Some("a login runs for this account".to_owned());
        return Plan { state: KeepState::Held, step: Step::At(facts.now + BUSY), reason };
    }
    let Some(end) = login.expires_at else { return rest(KeepState::Idle, UNKNOWN_END) };
    by_time(facts, keep, login, end, why)
}

/// Returns the plan for a login that the provider refused.
fn dead(facts: &Facts<'_>) -> Option<Plan> {
    let plan = |reason: &str| Plan {
        state: KeepState::Dead,
        step: Step::Rest,
        reason: Some(facts.keeping.detail.clone().unwrap_or_else(|| reason.to_owned())),
    };
    let refusal = facts.keep.map(|keep| keep.refusal).unwrap_or_default();
    match facts.seen {
        Seen::Login(login) => {
            let refused = facts.keeping.refused.as_ref()?;
            let same = login.refresh_mark.is_some_and(|mark| mark.to_string() == refused.mark);
            same.then(|| plan("the provider refused to renew the login"))
        }
        Seen::Emptied if facts.keeping.refused.is_some() && refusal != Refusal::Untouched => {
            Some(plan("its CLI emptied the login"))
        }
        _ => None,
    }
}

fn by_time(facts: &Facts<'_>, keep: &KeepAlive, login: &Credential, end: i64, why: Why) -> Plan {
    let now = facts.now;
    let plan = |step| Plan { state: KeepState::Waiting, step, reason: None };
    let (left, window) = (end - now, i64::from(keep.window_s) * 1000);
    let inside = left <= window;
    let since = facts.keeping.tried_at.map(|at| now - at);
    let failing = facts.keeping.failures > 0;
    let recently = |pause: i64| since.is_some_and(|since| (0..pause).contains(&since));
    let failed = |until: i64| Plan {
        state: KeepState::Failing,
        step: Step::At(until),
        reason: facts.keeping.detail.clone(),
    };
    match why {
        Why::Launch if left >= LAUNCH => return plan(Step::At(due_at(keep, login, end))),
        Why::Launch if failing && recently(FIRST_PAUSE) => {
            return failed(facts.keeping.next_at.unwrap_or(now + FIRST_PAUSE));
        }
        Why::Launch if inside => return plan(Step::Run { early: false }),
        Why::Launch => return plan(Step::At(due_at(keep, login, end).max(now + SOON))),
        Why::Refused if recently(AGAIN) => return plan(Step::At(due_at(keep, login, end).max(now + SOON))),
        Why::Asked | Why::Refused if inside => return plan(Step::Run { early: false }),
        Why::Asked | Why::Refused if keep.renews_early() && left > window + MARGIN => {
            return plan(Step::Run { early: true });
        }
        Why::Asked | Why::Refused => {
            let step = Step::At(due_at(keep, login, end).max(now + SOON));
            let reason = Some("its CLI renews it only shortly before its end".to_owned());
            return Plan { reason, ..plan(step) };
        }
        Why::Due => {}
    }
    if keep.at_launch_only {
        return Plan { state: KeepState::Idle, step: Step::Rest, reason: keep.reason.clone() };
    }
    let due = due_at(keep, login, end);
    if now < due {
        return plan(Step::At(due));
    }
    match facts.keeping.next_at.filter(|at| failing && *at > now) {
        Some(later) => failed(later),
        None if inside => plan(Step::Run { early: false }),
        None if keep.renews_early() && left > window + MARGIN => plan(Step::Run { early: true }),
        None => plan(Step::At(end - window + 1000)),
    }
}

/// Returns the time at which a login is to be renewed.
fn due_at(keep: &KeepAlive, login: &Credential, end: i64) -> i64 {
    if !keep.renews_early() {
        return end - i64::from(keep.window_s) * 1000 + INSIDE;
    }
    match login.issued_at.filter(|issued| *issued < end) {
        Some(issued) => {
            let half = issued + (end - issued) / 2;
            // A login that lives less than two hours is still renewed only at its half.
            if end - issued > 2 * LATEST { half.min(end - LATEST) } else { half }
        }
        None => end - LATEST,
    }
}

/// Returns the pause after a number of failures, in milliseconds. `jitter` is a number from 0 to 199.
pub(super) fn back_off(failures: u32, jitter: i64) -> i64 {
    let doubled = FIRST_PAUSE.checked_shl(failures.saturating_sub(1).min(16)).unwrap_or(LONGEST_PAUSE);
    let pause = doubled.clamp(FIRST_PAUSE, LONGEST_PAUSE);
    pause * (900 + jitter) / 1000
}

#[cfg(test)]
mod tests {
    use auth_spawner::Registry;
    use identity_store::RefusedLogin;

    use super::*;

    const NOW: i64 = 1_800_000_000_000;
    const HOUR: i64 = 60 * MINUTE;

    fn keep(provider: &str) -> KeepAlive {
        let registry = Registry::builtin().unwrap();
        registry.provider(provider).unwrap().cli.as_ref().unwrap().keep_alive.clone().unwrap()
    }

    fn login(age: i64, left: i64) -> Seen {
        Seen::Login(Credential {
            expires_at: Some(NOW + left),
            issued_at: Some(NOW - age),
            refreshable: true,
            ..Credential::default()
        })
    }

    fn facts<'a>(keep: &'a KeepAlive, seen: &'a Seen, keeping: &'a Keeping) -> Facts<'a> {
        Facts {
            keep: Some(keep),
            on: true,
            adopted: false,
            seen,
            keeping,
            copied: false,
            busy: false,
            now: NOW,
        }
    }

    #[test]
    fn codex_is_renewed_at_half_of_its_life_and_never_by_force_near_its_end() {
        let (codex, idle) = (keep("codex"), Keeping::default());
        for (age, left, why, expected) in [
            (0, 240 * HOUR, Why::Due, Step::At(NOW + 120 * HOUR)),
            (121 * HOUR, 119 * HOUR, Why::Due, Step::Run { early: true }),
            (0, HOUR, Why::Due, Step::At(NOW + HOUR / 2)),
            (HOUR, 7 * MINUTE, Why::Due, Step::Run { early: true }),
            (HOUR, 6 * MINUTE, Why::Due, Step::At(NOW + MINUTE + 1000)),
            (HOUR, 5 * MINUTE + 1, Why::Due, Step::At(NOW + 1001)),
            (HOUR, 5 * MINUTE, Why::Due, Step::Run { early: false }),
            (HOUR, -HOUR, Why::Due, Step::Run { early: false }),
            (HOUR, 5 * MINUTE - 1, Why::Launch, Step::Run { early: false }),
            (0, 240 * HOUR, Why::Launch, Step::At(NOW + 120 * HOUR)),
            (0, 240 * HOUR, Why::Asked, Step::Run { early: true }),
            (0, 240 * HOUR, Why::Refused, Step::Run { early: true }),
        ] {
            let seen = login(age, left);
            assert_eq!(plan(&facts(&codex, &seen, &idle), why).step, expected, "{age} {left} {why:?}");
        }
    }

    #[test]
    fn claude_is_renewed_only_inside_its_own_window() {
        let (claude, idle) = (keep("claude"), Keeping::default());
        for (left, why, expected) in [
            (8 * HOUR, Why::Due, Step::At(NOW + 8 * HOUR - 270_000)),
            (270_000, Why::Due, Step::Run { early: false }),
            (290_000, Why::Due, Step::At(NOW + 20_000)),
            (290_000, Why::Launch, Step::Run { early: false }),
            (8 * HOUR, Why::Asked, Step::At(NOW + 8 * HOUR - 270_000)),
            (-HOUR, Why::Due, Step::Run { early: false }),
        ] {
            let seen = login(HOUR, left);
            assert_eq!(plan(&facts(&claude, &seen, &idle), why).step, expected, "{left} {why:?}");
        }
    }

    #[test]
    fn login_of_a_cli_that_renews_at_its_start_is_renewed_only_by_a_launch_after_its_end() {
        let (gemini, idle) = (keep("gemini"), Keeping::default());
        for (left, why, expected) in [
            (-HOUR, Why::Due, Step::Rest),
            (-HOUR, Why::Launch, Step::Run { early: false }),
            (MINUTE, Why::Launch, Step::At(NOW + MINUTE + INSIDE)),
        ] {
            let seen = login(HOUR, left);
            assert_eq!(plan(&facts(&gemini, &seen, &idle), why).step, expected, "{left} {why:?}");
        }
    }

    #[test]
    fn login_is_left_alone_when_a_reason_forbids_it() {
        let (codex, idle, due) = (keep("codex"), Keeping::default(), login(HOUR, -HOUR));
        let check = |change: &dyn Fn(&mut Facts<'_>), why, expected: KeepState| {
            let mut facts = facts(&codex, &due, &idle);
            change(&mut facts);
            let plan = plan(&facts, why);
            assert!(!matches!(plan.step, Step::Run { .. }), "{plan:?}");
            assert_eq!(plan.state, expected);
        };
        check(&|facts| facts.on = false, Why::Due, KeepState::Off);
        check(&|facts| facts.adopted = true, Why::Launch, KeepState::Own);
        check(&|facts| facts.copied = true, Why::Asked, KeepState::Copied);
        check(&|facts| facts.busy = true, Why::Asked, KeepState::Held);
        check(&|facts| facts.keep = None, Why::Asked, KeepState::None);
        let mut own = facts(&codex, &due, &idle);
        own.adopted = true;
        assert_eq!(plan(&own, Why::Asked).step, Step::Run { early: false });
        let on = Keeping { switch: Some(true), ..Keeping::default() };
        own.keeping = &on;
        assert_eq!(plan(&own, Why::Due).step, Step::Run { early: false });
        let off = Keeping { switch: Some(false), ..Keeping::default() };
        assert_eq!(plan(&facts(&codex, &due, &off), Why::Launch).state, KeepState::Off);
        for (seen, expected) in [
            (Seen::Keychain, KeepState::Keychain),
            (Seen::Gone, KeepState::NoLogin),
            (Seen::AnotherPerson, KeepState::NoLogin),
        ] {
            assert_eq!(plan(&facts(&codex, &seen, &idle), Why::Asked).state, expected, "{seen:?}");
        }
    }

    #[test]
    fn refused_login_is_dead_until_its_file_holds_another_token() {
        let (claude, codex) = (keep("claude"), keep("codex"));
        let mark: auth_spawner::TokenMark = "000102030405060708090a0b0c0d0e0f".parse().unwrap();
        let refused = Some(RefusedLogin { mark: mark.to_string(), at: NOW - HOUR });
        let refused = Keeping { refused, ..Keeping::default() };
        let with = |mark| match login(HOUR, -HOUR) {
            Seen::Login(found) => Seen::Login(Credential { refresh_mark: mark, ..found }),
            other => other,
        };
        for (keep, seen, expected) in [
            (&codex, with(Some(mark)), KeepState::Dead),
            (&codex, with("ff0102030405060708090a0b0c0d0e0f".parse().ok()), KeepState::Waiting),
            (&claude, Seen::Emptied, KeepState::Dead),
            (&codex, Seen::Emptied, KeepState::NoLogin),
        ] {
            for why in [Why::Due, Why::Launch, Why::Asked, Why::Refused] {
                assert_eq!(plan(&facts(keep, &seen, &refused), why).state, expected, "{seen:?}");
            }
        }
    }

    #[test]
    fn failures_back_off_and_do_not_hold_up_each_launch() {
        let (codex, seen) = (keep("codex"), login(HOUR, -HOUR));
        let failed = Keeping {
            failures: 2,
            tried_at: Some(NOW - 10_000),
            next_at: Some(NOW + 50_000),
            ..Keeping::default()
        };
        assert_eq!(plan(&facts(&codex, &seen, &failed), Why::Due).step, Step::At(NOW + 50_000));
        assert_eq!(plan(&facts(&codex, &seen, &failed), Why::Launch).step, Step::At(NOW + 50_000));
        assert_eq!(plan(&facts(&codex, &seen, &failed), Why::Asked).step, Step::Run { early: false });
        let later = Keeping { tried_at: Some(NOW - MINUTE), ..failed };
        assert_eq!(plan(&facts(&codex, &seen, &later), Why::Launch).step, Step::Run { early: false });
        let pauses: Vec<i64> = [1, 2, 3, 8, 40].map(|failures| back_off(failures, 100) / 1000).to_vec();
        assert_eq!(pauses, [30, 60, 120, 3600, 3600]);
    }
}
