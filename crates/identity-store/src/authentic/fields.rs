//! The deciding columns of one row, as they are to be.

use std::collections::BTreeMap;

use super::tables::{SERVICE_SETTINGS, TABLES, Table};
use crate::db::{Tx, sql};
use crate::error::StoreError;
use crate::secret;

/// The deciding columns of one row. A column without an entry is `NULL`.
#[derive(Debug, Clone)]
pub(crate) struct Fields {
    table: &'static Table,
    values: BTreeMap<&'static str, String>,
}

/// A value of a column as the text that the database makes of it; `None` for `NULL`.
pub(crate) trait Value {
    fn text(self) -> Option<String>;
}

impl Value for &str {
    fn text(self) -> Option<String> {
        Some(self.to_owned())
    }
}

impl Value for i64 {
    fn text(self) -> Option<String> {
        Some(self.to_string())
    }
}

impl<T: Value> Value for Option<T> {
    fn text(self) -> Option<String> {
        self.and_then(Value::text)
    }
}

impl Fields {
    /// Begins a row whose deciding columns are all given by the caller.
    pub(crate) fn new(table: usize) -> Self {
        Self { table: &TABLES[table], values: BTreeMap::new() }
    }

    /// Sets a deciding column.
    #[must_use]
    pub(crate) fn with(mut self, column: &'static str, value: impl Value) -> Self {
        debug_assert!(
            self.table.columns.contains(&column),
            "{column} of {} does not decide",
            self.table.name
        );
        match value.text() {
            Some(text) => self.values.insert(column, text),
            None => self.values.remove(column),
        };
        self
    }

    /// Sets a deciding column, if a value is given.
    #[must_use]
    pub(crate) fn or_keep(self, column: &'static str, value: Option<impl Value>) -> Self {
        match value {
            Some(value) => self.with(column, value),
            None => self,
        }
    }

    /// Returns a deciding column; `None` if it is `NULL`.
    pub(crate) fn get(&self, column: &str) -> Option<&str> {
        self.values.get(column).map(String::as_str)
    }

    /// Returns the code of the row.
    pub(crate) fn code(&self, tx: &Tx) -> Vec<u8> {
        secret::authenticate(&tx.keyring, self.table.name, self.text().as_bytes())
    }

    /// Writes the code of the row with this key. The second part of the key is empty if the table's key has one column.
    pub(crate) async fn sign(&self, tx: &mut Tx, key: [&str; 2]) -> Result<(), StoreError> {
        let code = self.code(tx);
        sql!(run, tx, self.table.write, key[0], key[1], code)?;
        Ok(())
    }

    /// Returns the text that the code is made of, as `text!` selects it.
    pub(super) fn text(&self) -> String {
        let mut text = String::with_capacity(256);
        for column in self.table.columns {
            if let Some(value) = self.values.get(column) {
                text.push_str(column);
                text.push('=');
                text.push_str(&value.chars().count().to_string());
                text.push(':');
                text.push_str(value);
                text.push(';');
            }
        }
        text
    }

    /// Reads the columns from a text that was selected; `None` if it is not one.
    fn parse(table: &'static Table, mut text: &str) -> Option<Self> {
        let mut values = BTreeMap::new();
        while !text.is_empty() {
            let (name, rest) = text.split_once('=')?;
            let name = table.columns.iter().find(|column| **column == name)?;
            let (length, rest) = rest.split_once(':')?;
            let length: usize = length.parse().ok()?;
            let end = rest.char_indices().nth(length)?.0;
            values.insert(*name, rest[..end].to_owned());
            text = rest[end..].strip_prefix(';')?;
        }
        Some(Self { table, values })
    }
}

/// Begins the deciding columns of a setting.
pub(crate) fn setting(key: &str, value: &str) -> Fields {
    Fields::new(SERVICE_SETTINGS).with("key", key).with("value", value)
}

/// Reads the deciding columns of a row, which a holder of the key must have written; `None` if there is no such row.
pub(crate) async fn known(tx: &mut Tx, table: usize, key: [&str; 2]) -> Result<Option<Fields>, StoreError> {
    let table = &TABLES[table];
    let row = sql!(optional, (String, Option<Vec<u8>>), tx, table.read, key[0], key[1])?;
    let Some((text, mac)) = row else { return Ok(None) };
    let corrupt = |reason: &dyn ToString| StoreError::corrupt(table.what, key[0], &reason.to_string());
    secret::check_code(&tx.keyring, table.name, text.as_bytes(), mac.as_deref())
        .map_err(|error| corrupt(&error))?;
    Fields::parse(table, &text).map(Some).ok_or_else(|| corrupt(&"its columns cannot be read"))
}

/// Reads the deciding columns of a row that must exist.
pub(crate) async fn fields_in(tx: &mut Tx, table: usize, key: [&str; 2]) -> Result<Fields, StoreError> {
    known(tx, table, key).await?.ok_or_else(|| StoreError::not_found(TABLES[table].what, key[0]))
}

#[cfg(test)]
mod tests {
    use super::super::tables::{ACCOUNTS, IDENTITY_BINDINGS};
    use super::*;

    #[test]
    fn text_of_fields_parses_back_to_the_same_fields() {
        let fields = Fields::new(ACCOUNTS)
            .with("id", "a=1;3:x")
            .with("name", "Zoë; 漢字=2:")
            .with("email", None::<&str>)
            .with("generation", 7)
            .with("display_name", "");
        let text = fields.text();
        assert_eq!(text, "id=7:a=1;3:x;name=10:Zoë; 漢字=2:;display_name=0:;generation=1:7;");
        let parsed = Fields::parse(&TABLES[ACCOUNTS], &text).unwrap();
        assert_eq!(parsed.values, fields.values);
        assert_eq!((parsed.get("email"), parsed.get("display_name")), (None, Some("")));
    }

    #[test]
    fn fields_without_a_value_add_nothing_to_the_text() {
        let without = Fields::new(IDENTITY_BINDINGS).with("bundle_id", "b");
        assert_eq!(without.text(), "bundle_id=1:b;");
        assert_eq!(
            without.clone().with("provider", "x").with("provider", None::<&str>).text(),
            without.text()
        );
        assert_eq!(without.clone().or_keep("bundle_id", None::<&str>).text(), without.text());
        assert!(Fields::parse(&TABLES[IDENTITY_BINDINGS], "bundle_id=9:b;").is_none());
        assert!(Fields::parse(&TABLES[IDENTITY_BINDINGS], "other=1:b;").is_none());
    }
}
