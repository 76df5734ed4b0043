//! `profile.*`, `agent.delete` and `user.delete`, except the choice among profiles.

use identity_store::{Credential, RefreshState, Status, StoredTokens};
use rpc_engine::Call;

use crate::launch::resolution::{Renewal, Secret};
use crate::rpc::app::App;
use crate::wire::error::{ApiError, with_causes};
use crate::wire::profile::{
    Delete, DeleteAgent, DeleteUser, Deleted, List, Profile, Profiles, Reorder, Upsert,
};

/// `profile.upsert`.
pub async fn upsert(app: App, _: Call, params: Upsert) -> Result<Profile, ApiError> {
    app.profiles.upsert(&app.store, params).await
}

/// `profile.list`.
pub async fn list(app: App, _: Call, params: List) -> Result<Profiles, ApiError> {
    app.profiles.list(&app.store, params).await
}

/// `profile.delete`.
pub async fn delete(app: App, _: Call, params: Delete) -> Result<Deleted, ApiError> {
    app.profiles.delete(&app.store, params).await
}

/// `profile.reorder`.
pub async fn reorder(app: App, _: Call, params: Reorder) -> Result<Profiles, ApiError> {
    app.profiles.reorder(&app.store, params).await
}

/// `agent.delete`.
pub async fn delete_agent(app: App, _: Call, params: DeleteAgent) -> Result<Deleted, ApiError> {
    app.profiles.delete_agent(&app.store, params).await
}

/// `user.delete`.
pub async fn delete_user(app: App, _: Call, params: DeleteUser) -> Result<Deleted, ApiError> {
    app.profiles.delete_user(&app.store, params).await
}

/// Returns the state of a stored profile: whether its secret is present, when it expires and whether it can be renewed.
pub(super) fn standing(one: &identity_store::Candidate) -> (Secret, Option<i64>, Renewal) {
    let unavailable = |reason: &str| (Secret::Unavailable(reason.to_owned()), None, Renewal::None);
    match &one.credential {
        Credential::Key(_) => {
            let refused = matches!(one.profile.status, Status::Invalid | Status::NeedsReauth);
            let secret = if refused { Secret::Refused } else { Secret::Found };
            (secret, one.profile.expires_at, Renewal::None)
        }
        Credential::Tokens(tokens) => of_tokens(tokens),
        Credential::Broken(error) => {
            tracing::error!(error = with_causes(error), profile = %one.profile.id, "a secret does not open");
            unavailable("its stored secret could not be opened")
        }
        Credential::Elsewhere => unavailable("this kind of credential cannot be a profile's"),
        Credential::Corrupt(reason) => {
            tracing::error!(reason, profile = %one.profile.id, "an account of a profile cannot be read");
            unavailable("its account cannot be read")
        }
    }
}

/// Returns the state of a stored set of tokens.
pub(super) fn of_tokens(tokens: &StoredTokens) -> (Secret, Option<i64>, Renewal) {
    // A set that the service refused or that was given up is dead, regardless of its expiry times.
    let alive = tokens.life(i64::MIN, 0) != identity_store::Life::Dead;
    let secret = if alive { Secret::Found } else { Secret::Refused };
    let renewal = match (tokens.is_refreshable(), tokens.next_attempt_at) {
        (true, Some(until)) if tokens.failures > 0 => Renewal::Waiting { until },
        (true, _) => Renewal::Possible,
        (false, _) if matches!(tokens.state, RefreshState::NeedsReauth | RefreshState::Revoked) => {
            let reason = tokens.reason.map_or("needs_reauth", |reason| reason.as_str());
            Renewal::Dead(format!("it has to be logged in again ({reason})"))
        }
        (false, _) => Renewal::None,
    };
    (secret, tokens.tokens.expiry().at(), renewal)
}
