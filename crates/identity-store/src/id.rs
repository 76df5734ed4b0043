//! Identifiers. An identifier is a text that is checked once, when it is parsed. The ids of bundles, accounts and
//! instances hold only lower-case letters, digits, `-` and `_`, so each is a safe segment of a path.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

/// The id of the bundle that always exists, holds no binding and cannot be changed.
const BLANK: &str = "blank";

/// The id of the bundle that the default-bundle migration creates.
const DEFAULT: &str = "default";

/// The id that means every agent.
const ANY: &str = "*";

/// The prefix of the UUID of a login session.
const SESSION_PREFIX: &str = "auth-";

/// The maximum length of an id, in bytes.
const MAX_LENGTH: usize = 64;

/// The maximum length of an id that another system issued, in bytes.
const MAX_FOREIGN: usize = 200;

/// A text that is not a valid id of the expected kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid {what}: {reason}")]
pub struct InvalidId {
    /// The kind of id, such as `bundle id`.
    pub what: &'static str,
    /// The reason for the refusal, without the refused text itself.
    pub reason: &'static str,
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $check:path) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(String);

        impl $name {
            /// Returns the id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                match $check(text) {
                    Ok(()) => Ok(Self(text.to_owned())),
                    Err(reason) => Err(InvalidId { what: $what, reason }),
                }
            }
        }
    };
}

text_id! {
    /// The id of an identity bundle, `^[a-z0-9][a-z0-9_-]{0,63}$`.
    ///
    /// The id is one safe path segment on every system: no separator, no dot, and none of the names that Windows
    /// reserves for devices (`con`, `nul`, `lpt1`, ...).
    BundleId, "bundle id", segment
}

text_id! {
    /// The id of an account, in the alphabet of [`BundleId`].
    AccountId, "account id", segment
}

text_id! {
    /// The id of an agent instance, in the alphabet of [`BundleId`].
    InstanceId, "instance id", segment
}

text_id! {
    /// The id of a client's token, in the alphabet of [`BundleId`].
    ClientTokenId, "token id", segment
}

text_id! {
    /// The id of a login session: `auth-` and a UUID in lower case.
    SessionId, "session id", session
}

text_id! {
    /// The id of a provider, `^[a-z0-9][a-z0-9-]{0,63}$`.
    ProviderId, "provider id", provider
}

text_id! {
    /// The id of a profile, in the alphabet of [`BundleId`].
    ProfileId, "profile id", segment
}

text_id! {
    /// The id of a flow that obtains tokens, in the alphabet of [`BundleId`]; a [`SessionId`] is one.
    FlowId, "flow id", segment
}

text_id! {
    /// The id of a user, as issued by the system that names users: 1 to 200 bytes without a control character, such as
    /// `slack:U1`. It is never parsed.
    UserId, "user id", foreign
}

text_id! {
    /// The id of an agent, as issued by the system that names agents; see [`UserId`]. `*` is not an agent's id: it
    /// means every agent.
    AgentId, "agent id", foreign
}

impl AgentId {
    /// Returns the id that means every agent: `*`. A credential with it is for all agents of a user.
    pub fn any() -> Self {
        Self(ANY.to_owned())
    }

    /// Returns whether the id means every agent.
    pub fn is_any(&self) -> bool {
        self.0 == ANY
    }
}

impl BundleId {
    /// Returns the id of the bundle `blank`, which always exists and can be neither bound nor deleted.
    pub fn blank() -> Self {
        Self(BLANK.to_owned())
    }

    /// Returns the id of the bundle `default`, which the default-bundle migration creates.
    pub fn default_bundle() -> Self {
        Self(DEFAULT.to_owned())
    }

    /// Returns a new id, a UUID of version 7.
    pub fn generate() -> Self {
        Self(Uuid::now_v7().to_string())
    }

