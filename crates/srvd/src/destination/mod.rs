//! Destinations: the bundle that a login or an API key is stored in.
//!
//! It checks the bundle that a request names and the name of a new one. It uses `wire` only. It must not create or
//! change a bundle.

use identity_store::{BundleId, DestinationBundle, Store};

use crate::hint::Step;
use crate::wire::error::{ApiError, Kind};

/// Returns the existing bundle that a request's field names; `None` when the field is absent or empty.
///
/// # Errors
/// `invalid_input` for an id that is not well formed, `not_found` for an id that no bundle has.
pub(crate) async fn existing(
    store: &Store,
    field: &str,
    id: Option<&str>,
) -> Result<Option<BundleId>, ApiError> {
    let Some(id) = id.filter(|id| !id.is_empty()) else { return Ok(None) };
    let id: BundleId = id.parse().map_err(|error| ApiError::bad_id(field, &error))?;
    if id == BundleId::blank() {
        return Err(ApiError::invalid_input(field, "the blank bundle holds no identity"));
    }
    store.bundle(&id).await?;
    Ok(Some(id))
}

/// Returns the existing bundle, or else a new one with a generated id. A blank name counts as none.
///
/// # Errors
/// `invalid_input` for a name that is not valid, `conflict` for the name of another bundle. The name is not checked
/// for an existing bundle.
pub(crate) async fn target(
    store: &Store,
    existing: Option<BundleId>,
    name: Option<String>,
) -> Result<DestinationBundle, ApiError> {
    let name = name.filter(|name| !name.trim().is_empty());
    match (existing, &name) {
        (Some(bundle), _) => return Ok(DestinationBundle::Existing(bundle)),
        (None, Some(name)) => refuse_taken(store, name).await?,
        (None, None) => {}
    }
    Ok(DestinationBundle::New { id: BundleId::generate(), name })
}

/// Returns the id of the bundle.
pub(crate) fn bundle(target: &DestinationBundle) -> &BundleId {
    match target {
        DestinationBundle::Existing(id) | DestinationBundle::New { id, .. } => id,
    }
}

/// Returns whether the bundle is yet to be created.
pub(crate) fn is_new(target: &DestinationBundle) -> bool {
    matches!(target, DestinationBundle::New { .. })
}

async fn refuse_taken(store: &Store, name: &str) -> Result<(), ApiError> {
    identity_store::check_new_name("bundleName", name)?;
    match store.bundle_named(name).await? {
        None => Ok(()),
        Some(bundle) => Err(ApiError::new(Kind::Conflict, "a bundle of this name exists")
            .with("what", "bundle name")
            .with("bundleId", bundle.id.as_str())
            .hint(Step::UseIntoBundle)),
    }
}
