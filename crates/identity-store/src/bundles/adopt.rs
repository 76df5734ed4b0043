//! Adoption of the user's own logins: the bundle `default`, its accounts and its bindings.

use super::logins::finish;
use super::share;
use super::writes::{free_name, insert, touch};
use crate::accounts::login_texts::LoginTexts;
use crate::accounts::logins::{BoundAccount, SealedToken, insert_login, renew_login};
use crate::db::sql;
use crate::error::StoreError;
use crate::id::{AccountId, BundleId, ProviderId};
use crate::model::account::{AccountKind, Evidence};
use crate::model::roots::Roots;
use crate::model::save::{
    AdoptedLogin, AdoptedLogins, DestinationBundle, LoginCredential, OwnLogin, PersonRule, SaveLogin,
    SavedCredential,
};
use crate::model::share::SharePolicy;
use crate::store::Store;
use crate::store::work::Work;

/// The base of the name for the bundle `default`. The name is made unique.
const NAME: &str = "Default";

impl Store {
    /// Returns the providers that any bundle binds, in order of id.
    ///
    /// # Errors
    /// [`StoreError::Busy`], [`StoreError::Unavailable`] or another error of the database.
    pub async fn bound_providers(&self) -> Result<Vec<ProviderId>, StoreError> {
        let mut tx = self.read().await?;
        let rows = sql!(
            all,
            (String,),
            &mut tx,
            "SELECT DISTINCT provider FROM identity_bindings ORDER BY provider",
        )?;
        Ok(rows.into_iter().filter_map(|(provider,)| provider.parse().ok()).collect())
    }

    /// Returns whether a bundle with this id exists.
    ///
    /// # Errors
    /// [`StoreError::Busy`], [`StoreError::Unavailable`] or another error of the database.
    pub async fn has_bundle(&self, id: &BundleId) -> Result<bool, StoreError> {
        let mut tx = self.read().await?;
        let found = sql!(
            optional,
            (i64,),
            &mut tx,
            "SELECT created_at FROM identity_bundles WHERE id = $1",
            id.as_str()
        )?;
        Ok(found.is_some())
    }

    /// Binds the user's own logins in the bundle `default`, which is created if it is missing. All of it is one
    /// transaction, so that the bundle is announced once. The accounts point at the user's directories; nothing is
    /// copied.
    ///
    /// An account that already points at the same directory is bound again and keeps its id. A login is left out if a
    /// bundle already binds its provider, if the account belongs to another person, or if a text cannot be stored. If
    /// all logins are left out, nothing is written. Any other error undoes the whole transaction.
    ///
    /// # Errors
    /// [`StoreError::Busy`], [`StoreError::Full`] or another error of the database.
    pub async fn adopt_logins(&self, logins: Vec<OwnLogin>, now: i64) -> Result<AdoptedLogins, StoreError> {
        let mut work = self.write(now).await?;
        let created = make_default(&mut work).await?;
        let mut outcomes = Vec::with_capacity(logins.len());
        for login in logins {
            match adopt(&mut work, login.saved(now), created, self.roots()).await {
                Err(error) if !left_out(&error) => return Err(error),
                outcome => outcomes.push(outcome),
            }
        }
        let any = outcomes.iter().any(Result::is_ok);
        if any {
            work.commit().await?;
        }
        Ok(AdoptedLogins { bundle_created: created && any, outcomes })
    }
}

/// Returns whether an error concerns one login only. Each of these errors occurs before the login has written anything.
fn left_out(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::Conflict { .. }
            | StoreError::InvalidName { .. }
            | StoreError::IdentityMismatch { .. }
            | StoreError::Corrupt { .. }
    )
}

/// Creates the bundle `default` if it is missing. Returns whether it was created.
async fn make_default(work: &mut Work) -> Result<bool, StoreError> {
    let bundle = BundleId::default_bundle();
    match touch(work, &bundle).await {
        Ok(()) => return Ok(false),
        Err(StoreError::NotFound { .. }) => {}
        Err(error) => return Err(error),
    }
    let name = free_name(work, NAME).await?;
    insert(work, &bundle, &name, "").await?;
    share::write(work, &bundle, &SharePolicy::MINE).await?;
    Ok(true)
}

async fn adopt(
    work: &mut Work,
    login: SaveLogin,
    created: bool,
    roots: Option<&Roots>,
) -> Result<AdoptedLogin, StoreError> {
    let facts = login.facts();
    let texts = LoginTexts::check(&facts, true, roots)?;
    let binding = sql!(
        optional,
        (String,),
        &mut work.tx,
        "SELECT bundle_id FROM identity_bindings WHERE provider = $1 LIMIT 1",
        login.provider.as_str(),
    )?;
    if binding.is_some() {
        return Err(StoreError::conflict("binding", login.provider.as_str(), "a bundle has one already"));
    }
    let known = sql!(
        optional,
        BoundAccount,
        &mut work.tx,
        concat!(
            "SELECT id, kind, email, subject, secret_ref, generation, ",
            signed!(accounts),
            " FROM accounts WHERE provider = $1 AND kind = $2 AND secret_ref = $3 ORDER BY created_at, id LIMIT 1"
        ),
        login.provider.as_str(),
        AccountKind::OAuth.as_str(),
        texts.secret_ref.as_str(),
    )?;
    let reused = known.is_some();
    let account = match known {
        Some(known) => renew_login(work, &known, &facts, &texts, SealedToken::default()).await?,
        None => insert_login(work, AccountId::generate(), &facts, &texts, SealedToken::default()).await?,
    };
    let saved = SavedCredential {
        bundle: BundleId::default_bundle(),
        account,
        created_bundle: created,
        replaced: None,
    };
    finish(work, &saved, &login.provider, "login.adopt").await?;
    Ok(AdoptedLogin { account: saved.account, reused })
}

impl OwnLogin {
    fn saved(self, now: i64) -> SaveLogin {
        SaveLogin {
            session: None,
            target: DestinationBundle::Existing(BundleId::default_bundle()),
            provider: self.provider,
            provider_name: self.provider_name,
            credential: LoginCredential::Directory(self.dir),
            email: self.email,
            subject: self.subject,
            base_url: None,
            expires_at: self.expires_at,
            login_deadline_at: self.login_deadline_at,
            evidence: Evidence::File,
            person: PersonRule::NotAnother,
            now,
        }
    }
}