    /// Returns whether this is the bundle `blank`. Only the id decides, because a separate flag could be forged.
    pub fn is_blank(&self) -> bool {
        self.0 == BLANK
    }
}

impl AccountId {
    /// Returns a new id, a UUID of version 7.
    pub fn generate() -> Self {
        Self(Uuid::now_v7().to_string())
    }
}

impl InstanceId {
    /// Returns a new id, a UUID of version 7.
    pub fn generate() -> Self {
        Self(Uuid::now_v7().to_string())
    }
}

impl ClientTokenId {
    /// Returns a new id, a UUID of version 7.
    pub fn generate() -> Self {
        Self(Uuid::now_v7().to_string())
    }
}

impl ProfileId {
    /// Returns a new id, a UUID of version 7.
    pub fn generate() -> Self {
        Self(Uuid::now_v7().to_string())
    }
}

impl From<&SessionId> for FlowId {
    /// Converts the id of a session, because a session is its own flow.
    fn from(session: &SessionId) -> Self {
        Self(session.0.clone())
    }
}

impl SessionId {
    /// Returns a new id, `auth-` and a UUID of version 4.
    pub fn generate() -> Self {
        Self(format!("{SESSION_PREFIX}{}", Uuid::new_v4()))
    }
}

/// Checks the alphabet of bundle and account ids.
fn segment(text: &str) -> Result<(), &'static str> {
    alphabet(text, b"-_")?;
    if is_device_name(text) {
        return Err("it is a device name on Windows");
    }
    Ok(())
}

/// Checks an id that another system issued.
fn foreign(text: &str) -> Result<(), &'static str> {
    if text.is_empty() {
        return Err("it is empty");
    }
    if text.len() > MAX_FOREIGN {
        return Err("it is longer than 200 bytes");
    }
    if text.chars().any(char::is_control) {
        return Err("it has a control character");
    }
    Ok(())
}

/// Checks the alphabet of provider ids.
fn provider(text: &str) -> Result<(), &'static str> {
    alphabet(text, b"-")
}

/// Accepts `auth-<uuid>` only in the spelling that [`SessionId::generate`] writes.
fn session(text: &str) -> Result<(), &'static str> {
    let uuid = text.strip_prefix(SESSION_PREFIX).ok_or("it does not start with auth-")?;
    let parsed = Uuid::try_parse(uuid).map_err(|_| "it has no UUID after auth-")?;
    if parsed.get_version_num() != 4 || parsed.to_string() != uuid {
        return Err("its UUID is not of version 4 in lower case");
    }
    Ok(())
}

fn alphabet(text: &str, punctuation: &[u8]) -> Result<(), &'static str> {
    let Some(first) = text.bytes().next() else { return Err("it is empty") };
    if text.len() > MAX_LENGTH {
        return Err("it is longer than 64 characters");
    }
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    if !alphanumeric(first) {
        return Err("it does not start with a lower-case letter or a digit");
    }
    if !text.bytes().all(|byte| alphanumeric(byte) || punctuation.contains(&byte)) {
        return Err("it has a character that is not allowed");
    }
    Ok(())
}

