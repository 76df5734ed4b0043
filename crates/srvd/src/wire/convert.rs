//! Conversions from library types to wire types.

use auth_spawner::{Class, Cli, FailureKind, Provider, Snapshot, State};
use identity_store as store;

use crate::hint::{Hint, Step};
use crate::wire::account::{Account, Backend, Owner, SecretRef};
use crate::wire::auth::{Phase, ReplacedPerson, Session, SessionStatus};
use crate::wire::bundle::{Binding, Bundle, UnboundPolicy, UnboundRule};
use crate::wire::daemon::{Counts, DatabaseKind};
use crate::wire::error::{ApiError, ErrorKind, Kind};
use crate::wire::login_scope;
use crate::wire::next_step::NextStep;
use crate::wire::operator::TokenState;
use crate::wire::paste::{Paste, PasteShape, PasteSource, PasteWhen};
use crate::wire::profile::Tokens;
use crate::wire::unfit;
use crate::wire::{CredentialKind, Evidence, SecretInput, Status};

/// Converts a status.
pub(crate) fn status(status: store::Status) -> Status {
    match status {
        store::Status::Valid => Status::Valid,
        store::Status::Expired => Status::Expired,
        store::Status::NeedsReauth => Status::NeedsReauth,
        store::Status::Invalid => Status::Invalid,
        store::Status::Unknown => Status::Unknown,
    }
}

fn evidence(evidence: store::Evidence) -> Evidence {
    match evidence {
        store::Evidence::File => Evidence::File,
        store::Evidence::Assumed => Evidence::Assumed,
        store::Evidence::Check => Evidence::Check,
        store::Evidence::Live => Evidence::Live,
        store::Evidence::Login => Evidence::Login,
        store::Evidence::None => Evidence::None,
    }
}

/// Converts the kind of an account.
pub(crate) fn kind(kind: store::AccountKind) -> CredentialKind {
    match kind {
        store::AccountKind::OAuth => CredentialKind::OAuth,
        store::AccountKind::ApiKey => CredentialKind::ApiKey,
    }
}

/// Converts the class of a provider.
pub(crate) fn class(class: Class) -> CredentialKind {
    match class {
        Class::OAuth => CredentialKind::OAuth,
        Class::ApiKey => CredentialKind::ApiKey,
    }
}

fn owner(owner: store::Owner) -> Owner {
    match owner {
        store::Owner::Bundle => Owner::Bundle,
        store::Owner::User => Owner::User,
        store::Owner::Operator => Owner::Operator,
    }
}

/// Converts the kind of the database.
pub(crate) fn database_kind(kind: store::DatabaseKind) -> DatabaseKind {
    match kind {
        store::DatabaseKind::Sqlite => DatabaseKind::Sqlite,
        store::DatabaseKind::Postgres => DatabaseKind::Postgres,
    }
}

/// Converts the state of an operator's tokens.
pub(crate) fn token_state(state: store::RefreshState) -> TokenState {
    match state {
        store::RefreshState::Active => TokenState::Active,
        store::RefreshState::Refreshing => TokenState::Refreshing,
        store::RefreshState::NeedsReauth => TokenState::NeedsReauth,
        store::RefreshState::Revoked => TokenState::Revoked,
    }
}

/// Converts the kind of a failed login.
fn failure_kind(kind: FailureKind) -> ErrorKind {
    match kind {
        FailureKind::SpawnFailed => ErrorKind::SpawnFailed,
        FailureKind::TtyUnavailable => ErrorKind::TtyUnavailable,
        FailureKind::CliExited => ErrorKind::CliExited,
        FailureKind::NotAuthenticated => ErrorKind::NotAuthenticated,
        FailureKind::Denied => ErrorKind::Denied,
        FailureKind::LoginFailed => ErrorKind::LoginFailed,
        FailureKind::CliRetired => ErrorKind::CliRetired,
        FailureKind::Expired => ErrorKind::Expired,
        FailureKind::Cancelled => ErrorKind::Cancelled,
        FailureKind::Storage => ErrorKind::Storage,
        FailureKind::PortInUse => ErrorKind::PortInUse,
        FailureKind::IdentityMismatch => ErrorKind::IdentityMismatch,
        FailureKind::NotFound => ErrorKind::NotFound,
        FailureKind::Conflict => ErrorKind::Conflict,
        FailureKind::AmbientDirectory => ErrorKind::AmbientDirectory,
        FailureKind::DaemonRestarted => ErrorKind::DaemonRestarted,
        FailureKind::StoreUnavailable => ErrorKind::StoreUnavailable,
        FailureKind::Internal => ErrorKind::Internal,
    }
}

