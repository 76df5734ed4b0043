//! `operator.*`.

use std::sync::Arc;
use std::time::Duration;

use identity_store::{ActiveForge, CommitOperator, Identity, OperatorToken, Pending, StoreError};
use rpc_engine::Call;
use uuid::Uuid;

use crate::base::clock::now;
use crate::config::forges::ForgeKind;
use crate::forge::oauth::flows::StartError;
use crate::forge::oauth::forge::SelectError;
use crate::forge::oauth::table::{Ending, Status};
use crate::forge::oauth::{Failure, Forge, flows};
use crate::forge::operator;
use crate::forge::operator::OWNER;
use crate::rpc::app::App;
use crate::wire::auth::Outcome;
use crate::wire::convert;
use crate::wire::error::{ApiError, Kind};
use crate::wire::ids::account_id;
use crate::wire::operator::{
    Active, Cancel, ClearActive, Cleared, ConfiguredForge, Delete, Deleted, Flow, GetActive, List,
    OperatorAccount, Operators, PendingAccount, Poll, SetActive, SignIn, SignInStatus, Start, Started,
    Upsert,
};

/// The longest wait of a poll, in milliseconds.
const LONGEST_WAIT_MS: u64 = 30_000;

/// `operator.list`.
pub async fn list(app: App, _: Call, _: List) -> Result<Operators, ApiError> {
    let tokens = app.store.operator_tokens().await?;
    let pending = app.store.pending_logins(None).await?;
    Ok(Operators {
        tokens: tokens.into_iter().map(shown).collect(),
        pending: pending.into_iter().map(parked).collect(),
        forges: app.flows.forges().iter().map(|forge| configured(forge)).collect(),
    })
}

/// `operator.upsert`.
pub async fn upsert(app: App, _: Call, params: Upsert) -> Result<OperatorAccount, ApiError> {
    let Upsert { forge_type, base_url, client_id, tokens, account_login, email, activate } = params;
    let kind = kind(&forge_type)?;
    let forge = match app.flows.forges().select(kind, base_url.as_deref(), client_id.as_deref()) {
        Ok(forge) => forge.clone(),
        Err(SelectError::Unknown) if client_id.is_none() => unconfigured(kind, base_url.as_deref())?,
        Err(error) => return Err(unselected(error)),
    };
    let subject = tokens.subject.clone();
    let received = convert::received(tokens, now());
    app.redactor.hide_received(&received);
    let identity = match (subject, account_login) {
        (Some(subject), Some(login)) => Identity { subject: Some(subject), login: Some(login), email },
        (subject, login) => {
            let person = forge.identify(&received.access).await.map_err(|failure| unidentified(&failure))?;
            let told = [(subject, &person.account_id), (login, &person.login)];
            if told.iter().any(|(told, found)| told.as_ref().is_some_and(|told| told != *found)) {
                return Err(ApiError::new(
                    Kind::IdentityMismatch,
                    "the forge says that the token is another person's",
                ));
            }
            let email = email.or(person.email);
            Identity { subject: Some(person.account_id), login: Some(person.login), email }
        }
    };
    let login = operator::unsaved(&forge, &format!("upsert-{}", Uuid::new_v4().simple()), received)?;
    let commit = CommitOperator {
        identity,
        activate: activate.unwrap_or(false),
        jitter: operator::jitter(),
        now: now(),
    };
    match app.store.commit_operator(login, commit).await {
        Ok(kept) => Ok(shown(app.store.operator_token(&kept.account).await?)),
        Err(unsaved) => {
            // The client still has the tokens, and only the client can revoke them.
            drop(unsaved.login.discard());
            Err(unsaved.error.into())
        }
    }
}

/// `operator.delete`.
pub async fn delete(app: App, _: Call, params: Delete) -> Result<Deleted, ApiError> {
    let account = account_id(&params.account_id)?;
    let was_active = match app.store.delete_operator(&account, now()).await {
        Ok(token) => token.active,
        Err(missing @ StoreError::NotFound { .. }) => {
            match app.store.discard_pending(&account, now()).await {
                Ok(()) => false,
                Err(StoreError::NotFound { .. }) => return Err(missing.into()),
                Err(error) => return Err(error.into()),
            }
        }
        Err(error) => return Err(error.into()),
    };
    tracing::info!(%account, was_active, "an account of the operator was forgotten");
    Ok(Deleted { deleted: true, was_active })
}

