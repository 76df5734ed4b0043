//! Helpers shared by the cases about tokens.

use identity_store::{
    AccountId, Authority, CommitOperator, CommitProfile, CompletedRefresh, Consumer, Endpoint, FailedRefresh,
    Identity, Jitter, Life, ParkLogin, Profile, ProfileScope, ReceivedTokens, RefreshFailure, RefreshLease,
    RefreshReason, RefreshRequest, RefreshStart, RefreshState, RefreshWhy, SaveProfileKey, SavedTokens,
    Status, Store, StoredTokens, UnsavedLogin,
};
use secrecy::ExposeSecret as _;

use crate::harness::{Fixture, NOW, provider};

pub(crate) const MINUTE: i64 = 60 * 1000;
pub(crate) const HOUR: i64 = 60 * MINUTE;

/// Returns an issuer's answer with tokens of that number, valid for an hour.
pub(crate) fn received(number: u32, at: i64) -> ReceivedTokens {
    ReceivedTokens {
        access: format!("access-{number}").into(),
        refresh: Some(format!("refresh-{number}").into()),
        id: None,
        expires_in: Some(3600),
        refresh_expires_in: None,
        scopes: Some("repo".into()),
        token_type: Some("bearer".into()),
        received_at: at,
    }
}

/// Returns the authority of Forgejo at that host.
pub(crate) fn authority(host: &str) -> Authority {
    Authority {
        provider: provider("forgejo"),
        base_url: Some(format!("https://{host}").parse().unwrap()),
        client_id: Some("srvd".into()),
    }
}

pub(crate) fn endpoint() -> Endpoint {
    Endpoint {
        issuer: Some("https://issuer".into()),
        token_url: Some("https://issuer/token".into()),
        auth_method: "none".into(),
    }
}

/// Returns a login of that flow.
pub(crate) fn login(host: &str, flow: &str, received: ReceivedTokens) -> UnsavedLogin {
    let flow = flow.parse().unwrap();
    UnsavedLogin::new(authority(host), endpoint(), flow, received, Consumer::Access).unwrap()
}

pub(crate) fn person(subject: &str) -> Identity {
    Identity {
        subject: Some(subject.into()),
        email: Some(format!("{subject}@x")),
        login: Some(format!("login-{subject}")),
    }
}

pub(crate) fn operator(subject: &str, activate: bool) -> CommitOperator {
    CommitOperator { identity: person(subject), activate, jitter: Jitter::NONE, now: NOW }
}

pub(crate) fn scope(user: &str, agent: &str) -> ProfileScope {
    ProfileScope { user: user.parse().unwrap(), agent: agent.parse().unwrap(), model: None }
}

pub(crate) fn of_user(user: &str, agent: &str, identity: Identity) -> CommitProfile {
    CommitProfile {
        scope: scope(user, agent),
        identity,
        label: None,
        make_primary: true,
        session: None,
        jitter: Jitter::NONE,
        now: NOW,
    }
}

pub(crate) fn parked(user: Option<&str>) -> ParkLogin {
    ParkLogin {
        user: user.map(|user| user.parse().unwrap()),
        hint_email: Some("hint@x".into()),
        jitter: Jitter::NONE,
        now: NOW,
    }
}

pub(crate) fn key(user: &str, agent: &str, key: &str) -> SaveProfileKey {
    SaveProfileKey {
        scope: scope(user, agent),
        provider: provider("openai"),
        key: key.into(),
        label: None,
        email: None,
        base_url: None,
        status: Status::Unknown,
        status_reason: None,
        evidence: identity_store::Evidence::None,
        make_primary: true,
        now: NOW,
    }
}

/// Returns the texts of the access, refresh and ID token.
pub(crate) fn texts(stored: &StoredTokens) -> [Option<String>; 3] {
    let tokens = &stored.tokens;
    [
        Some(tokens.access.secret.expose_secret().to_owned()),
        tokens.refresh.as_ref().map(|token| token.secret.expose_secret().to_owned()),
        tokens.id.as_ref().map(|token| token.secret.expose_secret().to_owned()),
    ]
}

/// Returns the expected texts of tokens of these numbers.
pub(crate) fn numbered(access: u32, refresh: u32) -> [Option<String>; 3] {
    [Some(format!("access-{access}")), Some(format!("refresh-{refresh}")), None]
}

impl Fixture {
    /// Commits a forge login of the operator.
    pub(crate) async fn operator(&self, host: &str, subject: &str, tokens: ReceivedTokens) -> AccountId {
        let login = login(host, "flow", tokens);
        self.store.commit_operator(login, operator(subject, false)).await.unwrap().account
    }

