//! The accounts that a bundle binds.

use std::sync::Arc;

use auth_spawner::{Proof, Provider, Shadow, ShadowCause};
use identity_store::{Account, AccountKind, BoundCredential, BundleId, SecretRef, Store};
use secrecy::SecretString;

use crate::agents::model::Model;
use crate::base::host;
use crate::base::person::{Person, Sameness};
use crate::disk::identity_dir::homes::HomeOwner;
use crate::disk::identity_dir::{AccountDir, DirReading};
use crate::hint::Step;
use crate::keys::external::{Unavailable, Why};
use crate::launch::Launcher;
use crate::launch::candidate::{Candidate, Credential, Home, KeyCommand, Renewability, State, Unfit};
use crate::wire::error::{ApiError, Kind, with_causes};
use crate::wire::{Source, Status, convert, unfit};

/// Collects the accounts of a bundle and reads their directories.
pub(super) async fn gather(
    launcher: &Launcher,
    store: &Store,
    bundle: &BundleId,
    provider: Option<&Provider>,
    now: i64,
) -> Result<Vec<Candidate>, ApiError> {
    let wanted = provider.map(convert::stored_id).transpose()?;
    let found = store.credentials(bundle, wanted.as_ref()).await?;
    // An account that cannot be read must not lead to a launch without it.
    if let Some(row) = found.corrupt.first() {
        tracing::error!(account = row.id, reason = row.reason, "an account of a launch cannot be read");
        return Err(ApiError::new(Kind::SecretUnavailable, "an account of the bundle cannot be read")
            .with("accountId", row.id.as_str())
            .with("reason", "corrupt"));
    }
    if found.held.is_empty() {
        // An unknown bundle has an error of its own.
        Box::pin(store.bundle(bundle)).await?;
    }
    let candidates = found.held.into_iter().map(|held| candidate(launcher, bundle, held, now));
    futures_util::future::try_join_all(candidates).await
}

/// The result of looking for an account's credential.
pub(in crate::launch) struct FoundCredential {
    pub(in crate::launch) state: State,
    pub(in crate::launch) credential: Credential,
    pub(in crate::launch) home: Option<Home>,
    /// True if it is not known whether the login is that of the account's person.
    pub(in crate::launch) unproven: bool,
}

impl FoundCredential {
    pub(super) fn unavailable(why: Why, text: &str) -> Self {
        let state = State::Unavailable(Unavailable::new(why, text));
        Self { state, credential: Credential::Absent, home: None, unproven: false }
    }
}

async fn candidate(
    launcher: &Launcher,
    bundle: &BundleId,
    held: BoundCredential,
    now: i64,
) -> Result<Candidate, ApiError> {
    let account = held.account;
    let provider = host::provider_of(launcher.provider(account.provider.as_str())?, &account);
    let found = match (&account.secret_ref, held.secret) {
        (SecretRef::ConfigDir { dir, adopted }, _) => {
            let dir = AccountDir { path: dir.clone(), adopted: *adopted };
            directory(launcher, &account, &provider, dir, now).await
        }
        (SecretRef::Sealed, Some(Ok(secret))) if account.kind == AccountKind::OAuth => {
            let takes_token = provider.cli.as_ref().filter(|cli| cli.token.is_some());
            let shadow = match takes_token {
                Some(cli) => {
                    let home = launcher.identities.home(&HomeOwner::Bundle(bundle.clone()), cli);
                    launcher.identities.shadow(&provider, &home).await.unwrap_or_default()
                }
                None => None,
            };
            let state = shadow.as_ref().map_or(State::Found, shadowed);
            let credential = Credential::LoginToken(secret);
            FoundCredential { state, credential, home: None, unproven: false }
        }
        (SecretRef::Sealed, Some(Ok(secret))) => {
            let credential = Credential::Key(secret);
            FoundCredential { state: State::Found, credential, home: None, unproven: false }
        }
        (SecretRef::Sealed, failed) => {
            let error = failed.and_then(Result::err).map(|error| with_causes(&error));
            tracing::error!(error, account = %account.id, "a stored secret cannot be opened");
            FoundCredential::unavailable(Why::Undecryptable, "its stored secret could not be opened")
        }
        (SecretRef::Env { .. } | SecretRef::Command { .. }, _) => {
            let credential = Credential::Command(KeyCommand::Configured(account.secret_ref.clone()));
            FoundCredential { state: State::Found, credential, home: None, unproven: false }
        }
        (SecretRef::Tokens, _) => {
            FoundCredential::unavailable(Why::BackendFailed, "cannot launch with this credential type")
        }
    };
    Ok(judged(&account, bundle, provider, found))
}

/// Returns the candidate for an account. Only a person can renew a bundle's credentials.
pub(in crate::launch) fn judged(
    account: &Arc<Account>,
    bundle: &BundleId,
    provider: Arc<Provider>,
    found: FoundCredential,
) -> Candidate {
    let login = account.kind == AccountKind::OAuth;
    // The provider's refusal of a key counts until the key is checked again. A directory proves itself.
    let proven = matches!(found.credential, Credential::Directory | Credential::LoginFile(_));
    let refused = account.status == identity_store::Status::Invalid && !proven;
    let state = if refused && found.state == State::Found { State::Refused } else { found.state };
    let next_step = next_step(account, &state, &provider, bundle);
    Candidate {
        id: account.id.to_string(),
        account: Some(account.id.to_string()),
        source: Source::Bundle,
        login,
        unproven: found.unproven,
        model: Model::Any,
        position: 0,
        state,
        expires_at: account.expires_at.filter(|_| !proven),
        renewal: Renewability::Person("it has expired".to_owned()),
        status: if login && !refused { Status::Valid } else { convert::status(account.status) },
        base_url: account.base_url.clone().filter(|_| !login),
        home: found.home,
        generation: None,
        owner: None,
        grant: None,
        credential: found.credential,
        not_taken: None,
        person: account.email.clone().or_else(|| account.subject.clone()).filter(|_| login),
        next_step: Some(next_step.into()),
        provider,
    }
}

