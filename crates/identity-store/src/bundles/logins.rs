//! Saving of a credential: bundle, account, binding and login session in one transaction, all or nothing.

use super::login_texts::LoginTexts;
use super::share;
use super::writes::{bind_in, free_name, insert, seal_unbound, touch, unprotected};
use crate::accounts::rows::reference;
use crate::accounts::secrets::{cell, new_account};
use crate::authentic::{ACCOUNTS, IDENTITY_BINDINGS, Seal, census, fields_in, known};
use crate::db::sql;
use crate::error::StoreError;
use crate::id::{AccountId, BundleId, ProviderId};
use crate::model::account::{AccountKind, Owner, SecretRef};
use crate::model::changes::Change;
use crate::model::save::{DestinationBundle, SaveLogin, SavedCredential};
use crate::model::share::SharePolicy;
use crate::store::Store;
use crate::store::work::Work;
use crate::{names, secret, sessions};

/// The columns of an account that may be overwritten. They are few, so that a login can repair a corrupt row.
#[derive(sqlx::FromRow)]
pub(crate) struct BoundAccount {
    id: String,
    kind: String,
    email: Option<String>,
    subject: Option<String>,
    secret_ref: String,
    pub(super) generation: i64,
    #[sqlx(flatten)]
    seal: Seal<ACCOUNTS>,
}

/// A token, sealed for the row and generation that it is stored in. Both columns are empty for a directory.
#[derive(Default)]
pub(crate) struct SealedToken {
    secret: Option<Vec<u8>>,
    generation: Option<i64>,
}

/// A login that is written but not committed. If it is dropped, it is undone.
#[must_use]
pub struct UncommittedLogin {
    work: Work,
    saved: SavedCredential,
}

impl UncommittedLogin {
    /// Commits the login and announces its changes.
    ///
    /// # Errors
    /// [`StoreError::Busy`], [`StoreError::Full`] or another error of the database.
    pub async fn commit(self) -> Result<SavedCredential, StoreError> {
        self.work.commit().await?;
        Ok(self.saved)
    }
}

impl std::fmt::Debug for UncommittedLogin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UncommittedLogin").field("saved", &self.saved).finish_non_exhaustive()
    }
}

impl Store {
    /// Saves a confirmed login: creates or finds the bundle, creates or renews the account, binds it, and ends the
    /// session with `success`.
    ///
    /// A login into a binding renews the bound account, which keeps its id, name and time of creation. A bound API key,
    /// or a bound login of the other [`LoginCredential`](crate::LoginCredential) form, stays as a separate account, and the binding moves to
    /// the new one. A login of another person than the account's is refused with `IdentityMismatch` unless
    /// `replace_identity` is set.
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
        let texts = LoginTexts::check(&login, false, self.roots())?;
        let mut work = self.write(login.now).await?;
        if let Some(session) = &login.session {
            sessions::expect_live(&mut work, session).await?;
        }
        let (bundle, created_bundle) =
            reach(&mut work, &login.target, &texts.provider_name, texts.person()).await?;
        // A credential that is only shown is for a machine that no person works on.
        if created_bundle && login.token().is_some() {
            seal_unbound(&mut work, &bundle).await?;
        } else if created_bundle {
            share::write(&mut work, &bundle, &SharePolicy::MINE).await?;
        }
        let same_form = |bound: &BoundAccount| bound.holds_token() == login.token().is_some();
        let bound = bound_in(&mut work, &bundle, &login.provider, AccountKind::OAuth, same_form).await?;
        let account = if let Some(bound) = bound {
            let sealed = self.seal_token(&login, &bound.id()?, bound.generation + 1)?;
            renew_login(&mut work, &bound, &login, &texts, sealed).await?
        } else {
            let id = AccountId::generate();
            let sealed = self.seal_token(&login, &id, 1)?;
            insert_login(&mut work, id, &login, &texts, sealed).await?
        };
        let saved = SavedCredential { bundle, account, created_bundle };
        finish(&mut work, &saved, &login.provider, "login.save").await?;
        if let Some(session) = &login.session {
            sessions::succeed(&mut work, session, &saved, texts.email.as_deref()).await?;
        }
        Ok(UncommittedLogin { work, saved })
    }

    fn seal_token(
        &self,
        login: &SaveLogin,
        account: &AccountId,
        generation: i64,
    ) -> Result<SealedToken, StoreError> {
        let Some(token) = login.token() else { return Ok(SealedToken::default()) };
        let secret = secret::seal(self.keyring(), cell(account, generation)?, token)?;
        Ok(SealedToken { secret: Some(secret), generation: Some(generation) })
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
            && bound.seal.fits(&work.tx.keyring, &bound.id);
    if authentic && bound.kind == kind.as_str() && fits(&bound) {
        return Ok(Some(bound));
    }
    // The binding moves away from this account, so the account's own view changes too.
    work.changed(Change::Account(bound.id()?));
    Ok(None)
}

