//! The owner of the live logins at forges. It starts them, receives their callbacks, polls for device logins, and
//! passes their tokens to the [`KeepTokens`] function that commits them. Every change to a login goes through
//! `Flows::change`, which announces the change once polling can see it.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use secrecy::SecretString;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;
use uuid::Uuid;

use super::callback::{CallbackQuery, Page};
use super::failure::{Failure, Misconfigured, classify};
use super::forge::{Forge, Forges};
use super::granted::Granted;
use super::identity::Identity;
use super::issuer::Device;
use super::revoke::{RetiredTokens, Returns};
pub(crate) use super::starting::{Start, StartError, StartedCode, StartedDevice};
use super::table::{CodeFlow, Ending, NewFlow, Status, Table, TooManyLogins};
use crate::base::redact::Redactor;

/// The time that a user has to complete a login in the browser.
const CODE_LIFETIME_MS: i64 = 10 * 60 * 1000;
const CODE_LIFETIME: Duration = Duration::from_millis(CODE_LIFETIME_MS.unsigned_abs());

/// The live logins. Cheap to clone; clones are handles to the same logins.
#[derive(Clone)]
pub(crate) struct Flows(Arc<FlowsState>);

struct FlowsState {
    forges: Forges,
    keep: KeepTokens,
    moved: SignInListener,
    returns: Returns,
    redactor: Redactor,
    clock: fn() -> i64,
    redirect: OnceLock<Url>,
    table: Mutex<Table>,
    /// A counter that increases with every change to the table.
    changes: watch::Sender<u64>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// The parts from which [`Flows`] is built.
pub(crate) struct FlowsConfig {
    /// The forges at which users can log in.
    pub forges: Forges,
    /// Commits the tokens of a login.
    pub keep: KeepTokens,
    /// Receives the id of a login at each of its steps.
    pub moved: SignInListener,
    /// Revokes tokens that a login obtained but that were not stored.
    pub returns: Returns,
    /// Receives every secret before any other component does.
    pub redactor: Redactor,
    /// The wall clock, in Unix milliseconds.
    pub clock: fn() -> i64,
}

/// Commits the tokens of a login, or rejects them. Called once per login and never cancelled.
pub(crate) type KeepTokens =
    Arc<dyn Fn(Obtained) -> Pin<Box<dyn Future<Output = Result<KeptLogin, KeepError>> + Send>> + Send + Sync>;

/// Receives the id of a login that has started, progressed or ended. [`Flows::status`] already reports the change by
/// then.
pub(crate) type SignInListener = Arc<dyn Fn(&str) + Send + Sync>;

/// Tokens that have been obtained but not yet committed.
#[must_use = "dropped tokens are lost"]
pub(crate) struct Obtained {
    /// The id of the login.
    pub session_id: String,
    /// The forge that issued the tokens, which determines the authority and the client that can refresh them.
    pub forge: Arc<Forge>,
    /// The tokens as issued by the forge.
    pub granted: Granted,
    /// The owner of the tokens, or the reason why the forge did not name the owner. The tokens are usable either way.
    pub identity: Result<Identity, Failure>,
}

/// A login whose tokens have been committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeptLogin {
    /// The account that holds the tokens.
    pub account: String,
    /// The user's name at the forge; `None` until the forge reports it.
    pub login: Option<String>,
}

/// The reason why tokens were not stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub(crate) struct KeepError {
    /// The stable code of the error.
    pub code: &'static str,
    /// The human-readable error text.
    pub text: String,
}

impl Flows {
    /// Creates an empty set of logins.
    pub(crate) fn new(config: FlowsConfig) -> Self {
        let FlowsConfig { forges, keep, moved, returns, redactor, clock } = config;
        Self(Arc::new(FlowsState {
            forges,
            keep,
            moved,
            returns,
            redactor,
            clock,
            redirect: OnceLock::new(),
            table: Mutex::default(),
            changes: watch::Sender::new(0),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        }))
    }

    /// The forges at which users can log in.
    pub(crate) fn forges(&self) -> &Forges {
        &self.0.forges
    }

    /// Sets the address of the daemon's HTTP listener, once. Browsers are redirected to it. Without an address, browser
    /// logins are not possible.
    pub(crate) fn listens_at(&self, address: Option<std::net::SocketAddr>) {
        let url = address.map(|address| Url::parse(&format!("http://{address}{}", super::callback::PATH)));
        if let Some(Ok(url)) = url {
            // Setting a second address would be a bug in the caller. The first one is retained.
            let _ = self.0.redirect.set(url);
        }
    }

