//! The storing of a proven login: its rows in the store and, for a renewal, the replacement of the old files.

use std::sync::PoisonError;

use auth_spawner::{ConfirmedLogin, FailureKind, SaveError, Saved};
use identity_store::{
    DestinationBundle as StoreTarget, Evidence, LoginCredential, ProviderId, SaveLogin, SessionId, StoreError,
};
use tokio::sync::oneshot;

use super::{Logins, Target};
use crate::base::clock::now;
use crate::login::renewal;
use crate::login::renewal::Renewal;
use crate::wire::error::with_causes;

impl Logins {
    pub(super) async fn save(self, login: ConfirmedLogin) -> Result<Saved, SaveError> {
        let storage = |message: &str| SaveError { kind: FailureKind::Storage, message: message.to_owned() };
        let session: SessionId = login.session.parse().map_err(|_| storage("the session has no valid id"))?;
        let provider: ProviderId =
            login.provider.parse().map_err(|_| storage("the provider has no valid id"))?;
        self.recorded(&session).await;
        if let Some(token) = &login.token {
            self.0.tools.redactor.hide(token.secret());
        }
        let target = self
            .targets()
            .get(session.as_str())
            .cloned()
            .ok_or_else(|| storage("the login has no target"))?;
        let renewal = if target.renews { Some(self.prepare(&session, &target).await?) } else { None };
        let save = SaveLogin {
            session: Some(session.clone()),
            target: if target.is_new {
                StoreTarget::New { id: target.bundle, name: target.name }
            } else {
                StoreTarget::Existing(target.bundle)
            },
            provider,
            provider_name: target.provider_name,
            credential: match &login.token {
                Some(token) => LoginCredential::Token(token.secret().clone()),
                None => LoginCredential::Directory(target.dir),
            },
            email: login.credential.email,
            subject: login.credential.subject,
            base_url: target.base_url,
            expires_at: login.credential.expires_at,
            login_deadline_at: login.credential.login_deadline_at,
            evidence: match &login.token {
                Some(_) => Evidence::Login,
                None if login.evidence_check => Evidence::Check,
                None => Evidence::File,
            },
            replace_identity: target.force,
            now: now(),
        };
        let saved = match renewal {
            None => {
                let saved = self.0.tools.store.save_login(save).await;
                saved.map_err(|error| save_error(&session, &error))?
            }
            Some(renewal) => self.save_renewed(session, save, renewal).await?,
        };
        Ok(Saved { bundle: saved.bundle.to_string(), account: saved.account.to_string() })
    }

    async fn prepare(&self, session: &SessionId, target: &Target) -> Result<Renewal, SaveError> {
        let cli = target.provider.cli.clone().ok_or_else(|| not_moved(session, &"it has no CLI"))?;
        let (renewals, id, to) = (self.0.tools.renewals.clone(), session.clone(), target.dir.clone());
        let prepared = tokio::task::spawn_blocking(move || renewals.prepare(&id, cli, to)).await;
        match prepared {
            Ok(Ok(renewal)) => Ok(renewal),
            Ok(Err(error)) => Err(not_moved(session, &error)),
            Err(error) => Err(not_moved(session, &error)),
        }
    }

    /// Writes the row, moves the files into place, and commits. It runs to its end even when its caller stops waiting.
    /// The session's next write waits for it.
    async fn save_renewed(
        &self,
        session: SessionId,
        save: SaveLogin,
        renewal: Renewal,
    ) -> Result<identity_store::SavedCredential, SaveError> {
        let (report, answer) = oneshot::channel();
        let (logins, name) = (self.clone(), session.to_string());
        let task = tokio::spawn(async move {
            // The caller may have stopped waiting.
            let _ = report.send(logins.commit_renewed(&session, save, renewal).await);
        });
        self.0.recording.lock().unwrap_or_else(PoisonError::into_inner).insert(name, task);
        let broken =
            |_| SaveError { kind: FailureKind::Storage, message: "the login could not be stored".to_owned() };
        answer.await.map_err(broken)?
    }

    async fn commit_renewed(
        &self,
        session: &SessionId,
        save: SaveLogin,
        renewal: Renewal,
    ) -> Result<identity_store::SavedCredential, SaveError> {
        let tools = &self.0.tools;
        let pending = tools.store.begin_login(save).await.map_err(|error| save_error(session, &error))?;
        match tokio::task::spawn_blocking(move || renewal.place()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(not_moved(session, &error)),
            Err(error) => return Err(not_moved(session, &error)),
        }
        let saved = pending.commit().await.map_err(|error| save_error(session, &error));
        // The login's files are in place. Files that the CLI writes until it ends are removed after it.
        if saved.is_ok() {
            renewal::settle(&tools.store, &tools.renewals, session).await;
        }
        saved
    }
}

fn not_moved(session: &SessionId, error: &dyn std::fmt::Display) -> SaveError {
    tracing::error!(%error, %session, "a proven login could not be put into its place");
    SaveError {
        kind: FailureKind::Storage,
        message: "the login is good but could not be put into its place".to_owned(),
    }
}

fn save_error(session: &SessionId, error: &StoreError) -> SaveError {
    tracing::error!(error = with_causes(error), %session, "a proven login could not be stored");
    match error {
        StoreError::IdentityMismatch { .. } => SaveError {
            kind: FailureKind::IdentityMismatch,
            message: "the login came back as another person; the stored account was not changed".to_owned(),
        },
        StoreError::Conflict { what: "bundle name", .. } => SaveError {
            kind: FailureKind::Conflict,
            message: "another bundle took the name meanwhile; nothing was stored".to_owned(),
        },
        StoreError::NotFound { .. } => SaveError {
            kind: FailureKind::NotFound,
            message: "the bundle was deleted meanwhile; nothing was stored".to_owned(),
        },
        _ => SaveError {
            kind: FailureKind::Storage,
            message: "the login is good but could not be stored".to_owned(),
        },
    }
}
