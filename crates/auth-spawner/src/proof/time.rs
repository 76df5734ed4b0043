//! Reads expiry times in the formats that CLIs use.

use base64::Engine;
use serde_json::Value;

use crate::registry::ExpiryUnit;

/// The largest distance from 1970 that counts as a time, in milliseconds. A double can represent every whole number up
/// to it.
const FURTHEST: f64 = 9e15;

/// The latest time that a provider can mean as an end, the end of the year 9999, in Unix milliseconds.
const LATEST: i64 = 253_402_300_799_999;

/// An end time in a credential file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The end, in Unix milliseconds.
    At(i64),
    /// There is no end.
    Never,
    /// The value is no time that a provider can mean.
    Odd,
}

/// Reads an end. Zero means "never" to several CLIs. A CLI may change its way to write a time: a number of seconds or
/// milliseconds, also with a fraction or as text, or a date. Every way is unambiguous, so the unit only says where the
/// value is. A small number, which some users write in order to make a CLI renew its login, is a time long ago.
pub(super) fn read(value: &Value, unit: ExpiryUnit) -> End {
    let time = match unit {
        ExpiryUnit::Ms | ExpiryUnit::S | ExpiryUnit::FloatS | ExpiryUnit::Rfc3339 => {
            date(value).or_else(|| guessed(value))
        }
        ExpiryUnit::JwtExp => in_claims(value, "exp"),
        ExpiryUnit::JwtIat => in_claims(value, "iat"),
    };
    match time {
        Some(0) => End::Never,
        Some(time) if (1..=LATEST).contains(&time) => End::At(time),
        _ => End::Odd,
    }
}

/// Returns a time, in seconds, from the claims of a JSON Web Token.
fn in_claims(value: &Value, name: &str) -> Option<i64> {
    guessed(claims(value.as_str()?)?.get(name)?)
}

/// Returns a date and time as text.
fn date(value: &Value) -> Option<i64> {
    Some(chrono::DateTime::parse_from_rfc3339(value.as_str()?.trim()).ok()?.timestamp_millis())
}

/// Returns a number of seconds, or of milliseconds if it would be a time after the year 5000 otherwise.
fn guessed(value: &Value) -> Option<i64> {
    const LATEST_SECOND: i64 = 100_000_000_000;
    let seconds = number(value, 1)?;
    if seconds.abs() < LATEST_SECOND { number(value, 1000) } else { Some(seconds) }
}

/// Returns a number, or a number written as text, times `scale`.
fn number(value: &Value, scale: i32) -> Option<i64> {
    let whole = value.as_i64().or_else(|| value.as_str()?.parse().ok());
    if let Some(whole) = whole {
        return whole.checked_mul(scale.into());
    }
    let fraction = value.as_f64().or_else(|| value.as_str()?.parse().ok())?;
    rounded(fraction * f64::from(scale))
}

#[expect(clippy::cast_possible_truncation, reason = "the range is checked before the cast")]
fn rounded(milliseconds: f64) -> Option<i64> {
    (milliseconds.abs() <= FURTHEST).then(|| milliseconds.round() as i64)
}

/// Returns the claims of a JSON Web Token. Its signature is not checked; that is the provider's job.
pub(super) fn claims(token: &str) -> Option<Value> {
    let mut parts = token.split('.');
    let (_, payload, _) = (parts.next()?, parts.next()?, parts.next()?);
    let bytes =
        base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
    serde_json::from_slice(&bytes).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const NUMBERS: [ExpiryUnit; 3] = [ExpiryUnit::Ms, ExpiryUnit::S, ExpiryUnit::FloatS];

    #[test]
    fn expiry_is_read_from_integer_float_text_and_date_whatever_its_unit() {
        let end = 1_893_456_000_000;
        for unit in NUMBERS.into_iter().chain([ExpiryUnit::Rfc3339]) {
            for (value, expected) in [
                (json!(1_893_456_000_000_i64), end),
                (json!(1_893_456_000_000.5), end + 1),
                (json!("1893456000000"), end),
                (json!(1_893_456_000), end),
                (json!(1_893_456_000.75), end + 750),
                (json!("1893456000.75"), end + 750),
                (json!("2030-01-01T00:00:00Z"), end),
                (json!("2030-01-01T00:00:00.000Z"), end),
                (json!("2030-01-01T02:00:00.250+02:00"), end + 250),
                (json!("2030-01-01t00:00:00.123456789z"), end + 123),
            ] {
                assert_eq!(read(&value, unit), End::At(expected), "{value} as {unit:?}");
            }
            assert!(matches!(read(&json!(1), unit), End::At(1..=1000)), "{unit:?}");
            assert_eq!(read(&json!(0), unit), End::Never);
            assert_eq!(read(&json!("0"), unit), End::Never);
        }
    }

    #[test]
    fn expiry_is_odd_when_the_value_is_not_a_time() {
        for value in [
            json!(null),
            json!("soon"),
            json!(""),
            json!("inf"),
            json!("NaN"),
            json!(1e300),
            json!(-1),
            json!(i64::MAX),
            json!("2030-01-01"),
            json!("2030-13-01T00:00:00Z"),
            json!("2030-01-01T00:00:00"),
        ] {
            for unit in NUMBERS.into_iter().chain([ExpiryUnit::Rfc3339, ExpiryUnit::JwtExp]) {
                assert_eq!(read(&value, unit), End::Odd, "{value} as {unit:?}");
            }
        }
        for text in ["a.b.c", "1893456000"] {
            assert_eq!(read(&json!(text), ExpiryUnit::JwtExp), End::Odd, "{text}");
        }
    }

    proptest! {
        #[test]
        fn expiry_parsing_never_panics(text in ".{0,40}", float in proptest::num::f64::ANY, whole: i64) {
            for unit in [ExpiryUnit::Ms, ExpiryUnit::S, ExpiryUnit::FloatS, ExpiryUnit::Rfc3339, ExpiryUnit::JwtExp] {
                for value in [json!(text), json!(float), json!(whole), json!([whole])] {
                    read(&value, unit);
                }
            }
        }

        #[test]
        fn expiry_is_the_same_for_text_and_number(time in 1_000_000_000_000..4_000_000_000_000_i64) {
            prop_assert_eq!(read(&json!(time), ExpiryUnit::Ms), End::At(time));
            prop_assert_eq!(read(&json!(time.to_string()), ExpiryUnit::Ms), End::At(time));
        }
    }
}
