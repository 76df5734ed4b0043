//! Child processes: opened on pipes or on a pseudo-terminal, seen the same way, ended as a whole tree.

pub(crate) mod bounded;
pub(crate) mod inspect;
pub(crate) mod leftover;
mod pipe;
mod pty;
pub(crate) mod tree;

use std::path::PathBuf;

use futures_util::future::BoxFuture;
use rustix::process::{Pid, Signal};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::environment::ChildEnv;
use crate::recipe::Terminal;

/// A started child, whatever it is attached to.
pub(crate) struct Parts {
    /// One stream for a pseudo-terminal, two (standard output, standard error) for pipes.
    pub(crate) streams: Vec<Box<dyn AsyncRead + Send + Unpin>>,
    pub(crate) stdin: Box<dyn AsyncWrite + Send + Unpin>,
    /// Ends when the child itself has ended and has been reaped.
    pub(crate) exit: BoxFuture<'static, Exit>,
    /// Process id and, because every child leads a group of its own, the group's id.
    pub(crate) pid: u32,
    pub(crate) leash: Leash,
}

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Exit {
    /// `None` when a signal ended it.
    pub(crate) code: Option<i32>,
}

/// What to start.
pub(crate) struct Launch {
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<String>,
    pub(crate) env: ChildEnv,
    pub(crate) dir: PathBuf,
    pub(crate) terminal: Terminal,
}

/// Why nothing was started.
#[derive(Debug)]
pub(crate) enum OpenError {
    Program(String),
    Terminal(String),
}

/// Starts a child.
pub(crate) async fn open(launch: Launch) -> Result<Parts, OpenError> {
    if !crate::locate::is_executable(&launch.program) {
        return Err(OpenError::Program("the program is not an executable file".to_owned()));
    }
    match launch.terminal {
        Terminal::Pipe => pipe::open(&launch),
        Terminal::Pty { columns, rows } => pty::open(launch, columns, rows).await,
    }
}

/// Kills a process group when dropped, so that no way out of the code that holds it leaves a child behind.
pub(crate) struct Leash(Option<Pid>);

impl Leash {
    pub(crate) fn new(pid: Option<u32>) -> Self {
        Self(pid.and_then(inspect::child_pid))
    }

    /// The group is known to be gone: its number may belong to somebody else from now on.
    pub(crate) fn release(&mut self) {
        self.0 = None;
    }
}

impl Drop for Leash {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // The group may be gone already, which is what is wanted.
            let _ = rustix::process::kill_process_group(group, Signal::KILL);
        }
    }
}
