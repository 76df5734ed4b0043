//! Logins from start to finish, as seen by a client: many concurrently, and one after another.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use futures_util::future::try_join_all;
use serde_json::{Value, json};

use super::{megabytes, now, since, written};
use crate::calls::Caller;
use crate::daemon::Home;
use crate::deadline::ROW;
use crate::fill::text;
use crate::servers::Running;

/// The interval at which the daemon's resource usage is sampled.
const LOOK: Duration = Duration::from_millis(5);

/// The times and resources for many concurrent logins.
pub(super) struct Crowd {
    /// The time from the first request until every login has shown its URL.
    pub(super) shown: Duration,
    /// The time from the moment at which the CLIs continue until every login has succeeded.
    pub(super) saved: Duration,
    pub(super) idle: Usage,
    pub(super) peak: Usage,
}

/// The resources used by the daemon, without its children.
#[derive(Clone, Copy, Default)]
pub(super) struct Usage {
    /// The resident memory in megabytes of 10^6 bytes.
    pub(super) memory: f64,
    pub(super) threads: usize,
}

impl Usage {
    pub(super) fn of(daemon: &Running) -> Result<Self> {
        Ok(Self { memory: megabytes(daemon.process.resident()?), threads: daemon.process.threads() })
    }

    fn peak(self, other: Self) -> Self {
        Self { memory: self.memory.max(other.memory), threads: self.threads.max(other.threads) }
    }
}

/// Runs `count` complete logins concurrently.
pub(super) async fn crowd(home: &Home, daemon: &Running, recipe: &str, count: usize) -> Result<Crowd> {
    let go = home.root.join("go");
    let _ = std::fs::remove_file(&go);
    let mut callers = try_join_all((0..count).map(|_| home.connect())).await?;
    let idle = Usage::of(daemon)?;
    let begun = Instant::now();
    let starts = try_join_all(callers.iter_mut().map(|caller| begin(caller, recipe)));
    let (sessions, rising) = watched(daemon, starts).await?;
    let shown = begun.elapsed();
    let released = Instant::now();
    std::fs::write(&go, "")?;
    let ends = try_join_all(callers.iter_mut().zip(&sessions).map(|(caller, session)| end(caller, session)));
    let (_, falling) = watched(daemon, ends).await?;
    Ok(Crowd { shown, saved: released.elapsed(), idle, peak: rising.peak(falling) })
}

/// Samples the daemon's resource usage while `work` runs, and returns the peak.
async fn watched<T>(daemon: &Running, work: impl Future<Output = Result<T>>) -> Result<(T, Usage)> {
    let mut work = std::pin::pin!(work);
    let mut look = tokio::time::interval(LOOK);
    let mut peak = Usage::default();
    loop {
        tokio::select! {
            result = &mut work => return Ok((result?, peak)),
            _ = look.tick() => peak = peak.peak(Usage::of(daemon)?),
        }
    }
}

/// Measures how long the daemon takes to read a flood of output that is written as fast as possible.
pub(super) async fn reading(caller: &mut Caller, recipe: &str) -> Result<Duration> {
    let shown = begin(caller, recipe).await?;
    let begun = written(shown["authUrl"].as_str().context("no address")?)?;
    let is_over = |session: &Value| session["authUrl"].as_str().is_some_and(|url| url.contains("/done?"));
    let (_, over) = until(caller, shown.clone(), is_over).await?;
    cancel(caller, &shown).await?;
    Ok(since(begun, over))
}

/// Measures the time from requesting a login to the first output of its CLI.
pub(super) async fn starting(caller: &mut Caller, recipe: &str) -> Result<Duration> {
    let asked = now();
    let session = begin(caller, recipe).await?;
    let spoke = written(session["authUrl"].as_str().context("no address")?)?;
    cancel(caller, &session).await?;
    Ok(since(asked, spoke))
}

/// Measures the time from the CLI's last output, after which it exits, to the login's success. Returns `None` if the
/// daemon noticed the end earlier, in its check every second.
pub(super) async fn ending(caller: &mut Caller, recipe: &str) -> Result<Option<Duration>> {
    let session = begin(caller, recipe).await?;
    let Some(url) = session["authUrl"].as_str() else { return Ok(None) };
    let last = written(url)?;
    Ok(Some(since(last, end(caller, &session).await?)))
}

/// Starts a login and waits for its URL, or for its end without one.
async fn begin(caller: &mut Caller, recipe: &str) -> Result<Value> {
    let started = caller.call("auth.start", &json!({"providerId": "fake", "recipe": recipe})).await?;
    let session = caller.call("auth.poll", &json!({"sessionId": text(&started, "sessionId")?})).await?;
    let shown = |session: &Value| session["authUrl"].is_string() || has_ended(session);
    Ok(until(caller, session, shown).await?.0)
}

/// Waits for a login to succeed and returns when the client received the result.
async fn end(caller: &mut Caller, session: &Value) -> Result<u128> {
    let (session, heard) = until(caller, session.clone(), has_ended).await?;
    ensure!(session["status"] == "success", "a login failed: {session}");
    Ok(heard)
}

async fn cancel(caller: &mut Caller, session: &Value) -> Result<()> {
    caller.call("auth.cancel", &json!({"sessionId": session["sessionId"]})).await?;
    Ok(())
}

fn has_ended(session: &Value) -> bool {
    session["endedAt"].is_number()
}

async fn until(
    caller: &mut Caller,
    mut session: Value,
    holds: impl Fn(&Value) -> bool,
) -> Result<(Value, u128)> {
    let limit = Instant::now() + ROW;
    loop {
        let heard = now();
        if holds(&session) {
            return Ok((session, heard));
        }
        if has_ended(&session) {
            bail!("a login ended: {session}");
        }
        ensure!(Instant::now() < limit, "a login made no progress: {session}");
        let poll = json!({
            "sessionId": session["sessionId"], "afterRevision": session["revision"], "waitMs": 10_000,
        });
        session = caller.call("auth.poll", &poll).await?;
    }
}
