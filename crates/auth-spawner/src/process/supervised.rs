//! Runs a command that may be in the middle of saving a login when its time is over. It is asked to end before it is
//! killed, and it ends by itself if the daemon dies.

use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::environment::{ChildEnv, beside_interpreter};
use super::inspect::child_pid;

/// The time between the request to end and the end by force.
const GRACE: Duration = Duration::from_secs(2);
/// The maximum wait for output after the command has exited.
const LATE: Duration = Duration::from_millis(200);
/// The maximum number of bytes of both output streams.
const MOST: usize = 1024 * 1024;
/// The maximum number of lines of each output stream.
const MOST_LINES: usize = 20_000;
/// The number of lines that wait to be read.
const LINES: usize = 64;

/// A command to supervise. It leads a new process group.
pub(crate) struct SupervisedCommand<'a> {
    pub(crate) program: &'a Path,
    pub(crate) args: &'a [String],
    pub(crate) env: &'a ChildEnv,
    pub(crate) dir: &'a Path,
    /// The maximum run time.
    pub(crate) limit: Duration,
}

/// The way in which a supervised command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunEnd {
    /// It exited with this code, or `None` for a signal.
    Exited(Option<i32>),
    /// The process was ended because its work was done.
    Ended,
    /// It ran longer than its limit and was ended.
    TimedOut,
    /// It printed more than its limit and was ended.
    Flooded,
    /// It could not be started. The text is the reason.
    NotStarted(String),
}

/// The next step of a dialogue after a line of output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// More output is expected.
    Listen,
    /// Nothing more will be asked; standard input is closed.
    Close,
}

/// A line of standard output, or the sign that there is too much output.
enum Heard {
    Out(Vec<u8>),
    Err(Vec<u8>),
    Flood,
}

