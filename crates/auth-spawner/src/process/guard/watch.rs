//! The guard process itself: it reads until the pipe breaks, and then ends the processes that it knows of.

use std::io::{ErrorKind, Read};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::Pid;

use super::notes::{Leader, ReceivedSessions, Sessions};
use crate::process::inspect::{available, child_pid, families};
use crate::process::tree::{LOOK, ask, exists, is_ours, kill, kill_each, sweep};

/// Time between asking the groups to end and killing them.
const GRACE: Duration = Duration::from_millis(500);
/// Time without any marked process after which the work counts as done. A process that was forked in the daemon's last
/// moment shows its mark only after its exec.
const QUIET: Duration = Duration::from_millis(500);
/// Pause between two searches for marked processes.
const AGAIN: Duration = Duration::from_millis(100);
/// Longest time that the whole work may take.
const LONGEST: Duration = Duration::from_secs(30);

/// Reads the daemon's reports until `pipe` ends, then ends every session that was announced and has not ended. It sends
/// TERM to its process group, KILL after half a second, and KILL to every process that descends from it or carries its
/// mark. Returns when none of them is left, after 30 seconds at the latest. Blocks.
///
/// The caller ensures that signals for the daemon's group or terminal do not end this process.
pub fn watch_over(mut pipe: impl Read) {
    let mut received = ReceivedSessions::default();
    let mut bytes = [0; 4096];
    loop {
        match pipe.read(&mut bytes) {
            Ok(0) => break,
            Ok(count) => received.feed(&bytes[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // A pipe that cannot be read is treated like one that has ended.
            Err(_) => break,
        }
    }
    end_all(&received.sessions);
}

fn end_all(sessions: &Sessions) {
    if sessions.is_empty() {
        return;
    }
    let begun = Instant::now();
    let groups: Vec<(Pid, &Leader)> = sessions.values().flatten().filter_map(provable).collect();
    let left = || -> Vec<Pid> {
        let ours =
            |(group, leader): &&(Pid, &Leader)| exists(*group) && is_ours(*group, leader.start.as_deref());
        groups.iter().filter(ours).map(|(group, _)| *group).collect()
    };
    let asked = left();
    let mut family = families(&asked);
    asked.iter().copied().for_each(ask);
    while !left().is_empty() && begun.elapsed() < GRACE {
        sleep(LOOK);
    }
    let stubborn = left();
    // A process that received TERM may have started others before its end.
    family.extend(families(&stubborn));
    stubborn.into_iter().for_each(kill);
    kill_each(&family);

    let marks: Vec<&str> = sessions.keys().map(String::as_str).collect();
    let mut quiet = Instant::now();
    while quiet.elapsed() < QUIET && begun.elapsed() < LONGEST {
        if sweep(&marks) {
            quiet = Instant::now();
        }
        sleep(AGAIN);
    }
}

/// Returns the group if it is provably the one that the daemon meant: its leader exists and has the expected start
/// time. Where the system has no start times, the daemon's report is trusted. Where it has them, a group whose leader
/// is gone is left to the search for its members' marks.
fn provable(leader: &Leader) -> Option<(Pid, &Leader)> {
    let group = child_pid(leader.pid).filter(|group| *group != rustix::process::getpgrp())?;
    let proven = match &leader.start {
        Some(start) => crate::start_ticks(leader.pid).as_ref() == Some(start),
        None => !available(),
    };
    proven.then_some((group, leader))
}
