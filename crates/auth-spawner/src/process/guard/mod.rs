//! The guard: a small process that ends the logins' processes after the daemon has ended for any reason.
//!
//! The guard holds the reading end of a pipe whose writing end only the daemon has. On the pipe the daemon reports its
//! sessions and the process groups that lead them. When the pipe breaks, the guard ends the processes that it knows of
//! ([`watch_over`]). The daemon's side is [`Guard`]: it starts the guard process, keeps it informed, and replaces it
//! when it dies.
//!
//! ```text
//!   begin SESSION                 a process with this mark may appear from now on
//!   group SESSION PID START       the session's CLI: leader of group PID, started at START (`-`: not known)
//!   end SESSION                   all of it is gone
//! ```
//! Any other line is skipped. Sessions are announced before their CLI is started, so a daemon that is killed between
//! fork and exec leaves nothing behind either: the mark is in the child's environment from its exec on.

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

/// Longest wait for the guard to learn of a session. After it the CLI is started anyway.
const PATIENCE: Duration = Duration::from_secs(1);

/// The command of the guard process. Its environment is empty and its standard input is the pipe.
#[derive(Debug, Clone)]
pub struct GuardCommand {
    /// Absolute path of the program.
    pub program: PathBuf,
    /// Name of the process (its `argv[0]`).
    pub name: OsString,
    /// Arguments of the program. With them it must call [`watch_over`] and nothing else.
    pub args: Vec<OsString>,
}

/// The daemon's handle on its guard process. Clones are cheap and share one guard. When the last clone is dropped, the
/// guard ends the processes that it still knows of.
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
    /// Starts the guard process and waits until it runs, at most a second. `standing` are marks that it looks for at
    /// the end besides those of the sessions. A guard that cannot be started is logged and retried; logins go on
    /// without it.
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
            tracing::warn!("the guard process did not start in time; it is retried");
        }
        Self(Arc::new(Handle { state, acknowledged, tasks, keeper }))
    }

    /// Announces to the guard a session whose CLI is about to be started. Waits until the guard knows of it, at most a
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

    /// Reports to the guard the process that leads a session.
    pub(crate) fn leads(&self, session: &str, pid: u32, start: Option<&str>) {
        let leader = Leader { pid, start: start.map(str::to_owned) };
        self.0.state.send_if_modified(|state| state.lead(session, leader));
    }

    /// Reports to the guard that no process of a session is left.
    pub(crate) fn forget(&self, session: &str) {
        self.0.state.send_if_modified(|state| state.end(session));
    }

    /// Closes the pipe and waits for the guard's end, at most `patience`. The guard first ends the sessions that
    /// remain.
    pub async fn close(&self, patience: Duration) {
        self.0.state.send_modify(GuardState::close);
        if timeout(patience, self.0.tasks.wait()).await.is_err() {
            tracing::warn!("the guard process did not end in time");
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
    async fn guard_reads_the_notes_and_ends_when_the_pipe_closes() {
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
    async fn announcement_and_close_end_when_the_guard_is_missing_or_stuck() {
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