/// `operator.start`.
pub async fn start(app: App, _: Call, params: Start) -> Result<Started, ApiError> {
    let kind = kind(&params.forge_type)?;
    let forge = app.flows.forges().select(kind, params.base_url.as_deref(), params.client_id.as_deref());
    let forge = forge.map_err(unselected)?.clone();
    // The forge may now be able to name the person of an earlier sign-in.
    let operators = app.operators.clone();
    app.flows.aside(async move { operators.complete_pending().await });
    let begin = flows::Start { owner: OWNER.to_owned(), forge, session: None };
    match params.flow.unwrap_or(Flow::Code) {
        Flow::Code => {
            let started = app.flows.start_code(&begin).map_err(not_started)?;
            Ok(Started {
                session_id: started.session_id,
                auth_url: Some(started.auth_url.into()),
                device_code: None,
                verification_url: None,
            })
        }
        Flow::Device => {
            let started = app.flows.start_device(begin).await.map_err(not_started)?;
            Ok(Started {
                session_id: started.session_id,
                auth_url: None,
                device_code: Some(started.user_code),
                verification_url: Some(started.verification_url),
            })
        }
    }
}

/// `operator.poll`.
pub async fn poll(app: App, _: Call, params: Poll) -> Result<SignIn, ApiError> {
    let wait = params.wait_ms.unwrap_or(0);
    if wait > LONGEST_WAIT_MS {
        return Err(ApiError::invalid_input("waitMs", format!("at most {LONGEST_WAIT_MS}")));
    }
    let status = app.flows.ended(&params.session_id, Duration::from_millis(wait)).await;
    let status = status.ok_or_else(|| ApiError::not_found("session", &params.session_id))?;
    Ok(sign_in(params.session_id, status))
}

/// `operator.cancel`.
pub async fn cancel(app: App, _: Call, params: Cancel) -> Result<Outcome, ApiError> {
    let success = app.flows.cancel(&params.session_id);
    let told = |text: &str| (!success).then(|| text.to_owned());
    let (error, error_kind) = (told("no such sign-in waits for its person"), told("not_found"));
    Ok(Outcome { success, error, error_kind })
}

/// `operator.active`.
pub async fn active(app: App, _: Call, _: GetActive) -> Result<Active, ApiError> {
    let found = app.store.active_forge().await?;
    found.map(in_use).ok_or_else(|| {
        ApiError::new(Kind::NoActiveForge, "no account of the operator is in use")
            .hint("sign in with: srvd operator login NAME, or choose one with: srvd operator use ACCOUNT")
    })
}

/// `operator.setactive`.
pub async fn set_active(app: App, call: Call, params: SetActive) -> Result<Active, ApiError> {
    app.store.set_active_forge(&account_id(&params.account_id)?, now()).await?;
    active(app, call, GetActive {}).await
}

/// `operator.clearactive`.
pub async fn clear_active(app: App, _: Call, _: ClearActive) -> Result<Cleared, ApiError> {
    Ok(Cleared { cleared: app.store.clear_active_forge(now()).await? })
}

fn kind(word: &str) -> Result<ForgeKind, ApiError> {
    let known = ForgeKind::ALL.map(ForgeKind::as_str);
    ForgeKind::ALL.into_iter().find(|kind| kind.as_str() == word).ok_or_else(|| {
        ApiError::new(Kind::UnknownProvider, "srvd knows no such kind of forge").with("known", known.to_vec())
    })
}

/// Returns a forge without an OAuth client, for a token whose forge is not configured.
fn unconfigured(kind: ForgeKind, base_url: Option<&str>) -> Result<Arc<Forge>, ApiError> {
    let address = base_url.or(kind.default_base());
    let address =
        address.ok_or_else(|| ApiError::invalid_input("baseUrl", "this kind of forge has no usual one"))?;
    Forge::bare(kind, address, now).map(Arc::new).map_err(|reason| ApiError::invalid_input("baseUrl", reason))
}

