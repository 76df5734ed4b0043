//! Reading and editing of accounts.

use std::collections::HashMap;

use super::keeping::KeepingRow;
use crate::authentic::{ACCOUNTS, IDENTITY_BINDINGS, Seal, fields_in};
use crate::db::{Tx, readable, row, sql};
use crate::error::StoreError;
use crate::id::{AccountId, BundleId, ProviderId};
use crate::model::account::{Account, AccountEdit, AccountFilter, AccountList, CorruptRow, SecretRef};
use crate::model::changes::Change;
use crate::names;
use crate::secret::Keyring;
use crate::store::Store;

/// The columns of [`AccountRow`].
macro_rules! columns {
    () => {
        concat!("accounts.id, accounts.provider, kind, owner, name, display_name, email, subject, base_url, client_id, \
         scopes, secret_ref, masked_tail, status, status_reason, evidence, checked_at, expires_at, \
         login_deadline_at, keep_alive, kept_at, keep_tried_at, keep_outcome, keep_detail, keep_next_at, \
         keep_failures, keep_version, refused_mark, refused_at, deadline_notice, accounts.created_at, \
         accounts.updated_at, ",
            signed!(accounts))
    };
}
pub(crate) use columns;

/// The condition for accounts whose status can change without a write.
macro_rules! perishable {
    () => {
        "(expires_at IS NOT NULL OR login_deadline_at IS NOT NULL OR secret_ref LIKE '%\"config_dir\"%')"
    };
}

row! {
    pub(crate) struct AccountRow {
        pub(crate) id: String,
        provider: String,
        kind: String,
        owner: String,
        name: String,
        display_name: Option<String>,
        email: Option<String>,
        subject: Option<String>,
        base_url: Option<String>,
        client_id: Option<String>,
        scopes: Option<String>,
        secret_ref: String,
        masked_tail: Option<String>,
        status: String,
        status_reason: Option<String>,
        evidence: String,
        checked_at: Option<i64>,
        expires_at: Option<i64>,
        login_deadline_at: Option<i64>,
        created_at: i64,
        updated_at: i64,
    } with {
        keeping: KeepingRow,
        seal: Seal<ACCOUNTS>,
    }
}

row! {
    /// A binding: the account and the bundle that binds it.
    struct BoundRow {
        account_id: String,
        bundle_id: String,
    } with {
        seal: Seal<IDENTITY_BINDINGS>,
    }
}

impl Store {
    /// Returns the accounts that match the filter, oldest first. Rows that cannot be read are reported separately.
    ///
    /// # Errors
    /// [`StoreError::Busy`], [`StoreError::Unavailable`] or another error of the database.
    pub async fn accounts(&self, filter: AccountFilter) -> Result<AccountList, StoreError> {
        let mut tx = self.snapshot().await?;
        let provider = filter.provider.as_ref().map(ProviderId::as_str);
        let bundle = filter.bundle.as_ref().map(BundleId::as_str);
        macro_rules! select {
            ($condition:literal) => {
                concat!("SELECT ", columns!(), " FROM accounts", $condition, " ORDER BY created_at, id")
            };
        }
        // Each case has its own text. With an optional condition in one text, the database would search all rows.
        let rows = match (bundle, provider) {
            (Some(bundle), _) => sql!(
                each,
                AccountRow,
                &mut tx,
                select!(
                    " WHERE ($2 IS NULL OR provider = $2)
                        AND id IN (SELECT account_id FROM identity_bindings WHERE bundle_id = $1)"
                ),
                bundle,
                provider,
            ),
            (None, Some(provider)) => {
                sql!(each, AccountRow, &mut tx, select!(" WHERE provider = $1"), provider)
            }
            (None, None) => sql!(each, AccountRow, &mut tx, select!("")),
        }?;
        let mut bound = bindings_by_account(&mut tx, bundle, provider).await?;
        tx.commit().await?;
        let mut list = AccountList::default();
        for row in rows {
            let parsed = row.map_err(|row| row.into_corrupt("account")).and_then(|row| {
                let id = row.id.clone();
                let bound_to = bound.remove(&id).unwrap_or_default();
                row.parse(self.keyring(), bound_to).map_err(|reason| CorruptRow { id, reason })
            });
            match parsed {
                Ok(account) => list.accounts.push(self.located(account)),
                Err(corrupt) => list.corrupt.push(corrupt),
            }
        }
        Ok(list)
    }

    /// Returns one account.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if the account does not exist; [`StoreError::Corrupt`] if the row cannot be read;
    /// [`StoreError::Busy`], [`StoreError::Unavailable`] or another error of the database.
    pub async fn account(&self, id: &AccountId) -> Result<Account, StoreError> {
        let mut tx = self.snapshot().await?;
        let found = account_in(&mut tx, id).await;
        tx.commit().await?;
        match found {
            Ok(account) => Ok(self.located(account)),
            Err(error) => Err(self.absent(ACCOUNTS, id.as_str(), error).await),
        }
    }

