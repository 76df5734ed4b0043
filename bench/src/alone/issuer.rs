//! A token endpoint on loopback that grants every request. It has several addresses, so that it can act as several
//! authorities.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::deadline::ANSWER;

/// The lifetime of a token in seconds. No token is due again during the measurement.
const LIFE: u32 = 24 * 60 * 60;
/// The length of the filler in a token, which makes it about as long as a small JWT.
const FILL: usize = 600;

/// The issuer.
pub(super) struct Issuer {
    pub(super) urls: Vec<String>,
    state: Arc<State>,
    _servers: JoinSet<()>,
}

struct State {
    /// The delay before each answer.
    pause: Duration,
    seen: watch::Sender<Seen>,
}

/// The number of requests, and the times of the first and last answer.
#[derive(Clone, Copy, Default)]
struct Seen {
    waiting: usize,
    most: usize,
    answered: usize,
    first: Option<Instant>,
    last: Option<Instant>,
}

/// The measured load on the issuer.
pub(super) struct Usage {
    /// The time from the first answer to the last.
    pub(super) time: Duration,
    /// The maximum number of requests that were pending at the same time.
    pub(super) most: usize,
}

/// Returns the access token of an account.
pub(super) fn access(number: usize) -> String {
    format!("access-{number:08}-{}", "0123456789abcdef".repeat(FILL / 16))
}

/// Returns the refresh token of an account.
pub(super) fn refresh(number: usize) -> String {
    format!("refresh-{number:08}-{}", "0123456789abcdef".repeat(4))
}

impl Issuer {
    /// Starts the issuer with this many addresses.
    pub(super) async fn start(addresses: usize, pause: Duration) -> Result<Self> {
        let state = Arc::new(State { pause, seen: watch::channel(Seen::default()).0 });
        let (mut urls, mut servers) = (Vec::new(), JoinSet::new());
        for _ in 0..addresses {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            urls.push(format!("http://{}/token", listener.local_addr()?));
            servers.spawn(serve(listener, state.clone()));
        }
        Ok(Self { urls, state, _servers: servers })
    }

    /// Waits until `count` answers have been sent. Fails if no request arrives for a while.
    pub(super) async fn answered(&self, count: usize) -> Result<Usage> {
        let mut seen = self.state.seen.subscribe();
        loop {
            let now = *seen.borrow_and_update();
            if now.answered >= count {
                let (first, last) = now.first.zip(now.last).context("no request was answered")?;
                return Ok(Usage { time: last - first, most: now.most });
            }
            if tokio::time::timeout(ANSWER, seen.changed()).await.is_err() {
                bail!("the daemon requested only {} of {count} tokens", now.answered);
            }
        }
    }
}

async fn serve(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let state = state.clone();
        connections.spawn(async move {
            let service = service_fn(|request| respond(request, &state));
            // A daemon that exits closes its connections, which is not an error.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn respond(request: Request<Incoming>, state: &State) -> Result<Response<Full<Bytes>>, Infallible> {
    let Ok(body) = request.into_body().collect().await else { return Ok(Response::default()) };
    let body = body.to_bytes();
    let number = number(&String::from_utf8_lossy(&body)).unwrap_or_default();
    state.seen.send_modify(|seen| {
        seen.waiting += 1;
        seen.most = seen.most.max(seen.waiting);
    });
    if !state.pause.is_zero() {
        tokio::time::sleep(state.pause).await;
    }
    let granted = serde_json::json!({
        "access_token": access(number), "refresh_token": refresh(number), "token_type": "bearer", "expires_in": LIFE,
    });
    let answer = Response::builder().header(header::CONTENT_TYPE, "application/json");
    let answer = answer.body(Full::new(Bytes::from(granted.to_string()))).unwrap_or_default();
    state.seen.send_modify(|seen| {
        let now = Instant::now();
        seen.first.get_or_insert(now);
        seen.last = Some(now);
        seen.waiting -= 1;
        seen.answered += 1;
    });
    Ok(answer)
}

/// Returns the account of the refresh token in a form. The token needs no decoding.
fn number(form: &str) -> Option<usize> {
    let (_, token) = form.split_once("refresh_token=refresh-")?;
    token.get(..8)?.parse().ok()
}
