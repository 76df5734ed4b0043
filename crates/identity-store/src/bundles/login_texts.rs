//! The texts of a login, checked before they are stored.

use crate::accounts::rows::reference;
use crate::error::StoreError;
use crate::model::account::{SecretRef, Status};
use crate::model::save::{LoginCredential, SaveLogin};
use crate::names;

/// The texts of a [`SaveLogin`], checked.
pub(crate) struct LoginTexts {
    pub(crate) provider_name: String,
    pub(crate) email: Option<String>,
    pub(crate) subject: Option<String>,
    pub(crate) base_url: Option<String>,
    pub(crate) secret_ref: String,
    pub(crate) status: Status,
}

impl LoginTexts {
    /// Returns the name of the person: the e-mail address, else the subject, which is the login name at some providers.
    pub(crate) fn person(&self) -> Option<&str> {
        self.email.as_deref().or(self.subject.as_deref())
    }

    /// Checks the texts of a login. `adopted` is true for a login in the user's own directory.
    pub(crate) fn check(login: &SaveLogin, adopted: bool) -> Result<Self, StoreError> {
        let secret_ref = match &login.credential {
            LoginCredential::Directory(dir) if !dir.is_absolute() => {
                return Err(StoreError::InvalidName { field: "config_dir", reason: "it is not absolute" });
            }
            LoginCredential::Directory(dir) => SecretRef::ConfigDir { dir: dir.clone(), adopted },
            LoginCredential::Token(token) => {
                names::secret("token", token)?;
                SecretRef::Sealed
            }
        };
        Ok(Self {
            provider_name: names::name("provider_name", &login.provider_name)?,
            email: names::optional("email", login.email.as_deref())?,
            subject: names::optional("subject", login.subject.as_deref())?,
            base_url: names::optional("base_url", login.base_url.as_deref())?,
            secret_ref: reference(&secret_ref)?,
            // A login that was just made is valid. One that was found may have expired, and then its CLI renews it.
            status: match login.expires_at {
                Some(end) if adopted && end <= login.now => Status::Expired,
                _ => Status::Valid,
            },
        })
    }
}
