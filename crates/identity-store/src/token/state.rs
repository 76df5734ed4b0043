//! What may be done with a stored set of tokens.

use super::authority::{Authority, Endpoint, Identity};
use super::schedule::lead;
use super::set::TokenSet;
use crate::AccountId;
use crate::account::words;

words! {
    /// Where the refresh of a set stands.
    RefreshState, "refresh state" {
        /// Nothing is under way.
        Active = "active",
        /// The issuer is being asked, or was when somebody died.
        Refreshing = "refreshing",
        /// Only a new login by a person helps.
        NeedsReauth = "needs_reauth",
        /// The grant was given up; it is never used again.
        Revoked = "revoked",
    }
}

words! {
    /// Why a refresh failed, for programs. Each says what to do next.
    RefreshReason, "refresh reason" {
        /// The issuer does not know the refresh token any more.
        InvalidGrant = "invalid_grant",
        /// The refresh token was used before.
        TokenReused = "refresh_token_reused",
        /// The refresh token is over.
        TokenExpired = "refresh_token_expired",
        /// There is no refresh token.
        NoRefreshToken = "no_refresh_token",
        /// A crash came between the issuer's answer and the commit, and the old refresh token is used up.
        CrashedRotation = "crashed_rotation",
        /// The answer belongs to another person.
        IdentityMismatch = "identity_mismatch",
        /// The service refuses a token that was just refreshed.
        Refused = "refused",
        /// The grant was given up on purpose.
        GivenUp = "given_up",
        /// The refresh token's box does not open.
        Unreadable = "unreadable",
        /// The issuer could not be reached.
        Network = "network",
        /// The issuer did not answer in time.
        Timeout = "timeout",
        /// The issuer asked for patience.
        RateLimited = "rate_limited",
        /// The issuer failed.
        Server = "server_error",
        /// The answer makes no sense.
        Malformed = "malformed_answer",
        /// The issuer refuses the client: its configuration is wrong.
        InvalidClient = "invalid_client",
        /// The tokens of the answer end no later than those before.
        NoProgress = "no_progress",
    }
}

words! {
    /// What a credential is good for.
    Life, "life" {
        /// It works.
        Live = "live",
        /// It works and will be refreshed shortly.
        Soon = "soon",
        /// It is over and can be refreshed.
        StaleRefreshable = "stale_refreshable",
        /// It is over for good.
        Dead = "dead",
        /// Its secret is missing or does not open.
        Broken = "broken",
    }
}

/// A set of tokens as it stands in the database.
#[derive(Debug)]
pub struct StoredTokens {
    /// The account.
    pub account: AccountId,
    /// Who issued the tokens.
    pub authority: Authority,
    /// Whom they belong to, as far as that is known.
    pub identity: Identity,
    /// Where they are refreshed.
    pub endpoint: Endpoint,
    /// The tokens.
    pub tokens: TokenSet,
    /// Whether a token beside the one in use does not open. The set is usable as long as it lasts and is not refreshed.
    pub unreadable: bool,
    /// How often the set was written.
    pub generation: u64,
    /// Where its refresh stands.
    pub state: RefreshState,
    /// Since when, in unix milliseconds.
    pub state_since: i64,
    /// Why, or why the last attempt failed.
    pub reason: Option<RefreshReason>,
    /// How many attempts in a row have failed.
    pub failures: u32,
    /// Before this no attempt is made, in unix milliseconds.
    pub next_attempt_at: Option<i64>,
    /// When the refresher looks at it next, in unix milliseconds.
    pub next_refresh_at: Option<i64>,
    /// When the last refresh succeeded, in unix milliseconds.
    pub last_refreshed_at: Option<i64>,
}

impl StoredTokens {
    /// Whether asking the issuer may help.
    pub fn is_refreshable(&self) -> bool {
        matches!(self.state, RefreshState::Active | RefreshState::Refreshing)
            && self.tokens.refresh.is_some()
            && !self.unreadable
    }

    /// What the set is good for at `now`, for somebody who needs it `min_ttl` milliseconds long.
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

    /// The words are in databases and on the wire; a renamed variant must not change them.
    #[test]
    fn words_are_pinned() {
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
