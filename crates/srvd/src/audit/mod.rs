//! The audit log for read-only actions. A launch must not wait for a disk, so one task writes the queued rows. The
//! queue is bounded: rows that do not fit are counted, and a row in the log reports their number.
//!
//! `list` reads pages of the log for clients.
//!
//! The room uses `wire` and `base`. It must not decide what is recorded; the methods do that.

mod list;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use identity_store::{AuditEntry, Store};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

pub(crate) use list::list;

use crate::base::clock::now;
use crate::wire::error::with_causes;

/// The maximum number of rows waiting for the database. Further rows are counted and dropped.
const QUEUE: usize = 4096;

/// The maximum number of rows written in one transaction.
const BATCH: usize = 256;

/// The time for which a row waits for others to share its transaction. Each transaction costs a disk write, whatever
/// its size.
const GATHER: Duration = Duration::from_millis(50);

/// The first pause before retrying rows that the database rejected. It grows up to `LONGEST_PAUSE`.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The maximum time for which the daemon waits for queued rows when it stops.
const PATIENCE: Duration = Duration::from_secs(5);

/// The action of the row that reports lost rows.
const LOST: &str = "audit.lost";

/// Accepts rows without waiting. Cheap to clone; clones share the same queue.
#[derive(Clone)]
pub(crate) struct Auditor {
    queue: mpsc::Sender<AuditEntry>,
    lost: Arc<AtomicU64>,
}

/// The task that writes the rows.
pub(crate) struct Recorder {
    task: JoinSet<()>,
    finish: CancellationToken,
}

impl Auditor {
    /// Starts the task that writes to the store. The returned [`Recorder`] ends it.
    pub(crate) fn start(store: Store) -> (Self, Recorder) {
        Self::with_room(store, QUEUE)
    }

    fn with_room(store: Store, room: usize) -> (Self, Recorder) {
        let (queue, rows) = mpsc::channel(room);
        let lost = Arc::new(AtomicU64::new(0));
        let finish = CancellationToken::new();
        let writer = Writer { store, rows, lost: Arc::clone(&lost), finish: finish.clone() };
        let mut task = JoinSet::new();
        task.spawn(writer.run());
        (Self { queue, lost }, Recorder { task, finish })
    }

    /// Queues a row. A row that does not fit is counted, and the log reports the number of such rows.
    pub(crate) fn note(&self, entry: AuditEntry) {
        if self.queue.try_send(entry).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Recorder {
    /// Writes the queued rows and ends the task. Rows that arrive later are lost.
    pub(crate) async fn finish(mut self) {
        self.finish.cancel();
        match tokio::time::timeout(PATIENCE, self.task.join_next()).await {
            Ok(Some(Err(error))) => tracing::error!(%error, "a background task failed unexpectedly"),
            Ok(_) => {}
            // Dropping the set ends the task.
            Err(_) => tracing::error!("the last rows of the audit log could not be written in time"),
        }
    }
}

struct Writer {
    store: Store,
    rows: mpsc::Receiver<AuditEntry>,
    lost: Arc<AtomicU64>,
    finish: CancellationToken,
}

impl Writer {
    async fn run(mut self) {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            tokio::select! {
                biased;
                count = self.rows.recv_many(&mut batch, BATCH) => {
                    if count == 0 {
                        return;
                    }
                }
                // Queued rows can still be received after the channel is closed.
                () = self.finish.cancelled(), if !self.rows.is_closed() => {
                    self.rows.close();
                    continue;
                }
            }
            self.gather(&mut batch).await;
            self.write(&mut batch).await;
        }
    }

    /// Collects the rows that arrive within a moment, up to a full batch.
    async fn gather(&mut self, batch: &mut Vec<AuditEntry>) {
        let until = Instant::now() + GATHER;
        while batch.len() < BATCH {
            tokio::select! {
                count = self.rows.recv_many(batch, BATCH - batch.len()) => if count == 0 { return },
                () = self.finish.cancelled() => return,
                () = sleep_until(until) => return,
            }
        }
    }

    /// Writes a batch, retrying until it succeeds. When the task is about to end, it is tried once more.
    async fn write(&self, batch: &mut Vec<AuditEntry>) {
        let mut pause = FIRST_PAUSE;
        loop {
            let lost = self.lost.swap(0, Ordering::Relaxed);
            if lost > 0 {
                batch.push(missing(lost));
            }
            match self.store.audit_all(batch).await {
                Ok(()) => return batch.clear(),
                Err(error) => {
                    if lost > 0 {
                        batch.pop();
                        self.lost.fetch_add(lost, Ordering::Relaxed);
                    }
                    tracing::error!(
                        error = with_causes(&error),
                        rows = batch.len(),
                        "rows of the audit log could not be written"
                    );
                }
            }
            if self.finish.is_cancelled() {
                return batch.clear();
            }
            // The rows are tried once more, whether the pause is over or the task is about to end.
            let _ = tokio::time::timeout(pause, self.finish.cancelled()).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

fn missing(rows: u64) -> AuditEntry {
    AuditEntry {
        at: now(),
        actor: "srvd".into(),
        action: LOST.into(),
        subject: String::new(),
        outcome: "failed".into(),
        detail: Some(format!("{rows} rows were lost because the queue was full")),
    }
}

#[cfg(test)]
mod tests {
    use identity_store::{DatabaseUrl, Key, Keyring, StoreOptions};

    use super::*;

    fn row(number: usize) -> AuditEntry {
        AuditEntry {
            at: 1,
            actor: "client".into(),
            action: format!("a{number}"),
            subject: String::new(),
            outcome: "ok".into(),
            detail: None,
        }
    }

    async fn store(dir: &std::path::Path) -> Store {
        let key = Key::parse(b"a-key-for-the-test-of-40-bytes-or-so-...").unwrap();
        let options = StoreOptions::new(DatabaseUrl::sqlite(dir.join("srvd.db")), Arc::new(|_| {}), 1);
        Store::open(options, Keyring::from_key(key)).await.unwrap()
    }

    #[tokio::test]
    async fn recorder_writes_queued_rows_in_order_when_it_finishes() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path()).await;
        let (auditor, recorder) = Auditor::start(store.clone());
        for number in 0..600 {
            auditor.note(row(number));
        }
        recorder.finish().await;
        let actions: Vec<_> =
            store.audit_log(600).await.unwrap().into_iter().rev().map(|row| row.action).collect();
        assert_eq!(actions, (0..600).map(|number| format!("a{number}")).collect::<Vec<_>>());
        auditor.note(row(600));
        assert_eq!(store.check_audit().await.unwrap().rows, 601);
        store.close().await;
    }

    /// With a single thread, the writer runs only while the test is waiting, so the queue is full by then.
    #[tokio::test]
    async fn auditor_records_the_number_of_lost_rows_when_the_queue_is_full() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path()).await;
        let (auditor, recorder) = Auditor::with_room(store.clone(), 4);
        for number in 0..10 {
            auditor.note(row(number));
        }
        recorder.finish().await;
        let log = store.audit_log(5).await.unwrap();
        let said: Vec<_> = log.iter().rev().map(|row| (row.action.as_str(), row.detail.as_deref())).collect();
        let lost = ("audit.lost", Some("6 rows were lost because the queue was full"));
        assert_eq!(said, [("a0", None), ("a1", None), ("a2", None), ("a3", None), lost]);
        store.close().await;
    }
}