pub(crate) async fn renew_login(
    work: &mut Work,
    bound: &BoundAccount,
    login: &SaveLogin,
    texts: &LoginTexts,
    sealed: SealedToken,
) -> Result<AccountId, StoreError> {
    let id = bound.id()?;
    let stranger = bound.stranger(texts.email.as_deref(), texts.subject.as_deref());
    if let Some((expected, found)) = &stranger
        && !login.replace_identity
    {
        let (expected, found) = (expected.clone(), found.clone());
        return Err(StoreError::IdentityMismatch { expected, found, account: id });
    }
    // Fields that a login of the same person does not report keep their values. With another person they are cleared.
    let (email, subject) = match stranger {
        Some(_) => (texts.email.as_deref(), texts.subject.as_deref()),
        None => (
            texts.email.as_deref().or(bound.email.as_deref()),
            texts.subject.as_deref().or(bound.subject.as_deref()),
        ),
    };
    let secret_ref = bound.keep_adopted(texts)?;
    let code = fields_in(&mut work.tx, ACCOUNTS, [id.as_str(), ""])
        .await?
        .with("email", email)
        .with("subject", subject)
        .with("secret_ref", secret_ref.as_str())
        .with("base_url", texts.base_url.as_deref())
        .or_keep("generation", sealed.generation)
        .code(&work.tx);
    sql!(
        run,
        &mut work.tx,
        "UPDATE accounts SET email = $2, subject = $3, secret_ref = $4, status = $5, status_reason = NULL,
             evidence = $6, checked_at = $7, expires_at = $8, login_deadline_at = $9, updated_at = $7,
             sealed_secret = $10, generation = COALESCE($11, generation), base_url = $12, mac = $13
         WHERE id = $1",
        id.as_str(),
        email,
        subject,
        secret_ref,
        texts.status.as_str(),
        login.evidence.as_str(),
        login.now,
        login.expires_at,
        login.login_deadline_at,
        sealed.secret.as_deref(),
        sealed.generation,
        texts.base_url.as_deref(),
        code,
    )?;
    // A shared account is shown in every bundle that binds it.
    let bundles = sql!(
        all,
        (String,),
        &mut work.tx,
        "SELECT bundle_id FROM identity_bindings WHERE account_id = $1 ORDER BY bundle_id",
        id.as_str(),
    )?;
    for (bundle,) in bundles {
        let bundle = bundle.parse().map_err(|error| StoreError::corrupt("binding", &bundle, &error))?;
        work.changed(Change::Bindings(bundle));
    }
    Ok(id)
}

