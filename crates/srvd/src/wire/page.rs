//! Pages of lists: the size of a page, and the opaque cursor to the next one.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::error::ApiError;

/// The maximum size of a page.
pub(crate) const LARGEST: u32 = 1000;

/// Checks the size of a page.
///
/// # Errors
/// `invalid_input` if it is zero or too large.
pub(crate) fn size(limit: u32) -> Result<u32, ApiError> {
    if (1..=LARGEST).contains(&limit) {
        return Ok(limit);
    }
    Err(ApiError::invalid_input("limit", format!("must be from 1 to {LARGEST}")))
}

/// Returns the cursor for a position. `order` is the order in which the position was reached.
pub(crate) fn cursor(order: &str, position: &[&str]) -> String {
    let parts = [&[order], position].concat();
    URL_SAFE_NO_PAD.encode(serde_json::Value::from(parts).to_string())
}

/// Returns the position of a cursor, which must be of the same order.
///
/// # Errors
/// `invalid_input` for a text that is no cursor, or that was made for another order.
pub(crate) fn position<const PARTS: usize>(cursor: &str, order: &str) -> Result<[String; PARTS], ApiError> {
    let invalid = || ApiError::invalid_input("cursor", "is not a cursor of this list in this order");
    let text = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| invalid())?;
    let mut parts: Vec<String> = serde_json::from_slice(&text).map_err(|_| invalid())?;
    if parts.len() != PARTS + 1 || parts.remove(0) != order {
        return Err(invalid());
    }
    parts.try_into().map_err(|_| invalid())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursor_leads_back_to_its_position_only_in_its_own_order() {
        let made = cursor("name", &["Ärger", "a1"]);
        assert_eq!(position::<2>(&made, "name").unwrap(), ["Ärger", "a1"]);
        for (text, order) in [(made.as_str(), "status"), ("", "name"), ("%", "name"), ("W10", "name")] {
            assert!(position::<2>(text, order).is_err(), "{text} {order}");
        }
        assert!(position::<1>(&made, "name").is_err());
        assert!(size(0).is_err() && size(1).is_ok() && size(1000).is_ok() && size(1001).is_err());
    }
}
