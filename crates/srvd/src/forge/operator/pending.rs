//! Completion of sign-ins whose user was unknown when they were parked, and the end of those that will stay unknown.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use identity_store::{ParkedLogin, Promotion, StoreError, StoredTokens};

use super::{Operators, authority, final_reason};
use crate::forge::oauth::Failure;
use crate::forge::oauth::revoke::RetiredTokens;
use crate::forge::oauth::{Forge, identity};
use crate::wire::error::with_causes;

impl Operators {
    /// Asks the forges once for the owner of each parked login. If a request fails for a temporary reason, the login stays
    /// parked. Only one call at a time asks; a call beside it makes that one ask once more.
    pub(crate) async fn complete_pending(&self) {
        self.again.store(true, Ordering::SeqCst);
        // A call that finds the lock held has set the mark before, so it is seen after the lock is released.
        while self.again.load(Ordering::SeqCst) {
            let Ok(turn) = self.completing.try_lock() else { return };
            while self.again.swap(false, Ordering::SeqCst) {
                self.complete_all().await;
            }
            drop(turn);
        }
    }

    async fn complete_all(&self) {
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

    /// Returns the forge of a parked login, unless it is no longer configured.
    pub(super) fn forge_of(&self, parked: &ParkedLogin) -> Option<&Arc<Forge>> {
        self.forges.iter().find(|forge| authority(forge).is_ok_and(|own| own == parked.authority))
    }

    async fn complete(&self, parked: &ParkedLogin) {
        let account = &parked.account;
        let Some(forge) = self.forge_of(parked) else {
            return tracing::warn!(%account, "the forge of a parked sign-in is no longer configured");
        };
        let stored = match self.store.tokens(account, (self.clock)()).await {
            Ok(stored) => stored,
            Err(StoreError::NotFound { .. }) => return,
            Err(error) => {
                return tracing::error!(%account, error = with_causes(&error), "a parked sign-in could not be read");
            }
        };
        let done = match forge.identify(&stored.tokens.access.secret).await {
            Ok(person) => self.name(forge, parked, &person, RetiredTokens::from(&stored.tokens)).await,
            Err(failure) if is_final(&failure, &stored) => self.end(forge, parked, &failure, &stored).await,
            Err(failure) => {
                return tracing::warn!(%account, "the owner of a parked sign-in is still unknown: {failure}");
            }
        };
        match done {
            // The operator or another call has ended it meanwhile.
            Ok(()) | Err(StoreError::NotFound { .. }) => {}
            Err(error) => {
                tracing::error!(%account, error = with_causes(&error), "a parked sign-in was not completed");
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
    ) -> Result<(), StoreError> {
        let account = &parked.account;
        match self.store.promote_operator(account, self.request(person, true)).await? {
            Promotion::Completed(kept) => {
                self.replaced(forge, &kept, &own);
                tracing::info!(%account, "a parked sign-in was completed");
            }
            Promotion::Superseded(newer) => {
                self.superseded(forge, &newer, own).await;
                tracing::info!(%account, %newer, "a parked sign-in ended, because its user has signed in again");
            }
        }
        Ok(())
    }

    /// Ends a sign-in whose owner the forge will never name.
    async fn end(
        &self,
        forge: &Arc<Forge>,
        parked: &ParkedLogin,
        failure: &Failure,
        stored: &StoredTokens,
    ) -> Result<(), StoreError> {
        let reason = final_reason(forge, failure);
        self.store.discard_pending(&parked.account, (self.clock)()).await?;
        self.returns.give_back(forge, RetiredTokens::from(&stored.tokens));
        tracing::warn!(account = %parked.account, "a parked sign-in ended: {reason}");
        self.failures().insert(forge.settings.name.clone(), reason);
        Ok(())
    }
}

/// Returns whether the forge's answer stays the same for these tokens. A rejected token that can be refreshed is asked
/// about again with the next one.
fn is_final(failure: &Failure, stored: &StoredTokens) -> bool {
    match failure {
        Failure::Forbidden(_) => true,
        Failure::Permanent(_) => !stored.is_refreshable(),
        _ => false,
    }
}
