//! Reading of profiles.

use crate::authentic::{ACCOUNTS, Seal, USER_PROFILES};
use crate::db::{Tx, row, sql};
use crate::error::StoreError;
use crate::id::{AgentId, ProfileId, ProviderId, UserId};
use crate::model::account::{CorruptRow, SecretRef};
use crate::model::profile::{Credential, Profile, ProfileCredential, ProfileFilter, ProfileList};
use crate::model::token::Identity;
use crate::secret;
use crate::secret::{Cell, Keyring, SecretError};
use crate::store::Store;
use crate::tokens::row::TokenRow;
use crate::tokens::row::own_columns as token_columns;

/// The kind of row, for errors.
const WHAT: &str = "profile";

/// The stored model of a profile that is for all models.
pub(crate) const ANY_MODEL: &str = "*";

/// The columns of [`ProfileRow`]. The primary is the profile with no other of its user, agent and provider before it.
macro_rules! columns {
    () => {
        concat!("profiles.id AS id, user_id, agent_id, profiles.provider AS provider, model, profiles.account_id AS account_id,
         label, profiles.created_at AS created_at, profiles.updated_at AS updated_at, kind, email, subject,
         accounts.base_url AS base_url, masked_tail, status, status_reason, expires_at, login_deadline_at,
         CAST(CASE WHEN EXISTS (SELECT 1 FROM user_profiles AS before
             WHERE before.user_id = profiles.user_id AND before.agent_id = profiles.agent_id
               AND before.provider = profiles.provider
               AND (before.position, before.id) < (profiles.position, profiles.id)) THEN 0 ELSE 1 END AS BIGINT)
             AS is_primary, ",
            signed!(user_profiles as profiles), ", ", signed!(accounts))
    };
}

/// Selects the columns of [`ProfileRow`] with the conditions in `$rest`.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT ",
            columns!(),
            " FROM user_profiles AS profiles JOIN accounts ON accounts.id = profiles.account_id ",
            $rest
        )
    };
}

/// Selects the columns of [`ProfileCredentialRow`] with the conditions in `$rest`, in order of position. It is one statement,
/// so that the start of an agent waits for the database once and sees one state of it.
macro_rules! select_candidates {
    ($rest:literal) => {
        concat!(
            "SELECT ",
            columns!(),
            ", secret_ref, sealed_secret, accounts.generation AS generation, ",
            token_columns!(),
            " FROM user_profiles AS profiles JOIN accounts ON accounts.id = profiles.account_id
             LEFT JOIN account_tokens ON account_tokens.account_id = accounts.id
             WHERE user_id = $1 AND agent_id = $2 ",
            $rest,
            " ORDER BY profiles.provider, position, profiles.id"
        )
    };
}

row! {
    struct ProfileRow {
        id: String,
        user_id: String,
        agent_id: String,
        provider: String,
        model: String,
        account_id: String,
        label: Option<String>,
        created_at: i64,
        updated_at: i64,
        kind: String,
        email: Option<String>,
        subject: Option<String>,
        base_url: Option<String>,
        masked_tail: Option<String>,
        status: String,
        status_reason: Option<String>,
        expires_at: Option<i64>,
        login_deadline_at: Option<i64>,
        is_primary: i64,
    } with {
        seal: Seal<USER_PROFILES>,
        account: Seal<ACCOUNTS>,
    }
}

row! {
    struct HolderRow {
        secret_ref: String,
        sealed_secret: Option<Vec<u8>>,
        generation: i64,
        /// The account's id again, if the account has tokens.
        token_account: Option<String>,
    } with {
        profile: ProfileRow,
    }
}

/// A profile with its account, and the account's tokens if there are any that can be read.
struct ProfileCredentialRow {
    holder: HolderRow,
    tokens: Option<TokenRow>,
}

impl<'r, R: sqlx::Row> sqlx::FromRow<'r, R> for ProfileCredentialRow
where
    HolderRow: sqlx::FromRow<'r, R>,
    TokenRow: sqlx::FromRow<'r, R>,
{
    fn from_row(row: &'r R) -> Result<Self, sqlx::Error> {
        let holder = HolderRow::from_row(row)?;
        // Without tokens all of their columns are null, which SQLite would also return as text.
        let tokens = match holder.token_account {
            Some(_) => TokenRow::from_row(row).ok(),
            None => None,
        };
        Ok(Self { holder, tokens })
    }
}

