//! Ending a child with everything it started.

use std::time::Duration;

use rustix::process::{Pid, Signal};
#[cfg(target_os = "linux")]
use rustix::{
    event::{PollFd, PollFlags, Timespec},
    process::PidfdFlags,
};
use tokio::time::{Instant, sleep, timeout};

use crate::environment::SESSION_VAR;

/// How often a group that was asked to end is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// Asks a process group to end, and after `grace` kills what is left of it; then kills every process that
/// carries this session's mark. `leader` resolves when the child is reaped; `None` when it has been already.
pub(crate) async fn end<F: Future + Unpin>(pid: u32, session: &str, leader: Option<&mut F>, grace: Duration) {
    let Some(group) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return };
    let until = Instant::now() + grace;
    let mut leader = leader;
    if exists(group) {
        let _ = rustix::process::kill_process_group(group, Signal::TERM);
        // A stopped process would sit on the signal.
        let _ = rustix::process::kill_process_group(group, Signal::CONT);
    }
    if let Some(exit) = leader.as_mut()
        && timeout(grace, &mut **exit).await.is_ok()
    {
        leader = None;
    }
    while exists(group) && Instant::now() < until {
        sleep(LOOK).await;
    }
    if exists(group) {
        let _ = rustix::process::kill_process_group(group, Signal::KILL);
    }
    if let Some(exit) = leader {
        // Only a process stuck in the kernel outlives KILL; it is not worth an endless wait.
        let _ = timeout(grace, exit).await;
    }
    let session = session.to_owned();
    let _ = tokio::task::spawn_blocking(move || sweep(&session)).await;
}

/// Whether the group has a member that has not ended. A group's number is not given to another one while it has
/// members.
fn exists(group: Pid) -> bool {
    rustix::process::test_kill_process_group(group).is_ok() && anybody_runs(group)
}

/// Whether any member of the group is more than a zombie. Orphans are reaped by the system's first process, and in a
/// container that one may take seconds, or never look; a login's end does not wait for it.
#[cfg(target_os = "linux")]
fn anybody_runs(group: Pid) -> bool {
    let Ok(processes) = std::fs::read_dir("/proc") else { return true };
    let group = group.as_raw_nonzero().to_string();
    processes.flatten().any(|entry| {
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        // The command name may hold anything; after it come state, parent and group.
        let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
        let mut fields = fields.split_whitespace();
        let (state, member) = (fields.next(), fields.nth(1));
        member == Some(group.as_str()) && !matches!(state, Some("Z" | "X"))
    })
}

#[cfg(not(target_os = "linux"))]
fn anybody_runs(_group: Pid) -> bool {
    true
}

/// Kills every process of this user whose environment carries the session's mark: children that left the group.
/// Each is held by a descriptor while it is examined, so its number cannot pass to another process in between.
/// Says whether there was one.
pub(super) fn sweep(session: &str) -> bool {
    let mark = format!("{SESSION_VAR}={session}");
    let mut any = false;
    // A process may be forking while the list is read; a second pass that finds nobody ends the sweep.
    for _ in 0..5 {
        let Ok(processes) = std::fs::read_dir("/proc") else { return any };
        let mut found = false;
        for entry in processes.flatten() {
            let number = entry.file_name().to_str().and_then(|name| name.parse().ok());
            if let Some(pid) = number.and_then(Pid::from_raw) {
                found |= kill_marked(pid, &mark);
            }
        }
        if !found {
            return any;
        }
        any = true;
    }
    any
}

#[cfg(target_os = "linux")]
fn kill_marked(pid: Pid, mark: &str) -> bool {
    let Ok(held) = rustix::process::pidfd_open(pid, PidfdFlags::empty()) else { return false };
    // Unreadable for another user's processes and empty for zombies, which are both none of ours.
    let Ok(environ) = std::fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero())) else { return false };
    let marked = environ.split(|byte| *byte == 0).any(|entry| entry == mark.as_bytes());
    if !marked || rustix::process::pidfd_send_signal(&held, Signal::KILL).is_err() {
        return false;
    }
    // The signal only begins the end; the descriptor becomes readable when it is complete.
    let mut ended = [PollFd::new(&held, PollFlags::IN)];
    let _ = rustix::event::poll(&mut ended, Some(&Timespec { tv_sec: 1, tv_nsec: 0 }));
    true
}

#[cfg(not(target_os = "linux"))]
fn kill_marked(_pid: Pid, _mark: &str) -> bool {
    false
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::os::unix::process::CommandExt;
    use std::process::Command;

    use super::*;

    #[test]
    fn a_group_of_zombies_is_over() {
        let mut child =
            Command::new("/bin/cat").stdin(std::process::Stdio::piped()).process_group(0).spawn().unwrap();
        let group = Pid::from_raw(child.id().cast_signed()).unwrap();
        assert!(exists(group));
        drop(child.stdin.take());
        while exists(group) {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(rustix::process::test_kill_process_group(group).is_ok(), "nobody has reaped it yet");
        child.wait().unwrap();
        assert!(!exists(group));
    }
}