/// Converts a bundle.
pub(crate) fn bundle(bundle: store::Bundle) -> Bundle {
    let bindings = bundle.bindings.into_iter().map(|binding| Binding {
        provider_id: binding.provider.to_string(),
        account_id: binding.account.to_string(),
        status: status(binding.status),
    });
    Bundle {
        id: bundle.id.to_string(),
        name: bundle.name,
        description: bundle.description,
        is_blank: bundle.is_blank,
        created_at: bundle.created_at,
        updated_at: bundle.updated_at,
        bindings: bindings.collect(),
        unbound: unbound(&bundle.unbound),
    }
}

fn unbound(policy: &store::UnboundPolicy) -> UnboundPolicy {
    let rule = match policy.rule {
        store::UnboundRule::Sealed => UnboundRule::Sealed,
        store::UnboundRule::Tools => UnboundRule::Tools,
        store::UnboundRule::Own => UnboundRule::Own,
    };
    let ids =
        |list: &std::collections::BTreeSet<store::ProviderId>| list.iter().map(ToString::to_string).collect();
    UnboundPolicy { rule, own: ids(&policy.own), sealed: ids(&policy.sealed) }
}

/// Converts an account.
pub(crate) fn account(account: store::Account) -> Account {
    let next_step = next_step(&account).map(NextStep::from);
    Account {
        id: account.id.to_string(),
        provider_id: account.provider.to_string(),
        kind: kind(account.kind),
        owner: owner(account.owner),
        name: account.name,
        display_name: account.display_name,
        email: account.email,
        subject: account.subject,
        secret_ref: secret_ref(&account.secret_ref),
        base_url: account.base_url,
        masked_tail: account.masked_tail,
        status: status(account.status),
        status_reason: account.status_reason,
        evidence: evidence(account.evidence),
        checked_at: account.checked_at,
        expires_at: account.expires_at,
        login_deadline_at: account.login_deadline_at,
        next_step,
        bound_to: account.bound_to.iter().map(ToString::to_string).collect(),
        created_at: account.created_at,
        updated_at: account.updated_at,
    }
}

/// Returns the command that the user can run to fix an account. `None` if nothing needs to be done, or if the status is
/// unknown, in which case `status_reason` says why.
fn next_step(account: &store::Account) -> Option<Hint> {
    let bundle = account.bound_to.first()?;
    if let Some(step) = account.status_reason.as_deref().and_then(unfit::next_step) {
        return Some(step.into());
    }
    let (provider, bundle) = (account.provider.as_str().into(), bundle.as_str().into());
    let step = match (account.status, account.kind) {
        (store::Status::Valid | store::Status::Expired | store::Status::Unknown, _) => return None,
        (store::Status::NeedsReauth | store::Status::Invalid, store::AccountKind::ApiKey) => {
            Step::AddKey { provider, bundle }
        }
        (store::Status::NeedsReauth, store::AccountKind::OAuth) => Step::LogIn { provider, bundle },
        // The directory contains another person's login.
        (store::Status::Invalid, store::AccountKind::OAuth) => Step::LogInAnew { provider, bundle },
    };
    Some(step.into())
}

fn secret_ref(secret: &store::SecretRef) -> SecretRef {
    let named = |backend| SecretRef { backend, dir: None, var: None, adopted: None };
    match secret {
        store::SecretRef::ConfigDir { dir, adopted } => SecretRef {
            dir: Some(dir.display().to_string()),
            adopted: adopted.then_some(true),
            ..named(Backend::ConfigDir)
        },
        store::SecretRef::Sealed => named(Backend::Sealed),
        store::SecretRef::Tokens => named(Backend::Tokens),
        store::SecretRef::Env { var } => SecretRef { var: Some(var.clone()), ..named(Backend::Env) },
        store::SecretRef::Command { .. } => named(Backend::Command),
    }
}

fn paste_shape(shape: auth_spawner::PasteShape) -> PasteShape {
    match shape {
        auth_spawner::PasteShape::Url => PasteShape::Url,
        auth_spawner::PasteShape::CodeState => PasteShape::CodeState,
        auth_spawner::PasteShape::Code => PasteShape::Code,
    }
}