impl Store {
    /// Returns one profile.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if the profile does not exist; [`StoreError::Corrupt`] if the row cannot be read;
    /// [`StoreError::Busy`], [`StoreError::Unavailable`] or another error of the database.
    pub async fn profile(&self, id: &ProfileId) -> Result<Profile, StoreError> {
        let found = profile_in(&mut self.read().await?, id).await;
        match found {
            Ok(profile) => Ok(profile),
            Err(error) => Err(self.absent(USER_PROFILES, id.as_str(), error).await),
        }
    }

    /// Returns the profiles that match the filter. Rows that cannot be read are reported separately.
    ///
    /// # Errors
    /// [`StoreError::Busy`], [`StoreError::Unavailable`] or another error of the database.
    pub async fn profiles(&self, filter: ProfileFilter) -> Result<ProfileList, StoreError> {
        let mut tx = self.read().await?;
        let user = filter.user.as_ref().map(UserId::as_str);
        let agent = filter.agent.as_ref().map(AgentId::as_str);
        let rows = match (user, agent) {
            (None, None) => sql!(
                each,
                ProfileRow,
                &mut tx,
                select!("ORDER BY user_id, agent_id, profiles.provider, position, profiles.id"),
            ),
            (Some(user), None) => sql!(
                each,
                ProfileRow,
                &mut tx,
                select!("WHERE user_id = $1 ORDER BY agent_id, profiles.provider, position, profiles.id"),
                user,
            ),
            (None, Some(agent)) => sql!(
                each,
                ProfileRow,
                &mut tx,
                select!("WHERE agent_id = $1 ORDER BY user_id, profiles.provider, position, profiles.id"),
                agent,
            ),
            (Some(user), Some(agent)) => sql!(
                each,
                ProfileRow,
                &mut tx,
                select!(
                    "WHERE user_id = $1 AND agent_id = $2 ORDER BY profiles.provider, position, profiles.id"
                ),
                user,
                agent,
            ),
        }?;
        let mut list = ProfileList::default();
        for row in rows {
            let parsed = row.map_err(|row| row.into_corrupt(WHAT)).and_then(|row| {
                let id = row.id.clone();
                row.parse(self.keyring()).map_err(|reason| CorruptRow { id, reason })
            });
            match parsed {
                Ok(profile) => list.profiles.push(profile),
                Err(corrupt) => list.corrupt.push(corrupt),
            }
        }
        Ok(list)
    }

    /// Returns the credentials that a user provided for an agent and a provider, or for all providers, with their
    /// secrets opened. They are in order of provider, with the primary first. The caller chooses among them.
    ///
    /// A secret that cannot be opened is reported with its profile and hides no other. A profile whose own row cannot
    /// be read is left out. One that no holder of the key wrote is reported as corrupt, so that it does not lead to a
    /// launch with another credential.
    ///
    /// # Errors
    /// [`StoreError::Busy`], [`StoreError::Unavailable`] or another error of the database.
    pub async fn profile_credentials(
        &self,
        user: &UserId,
        agent: &AgentId,
        provider: Option<&ProviderId>,
    ) -> Result<Vec<ProfileCredential>, StoreError> {
        let mut tx = self.read().await?;
        let rows = match provider {
            Some(provider) => sql!(
                each,
                ProfileCredentialRow,
                &mut tx,
                select_candidates!("AND profiles.provider = $3"),
                user.as_str(),
                agent.as_str(),
                provider.as_str(),
            ),
            None => sql!(
                each,
                ProfileCredentialRow,
                &mut tx,
                select_candidates!(""),
                user.as_str(),
                agent.as_str()
            ),
        }?;
        let mut credentials = Vec::with_capacity(rows.len());
        for row in rows {
            let Ok(row) = row.map_err(|row| row.into_corrupt(WHAT)) else { continue };
            let id = row.holder.profile.id.clone();
            match row.open(self.keyring()) {
                Ok(credential) => credentials.push(credential),
                Err(reason) => tracing::error!(id, reason, "a profile was skipped: its row is corrupt"),
            }
        }
        Ok(credentials)
    }
}

