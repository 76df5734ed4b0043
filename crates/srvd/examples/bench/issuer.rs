//! A token endpoint on loopback that grants every request. It has several addresses, to act as several authorities.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::daemon::PATIENCE;

/// The life of a token in seconds. No token is due again during the measurement.
const LIFE: u32 = 24 * 60 * 60;
/// Length of the filler in a token, which makes it about as long as a small JWT.
const FILL: usize = 600;

/// The issuer. Requests wait until [`Issuer::open`] is called.
pub(crate) struct Issuer {
    pub(crate) urls: Vec<String>,
    state: Arc<State>,
    _servers: JoinSet<()>,
}

struct State {
    /// Delay before each answer.
    pause: Duration,
    open: watch::Sender<bool>,
    seen: watch::Sender<Seen>,
    answers: Mutex<Answers>,
}

/// Counts of requests.
#[derive(Clone, Copy, Default)]
struct Seen {
    waiting: usize,
    most: usize,
    answered: usize,
}

/// Times of the first and the last answer.
#[derive(Default)]
struct Answers {
    first: Option<Instant>,
    last: Option<Instant>,
}

/// Measured use of the issuer.
pub(crate) struct Usage {
    /// Time from the first answer to the last.
    pub(crate) time: Duration,
    /// Largest number of requests that were pending at the same time.
    pub(crate) most: usize,
}

/// Returns the access token of an account.
pub(crate) fn access(number: usize) -> String {
    format!("access-{number:08}-{}", "0123456789abcdef".repeat(FILL / 16))
}

/// Returns the refresh token of an account.
pub(crate) fn refresh(number: usize) -> String {
    format!("refresh-{number:08}-{}", "0123456789abcdef".repeat(4))
}

impl Issuer {
    /// Starts the issuer at `addresses` addresses.
    pub(crate) async fn start(addresses: usize, pause: Duration) -> Result<Self> {
        let state = State {
            pause,
            open: watch::channel(false).0,
            seen: watch::channel(Seen::default()).0,
            answers: Mutex::default(),
        };
        let state = Arc::new(state);
        let (mut urls, mut servers) = (Vec::new(), JoinSet::new());
        for _ in 0..addresses {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            urls.push(format!("http://{}/token", listener.local_addr()?));
            servers.spawn(serve(listener, state.clone()));
        }
        Ok(Self { urls, state, _servers: servers })
    }

    /// Waits until `count` requests wait for an answer.
    pub(crate) async fn waiting(&self, count: usize) -> Result<()> {
        self.until(PATIENCE, |seen| seen.waiting >= count).await
    }

    /// Answers requests from now on, and waits until `count` answers were given.
    pub(crate) async fn open(&self, count: usize, patience: Duration) -> Result<Usage> {
        self.state.open.send_replace(true);
        self.until(patience, |seen| seen.answered >= count).await?;
        let answers = self.state.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let (first, last) = answers.first.zip(answers.last).context("nothing was answered")?;
        Ok(Usage { time: last - first, most: self.state.seen.borrow().most })
    }

    async fn until(&self, patience: Duration, holds: impl Fn(&Seen) -> bool) -> Result<()> {
        let mut seen = self.state.seen.subscribe();
        tokio::time::timeout(patience, seen.wait_for(holds)).await.context("the issuer was not asked")??;
        Ok(())
    }
}

async fn serve(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let state = state.clone();
        connections.spawn(async move {
            let service = service_fn(|request| respond(request, &state));
            // A daemon that ends closes its connections, which is no failure.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn respond(request: Request<Incoming>, state: &State) -> Result<Response<Full<Bytes>>, Infallible> {
    let Ok(body) = request.into_body().collect().await else { return Ok(Response::default()) };
    let body = body.to_bytes();
    let sent = url::form_urlencoded::parse(&body).find(|(name, _)| name == "refresh_token");
    let number = sent.and_then(|(_, token)| token.split('-').nth(1)?.parse().ok()).unwrap_or_default();
    state.seen.send_modify(|seen| {
        seen.waiting += 1;
        seen.most = seen.most.max(seen.waiting);
    });
    // The wait fails only when the issuer is gone.
    let _ = state.open.subscribe().wait_for(|open| *open).await;
    if !state.pause.is_zero() {
        tokio::time::sleep(state.pause).await;
    }
    let granted = serde_json::json!({
        "access_token": access(number), "refresh_token": refresh(number), "token_type": "bearer", "expires_in": LIFE,
    });
    let answer = Response::builder().header(header::CONTENT_TYPE, "application/json");
    let answer = answer.body(Full::new(Bytes::from(granted.to_string()))).unwrap_or_default();
    {
        let mut answers = state.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        answers.first.get_or_insert(now);
        answers.last = Some(now);
    }
    state.seen.send_modify(|seen| {
        seen.waiting -= 1;
        seen.answered += 1;
    });
    Ok(answer)
}
