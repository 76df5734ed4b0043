//! The file format of an export: JSON in the age format, encrypted with a passphrase (age-encryption.org/v1, scrypt).
//! The program `age` can open it as well.

use std::io::Read as _;

use age::scrypt;
use auth_spawner::Registry;
use identity_store::{AccountKind, LeftOut, PortableAccount, PortableBundle};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use super::failure::{Failure, code};
use crate::hint::Step;

/// The longest file, in bytes.
pub(super) const LONGEST: u64 = 16 * 1024 * 1024;

/// The scrypt work factor of a new file, as a power of two. One try of a passphrase takes about a second and 256 MiB.
const WORK: u8 = 18;

/// The largest scrypt work factor that a file may have: about 1 GiB of memory.
const MOST_WORK: u8 = 20;

/// The version of the JSON document.
const VERSION: u32 = 1;

/// The content of a file.
pub(super) struct Opened {
    pub(super) bundle: PortableBundle,
    pub(super) left_out: Vec<LeftOut>,
}

/// The reason why a file cannot be opened. No text holds a part of the file.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unopened {
    #[error("the file was not made by srvd export")]
    Foreign,
    #[error("the passphrase is wrong")]
    Passphrase,
    #[error("decrypting the file would take more memory than is allowed")]
    Work,
    #[error("the file is damaged or truncated")]
    Damaged,
    #[error("the file was made by a newer srvd")]
    Newer,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    srvd_export: u32,
    bundle: Bundle,
    accounts: Vec<Account>,
    left_out: Vec<Left>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bundle {
    id: String,
    name: String,
    description: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Account {
    id: String,
    provider: String,
    kind: String,
    name: String,
    display_name: Option<String>,
    email: Option<String>,
    subject: Option<String>,
    base_url: Option<String>,
    expires_at: Option<i64>,
    secret: InTheOpen,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Left {
    provider: String,
    name: String,
    email: Option<String>,
    is_login: bool,
}

/// A secret that is serialized as plain text. It is only written into an encrypted file.
struct InTheOpen(SecretString);

impl Serialize for InTheOpen {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.expose_secret())
    }
}

impl<'de> Deserialize<'de> for InTheOpen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(text.into()))
    }
}

/// Encrypts a bundle and the list of the accounts that are left out.
pub(super) fn seal(
    bundle: &PortableBundle,
    left_out: &[LeftOut],
    passphrase: SecretString,
) -> Result<Vec<u8>, age::EncryptError> {
    let document = Document {
        srvd_export: VERSION,
        bundle: Bundle {
            id: bundle.id.to_string(),
            name: bundle.name.clone(),
            description: bundle.description.clone(),
        },
        accounts: bundle.accounts.iter().map(account).collect(),
        left_out: left_out.iter().map(left).collect(),
    };
    let text = serde_json::to_vec(&document).map(Zeroizing::new).map_err(std::io::Error::from)?;
    let mut recipient = scrypt::Recipient::new(passphrase);
    recipient.set_work_factor(WORK);
    age::encrypt(&recipient, &text)
}

/// Decrypts and parses a file.
pub(super) fn open(sealed: &[u8], passphrase: SecretString) -> Result<Opened, Unopened> {
    let mut identity = scrypt::Identity::new(passphrase);
    identity.set_max_work_factor(MOST_WORK);
    let decryptor = age::Decryptor::new(sealed).map_err(|_| Unopened::Foreign)?;
    if !decryptor.is_scrypt() {
        return Err(Unopened::Foreign);
    }
    let reader = decryptor.decrypt(std::iter::once(&identity as &dyn age::Identity));
    let reader = reader.map_err(|error| match error {
        age::DecryptError::ExcessiveWork { .. } => Unopened::Work,
        age::DecryptError::InvalidMac => Unopened::Damaged,
        _ => Unopened::Passphrase,
    })?;
    let mut text = Zeroizing::new(Vec::with_capacity(sealed.len()));
    reader.take(LONGEST).read_to_end(&mut text).map_err(|_| Unopened::Damaged)?;
    read(&text)
}

fn read(text: &[u8]) -> Result<Opened, Unopened> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Version {
        srvd_export: u32,
    }
    let version: Version = serde_json::from_slice(text).map_err(|_| Unopened::Foreign)?;
    if version.srvd_export > VERSION {
        return Err(Unopened::Newer);
    }
    let document: Document = serde_json::from_slice(text).map_err(|_| Unopened::Damaged)?;
    let accounts = document.accounts.into_iter().map(portable_account);
    let left_out = document.left_out.into_iter().map(left_account);
    Ok(Opened {
        bundle: PortableBundle {
            id: document.bundle.id.parse().map_err(|_| Unopened::Damaged)?,
            name: document.bundle.name,
            description: document.bundle.description,
            accounts: accounts.collect::<Result<_, _>>()?,
        },
        left_out: left_out.collect::<Result<_, _>>()?,
    })
}

