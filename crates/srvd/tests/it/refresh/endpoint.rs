//! A token endpoint on loopback that records every refresh token it receives, and responds as the test requires.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, header};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// The maximum duration of a step before the test fails.
const PATIENCE: std::time::Duration = std::time::Duration::from_mins(1);

/// Returns a provider entry whose tokens are refreshed at this URL.
pub(crate) fn entry(id: &str, url: &str, body: &str) -> String {
    format!(
        "[providers.{id}]\ndisplay-name = \"{id}\"\nclass = \"api_key\"\n\
         [providers.{id}.key]\nvars = [\"{}_TOKEN\"]\nbase-url = \"https://{id}.example.test\"\n\
         [providers.{id}.oauth]\ntoken-url = \"{url}\"\nclient-id = \"srvd\"\nbody = \"{body}\"\n",
        id.to_uppercase()
    )
}

/// The endpoint's response to a request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Mode {
    /// New tokens for a valid refresh token, and `invalid_grant` for any other.
    Grant,
    /// Like `Grant`, but without a new refresh token.
    Keep,
    /// Like `Grant`, but with an id token for this user.
    Person(&'static str),
    /// No response until the mode changes.
    Hold,
    /// Exactly this response: status, media type, body, `Retry-After`.
    Say(u16, &'static str, String, Option<u32>),
}

pub(crate) struct Endpoint {
    pub(crate) url: String,
    state: Arc<State>,
    server: JoinHandle<()>,
}

struct State {
    mode: watch::Sender<Mode>,
    seen: watch::Sender<Seen>,
    issued: Mutex<Issued>,
    life: i64,
}

/// The received requests, in order of arrival.
#[derive(Debug, Default, Clone)]
pub(crate) struct Seen {
    /// Every received refresh token.
    pub(crate) sent: Vec<String>,
    /// The rejected refresh tokens.
    pub(crate) refused: Vec<String>,
    /// The media types of the requests.
    pub(crate) media: BTreeSet<String>,
}

#[derive(Default)]
struct Issued {
    count: u32,
    /// The refresh tokens that are valid.
    live: BTreeSet<String>,
}

impl Endpoint {
    /// Starts an endpoint whose access tokens are valid for `life` seconds.
    pub(crate) async fn start(life: i64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/token", listener.local_addr().unwrap());
        let state = Arc::new(State {
            mode: watch::channel(Mode::Grant).0,
            seen: watch::channel(Seen::default()).0,
            issued: Mutex::default(),
            life,
        });
        let server = tokio::spawn(serve(listener, state.clone()));
        Self { url, state, server }
    }

    /// Returns a new refresh token, as if from a login.
    pub(crate) fn login(&self) -> String {
        self.state.issued.lock().unwrap().next()
    }

    pub(crate) fn set(&self, mode: Mode) {
        self.state.mode.send_replace(mode);
    }

    pub(crate) fn seen(&self) -> Seen {
        self.state.seen.borrow().clone()
    }

    /// Waits until `times` requests have been received.
    pub(crate) async fn asked(&self, times: usize) {
        let mut seen = self.state.seen.subscribe();
        let waited = seen.wait_for(|seen| seen.sent.len() >= times);
        tokio::time::timeout(PATIENCE, waited)
            .await
            .expect("the endpoint received too few requests")
            .unwrap();
    }

    /// Returns the refresh tokens that are valid.
    pub(crate) fn live(&self) -> BTreeSet<String> {
        self.state.issued.lock().unwrap().live.clone()
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Issued {
    fn next(&mut self) -> String {
        self.count += 1;
        let token = format!("planted-refresh-{}", self.count);
        self.live.insert(token.clone());
        token
    }
}

/// Returns a user's unsigned id token.
pub(crate) fn id_token(subject: &str) -> String {
    let payload = json!({"sub": subject}).to_string();
    format!("e30.{}.sig", base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(payload))
}

async fn serve(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let state = state.clone();
        connections.spawn(async move {
            let service = service_fn(|request| respond(request, &state));
            // A client that disconnects early is not an error of the endpoint.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn respond(request: Request<Incoming>, state: &State) -> Result<Response<Full<Bytes>>, Infallible> {
    let media = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media = media.unwrap_or_default().to_owned();
    // A client that is killed may send only part of a request.
    let Ok(body) = request.into_body().collect().await else { return Ok(Response::default()) };
    let body = body.to_bytes();
    let fields: BTreeMap<String, String> = if media == "application/json" {
        serde_json::from_slice(&body).unwrap()
    } else {
        url::form_urlencoded::parse(&body).into_owned().collect()
    };
    assert_eq!((fields["grant_type"].as_str(), fields["client_id"].as_str()), ("refresh_token", "srvd"));
    let token = fields["refresh_token"].clone();
    state.seen.send_modify(|seen| {
        seen.sent.push(token.clone());
        seen.media.insert(media);
    });
    let mode = state.mode.subscribe().wait_for(|mode| *mode != Mode::Hold).await.unwrap().clone();
    let (status, media, body, retry_after) = match mode {
        Mode::Say(status, media, body, retry_after) => (status, media, body, retry_after),
        mode => {
            let (status, body) = state.exchange(&token, &mode);
            (status, "application/json", body.to_string(), None)
        }
    };
    let mut answer = Response::builder().status(status).header(header::CONTENT_TYPE, media);
    if let Some(seconds) = retry_after {
        answer = answer.header(header::RETRY_AFTER, seconds);
    }
    Ok(answer.body(Full::new(Bytes::from(body))).unwrap())
}

impl State {
    fn exchange(&self, token: &str, mode: &Mode) -> (u16, Value) {
        let mut issued = self.issued.lock().unwrap();
        if !issued.live.contains(token) {
            self.seen.send_modify(|seen| seen.refused.push(token.to_owned()));
            return (400, json!({"error": "invalid_grant"}));
        }
        let access = format!("planted-access-of-{token}");
        let mut body = json!({"access_token": access, "token_type": "bearer", "expires_in": self.life});
        if *mode != Mode::Keep {
            issued.live.remove(token);
            body["refresh_token"] = issued.next().into();
        }
        if let Mode::Person(subject) = mode {
            body["id_token"] = id_token(subject).into();
        }
        (200, body)
    }
}
