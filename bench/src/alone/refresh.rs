//! The cost of refreshing many tokens that are due when the daemon starts, with its default limits.

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::json;

use super::issuer::Issuer;
use super::profiles::tokens;
use super::{Alone, REST, count, megabytes};
use crate::daemon::Home;
use crate::deadline::{FILL, within};
use crate::report::{Figure, Report, SRVD};

/// The delay of an issuer on a real network.
const FAR: Duration = Duration::from_millis(50);
/// The maximum time to store one token.
const STORE: Duration = Duration::from_millis(5);
/// The number of tokens stored in one batch of calls.
const BATCH: usize = 2000;

/// The part of a provider's entry that is needed to store tokens.
const ENTRY: &str = r#"
[providers.@ID@]
display-name = "@ID@"
class = "api_key"

[providers.@ID@.key]
vars = ["@VAR@_TOKEN"]
base-url = "https://@ID@.example.test"
"#;
/// The part that enables refreshing. It is added once all tokens have been stored.
const OAUTH: &str = r#"
[providers.@ID@.oauth]
token-url = "@URL@"
client-id = "srvd"
body = "form"
"#;

/// The tokens that are due, and the authorities that refresh them.
struct Load {
    name: &'static str,
    tokens: usize,
    authorities: usize,
    pause: Duration,
}

/// Measures many tokens at many authorities, the limit for one authority, and the effect of distance.
pub(crate) async fn measure(alone: &Alone, report: &mut Report) -> Result<()> {
    let tokens = alone.amount.tokens;
    let loads = [
        Load { name: "8 authorities", tokens, authorities: 8, pause: Duration::ZERO },
        Load { name: "one authority", tokens: tokens / 5, authorities: 1, pause: Duration::ZERO },
        Load { name: "8 authorities, 50 ms away", tokens: tokens / 20, authorities: 8, pause: FAR },
    ];
    for (number, load) in loads.iter().enumerate() {
        let row = format!("refresh of {} due tokens, {}", load.tokens, load.name);
        let home = alone.home(&format!("refresh-{number}"))?;
        if let Some(figure) = report.attempt(&row, SRVD, FILL, refresh(&home, load)).await {
            report.figure(&row, SRVD, figure, None);
        }
    }
    Ok(())
}

/// Stores the tokens, starts a daemon, and measures it until the last token has been refreshed.
async fn refresh(home: &Home, load: &Load) -> Result<Figure> {
    let issuer = Issuer::start(load.authorities, load.pause).await?;
    entries(home, &issuer, "")?;
    // A token is due after three quarters of its lifetime. None is due while they are being stored.
    let limit = Duration::from_secs(10) + STORE * u32::try_from(load.tokens)?;
    within(limit, store(home, load, limit * 3 / 2)).await.context("the tokens were not stored")?;
    tokio::time::sleep(limit * 6 / 5).await;
    entries(home, &issuer, OAUTH)?;
    let daemon = home.start().await?;
    let before = daemon.process.cpu()?;
    let usage = issuer.answered(load.tokens).await?;
    // The last answers are still being written to the database.
    tokio::time::sleep(REST).await;
    let cpu = (daemon.process.cpu()? - before) / count(load.tokens);
    let rate = count(load.tokens - 1) / usage.time.as_secs_f64();
    let figure =
        Figure::of([(rate, "tokens/s"), (cpu, "us CPU each"), (count(usage.most), "concurrent requests")]);
    Ok(figure.and(megabytes(daemon.process.resident()?), "MB afterwards"))
}

fn entries(home: &Home, issuer: &Issuer, oauth: &str) -> Result<()> {
    for (number, url) in issuer.urls.iter().enumerate() {
        let id = format!("lent{number}");
        let entry = format!("{ENTRY}{oauth}").replace("@ID@", &id);
        let entry = entry.replace("@VAR@", &id.to_uppercase()).replace("@URL@", url);
        home.write(&format!("config/providers.d/{id}.toml"), &entry, 0o600)?;
    }
    Ok(())
}

/// Stores tokens with this lifetime. Each belongs to a different user. The providers take turns.
async fn store(home: &Home, load: &Load, life: Duration) -> Result<()> {
    let _daemon = home.start().await?;
    let mut caller = home.connect().await?;
    for first in (0..load.tokens).step_by(BATCH) {
        let profiles = (first..load.tokens.min(first + BATCH)).map(|number| {
            let params = json!({
                "userId": format!("user-{number}"),
                "agentId": "agent",
                "providerId": format!("lent{}", number % load.authorities),
                "email": format!("person-{number}@bench.test"),
                "tokens": tokens(number, life),
            });
            ("profile.upsert", params)
        });
        caller.all(&profiles.collect::<Vec<_>>()).await?;
    }
    Ok(())
}
