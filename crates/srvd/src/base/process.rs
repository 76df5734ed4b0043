//! The name by which processes of other daemons know this one.

use rustix::process::Pid;

/// Returns the name of this process: its id and its machine.
pub(crate) fn name() -> String {
    format!("pid {} on {}", std::process::id(), machine())
}

/// Returns whether the process with a name may have ended. A process on another machine cannot be seen from here. A
/// process with the id of this one was an earlier one, such as the one of a container that has started again.
pub(crate) fn may_be_gone(name: &str) -> bool {
    let parts = name.strip_prefix("pid ").and_then(|rest| rest.split_once(" on "));
    let Some((Ok(pid), there)) = parts.map(|(pid, machine)| (pid.parse::<u32>(), machine)) else {
        return true;
    };
    there != machine() || pid == std::process::id() || !is_there(pid)
}

/// Returns whether a process exists; true if that is unknown.
pub(crate) fn is_there(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.is_none_or(|pid| rustix::process::test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
}

/// The name of this machine, at most 40 characters long.
fn machine() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name: String = name.trim().chars().filter(char::is_ascii_graphic).take(40).collect();
    if name.is_empty() { "this machine".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn process_may_be_gone_unless_it_is_seen_on_this_machine() {
        let mut gone = std::process::Command::new("/bin/true").spawn().unwrap();
        gone.wait().unwrap();
        let here = machine();
        assert!(!may_be_gone(&format!("pid 1 on {here}")));
        assert!(may_be_gone(&format!("pid {} on {here}", gone.id())));
        assert!(may_be_gone(&name()), "an earlier process had this id");
        assert!(may_be_gone("pid 1 on another-machine") && may_be_gone("pid 1") && may_be_gone(""));
        assert!(name().len() <= 63, "a server keeps the whole name");
    }
}
