//! A stand-in for the vendors, on loopback. Real CLIs complete whole logins against it, and key checks get an answer.
//!
//! [`Standin::vendors`] serves the vendors' own names by TLS; it needs its own network (see `namespace`).
//! [`Standin::start`] serves any port without TLS, and checks API keys there: `GET /v1/models` by `x-api-key` or
//! bearer; by bearer `GET /user`, `/models`, `/openai/v1/models` and `/api/v1/key`; `GET /v1beta/models` by
//! `x-goog-api-key`.
//!
//! The stand-in is as strict as a vendor: codes are used once and on their conditions, a bearer must have been issued,
//! and GitHub requires a `User-Agent`. A client that only works with a lenient server therefore fails here. A test
//! decides when the person approves. Tokens and lifetimes are invented; their format is the one that the CLIs need.

mod answers;
mod grants;
mod signed;
#[cfg(test)]
mod tests;
pub(crate) mod tls;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
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
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use url::Url;

use grants::Grant;

/// The address of all vendors. It is a public one, because `openclaw` contacts no vendor whose name leads to a private
/// address. The network of a test has it on its loopback interface and has no route to any other.
pub(crate) const ADDRESS: &str = "44.0.0.1";

/// The vendors' names. A name without answers is listed so that a CLI's request to it is refused at once.
pub(crate) const VENDORS: [&str; 45] = [
    "accounts.google.com",
    "accounts.x.ai",
    "ampcode.com",
    "api.anthropic.com",
    "api.cline.bot",
    "api.factory.ai",
    "api.github.com",
    "api.githubcopilot.com",
    "api.individual.githubcopilot.com",
    "api.kilo.ai",
    "api.kimi.com",
    "api.moonshot.ai",
    "api.openai.com",
    "api.workos.com",
    "api.x.ai",
    "app.kilo.ai",
    "auth.augmentcode.com",
    "auth.factory.ai",
    "auth.kimi.com",
    "auth.openai.com",
    "auth.x.ai",
    "authkit.cline.bot",
    "center.qoder.sh",
    "chatgpt.com",
    "claude.ai",
    "claude.com",
    "cli-chat-proxy.grok.com",
    "cloudcode-pa.googleapis.com",
    "coding.dashscope.aliyuncs.com",
    "console.anthropic.com",
    "e1.api.augmentcode.com",
    "generativelanguage.googleapis.com",
    "ghe.corp.example",
    "github.com",
    "models.dev",
    "oauth2.googleapis.com",
    "openapi.qoder.sh",
    "opencode.ai",
    "platform.claude.com",
    "play.googleapis.com",
    "qoder.com",
    "registry.npmjs.org",
    "telemetry.factory.ai",
    "www.googleapis.com",
    "www.kimi.com",
];

/// Longest time that [`Standin::seen`] waits. A real CLI needs up to a few seconds to start, and Kilo ten seconds until its
/// first prompt on an idle machine.
const SEEN_WITHIN: Duration = Duration::from_mins(2);
/// Limit of a request body in bytes. A prompt of an agent carries all of its instructions and tools.
const BODY_LIMIT: usize = 4 * 1024 * 1024;

/// The running server. Dropping it closes the port and every connection.
pub(crate) struct Standin {
    url: String,
    certificate: String,
    state: watch::Sender<State>,
    /// One task for each port. The tasks end when this set is dropped.
    servers: JoinSet<()>,
}

impl Standin {
    /// Binds `127.0.0.1:0` and serves until dropped.
    pub(crate) async fn start() -> Self {
        let listener =
            TcpListener::bind("127.0.0.1:0").await.unwrap_or_else(|error| panic!("no port: {error}"));
        let port = listener.local_addr().map_or(0, |address| address.port());
        Self::serve(listener, format!("http://127.0.0.1:{port}"), None)
    }

    /// Serves TLS on port 443 and plain HTTP on port 80 until dropped. Logins stay pending until [`Self::approve`] or
    /// [`Self::deny`].
    pub(crate) async fn vendors() -> Self {
        let bind = async |port: u16| {
            let bound = TcpListener::bind((ADDRESS, port)).await;
            bound.unwrap_or_else(|error| panic!("port {port}: {error}"))
        };
        let (certificate, acceptor) = tls::authority(&VENDORS);
        let mut standin = Self::serve(bind(443).await, String::new(), Some(acceptor));
        standin.servers.spawn(serve(bind(80).await, None, standin.state.clone()));
        standin.certificate = certificate;
        standin
    }

    fn serve(listener: TcpListener, url: String, tls: Option<TlsAcceptor>) -> Self {
        let (state, _) = watch::channel(State::new());
        let mut servers = JoinSet::new();
        servers.spawn(serve(listener, tls, state.clone()));
        Self { url, certificate: String::new(), state, servers }
    }

