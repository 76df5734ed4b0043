//! Completion of sign-ins whose user was unknown when they were parked.

use std::sync::Arc;

use identity_store::{OperatorToken, ParkedLogin};

use super::{Operators, authority, forbidden};
use crate::forge::oauth::Failure;
use crate::forge::oauth::revoke::RetiredTokens;
use crate::forge::oauth::{Forge, identity};
use crate::wire::error::with_causes;

impl Operators {
    /// Asks the forges once for the owner of each parked login. If a request fails, it is logged and the login stays
    /// parked.
    pub(crate) async fn complete_pending(&self) {
        let mut pending = match self.store.pending_logins(None).await {
            Ok(pending) => pending,
            Err(error) => {
                return tracing::error!(error = with_causes(&error), "parked sign-ins could not be read");
            }
        };
        // The newest is completed first, so that an older login by the same user does not replace it.
        pending.reverse();
        // A sign-in that is still running completes its own login.
        pending.retain(|parked| !self.asking().contains(parked.flow.as_str()));
        for parked in pending {
            self.complete(&parked).await;
        }
    }

    async fn complete(&self, parked: &ParkedLogin) {
        let account = &parked.account;
        let forge =
            self.forges.iter().find(|forge| authority(forge).is_ok_and(|own| own == parked.authority));
        let Some(forge) = forge else {
            return tracing::warn!(%account, "the forge of a parked sign-in is no longer configured");
        };
        let tokens = match self.store.tokens(account, (self.clock)()).await {
            Ok(stored) => stored.tokens,
            Err(error) => {
                return tracing::error!(%account, error = with_causes(&error), "a parked sign-in could not be read");
            }
        };
        match forge.identify(&tokens.access.secret).await {
            Ok(person) => self.name(forge, parked, &person, RetiredTokens::from(&tokens)).await,
            Err(failure) => {
                if let Failure::Forbidden(_) = failure {
                    self.reasons().insert(account.to_string(), forbidden(forge, &failure));
                }
                tracing::warn!(%account, "the owner of a parked sign-in is still unknown: {failure}");
            }
        }
    }

    /// Assigns parked tokens to their owner. If that user has signed in again since, the tokens are revoked instead.
    async fn name(
        &self,
        forge: &Arc<Forge>,
        parked: &ParkedLogin,
        person: &identity::Identity,
        own: RetiredTokens,
    ) {
        let account = &parked.account;
        let done = match self.newer(parked, person).await {
            Ok(true) => {
                let gone = self.store.discard_pending(account, (self.clock)()).await;
                gone.map(|()| self.returns.give_back(forge, own))
            }
            // An account that is already active was selected later than this login.
            Ok(false) => match self.store.active_forge().await {
                Ok(active) => {
                    let request = self.request(person, active.is_none());
                    let kept = self.store.promote_operator(account, request).await;
                    kept.map(|kept| self.replaced(forge, &kept, &own))
                }
                Err(error) => Err(error),
            },
            Err(error) => Err(error),
        };
        match done {
            Ok(()) => tracing::info!(%account, "a parked sign-in was completed"),
            Err(error) => {
                tracing::error!(%account, error = with_causes(&error), "a parked sign-in was not completed");
            }
        }
    }

    async fn newer(
        &self,
        parked: &ParkedLogin,
        person: &identity::Identity,
    ) -> Result<bool, identity_store::StoreError> {
        let same = |token: &OperatorToken| {
            token.forge == parked.authority.provider
                && Some(&token.base_url) == parked.authority.base_url.as_ref()
                && token.client_id == parked.authority.client_id
                && token.subject == person.account_id
                && token.updated_at >= parked.created_at
        };
        Ok(self.store.operator_tokens().await?.iter().any(same))
    }
}
