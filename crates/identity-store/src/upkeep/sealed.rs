//! The list of columns that hold sealed secrets. Code that processes all secrets uses this list.

/// A column of boxes. Each box is bound to its table, its column, its row's id and its row's generation.
pub(crate) struct SealedColumn {
    /// The name of the table.
    pub(crate) table: &'static str,
    /// The name of the column.
    pub(crate) column: &'static str,
    /// The statement for rows after the id `$2` whose box uses another key than `$1`: id, box and generation, at most
    /// `$3`, by id.
    pub(crate) foreign: &'static str,
    /// The statement that replaces the box `$3` by the box `$2`, in the row `$1` of generation `$4`.
    pub(crate) replace: &'static str,
    /// The statement that counts the boxes that use the key `$1`.
    pub(crate) count: &'static str,
}

/// Builds the statements for one column. Bytes 2 to 9 of a box are the id of its key.
macro_rules! sealed {
    (table $table:literal, id $id:literal, column $column:literal, generation $generation:literal) => {
        SealedColumn {
            table: $table,
            column: $column,
            foreign: concat!(
                "SELECT ",
                $id,
                ", ",
                $column,
                ", ",
                $generation,
                " FROM ",
                $table,
                " WHERE ",
                $column,
                " IS NOT NULL AND substr(",
                $column,
                ", 2, 8) <> $1 AND ",
                $id,
                " > $2 ORDER BY ",
                $id,
                " LIMIT $3"
            ),
            replace: concat!(
                "UPDATE ",
                $table,
                " SET ",
                $column,
                " = $2 WHERE ",
                $id,
                " = $1 AND ",
                $column,
                " = $3 AND ",
                $generation,
                " = $4"
            ),
            count: concat!("SELECT count(*) FROM ", $table, " WHERE substr(", $column, ", 2, 8) = $1"),
        }
    };
}

/// The columns, one per line.
pub(crate) const SEALED: &[SealedColumn] = &[
    sealed!(table "accounts", id "id", column "sealed_secret", generation "generation"),
    sealed!(table "account_tokens", id "account_id", column "sealed_access", generation "generation"),
    sealed!(table "account_tokens", id "account_id", column "sealed_refresh", generation "generation"),
    sealed!(table "account_tokens", id "account_id", column "sealed_id", generation "generation"),
    sealed!(table "audit_chain", id "id", column "sealed_key", generation "generation"),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The name of a sealed column begins with `sealed_`. Its line in a migration begins with that name.
    #[test]
    fn sealed_list_holds_every_sealed_column_of_the_migrations() {
        let mut found = BTreeSet::new();
        for entry in
            std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../../migrations/sqlite")).unwrap()
        {
            let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
            let mut table = "";
            for line in text.lines().map(str::trim) {
                if let Some(rest) = line.strip_prefix("CREATE TABLE ") {
                    table = rest.split(' ').next().unwrap_or_default();
                }
                let added = line.split("ADD COLUMN ").nth(1).unwrap_or(line);
                if let Some(column) = added.split(' ').next().filter(|word| word.starts_with("sealed_")) {
                    found.insert(format!("{table}.{column}"));
                }
            }
        }
        let listed = SEALED.iter().map(|sealed| format!("{}.{}", sealed.table, sealed.column));
        assert_eq!(listed.collect::<BTreeSet<_>>(), found);
    }
}
