//! Writing of profiles. Each credential has a row of its own, so that concurrent writers do not lose each other's
//! changes.

use super::removal;
use super::rows::{ANY_MODEL, profile_in};
use super::writes::{ExistingProfile, ProfileKey, ProfileValues, find, put};
use crate::accounts::links;
use crate::authentic::{Link, USER_PROFILES, fields_in};
use crate::db::sql;
use crate::error::StoreError;
use crate::id::{AccountId, ProfileId};
use crate::model::account::Owner;
use crate::model::changes::Change;
use crate::model::profile::{CommitProfile, Profile, ProfileOrder, ProfileScope};
use crate::model::session::LoginResult;
use crate::model::token::{LoginNotSaved, SavedTokens, UnsavedLogin};
use crate::names;
use crate::sessions;
use crate::store::Store;
use crate::store::work::Work;
use crate::tokens::keep::{NewTokens, TOKENS, TokenOwner, base_url, checked, client_id};

impl Store {
    /// Saves a login that a user made for an agent, and creates or replaces the profile. If the same user has the same
    /// account at the same authority, its tokens are replaced wherever the account is used, because one grant is stored
    /// once.
    ///
    /// # Errors
    /// [`LoginNotSaved`] with the login and the reason: `InvalidName` if a text is not valid, `Corrupt` if the
    /// existing profile cannot be read, `Secret` if a token cannot be sealed, or an error of the database.
    pub async fn commit_profile(
        &self,
        login: UnsavedLogin,
        commit: CommitProfile,
    ) -> Result<(Profile, SavedTokens), LoginNotSaved> {
        match self.try_profile(&login, &commit).await {
            Ok(done) => Ok(done),
            Err(error) => Err(LoginNotSaved { error, login: Box::new(login) }),
        }
    }

    async fn try_profile(
        &self,
        login: &UnsavedLogin,
        commit: &CommitProfile,
    ) -> Result<(Profile, SavedTokens), StoreError> {
        let mut work = self.join(commit.now).await?;
        let done = self.settle_profile(&mut work, &NewTokens::from(login), commit).await;
        work.end(done).await
    }

    /// Completes a parked login whose person is now known.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if the parked login does not exist; [`StoreError::InvalidName`] if a text is not
    /// valid; [`StoreError::Conflict`] if the login is being refreshed; [`StoreError::Corrupt`] if the row cannot be
    /// read; [`StoreError::Secret`] if its tokens cannot be opened; [`StoreError::Busy`], [`StoreError::Full`] or
    /// another error of the database.
    pub async fn promote_profile(
        &self,
        pending: &AccountId,
        commit: CommitProfile,
    ) -> Result<(Profile, SavedTokens), StoreError> {
        let mut work = self.write(commit.now).await?;
        let parked = self.parked_login(&mut work, pending).await?;
        let done = self.settle_profile(&mut work, &NewTokens::from(&parked), &commit).await?;
        work.commit().await?;
        Ok(done)
    }

    async fn settle_profile(
        &self,
        work: &mut Work,
        arrival: &NewTokens<'_>,
        commit: &CommitProfile,
    ) -> Result<(Profile, SavedTokens), StoreError> {
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
            Some(row) => Some(links::parse("profile", &row.account_id)?),
            None => elsewhere(work, &key, client_id(authority)).await?,
        };
        let holder = TokenOwner { identity: &identity, owner: Owner::User, jitter: commit.jitter };
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
        if let Some(session) = &commit.session {
            let email = identity.email.as_deref();
            let (account, profile) = (&kept.account, Some(&profile.id));
            sessions::expect_live(work, session).await?;
            sessions::succeed(work, session, LoginResult { bundle: None, account, profile, email }).await?;
        }
        work.audit("profile.login", &format!("{} {}", profile.id, kept.account));
        links::announce(work, &kept.account, true).await?;
        Ok((profile, kept))
    }

    /// Sets the order of the profiles of a user, an agent and a provider.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if the order does not name each profile once; [`StoreError::Corrupt`] if another
    /// program wrote one of them; [`StoreError::Busy`], [`StoreError::Full`] or another error of the database.
    pub async fn reorder_profiles(&self, order: ProfileOrder<'_>, now: i64) -> Result<(), StoreError> {
        let ProfileOrder { user, agent, provider, profiles } = order;
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
        let mut named: Vec<&str> = profiles.iter().map(ProfileId::as_str).collect();
        named.sort_unstable();
        if named.iter().ne(rows.iter().map(|(id,)| id)) {
            return Err(StoreError::conflict(
                "profiles",
                provider,
                "the order does not name each of them once",
            ));
        }
        for (position, id) in (0_i64..).zip(profiles) {
            let row = fields_in(&mut work.tx, USER_PROFILES, [id.as_str(), ""]).await?;
            let code = row.with("position", position).code(&work.tx);
            sql!(
                run,
                &mut work.tx,
                "UPDATE user_profiles SET position = $2, updated_at = $3, mac = $4
                 WHERE id = $1 AND position <> $2",
                id.as_str(),
                position,
                now,
                code,
            )?;
        }
        work.audit("profile.reorder", provider.as_str());
        work.changed(Change::Profiles(user.clone()));
        work.commit().await
    }
}

/// Deletes the previous account of a profile, unless something else links to it.
pub(crate) async fn drop_replaced(
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
pub(crate) fn model(scope: &ProfileScope) -> Result<String, StoreError> {
    scope.model.as_deref().map_or_else(|| Ok(ANY_MODEL.to_owned()), |model| names::name("model", model))
}

pub(crate) fn label(label: Option<&str>) -> Result<Option<String>, StoreError> {
    label.map(|label| names::name("label", label)).transpose()
}

/// Returns the account of the same user and person at the same authority that another profile uses.
async fn elsewhere(
    work: &mut Work,
    key: &ProfileKey<'_>,
    client_id: &str,
) -> Result<Option<AccountId>, StoreError> {
    if key.identity.is_empty() {
        return Ok(None);
    }
    let row = sql!(
        optional,
        Link<USER_PROFILES>,
        &mut work.tx,
        concat!(
            "SELECT account_id, ",
            signed!(user_profiles),
            " FROM user_profiles JOIN accounts ON accounts.id = user_profiles.account_id
         WHERE user_id = $1 AND user_profiles.provider = $2 AND user_profiles.base_url = $3 AND identity = $4
           AND COALESCE(client_id, '') = $5 AND secret_ref = $6
         ORDER BY user_profiles.created_at, user_profiles.id LIMIT 1"
        ),
        key.scope.user.as_str(),
        key.provider.as_str(),
        key.base_url,
        key.identity,
        client_id,
        TOKENS,
    )?;
    row.map(|link| link.account(&work.tx.keyring)).transpose()
}
