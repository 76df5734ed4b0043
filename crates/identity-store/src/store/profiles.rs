//! Writing of profiles. Each credential has a row of its own, so that concurrent writers do not lose each other's
//! changes.

use super::keep::{Arrival, Holder, TOKENS, base_url, checked, client_id};
use super::profile_writes::{ExistingProfile, ProfileKey, ProfileValues, find, put};
use super::profile_rows::profile_in;
use super::{Store, Work, links, removal};
use crate::db::sql;
use crate::{
    AccountId, AgentId, Change, CommitProfile, Kept, Owner, Profile, ProfileId, ProfileScope, ProviderId,
    StoreError, Unsaved, UnsavedLogin, UserId, names,
};

/// The stored model of a profile that is for all models.
pub(super) const ANY_MODEL: &str = "*";

impl Store {
    /// Saves a login that a user made for an agent, and creates or replaces the profile. If the same user has the same
    /// account at the same authority, its tokens are replaced wherever the account is used, because one grant is stored
    /// once.
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

    /// Completes a parked login whose person is now known.
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
        let (model, person) = (model(&commit.scope)?, identity.key());
        let key = ProfileKey {
            scope: &commit.scope,
            model: &model,
            provider: &authority.provider,
            base_url: base_url(authority),
            identity: &person,
        };
        let existing = find(work, &key).await?;
        let same_grant = |row: &&ExistingProfile| {
            row.secret_ref == TOKENS && row.client_id.as_deref().unwrap_or_default() == client_id(authority)
        };
        let known = match existing.as_ref().filter(same_grant) {
            Some(row) => Some(links::parse("user_profiles", &row.account_id)?),
            None => elsewhere(work, &key, client_id(authority)).await?,
        };
        let holder = Holder { identity: &identity, owner: Owner::User, jitter: commit.jitter };
        let kept = self.settle(work, known, arrival, &holder).await?;
        let profile = existing.as_ref().map(ExistingProfile::id).transpose()?;
        let values = ProfileValues {
            profile: profile.as_ref(),
            account: &kept.account,
            label: label.as_deref(),
            make_primary: commit.make_primary,
        };
        let id = put(work, &key, &values).await?;
        let profile = profile_in(&mut work.tx, &id).await?;
        drop_replaced(work, existing.as_ref(), &kept.account).await?;
        work.audit("profile.login", &format!("{} {}", profile.id, kept.account));
        links::announce(work, &kept.account, true).await?;
        Ok((profile, kept))
    }

    /// Sets the order of the profiles of a user, an agent and a provider; the first is the primary. The list names each
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

/// Deletes the previous account of a profile, unless something else links to it.
pub(super) async fn drop_replaced(
    work: &mut Work,
    before: Option<&ExistingProfile>,
    account: &AccountId,
) -> Result<(), StoreError> {
    match before {
        Some(row) if row.account_id != account.as_str() => removal::orphan(work, &row.account_id).await,
        _ => Ok(()),
    }
}

/// Returns the model as it is stored.
pub(super) fn model(scope: &ProfileScope) -> Result<String, StoreError> {
    scope.model.as_deref().map_or_else(|| Ok(ANY_MODEL.to_owned()), |model| names::name("model", model))
}

pub(super) fn label(label: Option<&str>) -> Result<Option<String>, StoreError> {
    label.map(|label| names::name("label", label)).transpose()
}

/// Returns the account of the same user and person at the same authority that another profile uses.
async fn elsewhere(work: &mut Work, key: &ProfileKey<'_>, client_id: &str) -> Result<Option<AccountId>, StoreError> {
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
        key.identity,
        client_id,
        TOKENS,
    )?;
    row.map(|(id,)| links::parse("user_profiles", &id)).transpose()
}