fn unselected(error: SelectError) -> ApiError {
    match error {
        SelectError::Unknown => {
            ApiError::not_found("forge", "").hint("configure it in srvd.toml, below [forges.<name>]")
        }
        SelectError::Ambiguous => ApiError::invalid_input("baseUrl", error),
    }
}

fn not_started(error: StartError) -> ApiError {
    match error {
        StartError::NoRedirect => ApiError::invalid_input("flow", error),
        StartError::Full(_) => ApiError::new(Kind::Conflict, error.to_string()),
        StartError::Forge(failure) => match failure {
            Failure::Transient { .. } => ApiError::new(Kind::RefreshFailed, failure.to_string()),
            _ => ApiError::invalid_input("flow", &failure),
        },
    }
}

fn unidentified(failure: &Failure) -> ApiError {
    match failure {
        Failure::Transient { .. } => ApiError::new(Kind::RefreshFailed, failure.to_string())
            .hint("try again later, or name the person: subject and accountLogin"),
        Failure::Dead(_) => ApiError::invalid_input("tokens", "the forge does not take the token"),
        Failure::Misconfigured(_) => ApiError::invalid_input("tokens", failure)
            .hint("give the token the right to read its user, or name the person: subject and accountLogin"),
    }
}

fn sign_in(session_id: String, status: Status) -> SignIn {
    let mut shown = SignIn {
        session_id,
        status: SignInStatus::Failed,
        account_id: None,
        account_login: None,
        error: None,
        error_kind: None,
    };
    let (kind, text) = match status {
        Status::Waiting => return SignIn { status: SignInStatus::Pending, ..shown },
        Status::Working => return SignIn { status: SignInStatus::Saving, ..shown },
        Status::Ended(Ending::Success { account, login }) => {
            shown.status = SignInStatus::Success;
            return SignIn { account_id: Some(account), account_login: login, ..shown };
        }
        Status::Ended(Ending::Failed { code, text }) => (code, text),
        Status::Ended(Ending::Cancelled) => ("cancelled", "it was cancelled".to_owned()),
        Status::Ended(Ending::Superseded) => {
            ("superseded", "another sign-in at the same forge took its place".to_owned())
        }
        Status::Ended(Ending::Expired) => ("expired", "nobody came in time".to_owned()),
    };
    SignIn { error: Some(text), error_kind: Some(kind.to_owned()), ..shown }
}

fn shown(token: OperatorToken) -> OperatorAccount {
    OperatorAccount {
        account_id: token.account.to_string(),
        forge_type: token.forge.to_string(),
        base_url: token.base_url.to_string(),
        client_id: token.client_id,
        account_login: token.login,
        subject: token.subject,
        email: token.email,
        active: token.active,
        state: token.state.as_str().to_owned(),
        state_reason: token.reason.map(|reason| reason.as_str().to_owned()),
        expires_at: token.expires_at,
        created_at: token.created_at,
        updated_at: token.updated_at,
    }
}

fn parked(pending: Pending) -> PendingAccount {
    PendingAccount {
        account_id: pending.account.to_string(),
        forge_type: pending.authority.provider.to_string(),
        base_url: pending.authority.base_url.map(|url| url.to_string()),
        client_id: pending.authority.client_id,
        created_at: pending.created_at,
    }
}

fn configured(forge: &Forge) -> ConfiguredForge {
    let flows = if forge.has_device_flow() { vec!["code", "device"] } else { vec!["code"] };
    ConfiguredForge {
        name: forge.settings.name.clone(),
        forge_type: forge.settings.kind.as_str().to_owned(),
        base_url: forge.settings.base.as_str().to_owned(),
        client_id: forge.settings.client_id.clone(),
        flows: flows.into_iter().map(str::to_owned).collect(),
    }
}

fn in_use(active: ActiveForge) -> Active {
    Active {
        account_id: active.account.to_string(),
        forge_type: active.forge.to_string(),
        account_login: active.login,
        base_url: active.base_url.to_string(),
        since: active.since,
    }
}
