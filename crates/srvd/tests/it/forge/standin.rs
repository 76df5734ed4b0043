//! The four kinds of forge on loopback, below a sub-path. Each has its own endpoints, responses and error bodies, and
//! rejects the requests that the real one rejects. By default the user has already approved; `deny` makes the user deny
//! the request, and `wait` leaves the decision open.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use oauth2::{PkceCodeChallenge, PkceCodeVerifier};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// The maximum duration of a step before the test fails.
const PATIENCE: std::time::Duration = std::time::Duration::from_mins(1);
/// The secret of every client of these forges.
pub(crate) const CLIENT_SECRET: &str = "planted-client-secret";

/// The path below which the forge is served.
const BELOW: &str = "/code";

pub(crate) struct Standin {
    pub(crate) url: String,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

struct Shared {
    state: Mutex<State>,
    /// Increases with each answered request and with each change made by a test.
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    kind: String,
    denies: bool,
    waits: bool,
    naming: Naming,
    /// The lifetime of an access token in seconds, instead of the default for this kind of forge. With 0, tokens never
    /// expire and have no refresh token.
    life: Option<u32>,
    /// The response of the token endpoint, instead of tokens.
    failing: Option<(u16, Value)>,
    /// Every revoked token, in order.
    revoked: Vec<String>,
    /// The user who signs in, as id and name.
    person: Option<(u32, String)>,
    issued: u32,
    /// The challenge and redirect URL for each code.
    codes: BTreeMap<String, (String, String)>,
    refresh: BTreeSet<String>,
    spent: BTreeSet<String>,
    access: BTreeSet<String>,
    requests: Vec<String>,
    /// The answers of the API, by method, path and query, or by method and path.
    recorded: BTreeMap<String, Recorded>,
    /// The directory with git's repositories.
    repositories: Option<std::path::PathBuf>,
}

/// An answer of a forge's API. It is given only to a request with a valid token.
#[derive(Debug, Clone, Default)]
pub(crate) struct Recorded {
    pub(crate) status: u16,
    pub(crate) body: Value,
    pub(crate) headers: Vec<(&'static str, String)>,
}

/// The forge's response when asked for the owner of a token.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Naming {
    /// The user's name.
    #[default]
    Says,
    /// A temporary failure.
    Fails,
    /// An error saying that the token is unknown.
    Disowns,
    /// No response until this is changed.
    Holds,
    /// An error that the token lacks a scope.
    #[allow(dead_code, reason = "the unit tests of the sign-ins do not use it")]
    Forbids,
}

impl Standin {
    pub(crate) async fn start(kind: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}{BELOW}", listener.local_addr().unwrap());
        let state = Mutex::new(State { kind: kind.into(), ..State::default() });
        let shared = Arc::new(Shared { state, changes: watch::Sender::new(0) });
        let server = tokio::spawn(serve(listener, shared.clone()));
        Self { url, shared, server }
    }

    pub(crate) fn deny(&self) {
        self.change(|state| state.denies = true);
    }

    #[allow(dead_code, reason = "the sign-in unit tests use it")]
    pub(crate) fn wait(&self) {
        self.change(|state| state.waits = true);
    }

    pub(crate) fn silent(&self, silent: bool) {
        self.naming(if silent { Naming::Fails } else { Naming::Says });
    }

    /// Sets the user who signs in from now on. The default is `ada` with id 12.
    pub(crate) fn person(&self, id: u32, login: &str) {
        self.change(|state| state.person = Some((id, login.to_owned())));
    }

    /// Accepts a token that the forge has not issued.
    pub(crate) fn accept(&self, token: &str) {
        self.change(|state| state.access.insert(token.to_owned()));
    }

    /// Sets the response when the forge is asked for the owner of a token.
    pub(crate) fn naming(&self, naming: Naming) {
        self.change(|state| state.naming = naming);
    }

