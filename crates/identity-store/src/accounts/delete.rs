//! Deletion of accounts.

use super::leftovers;
use super::links;
use super::rows::{account_in, binding_bundles};
use crate::authentic::{
    ACCOUNTS, IDENTITY_BINDINGS, OPERATOR_TOKENS, PENDING_LOGINS, Page, TOKENS, USER_PROFILES, census, known,
};
use crate::db::{Tx, sql};
use crate::error::StoreError;
use crate::id::{AccountId, BundleId, ProviderId};
use crate::model::account::{AccountKind, DeletedAccount, History, Owner, SecretRef};
use crate::model::changes::Change;
use crate::store::Store;
use crate::store::work::Work;
use crate::{instances, tombstones};

/// The columns that a deletion needs. A row that no holder of the key wrote has none of them: it must not choose the
/// directory that is removed.
#[derive(Default)]
struct Remains {
    provider: Option<ProviderId>,
    kind: Option<AccountKind>,
    owner: Option<Owner>,
    secret_ref: Option<SecretRef>,
}

impl Store {
    /// Deletes an account and every binding to it. A login of this provider is no longer adopted. The account's
    /// directory is recorded until [`Store::forget_leftover`].
    ///
    /// A row that cannot be read is deleted in the same way, as far as its provider, kind and directory can be read. A row
    /// that no holder of the key wrote is deleted without its directory.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if the account does not exist; [`StoreError::Busy`], [`StoreError::Full`] or another
    /// error of the database.
    pub async fn delete_account(&self, id: &AccountId, now: i64) -> Result<DeletedAccount, StoreError> {
        let mut work = self.write(now).await?;
        let (account, remains) = match account_in(&mut work.tx, id).await {
            Ok(account) => {
                let remains = Remains {
                    provider: Some(account.provider.clone()),
                    kind: Some(account.kind),
                    owner: Some(account.owner),
                    secret_ref: Some(account.secret_ref.clone()),
                };
                (Some(account), remains)
            }
            Err(error @ StoreError::Corrupt { .. }) => {
                tracing::warn!(account = %id, %error, "a corrupt account is deleted");
                (None, remains(&mut work.tx, id).await?)
            }
            Err(error) => return Err(error),
        };
        let bundles = binding_bundles(&mut work.tx, id.as_str()).await?;
        let unbound_from: Vec<BundleId> = bundles.iter().filter_map(|bundle| bundle.parse().ok()).collect();
        let instances = instances::under(&mut work.tx, id).await?;
        for user in links::users(&mut work.tx, id).await? {
            work.changed(Change::Profiles(user));
        }
        delete_row(&mut work, id).await?;
        // A login that a user made for an agent has nothing to do with the login of the user's own CLI.
        let is_users = remains.owner == Some(Owner::User);
        if let (Some(AccountKind::OAuth), Some(provider), false) = (remains.kind, &remains.provider, is_users)
        {
            tombstones::decline(&mut work.tx, provider, now).await?;
        }
        let leftover = match (&remains.provider, &remains.secret_ref) {
            (Some(provider), Some(secret_ref)) => leftovers::of(provider, secret_ref, History::Keep),
            _ => None,
        };
        if let Some(leftover) = &leftover {
            leftovers::note(&mut work.tx, leftover, now).await?;
        }
        for bundle in &unbound_from {
            work.changed(Change::Bindings(bundle.clone()));
        }
        work.commit().await?;
        let account = account.map(|account| self.located(account));
        let leftover = leftover.map(|leftover| self.located_leftover(leftover));
        Ok(DeletedAccount { id: id.clone(), account, unbound_from, instances, leftover })
    }
}

/// Reads the columns of a corrupt row.
async fn remains(tx: &mut Tx, id: &AccountId) -> Result<Remains, StoreError> {
    let row = match known(tx, ACCOUNTS, [id.as_str(), ""]).await {
        Ok(Some(row)) => row,
        Ok(None) | Err(StoreError::Corrupt { .. }) => return Ok(Remains::default()),
        Err(error) => return Err(error),
    };
    Ok(Remains {
        provider: row.get("provider").and_then(|text| text.parse().ok()),
        kind: row.get("kind").and_then(|text| text.parse().ok()),
        owner: row.get("owner").and_then(|text| text.parse().ok()),
        secret_ref: row.get("secret_ref").and_then(|text| text.parse().ok()),
    })
}

/// Deletes an account's row. Its bindings are deleted with it.
pub(crate) async fn delete_row(work: &mut Work, id: &AccountId) -> Result<(), StoreError> {
    delete_links(&mut work.tx, id.as_str()).await?;
    work.audit("account.delete", id.as_str());
    work.changed(Change::Account(id.clone()));
    Ok(())
}

/// Deletes an account's row, and with it the rows of other tables that belong to the account.
pub(crate) async fn delete_links(tx: &mut Tx, id: &str) -> Result<(), StoreError> {
    for (table, text) in [
        (IDENTITY_BINDINGS, listed!(identity_bindings, "account_id = $1")),
        (TOKENS, listed!(account_tokens, "account_id = $1")),
        (USER_PROFILES, listed!(user_profiles, "account_id = $1")),
        (OPERATOR_TOKENS, listed!(operator_tokens, "account_id = $1")),
        (PENDING_LOGINS, listed!(pending_logins, "account_id = $1")),
        (ACCOUNTS, listed!(accounts, "id = $1")),
    ] {
        let rows = sql!(all, Page, tx, text, id)?;
        census::gone(tx, table, rows);
    }
    sql!(run, tx, "DELETE FROM accounts WHERE id = $1", id)?;
    Ok(())
}
