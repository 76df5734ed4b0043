//! Completing sign-ins whose person was not known when they were parked.

use std::sync::Arc;

use identity_store::{OperatorToken, Pending};

use super::{Operators, authority};
use crate::error::with_causes;
use crate::oauth::revoke::Spent;
use crate::oauth::{Forge, identity};

impl Operators {
    /// Asks the forges whose parked tokens are, once each. What fails is told to the log and stays parked.
    pub async fn complete_pending(&self) {
        let mut pending = match self.store.pending_logins(None).await {
            Ok(pending) => pending,
            Err(error) => {
                return tracing::error!(error = with_causes(&error), "parked sign-ins could not be read");
            }
        };
        // The newest first, so that an older one of the same person does not take its place.
        pending.reverse();
        // A sign-in that still goes on completes its own.
        pending.retain(|parked| !self.asking().contains(parked.flow.as_str()));
        for parked in pending {
            self.complete(&parked).await;
        }
    }

    async fn complete(&self, parked: &Pending) {
        let account = &parked.account;
        let forge =
            self.forges.iter().find(|forge| authority(forge).is_ok_and(|own| own == parked.authority));
        let Some(forge) = forge else {
            return tracing::warn!(%account, "a parked sign-in belongs to a forge that is not configured any more");
        };
        let tokens = match self.store.tokens(account, (self.clock)()).await {
            Ok(stored) => stored.tokens,
            Err(error) => {
                return tracing::error!(%account, error = with_causes(&error), "a parked sign-in could not be read");
            }
        };
        match forge.identify(&tokens.access.secret).await {
            Ok(person) => self.name((forge, parked), &person, Spent::from(&tokens)).await,
            Err(failure) => tracing::warn!(%account, "whose sign-in this is stays unknown: {failure}"),
        }
    }

    /// Gives parked tokens to their person, unless that person has signed in again since: then they go back.
    async fn name(&self, (forge, parked): (&Arc<Forge>, &Pending), person: &identity::Identity, own: Spent) {
        let account = &parked.account;
        let done = match self.newer(parked, person).await {
            Ok(true) => {
                let gone = self.store.discard_pending(account, (self.clock)()).await;
                gone.map(|()| self.returns.give_back(forge, own))
            }
            // Whatever is in use was chosen later than this.
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
        parked: &Pending,
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
