//! Parsing of times: the `exp` of a JWT, and RFC 3339.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

/// The longest payload that is parsed, in bytes of base64.
const MAX_PAYLOAD: usize = 64 * 1024;

#[derive(Deserialize)]
struct Claims {
    exp: Option<f64>,
}

/// Returns the `exp` of a JWT in unix milliseconds, if it has a usable one. The signature is not checked: the token
/// came from its issuer over TLS, and the time only decides when to ask for another token.
pub(super) fn exp(token: &SecretString) -> Option<i64> {
    let mut parts = token.expose_secret().split('.');
    let (_, payload, _, None) = (parts.next()?, parts.next()?, parts.next()?, parts.next()) else {
        return None;
    };
    if payload.len() > MAX_PAYLOAD {
        return None;
    }
    let payload = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
    let millis = serde_json::from_slice::<Claims>(&payload).ok()?.exp? * 1000.0;
    // Below this limit every whole number is exact.
    let exact = (0.0..9_007_199_254_740_992.0).contains(&millis);
    #[expect(clippy::cast_possible_truncation, reason = "it is a whole number within bounds once it is cut")]
    exact.then_some(millis as i64)
}

/// Reads `2027-01-15T08:00:00[.fff](Z|+hh:mm|-hh:mm)` as unix milliseconds (RFC 3339, section 5.6).
pub(super) fn rfc3339(text: &str) -> Option<i64> {
    let (date, rest) = text.split_at_checked(10)?;
    let (time, rest) = rest.strip_prefix(['T', 't', ' '])?.split_at_checked(8)?;
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let [hour, minute, second] = numbers(time, ':', [2, 2, 2])?;
    let (millis, zone) = fraction(rest)?;
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let days_in_month = *days.get(usize::try_from(month - 1).ok()?)?;
    // A leap second is read as the second before it.
    if !(1..=days_in_month).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let seconds = days_from_civil(year, month, day) * 86400 + hour * 3600 + minute * 60 + second.min(59);
    Some((seconds - offset(zone)?) * 1000 + millis)
}

/// Parses numbers of fixed width with one character between them.
fn numbers<const N: usize>(text: &str, between: char, widths: [usize; N]) -> Option<[i64; N]> {
    let mut found = [0; N];
    let mut parts = text.split(between);
    for (number, width) in found.iter_mut().zip(widths) {
        let part = parts.next()?;
        if part.len() != width || !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        *number = part.parse().ok()?;
    }
    parts.next().is_none().then_some(found)
}

/// Returns the milliseconds of an optional fraction, and the text after it.
fn fraction(text: &str) -> Option<(i64, &str)> {
    let Some(rest) = text.strip_prefix('.') else { return Some((0, text)) };
    let end = rest.find(|c: char| !c.is_ascii_digit())?;
    let (digits, zone) = rest.split_at(end);
    let millis: String = digits.chars().chain("000".chars()).take(3).collect();
    (!digits.is_empty()).then_some(())?;
    Some((millis.parse().ok()?, zone))
}

/// Returns the number of seconds that a zone is ahead of UTC.
fn offset(zone: &str) -> Option<i64> {
    let (sign, rest) = match zone.chars().next()? {
        'Z' | 'z' if zone.len() == 1 => return Some(0),
        '+' => (1, &zone[1..]),
        '-' => (-1, &zone[1..]),
        _ => return None,
    };
    let [hours, minutes] = numbers(rest, ':', [2, 2])?;
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

/// Returns the days since 1970-01-01 in the Gregorian calendar. Years begin in March here, so that the leap day is the
/// last one.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(payload: &str) -> SecretString {
        format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(payload)).into()
    }

    #[test]
    fn exp_is_read_only_when_the_jwt_holds_a_valid_number() {
        for (payload, expected) in [
            (r#"{"exp":1800000000}"#, Some(1_800_000_000_000)),
            (r#"{"exp":1800000000.5,"sub":"x"}"#, Some(1_800_000_000_500)),
            (r#"{"exp":0}"#, Some(0)),
            (r#"{"exp":-1}"#, None),
            (r#"{"exp":1e300}"#, None),
            (r#"{"exp":"1800000000"}"#, None),
            (r#"{"exp":null}"#, None),
            ("{}", None),
            ("[]", None),
            ("", None),
        ] {
            assert_eq!(exp(&token(payload)), expected, "{payload}");
        }
        for text in ["", "a.b", "a.b.c.d", "e30.???.x", "e30.e30", "opaque"] {
            assert_eq!(exp(&text.into()), None, "{text}");
        }
    }

    #[test]
    fn rfc3339_parser_accepts_only_valid_utc_times() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2000-02-29T12:00:00Z", Some(951_825_600_000)),
            ("2027-01-15T08:00:60Z", Some(1_800_000_059_000)),
            ("2027-01-15 08:00:00.1Z", Some(1_800_000_000_100)),
            ("2027-01-15T08:00:00", None),
            ("2027-01-15T08:00:00.Z", None),
            ("2027-01-15T08:00:00+0200", None),
            ("2027-01-15T24:00:00Z", None),
            ("2027-1-15T08:00:00Z", None),
            ("2027-01-15T08:00:00Zé", None),
            ("2100-02-29T00:00:00Z", None),
            ("éééééééééééééééééééé", None),
        ] {
            assert_eq!(rfc3339(text), expected, "{text}");
        }
    }
}