/// Reads one profile within an open transaction.
pub(crate) async fn profile_in(tx: &mut Tx, id: &ProfileId) -> Result<Profile, StoreError> {
    let row = sql!(optional, ProfileRow, tx, select!("WHERE profiles.id = $1"), id.as_str())?;
    let row = row.ok_or_else(|| StoreError::not_found(WHAT, id))?;
    row.parse(&tx.keyring).map_err(|reason| StoreError::corrupt(WHAT, id, &reason))
}

/// Fails unless the profile exists. Its row need not be readable.
pub(crate) async fn expect(tx: &mut Tx, id: &ProfileId) -> Result<(), StoreError> {
    let row = sql!(optional, (String,), tx, "SELECT id FROM user_profiles WHERE id = $1", id.as_str())?;
    row.map(|_| ()).ok_or_else(|| StoreError::not_found(WHAT, id))
}

impl ProfileRow {
    /// Checks the authentication of the profile and of its account.
    fn check(&self, keyring: &Keyring) -> Result<(), String> {
        self.seal.reason(keyring)?;
        self.account
            .reason(keyring)
            .map_err(|reason| format!("its account {} is corrupt: {reason}", self.account_id))
    }

    fn parse(self, keyring: &Keyring) -> Result<Profile, String> {
        self.check(keyring)?;
        self.read()
    }

    /// Converts text into types, without a check of the authentication.
    fn read(self) -> Result<Profile, String> {
        let id = |error: crate::id::InvalidId| error.to_string();
        let word = |error: crate::model::account::UnknownWord| error.to_string();
        Ok(Profile {
            id: self.id.parse().map_err(id)?,
            user: self.user_id.parse().map_err(id)?,
            agent: self.agent_id.parse().map_err(id)?,
            provider: self.provider.parse().map_err(id)?,
            model: Some(self.model).filter(|model| model != ANY_MODEL),
            account: self.account_id.parse().map_err(id)?,
            kind: self.kind.parse().map_err(word)?,
            primary: self.is_primary != 0,
            label: self.label,
            identity: Identity { subject: self.subject, email: self.email, login: None },
            base_url: self.base_url,
            masked_tail: self.masked_tail,
            status: self.status.parse().map_err(word)?,
            status_reason: self.status_reason,
            expires_at: self.expires_at,
            login_deadline_at: self.login_deadline_at,
            created_at: self.created_at,
            updated_at: self.updated_at,
        })
    }
}

impl ProfileCredentialRow {
    /// Opens the secret. An error concerns the profile's own row.
    fn open(self, keyring: &Keyring) -> Result<ProfileCredential, String> {
        let Self { holder, tokens } = self;
        let unfit = holder.profile.check(keyring).err();
        let profile = holder.profile.read()?;
        if let Some(reason) = unfit {
            return Ok(ProfileCredential { profile, credential: Credential::Corrupt(reason) });
        }
        let account = profile.account.as_str();
        let credential = match holder.secret_ref.parse() {
            Ok(SecretRef::Tokens) => match tokens.map(|row| row.open(keyring)) {
                Some(Ok(opened)) => Credential::Tokens(Box::new(opened.stored)),
                Some(Err(StoreError::Secret(error))) => Credential::Broken(error),
                Some(Err(error)) => Credential::Corrupt(error.to_string()),
                None => Credential::Broken(SecretError::Absent),
            },
            Ok(SecretRef::Sealed) => match (holder.sealed_secret, u64::try_from(holder.generation)) {
                (Some(sealed), Ok(generation)) => {
                    let cell = Cell { table: "accounts", column: "sealed_secret", row: account, generation };
                    match secret::open(keyring, cell, &sealed) {
                        Ok(key) => Credential::Key(key),
                        Err(error) => Credential::Broken(error),
                    }
                }
                _ => Credential::Broken(SecretError::Absent),
            },
            Ok(SecretRef::ConfigDir { .. } | SecretRef::Env { .. } | SecretRef::Command { .. }) => {
                Credential::Elsewhere
            }
            Err(_) => Credential::Corrupt("its secret reference is not valid".to_owned()),
        };
        Ok(ProfileCredential { profile, credential })
    }
}
