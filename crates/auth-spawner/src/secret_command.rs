//! Runs an operator's command that prints one secret, such as the client of a secret manager.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use secrecy::SecretString;

use crate::process::{BoundedCommand, ChildEnv, CommandError};

/// The working directory of the command. It always exists and contains no configuration.
const DIR: &str = "/";

/// A command that prints a secret. No shell is involved: the first item of `argv` is the absolute path of the program.
/// `Debug` shows no arguments.
///
/// The command runs with exactly this environment, an empty standard input, and a new process group that is killed when
/// the command exits. Its standard error is discarded. A process that leaves the group keeps running, such as the agent
/// that many secret managers start once per user.
pub struct SecretCommand<'a> {
    /// The program and its arguments.
    pub argv: &'a [String],
    /// The complete environment of the command.
    pub environment: &'a ChildEnv,
    /// The maximum run time. After that, the process group is killed.
    pub timeout: Duration,
    /// The maximum number of bytes that the command may print. Exceeding it ends the command.
    pub bytes: usize,
}

/// The reason why there is no secret. The texts contain none of the command's output.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// The program is missing, or its path is not absolute.
    #[error("the command does not start with the absolute path of a program")]
    NoProgram,
    /// The program cannot be run.
    #[error("the command cannot be run")]
    NotRun,
    /// The command exited with a code other than 0, or was killed by a signal.
    #[error("the command failed ({})", .0.map_or_else(|| "killed by a signal".to_owned(), |code| format!("exit code {code}")))]
    Failed(Option<i32>),
    /// The command took too long.
    #[error("the command timed out")]
    TimedOut,
    /// The command printed too much.
    #[error("the command printed too much output for a secret")]
    TooLong,
    /// The command printed nothing.
    #[error("the command printed nothing")]
    Empty,
    /// The output is not one line of text.
    #[error("the command's output is not a single line of text")]
    NotText,
}

impl fmt::Debug for SecretCommand<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SecretCommand")
            .field("program", &self.argv.first())
            .field("environment", self.environment)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

impl SecretCommand<'_> {
    /// Runs the command. The secret is its complete output, without a final line ending.
    ///
    /// # Errors
    /// Returns a [`SecretError`].
    pub async fn ask(self) -> Result<SecretString, SecretError> {
        let (program, args) = self.argv.split_first().ok_or(SecretError::NoProgram)?;
        let program = Path::new(program);
        if !program.is_absolute() {
            return Err(SecretError::NoProgram);
        }
        let command = BoundedCommand {
            program,
            args,
            env: self.environment,
            dir: Path::new(DIR),
            limit: self.timeout,
            out: self.bytes,
            err: 0,
        };
        let ended = command.run().await.map_err(|broken| match broken {
            CommandError::Io(error) => {
                tracing::warn!(%error, "a secret command cannot be run");
                SecretError::NotRun
            }
            CommandError::TooLong => SecretError::TooLong,
            CommandError::TimedOut => SecretError::TimedOut,
        })?;
        if ended.code != Some(0) {
            return Err(SecretError::Failed(ended.code));
        }
        secret(&ended.out)
    }
}

fn secret(printed: &[u8]) -> Result<SecretString, SecretError> {
    let text = std::str::from_utf8(printed).map_err(|_| SecretError::NotText)?;
    let line = text.strip_suffix('\n').map_or(text, |line| line.strip_suffix('\r').unwrap_or(line));
    match line {
        "" => Err(SecretError::Empty),
        _ if line.contains(char::is_control) => Err(SecretError::NotText),
        _ => Ok(SecretString::from(line)),
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn secret_must_be_exactly_one_line_of_text() {
        let check = |printed: &[u8], expected: Result<&str, SecretError>| {
            let got = secret(printed).map(|secret| secret.expose_secret().to_owned());
            assert_eq!(got, expected.map(str::to_owned), "{printed:?}");
        };
        check(b"sk-1", Ok("sk-1"));
        check(b"sk-1\n", Ok("sk-1"));
        check(b"sk-1\r\n", Ok("sk-1"));
        check(" sk-\u{e9} \n".as_bytes(), Ok(" sk-\u{e9} "));
        check(b"", Err(SecretError::Empty));
        check(b"\n", Err(SecretError::Empty));
        check(b"sk-1\n\n", Err(SecretError::NotText));
        check(b"sk-1\nsk-2\n", Err(SecretError::NotText));
        check(b"sk\0-1", Err(SecretError::NotText));
        check(b"sk-\xff", Err(SecretError::NotText));
    }
}
