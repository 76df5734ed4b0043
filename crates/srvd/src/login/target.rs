//! The target of a login: a bundle, or a user and an agent.

use identity_store::{Account, BundleId, DestinationBundle, LoginOwner, ProviderId, Store, StoreError};

use crate::destination;
use crate::disk::identity_dir::homes::HomeOwner;
use crate::wire::auth::Start;
use crate::wire::error::ApiError;
use crate::wire::ids;
use crate::wire::login_scope;

/// The target of a login.
#[derive(Debug, Clone)]
pub(super) enum LoginTarget {
    /// The login becomes an account of this bundle.
    Bundle(DestinationBundle),
    /// The login becomes a profile of this user, for this agent.
    User(LoginOwner),
}

impl LoginTarget {
    /// Returns the target that a request names. A new bundle gets an id.
    ///
    /// # Errors
    /// `invalid_input` for a field, `not_found` for an unknown bundle, `conflict` for the name of another bundle.
    pub(super) async fn of(store: &Store, request: &Start) -> Result<Self, ApiError> {
        let agent = request.agent_id.as_deref();
        if let Some(owner) = ids::login_owner(request.user_id.as_deref(), agent)? {
            let bundle = [&request.into_bundle_id, &request.bundle_name];
            if bundle.iter().any(|field| field.as_ref().is_some_and(|text| !text.is_empty())) {
                let reason = "a login is for a bundle or for a user, not for both";
                return Err(ApiError::invalid_input("userId", reason));
            }
            return Ok(Self::User(owner));
        }
        let into = destination::existing(store, "intoBundleId", request.into_bundle_id.as_deref()).await?;
        Ok(Self::Bundle(destination::target(store, into, request.bundle_name.clone()).await?))
    }

    /// Returns the owner of the directory in which the CLI logs in.
    pub(super) fn home(&self) -> HomeOwner {
        match self {
            Self::Bundle(target) => HomeOwner::Bundle(destination::bundle(target).clone()),
            Self::User(owner) => HomeOwner::Agent(Some(owner.user.clone()), owner.agent.clone()),
        }
    }

    /// Returns the scope, in which one login of a provider runs at a time.
    pub(super) fn scope(&self) -> String {
        match self {
            Self::Bundle(target) => login_scope::of_bundle(destination::bundle(target)),
            Self::User(owner) => login_scope::of_owner(owner),
        }
    }

    pub(super) fn bundle(&self) -> Option<&BundleId> {
        match self {
            Self::Bundle(target) => Some(destination::bundle(target)),
            Self::User(_) => None,
        }
    }

    pub(super) fn owner(&self) -> Option<&LoginOwner> {
        match self {
            Self::Bundle(_) => None,
            Self::User(owner) => Some(owner),
        }
    }

    /// Returns whether a bundle is yet to be created.
    pub(super) fn is_new(&self) -> bool {
        matches!(self, Self::Bundle(target) if destination::is_new(target))
    }

    /// Returns the account that the target has for a provider. `token` is true for a login that the CLI only prints: a
    /// user may have one beside a login in the directory.
    ///
    /// # Errors
    /// An error of the store.
    pub(super) async fn account(
        &self,
        store: &Store,
        provider: &ProviderId,
        token: bool,
    ) -> Result<Option<Account>, StoreError> {
        match self {
            Self::Bundle(target) => store.bound_account(destination::bundle(target), provider).await,
            Self::User(owner) => store.user_login(owner, provider, !token).await,
        }
    }
}
