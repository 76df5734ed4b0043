//! API keys that users provide for agents. They are checked one by one and written together.

use std::sync::Arc;

use super::group::Turn;
use super::keep::checked;
use super::profile_puts::{Key, Place, Present, present, put};
use super::profiles::{ANY_MODEL, drop_replaced, label, model};
use super::{Store, Work, accounts, links};
use crate::db::{hex, rows};
use crate::{
    AccountId, AccountKind, BaseUrl, Identity, Owner, Profile, ProfileId, SaveProfileKey, StoreError, names,
    secret,
};

/// A key whose texts were checked, and the actor that saves it.
pub(super) struct KeySave {
    save: SaveProfileKey,
    actor: Arc<str>,
    model: String,
    base_url: Option<BaseUrl>,
    identity: Identity,
    person: String,
    label: Option<String>,
    reason: Option<String>,
}

/// The account and the sealed value for a key.
struct Cell {
    account: AccountId,
    generation: i64,
    sealed: Vec<u8>,
    /// True if this profile was the only user of the account before.
    own: bool,
}

impl KeySave {
    pub(super) fn checked(save: SaveProfileKey, actor: Arc<str>) -> Result<Self, StoreError> {
        names::secret("api_key", &save.key)?;
        let base_url = save.base_url.as_deref().map(str::parse::<BaseUrl>).transpose();
        let base_url =
            base_url.map_err(|error| StoreError::InvalidName { field: "base_url", reason: error.reason })?;
        let identity = checked(&Identity { email: save.email.clone(), ..Identity::default() })?;
        Ok(Self {
            model: model(&save.scope)?,
            base_url,
            person: identity.key(),
            identity,
            label: label(save.label.as_deref())?,
            reason: names::optional("status_reason", save.status_reason.as_deref())?,
            save,
            actor,
        })
    }

    /// Returns whether both keys are of one user, agent and provider. Such keys have an order.
    pub(super) fn is_beside(&self, other: &Self) -> bool {
        let (Self { save: one, .. }, Self { save: other, .. }) = (self, other);
        (&one.scope.user, &one.scope.agent, &one.provider)
            == (&other.scope.user, &other.scope.agent, &other.provider)
    }

    /// Returns the profile as it was written, with its old and its new values.
    fn profile(&self, (id, primary): (ProfileId, bool), before: Option<&Present>, cell: &Cell) -> Profile {
        let Self { save, actor: _, model, base_url, identity, person: _, label, reason } = self;
        let own = before.filter(|_| cell.own);
        Profile {
            id,
            user: save.scope.user.clone(),
            agent: save.scope.agent.clone(),
            provider: save.provider.clone(),
            model: Some(model.clone()).filter(|model| model != ANY_MODEL),
            account: cell.account.clone(),
            kind: AccountKind::ApiKey,
            primary,
            label: label.clone().or_else(|| before.and_then(|before| before.label.clone())),
            identity: Identity {
                subject: own.and_then(|own| own.subject.clone()),
                email: identity.email.clone(),
                login: None,
            },
            base_url: match own {
                Some(own) => own.base_url.clone(),
                None => base_url.as_ref().map(|url| url.as_str().to_owned()),
            },
            masked_tail: names::masked_tail(&save.key),
            status: save.status,
            status_reason: reason.clone(),
            expires_at: None,
            created_at: before.map_or(save.now, |before| before.created_at),
            updated_at: save.now,
        }
    }

    fn key(&self) -> Key<'_> {
        Key {
            scope: &self.save.scope,
            model: &self.model,
            provider: &self.save.provider,
            base_url: self.base_url.as_ref().map_or("", BaseUrl::as_str),
            identity: &self.person,
        }
    }
}

