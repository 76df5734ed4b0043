//! The mark of a refresh token, by which copies of one login are recognized.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

/// The length of a mark, in bytes.
const LENGTH: usize = 16;

/// A part of the SHA-256 digest of a refresh token. Two logins with the same mark hold the same token. The token cannot
/// be found from it, because it is random.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TokenMark([u8; LENGTH]);

impl TokenMark {
    /// Returns the mark of a token.
    pub(super) fn of(token: &str) -> Self {
        let digest = Sha256::new().chain_update(b"srvd refresh token\0").chain_update(token).finalize();
        let mut mark = [0; LENGTH];
        mark.copy_from_slice(&digest[..LENGTH]);
        Self(mark)
    }
}

impl fmt::Display for TokenMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for TokenMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenMark({self})")
    }
}

impl FromStr for TokenMark {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut mark = [0; LENGTH];
        let sound = text.len() == 2 * LENGTH && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !sound {
            return Err("it is no mark of a token");
        }
        for (byte, at) in mark.iter_mut().zip((0..).step_by(2)) {
            *byte = u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| "it is no mark of a token")?;
        }
        Ok(Self(mark))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mark_is_read_as_it_was_written_and_differs_for_each_token() {
        let mark = TokenMark::of("rt_1");
        assert_eq!(mark.to_string().parse(), Ok(mark));
        assert_ne!(mark, TokenMark::of("rt_2"));
        for text in ["", "00", "zz0102030405060708090a0b0c0d0e0f", "\u{e9}"] {
            assert!(text.parse::<TokenMark>().is_err(), "{text}");
        }
    }
}
