//! The guard process itself: it reads until the pipe breaks, then ends the processes it knows about.

use std::io::{ErrorKind, Read};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::Pid;

use super::notes::{Leader, ReceivedSessions, Sessions};
use crate::process::inspect::{available, child_pid, families};
use crate::process::tree::{LOOK, ask, exists, is_ours, kill, kill_each, sweep};

/// The time between SIGTERM and SIGKILL for the groups.
const GRACE: Duration = Duration::from_millis(500);
/// The time without any marked process after which the work is considered done. A process forked in the daemon's last
/// moment shows its mark only after its exec.
const QUIET: Duration = Duration::from_millis(500);
/// The pause between searches for marked processes.
const AGAIN: Duration = Duration::from_millis(100);
/// The maximum duration of the whole cleanup.
const LONGEST: Duration = Duration::from_secs(30);

/// Reads the daemon's reports until `pipe` ends, then ends every session that was announced and has not ended: it sends
/// SIGTERM to the session's process group, SIGKILL half a second later, and SIGKILL to every process that descends from
/// it or carries its mark. Returns when none of them is left, after 30 seconds at the latest. Blocks.
///
/// The caller must ensure that signals sent to the daemon's group or terminal do not kill this process.
pub fn watch_over(mut pipe: impl Read) {
    let mut received = ReceivedSessions::default();
    let mut bytes = [0; 4096];
    loop {
        match pipe.read(&mut bytes) {
            Ok(0) => break,
            Ok(count) => received.feed(&bytes[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // A pipe that cannot be read is treated as closed.
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
    // A process that received SIGTERM may have started others before it exited.
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

/// Returns the group if it is provably the one that the daemon reported: its leader exists and has the expected start
/// time. On systems without start times, the daemon's report is trusted. Elsewhere, a group whose leader is gone is
/// left to the search for its members' marks.
fn provable(leader: &Leader) -> Option<(Pid, &Leader)> {
    let group = child_pid(leader.pid).filter(|group| *group != rustix::process::getpgrp())?;
    let proven = match &leader.start {
        Some(start) => crate::start_ticks(leader.pid).as_ref() == Some(start),
        None => !available(),
    };
    proven.then_some((group, leader))
}
