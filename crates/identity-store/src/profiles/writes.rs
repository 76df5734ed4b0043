//! The statements that find and write one profile.

use crate::accounts::links;
use crate::authentic::{Fields, USER_PROFILES, census, known};
use crate::db::{row, sql};
use crate::error::StoreError;
use crate::id::{AccountId, ProfileId, ProviderId};
use crate::model::changes::Change;
use crate::model::profile::ProfileScope;
use crate::store::work::Work;

/// The columns that identify a profile.
#[derive(Clone, Copy)]
pub(crate) struct ProfileKey<'a> {
    pub(crate) scope: &'a ProfileScope,
    pub(crate) model: &'a str,
    pub(crate) provider: &'a ProviderId,
    pub(crate) base_url: &'a str,
    pub(crate) identity: &'a str,
}

/// The columns of a profile that a write sets.
pub(crate) struct ProfileValues<'a> {
    /// The id of the profile, if it exists.
    pub(crate) profile: Option<&'a ProfileId>,
    pub(crate) account: &'a AccountId,
    pub(crate) label: Option<&'a str>,
    pub(crate) make_primary: bool,
}

row! {
    /// An existing profile, with data of its account.
    pub(crate) struct ExistingProfile {
        id: String,
        pub(crate) account_id: String,
        pub(crate) kind: String,
        pub(crate) secret_ref: String,
        pub(crate) client_id: Option<String>,
        pub(crate) generation: i64,
        /// The number of profiles that use the account, including this one.
        pub(crate) sharers: i64,
    }
}

impl ExistingProfile {
    pub(crate) fn id(&self) -> Result<ProfileId, StoreError> {
        links::parse("profile", &self.id)
    }
}

/// Returns the profile with that key, if it exists.
pub(crate) async fn find(
    work: &mut Work,
    key: &ProfileKey<'_>,
) -> Result<Option<ExistingProfile>, StoreError> {
    sql!(
        optional,
        ExistingProfile,
        &mut work.tx,
        "SELECT profiles.id AS id, profiles.account_id AS account_id, kind, secret_ref, client_id, generation,
             (SELECT count(*) FROM user_profiles AS sharer WHERE sharer.account_id = profiles.account_id) AS sharers
         FROM user_profiles AS profiles JOIN accounts ON accounts.id = profiles.account_id
         WHERE user_id = $1 AND agent_id = $2 AND profiles.provider = $3 AND model = $4
           AND profiles.base_url = $5 AND identity = $6",
        key.scope.user.as_str(),
        key.scope.agent.as_str(),
        key.provider.as_str(),
        key.model,
        key.base_url,
        key.identity,
    )
}

/// Creates a profile, or points an existing one at another account, and returns its id. Order and time of creation
/// stay, unless the profile is moved to the front.
pub(crate) async fn put(
    work: &mut Work,
    key: &ProfileKey<'_>,
    values: &ProfileValues<'_>,
) -> Result<ProfileId, StoreError> {
    let id = values.profile.cloned().unwrap_or_else(ProfileId::generate);
    let before = known(&mut work.tx, USER_PROFILES, [id.as_str(), ""]).await?;
    let row = before.clone().unwrap_or_else(|| {
        Fields::new(USER_PROFILES)
            .with("id", id.as_str())
            .with("user_id", key.scope.user.as_str())
            .with("agent_id", key.scope.agent.as_str())
            .with("provider", key.provider.as_str())
            .with("model", key.model)
            .with("base_url", key.base_url)
            .with("identity", key.identity)
    });
    let position = match before.as_ref().and_then(|row| row.get("position")?.parse().ok()) {
        Some(position) if !values.make_primary => position,
        _ => free_position(work, key, values.make_primary).await?,
    };
    let code = row
        .with("account_id", values.account.as_str())
        .with("position", position)
        .or_keep("label", values.label)
        .code(&work.tx);
    if before.is_none() {
        census::added(&mut work.tx, USER_PROFILES, [id.as_str(), ""]);
    }
    sql!(
        run,
        &mut work.tx,
        "INSERT INTO user_profiles (id, user_id, agent_id, provider, model, base_url, identity, account_id, label,
             created_at, updated_at, position, mac)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10, $11, $12)
         ON CONFLICT (user_id, agent_id, provider, model, base_url, identity)
         DO UPDATE SET account_id = excluded.account_id, label = COALESCE(excluded.label, user_profiles.label),
             position = excluded.position, updated_at = excluded.updated_at, mac = excluded.mac",
        id.as_str(),
        key.scope.user.as_str(),
        key.scope.agent.as_str(),
        key.provider.as_str(),
        key.model,
        key.base_url,
        key.identity,
        values.account.as_str(),
        values.label,
        work.now,
        position,
        code,
    )?;
    work.changed(Change::Profiles(key.scope.user.clone()));
    Ok(id)
}

/// Returns the position before or after all profiles of the user, the agent and the provider.
async fn free_position(work: &mut Work, key: &ProfileKey<'_>, first: bool) -> Result<i64, StoreError> {
    let (least, most) = sql!(
        one,
        (Option<i64>, Option<i64>),
        &mut work.tx,
        "SELECT min(position), max(position) FROM user_profiles
         WHERE user_id = $1 AND agent_id = $2 AND provider = $3",
        key.scope.user.as_str(),
        key.scope.agent.as_str(),
        key.provider.as_str(),
    )?;
    Ok(if first { least.unwrap_or(0).saturating_sub(1) } else { most.unwrap_or(-1).saturating_add(1) })
}