    /// Returns the account that a bundle binds for a provider; `None` if the bundle does not exist or binds none.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if the row cannot be read; [`StoreError::Busy`], [`StoreError::Unavailable`] or
    /// another error of the database.
    pub async fn bound_account(
        &self,
        bundle: &BundleId,
        provider: &ProviderId,
    ) -> Result<Option<Account>, StoreError> {
        let mut tx = self.snapshot().await?;
        let row = sql!(
            optional,
            AccountRow,
            &mut tx,
            concat!(
                "SELECT ",
                columns!(),
                " FROM identity_bindings
                 JOIN accounts ON accounts.id = identity_bindings.account_id
                 WHERE identity_bindings.bundle_id = $1 AND identity_bindings.provider = $2"
            ),
            bundle.as_str(),
            provider.as_str(),
        )?;
        let account = match row {
            Some(row) => Some(self.located(complete(&mut tx, row).await?)),
            None => None,
        };
        tx.commit().await?;
        Ok(account)
    }

    /// Changes an account's names.
    ///
    /// # Errors
    /// [`StoreError::InvalidName`] if a name is not valid; [`StoreError::NotFound`] if the account does not exist;
    /// [`StoreError::Corrupt`] if the row cannot be read; [`StoreError::Busy`], [`StoreError::Full`] or another error
    /// of the database.
    pub async fn update_account(
        &self,
        id: &AccountId,
        edit: AccountEdit,
        now: i64,
    ) -> Result<Account, StoreError> {
        let name = edit.name.as_deref().map(|name| names::name("name", name)).transpose()?;
        let display_name =
            edit.display_name.as_deref().map(|name| names::text("display_name", name)).transpose()?;
        let mut work = self.write(now).await?;
        let row =
            fields_in(&mut work.tx, ACCOUNTS, [id.as_str(), ""]).await?.or_keep("name", name.as_deref());
        let row = match display_name.as_deref() {
            Some(display_name) => {
                row.with("display_name", Some(display_name).filter(|name| !name.is_empty()))
            }
            None => row,
        };
        sql!(
            run,
            &mut work.tx,
            "UPDATE accounts SET name = COALESCE($2, name),
                 display_name = NULLIF(COALESCE($3, display_name), ''), updated_at = $4 WHERE id = $1",
            id.as_str(),
            name.as_deref(),
            display_name.as_deref(),
            now,
        )?;
        row.sign(&mut work.tx, [id.as_str(), ""]).await?;
        let account = account_in(&mut work.tx, id).await?;
        work.audit("account.update", id.as_str());
        work.changed(Change::Account(id.clone()));
        work.commit().await?;
        Ok(self.located(account))
    }

    /// Returns the accounts whose status can change without a write: those with a directory of files, and those that
    /// expire. Only ids are returned, because there can be many.
    ///
    /// # Errors
    /// [`StoreError::Busy`], [`StoreError::Unavailable`] or another error of the database.
    pub async fn perishable_accounts(&self) -> Result<Vec<AccountId>, StoreError> {
        let mut tx = self.read().await?;
        let text = concat!("SELECT id FROM accounts WHERE ", perishable!(), " ORDER BY created_at, id");
        let rows = sql!(all, (String,), &mut tx, text)?;
        Ok(rows.into_iter().filter_map(|(id,)| id.parse().ok()).collect())
    }

    /// Returns those of the given accounts whose status can change without a write.
    ///
    /// # Errors
    /// [`StoreError::Busy`], [`StoreError::Unavailable`] or another error of the database.
    pub async fn perishable_among(&self, accounts: &[AccountId]) -> Result<Vec<AccountId>, StoreError> {
        let mut tx = self.read().await?;
        let mut found = Vec::new();
        for account in accounts {
            let text = concat!("SELECT id FROM accounts WHERE id = $1 AND ", perishable!());
            if sql!(optional, (String,), &mut tx, text, account.as_str())?.is_some() {
                found.push(account.clone());
            }
        }
        Ok(found)
    }
}

/// Returns a secret reference as it is stored.
pub(crate) fn reference(reference: &SecretRef) -> Result<String, StoreError> {
    serde_json::to_string(reference)
        .map_err(|_| StoreError::InvalidName { field: "config_dir", reason: "it is not valid Unicode" })
}

