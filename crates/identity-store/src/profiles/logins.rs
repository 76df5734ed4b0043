//! Logins that users make for agents, in a directory of the user or as a token.

use super::commit::drop_replaced;
use super::rows::ANY_MODEL;
use super::writes::{ExistingProfile, ProfileKey, ProfileValues, find, put};
use crate::accounts::links;
use crate::accounts::login_texts::LoginTexts;
use crate::accounts::logins::{BoundAccount, UncommittedLogin, insert_login, renew_login};
use crate::accounts::rows::account_in;
use crate::authentic::{USER_PROFILES, census, fields_in, known};
use crate::db::sql;
use crate::error::StoreError;
use crate::id::{AccountId, ProfileId, ProviderId};
use crate::model::account::{Account, AccountKind};
use crate::model::profile::ProfileScope;
use crate::model::save::{SaveUserLogin, SavedProfile};
use crate::model::session::{LoginOwner, LoginResult};
use crate::model::token::Identity;
use crate::sessions;
use crate::store::Store;
use crate::store::work::Work;

/// A profile whose login is renewed, and its account.
struct Renewed {
    profile: ProfileId,
    account: BoundAccount,
}

impl Store {
    /// Returns the account of the user's own login for a provider, in the directory that belongs to this user and agent.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if the row cannot be read; [`StoreError::Busy`], [`StoreError::Unavailable`] or another
    /// error of the database.
    pub async fn user_login(
        &self,
        owner: &LoginOwner,
        provider: &ProviderId,
        directory: bool,
    ) -> Result<Option<Account>, StoreError> {
        let pattern = if directory { "%\"config_dir\"%" } else { "%\"sealed\"%" };
        let mut tx = self.read().await?;
        let found = sql!(
            optional,
            (String,),
            &mut tx,
            "SELECT account_id FROM user_profiles JOIN accounts ON accounts.id = user_profiles.account_id
             WHERE user_id = $1 AND agent_id = $2 AND user_profiles.provider = $3 AND kind = $4 AND secret_ref LIKE $5
             ORDER BY position, user_profiles.id LIMIT 1",
            owner.user.as_str(),
            owner.agent.as_str(),
            provider.as_str(),
            AccountKind::OAuth.as_str(),
            pattern,
        )?;
        let Some((id,)) = found else { return Ok(None) };
        let account = account_in(&mut tx, &links::parse("profile", &id)?).await?;
        Ok(Some(self.located(account)))
    }

    /// Saves a confirmed login of a user: creates or renews the account and the profile, and ends the session with
    /// `success`.
    ///
    /// A login into a directory that a profile of the user and the agent already has renews its account, which keeps its
    /// id. A profile of the same person with another credential is replaced, and so are its secrets. A login of a
    /// person whom [`SaveUserLogin::person`] does not accept is refused with `IdentityMismatch`.
    ///
    /// # Errors
    /// As for [`Store::begin_user_login`], and an error of the commit. Then nothing of the login is in the database.
    pub async fn save_user_login(&self, login: SaveUserLogin) -> Result<SavedProfile, StoreError> {
        self.begin_user_login(login).await?.commit().await
    }

    /// Does the work of [`Store::save_user_login`] up to the commit, as [`Store::begin_login`] does for a bundle.
    ///
    /// # Errors
    /// [`StoreError::InvalidName`] if a text is not valid; [`StoreError::NotFound`] if the session does not exist;
    /// [`StoreError::Conflict`] if the session has ended; [`StoreError::IdentityMismatch`] for another person;
    /// [`StoreError::Secret`] if the secret cannot be sealed; [`StoreError::Busy`], [`StoreError::Full`] or another
    /// error of the database.
    pub async fn begin_user_login(
        &self,
        login: SaveUserLogin,
    ) -> Result<UncommittedLogin<SavedProfile>, StoreError> {
        let facts = login.facts();
        let texts = LoginTexts::check(&facts, false, self.roots())?;
        let mut work = self.write(login.now).await?;
        if let Some(session) = &login.session {
            sessions::expect_live(&mut work, session).await?;
        }
        let renewed = own_login(&mut work, &login.owner, &login.provider, &texts.secret_ref).await?;
        let replaced = renewed.as_ref().and_then(|renewed| renewed.account.replaced_by(&texts));
        let account = if let Some(Renewed { account, .. }) = &renewed {
            let sealed = self.seal_token(&facts, &account.id()?, account.generation + 1)?;
            renew_login(&mut work, account, &facts, &texts, sealed).await?
        } else {
            let id = AccountId::generate();
            let sealed = self.seal_token(&facts, &id, 1)?;
            insert_login(&mut work, id, &facts, &texts, sealed).await?
        };
        let profile = link(&mut work, &login, &account, renewed.map(|renewed| renewed.profile)).await?;
        let saved = SavedProfile { profile, account, replaced };
        work.audit("login.save", &format!("profile {} {} {}", saved.profile, login.provider, saved.account));
        links::announce(&mut work, &saved.account, true).await?;
        if let Some(session) = &login.session {
            let done = LoginResult {
                bundle: None,
                account: &saved.account,
                profile: Some(&saved.profile),
                email: texts.email.as_deref(),
            };
            sessions::succeed(&mut work, session, done).await?;
        }
        Ok(UncommittedLogin { work, saved })
    }
}

