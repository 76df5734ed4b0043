//! One look at everything that the sharing of a home depends on: a few system calls for each file, and nothing is read.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::job::{Job, Target};
use super::ledger;

/// The age from which a change of a file is certain to have changed its times as well, in milliseconds. Times on disks are
/// coarse.
const SETTLED_MS: i64 = 2_000;

/// The state of all files. Two equal looks at settled files mean that nothing has changed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Look(Vec<Option<Stamp>>);

/// The state of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    mode: u32,
    owner: (u32, u32),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(found: &Metadata) -> Self {
        Self {
            device: found.dev(),
            inode: found.ino(),
            mode: found.mode(),
            owner: (found.uid(), found.gid()),
            size: found.size(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        }
    }
}

impl Look {
    /// Looks at the files of a job. Blocking.
    pub(super) fn at(job: &Job<'_>, targets: &[Target<'_>]) -> Self {
        let own = |path: &Path| std::fs::symlink_metadata(path).ok().map(|found| Stamp::of(&found));
        let behind = |path: &Path| std::fs::metadata(path).ok().map(|found| Stamp::of(&found));
        let mut stamps = vec![own(&job.home.join(ledger::NAME))];
        for target in targets {
            let source = own(&target.source);
            stamps.extend([source, own(&job.home.join(&target.path))]);
            // Most files are no links, and a second call would give the same.
            if source.is_none_or(|stamp| stamp.mode & 0o170_000 == 0o120_000) {
                stamps.push(behind(&target.source));
            }
        }
        Self(stamps)
    }

    /// Returns whether no file has changed so recently that another change could go unnoticed.
    pub(super) fn is_settled(&self, now: i64) -> bool {
        let milliseconds = |(seconds, nanoseconds): (i64, i64)| {
            seconds.saturating_mul(1000).saturating_add(nanoseconds / 1_000_000)
        };
        self.0.iter().flatten().all(|stamp| {
            let latest = milliseconds(stamp.modified).max(milliseconds(stamp.changed));
            latest.saturating_add(SETTLED_MS) < now
        })
    }
}
