//! The decoding of rows.

use crate::error::{StoreError, UNDECODABLE};
use crate::model::account::CorruptRow;

/// A row that cannot be decoded.
#[derive(Debug)]
pub(crate) struct Undecoded {
    /// The row's id, as far as it can be read.
    pub(crate) id: String,
    /// The error of the database library.
    pub(crate) error: sqlx::Error,
}

impl Undecoded {
    /// Returns the reason for a list of rows that were skipped. The cause is logged, because it may hold the row's text.
    pub(crate) fn into_corrupt(self, what: &'static str) -> CorruptRow {
        tracing::error!(what, id = self.id, error = %self.error, "a row was skipped: it cannot be decoded");
        CorruptRow { id: self.id, reason: UNDECODABLE.to_owned() }
    }

    /// Returns the error for a caller who asked for this row.
    pub(crate) fn into_error(self, what: &'static str) -> StoreError {
        StoreError::undecodable(what, &self.id, self.error)
    }
}

/// Returns the rows that can be decoded. The others are logged: a bad row must not hide the others.
pub(crate) fn readable<T>(rows: Vec<Result<T, Undecoded>>, what: &'static str) -> impl Iterator<Item = T> {
    rows.into_iter().filter_map(move |row| row.map_err(|row| row.into_corrupt(what)).ok())
}

/// Decodes one row.
pub(crate) fn decode<'r, R, T>(row: &'r R) -> Result<T, Undecoded>
where
    R: sqlx::Row,
    T: sqlx::FromRow<'r, R>,
    String: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,
    &'static str: sqlx::ColumnIndex<R>,
{
    T::from_row(row).map_err(|error| Undecoded { id: row.try_get("id").unwrap_or_default(), error })
}
