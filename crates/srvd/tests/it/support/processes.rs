//! The processes of a machine, by their environment and their working directory.

use std::path::Path;

/// Returns the ids of all processes.
pub(crate) fn processes() -> impl Iterator<Item = u32> {
    std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

/// Returns whether a process was started with this variable, as `NAME=VALUE`.
pub(crate) fn has_variable(pid: u32, variable: &str) -> bool {
    let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    environment.split(|byte| *byte == 0).any(|found| found == variable.as_bytes())
}

/// Returns the processes of a session, which have a marker in their environment.
pub(crate) fn left_over(session: &str) -> Vec<u32> {
    let marker = format!("SRVD_SESSION={session}");
    processes().filter(|pid| has_variable(*pid, &marker)).collect()
}

/// Returns the processes whose working directory is this directory or one below it. A CLI runs in its own directory.
/// Some programs write their title over the environment that they were started with, and so over the marker.
pub(crate) fn standing_in(dir: &Path) -> Vec<u32> {
    let stands =
        |pid: &u32| std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|place| place.starts_with(dir));
    processes().filter(stands).collect()
}
