//! All rows of all tables, page by page: to check them and to sign them again.

use super::tables::Table;
use crate::db::{Tx, sql};
use crate::error::StoreError;
use crate::secret::{self, SecretError};

/// The number of rows of one page.
const PAGE: i64 = 500;

/// A row with its key, its text and its code.
pub(crate) struct Page {
    pub(crate) key: String,
    pub(crate) second: String,
    pub(crate) text: String,
    pub(crate) mac: Option<Vec<u8>>,
}

impl Page {
    /// Checks the code of the row.
    pub(crate) fn check(&self, tx: &Tx, table: &Table) -> Result<(), SecretError> {
        secret::check_code(&tx.keyring, table.name, self.text.as_bytes(), self.mac.as_deref())
    }

    /// Returns whether the current key made the code. It does not check the code.
    pub(crate) fn is_current(&self, tx: &Tx) -> bool {
        self.mac.as_deref().is_some_and(|code| secret::is_current(&tx.keyring, code))
    }

    /// Returns the id of the row, for people.
    pub(crate) fn id(&self) -> String {
        if self.second.is_empty() { self.key.clone() } else { format!("{} {}", self.key, self.second) }
    }
}

/// Returns the rows of a table after a key, in order of their keys.
pub(crate) async fn page(tx: &mut Tx, table: &Table, after: (&str, &str)) -> Result<Vec<Page>, StoreError> {
    type Row = (String, String, String, Option<Vec<u8>>);
    let rows = sql!(all, Row, tx, table.page, after.0, after.1, PAGE)?;
    Ok(rows.into_iter().map(|(key, second, text, mac)| Page { key, second, text, mac }).collect())
}

/// Signs a row of a page with the current key.
pub(crate) async fn resign(tx: &mut Tx, table: &Table, row: &Page) -> Result<(), StoreError> {
    let code = secret::authenticate(&tx.keyring, table.name, row.text.as_bytes());
    sql!(run, tx, table.write, row.key.as_str(), row.second.as_str(), code)?;
    Ok(())
}
