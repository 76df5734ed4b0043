//! The task of one login without a CLI.

use std::time::Duration;

use auth_spawner::{Advice, Failure as LoginFailure, FailureKind, Saved, Snapshot, State};
use identity_store::{
    Authority, CommitProfile, Consumer, Endpoint, Jitter, LoginOwner, ProfileScope, ReceivedTokens,
    SessionEnd, SessionEnding, SessionId, Store, UnsavedLogin,
};
use secrecy::SecretString;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::client::{Client, person};
use super::{Answer, ProviderLogins};
use crate::base::clock::now;
use crate::forge::oauth::failure::classify;
use crate::forge::oauth::issuer::Device;
use crate::forge::oauth::{Failure, Granted, PermanentFailure};
use crate::hint::Hint;
use crate::wire::error::with_causes;
use crate::wire::events;

/// The way to the tokens.
pub(super) enum Exchange {
    /// The browser returns with a code.
    Browser { answered: oneshot::Receiver<Answer>, verifier: SecretString, redirect: Url },
    /// The issuer is polled.
    Device(Device),
}

/// A running login.
pub(super) struct Flow {
    pub(super) logins: ProviderLogins,
    pub(super) store: Store,
    pub(super) id: String,
    pub(super) provider: String,
    pub(super) owner: LoginOwner,
    /// The deadline, in Unix milliseconds.
    pub(super) ends: i64,
    pub(super) stop: CancellationToken,
}

/// The end of a login.
enum End {
    Success { saved: Saved, email: Option<String> },
    Without(State, LoginFailure),
}

impl Flow {
    /// Runs the login to its end. The session's row is ended before the end becomes visible.
    pub(super) async fn run(self, exchange: Exchange) {
        let end = match self.logins.client(&self.provider) {
            Ok(client) => match self.granted(client, exchange).await {
                Ok(granted) => self.commit(client, granted).await,
                Err(end) => end,
            },
            Err(_) => End::failed(FailureKind::Internal, "the provider is not known any more"),
        };
        if let End::Without(state, failure) = &end {
            self.record_end(*state, failure).await;
        }
        self.finish(end);
    }

    async fn granted(&self, client: &Client, exchange: Exchange) -> Result<Granted, End> {
        let left = u64::try_from(self.ends.saturating_sub(now())).unwrap_or_default();
        let deadline = tokio::time::sleep(Duration::from_millis(left));
        let granted = match exchange {
            Exchange::Browser { answered, verifier, redirect } => {
                let answer = tokio::select! {
                    () = self.stop.cancelled() => return Err(self.cancelled()),
                    () = deadline => return Err(End::expired()),
                    answer = answered => answer.map_err(|_| self.cancelled())?,
                };
                self.show(|snapshot| {
                    snapshot.state = State::Confirming;
                    snapshot.prompt = false;
                });
                match answer {
                    Ok(code) => client.issuer.redeem(&code, &verifier, &redirect).await,
                    Err((error, text)) => Err(classify(&error, &text)),
                }
            }
            Exchange::Device(device) => tokio::select! {
                () = self.stop.cancelled() => return Err(self.cancelled()),
                granted = client.issuer.approved(&device, tokio::time::sleep) => granted,
            },
        };
        granted.map_err(|failure| End::of(&failure))
    }

    /// Stores the tokens as a profile of the user, together with the end of the session.
    async fn commit(&self, client: &Client, granted: Granted) -> End {
        let received = ReceivedTokens::from(granted);
        self.logins.0.resources.redactor.hide_received(&received);
        let identity = person(received.id.as_ref(), &client.endpoint.client_id);
        let email = identity.email.clone();
        self.show(|snapshot| snapshot.state = State::Saving);
        let Some((login, session)) = self.unsaved(client, received) else {
            return End::failed(FailureKind::Storage, "the provider's tokens cannot be stored");
        };
        let LoginOwner { user, agent } = self.owner.clone();
        let commit = CommitProfile {
            scope: ProfileScope { user, agent, model: None },
            identity,
            label: None,
            make_primary: true,
            session: Some(session),
            jitter: Jitter::new(getrandom::u32().unwrap_or_default()),
            now: now(),
        };
        match self.store.commit_profile(login, commit).await {
            Ok((profile, tokens)) => {
                let (profile, account) = (Some(profile.id.to_string()), tokens.account.to_string());
                End::Success { saved: Saved { bundle: None, profile, account, replaced: None }, email }
            }
            Err(unsaved) => {
                tracing::error!(
                    error = with_causes(&unsaved.error),
                    session = self.id,
                    "a login was not stored"
                );
                // The registry knows no endpoint that revokes them.
                drop(unsaved.login.discard());
                End::failed(FailureKind::Storage, "the login is valid but could not be stored")
            }
        }
    }

