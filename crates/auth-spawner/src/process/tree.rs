//! Ends a child together with everything that it started.
//!
//! Processes are found in three ways: by process group; as descendants of the group, in any group or session, at the
//! moment when ending begins; and by the session's mark in their environment, whatever their parents were. A process
//! escapes all three only if it has left the group, its parents exited before the login ended, and it has cleared its
//! environment: nothing connects it with the login any more. Without `/proc`, only the process group is used.

use std::time::{Duration, Instant};
#[cfg(target_os = "linux")]
use std::{
    fs::File,
    io::{self, Read as _},
};

use rustix::process::{Pid, Signal};
#[cfg(target_os = "linux")]
use rustix::{
    event::{PollFd, PollFlags, Timespec},
    fd::OwnedFd,
    process::PidfdFlags,
};
use tokio::time::{sleep, timeout};

use super::environment::SESSION_VAR;
use super::inspect;
use super::inspect::{Identity, child_pid, families, with_descendants};

/// The pause between checks of a group that was sent SIGTERM.
pub(crate) const LOOK: Duration = Duration::from_millis(20);
/// The maximum number of searches for new processes while the descendants of a login are being stopped.
const STOPS: u32 = 8;
/// The maximum duration of a sweep that keeps finding new processes.
const SWEEP: Duration = Duration::from_secs(3);
/// The maximum wait for killed processes to exit.
#[cfg(target_os = "linux")]
const GONE: Duration = Duration::from_secs(1);
/// The maximum number of checks of a process that shows no environment.
#[cfg(target_os = "linux")]
const ENVIRON_READS: u32 = 500;
/// The pause between two of these checks.
#[cfg(target_os = "linux")]
const ENVIRON_PAUSE: Duration = Duration::from_micros(200);
/// The number of checks after which a process with a program is considered to have an empty environment.
#[cfg(target_os = "linux")]
const EMPTY: u32 = 10;
/// The maximum number of processes held at the same time; each needs a descriptor.
#[cfg(target_os = "linux")]
const HELD: usize = 64;

/// The processes of a session.
pub(crate) struct Tree<'a> {
    /// The leader's process id, which is also the group id.
    pub(crate) pid: u32,
    /// The leader's start time, if known.
    pub(crate) start: Option<&'a str>,
    /// The session id.
    pub(crate) session: &'a str,
}

/// Sends SIGTERM to a process group and, after `grace`, kills whatever is left of it. Then kills its descendants and
/// every process that carries this session's mark. `leader` resolves when the child is reaped; it is `None` if the
/// child has already been reaped.
pub(crate) async fn end<F: Future + Unpin>(tree: Tree<'_>, leader: Option<&mut F>, grace: Duration) {
    let start = tree.start.map(str::to_owned);
    let group = child_pid(tree.pid);
    let found = off_runtime(move || {
        let group = group.filter(|group| exists(*group) && is_ours(*group, start.as_deref()))?;
        Some((group, families(&[group])))
    });
    // A leader that has not been reaped keeps its process id.
    let unreaped = leader.is_some();
    let unchecked = || group.filter(|_| unreaped).map(|group| (group, Vec::new()));
    let (group, mut family) = found.await.unwrap_or_else(unchecked).unzip();
    if let Some(group) = group {
        ask(group);
    }
    let until = tokio::time::Instant::now() + grace;
    let mut leader = leader;
    if let Some(exit) = leader.as_mut()
        && timeout(grace, &mut **exit).await.is_ok()
    {
        leader = None;
    }
    if let Some(group) = group {
        while tokio::time::Instant::now() < until && has_members(group).await {
            sleep(LOOK).await;
        }
        if has_members(group).await {
            // A process that received SIGTERM may have started others before it exited.
            let late = off_runtime(move || families(&[group])).await;
            family.get_or_insert_default().extend(late.unwrap_or_default());
            kill(group);
        }
    }
    if let Some(exit) = leader {
        // Only a process stuck in the kernel survives SIGKILL, which does not justify an endless wait.
        let _ = timeout(grace, exit).await;
    }
    let session = tree.session.to_owned();
    let rest = move || {
        kill_each(&family.unwrap_or_default());
        sweep(&[&session]);
    };
    let _: Option<()> = off_runtime(rest).await;
}

async fn has_members(group: Pid) -> bool {
    off_runtime(move || exists(group)).await.unwrap_or(true)
}

/// Runs work on `/proc` on a blocking thread; `None` if it panicked or the runtime is shutting down.
async fn off_runtime<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(work).await.ok()
}

