//! The build that users of `scripts/quickstart.sh` wait for, into an empty target directory.

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rustix::process::{Pid, Signal, kill_process_group};

use super::{Alone, megabytes};
use crate::deadline::within;
use crate::report::{Figure, Report, SRVD};

/// The maximum duration of the build.
const BUILD: Duration = Duration::from_hours(2);
/// The build function of `scripts/quickstart.sh`. It expects the repository as the working directory.
const SCRIPT: &str = ". scripts/common.sh && build try";

/// Measures the build. The dependencies are downloaded beforehand.
pub(crate) async fn measure(alone: &Alone, report: &mut Report) -> Result<()> {
    let target = alone.work.join("target");
    let row = "quickstart's build, empty target directory";
    let measured = async {
        run("cargo fetch --locked --quiet", &target).await?;
        let time = run(SCRIPT, &target).await?;
        let size = std::fs::metadata(target.join("try/srvd"))?.len();
        Ok(Figure::of([(time.as_secs_f64(), "s"), (megabytes(size / 1024), "MB program")]))
    };
    if let Some(figure) = report.attempt(row, SRVD, BUILD, measured).await {
        report.figure(row, SRVD, figure, None);
    }
    Ok(())
}

async fn run(script: &str, target: &std::path::Path) -> Result<Duration> {
    let mut command = tokio::process::Command::new("bash");
    command.args(["-c", script]).env("CARGO_TARGET_DIR", target).stdin(Stdio::null()).stdout(Stdio::null());
    let begun = Instant::now();
    let mut child = command.process_group(0).spawn()?;
    let mut group = Group(child.id().and_then(|id| Pid::from_raw(id.cast_signed())));
    let status = within(BUILD, async { Ok(child.wait().await?) }).await?;
    group.0 = None;
    ensure!(status.success(), "the build failed: {status}");
    Ok(begun.elapsed())
}

/// The processes of a build, which are killed when this is dropped.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        // They may already have exited, which does not matter.
        if let Some(group) = self.0 {
            let _ = kill_process_group(group, Signal::TERM);
        }
    }
}
