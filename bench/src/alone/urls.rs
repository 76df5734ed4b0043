//! The time from starting a login until its URL reaches a client.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use futures_util::future::try_join_all;
use serde_json::json;
use tokio::sync::mpsc;

use super::courses::TERMINALS;
use super::rest::held;
use super::{Alone, REST, now, since, written};
use crate::calls::Caller;
use crate::daemon::Home;
use crate::deadline::{ANSWER, ROW, within};
use crate::fill::text;
use crate::report::{Figure, Goal, Report, SRVD};

/// The goal for the time from the CLI's write until the event arrives.
const EVENT: Goal = Goal::at_most(5.0, "ms p99");
/// The number of concurrent logins. The result is for information only.
const AT_ONCE: usize = 20;

/// The times measured for one login.
struct Sample {
    /// The time from the request until the client has the URL.
    start: Duration,
    /// The time from the CLI's write until the client receives the event for the state with the URL.
    event: Duration,
    /// The time from the CLI's write until the client has the URL, for which it waits in `auth.poll`.
    answer: Duration,
}

/// A frontend: a connection that receives the events of all logins, and one connection per login.
struct Frontend {
    callers: Vec<Caller>,
    arrivals: mpsc::Receiver<Arrival>,
    seen: HashMap<(String, u64), u128>,
}

/// An event and its time of arrival.
struct Arrival {
    session: String,
    revision: u64,
    at: u128,
}

/// A login whose URL the client has received.
struct Shown {
    session: String,
    revision: u64,
    asked: u128,
    written: u128,
    answered: u128,
}

/// Measures logins one by one, and many concurrently.
pub(crate) async fn measure(alone: &Alone, report: &mut Report) -> Result<()> {
    let home = alone.home_with_fake_cli("urls")?;
    let daemon = home.start().await?;
    let mut frontend = Frontend::new(&home).await?;
    // The first login runs with cold caches and does not count.
    frontend.measure(&["url-pipe"]).await?;
    for (terminal, _) in TERMINALS {
        let recipe = format!("url-{terminal}");
        let row = format!("login start to URL, {terminal}, one by one");
        add(report, &row, Some(EVENT), frontend.repeat(&[&recipe], alone.amount.logins)).await;
    }
    let mix: Vec<&str> = ["url-pipe", "url-pty"].into_iter().cycle().take(AT_ONCE).collect();
    let row = format!("login start to URL, {AT_ONCE} at once");
    add(report, &row, None, frontend.repeat(&mix, 5)).await;
    drop(frontend);
    tokio::time::sleep(REST).await;
    report.figure("memory at rest, after those logins", SRVD, held(&daemon)?, None);
    Ok(())
}

async fn add(
    report: &mut Report,
    row: &str,
    goal: Option<Goal>,
    work: impl Future<Output = Result<Vec<Sample>>>,
) {
    let Some(samples) = report.attempt(row, SRVD, ROW, work).await else { return };
    let spread = |time: fn(&Sample) -> Duration| Figure::spread(samples.iter().map(time));
    report.figure(row, SRVD, spread(|sample| sample.start), None);
    report.figure(
        &format!("{row}: of that, the CLI's write to the event"),
        SRVD,
        spread(|sample| sample.event),
        goal,
    );
    report.figure(
        &format!("{row}: of that, the CLI's write to the URL"),
        SRVD,
        spread(|sample| sample.answer),
        None,
    );
}

impl Frontend {
    async fn new(home: &Home) -> Result<Self> {
        let mut watcher = home.connect().await?;
        watcher.call("events.subscribe", &json!({"topics": ["authsession:changed:*"]})).await?;
        let (sender, arrivals) = mpsc::channel(4096);
        // The task ends with the connection or with this frontend.
        tokio::spawn(stamp(watcher, sender));
        let callers = try_join_all((0..AT_ONCE).map(|_| home.connect())).await?;
        Ok(Self { callers, arrivals, seen: HashMap::new() })
    }

    async fn repeat(&mut self, recipes: &[&str], times: usize) -> Result<Vec<Sample>> {
        let mut samples = Vec::new();
        for _ in 0..times {
            samples.extend(self.measure(recipes).await?);
        }
        Ok(samples)
    }

    /// Concurrently starts a login with each of the recipes, measures them, and cancels them.
    async fn measure(&mut self, recipes: &[&str]) -> Result<Vec<Sample>> {
        let logins = self.callers.iter_mut().zip(recipes);
        let shown = try_join_all(logins.map(|(caller, recipe)| login(caller, recipe))).await?;
        let mut samples = Vec::new();
        for Shown { session, revision, asked, written, answered } in &shown {
            let event = self.arrival(session, *revision).await?;
            let (start, answer) = (since(*asked, *answered), since(*written, *answered));
            samples.push(Sample { start, event: since(*written, event), answer });
        }
        let cancel = self.callers.iter_mut().zip(&shown).map(|(caller, shown)| async {
            caller.call("auth.cancel", &json!({"sessionId": shown.session})).await
        });
        try_join_all(cancel).await?;
        Ok(samples)
    }

    /// Returns when the event for a state arrived.
    async fn arrival(&mut self, session: &str, revision: u64) -> Result<u128> {
        let key = (session.to_owned(), revision);
        loop {
            if let Some(at) = self.seen.remove(&key) {
                return Ok(at);
            }
            let next = async { self.arrivals.recv().await.context("the connection closed") };
            let Arrival { session, revision, at } = within(ANSWER, next).await.context("no event")?;
            self.seen.insert((session, revision), at);
        }
    }
}

/// Starts a login and waits for its URL.
async fn login(caller: &mut Caller, recipe: &str) -> Result<Shown> {
    let asked = now();
    let started = caller.call("auth.start", &json!({"providerId": "fake", "recipe": recipe})).await?;
    let session = text(&started, "sessionId")?;
    let mut seen = json!(0);
    loop {
        let poll = json!({"sessionId": session, "afterRevision": seen, "waitMs": 10_000});
        let state = caller.call("auth.poll", &poll).await?;
        let answered = now();
        if let Some(url) = state["authUrl"].as_str() {
            let revision = state["revision"].as_u64().context("no revision")?;
            return Ok(Shown { session, revision, asked, written: written(url)?, answered });
        }
        if state["endedAt"].is_number() {
            bail!("a login ended: {state}");
        }
        seen = state["revision"].clone();
    }
}

async fn stamp(mut watcher: Caller, sender: mpsc::Sender<Arrival>) {
    // An error ends the channel, which fails the row waiting for an event.
    while let Ok(event) = watcher.event().await {
        let at = now();
        let data = &event["data"];
        let (Some(session), Some(revision)) = (data["sessionId"].as_str(), data["revision"].as_u64()) else {
            continue;
        };
        if sender.send(Arrival { session: session.to_owned(), revision, at }).await.is_err() {
            return;
        }
    }
}