    /// Commits a login of a user for an agent.
    pub(crate) async fn profile(
        &self,
        user: &str,
        agent: &str,
        who: Identity,
        tokens: ReceivedTokens,
    ) -> (Profile, SavedTokens) {
        let login = login("git", "flow", tokens);
        self.store.commit_profile(login, of_user(user, agent, who)).await.unwrap()
    }

    /// Returns the tokens of an account and the state of their refresh.
    pub(crate) async fn standing(&self, account: &AccountId) -> Standing {
        let stored = self.store.tokens(account, NOW).await.unwrap();
        Standing {
            texts: texts(&stored),
            generation: stored.generation,
            state: stored.state,
            reason: stored.reason,
            failures: stored.failures,
            next_attempt_at: stored.next_attempt_at,
            next_refresh_at: stored.next_refresh_at,
        }
    }

    pub(crate) async fn begin(&self, account: &AccountId, why: RefreshWhy, now: i64) -> RefreshStart {
        begin(&self.store, account, why, now).await
    }

    /// Takes the lease, which must be available.
    pub(crate) async fn lease(&self, account: &AccountId, now: i64) -> RefreshLease {
        match self.begin(account, RefreshWhy::Use { min_ttl: 2 * HOUR }, now).await {
            RefreshStart::Lease(lease) => lease,
            other => panic!("{other:?}"),
        }
    }

    /// Performs a refresh that returns tokens of that number.
    pub(crate) async fn refresh(&self, account: &AccountId, number: u32, now: i64) -> StoredTokens {
        let refreshed = self.lease(account, now).await.answered(received(number, now), None);
        match self.store.complete_refresh(&refreshed, Jitter::NONE, now).await.unwrap() {
            CompletedRefresh::Committed(tokens) => *tokens,
            other => panic!("{other:?}"),
        }
    }
}

/// The content of a row, without its times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) texts: [Option<String>; 3],
    pub(crate) generation: u64,
    pub(crate) state: RefreshState,
    pub(crate) reason: Option<RefreshReason>,
    pub(crate) failures: u32,
    pub(crate) next_attempt_at: Option<i64>,
    pub(crate) next_refresh_at: Option<i64>,
}

/// Returns the state of tokens of that number that were received at `at` without a failure.
pub(crate) fn good(number: u32, generation: u64, at: i64) -> Standing {
    Standing {
        texts: numbered(number, number),
        generation,
        state: RefreshState::Active,
        reason: None,
        failures: 0,
        next_attempt_at: None,
        next_refresh_at: Some(at + 55 * MINUTE),
    }
}

pub(crate) async fn begin(store: &Store, account: &AccountId, why: RefreshWhy, now: i64) -> RefreshStart {
    let request = RefreshRequest { account: account.clone(), holder: "one".into(), why, lease: 30_000, now };
    store.begin_refresh(request).await.unwrap()
}

pub(crate) fn transient(reason: RefreshReason, retry_after: Option<i64>) -> RefreshFailure {
    RefreshFailure::Transient { reason, retry_after, jitter: Jitter::NONE }
}

pub(crate) fn permanent(reason: RefreshReason) -> RefreshFailure {
    RefreshFailure::Permanent { reason }
}

/// Returns the kind of an answer with its data other than the tokens.
pub(crate) fn kind(begun: &RefreshStart) -> String {
    match begun {
        RefreshStart::Lease(lease) => format!("lease until {}", lease.until() - NOW),
        RefreshStart::Fresh(_) => "fresh".into(),
        RefreshStart::Busy { until, .. } => format!("busy until {}", until - NOW),
        RefreshStart::Waiting { until, .. } => format!("waiting until {}", until - NOW),
        RefreshStart::Stuck { reason, .. } => format!("stuck: {reason}"),
    }
}

/// Returns the kind of the result of a failure, with its data.
pub(crate) fn outcome(failed: &FailedRefresh) -> String {
    match failed {
        FailedRefresh::Adopted(tokens) => format!("adopted {}", tokens.generation),
        FailedRefresh::RetryAt { at, .. } => format!("retry at {}", at - NOW),
        FailedRefresh::NeedsReauth { reason, .. } => format!("needs_reauth: {reason}"),
        FailedRefresh::Superseded => "superseded".into(),
        FailedRefresh::Gone => "gone".into(),
    }
}

/// Returns the usability of tokens at `now`.
pub(crate) async fn life(f: &Fixture, account: &AccountId, now: i64) -> Life {
    f.store.tokens(account, now).await.unwrap().life(now, 0)
}
