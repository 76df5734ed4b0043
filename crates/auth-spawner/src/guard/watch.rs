//! The guard process itself: it reads until the pipe breaks, and then ends what it was told of.

use std::io::{ErrorKind, Read};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::Pid;

use super::notes::{Leader, Sessions, Told};
use crate::process::inspect::{available, child_pid, families};
use crate::process::tree::{LOOK, ask, exists, is_ours, kill, kill_each, sweep};

/// Time between asking the groups to end and killing them.
const GRACE: Duration = Duration::from_millis(500);
/// How long no marked process may have been found before the work counts as done: one that was forked in the
/// daemon's last moment shows its mark only after its exec.
const QUIET: Duration = Duration::from_millis(500);
/// How often it is looked for.
const AGAIN: Duration = Duration::from_millis(100);
/// Longest time that all this may take.
const LONGEST: Duration = Duration::from_secs(30);

/// Reads what the daemon tells until `pipe` ends, then ends every session that was announced and not ended: TERM to
/// its process group, KILL after half a second, and KILL to whatever descends from it or carries its mark. Returns
/// when nothing of them is left, after 30 seconds at the latest. Blocks.
///
/// The caller sees to it that signals for the daemon's group or terminal do not end this process.
pub fn watch_over(mut pipe: impl Read) {
    let mut told = Told::default();
    let mut bytes = [0; 4096];
    loop {
        match pipe.read(&mut bytes) {
            Ok(0) => break,
            Ok(count) => told.feed(&bytes[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // A pipe that cannot be read says nothing more, which is what its end means.
            Err(_) => break,
        }
    }
    end_all(&told.sessions);
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
    // Whoever was asked to end may have started something instead.
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

/// A group that is provably the one that the daemon meant: its leader is there and started when it should have. Where
/// the system tells no start times, the daemon's word has to do; where it does, a group whose leader is gone is left
/// to the marks of its members.
fn provable(leader: &Leader) -> Option<(Pid, &Leader)> {
    let group = child_pid(leader.pid).filter(|group| *group != rustix::process::getpgrp())?;
    let proven = match &leader.start {
        Some(start) => crate::start_ticks(leader.pid).as_ref() == Some(start),
        None => !available(),
    };
    proven.then_some((group, leader))
}
