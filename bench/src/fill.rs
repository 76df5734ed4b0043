//! A database with many accounts, filled through the daemon.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use futures_util::future::try_join_all;
use serde_json::{Value, json};

use crate::calls::Caller;
use crate::daemon::{Home, SERVICES};
use crate::report::progress;

/// The number of connections that log in concurrently.
const AT_ONCE: usize = 8;

/// A login that is stored in a directory.
pub(crate) struct Login {
    pub(crate) bundle: String,
    pub(crate) account: String,
    /// The file that contains the credential. It belongs to the CLI.
    pub(crate) file: PathBuf,
}

/// Stores accounts with API keys, [`SERVICES`] per bundle. Returns the bundles.
pub(crate) async fn accounts(caller: &mut Caller, count: usize) -> Result<Vec<String>> {
    let mut all = Vec::new();
    for first in (0..count.div_ceil(SERVICES)).step_by(64) {
        let wanted = (count - first * SERVICES).min(64 * SERVICES);
        all.extend(bundles(caller, "Bundle", first..first + wanted.div_ceil(SERVICES), SERVICES).await?);
        if first > 0 {
            progress(&format!("{} of {count} accounts stored", first * SERVICES + wanted));
        }
    }
    Ok(all)
}

/// Creates a bundle for each number, with this many API keys. Returns the bundles.
pub(crate) async fn bundles(
    caller: &mut Caller,
    name: &str,
    numbers: std::ops::Range<usize>,
    keys: usize,
) -> Result<Vec<String>> {
    let create = numbers.map(|number| ("bundle.create", json!({"name": format!("{name} {number}")})));
    let made = caller.all(&create.collect::<Vec<_>>()).await?;
    let bundles: Vec<String> = made.iter().map(|bundle| text(bundle, "id")).collect::<Result<_>>()?;
    let key = |bundle: &String, number: usize| {
        let params = json!({
            "providerId": format!("bench-{number}"),
            "intoBundleId": bundle,
            "apiKey": "a-key-of-the-benchmark-0123456789",
            "accountName": "bench",
            "validate": false,
        });
        ("auth.submitapikey", params)
    };
    let store = bundles.iter().flat_map(|bundle| (0..keys).map(move |number| key(bundle, number)));
    caller.all(&store.collect::<Vec<_>>()).await?;
    Ok(bundles)
}

/// Logs in this many times, each time into a new bundle.
pub(crate) async fn logins(home: &Home, count: usize) -> Result<Vec<Login>> {
    let mut logins = Vec::new();
    let mut callers = try_join_all((0..AT_ONCE.min(count)).map(|_| home.connect())).await?;
    while logins.len() < count {
        let first = logins.len();
        let some = callers.iter_mut().take(count - first).enumerate();
        logins.extend(try_join_all(some.map(|(number, caller)| login(home, caller, first + number))).await?);
        if logins.len() / 500 > first / 500 {
            progress(&format!("{} of {count} logins done", logins.len()));
        }
    }
    Ok(logins)
}

async fn login(home: &Home, caller: &mut Caller, number: usize) -> Result<Login> {
    let start = json!({"providerId": "bench", "bundleName": format!("Login {number}")});
    let session = text(&caller.call("auth.start", &start).await?, "sessionId")?;
    let mut seen = json!(0);
    loop {
        let poll = json!({"sessionId": session, "afterRevision": seen, "waitMs": 10_000});
        let now = caller.call("auth.poll", &poll).await?;
        match now["status"].as_str() {
            Some("success") => {
                let (bundle, account) = (text(&now, "bundleId")?, text(&now, "accountId")?);
                let dir = home.root.join("data/identities").join(&bundle).join("bench");
                return Ok(Login { bundle, account, file: dir.join("credentials.json") });
            }
            Some("failed") => bail!("a login failed: {now}"),
            _ => seen = now["revision"].clone(),
        }
    }
}

/// Returns a field of an answer.
pub(crate) fn text(answer: &Value, field: &str) -> Result<String> {
    Ok(answer[field].as_str().with_context(|| format!("no {field} in {answer}"))?.to_owned())
}
