//! The state of a stored set of tokens, and its allowed uses.

use super::authority::{Authority, Endpoint, Identity};
use super::schedule::lead;
use super::set::TokenSet;
use crate::id::AccountId;
use crate::model::account::words;

words! {
    /// The state of the refresh of a set.
    RefreshState, "refresh state" {
        /// No refresh is in progress.
        Active = "active",
        /// A refresh is in progress, or the process died during one.
        Refreshing = "refreshing",
        /// Only a new login by a person helps.
        NeedsReauth = "needs_reauth",
        /// The grant was given up and is never used again.
        Revoked = "revoked",
    }
}

words! {
    /// The reason for a failed refresh, for programs. Each reason implies what to do next.
    RefreshReason, "refresh reason" {
        /// The issuer no longer knows the refresh token.
        InvalidGrant = "invalid_grant",
        /// The refresh token was used before.
        TokenReused = "refresh_token_reused",
        /// The refresh token has expired.
        TokenExpired = "refresh_token_expired",
        /// There is no refresh token.
        NoRefreshToken = "no_refresh_token",
        /// The process crashed between the issuer's answer and the commit, and the old refresh token is used up.
        CrashedRotation = "crashed_rotation",
        /// The answer belongs to another person.
        IdentityMismatch = "identity_mismatch",
        /// The service refuses a token that was just refreshed.
        Refused = "refused",
        /// The grant was given up deliberately.
        GivenUp = "given_up",
        /// The sealed refresh token cannot be opened.
        Unreadable = "unreadable",
        /// The issuer could not be reached.
        Network = "network",
        /// The issuer did not answer in time.
        Timeout = "timeout",
        /// The issuer asked the client to wait.
        RateLimited = "rate_limited",
        /// The issuer reported an error of its own.
        Server = "server_error",
        /// The answer could not be parsed.
        Malformed = "malformed_answer",
        /// The issuer refused the client, whose configuration is wrong.
        InvalidClient = "invalid_client",
        /// The tokens of the answer expire no later than the previous ones.
        NoProgress = "no_progress",
    }
}

words! {
    /// The usability of a credential.
    Life, "life" {
        /// The credential works.
        Live = "live",
        /// The credential works and will be refreshed shortly.
        Soon = "soon",
        /// The credential has expired and can be refreshed.
        StaleRefreshable = "stale_refreshable",
        /// The credential is no longer usable and cannot be refreshed.
        Dead = "dead",
        /// The secret is missing or cannot be opened.
        Broken = "broken",
    }
}

/// A set of tokens as stored in the database.
#[derive(Debug)]
pub struct StoredTokens {
    /// The account that holds the tokens.
    pub account: AccountId,
    /// The issuer of the tokens.
    pub authority: Authority,
    /// The identity of the tokens' owner, as far as it is known.
    pub identity: Identity,
    /// The endpoint for refreshing the tokens.
    pub endpoint: Endpoint,
    /// The tokens themselves.
    pub tokens: TokenSet,
    /// True if a token other than the one in use cannot be opened. The set can be used until it expires but is not
    /// refreshed.
    pub unreadable: bool,
    /// The number of times that the set was written.
    pub generation: u64,
    /// The state of the refresh.
    pub state: RefreshState,
    /// Time since when the state has applied, in unix milliseconds.
    pub state_since: i64,
    /// The reason for the state, or for the failure of the last attempt.
    pub reason: Option<RefreshReason>,
    /// The number of consecutive failed attempts.
    pub failures: u32,
    /// Earliest time of the next attempt, in unix milliseconds.
    pub next_attempt_at: Option<i64>,
    /// Time when the set is next due in the queue, in unix milliseconds.
    pub next_refresh_at: Option<i64>,
    /// Time of the last successful refresh, in unix milliseconds.
    pub last_refreshed_at: Option<i64>,
}

impl StoredTokens {
    /// Returns whether a request to the issuer may help.
    pub fn is_refreshable(&self) -> bool {
        matches!(self.state, RefreshState::Active | RefreshState::Refreshing)
            && self.tokens.refresh.is_some()
            && !self.unreadable
    }

    /// Returns the usability of the set at `now`, for a caller who needs it for `min_ttl` milliseconds.
    pub fn life(&self, now: i64, min_ttl: i64) -> Life {
        let expiry = self.tokens.expiry();
        let known_bad = matches!(self.reason, Some(RefreshReason::Refused | RefreshReason::GivenUp))
            && !matches!(self.state, RefreshState::Active | RefreshState::Refreshing);
        if known_bad || self.state == RefreshState::Revoked {
            return Life::Dead;
        }
        if expiry.is_over(now, min_ttl.max(0)) {
            return if self.is_refreshable() { Life::StaleRefreshable } else { Life::Dead };
        }
        let lifetime = expiry.at().map_or(0, |at| at.saturating_sub(self.tokens.received_at));
        if expiry.is_over(now, lead(lifetime)) { Life::Soon } else { Life::Live }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Consumer;

    /// The words are in databases and on the wire. A renamed variant must not change them.
    #[test]
    fn state_words_are_fixed() {
        fn check<T: std::str::FromStr + ToString + PartialEq>(words: &[(T, &str)]) {
            for (value, word) in words {
                assert_eq!(value.to_string(), *word);
                assert!(word.parse::<T>().is_ok_and(|parsed| parsed == *value), "{word}");
            }
        }
        check(&[
            (RefreshState::Active, "active"),
            (RefreshState::Refreshing, "refreshing"),
            (RefreshState::NeedsReauth, "needs_reauth"),
            (RefreshState::Revoked, "revoked"),
        ]);
        check(&[
            (RefreshReason::InvalidGrant, "invalid_grant"),
            (RefreshReason::TokenReused, "refresh_token_reused"),
            (RefreshReason::TokenExpired, "refresh_token_expired"),
            (RefreshReason::NoRefreshToken, "no_refresh_token"),
            (RefreshReason::CrashedRotation, "crashed_rotation"),
            (RefreshReason::IdentityMismatch, "identity_mismatch"),
            (RefreshReason::Refused, "refused"),
            (RefreshReason::GivenUp, "given_up"),
            (RefreshReason::Unreadable, "unreadable"),
            (RefreshReason::Network, "network"),
            (RefreshReason::Timeout, "timeout"),
            (RefreshReason::RateLimited, "rate_limited"),
            (RefreshReason::Server, "server_error"),
            (RefreshReason::Malformed, "malformed_answer"),
            (RefreshReason::InvalidClient, "invalid_client"),
            (RefreshReason::NoProgress, "no_progress"),
        ]);
        check(&[(Consumer::Access, "access"), (Consumer::Id, "id")]);
        check(&[
            (Life::Live, "live"),
            (Life::Soon, "soon"),
            (Life::StaleRefreshable, "stale_refreshable"),
            (Life::Dead, "dead"),
            (Life::Broken, "broken"),
        ]);
    }
}
