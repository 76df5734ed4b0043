//! Login sessions: rows that are written ahead of the CLI they stand for.
//!
//! No row ever holds a URL, a code or what a person pasted.

use crate::account::words;
use crate::{AccountId, BundleId, ProviderId, SessionId};

/// One attempt to obtain an account's credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginSession {
    /// The session's id.
    pub id: SessionId,
    /// The provider.
    pub provider: ProviderId,
    /// The provider's login recipe.
    pub recipe: String,
    /// The bundle that the login shall go into; for a new one this is the id it will get, when that is known.
    pub target_bundle: Option<BundleId>,
    /// Whether a bundle shall be made on success.
    pub new_bundle: bool,
    /// Where the session stands.
    pub state: SessionState,
    /// A number that grows with each change.
    pub revision: u64,
    /// The process id of the CLI.
    pub pid: Option<u32>,
    /// What tells that process from a later one with the same id.
    pub process_start: Option<String>,
    /// On success, the bundle that binds the account.
    pub bundle: Option<BundleId>,
    /// On success, the account.
    pub account: Option<AccountId>,
    /// On success, the e-mail address that the provider reported.
    pub email: Option<String>,
    /// On failure, what happened, in words for people.
    pub error: Option<String>,
    /// On failure, the protocol's word for it.
    pub error_kind: Option<String>,
    /// On failure, what the person can do.
    pub hint: Option<String>,
    /// The CLI's exit code, when that is why the session failed.
    pub exit_code: Option<i32>,
    /// When the session began, in unix milliseconds.
    pub started_at: i64,
    /// When the session ends by itself, in unix milliseconds.
    pub expires_at: i64,
    /// When the row last changed, in unix milliseconds.
    pub updated_at: i64,
    /// When the session ended, in unix milliseconds; `None` while it is live.
    pub ended_at: Option<i64>,
}

words! {
    /// Where a login session stands.
    SessionState, "session state" {
        /// The CLI was started or is about to be.
        Pending = "pending",
        /// The person has a URL to open.
        UrlAvailable = "url-available",
        /// The person has a code to type in.
        CodeEmitted = "code-emitted",
        /// The CLI says it is done; the login is being checked.
        Confirming = "confirming",
        /// The login is being stored.
        Saving = "saving",
        /// The account is stored and bound.
        Success = "success",
        /// It did not work.
        Failed = "failed",
        /// A person called it off.
        Cancelled = "cancelled",
        /// Its time ran out.
        Expired = "expired",
    }
}

impl SessionState {
    /// Whether a session in this state never changes again.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Success | Self::Failed | Self::Cancelled | Self::Expired)
    }
}

words! {
    /// How a login session ends without a credential. Success is written by [`crate::Store::save_login`] alone.
    SessionEnding, "session ending" {
        /// It did not work.
        Failed = "failed",
        /// A person called it off.
        Cancelled = "cancelled",
        /// Its time ran out.
        Expired = "expired",
    }
}

/// A login session that is about to begin; its state is `pending` and its revision 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSession {
    /// The session's id.
    pub id: SessionId,
    /// The provider.
    pub provider: ProviderId,
    /// The provider's login recipe.
    pub recipe: String,
    /// The bundle that the login shall go into; for a new one the id it will get.
    pub target_bundle: Option<BundleId>,
    /// Whether a bundle shall be made on success.
    pub new_bundle: bool,
    /// When the session began, in unix milliseconds.
    pub started_at: i64,
    /// When the session ends by itself, in unix milliseconds.
    pub expires_at: i64,
}

/// A step of a live login session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionUpdate {
    /// The new state, one that is not terminal.
    pub state: SessionState,
    /// The new revision, not below the stored one.
    pub revision: u64,
    /// The process id of the CLI; `None` leaves it as it is.
    pub pid: Option<u32>,
    /// What tells that process from a later one; `None` leaves it as it is.
    pub process_start: Option<String>,
    /// The caller's clock, in unix milliseconds.
    pub now: i64,
}

/// The end of a login session without a credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionEnd {
    /// How it ended.
    pub state: SessionEnding,
    /// What happened, in words for people.
    pub error: Option<String>,
    /// The protocol's word for it.
    pub error_kind: Option<String>,
    /// What the person can do.
    pub hint: Option<String>,
    /// The CLI's exit code, when that is why.
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
    fn states_are_pinned_and_four_of_them_are_terminal() {
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
