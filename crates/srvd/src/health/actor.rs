//! The one task that decides when an account is looked at.

use std::time::{Duration, Instant};

use identity_store::{AccountId, SecretRef, StoreError};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::agenda::Agenda;
use super::inbox::{Inbox, Marks};
use super::{Examined, Examiner, Write};
use crate::app::now;
use crate::error::with_causes;

/// How long a burst of changes is waited out.
const BURST: Duration = Duration::from_millis(20);
/// How many looks are under way at a time; most of their time they wait for each other.
const LOOKS: usize = 32;
/// How often accounts are looked at whose changes are not heard, at least, and how many of them at a time.
const POLL: Duration = Duration::from_secs(30);
const POLLED: usize = 256;
/// What the wall clock may differ from the monotonic one before it counts as a jump.
const JUMP: i64 = 2000;
/// After which pause, in milliseconds, an account is looked at again that the store could not read or write.
const STORE_PAUSE: i64 = 30_000;
/// How long the looks under way may take at the end.
const GRACE: Duration = Duration::from_secs(2);

/// Looks at every account when there is a reason to, until `stop` is cancelled. Nothing but that ends it.
pub async fn watch_over(examiner: Examiner, inbox: Inbox, stop: CancellationToken) {
    let mut actor = Actor {
        examiner,
        agenda: Agenda::default(),
        looks: JoinSet::new(),
        clocks: (now(), Instant::now()),
        polled: Instant::now(),
    };
    inbox.missed();
    let mut ripe: Option<Instant> = None;
    loop {
        while actor.looks.len() < LOOKS
            && let Some(id) = actor.agenda.start()
        {
            let examiner = actor.examiner.clone();
            actor.looks.spawn(async move { (examiner.examine(&id, Write::News).await, id) });
        }
        let pause = actor.pause();
        tokio::select! {
            () = stop.cancelled() => break,
            () = inbox.wait(), if ripe.is_none() => ripe = Some(Instant::now() + BURST),
            () = until(ripe) => {
                ripe = None;
                if actor.take(inbox.take()).await.is_err() {
                    inbox.missed();
                    // The store may be away for long; what was missed waits for it.
                    ripe = Some(Instant::now() + POLL);
                }
            }
            Some(done) = actor.looks.join_next(), if !actor.looks.is_empty() => match done {
                Ok((found, id)) => actor.looked(&id, found),
                Err(error) => tracing::error!(%error, "a look at an account broke off"),
            },
            () = tokio::time::sleep(pause) => {}
        }
        actor.tick();
    }
    let finish = async { while actor.looks.join_next().await.is_some() {} };
    if tokio::time::timeout(GRACE, finish).await.is_err() {
        tracing::warn!("a look at an account did not end in time");
    }
}

async fn until(ripe: Option<Instant>) {
    match ripe {
        Some(ripe) => tokio::time::sleep_until(ripe.into()).await,
        None => std::future::pending().await,
    }
}

struct Actor {
    examiner: Examiner,
    agenda: Agenda,
    looks: JoinSet<(Result<Examined, StoreError>, AccountId)>,
    /// The wall clock and the monotonic one, at the same moment.
    clocks: (i64, Instant),
    /// When the slow poll was due last.
    polled: Instant,
}

impl Actor {
    /// Until the next reason that is a matter of time. Never longer than the slow poll, so that a clock that was set is noticed.
    fn pause(&self) -> Duration {
        let poll = POLL.saturating_sub(self.polled.elapsed());
        let timer = self.agenda.next().map(|at| at.saturating_sub(now()).max(1));
        let timer = timer.and_then(|pause| u64::try_from(pause).ok()).map_or(poll, Duration::from_millis);
        poll.min(timer).max(Duration::from_millis(1))
    }

    /// What time alone is a reason for.
    fn tick(&mut self) {
        let (wall, steady) = (now(), Instant::now());
        let passed = i64::try_from(steady.duration_since(self.clocks.1).as_millis()).unwrap_or(i64::MAX);
        let drift = wall.saturating_sub(self.clocks.0).saturating_sub(passed);
        if drift.saturating_abs() > JUMP {
            tracing::info!(drift_ms = drift, "the clock was set; every account is looked at again");
            self.agenda.want_all();
        }
        self.clocks = (wall, steady);
        self.agenda.due(wall);
        if self.polled.elapsed() >= POLL {
            self.polled = steady + jitter();
            self.agenda.poll(POLLED);
        }
    }

    async fn take(&mut self, marks: Marks) -> Result<(), StoreError> {
        if marks.everything {
            return self.reload().await;
        }
        let mut concerned: Vec<AccountId> = marks.accounts.into_iter().collect();
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
        Ok(())
    }

    /// Begins anew with all that the store has.
    async fn reload(&mut self) -> Result<(), StoreError> {
        let all = self.examiner.store().perishable_accounts().await;
        let all = all.inspect_err(|error| {
            tracing::warn!(error = with_causes(error), "the accounts could not be read; it is tried again");
        })?;
        self.examiner.watches().reset();
        self.agenda.want_all();
        for account in all {
            self.agenda.want(&account);
        }
        Ok(())
    }

    fn looked(&mut self, id: &AccountId, found: Result<Examined, StoreError>) {
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
                tracing::debug!(account = %id, error = with_causes(&error), "an account is not looked at any more");
                self.examiner.watches().release(id);
                self.agenda.drop_one(id);
            }
            Err(error) => {
                tracing::warn!(account = %id, error = with_causes(&error), "an account could not be looked at");
                self.agenda.looked(id, Some(now().saturating_add(STORE_PAUSE)), true);
            }
        }
    }
}

/// Up to ten seconds, so that daemons that were started together do not poll together.
fn jitter() -> Duration {
    Duration::from_millis(getrandom::u32().map_or(0, |number| u64::from(number % 10_000)))
}
