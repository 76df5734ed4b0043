//! API keys that users provide for agents.

use super::commit::{drop_replaced, label, model};
use super::rows::profile_in;
use super::writes::{ExistingProfile, ProfileKey, ProfileValues, find, put};
use crate::accounts::links;
use crate::accounts::secrets::{account_row, cell, new_account};
use crate::authentic::{ACCOUNTS, census};
use crate::db::sql;
use crate::error::StoreError;
use crate::id::AccountId;
use crate::model::account::{AccountKind, Owner};
use crate::model::profile::{Profile, SaveProfileKey};
use crate::model::token::{BaseUrl, Identity};
use crate::store::Store;
use crate::store::work::Work;
use crate::tokens::keep::checked;
use crate::{names, secret};

/// The secret reference of an account with a sealed key, as it is stored.
const SEALED: &str = r#"{"backend":"sealed"}"#;

/// The texts of a [`SaveProfileKey`], checked.
struct KeyTexts {
    model: String,
    base_url: Option<BaseUrl>,
    identity: Identity,
    label: Option<String>,
    reason: Option<String>,
}

impl KeyTexts {
    fn check(save: &SaveProfileKey) -> Result<Self, StoreError> {
        names::secret("api_key", &save.key)?;
        let base_url = save.base_url.as_deref().map(str::parse::<BaseUrl>).transpose();
        Ok(Self {
            model: model(&save.scope)?,
            base_url: base_url
                .map_err(|error| StoreError::InvalidName { field: "base_url", reason: error.reason })?,
            identity: checked(&Identity { email: save.email.clone(), ..Identity::default() })?,
            label: label(save.label.as_deref())?,
            reason: names::optional("status_reason", save.status_reason.as_deref())?,
        })
    }
}

impl Store {
    /// Seals an API key that a user provides for an agent, and creates or replaces the profile. The replaced secret is
    /// deleted in the same transaction. The profile keeps its id, its position and its time of creation.
    ///
    /// # Errors
    /// [`StoreError::InvalidName`] if the key or a text is not valid; [`StoreError::Corrupt`] if the existing profile
    /// cannot be read; [`StoreError::Secret`] if the secret cannot be sealed; [`StoreError::Busy`],
    /// [`StoreError::Full`] or another error of the database.
    pub async fn save_profile_key(&self, save: SaveProfileKey) -> Result<Profile, StoreError> {
        let texts = KeyTexts::check(&save)?;
        let mut work = self.join(save.now).await?;
        let done = self.write_key(&mut work, &save, &texts).await;
        work.end(done).await
    }

    async fn write_key(
        &self,
        work: &mut Work,
        save: &SaveProfileKey,
        texts: &KeyTexts,
    ) -> Result<Profile, StoreError> {
        let person = texts.identity.key();
        let key = ProfileKey {
            scope: &save.scope,
            model: &texts.model,
            provider: &save.provider,
            base_url: texts.base_url.as_ref().map_or("", BaseUrl::as_str),
            identity: &person,
        };
        let existing = find(work, &key).await?;
        let account = self.write_key_account(work, save, texts, existing.as_ref()).await?;
        let profile = existing.as_ref().map(ExistingProfile::id).transpose()?;
        let values = ProfileValues {
            profile: profile.as_ref(),
            account: &account,
            label: texts.label.as_deref(),
            make_primary: save.make_primary,
        };
        let id = put(work, &key, &values).await?;
        drop_replaced(work, existing.as_ref(), &account).await?;
        work.audit("profile.save", &format!("{id} {account}"));
        links::announce(work, &account, true).await?;
        profile_in(&mut work.tx, &id).await
    }

    /// Seals the key in an account. A key that only this profile uses is overwritten. A login, or a key with other
    /// users, stays, and the key gets an account of its own.
    async fn write_key_account(
        &self,
        work: &mut Work,
        save: &SaveProfileKey,
        texts: &KeyTexts,
        existing: Option<&ExistingProfile>,
    ) -> Result<AccountId, StoreError> {
        let own = existing.filter(|row| row.kind == AccountKind::ApiKey.as_str() && row.sharers == 1);
        let (account, generation) = if let Some(row) = own {
            (links::parse("profile", &row.account_id)?, row.generation + 1)
        } else {
            let new = AccountId::generate();
            census::added(&mut work.tx, ACCOUNTS, [new.as_str(), ""]);
            (new, 1)
        };
        let sealed = secret::seal(self.keyring(), cell(&account, generation)?, &save.key)?;
        let masked_tail = names::masked_tail(&save.key);
        let name = texts.label.as_deref().unwrap_or(save.provider.as_str());
        let new = || {
            new_account(&account, &save.provider, AccountKind::ApiKey, Owner::User)
                .with("name", name)
                .with("base_url", texts.base_url.as_ref().map(BaseUrl::as_str))
                .with("secret_ref", SEALED)
        };
        let code = account_row(&mut work.tx, &account, new)
            .await?
            .with("email", texts.identity.email.as_deref())
            .with("generation", generation)
            .with("masked_tail", masked_tail.as_deref())
            .code(&work.tx);
        sql!(
            run,
            &mut work.tx,
            "INSERT INTO accounts (id, provider, kind, owner, name, email, base_url, secret_ref, sealed_secret,
                 generation, masked_tail, status, status_reason, evidence, checked_at, created_at, updated_at, mac)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $15, $8, $9, $10, $11, $12, $13, $14, $14, $14, $16)
             ON CONFLICT (id) DO UPDATE SET mac = excluded.mac, email = excluded.email, sealed_secret = excluded.sealed_secret,
                 generation = excluded.generation, masked_tail = excluded.masked_tail, status = excluded.status,
                 status_reason = excluded.status_reason, evidence = excluded.evidence,
                 checked_at = excluded.checked_at, expires_at = NULL, login_deadline_at = NULL,
                 updated_at = excluded.updated_at",
            account.as_str(),
            save.provider.as_str(),
            AccountKind::ApiKey.as_str(),
            Owner::User.as_str(),
            name,
            texts.identity.email.as_deref(),
            texts.base_url.as_ref().map(BaseUrl::as_str),
            sealed,
            generation,
            masked_tail,
            save.status.as_str(),
            texts.reason.as_deref(),
            save.evidence.as_str(),
            save.now,
            SEALED,
            code,
        )?;
        Ok(account)
    }
}
