//! The issuer of a token, and the person it was issued to.

use std::fmt;
use std::str::FromStr;

use url::Url;

use crate::id::ProviderId;

/// The issuer of a token. It is part of the key: a token is never moved to another authority.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Authority {
    /// The provider.
    pub provider: ProviderId,
    /// The service's address; `None` for the provider's usual one.
    pub base_url: Option<BaseUrl>,
    /// The OAuth client; `None` for the provider's usual one.
    pub client_id: Option<String>,
}

/// The endpoint for refreshing tokens, as it was when they were issued.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Endpoint {
    /// The issuer's identifier, a URL.
    pub issuer: Option<String>,
    /// The URL of the token endpoint.
    pub token_url: Option<String>,
    /// The authentication method of the client at the token endpoint, such as `none`, `client_secret_basic` or
    /// `client_secret_post`.
    pub auth_method: String,
}

/// The person that a login belongs to. A login that is committed has the subject, the address, or both.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// The provider's own id of the person.
    pub subject: Option<String>,
    /// The e-mail address.
    pub email: Option<String>,
    /// The name to show, which the person may change.
    pub login: Option<String>,
}

impl Identity {
    /// Returns the expected and the found person, if `found` cannot be the same person.
    ///
    /// The subjects are compared. If one is missing, the addresses are compared. If an address is missing too, an
    /// answer that names a person is refused. An answer that names no person is not a mismatch.
    pub(crate) fn stranger(&self, found: &Self) -> Option<(String, String)> {
        let pairs = [(&self.subject, &found.subject), (&self.email, &found.email)];
        let both = pairs.into_iter().find_map(|(ours, theirs)| ours.as_ref().zip(theirs.as_ref()));
        match both {
            Some((ours, theirs)) if ours.to_lowercase() == theirs.to_lowercase() => None,
            Some((ours, theirs)) => Some((ours.clone(), theirs.clone())),
            None => Some((self.name()?.to_owned(), found.name()?.to_owned())),
        }
    }

    fn name(&self) -> Option<&str> {
        self.subject.as_deref().or(self.email.as_deref())
    }

    /// Returns the text that distinguishes the accounts of one scope: the subject, else the address; empty if there is
    /// neither.
    pub(crate) fn key(&self) -> String {
        match (&self.subject, &self.email) {
            (Some(subject), _) => subject.clone(),
            (None, Some(email)) => email.to_lowercase(),
            (None, None) => String::new(),
        }
    }
}

/// The address of a service in its canonical spelling: scheme and host in lower case, no default port, no slash at the
/// end, a path kept.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BaseUrl(String);

/// A text that is not the address of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("invalid base URL: {reason}")]
pub struct InvalidBaseUrl {
    /// The reason for the refusal, without the text.
    pub reason: &'static str,
}

impl BaseUrl {
    /// Returns the address as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns whether the connection to the address is encrypted.
    pub fn is_https(&self) -> bool {
        self.0.starts_with("https:")
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for BaseUrl {
    type Err = InvalidBaseUrl;

    fn from_str(text: &str) -> Result<Self, InvalidBaseUrl> {
        let refuse = |reason| Err(InvalidBaseUrl { reason });
        if text.len() > 2000 {
            return refuse("it is longer than 2000 bytes");
        }
        let Ok(url) = Url::parse(text.trim()) else { return refuse("it is not a URL") };
        if !matches!(url.scheme(), "https" | "http") {
            return refuse("its scheme is neither https nor http");
        }
        if !url.username().is_empty() || url.password().is_some() {
            return refuse("it holds a user or a password");
        }
        if url.query().is_some() || url.fragment().is_some() {
            return refuse("it has a query or a fragment");
        }
        Ok(Self(url.as_str().trim_end_matches('/').to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A trailing slash and the case of the host make no second address; a path is kept.
    #[test]
    fn base_url_is_normalized_or_refused_with_a_reason() {
        for (text, expected) in [
            ("https://git.example.org", Ok("https://git.example.org")),
            ("HTTPS://Git.Example.ORG:443/", Ok("https://git.example.org")),
            (" https://git.example.org/Sub/Path// ", Ok("https://git.example.org/Sub/Path")),
            ("http://127.0.0.1:3000/", Ok("http://127.0.0.1:3000")),
            ("https://münchen.example", Ok("https://xn--mnchen-3ya.example")),
            ("git.example.org", Err("it is not a URL")),
            ("", Err("it is not a URL")),
            ("ftp://git.example.org", Err("its scheme is neither https nor http")),
            ("https://u:p@git.example.org", Err("it holds a user or a password")),
            ("https://git.example.org/?a=b", Err("it has a query or a fragment")),
            ("https://git.example.org/#a", Err("it has a query or a fragment")),
            (&format!("https://{}", "a".repeat(2000)), Err("it is longer than 2000 bytes")),
        ] {
            let found = text.parse::<BaseUrl>();
            assert_eq!(found.as_ref().map(BaseUrl::as_str).map_err(|error| error.reason), expected, "{text}");
        }
    }

    /// The rules for another person.
    #[test]
    fn stranger_is_detected_by_subject_before_email() {
        let who = |subject: &str, email: &str| Identity {
            subject: (!subject.is_empty()).then(|| subject.into()),
            email: (!email.is_empty()).then(|| email.into()),
            login: None,
        };
        for (ours, theirs, expected) in [
            (who("1", "a@x"), who("", ""), None),
            (who("", ""), who("1", "a@x"), None),
            (who("1", "a@x"), who("1", "b@x"), None),
            (who("1", "a@x"), who("2", "a@x"), Some(("1", "2"))),
            (who("", "a@x"), who("2", "A@X"), None),
            (who("", "a@x"), who("2", "b@x"), Some(("a@x", "b@x"))),
            (who("1", ""), who("", "b@x"), Some(("1", "b@x"))),
        ] {
            let expected = expected.map(|(ours, theirs): (&str, &str)| (ours.to_owned(), theirs.to_owned()));
            assert_eq!(ours.stranger(&theirs), expected, "{ours:?} {theirs:?}");
        }
    }
}
