//! The guard: a small process that ends the login processes after the daemon has died for any reason.
//!
//! The guard holds the reading end of a pipe whose only writing end belongs to the daemon. Through the pipe, the daemon
//! reports its sessions and the processes that lead them. When the pipe breaks, the guard ends the processes it knows
//! about ([`watch_over`]). The daemon's side is [`Guard`]: it starts the guard process, keeps it informed, and replaces
//! it when it dies.
//!
//! ```text
//!   begin SESSION                 a process with this mark may appear from now on
//!   group SESSION PID START       the session's CLI: leader of group PID, started at START (`-`: unknown)
//!   end SESSION                   no process of the session is left
//! ```
//! Any other line is skipped. Sessions are announced before their CLI is started, so even a daemon killed between fork
//! and exec leaves nothing behind: the mark is in the child's environment from its exec on.

mod keeper;
mod notes;
mod watch;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch as channel;
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

pub use watch::watch_over;

use notes::{GuardState, Leader, is_name};

/// The maximum wait for the guard to acknowledge a session. After that, the CLI is started anyway.
const PATIENCE: Duration = Duration::from_secs(1);

/// The command that starts the guard process. Its environment is empty and its standard input is the pipe.
#[derive(Debug, Clone)]
pub struct GuardCommand {
    /// The absolute path of the program.
    pub program: PathBuf,
    /// The process name (its `argv[0]`).
    pub name: OsString,
    /// The program's arguments. When started with them, it must call [`watch_over`] and do nothing else.
    pub args: Vec<OsString>,
}

/// The daemon's handle to its guard process. Cheap to clone; clones share one guard. When the last clone is dropped,
/// the guard ends the processes it still knows about.
#[derive(Clone, Debug)]
pub struct Guard(Arc<Handle>);

#[derive(Debug)]
struct Handle {
    state: channel::Sender<GuardState>,
    /// The revision of `state` that the guard process has received.
    acknowledged: channel::Receiver<u64>,
    /// The task that owns the guard process.
    tasks: TaskTracker,
    keeper: AbortHandle,
}

impl Guard {
    /// Starts the guard process and waits until it is running, for at most a second. `standing` lists marks that it
    /// looks for at the end in addition to those of the sessions. A guard that cannot be started is logged and retried;
    /// meanwhile logins continue without it.
    pub async fn start(command: GuardCommand, standing: &[&str]) -> Self {
        let mut first = GuardState::default();
        for mark in standing {
            first.stand(mark);
        }
        let (state, changes) = channel::channel(first);
        let (acknowledge, mut acknowledged) = channel::channel(0);
        let tasks = TaskTracker::new();
        let keeper = tasks.spawn(keeper::keep(command, changes, acknowledge)).abort_handle();
        tasks.close();
        if timeout(PATIENCE, acknowledged.changed()).await.is_err() {
            tracing::warn!("the guard process did not start in time; retrying");
        }
        Self(Arc::new(Handle { state, acknowledged, tasks, keeper }))
    }

    /// Announces a session whose CLI is about to be started. Waits until the guard has acknowledged it, for at most a
    /// second.
    pub(crate) async fn announce(&self, session: &str) {
        if !is_name(session) {
            tracing::warn!("the guard cannot watch a session whose id is not visible ASCII");
            return;
        }
        let mut revision = 0;
        self.0.state.send_modify(|state| revision = state.begin(session));
        let mut acknowledged = self.0.acknowledged.clone();
        let knows = acknowledged.wait_for(|acknowledged| *acknowledged >= revision);
        if !matches!(timeout(PATIENCE, knows).await, Ok(Ok(_))) {
            tracing::warn!(
                session,
                "the guard did not acknowledge a session in time; its login starts unguarded"
            );
        }
    }

    /// Reports the process that leads a session to the guard.
    pub(crate) fn leads(&self, session: &str, pid: u32, start: Option<&str>) {
        let leader = Leader { pid, start: start.map(str::to_owned) };
        self.0.state.send_if_modified(|state| state.lead(session, leader));
    }

    /// Reports to the guard that no process of a session is left.
    pub(crate) fn forget(&self, session: &str) {
        self.0.state.send_if_modified(|state| state.end(session));
    }

    /// Closes the pipe and waits for the guard to exit, for at most `patience`. The guard first ends the remaining
    /// sessions.
    pub async fn close(&self, patience: Duration) {
        self.0.state.send_modify(GuardState::close);
        if timeout(patience, self.0.tasks.wait()).await.is_err() {
            tracing::warn!("the guard process did not exit in time");
            self.0.keeper.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(program: &str, args: &[&str]) -> GuardCommand {
        let args = args.iter().map(OsString::from).collect();
        GuardCommand { program: program.into(), name: "guard".into(), args }
    }

    #[tokio::test]
    async fn guard_reads_the_notes_and_exits_when_the_pipe_closes() {
        let home = tempfile::tempdir().unwrap();
        let heard = home.path().join("heard");
        let script = format!("exec cat > {}", heard.display());
        let guard = Guard::start(command("/bin/sh", &["-c", &script]), &["probe"]).await;
        guard.announce("a").await;
        guard.leads("a", 7, Some("99"));
        guard.announce("no name").await;
        guard.announce("b").await;
        guard.forget("a");
        guard.close(Duration::from_secs(30)).await;
        let heard = std::fs::read_to_string(heard).unwrap();
        let lines: Vec<&str> = heard.lines().collect();
        assert_eq!(lines[..2], ["begin probe", "begin a"]);
        assert!(lines.ends_with(&["end a", "end probe"]), "{heard}");
        assert!(lines.contains(&"group a 7 99") && lines.contains(&"begin b"), "{heard}");
    }

    #[tokio::test]
    async fn announcement_and_close_return_when_the_guard_is_missing_or_stuck() {
        for (program, args) in
            [("/nonexistent", &[][..]), ("/bin/sleep", &["20"][..]), ("/bin/false", &[][..])]
        {
            let guard = Guard::start(command(program, args), &[]).await;
            for number in 0..2000 {
                guard.0.state.send_modify(|state| _ = state.begin(&format!("{number}{}", "x".repeat(100))));
            }
            timeout(Duration::from_secs(30), guard.announce("last")).await.unwrap();
            guard.close(Duration::from_millis(10)).await;
            timeout(Duration::from_secs(30), guard.0.tasks.wait()).await.unwrap();
        }
    }
}