/// Replaces the provider names with the ids of this daemon's registry. Fails for an unknown provider, whose account
/// could not be used.
pub(super) fn with_known_providers(
    mut bundle: PortableBundle,
    registry: &Registry,
) -> Result<PortableBundle, Failure> {
    for account in &mut bundle.accounts {
        let known = registry.provider(account.provider.as_str()).and_then(|known| known.id.parse().ok());
        account.provider = known.ok_or_else(|| {
            Failure::new(code::FAILED, format!("the provider {} is unknown", account.provider))
                .hint(Step::AddEntry)
        })?;
    }
    Ok(bundle)
}

fn account(account: &PortableAccount) -> Account {
    Account {
        id: account.id.to_string(),
        provider: account.provider.to_string(),
        kind: account.kind.to_string(),
        name: account.name.clone(),
        display_name: account.display_name.clone(),
        email: account.email.clone(),
        subject: account.subject.clone(),
        base_url: account.base_url.clone(),
        expires_at: account.expires_at,
        secret: InTheOpen(account.secret.clone()),
    }
}

fn portable_account(account: Account) -> Result<PortableAccount, Unopened> {
    Ok(PortableAccount {
        id: account.id.parse().map_err(|_| Unopened::Damaged)?,
        provider: account.provider.parse().map_err(|_| Unopened::Damaged)?,
        kind: account.kind.parse::<AccountKind>().map_err(|_| Unopened::Damaged)?,
        name: account.name,
        display_name: account.display_name,
        email: account.email,
        subject: account.subject,
        base_url: account.base_url,
        expires_at: account.expires_at,
        secret: account.secret.0,
    })
}

fn left(left: &LeftOut) -> Left {
    Left {
        provider: left.provider.to_string(),
        name: left.name.clone(),
        email: left.email.clone(),
        is_login: left.is_login,
    }
}

fn left_account(left: Left) -> Result<LeftOut, Unopened> {
    let provider = left.provider.parse().map_err(|_| Unopened::Damaged)?;
    Ok(LeftOut { provider, name: left.name, email: left.email, is_login: left.is_login })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Encrypts a text with the given work factor. A test needs only a low one.
    fn sealed(text: &str, work: u8) -> Vec<u8> {
        let mut recipient = scrypt::Recipient::new("a passphrase".into());
        recipient.set_work_factor(work);
        age::encrypt(&recipient, text.as_bytes()).unwrap()
    }

    const DOCUMENT: &str = r#"{"srvdExport":1,"bundle":{"id":"b1","name":"Work","description":""},
        "accounts":[{"id":"a1","provider":"openai","kind":"api_key","name":"Key","secret":"sk-planted"}],
        "leftOut":[{"provider":"codex","name":"Codex","email":"a@x","isLogin":true}]}"#;

    fn check(sealed: &[u8], passphrase: &str, expect: Result<&str, &str>) {
        match (open(sealed, passphrase.into()), expect) {
            (Ok(opened), Ok(secret)) => {
                assert_eq!(opened.bundle.accounts[0].secret.expose_secret(), secret);
                assert_eq!((opened.bundle.name.as_str(), opened.left_out.len()), ("Work", 1));
            }
            (Err(error), Err(part)) => {
                assert!(error.to_string().contains(part), "{error}, not {part}");
            }
            (found, expect) => panic!("{:?}, not {expect:?}", found.err()),
        }
    }

    #[test]
    fn export_file_opens_or_is_refused_with_a_reason() {
        let good = sealed(DOCUMENT, 2);
        check(&good, "a passphrase", Ok("sk-planted"));
        check(&good, "another one", Err("the passphrase is wrong"));
        check(&good[..good.len() - 1], "a passphrase", Err("damaged"));
        let mut flipped = good.clone();
        *flipped.last_mut().unwrap() ^= 1;
        check(&flipped, "a passphrase", Err("damaged"));
        check(b"", "a passphrase", Err("not made by srvd export"));
        check(DOCUMENT.as_bytes(), "a passphrase", Err("not made by srvd export"));
        check(&sealed("{}", 2), "a passphrase", Err("not made by srvd export"));
        check(&sealed(&DOCUMENT.replace(":1,", ":2,"), 2), "a passphrase", Err("a newer srvd"));
        check(&sealed(&DOCUMENT.replace("api_key", "other"), 2), "a passphrase", Err("damaged"));
        // The header states the work factor. A file that asks for too much is refused without the work.
        let text = String::from_utf8_lossy(&good).into_owned();
        let line = text.lines().find(|line| line.starts_with("-> scrypt")).unwrap();
        let greedy = format!("{} 30", line.rsplit_once(' ').unwrap().0);
        let at = good.windows(line.len()).position(|window| window == line.as_bytes()).unwrap();
        let greedy = [&good[..at], greedy.as_bytes(), &good[at + line.len()..]].concat();
        check(&greedy, "a passphrase", Err("more memory"));
    }
}
