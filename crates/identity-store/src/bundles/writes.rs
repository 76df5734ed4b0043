//! The statements that write a bundle or a binding, for every use case that does.

use crate::authentic::{Fields, IDENTITY_BINDINGS, IDENTITY_BUNDLES, census, fields_in};
use crate::db::sql;
use crate::error::StoreError;
use crate::id::{AccountId, BundleId, ProviderId};
use crate::model::bundle::UnboundRule;
use crate::model::changes::Change;
use crate::names;
use crate::store::work::Work;

/// Refuses the bundle `blank`. Only its id decides, not its row.
pub(crate) fn unprotected(id: &BundleId) -> Result<(), StoreError> {
    if id.is_blank() {
        return Err(StoreError::Protected { what: "bundle", id: id.to_string() });
    }
    Ok(())
}

/// Inserts a bundle's row. Its id and its name must be free.
pub(crate) async fn insert(
    work: &mut Work,
    id: &BundleId,
    name: &str,
    description: &str,
) -> Result<(), StoreError> {
    let taken = sql!(
        optional,
        (String,),
        &mut work.tx,
        "SELECT id FROM identity_bundles WHERE id = $1 OR name_key = $2 OR id = $2 ORDER BY id <> $1 LIMIT 1",
        id.as_str(),
        names::name_key(name),
    )?;
    match taken {
        Some((other,)) if other == id.as_str() => {
            return Err(StoreError::conflict("bundle", id, "it exists already"));
        }
        Some(_) => return Err(name_taken(name)),
        None => {}
    }
    let name_key = names::name_key(name);
    let code = Fields::new(IDENTITY_BUNDLES)
        .with("id", id.as_str())
        .with("name", name)
        .with("name_key", name_key.as_str())
        .with("description", description)
        .code(&work.tx);
    census::added(&mut work.tx, IDENTITY_BUNDLES, [id.as_str(), ""]);
    sql!(
        run,
        &mut work.tx,
        "INSERT INTO identity_bundles (id, name, name_key, description, created_at, updated_at, mac)
         VALUES ($1, $2, $3, $4, $5, $5, $6)",
        id.as_str(),
        name,
        name_key,
        description,
        work.now,
        code,
    )?;
    work.audit("bundle.create", id.as_str());
    work.changed(Change::Bundles);
    Ok(())
}

/// Returns the first of `base`, `base 2`, `base 3`, ... that no bundle uses.
pub(crate) async fn free_name(work: &mut Work, base: &str) -> Result<String, StoreError> {
    let mut number = 1;
    loop {
        let name = names::numbered(base, number);
        let taken = sql!(
            optional,
            (i64,),
            &mut work.tx,
            "SELECT created_at FROM identity_bundles WHERE name_key = $1",
            names::name_key(&name),
        )?;
        if taken.is_none() {
            return Ok(name);
        }
        number += 1;
    }
}

/// Seals the providers that a bundle does not bind.
pub(crate) async fn seal_unbound(work: &mut Work, id: &BundleId) -> Result<(), StoreError> {
    let rule = UnboundRule::Sealed.as_str();
    let row = fields_in(&mut work.tx, IDENTITY_BUNDLES, [id.as_str(), ""]).await?;
    sql!(run, &mut work.tx, "UPDATE identity_bundles SET unbound = $2 WHERE id = $1", id.as_str(), rule)?;
    row.with("unbound", rule).sign(&mut work.tx, [id.as_str(), ""]).await?;
    Ok(())
}

/// Records that a bundle changed. The bundle must exist.
pub(crate) async fn touch(work: &mut Work, id: &BundleId) -> Result<(), StoreError> {
    let touched = sql!(
        run,
        &mut work.tx,
        "UPDATE identity_bundles SET updated_at = $2 WHERE id = $1",
        id.as_str(),
        work.now,
    )?;
    if touched == 0 {
        return Err(StoreError::not_found("bundle", id));
    }
    Ok(())
}

/// Creates or moves a binding.
pub(crate) async fn bind_in(
    work: &mut Work,
    bundle: &BundleId,
    provider: &ProviderId,
    account: &AccountId,
) -> Result<(), StoreError> {
    touch(work, bundle).await?;
    let code = Fields::new(IDENTITY_BINDINGS)
        .with("bundle_id", bundle.as_str())
        .with("provider", provider.as_str())
        .with("account_id", account.as_str())
        .code(&work.tx);
    census::put(&mut work.tx, IDENTITY_BINDINGS, [bundle.as_str(), provider.as_str()]).await?;
    sql!(
        run,
        &mut work.tx,
        "INSERT INTO identity_bindings (bundle_id, provider, account_id, created_at, mac) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (bundle_id, provider) DO UPDATE SET account_id = excluded.account_id,
             created_at = excluded.created_at, mac = excluded.mac",
        bundle.as_str(),
        provider.as_str(),
        account.as_str(),
        work.now,
        code,
    )?;
    work.changed(Change::Bindings(bundle.clone()));
    work.changed(Change::Account(account.clone()));
    Ok(())
}

pub(crate) fn name_taken(name: &str) -> StoreError {
    StoreError::conflict("bundle name", name, "another bundle has it")
}
