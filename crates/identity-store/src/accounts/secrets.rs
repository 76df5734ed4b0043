//! The sealed secrets of accounts, and the deciding columns of an account that is written.

use secrecy::SecretString;

use super::rows::json_reason;
use crate::authentic::{ACCOUNTS, Fields, Seal, known};
use crate::db::{Tx, row, sql};
use crate::error::StoreError;
use crate::id::{AccountId, ProviderId};
use crate::model::account::{AccountKind, Owner, SecretRef};
use crate::secret;
use crate::secret::{Cell, SecretError};
use crate::store::Store;

pub(crate) const TABLE: &str = "accounts";

row! {
    /// The sealed secret of an account, and its place.
    struct SecretRow {
        secret_ref: String,
        sealed_secret: Option<Vec<u8>>,
        generation: i64,
    } with {
        seal: Seal<ACCOUNTS>,
    }
}

impl Store {
    /// Opens the secret that is sealed in the account's row.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if the account does not exist; [`StoreError::Corrupt`] if its secret reference cannot
    /// be read; [`StoreError::Secret`] if the secret cannot be opened; [`StoreError::Busy`],
    /// [`StoreError::Unavailable`] or another error of the database.
    pub async fn open_secret(&self, id: &AccountId) -> Result<SecretString, StoreError> {
        self.open_in(&mut self.read().await?, id).await
    }

    /// Opens the sealed secret within an open transaction.
    pub(crate) async fn open_in(&self, tx: &mut Tx, id: &AccountId) -> Result<SecretString, StoreError> {
        let row = sql!(
            optional,
            SecretRow,
            tx,
            concat!(
                "SELECT secret_ref, sealed_secret, generation, ",
                signed!(accounts),
                " FROM accounts WHERE id = $1"
            ),
            id.as_str(),
        )?;
        let row = row.ok_or_else(|| StoreError::not_found("account", id))?;
        row.seal.expect(self.keyring(), id)?;
        let SecretRow { secret_ref: reference, sealed_secret: sealed, generation, .. } = row;
        let reference: SecretRef =
            reference.parse().map_err(|error| StoreError::corrupt("account", id, &json_reason(&error)))?;
        let (SecretRef::Sealed, Some(sealed)) = (reference, sealed) else {
            return Err(SecretError::Absent.into());
        };
        Ok(secret::open(self.keyring(), cell(id, generation)?, &sealed)?)
    }
}

/// Returns the place of an account's sealed secret.
pub(crate) fn cell(id: &AccountId, generation: i64) -> Result<Cell<'_>, StoreError> {
    let generation = u64::try_from(generation)
        .map_err(|_| StoreError::corrupt("account", id, "its generation is negative"))?;
    Ok(Cell { table: TABLE, column: "sealed_secret", row: id.as_str(), generation })
}

/// Begins the deciding columns of an account that does not exist yet.
pub(crate) fn new_account(id: &AccountId, provider: &ProviderId, kind: AccountKind, owner: Owner) -> Fields {
    Fields::new(ACCOUNTS)
        .with("id", id.as_str())
        .with("provider", provider.as_str())
        .with("kind", kind.as_str())
        .with("owner", owner.as_str())
}

/// Reads the deciding columns of an account that may exist, or begins those of a new one.
pub(crate) async fn account_row(
    tx: &mut Tx,
    id: &AccountId,
    new: impl FnOnce() -> Fields,
) -> Result<Fields, StoreError> {
    Ok(known(tx, ACCOUNTS, [id.as_str(), ""]).await?.unwrap_or_else(new))
}
