//! Agent instances. Each runs under a bundle, or under none.

use crate::authentic::{AGENT_INSTANCES, Fields, Page, Seal, census, fields_in};
use crate::db::{Tx, readable, row, sql};
use crate::error::StoreError;
use crate::id::{AccountId, BundleId, InstanceId};
use crate::model::instance::{Instance, InstanceFilter, NewInstance};
use crate::names;
use crate::secret::Keyring;
use crate::store::Store;

/// The kind of row, for errors.
const WHAT: &str = "instance";

/// The number of ended instances that are kept.
const ENDED_KEPT: i64 = 1000;

row! {
    struct InstanceRow {
        id: String,
        definition_id: String,
        name: String,
        bundle_id: Option<String>,
        created_at: i64,
        updated_at: i64,
        ended_at: Option<i64>,
    } with {
        seal: Seal<AGENT_INSTANCES>,
    }
}

macro_rules! columns {
    () => {
        concat!(
            "id, definition_id, name, bundle_id, created_at, updated_at, ended_at, ",
            signed!(agent_instances)
        )
    };
}

/// The condition for all ended instances but the `$1` newest.
macro_rules! old_instances {
    () => {
        "id IN (SELECT id FROM agent_instances WHERE ended_at IS NOT NULL
             ORDER BY ended_at DESC, id DESC LIMIT 1000000 OFFSET $1)"
    };
}

impl Store {
    /// Creates an instance. Its bundle must exist.
    ///
    /// # Errors
    /// [`StoreError::InvalidName`] if a name is not valid; [`StoreError::NotFound`] if the bundle does not exist;
    /// [`StoreError::Busy`], [`StoreError::Full`] or another error of the database.
    pub async fn create_instance(&self, new: NewInstance, now: i64) -> Result<Instance, StoreError> {
        let definition = names::name("definition_id", &new.definition)?;
        let name = names::name("name", new.name.as_deref().unwrap_or(&definition))?;
        let id = InstanceId::generate();
        let mut work = self.write(now).await?;
        expect_bundle(&mut work.tx, new.bundle.as_ref()).await?;
        let code = Fields::new(AGENT_INSTANCES)
            .with("id", id.as_str())
            .with("definition_id", definition.as_str())
            .with("name", name.as_str())
            .with("bundle_id", new.bundle.as_ref().map(BundleId::as_str))
            .code(&work.tx);
        census::added(&mut work.tx, AGENT_INSTANCES, [id.as_str(), ""]);
        sql!(
            run,
            &mut work.tx,
            "INSERT INTO agent_instances (id, definition_id, name, bundle_id, created_at, updated_at, mac)
             VALUES ($1, $2, $3, $4, $5, $5, $6)",
            id.as_str(),
            definition.as_str(),
            name.as_str(),
            new.bundle.as_ref().map(BundleId::as_str),
            now,
            code,
        )?;
        work.audit("instance.create", id.as_str());
        let instance = instance_in(&mut work.tx, &id).await?;
        work.commit().await?;
        Ok(instance)
    }

    /// Returns the instances, oldest first. A row that cannot be read is logged and left out.
    ///
    /// # Errors
    /// [`StoreError::Busy`], [`StoreError::Unavailable`] or another error of the database.
    pub async fn instances(&self, filter: InstanceFilter) -> Result<Vec<Instance>, StoreError> {
        let mut tx = self.read().await?;
        macro_rules! select {
            ($condition:literal) => {
                concat!(
                    "SELECT ",
                    columns!(),
                    " FROM agent_instances",
                    $condition,
                    " ORDER BY created_at, id"
                )
            };
        }
        // Each case has its own text. With an optional condition in one text, the database would search all rows.
        let rows = match (&filter.bundle, filter.ended) {
            (Some(bundle), ended) => sql!(
                each,
                InstanceRow,
                &mut tx,
                select!(" WHERE bundle_id = $1 AND ($2 <> 0 OR ended_at IS NULL)"),
                bundle.as_str(),
                i64::from(ended),
            ),
            (None, false) => sql!(each, InstanceRow, &mut tx, select!(" WHERE ended_at IS NULL")),
            (None, true) => sql!(each, InstanceRow, &mut tx, select!("")),
        }?;
        let mut instances = Vec::with_capacity(rows.len());
        for row in readable(rows, WHAT) {
            match row.parse(self.keyring()) {
                Ok(instance) => instances.push(instance),
                Err(error) => tracing::error!(%error, "an instance was skipped: its row cannot be read"),
            }
        }
        Ok(instances)
    }

