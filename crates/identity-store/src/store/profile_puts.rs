//! Writing profiles: many in one statement, because every statement costs a trip to the database.

use super::{Work, profile_rows};
use crate::db::{bulk, rows, sql};
use crate::{AccountId, Change, Profile, ProfileId, ProfileScope, ProviderId, StoreError};

/// What tells profiles apart.
#[derive(Clone, Copy)]
pub(super) struct Key<'a> {
    pub(super) scope: &'a ProfileScope,
    pub(super) model: &'a str,
    pub(super) provider: &'a ProviderId,
    pub(super) base_url: &'a str,
    pub(super) identity: &'a str,
}

/// What a profile points at, how it is shown and where it goes.
pub(super) struct Place<'a> {
    pub(super) account: &'a AccountId,
    pub(super) label: Option<&'a str>,
    pub(super) make_primary: bool,
    pub(super) now: i64,
}

/// A profile that is there, and what its account is.
pub(super) struct Present {
    pub(super) account_id: String,
    pub(super) kind: String,
    pub(super) secret_ref: String,
    pub(super) client_id: Option<String>,
    pub(super) generation: i64,
    /// The profiles that have the account, this one among them.
    pub(super) sharers: i64,
    /// What else points at the account.
    pub(super) links: i64,
}

/// The same, or nothing but nulls.
#[derive(sqlx::FromRow)]
struct PresentRow {
    account_id: Option<String>,
    kind: Option<String>,
    secret_ref: Option<String>,
    client_id: Option<String>,
    generation: Option<i64>,
    sharers: i64,
    links: i64,
}

/// Whether a profile is the one whose key begins a row of [`bulk`].
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
pub(super) use keyed;

impl<'a> Key<'a> {
    /// The beginning of a row.
    fn parts(self) -> [&'a str; 6] {
        let ProfileScope { user, agent, model: _ } = self.scope;
        [user.as_str(), agent.as_str(), self.provider.as_str(), self.model, self.base_url, self.identity]
    }
}

impl PresentRow {
    fn found(self) -> Option<Present> {
        Some(Present {
            account_id: self.account_id?,
            kind: self.kind?,
            secret_ref: self.secret_ref?,
            client_id: self.client_id,
            generation: self.generation?,
            sharers: self.sharers,
            links: self.links,
        })
    }
}

/// The profiles that are there already, one for each key.
pub(super) async fn present(work: &mut Work, keys: &[Key<'_>]) -> Result<Vec<Option<Present>>, StoreError> {
    let parts: Vec<_> = keys.iter().map(|key| key.parts()).collect();
    let text = bulk!(
        *work.tx,
        "SELECT profiles.account_id AS account_id, kind, secret_ref, client_id, generation,
             (SELECT count(*) FROM user_profiles AS sharer WHERE sharer.account_id = profiles.account_id)
                 AS sharers,
             (SELECT count(*) FROM identity_bindings WHERE identity_bindings.account_id = profiles.account_id)
                 + (SELECT count(*) FROM operator_tokens WHERE operator_tokens.account_id = profiles.account_id)
                 AS links",
        join concat!(
            "LEFT JOIN user_profiles AS profiles ON ",
            keyed!("profiles"),
            " LEFT JOIN accounts ON accounts.id = profiles.account_id"
        ),
        ""
    );
    let found = sql!(all, PresentRow, &mut work.tx, text, rows(&parts)?)?;
    Ok(found.into_iter().map(PresentRow::found).collect())
}

/// Makes the profiles or points them at other accounts; gives them back in their order. Order and time of making stay,
/// unless one goes to the front.
///
/// No two of them may be of one user, agent and provider: they would get one place.
pub(super) async fn put(work: &mut Work, puts: &[(Key<'_>, Place<'_>)]) -> Result<Vec<Profile>, StoreError> {
    let ids: Vec<_> = puts.iter().map(|_| ProfileId::generate()).collect();
    let parts = puts.iter().zip(&ids).map(|((key, place), id)| {
        let [user, agent, provider, model, base_url, identity] = key.parts();
        let Place { account, label, make_primary, now } = place;
        let end = if *make_primary { "front" } else { "back" };
        (user, agent, provider, model, base_url, identity, id.as_str(), account.as_str(), label, now, end)
    });
    let rows = rows(&parts.collect::<Vec<_>>())?;
    let text = bulk!(
        *work.tx,
        "INSERT INTO user_profiles (user_id, agent_id, provider, model, base_url, identity, id, account_id, label,
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
             position = excluded.position, updated_at = excluded.updated_at"
    );
    sql!(run, &mut work.tx, text, rows.as_str())?;
    let profiles = profile_rows::profiles_at(&mut work.tx, &rows).await?;
    if profiles.len() != puts.len() {
        return Err(StoreError::corrupt("user_profiles", "", "a row that was written is not there"));
    }
    for (key, _) in puts {
        work.changed(Change::Profiles(key.scope.user.clone()));
    }
    Ok(profiles)
}
