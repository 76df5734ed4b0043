//! One encryption key: how it is read, and its id, which does not reveal it.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use blake2::digest::{CustomizedInit, FixedOutput, KeyInit, Update};
use blake2::{Blake2b256, Blake2b512, Blake2bMac512};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// The length of a key, in bytes.
pub(crate) const KEY_LENGTH: usize = 32;

/// The personalisation of the hash that shortens a long key.
const DERIVE: &[u8] = b"srvd.key.v1";

/// The personalisation of the hash that produces a key id.
const NAME: &[u8] = b"srvd.keyid.v1";

/// The message whose keyed hash proves a key.
const CHECK: &[u8] = b"srvd.kcv.v1";

/// A key for secrets at rest. It is wiped when dropped, and `Debug` shows its id only.
#[derive(Clone)]
pub struct Key(Zeroizing<[u8; KEY_LENGTH]>);

/// The id of a key: the first 8 bytes of its BLAKE2b-512, personalised `srvd.keyid.v1`. `Display` is 16 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(pub(crate) [u8; 8]);

/// A proof of a key that does not reveal the key: 16 bytes of BLAKE2b-512, keyed with it, of `srvd.kcv.v1`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct CheckValue(pub(crate) [u8; 16]);

/// The reason why a text is not a key. No variant holds a byte of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The text has fewer than 32 bytes.
    #[error("the key has {length} bytes, at least {KEY_LENGTH} are needed")]
    TooShort {
        /// The number of bytes found.
        length: usize,
    },
    /// The text after `hex:` or `base64:` is not in that encoding.
    #[error("the key is not valid {encoding}")]
    Encoding {
        /// The encoding: `hex` or `base64`.
        encoding: &'static str,
    },
    /// The text after `hex:` or `base64:` does not decode to 32 bytes.
    #[error("the {encoding} key decodes to {length} bytes, exactly {KEY_LENGTH} are needed")]
    DecodedLength {
        /// The encoding: `hex` or `base64`.
        encoding: &'static str,
        /// The number of bytes found.
        length: usize,
    },
    /// All bytes are the same.
    #[error("the key repeats one byte")]
    Weak,
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes")]
    Random,
}

/// A text that is not 16 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key id is 16 hex digits")]
pub struct InvalidKeyId;

impl Key {
    /// Reads a key in the form that an environment variable holds.
    ///
    /// A text of 32 bytes is the key itself. A longer text is hashed to 32 bytes and never cut, so that keys with a
    /// common beginning differ. `hex:` and `base64:` are followed by exactly 32 encoded bytes. The length is counted in
    /// bytes, not in characters.
    ///
    /// # Errors
    /// [`KeyError`] if the text is too short, not in its encoding, or one repeated byte.
    pub fn parse(text: &[u8]) -> Result<Self, KeyError> {
        let key = if let Some(hex) = text.strip_prefix(b"hex:") {
            exact("hex", &decode_hex(hex)?)?
        } else if let Some(base64) = text.strip_prefix(b"base64:") {
            let bytes = STANDARD.decode(base64).map_err(|_| KeyError::Encoding { encoding: "base64" })?;
            exact("base64", &Zeroizing::new(bytes))?
        } else {
            plain(text)?
        };
        if key.0.iter().all(|byte| *byte == key.0[0]) {
            return Err(KeyError::Weak);
        }
        Ok(key)
    }

