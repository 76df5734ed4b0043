//! Writing of profiles. One statement writes many, because every statement costs a round trip to the database.

use super::{Work, links};
use crate::db::{bulk, rows, sql};
use crate::{AccountId, Change, ProfileId, ProfileScope, ProviderId, StoreError};

/// The key of a profile.
#[derive(Clone, Copy)]
pub(super) struct Key<'a> {
    pub(super) scope: &'a ProfileScope,
    pub(super) model: &'a str,
    pub(super) provider: &'a ProviderId,
    pub(super) base_url: &'a str,
    pub(super) identity: &'a str,
}

/// The account, label and position to write for a profile.
pub(super) struct Place<'a> {
    /// The id of the profile, if it exists.
    pub(super) profile: Option<&'a ProfileId>,
    pub(super) account: &'a AccountId,
    pub(super) label: Option<&'a str>,
    pub(super) make_primary: bool,
    pub(super) now: i64,
}

/// The existing data for a key.
pub(super) struct Found {
    /// The number of profiles of the same user, agent and provider that come before this one. If this one does not
    /// exist, all of them count.
    pub(super) ahead: i64,
    pub(super) profile: Option<Present>,
}

/// An existing profile, with data of its account.
pub(super) struct Present {
    pub(super) id: ProfileId,
    pub(super) label: Option<String>,
    pub(super) created_at: i64,
    pub(super) subject: Option<String>,
    pub(super) base_url: Option<String>,
    pub(super) account_id: String,
    pub(super) kind: String,
    pub(super) secret_ref: String,
    pub(super) client_id: Option<String>,
    pub(super) generation: i64,
    /// The number of profiles that use the account, including this one.
    pub(super) sharers: i64,
    /// The number of other links to the account.
    pub(super) links: i64,
}

/// The columns of a [`Found`]. Those of the profile are null if there is none.
#[derive(sqlx::FromRow)]
struct PresentRow {
    ahead: i64,
    id: Option<String>,
    label: Option<String>,
    created_at: Option<i64>,
    subject: Option<String>,
    base_url: Option<String>,
    account_id: Option<String>,
    kind: Option<String>,
    secret_ref: Option<String>,
    client_id: Option<String>,
    generation: Option<i64>,
    sharers: i64,
    links: i64,
}

/// The condition that a profile has the key at the beginning of a row of [`bulk`].
macro_rules! keyed {
    ($profile:literal) => {
        concat!(
            $profile,
            ".user_id = value ->> 0 AND ",
            $profile,
            ".agent_id = value ->> 1 AND ",
            $profile,
            ".provider = value ->> 2 AND ",
            $profile,
            ".model = value ->> 3 AND ",
            $profile,
            ".base_url = value ->> 4 AND ",
            $profile,
            ".identity = value ->> 5"
        )
    };
}

impl<'a> Key<'a> {
    /// Returns the first parts of a row.
    fn parts(self) -> [&'a str; 6] {
        let ProfileScope { user, agent, model: _ } = self.scope;
        [user.as_str(), agent.as_str(), self.provider.as_str(), self.model, self.base_url, self.identity]
    }
}

impl PresentRow {
    fn parse(self) -> Result<Found, StoreError> {
        let ahead = self.ahead;
        let (Some(id), Some(created_at), Some(account_id), Some(kind), Some(secret_ref), Some(generation)) =
            (self.id, self.created_at, self.account_id, self.kind, self.secret_ref, self.generation)
        else {
            return Ok(Found { ahead, profile: None });
        };
        let profile = Present {
            id: links::parse("user_profiles", &id)?,
            label: self.label,
            created_at,
            subject: self.subject,
            base_url: self.base_url,
            account_id,
            kind,
            secret_ref,
            client_id: self.client_id,
            generation,
            sharers: self.sharers,
            links: self.links,
        };
        Ok(Found { ahead, profile: Some(profile) })
    }
}

