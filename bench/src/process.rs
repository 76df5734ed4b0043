//! Server processes: the processor they run on, their cost so far, and stopping them.

use std::os::unix::ffi::OsStrExt as _;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

/// The processor for the servers, and the one for the generator.
#[cfg(target_os = "linux")]
const SERVERS: &str = "0";
#[cfg(target_os = "linux")]
const GENERATOR: usize = 1;
/// The time that a process has to exit before it is killed.
const GRACE: Duration = Duration::from_secs(15);

/// A process that is stopped when dropped.
pub(crate) struct Process(Child);

impl Process {
    /// Starts a command without input.
    pub(crate) fn start(mut command: Command) -> Result<Self> {
        let child = command.stdin(Stdio::null()).spawn();
        Ok(Self(child.with_context(|| command.get_program().display().to_string())?))
    }

    /// Takes the output, if it is a pipe.
    pub(crate) fn output(&mut self) -> Option<ChildStdout> {
        self.0.stdout.take()
    }

    /// Fails if the process has exited.
    pub(crate) fn check(&mut self) -> Result<()> {
        let ended = self.0.try_wait()?;
        ensure!(ended.is_none(), "the server ended: {}", ended.unwrap_or_default());
        Ok(())
    }

    /// The processor time of all its threads, in microseconds.
    pub(crate) fn cpu(&self) -> Result<f64> {
        let mut total: u64 = 0;
        for task in std::fs::read_dir(format!("/proc/{}/task", self.0.id()))? {
            // A thread may exit between the listing and the read. Its processor time is small.
            let Ok(text) = std::fs::read_to_string(task?.path().join("schedstat")) else { continue };
            let nanoseconds = text.split(' ').next().and_then(|word| word.parse::<u64>().ok());
            total += nanoseconds.context("schedstat has no figure")?;
        }
        #[expect(clippy::cast_precision_loss, reason = "a run has far fewer than 2^52 nanoseconds")]
        Ok(total as f64 / 1000.0)
    }

    /// The resident memory in kilobytes (1024 bytes).
    pub(crate) fn resident(&self) -> Result<u64> {
        resident(self.0.id())
    }

    /// The resident memory of its child processes, in kilobytes (1024 bytes).
    pub(crate) fn resident_of_children(&self) -> u64 {
        // A child may exit between the listing and the read.
        children(self.0.id()).into_iter().filter_map(|pid| resident(pid).ok()).sum()
    }

    /// Memory of the process and its child processes in kilobytes (1024 bytes). A page that several of them map counts
    /// once.
    pub(crate) fn proportional(&self) -> Result<u64> {
        // A child may end between the listing and the read.
        let children =
            children(self.0.id()).into_iter().filter_map(|pid| proportional(pid).ok()).sum::<u64>();
        Ok(proportional(self.0.id())? + children)
    }

    /// The number of its threads.
    pub(crate) fn threads(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/task", self.0.id())).map_or(0, Iterator::count)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // SIGTERM is sent first, so that a daemon can end its own children. A process that has already exited is not an
        // error.
        if let Some(pid) = rustix::process::Pid::from_raw(self.0.id().cast_signed()) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let until = Instant::now() + GRACE;
        while Instant::now() < until {
            if !matches!(self.0.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Returns the resident memory of a process in kilobytes (1024 bytes).
fn resident(pid: u32) -> Result<u64> {
    kilobytes(&format!("/proc/{pid}/status"), "VmRSS:")
}

/// Returns the proportional set size of a process in kilobytes (1024 bytes): a page that n processes map counts 1/n.
fn proportional(pid: u32) -> Result<u64> {
    kilobytes(&format!("/proc/{pid}/smaps_rollup"), "Pss:")
}

/// Returns the value of the line that begins with `name`.
fn kilobytes(path: &str, name: &str) -> Result<u64> {
    let text = std::fs::read_to_string(path)?;
    let value = text.lines().find_map(|line| line.strip_prefix(name));
    let value = value.with_context(|| format!("{path} has no {name}"))?;
    value.trim().trim_end_matches(" kB").parse().with_context(|| format!("{name} of {path} is no number"))
}

/// Returns the processes whose parent is `parent`.
fn children(parent: u32) -> Vec<u32> {
    let Ok(processes) = std::fs::read_dir("/proc") else { return Vec::new() };
    let number = |name: std::ffi::OsString| std::str::from_utf8(name.as_bytes()).ok()?.parse().ok();
    processes
        .flatten()
        .filter_map(|entry| number(entry.file_name()))
        .filter(|pid| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            // The name may contain any character, so only the fields after it are parsed: the state, then the parent.
            let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
            fields.split_whitespace().nth(1) == Some(parent.to_string().as_str())
        })
        .collect()
}

/// Keeps the generator off the servers' processor until dropped, if the system supports it.
pub(crate) struct Pinned {
    #[cfg(target_os = "linux")]
    before: Option<rustix::thread::CpuSet>,
}

impl Pinned {
    #[cfg(target_os = "linux")]
    pub(crate) fn generator() -> Self {
        if std::thread::available_parallelism().is_ok_and(|count| count.get() < 2) {
            return Self { before: None };
        }
        let before = rustix::thread::sched_getaffinity(None).ok();
        let mut set = rustix::thread::CpuSet::new();
        set.set(GENERATOR);
        // Without pinning, the figures are noisier but not wrong.
        let _ = rustix::thread::sched_setaffinity(None, &set);
        Self { before }
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn generator() -> Self {
        Self {}
    }
}

#[cfg(target_os = "linux")]
impl Drop for Pinned {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            // This process was allowed to use these processors before.
            let _ = rustix::thread::sched_setaffinity(None, before);
        }
    }
}

/// Returns the same command, pinned to the servers' processor if the system supports it. The process receives only the
/// environment variables set on the command.
pub(crate) fn on_server_processor(command: &Command) -> Command {
    #[cfg(target_os = "linux")]
    let mut outer = {
        let mut outer = Command::new("taskset");
        outer.args(["-c", SERVERS]).arg(command.get_program());
        outer
    };
    #[cfg(not(target_os = "linux"))]
    let mut outer = Command::new(command.get_program());
    outer.args(command.get_args()).env_clear();
    outer.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    if let Some(dir) = command.get_current_dir() {
        outer.current_dir(dir);
    }
    outer
}
