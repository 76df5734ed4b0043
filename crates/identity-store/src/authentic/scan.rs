//! All rows of all tables, page by page: to check them and to sign them again.

use sqlx::{ColumnIndex, Decode, FromRow, Row};

use super::tables::Table;
use crate::db::{Tx, sql};
use crate::error::StoreError;
use crate::secret::{self, SecretError};

/// The number of rows of one page.
const PAGE: i64 = 500;

/// A row with its key, its text and its code.
///
/// A program without the key can write texts that are not Unicode. They are read as bytes, so that they hide no other row.
pub(crate) struct Page {
    pub(crate) key: String,
    pub(crate) second: String,
    text: Vec<u8>,
    pub(crate) mac: Option<Vec<u8>>,
}

impl<'r, R> FromRow<'r, R> for Page
where
    R: Row,
    Vec<u8>: Decode<'r, R::Database>,
    Option<Vec<u8>>: Decode<'r, R::Database>,
    usize: ColumnIndex<R>,
{
    fn from_row(row: &'r R) -> Result<Self, sqlx::Error> {
        let bytes = |at: usize| row.try_get_unchecked::<Vec<u8>, _>(at);
        let text = |at: usize| Ok::<_, sqlx::Error>(String::from_utf8_lossy(&bytes(at)?).into_owned());
        Ok(Self { key: text(0)?, second: text(1)?, text: bytes(2)?, mac: row.try_get_unchecked(3)? })
    }
}

impl Page {
    /// Checks the code of the row.
    pub(crate) fn check(&self, tx: &Tx, table: &Table) -> Result<(), SecretError> {
        secret::check_code(&tx.keyring, table.name, &self.text, self.mac.as_deref())
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
    let rows = sql!(all, Page, tx, table.page, after.0, after.1, PAGE)?;
    // A key that is not Unicode cannot be named as a place. The table ends where that would repeat a page for ever.
    let stuck = rows.last().is_some_and(|last| (last.key.as_str(), last.second.as_str()) == after);
    Ok(if stuck { Vec::new() } else { rows })
}

/// Signs a row of a page with the current key.
pub(crate) async fn resign(tx: &mut Tx, table: &Table, row: &Page) -> Result<(), StoreError> {
    let code = secret::authenticate(&tx.keyring, table.name, &row.text);
    sql!(run, tx, table.write, row.key.as_str(), row.second.as_str(), code)?;
    Ok(())
}
