//! The check of all authenticated rows.

use crate::authentic::census::{self, RowSetFault};
use crate::authentic::{Page, TABLES};
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

/// The result of a check of all authenticated rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RowCheck {
    /// The rows that no holder of the key wrote, in order of table and id.
    pub unfit: Vec<UnfitRow>,
    /// The tables from which rows are missing, or to which rows were added.
    pub sets: Vec<RowSetFault>,
}

impl RowCheck {
    /// Returns the text of each fault.
    pub fn texts(&self) -> impl Iterator<Item = String> {
        self.unfit.iter().map(ToString::to_string).chain(self.sets.iter().map(ToString::to_string))
    }
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
        Ok(self.check_rows().await?.unfit)
    }

    /// Checks as [`Store::unfit_rows`], and that no row is missing.
    ///
    /// # Errors
    /// [`StoreError::Busy`], [`StoreError::Unavailable`] or another error of the database.
    pub async fn check_rows(&self) -> Result<RowCheck, StoreError> {
        let mut tx = self.snapshot().await?;
        let check = check_in(&mut tx).await?;
        tx.commit().await?;
        Ok(check)
    }

    /// Accepts the present rows of each table as complete, after rows were deleted by another program. It makes no row
    /// fit that does not. Returns the faults that the census no longer has.
    ///
    /// # Errors
    /// [`StoreError::Busy`], [`StoreError::Full`] or another error of the database.
    pub async fn accept_rows(&self, now: i64) -> Result<Vec<RowSetFault>, StoreError> {
        let mut work = self.write(now).await?;
        let faults = check_in(&mut work.tx).await?.sets;
        if faults.is_empty() {
            return Ok(faults);
        }
        census::begin(&mut work.tx, now).await?;
        for fault in &faults {
            work.audit("rows.accept", &fault.to_string());
        }
        work.commit().await?;
        Ok(faults)
    }
}

/// Checks all rows within a transaction.
pub(super) async fn check_in(tx: &mut Tx) -> Result<RowCheck, StoreError> {
    let mut check = RowCheck::default();
    let mut counted = Vec::with_capacity(TABLES.len());
    for table in TABLES {
        let report = |row: &Page, reason| {
            check.unfit.push(UnfitRow { table: table.name, row: row.id(), reason });
        };
        counted.push(census::count(tx, table, report).await?);
    }
    check.sets = census::faults(tx, &counted).await?;
    Ok(check)
}
