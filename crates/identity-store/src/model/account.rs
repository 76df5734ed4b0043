//! Accounts. An account is one credential of one provider, in any form.

use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::keeping::Keeping;
use crate::id::{AccountId, BundleId, ProviderId};

/// One credential of one provider. It never holds the secret itself; [`crate::Store::open_secret`] opens the secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The account's id. A new login of the account keeps it.
    pub id: AccountId,
    /// The provider that accepts the credential.
    pub provider: ProviderId,
    /// The kind of the credential: a login or an API key.
    pub kind: AccountKind,
    /// The owner of the account.
    pub owner: Owner,
    /// The name to show, which users may change; 1 to 100 characters, not unique.
    pub name: String,
    /// A second name to show, free text.
    pub display_name: Option<String>,
    /// The e-mail address that the provider reported.
    pub email: Option<String>,
    /// The provider's own id of the person or organisation behind the credential.
    pub subject: Option<String>,
    /// The service's address, when it is not the provider's usual one.
    pub base_url: Option<String>,
    /// The OAuth client that obtained the credential.
    pub client_id: Option<String>,
    /// The OAuth scopes, separated by spaces.
    pub scopes: Option<String>,
    /// The place of the secret.
    pub secret_ref: SecretRef,
    /// The last four characters of an API key that is long enough to show them.
    pub masked_tail: Option<String>,
    /// The known status of the credential.
    pub status: Status,
    /// The reason for the status, as text for people.
    pub status_reason: Option<String>,
    /// The source of the status.
    pub evidence: Evidence,
    /// Time of the last status check, in unix milliseconds.
    pub checked_at: Option<i64>,
    /// Time when the credential in use expires, in unix milliseconds.
    pub expires_at: Option<i64>,
    /// Time from which only a new login by a person helps, in unix milliseconds.
    pub login_deadline_at: Option<i64>,
    /// The renewals of a login by its own CLI.
    pub keeping: Keeping,
    /// The bundles that bind this account, in order of their ids.
    pub bound_to: Vec<BundleId>,
    /// Time when the account was created, in unix milliseconds.
    pub created_at: i64,
    /// Time of the last change to the account, in unix milliseconds.
    pub updated_at: i64,
}

impl Account {
    /// Returns the status at `now`: a credential whose time is over is not valid, even if no check has stored that yet.
    #[must_use]
    pub fn status_at(&self, now: i64) -> Status {
        status_at(self.status, self.expires_at, self.login_deadline_at, now)
    }
}

/// Returns the status at `now` of a credential with these ends: its own, and the one from which only a login helps.
pub(crate) fn status_at(
    known: Status,
    expires_at: Option<i64>,
    login_deadline_at: Option<i64>,
    now: i64,
) -> Status {
    let past = |end: Option<i64>| end.is_some_and(|end| end <= now);
    match known {
        Status::Valid | Status::Expired if past(login_deadline_at) => Status::NeedsReauth,
        Status::Valid if past(expires_at) => Status::Expired,
        known => known,
    }
}

/// A text that is not one of the words of an enumeration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown {what}")]
pub struct UnknownWord {
    /// The enumeration, such as `account kind`.
    pub what: &'static str,
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident, $what:literal { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl $name {
            /// Returns the word for this value in the database and in the protocol.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::account::UnknownWord;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err($crate::account::UnknownWord { what: $what }),
                }
            }
        }
    };
}
pub(crate) use words;

words! {
    /// The kind of an account: a login or an API key.
    AccountKind, "account kind" {
        /// A login that a person completed.
        OAuth = "oauth",
        /// A key that a person pasted.
        ApiKey = "api_key",
    }
}

words! {
    /// The owner of an account.
    Owner, "owner" {
        /// The bundles that bind the account. It is deleted with the last of them.
        Bundle = "bundle",
        /// A user who provided it for one agent.
        User = "user",
        /// The daemon's operator.
        Operator = "operator",
    }
}

