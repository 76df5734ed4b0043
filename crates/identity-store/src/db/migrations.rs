//! The migrations of the two databases.

use std::sync::LazyLock;

use sqlx::SqlSafeStr as _;
use sqlx::migrate::{Migration, MigrationType, Migrator};

use crate::url::DatabaseKind;

/// Makes a migrator from the files of a directory. A file is named by its number and its description.
macro_rules! migrator {
    ($directory:literal) => {
        migrator!(
            $directory,
            (1, "init"), (2, "instances"), (3, "tokens"), (4, "audit"), (5, "no_events"),
            (6, "authentication"), (7, "unbound"), (8, "share"),
        )
    };
    ($directory:literal, $(($number:literal, $description:literal),)*) => {
        Migrator::with_migrations(vec![$(Migration::new(
            $number,
            $description.replace('_', " ").into(),
            MigrationType::Simple,
            include_str!(concat!("../../../../migrations/", $directory, "/000", $number, "_", $description, ".sql"))
                .into_sql_str(),
            false,
        ),)*])
    };
}

/// The migrations of each database. A test compares them with the files.
static SQLITE_MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| migrator!("sqlite"));
static POSTGRES_MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| migrator!("postgres"));

/// Returns the texts of the migrations.
pub(crate) fn migration_texts(kind: DatabaseKind) -> impl Iterator<Item = &'static str> {
    migrations(kind).iter().map(|migration| migration.sql.as_str())
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
