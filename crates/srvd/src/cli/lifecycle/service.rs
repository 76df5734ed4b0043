//! The user's service: a unit of systemd, or an agent of launchd.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use tokio::process::Command;

use super::INTERVAL;
use crate::base::environment::Environment;
use crate::cli::client::Connection;
use crate::cli::failure::{Failure, code};
use crate::config::Config;
use crate::hint::Step;

/// The name of the systemd unit, and the label of the launchd agent.
const UNIT: &str = "srvd.service";
const LABEL: &str = "dev.srvd.srvd";
/// The longest time that the service manager may take. The start of a unit waits until the daemon answers.
const PATIENCE: Duration = Duration::from_mins(1);

/// The installed service of the user who runs this command.
pub(super) struct Service<'a> {
    manager: Manager,
    environment: &'a Environment,
}

enum Manager {
    Systemd,
    /// The file of the agent.
    Launchd(PathBuf),
}

/// Returns the existing files of service managers that may start srvd for this user: units, their drop-ins, the launchd
/// agent, and the keys for a system's template.
pub(super) fn unit_files(environment: &Environment) -> Vec<PathBuf> {
    let mut units: Vec<PathBuf> = user_units(environment).into_iter().chain(agent(environment)).collect();
    let user = environment.text("USER").or_else(|| environment.text("LOGNAME")).unwrap_or_default();
    if !user.is_empty() && !user.contains('/') {
        units.push(PathBuf::from(format!("/etc/systemd/system/srvd@{user}.service")));
        units.extend(["key", "cred"].map(|kind| PathBuf::from(format!("/etc/srvd/{user}.{kind}"))));
    }
    let drop_ins: Vec<PathBuf> = units.iter().flat_map(|unit| drop_ins(unit)).collect();
    units.into_iter().filter(|unit| unit.exists()).chain(drop_ins).collect()
}

/// Returns the places of a user unit that an installation for this user or this machine writes.
fn user_units(environment: &Environment) -> Vec<PathBuf> {
    let own = environment
        .path("XDG_CONFIG_HOME")
        .or_else(|| environment.home().map(|home| home.join(".config")))
        .map(|config| config.join("systemd/user").join(UNIT));
    own.into_iter().chain([Path::new("/etc/systemd/user").join(UNIT)]).collect()
}

fn agent(environment: &Environment) -> Option<PathBuf> {
    Some(environment.home()?.join(format!("Library/LaunchAgents/{LABEL}.plist")))
}

fn drop_ins(unit: &Path) -> Vec<PathBuf> {
    let mut dir = unit.as_os_str().to_owned();
    dir.push(".d");
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.filter(|path| path.extension().is_some_and(|extension| extension == "conf")).collect()
}

impl<'a> Service<'a> {
    /// Returns the service if one is installed for this user.
    pub(super) fn installed(environment: &'a Environment) -> Option<Self> {
        let manager = if cfg!(target_os = "macos") {
            Manager::Launchd(agent(environment).filter(|agent| agent.exists())?)
        } else {
            user_units(environment).iter().any(|unit| unit.exists()).then_some(Manager::Systemd)?
        };
        Some(Self { manager, environment })
    }

    /// Starts the service.
    ///
    /// # Errors
    /// `UNAVAILABLE` with the words of the service manager, if it cannot be asked or refuses.
    pub(super) async fn start(&self) -> Result<(), Failure> {
        match &self.manager {
            Manager::Systemd => self.succeeds("systemctl", &["--user", "start", UNIT]).await,
            Manager::Launchd(agent) => {
                // An agent that is loaded already is started by the second command.
                let _ =
                    self.run("launchctl", &["bootstrap", &domain(), &agent.display().to_string()]).await?;
                self.succeeds("launchctl", &["kickstart", &format!("{}/{LABEL}", domain())]).await
            }
        }
    }

    /// Stops the service until its next start.
    ///
    /// # Errors
    /// As for [`Self::start`].
    pub(super) async fn stop(&self) -> Result<(), Failure> {
        match &self.manager {
            Manager::Systemd => self.succeeds("systemctl", &["--user", "stop", UNIT]).await,
            Manager::Launchd(_) => {
                self.succeeds("launchctl", &["bootout", &format!("{}/{LABEL}", domain())]).await
            }
        }
    }

    /// Returns the process that the service runs; `None` if it runs none, or if the service manager cannot be asked.
    pub(super) async fn main_pid(&self) -> Option<u32> {
        let output = match &self.manager {
            Manager::Systemd => {
                self.run("systemctl", &["--user", "show", "--property=MainPID", "--value", UNIT]).await
            }
            Manager::Launchd(_) => self.run("launchctl", &["print", &format!("{}/{LABEL}", domain())]).await,
        };
        let text = String::from_utf8_lossy(&output.ok()?.stdout).into_owned();
        let pid = match &self.manager {
            Manager::Systemd => text.trim().parse().ok(),
            Manager::Launchd(_) => {
                text.lines().find_map(|line| line.trim().strip_prefix("pid = ")?.parse().ok())
            }
        };
        pid.filter(|pid| *pid != 0)
    }

    /// Waits until the daemon answers.
    ///
    /// # Errors
    /// `UNAVAILABLE` if it did not answer in time.
    pub(super) async fn answers(&self, config: &Config, deadline: Instant) -> Result<Connection, Failure> {
        loop {
            match Connection::open(config).await {
                Ok(daemon) => return Ok(daemon),
                Err(failure) if Instant::now() >= deadline => return Err(failure.hint(Step::SeeItsLog)),
                Err(_) => tokio::time::sleep(INTERVAL).await,
            }
        }
    }

    /// Returns the command that shows the log.
    pub(super) fn log(&self, lines: &str, follow: bool) -> std::process::Command {
        match &self.manager {
            Manager::Systemd => {
                let mut command = std::process::Command::new("journalctl");
                command.args(["--user", "--unit", UNIT, "--lines", lines]).args(follow.then_some("--follow"));
                command
            }
            Manager::Launchd(_) => {
                let log = self.environment.home().unwrap_or_default().join("Library/Logs/srvd.log");
                super::tail(&log, lines, follow)
            }
        }
    }

    async fn succeeds(&self, program: &str, args: &[&str]) -> Result<(), Failure> {
        let output = self.run(program, args).await?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        let text = format!("{program} {} failed: {said}", args.join(" "));
        Err(Failure::new(code::UNAVAILABLE, text).hint(Step::StartWithoutService))
    }

    async fn run(&self, program: &str, args: &[&str]) -> Result<Output, Failure> {
        let mut command = Command::new(program);
        command.args(args).stdin(Stdio::null()).kill_on_drop(true);
        command.env_clear().envs(self.environment.for_programs());
        let failed = |reason: String| {
            Failure::new(code::UNAVAILABLE, format!("cannot run {program}: {reason}"))
                .hint(Step::StartWithoutService)
        };
        match tokio::time::timeout(PATIENCE, command.output()).await {
            Ok(output) => output.map_err(|error| failed(error.to_string())),
            Err(_) => Err(failed(format!("it did not end within {} s", PATIENCE.as_secs()))),
        }
    }
}

fn domain() -> String {
    format!("gui/{}", rustix::process::geteuid().as_raw())
}