    /// Sets the lifetime of new access tokens in seconds. With 0, they never expire and have no refresh token.
    pub(crate) fn lives(&self, seconds: u32) {
        self.change(|state| state.life = Some(seconds));
    }

    /// Sets the response of the token endpoint, instead of tokens; `None` restores tokens.
    pub(crate) fn fail(&self, answer: Option<(u16, Value)>) {
        self.change(|state| state.failing = answer);
    }

    /// Sets the answer of the API to a request: its method, and its path with or without the query.
    #[allow(dead_code, reason = "the unit tests of the sign-ins do not use it")]
    pub(crate) fn record(&self, request: &str, answer: Recorded) {
        self.change(|state| state.recorded.insert(request.to_owned(), answer));
    }

    /// Serves the repositories of git in this directory to the holders of a valid token.
    #[allow(dead_code, reason = "the unit tests of the sign-ins do not use it")]
    pub(crate) fn repositories(&self, dir: &std::path::Path) {
        self.change(|state| state.repositories = Some(dir.to_owned()));
    }

    /// Rejects all access tokens from now on. The refresh tokens stay valid.
    #[allow(dead_code, reason = "the unit tests of the sign-ins do not use it")]
    pub(crate) fn expire(&self) {
        self.change(|state| state.access.clear());
    }

    /// Returns the access tokens that are valid.
    #[allow(dead_code, reason = "the unit tests of the sign-ins do not use it")]
    pub(crate) fn tokens(&self) -> BTreeSet<String> {
        self.shared.state.lock().unwrap().access.clone()
    }

    /// Returns a new access token and a new refresh token, as if from a sign-in.
    pub(crate) fn hand_out(&self) -> (String, String) {
        let grant = self.change(State::grant);
        let text = |name: &str| grant[name].as_str().unwrap().to_owned();
        (text("access_token"), text("refresh_token"))
    }

    /// Returns the refresh tokens that are valid.
    pub(crate) fn live(&self) -> BTreeSet<String> {
        self.shared.state.lock().unwrap().refresh.clone()
    }

    /// Returns every revoked token, in order.
    pub(crate) fn revoked(&self) -> Vec<String> {
        self.shared.state.lock().unwrap().revoked.clone()
    }

    /// Returns how many times codes or refresh tokens were exchanged.
    pub(crate) fn exchanges(&self) -> usize {
        let exchange = |request: &&String| {
            matches!(request.as_str(), "POST /oauth/token" | "POST /login/oauth/access_token")
        };
        self.requests().iter().filter(exchange).count()
    }

    /// Waits until the forge satisfies the condition.
    pub(crate) async fn until(&self, wanted: impl Fn(&Self) -> bool) {
        let mut changes = self.shared.changes.subscribe();
        let change = changes.wait_for(|_| wanted(self));
        tokio::time::timeout(PATIENCE, change)
            .await
            .expect("the forge did not reach the expected state")
            .unwrap();
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let changed = change(&mut self.shared.state.lock().unwrap());
        self.shared.changes.send_modify(|count| *count += 1);
        changed
    }

    /// Returns every request so far as `METHOD /path`, without the sub-path.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.shared.state.lock().unwrap().requests.clone()
    }
}