/// Finds the profile of this user and agent whose login is in the same place.
async fn own_login(
    work: &mut Work,
    owner: &LoginOwner,
    provider: &ProviderId,
    secret_ref: &str,
) -> Result<Option<Renewed>, StoreError> {
    let rows = sql!(
        all,
        (String, String),
        &mut work.tx,
        "SELECT user_profiles.id, account_id FROM user_profiles JOIN accounts ON accounts.id = user_profiles.account_id
         WHERE user_id = $1 AND agent_id = $2 AND user_profiles.provider = $3 AND kind = $4 AND secret_ref = $5
           AND model = $6
         ORDER BY position, user_profiles.id",
        owner.user.as_str(),
        owner.agent.as_str(),
        provider.as_str(),
        AccountKind::OAuth.as_str(),
        secret_ref,
        ANY_MODEL,
    )?;
    for (profile, account) in rows {
        // A row that no holder of the key wrote stays and is reported. The login gets a row of its own.
        let profile: ProfileId = links::parse("profile", &profile)?;
        if known(&mut work.tx, USER_PROFILES, [profile.as_str(), ""]).await.is_err() {
            continue;
        }
        let account: AccountId = links::parse("account", &account)?;
        match BoundAccount::read(work, &account).await {
            Ok(account) => return Ok(Some(Renewed { profile, account })),
            Err(StoreError::Corrupt { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// Makes the account the credential of a profile: of the renewed one, or of the one of the same person, or of a new one.
async fn link(
    work: &mut Work,
    login: &SaveUserLogin,
    account: &AccountId,
    renewed: Option<ProfileId>,
) -> Result<ProfileId, StoreError> {
    let LoginOwner { user, agent } = login.owner.clone();
    let scope = ProfileScope { user, agent, model: None };
    // The account has the facts of the person that a renewal did not report again.
    let row = account_in(&mut work.tx, account).await?;
    let person = Identity { subject: row.subject, email: row.email, login: None }.key();
    let key = ProfileKey {
        scope: &scope,
        model: ANY_MODEL,
        provider: &login.provider,
        base_url: login.base_url.as_deref().unwrap_or_default(),
        identity: &person,
    };
    let mut existing = find(work, &key).await?;
    if let Some(renewed) = &renewed {
        let same = existing.as_ref().map(ExistingProfile::id).transpose()?.as_ref() == Some(renewed);
        if !same {
            // Another profile of the person gives way to the renewed one, which keeps its id and its position.
            if let Some(other) = existing.take() {
                remove(work, &other).await?;
            }
            rename(work, renewed, &key).await?;
            existing = find(work, &key).await?;
        }
    }
    let profile = existing.as_ref().map(ExistingProfile::id).transpose()?;
    let values =
        ProfileValues { profile: profile.as_ref(), account, label: None, make_primary: renewed.is_none() };
    let profile = put(work, &key, &values).await?;
    drop_replaced(work, existing.as_ref(), account).await?;
    Ok(profile)
}

/// Removes a profile, and its account if nothing else uses it.
async fn remove(work: &mut Work, other: &ExistingProfile) -> Result<(), StoreError> {
    let id = other.id()?;
    census::removed(&mut work.tx, USER_PROFILES, [id.as_str(), ""]).await?;
    sql!(run, &mut work.tx, "DELETE FROM user_profiles WHERE id = $1", id.as_str())?;
    work.audit("profile.delete", id.as_str());
    super::removal::orphan(work, &other.account_id).await
}

/// Gives a profile the person of its renewed login.
async fn rename(work: &mut Work, profile: &ProfileId, key: &ProfileKey<'_>) -> Result<(), StoreError> {
    let code = fields_in(&mut work.tx, USER_PROFILES, [profile.as_str(), ""])
        .await?
        .with("identity", key.identity)
        .with("base_url", key.base_url)
        .code(&work.tx);
    sql!(
        run,
        &mut work.tx,
        "UPDATE user_profiles SET identity = $2, base_url = $3, mac = $4 WHERE id = $1",
        profile.as_str(),
        key.identity,
        key.base_url,
        code,
    )?;
    Ok(())
}