/// Describes the pasted answer that a login accepts.
fn paste(shapes: &[auth_spawner::PasteShape], now: bool) -> Option<Paste> {
    let has = |wanted: &[auth_spawner::PasteShape]| shapes.iter().any(|shape| wanted.contains(shape));
    let address = has(&[auth_spawner::PasteShape::Url]).then_some(PasteSource::AddressBar);
    let page = has(&[auth_spawner::PasteShape::CodeState, auth_spawner::PasteShape::Code]);
    let from: Vec<_> = address.into_iter().chain(page.then_some(PasteSource::Page)).collect();
    let when = if now { PasteWhen::Now } else { PasteWhen::Later };
    let shapes: Vec<_> = shapes.iter().copied().map(paste_shape).collect();
    (!shapes.is_empty()).then_some(Paste { shapes, when, from })
}

/// Converts a session that is running or has just ended.
pub(crate) fn session(snapshot: Snapshot) -> Session {
    let waiting = if snapshot.device_code.is_some() {
        SessionStatus::CodeEmitted
    } else if snapshot.auth_url.is_some() {
        SessionStatus::UrlAvailable
    } else {
        SessionStatus::Pending
    };
    let (status, phase) = match snapshot.state {
        State::Success => (SessionStatus::Success, None),
        State::Failed | State::Cancelled | State::Expired => (SessionStatus::Failed, None),
        State::Confirming => (waiting, Some(Phase::Confirming)),
        State::Saving => (waiting, Some(Phase::Saving)),
        State::Pending | State::UrlAvailable | State::CodeEmitted => (waiting, None),
    };
    let (live, success) = (!status.is_terminal(), status == SessionStatus::Success);
    let (user_id, agent_id) = owner_ids(login_scope::owner(&snapshot.scope).as_ref());
    let prompt = live && snapshot.prompt;
    let failure = snapshot.failure;
    let paste = paste(&snapshot.paste_shapes, prompt).filter(|_| live);
    let replaced = snapshot.saved.as_ref().and_then(|saved| saved.replaced.clone());
    let replaced_person =
        replaced.map(|replaced| ReplacedPerson { former: replaced.former, present: replaced.present });
    Session {
        session_id: snapshot.id,
        provider_id: snapshot.provider,
        recipe: snapshot.recipe,
        target_bundle_id: snapshot.scope.parse::<store::BundleId>().ok().map(|id| id.to_string()),
        revision: snapshot.revision,
        status,
        phase,
        started_at: snapshot.started_at,
        expires_at: snapshot.expires_at,
        ended_at: snapshot.ended_at,
        openable: snapshot
            .auth_url
            .as_ref()
            .or(snapshot.verification_url.as_ref())
            .filter(|_| live)
            .map(|_| snapshot.url_openable),
        auth_url: snapshot.auth_url.filter(|_| live),
        device_code: snapshot.device_code.filter(|_| live),
        verification_url: snapshot.verification_url.filter(|_| live),
        prompt: prompt.then_some(true),
        paste_shapes: prompt.then(|| snapshot.paste_shapes.into_iter().map(paste_shape).collect()),
        paste,
        bundle_id: snapshot.saved.as_ref().and_then(|saved| saved.bundle.clone()),
        profile_id: snapshot.saved.as_ref().and_then(|saved| saved.profile.clone()),
        account_id: snapshot.saved.map(|saved| saved.account),
        user_id,
        agent_id,
        email: success.then_some(snapshot.email),
        replaced_person,
        error_kind: failure.as_ref().map(|failure| failure_kind(failure.kind)),
        error: failure.as_ref().map(|failure| failure.message.clone()),
        hint: failure.as_ref().and_then(Hint::failed),
        exit_code: failure.and_then(|failure| failure.exit_code),
    }
}

/// Returns the ids of the user and the agent of a login.
fn owner_ids(owner: Option<&store::LoginOwner>) -> (Option<String>, Option<String>) {
    (owner.map(|owner| owner.user.to_string()), owner.map(|owner| owner.agent.to_string()))
}