impl Store {
    /// Seals an API key that a user provides for an agent, and creates or replaces the profile. The replaced secret is
    /// deleted in the same transaction. The profile keeps its id, its position and its time of creation.
    ///
    /// Keys that arrive at the same time are written together. None of them can fail because of another.
    pub async fn save_profile_key(&self, save: SaveProfileKey) -> Result<Profile, StoreError> {
        self.queue_key(KeySave::checked(save, Arc::clone(&self.actor))?).await
    }

    /// Writes keys in one turn: all of them or none. No two of them are [beside](KeySave::is_beside) each other.
    pub(super) async fn write_keys(
        &self,
        turn: Turn,
        saves: &[&KeySave],
    ) -> Result<Vec<Profile>, StoreError> {
        let mut work = Work::new(turn, 0, Arc::clone(&self.actor));
        let done = self.save_keys(&mut work, saves).await;
        work.end(done).await
    }

    async fn save_keys(&self, work: &mut Work, saves: &[&KeySave]) -> Result<Vec<Profile>, StoreError> {
        let keys: Vec<_> = saves.iter().map(|save| save.key()).collect();
        let found = present(work, &keys).await?;
        let cells = saves.iter().zip(&found).map(|(save, found)| self.cell(save, found.profile.as_ref()));
        let cells = cells.collect::<Result<Vec<_>, _>>()?;
        let each = || saves.iter().zip(&found).zip(&cells);
        let places = each().map(|((KeySave { save, label, .. }, found), cell)| Place {
            profile: found.profile.as_ref().map(|before| &before.id),
            account: &cell.account,
            label: label.as_deref(),
            make_primary: save.make_primary,
            now: save.now,
        });
        let puts: Vec<_> = keys.iter().copied().zip(places).collect();
        let written = put(work, &account_rows(saves, &cells)?, &puts).await?;
        let mut profiles = Vec::with_capacity(saves.len());
        for (((save, found), cell), id) in each().zip(written) {
            let before = found.profile.as_ref();
            let primary = save.save.make_primary || found.ahead == 0;
            work.acting_for(&save.actor, save.save.now);
            drop_replaced(work, before, &cell.account).await?;
            work.audit("profile.save", &format!("{id} {}", cell.account));
            // A new account has no other links than this profile.
            let linked = cell.own && before.is_some_and(|before| before.links > 0);
            links::announce(work, &cell.account, linked).await?;
            profiles.push(save.profile((id, primary), before, cell));
        }
        Ok(profiles)
    }

    /// Chooses the account for a key. A key that only this profile uses is overwritten. A login, or a key with other
    /// users, is left unchanged.
    fn cell(&self, save: &KeySave, present: Option<&Present>) -> Result<Cell, StoreError> {
        let own = present.filter(|row| row.kind == AccountKind::ApiKey.as_str() && row.sharers == 1);
        let (account, generation) = match own {
            Some(row) => (links::parse("user_profiles", &row.account_id)?, row.generation + 1),
            None => (AccountId::generate(), 1),
        };
        let sealed = secret::seal(self.keyring(), accounts::cell(&account, generation)?, &save.save.key)?;
        Ok(Cell { account, generation, sealed, own: own.is_some() })
    }
}

/// Encodes the rows of the accounts for [`put`].
fn account_rows(saves: &[&KeySave], cells: &[Cell]) -> Result<String, StoreError> {
    let parts =
        saves.iter().zip(cells).map(|(KeySave { save, identity, label, reason, base_url, .. }, cell)| {
            (
                cell.account.as_str(),
                save.provider.as_str(),
                AccountKind::ApiKey.as_str(),
                Owner::User.as_str(),
                label.as_deref().unwrap_or(save.provider.as_str()),
                identity.email.as_deref(),
                base_url.as_ref().map(BaseUrl::as_str),
                cell.generation,
                names::masked_tail(&save.key),
                save.status.as_str(),
                reason.as_deref(),
                save.evidence.as_str(),
                save.now,
                hex(&cell.sealed),
            )
        });
    rows(&parts.collect::<Vec<_>>())
}
