//! The cost of refreshing many tokens that are due at the same time, with the daemon's default limits.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use identity_store::ProviderId;

use crate::bring;
use crate::cost::{self, Cost};
use crate::daemon::Home;
use crate::issuer::Issuer;
use crate::table::{Table, megabytes};

/// Requests to issuers that the daemon sends at a time, one for each address. The value is the refresher's `AT_A_TIME`.
const PLACES: usize = 4;
/// Delay of an issuer on a real network.
const FAR: Duration = Duration::from_millis(50);
/// Longest time that all refreshes may take.
const PATIENCE: Duration = Duration::from_mins(20);
/// The time that the daemon is left alone before it is measured.
const QUIET: Duration = Duration::from_secs(1);

const ENTRY: &str = r#"
[providers.@ID@]
display-name = "@ID@"
class = "api_key"

[providers.@ID@.key]
vars = ["@VAR@_TOKEN"]
base-url = "https://@ID@.example.test"

[providers.@ID@.oauth]
token-url = "@URL@"
client-id = "srvd"
body = "form"
"#;

/// Tokens that are due, and the authorities that renew them.
pub(crate) struct Load {
    name: &'static str,
    pub(crate) tokens: usize,
    authorities: usize,
    pause: Duration,
}

/// Returns the loads to measure: many tokens at many authorities, the limit of one authority, the effect of distance.
pub(crate) fn loads(tokens: usize) -> [Load; 3] {
    [
        Load { name: "at once", tokens, authorities: 8, pause: Duration::ZERO },
        Load { name: "one authority", tokens: tokens / 5, authorities: 1, pause: Duration::ZERO },
        Load { name: "50 ms away", tokens: tokens / 20, authorities: 8, pause: FAR },
    ]
}

impl Load {
    /// Returns a name for a directory.
    pub(crate) fn place(&self) -> String {
        format!("refresh-{}-{}", self.authorities, self.pause.as_millis())
    }
}

/// Stores the tokens, starts a daemon, and measures it until the last token is refreshed.
pub(crate) async fn refresh(table: &mut Table, home: &Home, load: &Load) -> Result<()> {
    let issuer = Issuer::start(load.authorities, load.pause).await?;
    let mut providers: Vec<ProviderId> = Vec::new();
    for (number, url) in issuer.urls.iter().enumerate() {
        let id = format!("lent{number}");
        let entry = ENTRY.replace("@ID@", &id).replace("@VAR@", &id.to_uppercase()).replace("@URL@", url);
        std::fs::write(home.root.join(format!("config/providers.d/{id}.toml")), entry)?;
        providers.push(id.parse()?);
    }
    bring::due(home, &providers, load.tokens).await?;
    let daemon = home.start_unseen().await?;
    issuer.waiting(PLACES.min(load.authorities)).await?;
    tokio::time::sleep(QUIET).await;
    let before = Counters::of(&home.root, daemon.pid())?;
    let usage = issuer.open(load.tokens, PATIENCE).await?;
    // The last answers are still being written to the database.
    tokio::time::sleep(QUIET).await;
    let after = Counters::of(&home.root, daemon.pid())?;
    let peak = cost::peak(daemon.pid()).context("the daemon is gone")?;

    let name =
        format!("refresh of {} due tokens, {}, {} authorities", load.tokens, load.name, load.authorities);
    let tokens = u32::try_from(load.tokens)?;
    let rate = f64::from(tokens - 1) / usage.time.as_secs_f64();
    table.row(&format!("{name}: rate"), format!("{rate:.0}/s, {} asked at a time", usage.most), "");
    let cost = after.cost.since(before.cost);
    let figure = format!(
        "{} us CPU, {:.2} transactions, {} bytes written",
        (cost.cpu / tokens).as_micros(),
        f64::from(after.transactions.wrapping_sub(before.transactions)) / f64::from(tokens),
        cost.written / u64::from(tokens),
    );
    table.row(&format!("{name}: a refresh"), figure, "");
    let memory = format!("{} before, {} at most", megabytes(before.memory), megabytes(peak));
    table.row(&format!("{name}: memory"), memory, "");
    Ok(())
}

struct Counters {
    cost: Cost,
    transactions: u32,
    memory: u64,
}

impl Counters {
    fn of(home: &Path, pid: u32) -> Result<Self> {
        let unknown = "not known on this system";
        Ok(Self {
            cost: Cost::of(pid).context(unknown)?,
            transactions: cost::transactions(&home.join("data/srvd.db-shm")).context(unknown)?,
            memory: cost::peak(pid).context(unknown)?,
        })
    }
}
