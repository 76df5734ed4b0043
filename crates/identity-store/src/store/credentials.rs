//! What a bundle launches with, in one statement, because every start of an agent asks for it.

use super::Store;
use super::accounts::{AccountRow, cell, columns};
use crate::db::sql;
use crate::{
    Account, BundleId, CorruptRow, Credentials, Held, ProviderId, SecretError, SecretRef, StoreError, secret,
};

/// An account's row, once for each bundle that binds it.
#[derive(sqlx::FromRow)]
struct CredentialRow {
    #[sqlx(flatten)]
    account: AccountRow,
    sealed_secret: Option<Vec<u8>>,
    generation: i64,
    bound: String,
}

impl Store {
    /// The accounts that a bundle binds, or the one of a provider, with what is sealed in their rows. A bundle that does
    /// not exist binds none.
    pub async fn credentials(
        &self,
        bundle: &BundleId,
        provider: Option<&ProviderId>,
    ) -> Result<Credentials, StoreError> {
        let mut tx = self.read().await?;
        let rows = sql!(
            each,
            CredentialRow,
            &mut tx,
            concat!(
                "SELECT ",
                columns!(),
                ", sealed_secret, generation, others.bundle_id AS bound
                 FROM identity_bindings
                 JOIN accounts ON accounts.id = identity_bindings.account_id
                 JOIN identity_bindings AS others ON others.account_id = accounts.id
                 WHERE identity_bindings.bundle_id = $1 AND ($2 IS NULL OR identity_bindings.provider = $2)
                 ORDER BY accounts.created_at, accounts.id, others.bundle_id"
            ),
            bundle.as_str(),
            provider.map(ProviderId::as_str),
        )?;
        let mut found = Credentials::default();
        let mut rows = rows.into_iter().peekable();
        while let Some(row) = rows.next() {
            let row = match row {
                Ok(row) => row,
                Err((id, error)) => {
                    // It comes once for each bundle that binds it.
                    if found.corrupt.last().is_none_or(|last| last.id != id) {
                        found.corrupt.push(CorruptRow { id, reason: error.to_string() });
                    }
                    continue;
                }
            };
            let id = row.account.id.clone();
            let mut bound_to = vec![row.bound];
            let same =
                |other: &Result<CredentialRow, _>| matches!(other, Ok(other) if other.account.id == id);
            while let Some(Ok(other)) = rows.next_if(same) {
                bound_to.push(other.bound);
            }
            match row.account.parse(bound_to) {
                Ok(account) => {
                    let secret = self.sealed_in(&account, row.sealed_secret.as_deref(), row.generation);
                    found.held.push(Held { account, secret });
                }
                Err(reason) => found.corrupt.push(CorruptRow { id, reason }),
            }
        }
        Ok(found)
    }

    fn sealed_in(
        &self,
        account: &Account,
        sealed: Option<&[u8]>,
        generation: i64,
    ) -> Option<Result<secrecy::SecretString, StoreError>> {
        (account.secret_ref == SecretRef::Sealed).then(|| {
            let sealed = sealed.ok_or(SecretError::Absent)?;
            Ok(secret::open(self.keyring(), cell(&account.id, generation)?, sealed)?)
        })
    }
}
