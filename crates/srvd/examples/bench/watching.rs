//! The time until a change of a CLI's file reaches a client, and the cost of watching many of them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use identity_store::{
    BundleId, Change, DatabaseUrl, DestinationBundle, Evidence, Key, Keyring, LoginCredential, SaveLogin,
    Store, StoreOptions,
};
use rpc_engine::{ClientEvent, Subscription};
use srvd::api::account;

use crate::daemon::{Home, KEY, PATIENCE};
use crate::table::{Spread, Table};

const TARGET: &str = "p99 < 100 ms";
/// The time allowed for the first checks of all accounts.
const SETTLE: Duration = Duration::from_secs(3);
const GOOD: &str = r#"{"access":"bench"}"#;

/// A watched login.
struct Watched {
    topic: String,
    file: PathBuf,
}

/// Changes the files of `logins` accounts, `changes` times in total, one after the other.
pub(crate) async fn watching(table: &mut Table, home: &Home, logins: usize, changes: usize) -> Result<()> {
    let watched = fill(home, logins).await?;
    let (daemon, boot) = home.start().await?;
    table.row(&format!("boot, {logins} watched logins"), boot.to_string(), "");
    tokio::time::sleep(SETTLE).await;
    table.row(&format!("memory at rest, {logins} watched logins"), daemon.memory(), "");
    let client = daemon.client().await?;
    // A check of each account that will change has set its watch.
    for login in watched.iter().take(changes) {
        let id = login.topic.rsplit(':').next().unwrap_or_default().to_owned();
        client.call(&account::RefreshStatus { account_id: id }).await?;
    }
    let mut events = client.subscribe(["identityaccounts:changed:*"]).await?;
    let (mut gone, mut back) = (Vec::new(), Vec::new());
    for login in watched.iter().cycle().take(changes.div_ceil(2)) {
        gone.push(change(login, "{}", &mut events).await?);
        back.push(change(login, GOOD, &mut events).await?);
    }
    // A file that ends a good status is read again 30 ms later, before the status changes.
    table.row("file to event, a login that goes", Spread::of(gone).to_string(), TARGET);
    table.row("file to event, a login that comes back", Spread::of(back).to_string(), TARGET);
    Ok(())
}

async fn change(login: &Watched, text: &str, events: &mut Subscription) -> Result<Duration> {
    let fresh = login.file.with_extension("fresh");
    std::fs::write(&fresh, text)?;
    let renamed = Instant::now();
    std::fs::rename(&fresh, &login.file)?;
    let wait = async {
        loop {
            match events.next().await.context("the connection is open")? {
                ClientEvent::Event { topic, .. } if topic == login.topic => return Ok(renamed.elapsed()),
                ClientEvent::Event { .. } => {}
                other => bail!("{other:?}"),
            }
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.with_context(|| login.file.display().to_string())?
}

/// Stores logins, each with its own directory.
async fn fill(home: &Home, count: usize) -> Result<Vec<Watched>> {
    let now = srvd::app::now();
    let url = DatabaseUrl::sqlite(home.root.join("data/srvd.db"));
    let options = StoreOptions::new(url, Arc::new(|_: &[Change]| {}), now);
    let store = Store::open(options, Keyring::from_key(Key::parse(KEY.as_bytes())?)).await?;
    let mut watched = Vec::with_capacity(count);
    for number in 0..count {
        let bundle = BundleId::generate();
        let dir = home.root.join("data/identities").join(bundle.as_str()).join("fake");
        srvd::private::directory(&dir)?;
        let file = dir.join("credentials.json");
        std::fs::write(&file, GOOD)?;
        let saved = store.save_login(login(bundle, &dir, number, now)?).await?;
        watched.push(Watched { topic: format!("identityaccounts:changed:{}", saved.account), file });
    }
    store.close().await;
    Ok(watched)
}

fn login(bundle: BundleId, dir: &Path, number: usize, now: i64) -> Result<SaveLogin> {
    Ok(SaveLogin {
        session: None,
        target: DestinationBundle::New { id: bundle, name: Some(format!("Watched {number}")) },
        provider: "fake".parse()?,
        provider_name: "Fake".to_owned(),
        credential: LoginCredential::Directory(dir.to_owned()),
        email: None,
        subject: None,
        base_url: None,
        expires_at: None,
        login_deadline_at: None,
        evidence: Evidence::File,
        replace_identity: false,
        now,
    })
}
