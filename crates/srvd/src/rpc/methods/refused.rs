//! `account.refused`: the handling of a token that a provider's service refused before its expiry.

use std::time::Duration;

use identity_store::{AccountId, RefreshWhy, StoreError, StoredTokens};
use rpc_engine::Call;

use crate::base::clock::now;
use crate::forge::oauth::identity::{Next, after_api_answer};
use crate::refresh::{Grant, Outcome};
use crate::rpc::app::App;
use crate::wire::account::{AfterRefusal, NextStep, Refused};
use crate::wire::error::{ApiError, Kind};
use crate::wire::ids::account_id;

/// Longest time that the refresh may take.
const REFRESHING: Duration = Duration::from_secs(10);

/// `account.refused`.
pub async fn refused(app: App, _: Call, params: Refused) -> Result<AfterRefusal, ApiError> {
    let id = account_id(&params.account_id)?;
    let stored = match app.store.tokens(&id, now()).await {
        Ok(stored) => stored,
        Err(StoreError::NotFound { .. }) => {
            app.store.account(&id).await?;
            let reason = "this account has no tokens of the daemon's";
            return Err(ApiError::invalid_input("accountId", reason)
                .hint("account.refreshstatus looks at what it has"));
        }
        Err(error) => return Err(error.into()),
    };
    let next = match after_api_answer(params.status, params.retried.unwrap_or(false)) {
        Next::Nothing => NextStep::Nothing,
        Next::MissingScope => NextStep::MissingScope,
        Next::NeedsReauth => give_up(&app, &id, params.generation).await?,
        Next::RefreshAndRetry => refresh(&app, stored, params.generation).await?,
    };
    tracing::info!(account = %id, status = params.status, ?next, "a service refused a token");
    Ok(AfterRefusal { next })
}

/// Refreshes the set of tokens that was refused, unless a newer set exists.
async fn refresh(app: &App, stored: StoredTokens, generation: u64) -> Result<NextStep, ApiError> {
    let grant = Grant { account: stored.account, authority: stored.authority };
    let why = RefreshWhy::Forced { generation };
    let later = |reason: String| {
        ApiError::new(Kind::RefreshFailed, reason).hint("the token stays; report it again later")
    };
    match app.refresher.refresh(&grant, why, REFRESHING).await {
        Outcome::Unneeded | Outcome::Renewed => Ok(NextStep::Retry),
        Outcome::Stuck(_) | Outcome::Unsupported => give_up(app, &grant.account, generation).await,
        Outcome::Gone => Err(ApiError::not_found("account", grant.account.as_str())),
        Outcome::Later { reason, at } => {
            let reason = reason.map_or("it is tried again later", |reason| reason.as_str());
            Err(later(format!("the refresh failed: {reason}")).with("retryAt", at))
        }
        Outcome::Busy { until } => {
            Err(later("another daemon is refreshing it".to_owned()).with("retryAt", until))
        }
        Outcome::TooLong | Outcome::Unavailable => Err(later("the refresh did not end in time".to_owned())),
    }
}

/// Records that a new login is required, unless a newer set of tokens exists.
async fn give_up(app: &App, account: &AccountId, generation: u64) -> Result<NextStep, ApiError> {
    app.store.refuse_tokens(account, generation, now()).await?;
    let stored = app.store.tokens(account, now()).await?;
    Ok(if stored.generation > generation { NextStep::Retry } else { NextStep::SignIn })
}
