//! The daemon's side of the pipe: one task that owns the guard process, keeps it informed and replaces it when it dies.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::GuardCommand;
use super::notes::{GuardState, Sessions, difference};

/// The maximum duration of a write to the guard. A guard that does not read is useless.
const WRITE: Duration = Duration::from_secs(1);
/// The first pause before a guard is restarted. It doubles up to the longest pause.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// The time that a guard must run before it counts as healthy.
const PROVEN: Duration = Duration::from_mins(1);

/// Keeps a guard running until it is no longer needed.
pub(super) async fn keep(
    command: GuardCommand,
    mut state: watch::Receiver<GuardState>,
    acknowledged: watch::Sender<u64>,
) {
    let mut pause = FIRST_PAUSE;
    loop {
        let started = Instant::now();
        let why = match GuardProcess::open(&command) {
            Ok(process) => match process.serve(&mut state, &acknowledged).await {
                Ok(()) => return,
                Err(why) => why,
            },
            Err(error) => format!("could not be started: {error}"),
        };
        if started.elapsed() >= PROVEN {
            pause = FIRST_PAUSE;
        }
        tracing::warn!(why, pause_ms = pause.as_millis(), "the guard process is gone; restarting it");
        if !unguarded(&mut state, &acknowledged, Instant::now() + pause).await {
            return;
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// A guard process at the other end of a pipe.
struct GuardProcess {
    child: Child,
    pipe: ChildStdin,
}

impl GuardProcess {
    fn open(command: &GuardCommand) -> io::Result<Self> {
        let mut base = std::process::Command::new(&command.program);
        base.arg0(&command.name);
        let mut child = Command::from(base)
            .args(&command.args)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        let pipe = child.stdin.take().ok_or_else(|| io::Error::other("the guard process has no pipe"))?;
        tracing::debug!(pid = child.id(), "the guard process is running");
        Ok(Self { child, pipe })
    }

    /// Sends all sessions to the guard, then each change. `Err` contains the reason why the guard is gone.
    async fn serve(
        mut self,
        state: &mut watch::Receiver<GuardState>,
        acknowledged: &watch::Sender<u64>,
    ) -> Result<(), String> {
        let mut sent = Sessions::new();
        loop {
            let now = state.borrow_and_update().clone();
            let lines = difference(&sent, &now.sessions);
            match timeout(WRITE, self.pipe.write_all(lines.as_bytes())).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    return Err(self.dismiss(format!("writing to its pipe failed: {error}")).await);
                }
                Err(_) => return Err(self.dismiss("it does not read its pipe".to_owned()).await),
            }
            sent = now.sessions;
            acknowledged.send_replace(now.revision);
            if now.closing {
                drop(self.pipe);
                // The guard ends the remaining sessions and has a time limit for that.
                let _ = self.child.wait().await;
                return Ok(());
            }
            tokio::select! {
                // The last sender has been dropped, so no further change can arrive. Returning closes the pipe.
                changed = state.changed() => if changed.is_err() { return Ok(()) },
                status = self.child.wait() => {
                    return Err(status.map_or_else(|error| error.to_string(), |status| status.to_string()));
                }
            }
        }
    }

    /// Kills a useless guard. It must not see the pipe break, because it would then end the logins.
    async fn dismiss(mut self, why: String) -> String {
        // The process may already have exited.
        let _ = self.child.start_kill();
        let _ = self.child.wait().await;
        why
    }
}

/// Waits before the next attempt to start a guard. Meanwhile logins continue, and their announcements are acknowledged
/// without a guard. Returns whether to make another attempt.
async fn unguarded(
    state: &mut watch::Receiver<GuardState>,
    acknowledged: &watch::Sender<u64>,
    until: Instant,
) -> bool {
    loop {
        let (revision, closing) = {
            let now = state.borrow_and_update();
            (now.revision, now.closing)
        };
        if closing {
            return false;
        }
        acknowledged.send_replace(revision);
        tokio::select! {
            changed = state.changed() => if changed.is_err() { return false },
            () = sleep_until(until) => return true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn guard_is_dismissed_when_it_does_not_read() {
        let command =
            GuardCommand { program: "/bin/sleep".into(), name: "sleep".into(), args: vec!["1000".into()] };
        let process = GuardProcess::open(&command).unwrap();
        let pid = process.child.id().unwrap();
        let mut crowd = GuardState::default();
        for number in 0..2000 {
            crowd.begin(&format!("{number}{}", "x".repeat(100)));
        }
        let (_sender, mut changes) = watch::channel(crowd);
        let (acknowledge, acknowledged) = watch::channel(0);
        let served =
            timeout(Duration::from_secs(30), process.serve(&mut changes, &acknowledge)).await.unwrap();
        assert_eq!(served, Err("it does not read its pipe".to_owned()));
        assert_eq!((crate::start_ticks(pid), *acknowledged.borrow()), (None, 0));
    }

    /// A login must not wait for a missing guard. An announcement also returns without an acknowledgement, but later.
    #[tokio::test]
    async fn announcements_are_acknowledged_without_a_guard() {
        let (sender, mut state) = watch::channel(GuardState::default());
        let (acknowledge, mut acknowledged) = watch::channel(0);
        let never = Instant::now() + Duration::from_hours(1);
        let waits = tokio::spawn(async move { unguarded(&mut state, &acknowledge, never).await });
        for number in 0..3 {
            let mut revision = 0;
            sender.send_modify(|state| revision = state.begin(&format!("session-{number}")));
            let known = acknowledged.wait_for(|acknowledged| *acknowledged == revision);
            timeout(Duration::from_secs(30), known).await.unwrap().unwrap();
        }
        sender.send_modify(GuardState::close);
        assert!(!waits.await.unwrap(), "no other guard may be started");
    }
}
