//! Recognises and ends processes of an earlier daemon.

use rustix::process::Signal;

use super::inspect::{child_pid, families, stat};
use super::tree::{kill_each, sweep};

/// The identity of a process for as long as the system runs: a process id can be used again, together with a start time
/// it cannot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessIdentity<'a> {
    /// Process id.
    pub pid: u32,
    /// Start time, as from [`start_ticks`].
    pub start: &'a str,
}

/// Ends the processes that a session of an earlier daemon left running. These are the process group of its CLI and its
/// descendants, when process id AND start time match, and every process that carries the session's mark. The mark also
/// finds a CLI whose process id was not recorded yet. The mark `a` covers `a.b` as well. Returns whether any process
/// was ended; always `false` without `/proc`. Blocks until the processes are gone, a few seconds at most. Another
/// program may be ending the same processes at the same time.
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

/// Returns the start time of a process in kernel clock ticks since boot, field 22 of `/proc/<pid>/stat`. Returns `None`
/// if there is no such process or no such file.
pub fn start_ticks(pid: u32) -> Option<String> {
    child_pid(pid).and_then(stat).map(|stat| stat.start.to_string())
}