    /// Reads a key in the form that a file holds: as [`Key::parse`], without one newline at the end.
    ///
    /// # Errors
    /// As for [`Key::parse`].
    pub fn parse_file_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        Self::parse(bytes.strip_suffix(b"\r").unwrap_or(bytes))
    }

    /// Generates a new random key, and the text `base64:...` that [`Key::parse`] reads back.
    ///
    /// # Errors
    /// [`KeyError::Random`] if the operating system gives no random bytes.
    pub fn generate() -> Result<(Self, secrecy::SecretString), KeyError> {
        let mut bytes = Zeroizing::new([0; KEY_LENGTH]);
        getrandom::fill(bytes.as_mut_slice()).map_err(|_| KeyError::Random)?;
        let key = Self(bytes);
        let text = key.text();
        Ok((key, text))
    }

    /// Returns the text `base64:...` that [`Key::parse`] reads back as this key.
    pub fn text(&self) -> secrecy::SecretString {
        format!("base64:{}", STANDARD.encode(*self.0)).into()
    }

    /// Returns the key's id.
    pub fn id(&self) -> KeyId {
        let mut hash = Blake2b512::new_customized(NAME);
        hash.update(self.0.as_slice());
        KeyId(first(&hash.finalize_fixed()))
    }

    /// Returns the key's check value.
    pub(crate) fn check_value(&self) -> CheckValue {
        let mut mac = <Blake2bMac512 as KeyInit>::new_from_slice(self.0.as_slice())
            .unwrap_or_else(|_| unreachable!("BLAKE2b takes keys of up to 64 bytes"));
        mac.update(CHECK);
        CheckValue(first(&mac.finalize_fixed()))
    }

    /// Returns the key's bytes, for sealing and keyed hashing only.
    pub(crate) fn bytes(&self) -> &[u8; KEY_LENGTH] {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.id())
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl std::str::FromStr for KeyId {
    type Err = InvalidKeyId;

    /// Reads the text that `Display` writes.
    fn from_str(text: &str) -> Result<Self, InvalidKeyId> {
        let bytes = decode_hex(text.as_bytes()).map_err(|_| InvalidKeyId)?;
        <[u8; 8]>::try_from(bytes.as_slice()).map(Self).map_err(|_| InvalidKeyId)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

impl CheckValue {
    /// Returns whether the stored value equals this one, in constant time.
    pub(crate) fn matches(&self, stored: &[u8]) -> bool {
        self.0.as_slice().ct_eq(stored).into()
    }
}

fn plain(text: &[u8]) -> Result<Key, KeyError> {
    if text.len() < KEY_LENGTH {
        return Err(KeyError::TooShort { length: text.len() });
    }
    if let Ok(key) = <[u8; KEY_LENGTH]>::try_from(text) {
        return Ok(Key(Zeroizing::new(key)));
    }
    let repeated = text.iter().all(|byte| *byte == text[0]);
    if repeated {
        return Err(KeyError::Weak);
    }
    let mut hash = Blake2b256::new_customized(DERIVE);
    hash.update(text);
    Ok(Key(Zeroizing::new(first(&hash.finalize_fixed()))))
}

fn exact(encoding: &'static str, bytes: &[u8]) -> Result<Key, KeyError> {
    match <[u8; KEY_LENGTH]>::try_from(bytes) {
        Ok(key) => Ok(Key(Zeroizing::new(key))),
        Err(_) => Err(KeyError::DecodedLength { encoding, length: bytes.len() }),
    }
}

fn decode_hex(text: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let error = KeyError::Encoding { encoding: "hex" };
    if !text.len().is_multiple_of(2) {
        return Err(error);
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len() / 2));
    for pair in text.chunks_exact(2) {
        let high = hex_digit(pair[0]).ok_or(error)?;
        let low = hex_digit(pair[1]).ok_or(error)?;
        bytes.push(high << 4 | low);
    }
    Ok(bytes)
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// Returns the first `N` bytes of a longer hash.
fn first<const N: usize>(hash: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&hash[..N]);
    out
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    const SAMPLE: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";

    fn check(text: &[u8], expected: Result<&Key, KeyError>) {
        assert_eq!(Key::parse(text).map(|key| *key.bytes()), expected.map(|key| *key.bytes()));
    }

    #[test]
    fn key_parses_plain_hex_and_base64_and_refuses_bad_text() {
        let sample = Key(Zeroizing::new(*SAMPLE));
        check(SAMPLE, Ok(&sample));
        check(b"hex:303132333435363738396162636465666768696a6b6c6d6e6f70717273747576", Ok(&sample));
        check(b"hex:303132333435363738396162636465666768696A6B6C6D6E6F70717273747576", Ok(&sample));
        check(b"base64:MDEyMzQ1Njc4OWFiY2RlZmdoaWprbG1ub3BxcnN0dXY=", Ok(&sample));
        check(b"", Err(KeyError::TooShort { length: 0 }));
        check(&SAMPLE[..31], Err(KeyError::TooShort { length: 31 }));
        check(b"hex:3031", Err(KeyError::DecodedLength { encoding: "hex", length: 2 }));
        check(b"hex:303", Err(KeyError::Encoding { encoding: "hex" }));
        check(b"hex:zz", Err(KeyError::Encoding { encoding: "hex" }));
        check(
            b"base64:MDEyMzQ1Njc4OWFiY2RlZg==",
            Err(KeyError::DecodedLength { encoding: "base64", length: 16 }),
        );
        check(b"base64:####", Err(KeyError::Encoding { encoding: "base64" }));
        check(&[7; 32], Err(KeyError::Weak));
        check(&[b'x'; 40], Err(KeyError::Weak));
    }

    /// The length is counted in bytes, not in characters, and a long key is never cut.
    #[test]
    fn key_hashes_all_bytes_when_long() {
        assert!(Key::parse("🦀🦐🦀🦀🦀🦀🦀🦀🦀🦀".as_bytes()).is_ok());
        let (one, two) =
            (b"0123456789abcdefghijklmnopqrstuv-one-40-", b"0123456789abcdefghijklmnopqrstuv-two-40-");
        assert_ne!(Key::parse(one).unwrap().id(), Key::parse(two).unwrap().id());
    }

    /// The values were computed with Python's `hashlib.blake2b` with `person=` and `key=`.
    #[test]
    fn key_hashes_match_python_blake2b() {
        let key = Key(Zeroizing::new(*SAMPLE));
        assert_eq!(key.id().to_string(), "05d0dd0ac3a1fddf");
        assert_eq!(key.check_value().0, *b"\x1e\xd7\x51\x63\xa8\x9d\xfc\xe0\x55\xcb\x62\xd2\x14\xab\xb1\xc9");
        let long = Key::parse(b"0123456789abcdefghijklmnopqrstuvw").unwrap();
        assert_eq!(long.bytes(), b"\xaf\xcb\xe7\xe0\xac\x3e\xff\x2b\x85\xe0\x00\xfe\xba\x90\x2a\x6b\xa4\xda\xfa\x93\xa1\xeb\x5c\xbe\x8e\x64\x6c\xfd\xae\x78\x32\x6c");
    }

    #[test]
    fn key_file_ignores_one_trailing_newline() {
        let id = Key::parse(SAMPLE).unwrap().id();
        for end in ["", "\n", "\r\n"] {
            let bytes = [SAMPLE.as_slice(), end.as_bytes()].concat();
            assert_eq!(Key::parse_file_bytes(&bytes).unwrap().id(), id);
        }
        let short = [&SAMPLE[..31], b"\n"].concat();
        assert_eq!(Key::parse_file_bytes(&short).map(|key| key.id()), Err(KeyError::TooShort { length: 31 }));
        let two = [SAMPLE.as_slice(), b"\n\n"].concat();
        assert_ne!(Key::parse_file_bytes(&two).unwrap().id(), id);
    }

    #[test]
    fn generated_key_parses_back_and_debug_shows_only_its_id() {
        let (key, text) = Key::generate().unwrap();
        assert_eq!(Key::parse(text.expose_secret().as_bytes()).unwrap().id(), key.id());
        assert_ne!(Key::generate().unwrap().0.id(), key.id());
        assert_eq!(format!("{key:?}"), format!("Key({})", key.id()));
    }
}
