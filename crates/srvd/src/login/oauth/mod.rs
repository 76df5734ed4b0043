//! Logins of users at providers' own OAuth endpoints, without a CLI: in a browser, with PKCE and a `state`, or with a code
//! on another device.
//!
//! A login is a task of its own. It waits for the browser's answer or polls, exchanges the code, and commits the tokens,
//! the profile and the session in one transaction.

mod client;
mod flow;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use auth_spawner::{PasteShape, Provider, Snapshot, State};
use identity_store::{LoginOwner, NewSession, SessionId, Store};
use secrecy::{ExposeSecret as _, SecretString};
use subtle::ConstantTimeEq as _;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;
use url::Url;

use self::client::{Client, clients};
pub(super) use self::client::{Way, logins};
use self::flow::{Exchange, Flow};
use super::service::LoginResources;
use crate::base::clock::now;
use crate::forge::oauth::Failure;
use crate::forge::oauth::callback::{CallbackQuery, LOGIN_PATH, Page};
use crate::forge::oauth::table::StateInvalid;
use crate::hint::Step;
use crate::wire::auth::{SessionStatus, Started};
use crate::wire::convert::stored_id;
use crate::wire::error::{ApiError, Kind};
use crate::wire::login_scope;

/// The time that a user has to complete a login in the browser, in milliseconds.
const BROWSER_LIFETIME_MS: i64 = 10 * 60 * 1000;
/// The maximum number of logins at the same time.
const MOST: usize = 64;

/// The answer of a browser: a code, or the error code and text of the issuer.
type Answer = Result<SecretString, (String, String)>;

/// The logins without a CLI. A clone is a handle to the same ones.
#[derive(Clone)]
pub(super) struct ProviderLogins(Arc<Logins>);

struct Logins {
    resources: LoginResources,
    clients: HashMap<String, Client>,
    redirect: OnceLock<Url>,
    live: Mutex<HashMap<String, Live>>,
}

/// A login that has not ended.
struct Live {
    snapshot: watch::Sender<Snapshot>,
    /// The `state` of a login in a browser, and the way to its task. It is taken by the first answer.
    waiting: Option<Waiting>,
    stop: CancellationToken,
    reason: Option<&'static str>,
}

struct Waiting {
    state: SecretString,
    answer: oneshot::Sender<Answer>,
}

impl ProviderLogins {
    pub(super) fn new(resources: LoginResources) -> Self {
        let clients = clients(&resources.registry, now);
        Self(Arc::new(Logins { resources, clients, redirect: OnceLock::new(), live: Mutex::default() }))
    }

    /// Sets the address of the daemon's HTTP listener, once.
    pub(super) fn listens_at(&self, address: Option<std::net::SocketAddr>) {
        let url = address.map(|address| Url::parse(&format!("http://{address}{LOGIN_PATH}")));
        if let Some(Ok(url)) = url {
            // Setting a second address would be a bug in the caller. The first one is retained.
            let _ = self.0.redirect.set(url);
        }
    }

    /// Returns whether a browser can return to the daemon.
    pub(super) fn listens(&self) -> bool {
        self.0.redirect.get().is_some()
    }

