//! What a process has used, as the kernel counts it.

use std::time::Duration;

/// The kernel counts a process's time in hundredths of a second, on every architecture that the daemon is built for.
const TICK: Duration = Duration::from_millis(10);

/// What a process has used since it was started.
#[derive(Clone, Copy)]
pub(crate) struct Cost {
    /// User and system time of all its threads.
    pub(crate) cpu: Duration,
    /// Bytes that it had written to a disk.
    pub(crate) written: u64,
}

impl Cost {
    /// What the process has used until now; `None` on a system that does not say.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // After the name, which may hold anything, the state comes first; user and system time are the 12th and 13th.
        let mut times = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
        let mut ticks = || times.next()?.parse::<u32>().ok();
        let cpu = TICK * (ticks()? + ticks()?);
        let io = std::fs::read_to_string(format!("/proc/{pid}/io")).ok()?;
        let written = io.lines().find_map(|line| line.strip_prefix("write_bytes: "))?.parse().ok()?;
        Some(Self { cpu, written })
    }

    /// What was used since `before`.
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            cpu: self.cpu.saturating_sub(before.cpu),
            written: self.written.saturating_sub(before.written),
        }
    }
}

/// The most memory that the process ever had resident, in bytes.
pub(crate) fn peak(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1024)
}

/// How many transactions have changed the `SQLite` database whose index of the write-ahead log this is: `iChange` in the
/// description of the format, <https://sqlite.org/walformat.html>.
pub(crate) fn transactions(index: &std::path::Path) -> Option<u32> {
    use std::io::Read as _;
    let mut header = [0; 12];
    std::fs::File::open(index).ok()?.read_exact(&mut header).ok()?;
    Some(u32::from_ne_bytes([header[8], header[9], header[10], header[11]]))
}
