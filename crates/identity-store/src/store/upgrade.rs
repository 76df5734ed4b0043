//! The mark that says since when the rows of a database are authenticated, and the upgrade of a database from before.
//!
//! The mark is a setting, authenticated like every row, with the identity of the database. The migration that adds the
//! column writes it in its own transaction. So a database with that schema and without a mark was changed by a program
//! without the key. An older copy of the mark would still fit: the caller keeps what it knows of the database outside of it
//! ([`KnownDatabase`]), and a database that has lost its authentication does not open.

use super::KnownDatabase;
use crate::authentic::{SERVICE_SETTINGS, TABLES, Table, census, known, page, resign, setting};
use crate::db::{Pools, Tx, sql};
use crate::error::{OpenError, StoreError};
use crate::secret::{self, Cell, SecretError};

/// The first schema whose rows are authenticated.
pub const SINCE: i64 = 6;

/// The setting that holds the mark: the identity of the database and a word.
pub(crate) const MARK: &str = "authentication";

const COUNTED: &str = "counted";
const COMPLETE: &str = "complete";
const UNFINISHED: &str = "unfinished";

/// Reads the mark; `None` if there is none.
pub(crate) async fn mark(tx: &mut Tx) -> Result<Option<KnownDatabase>, StoreError> {
    let Some(row) = known(tx, SERVICE_SETTINGS, [MARK, ""]).await? else { return Ok(None) };
    let (id, word) = row.get("value").unwrap_or_default().split_once(' ').unwrap_or_default();
    let counted = word == COUNTED;
    Ok(Some(KnownDatabase { id: id.to_owned(), authenticated: counted || word == COMPLETE, counted }))
}

/// Checks that a database with this schema did not lose its authentication.
pub(crate) async fn expect_mark(
    tx: &mut Tx,
    schema: i64,
    expected: Option<&KnownDatabase>,
) -> Result<(), OpenError> {
    let authenticated = expected.is_some_and(|expected| expected.authenticated);
    if schema < SINCE {
        return if authenticated {
            Err(reverted("its schema is from before the authentication"))
        } else {
            Ok(())
        };
    }
    let found = match mark(tx).await {
        Ok(found) => found.ok_or_else(|| reverted("its mark of the authentication is missing"))?,
        Err(StoreError::Corrupt { .. }) => {
            return Err(reverted("its mark of the authentication was changed by a program without the key"));
        }
        Err(error) => return Err(error.into()),
    };
    match expected {
        Some(expected) if expected.id != found.id => {
            Err(OpenError::OtherDatabase { expected: expected.id.clone(), found: found.id })
        }
        Some(_) if authenticated && !found.authenticated => {
            Err(reverted("its rows are to be authenticated again"))
        }
        Some(expected) if expected.counted && !found.counted => {
            Err(reverted("its rows are to be counted again"))
        }
        _ => Ok(()),
    }
}

fn reverted(reason: &'static str) -> OpenError {
    OpenError::Reverted { reason }
}

/// Writes the mark in the transaction of the migration, unless there is one. The rows of a new database are authenticated
/// from the first.
pub(crate) async fn begin(tx: &mut Tx, is_new: bool, now: i64) -> Result<(), StoreError> {
    if mark(tx).await?.is_some() {
        return Ok(());
    }
    let id = uuid::Uuid::new_v4().simple().to_string();
    write_mark(tx, &KnownDatabase { id, authenticated: is_new, counted: false }, now).await
}

async fn write_mark(tx: &mut Tx, mark: &KnownDatabase, now: i64) -> Result<(), StoreError> {
    let word = match mark {
        KnownDatabase { counted: true, .. } => COUNTED,
        KnownDatabase { authenticated: true, .. } => COMPLETE,
        _ => UNFINISHED,
    };
    let value = format!("{} {word}", mark.id);
    let code = setting(MARK, &value).code(tx);
    sql!(
        run,
        tx,
        "INSERT INTO service_settings (key, value, updated_at, mac) VALUES ($1, $2, $3, $4)
         ON CONFLICT (key) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at, mac = excluded.mac",
        MARK,
        value,
        now,
        code,
    )?;
    Ok(())
}

