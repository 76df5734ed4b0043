//! Logins from start to end, as seen by a client: many at once, and one after the other.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use futures_util::future::try_join_all;
use rpc_engine::Client;
use srvd::wire::auth::{Cancel, Poll, Session, SessionStatus, Start};

use crate::daemon::{Daemon, Home, PATIENCE, Usage};
use crate::logins::{now, since, written};

/// Logins of one connection. Each has at most one call in progress, and a connection may have 32.
const SHARE: usize = 25;
/// Interval between two looks at the daemon's use.
const LOOK: Duration = Duration::from_millis(5);

/// Times and resources of many logins at once.
pub(crate) struct Crowd {
    /// Time from the first request until every login has shown its address.
    pub(crate) shown: Duration,
    /// Time from the moment at which the CLIs continued until every login has succeeded.
    pub(crate) saved: Duration,
    pub(crate) idle: Usage,
    pub(crate) peak: Usage,
}

/// Runs `count` complete logins at the same time.
pub(crate) async fn crowd(home: &Home, daemon: &Daemon, recipe: &str, count: usize) -> Result<Crowd> {
    let go = home.root.join("go");
    let _ = std::fs::remove_file(&go);
    let mut clients = Vec::new();
    for _ in 0..count.div_ceil(SHARE) {
        clients.push(daemon.client().await?);
    }
    let idle = daemon.usage();
    let begun = Instant::now();
    let sessions = (0..count).map(|number| begin(&clients[number / SHARE], recipe));
    let (sessions, rising) = watched(daemon, try_join_all(sessions)).await;
    let sessions = sessions?;
    let shown = begun.elapsed();
    let released = Instant::now();
    std::fs::write(&go, "")?;
    let ends = sessions.iter().enumerate().map(|(number, session)| end(&clients[number / SHARE], session));
    let (ends, falling) = watched(daemon, try_join_all(ends)).await;
    ends?;
    Ok(Crowd { shown, saved: released.elapsed(), idle, peak: rising.peak(falling) })
}

/// Samples the daemon's use while `work` runs, and returns the peak.
async fn watched<T>(daemon: &Daemon, work: impl Future<Output = T>) -> (T, Usage) {
    let mut work = std::pin::pin!(work);
    let mut look = tokio::time::interval(LOOK);
    let mut peak = Usage::default();
    loop {
        tokio::select! {
            result = &mut work => return (result, peak),
            _ = look.tick() => peak = peak.peak(daemon.usage()),
        }
    }
}

/// Measures how long the daemon takes to read a flood of output that is written as fast as possible.
pub(crate) async fn scanning(client: &Client, recipe: &str) -> Result<Duration> {
    let shown = begin(client, recipe).await?;
    let begun = written(shown.auth_url.as_deref().context("no address")?)?;
    let is_over = |session: &Session| session.auth_url.as_deref().is_some_and(|url| url.contains("/done?"));
    let (_, over) = until(client, shown.clone(), is_over).await?;
    client.call(&Cancel { session_id: shown.session_id }).await?;
    Ok(since(begun, over))
}

/// Measures the time from the request of a login to the first output of its CLI.
pub(crate) async fn spawning(client: &Client, recipe: &str) -> Result<Duration> {
    let asked = now();
    let session = begin(client, recipe).await?;
    let spoke = written(session.auth_url.as_deref().context("no address")?)?;
    client.call(&Cancel { session_id: session.session_id }).await?;
    Ok(since(asked, spoke))
}

/// Measures the time from the CLI's last output, after which it ends, to the login's success. Returns `None` when the
/// daemon noticed the end before, in its check once a second.
pub(crate) async fn ending(client: &Client, recipe: &str) -> Result<Option<Duration>> {
    let session = begin(client, recipe).await?;
    let Some(url) = &session.auth_url else { return Ok(None) };
    let last = written(url)?;
    Ok(Some(since(last, end(client, &session).await?)))
}

/// Starts a login and waits for its address, or for its end without one.
async fn begin(client: &Client, recipe: &str) -> Result<Session> {
    let params =
        Start { provider_id: "fake".to_owned(), recipe: Some(recipe.to_owned()), ..Start::default() };
    let session_id = client.call(&params).await?.session_id;
    let session = client.call(&Poll { session_id, ..Poll::default() }).await?;
    Ok(until(client, session, |session| session.auth_url.is_some() || session.status.is_terminal()).await?.0)
}

/// Waits for the success of a login and returns the moment at which the client received it.
async fn end(client: &Client, session: &Session) -> Result<u128> {
    let (session, heard) = until(client, session.clone(), |session| session.status.is_terminal()).await?;
    ensure!(session.status == SessionStatus::Success, "a login failed: {:?}", session.error);
    Ok(heard)
}

async fn until(
    client: &Client,
    mut session: Session,
    holds: impl Fn(&Session) -> bool,
) -> Result<(Session, u128)> {
    let until = Instant::now() + PATIENCE;
    loop {
        let heard = now();
        if holds(&session) {
            return Ok((session, heard));
        }
        if session.status.is_terminal() {
            bail!("a login ended: {:?}", session.error);
        }
        ensure!(Instant::now() < until, "a login did not get on");
        let params = Poll {
            session_id: session.session_id,
            after_revision: Some(session.revision),
            wait_ms: Some(10_000),
        };
        session = client.call(&params).await?;
    }
}
