//! The text and the code of a row that a statement selected with `signed!`.

use sqlx::{ColumnIndex, Decode, FromRow, Row, Type};

use super::tables::TABLES;
use crate::error::StoreError;
use crate::id::AccountId;
use crate::secret::{self, Keyring, SecretError};

/// The text and the code of a row of the table with this number. The columns of a missing row of an outer join give a seal
/// that fits nothing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seal<const TABLE: usize> {
    text: String,
    mac: Option<Vec<u8>>,
}

impl<'r, R, const TABLE: usize> FromRow<'r, R> for Seal<TABLE>
where
    R: Row,
    String: Decode<'r, R::Database> + Type<R::Database>,
    Vec<u8>: Decode<'r, R::Database> + Type<R::Database>,
    Option<Vec<u8>>: Decode<'r, R::Database> + Type<R::Database>,
    &'static str: ColumnIndex<R>,
{
    fn from_row(row: &'r R) -> Result<Self, sqlx::Error> {
        let table = &TABLES[TABLE];
        Ok(Self { text: row.try_get(table.text)?, mac: row.try_get(table.mac)? })
    }
}

/// The account that a row names in its column `account_id`.
#[derive(Debug)]
pub(crate) struct Link<const TABLE: usize> {
    account: String,
    seal: Seal<TABLE>,
}

impl<'r, R, const TABLE: usize> FromRow<'r, R> for Link<TABLE>
where
    R: Row,
    Seal<TABLE>: FromRow<'r, R>,
    String: Decode<'r, R::Database> + Type<R::Database>,
    &'static str: ColumnIndex<R>,
{
    fn from_row(row: &'r R) -> Result<Self, sqlx::Error> {
        Ok(Self { account: row.try_get("account_id")?, seal: Seal::from_row(row)? })
    }
}

impl<const TABLE: usize> Link<TABLE> {
    /// Returns the account's id from a row that a holder of the key must have written.
    pub(crate) fn account(self, keyring: &Keyring) -> Result<AccountId, StoreError> {
        self.seal.expect(keyring, &self.account)?;
        self.account.parse().map_err(|error| StoreError::corrupt(TABLES[TABLE].what, &self.account, &error))
    }
}

impl<const TABLE: usize> Seal<TABLE> {
    /// Checks that a holder of the key wrote the row.
    pub(crate) fn check(&self, keyring: &Keyring) -> Result<(), SecretError> {
        secret::check_code(keyring, TABLES[TABLE].name, self.text.as_bytes(), self.mac.as_deref())
    }

    /// Checks as [`Seal::check`]. The error is the reason why the row is corrupt.
    pub(crate) fn reason(&self, keyring: &Keyring) -> Result<(), String> {
        self.check(keyring).map_err(|error| error.to_string())
    }

    /// Checks as [`Seal::check`]. The error names the row.
    pub(crate) fn expect(&self, keyring: &Keyring, id: &(impl ToString + ?Sized)) -> Result<(), StoreError> {
        self.check(keyring).map_err(|error| StoreError::corrupt(TABLES[TABLE].what, id, &error))
    }

    /// Checks as [`Seal::check`]. A row that does not fit is logged, to be left out of a list.
    pub(crate) fn fits(&self, keyring: &Keyring, id: &str) -> bool {
        self.check(keyring)
            .inspect_err(|error| {
                let table = TABLES[TABLE].name;
                tracing::error!(table, id, %error, "a row was skipped: it is corrupt");
            })
            .is_ok()
    }
}
