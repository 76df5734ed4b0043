//! Reports that wait for the health task. Reporting never blocks. The set is bounded.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use identity_store::AccountId;
use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind};
use tokio::sync::Notify;

/// Maximum number of separate marks. Beyond it, every account is checked.
const MOST: usize = 4096;

/// The set of reports. A clone is a handle to the same set.
#[derive(Clone, Default)]
pub(crate) struct HealthReports(Arc<ReportState>);

#[derive(Default)]
struct ReportState {
    marks: Mutex<Marks>,
    wake: Notify,
}

/// The reports since the last call of `take`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Marks {
    /// Accounts whose row changed.
    pub(super) accounts: HashSet<AccountId>,
    /// Files and directories that changed.
    pub(super) paths: HashSet<PathBuf>,
    /// Paths that may be watched directories and that were removed or moved.
    pub(super) lost: HashSet<PathBuf>,
    /// True if a report was missed.
    pub(super) everything: bool,
}

impl HealthReports {
    /// Records that an account's row was written.
    pub(crate) fn changed(&self, account: &AccountId) {
        let known = account.clone();
        self.mark(|marks| {
            marks.accounts.insert(known);
        });
    }

    /// Records an event of the file system.
    pub(super) fn heard(&self, event: notify::Result<notify::Event>) {
        let event = match event {
            Ok(event) if event.need_rescan() => None,
            Ok(event) => Some(event),
            Err(error) => {
                tracing::warn!(%error, "the file watcher reported an error; every account is checked again");
                None
            }
        };
        let Some(event) = event else { return self.missed() };
        let gone = match event.kind {
            // Reads by the daemon are reported as well.
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => false,
            EventKind::Access(_) => return,
            EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_)) => true,
            _ => false,
        };
        self.mark(
            |marks| if gone { marks.lost.extend(event.paths) } else { marks.paths.extend(event.paths) },
        );
    }

    /// Requests a check of every account.
    pub(super) fn missed(&self) {
        self.mark(|marks| marks.everything = true);
    }

    /// Waits until there is a report.
    pub(super) async fn wait(&self) {
        self.0.wake.notified().await;
    }

    pub(super) fn take(&self) -> Marks {
        std::mem::take(&mut *self.marks())
    }

    fn mark(&self, change: impl FnOnce(&mut Marks)) {
        let mut marks = self.marks();
        if !marks.everything {
            change(&mut marks);
            if marks.everything || marks.accounts.len() + marks.paths.len() + marks.lost.len() > MOST {
                *marks = Marks { everything: true, ..Marks::default() };
            }
        }
        drop(marks);
        self.0.wake.notify_one();
    }

    fn marks(&self) -> MutexGuard<'_, Marks> {
        self.0.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use notify::event::{CreateKind, Flag, RemoveKind};

    use super::*;

    #[test]
    fn reports_ignores_reads_and_separates_removals_from_changes() {
        let reports = HealthReports::default();
        let event = |kind| Ok(notify::Event::new(kind).add_path("/a/file".into()));
        reports.heard(event(EventKind::Access(AccessKind::Open(AccessMode::Any))));
        reports.heard(event(EventKind::Access(AccessKind::Close(AccessMode::Read))));
        assert_eq!(reports.take(), Marks::default());
        reports.heard(event(EventKind::Create(CreateKind::File)));
        reports.heard(event(EventKind::Access(AccessKind::Close(AccessMode::Write))));
        let paths = HashSet::from([PathBuf::from("/a/file")]);
        assert_eq!(reports.take(), Marks { paths: paths.clone(), ..Marks::default() });
        reports.heard(event(EventKind::Remove(RemoveKind::Folder)));
        assert_eq!(reports.take(), Marks { lost: paths, ..Marks::default() });
    }

    #[test]
    fn reports_marks_everything_when_marks_overflow_or_events_are_lost() {
        let everything = Marks { everything: true, ..Marks::default() };
        let reports = HealthReports::default();
        for number in 0..=2 * MOST {
            let path = PathBuf::from(format!("/a/{number}"));
            reports.heard(Ok(notify::Event::new(EventKind::Any).add_path(path)));
        }
        assert_eq!(reports.take(), everything);
        reports.heard(Ok(notify::Event::new(EventKind::Other).set_flag(Flag::Rescan)));
        assert_eq!(reports.take(), everything);
        reports.heard(Err(notify::Error::generic("broken")));
        assert_eq!(reports.take(), everything);
    }
}
