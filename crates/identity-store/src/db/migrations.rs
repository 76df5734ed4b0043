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
            "0001_init",
            "0002_instances",
            "0003_tokens",
            "0004_audit",
            "0005_no_events",
            "0006_authentication",
            "0007_unbound",
            "0008_share",
            "0009_forge_watches",
            "0010_user_logins",
            "0011_keep_alive",
            "0012_quota",
            "0013_client_tokens",
            "0014_census",
        )
    };
    ($directory:literal, $($name:literal,)*) => {
        Migrator::with_migrations(vec![$(migration(
            $name,
            include_str!(concat!("../../../../migrations/", $directory, "/", $name, ".sql")),
        ),)*])
    };
}

fn migration(name: &str, text: &'static str) -> Migration {
    let (number, description) = name.split_once('_').unwrap_or((name, ""));
    // The test below rejects a name without a number.
    let number = number.parse().unwrap_or_default();
    let description = description.replace('_', " ").into();
    Migration::new(number, description, MigrationType::Simple, text.into_sql_str(), false)
}

/// The migrations of each database.
static SQLITE_MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| migrator!("sqlite"));
static POSTGRES_MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| migrator!("postgres"));

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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn migrations_are_the_files_of_their_directory() {
        for (kind, directory) in [(DatabaseKind::Sqlite, "sqlite"), (DatabaseKind::Postgres, "postgres")] {
            let path = format!("{}/../../migrations/{directory}", env!("CARGO_MANIFEST_DIR"));
            let files: BTreeSet<String> = std::fs::read_dir(path)
                .unwrap()
                .map(|file| file.unwrap().file_name().into_string().unwrap())
                .collect();
            let listed: BTreeSet<String> = migrations(kind)
                .iter()
                .map(|one| format!("{:04}_{}.sql", one.version, one.description.replace(' ', "_")))
                .collect();
            assert_eq!(listed, files, "{directory}");
        }
    }
}
