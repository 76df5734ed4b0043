//! The migrations of the two databases.

use sqlx::migrate::Migrator;

use crate::url::DatabaseKind;

/// The migrations of each database. A test compares their numbers and names.
static SQLITE_MIGRATIONS: Migrator = sqlx::migrate!("../../migrations/sqlite");
static POSTGRES_MIGRATIONS: Migrator = sqlx::migrate!("../../migrations/postgres");

/// Returns the texts of the migrations.
pub(crate) fn migration_texts(kind: DatabaseKind) -> impl Iterator<Item = &'static str> {
    migrations(kind).iter().map(|migration| migration.sql.as_str())
}

/// Returns the texts of the migrations up to a schema.
pub(crate) fn migrations_until(kind: DatabaseKind, schema: i64) -> impl Iterator<Item = &'static str> {
    let until = migrations(kind).iter().filter(move |migration| migration.version <= schema);
    until.map(|migration| migration.sql.as_str())
}

pub(super) fn migrations(kind: DatabaseKind) -> &'static Migrator {
    match kind {
        DatabaseKind::Sqlite => &SQLITE_MIGRATIONS,
        DatabaseKind::Postgres => &POSTGRES_MIGRATIONS,
    }
}

/// Returns the newest schema version that this build knows.
pub fn newest_schema(kind: DatabaseKind) -> i64 {
    migrations(kind).iter().map(|migration| migration.version).max().unwrap_or_default()
}