    /// Returns the address `http://127.0.0.1:PORT`, without a slash at the end.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Returns the certificate that the vendors' clients have to trust, as PEM.
    pub(crate) fn certificate(&self) -> &str {
        &self.certificate
    }

    /// Allows the login of this page as the person. Returns the address to which the vendor sends the browser.
    pub(crate) fn consent(&self, page: &Url) -> Url {
        let mut target = page.clone();
        self.state.send_modify(|state| target = grants::consent(state, page));
        target
    }

    /// Refuses every code from now on.
    pub(crate) fn refuse_codes(&self) {
        self.state.send_modify(|state| state.refuses_codes = true);
    }

    /// Ends every token request without an answer from now on.
    pub(crate) fn fail(&self) {
        self.state.send_modify(|state| state.fails = true);
    }

    /// Makes this refresh token a valid one.
    pub(crate) fn accept_refresh_token(&self, token: &str) {
        self.state.send_modify(|state| {
            state.refresh_tokens.insert(token.into());
        });
    }

    /// Makes this access token a valid one.
    pub(crate) fn accept_access_token(&self, token: &str) {
        self.state.send_modify(|state| {
            state.access_tokens.insert(token.into());
        });
    }

    /// Accepts every access token from now on, such as one that a test wrote.
    pub(crate) fn accept_access_tokens(&self) {
        self.state.send_modify(|state| state.accepts_every_token = true);
    }

    /// Answers every refresh from now on only after this time.
    pub(crate) fn delay_refreshes(&self, delay: Duration) {
        self.state.send_modify(|state| state.refresh_delay = delay);
    }

    /// Answers every refresh from now on with this status; `None` answers as usual.
    pub(crate) fn refuse_refreshes(&self, status: Option<u16>) {
        let status = status.map(|status| StatusCode::from_u16(status).unwrap());
        self.state.send_modify(|state| state.refresh_refusal = status);
    }

    /// Returns the refresh token of every refresh so far, in the order of arrival.
    pub(crate) fn refreshes(&self) -> Vec<String> {
        self.state.borrow().refreshes.clone()
    }

    /// Sets the life of GitHub's device codes from now on, in seconds.
    pub(crate) fn code_lifetime(&self, seconds: u64) {
        self.state.send_modify(|state| state.code_lifetime_s = seconds);
    }

    /// Approves every waiting login and every later one.
    pub(crate) fn approve(&self) {
        self.state.send_modify(|state| state.decision = Decision::Approved);
    }

    /// Denies every waiting login and every later one.
    pub(crate) fn deny(&self) {
        self.state.send_modify(|state| state.decision = Decision::Denied);
    }

    /// Sets the person who logs in from now on: the email address in the tokens, and the vendor's own account id.
    pub(crate) fn person(&self, email: &str, account_id: &str) {
        self.state.send_modify(|state| {
            state.email = email.into();
            state.account_id = account_id.into();
        });
    }

    /// Returns the field of the latest token request, and `""` when it had none.
    pub(crate) fn exchanged(&self, field: &str) -> String {
        self.state.borrow().exchange.as_ref().map(|call| call.field(field)).unwrap_or_default()
    }

    /// Makes this API key a valid one. Every other key is refused with 401.
    pub(crate) fn accept_key(&self, key: &str) {
        self.state.send_modify(|state| {
            state.keys.insert(key.into());
        });
    }

