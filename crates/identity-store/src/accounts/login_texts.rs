//! The texts of a login, checked before they are stored.

use std::path::PathBuf;

use crate::accounts::rows::reference;
use crate::error::StoreError;
use crate::model::account::{SecretRef, Status};
use crate::model::roots::Roots;
use crate::model::save::{LoginCredential, LoginFacts};
use crate::names;

/// The texts of a login, checked.
pub(crate) struct LoginTexts {
    pub(crate) provider_name: String,
    pub(crate) email: Option<String>,
    pub(crate) subject: Option<String>,
    pub(crate) base_url: Option<String>,
    pub(crate) secret_ref: String,
    /// The directory in the form in which it is stored if it is the user's own.
    pub(crate) own: Option<PathBuf>,
    pub(crate) status: Status,
}

impl LoginTexts {
    /// Returns the name of the person: the e-mail address, else the subject, which is the login name at some providers.
    pub(crate) fn person(&self) -> Option<&str> {
        self.email.as_deref().or(self.subject.as_deref())
    }

    /// Checks the texts of a login. `adopted` is true for a login in the user's own directory.
    pub(crate) fn check(
        login: &LoginFacts<'_>,
        adopted: bool,
        roots: Option<&Roots>,
    ) -> Result<Self, StoreError> {
        let stored =
            |dir: &PathBuf, adopted| roots.map_or_else(|| dir.clone(), |roots| roots.stored(dir, adopted));
        let secret_ref = match login.credential {
            LoginCredential::Directory(dir) if !dir.is_absolute() => {
                return Err(StoreError::InvalidName { field: "config_dir", reason: "it is not absolute" });
            }
            LoginCredential::Directory(dir) => SecretRef::ConfigDir { dir: stored(dir, adopted), adopted },
            LoginCredential::Token(token) => {
                names::secret("token", token)?;
                SecretRef::Sealed
            }
        };
        Ok(Self {
            provider_name: names::name("provider_name", login.provider_name)?,
            email: names::optional("email", login.email)?,
            subject: names::optional("subject", login.subject)?,
            base_url: names::optional("base_url", login.base_url)?,
            secret_ref: reference(&secret_ref)?,
            own: login.directory().map(|dir| stored(dir, true)),
            // A login that was just made is valid. One that was found may have expired, and then its CLI renews it.
            status: match login.expires_at {
                Some(end) if adopted && end <= login.now => Status::Expired,
                _ => Status::Valid,
            },
        })
    }
}