/// Returns whether a group id still refers to the group of the leader that was started. The system does not reuse the
/// id while the group has members, so a missing leader does not disprove it.
pub(crate) fn is_ours(group: Pid, start: Option<&str>) -> bool {
    match (inspect::stat(group), start) {
        (Some(found), Some(start)) => found.start.to_string() == start,
        _ => true,
    }
}

/// Sends SIGTERM to a group.
pub(crate) fn ask(group: Pid) {
    // The group may already be gone, which is fine.
    let _ = rustix::process::kill_process_group(group, Signal::TERM);
    // A stopped process would not handle the signal, so wake it.
    let _ = rustix::process::kill_process_group(group, Signal::CONT);
}

/// Sends SIGKILL to a group.
pub(crate) fn kill(group: Pid) {
    let _ = rustix::process::kill_process_group(group, Signal::KILL);
}

/// Returns whether the group has a member that has not exited. The system does not reuse a group id while the group has
/// members.
pub(crate) fn exists(group: Pid) -> bool {
    // Orphans are reaped by the system's first process. In a container, this may take seconds or never happen, so
    // ending a login does not wait for it.
    rustix::process::test_kill_process_group(group).is_ok() && inspect::has_running_member(group)
}

/// Kills the processes in this list that still exist, and all their descendants. The processes are first stopped until
/// no new ones appear: a child created while its parent is being killed would no longer be a descendant.
pub(crate) fn kill_each(processes: &[Identity]) {
    let mut stopped: Vec<Identity> = Vec::new();
    for _ in 0..STOPS {
        let more: Vec<Identity> = with_descendants(if stopped.is_empty() { processes } else { &stopped });
        let fresh: Vec<Identity> = more.into_iter().filter(|process| !stopped.contains(process)).collect();
        if fresh.is_empty() {
            break;
        }
        for process in &fresh {
            signal(*process, Signal::STOP);
        }
        stopped.extend(fresh);
    }
    for process in stopped {
        signal(process, Signal::KILL);
    }
}

/// Kills every process of this user whose environment contains one of these session ids as its mark, such as children
/// that left their group. `a` also covers `a.b`. Each process is held by a descriptor while it is examined, so its id
/// cannot pass to another process in the meantime. Returns whether any process was killed.
pub(crate) fn sweep(sessions: &[&str]) -> bool {
    let marks: Vec<String> = sessions.iter().map(|session| format!("{SESSION_VAR}={session}")).collect();
    let until = Instant::now() + SWEEP;
    let mut any = false;
    // A process may be forking while the list is read, so sweep until a pass finds no process.
    while kill_marked(&marks) {
        any = true;
        if Instant::now() >= until {
            tracing::warn!("new processes of a login keep appearing; giving up the search for them");
            break;
        }
    }
    any
}

/// Returns whether a process of this user carries the mark, or one below it.
#[cfg(target_os = "linux")]
pub(crate) fn is_marked(mark: &str) -> bool {
    let mark = format!("{SESSION_VAR}={mark}");
    let marked =
        |pid: Pid| environ(pid).is_some_and(|all| all.split(|byte| *byte == 0).any(|one| covers(&mark, one)));
    inspect::pids().into_iter().any(marked)
}

/// Makes one pass over all processes: kills those with a mark, then waits until they have exited.
#[cfg(target_os = "linux")]
fn kill_marked(marks: &[String]) -> bool {
    let mut any = false;
    let mut held = Vec::new();
    for pid in inspect::pids() {
        if let Some(process) = kill_if_marked(pid, marks) {
            any = true;
            held.push(process);
        }
        if held.len() == HELD {
            wait_gone(&held);
            held.clear();
        }
    }
    wait_gone(&held);
    any
}

/// Returns whether an environment entry is this mark, or one below it.
#[cfg(target_os = "linux")]
fn covers(mark: &str, variable: &[u8]) -> bool {
    variable.strip_prefix(mark.as_bytes()).is_some_and(|rest| rest.is_empty() || rest[0] == b'.')
}

#[cfg(target_os = "linux")]
fn kill_if_marked(pid: Pid, marks: &[String]) -> Option<OwnedFd> {
    let held = rustix::process::pidfd_open(pid, PidfdFlags::empty()).ok()?;
    let environ = environ(pid)?;
    let marked = environ.split(|byte| *byte == 0).any(|entry| marks.iter().any(|mark| covers(mark, entry)));
    (marked && rustix::process::pidfd_send_signal(&held, Signal::KILL).is_ok()).then_some(held)
}