/// Returns whether Windows would open a device instead of a directory of this name.
fn is_device_name(text: &str) -> bool {
    let numbered =
        |prefix: &str| text.strip_prefix(prefix).is_some_and(|rest| matches!(rest.as_bytes(), [b'0'..=b'9']));
    matches!(text, "con" | "prn" | "aux" | "nul") || numbered("com") || numbered("lpt")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: FromStr<Err = InvalidId> + fmt::Display>(text: &str, expected: Result<(), &str>) {
        let found = text.parse::<T>();
        assert_eq!(
            found.as_ref().map(ToString::to_string).map_err(|e| e.reason),
            expected.map(|()| text.to_owned())
        );
    }

    #[test]
    fn bundle_and_account_ids_refuse_bad_characters_and_device_names() {
        let long = "a".repeat(64);
        for good in ["a", "0", "default", "blank", "my_team-2", "com", "com10", "console", "lpt", &long] {
            check::<BundleId>(good, Ok(()));
            check::<AccountId>(good, Ok(()));
        }
        for (bad, reason) in [
            ("", "it is empty"),
            (&*"a".repeat(65), "it is longer than 64 characters"),
            ("-a", "it does not start with a lower-case letter or a digit"),
            ("_a", "it does not start with a lower-case letter or a digit"),
            ("A", "it does not start with a lower-case letter or a digit"),
            (".", "it does not start with a lower-case letter or a digit"),
            ("..", "it does not start with a lower-case letter or a digit"),
            ("a/b", "it has a character that is not allowed"),
            ("a\\b", "it has a character that is not allowed"),
            ("a.b", "it has a character that is not allowed"),
            ("a b", "it has a character that is not allowed"),
            ("a\0", "it has a character that is not allowed"),
            ("aé", "it has a character that is not allowed"),
            ("con", "it is a device name on Windows"),
            ("nul", "it is a device name on Windows"),
            ("lpt1", "it is a device name on Windows"),
            ("com9", "it is a device name on Windows"),
        ] {
            check::<BundleId>(bad, Err(reason));
            check::<AccountId>(bad, Err(reason));
        }
    }

    #[test]
    fn provider_id_refuses_empty_text_and_underscore() {
        for good in ["codex", "claude-code", "0x"] {
            check::<ProviderId>(good, Ok(()));
        }
        check::<ProviderId>("a_b", Err("it has a character that is not allowed"));
        check::<ProviderId>("", Err("it is empty"));
    }

    /// The text that other programs write into ids is kept unchanged.
    #[test]
    fn user_and_agent_ids_accept_any_text_without_control_characters() {
        let long = "é".repeat(100);
        for good in ["slack:U1", "a/b", "50%_\\", " ", "$ADMIN", &long] {
            check::<UserId>(good, Ok(()));
            check::<AgentId>(good, Ok(()));
        }
        for (bad, reason) in [
            ("", "it is empty"),
            (&*"a".repeat(201), "it is longer than 200 bytes"),
            ("a\nb", "it has a control character"),
            ("a\0", "it has a control character"),
        ] {
            check::<UserId>(bad, Err(reason));
            check::<AgentId>(bad, Err(reason));
        }
    }

    #[test]
    fn session_id_requires_auth_prefix_and_lower_case_v4_uuid() {
        check::<SessionId>("auth-67e55044-10b1-426f-9247-bb680e5fe0c8", Ok(()));
        for (bad, reason) in [
            ("67e55044-10b1-426f-9247-bb680e5fe0c8", "it does not start with auth-"),
            ("auth-", "it has no UUID after auth-"),
            ("auth-67E55044-10B1-426F-9247-BB680E5FE0C8", "its UUID is not of version 4 in lower case"),
            ("auth-67e5504410b1426f9247bb680e5fe0c8", "its UUID is not of version 4 in lower case"),
            ("auth-00000000-0000-0000-0000-000000000000", "its UUID is not of version 4 in lower case"),
        ] {
            check::<SessionId>(bad, Err(reason));
        }
    }

    #[test]
    fn generated_ids_parse_and_differ() {
        assert_eq!(BundleId::generate().as_str().parse::<BundleId>().map(|id| id.is_blank()), Ok(false));
        assert_ne!(AccountId::generate(), AccountId::generate());
        let session = SessionId::generate();
        assert_eq!(session.as_str().parse(), Ok(session.clone()));
        assert_eq!(session.as_str().parse(), Ok(FlowId::from(&session)));
        assert_eq!(BundleId::blank().as_str().parse(), Ok(BundleId::blank()));
        assert_eq!(BundleId::default_bundle().to_string(), "default");
        assert_eq!(format!("{:?}", BundleId::blank()), "BundleId(blank)");
    }
}