impl Drop for Standin {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let shared = shared.clone();
        connections.spawn(async move {
            let service = service_fn(|request| respond(request, &shared));
            // A client that disconnects early is not an error of the stand-in.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

type Fields = BTreeMap<String, String>;

fn fields(text: &[u8]) -> Fields {
    url::form_urlencoded::parse(text).into_owned().collect()
}

async fn respond(request: Request<Incoming>, shared: &Shared) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let form = fields(&body);
    let header = |name: header::HeaderName| {
        head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
    };
    let path = head.uri.path().strip_prefix(BELOW).unwrap_or("outside");
    let call = format!("{} {path}", head.method);
    shared.state.lock().unwrap().requests.push(call.clone());
    shared.changes.send_modify(|count| *count += 1);
    if call.ends_with("/user") {
        let free = |_: &u64| shared.state.lock().unwrap().naming != Naming::Holds;
        shared.changes.subscribe().wait_for(free).await.unwrap();
    }
    let mut state = shared.state.lock().unwrap();
    let query = head.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    if let Some(answer) = state.answer(&call, &query, &head.headers) {
        return Ok(answer);
    }
    let (status, body, location) = match (state.kind.as_str(), call.as_str()) {
        ("gitlab", "GET /oauth/authorize")
        | ("github" | "forgejo" | "gitea", "GET /login/oauth/authorize") => {
            let query = fields(head.uri.query().unwrap_or_default().as_bytes());
            (302, Value::Null, Some(state.authorize(&query)))
        }
        ("gitlab", "POST /oauth/token")
        | ("github" | "forgejo" | "gitea", "POST /login/oauth/access_token") => {
            let (status, body) = state.token(&form);
            (status, body, None)
        }
        ("github", "POST /login/device/code") | ("gitlab", "POST /oauth/authorize_device") => {
            let page = format!("https://{}.example/device", state.kind);
            let mut body = json!({"device_code": "d-1", "user_code": "AB-CD", "verification_uri": page});
            body["expires_in"] = if state.kind == "github" { 900 } else { 300 }.into();
            body["interval"] = 5.into();
            (200, body, None)
        }
        ("github", "GET /api/v3/user")
        | ("forgejo" | "gitea", "GET /api/v1/user")
        | ("gitlab", "GET /api/v4/user") => {
            let good = header(header::AUTHORIZATION)
                .strip_prefix("Bearer ")
                .is_some_and(|token| state.access.contains(token));
            // GitHub rejects clients without a `User-Agent`.
            let named = state.kind != "github" || !header(header::USER_AGENT).is_empty();
            let (id, login) = state.person.clone().unwrap_or((12, "ada".to_owned()));
            let field = if state.kind == "gitlab" { "username" } else { "login" };
            match (state.naming == Naming::Fails, good && named && state.naming != Naming::Disowns) {
                _ if state.naming == Naming::Forbids => {
                    let said = "token does not have at least one of required scope(s): [read:user]";
                    (403, json!({"message": said}), None)
                }
                (true, _) => (503, json!({"message": "503 Service Unavailable"}), None),
                (false, false) => (401, json!({"message": "401 Unauthorized"}), None),
                (false, true) => {
                    let email = format!("{login}@example.org");
                    (200, json!({"id": id, field: login, "email": email}), None)
                }
            }
        }
        ("gitlab", "POST /oauth/revoke") => {
            let (status, body) = state.take_back(&form);
            (status, body, None)
        }
        ("github", "DELETE /api/v3/applications/srvd/token") => {
            let (status, body) = state.delete(&header(header::AUTHORIZATION), &body);
            (status, body, None)
        }
        _ => (404, json!({"message": "404 Not Found"}), None),
    };
    drop(state);
    shared.changes.send_modify(|count| *count += 1);
    Ok(encode(status, &body, location, header(header::ACCEPT).contains("application/json")))
}

/// Encodes a response as JSON for clients that ask for it. Like GitHub, it sends a form to other clients.
fn encode(status: u16, body: &Value, location: Option<String>, json: bool) -> Response<Full<Bytes>> {
    let text = match body.as_object() {
        Some(object) if !json => {
            let pairs = object.iter().map(|(name, value)| (name, value.to_string()));
            url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
        }
        _ => body.to_string(),
    };
    let media = if json { "application/json" } else { "application/x-www-form-urlencoded" };
    let mut answer = Response::new(Full::new(Bytes::from(text)));
    *answer.status_mut() = StatusCode::from_u16(status).unwrap();
    answer.headers_mut().insert(header::CONTENT_TYPE, media.parse().unwrap());
    if let Some(location) = location {
        answer.headers_mut().insert(header::LOCATION, location.parse().unwrap());
    }
    answer
}

impl State {
    /// Returns the answer of the API or of git's server, if this is a request for one.
    fn answer(&self, call: &str, query: &str, headers: &header::HeaderMap) -> Option<Response<Full<Bytes>>> {
        let header = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let authorization = header(header::AUTHORIZATION).unwrap_or_default();
        if let Some(path) = call.strip_prefix("GET /").filter(|path| path.contains(".git/")) {
            return Some(self.git(path, authorization));
        }
        let recorded =
            self.recorded.get(&format!("{call}{query}")).or_else(|| self.recorded.get(call))?.clone();
        let good = authorization.strip_prefix("Bearer ").is_some_and(|token| self.access.contains(token));
        let mut answer = Response::new(Full::new(Bytes::from(recorded.body.to_string())));
        *answer.status_mut() = StatusCode::from_u16(recorded.status).unwrap();
        for (name, value) in &recorded.headers {
            answer.headers_mut().insert(*name, value.parse().unwrap());
        }
        let etag = answer.headers().get(header::ETAG).and_then(|value| value.to_str().ok());
        if etag.is_some() && etag == header(header::IF_NONE_MATCH) {
            *answer.status_mut() = StatusCode::NOT_MODIFIED;
            *answer.body_mut() = Full::default();
        }
        if !good {
            *answer.status_mut() = StatusCode::UNAUTHORIZED;
            *answer.body_mut() = Full::new(Bytes::from_static(b"{\"message\":\"Bad credentials\"}"));
        }
        Some(answer)
    }

    /// Serves a file of a repository, as a server of the plain protocol does, to the holder of a valid token.
    fn git(&self, path: &str, authorization: &str) -> Response<Full<Bytes>> {
        let pair = authorization.strip_prefix("Basic ").and_then(|text| {
            String::from_utf8(base64::engine::general_purpose::STANDARD.decode(text).ok()?).ok()
        });
        let user = if self.kind == "github" { "x-access-token" } else { "oauth2" };
        let good = pair
            .as_deref()
            .and_then(|pair| pair.split_once(':'))
            .is_some_and(|(name, password)| name == user && self.access.contains(password));
        let file = self.repositories.as_ref().and_then(|dir| std::fs::read(dir.join(path)).ok());
        let (status, body) = match (good, file) {
            (false, _) => (401, Vec::new()),
            (true, None) => (404, Vec::new()),
            (true, Some(file)) => (200, file),
        };
        let mut answer = Response::new(Full::new(Bytes::from(body)));
        *answer.status_mut() = StatusCode::from_u16(status).unwrap();
        if status == 401 {
            answer.headers_mut().insert(header::WWW_AUTHENTICATE, "Basic realm=\"forge\"".parse().unwrap());
        }
        answer
    }

    fn next(&mut self, what: &str) -> String {
        self.issued += 1;
        format!("planted-{what}-{}", self.issued)
    }

    fn authorize(&mut self, query: &Fields) -> String {
        assert_eq!((query["response_type"].as_str(), query["client_id"].as_str()), ("code", "srvd"));
        assert_eq!(query["code_challenge_method"], "S256");
        let (back, state) = (&query["redirect_uri"], &query["state"]);
        if self.denies {
            return format!("{back}?error=access_denied&error_description=The+user+has+denied&state={state}");
        }
        let code = self.next("code");
        self.codes.insert(code.clone(), (query["code_challenge"].clone(), back.clone()));
        format!("{back}?code={code}&state={state}")
    }

    fn token(&mut self, form: &Fields) -> (u16, Value) {
        let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
        if (field("client_id"), field("client_secret")) != ("srvd", CLIENT_SECRET) {
            return self.error(401, "invalid_client", "incorrect_client_credentials");
        }
        if let Some(answer) = &self.failing {
            return answer.clone();
        }
        match field("grant_type") {
            "authorization_code" => {
                let verifier = PkceCodeVerifier::new(field("code_verifier").to_owned());
                let challenge = PkceCodeChallenge::from_code_verifier_sha256(&verifier).as_str().to_owned();
                let bound = (challenge, field("redirect_uri").to_owned());
                match self.codes.remove(field("code")) {
                    Some(asked) if asked == bound => (200, self.grant()),
                    _ => self.error(400, "invalid_grant", "bad_verification_code"),
                }
            }
            "refresh_token" => {
                let token = field("refresh_token").to_owned();
                if self.refresh.remove(&token) {
                    self.spent.insert(token);
                    return (200, self.grant());
                }
                if matches!(self.kind.as_str(), "gitea" | "forgejo") && self.spent.contains(&token) {
                    let text = "token was already used";
                    return (400, json!({"error": "unauthorized_client", "error_description": text}));
                }
                self.error(400, "invalid_grant", "bad_refresh_token")
            }
            "urn:ietf:params:oauth:grant-type:device_code" if self.waits => {
                self.error(400, "authorization_pending", "authorization_pending")
            }
            "urn:ietf:params:oauth:grant-type:device_code" if self.denies => {
                self.error(400, "access_denied", "access_denied")
            }
            "urn:ietf:params:oauth:grant-type:device_code" if field("device_code") == "d-1" => {
                (200, self.grant())
            }
            _ => self.error(400, "unsupported_grant_type", "unsupported_grant_type"),
        }
    }

    /// Returns a token endpoint error. GitHub sends such errors with status 200 and its own error codes.
    fn error(&self, status: u16, standard: &str, github: &str) -> (u16, Value) {
        match self.kind.as_str() {
            "github" => {
                (200, json!({"error": github, "error_description": "...", "error_uri": "https://docs"}))
            }
            _ => (status, json!({"error": standard, "error_description": "..."})),
        }
    }

    fn grant(&mut self) -> Value {
        let (access, refresh) = (self.next("access"), self.next("refresh"));
        // The old access token becomes invalid together with the old refresh token.
        self.access = [access.clone()].into();
        if self.life == Some(0) {
            return json!({"access_token": access, "token_type": "bearer", "scope": "repo"});
        }
        self.refresh.insert(refresh.clone());
        let mut body = json!({"access_token": access, "refresh_token": refresh, "token_type": "bearer"});
        let more = match self.kind.as_str() {
            "github" => json!({"expires_in": 28800, "refresh_token_expires_in": 15_811_200, "scope": ""}),
            "gitlab" => json!({"expires_in": 7200, "scope": "api read_user", "created_at": 1_790_000_000}),
            _ => json!({"expires_in": 3600}),
        };
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        if let Some(life) = self.life {
            body["expires_in"] = life.into();
        }
        body
    }

    /// Revokes a token according to RFC 7009, for a client with its secret in the body.
    fn take_back(&mut self, form: &Fields) -> (u16, Value) {
        let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
        if (field("client_id"), field("client_secret")) != ("srvd", CLIENT_SECRET) {
            return (403, json!({"error": "unauthorized_client"}));
        }
        self.end(field("token"));
        (200, json!({}))
    }

    /// Revokes a token the way GitHub does: with Basic authentication, and the access token in the body.
    fn delete(&mut self, authorization: &str, body: &[u8]) -> (u16, Value) {
        let pair = base64::engine::general_purpose::STANDARD.encode(format!("srvd:{CLIENT_SECRET}"));
        if authorization != format!("Basic {pair}") {
            return (401, json!({"message": "Requires authentication"}));
        }
        let body: Value = serde_json::from_slice(body).unwrap();
        self.end(body["access_token"].as_str().unwrap());
        (204, Value::Null)
    }

    fn end(&mut self, token: &str) {
        self.revoked.push(token.to_owned());
        self.access.remove(token);
        self.refresh.remove(token);
    }
}
