//! Profiles: writing them. One row a credential, so that writers at the same time lose nothing of each other's.

use super::keep::{Arrival, Holder, TOKENS, base_url, checked, client_id};
use super::{Store, Work, links, removal};
use crate::db::sql;
use crate::{
    AccountId, AccountKind, AgentId, BaseUrl, Change, CommitProfile, Identity, Kept, Owner, Profile,
    ProfileId, ProfileScope, ProviderId, SaveProfileKey, StoreError, Unsaved, UnsavedLogin, UserId, names,
    secret,
};

/// The model of a profile that is for all.
pub(super) const ANY_MODEL: &str = "*";

/// What tells profiles apart.
struct Key<'a> {
    scope: &'a ProfileScope,
    model: String,
    provider: &'a ProviderId,
    base_url: &'a str,
    identity: String,
}

/// The checked texts of a key that is to be saved.
struct KeyTexts {
    identity: Identity,
    label: Option<String>,
    reason: Option<String>,
}

/// How a profile is shown and where it goes.
struct Place<'a> {
    label: Option<&'a str>,
    make_primary: bool,
}

/// A profile that is there, and what its account is.
#[derive(sqlx::FromRow)]
struct Present {
    account_id: String,
    kind: String,
    secret_ref: String,
    client_id: Option<String>,
    generation: i64,
    sharers: i64,
}

impl Store {
    /// Seals an API key that a user brings for an agent and makes or replaces the profile. What is replaced is gone with
    /// this transaction; the profile keeps its id, its place and when it was made.
    pub async fn save_profile_key(&self, save: SaveProfileKey) -> Result<Profile, StoreError> {
        names::secret("api_key", &save.key)?;
        let base_url = save.base_url.as_deref().map(str::parse::<BaseUrl>).transpose();
        let base_url =
            base_url.map_err(|error| StoreError::InvalidName { field: "base_url", reason: error.reason })?;
        let identity = checked(&Identity { email: save.email.clone(), ..Identity::default() })?;
        let label = label(save.label.as_deref())?;
        let reason = names::optional("status_reason", save.status_reason.as_deref())?;
        let key = Key {
            scope: &save.scope,
            model: model(&save.scope)?,
            provider: &save.provider,
            base_url: base_url.as_ref().map_or("", BaseUrl::as_str),
            identity: identity.key(),
        };
        let texts = KeyTexts { identity, label, reason };
        let mut work = self.join(save.now).await?;
        let done = self.save_key(&mut work, &save, &key, &texts).await;
        work.end(done).await
    }