/// Returns the action for a person when the account cannot be used.
fn next_step(account: &Account, state: &State, provider: &Provider, bundle: &BundleId) -> Step {
    let provider = || (&provider.id).into();
    let bundle = || bundle.as_str().into();
    let settings = match state {
        State::Unfit(Unfit::Another) => {
            return Step::LogInAnew { provider: provider(), bundle: bundle() };
        }
        State::Unfit(Unfit::Shadowed(reason)) => unfit::next_step(reason),
        State::Unavailable(unavailable) => unfit::next_step(&unavailable.text),
        _ => None,
    };
    if let Some(step) = settings {
        return step;
    }
    match (&account.secret_ref, account.kind) {
        (SecretRef::Env { var }, _) => Step::SetVariable { variable: var.clone() },
        (SecretRef::Command { .. }, _) => Step::RunKeyCommand,
        (_, AccountKind::OAuth) => Step::LogIn { provider: provider(), bundle: bundle() },
        (_, AccountKind::ApiKey) => Step::AddKey { provider: provider(), bundle: bundle() },
    }
}

/// Reads a CLI's directory. A directory that an account may not use is not read.
pub(super) async fn directory(
    launcher: &Launcher,
    account: &Account,
    provider: &Arc<Provider>,
    dir: AccountDir,
    now: i64,
) -> FoundCredential {
    let (reach, state, unproven) = match launcher.identities.read(provider, &dir).await {
        Ok(DirReading::Read { reach, proof, shadow }) => {
            let ended = refused_and_ended(account, &proof, now);
            let (state, unproven) = fit(account, proof.at(now), shadow.as_ref());
            (reach, ended.filter(|_| state == State::Found).unwrap_or(state), unproven)
        }
        Ok(DirReading::Forbidden(reach)) => (reach, State::Ambient, false),
        Ok(DirReading::NoCli) => {
            let text = "the registry has no CLI that can use it";
            return FoundCredential::unavailable(Why::BackendFailed, text);
        }
        Err(_) => return FoundCredential::unavailable(Why::BackendFailed, "its directory could not be read"),
    };
    let taken = provider.cli.as_ref().is_some_and(|cli| cli.credential_var.is_some());
    let credential = if taken && state == State::Found {
        match login_file(launcher, provider, &dir).await {
            Some(text) => Credential::LoginFile(text),
            None => return FoundCredential::unavailable(Why::BackendFailed, "its file could not be read"),
        }
    } else {
        Credential::Directory
    };
    let home = Some(Home { dir: dir.path, reach });
    FoundCredential { state, credential, home, unproven }
}

/// Returns the state of a login whose access token has ended and whose refresh token its provider refused.
fn refused_and_ended(account: &Account, proof: &Proof, now: i64) -> Option<State> {
    let Proof::LoggedIn(found) = proof else { return None };
    let ended = found.expires_at.is_some_and(|end| end <= now);
    let refused = account.keeping.refused.as_ref().filter(|_| ended)?;
    found.refresh_mark.filter(|mark| mark.to_string() == refused.mark)?;
    Some(State::NeedsReauth(account.keeping.detail.clone().unwrap_or_else(|| unfit::REFUSED.to_owned())))
}

/// Reads the text of the login's file, for a CLI that takes it in a variable.
async fn login_file(launcher: &Launcher, provider: &Arc<Provider>, dir: &AccountDir) -> Option<SecretString> {
    let read =
        launcher.identities.visit(provider, dir, |cli, dir, reach| cli.credential_text(dir, reach.ok()?));
    read.await.ok()??
}

/// Judges whether the CLI would use the login of the account's person. The second value is true if that is not known,
/// because one of the two persons has no name.
pub(in crate::launch) fn fit(account: &Account, proof: Proof, shadow: Option<&Shadow>) -> (State, bool) {
    let Proof::LoggedIn(found) = &proof else { return (state(proof), false) };
    let sameness = Person::of(account).compare(Person::in_files(found));
    let unproven = sameness == Sameness::Unproven;
    match (sameness, shadow) {
        (Sameness::Another, _) => (State::Unfit(Unfit::Another), false),
        (_, Some(shadow)) => (shadowed(shadow), unproven),
        (_, None) => (state(proof), unproven),
    }
}

/// Returns the state of a login whose place a setting takes, or may take.
pub(super) fn shadowed(shadow: &Shadow) -> State {
    let reason = unfit::reason(shadow);
    match shadow.cause {
        ShadowCause::Set(_) => State::Unfit(Unfit::Shadowed(reason)),
        ShadowCause::Unreadable(_) => State::Unavailable(Unavailable::new(Why::Undecryptable, reason)),
    }
}

pub(in crate::launch) fn state(proof: Proof) -> State {
    match proof {
        Proof::LoggedIn(_) => State::Found,
        Proof::Absent => State::NeedsReauth("its directory holds no login".to_owned()),
        Proof::Incomplete { reason } => State::NeedsReauth(reason),
        Proof::Unreadable { reason } | Proof::InKeyring { reason, .. } => {
            State::Unavailable(Unavailable::new(Why::Undecryptable, reason))
        }
    }
}
