//! The task that decides when an account is checked.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use identity_store::{AccountId, SecretRef, StoreError};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::agenda::Agenda;
use super::reports::{HealthReports, Marks};
use super::{Examined, Examiner, WritePolicy};
use crate::base::clock::now;
use crate::wire::error::with_causes;

/// The wait for the rest of a change, such as the rename after a write.
const REST: Duration = Duration::from_millis(3);
/// Shortest time between two deliveries of changes. Changes in quick succession are delivered together.
const BURST: Duration = Duration::from_millis(20);
/// Maximum number of concurrent checks, which mostly wait for each other.
const LOOKS: usize = 32;
/// Longest interval between checks of accounts whose changes are not reported, and the number of accounts in each poll.
const POLL: Duration = Duration::from_secs(30);
const POLLED: usize = 256;
/// Largest difference between the wall clock and the monotonic clock that is not a jump, in milliseconds.
const JUMP: i64 = 2000;
/// The pause, in milliseconds, before an account is checked again after the store failed to read or write it or after
/// the check panicked.
const PAUSE: i64 = 30_000;
/// Longest time that running checks may take at the shutdown.
const GRACE: Duration = Duration::from_secs(2);

/// Checks accounts whenever there is a reason, until `stop` is cancelled. Only that ends the task.
pub(crate) async fn watch_over(examiner: Examiner, reports: HealthReports, stop: CancellationToken) {
    let mut actor = Actor {
        examiner,
        agenda: Agenda::default(),
        looks: JoinSet::new(),
        clocks: Clocks::now(),
        polled: Instant::now(),
    };
    reports.missed();
    let (mut ripe, mut taken): (Option<Instant>, _) = (None, Instant::now());
    loop {
        while actor.looks.len() < LOOKS
            && let Some(id) = actor.agenda.start()
        {
            let examiner = actor.examiner.clone();
            actor.looks.spawn(async move { (look(&examiner, &id).await, id) });
        }
        let pause = actor.pause();
        tokio::select! {
            () = stop.cancelled() => break,
            () = reports.wait(), if ripe.is_none() => {
                ripe = Some((Instant::now() + REST).max(taken + BURST));
            }
            () = until(ripe) => {
                (ripe, taken) = (None, Instant::now());
                if actor.take(reports.take()).await.is_err() {
                    reports.missed();
                    // The store may be unavailable for a long time. The reports keeps its mark until the retry.
                    ripe = Some(Instant::now() + POLL);
                }
            }
            Some(done) = actor.looks.join_next(), if !actor.looks.is_empty() => match done {
                Ok((found, id)) => actor.looked(&id, found),
                Err(error) => tracing::error!(%error, "a check of an account ended unexpectedly"),
            },
            () = tokio::time::sleep(pause) => {}
        }
        actor.tick(Clocks::now());
    }
    let finish = async { while actor.looks.join_next().await.is_some() {} };
    if tokio::time::timeout(GRACE, finish).await.is_err() {
        tracing::warn!("a check of an account did not end in time");
    }
}

/// Checks an account. Returns `None` if the check panicked. The status is then stored as unknown, and the account stays
/// on the agenda.
async fn look(examiner: &Examiner, id: &AccountId) -> Option<Result<Examined, StoreError>> {
    let found = whole(examiner.examine(id, WritePolicy::News)).await;
    if found.is_none() {
        tracing::error!(account = %id, "a check of an account panicked");
        match whole(examiner.give_up(id)).await {
            Some(Ok(_)) => {}
            Some(Err(error)) => {
                tracing::warn!(account = %id, error = with_causes(&error), "the failed check of an account could not be recorded");
            }
            None => {
                tracing::error!(account = %id, "recording the failed check of an account panicked as well");
            }
        }
    }
    found
}

/// Returns the result of a piece of work, or `None` if it panicked.
async fn whole<T>(work: impl Future<Output = T>) -> Option<T> {
    AssertUnwindSafe(work).catch_unwind().await.ok()
}

async fn until(ripe: Option<Instant>) {
    match ripe {
        Some(ripe) => tokio::time::sleep_until(ripe.into()).await,
        None => std::future::pending().await,
    }
}

/// Both clocks at the same moment.
#[derive(Debug, Clone, Copy)]
struct Clocks {
    /// The wall clock in unix milliseconds.
    wall: i64,
    monotonic: Instant,
}

