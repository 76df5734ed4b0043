//! The credentials that a user provided for an agent: keys, tokens, and logins in the user's own directories.

use std::sync::Arc;

use auth_spawner::Provider;
use identity_store::{
    AccountKind, Credential as Stored, Profile, ProfileCredential, SecretRef, Status, Store, StoreError,
    UserId,
};
use secrecy::SecretString;

use super::bundle::{self, FoundCredential};
use super::tokens::{self, Standing};
use crate::agents::model::Model;
use crate::base::host;
use crate::disk::identity_dir::AccountDir;
use crate::disk::identity_dir::homes::HomeOwner;
use crate::hint::{Hint, Step};
use crate::keys::external::{Unavailable, Why};
use crate::launch::Launcher;
use crate::launch::candidate::{Candidate, Credential, Renewability, State};
use crate::refresh::Grant;
use crate::wire::error::{ApiError, with_causes};
use crate::wire::{self, Source, convert};

/// A profile and its place among the credentials of an agent.
pub(super) struct Place<'a> {
    pub(super) profile: ProfileCredential,
    pub(super) position: i64,
    /// The owner of the agent, if the credential is the owner's.
    pub(super) owner: Option<&'a UserId>,
    /// The owner of the homes of the launch.
    pub(super) homes: &'a HomeOwner,
}

