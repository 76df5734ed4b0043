//! The time to find an agent's credential among those of very many users.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rpc_engine::Client;
use srvd::wire::{launch, profile};

use crate::bring;
use crate::cost::Cost;
use crate::daemon::{Daemon, Home};
use crate::table::{Spread, Table};

/// Calls before the first one that is measured.
const WARM: usize = 500;

/// Calls of one kind, made one after the other.
struct Calls<'a> {
    daemon: &'a Daemon,
    client: Client,
    profiles: usize,
    runs: usize,
}

/// Measures with few profiles and then with many, to show whether the size of the table matters.
pub(crate) async fn profiles(table: &mut Table, home: &Home, sizes: [usize; 2], runs: usize) -> Result<()> {
    let mut stored = 0;
    for size in sizes {
        bring::profiles(home, stored..size).await?;
        stored = size;
        let daemon = home.start_unseen().await?;
        let calls = Calls { daemon: &daemon, client: daemon.client().await?, profiles: size, runs };
        let named = format!("{size} profiles, {}", home.database().kind().as_str());
        table.row(&format!("profile.best, {named}"), calls.best().await?, "");
        table.row(&format!("launch.resolve of a provider, {named}"), calls.launch(true).await?, "");
        let what = format!("launch.resolve of all {} of an agent, {named}", bring::EACH);
        table.row(&what, calls.launch(false).await?, "");
    }
    Ok(())
}

impl Calls<'_> {
    async fn best(&self) -> Result<String> {
        let providers = bring::providers()?;
        self.figure(async |number| {
            let (user, agent_id) = bring::owner(number);
            let provider_id = providers[number % providers.len()].to_string();
            let params = profile::Best {
                user_id: Some(user),
                agent_id,
                provider_id,
                model: None,
                min_ttl_ms: None,
                any_model: None,
                explain: None,
                dry_run: None,
            };
            let begun = Instant::now();
            let found = self.client.call(&params).await?;
            let time = begun.elapsed();
            anyhow::ensure!(found.source == "user", "{} is {}'s", found.profile_id, found.source);
            Ok(time)
        })
        .await
    }

    async fn launch(&self, one: bool) -> Result<String> {
        let providers = bring::providers()?;
        self.figure(async |number| {
            let (user, agent) = bring::owner(number);
            let params = launch::Resolve {
                user_id: Some(user),
                agent_id: Some(agent),
                provider_id: one.then(|| providers[number % providers.len()].to_string()),
                ..launch::Resolve::default()
            };
            let begun = Instant::now();
            let found = self.client.call(&params).await?;
            let time = begun.elapsed();
            anyhow::ensure!(found.accounts.len() == if one { 1 } else { providers.len() });
            Ok(time)
        })
        .await
    }

    /// Measures calls with numbers far from each other, so that no page is warm because of the previous call alone.
    async fn figure(&self, call: impl AsyncFn(usize) -> Result<Duration>) -> Result<String> {
        let number = |run: usize| run * 7919 % self.profiles;
        for run in 0..WARM {
            call(number(run)).await?;
        }
        let before = self.cost()?;
        let mut times = Vec::with_capacity(self.runs);
        for run in WARM..WARM + self.runs {
            times.push(call(number(run)).await?);
        }
        let cpu = self.cost()?.since(before).cpu / u32::try_from(self.runs)?;
        Ok(format!("{}, {} us CPU", Spread::of(times), cpu.as_micros()))
    }

    fn cost(&self) -> Result<Cost> {
        Cost::of(self.daemon.pid()).context("not known on this system")
    }
}
