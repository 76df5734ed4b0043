//! Export of bundles to another database, and import from one.

use std::collections::HashSet;

use super::rows::bundle_in;
use super::writes::{bind_in, free_name, insert};
use crate::accounts::rows::{account_in, reference};
use crate::accounts::secrets::{cell, new_account};
use crate::authentic::{ACCOUNTS, census};
use crate::db::sql;
use crate::error::StoreError;
use crate::id::{AccountId, BundleId};
use crate::model::account::{Evidence, Owner, SecretRef, Status};
use crate::model::changes::Change;
use crate::model::transfer::{ImportedBundle, LeftOut, PortableAccount, PortableBundle};
use crate::store::Store;
use crate::store::work::Work;
use crate::{names, secret};

/// The status reason of an imported account.
const NOT_CHECKED: &str = "it was imported and not yet checked";

impl Store {
    /// Opens the secrets of a bundle for another database. The export is recorded before the secrets are returned.
    ///
    /// Credentials that change when they are used are left out: a login in a CLI's directory and a token that is
    /// renewed would stop working in one of the two places. References to this machine are left out as well.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if the bundle does not exist; [`StoreError::Corrupt`] if an account cannot be read;
    /// [`StoreError::Secret`] if a secret cannot be opened; [`StoreError::Busy`], [`StoreError::Full`] or another
    /// error of the database.
    pub async fn export_bundle(
        &self,
        id: &BundleId,
        now: i64,
    ) -> Result<(PortableBundle, Vec<LeftOut>), StoreError> {
        let mut work = self.write(now).await?;
        let bundle = bundle_in(&mut work.tx, id).await?;
        let (mut accounts, mut left_out) = (Vec::new(), Vec::new());
        for binding in &bundle.bindings {
            let account = account_in(&mut work.tx, &binding.account).await?;
            if account.secret_ref != SecretRef::Sealed {
                let is_login = matches!(account.secret_ref, SecretRef::ConfigDir { .. } | SecretRef::Tokens);
                let (provider, name, email) = (account.provider, account.name, account.email);
                left_out.push(LeftOut { provider, name, email, is_login });
                continue;
            }
            work.audit("account.export", account.id.as_str());
            accounts.push(PortableAccount {
                secret: self.open_in(&mut work.tx, &account.id).await?,
                id: account.id,
                provider: account.provider,
                kind: account.kind,
                name: account.name,
                display_name: account.display_name,
                email: account.email,
                subject: account.subject,
                base_url: account.base_url,
                expires_at: account.expires_at,
            });
        }
        work.audit("bundle.export", id.as_str());
        work.commit().await?;
        let portable =
            PortableBundle { id: bundle.id, name: bundle.name, description: bundle.description, accounts };
        Ok((portable, left_out))
    }

    /// Creates a bundle from one of another database: all of it or nothing. Existing data does not change.
    ///
    /// # Errors
    /// [`StoreError::InvalidName`] if a text or the list of accounts is not valid; [`StoreError::Secret`] if the
    /// secret cannot be sealed; [`StoreError::Busy`], [`StoreError::Full`] or another error of the database.
    pub async fn import_bundle(
        &self,
        bundle: PortableBundle,
        now: i64,
    ) -> Result<ImportedBundle, StoreError> {
        let description = names::text("description", &bundle.description)?;
        let wanted = names::name("name", &bundle.name)?;
        let mut providers = HashSet::new();
        if bundle.accounts.iter().any(|account| !providers.insert(&account.provider)) {
            return Err(StoreError::InvalidName { field: "accounts", reason: "a provider occurs twice" });
        }
        let mut work = self.write(now).await?;
        let id = free_bundle_id(&mut work, bundle.id).await?;
        let name = free_name(&mut work, &wanted).await?;
        insert(&mut work, &id, &name, &description).await?;
        let mut accounts = Vec::with_capacity(bundle.accounts.len());
        for account in bundle.accounts {
            accounts.push(self.import_account(&mut work, &id, account).await?);
        }
        work.audit("bundle.import", id.as_str());
        work.commit().await?;
        Ok(ImportedBundle { bundle: id, name, accounts })
    }

    async fn import_account(
        &self,
        work: &mut Work,
        bundle: &BundleId,
        account: PortableAccount,
    ) -> Result<AccountId, StoreError> {
        let name = names::name("account_name", &account.name)?;
        let display_name = names::optional("display_name", account.display_name.as_deref())?;
        let email = names::optional("email", account.email.as_deref())?;
        let subject = names::optional("subject", account.subject.as_deref())?;
        let base_url = names::optional("base_url", account.base_url.as_deref())?;
        names::secret("secret", &account.secret)?;
        let id = free_account_id(work, account.id).await?;
        let sealed = secret::seal(self.keyring(), cell(&id, 1)?, &account.secret)?;
        let reference = reference(&SecretRef::Sealed)?;
        let masked_tail = names::masked_tail(&account.secret);
        let code = new_account(&id, &account.provider, account.kind, Owner::Bundle)
            .with("name", name.as_str())
            .with("display_name", display_name.as_deref())
            .with("email", email.as_deref())
            .with("subject", subject.as_deref())
            .with("base_url", base_url.as_deref())
            .with("secret_ref", reference.as_str())
            .with("generation", 1)
            .with("masked_tail", masked_tail.as_deref())
            .code(&work.tx);
        census::added(&mut work.tx, ACCOUNTS, [id.as_str(), ""]);
        sql!(
            run,
            &mut work.tx,
            "INSERT INTO accounts (id, provider, kind, owner, name, display_name, email, subject, base_url,
                 secret_ref, sealed_secret, generation, masked_tail, status, status_reason, evidence, expires_at,
                 created_at, updated_at, mac)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 1, $12, $13, $14, $15, $16, $17, $17, $18)",
            id.as_str(),
            account.provider.as_str(),
            account.kind.as_str(),
            Owner::Bundle.as_str(),
            name.as_str(),
            display_name.as_deref(),
            email.as_deref(),
            subject.as_deref(),
            base_url.as_deref(),
            reference.as_str(),
            sealed,
            masked_tail,
            Status::Unknown.as_str(),
            NOT_CHECKED,
            Evidence::None.as_str(),
            account.expires_at,
            work.now,
            code,
        )?;
        bind_in(work, bundle, &account.provider, &id).await?;
        work.audit("account.import", id.as_str());
        work.changed(Change::Account(id.clone()));
        Ok(id)
    }
}

/// Returns the bundle's own id, or a new one if it is taken or reserved.
async fn free_bundle_id(work: &mut Work, id: BundleId) -> Result<BundleId, StoreError> {
    let text = "SELECT created_at FROM identity_bundles WHERE id = $1";
    let taken = sql!(optional, (i64,), &mut work.tx, text, id.as_str())?.is_some();
    let special = id.is_blank() || id == BundleId::default_bundle();
    Ok(if taken || special { BundleId::generate() } else { id })
}

async fn free_account_id(work: &mut Work, id: AccountId) -> Result<AccountId, StoreError> {
    let text = "SELECT created_at FROM accounts WHERE id = $1";
    let taken = sql!(optional, (i64,), &mut work.tx, text, id.as_str())?.is_some();
    Ok(if taken { AccountId::generate() } else { id })
}
