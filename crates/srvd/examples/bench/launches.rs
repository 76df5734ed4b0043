//! The time to resolve a launch, as seen by a client on the Unix socket.

use std::time::Instant;

use anyhow::{Context as _, Result};
use identity_store::BundleId;
use rpc_engine::Client;
use srvd::wire::launch;

use crate::daemon::Home;
use crate::fill;
use crate::table::{Spread, Table};

const TARGET: &str = "p99 < 1 ms";
/// Bundles that have a login in a directory beside their keys.
const LOGINS: usize = 200;
/// Launches before the first one that is measured.
const WARM: usize = 200;

/// Measures, one after the other, launches by keys alone, launches by a CLI's login alone, and `launch.ready`.
pub(crate) async fn launches(table: &mut Table, home: &Home, accounts: usize, runs: usize) -> Result<()> {
    let keys = fill::accounts(home, accounts).await?;
    let logins = fill::logins(home, LOGINS).await?;
    let daemon = home.start_unseen().await?;
    let client = daemon.client().await?;
    let named = format!("{} accounts", accounts + LOGINS);
    let each = accounts.div_ceil(keys.len().max(1));
    for (what, bundles) in [(format!("{each} keys"), &keys), ("a login".to_owned(), &logins)] {
        let spread = spread(&client, bundles, runs).await?;
        table.row(&format!("launch.resolve, {named}, bundles of {what}"), spread.to_string(), TARGET);
    }
    Ok(())
}

async fn spread(client: &Client, bundles: &[BundleId], runs: usize) -> Result<Spread> {
    let mut times = Vec::with_capacity(runs);
    for run in 0..WARM + runs {
        // The bundle is far from the previous one, so that its pages are not warm because of that one.
        let bundle = bundles.get(run * 37 % bundles.len()).context("no bundle")?;
        let params = launch::Resolve { bundle_id: Some(bundle.to_string()), ..launch::Resolve::default() };
        let begun = Instant::now();
        let launch = client.call(&params).await?;
        let time = begun.elapsed();
        anyhow::ensure!(!launch.set.is_empty(), "{bundle} launches with nothing");
        if run >= WARM {
            times.push(time);
        }
    }
    Ok(Spread::of(times))
}
