//! Reads expiry times in the formats that CLIs use.

use base64::Engine;
use serde_json::Value;

use crate::registry::ExpiryUnit;

/// The largest distance from 1970 that counts as a time, in milliseconds. A double can represent every whole number up
/// to it.
const FURTHEST: f64 = 9e15;

/// Returns the expiry in Unix milliseconds. Returns `None` (unknown) for a value that is not a time, and for zero,
/// which several CLIs use to mean "never".
pub(super) fn read(value: &Value, unit: ExpiryUnit) -> Option<i64> {
    let time = match unit {
        // A CLI may change its way to write a time. Every way is unambiguous.
        ExpiryUnit::Ms => number(value, 1).or_else(|| date(value)),
        ExpiryUnit::S | ExpiryUnit::FloatS => number(value, 1000).or_else(|| date(value)),
        ExpiryUnit::Rfc3339 => date(value).or_else(|| guessed(value)),
        ExpiryUnit::JwtExp => number(claims(value.as_str()?)?.get("exp")?, 1000),
        ExpiryUnit::JwtIat => number(claims(value.as_str()?)?.get("iat")?, 1000),
    };
    time.filter(|time| *time != 0)
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

    #[test]
    fn expiry_is_read_from_integer_float_text_and_date() {
        let end = 1_893_456_000_000;
        for (value, unit, expected) in [
            (json!(1_893_456_000_000_i64), ExpiryUnit::Ms, Some(end)),
            (json!(1_893_456_000_000.5), ExpiryUnit::Ms, Some(end + 1)),
            (json!("2030-01-01T00:00:00Z"), ExpiryUnit::Ms, Some(end)),
            (json!("2030-01-01T00:00:00.000Z"), ExpiryUnit::S, Some(end)),
            (json!(1_893_456_000), ExpiryUnit::Rfc3339, Some(end)),
            (json!("1893456000000"), ExpiryUnit::Rfc3339, Some(end)),
            (json!("1893456000000"), ExpiryUnit::Ms, Some(end)),
            (json!(1_893_456_000), ExpiryUnit::S, Some(end)),
            (json!(1_893_456_000.75), ExpiryUnit::S, Some(end + 750)),
            (json!("1893456000.75"), ExpiryUnit::S, Some(end + 750)),
            (json!(1_893_456_000), ExpiryUnit::FloatS, Some(end)),
            (json!("2030-01-01T00:00:00Z"), ExpiryUnit::Rfc3339, Some(end)),
            (json!("2030-01-01T02:00:00.250+02:00"), ExpiryUnit::Rfc3339, Some(end + 250)),
            (json!("2030-01-01t00:00:00.123456789z"), ExpiryUnit::Rfc3339, Some(end + 123)),
            (json!(-1), ExpiryUnit::Ms, Some(-1)),
        ] {
            assert_eq!(read(&value, unit), expected, "{value} as {unit:?}");
        }
    }

    #[test]
    fn expiry_is_unknown_when_the_value_is_not_a_time() {
        let numbers = [ExpiryUnit::Ms, ExpiryUnit::S, ExpiryUnit::FloatS];
        for value in [
            json!(0),
            json!("0"),
            json!(null),
            json!("soon"),
            json!(""),
            json!("inf"),
            json!("NaN"),
            json!(1e300),
        ] {
            for unit in numbers {
                assert_eq!(read(&value, unit), None, "{value} as {unit:?}");
            }
        }
        assert_eq!(read(&json!(i64::MAX), ExpiryUnit::S), None);
        for text in ["2030-01-01", "2030-13-01T00:00:00Z", "2030-01-01T00:00:00", "a.b.c"] {
            assert_eq!(read(&json!(text), ExpiryUnit::Rfc3339), None, "{text}");
            assert_eq!(read(&json!(text), ExpiryUnit::JwtExp), None, "{text}");
        }
        assert_eq!(read(&json!("1893456000"), ExpiryUnit::JwtExp), None);
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
        fn expiry_is_the_same_for_text_and_number(time in 1..4_000_000_000_000_i64) {
            prop_assert_eq!(read(&json!(time), ExpiryUnit::Ms), Some(time));
            prop_assert_eq!(read(&json!(time.to_string()), ExpiryUnit::Ms), Some(time));
        }
    }
}