    /// Returns every request so far as `METHOD /path`, in the order of arrival. Requests to a vendor contain its name:
    /// `METHOD name/path`.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.state.borrow().requests.clone()
    }

    /// Returns the bodies of every request so far with this method and path, as in [`Self::requests`].
    pub(crate) fn bodies(&self, request: &str) -> Vec<String> {
        let state = self.state.borrow();
        let bodies = state.bodies.iter().filter(|sent| sent.request == request);
        bodies.map(|sent| String::from_utf8_lossy(&sent.body).into_owned()).collect()
    }

    /// Returns the credentials of every request so far with this method and path that had a body: the header
    /// `x-api-key`, or else `authorization`.
    pub(crate) fn credentials(&self, request: &str) -> Vec<String> {
        let state = self.state.borrow();
        state
            .bodies
            .iter()
            .filter(|sent| sent.request == request)
            .map(|sent| sent.credential.clone())
            .collect()
    }

    /// Returns the credential of every request so far that had one, after the vendor's name.
    pub(crate) fn all_credentials(&self) -> Vec<String> {
        self.state.borrow().credentials.clone()
    }

    /// Waits until a credential with this text has come, after the first `count` ones.
    pub(crate) async fn sent_since(&self, count: usize, text: &str) {
        let mut state = self.state.subscribe();
        let has_come =
            |state: &State| state.credentials[count..].iter().any(|credential| credential.contains(text));
        // The sender lives as long as this stand-in.
        let _ = state.wait_for(has_come).await;
    }

    /// Returns every credential that a client has sent to one of these hosts or to a host below it, without its scheme.
    pub(crate) fn bearers(&self, hosts: &[&str]) -> BTreeSet<String> {
        let is_meant = |host: &str| {
            hosts.iter().any(|meant| {
                host.strip_suffix(meant).is_some_and(|below| below.is_empty() || below.ends_with('.'))
            })
        };
        let state = self.state.borrow();
        state.bearers.iter().filter(|(host, _)| is_meant(host)).map(|(_, token)| token.clone()).collect()
    }

    /// Returns whether the vendors have issued this access token.
    pub(crate) fn has_issued(&self, token: &str) -> bool {
        self.state.borrow().access_tokens.contains(token)
    }

    /// Waits until this request (`METHOD /path`) has arrived, for instance the first poll of a device login.
    pub(crate) async fn seen(&self, request: &str) {
        let mut state = self.state.subscribe();
        let arrived = state.wait_for(|state| state.requests.iter().any(|seen| seen == request));
        let waited = tokio::time::timeout(SEEN_WITHIN, arrived).await.map(|state| state.is_ok());
        assert_eq!(waited, Ok(true), "no {request} among {:?}", self.requests());
    }
}

/// The vendors' data. Its only owner is the channel in [`Standin`].
struct State {
    decision: Decision,
    email: String,
    account_id: String,
    keys: BTreeSet<String>,
    requests: Vec<String>,
    /// The bodies of the requests that have one.
    bodies: Vec<Sent>,
    credentials: Vec<String>,
    /// Number of codes and tokens that were issued, so that no two are equal.
    issued: u64,
    /// Device logins that have not been redeemed: the vendor's handle for each.
    devices: BTreeSet<String>,
    /// One-time codes that may still be exchanged for tokens.
    grants: BTreeMap<String, Grant>,
    /// The latest request to exchange a code.
    exchange: Option<Call>,
    refuses_codes: bool,
    fails: bool,
    code_lifetime_s: u64,
    refresh_tokens: BTreeSet<String>,
    /// The refresh token of every refresh that has arrived.
    refreshes: Vec<String>,
    refresh_delay: Duration,
    accepts_every_token: bool,
    /// The status with which refreshes are answered, in place of new tokens.
    refresh_refusal: Option<StatusCode>,
    access_tokens: BTreeSet<String>,
    /// Every credential that was sent, with the host.
    bearers: BTreeSet<(String, String)>,
    /// The key of the vendor whose identity tokens are verified by its client.
    signer: signed::Signer,
}

/// A request with a body.
struct Sent {
    request: String,
    credential: String,
    body: Bytes,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Decision {
    Pending,
    Approved,
    Denied,
}

impl State {
    fn new() -> Self {
        Self {
            decision: Decision::Pending,
            email: "ada@example.com".into(),
            account_id: "acct-standin-1".into(),
            keys: BTreeSet::new(),
            requests: Vec::new(),
            bodies: Vec::new(),
            credentials: Vec::new(),
            issued: 0,
            devices: BTreeSet::new(),
            grants: BTreeMap::new(),
            exchange: None,
            refuses_codes: false,
            fails: false,
            code_lifetime_s: 899,
            refresh_tokens: BTreeSet::new(),
            refreshes: Vec::new(),
            refresh_delay: Duration::ZERO,
            accepts_every_token: false,
            refresh_refusal: None,
            access_tokens: BTreeSet::new(),
            bearers: BTreeSet::new(),
            signer: signed::Signer::new(),
        }
    }

    fn next(&mut self) -> u64 {
        self.issued += 1;
        self.issued
    }
}

/// One request, read completely.
struct Call {
    method: String,
    /// The vendor's name; `""` when the stand-in is called by its address.
    host: String,
    path: String,
    query: String,
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

    /// Returns a field of a JSON or a form body; `""` when it is missing, which no vendor accepts either.
    fn field(&self, name: &str) -> String {
        let json = serde_json::from_slice::<Value>(&self.body).ok();
        if let Some(text) = json.as_ref().and_then(|body| body[name].as_str()) {
            return text.into();
        }
        let mut form = url::form_urlencoded::parse(&self.body);
        form.find(|(key, _)| key == name).map(|(_, value)| value.into_owned()).unwrap_or_default()
    }

    /// Returns a parameter of the address; `""` when it is missing.
    fn parameter(&self, name: &str) -> String {
        let mut parameters = url::form_urlencoded::parse(self.query.as_bytes());
        parameters.find(|(key, _)| key == name).map(|(_, value)| value.into_owned()).unwrap_or_default()
    }

