//! Recognising and ending processes of an earlier daemon.

use rustix::process::{Pid, Signal};

/// Ends the process group of a process that an earlier daemon started, when process id AND start time match.
/// Returns whether it was ended. Always `false` where the start time cannot be read (not Linux).
pub fn end_leftover(pid: u32, process_start: &str) -> bool {
    if start_ticks(pid).as_deref() != Some(process_start) {
        return false;
    }
    let Some(group) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return false };
    rustix::process::kill_process_group(group, Signal::KILL).is_ok()
}

/// Start time of a process in kernel clock ticks since boot, field 22 of `/proc/<pid>/stat`. `None` when there
/// is no such process or no such file.
pub fn start_ticks(pid: u32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command name may hold spaces and parentheses; the last one ends it, and field 3 follows.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(19).map(str::to_owned)
}
