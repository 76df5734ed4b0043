//! The owner of the due-queue. The queue itself is in the store: each pass looks at its head, so that a pass after a
//! crash, a changed clock or a missed report finds everything that the one before would have.

use std::sync::Arc;
use std::time::Duration;

use identity_store::StoreError;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::flight::{Grant, Refresher};
use super::plan::Backlog;
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
/// How long flights are begun from what was read of the queue, before it is read again.
const YOUNG: Duration = Duration::from_secs(1);
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

/// What the owner knows of the queue.
#[derive(Default)]
struct Queue {
    /// Whether bad expiries were looked for.
    repaired: bool,
    /// What was read, and when.
    read: Option<(Backlog, Instant)>,
    /// Whether that was all of it that is looked at.
    whole: bool,
}

/// Looks at the head of the queue and begins what there is room for. Gives the time until something else is due; what is
/// due already waits for a flight to end, which is reported.
async fn pass(refresher: &Refresher, queue: &mut Queue) -> Result<Duration, StoreError> {
    let store = refresher.store();
    if !queue.repaired {
        let accounts = store.repair_expiries(refresher.now()).await?;
        if accounts > 0 {
            tracing::warn!(accounts, "expiries that made no sense were repaired");
        }
        queue.repaired = true;
    }
    if begin_known(refresher, queue).await? {
        // What has come since then waits no longer than this.
        return Ok(YOUNG);
    }
    read(refresher, queue).await?;
    let now = refresher.now();
    let next = store.next_refresh_at().await?.filter(|at| *at > now);
    let wait = next.and_then(|at| u64::try_from(at.saturating_sub(now)).ok());
    Ok(wait.map_or(POLL, |wait| Duration::from_millis(wait).min(POLL)))
}

/// Begins what there is room for from what was read a moment ago. `false` when the queue has to be read.
async fn begin_known(refresher: &Refresher, queue: &mut Queue) -> Result<bool, StoreError> {
    let read = queue.read.as_mut();
    let young = read.filter(|(backlog, at)| !backlog.is_empty() && at.elapsed() < YOUNG);
    let Some((backlog, _)) = young else { return Ok(false) };
    let room = begin(refresher, backlog).await?;
    Ok(!room || queue.whole)
}

/// Reads the queue as deep as there is room for, and begins what there is room for.
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

/// Begins what there is room for, and puts off what nobody can refresh. Gives whether there is still room.
async fn begin(refresher: &Refresher, backlog: &mut Backlog) -> Result<bool, StoreError> {
    let taken = backlog.take(&refresher.under_way());
    for due in taken.start {
        refresher.launch(&Grant { account: due.account, authority: due.authority });
    }
    if !taken.hopeless.is_empty() {
        tracing::debug!(accounts = taken.hopeless.len(), "tokens are due that nothing says where to refresh");
        let now = refresher.now();
        let until = now.saturating_add(HOPELESS);
        refresher.store().postpone_refreshes(&taken.hopeless, until, now).await?;
    }
    Ok(taken.room)
}
