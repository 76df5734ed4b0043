//! Saving of an API key for a bundle: bundle, account and binding in one transaction, all or nothing.

use super::logins::{bound_in, finish, reach};
use super::share;
use crate::accounts::rows::reference;
use crate::accounts::secrets::{account_row, cell, new_account};
use crate::authentic::{ACCOUNTS, census};
use crate::db::sql;
use crate::error::StoreError;
use crate::id::AccountId;
use crate::model::account::{AccountKind, Owner};
use crate::model::save::{SaveApiKey, SavedCredential};
use crate::model::share::SharePolicy;
use crate::store::Store;
use crate::{names, secret};

impl Store {
    /// Saves an API key, sealed or as a reference to its place, and binds it. A key that is already bound for the
    /// provider is replaced in its row.
    ///
    /// # Errors
    /// [`StoreError::InvalidName`] if a text is not valid; [`StoreError::NotFound`] if the bundle does not exist;
    /// [`StoreError::Protected`] for the bundle `blank`; [`StoreError::Conflict`] if the id or the name of a new
    /// bundle is taken; [`StoreError::Secret`] if the secret cannot be sealed; [`StoreError::Busy`],
    /// [`StoreError::Full`] or another error of the database.
    pub async fn save_api_key(&self, save: SaveApiKey) -> Result<SavedCredential, StoreError> {
        let name = names::name("account_name", &save.account_name)?;
        let provider_name = names::name("provider_name", &save.provider_name)?;
        let email = names::optional("email", save.email.as_deref())?;
        let base_url = names::optional("base_url", save.base_url.as_deref())?;
        if let Some(key) = save.key.sealed() {
            names::secret("api_key", key)?;
        }
        let mut work = self.write(save.now).await?;
        let (bundle, created_bundle) =
            reach(&mut work, &save.target, &provider_name, email.as_deref()).await?;
        if created_bundle {
            share::write(&mut work, &bundle, &SharePolicy::MINE).await?;
        }
        let bound = bound_in(&mut work, &bundle, &save.provider, AccountKind::ApiKey, |_| true).await?;
        let (account, generation) = if let Some(bound) = bound {
            (bound.id()?, bound.generation + 1)
        } else {
            let new = AccountId::generate();
            census::added(&mut work.tx, ACCOUNTS, [new.as_str(), ""]);
            (new, 1)
        };
        let reason = names::optional("status_reason", save.status_reason.as_deref())?;
        let sealed = match save.key.sealed() {
            Some(key) => Some(secret::seal(self.keyring(), cell(&account, generation)?, key)?),
            None => None,
        };
        let reference = reference(&save.key.reference())?;
        let masked_tail = save.key.sealed().and_then(names::masked_tail);
        let new = || new_account(&account, &save.provider, AccountKind::ApiKey, Owner::Bundle);
        let code = account_row(&mut work.tx, &account, new)
            .await?
            .with("name", name.as_str())
            .with("email", email.as_deref())
            .with("subject", None::<&str>)
            .with("base_url", base_url.as_deref())
            .with("secret_ref", reference.as_str())
            .with("generation", generation)
            .with("masked_tail", masked_tail.as_deref())
            .code(&work.tx);
        sql!(
            run,
            &mut work.tx,
            "INSERT INTO accounts (id, provider, kind, owner, name, email, base_url, secret_ref, sealed_secret,
                 generation, masked_tail, status, status_reason, evidence, checked_at, created_at, updated_at, mac)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $16, $17)
             ON CONFLICT (id) DO UPDATE SET mac = excluded.mac, name = excluded.name, email = excluded.email, subject = NULL,
                 base_url = excluded.base_url, secret_ref = excluded.secret_ref,
                 sealed_secret = excluded.sealed_secret, generation = excluded.generation,
                 masked_tail = excluded.masked_tail, status = excluded.status,
                 status_reason = excluded.status_reason,
                 evidence = excluded.evidence, checked_at = excluded.checked_at, expires_at = NULL,
                 login_deadline_at = NULL, updated_at = excluded.updated_at",
            account.as_str(),
            save.provider.as_str(),
            AccountKind::ApiKey.as_str(),
            Owner::Bundle.as_str(),
            name.as_str(),
            email.as_deref(),
            base_url.as_deref(),
            reference.as_str(),
            sealed.as_deref(),
            generation,
            masked_tail,
            save.status.as_str(),
            reason.as_deref(),
            save.evidence.as_str(),
            save.checked_at,
            save.now,
            code,
        )?;
        let saved = SavedCredential { bundle, account, created_bundle, replaced: None };
        finish(&mut work, &saved, &save.provider, "api_key.save").await?;
        work.commit().await?;
        Ok(saved)
    }
}