words! {
    /// The known status of a credential.
    Status, "status" {
        /// The credential works.
        Valid = "valid",
        /// The credential has expired and can be renewed without a person.
        Expired = "expired",
        /// Only a new login by a person helps.
        NeedsReauth = "needs_reauth",
        /// The provider refused the credential.
        Invalid = "invalid",
        /// The status could not be determined.
        Unknown = "unknown",
    }
}

words! {
    /// The source of a status.
    Evidence, "evidence" {
        /// The credential file of the provider's CLI.
        File = "file",
        /// The credential file of the provider's CLI, which gives no end that can be read. The end is assumed.
        Assumed = "assumed",
        /// The provider's check command.
        Check = "check",
        /// An answer from the provider's service.
        Live = "live",
        /// A login that has just succeeded.
        Login = "login",
        /// No source yet.
        None = "none",
    }
}

/// The place of an account's secret. Stored as JSON whose tags are part of the database format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "backend", deny_unknown_fields)]
pub enum SecretRef {
    /// A directory that a CLI owns. The store has only the path; the CLI has the tokens.
    #[serde(rename = "config_dir")]
    ConfigDir {
        /// The absolute path of the directory.
        #[serde(rename = "dir")]
        dir: PathBuf,
        /// True if it is the user's own directory, adopted by the default-bundle migration.
        #[serde(rename = "adopted")]
        adopted: bool,
    },
    /// The account's own row, where the secret is sealed.
    #[serde(rename = "sealed")]
    Sealed,
    /// The account's rows of tokens, where the secrets are sealed.
    #[serde(rename = "tokens")]
    Tokens,
    /// An environment variable of the daemon.
    #[serde(rename = "env")]
    Env {
        /// The variable's name.
        #[serde(rename = "var")]
        var: String,
    },
    /// The standard output of an external secret manager.
    #[serde(rename = "command")]
    Command {
        /// The program and its arguments.
        #[serde(rename = "argv")]
        argv: Vec<String>,
    },
}

impl FromStr for SecretRef {
    type Err = serde_json::Error;

    fn from_str(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }
}

/// A filter for a list of accounts. An empty filter matches all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccountFilter {
    /// Only accounts of this provider.
    pub provider: Option<ProviderId>,
    /// Only accounts that this bundle binds.
    pub bundle: Option<BundleId>,
}

/// The order of a page of accounts. Accounts that are equal in it follow by id.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AccountOrder {
    /// By the time of creation.
    #[default]
    Created,
    /// By name, in lower case.
    Name,
    /// By provider id.
    Provider,
    /// By stored status.
    Status,
}

/// The place of an account in an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountPosition {
    /// The text that the order compares.
    pub key: String,
    /// The account's id.
    pub id: String,
}

/// A request for a page of accounts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccountQuery {
    /// Only accounts of this provider.
    pub provider: Option<ProviderId>,
    /// Only accounts that this bundle binds.
    pub bundle: Option<BundleId>,
    /// Only accounts with this stored status.
    pub status: Option<Status>,
    /// Only accounts with this part in their name, display name or email address, in any case.
    pub name: Option<String>,
    /// The order.
    pub order: AccountOrder,
    /// The position of the last account of the page before.
    pub after: Option<AccountPosition>,
    /// The maximum number of accounts.
    pub limit: u32,
}

/// A page of accounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountPage {
    /// The accounts in the requested order, and the rows that could not be read.
    pub list: AccountList,
    /// The position to go on after; `None` for the last page.
    pub next: Option<AccountPosition>,
}

/// A list of accounts, and the rows that could not be read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccountList {
    /// The accounts, oldest first.
    pub accounts: Vec<Account>,
    /// The rows that were skipped. They stay unchanged in the database.
    pub corrupt: Vec<CorruptRow>,
}

/// A row that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CorruptRow {
    /// The row's id as stored in the database.
    pub id: String,
    /// The fault, without the row's content.
    pub reason: String,
}