    /// Returns a number in a JSON body.
    fn number(&self, name: &str) -> Option<u64> {
        serde_json::from_slice::<Value>(&self.body).ok()?[name].as_u64()
    }

    /// Returns true for a request for tokens.
    fn is_exchange(&self) -> bool {
        self.method == "POST" && self.path.ends_with("/token") && !self.field("grant_type").is_empty()
    }

    /// Returns true for a request for new tokens in place of used ones.
    fn is_refresh(&self) -> bool {
        self.is_exchange() && self.field("grant_type") == "refresh_token"
    }

    /// Returns whether the answer must be a form, which GitHub sends to a client that names no format.
    fn wants_form(&self) -> bool {
        self.host == "github.com" && !self.header("accept").is_some_and(|accept| accept.contains("json"))
    }
}

async fn serve(listener: TcpListener, tls: Option<TlsAcceptor>, state: watch::Sender<State>) {
    // Connections belong to this set, so they end with the server's own task.
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (state, tls) = (state.clone(), tls.clone());
        connections.spawn(async move {
            // A client that disconnects early is no failure of the stand-in.
            match tls {
                Some(tls) => match tls.accept(stream).await {
                    Ok(stream) => connection(stream, &state).await,
                    Err(error) => {
                        state.send_modify(|state| state.requests.push(format!("no connection: {error}")));
                    }
                },
                None => connection(stream, &state).await,
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(stream: impl AsyncRead + AsyncWrite + Unpin, state: &watch::Sender<State>) {
    let service = service_fn(|request| respond(request, state));
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

/// Answers one request. An error ends the connection without an answer.
async fn respond(
    request: Request<Incoming>,
    state: &watch::Sender<State>,
) -> Result<Response<Full<Bytes>>, io::Error> {
    let (head, body) = request.into_parts();
    let host = head.headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let host = VENDORS.into_iter().find(|vendor| *vendor == host).unwrap_or_default().to_owned();
    // A prompt's body is larger than the limit, and its request is refused. The credential has come all the same.
    let given = ["authorization", "x-api-key", "x-goog-api-key"].map(|name| head.headers.get(name));
    let given = given.into_iter().flatten().filter_map(|value| value.to_str().ok());
    let given: Vec<String> = given.map(|value| format!("{host} {value}")).collect();
    state.send_modify(|state| state.credentials.extend(given));
    let body = Limited::new(body, BODY_LIMIT).collect().await.map_err(io::Error::other)?.to_bytes();
    let (method, path) = (head.method.to_string(), head.uri.path().to_owned());
    let query = head.uri.query().unwrap_or_default().to_owned();
    let call = Call { method, host, path, query, headers: head.headers, body };
    let (mut answer, mut fails) = ((StatusCode::INTERNAL_SERVER_ERROR, Value::Null), false);
    let wants_form = call.wants_form();
    if call.is_refresh() {
        let mut delay = Duration::ZERO;
        state.send_modify(|state| {
            state.refreshes.push(call.field("refresh_token"));
            delay = state.refresh_delay;
        });
        tokio::time::sleep(delay).await;
    }
    state.send_modify(|state| {
        let request = format!("{} {}{}", call.method, call.host, call.path);
        if !call.body.is_empty() {
            let credential = call.header("x-api-key").or(call.header("authorization")).unwrap_or_default();
            let (request, credential, body) = (request.clone(), credential.to_owned(), call.body.clone());
            state.bodies.push(Sent { request, credential, body });
        }
        state.requests.push(request);
        fails = state.fails && call.is_exchange();
        if let Some((_, token)) = call.header("authorization").and_then(|header| header.split_once(' ')) {
            state.bearers.insert((call.host.clone(), token.to_owned()));
        }
        answer = answers::answer(state, &call);
        if call.is_exchange() {
            state.exchange = Some(call);
        }
    });
    if fails {
        return Err(io::Error::other("the network fails"));
    }
    Ok(reply(answer, wants_form))
}

fn reply((status, body): (StatusCode, Value), form: bool) -> Response<Full<Bytes>> {
    let (text, kind) = match body.as_object() {
        Some(fields) if form => {
            let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let fields = fields.iter().map(|(name, value)| (name, text(value)));
            let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
            (body, "application/x-www-form-urlencoded; charset=utf-8")
        }
        _ => (body.to_string(), "application/json"),
    };
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    response
}

/// Returns a token in the format of a JWT. Its signature is not checked, because the CLIs only read the claims.
fn jwt(claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.c2ln", part(&json!({"alg": "none", "typ": "JWT"})), part(claims))
}