    /// Starts a login.
    ///
    /// # Errors
    /// `conflict` while a login of the user and the agent runs at the provider, `capacity`, the issuer's refusal, and an
    /// error of the store.
    pub(super) async fn start(
        &self,
        store: &Store,
        provider: &Arc<Provider>,
        owner: LoginOwner,
        way: Way,
    ) -> Result<Started, ApiError> {
        let client = self.client(&provider.id)?;
        let scope = login_scope::of_owner(&owner);
        if let Some(running) = self.find(|other| other.provider == provider.id && other.scope == scope) {
            let text = "a login with this provider is already running for this user";
            return Err(ApiError::new(Kind::Conflict, text).with("sessionId", running.id));
        }
        if self.live().len() >= MOST {
            return Err(
                ApiError::new(Kind::Capacity, "too many logins are running").hint(Step::FinishOrCancelOne)
            );
        }
        let id = SessionId::generate();
        let begun = now();
        let mut snapshot = blank(&id, provider, way, scope, begun);
        let (exchange, waiting) = match way {
            Way::Browser => self.browser(client, &mut snapshot)?,
            Way::Device => {
                let device = client.issuer.device().await.map_err(|failure| refusal(&failure))?;
                snapshot.state = State::CodeEmitted;
                snapshot.device_code = Some(device.user_code().to_owned());
                snapshot.verification_url = Some(device.verification_url().to_owned());
                let lifetime = i64::try_from(device.lifetime().as_millis()).unwrap_or(BROWSER_LIFETIME_MS);
                snapshot.expires_at = begun.saturating_add(lifetime);
                (Exchange::Device(device), None)
            }
        };
        let row = NewSession {
            id: id.clone(),
            provider: stored_id(provider)?,
            recipe: way.recipe().to_owned(),
            target_bundle: None,
            new_bundle: false,
            owner: Some(owner.clone()),
            started_at: begun,
            expires_at: snapshot.expires_at,
        };
        store.insert_session(row).await?;
        let started = Started {
            session_id: id.to_string(),
            auth_url: snapshot.auth_url.clone(),
            status: SessionStatus::Pending,
            expires_at: snapshot.expires_at,
            recipe: way.recipe().to_owned(),
            not_used: Vec::new(),
        };
        self.run(store, owner, snapshot, exchange, waiting);
        tracing::info!(session = %id, provider = provider.id, recipe = way.recipe(), "a login started");
        Ok(started)
    }

    /// Prepares a login in the browser.
    fn browser(
        &self,
        client: &Client,
        snapshot: &mut Snapshot,
    ) -> Result<(Exchange, Option<Waiting>), ApiError> {
        let off = || ApiError::invalid_input("recipe", "a login in the browser requires the TCP listener");
        let redirect = self.0.redirect.get().ok_or_else(off)?.clone();
        let request = client.issuer.begin(&redirect);
        self.0.resources.redactor.hide(&request.state);
        self.0.resources.redactor.hide(&request.verifier);
        snapshot.state = State::UrlAvailable;
        snapshot.auth_url = Some(request.url.to_string());
        snapshot.prompt = true;
        snapshot.paste_shapes = vec![PasteShape::Url];
        let (answer, answered) = oneshot::channel();
        let exchange = Exchange::Browser { answered, verifier: request.verifier, redirect };
        Ok((exchange, Some(Waiting { state: request.state, answer })))
    }

    fn run(
        &self,
        store: &Store,
        owner: LoginOwner,
        snapshot: Snapshot,
        exchange: Exchange,
        waiting: Option<Waiting>,
    ) {
        let id = snapshot.id.clone();
        let stop = self.0.resources.stop.child_token();
        let flow = Flow {
            logins: self.clone(),
            store: store.clone(),
            id: id.clone(),
            provider: snapshot.provider.clone(),
            owner,
            ends: snapshot.expires_at,
            stop: stop.clone(),
        };
        let live = Live { snapshot: watch::Sender::new(snapshot), waiting, stop, reason: None };
        self.live().insert(id, live);
        self.0.resources.tasks.spawn(flow.run(exchange));
    }

    fn client(&self, provider: &str) -> Result<&Client, ApiError> {
        self.0.clients.get(provider).ok_or_else(|| {
            ApiError::invalid_input("providerId", "the provider's login endpoints cannot be used")
        })
    }

    /// Returns the state of a login that has not ended, and its changes.
    pub(super) fn watch(&self, id: &str) -> Option<watch::Receiver<Snapshot>> {
        Some(self.live().get(id)?.snapshot.subscribe())
    }

    /// Returns the logins that have not ended.
    pub(super) fn snapshots(&self) -> Vec<Snapshot> {
        self.live().values().map(|live| live.snapshot.borrow().clone()).collect()
    }

    fn find(&self, fits: impl Fn(&Snapshot) -> bool) -> Option<Snapshot> {
        self.snapshots().into_iter().find(fits)
    }