/// The changes to an account. `None` leaves a field unchanged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccountEdit {
    /// The new name.
    pub name: Option<String>,
    /// The new second name; an empty one removes it.
    pub display_name: Option<String>,
}

/// The result of a health check. Every field replaces the stored one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusReport {
    /// The status that the check found.
    pub status: Status,
    /// The reason for the status, as text for people.
    pub reason: Option<String>,
    /// The source of the status.
    pub evidence: Evidence,
    /// Time of the check, in unix milliseconds.
    pub checked_at: Option<i64>,
    /// Time when the credential in use expires, in unix milliseconds.
    pub expires_at: Option<i64>,
    /// Time from which only a new login by a person helps, in unix milliseconds.
    pub login_deadline_at: Option<i64>,
}

/// The handling of the user's work in the directory of a deleted account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum History {
    /// The work stays.
    Keep,
    /// The work is removed as well.
    Remove,
}

/// A directory left behind by an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// The provider whose CLI kept its login in the directory.
    pub provider: ProviderId,
    /// The path of the directory.
    pub dir: PathBuf,
    /// The handling of the user's work in the directory.
    pub history: History,
}

/// The result of deleting an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeletedAccount {
    /// The id of the account.
    pub id: AccountId,
    /// The account before the deletion; `None` if its row could not be read.
    pub account: Option<Account>,
    /// The bundles that bound the account, in order of their ids.
    pub unbound_from: Vec<BundleId>,
    /// The number of running instances under those bundles. They have lost this provider.
    pub instances: u64,
    /// The directory that the account left behind. It is recorded until it is reported as removed.
    pub leftover: Option<Leftover>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words are in databases and on the wire. A renamed variant must not change them.
    #[test]
    fn account_words_are_stable() {
        fn check<T: FromStr<Err = UnknownWord> + PartialEq + std::fmt::Debug + std::fmt::Display>(
            words: &[(T, &str)],
        ) {
            for (value, word) in words {
                assert_eq!(value.to_string(), *word);
                assert_eq!(word.parse::<T>().as_ref(), Ok(value));
                assert!(word.to_uppercase().parse::<T>().is_err());
            }
        }
        check(&[(AccountKind::OAuth, "oauth"), (AccountKind::ApiKey, "api_key")]);
        check(&[(Owner::Bundle, "bundle"), (Owner::User, "user"), (Owner::Operator, "operator")]);
        check(&[
            (Status::Valid, "valid"),
            (Status::Expired, "expired"),
            (Status::NeedsReauth, "needs_reauth"),
            (Status::Invalid, "invalid"),
            (Status::Unknown, "unknown"),
        ]);
        check(&[
            (Evidence::File, "file"),
            (Evidence::Assumed, "assumed"),
            (Evidence::Check, "check"),
            (Evidence::Live, "live"),
            (Evidence::Login, "login"),
            (Evidence::None, "none"),
        ]);
    }

    #[test]
    fn secret_ref_json_is_stable() {
        for (value, json) in [
            (
                SecretRef::ConfigDir { dir: "/d".into(), adopted: true },
                r#"{"backend":"config_dir","dir":"/d","adopted":true}"#,
            ),
            (SecretRef::Sealed, r#"{"backend":"sealed"}"#),
            (SecretRef::Tokens, r#"{"backend":"tokens"}"#),
            (SecretRef::Env { var: "KEY".into() }, r#"{"backend":"env","var":"KEY"}"#),
            (
                SecretRef::Command { argv: vec!["pass".into(), "k".into()] },
                r#"{"backend":"command","argv":["pass","k"]}"#,
            ),
        ] {
            assert_eq!(serde_json::to_string(&value).unwrap(), json);
            assert_eq!(json.parse::<SecretRef>().unwrap(), value);
        }
        for bad in ["", "{}", r#"{"backend":"vault"}"#, r#"{"backend":"env"}"#] {
            assert!(bad.parse::<SecretRef>().is_err(), "{bad}");
        }
    }
}
