//! The time until a change to a CLI's file reaches a client, and the cost of watching many such files.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::json;

use super::Alone;
use super::rest::held;
use crate::calls::Caller;
use crate::deadline::{ANSWER, FILL, ROW, within};
use crate::fill::{self, Login};
use crate::report::{Figure, Goal, Report, SRVD};

const EVENT: Goal = Goal::at_most(100.0, "ms p99");
/// The maximum time for the first checks of all accounts.
const SETTLE: Duration = Duration::from_secs(3);
const GOOD: &str = r#"{"access":"bench"}"#;

/// Changes the files of many logins, one after another.
pub(crate) async fn measure(alone: &Alone, report: &mut Report) -> Result<()> {
    let home = alone.home("watching")?;
    let (count, changes) = (alone.amount.watched, alone.amount.changes);
    let filled = async {
        let _daemon = home.start().await?;
        fill::logins(&home, count).await
    };
    let watched = report.attempt(&format!("{count} logins stored"), SRVD, FILL, filled).await;
    let Some(watched) = watched else { return Ok(()) };
    let begun = Instant::now();
    let daemon = home.start().await?;
    let mut client = home.connect().await?;
    let boot = Figure::time(begun.elapsed());
    report.figure(&format!("boot until a client is connected, {count} watched logins"), SRVD, boot, None);
    tokio::time::sleep(SETTLE).await;
    report.figure(&format!("memory at rest, {count} watched logins"), SRVD, held(&daemon)?, None);

    let row = "change of a CLI's file to the event";
    let measured = async {
        // The check of each account that will change has set its watch.
        let checks = watched.iter().take(changes);
        let checks = checks.map(|login| ("account.refreshstatus", json!({"accountId": login.account})));
        client.all(&checks.collect::<Vec<_>>()).await?;
        client.call("events.subscribe", &json!({"topics": ["identityaccounts:changed:*"]})).await?;
        let (mut gone, mut back) = (Vec::new(), Vec::new());
        for login in watched.iter().cycle().take(changes.div_ceil(2)) {
            gone.push(change(login, "{}", &mut client).await?);
            back.push(change(login, GOOD, &mut client).await?);
        }
        Ok((gone, back))
    };
    if let Some((gone, back)) = report.attempt(row, SRVD, ROW, measured).await {
        // If a file stops being a valid login, it is read again 30 ms later, before the status changes.
        report.figure(&format!("{row}, a login that ends"), SRVD, Figure::spread(gone), Some(EVENT));
        report.figure(&format!("{row}, a login that returns"), SRVD, Figure::spread(back), Some(EVENT));
    }
    Ok(())
}

async fn change(login: &Login, text: &str, client: &mut Caller) -> Result<Duration> {
    let fresh = login.file.with_extension("fresh");
    std::fs::write(&fresh, text).with_context(|| fresh.display().to_string())?;
    let renamed = Instant::now();
    std::fs::rename(&fresh, &login.file)?;
    let topic = format!("identityaccounts:changed:{}", login.account);
    let arrives = async {
        loop {
            if client.event().await?["topic"] == topic.as_str() {
                return Ok(renamed.elapsed());
            }
        }
    };
    within(ANSWER, arrives).await.with_context(|| login.file.display().to_string())
}
