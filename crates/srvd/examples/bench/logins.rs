//! The time that a login's URL takes from the CLI's write to the client.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};
use futures_util::future::try_join_all;
use rpc_engine::{CallError, Client, ClientEvent, Subscription};
use srvd::wire::auth::{Cancel, Poll, Session, Start};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::daemon::PATIENCE;

/// Times of one login, from the moment that its URL contains.
pub(crate) struct Sample {
    /// Time until the client received the event of the state with the URL.
    pub(crate) event: Duration,
    /// Time until the client had the URL, which it asks for after each event.
    pub(crate) answer: Duration,
}

/// A frontend with one connection. It subscribes to every login and asks for the login's state after each event.
pub(crate) struct Watcher {
    client: Client,
    arrivals: mpsc::Receiver<Arrival>,
    /// Logins that were measured. Events about their end still arrive.
    finished: HashSet<String>,
}

/// An event with the time of its arrival.
struct Arrival {
    session: String,
    revision: u64,
    at: u128,
}

/// The answer to a poll with the time of its arrival.
type Answer = Result<(Session, u128), CallError>;

/// Data that was received about one login.
#[derive(Default)]
struct Seen {
    arrivals: HashMap<u64, u128>,
    url: Option<Url>,
}

/// The first answer that contained the URL.
struct Url {
    revision: u64,
    written: u128,
    answered: u128,
}

impl Watcher {
    /// Subscribes to every login.
    pub(crate) async fn new(client: Client) -> Result<Self> {
        let events = client.subscribe(["authsession:changed:*"]).await?;
        let (sender, arrivals) = mpsc::channel(4096);
        // The task ends with the connection, or with this watcher.
        tokio::spawn(stamp(events, sender));
        Ok(Self { client, arrivals, finished: HashSet::new() })
    }

    /// Starts a login with each of the recipes at once, measures them, and cancels them.
    pub(crate) async fn measure(&mut self, recipes: &[&str]) -> Result<Vec<Sample>> {
        let start = recipes.iter().map(|recipe| {
            let params = Start {
                provider_id: "fake".to_owned(),
                recipe: Some((*recipe).to_owned()),
                ..Start::default()
            };
            let client = self.client.clone();
            async move { client.call(&params).await.map(|started| started.session_id) }
        });
        let sessions = try_join_all(start).await?;
        let samples =
            tokio::time::timeout(PATIENCE, self.follow(&sessions)).await.context("no URL came")??;
        let cancel = sessions.iter().map(|id| {
            let client = self.client.clone();
            async move { client.call(&Cancel { session_id: id.clone() }).await }
        });
        try_join_all(cancel).await?;
        self.finished.extend(sessions);
        Ok(samples)
    }

    async fn follow(&mut self, sessions: &[String]) -> Result<Vec<Sample>> {
        let mut seen: HashMap<String, Seen> = HashMap::new();
        let mut polls: JoinSet<Answer> = JoinSet::new();
        let mut samples = HashMap::new();
        while samples.len() < sessions.len() {
            let session = tokio::select! {
                arrival = self.arrivals.recv() => {
                    let arrival = arrival.context("the connection closed")?;
                    if self.finished.contains(&arrival.session) {
                        continue;
                    }
                    let known = seen.entry(arrival.session.clone()).or_default();
                    known.arrivals.insert(arrival.revision, arrival.at);
                    if known.url.is_none() {
                        polls.spawn(poll(self.client.clone(), arrival.session.clone(), arrival.revision));
                    }
                    arrival.session
                }
                Some(answer) = polls.join_next() => {
                    let (session, answered) = answer??;
                    if session.status.is_terminal() {
                        bail!("a login ended: {:?}", session.error);
                    }
                    let known = seen.entry(session.session_id.clone()).or_default();
                    if let (None, Some(url)) = (&known.url, &session.auth_url) {
                        let written = written(url)?;
                        known.url = Some(Url { revision: session.revision, written, answered });
                    }
                    session.session_id
                }
            };
            if let Some(sample) = seen.get(&session).and_then(Seen::sample) {
                samples.insert(session, sample);
            }
        }
        Ok(samples.into_values().collect())
    }
}

impl Seen {
    fn sample(&self) -> Option<Sample> {
        let url = self.url.as_ref()?;
        let event = *self.arrivals.get(&url.revision)?;
        Some(Sample { event: since(url.written, event), answer: since(url.written, url.answered) })
    }
}

async fn stamp(mut events: Subscription, sender: mpsc::Sender<Arrival>) {
    while let Some(event) = events.next().await {
        let at = now();
        let ClientEvent::Event { data: Some(data), .. } = event else { continue };
        let (Some(session), Some(revision)) = (data["sessionId"].as_str(), data["revision"].as_u64()) else {
            continue;
        };
        if sender.send(Arrival { session: session.to_owned(), revision, at }).await.is_err() {
            return;
        }
    }
}

/// Asks for the state that an event announced. The event may be published a moment before the state can be read.
async fn poll(client: Client, session_id: String, revision: u64) -> Answer {
    let params = Poll { session_id, after_revision: Some(revision.saturating_sub(1)), wait_ms: Some(10_000) };
    let session = client.call(&params).await?;
    Ok((session, now()))
}

/// Returns the Unix time in microseconds, from the clock that the CLI also reads.
pub(crate) fn now() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros())
}

pub(crate) fn written(url: &str) -> Result<u128> {
    let (_, time) = url.split_once("t=").context("the URL has no time")?;
    Ok(time.parse()?)
}

pub(crate) fn since(from: u128, to: u128) -> Duration {
    Duration::from_micros(u64::try_from(to.saturating_sub(from)).unwrap_or(u64::MAX))
}