/// Authenticates the rows from before the migration, in transactions of one page each, then completes the mark and takes the
/// census. It may be interrupted at any moment and continues at the next start. It takes the rows as they are, except that a
/// row whose secret does not open stays without authentication, and so is corrupt.
pub(crate) async fn finish(pools: &Pools, now: i64) -> Result<KnownDatabase, OpenError> {
    let mut tx = pools.read().await?;
    let found = mark(&mut tx).await?.ok_or_else(|| reverted("its mark of the authentication is missing"))?;
    drop(tx);
    match found {
        KnownDatabase { counted: true, .. } => Ok(found),
        KnownDatabase { authenticated: true, .. } => count(pools, found, now).await,
        _ => {
            let found = authenticate(pools, found, now).await?;
            count(pools, found, now).await
        }
    }
}

/// Takes the census of the rows, and records that there is one, in one transaction.
async fn count(pools: &Pools, found: KnownDatabase, now: i64) -> Result<KnownDatabase, OpenError> {
    let mut tx = pools.write().await?;
    // Another process may have been first.
    let counted = match mark(&mut tx).await? {
        Some(mark) if mark.counted => return Ok(mark),
        _ => KnownDatabase { counted: true, ..found },
    };
    write_mark(&mut tx, &counted, now).await?;
    census::begin(&mut tx, now).await?;
    tx.commit().await?;
    Ok(counted)
}

/// Authenticates the rows of a database from before the authentication.
async fn authenticate(pools: &Pools, found: KnownDatabase, now: i64) -> Result<KnownDatabase, OpenError> {
    tracing::warn!("the rows of the database are authenticated for the first time");
    let mut signed = 0;
    for table in TABLES {
        let mut after = (String::new(), String::new());
        while let Some(last) = finish_page(pools, table, &after, &mut signed).await? {
            after = last;
        }
    }
    let mut tx = pools.write().await?;
    let complete = KnownDatabase { authenticated: true, ..found };
    write_mark(&mut tx, &complete, now).await?;
    tx.commit().await?;
    tracing::warn!(rows = signed, "the rows of the database are authenticated");
    Ok(complete)
}

/// Authenticates the rows of one page. Returns the key of its last row; `None` if there is none left.
async fn finish_page(
    pools: &Pools,
    table: &'static Table,
    after: &(String, String),
    signed: &mut u64,
) -> Result<Option<(String, String)>, StoreError> {
    let mut tx = pools.write().await?;
    let rows = page(&mut tx, table, (&after.0, &after.1)).await?;
    for row in rows.iter().filter(|row| row.mac.is_none()) {
        match opens(&mut tx, table, &row.key).await? {
            Ok(()) => {
                resign(&mut tx, table, row).await?;
                *signed += 1;
            }
            Err(error) => {
                let (table, id) = (table.name, row.id());
                tracing::error!(table, id, %error, "a row stays without authentication: its secret does not open");
            }
        }
    }
    tx.commit().await?;
    Ok(rows.last().map(|row| (row.key.clone(), row.second.clone())))
}

/// Returns whether the boxes of a row open in their places.
async fn opens(tx: &mut Tx, table: &Table, row: &str) -> Result<Result<(), SecretError>, StoreError> {
    type Boxes = (i64, Option<Vec<u8>>, Option<Vec<u8>>, Option<Vec<u8>>);
    let (columns, text): (&[&str], _) = match table.name {
        "accounts" => {
            (&["sealed_secret"], "SELECT generation, sealed_secret, NULL, NULL FROM accounts WHERE id = $1")
        }
        "account_tokens" => (
            &["sealed_access", "sealed_refresh", "sealed_id"],
            "SELECT generation, sealed_access, sealed_refresh, sealed_id FROM account_tokens WHERE account_id = $1",
        ),
        _ => return Ok(Ok(())),
    };
    let Some((generation, first, second, third)) = sql!(optional, Boxes, tx, text, row)? else {
        return Ok(Ok(()));
    };
    let Ok(generation) = u64::try_from(generation) else { return Ok(Err(SecretError::Mismatch)) };
    for (column, sealed) in columns.iter().zip([first, second, third]) {
        let cell = Cell { table: table.name, column, row, generation };
        if let Some(sealed) = sealed
            && let Err(error) = secret::open(&tx.keyring, cell, &sealed)
        {
            return Ok(Err(error));
        }
    }
    Ok(Ok(()))
}
