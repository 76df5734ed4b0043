//! The resources that a process has used, as counted by the kernel.

use std::time::Duration;

/// Unit of a process's time. The kernel counts hundredths of a second on every architecture that the daemon supports.
const TICK: Duration = Duration::from_millis(10);

/// Resources that a process has used since its start.
#[derive(Clone, Copy)]
pub(crate) struct Cost {
    /// User and system time of all its threads.
    pub(crate) cpu: Duration,
    /// Bytes that the process caused to be written to a disk.
    pub(crate) written: u64,
}

impl Cost {
    /// Returns the use of the process until now; `None` on a system that does not report it.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name may hold any character, so the fields after it are read: user and system time are the 12th and 13th.
        let mut times = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
        let mut ticks = || times.next()?.parse::<u32>().ok();
        let cpu = TICK * (ticks()? + ticks()?);
        let io = std::fs::read_to_string(format!("/proc/{pid}/io")).ok()?;
        let written = io.lines().find_map(|line| line.strip_prefix("write_bytes: "))?.parse().ok()?;
        Some(Self { cpu, written })
    }

    /// Returns the use since `before`.
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

/// Returns the number of transactions that have changed a `SQLite` database. `index` is the index of its write-ahead
/// log. The number is `iChange` in the description of the format, <https://sqlite.org/walformat.html>.
pub(crate) fn transactions(index: &std::path::Path) -> Option<u32> {
    use std::io::Read as _;
    let mut header = [0; 12];
    std::fs::File::open(index).ok()?.read_exact(&mut header).ok()?;
    Some(u32::from_ne_bytes([header[8], header[9], header[10], header[11]]))
}