    async fn save_key(
        &self,
        work: &mut Work,
        save: &SaveProfileKey,
        key: &Key<'_>,
        texts: &KeyTexts,
    ) -> Result<Profile, StoreError> {
        let present = present(work, key).await?;
        // A key that only this profile has is written over; a login, and what others have too, stays theirs.
        let own = present.as_ref().filter(|row| row.kind == AccountKind::ApiKey.as_str() && row.sharers == 1);
        let (account, generation) = match own {
            Some(row) => (links::parse("user_profiles", &row.account_id)?, row.generation + 1),
            None => (AccountId::generate(), 1),
        };
        let sealed = secret::seal(self.keyring(), super::accounts::cell(&account, generation)?, &save.key)?;
        sql!(
            run,
            &mut work.tx,
            "INSERT INTO accounts (id, provider, kind, owner, name, email, base_url, secret_ref, sealed_secret,
                 generation, masked_tail, status, status_reason, evidence, checked_at, created_at, updated_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, '{\"backend\":\"sealed\"}', $8, $9, $10, $11, $12, $13, $14, $14, $14)
             ON CONFLICT (id) DO UPDATE SET email = excluded.email, sealed_secret = excluded.sealed_secret,
                 generation = excluded.generation, masked_tail = excluded.masked_tail, status = excluded.status,
                 status_reason = excluded.status_reason, evidence = excluded.evidence,
                 checked_at = excluded.checked_at, expires_at = NULL, login_deadline_at = NULL,
                 updated_at = excluded.updated_at",
            account.as_str(),
            save.provider.as_str(),
            AccountKind::ApiKey.as_str(),
            Owner::User.as_str(),
            texts.label.as_deref().unwrap_or(save.provider.as_str()),
            texts.identity.email.as_deref(),
            (!key.base_url.is_empty()).then_some(key.base_url),
            sealed,
            generation,
            names::masked_tail(&save.key),
            save.status.as_str(),
            texts.reason.as_deref(),
            save.evidence.as_str(),
            save.now,
        )?;
        let place = Place { label: texts.label.as_deref(), make_primary: save.make_primary };
        let profile = put(work, key, &account, &place).await?;
        if own.is_none() {
            drop_replaced(work, present.as_ref(), &account).await?;
        }
        work.audit("profile.save", &format!("{} {account}", profile.id));
        // Nothing but this profile points at a new account.
        links::announce(work, &account, own.is_some()).await?;
        Ok(profile)
    }

    /// Keeps a login that a user made for an agent, and makes or replaces the profile. The tokens of the same user's same
    /// account at the same authority are replaced wherever that account is used: one grant has one place.
    pub async fn commit_profile(
        &self,
        login: UnsavedLogin,
        commit: CommitProfile,
    ) -> Result<(Profile, Kept), Unsaved> {
        match self.try_profile(&login, &commit).await {
            Ok(done) => Ok(done),
            Err(error) => Err(Unsaved { error, login: Box::new(login) }),
        }
    }

    async fn try_profile(
        &self,
        login: &UnsavedLogin,
        commit: &CommitProfile,
    ) -> Result<(Profile, Kept), StoreError> {
        let mut work = self.join(commit.now).await?;
        let done = self.settle_profile(&mut work, &Arrival::from(login), commit).await;
        work.end(done).await
    }

    /// Completes a parked login, now that its person is known.
    pub async fn promote_profile(
        &self,
        pending: &AccountId,
        commit: CommitProfile,
    ) -> Result<(Profile, Kept), StoreError> {
        let mut work = self.write(commit.now).await?;
        let parked = self.parked_login(&mut work, pending).await?;
        let done = self.settle_profile(&mut work, &Arrival::from(&parked), &commit).await?;
        work.commit().await?;
        Ok(done)
    }

    async fn settle_profile(
        &self,
        work: &mut Work,
        arrival: &Arrival<'_>,
        commit: &CommitProfile,
    ) -> Result<(Profile, Kept), StoreError> {
        let identity = checked(&commit.identity)?;
        let label = label(commit.label.as_deref())?;
        let authority = arrival.authority;
        let key = Key {
            scope: &commit.scope,
            model: model(&commit.scope)?,
            provider: &authority.provider,
            base_url: base_url(authority),
            identity: identity.key(),
        };
        let present = present(work, &key).await?;
        let same_grant = |row: &&Present| {
            row.secret_ref == TOKENS && row.client_id.as_deref().unwrap_or_default() == client_id(authority)
        };
        let known = match present.as_ref().filter(same_grant) {
            Some(row) => Some(links::parse("user_profiles", &row.account_id)?),
            None => elsewhere(work, &key, client_id(authority)).await?,
        };
        let holder = Holder { identity: &identity, owner: Owner::User, jitter: commit.jitter };
        let kept = self.settle(work, known, arrival, &holder).await?;
        let place = Place { label: label.as_deref(), make_primary: commit.make_primary };
        let profile = put(work, &key, &kept.account, &place).await?;
        drop_replaced(work, present.as_ref(), &kept.account).await?;
        work.audit("profile.login", &format!("{} {}", profile.id, kept.account));
        links::announce(work, &kept.account, true).await?;
        Ok((profile, kept))
    }

    /// Puts the profiles of a user, an agent and a provider into an order; the first is the primary. The list names each
    /// of them once.
    pub async fn reorder_profiles(
        &self,
        (user, agent, provider): (&UserId, &AgentId, &ProviderId),
        order: &[ProfileId],
        now: i64,
    ) -> Result<(), StoreError> {
        let mut work = self.write(now).await?;
        let rows = sql!(
            all,
            (String,),
            &mut work.tx,
            "SELECT id FROM user_profiles WHERE user_id = $1 AND agent_id = $2 AND provider = $3 ORDER BY id",
            user.as_str(),
            agent.as_str(),
            provider.as_str(),
        )?;
        let mut named: Vec<&str> = order.iter().map(ProfileId::as_str).collect();
        named.sort_unstable();
        if named.iter().ne(rows.iter().map(|(id,)| id)) {
            return Err(StoreError::conflict(
                "profiles",
                provider,
                "the order does not name each of them once",
            ));
        }
        for (position, id) in (0_i64..).zip(order) {
            sql!(
                run,
                &mut work.tx,
                "UPDATE user_profiles SET position = $2, updated_at = $3 WHERE id = $1 AND position <> $2",
                id.as_str(),
                position,
                now,
            )?;
        }
        work.audit("profile.reorder", provider.as_str());
        work.changed(Change::Profiles(user.clone()));
        work.commit().await
    }
}

