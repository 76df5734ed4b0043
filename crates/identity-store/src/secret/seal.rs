//! The box around one secret: `0x01 | key id[8] | nonce[24] | secretbox(key, nonce, P)`.
//!
//! `P = 0x01 | lp(table) | lp(column) | lp(row id) | generation (u64) | lp(secret) | zeros to a multiple of 64`, where
//! `lp` is a `u32` length and the bytes; numbers are big-endian. libsodium's secretbox (XSalsa20-Poly1305) has no
//! associated data, so the data that binds a box to its row is inside. The zeros hide the secret's length.

use crypto_secretbox::aead::Aead as _;
use crypto_secretbox::{KeyInit as _, Nonce, XSalsa20Poly1305};
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use super::key::KeyId;
use super::keyring::Keyring;

/// The version of the box and of its content.
const VERSION: u8 = 1;

/// The bytes before the secretbox.
const HEADER: usize = 1 + 8 + 24;

/// The number of bytes that secretbox adds.
const TAG: usize = 16;

/// The length of the content is a multiple of this.
const BLOCK: usize = 64;

/// The place of a secret. A box opens only in the place that it was sealed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell<'a> {
    /// The name of the table.
    pub table: &'a str,
    /// The name of the column.
    pub column: &'a str,
    /// The row's id.
    pub row: &'a str,
    /// The number of times that the secret in this place was written.
    pub generation: u64,
}

/// The reason why a secret could not be sealed or opened. No variant holds a byte of the secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// The account's row holds no secret.
    #[error("the account has no sealed secret")]
    Absent,
    /// The key that sealed the secret is not in the keyring.
    #[error("the secret was sealed with key {key_id}, which is not in the keyring")]
    WrongKeyId {
        /// The id of the key that sealed the secret.
        key_id: KeyId,
    },
    /// The secret was sealed for another row, column or generation.
    #[error("the secret was sealed for another row or column")]
    Mismatch,
    /// The data is too short to be a box.
    #[error("the sealed secret is truncated")]
    Truncated,
    /// The first byte is not a version that this build knows.
    #[error("the sealed secret has the unknown version {version}")]
    UnknownVersion {
        /// The value of the first byte.
        version: u8,
    },
    /// The box was changed after it was sealed.
    #[error("the sealed secret was changed")]
    Tampered,
    /// The row was changed by a program without the key.
    #[error("it was changed by a program without the encryption key")]
    Altered,
    /// The row has no authentication, so a program without the key may have written it.
    #[error("it was written by a program without the encryption key")]
    Unauthenticated,
    /// The secret is longer than the box format allows.
    #[error("the secret is too long")]
    TooLong,
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes")]
    Random,
}

/// Seals a secret for one place, with a new random nonce.
///
/// # Errors
/// [`SecretError::TooLong`] if the secret does not fit into a box, [`SecretError::Random`] if the operating system
/// gives no random bytes.
pub fn seal(keyring: &Keyring, cell: Cell<'_>, secret: &SecretString) -> Result<Vec<u8>, SecretError> {
    let mut nonce = [0; 24];
    getrandom::fill(&mut nonce).map_err(|_| SecretError::Random)?;
    seal_with_nonce(keyring, cell, secret, nonce)
}

fn seal_with_nonce(
    keyring: &Keyring,
    cell: Cell<'_>,
    secret: &SecretString,
    nonce: [u8; 24],
) -> Result<Vec<u8>, SecretError> {
    let key = keyring.current();
    let plain = inside(cell, secret.expose_secret().as_bytes())?;
    let cipher = XSalsa20Poly1305::new(key.bytes().into());
    let boxed =
        cipher.encrypt(Nonce::from_slice(&nonce), plain.as_slice()).map_err(|_| SecretError::TooLong)?;
    let mut sealed = Vec::with_capacity(HEADER + boxed.len());
    sealed.push(VERSION);
    sealed.extend(key.id().0);
    sealed.extend(nonce);
    sealed.extend(boxed);
    Ok(sealed)
}