impl SupervisedCommand<'_> {
    /// Runs the command. `input` is written to its standard input, which stays open until `listen` returns
    /// [`Turn::Close`] for a line of standard output. `listen` also receives the lines of standard error, marked by
    /// `false`. The command is ended early if `done` resolves.
    pub(crate) async fn run(
        self,
        input: Option<Vec<u8>>,
        mut listen: impl FnMut(&[u8], bool) -> Turn,
        done: impl Future<Output = ()>,
    ) -> RunEnd {
        let deadline = Instant::now() + self.limit;
        let Ok(started) = timeout(self.limit, self.spawn(input.is_some())).await else {
            return RunEnd::TimedOut;
        };
        let mut child = match started {
            Ok(child) => child,
            Err(error) => return RunEnd::NotStarted(error.to_string()),
        };
        let group = Group(child.id().and_then(child_pid));
        let (sender, mut lines) = mpsc::channel(LINES);
        let mut readers = JoinSet::new();
        if let (Some(out), Some(err)) = (child.stdout.take(), child.stderr.take()) {
            readers.spawn(read_lines(out, sender.clone(), Heard::Out));
            readers.spawn(read_lines(err, sender, Heard::Err));
        }
        let mut stdin = child.stdin.take();
        if let (Some(pipe), Some(input)) = (&mut stdin, input) {
            // A command that does not read shows it by its exit. The input is smaller than the buffer of a pipe.
            let _ = timeout(self.limit, pipe.write_all(&input)).await;
        }
        let mut done = std::pin::pin!(done);
        let end = loop {
            tokio::select! {
                biased;
                heard = lines.recv(), if !lines.is_closed() || !lines.is_empty() => {
                    if let Some(end) = take(heard, &mut listen, &mut stdin) { break Some(end) }
                }
                status = child.wait() => break status.ok().map(|status| RunEnd::Exited(status.code())),
                () = &mut done => break Some(RunEnd::Ended),
                () = sleep_until(deadline) => break Some(RunEnd::TimedOut),
            }
        };
        let end = end.unwrap_or(RunEnd::Exited(None));
        drop(stdin);
        match end {
            // What the command has started ends with it.
            RunEnd::Exited(_) => group.signal(Signal::KILL),
            _ => group.end(&mut child).await,
        }
        let rest = async {
            while let Some(heard) = lines.recv().await {
                take(Some(heard), &mut listen, &mut None);
            }
        };
        // A process that left the group may hold the output open.
        let _ = timeout(LATE, rest).await;
        end
    }

    async fn spawn(&self, talks: bool) -> io::Result<Child> {
        let (env, program) = (self.env.clone(), self.program.to_owned());
        let env = tokio::task::spawn_blocking(move || beside_interpreter(&env, &program)).await?;
        Command::new(self.program)
            .args(self.args)
            .env_clear()
            .envs(env.iter())
            .current_dir(self.dir)
            .stdin(if talks { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
    }
}

/// Hands a line on. Returns the end of the run if there is too much output.
fn take(
    heard: Option<Heard>,
    listen: &mut impl FnMut(&[u8], bool) -> Turn,
    stdin: &mut Option<ChildStdin>,
) -> Option<RunEnd> {
    match heard? {
        Heard::Flood => return Some(RunEnd::Flooded),
        Heard::Out(line) => {
            if listen(&line, true) == Turn::Close {
                *stdin = None;
            }
        }
        Heard::Err(line) => {
            listen(&line, false);
        }
    }
    None
}

/// The process group of a command. It is not killed on drop: if the daemon stops first, the command goes on and saves its
/// login, and the next daemon waits for it.
struct Group(Option<Pid>);

impl Group {
    /// Asks the group to end, and kills it after the grace period.
    async fn end(&self, child: &mut Child) {
        self.signal(Signal::TERM);
        let _ = timeout(GRACE, child.wait()).await;
        self.signal(Signal::KILL);
        let _ = timeout(GRACE, child.wait()).await;
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.0 {
            // The group may already be gone, which is fine.
            let _ = rustix::process::kill_process_group(group, signal);
        }
    }
}

/// Sends the lines of a stream until it ends or is too long.
async fn read_lines(
    mut stream: impl AsyncRead + Unpin,
    lines: mpsc::Sender<Heard>,
    heard: impl Fn(Vec<u8>) -> Heard,
) {
    let (mut buffer, mut total, mut number) = (Vec::new(), 0, 0);
    loop {
        let count = match stream.read_buf(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(count) => count,
        };
        total += count;
        if total > MOST {
            let _ = lines.send(Heard::Flood).await;
            return;
        }
        while let Some(at) = memchr::memchr(b'\n', &buffer) {
            let rest = buffer.split_off(at + 1);
            let line = std::mem::replace(&mut buffer, rest);
            number += 1;
            if number > MOST_LINES {
                let _ = lines.send(Heard::Flood).await;
                return;
            }
            if lines.send(heard(line)).await.is_err() {
                return;
            }
        }
    }
    if !buffer.is_empty() {
        let _ = lines.send(heard(buffer)).await;
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    async fn run(script: &str, limit: Duration, input: Option<&str>) -> (RunEnd, String) {
        let args = ["-c".to_owned(), script.to_owned()];
        let env = ChildEnv::from_iter([("PATH", "/usr/bin:/bin")]);
        let mut text = String::new();
        let command = SupervisedCommand {
            program: Path::new("/bin/sh"),
            args: &args,
            env: &env,
            dir: Path::new("/"),
            limit,
        };
        let listen = |line: &[u8], out: bool| {
            text.push_str(if out { "o:" } else { "e:" });
            text.push_str(&String::from_utf8_lossy(line));
            if line == b"bye\n" { Turn::Close } else { Turn::Listen }
        };
        let end = command.run(input.map(|input| input.as_bytes().to_owned()), listen, pending()).await;
        (end, text)
    }

    const LONG: Duration = Duration::from_mins(1);

    #[tokio::test]
    async fn command_is_heard_to_its_end() {
        let ended = run("echo one; printf two; exit 3", LONG, None).await;
        assert_eq!(ended, (RunEnd::Exited(Some(3)), "o:one\no:two".to_owned()));
        let ended = run("read word; echo \"$word\"; cat; exit 0", LONG, Some("bye\n")).await;
        assert_eq!(ended, (RunEnd::Exited(Some(0)), "o:bye\n".to_owned()));
    }

    #[tokio::test]
    async fn command_that_hangs_or_floods_is_ended() {
        let second = Duration::from_secs(1);
        assert_eq!(run("exec sleep 600", second, None).await.0, RunEnd::TimedOut);
        assert_eq!(run("trap '' TERM; while :; do sleep 1; done", second, None).await.0, RunEnd::TimedOut);
        assert_eq!(run("while :; do echo a long line of output; done", LONG, None).await.0, RunEnd::Flooded);
    }

    /// A command that saves its answer when it is asked to end has the time for it.
    #[tokio::test]
    async fn command_is_asked_to_end_before_it_is_killed() {
        let script = "trap 'echo saved; exit 0' TERM; echo ready; while :; do sleep 0.05; done";
        let (end, text) = run(script, Duration::from_secs(1), None).await;
        // A shell may report on standard error that its `sleep` was ended as well.
        let told: Vec<&str> = text.lines().filter(|line| line.starts_with("o:")).collect();
        assert_eq!((end, told), (RunEnd::TimedOut, vec!["o:ready", "o:saved"]));
    }

    #[tokio::test]
    async fn command_that_cannot_be_started_has_a_reason() {
        let env = ChildEnv::default();
        let (program, dir) = (Path::new("/none/such"), Path::new("/"));
        let command = SupervisedCommand { program, args: &[], env: &env, dir, limit: LONG };
        let end = command.run(None, |_, _| Turn::Listen, pending()).await;
        assert!(matches!(end, RunEnd::NotStarted(_)), "{end:?}");
    }
}