    /// Returns one instance.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if the instance does not exist; [`StoreError::Corrupt`] if the row cannot be read;
    /// [`StoreError::Busy`], [`StoreError::Unavailable`] or another error of the database.
    pub async fn instance(&self, id: &InstanceId) -> Result<Instance, StoreError> {
        let found = instance_in(&mut self.read().await?, id).await;
        match found {
            Ok(instance) => Ok(instance),
            Err(error) => Err(self.absent(AGENT_INSTANCES, id.as_str(), error).await),
        }
    }

    /// Moves an instance to another bundle, or to none. An instance that has ended stays unchanged: `Conflict`.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if the instance or the bundle does not exist; [`StoreError::Conflict`] if the
    /// instance has ended; [`StoreError::Corrupt`] if the row cannot be read; [`StoreError::Busy`],
    /// [`StoreError::Full`] or another error of the database.
    pub async fn move_instance(
        &self,
        id: &InstanceId,
        bundle: Option<&BundleId>,
        now: i64,
    ) -> Result<Instance, StoreError> {
        let mut work = self.write(now).await?;
        if instance_in(&mut work.tx, id).await?.ended_at.is_some() {
            return Err(StoreError::conflict("instance", id.as_str(), "it has ended"));
        }
        expect_bundle(&mut work.tx, bundle).await?;
        put_under(&mut work.tx, id.as_str(), bundle, now).await?;
        work.audit("instance.update", id.as_str());
        let instance = instance_in(&mut work.tx, id).await?;
        work.commit().await?;
        Ok(instance)
    }

    /// Ends an instance and returns whether it was running. The newest ended instances stay readable. A row that cannot be
    /// read is deleted.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if the instance does not exist; [`StoreError::Busy`], [`StoreError::Full`] or another
    /// error of the database.
    pub async fn end_instance(&self, id: &InstanceId, now: i64) -> Result<bool, StoreError> {
        let mut work = self.write(now).await?;
        match instance_in(&mut work.tx, id).await {
            Ok(instance) if instance.ended_at.is_some() => return Ok(false),
            Ok(_) => {}
            Err(StoreError::Corrupt { .. }) => {
                census::removed(&mut work.tx, AGENT_INSTANCES, [id.as_str(), ""]).await?;
                sql!(run, &mut work.tx, "DELETE FROM agent_instances WHERE id = $1", id.as_str())?;
                work.audit_outcome("instance.end", id.as_str(), "corrupt");
                work.commit().await?;
                return Ok(true);
            }
            Err(error) => return Err(error),
        }
        sql!(
            run,
            &mut work.tx,
            "UPDATE agent_instances SET ended_at = $2, updated_at = $2 WHERE id = $1",
            id.as_str(),
            now,
        )?;
        let old = sql!(all, Page, &mut work.tx, listed!(agent_instances, old_instances!()), ENDED_KEPT)?;
        if !old.is_empty() {
            census::gone(&mut work.tx, AGENT_INSTANCES, old);
            let delete = concat!("DELETE FROM agent_instances WHERE ", old_instances!());
            sql!(run, &mut work.tx, delete, ENDED_KEPT)?;
        }
        work.audit("instance.end", id.as_str());
        work.commit().await?;
        Ok(true)
    }

