//! The time from a change made by one client to the event received by another.

use std::time::Instant;

use anyhow::{Result, ensure};
use serde_json::json;

use super::Alone;
use crate::daemon::Home;
use crate::deadline::ROW;
use crate::fill;
use crate::report::{Figure, Goal, Report, SRVD};

const EVENT: Goal = Goal::at_most(5.0, "ms p99");

/// Measures changes to a bundle, one after another. Each is a transaction.
pub(crate) async fn measure(alone: &Alone, report: &mut Report) -> Result<()> {
    let home = alone.home("events")?;
    let _daemon = home.start().await?;
    let row = "event to client, from the request that makes the change";
    let measured = changes(&home, alone.amount.calls);
    if let Some(figure) = report.attempt(row, SRVD, ROW, measured).await {
        report.figure(row, SRVD, figure, Some(EVENT));
    }
    Ok(())
}

async fn changes(home: &Home, count: usize) -> Result<Figure> {
    let (mut writer, mut reader) = (home.connect().await?, home.connect().await?);
    let bundle = fill::bundles(&mut writer, "Changing", 0..1, 0).await?.remove(0);
    reader.call("events.subscribe", &json!({"topics": ["identitybundles:changed"]})).await?;
    let mut times = Vec::with_capacity(count);
    for number in 0..count {
        let update = json!({"bundleId": bundle, "description": format!("change {number}")});
        let begun = Instant::now();
        let receipt = async {
            let event = reader.event().await?;
            Ok((event, begun.elapsed()))
        };
        let (_, (event, time)) = tokio::try_join!(writer.call("bundle.update", &update), receipt)?;
        ensure!(event["topic"] == "identitybundles:changed", "unexpected event: {event}");
        times.push(time);
    }
    Ok(Figure::spread(times))
}