/// Opens a box that [`seal`] made, if it is in the place that it was sealed for.
///
/// # Errors
/// [`SecretError`] with the reason: not a box, of an unknown key, changed, or sealed for another cell.
pub fn open(keyring: &Keyring, cell: Cell<'_>, sealed: &[u8]) -> Result<SecretString, SecretError> {
    let version = *sealed.first().ok_or(SecretError::Truncated)?;
    if version != VERSION {
        return Err(SecretError::UnknownVersion { version });
    }
    let (header, boxed) = sealed.split_at_checked(HEADER).ok_or(SecretError::Truncated)?;
    if boxed.len() < TAG + BLOCK {
        return Err(SecretError::Truncated);
    }
    let mut id = [0; 8];
    id.copy_from_slice(&header[1..9]);
    let key = keyring.find(KeyId(id)).ok_or(SecretError::WrongKeyId { key_id: KeyId(id) })?;
    let cipher = XSalsa20Poly1305::new(key.bytes().into());
    let plain = cipher.decrypt(Nonce::from_slice(&header[9..]), boxed).map_err(|_| SecretError::Tampered)?;
    take_out(cell, &Zeroizing::new(plain))
}

/// Seals again, with the keyring's current key, a secret that any of its keys sealed for the same place.
pub(crate) fn reseal(keyring: &Keyring, cell: Cell<'_>, sealed: &[u8]) -> Result<Vec<u8>, SecretError> {
    seal(keyring, cell, &open(keyring, cell, sealed)?)
}

/// Builds `P`.
fn inside(cell: Cell<'_>, secret: &[u8]) -> Result<Zeroizing<Vec<u8>>, SecretError> {
    let bound = bound_part(cell)?;
    let length = u32::try_from(secret.len()).map_err(|_| SecretError::TooLong)?;
    let total = (bound.len() + 4 + secret.len()).next_multiple_of(BLOCK);
    // The buffer has its final size from the start. A growing buffer would leave copies of the secret behind.
    let mut plain = Zeroizing::new(Vec::with_capacity(total));
    plain.extend(bound);
    plain.extend(length.to_be_bytes());
    plain.extend_from_slice(secret);
    plain.resize(total, 0);
    Ok(plain)
}

/// Checks the place that the box is bound to, and extracts the secret from `P`.
fn take_out(cell: Cell<'_>, plain: &[u8]) -> Result<SecretString, SecretError> {
    let rest = plain.strip_prefix(bound_part(cell)?.as_slice()).ok_or(SecretError::Mismatch)?;
    // The box is authentic, so malformed content means that another program sealed it.
    let (length, rest) = rest.split_first_chunk::<4>().ok_or(SecretError::Mismatch)?;
    let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| SecretError::Mismatch)?;
    let (secret, padding) = rest.split_at_checked(length).ok_or(SecretError::Mismatch)?;
    if padding.iter().any(|byte| *byte != 0) {
        return Err(SecretError::Mismatch);
    }
    std::str::from_utf8(secret).map(SecretString::from).map_err(|_| SecretError::Mismatch)
}

