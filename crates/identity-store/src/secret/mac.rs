//! The authentication of rows: `0x01 | key id[8] | HMAC-SHA256(derived key, lp(table) | text)`.
//!
//! The derived key is HKDF-SHA256 of the key of the keyring, with the purpose as its information. So a row's code proves
//! nothing about a box or the audit log. The text holds the deciding columns of the row, with its id.

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::key::{Key, KeyId};
use super::keyring::Keyring;
use super::seal::SecretError;

/// The version of the code.
const VERSION: u8 = 1;

/// The bytes before the code itself.
const HEADER: usize = 1 + 8;

/// The length of the code in bytes.
const LENGTH: usize = HEADER + 32;

/// The information that the derived key depends on.
const PURPOSE: &[u8] = b"srvd.row-authentication.v1";

/// A key that authenticates rows, derived from a key of the keyring.
#[derive(Clone)]
pub(crate) struct MacKey(Zeroizing<[u8; 32]>);

impl MacKey {
    pub(crate) fn of(key: &Key) -> Self {
        let mut derived = Zeroizing::new([0; 32]);
        if Hkdf::<Sha256>::new(None, key.bytes()).expand(PURPOSE, derived.as_mut_slice()).is_err() {
            unreachable!("HKDF-SHA256 gives 32 bytes")
        }
        Self(derived)
    }

    fn code(&self, scope: &str, text: &[u8]) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.0.as_slice())
            .unwrap_or_else(|_| unreachable!("HMAC takes keys of any length"));
        mac.update(&(scope.len() as u64).to_be_bytes());
        mac.update(scope.as_bytes());
        mac.update(text);
        mac.finalize().into_bytes().into()
    }
}

/// Returns the code of a text with the keyring's current key. The scope is the name of a table, or of a file.
pub fn authenticate(keyring: &Keyring, scope: &str, text: &[u8]) -> Vec<u8> {
    let mut code = Vec::with_capacity(LENGTH);
    code.push(VERSION);
    code.extend(keyring.key_id().0);
    code.extend(keyring.mac_key(0).code(scope, text));
    code
}

/// Checks the code of a text, which any key of the keyring may have made.
///
/// # Errors
/// [`SecretError::Unauthenticated`] without a code, [`SecretError::WrongKeyId`] for a key that is not in the keyring, and
/// [`SecretError::Altered`] for a code of another text.
pub fn check_code(
    keyring: &Keyring,
    scope: &str,
    text: &[u8],
    code: Option<&[u8]>,
) -> Result<(), SecretError> {
    let code = code.ok_or(SecretError::Unauthenticated)?;
    let (header, proof) = code.split_at_checked(HEADER).ok_or(SecretError::Altered)?;
    if header[0] != VERSION {
        return Err(SecretError::UnknownVersion { version: header[0] });
    }
    let mut id = [0; 8];
    id.copy_from_slice(&header[1..]);
    let place = keyring.position(KeyId(id)).ok_or(SecretError::WrongKeyId { key_id: KeyId(id) })?;
    let fits: bool = keyring.mac_key(place).code(scope, text).as_slice().ct_eq(proof).into();
    if fits { Ok(()) } else { Err(SecretError::Altered) }
}

/// Returns whether the keyring's current key made the code. It does not check the code.
pub(crate) fn is_current(keyring: &Keyring, code: &[u8]) -> bool {
    code.get(1..HEADER) == Some(keyring.key_id().0.as_slice())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key::parse(format!("{name:-<40}").as_bytes()).unwrap()
    }

    #[test]
    fn code_fits_only_its_text_scope_and_key() {
        let ring = Keyring::from_key(key("one"));
        let code = authenticate(&ring, "accounts", b"id=1:a;");
        let check =
            |ring: &Keyring, scope, text: &[u8], code: &[u8]| check_code(ring, scope, text, Some(code));
        assert_eq!(check(&ring, "accounts", b"id=1:a;", &code), Ok(()));
        assert_eq!(check(&ring, "accounts", b"id=1:b;", &code), Err(SecretError::Altered));
        assert_eq!(check(&ring, "account", b"sid=1:a;", &code), Err(SecretError::Altered));
        let other = Keyring::from_key(key("two"));
        let unknown = SecretError::WrongKeyId { key_id: ring.key_id() };
        assert_eq!(check(&other, "accounts", b"id=1:a;", &code), Err(unknown));
        let both = Keyring::with_old(key("two"), vec![key("one")]);
        assert_eq!(check(&both, "accounts", b"id=1:a;", &code), Ok(()));
        assert!(!is_current(&both, &code) && is_current(&ring, &code));
        assert_eq!(check_code(&ring, "accounts", b"id=1:a;", None), Err(SecretError::Unauthenticated));
        for at in 0..code.len() {
            let mut changed = code.clone();
            changed[at] ^= 1;
            assert!(check(&ring, "accounts", b"id=1:a;", &changed).is_err(), "byte {at}");
            assert!(check(&ring, "accounts", b"id=1:a;", &code[..at]).is_err(), "{at} bytes");
        }
    }

    /// The vector was made with another implementation of HKDF and HMAC (Python's `hmac`).
    #[test]
    fn code_matches_an_independent_implementation() {
        let ring = Keyring::from_key(Key::parse(b"0123456789abcdef0123456789abcdef").unwrap());
        let code = authenticate(&ring, "accounts", b"id=1:a;");
        let expected = "5be5b546e4567b0625ebabbbc0453b36e3c2d74b0e1d9c15d947a30a0e72e877";
        let bytes: Vec<u8> = (0..expected.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&expected[at..at + 2], 16).unwrap())
            .collect();
        assert_eq!(code[HEADER..], bytes);
    }
}
