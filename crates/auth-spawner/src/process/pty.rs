//! A child on a pseudo-terminal, without a dedicated thread.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use filedescriptor::FileDescriptor;
use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use rustix::termios::{LocalModes, OptionalActions};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{ChildCommand, Exit, KillOnDrop, OpenError, StartedChild};

/// Starts the child as the leader of a session on a new terminal. The library forks, so this runs on a blocking thread.
pub(super) async fn open(command: ChildCommand, columns: u16, rows: u16) -> Result<StartedChild, OpenError> {
    // The signal handler is installed before the child can exit, so its exit cannot be missed.
    let ended =
        signal(SignalKind::child()).map_err(|error| OpenError::Terminal(format!("SIGCHLD: {error}")))?;
    let size = PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 };
    let (child, reader, writer) = tokio::task::spawn_blocking(move || spawn(&command, size))
        .await
        .map_err(|error| OpenError::Terminal(error.to_string()))??;
    let pid = child.process_id();
    let kill_on_drop = KillOnDrop::new(pid);
    let pid = pid.ok_or_else(|| OpenError::Program("the child has no process id".to_owned()))?;
    let terminal = |error: io::Error| OpenError::Terminal(error.to_string());
    Ok(StartedChild {
        streams: vec![Box::new(register(reader).map_err(terminal)?)],
        stdin: Box::new(register(writer).map_err(terminal)?),
        exit: Box::pin(wait(child, ended)),
        pid,
        kill_on_drop,
    })
}

#[expect(deprecated, reason = "a File keeps its own descriptor open, and the replacement needs `unsafe`")]
fn register(file: File) -> io::Result<Terminal> {
    AsyncFd::new(file).map(Terminal)
}

type Spawned = (Box<dyn Child + Send + Sync>, File, File);

fn spawn(command: &ChildCommand, size: PtySize) -> Result<Spawned, OpenError> {
    let terminal = |error: &dyn std::fmt::Display| OpenError::Terminal(error.to_string());
    let pair =
        native_pty_system().openpty(size).map_err(|error| OpenError::Terminal(plain(&error.to_string())))?;
    let reader = duplicate(pair.master.as_ref()).map_err(|error| terminal(&error))?;
    let writer = duplicate(pair.master.as_ref()).map_err(|error| terminal(&error))?;
    silence(&writer).map_err(|error| terminal(&error))?;
    let mut builder = CommandBuilder::new(&command.program);
    builder.args(&command.args);
    // The builder starts with this process's environment, which includes the daemon's encryption key.
    builder.env_clear();
    for (name, value) in command.env.iter() {
        builder.env(name, value);
    }
    builder.cwd(&command.dir);
    let child = pair.slave.spawn_command(builder).map_err(|error| OpenError::Program(error.to_string()))?;
    Ok((child, reader, writer))
}

/// Returns the reason of the library as the operating system words it. The library gives the error only as the debug text
/// of its value, such as `failed to openpty: Os { code: 2, kind: NotFound, message: "No such file or directory" }`.
fn plain(reason: &str) -> String {
    let code = reason.split_once("code: ").and_then(|(_, rest)| rest.split_once([',', ' ', '}']));
    match code.and_then(|(code, _)| code.parse().ok()) {
        Some(code) => io::Error::from_raw_os_error(code).to_string(),
        None => reason.to_owned(),
    }
}

/// A descriptor that the library exposes only as a number. The wrapper allows duplicating it without `unsafe`.
struct BorrowedDescriptor(RawFd);

impl AsRawFd for BorrowedDescriptor {
    fn as_raw_fd(&self) -> RawFd {
        self.0
    }
}

fn duplicate(master: &dyn MasterPty) -> io::Result<File> {
    let borrowed = BorrowedDescriptor(
        master.as_raw_fd().ok_or_else(|| io::Error::other("the terminal has no descriptor"))?,
    );
    let mut descriptor = FileDescriptor::dup(&borrowed).map_err(io::Error::other)?;
    descriptor.set_non_blocking(true).map_err(io::Error::other)?;
    descriptor.as_file().map_err(io::Error::other)
}

/// Turns off the terminal's echo, so that a pasted answer is not printed back as output.
fn silence(terminal: &File) -> io::Result<()> {
    let mut modes = rustix::termios::tcgetattr(terminal)?;
    let echo = LocalModes::ECHO | LocalModes::ECHONL;
    if modes.local_modes.intersects(echo) {
        modes.local_modes -= echo;
        rustix::termios::tcsetattr(terminal, OptionalActions::Now, &modes)?;
    }
    Ok(())
}

async fn wait(mut child: Box<dyn Child + Send + Sync>, mut ended: Signal) -> Exit {
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.signal().is_some() => return Exit { code: None },
            Ok(Some(status)) => return Exit { code: i32::try_from(status.exit_code()).ok() },
            Ok(None) => {}
            Err(_) => return Exit { code: None },
        }
        ended.recv().await;
    }
}

/// One direction of the master side of a terminal.
struct Terminal(AsyncFd<File>);

impl AsyncRead for Terminal {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let mut ready = ready!(self.0.poll_read_ready(context))?;
            let read = ready.try_io(|file| file.get_ref().read(buffer.initialize_unfilled()));
            match read {
                Ok(Ok(count)) => {
                    buffer.advance(count);
                    return Poll::Ready(Ok(()));
                }
                // No process has the other side open any more. This is the end of the output, not an error.
                Ok(Err(error)) if error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) => {
                    return Poll::Ready(Ok(()));
                }
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(Err(error)) => return Poll::Ready(Err(error)),
                Err(_would_block) => {}
            }
        }
    }
}

impl AsyncWrite for Terminal {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        // The CLI may have turned the echo back on.
        silence(self.0.get_ref())?;
        loop {
            let mut ready = ready!(self.0.poll_write_ready(context))?;
            match ready.try_io(|file| file.get_ref().write(bytes)) {
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(written) => return Poll::Ready(written),
                Err(_would_block) => {}
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::timeout;

    use super::*;
    use crate::process::environment::ChildEnv;

    #[test]
    fn terminal_error_is_a_plain_sentence() {
        let library = format!("failed to openpty: {:?}", io::Error::from_raw_os_error(2));
        assert_eq!(plain(&library), "No such file or directory (os error 2)");
        assert_eq!(plain("another reason"), "another reason");
    }

    #[tokio::test]
    async fn pty_does_not_echo_input_and_reports_the_exit_code() {
        let command = ChildCommand {
            program: "/bin/cat".into(),
            args: Vec::new(),
            env: ChildEnv::default(),
            dir: "/".into(),
            terminal: crate::registry::Terminal::WIDE,
        };
        let mut child = open(command, 1000, 24).await.unwrap();
        // The last byte ends the input, like Control-D at the start of a line.
        child.stdin.write_all(b"secret\rend\r\x04").await.unwrap();
        let mut output = Vec::new();
        let patience = Duration::from_secs(30);
        timeout(patience, child.streams[0].read_to_end(&mut output)).await.unwrap().unwrap();
        assert_eq!(String::from_utf8(output).unwrap(), "secret\r\nend\r\n");
        let exit = timeout(patience, child.exit).await.unwrap();
        assert_eq!(exit, Exit { code: Some(0) });
    }
}