    /// Starts a browser login.
    ///
    /// # Errors
    /// A [`StartError`].
    pub(crate) fn start_code(&self, start: &Start) -> Result<StartedCode, StartError> {
        let redirect = self.0.redirect.get().ok_or(StartError::NoRedirect)?.clone();
        let request = start.forge.issuer.begin(&redirect);
        self.0.redactor.hide(&request.state);
        self.0.redactor.hide(&request.verifier);
        let code = CodeFlow { state: request.state, verifier: request.verifier, redirect };
        let now = (self.0.clock)();
        let session_id = self.begin(start, Some(code), now + CODE_LIFETIME_MS)?;
        self.0.tasks.spawn(self.clone().expire(session_id.clone()));
        Ok(StartedCode { session_id, auth_url: request.url })
    }

    /// Starts a device login. A background task polls until the login has ended.
    ///
    /// # Errors
    /// A [`StartError`].
    pub(crate) async fn start_device(&self, start: Start) -> Result<StartedDevice, StartError> {
        let device = start.forge.issuer.device().await?;
        let lifetime = i64::try_from(device.lifetime().as_millis()).unwrap_or(CODE_LIFETIME_MS);
        let session_id = self.begin(&start, None, (self.0.clock)().saturating_add(lifetime))?;
        let started = StartedDevice {
            session_id: session_id.clone(),
            user_code: device.user_code().to_owned(),
            verification_url: device.verification_url().to_owned(),
        };
        self.0.tasks.spawn(self.clone().poll(session_id, start, device));
        Ok(started)
    }

    /// Returns the status of a login, or `None` if the login is unknown.
    pub(crate) fn status(&self, session_id: &str) -> Option<Status> {
        self.table().status(session_id, (self.0.clock)())
    }

    /// Waits until a login has ended, for at most `patience`, and returns its status.
    pub(crate) async fn ended(&self, session_id: &str, patience: Duration) -> Option<Status> {
        // The status read below shows whether the login has ended.
        let _ = tokio::time::timeout(patience, self.over(session_id)).await;
        self.status(session_id)
    }

    /// Cancels a login before its tokens are saved. Returns `false` if it is too late or the login is unknown.
    pub(crate) fn cancel(&self, session_id: &str) -> bool {
        self.change(|table, now| table.cancel(session_id, now))
    }

    /// Handles a browser's callback. Once the `state` has been consumed, the exchange continues even if the browser
    /// disconnects.
    pub(crate) async fn callback(&self, query: &str, session: Option<&SecretString>) -> Page {
        let Some(query_values) = CallbackQuery::parse(query) else { return Page::Malformed };
        self.0.redactor.hide(&query_values.state);
        let (session_id, forge) = match self.table().peek(&query_values.state, session, (self.0.clock)()) {
            Ok((id, forge)) => (id.to_owned(), forge.to_owned()),
            Err(invalid) => {
                tracing::warn!(reason = %invalid, "a callback was rejected");
                return Page::NotAwaited(invalid);
            }
        };
        let not_awaited = Page::NotAwaited(super::table::StateInvalid::Unknown);
        let Some(forge) = self.0.forges.named(&forge).cloned() else { return not_awaited };
        if query_values.issuer.as_deref().is_some_and(|issuer| !forge.is_issuer(issuer)) {
            tracing::warn!(session = session_id, "a callback named another issuer");
            return Page::Malformed;
        }
        let Some(code_flow) = self.change(|table, _| table.consume(&session_id)) else { return not_awaited };
        match query_values.answer {
            Err((error, text)) => self.refused(&session_id, &forge, &classify(&error, &text), &text),
            Ok(code) => {
                self.0.redactor.hide(&code);
                let flows = self.clone();
                let exchange = self.0.tasks.spawn(async move {
                    let granted = forge.issuer.redeem(&code, &code_flow.verifier, &code_flow.redirect).await;
                    flows.finish(&session_id, &forge, granted).await
                });
                exchange.await.unwrap_or(Page::Failed)
            }
        }
    }

