//! A running program that a test reads from and types to.

use std::process::{Command, Stdio};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::PATIENCE;

/// A running program, which is killed on drop.
pub(crate) struct Program {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: watch::Receiver<String>,
    stderr: watch::Receiver<String>,
    readers: JoinSet<()>,
}

/// A program that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// The exit code; `None` if a signal ended the program.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Program {
    /// Starts the program with all three streams on pipes.
    pub(crate) fn start(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = tokio::process::Command::from(command).kill_on_drop(true).spawn().unwrap();
        let mut readers = JoinSet::new();
        let stdout = collect(child.stdout.take().unwrap(), &mut readers);
        let stderr = collect(child.stderr.take().unwrap(), &mut readers);
        Self { stdin: child.stdin.take(), child, stdout, stderr, readers }
    }

    /// Waits until standard output contains this text.
    pub(crate) async fn says(&self, text: &str) {
        heard(self.stdout.clone(), text).await;
    }

    /// Waits until standard error contains this text.
    pub(crate) async fn notes(&self, text: &str) {
        heard(self.stderr.clone(), text).await;
    }

    /// Waits until standard error contains this text, and returns all of it so far.
    pub(crate) async fn noted(&self, text: &str) -> String {
        self.notes(text).await;
        self.stderr.borrow().clone()
    }

    /// Returns standard error up to now.
    pub(crate) fn noted_so_far(&self) -> String {
        self.stderr.borrow().clone()
    }

    /// Types a line.
    pub(crate) async fn types(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(format!("{line}\n").as_bytes()).await.unwrap();
        stdin.flush().await.unwrap();
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(self.child.id().unwrap().cast_signed()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Closes standard input and waits for the end.
    pub(crate) async fn end(mut self) -> Ended {
        drop(self.stdin.take());
        let ended = async {
            let status = self.child.wait().await.unwrap();
            while self.readers.join_next().await.is_some() {}
            status
        };
        let status = tokio::time::timeout(PATIENCE, ended).await;
        let (stdout, stderr) = (self.stdout.borrow().clone(), self.stderr.borrow().clone());
        let status = status.unwrap_or_else(|_| panic!("no end\nstdout: {stdout}\nstderr: {stderr}"));
        Ended { code: status.code(), stdout, stderr }
    }
}

/// Collects the output of a stream until it ends.
fn collect(
    mut stream: impl AsyncRead + Send + Unpin + 'static,
    readers: &mut JoinSet<()>,
) -> watch::Receiver<String> {
    let (sender, receiver) = watch::channel(String::new());
    readers.spawn(async move {
        let mut bytes = Vec::new();
        while stream.read_buf(&mut bytes).await.unwrap() > 0 {
            sender.send_replace(String::from_utf8_lossy(&bytes).into_owned());
        }
    });
    receiver
}

async fn heard(mut stream: watch::Receiver<String>, text: &str) {
    let found = stream.wait_for(|printed| printed.contains(text));
    let found = tokio::time::timeout(PATIENCE, found).await.is_ok_and(|found| found.is_ok());
    assert!(found, "no {text:?} in {:?}", *stream.borrow());
}