impl Clocks {
    fn now() -> Self {
        Self { wall: now(), monotonic: Instant::now() }
    }
}

struct Actor {
    examiner: Examiner,
    agenda: Agenda,
    looks: JoinSet<(Option<Result<Examined, StoreError>>, AccountId)>,
    /// The clocks at the last tick.
    clocks: Clocks,
    /// The time of the last slow poll.
    polled: Instant,
}

impl Actor {
    /// Returns the time until the next check that time alone requires. It is at most the interval of the slow poll, so
    /// that a change of the clock is noticed.
    fn pause(&self) -> Duration {
        let poll = POLL.saturating_sub(self.polled.elapsed());
        let timer = self.agenda.next().map(|at| at.saturating_sub(now()).max(1));
        let timer = timer.and_then(|pause| u64::try_from(pause).ok()).map_or(poll, Duration::from_millis);
        poll.min(timer).max(Duration::from_millis(1))
    }

    /// Requests the checks that time alone requires at this moment of the wall clock and the monotonic clock.
    fn tick(&mut self, clocks: Clocks) {
        let Clocks { wall, monotonic } = clocks;
        let passed = monotonic.duration_since(self.clocks.monotonic);
        let passed = i64::try_from(passed.as_millis()).unwrap_or(i64::MAX);
        let drift = wall.saturating_sub(self.clocks.wall).saturating_sub(passed);
        if drift.saturating_abs() > JUMP {
            tracing::info!(drift_ms = drift, "the clock was changed; every account is checked again");
            self.agenda.want_all();
        }
        self.clocks = clocks;
        self.agenda.due(wall);
        if monotonic.saturating_duration_since(self.polled) >= POLL {
            self.polled = monotonic + jitter();
            self.agenda.poll(POLLED);
        }
    }

    async fn take(&mut self, marks: Marks) -> Result<(), StoreError> {
        if marks.everything {
            return self.reload().await;
        }
        let mut concerned: Vec<AccountId> = Vec::new();
        {
            let mut watches = self.examiner.watches();
            for path in &marks.lost {
                concerned.extend(watches.concerned(path));
                concerned.extend(watches.lost(path));
            }
            for path in &marks.paths {
                concerned.extend(watches.concerned(path));
            }
        }
        for id in &concerned {
            self.agenda.want(id);
        }
        // A new account whose status cannot change without a write needs no check, so it is left out.
        let (known, new): (Vec<_>, Vec<_>) = marks.accounts.into_iter().partition(|id| self.agenda.knows(id));
        let new = if new.is_empty() { new } else { self.examiner.store().perishable_among(&new).await? };
        for id in known.iter().chain(&new) {
            self.agenda.want(id);
        }
        Ok(())
    }

    /// Starts again with all accounts of the store.
    async fn reload(&mut self) -> Result<(), StoreError> {
        let all = self.examiner.store().perishable_accounts().await;
        let all = all.inspect_err(|error| {
            tracing::warn!(
                error = with_causes(error),
                "the accounts could not be read; the daemon will retry"
            );
        })?;
        self.examiner.watches().reset();
        self.agenda.want_all();
        for account in all {
            self.agenda.want(&account);
        }
        Ok(())
    }

    fn looked(&mut self, id: &AccountId, found: Option<Result<Examined, StoreError>>) {
        let again = Some(now().saturating_add(PAUSE));
        let Some(found) = found else { return self.agenda.looked(id, again, true) };
        match found {
            Ok(found) => {
                let files = matches!(found.account.secret_ref, SecretRef::ConfigDir { .. });
                if files || found.next.is_some() {
                    self.agenda.looked(id, found.next, found.heard);
                } else {
                    self.agenda.drop_one(id);
                }
            }
            Err(error @ (StoreError::NotFound { .. } | StoreError::Corrupt { .. })) => {
                tracing::debug!(account = %id, error = with_causes(&error), "an account is no longer checked");
                self.examiner.watches().release(id);
                self.agenda.drop_one(id);
            }
            Err(error) => {
                tracing::warn!(account = %id, error = with_causes(&error), "an account could not be checked");
                self.agenda.looked(id, again, true);
            }
        }
    }
}

