//! Deletion of profiles, agents and users: the rows and the secrets that only they used, in one transaction.

use super::rows;
use crate::accounts::delete::{delete_links, delete_row};
use crate::accounts::{leftovers, links};
use crate::authentic::{ACCOUNTS, Page, USER_PROFILES, census, known};
use crate::db::sql;
use crate::error::StoreError;
use crate::id::{AccountId, AgentId, ProfileId, ProviderId, UserId};
use crate::model::account::{History, Leftover, SecretRef};
use crate::model::changes::Change;
use crate::model::profile::DeletedProfiles;
use crate::store::Store;
use crate::store::work::Work;

/// The accounts that are deleted with the profiles that `$column` = `$1` selects: those owned by a user and without
/// other links.
macro_rules! owned {
    ($column:literal) => {
        concat!(
            "FROM accounts WHERE owner = 'user'
               AND id IN (SELECT account_id FROM user_profiles WHERE ",
            $column,
            " = $1)
               AND NOT EXISTS (SELECT 1 FROM user_profiles AS other
                   WHERE other.account_id = accounts.id AND other.",
            $column,
            " <> $1)
               AND NOT EXISTS (SELECT 1 FROM identity_bindings WHERE identity_bindings.account_id = accounts.id)
               AND NOT EXISTS (SELECT 1 FROM operator_tokens WHERE operator_tokens.account_id = accounts.id)"
        )
    };
}

/// The statements of a deletion.
struct Deletion {
    users: &'static str,
    secrets: &'static str,
    directories: &'static str,
    accounts: &'static str,
    listed: &'static str,
    profiles: &'static str,
}

macro_rules! deletion {
    ($column:literal) => {
        Deletion {
            users: concat!(
                "SELECT user_id, count(*) FROM user_profiles WHERE ",
                $column,
                " = $1 GROUP BY user_id ORDER BY user_id"
            ),
            secrets: concat!(
                "SELECT (SELECT count(sealed_secret) ",
                owned!($column),
                ") + (SELECT count(sealed_access) + count(sealed_refresh) + count(sealed_id) FROM account_tokens
                   WHERE account_id IN (SELECT id ",
                owned!($column),
                "))"
            ),
            directories: concat!(
                "SELECT id ",
                owned!($column),
                " AND secret_ref LIKE '%\"config_dir\"%' ORDER BY id"
            ),
            accounts: concat!("SELECT id ", owned!($column)),
            listed: listed!(user_profiles, concat!($column, " = $1")),
            profiles: concat!("DELETE FROM user_profiles WHERE ", $column, " = $1"),
        }
    };
}

impl Store {
    /// Deletes a profile. Deletes its account and secrets too, unless something else links to them.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if the profile does not exist; [`StoreError::Busy`], [`StoreError::Full`] or another
    /// error of the database.
    pub async fn delete_profile(&self, id: &ProfileId, now: i64) -> Result<DeletedProfiles, StoreError> {
        let mut work = self.write(now).await?;
        rows::expect(&mut work.tx, id).await?;
        let deleted = delete(&mut work, &deletion!("id"), id.as_str(), History::Keep).await?;
        work.audit("profile.delete", id.as_str());
        work.commit().await?;
        Ok(self.located_all(deleted))
    }

    /// Deletes every profile of every user for an agent, with their secrets. An agent that later receives the same id
    /// has none of them.
    ///
    /// # Errors
    /// [`StoreError::Busy`], [`StoreError::Full`] or another error of the database.
    pub async fn delete_agent(&self, agent: &AgentId, now: i64) -> Result<DeletedProfiles, StoreError> {
        let mut work = self.write(now).await?;
        let deleted = delete(&mut work, &deletion!("agent_id"), agent.as_str(), History::Remove).await?;
        work.audit("agent.delete", agent.as_str());
        work.commit().await?;
        Ok(self.located_all(deleted))
    }

    /// Deletes every profile of a user for every agent, with their secrets, and the logins that are parked for the
    /// user.
    ///
    /// # Errors
    /// [`StoreError::Busy`], [`StoreError::Full`] or another error of the database.
    pub async fn delete_user(&self, user: &UserId, now: i64) -> Result<DeletedProfiles, StoreError> {
        let mut work = self.write(now).await?;
        let mut deleted = delete(&mut work, &deletion!("user_id"), user.as_str(), History::Remove).await?;
        let parked = sql!(
            all,
            (String, i64),
            &mut work.tx,
            "SELECT account_tokens.account_id, CAST(1 + CASE WHEN sealed_refresh IS NULL THEN 0 ELSE 1 END
                 + CASE WHEN sealed_id IS NULL THEN 0 ELSE 1 END AS BIGINT)
             FROM pending_logins JOIN account_tokens ON account_tokens.account_id = pending_logins.account_id
             WHERE user_id = $1 ORDER BY account_tokens.account_id",
            user.as_str(),
        )?;
        for (account, secrets) in parked {
            let account: AccountId = links::parse("pending login", &account)?;
            delete_row(&mut work, &account).await?;
            deleted.secrets += secrets.unsigned_abs();
            deleted.accounts.push(account);
        }
        work.audit("user.delete", user.as_str());
        work.commit().await?;
        Ok(self.located_all(deleted))
    }
}

impl Store {
    /// Returns the result of a deletion with the present paths of the directories.
    fn located_all(&self, deleted: DeletedProfiles) -> DeletedProfiles {
        let leftovers = deleted.leftovers.into_iter().map(|leftover| self.located_leftover(leftover));
        DeletedProfiles { leftovers: leftovers.collect(), ..deleted }
    }
}

async fn delete(
    work: &mut Work,
    deletion: &Deletion,
    value: &str,
    history: History,
) -> Result<DeletedProfiles, StoreError> {
    let users = sql!(all, (String, i64), &mut work.tx, deletion.users, value)?;
    let (secrets,) = sql!(one, (i64,), &mut work.tx, deletion.secrets, value)?;
    let directories = sql!(all, (String,), &mut work.tx, deletion.directories, value)?;
    let mut leftovers = Vec::new();
    for (account,) in directories {
        leftovers.extend(note_directory(work, &account, history).await?);
    }
    let gone = sql!(all, (String,), &mut work.tx, deletion.accounts, value)?;
    for (account,) in &gone {
        delete_links(&mut work.tx, account).await?;
    }
    // Profiles whose account was deleted are already deleted. These are the profiles whose account has other users.
    let profiles = sql!(all, Page, &mut work.tx, deletion.listed, value)?;
    census::gone(&mut work.tx, USER_PROFILES, profiles);
    sql!(run, &mut work.tx, deletion.profiles, value)?;
    let mut deleted =
        DeletedProfiles { secrets: secrets.unsigned_abs(), leftovers, ..DeletedProfiles::default() };
    for (user, count) in users {
        deleted.profiles += count.unsigned_abs();
        work.changed(Change::Profiles(links::parse("profile", &user)?));
    }
    for (account,) in gone {
        let account: AccountId = links::parse("account", &account)?;
        work.changed(Change::Account(account.clone()));
        deleted.accounts.push(account);
    }
    deleted.accounts.sort_unstable();
    Ok(deleted)
}

/// Records the directory of an account that is about to be deleted, and returns it. A row that no holder of the key wrote
/// does not choose the directory that is removed.
async fn note_directory(
    work: &mut Work,
    account: &str,
    history: History,
) -> Result<Option<Leftover>, StoreError> {
    let row = match known(&mut work.tx, ACCOUNTS, [account, ""]).await {
        Ok(Some(row)) => row,
        Ok(None) | Err(StoreError::Corrupt { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let provider = row.get("provider").and_then(|text| text.parse::<ProviderId>().ok());
    let secret_ref = row.get("secret_ref").and_then(|text| text.parse::<SecretRef>().ok());
    let (Some(provider), Some(secret_ref)) = (provider, secret_ref) else { return Ok(None) };
    let leftover = leftovers::of(&provider, &secret_ref, history);
    if let Some(leftover) = &leftover {
        leftovers::note(&mut work.tx, leftover, work.now).await?;
    }
    Ok(leftover)
}

/// Deletes a user's account that has no links any more. Its directory is recorded until [`Store::forget_leftover`].
pub(crate) async fn orphan(work: &mut Work, account: &str) -> Result<(), StoreError> {
    note_unlinked(work, account).await?;
    let gone = sql!(
        all,
        (String,),
        &mut work.tx,
        "SELECT id FROM accounts WHERE id = $1 AND owner = 'user'
           AND NOT EXISTS (SELECT 1 FROM user_profiles WHERE user_profiles.account_id = accounts.id)
           AND NOT EXISTS (SELECT 1 FROM identity_bindings WHERE identity_bindings.account_id = accounts.id)
           AND NOT EXISTS (SELECT 1 FROM operator_tokens WHERE operator_tokens.account_id = accounts.id)",
        account,
    )?;
    for (account,) in gone {
        delete_links(&mut work.tx, &account).await?;
        let account: AccountId = links::parse("account", &account)?;
        work.audit("account.delete", account.as_str());
        work.changed(Change::Account(account));
    }
    Ok(())
}

/// Records the directory of a user's account, if the account has no links any more.
async fn note_unlinked(work: &mut Work, account: &str) -> Result<(), StoreError> {
    let unlinked = sql!(
        optional,
        (String,),
        &mut work.tx,
        "SELECT id FROM accounts WHERE id = $1 AND owner = 'user' AND secret_ref LIKE '%\"config_dir\"%'
           AND NOT EXISTS (SELECT 1 FROM user_profiles WHERE user_profiles.account_id = accounts.id)
           AND NOT EXISTS (SELECT 1 FROM identity_bindings WHERE identity_bindings.account_id = accounts.id)
           AND NOT EXISTS (SELECT 1 FROM operator_tokens WHERE operator_tokens.account_id = accounts.id)",
        account,
    )?;
    if let Some((account,)) = unlinked {
        note_directory(work, &account, History::Keep).await?;
    }
    Ok(())
}