    fn unsaved(&self, client: &Client, received: ReceivedTokens) -> Option<(UnsavedLogin, SessionId)> {
        let session: SessionId = self.id.parse().ok()?;
        let authority = Authority { provider: self.provider.parse().ok()?, base_url: None, client_id: None };
        let endpoint = Endpoint {
            issuer: None,
            token_url: Some(client.endpoint.token_url.clone()),
            auth_method: "none".to_owned(),
        };
        let flow = self.id.parse().ok()?;
        let login = UnsavedLogin::new(authority, endpoint, flow, received, Consumer::Access).ok()?;
        Some((login, session))
    }

    async fn record_end(&self, state: State, failure: &LoginFailure) {
        let Ok(session) = self.id.parse::<SessionId>() else { return };
        let revision = self.logins.watch(&self.id).map_or(1, |watch| watch.borrow().revision + 1);
        let end = SessionEnd {
            state: match state {
                State::Cancelled => SessionEnding::Cancelled,
                State::Expired => SessionEnding::Expired,
                _ => SessionEnding::Failed,
            },
            error: Some(failure.message.clone()),
            error_kind: Some(failure.kind.as_str().to_owned()),
            hint: Hint::failed(failure).map(|hint| hint.to_string()),
            exit_code: None,
            revision,
            now: now(),
        };
        if let Err(error) = self.store.finish_session(&session, end).await {
            tracing::error!(
                error = with_causes(&error),
                session = self.id,
                "the end of a login could not be recorded"
            );
        }
    }

    /// Makes the end visible, and forgets the login.
    fn finish(&self, end: End) {
        self.show(|snapshot| {
            snapshot.ended_at = Some(now());
            snapshot.prompt = false;
            match end {
                End::Success { saved, email } => {
                    (snapshot.state, snapshot.saved, snapshot.email) = (State::Success, Some(saved), email);
                }
                End::Without(state, failure) => {
                    (snapshot.state, snapshot.failure) = (state, Some(failure));
                }
            }
        });
        if let Some(live) = self.logins.live().remove(&self.id) {
            let last = live.snapshot.borrow();
            let (state, provider) = (last.state.as_str(), &last.provider);
            tracing::info!(session = self.id, provider, state, "a login ended");
        }
    }

    /// Changes the visible state, and announces it.
    fn show(&self, change: impl FnOnce(&mut Snapshot)) {
        let revision = {
            let all = self.logins.live();
            let Some(live) = all.get(&self.id) else { return };
            live.snapshot.send_modify(|snapshot| {
                change(snapshot);
                snapshot.revision += 1;
            });
            live.snapshot.borrow().revision
        };
        let data = serde_json::json!({ "sessionId": self.id, "revision": revision });
        self.logins.0.resources.broker.publish(&events::session_changed(&self.id), now(), Some(data));
    }

    fn cancelled(&self) -> End {
        let reason = self.logins.live().get(&self.id).and_then(|live| live.reason);
        let message = reason.map_or_else(|| "the login was cancelled".to_owned(), str::to_owned);
        let failure = LoginFailure { kind: FailureKind::Cancelled, message, advice: None, exit_code: None };
        End::Without(State::Cancelled, failure)
    }
}

impl End {
    fn failed(kind: FailureKind, message: &str) -> Self {
        let message = message.to_owned();
        Self::Without(State::Failed, LoginFailure { kind, message, advice: None, exit_code: None })
    }

    fn expired() -> Self {
        let failure = LoginFailure {
            kind: FailureKind::Expired,
            message: "the login was not completed in time".to_owned(),
            advice: Some(Advice::ApproveInTime),
            exit_code: None,
        };
        Self::Without(State::Expired, failure)
    }

    fn of(failure: &Failure) -> Self {
        match failure {
            Failure::Permanent(PermanentFailure::Denied) => {
                Self::failed(FailureKind::Denied, "the login was denied")
            }
            Failure::Permanent(PermanentFailure::Expired) => Self::expired(),
            failure => Self::failed(FailureKind::LoginFailed, &failure.to_string()),
        }
    }
}
