//! Work without a socket: programs of ours and of a peer that repeat the work and print the time that it took.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::Plan;
use crate::process::on_server_processor;
use crate::report::{Goal, Report};
use crate::rounds::Rounds;

const TIME: &str = "time";
const INSTRUCTIONS: &str = "instructions";
const OURS: &str = "srvd";
/// Requests that one program dispatches.
const REQUESTS: u32 = 400_000;
/// Two numbers of requests. Their difference is counted, so that the start of the program counts for nothing.
const COUNTED: [u32; 2] = [1000, 11_000];
/// Megabytes that one program reads.
const MEGABYTES: u32 = 300;

/// Compares the router with a peer's.
pub(crate) fn dispatch(plan: &Plan, report: &mut Report) -> Result<()> {
    const WORK: &str = "a small request dispatched in process";
    const PEER: &str = "jsonrpsee";
    let programs =
        [(OURS, plan.programs.example("dispatch")), (PEER, plan.programs.peer("dispatch-jsonrpsee"))];
    let mut rounds = Rounds::default();
    for _ in 0..plan.rounds {
        for (name, program) in &programs {
            rounds.add(name, TIME, nanoseconds(program, REQUESTS, &[])? / f64::from(REQUESTS));
        }
    }
    for (name, program) in &programs {
        report.figure(WORK, name, "ns", rounds.median(name, TIME));
        if let Some(counted) = instructions(program)? {
            rounds.add(name, INSTRUCTIONS, counted);
            report.figure(WORK, name, "instructions", Some(counted));
        }
    }
    let ratio = rounds.ratio(OURS, PEER, INSTRUCTIONS).or_else(|| rounds.ratio(OURS, PEER, TIME));
    report.ratio(WORK, PEER, ratio, Goal::AtMost(0.40));
    Ok(())
}

/// Compares the reading of output with a match of each line.
pub(crate) fn scan(plan: &Plan, report: &mut Report) -> Result<()> {
    const WORK: &str = "output of a CLI read: strip and match";
    const PEER: &str = "RegexSet per line";
    let ours = plan.programs.example("scan");
    let patterns = said(Command::new(&ours).arg("patterns"))?;
    let patterns: Vec<&str> = patterns.lines().collect();
    let programs = [(OURS, ours, &[][..]), (PEER, plan.programs.peer("peer-regexset"), &patterns)];
    let mut rounds = Rounds::default();
    for _ in 0..plan.rounds {
        for (name, program, arguments) in &programs {
            let speed =
                f64::from(MEGABYTES) * 1.048_576 / (nanoseconds(program, MEGABYTES, arguments)? / 1e9);
            rounds.add(name, TIME, speed);
        }
    }
    for (name, ..) in &programs {
        report.figure(WORK, name, "MB/s", rounds.median(name, TIME));
    }
    report.ratio(WORK, PEER, rounds.ratio(OURS, PEER, TIME), Goal::AtLeast(1.0));
    Ok(())
}

/// Returns the processor time of one run, as the program prints it.
fn nanoseconds(program: &Path, amount: u32, arguments: &[&str]) -> Result<f64> {
    let mut command = Command::new(program);
    command.arg(amount.to_string()).args(arguments);
    said(&mut on_server_processor(&command))?.trim().parse().with_context(|| program.display().to_string())
}

/// Runs a program, which must succeed, and returns its output.
fn said(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output()?;
    ensure!(output.status.success(), "{} failed", command.get_program().display());
    Ok(String::from_utf8(output.stdout)?)
}

/// Returns the instructions of one request, if there is a tool that counts them.
fn instructions(program: &Path) -> Result<Option<f64>> {
    let count = |requests: u32| {
        let mut command = Command::new("valgrind");
        command
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
            .arg(program)
            .arg(requests.to_string());
        let Ok(output) = command.stdout(Stdio::null()).output() else { return Ok(None) };
        let said = String::from_utf8(output.stderr)?;
        ensure!(output.status.success(), "{said}");
        let collected = said.lines().find_map(|line| line.split_once("Collected : "));
        let (_, number) = collected.with_context(|| said.clone())?;
        anyhow::Ok(Some(number.trim().parse::<f64>()?))
    };
    let (Some(few), Some(many)) = (count(COUNTED[0])?, count(COUNTED[1])?) else { return Ok(None) };
    Ok(Some((many - few) / f64::from(COUNTED[1] - COUNTED[0])))
}
