//! Identifies and ends processes left behind by an earlier daemon.

use rustix::process::Signal;

use super::inspect::{child_pid, families, stat};
use super::tree::{self, kill_each, sweep};

/// The identity of a process until the next boot: a process id can be reused, but not together with its start time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessIdentity<'a> {
    /// The process id.
    pub pid: u32,
    /// The start time, as returned by [`start_ticks`].
    pub start: &'a str,
}

/// Ends the processes that a session of an earlier daemon left running: the process group of its CLI and its
/// descendants, if both process id and start time match, and every process that carries the session's mark. The mark
/// also finds a CLI whose process id had not been recorded yet. The mark `a` also covers `a.b`. Returns whether any
/// process was ended; always `false` without `/proc`. Blocks until the processes are gone, at most a few seconds.
/// Another program may safely end the same processes at the same time.
pub fn end_leftover(session: &str, process: Option<ProcessIdentity<'_>>) -> bool {
    let group = process
        .filter(|process| start_ticks(process.pid).as_deref() == Some(process.start))
        .and_then(|process| child_pid(process.pid));
    let ended = group.is_some_and(|group| {
        let family = families(&[group]);
        let ended = rustix::process::kill_process_group(group, Signal::KILL).is_ok();
        kill_each(&family);
        ended
    });
    sweep(&[session]) || ended
}

/// Returns whether a process carries this mark, or one below it; always `false` without `/proc`. Blocks.
pub fn is_marked(mark: &str) -> bool {
    tree::is_marked(mark)
}

/// Returns the start time of a process in kernel clock ticks since boot, which is field 22 of `/proc/<pid>/stat`.
/// Returns `None` if there is no such process or file.
pub fn start_ticks(pid: u32) -> Option<String> {
    child_pid(pid).and_then(stat).map(|stat| stat.start.to_string())
}
