//! A copy of a `PostgreSQL` database as a script for `psql`, made without the server's own tools.
//!
//! The script is one transaction: the migrations up to the schema of the database, and then the rows of each table. It
//! has to be run in an empty database.

use std::fs::File;
use std::io::{BufWriter, Write};

use futures_util::TryStreamExt as _;
use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Row as _};

use crate::db::migrations_until;
use crate::error::StoreError;
use crate::url::{DatabaseKind, DatabaseUrl, Location};

/// The table of the migrations, as the database library creates it.
const MIGRATIONS: &str = "CREATE TABLE _sqlx_migrations (
    version BIGINT PRIMARY KEY,
    description TEXT NOT NULL,
    installed_on TIMESTAMPTZ NOT NULL DEFAULT now(),
    success BOOLEAN NOT NULL,
    checksum BYTEA NOT NULL,
    execution_time BIGINT NOT NULL
);";

/// Writes a `PostgreSQL` database of any schema, as it is at one moment, into a file that is empty. Sealed secrets stay
/// sealed.
///
/// # Errors
/// [`StoreError::Unsupported`] for a `SQLite` file; [`StoreError::Unavailable`] if the file cannot be written;
/// [`StoreError::Busy`] or another error of the database.
pub async fn dump(url: &DatabaseUrl, file: &File) -> Result<(), StoreError> {
    let Location::Postgres(options) = url.location() else {
        return Err(StoreError::Unsupported {
            operation: "dump",
            database: DatabaseKind::Sqlite,
            advice: "copy the file",
        });
    };
    let mut connection = PgConnection::connect_with(options).await?;
    let dumped = write(&mut connection, BufWriter::new(file)).await;
    // The connection only read. An error of its end says nothing about the copy.
    let _ = connection.close().await;
    dumped
}

async fn write(connection: &mut PgConnection, mut out: BufWriter<&File>) -> Result<(), StoreError> {
    let unwritten = |error: std::io::Error| StoreError::Unavailable(error.into());
    let mut tx = connection.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let schema: i64 =
        sqlx::query("SELECT max(version) FROM _sqlx_migrations").fetch_one(&mut *tx).await?.try_get(0)?;
    writeln!(out, "-- A database of srvd with schema {schema}. To restore it into an empty database:")
        .and_then(|()| {
            writeln!(out, "--   psql -v ON_ERROR_STOP=1 -f THIS_FILE DATABASE\nBEGIN;\n{MIGRATIONS}")
        })
        .map_err(unwritten)?;
    let mut tables = vec!["_sqlx_migrations"];
    for text in migrations_until(DatabaseKind::Postgres, schema) {
        writeln!(out, "{text}").map_err(unwritten)?;
        tables.extend(created(text));
        tables.retain(|table| !text.contains(&format!("DROP TABLE {table};")));
    }
    for table in tables {
        writeln!(out, "COPY {table} FROM stdin;").map_err(unwritten)?;
        let mut rows = tx.copy_out_raw(&format!("COPY {table} TO STDOUT")).await?;
        while let Some(bytes) = rows.try_next().await? {
            out.write_all(&bytes).map_err(unwritten)?;
        }
        writeln!(out, "\\.").map_err(unwritten)?;
    }
    let next = "SELECT setval(pg_get_serial_sequence('audit_log', 'seq'), \
                (SELECT coalesce(max(seq), 0) + 1 FROM audit_log), false);";
    writeln!(out, "{next}\nCOMMIT;").and_then(|()| out.flush()).map_err(unwritten)?;
    tx.commit().await?;
    Ok(())
}

/// Returns the tables that a migration creates, in order. A table comes after those that it refers to.
fn created(text: &'static str) -> impl Iterator<Item = &'static str> {
    text.lines().filter_map(|line| line.strip_prefix("CREATE TABLE ")?.split([' ', '(']).next())
}
