//! Commands that users wait for: `srvd exec`, a shim, many concurrent launches, and `srvd status`.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures_util::future::try_join_all;
use serde_json::{Value, json};

use super::{Alone, REST};
use crate::daemon::Home;
use crate::deadline::{ANSWER, FILL, ROW, within};
use crate::fill;
use crate::report::{Figure, Goal, Report, SRVD, milliseconds};
use crate::rounds::Rounds;
use crate::servers::found;

const DIRENV: &str = "direnv";
/// Starting only the program.
const PLAIN: &str = "the program alone";
const TIME: &str = "time";
/// The number of concurrent launches.
const AT_ONCE: usize = 64;
/// The number of accounts shown by `srvd status`.
const ACCOUNTS: usize = 1000;
const STATUS: Goal = Goal::at_most(100.0, "ms p99");
/// The variable set by a launch, for the peer.
const ENVRC: &str = "export BENCH_HOME=/nonexistent BENCH_0_KEY=a-key-of-the-benchmark-0123456789\n";

/// A directory bound to a bundle with a login and a key, and with an `.envrc`.
struct Project<'a> {
    home: &'a Home,
    direnv: bool,
}

/// Measures starting a program with an identity.
pub(crate) async fn exec(alone: &Alone, report: &mut Report) -> Result<()> {
    let home = alone.home("exec")?;
    let _daemon = home.start().await?;
    let project = Project::new(&home, report).await?;
    let runs = alone.amount.runs;
    let exec = home.srvd(["exec", "--", "true"]);
    project.compare(report, "srvd exec -- true", exec, "true", runs).await;
    let shim = home.command(&home.root.join("shims/benchcli"));
    project.compare(report, "a CLI started through its shim", shim, "benchcli", runs).await;
    project.at_once(report, runs.div_ceil(10)).await;
    Ok(())
}

/// Measures `srvd status` with many accounts.
pub(crate) async fn status(alone: &Alone, report: &mut Report) -> Result<()> {
    let home = alone.home("status")?;
    let _daemon = home.start().await?;
    let row = "srvd status, 1,000 accounts";
    let measured = async {
        fill::accounts(&mut home.connect().await?, ACCOUNTS).await?;
        let mut times = Vec::new();
        for _ in 0..alone.amount.runs {
            times.push(timed(&home.srvd(["status"])).await?);
        }
        Ok(Figure::spread(times))
    };
    if let Some(figure) = report.attempt(row, SRVD, FILL, measured).await {
        report.figure(row, SRVD, figure, Some(STATUS));
    }
    Ok(())
}

impl<'a> Project<'a> {
    async fn new(home: &'a Home, report: &mut Report) -> Result<Self> {
        let mut caller = home.connect().await?;
        let bundle = fill::logins(home, 1).await?.remove(0).bundle;
        let key = json!({
            "providerId": "bench-0", "intoBundleId": bundle, "apiKey": "a-key-of-the-benchmark-0123456789",
            "accountName": "bench", "validate": false,
        });
        let _: Value = caller.call("auth.submitapikey", &key).await?;
        std::fs::create_dir(home.root.join("project"))?;
        let project = Self { home, direnv: found(DIRENV) };
        timed(&project.here(home.srvd(["use", &bundle]))).await?;
        let mut install = home.srvd(["shims", "install", "benchcli", "--dir"]);
        timed(install.arg(home.root.join("shims"))).await?;
        if project.direnv {
            home.write("project/.envrc", ENVRC, 0o600)?;
            timed(&project.direnv(["allow"])).await?;
        } else {
            report.left_out("direnv is not installed, so its rows are omitted: apt-get install direnv");
        }
        tokio::time::sleep(REST).await;
        Ok(project)
    }

    /// Returns the command, set to run in the project's directory.
    fn here(&self, mut command: Command) -> Command {
        command.current_dir(self.home.root.join("project"));
        command
    }

    fn direnv<const N: usize>(&self, args: [&str; N]) -> Command {
        let mut command = self.here(self.home.command(Path::new(DIRENV)));
        command.args(args);
        command
    }

    /// Compares a start through srvd with a start through direnv and with starting only the program.
    async fn compare(&self, report: &mut Report, row: &str, ours: Command, program: &str, runs: usize) {
        let plain = self.here(self.home.command(Path::new(program)));
        let mut commands = vec![(SRVD, self.here(ours)), (PLAIN, plain)];
        if self.direnv {
            commands.push((DIRENV, self.direnv(["exec", ".", program])));
        }
        let mut times: Vec<Vec<Duration>> = vec![Vec::new(); commands.len()];
        let mut rounds = Rounds::default();
        // The first run does not count.
        for run in 0..=runs {
            let mut place = 0;
            while let Some((name, command)) = commands.get(place) {
                let name = *name;
                if let Some(time) = report.attempt(row, name, ROW, timed(command)).await {
                    if let (true, Some(times)) = (run > 0, times.get_mut(place)) {
                        times.push(time);
                        rounds.add(name, TIME, milliseconds(time));
                    }
                    place += 1;
                } else {
                    commands.remove(place);
                    times.remove(place);
                    rounds.forget(name);
                }
            }
        }
        for ((name, _), times) in commands.iter().zip(times) {
            report.figure(row, name, Figure::spread(times), None);
        }
        report.ratio(row, DIRENV, rounds.ratio(SRVD, DIRENV, TIME), Goal::at_most(1.0, "x"));
    }

    /// Measures many concurrent launches, until the last one has ended.
    async fn at_once(&self, report: &mut Report, runs: usize) {
        let row = format!("{AT_ONCE} launches at once, until all have ended");
        let mut commands = vec![(SRVD, self.here(self.home.srvd(["exec", "--", "true"])))];
        if self.direnv {
            commands.push((DIRENV, self.direnv(["exec", ".", "true"])));
        }
        let mut rounds = Rounds::default();
        for (name, command) in commands {
            let measured = async {
                let mut times = Vec::new();
                for _ in 0..runs {
                    let begun = Instant::now();
                    try_join_all((0..AT_ONCE).map(|_| timed(&command))).await?;
                    times.push(begun.elapsed());
                }
                Ok(times)
            };
            if let Some(times) = report.attempt(&row, name, ROW, measured).await {
                for time in &times {
                    rounds.add(name, TIME, milliseconds(*time));
                }
                report.figure(&row, name, Figure::spread(times), None);
            }
        }
        report.ratio(&row, DIRENV, rounds.ratio(SRVD, DIRENV, TIME), Goal::at_most(1.0, "x"));
    }
}

/// Runs a command, which must succeed, and returns how long it took.
async fn timed(command: &Command) -> Result<Duration> {
    let name = command.get_program().display().to_string();
    let mut process = tokio::process::Command::new(command.get_program());
    process.args(command.get_args()).env_clear().kill_on_drop(true).stdin(Stdio::null());
    process.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    if let Some(dir) = command.get_current_dir() {
        process.current_dir(dir);
    }
    let begun = Instant::now();
    let output = within(ANSWER, async { Ok(process.output().await?) }).await.with_context(|| name.clone())?;
    let time = begun.elapsed();
    ensure!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(time)
}