/// Returns the candidate for a profile, or `None` if the registry does not know its provider or the profile was deleted
/// meanwhile. A login in a directory is read.
pub(super) async fn candidate(
    launcher: &Launcher,
    store: &Store,
    place: Place<'_>,
    now: i64,
) -> Result<Option<Candidate>, ApiError> {
    let Some(provider) = launcher.registry.provider(place.profile.profile.provider.as_str()) else {
        return Ok(None);
    };
    if !matches!(place.profile.credential, Stored::Elsewhere) {
        let homes = place.homes;
        let stored = of_row(launcher, provider, place, now);
        return Ok(Some(shadowed(launcher, homes, stored).await));
    }
    let account = match store.account(&place.profile.profile.account).await {
        Ok(account) => account,
        Err(StoreError::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let provider = host::provider_of(provider, &account);
    let found = match &account.secret_ref {
        SecretRef::ConfigDir { dir, adopted } => {
            let dir = AccountDir { path: dir.clone(), adopted: *adopted };
            bundle::directory(launcher, &account, &provider, dir, now).await
        }
        _ => FoundCredential::unavailable(Why::BackendFailed, "a profile cannot use this credential type"),
    };
    let renewal = Renewability::Person("it has expired".to_owned());
    let FoundCredential { state, credential, home, unproven } = found;
    let base = begun(&provider, place, now);
    Ok(Some(Candidate { state, credential, home, unproven, renewal, status: wire::Status::Valid, ..base }))
}

/// Returns the candidate for a credential that the database holds.
fn of_row(launcher: &Launcher, provider: &Arc<Provider>, place: Place<'_>, now: i64) -> Candidate {
    let grant = grant(launcher, &place.profile);
    let Standing { state, expires_at, renewal } = standing(&place.profile);
    let login = place.profile.profile.kind == AccountKind::OAuth;
    let renewal = match renewal {
        Renewability::Possible | Renewability::Waiting { .. } if grant.is_none() => Renewability::None,
        renewal => renewal,
    };
    // A login that nothing can renew needs a person, as in a bundle.
    let renewal = match renewal {
        Renewability::None if login && provider.cli.is_some() => {
            Renewability::Person("it has expired".to_owned())
        }
        renewal => renewal,
    };
    let tokens = matches!(place.profile.credential, Stored::Tokens(_));
    let not_taken = provider.takes_access_token().err().filter(|_| tokens);
    let credential = match place.profile.secret().map(SecretString::from) {
        Some(secret) if tokens => Credential::AccessToken(secret),
        Some(secret) if login => Credential::LoginToken(secret),
        Some(secret) => Credential::Key(secret),
        None => Credential::Absent,
    };
    let generation = match &place.profile.credential {
        Stored::Tokens(tokens) => Some(tokens.generation),
        _ => None,
    };
    let base = begun(provider, place, now);
    Candidate { state, expires_at, renewal, generation, grant, credential, not_taken, ..base }
}

/// Begins the candidate for a profile, without its credential.
fn begun(provider: &Arc<Provider>, place: Place<'_>, now: i64) -> Candidate {
    let Place { profile: ProfileCredential { profile, .. }, position, owner, .. } = place;
    let login = profile.kind == AccountKind::OAuth;
    let next_step = owner.is_none().then(|| next_step(&profile));
    Candidate {
        id: profile.id.to_string(),
        account: Some(profile.account.to_string()),
        source: Source::User,
        provider: Arc::clone(provider),
        login,
        unproven: false,
        status: convert::status(profile.status_at(now)),
        model: profile.model.map_or(Model::Any, Model::Only),
        position,
        state: State::Found,
        expires_at: None,
        renewal: Renewability::None,
        base_url: profile.base_url.filter(|_| !login),
        home: None,
        generation: None,
        owner: owner.map(ToString::to_string),
        grant: None,
        credential: Credential::Absent,
        not_taken: None,
        person: profile.identity.email,
        next_step,
    }
}

fn next_step(profile: &Profile) -> Hint {
    let provider = profile.provider.as_str().into();
    let (user, agent) = (profile.user.as_str().into(), profile.agent.as_str().into());
    match profile.kind {
        AccountKind::OAuth => Step::LogInUser { provider, user, agent }.into(),
        AccountKind::ApiKey => Step::AddKeyUser { provider, user, agent }.into(),
    }
}

/// Marks a login that its CLI takes in a variable, if a setting in the home would take its place.
async fn shadowed(launcher: &Launcher, homes: &HomeOwner, candidate: Candidate) -> Candidate {
    let takes_token = candidate.provider.cli.as_ref().filter(|cli| cli.token.is_some());
    let (Some(cli), Credential::LoginToken(_), State::Found) =
        (takes_token, &candidate.credential, &candidate.state)
    else {
        return candidate;
    };
    let home = launcher.identities.home(homes, cli);
    match launcher.identities.shadow(&candidate.provider, &home).await.unwrap_or_default() {
        Some(shadow) => Candidate { state: bundle::shadowed(&shadow), ..candidate },
        None => candidate,
    }
}

/// Returns the state of a profile whose secret is in the database.
fn standing(profile: &ProfileCredential) -> Standing {
    let unavailable = |why: Why, reason: &str| Standing {
        state: State::Unavailable(Unavailable::new(why, reason)),
        expires_at: None,
        renewal: Renewability::None,
    };
    match &profile.credential {
        Stored::Key(_) => {
            let refused = matches!(profile.profile.status, Status::Invalid | Status::NeedsReauth);
            let state = if refused { State::Refused } else { State::Found };
            Standing { state, expires_at: profile.profile.expires_at, renewal: Renewability::None }
        }
        Stored::Tokens(stored) => tokens::standing(stored),
        Stored::Broken(error) => {
            let (error, profile) = (with_causes(error), &profile.profile.id);
            tracing::error!(error, %profile, "a stored secret cannot be opened");
            unavailable(Why::Undecryptable, "its stored secret could not be opened")
        }
        Stored::Elsewhere => unavailable(Why::BackendFailed, "a profile cannot use this credential type"),
        Stored::Corrupt(reason) => {
            tracing::error!(reason, profile = %profile.profile.id, "an account of a profile cannot be read");
            unavailable(Why::Missing, "its account cannot be read")
        }
    }
}

/// Returns the grant of a profile, if the daemon can refresh it.
fn grant(launcher: &Launcher, profile: &ProfileCredential) -> Option<Grant> {
    let Stored::Tokens(tokens) = &profile.credential else { return None };
    let supported = launcher.refresher.supports(&tokens.authority);
    supported.then(|| Grant { account: tokens.account.clone(), authority: tokens.authority.clone() })
}
