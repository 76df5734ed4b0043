//! Runs a command to completion, with limits on its run time and its output.

use std::io;
use std::path::Path;
use std::pin::pin;
use std::process::Stdio;
use std::time::Duration;

use secrecy::zeroize::Zeroizing;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;
use tokio::time::timeout;

use super::KillOnDrop;
use super::environment::{ChildEnv, beside_interpreter};

/// The maximum wait for output after the command has exited, if a process that left its group holds the output open.
/// The command's own output has been written by then.
const LATE: Duration = Duration::from_millis(200);

/// A command to run. Its standard input is empty. It leads a new process group, which is killed when the command exits.
pub(crate) struct BoundedCommand<'a> {
    pub(crate) program: &'a Path,
    pub(crate) args: &'a [String],
    pub(crate) env: &'a ChildEnv,
    pub(crate) dir: &'a Path,
    /// The maximum run time. After that, the group is killed.
    pub(crate) limit: Duration,
    /// The maximum number of bytes of standard output; 0 discards it.
    pub(crate) out: usize,
    /// The maximum number of bytes of standard error; 0 discards it.
    pub(crate) err: usize,
}

/// The output of a command that was not killed for exceeding a limit.
pub(crate) struct CommandOutput {
    /// The exit code, or `None` if the command was killed by a signal.
    pub(crate) code: Option<i32>,
    pub(crate) out: Zeroizing<Vec<u8>>,
    pub(crate) err: Zeroizing<Vec<u8>>,
}

/// The reason why a command has no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    /// The command could not be started, or its output could not be read.
    #[error("{0}")]
    Io(io::Error),
    /// The command printed more than its limit and was killed.
    #[error("it printed too much")]
    TooLong,
    /// The command ran longer than its limit and was killed.
    #[error("it did not end in time")]
    TimedOut,
}

impl<'a> BoundedCommand<'a> {
    /// Describes a command whose output is discarded.
    pub(crate) fn silent(
        program: &'a Path,
        args: &'a [String],
        env: &'a ChildEnv,
        dir: &'a Path,
        limit: Duration,
    ) -> Self {
        Self { program, args, env, dir, limit, out: 0, err: 0 }
    }

    /// Runs the command for its exit code; `None` if it cannot be run, is killed by a signal or takes too long.
    pub(crate) async fn code(self) -> Option<i32> {
        self.run().await.ok()?.code
    }

    /// Runs the command to completion.
    pub(crate) async fn run(self) -> Result<CommandOutput, CommandError> {
        let piped = |most: usize| if most == 0 { Stdio::null() } else { Stdio::piped() };
        let (env, program) = (self.env.clone(), self.program.to_owned());
        let adapted = tokio::task::spawn_blocking(move || beside_interpreter(&env, &program));
        let Ok(adapted) = timeout(self.limit, adapted).await else { return Err(CommandError::TimedOut) };
        let env = adapted.map_err(|error| CommandError::Io(error.into()))?;
        let mut child = Command::new(self.program)
            .args(self.args)
            .env_clear()
            .envs(env.iter())
            .current_dir(self.dir)
            .stdin(Stdio::null())
            .stdout(piped(self.out))
            .stderr(piped(self.err))
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(CommandError::Io)?;
        let group = KillOnDrop::new(child.id());
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        // The buffers are allocated at full size, because growing them would leave copies of secrets behind.
        let [mut out, mut err] = [self.out, self.err].map(|most| Zeroizing::new(Vec::with_capacity(most)));
        let work = async {
            let mut reading = pin!(async {
                tokio::try_join!(fill(stdout, &mut out, self.out), fill(stderr, &mut err, self.err))
            });
            let mut read = false;
            let status = loop {
                tokio::select! {
                    done = &mut reading, if !read => { done?; read = true; }
                    status = child.wait() => break status.map_err(CommandError::Io)?,
                }
            };
            // Processes started by the command are killed with it, which closes the output.
            drop(group);
            if !read && let Ok(done) = timeout(LATE, &mut reading).await {
                done?;
            }
            Ok(status.code())
        };
        let code = timeout(self.limit, work).await.unwrap_or(Err(CommandError::TimedOut))?;
        Ok(CommandOutput { code, out, err })
    }
}

/// Reads a stream to its end, up to `most` bytes.
async fn fill(
    stream: Option<impl AsyncRead + Unpin>,
    bytes: &mut Vec<u8>,
    most: usize,
) -> Result<(), CommandError> {
    let Some(mut stream) = stream else { return Ok(()) };
    loop {
        let left = most - bytes.len();
        if left == 0 {
            let more = stream.read(&mut [0]).await.map_err(CommandError::Io)?;
            return if more == 0 { Ok(()) } else { Err(CommandError::TooLong) };
        }
        let mut limited = (&mut stream).take(left as u64);
        if limited.read_buf(bytes).await.map_err(CommandError::Io)? == 0 {
            return Ok(());
        }
    }
}
