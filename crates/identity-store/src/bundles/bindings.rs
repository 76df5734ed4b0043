//! Binding of an account in a bundle, and the removal of a binding.

use super::rows::bundle_in;
use super::writes::{bind_in, touch, unprotected};
use crate::accounts::rows::account_in;
use crate::authentic::{IDENTITY_BINDINGS, census};
use crate::db::sql;
use crate::error::StoreError;
use crate::id::{AccountId, BundleId, ProviderId};
use crate::model::account::Owner;
use crate::model::bundle::Bundle;
use crate::model::changes::Change;
use crate::store::Store;
use crate::tombstones;

impl Store {
    /// Binds an account for its provider in a bundle, in place of the account bound before.
    ///
    /// # Errors
    /// [`StoreError::Protected`] for the bundle `blank`; [`StoreError::InvalidName`] if the account is the operator's;
    /// [`StoreError::NotFound`] if the bundle or the account does not exist; [`StoreError::Corrupt`] if the row cannot be read; [`StoreError::Busy`], [`StoreError::Full`] or
    /// another error of the database.
    pub async fn bind(&self, bundle: &BundleId, account: &AccountId, now: i64) -> Result<Bundle, StoreError> {
        unprotected(bundle)?;
        let mut work = self.write(now).await?;
        let before = bundle_in(&mut work.tx, bundle).await?;
        let found = account_in(&mut work.tx, account).await?;
        // No CLI has such a login, so the bundle could not be launched.
        if found.owner == Owner::Operator {
            let reason = "it is the operator's account at a forge, which no bundle can launch";
            return Err(StoreError::InvalidName { field: "accountId", reason });
        }
        let provider = found.provider;
        let moved = before.bindings.iter().find(|binding| binding.provider == provider);
        if moved.is_some_and(|binding| binding.account == *account) {
            return Ok(before);
        }
        bind_in(&mut work, bundle, &provider, account).await?;
        if let Some(binding) = moved {
            work.changed(Change::Account(binding.account.clone()));
        }
        work.audit("bundle.bind", &format!("{bundle} {provider} {account}"));
        let after = bundle_in(&mut work.tx, bundle).await?;
        work.commit().await?;
        Ok(after)
    }

    /// Removes a provider from a bundle. The account stays.
    ///
    /// # Errors
    /// [`StoreError::Protected`] for the bundle `blank`; [`StoreError::NotFound`] if the bundle or the binding does
    /// not exist; [`StoreError::Busy`], [`StoreError::Full`] or another error of the database.
    pub async fn unbind(
        &self,
        bundle: &BundleId,
        provider: &ProviderId,
        now: i64,
    ) -> Result<Bundle, StoreError> {
        unprotected(bundle)?;
        let mut work = self.write(now).await?;
        touch(&mut work, bundle).await?;
        census::removed(&mut work.tx, IDENTITY_BINDINGS, [bundle.as_str(), provider.as_str()]).await?;
        let removed = sql!(
            optional,
            (String,),
            &mut work.tx,
            "DELETE FROM identity_bindings WHERE bundle_id = $1 AND provider = $2 RETURNING account_id",
            bundle.as_str(),
            provider.as_str(),
        )?;
        let (account,) =
            removed.ok_or_else(|| StoreError::not_found("binding", &format!("{bundle} {provider}")))?;
        work.changed(Change::Bindings(bundle.clone()));
        if let Ok(account) = account.parse() {
            work.changed(Change::Account(account));
        }
        work.audit("bundle.unbind", &format!("{bundle} {provider}"));
        if *bundle == BundleId::default_bundle() {
            tombstones::decline(&mut work.tx, provider, now).await?;
        }
        let after = bundle_in(&mut work.tx, bundle).await?;
        work.commit().await?;
        Ok(after)
    }
}
