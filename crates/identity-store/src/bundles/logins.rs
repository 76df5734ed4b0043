//! Saving of a credential: bundle, account, binding and login session in one transaction, all or nothing.

use super::share;
use super::writes::{bind_in, free_name, insert, seal_unbound, touch, unprotected};
use crate::accounts::login_texts::LoginTexts;
use crate::accounts::logins::{BoundAccount, UncommittedLogin, insert_login, renew_login};
use crate::authentic::{IDENTITY_BINDINGS, known};
use crate::db::sql;
use crate::error::StoreError;
use crate::id::{AccountId, BundleId, ProviderId};
use crate::model::account::AccountKind;
use crate::model::changes::Change;
use crate::model::save::{DestinationBundle, SaveLogin, SavedCredential};
use crate::model::session::LoginResult;
use crate::model::share::SharePolicy;
use crate::store::Store;
use crate::store::work::Work;
use crate::{names, sessions};

impl Store {
    /// Saves a confirmed login: creates or finds the bundle, creates or renews the account, binds it, and ends the
    /// session with `success`.
    ///
    /// A login into a binding renews the bound account, which keeps its id, name and time of creation. A bound API key,
    /// or a bound login of the other [`LoginCredential`](crate::LoginCredential) form, stays as a separate account, and the binding moves to
    /// the new one. A login of a person whom [`SaveLogin::person`] does not accept is refused with `IdentityMismatch`.
    ///
    /// # Errors
    /// As for [`Store::begin_login`], and an error of the commit. Then nothing of the login is in the database.
    pub async fn save_login(&self, login: SaveLogin) -> Result<SavedCredential, StoreError> {
        self.begin_login(login).await?.commit().await
    }

    /// Does the work of [`Store::save_login`] up to the commit. All checks that could refuse the login have passed, and
    /// no other writer runs until it is committed or dropped. It is for a caller that has to move files into place in
    /// between.
    ///
    /// # Errors
    /// [`StoreError::InvalidName`] if a text is not valid; [`StoreError::NotFound`] if the bundle or the session does
    /// not exist; [`StoreError::Protected`] for the bundle `blank`; [`StoreError::Conflict`] if the session has
    /// ended, or the id or the name of a new bundle is taken; [`StoreError::IdentityMismatch`] for another person;
    /// [`StoreError::Secret`] if the secret cannot be sealed; [`StoreError::Busy`], [`StoreError::Full`] or another
    /// error of the database.
    pub async fn begin_login(&self, login: SaveLogin) -> Result<UncommittedLogin, StoreError> {
        let facts = login.facts();
        let texts = LoginTexts::check(&facts, false, self.roots())?;
        let mut work = self.write(login.now).await?;
        if let Some(session) = &login.session {
            sessions::expect_live(&mut work, session).await?;
        }
        let (bundle, created_bundle) =
            reach(&mut work, &login.target, &texts.provider_name, texts.person()).await?;
        // A credential that is only shown is for a machine that no person works on.
        if created_bundle && facts.token().is_some() {
            seal_unbound(&mut work, &bundle).await?;
        } else if created_bundle {
            share::write(&mut work, &bundle, &SharePolicy::MINE).await?;
        }
        let same_form = |bound: &BoundAccount| bound.holds_token() == facts.token().is_some();
        let bound = bound_in(&mut work, &bundle, &login.provider, AccountKind::OAuth, same_form).await?;
        let replaced = bound.as_ref().and_then(|bound| bound.replaced_by(&texts));
        let account = if let Some(bound) = bound {
            let sealed = self.seal_token(&facts, &bound.id()?, bound.generation + 1)?;
            renew_login(&mut work, &bound, &facts, &texts, sealed).await?
        } else {
            let id = AccountId::generate();
            let sealed = self.seal_token(&facts, &id, 1)?;
            insert_login(&mut work, id, &facts, &texts, sealed).await?
        };
        let saved = SavedCredential { bundle, account, created_bundle, replaced };
        finish(&mut work, &saved, &login.provider, "login.save").await?;
        if let Some(session) = &login.session {
            let done = LoginResult {
                bundle: Some(&saved.bundle),
                account: &saved.account,
                profile: None,
                email: texts.email.as_deref(),
            };
            sessions::succeed(&mut work, session, done).await?;
        }
        Ok(UncommittedLogin { work, saved })
    }
}

/// Finds or creates the bundle. A new bundle without a name is named after the provider and the person.
pub(super) async fn reach(
    work: &mut Work,
    target: &DestinationBundle,
    provider_name: &str,
    person: Option<&str>,
) -> Result<(BundleId, bool), StoreError> {
    match target {
        DestinationBundle::Existing(id) => {
            unprotected(id)?;
            touch(work, id).await?;
            Ok((id.clone(), false))
        }
        DestinationBundle::New { id, name } => {
            unprotected(id)?;
            let name = match name {
                Some(name) => names::new_name("bundle_name", name)?,
                None => free_name(work, &names::of_person(provider_name, person)).await?,
            };
            insert(work, id, &name, "").await?;
            Ok((id.clone(), true))
        }
    }
}

/// Returns the account that the bundle binds for the provider, if it is of that kind and fits.
pub(super) async fn bound_in(
    work: &mut Work,
    bundle: &BundleId,
    provider: &ProviderId,
    kind: AccountKind,
    fits: impl Fn(&BoundAccount) -> bool,
) -> Result<Option<BoundAccount>, StoreError> {
    let bound = sql!(
        optional,
        BoundAccount,
        &mut work.tx,
        concat!(
            "SELECT accounts.id, kind, email, subject, secret_ref, generation, ",
            signed!(accounts),
            " FROM identity_bindings JOIN accounts ON accounts.id = identity_bindings.account_id
             WHERE identity_bindings.bundle_id = $1 AND identity_bindings.provider = $2"
        ),
        bundle.as_str(),
        provider.as_str(),
    )?;
    let Some(bound) = bound else { return Ok(None) };
    // An account that another program wrote stays and is reported. The new one gets a row of its own.
    let authentic =
        known(&mut work.tx, IDENTITY_BINDINGS, [bundle.as_str(), provider.as_str()]).await.is_ok()
            && bound.is_fit(&work.tx.keyring, kind);
    if authentic && fits(&bound) {
        return Ok(Some(bound));
    }
    // The binding moves away from this account, so the account's own view changes too.
    work.changed(Change::Account(bound.id()?));
    Ok(None)
}

/// Binds the account and records the action in the audit log.
pub(crate) async fn finish(
    work: &mut Work,
    saved: &SavedCredential,
    provider: &ProviderId,
    action: &str,
) -> Result<(), StoreError> {
    bind_in(work, &saved.bundle, provider, &saved.account).await?;
    work.audit(action, &format!("{} {provider} {}", saved.bundle, saved.account));
    Ok(())
}
