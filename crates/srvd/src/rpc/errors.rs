//! The errors of each method, for the protocol's documents: those that follow from its parameters and its scope. A method
//! names further ones where it is bound to its types (`errors` in `method!`).

use rpc_engine::{Call, MethodInfo, MethodScope, RpcError};

use crate::hint::Step;
use crate::wire::error::{ApiError, Kind};
use crate::wire::scope::{LAUNCH, Scopes};

/// The parameters that are ids of something stored.
const IDS: &[&str] =
    &["bundleId", "intoBundleId", "accountId", "sessionId", "instanceId", "profileId", "profileIds"];
/// The parameters that are ids of providers.
const PROVIDERS: &[&str] = &["providerId", "model", "own", "seal", "byRule"];
/// The parameters that name an agent, whose credentials may be declared in a file.
const AGENTS: &[&str] = &["agentId"];

/// Refuses a method that the caller's scopes do not allow.
pub(super) fn guard(call: &Call, method: &MethodInfo) -> Result<(), RpcError> {
    require(call, method.scope).map_err(RpcError::from)
}

/// Refuses a call whose parameters need a scope that the caller does not have. No caller with a token has `None`.
///
/// # Errors
/// `forbidden` with the scope.
pub(super) fn require(call: &Call, scope: Option<MethodScope>) -> Result<(), ApiError> {
    let Some(grant) = &call.grant else { return Ok(()) };
    let needed = scope.map_or("owner", |scope| scope.name);
    let scopes = Scopes::parse(grant).ok();
    if scopes.zip(scope).is_some_and(|(scopes, scope)| scopes.allow(&scope)) {
        return Ok(());
    }
    let error = ApiError::new(
        Kind::Forbidden,
        format!("this token has the scopes {grant}; the method needs {needed}"),
    );
    Err(error.with("scope", needed).hint(Step::PairWithScope { scope: needed.to_owned() }))
}

/// Returns the codes that follow from the parameters and the scope.
pub(super) fn derived(method: &MethodInfo, params: &[&str]) -> Vec<i32> {
    let has = |names: &[&str]| params.iter().any(|param| names.contains(param));
    let mut kinds = vec![Kind::Forbidden];
    if !matches!(method.name, "srvd.ping" | "events.subscribe" | "events.unsubscribe") {
        kinds.extend([Kind::StoreUnavailable, Kind::DatabaseFailed, Kind::DatabaseDamaged, Kind::Corrupt]);
        kinds.extend((!params.is_empty()).then_some(Kind::InvalidInput));
    }
    if has(IDS) {
        kinds.push(Kind::NotFound);
    }
    if has(PROVIDERS) {
        kinds.push(Kind::UnknownProvider);
    }
    if method.name.starts_with("forge.") {
        kinds.extend([
            Kind::NoActiveForge,
            Kind::ForgeRefused,
            Kind::ForgeUnavailable,
            Kind::RefreshFailed,
            Kind::NeedsReauth,
            Kind::NotFound,
            Kind::SecretUnavailable,
        ]);
    }
    if has(AGENTS) {
        kinds.push(Kind::DeclaredImmutable);
    }
    if method.scope == Some(LAUNCH) {
        kinds.extend([
            Kind::NoCredential,
            Kind::NeedsReauth,
            Kind::AllExpired,
            Kind::SecretUnavailable,
            Kind::IdentityMismatch,
            Kind::RefreshFailed,
            Kind::Shadowed,
        ]);
    }
    let mut codes: Vec<i32> = kinds.into_iter().map(Kind::code).collect();
    if method.name.starts_with("events.") {
        codes.extend([rpc_engine::wire::NOT_SUPPORTED, rpc_engine::wire::TOO_MANY_SUBSCRIPTIONS]);
    }
    codes
}
