//! The account of a login: creation, renewal, and the check that a renewal is the same person's.

use super::login_texts::LoginTexts;
use super::rows::reference;
use super::secrets::{cell, new_account};
use crate::authentic::{ACCOUNTS, Seal, census, fields_in};
use crate::db::{row, sql};
use crate::error::StoreError;
use crate::id::AccountId;
use crate::model::account::{AccountKind, SecretRef};
use crate::model::changes::Change;
use crate::model::save::{LoginFacts, PersonRule, ReplacedPerson, SavedCredential};
use crate::secret::Keyring;
use crate::store::Store;
use crate::store::work::Work;
use crate::{names, secret};

row! {
    /// The columns of an account that may be overwritten. They are few, so that a login can repair a corrupt row.
    pub(crate) struct BoundAccount {
        id: String,
        kind: String,
        email: Option<String>,
        subject: Option<String>,
        secret_ref: String,
        pub(crate) generation: i64,
    } with {
        seal: Seal<ACCOUNTS>,
    }
}

/// A token, sealed for the row and generation that it is stored in. Both columns are empty for a directory.
#[derive(Default)]
pub(crate) struct SealedToken {
    secret: Option<Vec<u8>>,
    generation: Option<i64>,
}

/// A login that is written but not committed. If it is dropped, it is undone.
#[must_use]
pub struct UncommittedLogin<T = SavedCredential> {
    pub(crate) work: Work,
    pub(crate) saved: T,
}

impl<T> UncommittedLogin<T> {
    /// Commits the login and announces its changes.
    ///
    /// # Errors
    /// [`StoreError::Busy`], [`StoreError::Full`] or another error of the database.
    pub async fn commit(self) -> Result<T, StoreError> {
        self.work.commit().await?;
        Ok(self.saved)
    }
}

impl<T: std::fmt::Debug> std::fmt::Debug for UncommittedLogin<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UncommittedLogin").field("saved", &self.saved).finish_non_exhaustive()
    }
}

impl Store {
    /// Seals the token of a login for an account and a generation. A login in a directory has none.
    pub(crate) fn seal_token(
        &self,
        login: &LoginFacts<'_>,
        account: &AccountId,
        generation: i64,
    ) -> Result<SealedToken, StoreError> {
        let Some(token) = login.token() else { return Ok(SealedToken::default()) };
        let secret = secret::seal(self.keyring(), cell(account, generation)?, token)?;
        Ok(SealedToken { secret: Some(secret), generation: Some(generation) })
    }
}

pub(crate) async fn renew_login(
    work: &mut Work,
    bound: &BoundAccount,
    login: &LoginFacts<'_>,
    texts: &LoginTexts,
    sealed: SealedToken,
) -> Result<AccountId, StoreError> {
    let id = bound.id()?;
    let stranger = bound.stranger(texts.email.as_deref(), texts.subject.as_deref());
    let mismatch = match login.person {
        PersonRule::Anyone => None,
        PersonRule::NotAnother => stranger.clone(),
        PersonRule::Same => stranger.clone().or_else(|| bound.unproven(texts)),
    };
    if let Some((expected, found)) = mismatch {
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
    login: &LoginFacts<'_>,
    texts: &LoginTexts,
    sealed: SealedToken,
) -> Result<AccountId, StoreError> {
    let base = names::of_person(&texts.provider_name, texts.person());
    let name = names::numbered(&base, 1);
    let code = new_account(&id, login.provider, AccountKind::OAuth, login.owner)
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
        login.owner.as_str(),
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

impl BoundAccount {
    /// Reads the account with this id.
    pub(crate) async fn read(work: &mut Work, id: &AccountId) -> Result<Self, StoreError> {
        let row = sql!(
            optional,
            Self,
            &mut work.tx,
            concat!(
                "SELECT id, kind, email, subject, secret_ref, generation, ",
                signed!(accounts),
                " FROM accounts WHERE id = $1"
            ),
            id.as_str(),
        )?;
        let row = row.ok_or_else(|| StoreError::not_found("account", id))?;
        row.seal.expect(&work.tx.keyring, id)?;
        Ok(row)
    }

    /// Returns whether the row is one that a holder of the key wrote, of this kind.
    pub(crate) fn is_fit(&self, keyring: &Keyring, kind: AccountKind) -> bool {
        self.seal.fits(keyring, &self.id) && self.kind == kind.as_str()
    }

    pub(crate) fn id(&self) -> Result<AccountId, StoreError> {
        self.id.parse().map_err(|error| StoreError::corrupt("account", &self.id, &error))
    }

    /// Returns the account's person and the login's person, if they are known to be different.
    ///
    /// Both the address and the subject are compared: a subject may be a team that several people share. A person whose
    /// address changed can confirm that with [`PersonRule::Anyone`].
    fn stranger(&self, email: Option<&str>, subject: Option<&str>) -> Option<(String, String)> {
        let differ = |ours: Option<&str>, theirs: Option<&str>| match (ours, theirs) {
            (Some(ours), Some(theirs)) if ours.to_lowercase() != theirs.to_lowercase() => {
                Some((ours.to_owned(), theirs.to_owned()))
            }
            _ => None,
        };
        differ(self.email.as_deref(), email).or_else(|| differ(self.subject.as_deref(), subject))
    }

    /// Returns the account's person and the login's person, if the two have no name in common.
    fn unproven(&self, texts: &LoginTexts) -> Option<(String, String)> {
        let both = |ours: Option<&String>, theirs: Option<&String>| ours.is_some() && theirs.is_some();
        let known = both(self.email.as_ref(), texts.email.as_ref())
            || both(self.subject.as_ref(), texts.subject.as_ref());
        let name = |name: Option<&str>| name.unwrap_or("an unknown person").to_owned();
        let ours = self.email.as_deref().or(self.subject.as_deref());
        (!known).then(|| (name(ours), name(texts.person())))
    }

    /// Returns the persons, if the login is of another person than the account.
    pub(crate) fn replaced_by(&self, texts: &LoginTexts) -> Option<ReplacedPerson> {
        let stranger = self.stranger(texts.email.as_deref(), texts.subject.as_deref())?;
        Some(ReplacedPerson { former: stranger.0, present: stranger.1 })
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
    pub(crate) fn holds_token(&self) -> bool {
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
