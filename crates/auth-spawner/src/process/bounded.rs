//! A command that is run to its end, with bounds on its time and on its output.

use std::io;
use std::path::Path;
use std::pin::pin;
use std::process::Stdio;
use std::time::Duration;

use secrecy::zeroize::Zeroizing;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;
use tokio::time::timeout;

use super::Leash;
use crate::environment::ChildEnv;

/// How long output is waited for after the command has ended, when something that left its group holds it open. What
/// the command itself wrote is there by then.
const LATE: Duration = Duration::from_millis(200);

/// What to run. Its standard input is empty, and it leads a process group of its own, which ends with it.
pub(crate) struct Bounded<'a> {
    pub(crate) program: &'a Path,
    pub(crate) args: &'a [String],
    pub(crate) env: &'a ChildEnv,
    pub(crate) dir: &'a Path,
    /// Longest time, after which the group is killed.
    pub(crate) limit: Duration,
    /// The most bytes of standard output; 0 sends it nowhere.
    pub(crate) out: usize,
    /// The same for standard error.
    pub(crate) err: usize,
}

/// A command that has ended by itself.
pub(crate) struct Ended {
    /// Its exit code; `None` when a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) out: Zeroizing<Vec<u8>>,
    pub(crate) err: Zeroizing<Vec<u8>>,
}

/// Why a command has no end of its own.
#[derive(Debug)]
pub(crate) enum Broken {
    /// It cannot be started, or its output cannot be read.
    Io(io::Error),
    /// It printed more than it may, and was killed.
    TooLong,
    /// It took longer than it may, and was killed.
    TimedOut,
}

impl Bounded<'_> {
    /// Runs it.
    pub(crate) async fn run(self) -> Result<Ended, Broken> {
        let piped = |most: usize| if most == 0 { Stdio::null() } else { Stdio::piped() };
        let mut child = Command::new(self.program)
            .args(self.args)
            .env_clear()
            .envs(self.env.iter())
            .current_dir(self.dir)
            .stdin(Stdio::null())
            .stdout(piped(self.out))
            .stderr(piped(self.err))
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(Broken::Io)?;
        let leash = Leash::new(child.id());
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        // As large as they may become, so that growing leaves no copies behind.
        let [mut out, mut err] = [self.out, self.err].map(|most| Zeroizing::new(Vec::with_capacity(most)));
        let work = async {
            let mut reading = pin!(async {
                tokio::try_join!(fill(stdout, &mut out, self.out), fill(stderr, &mut err, self.err))
            });
            let mut read = false;
            let status = loop {
                tokio::select! {
                    done = &mut reading, if !read => { done?; read = true; }
                    status = child.wait() => break status.map_err(Broken::Io)?,
                }
            };
            // What it started goes with it, and lets go of the output.
            drop(leash);
            if !read && let Ok(done) = timeout(LATE, &mut reading).await {
                done?;
            }
            Ok(status.code())
        };
        let code = timeout(self.limit, work).await.unwrap_or(Err(Broken::TimedOut))?;
        Ok(Ended { code, out, err })
    }
}

/// Reads a stream to its end into at most `most` bytes.
async fn fill(
    stream: Option<impl AsyncRead + Unpin>,
    bytes: &mut Vec<u8>,
    most: usize,
) -> Result<(), Broken> {
    let Some(mut stream) = stream else { return Ok(()) };
    loop {
        let left = most - bytes.len();
        if left == 0 {
            let more = stream.read(&mut [0]).await.map_err(Broken::Io)?;
            return if more == 0 { Ok(()) } else { Err(Broken::TooLong) };
        }
        let mut limited = (&mut stream).take(left as u64);
        if limited.read_buf(bytes).await.map_err(Broken::Io)? == 0 {
            return Ok(());
        }
    }
}