/// Converts the tokens that a client supplies at the time `now`.
pub(crate) fn received(tokens: Tokens, now: i64) -> store::ReceivedTokens {
    // The arrival time is chosen so that the expiry is a whole number of seconds later, which keeps the expiry exact,
    // even one in the past.
    let arrival = |end: i64| match end.saturating_sub(now) {
        left if left > 0 => now - (1000 - left % 1000) % 1000,
        _ => end.saturating_sub(1000),
    };
    let received_at = tokens.expires_at.map_or(now, arrival);
    let life = |end: i64| (end.saturating_sub(received_at) / 1000).max(1);
    store::ReceivedTokens {
        access: tokens.access_token.into_secret(),
        refresh: tokens.refresh_token.map(SecretInput::into_secret),
        id: tokens.id_token.map(SecretInput::into_secret),
        expires_in: tokens.expires_at.map(life),
        refresh_expires_in: tokens.refresh_expires_at.map(life),
        scopes: tokens.scopes.map(|scopes| scopes.join(" ")),
        token_type: None,
        received_at,
    }
}

/// Converts the stored row of a session that is no longer in memory.
pub(crate) fn stored_session(row: store::LoginSession) -> Session {
    let status = match row.state {
        store::SessionState::Success => SessionStatus::Success,
        state if state.is_terminal() => SessionStatus::Failed,
        _ => SessionStatus::Pending,
    };
    let success = status == SessionStatus::Success;
    let hint = Hint::stored(&row);
    let (user_id, agent_id) = owner_ids(row.owner.as_ref());
    Session {
        session_id: row.id.to_string(),
        provider_id: row.provider.to_string(),
        recipe: row.recipe,
        target_bundle_id: row.target_bundle.map(|id| id.to_string()),
        revision: row.revision,
        status,
        phase: None,
        started_at: row.started_at,
        expires_at: row.expires_at,
        ended_at: row.ended_at,
        auth_url: None,
        openable: None,
        device_code: None,
        verification_url: None,
        prompt: None,
        paste_shapes: None,
        paste: None,
        bundle_id: row.bundle.filter(|_| success).map(|id| id.to_string()),
        account_id: row.account.filter(|_| success).map(|id| id.to_string()),
        profile_id: row.profile.filter(|_| success).map(|id| id.to_string()),
        user_id,
        agent_id,
        email: success.then_some(row.email),
        replaced_person: None,
        error: row.error,
        error_kind: row.error_kind.as_deref().map(ErrorKind::from),
        hint,
        exit_code: row.exit_code,
    }
}

/// Converts the store's row counts and adds the number of open connections.
pub(crate) fn counts(rows: &store::Counts, connections: usize) -> Counts {
    Counts {
        bundles: rows.bundles,
        accounts: rows.accounts,
        bindings: rows.bindings,
        live_sessions: rows.live_sessions,
        connections: u64::try_from(connections).unwrap_or(u64::MAX),
    }
}

/// Returns the provider's id as a store type.
///
/// # Errors
/// `invalid_input` if the registry contains an id that the store cannot represent.
pub(crate) fn stored_id(provider: &Provider) -> Result<store::ProviderId, ApiError> {
    provider
        .id
        .parse()
        .map_err(|_| ApiError::new(Kind::InvalidInput, "the registry's provider id cannot be stored"))
}

/// Returns the provider's CLI.
///
/// # Errors
/// `invalid_input` for a provider without a CLI.
pub(crate) fn login_cli(provider: &Provider) -> Result<&Cli, ApiError> {
    provider.cli.as_ref().ok_or_else(|| ApiError::invalid_input("providerId", "this provider has no login"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn login_failure_keeps_its_name_on_the_wire() {
        for kind in [
            FailureKind::SpawnFailed,
            FailureKind::TtyUnavailable,
            FailureKind::CliExited,
            FailureKind::NotAuthenticated,
            FailureKind::Denied,
            FailureKind::LoginFailed,
            FailureKind::CliRetired,
            FailureKind::Expired,
            FailureKind::Cancelled,
            FailureKind::Storage,
            FailureKind::PortInUse,
            FailureKind::IdentityMismatch,
            FailureKind::NotFound,
            FailureKind::Conflict,
            FailureKind::AmbientDirectory,
            FailureKind::DaemonRestarted,
            FailureKind::StoreUnavailable,
            FailureKind::Internal,
        ] {
            assert_eq!(failure_kind(kind).to_string(), kind.as_str());
            assert_eq!(ErrorKind::from(kind.as_str()), failure_kind(kind));
        }
    }
}
