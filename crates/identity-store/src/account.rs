//! Accounts: one credential of one provider, whatever its form.

use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{AccountId, BundleId, ProviderId};

/// One credential of one provider. It never holds the secret itself; [`crate::Store::open_secret`] opens that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The account's id; it stays when the account logs in again.
    pub id: AccountId,
    /// The provider that accepts the credential.
    pub provider: ProviderId,
    /// Whether this is a login or an API key.
    pub kind: AccountKind,
    /// Who holds the account.
    pub owner: Owner,
    /// The name that people see and may change; 1 to 100 characters, not unique.
    pub name: String,
    /// A second, free name.
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
    /// Where the secret is.
    pub secret_ref: SecretRef,
    /// The last four characters of an API key that is long enough to show them.
    pub masked_tail: Option<String>,
    /// What is known about the credential.
    pub status: Status,
    /// Why the status is what it is, in words for people.
    pub status_reason: Option<String>,
    /// What the status rests on.
    pub evidence: Evidence,
    /// When the status was last looked at, in unix milliseconds.
    pub checked_at: Option<i64>,
    /// When the credential in use runs out, in unix milliseconds.
    pub expires_at: Option<i64>,
    /// When only a new login by a person helps, in unix milliseconds.
    pub login_deadline_at: Option<i64>,
    /// The bundles that bind this account, in order of their ids.
    pub bound_to: Vec<BundleId>,
    /// When the account was made, in unix milliseconds.
    pub created_at: i64,
    /// When the account last changed, in unix milliseconds.
    pub updated_at: i64,
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
            /// The word that stands for this value in the database and in the protocol.
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
    /// Whether an account is a login or an API key.
    AccountKind, "account kind" {
        /// A login that a person went through.
        OAuth = "oauth",
        /// A key that a person pasted.
        ApiKey = "api_key",
    }
}

words! {
    /// Who holds an account.
    Owner, "owner" {
        /// The bundles that bind it; it goes when the last of them is deleted.
        Bundle = "bundle",
        /// A user who brought it for one agent.
        User = "user",
        /// The daemon's operator.
        Operator = "operator",
    }
}

words! {
    /// What is known about a credential.
    Status, "status" {
        /// It works.
        Valid = "valid",
        /// It ran out and can be renewed without a person.
        Expired = "expired",
        /// Only a new login by a person helps.
        NeedsReauth = "needs_reauth",
        /// The provider refused it.
        Invalid = "invalid",
        /// Nobody could tell.
        Unknown = "unknown",
    }
}

words! {
    /// What a status rests on.
    Evidence, "evidence" {
        /// The provider's own credential file.
        File = "file",
        /// The provider's check command.
        Check = "check",
        /// An answer of the provider's service.
        Live = "live",
        /// A login that has just succeeded.
        Login = "login",
        /// Nothing yet.
        None = "none",
    }
}

/// Where an account's secret is. Stored as JSON whose tags are part of the database format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "backend", deny_unknown_fields)]
pub enum SecretRef {
    /// A directory that a CLI owns: the store has the pointer, the CLI its tokens.
    #[serde(rename = "config_dir")]
    ConfigDir {
        /// The directory, absolute.
        #[serde(rename = "dir")]
        dir: PathBuf,
        /// Whether it is the user's own directory, taken over by the default-bundle migration.
        #[serde(rename = "adopted")]
        adopted: bool,
    },
    /// The account's own row, sealed.
    #[serde(rename = "sealed")]
    Sealed,
    /// The account's rows of tokens, sealed.
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

/// Which accounts a list shall hold; an empty filter means all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccountFilter {
    /// Only accounts of this provider.
    pub provider: Option<ProviderId>,
    /// Only accounts that this bundle binds.
    pub bundle: Option<BundleId>,
}

/// A list of accounts, and the rows that could not be read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccountList {
    /// The accounts, oldest first.
    pub accounts: Vec<Account>,
    /// The rows that were skipped. They stay in the database as they are.
    pub corrupt: Vec<CorruptRow>,
}

/// A row that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CorruptRow {
    /// The row's id as it stands in the database.
    pub id: String,
    /// What is wrong with it, without the row's content.
    pub reason: String,
}

/// What to change in an account; `None` leaves a field as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccountEdit {
    /// The new name.
    pub name: Option<String>,
    /// The new second name; an empty one removes it.
    pub display_name: Option<String>,
}

/// What a health check found. Every field replaces the stored one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusReport {
    /// The status.
    pub status: Status,
    /// Why, in words for people.
    pub reason: Option<String>,
    /// What the status rests on.
    pub evidence: Evidence,
    /// When it was looked at, in unix milliseconds.
    pub checked_at: Option<i64>,
    /// When the credential in use runs out, in unix milliseconds.
    pub expires_at: Option<i64>,
    /// When only a new login by a person helps, in unix milliseconds.
    pub login_deadline_at: Option<i64>,
}

/// What becomes of the user's work in the directory of an account that is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum History {
    /// It stays.
    Keep,
    /// It goes as well.
    Remove,
}

/// A directory that an account has left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// The provider whose CLI kept its login there.
    pub provider: ProviderId,
    /// The directory.
    pub dir: PathBuf,
    /// What becomes of the user's work in it.
    pub history: History,
}

/// What went with a deleted account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeletedAccount {
    /// The account as it was, with the bundles that bound it.
    pub account: Account,
    /// How many running instances are under those bundles; they have lost this provider.
    pub instances: u64,
    /// The directory that it has left, noted until it is said to be gone.
    pub leftover: Option<Leftover>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words are in databases and on the wire; a renamed variant must not change them.
    #[test]
    fn words_are_pinned() {
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
            (Evidence::Check, "check"),
            (Evidence::Live, "live"),
            (Evidence::Login, "login"),
            (Evidence::None, "none"),
        ]);
    }

    #[test]
    fn secret_refs_are_pinned() {
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
