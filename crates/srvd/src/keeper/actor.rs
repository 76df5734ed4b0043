//! The task that owns the agenda: which login is looked at when.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use identity_store::{Account, AccountFilter, AccountId, Keeping, RefusedLogin, StoreError};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::flight::{Keeper, Subject};
use super::notice;
use super::schedule::{Step, Why};
use super::seen::Seen;
use crate::base::clock::now;
use crate::wire::error::with_causes;

/// The maximum time between two passes, within which a clock change or a suspended machine is noticed.
const POLL: Duration = Duration::from_secs(30);
/// The time for which changes are collected before a pass.
const BURST: Duration = Duration::from_millis(50);
/// Largest difference between the wall clock and the monotonic clock that is not a jump, in milliseconds.
const JUMP: i64 = 2000;
/// The maximum number of separate changes. Beyond it, all logins are looked at.
const MOST: usize = 4096;

/// Tells the task which accounts changed. Cheap to clone; clones share one signal.
#[derive(Clone, Default)]
pub(crate) struct KeeperSignal(Arc<SignalState>);

#[derive(Default)]
struct SignalState {
    changed: Mutex<Changed>,
    wake: Notify,
}

#[derive(Default)]
struct Changed {
    accounts: HashSet<AccountId>,
    everything: bool,
}

impl KeeperSignal {
    /// Requests a look at an account's login.
    pub(crate) fn changed(&self, id: &AccountId) {
        let mut changed = self.0.changed.lock().unwrap_or_else(PoisonError::into_inner);
        changed.accounts.insert(id.clone());
        if changed.accounts.len() > MOST {
            *changed = Changed { everything: true, ..Changed::default() };
        }
        drop(changed);
        self.0.wake.notify_one();
    }

