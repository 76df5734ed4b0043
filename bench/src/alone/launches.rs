//! The time to resolve a launch, as seen by a client on the Unix socket.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::Alone;
use crate::calls::Caller;
use crate::daemon::SERVICES;
use crate::deadline::{FILL, ROW};
use crate::fill;
use crate::report::{Figure, Goal, Report, SRVD};

const LAUNCH: Goal = Goal::at_most(1.0, "ms p99");
/// The number of bundles with a login in a directory, in addition to those with keys.
const LOGINS: usize = 200;
/// The number of launches before the first measured one.
const WARM: usize = 200;

/// Measures launches, one after another: first with keys only, then with a CLI's login only.
pub(crate) async fn measure(alone: &Alone, report: &mut Report) -> Result<()> {
    let home = alone.home("launches")?;
    let accounts = alone.amount.accounts;
    let named = format!("{} accounts", accounts + LOGINS);
    let filled = async {
        let _daemon = home.start().await?;
        let keys = fill::accounts(&mut home.connect().await?, accounts).await?;
        let logins = fill::logins(&home, LOGINS).await?;
        Ok((keys, logins.into_iter().map(|login| login.bundle).collect()))
    };
    let filled: Option<(Vec<String>, Vec<String>)> =
        report.attempt(&format!("{named} stored"), SRVD, FILL, filled).await;
    let Some((keys, logins)) = filled else { return Ok(()) };
    let _daemon = home.start().await?;
    let mut caller = home.connect().await?;
    for (what, bundles) in [(format!("{SERVICES} keys"), keys), ("a login".to_owned(), logins)] {
        let row = format!("launch.resolve, {named}, bundles of {what}");
        let calls = spread(&mut caller, &bundles, alone.amount.calls);
        if let Some(figure) = report.attempt(&row, SRVD, ROW, calls).await {
            report.figure(&row, SRVD, figure, Some(LAUNCH));
        }
    }
    Ok(())
}

async fn spread(caller: &mut Caller, bundles: &[String], runs: usize) -> Result<Figure> {
    let mut times = Vec::with_capacity(runs);
    for run in 0..WARM + runs {
        // The bundle is far from the previous one, so that its pages are not already cached because of it.
        let bundle = bundles.get(run * 37 % bundles.len()).context("no bundle")?;
        let begun = Instant::now();
        let launch = caller.call("launch.resolve", &json!({"bundleId": bundle})).await?;
        let time = begun.elapsed();
        ensure!(
            launch["set"].as_object().is_some_and(|set| !set.is_empty()),
            "{bundle} launches without any credentials"
        );
        if run >= WARM {
            times.push(time);
        }
    }
    Ok(Figure::spread(times))
}

/// Returns whether an answer contains this many accounts.
pub(super) fn has_accounts(launch: &Value, count: usize) -> bool {
    launch["accounts"].as_array().is_some_and(|accounts| accounts.len() == count)
}