/// Returns the existing profiles, one result for each key.
pub(super) async fn present(work: &mut Work, keys: &[Key<'_>]) -> Result<Vec<Found>, StoreError> {
    let parts: Vec<_> = keys.iter().map(|key| key.parts()).collect();
    let text = bulk!(
        *work.tx,
        "SELECT profiles.id AS id, label, profiles.created_at AS created_at, subject, accounts.base_url AS base_url,
             profiles.account_id AS account_id, kind, secret_ref, client_id, generation,
             (SELECT count(*) FROM user_profiles AS sharer WHERE sharer.account_id = profiles.account_id)
                 AS sharers,
             (SELECT count(*) FROM identity_bindings WHERE identity_bindings.account_id = profiles.account_id)
                 + (SELECT count(*) FROM operator_tokens WHERE operator_tokens.account_id = profiles.account_id)
                 AS links,
             (SELECT count(*) FROM user_profiles AS other
                 WHERE other.user_id = value ->> 0 AND other.agent_id = value ->> 1 AND other.provider = value ->> 2
                   AND (profiles.id IS NULL OR (other.position, other.id) < (profiles.position, profiles.id)))
                 AS ahead",
        join concat!(
            "LEFT JOIN user_profiles AS profiles ON ",
            keyed!("profiles"),
            " LEFT JOIN accounts ON accounts.id = profiles.account_id"
        ),
        ""
    );
    let found = sql!(all, PresentRow, &mut work.tx, text, rows(&parts)?)?;
    found.into_iter().map(PresentRow::parse).collect()
}

/// Creates profiles, or points existing ones at other accounts, and returns the id of each. Order and time of creation
/// stay, unless a profile is moved to the front. The statement returns no rows, because each costs about as much as a
/// written one.
///
/// `accounts` are rows of accounts with API keys, which are created or overwritten first: id, provider, kind, owner,
/// name, e-mail, base URL, generation, masked tail, status and its reason, evidence, time, sealed key.
///
/// No two profiles may be of one user, agent and provider, because they would receive the same position.
pub(super) async fn put(
    work: &mut Work,
    accounts: &str,
    puts: &[(Key<'_>, Place<'_>)],
) -> Result<Vec<ProfileId>, StoreError> {
    let ids: Vec<_> = puts.iter().map(|_| ProfileId::generate()).collect();
    let parts = puts.iter().zip(&ids).map(|((key, place), id)| {
        let [user, agent, provider, model, base_url, identity] = key.parts();
        let Place { profile: _, account, label, make_primary, now } = place;
        let end = if *make_primary { "front" } else { "back" };
        (user, agent, provider, model, base_url, identity, id.as_str(), account.as_str(), label, now, end)
    });
    let rows = rows(&parts.collect::<Vec<_>>())?;
    let text = bulk!(
        *work.tx,
        first (
            "INSERT INTO accounts (id, provider, kind, owner, name, email, base_url, generation, masked_tail, status,
                 status_reason, evidence, checked_at, created_at, updated_at, secret_ref, sealed_secret)
             SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6,
                 CAST(value ->> 7 AS BIGINT), value ->> 8, value ->> 9, value ->> 10, value ->> 11,
                 CAST(value ->> 12 AS BIGINT), CAST(value ->> 12 AS BIGINT), CAST(value ->> 12 AS BIGINT),
                 '{\"backend\":\"sealed\"}'",
            bytes "value ->> 13",
            "ON CONFLICT (id) DO UPDATE SET email = excluded.email, sealed_secret = excluded.sealed_secret,
                 generation = excluded.generation, masked_tail = excluded.masked_tail, status = excluded.status,
                 status_reason = excluded.status_reason, evidence = excluded.evidence,
                 checked_at = excluded.checked_at, expires_at = NULL, login_deadline_at = NULL,
                 updated_at = excluded.updated_at"
        ),
        last ("INSERT INTO user_profiles (user_id, agent_id, provider, model, base_url, identity, id, account_id, label,
             created_at, updated_at, position)
         SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7,
             value ->> 8, CAST(value ->> 9 AS BIGINT), CAST(value ->> 9 AS BIGINT),
             CASE WHEN value ->> 10 = 'front' THEN
                 (SELECT COALESCE(min(taken.position), 0) - 1 FROM user_profiles AS taken WHERE
                      taken.user_id = value ->> 0 AND taken.agent_id = value ->> 1 AND taken.provider = value ->> 2)
             ELSE COALESCE(own.position,
                 (SELECT COALESCE(max(taken.position), -1) + 1 FROM user_profiles AS taken WHERE
                      taken.user_id = value ->> 0 AND taken.agent_id = value ->> 1 AND taken.provider = value ->> 2))
             END",
        join concat!("LEFT JOIN user_profiles AS own ON ", keyed!("own")),
        "ON CONFLICT (user_id, agent_id, provider, model, base_url, identity)
         DO UPDATE SET account_id = excluded.account_id, label = COALESCE(excluded.label, user_profiles.label),
             position = excluded.position, updated_at = excluded.updated_at")
    );
    sql!(run, &mut work.tx, text, rows, accounts)?;
    for (key, _) in puts {
        work.changed(Change::Profiles(key.scope.user.clone()));
    }
    Ok(puts.iter().zip(ids).map(|((_, place), id)| place.profile.cloned().unwrap_or(id)).collect())
}
