//! Information about processes from `/proc`. On a system without it, no process is found.

use std::collections::{HashMap, HashSet};

use rustix::process::Pid;

/// The unique identity of a process: its id together with its start time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Identity {
    pub(crate) pid: Pid,
    /// In kernel clock ticks since boot.
    pub(crate) start: u64,
}

/// The known facts of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) parent: i32,
    pub(crate) group: i32,
    pub(crate) start: u64,
    /// True if the process has exited and is only waiting to be reaped.
    pub(crate) ended: bool,
}

/// Converts a process id that a child can have. 1 is rejected: as a group, it would mean every process.
pub(crate) fn child_pid(pid: u32) -> Option<Pid> {
    i32::try_from(pid).ok().filter(|pid| *pid > 1).and_then(Pid::from_raw)
}

/// Returns the facts about the process with this id, if it exists and can be read.
pub(crate) fn stat(pid: Pid) -> Option<Stat> {
    parse(&std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?)
}

/// Reads `/proc/<pid>/stat` (proc(5)).
fn parse(text: &str) -> Option<Stat> {
    // The command name may contain spaces and parentheses. It ends at the last parenthesis, followed by field 3.
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let ended = matches!(fields.next()?, "Z" | "X");
    let parent = fields.next()?.parse().ok()?;
    let group = fields.next()?.parse().ok()?;
    let start = fields.nth(16)?.parse().ok()?;
    Some(Stat { parent, group, start, ended })
}

/// Returns the ids of all visible processes.
pub(crate) fn pids() -> impl Iterator<Item = Pid> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))
}

/// Returns whether the system provides information about processes.
pub(crate) fn available() -> bool {
    stat(rustix::process::getpid()).is_some()
}

/// Returns the members of these groups and all their descendants, in any group. A process that has left its group is
/// found only while its parents are alive; after that, only its mark identifies its session.
pub(crate) fn families(groups: &[Pid]) -> Vec<Identity> {
    if groups.is_empty() {
        return Vec::new();
    }
    let wanted: HashSet<i32> = groups.iter().map(|group| number(*group)).collect();
    descend(&all_processes(), |_, stat| wanted.contains(&stat.group))
}

/// Returns the processes in this list that are still running, and all their descendants.
pub(crate) fn with_descendants(processes: &[Identity]) -> Vec<Identity> {
    if !processes.iter().any(|process| lives(*process)) {
        return Vec::new();
    }
    let wanted: HashSet<Identity> = processes.iter().copied().collect();
    descend(&all_processes(), |pid, stat| wanted.contains(&Identity { pid, start: stat.start }))
}

/// Returns whether the group has a member other than zombies; true if that cannot be determined.
pub(crate) fn has_running_member(group: Pid) -> bool {
    let member = |stat: Stat| stat.group == number(group) && !stat.ended;
    !available() || pids().filter_map(stat).any(member)
}

/// Returns whether exactly this process still exists.
pub(crate) fn lives(process: Identity) -> bool {
    stat(process.pid).is_some_and(|stat| stat.start == process.start)
}

fn all_processes() -> Vec<(Pid, Stat)> {
    pids().filter_map(|pid| Some((pid, stat(pid)?))).collect()
}

fn number(pid: Pid) -> i32 {
    pid.as_raw_nonzero().get()
}

/// Returns all wanted processes and all their descendants.
fn descend(all: &[(Pid, Stat)], wanted: impl Fn(Pid, &Stat) -> bool) -> Vec<Identity> {
    let mut children: HashMap<i32, Vec<usize>> = HashMap::new();
    for (index, (_, stat)) in all.iter().enumerate() {
        children.entry(stat.parent).or_default().push(index);
    }
    let mut open: Vec<usize> = (0..all.len()).filter(|index| wanted(all[*index].0, &all[*index].1)).collect();
    let mut found: HashSet<usize> = open.iter().copied().collect();
    while let Some(index) = open.pop() {
        let below = children.get(&number(all[index].0)).into_iter().flatten();
        open.extend(below.copied().filter(|child| found.insert(*child)));
    }
    found.into_iter().map(|index| Identity { pid: all[index].0, start: all[index].1.start }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pid(number: i32) -> Pid {
        Pid::from_raw(number).unwrap()
    }

    #[test]
    fn stat_fields_are_parsed_when_the_command_name_contains_brackets() {
        let text = "4242 (a ) b (c) S 17 4240 4240 0 -1 4194304 1 0 0 0 1 2 3 4 20 0 1 0 98765 1 2 3";
        assert_eq!(parse(text), Some(Stat { parent: 17, group: 4240, start: 98765, ended: false }));
        for broken in ["", "1 (x", "1 (x) S 1", "1 (x) S a b c 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 9"] {
            assert_eq!(parse(broken), None, "{broken:?}");
        }
    }

    #[test]
    fn child_pid_rejects_ids_that_stand_for_more_than_one_group() {
        assert_eq!((child_pid(0), child_pid(1), child_pid(u32::MAX)), (None, None, None));
        assert_eq!(child_pid(2), Some(pid(2)));
    }

    #[test]
    fn family_contains_the_groups_and_all_their_descendants() {
        let process = |number, parent, group| (pid(number), Stat { parent, group, start: 7, ended: false });
        let all = [
            process(1, 0, 1),
            process(10, 1, 10),
            process(11, 10, 10),
            // This process left the group, as did its child.
            process(12, 11, 12),
            process(13, 12, 13),
            // An orphan of the group, with a child in another group.
            process(14, 1, 10),
            process(15, 14, 15),
            process(20, 1, 20),
            process(21, 20, 20),
        ];
        let names = |groups: &[Pid]| {
            let found = descend(&all, |_, stat| groups.iter().any(|group| number(*group) == stat.group));
            let mut found: Vec<i32> = found.iter().map(|found| number(found.pid)).collect();
            found.sort_unstable();
            found
        };
        assert_eq!(names(&[pid(10)]), [10, 11, 12, 13, 14, 15]);
        assert_eq!(names(&[pid(12), pid(20)]), [12, 13, 20, 21]);
        assert_eq!(names(&[pid(99)]), Vec::<i32>::new());
    }
}
