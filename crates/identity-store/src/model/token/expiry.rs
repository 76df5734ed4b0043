//! The expiry of a token, and its source.

use crate::model::account::words;

/// The assumed life of a token whose issuer gave none, in milliseconds.
pub(crate) const ASSUMED_LIFE: i64 = 60 * 60 * 1000;

/// The end of the year 9999, in unix milliseconds. A later time cannot be one that an issuer meant.
const LATEST: i64 = 253_402_300_799_999;

/// The limit below which a number is a time in seconds. In milliseconds it would be before 1973-03-03.
const SECONDS_BELOW: i64 = 100_000_000_000;

words! {
    /// The source of an expiry.
    ExpirySource, "expiry source" {
        /// The issuer gave it together with the token.
        Issuer = "issuer",
        /// The token's own `exp` gives it.
        Jwt = "jwt",
        /// The expiry is assumed: an hour after the token was received.
        Assumed = "assumed",
        /// The token does not expire.
        None = "none",
    }
}

/// The expiry of a token. It has a time exactly if its source is not `none`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expiry {
    at: Option<i64>,
    source: ExpirySource,
}

impl Expiry {
    /// The expiry of a token that does not expire.
    pub const NEVER: Self = Self { at: None, source: ExpirySource::None };

    /// Creates an expiry that the issuer gave. An implausible time becomes [`Expiry::assumed`].
    pub fn issuer(at: i64, received_at: i64) -> Self {
        Self::said(at, ExpirySource::Issuer, received_at)
    }

    /// Creates an expiry that the token itself gives. An implausible time becomes [`Expiry::assumed`].
    pub fn jwt(at: i64, received_at: i64) -> Self {
        Self::said(at, ExpirySource::Jwt, received_at)
    }

    /// Creates an assumed expiry. It is computed from the time when the token was received, so it never changes.
    pub fn assumed(received_at: i64) -> Self {
        let at = received_at.saturating_add(ASSUMED_LIFE).clamp(1, LATEST);
        Self { at: Some(at), source: ExpirySource::Assumed }
    }

    fn said(at: i64, source: ExpirySource, received_at: i64) -> Self {
        if is_time(at) { Self { at: Some(at), source } } else { Self::assumed(received_at) }
    }

    /// Reads the expiry from a record of another program: RFC 3339 with any offset, or a number of seconds or
    /// milliseconds. A missing or unreadable text becomes [`Expiry::assumed`], because an unknown expiry is not the
    /// same as none.
    pub fn read(text: Option<&str>, received_at: i64) -> Self {
        let text = text.unwrap_or_default().trim();
        let number = || text.parse::<i64>().ok().map(from_number);
        match super::jwt::rfc3339(text).or_else(number) {
            Some(at) => Self::issuer(at, received_at),
            None => Self::assumed(received_at),
        }
    }

    /// Reads a row's columns. Returns `true` if they were invalid, with the value to store instead.
    pub(crate) fn stored(at: Option<i64>, source: &str, received_at: i64) -> (Self, bool) {
        match (at, source.parse()) {
            (None, Ok(ExpirySource::None)) => (Self::NEVER, false),
            (Some(at), Ok(source)) if source != ExpirySource::None && is_time(at) => {
                (Self { at: Some(at), source }, false)
            }
            _ => (Self::assumed(received_at), true),
        }
    }

    /// Returns the time, in unix milliseconds; `None` if the token does not expire.
    pub fn at(self) -> Option<i64> {
        self.at
    }

    /// Returns the time, unless it was assumed. No token is given up because of an assumed expiry.
    pub fn known(self) -> Option<i64> {
        self.at.filter(|_| self.source != ExpirySource::Assumed)
    }

    /// Returns the source of the expiry.
    pub fn source(self) -> ExpirySource {
        self.source
    }

    /// Returns whether less than `margin` milliseconds are left at `now`.
    pub fn is_over(self, now: i64, margin: i64) -> bool {
        self.at.is_some_and(|at| at <= now.saturating_add(margin))
    }
}

fn is_time(at: i64) -> bool {
    (1..=LATEST).contains(&at)
}

/// Converts a number of seconds or milliseconds to unix milliseconds.
fn from_number(number: i64) -> i64 {
    if number.abs() < SECONDS_BELOW { number * 1000 } else { number }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: i64 = 1_800_000_000_000;

    /// A text that is no time becomes assumed and stays constant; an offset is understood.
    #[test]
    fn expiry_is_assumed_when_the_record_text_is_no_time() {
        let assumed = Expiry { at: Some(T + ASSUMED_LIFE), source: ExpirySource::Assumed };
        let issuer = |at| Expiry { at: Some(at), source: ExpirySource::Issuer };
        for (text, expected) in [
            (Some("garbage"), assumed),
            (Some(""), assumed),
            (None, assumed),
            (Some("NaN"), assumed),
            (Some("-1"), assumed),
            (Some("1e300"), assumed),
            (Some("0"), assumed),
            (Some("99999999999999999999"), assumed),
            (Some("2027-13-01T00:00:00Z"), assumed),
            (Some("2027-02-29T00:00:00Z"), assumed),
            (Some("2027-01-15T10:00:00+02:00"), issuer(T)),
            (Some("2027-01-15T08:00:00Z"), issuer(T)),
            (Some("2027-01-15t02:30:00.250-05:30"), issuer(T + 250)),
            (Some(" 1800000000 "), issuer(T)),
            (Some("1800000000000"), issuer(T)),
        ] {
            assert_eq!(Expiry::read(text, T), expected, "{text:?}");
        }
    }

    /// A row is repaired to a value that does not depend on when it is read.
    #[test]
    fn expiry_is_repaired_to_assumed_when_the_row_is_invalid() {
        let assumed = (Expiry::assumed(T), true);
        for (at, source, expected) in [
            (None, "none", (Expiry::NEVER, false)),
            (Some(T), "issuer", (Expiry::issuer(T, 0), false)),
            (Some(T), "jwt", (Expiry::jwt(T, 0), false)),
            (Some(T + 5), "assumed", (Expiry { at: Some(T + 5), source: ExpirySource::Assumed }, false)),
            (Some(T), "none", assumed),
            (None, "issuer", assumed),
            (Some(-1), "issuer", assumed),
            (Some(0), "jwt", assumed),
            (Some(i64::MAX), "issuer", assumed),
            (Some(T), "garbage", assumed),
            (Some(T), "", assumed),
        ] {
            assert_eq!(Expiry::stored(at, source, T), expected, "{at:?} {source}");
        }
    }

    #[test]
    fn expiry_source_round_trips_as_its_pinned_word() {
        for (source, word) in [
            (ExpirySource::Issuer, "issuer"),
            (ExpirySource::Jwt, "jwt"),
            (ExpirySource::Assumed, "assumed"),
            (ExpirySource::None, "none"),
        ] {
            assert_eq!((source.as_str(), word.parse()), (word, Ok(source)));
        }
    }
}
