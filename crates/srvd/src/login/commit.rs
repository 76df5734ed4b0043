//! Storing of a proven login: its rows in the store and, for a renewal, the replacement of the old files.

use auth_spawner::{Advice, ConfirmedLogin, FailureKind, SaveError, Saved};
use identity_store::credential::UncommittedLogin;
use identity_store::{
    Evidence, LoginCredential, ProviderId, ReplacedPerson, SaveLogin, SaveUserLogin, SavedCredential,
    SavedProfile, SessionId, Store, StoreError,
};
use tokio::sync::oneshot;

use super::renewal::Renewal;
use super::service::LoginResources;
use super::sink::{ExpectedLogin, LoginSink};
use super::target::LoginTarget;
use crate::base::clock::now;
use crate::destination;
use crate::hint::Step;
use crate::wire::error::with_causes;

impl LoginSink {
    /// Stores a proven login.
    pub(super) async fn commit(self, login: ConfirmedLogin) -> Result<Saved, SaveError> {
        let session: SessionId = login.session.parse().map_err(|_| storage("the session id is invalid"))?;
        let provider: ProviderId =
            login.provider.parse().map_err(|_| storage("the provider id is invalid"))?;
        self.written(&session).await;
        if let Some(token) = &login.token {
            self.resources().redactor.hide(token.secret());
        }
        let expected = self.expected_login(&session).ok_or_else(|| storage("the login has no target"))?;
        if login.token.is_none() {
            self.refuse_replaced(&session, &expected).await?;
        }
        let renewal = if expected.renews { Some(self.prepare(&session, &expected).await?) } else { None };
        let save = save_login(session.clone(), provider, login, expected.clone());
        let saved: Saved = match renewal {
            None => {
                let saved = async { save.begin(&self.resources().store).await?.commit().await };
                saved.await.map_err(|error| save_error(&session, &expected, &error))?
            }
            Some(renewal) => self.save_renewed(&session, &expected, save, renewal).await?,
        };
        if saved.replaced.is_some() {
            tracing::info!(%session, account = saved.account, "a login replaced that of another person");
        }
        Ok(saved)
    }

    /// Refuses a login whose CLI put a link in the place of its directory. The files that prove it are not the identity's.
    async fn refuse_replaced(&self, session: &SessionId, expected: &ExpectedLogin) -> Result<(), SaveError> {
        let LoginResources { identities, renewals, .. } = self.resources();
        let dir = if expected.renews { renewals.home(session) } else { expected.dir.clone() };
        let real = identities.is_real(&expected.provider, &dir).await;
        if real.unwrap_or(false) {
            return Ok(());
        }
        tracing::error!(%session, dir = %dir.display(), "the directory of a login was replaced");
        let message = "the CLI replaced its directory by a link; nothing was stored".to_owned();
        Err(SaveError { kind: FailureKind::AmbientDirectory, message, advice: None })
    }

    async fn prepare(&self, session: &SessionId, expected: &ExpectedLogin) -> Result<Renewal, SaveError> {
        let cli =
            expected.provider.cli.clone().ok_or_else(|| not_moved(session, &"the provider has no CLI"))?;
        let prepared = self.resources().renewals.prepare(session, cli, expected.dir.clone()).await;
        prepared.map_err(|error| not_moved(session, &error))
    }

    /// Writes the row, moves the files into place, and commits. It runs to completion even if its caller stops waiting,
    /// and the session's next write waits for it.
    async fn save_renewed(
        &self,
        session: &SessionId,
        expected: &ExpectedLogin,
        save: Save,
        renewal: Renewal,
    ) -> Result<Saved, SaveError> {
        let (report, answer) = oneshot::channel();
        let (sink, id, expected) = (self.clone(), session.clone(), expected.clone());
        let write = self.resources().tasks.spawn(async move {
            // The caller may have stopped waiting.
            let _ = report.send(sink.commit_renewed(&id, &expected, save, renewal).await);
        });
        self.add_write(session, write);
        answer.await.map_err(|_| storage("the login could not be stored"))?
    }

    async fn commit_renewed(
        &self,
        session: &SessionId,
        expected: &ExpectedLogin,
        save: Save,
        renewal: Renewal,
    ) -> Result<Saved, SaveError> {
        let LoginResources { store, renewals, .. } = self.resources();
        let pending = save.begin(store).await.map_err(|error| save_error(session, expected, &error))?;
        renewal.place().await.map_err(|error| not_moved(session, &error))?;
        let saved = pending.commit().await.map_err(|error| save_error(session, expected, &error));
        // The login's files are in place. Any files that the CLI writes until it exits are removed afterwards.
        if saved.is_ok() {
            renewals.settle(store, session).await;
        }
        saved
    }
}

/// A login to save, as the account of a bundle or as the profile of a user.
enum Save {
    Bundle(SaveLogin),
    User(SaveUserLogin),
}

/// A login that is written and not committed.
enum Written {
    Bundle(UncommittedLogin<SavedCredential>),
    User(UncommittedLogin<SavedProfile>),
}

