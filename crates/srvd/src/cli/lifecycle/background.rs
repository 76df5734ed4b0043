//! A daemon in the background, without a service manager. Its log is a file in the data directory.

use std::fs::OpenOptions;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use super::INTERVAL;
use crate::base::private;
use crate::cli::client::Connection;
use crate::cli::failure::{Failure, code};
use crate::cli::ui::{Ui, plain};
use crate::config::{Config, Flags};
use crate::hint::Step;

/// The maximum number of bytes and lines that are shown of the log of a start that failed.
const SHOWN_BYTES: u64 = 16 * 1024;
const SHOWN_LINES: usize = 20;

/// Returns the path of the log.
pub(super) fn log_file(config: &Config) -> PathBuf {
    config.data_dir.join("srvd.log")
}

/// A daemon that was started and may not answer yet.
pub(super) struct Started {
    child: Child,
    log: PathBuf,
    /// The length of the log before the start, in bytes.
    written: u64,
}

/// Starts this program as a daemon that outlives this process and its terminal.
///
/// # Errors
/// `CANNOT_CREATE` if the log cannot be opened, or `IO` if the program cannot be started.
pub(super) fn start(flags: &Flags, config: &Config) -> Result<Started, Failure> {
    let log = log_file(config);
    let cannot = |error: &dyn std::fmt::Display| {
        Failure::new(code::CANNOT_CREATE, format!("cannot write {}: {error}", log.display()))
    };
    private::directory_tree(&config.data_dir).map_err(|error| cannot(&error))?;
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&log);
    let file = file.map_err(|error| cannot(&error))?;
    let written = file.metadata().map_err(Failure::io)?.len();
    let other = file.try_clone().map_err(Failure::io)?;
    let mut command = Command::new(std::env::current_exe().map_err(Failure::io)?);
    command.args(["serve", "--detached"]).args(words(flags));
    command.stdin(Stdio::null()).stdout(file).stderr(other);
    let child = command.spawn().map_err(Failure::io)?;
    Ok(Started { child, log, written })
}

/// Returns the flags as they are typed.
fn words(flags: &Flags) -> Vec<String> {
    let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
    let Flags { config_dir, data_dir, runtime_dir, database_url, listen, log, log_format } = flags;
    let given = [
        ("--config-dir", path(config_dir)),
        ("--data-dir", path(data_dir)),
        ("--runtime-dir", path(runtime_dir)),
        ("--database-url", database_url.clone()),
        ("--listen", listen.clone()),
        ("--log", log.clone()),
        ("--log-format", log_format.map(|format| format.word().to_owned())),
    ];
    given.into_iter().filter_map(|(flag, value)| Some([flag.to_owned(), value?])).flatten().collect()
}

impl Started {
    /// Waits until the daemon answers.
    ///
    /// # Errors
    /// The daemon's own exit code if it exited, with the end of its log; `UNAVAILABLE` if it did not answer in time.
    pub(super) async fn answers(
        mut self,
        config: &Config,
        deadline: Instant,
        ui: &Ui,
    ) -> Result<Connection, Failure> {
        loop {
            if let Ok(daemon) = Connection::open(config).await {
                return Ok(daemon);
            }
            if let Some(status) = self.child.try_wait().map_err(Failure::io)? {
                ui.note(&plain(&self.said()));
                let exit =
                    status.code().and_then(|exit| u8::try_from(exit).ok()).unwrap_or(code::UNAVAILABLE);
                return Err(Failure::new(exit, "the daemon exited during its start, for the reason above"));
            }
            if Instant::now() >= deadline {
                let text = format!("the daemon (pid {}) does not answer yet", self.child.id());
                return Err(Failure::new(code::UNAVAILABLE, text).hint(Step::SeeItsLog));
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }

    /// Returns the last lines that the daemon wrote.
    fn said(&self) -> String {
        let text = read_from(&self.log, self.written).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n")
    }
}

fn read_from(path: &Path, start: u64) -> std::io::Result<String> {
    let mut file = std::fs::File::open(path)?;
    let end = file.metadata()?.len();
    file.seek(SeekFrom::Start(start.max(end.saturating_sub(SHOWN_BYTES))))?;
    let mut bytes = Vec::new();
    file.take(SHOWN_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_passed_on_as_they_are_typed() {
        let flags = Flags { data_dir: Some("/d".into()), listen: Some("off".to_owned()), ..Flags::default() };
        assert_eq!(words(&flags), ["--data-dir", "/d", "--listen", "off"]);
        assert_eq!(words(&Flags::default()), Vec::<String>::new());
    }
}
