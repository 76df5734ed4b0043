//! Agent instances. Each runs under a bundle, or under none.

use crate::db::{Tx, sql};
use crate::error::StoreError;
use crate::id::{AccountId, BundleId, InstanceId};
use crate::model::instance::{Instance, InstanceFilter, NewInstance};
use crate::names;
use crate::store::Store;

/// The kind of row, for errors.
const WHAT: &str = "instance";

/// The number of ended instances that are kept.
const ENDED_KEPT: i64 = 1000;

#[derive(sqlx::FromRow)]
struct InstanceRow {
    id: String,
    definition_id: String,
    name: String,
    bundle_id: Option<String>,
    created_at: i64,
    updated_at: i64,
    ended_at: Option<i64>,
}

macro_rules! columns {
    () => {
        "id, definition_id, name, bundle_id, created_at, updated_at, ended_at"
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
        sql!(
            run,
            &mut work.tx,
            "INSERT INTO agent_instances (id, definition_id, name, bundle_id, created_at, updated_at)
             VALUES ($1, $2, $3, $4, $5, $5)",
            id.as_str(),
            definition.as_str(),
            name.as_str(),
            new.bundle.as_ref().map(BundleId::as_str),
            now,
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
                all,
                InstanceRow,
                &mut tx,
                select!(" WHERE bundle_id = $1 AND ($2 <> 0 OR ended_at IS NULL)"),
                bundle.as_str(),
                i64::from(ended),
            ),
            (None, false) => sql!(all, InstanceRow, &mut tx, select!(" WHERE ended_at IS NULL")),
            (None, true) => sql!(all, InstanceRow, &mut tx, select!("")),
        }?;
        let mut instances = Vec::with_capacity(rows.len());
        for row in rows {
            match row.parse() {
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
        instance_in(&mut self.read().await?, id).await
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
        sql!(
            run,
            &mut work.tx,
            "UPDATE agent_instances SET bundle_id = $2, updated_at = $3 WHERE id = $1",
            id.as_str(),
            bundle.map(BundleId::as_str),
            now,
        )?;
        work.audit("instance.update", id.as_str());
        let instance = instance_in(&mut work.tx, id).await?;
        work.commit().await?;
        Ok(instance)
    }

    /// Ends an instance and returns whether it was running. The newest ended instances stay readable.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if the instance does not exist; [`StoreError::Corrupt`] if the row cannot be read;
    /// [`StoreError::Busy`], [`StoreError::Full`] or another error of the database.
    pub async fn end_instance(&self, id: &InstanceId, now: i64) -> Result<bool, StoreError> {
        let mut work = self.write(now).await?;
        if instance_in(&mut work.tx, id).await?.ended_at.is_some() {
            return Ok(false);
        }
        sql!(
            run,
            &mut work.tx,
            "UPDATE agent_instances SET ended_at = $2, updated_at = $2 WHERE id = $1",
            id.as_str(),
            now,
        )?;
        sql!(
            run,
            &mut work.tx,
            "DELETE FROM agent_instances WHERE id IN (SELECT id FROM agent_instances WHERE ended_at IS NOT NULL
             ORDER BY ended_at DESC, id DESC LIMIT 1000000 OFFSET $1)",
            ENDED_KEPT,
        )?;
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
        let moved = sql!(
            run,
            &mut work.tx,
            "UPDATE agent_instances SET bundle_id = $1, updated_at = $2
             WHERE ended_at IS NULL AND (bundle_id IS NULL OR bundle_id = 'blank')",
            bundle.as_str(),
            now,
        )?;
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

/// Removes a bundle that is about to be deleted from its running instances. Returns their number.
pub(crate) async fn release(tx: &mut Tx, bundle: &BundleId, now: i64) -> Result<u64, StoreError> {
    sql!(
        run,
        tx,
        "UPDATE agent_instances SET bundle_id = NULL, updated_at = $2 WHERE bundle_id = $1 AND ended_at IS NULL",
        bundle.as_str(),
        now,
    )
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
    row.ok_or_else(|| StoreError::not_found(WHAT, id))?.parse()
}

impl InstanceRow {
    fn parse(self) -> Result<Instance, StoreError> {
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