    /// Cancels a login that still waits for its user, and waits for its end. Returns false if there is none.
    pub(super) async fn cancel(&self, id: &str, reason: Option<&'static str>) -> bool {
        let watch = {
            let mut all = self.live();
            let Some(live) = all.get_mut(id) else { return false };
            live.reason = reason;
            live.stop.cancel();
            live.snapshot.subscribe()
        };
        ended(watch).await;
        true
    }

    /// Handles a browser's return, and waits for the end of its login.
    pub(super) async fn callback(&self, query: &str) -> Page {
        let Some(query) = CallbackQuery::parse(query) else { return Page::Malformed };
        self.0.resources.redactor.hide(&query.state);
        let Some(watch) = self.deliver(None, query) else {
            tracing::warn!("a callback of a login was rejected");
            return Page::NotAwaited(StateInvalid::Unknown);
        };
        match ended(watch).await {
            Some(Snapshot { state: State::Success, .. }) => Page::SignedIn { missing: Vec::new() },
            Some(Snapshot { failure: Some(failure), .. })
                if failure.kind == auth_spawner::FailureKind::Denied =>
            {
                Page::Denied
            }
            _ => Page::Failed,
        }
    }

    /// Takes the address at which a browser ended, for the login of a session. `Err` is the reason for a refusal.
    pub(super) fn paste(&self, id: &str, text: &SecretString) -> Option<Result<(), &'static str>> {
        self.live().get(id)?;
        let url = Url::parse(text.expose_secret().trim()).ok();
        let query = url.as_ref().and_then(Url::query).and_then(CallbackQuery::parse);
        let Some(query) = query else {
            return Some(Err("paste the whole address at which the browser ended"));
        };
        self.0.resources.redactor.hide(&query.state);
        let delivered = self.deliver(Some(id), query);
        Some(delivered.map(drop).ok_or("the address belongs to another login, or was used already"))
    }

    /// Gives an answer to the login with its `state`, once.
    fn deliver(&self, only: Option<&str>, query: CallbackQuery) -> Option<watch::Receiver<Snapshot>> {
        let mut all = self.live();
        let is_meant = |waiting: &Waiting| {
            let (ours, theirs) = (waiting.state.expose_secret(), query.state.expose_secret());
            bool::from(ours.as_bytes().ct_eq(theirs.as_bytes()))
        };
        let found = all.iter_mut().filter(|(id, _)| only.is_none_or(|only| only == *id));
        let mut found = found.filter(|(_, live)| live.waiting.as_ref().is_some_and(is_meant));
        let (_, live) = found.next()?;
        let waiting = live.waiting.take()?;
        if let Ok(code) = &query.answer {
            self.0.resources.redactor.hide(code);
        }
        let watch = live.snapshot.subscribe();
        waiting.answer.send(query.answer).ok()?;
        Some(watch)
    }

    fn live(&self) -> MutexGuard<'_, HashMap<String, Live>> {
        self.0.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for the end of a login, and returns its last state.
async fn ended(mut watch: watch::Receiver<Snapshot>) -> Option<Snapshot> {
    let last = watch.wait_for(|snapshot| snapshot.state.is_terminal()).await.ok()?;
    Some(last.clone())
}

/// Returns the first state of a login.
fn blank(id: &SessionId, provider: &Provider, way: Way, scope: String, now: i64) -> Snapshot {
    Snapshot {
        id: id.to_string(),
        provider: provider.id.clone(),
        recipe: way.recipe().to_owned(),
        scope,
        revision: 1,
        state: State::Pending,
        auth_url: None,
        // The registry names the page, or the issuer that it names does.
        url_openable: true,
        device_code: None,
        verification_url: None,
        prompt: false,
        prompted: false,
        paste_shapes: Vec::new(),
        started_at: now,
        expires_at: now.saturating_add(BROWSER_LIFETIME_MS),
        ended_at: None,
        pid: None,
        process_start: None,
        saved: None,
        email: None,
        failure: None,
    }
}

/// Returns the error for an issuer that did not start a login.
fn refusal(failure: &Failure) -> ApiError {
    let text = format!("the provider did not start the login: {failure}");
    match failure {
        Failure::Transient { .. } => ApiError::new(Kind::RefreshFailed, text),
        _ => ApiError::invalid_input("recipe", text),
    }
}
