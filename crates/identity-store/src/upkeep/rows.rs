//! The check of all authenticated rows.

use crate::authentic::{TABLES, page};
use crate::db::Tx;
use crate::error::StoreError;
use crate::secret::SecretError;
use crate::store::Store;

/// A row that no holder of the encryption key wrote. It is never used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnfitRow {
    /// The table of the row.
    pub table: &'static str,
    /// The row's id; both parts of it if its key has two columns.
    pub row: String,
    /// The fault.
    pub reason: SecretError,
}

/// Returns each table whose rows are authenticated, with its deciding columns.
pub fn deciding_columns() -> impl Iterator<Item = (&'static str, &'static [&'static str])> {
    TABLES.iter().map(|table| (table.name, table.columns))
}

impl std::fmt::Display for UnfitRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}: {}", self.table, self.row, self.reason)
    }
}

impl Store {
    /// Checks every row that decides where a credential goes or whose it is. Returns those that no holder of the key
    /// wrote, in order of table and id.
    ///
    /// # Errors
    /// [`StoreError::Busy`], [`StoreError::Unavailable`] or another error of the database.
    pub async fn unfit_rows(&self) -> Result<Vec<UnfitRow>, StoreError> {
        let mut tx = self.snapshot().await?;
        let unfit = unfit_in(&mut tx).await?;
        tx.commit().await?;
        Ok(unfit)
    }
}

/// Returns every row that no holder of the key wrote, in order of table and id.
pub(super) async fn unfit_in(tx: &mut Tx) -> Result<Vec<UnfitRow>, StoreError> {
    let mut unfit = Vec::new();
    for table in TABLES {
        let mut after = (String::new(), String::new());
        loop {
            let rows = page(tx, table, (&after.0, &after.1)).await?;
            let Some(last) = rows.last() else { break };
            after = (last.key.clone(), last.second.clone());
            for row in &rows {
                if let Err(reason) = row.check(tx, table) {
                    unfit.push(UnfitRow { table: table.name, row: row.id(), reason });
                }
            }
        }
    }
    Ok(unfit)
}