    fn take(&self) -> Changed {
        std::mem::take(&mut *self.0.changed.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Keeps all logins alive until `stop` is cancelled. Then waits up to `grace` for the CLIs that run.
pub(crate) async fn watch_over(keeper: Keeper, stop: CancellationToken, grace: Duration) {
    let mut agenda = Agenda::default();
    let mut clocks = (now(), Instant::now());
    let mut everything = true;
    loop {
        let changed = keeper.signal().take();
        let looked = if everything || changed.everything {
            agenda.look_at_all(&keeper).await
        } else {
            agenda.look_at(&keeper, changed.accounts).await
        };
        // What could not be read is looked at again with the next pass.
        everything = looked.is_err();
        agenda.start_due(&keeper, now());
        keeper.ask_due().await;
        let pause = agenda.pause(now());
        tokio::select! {
            () = stop.cancelled() => break,
            () = keeper.signal().0.wake.notified() => tokio::time::sleep(BURST).await,
            () = tokio::time::sleep(pause) => {}
        }
        let (wall, monotonic) = (now(), Instant::now());
        everything |= is_jump(clocks, (wall, monotonic));
        clocks = (wall, monotonic);
    }
    if tokio::time::timeout(grace, keeper.settle()).await.is_err() {
        tracing::warn!("a CLI that renews its login did not end in time; it goes on without the daemon");
    }
}

/// Returns whether the wall clock moved otherwise than the monotonic clock, after a change or a sleep.
fn is_jump(before: (i64, Instant), after: (i64, Instant)) -> bool {
    let passed = i64::try_from(after.1.duration_since(before.1).as_millis()).unwrap_or(i64::MAX);
    let drift = after.0.saturating_sub(before.0).saturating_sub(passed);
    if drift.saturating_abs() > JUMP {
        tracing::info!(drift_ms = drift, "the clock was changed; every login is looked at");
        return true;
    }
    false
}

/// The next look at each login.
#[derive(Default)]
struct Agenda {
    entries: HashMap<AccountId, Entry>,
    /// The accounts in the order of their times. Logins that can be renewed early come first among equals, because their
    /// CLIs do not take turns.
    times: BTreeSet<(i64, bool, AccountId)>,
}

struct Entry {
    dir: PathBuf,
    at: Option<(i64, bool)>,
}

impl Agenda {
    async fn look_at_all(&mut self, keeper: &Keeper) -> Result<(), StoreError> {
        let all = keeper.store().accounts(AccountFilter::default()).await.inspect_err(|error| {
            tracing::warn!(error = with_causes(error), "the logins to keep alive could not be read");
        })?;
        let known: HashSet<AccountId> = all.accounts.iter().map(|account| account.id.clone()).collect();
        for id in self.entries.keys().filter(|id| !known.contains(id)).cloned().collect::<Vec<_>>() {
            self.forget(keeper, &id);
        }
        // The first look at each login finds its mark, so that copies are known at the second one.
        let mut subjects = BTreeMap::new();
        for account in all.accounts {
            if let Some(subject) = keeper.subject_of(account).await {
                subjects.insert(subject.account.id.clone(), subject.account);
            }
        }
        for account in subjects.into_values() {
            if let Some(subject) = keeper.subject_of(account).await {
                self.plan(keeper, subject).await;
            }
        }
        Ok(())
    }

    async fn look_at(&mut self, keeper: &Keeper, accounts: HashSet<AccountId>) -> Result<(), StoreError> {
        for id in accounts {
            // Those that were copies may be none any more.
            let mut copies: BTreeSet<AccountId> = keeper.alike(&id).into_iter().collect();
            match keeper.subject(&id).await {
                Ok(Some(subject)) => {
                    copies.extend(subject.copies.iter().cloned());
                    self.plan(keeper, subject).await;
                    for copy in copies {
                        if let Ok(Some(other)) = keeper.subject(&copy).await {
                            self.plan(keeper, other).await;
                        }
                    }
                }
                Ok(None) | Err(StoreError::NotFound { .. } | StoreError::Corrupt { .. }) => {
                    self.forget(keeper, &id);
                }
                Err(error) => {
                    tracing::warn!(account = %id, error = with_causes(&error), "a login could not be looked at");
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Enters the next look at a login.
    async fn plan(&mut self, keeper: &Keeper, subject: Subject) {
        let subject = find_refusal(keeper, subject).await;
        let now = now();
        notice::deadline(keeper, &subject, now).await;
        let plan = subject.plan(keeper.settings(), Why::Due, now);
        let early = subject.keep().is_some_and(auth_spawner::KeepAlive::renews_early);
        // What waits for a new version of the CLI has its time in its row.
        let held = subject.account.keeping.next_at.filter(|_| subject.account.keeping.failures == 0);
        let at = match plan.step {
            Step::Run { .. } => Some(held.unwrap_or(now)),
            Step::At(at) => Some(at),
            Step::Rest => None,
        };
        let id = subject.account.id;
        self.remove(&id);
        let at = at.map(|at| (at, !early));
        if let Some((time, late)) = at {
            self.times.insert((time, late, id.clone()));
        }
        self.entries.insert(id, Entry { dir: subject.dir.path, at });
    }

    fn remove(&mut self, id: &AccountId) {
        if let Some(Entry { at: Some((time, late)), .. }) = self.entries.remove(id) {
            self.times.remove(&(time, late, id.clone()));
        }
    }

    fn forget(&mut self, keeper: &Keeper, id: &AccountId) {
        self.remove(id);
        keeper.forget(id);
    }

    /// Starts the runs whose time has come. Each run reports its end, and the login is then looked at again.
    fn start_due(&mut self, keeper: &Keeper, now: i64) {
        let mut due: Vec<(bool, AccountId)> = Vec::new();
        while let Some((time, late, id)) = self.times.first().cloned() {
            if time > now {
                break;
            }
            self.times.pop_first();
            due.push((late, id));
        }
        due.sort();
        for (_, id) in due {
            if let Some(entry) = self.entries.get_mut(&id) {
                entry.at = None;
                keeper.launch(&id, entry.dir.clone());
            }
        }
    }

    fn pause(&self, now: i64) -> Duration {
        let next = self.times.first().map(|(time, ..)| time.saturating_sub(now).max(1));
        let next = next.and_then(|pause| u64::try_from(pause).ok()).map_or(POLL, Duration::from_millis);
        next.min(POLL)
    }
}

/// Records a refusal that a CLI left in its file without the daemon.
async fn find_refusal(keeper: &Keeper, subject: Subject) -> Subject {
    let refusal = subject.keep().map(|keep| keep.refusal).unwrap_or_default();
    let emptied = subject.seen == Seen::Emptied && refusal != auth_spawner::Refusal::Untouched;
    if !emptied || subject.account.keeping.refused.is_some() || keeper.is_running(&subject.dir.path) {
        return subject;
    }
    let (word, text) = match refusal {
        auth_spawner::Refusal::Tombstone => {
            ("tombstone", "its CLI found that the provider refused its refresh token, and left a tombstone")
        }
        _ => ("wiped", "its CLI found that the provider refused its refresh token, and emptied the login"),
    };
    let at = now();
    let keeping = Keeping {
        refused: Some(RefusedLogin { mark: String::new(), at }),
        outcome: Some(word.to_owned()),
        detail: Some(text.to_owned()),
        next_at: None,
        failures: 0,
        ..subject.account.keeping.clone()
    };
    let id = &subject.account.id;
    match keeper.store().record_keeping(id, keeping.clone(), at).await {
        Ok(()) => notice::dead(keeper.broker(), &subject.account, text, at),
        Err(error) => {
            tracing::warn!(account = %id, error = with_causes(&error), "a refused login could not be recorded");
        }
    }
    let account = Account { keeping, ..subject.account };
    Subject { account, ..subject }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sleep_and_clock_change_are_jumps() {
        let start = Instant::now();
        let later = start + Duration::from_secs(30);
        for (wall, expected) in [(30_000, false), (31_000, false), (90_000, true), (-60_000, true)] {
            assert_eq!(is_jump((0, start), (wall, later)), expected, "{wall}");
        }
    }

    #[test]
    fn signal_keeps_changes_until_they_are_too_many() {
        let signal = KeeperSignal::default();
        signal.changed(&"a".parse().unwrap());
        signal.changed(&"a".parse().unwrap());
        assert_eq!(signal.take().accounts.len(), 1);
        for number in 0..=MOST {
            signal.changed(&format!("a{number}").parse().unwrap());
        }
        assert!(signal.take().everything);
    }
}