impl Save {
    async fn begin(self, store: &Store) -> Result<Written, StoreError> {
        Ok(match self {
            Self::Bundle(save) => Written::Bundle(store.begin_login(save).await?),
            Self::User(save) => Written::User(store.begin_user_login(save).await?),
        })
    }
}

impl Written {
    async fn commit(self) -> Result<Saved, StoreError> {
        Ok(match self {
            Self::Bundle(written) => {
                let SavedCredential { bundle, account, replaced, .. } = written.commit().await?;
                let (bundle, profile) = (Some(bundle.to_string()), None);
                Saved { bundle, profile, account: account.to_string(), replaced: replaced.map(persons) }
            }
            Self::User(written) => {
                let SavedProfile { profile, account, replaced } = written.commit().await?;
                let (bundle, profile) = (None, Some(profile.to_string()));
                Saved { bundle, profile, account: account.to_string(), replaced: replaced.map(persons) }
            }
        })
    }
}

fn persons(replaced: ReplacedPerson) -> auth_spawner::ReplacedPerson {
    let ReplacedPerson { former, present } = replaced;
    auth_spawner::ReplacedPerson { former, present }
}

fn save_login(
    session: SessionId,
    provider: ProviderId,
    login: ConfirmedLogin,
    expected: ExpectedLogin,
) -> Save {
    let credential = match &login.token {
        Some(token) => LoginCredential::Token(token.secret().clone()),
        None => LoginCredential::Directory(expected.dir),
    };
    let evidence = match &login.token {
        Some(_) => Evidence::Login,
        None if login.credential.assumed_end => Evidence::Assumed,
        None if login.evidence_check => Evidence::Check,
        None => Evidence::File,
    };
    let found = login.credential;
    match expected.target {
        LoginTarget::Bundle(target) => Save::Bundle(SaveLogin {
            session: Some(session),
            target,
            provider,
            provider_name: expected.provider_name,
            credential,
            email: found.email,
            subject: found.subject,
            base_url: expected.base_url,
            expires_at: found.expires_at,
            login_deadline_at: found.login_deadline_at,
            evidence,
            person: expected.person,
            now: now(),
        }),
        LoginTarget::User(owner) => Save::User(SaveUserLogin {
            session: Some(session),
            owner,
            provider,
            provider_name: expected.provider_name,
            credential,
            email: found.email,
            subject: found.subject,
            base_url: expected.base_url,
            expires_at: found.expires_at,
            login_deadline_at: found.login_deadline_at,
            evidence,
            person: expected.person,
            now: now(),
        }),
    }
}

fn storage(message: &str) -> SaveError {
    failed(FailureKind::Storage, message)
}

fn failed(kind: FailureKind, message: &str) -> SaveError {
    SaveError { kind, message: message.to_owned(), advice: None }
}

fn not_moved(session: &SessionId, error: &dyn std::fmt::Display) -> SaveError {
    tracing::error!(%error, %session, "a verified login could not be moved into place");
    storage("the login is valid but could not be moved into place")
}

/// Returns the error for a login of a person who may not take the place of the account's.
fn mismatch(expected: &ExpectedLogin, ours: &str, theirs: &str) -> SaveError {
    let (provider, person) = ((&expected.provider.id).into(), ours.to_owned());
    let (place, step) = match &expected.target {
        LoginTarget::Bundle(target) => {
            let bundle = destination::bundle(target).as_str().into();
            ("the login in this bundle", Step::LogInAsOrReplace { person, provider, bundle })
        }
        LoginTarget::User(owner) => {
            let (user, agent) = (owner.user.as_str().into(), owner.agent.as_str().into());
            ("the present login", Step::LogInUserAsOrReplace { person, provider, user, agent })
        }
    };
    SaveError {
        kind: FailureKind::IdentityMismatch,
        message: format!("the CLI logged in as {theirs}, but {place} is {ours}'s; it was kept"),
        advice: Some(Advice::OfCaller(step.to_string())),
    }
}

fn save_error(session: &SessionId, expected: &ExpectedLogin, error: &StoreError) -> SaveError {
    tracing::error!(error = with_causes(error), %session, "a verified login could not be stored");
    match error {
        StoreError::IdentityMismatch { expected: ours, found, .. } => mismatch(expected, ours, found),
        StoreError::Conflict { what: "bundle name", .. } => failed(
            FailureKind::Conflict,
            "another bundle has taken the name in the meantime; the login was not stored",
        ),
        StoreError::NotFound { .. } => {
            failed(FailureKind::NotFound, "the bundle was deleted in the meantime; the login was not stored")
        }
        StoreError::Uncertain(_) => {
            storage("the login is valid, but the database did not confirm that it was stored")
        }
        StoreError::Conflict { .. }
        | StoreError::Protected { .. }
        | StoreError::InvalidName { .. }
        | StoreError::Busy(_)
        | StoreError::Full(_)
        | StoreError::Unavailable(_)
        | StoreError::Database(_)
        | StoreError::Damaged(_)
        | StoreError::Replaced(_)
        | StoreError::Corrupt { .. }
        | StoreError::Migration { .. }
        | StoreError::Unsupported { .. }
        | StoreError::Secret(_) => storage("the login is valid but could not be stored"),
    }
}