/// Returns the environment of a process. It is unreadable for other users' processes and empty for zombies; neither
/// belongs to a session.
///
/// A process that is replacing its program briefly shows no environment, so an empty one is read again.
#[cfg(target_os = "linux")]
fn environ(pid: Pid) -> Option<Vec<u8>> {
    let path = |name| format!("/proc/{}/{name}", pid.as_raw_nonzero());
    let mut empty = 0;
    for _ in 0..ENVIRON_READS {
        let environ = read_at_once(&path("environ")).ok()?;
        // A zombie has no program and neither does a kernel thread, so both also lack `exe`.
        if !environ.is_empty() || empty == EMPTY || std::fs::read_link(path("exe")).is_err() {
            return Some(environ);
        }
        // A process without arguments is still replacing its program.
        empty += u32::from(std::fs::read(path("cmdline")).is_ok_and(|arguments| !arguments.is_empty()));
        std::thread::sleep(ENVIRON_PAUSE);
    }
    None
}

/// Reads a file, nearly always with one call because it fits into the buffer. If the process replaces its program
/// between two calls, the second call returns nothing.
#[cfg(target_os = "linux")]
fn read_at_once(path: &str) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let (mut bytes, mut filled) = (vec![0; 32 * 1024], 0);
    loop {
        let Some(room) = bytes.get_mut(filled..).filter(|room| !room.is_empty()) else {
            bytes.resize(2 * filled, 0);
            continue;
        };
        let more = file.read(room)?;
        filled += more;
        if more == 0 {
            bytes.truncate(filled);
            return Ok(bytes);
        }
    }
}

/// Waits until the killed processes have exited. SIGKILL only starts the exit; the descriptor becomes readable when it
/// is complete.
#[cfg(target_os = "linux")]
fn wait_gone(processes: &[OwnedFd]) {
    let until = Instant::now() + GONE;
    for process in processes {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let left = Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(0),
                tv_nsec: i64::from(left.subsec_nanos()),
            };
            // A child's exit sends a signal to this process, which interrupts the wait.
            let interrupted = Err(rustix::io::Errno::INTR);
            if rustix::event::poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&left)) != interrupted {
                break;
            }
        }
    }
}

/// Sends a signal to exactly this process, which is held by a descriptor while it is identified.
#[cfg(target_os = "linux")]
fn signal(process: Identity, signal: Signal) {
    let Ok(held) = rustix::process::pidfd_open(process.pid, PidfdFlags::empty()) else { return };
    if inspect::lives(process) {
        let _ = rustix::process::pidfd_send_signal(&held, signal);
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn is_marked(_mark: &str) -> bool {
    false
}

#[cfg(not(target_os = "linux"))]
fn kill_marked(_marks: &[String]) -> bool {
    false
}

#[cfg(not(target_os = "linux"))]
fn signal(process: Identity, signal: Signal) {
    if inspect::lives(process) {
        let _ = rustix::process::kill_process(process.pid, signal);
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::os::unix::process::CommandExt;
    use std::process::Command;

    use super::*;

    #[test]
    fn sweep_kills_a_process_that_keeps_calling_exec() {
        let script = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(script.path(), "exec /bin/sh \"$0\"\n").unwrap();
        for round in 0..20 {
            let session = format!("replaces-{}-{round}", std::process::id());
            let start = |_| {
                let mut command = Command::new("/bin/sh");
                command.arg(script.path()).env(SESSION_VAR, &session).process_group(0).spawn().unwrap()
            };
            let mut children: Vec<_> = (0..4).map(start).collect();
            assert!(sweep(&[&session]));
            let left =
                children.iter_mut().filter_map(|child| child.try_wait().unwrap().is_none().then_some(child));
            let left = left.map(|child| child.kill().unwrap()).count();
            for child in &mut children {
                child.wait().unwrap();
            }
            assert_eq!(left, 0, "in round {round}");
        }
    }

    #[test]
    fn process_group_with_only_zombies_does_not_exist() {
        let mut child =
            Command::new("/bin/cat").stdin(std::process::Stdio::piped()).process_group(0).spawn().unwrap();
        let group = Pid::from_raw(child.id().cast_signed()).unwrap();
        assert!(exists(group));
        drop(child.stdin.take());
        while exists(group) {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(
            rustix::process::test_kill_process_group(group).is_ok(),
            "the child must not have been reaped yet"
        );
        child.wait().unwrap();
        assert!(!exists(group));
    }
}
