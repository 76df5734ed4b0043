//! The checks before anything is written to a database, and the first rows that are written.

use super::chain::ChainKey;
use super::{KnownDatabase, chain, objects, upgrade};
use crate::authentic::{Fields, IDENTITY_BUNDLES, census};
use crate::db::{Pools, Tx, sql};
use crate::error::{OpenError, StoreError};
use crate::id::BundleId;
use crate::secret::{Key, KeyId, Keyring};
use crate::url::DatabaseKind;

/// A database that is ready for use.
pub(crate) struct Prepared {
    pub(crate) chain: ChainKey,
    pub(crate) database: KnownDatabase,
}

/// Checks schema and key without writing. A database without a schema passes, because it is new.
pub(crate) async fn verify(
    tx: &mut Tx,
    known: i64,
    keyring: &Keyring,
    expected: Option<&KnownDatabase>,
) -> Result<(), OpenError> {
    let Some(found) = schema_version(tx).await? else {
        // A caller who knows the database does not accept an empty one in its place.
        return expected.map_or(Ok(()), |known| Err(OpenError::Missing { expected: known.id.clone() }));
    };
    if found > known {
        return Err(OpenError::SchemaNewer { found, known });
    }
    if found > 0 {
        verify_keys(tx, keyring).await?;
    }
    objects::refuse_foreign(tx).await?;
    upgrade::expect_mark(tx, found, expected).await
}

/// Migrates the schema, finishes an upgrade, and ensures that the key's row, the bundle `blank` and the audit log's chain
/// exist.
pub(crate) async fn prepare(pools: &Pools, keyring: &Keyring, now: i64) -> Result<Prepared, OpenError> {
    let mut tx = pools.read().await?;
    let found = schema_version(&mut tx).await?;
    drop(tx);
    if found != Some(pools.newest_schema()) {
        let mut tx = pools.write().await?;
        // Another process may have been first.
        let found = schema_version(&mut tx).await?.unwrap_or_default();
        tx.migrate().await?;
        if found < upgrade::SINCE {
            upgrade::begin(&mut tx, found == 0, now).await?;
        }
        tx.commit().await?;
    }
    let database = upgrade::finish(pools, now).await?;
    let mut tx = pools.read().await?;
    if is_ready(&mut tx, keyring).await?
        && let Some(chain) = chain::load(&mut tx, keyring).await?
    {
        return Ok(Prepared { chain, database });
    }
    drop(tx);
    let mut tx = pools.write().await?;
    // Another process may have been first, with another key.
    verify_keys(&mut tx, keyring).await?;
    insert_key(&mut tx, keyring.current(), now).await?;
    insert_blank(&mut tx, now).await?;
    let chain = match chain::load(&mut tx, keyring).await? {
        Some(chain) => chain,
        None => chain::begin(&mut tx, keyring, now).await?,
    };
    census::keep(&mut tx).await?;
    tx.commit().await?;
    Ok(Prepared { chain, database })
}

/// Checks schema, key and chain of a database that must be ready for use.
pub(crate) async fn attach(
    pools: &Pools,
    keyring: &Keyring,
    expected: Option<&KnownDatabase>,
) -> Result<Prepared, OpenError> {
    let mut tx = pools.read().await?;
    let known = pools.newest_schema();
    verify(&mut tx, known, keyring, expected).await?;
    let found = schema_version(&mut tx).await?.unwrap_or_default();
    if found < known {
        return Err(OpenError::SchemaOlder { found, known });
    }
    let database = upgrade::mark(&mut tx).await?.filter(|mark| mark.counted);
    let database = database.ok_or(OpenError::UpgradeUnfinished)?;
    let chain = chain::load(&mut tx, keyring).await?;
    let chain =
        chain.ok_or_else(|| StoreError::corrupt("audit chain", "chain", "its key cannot be opened"))?;
    Ok(Prepared { chain, database })
}

/// Returns the schema's version: `None` if there is no schema yet, 0 if its first migration has not run.
pub(crate) async fn schema_version(tx: &mut Tx) -> Result<Option<i64>, StoreError> {
    // The two databases keep their lists of tables in different places.
    let (exists,) = match tx.kind() {
        DatabaseKind::Sqlite => sql!(
            one,
            (i64,),
            tx,
            "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = '_sqlx_migrations'"
        )?,
        DatabaseKind::Postgres => sql!(one, (i64,), tx, "SELECT count(to_regclass('_sqlx_migrations'))")?,
    };
    if exists == 0 {
        return Ok(None);
    }
    let (version,) = sql!(one, (Option<i64>,), tx, "SELECT max(version) FROM _sqlx_migrations")?;
    Ok(Some(version.unwrap_or_default()))
}

/// Checks that the keyring has every key of the database that may still have sealed rows.
async fn verify_keys(tx: &mut Tx, keyring: &Keyring) -> Result<(), OpenError> {
    let rows = sql!(
        all,
        (String, Vec<u8>),
        tx,
        "SELECT key_id, kcv FROM crypto_keys WHERE state <> 'retired' ORDER BY created_at, key_id"
    )?;
    for (id, stored) in rows {
        let id: KeyId = id
            .parse()
            .map_err(|error| StoreError::corrupt("encryption key", &id, &error))
            .map_err(|error| OpenError::Database(error.into()))?;
        let proven = keyring.find(id).is_some_and(|key| key.check_value().matches(&stored));
        if !proven {
            return Err(OpenError::WrongKey { database_key_id: id, given_key_id: keyring.key_id() });
        }
    }
    Ok(())
}

/// Returns whether both rows that [`prepare`] writes exist, so that the usual boot writes nothing.
async fn is_ready(tx: &mut Tx, keyring: &Keyring) -> Result<bool, StoreError> {
    let (rows,) = sql!(
        one,
        (i64,),
        tx,
        "SELECT (SELECT count(*) FROM crypto_keys WHERE key_id = $1 AND state = 'active')
              + (SELECT count(*) FROM identity_bundles WHERE id = $2)",
        keyring.key_id().to_string(),
        BundleId::blank().as_str().to_owned(),
    )?;
    Ok(rows == 2)
}

async fn insert_key(tx: &mut Tx, key: &Key, now: i64) -> Result<(), StoreError> {
    let id = key.id().to_string();
    sql!(
        run,
        tx,
        "UPDATE crypto_keys SET state = 'old' WHERE state = 'active' AND key_id <> $1",
        id.as_str()
    )?;
    sql!(
        run,
        tx,
        "INSERT INTO crypto_keys (key_id, kcv, state, created_at) VALUES ($1, $2, 'active', $3)
         ON CONFLICT (key_id) DO UPDATE SET state = 'active'",
        id.as_str(),
        key.check_value().0.to_vec(),
        now,
    )?;
    Ok(())
}

async fn insert_blank(tx: &mut Tx, now: i64) -> Result<(), StoreError> {
    census::put(tx, IDENTITY_BUNDLES, [BundleId::blank().as_str(), ""]).await?;
    let code = Fields::new(IDENTITY_BUNDLES)
        .with("id", BundleId::blank().as_str())
        .with("name", "Blank")
        .with("name_key", "blank")
        .with("description", "")
        .code(tx);
    sql!(
        run,
        tx,
        "INSERT INTO identity_bundles (id, name, name_key, description, created_at, updated_at, mac)
         VALUES ('blank', 'Blank', 'blank', '', $1, $1, $2) ON CONFLICT (id) DO NOTHING",
        now,
        code,
    )?;
    Ok(())
}
