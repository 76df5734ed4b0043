//! The policies of the bundles about the setup of their homes.

use super::writes::unprotected;
use crate::authentic::{IDENTITY_BUNDLES, Seal, fields_in};
use crate::db::{Tx, row, sql};
use crate::error::StoreError;
use crate::id::BundleId;
use crate::model::changes::Change;
use crate::model::share::{LONGEST_CHAIN, SharePolicy, ShareSource};
use crate::store::Store;
use crate::store::work::Work;

row! {
    /// The policy of a bundle; without one the bundle shares nothing.
    struct PolicyRow {
        share: Option<String>,
        share_history: Option<i64>,
    } with {
        seal: Seal<IDENTITY_BUNDLES>,
    }
}

impl Store {
    /// Returns the policies of a bundle and of the bundles that it takes its setup from, in that order. A bundle that
    /// exists no more ends the chain.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if the first bundle does not exist; [`StoreError::Corrupt`] if a row cannot be read;
    /// [`StoreError::Busy`], [`StoreError::Unavailable`] or another error of the database.
    pub async fn share_chain(&self, id: &BundleId) -> Result<Vec<(BundleId, SharePolicy)>, StoreError> {
        let mut tx = self.read().await?;
        let first = policy_in(&mut tx, id).await?.ok_or_else(|| StoreError::not_found("bundle", id))?;
        chain_in(&mut tx, id.clone(), first).await
    }

    /// Changes the policy of a bundle.
    ///
    /// # Errors
    /// [`StoreError::Protected`] for the bundle `blank`; [`StoreError::NotFound`] if the bundle, or the one that it names,
    /// does not exist; [`StoreError::Conflict`] if a bundle would take its setup from itself, or through too many others;
    /// [`StoreError::Busy`], [`StoreError::Full`] or another error of the database.
    pub async fn set_share_policy(
        &self,
        id: &BundleId,
        policy: SharePolicy,
        now: i64,
    ) -> Result<(), StoreError> {
        unprotected(id)?;
        let mut work = self.write(now).await?;
        let before = policy_in(&mut work.tx, id).await?.ok_or_else(|| StoreError::not_found("bundle", id))?;
        if before == policy {
            return Ok(());
        }
        if let ShareSource::Bundle(other) = &policy.source {
            unprotected(other)?;
            let next = policy_in(&mut work.tx, other).await?;
            let next = next.ok_or_else(|| StoreError::not_found("bundle", other))?;
            let chain = chain_in(&mut work.tx, other.clone(), next).await?;
            if chain.iter().any(|(bundle, _)| bundle == id) {
                return Err(StoreError::conflict(
                    "bundle",
                    other,
                    "the bundle would take its setup from itself",
                ));
            }
            if chain.len() >= LONGEST_CHAIN {
                return Err(StoreError::conflict(
                    "bundle",
                    other,
                    "too many bundles take their setup from each other",
                ));
            }
        }
        write(&mut work, id, &policy).await?;
        work.audit("bundle.share", &format!("{id} {}", policy.source));
        work.changed(Change::Bundles);
        work.commit().await
    }
}

/// Writes the policy of a bundle that exists.
pub(crate) async fn write(work: &mut Work, id: &BundleId, policy: &SharePolicy) -> Result<(), StoreError> {
    let row = fields_in(&mut work.tx, IDENTITY_BUNDLES, [id.as_str(), ""]).await?;
    let (source, history) = (policy.source.to_string(), i64::from(policy.history));
    sql!(
        run,
        &mut work.tx,
        "UPDATE identity_bundles SET share = $2, share_history = $3, updated_at = $4 WHERE id = $1",
        id.as_str(),
        source.as_str(),
        history,
        work.now,
    )?;
    row.with("share", source.as_str())
        .with("share_history", history)
        .sign(&mut work.tx, [id.as_str(), ""])
        .await?;
    Ok(())
}

async fn chain_in(
    tx: &mut Tx,
    id: BundleId,
    policy: SharePolicy,
) -> Result<Vec<(BundleId, SharePolicy)>, StoreError> {
    let mut chain = vec![(id, policy)];
    while chain.len() <= LONGEST_CHAIN {
        let Some((_, SharePolicy { source: ShareSource::Bundle(next), .. })) = chain.last() else { break };
        let next = next.clone();
        match policy_in(tx, &next).await? {
            // A row that someone changed by hand could lead in a circle.
            Some(policy) if chain.iter().all(|(bundle, _)| *bundle != next) => chain.push((next, policy)),
            _ => break,
        }
    }
    Ok(chain)
}

async fn policy_in(tx: &mut Tx, id: &BundleId) -> Result<Option<SharePolicy>, StoreError> {
    let row = sql!(
        optional,
        PolicyRow,
        tx,
        concat!(
            "SELECT share, share_history, ",
            signed!(identity_bundles),
            " FROM identity_bundles WHERE id = $1"
        ),
        id.as_str(),
    )?;
    let Some(PolicyRow { share, share_history, seal }) = row else { return Ok(None) };
    seal.expect(&tx.keyring, id.as_str())?;
    let Some(source) = share else { return Ok(Some(SharePolicy::NOTHING)) };
    let source = source.parse().map_err(|reason| StoreError::corrupt("bundle", id.as_str(), &reason))?;
    Ok(Some(SharePolicy { source, history: share_history.unwrap_or(0) != 0 }))
}