    /// Moves every running instance that is under no bundle, or under `blank`, to `bundle`. Returns the number moved. A
    /// second run moves none.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if the bundle does not exist; [`StoreError::Busy`], [`StoreError::Full`] or another
    /// error of the database.
    pub async fn backfill_instances(&self, bundle: &BundleId, now: i64) -> Result<u64, StoreError> {
        let mut work = self.write(now).await?;
        expect_bundle(&mut work.tx, Some(bundle)).await?;
        let found = sql!(
            all,
            (String,),
            &mut work.tx,
            "SELECT id FROM agent_instances
             WHERE ended_at IS NULL AND (bundle_id IS NULL OR bundle_id = 'blank') ORDER BY id",
        )?;
        let mut moved = 0;
        for (id,) in found {
            match put_under(&mut work.tx, &id, Some(bundle), now).await {
                Ok(()) => moved += 1,
                Err(error @ StoreError::Corrupt { .. }) => {
                    tracing::error!(%error, "an instance was not moved");
                }
                Err(error) => return Err(error),
            }
        }
        if moved > 0 {
            work.audit("instance.backfill", bundle.as_str());
            work.commit().await?;
        }
        Ok(moved)
    }
}

/// Returns the number of running instances under the bundles that bind an account.
pub(crate) async fn under(tx: &mut Tx, account: &AccountId) -> Result<u64, StoreError> {
    let (count,) = sql!(
        one,
        (i64,),
        tx,
        "SELECT COUNT(*) FROM agent_instances WHERE ended_at IS NULL AND bundle_id IN (
             SELECT bundle_id FROM identity_bindings WHERE account_id = $1)",
        account.as_str(),
    )?;
    Ok(u64::try_from(count).unwrap_or(0))
}

/// Removes a bundle that is about to be deleted from its instances. Returns the number of those that run.
pub(crate) async fn release(tx: &mut Tx, bundle: &BundleId, now: i64) -> Result<u64, StoreError> {
    let found = sql!(
        all,
        (String, Option<i64>, i64),
        tx,
        "SELECT id, ended_at, updated_at FROM agent_instances WHERE bundle_id = $1 ORDER BY id",
        bundle.as_str(),
    )?;
    let mut running = 0;
    for (id, ended_at, updated_at) in found {
        match put_under(tx, &id, None, ended_at.map_or(now, |_| updated_at)).await {
            // The row stays corrupt; the database clears its bundle.
            Ok(()) | Err(StoreError::Corrupt { .. }) => running += u64::from(ended_at.is_none()),
            Err(error) => return Err(error),
        }
    }
    Ok(running)
}

/// Writes the bundle of an instance, whose row a holder of the key must have written.
async fn put_under(tx: &mut Tx, id: &str, bundle: Option<&BundleId>, now: i64) -> Result<(), StoreError> {
    let bundle = bundle.map(BundleId::as_str);
    let code = fields_in(tx, AGENT_INSTANCES, [id, ""]).await?.with("bundle_id", bundle).code(tx);
    sql!(
        run,
        tx,
        "UPDATE agent_instances SET bundle_id = $2, updated_at = $3, mac = $4 WHERE id = $1",
        id,
        bundle,
        now,
        code,
    )?;
    Ok(())
}

async fn expect_bundle(tx: &mut Tx, bundle: Option<&BundleId>) -> Result<(), StoreError> {
    let Some(bundle) = bundle else { return Ok(()) };
    let found =
        sql!(optional, (String,), tx, "SELECT id FROM identity_bundles WHERE id = $1", bundle.as_str(),)?;
    found.map(drop).ok_or_else(|| StoreError::not_found("bundle", bundle))
}

async fn instance_in(tx: &mut Tx, id: &InstanceId) -> Result<Instance, StoreError> {
    let row = sql!(
        optional,
        InstanceRow,
        tx,
        concat!("SELECT ", columns!(), " FROM agent_instances WHERE id = $1"),
        id.as_str(),
    )?;
    row.ok_or_else(|| StoreError::not_found(WHAT, id))?.parse(&tx.keyring)
}

impl InstanceRow {
    fn parse(self, keyring: &Keyring) -> Result<Instance, StoreError> {
        self.seal.expect(keyring, &self.id)?;
        let corrupt = |error: crate::id::InvalidId| StoreError::corrupt(WHAT, &self.id, &error);
        Ok(Instance {
            id: self.id.parse().map_err(corrupt)?,
            bundle: self.bundle_id.as_deref().map(str::parse).transpose().map_err(corrupt)?,
            definition: self.definition_id,
            name: self.name,
            created_at: self.created_at,
            updated_at: self.updated_at,
            ended_at: self.ended_at,
        })
    }
}