/// Returns the part of `P` before the secret.
fn bound_part(cell: Cell<'_>) -> Result<Vec<u8>, SecretError> {
    let mut bytes = vec![VERSION];
    for text in [cell.table, cell.column, cell.row] {
        bytes.extend(u32::try_from(text.len()).map_err(|_| SecretError::TooLong)?.to_be_bytes());
        bytes.extend(text.as_bytes());
    }
    bytes.extend(cell.generation.to_be_bytes());
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::secret::Key;

    const CELL: Cell<'static> = Cell { table: "accounts", column: "sealed_secret", row: "a1", generation: 3 };

    fn ring(name: &str) -> Keyring {
        Keyring::from_key(key(name))
    }

    fn key(name: &str) -> Key {
        Key::parse(format!("{name:-<40}").as_bytes()).unwrap()
    }

    fn sealed(secret: &str) -> Vec<u8> {
        seal(&ring("one"), CELL, &secret.into()).unwrap()
    }

    fn check(ring: &Keyring, cell: Cell<'_>, sealed: &[u8], expected: Result<&str, SecretError>) {
        let found = open(ring, cell, sealed);
        assert_eq!(found.as_ref().map(SecretString::expose_secret).map_err(|e| *e), expected);
    }

    /// The vector was made with `PyNaCl`: key 32 times 7, nonce 24 times 9.
    #[test]
    fn cipher_output_matches_libsodium_vector() {
        let cipher = XSalsa20Poly1305::new(&[7; 32].into());
        let boxed = cipher.encrypt(&[9; 24].into(), b"tok_refresh_abc".as_slice()).unwrap();
        let expected = "f442b798aa9bf3985dc61f70bb32a401f82578a94d34549e61077ab7cb56d6";
        let bytes: Vec<u8> = (0..expected.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&expected[at..at + 2], 16).unwrap())
            .collect();
        assert_eq!(boxed, bytes);
    }

    #[test]
    fn sealed_box_opens_only_in_its_cell_and_with_its_key() {
        let boxed = sealed("sk-secret");
        check(&ring("one"), CELL, &boxed, Ok("sk-secret"));
        for moved in [
            Cell { row: "a2", ..CELL },
            Cell { column: "other", ..CELL },
            Cell { table: "tokens", ..CELL },
            Cell { generation: 2, ..CELL },
        ] {
            check(&ring("one"), moved, &boxed, Err(SecretError::Mismatch));
        }
        check(&ring("two"), CELL, &boxed, Err(SecretError::WrongKeyId { key_id: ring("one").key_id() }));
        check(&Keyring::with_old(key("two"), vec![key("one")]), CELL, &boxed, Ok("sk-secret"));
        let mut other = boxed;
        other[0] = 2;
        check(&ring("one"), CELL, &other, Err(SecretError::UnknownVersion { version: 2 }));
    }

    #[test]
    fn reseal_uses_newest_key_and_keeps_cell() {
        let both = Keyring::with_old(key("two"), vec![key("one")]);
        let boxed = reseal(&both, CELL, &sealed("sk-secret")).unwrap();
        check(&ring("two"), CELL, &boxed, Ok("sk-secret"));
        check(&ring("one"), CELL, &boxed, Err(SecretError::WrongKeyId { key_id: ring("two").key_id() }));
        assert_eq!(reseal(&both, Cell { row: "a2", ..CELL }, &boxed), Err(SecretError::Mismatch));
    }

    #[test]
    fn sealed_box_has_new_nonce_and_hides_short_lengths() {
        assert_ne!(sealed("a"), sealed("a"));
        assert_eq!(sealed("a").len(), sealed("abcdefgh").len());
        check(&ring("one"), CELL, &sealed(""), Ok(""));
        let long = "x".repeat(10_000);
        check(&ring("one"), CELL, &sealed(&long), Ok(&long));
    }

    #[test]
    fn errors_and_debug_show_no_secret() {
        let error = open(&ring("one"), Cell { row: "a2", ..CELL }, &sealed("sk-planted")).unwrap_err();
        let shown = format!("{error} {error:?} {:?}", ring("sk-planted"));
        assert!(!shown.contains("planted"), "{shown}");
    }

    proptest! {
        #[test]
        fn sealed_secret_opens_to_same_text(secret in ".{0,200}") {
            check(&ring("one"), CELL, &sealed(&secret), Ok(&secret));
        }

        /// A box with any flipped bit never opens, and the error gives the reason.
        #[test]
        fn sealed_box_is_refused_when_a_bit_is_flipped(at in any::<prop::sample::Index>(), bit in 0..8_u32) {
            let mut boxed = sealed("sk-secret");
            let at = at.index(boxed.len());
            boxed[at] ^= 1 << bit;
            let error = open(&ring("one"), CELL, &boxed).unwrap_err();
            let expected = match at {
                0 => matches!(error, SecretError::UnknownVersion { .. }),
                1..=8 => matches!(error, SecretError::WrongKeyId { .. }),
                _ => error == SecretError::Tampered,
            };
            prop_assert!(expected, "byte {at}: {error:?}");
        }

        /// A truncated box never opens.
        #[test]
        fn sealed_box_is_refused_when_truncated(at in any::<prop::sample::Index>()) {
            let boxed = sealed(&"x".repeat(100));
            let error = open(&ring("one"), CELL, &boxed[..at.index(boxed.len())]).unwrap_err();
            prop_assert!(matches!(error, SecretError::Truncated | SecretError::Tampered), "{error:?}");
        }

        /// Arbitrary bytes never cause a panic.
        #[test]
        fn open_refuses_arbitrary_bytes(noise in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(open(&ring("one"), CELL, &noise).is_err());
        }
    }
}
