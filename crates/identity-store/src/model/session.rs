//! Login sessions. The row of a session is written before its CLI starts.
//!
//! No row ever holds a URL, a code or the text that a person pasted.

use crate::id::{AccountId, AgentId, BundleId, ProfileId, ProviderId, SessionId, UserId};
use crate::model::account::words;

/// The user and the agent that a login is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LoginOwner {
    /// The user who logs in.
    pub user: UserId,
    /// The agent that uses the login; [`AgentId::any`] for all agents of the user.
    pub agent: AgentId,
}

impl LoginOwner {
    /// Reads the owner from a row; `None` if the row names no user.
    pub(crate) fn parse(user: Option<&str>, agent: Option<&str>) -> Result<Option<Self>, String> {
        let (Some(user), Some(agent)) = (user, agent) else { return Ok(None) };
        let user = user.parse().map_err(|error: crate::id::InvalidId| error.to_string())?;
        let agent = agent.parse().map_err(|error: crate::id::InvalidId| error.to_string())?;
        Ok(Some(Self { user, agent }))
    }
}

/// The place of a login that succeeded.
pub(crate) struct LoginResult<'a> {
    pub(crate) bundle: Option<&'a BundleId>,
    pub(crate) account: &'a AccountId,
    pub(crate) profile: Option<&'a ProfileId>,
    pub(crate) email: Option<&'a str>,
}

/// One attempt to obtain an account's credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginSession {
    /// The session's id.
    pub id: SessionId,
    /// The provider.
    pub provider: ProviderId,
    /// The provider's login recipe.
    pub recipe: String,
    /// The bundle that the login will be bound in. For a new bundle this is its future id, if it is known.
    pub target_bundle: Option<BundleId>,
    /// True to create a bundle on success.
    pub new_bundle: bool,
    /// The user and the agent that the login is for; `None` for a login of a bundle.
    pub owner: Option<LoginOwner>,
    /// The state of the session.
    pub state: SessionState,
    /// A number that increases with each change.
    pub revision: u64,
    /// The process id of the CLI.
    pub pid: Option<u32>,
    /// The start time of that process, which distinguishes it from a later process with the same id.
    pub process_start: Option<String>,
    /// On success, the bundle that binds the account.
    pub bundle: Option<BundleId>,
    /// On success, the account.
    pub account: Option<AccountId>,
    /// On success, the profile, if the login is a user's.
    pub profile: Option<ProfileId>,
    /// On success, the e-mail address that the provider reported.
    pub email: Option<String>,
    /// On failure, a description of the error, as text for people.
    pub error: Option<String>,
    /// On failure, the protocol's word for the error.
    pub error_kind: Option<String>,
    /// On failure, a hint about what the person can do.
    pub hint: Option<String>,
    /// The CLI's exit code, if it is the reason for the failure.
    pub exit_code: Option<i32>,
    /// Time when the session began, in unix milliseconds.
    pub started_at: i64,
    /// Time when the session expires, in unix milliseconds.
    pub expires_at: i64,
    /// Time of the last change to the row, in unix milliseconds.
    pub updated_at: i64,
    /// Time when the session ended, in unix milliseconds; `None` while it is live.
    pub ended_at: Option<i64>,
}

words! {
    /// The state of a login session.
    SessionState, "session state" {
        /// The CLI was started or is about to start.
        Pending = "pending",
        /// The person has a URL to open.
        UrlAvailable = "url-available",
        /// The person has a code to type in.
        CodeEmitted = "code-emitted",
        /// The CLI has reported success, and the login is being checked.
        Confirming = "confirming",
        /// The login is being stored.
        Saving = "saving",
        /// The account is stored and bound.
        Success = "success",
        /// The login failed.
        Failed = "failed",
        /// A person cancelled the login.
        Cancelled = "cancelled",
        /// The session expired.
        Expired = "expired",
    }
}

impl SessionState {
    /// Returns whether a session in this state never changes again.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Success | Self::Failed | Self::Cancelled | Self::Expired)
    }
}

words! {
    /// The end of a login session without a credential. Only [`crate::Store::save_login`] writes success.
    SessionEnding, "session ending" {
        /// The login failed.
        Failed = "failed",
        /// A person cancelled the login.
        Cancelled = "cancelled",
        /// The session expired.
        Expired = "expired",
    }
}

/// A login session that is about to begin. Its state is `pending` and its revision is 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSession {
    /// The session's id.
    pub id: SessionId,
    /// The provider.
    pub provider: ProviderId,
    /// The provider's login recipe.
    pub recipe: String,
    /// The bundle that the login will be bound in; for a new bundle, its future id.
    pub target_bundle: Option<BundleId>,
    /// True to create a bundle on success.
    pub new_bundle: bool,
    /// The user and the agent that the login is for; `None` for a login of a bundle.
    pub owner: Option<LoginOwner>,
    /// Time when the session began, in unix milliseconds.
    pub started_at: i64,
    /// Time when the session expires, in unix milliseconds.
    pub expires_at: i64,
}

/// A step of a live login session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionUpdate {
    /// The new state, which is not terminal.
    pub state: SessionState,
    /// The new revision, not below the stored one.
    pub revision: u64,
    /// The process id of the CLI; `None` leaves the stored one unchanged.
    pub pid: Option<u32>,
    /// The start time of that process; `None` leaves the stored one unchanged.
    pub process_start: Option<String>,
    /// The caller's clock, in unix milliseconds.
    pub now: i64,
}

/// The end of a login session without a credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionEnd {
    /// The way in which the session ended.
    pub state: SessionEnding,
    /// A description of the error, as text for people.
    pub error: Option<String>,
    /// The protocol's word for the error.
    pub error_kind: Option<String>,
    /// A hint about what the person can do.
    pub hint: Option<String>,
    /// The CLI's exit code, if it is the reason for the failure.
    pub exit_code: Option<i32>,
    /// The new revision, not below the stored one.
    pub revision: u64,
    /// The caller's clock, in unix milliseconds.
    pub now: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn session_state_words_are_stable_and_four_states_are_terminal() {
        for (state, word, terminal) in [
            (SessionState::Pending, "pending", false),
            (SessionState::UrlAvailable, "url-available", false),
            (SessionState::CodeEmitted, "code-emitted", false),
            (SessionState::Confirming, "confirming", false),
            (SessionState::Saving, "saving", false),
            (SessionState::Success, "success", true),
            (SessionState::Failed, "failed", true),
            (SessionState::Cancelled, "cancelled", true),
            (SessionState::Expired, "expired", true),
        ] {
            assert_eq!((state.as_str(), state.is_terminal()), (word, terminal));
            assert_eq!(word.parse(), Ok(state));
        }
        for (ending, state) in [
            (SessionEnding::Failed, SessionState::Failed),
            (SessionEnding::Cancelled, SessionState::Cancelled),
            (SessionEnding::Expired, SessionState::Expired),
        ] {
            assert_eq!(ending.as_str(), state.as_str());
        }
    }
}
