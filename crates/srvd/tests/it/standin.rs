//! A stand-in for the vendors, on loopback: real CLIs complete whole logins against it, and key checks get an answer.
//!
//! - Codex (seen with codex-cli 0.169.0): `codex login --device-auth --experimental_issuer <url>`.
//! - Kimi Code (seen with 2.1.0): `KIMI_CODE_OAUTH_HOST=<url>` and `KIMI_CODE_BASE_URL=<url>/coding/v1`.
//! - Key checks: `GET /v1/models` by `x-api-key` or bearer; by bearer `GET /user`, `/models`, `/openai/v1/models` and
//!   `/api/v1/key`; `GET /v1beta/models` by `x-goog-api-key`.
//!
//! It is as strict as a vendor (codes are used once, a bearer must have been issued, GitHub wants a `User-Agent`), so
//! that a client which only works against a lenient server fails here. A test decides when the person approves.

mod answers;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// How long [`Standin::seen`] waits. A real CLI needs up to a few seconds to start on a busy machine.
const SEEN_WITHIN: Duration = Duration::from_secs(30);
/// No vendor's login sends more than a few hundred bytes.
const BODY_LIMIT: usize = 64 * 1024;

/// The running server. Dropping it closes the port and every connection.
pub(crate) struct Standin {
    url: String,
    state: watch::Sender<State>,
    server: JoinHandle<()>,
}

impl Standin {
    /// Binds `127.0.0.1:0` and serves until dropped. Logins stay pending until [`Self::approve`] or [`Self::deny`].
    pub(crate) async fn start() -> Self {
        let listener = match TcpListener::bind("127.0.0.1:0").await {
            Ok(listener) => listener,
            Err(error) => panic!("no loopback port: {error}"),
        };
        let port = listener.local_addr().map_or(0, |address| address.port());
        let url = format!("http://127.0.0.1:{port}");
        let (state, _) = watch::channel(State::new(&url));
        let server = tokio::spawn(serve(listener, state.clone()));
        Self { url, state, server }
    }

    /// `http://127.0.0.1:PORT`, without a slash at the end.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// What Kimi Code needs in its environment to log in here.
    pub(crate) fn kimi_env(&self) -> [(String, String); 2] {
        [
            ("KIMI_CODE_OAUTH_HOST".into(), self.url.clone()),
            ("KIMI_CODE_BASE_URL".into(), format!("{}/coding/v1", self.url)),
        ]
    }

    /// The person says yes to every login that waits and to every later one.
    pub(crate) fn approve(&self) {
        self.state.send_modify(|state| state.decision = Decision::Approved);
    }

    /// The person says no to every login that waits and to every later one.
    pub(crate) fn deny(&self) {
        self.state.send_modify(|state| state.decision = Decision::Denied);
    }

    /// Who logs in from now on: the address in the tokens, and the vendor's own account id.
    pub(crate) fn person(&self, email: &str, account_id: &str) {
        self.state.send_modify(|state| {
            state.email = email.into();
            state.account_id = account_id.into();
        });
    }

    /// Makes this API key a good one; every other key is refused with 401.
    pub(crate) fn accept_key(&self, key: &str) {
        self.state.send_modify(|state| {
            state.keys.insert(key.into());
        });
    }

    /// Every request so far as `METHOD /path`, in the order of arrival.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.state.borrow().requests.clone()
    }

    /// Waits until this request (`METHOD /path`) has arrived, for instance the first poll of a device login.
    pub(crate) async fn seen(&self, request: &str) {
        let mut state = self.state.subscribe();
        let arrived = state.wait_for(|state| state.requests.iter().any(|seen| seen == request));
        let waited = tokio::time::timeout(SEEN_WITHIN, arrived).await.map(|state| state.is_ok());
        assert_eq!(waited, Ok(true), "no {request} among {:?}", self.requests());
    }
}

impl Drop for Standin {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Everything the vendors remember; the one owner is the channel in [`Standin`].
struct State {
    url: String,
    decision: Decision,
    email: String,
    account_id: String,
    keys: BTreeSet<String>,
    requests: Vec<String>,
    /// How many codes and tokens were given out, so that no two are equal.
    issued: u64,
    /// Device logins that nobody has redeemed: the vendor's handle for each.
    devices: BTreeSet<String>,
    /// One-time codes that may still be exchanged for tokens.
    codes: BTreeSet<String>,
    refresh_tokens: BTreeSet<String>,
    access_tokens: BTreeSet<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Decision {
    Pending,
    Approved,
    Denied,
}

impl State {
    fn new(url: &str) -> Self {
        Self {
            url: url.into(),
            decision: Decision::Pending,
            email: "ada@example.com".into(),
            account_id: "acct-standin-1".into(),
            keys: BTreeSet::new(),
            requests: Vec::new(),
            issued: 0,
            devices: BTreeSet::new(),
            codes: BTreeSet::new(),
            refresh_tokens: BTreeSet::new(),
            access_tokens: BTreeSet::new(),
        }
    }

    fn next(&mut self) -> u64 {
        self.issued += 1;
        self.issued
    }
}

/// One request, read whole.
struct Call {
    method: String,
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Call {
    fn bearer(&self) -> Option<&str> {
        self.header("authorization")?.strip_prefix("Bearer ")
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// A field of a JSON or a form body; `""` when it is missing, which no vendor accepts either.
    fn field(&self, name: &str) -> String {
        let json = serde_json::from_slice::<Value>(&self.body).ok();
        if let Some(text) = json.as_ref().and_then(|body| body[name].as_str()) {
            return text.into();
        }
        let mut form = url::form_urlencoded::parse(&self.body);
        form.find(|(key, _)| key == name).map(|(_, value)| value.into_owned()).unwrap_or_default()
    }
}

async fn serve(listener: TcpListener, state: watch::Sender<State>) {
    // Connections belong to this set, so they end with the server's own task.
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let state = state.clone();
        connections.spawn(async move {
            let service = service_fn(|request| respond(request, &state));
            // A client that goes away in the middle is no failure of the stand-in.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn respond(
    request: Request<Incoming>,
    state: &watch::Sender<State>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = match Limited::new(body, BODY_LIMIT).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => return Ok(reply((StatusCode::PAYLOAD_TOO_LARGE, json!({})))),
    };
    let call =
        Call { method: head.method.to_string(), path: head.uri.path().into(), headers: head.headers, body };
    let mut answer = (StatusCode::INTERNAL_SERVER_ERROR, Value::Null);
    state.send_modify(|state| {
        state.requests.push(format!("{} {}", call.method, call.path));
        answer = answers::answer(state, &call);
    });
    Ok(reply(answer))
}

fn reply((status, body): (StatusCode, Value)) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}

/// A token in the shape of a JWT. Nobody checks its signature: the CLIs only read the claims.
fn jwt(claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.c2ln", part(&json!({"alg": "none", "typ": "JWT"})), part(claims))
}
