//! The rows that a transaction adds and removes.

/// A row that a transaction adds or removes.
#[derive(Debug)]
pub(crate) struct RowChange {
    /// The number of its table.
    pub(crate) table: usize,
    /// The columns of its key.
    pub(crate) key: [String; 2],
    /// True if the row exists after the change.
    pub(crate) exists: bool,
    /// The state of the row before the change.
    pub(crate) before: Before,
}

impl RowChange {
    /// Returns the columns of the key.
    pub(crate) fn key(&self) -> [&str; 2] {
        [&self.key[0], &self.key[1]]
    }
}

/// The knowledge whether the census contained a row before a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Before {
    /// It contained it exactly if the row does not exist after the change.
    Plain,
    /// There was no row, but one with the same key may have been deleted by another program.
    Absent,
    /// Another program wrote or changed the row.
    Unfit,
}
