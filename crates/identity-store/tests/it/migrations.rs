//! Tests that the migrations of both databases have the same numbers and names, and create the same tables and columns.

use std::collections::BTreeSet;
use std::path::Path;

use crate::harness::{Fixture, on_both};

#[test]
fn migrations_have_same_names_for_sqlite_and_postgres() {
    let names = |dialect: &str| -> BTreeSet<String> {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations").join(dialect);
        std::fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    };
    let sqlite = names("sqlite");
    assert_eq!(sqlite, names("postgres"));
    assert_eq!(sqlite.first().map(String::as_str), Some("0001_init.sql"));
}

on_both![schema_is_the_expected_one];

/// There is one list for both databases, so that a column missing in one of them is detected.
async fn schema_is_the_expected_one(f: Fixture) {
    let query = match f.place.kind {
        identity_store::DatabaseKind::Sqlite => {
            "SELECT t.name || '.' || c.name FROM sqlite_master t JOIN pragma_table_info(t.name) c
             WHERE t.type = 'table' AND t.name NOT LIKE '\\_%' ESCAPE '\\' AND t.name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
             ORDER BY t.name, c.cid"
        }
        identity_store::DatabaseKind::Postgres => {
            "SELECT table_name || '.' || column_name FROM information_schema.columns
             WHERE table_schema = 'public' AND left(table_name, 1) <> '_' ORDER BY table_name, ordinal_position"
        }
    };
    let columns = f.place.texts(query).await;
    let mut tables: Vec<&str> = columns.iter().filter_map(|column| Some(column.split_once('.')?.0)).collect();
    tables.dedup();
    assert_eq!(
        tables,
        [
            "account_tokens",
            "accounts",
            "agent_instances",
            "audit_chain",
            "audit_log",
            "client_tokens",
            "crypto_keys",
            "forge_watches",
            "identity_bindings",
            "identity_bundles",
            "login_sessions",
            "operator_tokens",
            "pending_logins",
            "service_settings",
            "tombstones",
            "user_profiles",
        ]
    );
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations/sqlite");
    let files = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let texts: Vec<String> = files.map(|file| std::fs::read_to_string(file).unwrap()).collect();
    let dropped: Vec<&str> = texts
        .iter()
        .flat_map(|text| text.lines())
        .filter_map(|line| line.strip_prefix("DROP TABLE ")?.strip_suffix(';'))
        .collect();
    let mut expected: BTreeSet<String> = texts.iter().flat_map(|text| columns_of(text)).collect();
    expected.retain(|column| !dropped.iter().any(|table| column.split('.').next() == Some(table)));
    assert_eq!(columns.into_iter().collect::<BTreeSet<_>>(), expected);
}

/// Returns `table.column` for each column of a migration that is written one column per line.
fn columns_of(text: &str) -> impl Iterator<Item = String> {
    let mut table = "";
    text.lines().filter_map(move |line| {
        if let Some(rest) = line.strip_prefix("ALTER TABLE ") {
            let (table, rest) = rest.split_once(" ADD COLUMN ")?;
            return Some(format!("{table}.{}", rest.split(' ').next()?));
        }
        if let Some(rest) = line.strip_prefix("CREATE TABLE ") {
            table = rest.split(' ').next().unwrap_or_default();
            return None;
        }
        let word = line.strip_prefix("    ")?.split_whitespace().next()?;
        word.chars().all(|c| c.is_ascii_lowercase() || c == '_').then(|| format!("{table}.{word}"))
    })
}