/// Reads one account within an open transaction.
pub(crate) async fn account_in(tx: &mut Tx, id: &AccountId) -> Result<Account, StoreError> {
    let rows = sql!(
        each,
        AccountRow,
        tx,
        concat!("SELECT ", columns!(), " FROM accounts WHERE id = $1"),
        id.as_str(),
    )?;
    let row = rows.into_iter().next().ok_or_else(|| StoreError::not_found("account", id))?;
    complete(tx, row.map_err(|row| row.into_error("account"))?).await
}

/// Adds the bundles that bind the account, and parses the row.
async fn complete(tx: &mut Tx, row: AccountRow) -> Result<Account, StoreError> {
    let bundles = binding_bundles(tx, &row.id).await?;
    let id = row.id.clone();
    row.parse(&tx.keyring, bundles).map_err(|reason| StoreError::corrupt("account", &id, &reason))
}

/// Returns the ids of the bundles that bind an account, in order.
pub(crate) async fn binding_bundles(tx: &mut Tx, account: &str) -> Result<Vec<String>, StoreError> {
    let rows = sql!(
        each,
        BoundRow,
        tx,
        concat!(
            "SELECT account_id, bundle_id, ",
            signed!(identity_bindings),
            " FROM identity_bindings WHERE account_id = $1 ORDER BY bundle_id"
        ),
        account,
    )?;
    let fitting = readable(rows, "binding").filter(|row| row.fits(&tx.keyring));
    Ok(fitting.map(|row| row.bundle_id).collect())
}

/// Returns, by account, the bundles that bind it: for the accounts that one bundle binds or for all, limited to one
/// provider if one is given.
async fn bindings_by_account(
    tx: &mut Tx,
    bundle: Option<&str>,
    provider: Option<&str>,
) -> Result<HashMap<String, Vec<String>>, StoreError> {
    macro_rules! select {
        ($condition:literal) => {
            concat!(
                "SELECT account_id, bundle_id, ",
                signed!(identity_bindings),
                " FROM identity_bindings",
                $condition,
                " ORDER BY bundle_id"
            )
        };
    }
    let rows = match (bundle, provider) {
        (Some(bundle), _) => sql!(
            each,
            BoundRow,
            tx,
            select!(" WHERE account_id IN (SELECT account_id FROM identity_bindings WHERE bundle_id = $1)"),
            bundle,
        ),
        (None, Some(provider)) => sql!(
            each,
            BoundRow,
            tx,
            select!(" WHERE account_id IN (SELECT id FROM accounts WHERE provider = $1)"),
            provider,
        ),
        (None, None) => sql!(each, BoundRow, tx, select!("")),
    }?;
    let mut bound: HashMap<String, Vec<String>> = HashMap::new();
    for row in readable(rows, "binding") {
        if row.fits(&tx.keyring) {
            bound.entry(row.account_id).or_default().push(row.bundle_id);
        }
    }
    Ok(bound)
}

impl BoundRow {
    fn fits(&self, keyring: &Keyring) -> bool {
        self.seal.fits(keyring, &self.bundle_id)
    }
}

impl AccountRow {
    /// Converts text into types. The error describes the fault without showing the row.
    pub(crate) fn parse(self, keyring: &Keyring, bound_to: Vec<String>) -> Result<Account, String> {
        self.seal.reason(keyring)?;
        let word = |error: crate::model::account::UnknownWord| error.to_string();
        let bundle = |id: String| id.parse().map_err(|error: crate::id::InvalidId| error.to_string());
        Ok(Account {
            id: self.id.parse().map_err(|error: crate::id::InvalidId| error.to_string())?,
            provider: self.provider.parse().map_err(|error: crate::id::InvalidId| error.to_string())?,
            kind: self.kind.parse().map_err(word)?,
            owner: self.owner.parse().map_err(word)?,
            name: self.name,
            display_name: self.display_name,
            email: self.email,
            subject: self.subject,
            base_url: self.base_url,
            client_id: self.client_id,
            scopes: self.scopes,
            secret_ref: self.secret_ref.parse().map_err(|error| json_reason(&error))?,
            masked_tail: self.masked_tail,
            status: self.status.parse().map_err(word)?,
            status_reason: self.status_reason,
            evidence: self.evidence.parse().map_err(word)?,
            checked_at: self.checked_at,
            expires_at: self.expires_at,
            login_deadline_at: self.login_deadline_at,
            keeping: self.keeping.into(),
            bound_to: bound_to.into_iter().map(bundle).collect::<Result<_, _>>()?,
            created_at: self.created_at,
            updated_at: self.updated_at,
        })
    }
}

/// Describes a fault in a JSON text without quoting the text. The errors of serde quote the unexpected part.
pub(super) fn json_reason(error: &serde_json::Error) -> String {
    format!("its secret reference is not valid (line {}, column {})", error.line(), error.column())
}
