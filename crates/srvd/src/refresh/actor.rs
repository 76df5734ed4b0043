//! The owner of the due-queue. The queue itself is in the store: each pass looks at its head, so that a pass after a
//! crash, a changed clock or a missed report finds everything that the one before would have.

use std::sync::Arc;
use std::time::Duration;

use identity_store::StoreError;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::flight::{Grant, Refresher};
use super::plan::plan;
use crate::error::with_causes;

/// The longest time between two passes. A clock that was set, or a machine that slept, is noticed by then.
const POLL: Duration = Duration::from_secs(30);
/// How long reports are gathered before a pass: while they come all the time, so many are one.
const BURST: Duration = Duration::from_millis(20);
/// The pause after the store has failed.
const REST: Duration = Duration::from_secs(5);
/// How much of the queue is looked at first, and at most while places are free.
const HEAD: u32 = 64;
const MOST: u32 = 16_384;
/// How long a row is left alone whose tokens nobody can refresh, in milliseconds: a day.
const HOPELESS: i64 = 24 * 60 * 60 * 1000;

/// Says that the queue may have changed; a clone is a handle to the same one. Reports are not counted.
#[derive(Debug, Clone, Default)]
pub struct Wake(Arc<Notify>);

impl Wake {
    /// Has the queue looked at soon.
    pub fn wake(&self) {
        self.0.notify_one();
    }
}

/// Refreshes whatever is due until `stop` is cancelled, and then waits up to `grace` for the flights under way.
pub async fn watch_over(refresher: Refresher, stop: CancellationToken, grace: Duration) {
    let mut repaired = false;
    loop {
        let pause = match pass(&refresher, &mut repaired).await {
            Ok(_) if refresher.take_trouble() => rest(&stop).await,
            Ok(pause) => pause,
            Err(error) => {
                tracing::warn!(error = with_causes(&error), "the queue of refreshes could not be read");
                rest(&stop).await
            }
        };
        tokio::select! {
            () = stop.cancelled() => break,
            () = refresher.wake().0.notified() => tokio::time::sleep(BURST).await,
            () = tokio::time::sleep(pause) => {}
        }
    }
    if tokio::time::timeout(grace, refresher.settle()).await.is_err() {
        tracing::warn!("a refresh did not end in time; it is taken up again at the next start");
    }
}

/// Lets the store alone for a while. Gives the pause that is left, which is none.
async fn rest(stop: &CancellationToken) -> Duration {
    tokio::select! {
        () = stop.cancelled() => {}
        () = tokio::time::sleep(REST) => {}
    }
    Duration::ZERO
}

/// Looks at the head of the queue and begins what there is room for. Gives the time until something else is due; what is
/// due already waits for a flight to end, which is reported.
async fn pass(refresher: &Refresher, repaired: &mut bool) -> Result<Duration, StoreError> {
    let store = refresher.store();
    if !*repaired {
        let accounts = store.repair_expiries(refresher.now()).await?;
        if accounts > 0 {
            tracing::warn!(accounts, "expiries that made no sense were repaired");
        }
        *repaired = true;
    }
    let mut head = HEAD;
    loop {
        let now = refresher.now();
        let due = store.due_refreshes(now, head).await?;
        let hosts: Vec<_> = due.iter().map(|due| refresher.host(&due.authority)).collect();
        let plan = plan(&due, &hosts, &refresher.under_way());
        for at in plan.start {
            let due = &due[at];
            refresher.launch(&Grant { account: due.account.clone(), authority: due.authority.clone() });
        }
        if !plan.hopeless.is_empty() {
            let accounts: Vec<_> = plan.hopeless.iter().map(|at| due[*at].account.clone()).collect();
            tracing::debug!(accounts = accounts.len(), "tokens are due that nothing says where to refresh");
            store.postpone_refreshes(&accounts, now.saturating_add(HOPELESS), now).await?;
        }
        let more = due.len() >= usize::try_from(head).unwrap_or(usize::MAX);
        if !(more && plan.room && head < MOST) {
            break;
        }
        head = head.saturating_mul(4).min(MOST);
    }
    let now = refresher.now();
    let next = store.next_refresh_at().await?.filter(|at| *at > now);
    let wait = next.and_then(|at| u64::try_from(at.saturating_sub(now)).ok());
    Ok(wait.map_or(POLL, |wait| Duration::from_millis(wait).min(POLL)))
}
