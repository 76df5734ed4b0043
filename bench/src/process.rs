//! A server's process: its processor, and its cost so far.

use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result};

/// The processor of the servers, and that of the generator.
const SERVERS: &str = "0";
const GENERATOR: usize = 1;

/// A process that is ended when it is dropped.
pub(crate) struct Process(Child);

impl Process {
    /// Starts a command, pinned to the servers' processor where the system supports it.
    pub(crate) fn start(command: &Command) -> Result<Self> {
        let name = command.get_program().to_owned();
        let mut pinned = on_server_processor(command);
        pinned.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let child = pinned.spawn().with_context(|| name.display().to_string())?;
        Ok(Self(child))
    }

    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.0
    }

    /// The processor time of all its threads, in microseconds.
    pub(crate) fn cpu(&self) -> Result<f64> {
        let mut total: u64 = 0;
        for task in std::fs::read_dir(format!("/proc/{}/task", self.0.id()))? {
            // A thread may end between the listing and the read. Its processor time is small.
            let Ok(text) = std::fs::read_to_string(task?.path().join("schedstat")) else { continue };
            let nanoseconds = text.split(' ').next().and_then(|word| word.parse::<u64>().ok());
            total += nanoseconds.context("schedstat has no figure")?;
        }
        #[expect(clippy::cast_precision_loss, reason = "a run has far fewer than 2^52 nanoseconds")]
        Ok(total as f64 / 1000.0)
    }

    /// Resident memory in kilobytes (1024 bytes).
    pub(crate) fn resident(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        line.trim().trim_end_matches(" kB").parse().context("VmRSS is no number")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The process may have ended already, so these errors do not matter.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Keeps this process off the servers' processor where the system supports it.
pub(crate) fn pin_generator() {
    #[cfg(target_os = "linux")]
    if std::thread::available_parallelism().is_ok_and(|count| count.get() > 1) {
        let mut set = rustix::thread::CpuSet::new();
        set.set(GENERATOR);
        // Without pinning, the figures are noisier but not wrong.
        let _ = rustix::thread::sched_setaffinity(None, &set);
    }
}

/// Returns the same command, pinned to the servers' processor where the system supports it. The process receives only
/// the environment variables that the command names.
pub(crate) fn on_server_processor(command: &Command) -> Command {
    let mut outer = if cfg!(target_os = "linux") {
        let mut outer = Command::new("taskset");
        outer.args(["-c", SERVERS]).arg(command.get_program());
        outer
    } else {
        Command::new(command.get_program())
    };
    outer.args(command.get_args()).env_clear();
    outer.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    if let Some(dir) = command.get_current_dir() {
        outer.current_dir(dir);
    }
    outer
}
