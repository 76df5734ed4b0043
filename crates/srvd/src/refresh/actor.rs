//! The task that owns the queue of due refreshes. The queue itself is in the store, and each pass reads its head. A
//! pass after a crash, a clock change or a missed notification therefore finds everything that is due. A part of the
//! queue that has been read is used for at most a second.

use std::sync::Arc;
use std::time::Duration;

use identity_store::StoreError;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::flight::{Grant, Refresher};
use super::plan::Backlog;
use crate::wire::error::with_causes;

/// The maximum time between two passes, within which a clock change or a suspended machine is noticed.
const POLL: Duration = Duration::from_secs(30);
/// The time for which notifications are collected before a pass, so that a burst of them causes only one pass.
const BURST: Duration = Duration::from_millis(20);
/// The pause after a store failure.
const REST: Duration = Duration::from_secs(5);
/// The number of rows read first from the head of the queue. More are read while there is room, up to `MOST`.
const HEAD: u32 = 64;
const MOST: u32 = 16_384;
/// The maximum age of rows used to start flights. After that, the queue is read again.
const YOUNG: Duration = Duration::from_secs(1);
/// The time for which a row is postponed if no client can refresh its tokens, in milliseconds: one day.
const HOPELESS: i64 = 24 * 60 * 60 * 1000;

/// Notifies the task that the queue may have changed. Cheap to clone; clones share one signal. Several notifications
/// may be merged.
#[derive(Debug, Clone, Default)]
pub(crate) struct RefreshSignal(Arc<Notify>);

impl RefreshSignal {
    /// Requests a pass soon.
    pub(crate) fn notify(&self) {
        self.0.notify_one();
    }
}

/// Refreshes all due accounts until `stop` is cancelled. Then waits up to `grace` for the flights in progress.
pub(crate) async fn watch_over(refresher: Refresher, stop: CancellationToken, grace: Duration) {
    let mut queue = Queue::default();
    loop {
        let pause = match pass(&refresher, &mut queue).await {
            Ok(_) if refresher.take_trouble() => rest(&stop).await,
            Ok(pause) => pause,
            Err(error) => {
                tracing::warn!(error = with_causes(&error), "the queue of refreshes could not be read");
                rest(&stop).await
            }
        };
        tokio::select! {
            () = stop.cancelled() => break,
            () = refresher.signal().0.notified() => tokio::time::sleep(BURST).await,
            () = tokio::time::sleep(pause) => {}
        }
    }
    if tokio::time::timeout(grace, refresher.settle()).await.is_err() {
        tracing::warn!("a refresh did not finish in time; the next start will retry it");
    }
}

/// Pauses after a store failure. Returns the delay before the next pass, which is zero.
async fn rest(stop: &CancellationToken) -> Duration {
    tokio::select! {
        () = stop.cancelled() => {}
        () = tokio::time::sleep(REST) => {}
    }
    Duration::ZERO
}

/// The task's knowledge of the queue.
#[derive(Default)]
struct Queue {
    /// True once rows with invalid expiry times have been repaired.
    repaired: bool,
    /// The rows that have been read, and the time of reading.
    read: Option<(Backlog, Instant)>,
    /// True if the rows that have been read are all that a pass considers.
    whole: bool,
}

/// Reads the head of the queue and starts as many flights as there is room for. Returns the time until another account
/// is due. Accounts that are already due wait until the end of a flight is reported.
async fn pass(refresher: &Refresher, queue: &mut Queue) -> Result<Duration, StoreError> {
    let store = refresher.store();
    if !queue.repaired {
        let accounts = store.repair_expiries(refresher.now()).await?;
        if accounts > 0 {
            tracing::warn!(accounts, "invalid expiry times were repaired");
        }
        queue.repaired = true;
    }
    if begin_known(refresher, queue).await? {
        // Rows that became due since the queue was read wait no longer than this.
        return Ok(YOUNG);
    }
    read(refresher, queue).await?;
    let now = refresher.now();
    let next = store.next_refresh_at().await?.filter(|at| *at > now);
    let wait = next.and_then(|at| u64::try_from(at.saturating_sub(now)).ok());
    Ok(wait.map_or(POLL, |wait| Duration::from_millis(wait).min(POLL)))
}

/// Starts flights from recently read rows. Returns `false` if the queue has to be read.
async fn begin_known(refresher: &Refresher, queue: &mut Queue) -> Result<bool, StoreError> {
    let read = queue.read.as_mut();
    let young = read.filter(|(backlog, at)| !backlog.is_empty() && at.elapsed() < YOUNG);
    let Some((backlog, _)) = young else { return Ok(false) };
    let room = begin(refresher, backlog).await?;
    Ok(!room || queue.whole)
}

/// Reads as much of the queue as there is room for, and starts as many flights as there is room for.
async fn read(refresher: &Refresher, queue: &mut Queue) -> Result<(), StoreError> {
    let mut head = HEAD;
    loop {
        let due = refresher.store().due_refreshes(refresher.now(), head).await?;
        queue.whole = due.len() < usize::try_from(head).unwrap_or(usize::MAX) || head >= MOST;
        let mut backlog = Backlog::new(due, |due| refresher.host(&due.authority));
        let begun = begin(refresher, &mut backlog).await;
        queue.read = Some((backlog, Instant::now()));
        if !begun? || queue.whole {
            return Ok(());
        }
        head = head.saturating_mul(4).min(MOST);
    }
}

/// Starts as many flights as there is room for, and postpones rows that no client can refresh. Returns whether room is
/// left.
async fn begin(refresher: &Refresher, backlog: &mut Backlog) -> Result<bool, StoreError> {
    let taken = backlog.take(&refresher.under_way());
    for due in taken.start {
        refresher.launch(&Grant { account: due.account, authority: due.authority });
    }
    if !taken.hopeless.is_empty() {
        tracing::debug!(
            accounts = taken.hopeless.len(),
            "tokens are due for a refresh, but their token endpoint is unknown"
        );
        let now = refresher.now();
        let until = now.saturating_add(HOPELESS);
        refresher.store().postpone_refreshes(&taken.hopeless, until, now).await?;
    }
    Ok(taken.room)
}