pub(crate) async fn insert_login(
    work: &mut Work,
    id: AccountId,
    login: &SaveLogin,
    texts: &LoginTexts,
    sealed: SealedToken,
) -> Result<AccountId, StoreError> {
    let base = names::of_person(&texts.provider_name, texts.person());
    let name = names::numbered(&base, 1);
    let code = new_account(&id, &login.provider, AccountKind::OAuth, Owner::Bundle)
        .with("name", name.as_str())
        .with("email", texts.email.as_deref())
        .with("subject", texts.subject.as_deref())
        .with("secret_ref", texts.secret_ref.as_str())
        .with("base_url", texts.base_url.as_deref())
        .with("generation", sealed.generation.unwrap_or(0))
        .code(&work.tx);
    census::added(&mut work.tx, ACCOUNTS, [id.as_str(), ""]);
    sql!(
        run,
        &mut work.tx,
        "INSERT INTO accounts (id, provider, kind, owner, name, email, subject, secret_ref, status, evidence,
             checked_at, expires_at, login_deadline_at, created_at, updated_at, sealed_secret, generation, base_url,
             mac)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $11, $11, $14, $15, $16, $17)",
        id.as_str(),
        login.provider.as_str(),
        AccountKind::OAuth.as_str(),
        Owner::Bundle.as_str(),
        name,
        texts.email.as_deref(),
        texts.subject.as_deref(),
        texts.secret_ref.as_str(),
        texts.status.as_str(),
        login.evidence.as_str(),
        login.now,
        login.expires_at,
        login.login_deadline_at,
        sealed.secret.as_deref(),
        sealed.generation.unwrap_or(0),
        texts.base_url.as_deref(),
        code,
    )?;
    Ok(id)
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

impl BoundAccount {
    pub(super) fn id(&self) -> Result<AccountId, StoreError> {
        self.id.parse().map_err(|error| StoreError::corrupt("account", &self.id, &error))
    }

    /// Returns the account's person and the login's person, if they are known to be different.
    ///
    /// Both the address and the subject are compared: a subject may be a team that several people share. A person whose
    /// address changed can confirm that with `replace_identity`.
    fn stranger(&self, email: Option<&str>, subject: Option<&str>) -> Option<(String, String)> {
        let differ = |ours: Option<&str>, theirs: Option<&str>| match (ours, theirs) {
            (Some(ours), Some(theirs)) if ours.to_lowercase() != theirs.to_lowercase() => {
                Some((ours.to_owned(), theirs.to_owned()))
            }
            _ => None,
        };
        differ(self.email.as_deref(), email).or_else(|| differ(self.subject.as_deref(), subject))
    }

    /// Returns the secret reference to store. A directory that was adopted stays adopted when a login renews it in
    /// place.
    fn keep_adopted(&self, texts: &LoginTexts) -> Result<String, StoreError> {
        match self.secret_ref.parse() {
            Ok(SecretRef::ConfigDir { dir, adopted: true }) if texts.own.as_ref() == Some(&dir) => {
                reference(&SecretRef::ConfigDir { dir, adopted: true })
            }
            _ => Ok(texts.secret_ref.clone()),
        }
    }

    /// Returns whether the login is a token in its own row. Any other login repairs a reference that cannot be read.
    fn holds_token(&self) -> bool {
        self.secret_ref.parse::<SecretRef>().is_ok_and(|found| found == SecretRef::Sealed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Person<'a> = (Option<&'a str>, Option<&'a str>);

    fn check(ours: Person<'_>, theirs: Person<'_>, expected: Option<(&str, &str)>) {
        let bound = BoundAccount {
            id: "a".into(),
            kind: "oauth".into(),
            email: ours.0.map(Into::into),
            subject: ours.1.map(Into::into),
            secret_ref: String::new(),
            generation: 0,
            seal: Seal::default(),
        };
        let expected = expected.map(|(ours, theirs)| (ours.to_owned(), theirs.to_owned()));
        assert_eq!(bound.stranger(theirs.0, theirs.1), expected);
    }

    #[test]
    fn stranger_is_detected_by_email_or_subject() {
        let (a, b) = (Some("a@x"), Some("b@x"));
        check((None, None), (a, Some("1")), None);
        check((a, Some("1")), (None, None), None);
        check((a, None), (Some("A@X"), None), None);
        check((a, None), (b, None), Some(("a@x", "b@x")));
        check((a, Some("1")), (b, Some("1")), Some(("a@x", "b@x")));
        check((a, Some("1")), (a, Some("2")), Some(("1", "2")));
        check((a, Some("1")), (b, Some("2")), Some(("a@x", "b@x")));
        check((None, Some("1")), (b, Some("2")), Some(("1", "2")));
        check((a, Some("1")), (None, Some("2")), Some(("1", "2")));
        check((a, Some("1")), (b, None), Some(("a@x", "b@x")));
    }
}
