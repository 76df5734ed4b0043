//! Recognising and ending processes of an earlier daemon.

use rustix::process::{Pid, Signal};

use super::tree::sweep;

/// Ends what a session of an earlier daemon left running: the process group of its CLI, when process id AND start
/// time match, and every process that carries the session's mark, which also finds a CLI whose process id was not
/// recorded yet. Returns whether anything was ended. Blocks for as long as the processes take to go; always `false`
/// where there is no `/proc`.
pub fn end_leftover(session: &str, process: Option<(u32, &str)>) -> bool {
    let group = process
        .filter(|(pid, start)| start_ticks(*pid).as_deref() == Some(*start))
        .and_then(|(pid, _)| i32::try_from(pid).ok())
        .and_then(Pid::from_raw);
    let ended = group.is_some_and(|group| rustix::process::kill_process_group(group, Signal::KILL).is_ok());
    sweep(session) || ended
}

/// Start time of a process in kernel clock ticks since boot, field 22 of `/proc/<pid>/stat`. `None` when there
/// is no such process or no such file.
pub fn start_ticks(pid: u32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command name may hold spaces and parentheses; the last one ends it, and field 3 follows.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(19).map(str::to_owned)
}