/// Returns up to ten seconds, so that daemons that were started together do not poll together.
fn jitter() -> Duration {
    Duration::from_millis(getrandom::u32().map_or(0, |number| u64::from(number % 10_000)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use auth_spawner::Registry;
    use identity_store::{Change, DatabaseUrl, Key, Keyring, Store, StoreOptions};

    use super::*;
    use crate::base::blocking::BlockingTasks;
    use crate::disk::identity_dir::IdentityDirs;

    const YEAR: i64 = 365 * 24 * 60 * 60 * 1000;

    async fn actor(root: &tempfile::TempDir) -> Actor {
        let url = DatabaseUrl::sqlite(root.path().join("s.db"));
        let options = StoreOptions::new(url, Arc::new(|_: &[Change]| {}), 1);
        let keyring = Keyring::from_key(Key::parse(b"test-key-0123456789abcdef-0123456789").unwrap());
        let store = Store::open(options, keyring).await.unwrap();
        let registry = Registry::builtin().unwrap();
        let (below, home) = (root.path().join("identities"), root.path().to_owned());
        let identities = IdentityDirs::new(below, home, registry.clone(), BlockingTasks::default());
        Actor {
            examiner: Examiner::new(store, registry, identities, HealthReports::default()),
            agenda: Agenda::default(),
            looks: JoinSet::new(),
            clocks: Clocks { wall: 0, monotonic: Instant::now() },
            polled: Instant::now(),
        }
    }

    #[tokio::test]
    async fn actor_checks_every_account_when_the_clock_is_set() {
        let root = tempfile::tempdir().unwrap();
        let mut actor = actor(&root).await;
        let ids: Vec<AccountId> = ["a", "b"].map(|id| id.parse().unwrap()).into();
        let settle = |actor: &mut Actor| {
            let mut looked = Vec::new();
            while let Some(id) = actor.agenda.start() {
                actor.agenda.looked(&id, None, true);
                looked.push(id);
            }
            looked.sort();
            looked
        };
        for id in &ids {
            actor.agenda.want(id);
        }
        assert_eq!(settle(&mut actor), ids);
        let (begin, start) = (YEAR * 50, Instant::now());
        actor.clocks = Clocks { wall: begin, monotonic: start };
        let later = start + Duration::from_secs(1);
        for (wall, expected) in [
            (begin + 1000, 0),
            (begin + 1000 + YEAR, 2),
            (begin + 1000 + YEAR, 0),
            (begin + 1000, 2),
            (begin + 1000 - YEAR, 2),
        ] {
            actor.tick(Clocks { wall, monotonic: later });
            assert_eq!(settle(&mut actor).len(), expected, "{}", wall - begin);
        }
    }

    /// Thousands of keys may be saved in a second. Their rows hold all that is known, so they are not checked.
    #[tokio::test]
    async fn actor_checks_a_changed_account_only_when_it_is_watched() {
        let root = tempfile::tempdir().unwrap();
        let mut actor = actor(&root).await;
        let ids = ["watched", "saved"].map(|id| id.parse::<AccountId>().unwrap());
        actor.agenda.want(&ids[0]);
        assert_eq!(actor.agenda.start().as_ref(), Some(&ids[0]));
        actor.agenda.looked(&ids[0], None, true);
        actor.take(Marks { accounts: ids.clone().into(), ..Marks::default() }).await.unwrap();
        assert_eq!(actor.agenda.start().as_ref(), Some(&ids[0]));
        assert_eq!(actor.agenda.start(), None);
    }

    #[tokio::test]
    async fn account_check_is_repeated_when_it_panics() {
        assert_eq!(whole(async { 1 }).await, Some(1));
        assert_eq!(whole(async { std::hint::black_box(None::<i32>).unwrap() }).await, None);
        let root = tempfile::tempdir().unwrap();
        let mut actor = actor(&root).await;
        let id: AccountId = "a".parse().unwrap();
        actor.agenda.want(&id);
        assert_eq!(actor.agenda.start(), Some(id.clone()));
        let before = now();
        actor.looked(&id, None);
        let next = actor.agenda.next().unwrap();
        assert!((before + PAUSE..=now() + PAUSE).contains(&next), "{next}");
        actor.agenda.due(next);
        assert_eq!(actor.agenda.start(), Some(id));
    }
}