/// Deletes the account that a profile had before, if nothing else points at it.
async fn drop_replaced(
    work: &mut Work,
    before: Option<&Present>,
    account: &AccountId,
) -> Result<(), StoreError> {
    match before {
        Some(row) if row.account_id != account.as_str() => removal::orphan(work, &row.account_id).await,
        _ => Ok(()),
    }
}

/// The model as it is stored.
fn model(scope: &ProfileScope) -> Result<String, StoreError> {
    scope.model.as_deref().map_or_else(|| Ok(ANY_MODEL.to_owned()), |model| names::name("model", model))
}

fn label(label: Option<&str>) -> Result<Option<String>, StoreError> {
    label.map(|label| names::name("label", label)).transpose()
}

/// The profile that is there already.
async fn present(work: &mut Work, key: &Key<'_>) -> Result<Option<Present>, StoreError> {
    sql!(
        optional,
        Present,
        &mut work.tx,
        "SELECT account_id, kind, secret_ref, client_id, generation,
             (SELECT count(*) FROM user_profiles AS sharer WHERE sharer.account_id = user_profiles.account_id)
                 AS sharers
         FROM user_profiles JOIN accounts ON accounts.id = user_profiles.account_id
         WHERE user_id = $1 AND agent_id = $2 AND user_profiles.provider = $3 AND model = $4
           AND user_profiles.base_url = $5 AND identity = $6",
        key.scope.user.as_str(),
        key.scope.agent.as_str(),
        key.provider.as_str(),
        key.model.as_str(),
        key.base_url,
        key.identity.as_str(),
    )
}

/// The same user's account of the same person at the same authority, that another profile has.
async fn elsewhere(work: &mut Work, key: &Key<'_>, client_id: &str) -> Result<Option<AccountId>, StoreError> {
    if key.identity.is_empty() {
        return Ok(None);
    }
    let row = sql!(
        optional,
        (String,),
        &mut work.tx,
        "SELECT account_id FROM user_profiles JOIN accounts ON accounts.id = user_profiles.account_id
         WHERE user_id = $1 AND user_profiles.provider = $2 AND user_profiles.base_url = $3 AND identity = $4
           AND COALESCE(client_id, '') = $5 AND secret_ref = $6
         ORDER BY user_profiles.created_at, user_profiles.id LIMIT 1",
        key.scope.user.as_str(),
        key.provider.as_str(),
        key.base_url,
        key.identity.as_str(),
        client_id,
        TOKENS,
    )?;
    row.map(|(id,)| links::parse("user_profiles", &id)).transpose()
}

/// Makes the profile or points it at another account. Order and time of making stay, unless it goes to the front.
async fn put(
    work: &mut Work,
    key: &Key<'_>,
    account: &AccountId,
    place: &Place<'_>,
) -> Result<Profile, StoreError> {
    let scope = key.scope;
    let (id,) = sql!(
        one,
        (String,),
        &mut work.tx,
        "INSERT INTO user_profiles (id, user_id, agent_id, provider, model, base_url, identity, account_id, position,
             label, created_at, updated_at)
         SELECT $1, $2, $3, $4, $5, $6, $7, $8, CASE WHEN $11 = 1 THEN COALESCE(min(position), 0) - 1
             ELSE COALESCE(max(position), -1) + 1 END, $9, $10, $10
         FROM user_profiles WHERE user_id = $2 AND agent_id = $3 AND provider = $4
         ON CONFLICT (user_id, agent_id, provider, model, base_url, identity)
         DO UPDATE SET account_id = excluded.account_id, label = COALESCE(excluded.label, user_profiles.label),
             position = CASE WHEN $11 = 1 THEN excluded.position ELSE user_profiles.position END,
             updated_at = excluded.updated_at
         RETURNING id",
        ProfileId::generate().as_str(),
        scope.user.as_str(),
        scope.agent.as_str(),
        key.provider.as_str(),
        key.model.as_str(),
        key.base_url,
        key.identity.as_str(),
        account.as_str(),
        place.label,
        work.now,
        i64::from(place.make_primary),
    )?;
    work.changed(Change::Profiles(scope.user.clone()));
    super::profile_rows::profile_in(&mut work.tx, &links::parse("user_profiles", &id)?).await
}