    /// Runs a task that belongs to no login. When the daemon stops, the task is dropped at its next await point.
    pub(crate) fn aside(&self, work: impl Future<Output = ()> + Send + 'static) {
        let stop = self.0.stop.clone();
        self.0.tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = work => {}
            }
        });
    }

    /// Ends the logins that are waiting for a user, then waits for exchanges in progress, whose duration is limited.
    pub(crate) async fn shutdown(&self) {
        self.0.stop.cancel();
        self.0.tasks.close();
        self.0.tasks.wait().await;
        self.0.returns.settle().await;
    }

    fn begin(&self, start: &Start, code: Option<CodeFlow>, deadline: i64) -> Result<String, TooManyLogins> {
        let id = format!("operator-{}", Uuid::new_v4());
        let new = NewFlow {
            id: id.clone(),
            owner: start.owner.clone(),
            forge: start.forge.settings.name.clone(),
            session: start.session.clone(),
            code,
            deadline,
        };
        self.change(|table, now| table.begin(new, now))?;
        Ok(id)
    }

    /// Ends a browser login when its time limit is reached, so that its end is reported at that moment.
    async fn expire(self, session_id: String) {
        let ending = tokio::select! {
            () = self.0.stop.cancelled() => Ending::Cancelled,
            () = self.over(&session_id) => return,
            () = tokio::time::sleep(CODE_LIFETIME) => Ending::Expired,
        };
        self.change(|table, now| table.abandon(&session_id, ending, now));
    }

    async fn poll(self, session_id: String, start: Start, device: Device) {
        let granted = tokio::select! {
            () = self.0.stop.cancelled() => {
                self.change(|table, now| table.end(&session_id, Ending::Cancelled, now));
                return;
            }
            () = self.over(&session_id) => return,
            granted = start.forge.issuer.approved(&device, tokio::time::sleep) => granted,
        };
        match granted {
            Ok(granted) if !self.change(|table, _| table.approve(&session_id)) => {
                self.0.returns.give_back(&start.forge, RetiredTokens::from(&granted));
            }
            granted => {
                self.finish(&session_id, &start.forge, granted).await;
            }
        }
    }

    /// Asks the forge for the owner of the tokens, and stores the tokens unless the login has been cancelled in the
    /// meantime.
    async fn finish(&self, session_id: &str, forge: &Arc<Forge>, granted: Result<Granted, Failure>) -> Page {
        let granted = match granted {
            Ok(granted) => granted,
            Err(failure @ Failure::Misconfigured(_)) => return self.refused(session_id, forge, &failure, ""),
            Err(failure) => {
                self.fail(session_id, &failure);
                return Page::Failed;
            }
        };
        let missing = forge.missing_scopes(granted.scopes.as_deref());
        let secrets = [Some(&granted.access), granted.refresh.as_ref(), granted.id_token.as_ref()];
        secrets.into_iter().flatten().for_each(|secret| self.0.redactor.hide(secret));
        let identity = forge.identify(&granted.access).await;
        if !self.change(|table, _| table.save(session_id)) {
            self.0.returns.give_back(forge, RetiredTokens::from(&granted));
            return Page::Failed;
        }
        let obtained =
            Obtained { session_id: session_id.to_owned(), forge: forge.clone(), granted, identity };
        let (page, ending) = match (self.0.keep)(obtained).await {
            Ok(KeptLogin { account, login }) => {
                let page = match &login {
                    Some(_) => Page::SignedIn { missing: missing.clone() },
                    None => Page::Unnamed,
                };
                (page, Ending::Success { account, login, missing })
            }
            Err(error) => {
                tracing::error!(session = session_id, code = error.code, "a sign-in was not saved: {error}");
                let scope = error.code == Misconfigured::Scope.code();
                let page = if scope { Page::Refused(error.text.clone()) } else { Page::Failed };
                (page, Ending::Failed { code: error.code, text: error.text })
            }
        };
        self.change(|table, now| table.end(session_id, ending, now));
        page
    }

    /// Ends a login that the forge or its operator's configuration refused. A refused scope is named.
    fn refused(&self, session_id: &str, forge: &Forge, failure: &Failure, said: &str) -> Page {
        match failure {
            Failure::Misconfigured(Misconfigured::Scope) => {
                let text = forge.scopes_refused(said);
                self.fail_with(session_id, failure.code(), text.clone());
                Page::Refused(text)
            }
            Failure::Misconfigured(_) => {
                self.fail(session_id, failure);
                Page::Failed
            }
            _ => {
                self.fail(session_id, failure);
                Page::Denied
            }
        }
    }

    fn fail(&self, session_id: &str, failure: &Failure) {
        self.fail_with(session_id, failure.code(), failure.to_string());
    }

    fn fail_with(&self, session_id: &str, code: &'static str, text: String) {
        tracing::warn!(session = session_id, code, "a sign-in at a forge failed: {text}");
        let ending = Ending::Failed { code, text };
        self.change(|table, now| table.end(session_id, ending, now));
    }

    /// Returns once the login has ended or if it is unknown.
    async fn over(&self, session_id: &str) {
        let mut changes = self.0.changes.subscribe();
        while matches!(self.status(session_id), Some(Status::Waiting | Status::Working)) {
            // The sender lives as long as this handle.
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut Table, i64) -> T) -> T {
        let (changed, moved) = {
            let mut table = self.table();
            (change(&mut table, (self.0.clock)()), table.take_moved())
        };
        self.0.changes.send_modify(|count| *count += 1);
        for id in &moved {
            (self.0.moved)(id);
        }
        changed
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
