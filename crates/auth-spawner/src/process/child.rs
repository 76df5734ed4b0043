//! Child processes: started on pipes or on a pseudo-terminal behind one interface, and ended as a whole tree.

use std::path::PathBuf;

use futures_util::future::BoxFuture;
use rustix::process::{Pid, Signal};
use tokio::io::{AsyncRead, AsyncWrite};

use super::environment::{ChildEnv, beside_interpreter};
use super::locate::is_program;
use super::{inspect, pipe, pty};
use crate::registry::Terminal;

/// A started child, on a pseudo-terminal or on pipes.
pub(crate) struct StartedChild {
    /// One stream for a pseudo-terminal; two (standard output and standard error) for pipes.
    pub(crate) streams: Vec<Box<dyn AsyncRead + Send + Unpin>>,
    pub(crate) stdin: Box<dyn AsyncWrite + Send + Unpin>,
    /// Resolves when the child itself has exited and has been reaped.
    pub(crate) exit: BoxFuture<'static, Exit>,
    /// The process id. It is also the group id, because every child leads a new process group.
    pub(crate) pid: u32,
    pub(crate) kill_on_drop: KillOnDrop,
}

/// The exit of a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Exit {
    /// The exit code, or `None` if the child was killed by a signal.
    pub(crate) code: Option<i32>,
}

/// The description of a child to start.
pub(crate) struct ChildCommand {
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<String>,
    pub(crate) env: ChildEnv,
    pub(crate) dir: PathBuf,
    pub(crate) terminal: Terminal,
}

/// The reason why no child was started.
#[derive(Debug)]
pub(crate) enum OpenError {
    Program(String),
    Terminal(String),
}

/// Starts a child on pipes or on a pseudo-terminal.
pub(crate) async fn open(command: ChildCommand) -> Result<StartedChild, OpenError> {
    let (program, env) = (command.program.clone(), command.env.clone());
    let looked = move || is_program(&program).then(|| beside_interpreter(&env, &program));
    let Ok(Some(env)) = tokio::task::spawn_blocking(looked).await else {
        return Err(OpenError::Program("the program is not an executable file".to_owned()));
    };
    let command = ChildCommand { env, ..command };
    match command.terminal {
        Terminal::Pipe => pipe::open(&command),
        Terminal::Pty { columns, rows } => pty::open(command, columns, rows).await,
    }
}

/// A handle that kills a process group when dropped, so that no exit path can leave a child behind.
pub(crate) struct KillOnDrop(Option<Pid>);

impl KillOnDrop {
    pub(crate) fn new(pid: Option<u32>) -> Self {
        Self(pid.and_then(inspect::child_pid))
    }

    /// Releases the group, which is known to be gone. Its id may be reused by another group from now on.
    pub(crate) fn release(&mut self) {
        self.0 = None;
    }
}

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // The group may already be gone, which is fine.
            let _ = rustix::process::kill_process_group(group, Signal::KILL);
        }
    }
}
