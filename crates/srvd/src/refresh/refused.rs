//! Handling of tokens that a provider's service rejected before their expiry. The report includes the token's
//! generation, so several reports about one rejection cause only one refresh.

use std::time::Duration;

use identity_store::{AccountId, RefreshWhy, Store, StoreError, StoredTokens};

use super::flight::{Grant, Refresher};
use super::outcome::Outcome;
use crate::base::clock::now;
use crate::forge::oauth::identity::{Next, after_api_answer};
use crate::hint::Step;
use crate::wire::account::{AfterRefusal, AfterRefusalStep, Refused};
use crate::wire::error::{ApiError, Kind};
use crate::wire::ids::account_id;

/// The maximum duration of the refresh.
const REFRESHING: Duration = Duration::from_secs(10);
/// The HTTP status of a token that is not accepted.
const UNAUTHORIZED: u16 = 401;

impl Refresher {
    /// Returns the next step after a service has rejected an account's token. The rejected tokens are refreshed first,
    /// if that can help. `store` names the caller in the audit log.
    ///
    /// # Errors
    /// `invalid_input` or `not_found` for the account, `refresh_failed` if the report is worth repeating later, and
    /// store errors.
    pub(crate) async fn after_refusal(
        &self,
        store: &Store,
        params: Refused,
    ) -> Result<AfterRefusal, ApiError> {
        let id = account_id(&params.account_id)?;
        let stored = tokens(store, &id).await?;
        let Some(generation) = params.generation else {
            return Err(ApiError::invalid_input("generation", "is missing"));
        };
        let status = params.status.unwrap_or(UNAUTHORIZED);
        let next = match after_api_answer(status, params.retried.unwrap_or(false)) {
            Next::Nothing => AfterRefusalStep::Nothing,
            Next::MissingScope => AfterRefusalStep::MissingScope,
            Next::NeedsReauth => give_up(store, &id, generation).await?,
            Next::RefreshAndRetry => self.replace(store, stored, generation).await?,
        };
        tracing::info!(account = %id, status, ?next, "a service rejected a token");
        Ok(AfterRefusal { next })
    }

    /// Refreshes the rejected set of tokens, unless a newer set exists.
    async fn replace(
        &self,
        store: &Store,
        stored: StoredTokens,
        generation: u64,
    ) -> Result<AfterRefusalStep, ApiError> {
        let grant = Grant { account: stored.account, authority: stored.authority };
        let why = RefreshWhy::Forced { generation };
        let later = |reason: String| ApiError::new(Kind::RefreshFailed, reason).hint(Step::ReportTokenLater);
        match self.refresh(&grant, why, REFRESHING).await {
            Outcome::Unneeded | Outcome::Renewed => Ok(AfterRefusalStep::Retry),
            Outcome::Stuck(_) | Outcome::Unsupported => give_up(store, &grant.account, generation).await,
            Outcome::Gone => Err(ApiError::not_found("account", grant.account.as_str())),
            Outcome::Later { reason, at } => {
                let reason = reason.map_or("retrying later", |reason| reason.as_str());
                Err(later(format!("the refresh failed: {reason}")).with("retryAt", at))
            }
            Outcome::Busy { until } => {
                Err(later("another daemon is refreshing the token".to_owned()).with("retryAt", until))
            }
            Outcome::TooLong | Outcome::Unavailable => Err(later("the refresh timed out".to_owned())),
        }
    }
}

/// Returns the tokens of an account.
async fn tokens(store: &Store, account: &AccountId) -> Result<StoredTokens, ApiError> {
    match store.tokens(account, now()).await {
        Ok(stored) => Ok(stored),
        Err(StoreError::NotFound { .. }) => {
            store.account(account).await?;
            let reason = "the daemon does not refresh any tokens of this account";
            Err(ApiError::invalid_input("accountId", reason).hint(Step::UseRefreshStatus))
        }
        Err(error) => Err(error.into()),
    }
}

/// Records that a new login is required, unless a newer set of tokens exists.
async fn give_up(store: &Store, account: &AccountId, generation: u64) -> Result<AfterRefusalStep, ApiError> {
    store.refuse_tokens(account, generation, now()).await?;
    let stored = store.tokens(account, now()).await?;
    Ok(if stored.generation > generation { AfterRefusalStep::Retry } else { AfterRefusalStep::SignIn })
}
