//! Conversion of real issuer responses to the form defined in RFC 6749, so that one parser can read all of them.
//!
//! GitHub sends errors with status 200, and forms unless asked for JSON. `OpenAI` wraps the error in an object. Proxies
//! send HTML with any status. The conversion performs no I/O.

use std::time::Duration;

use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::{Map, Value};

use super::http::{HttpFailure, Received};

/// The maximum length of an issuer's error text used for classification, in characters.
const TEXT: usize = 512;

/// A response in the form defined by the protocol.
pub(super) struct Tidy {
    /// Status 200 with the fields of a grant, or 400 with `error` and `error_description`; always JSON.
    pub(super) response: Response<Vec<u8>>,
    /// The polling interval requested by the issuer for a device login.
    pub(super) interval: Option<Duration>,
}

/// Converts a response, based on its status and body together.
///
/// # Errors
/// [`HttpFailure::Unavailable`] for 408, 429 and 5xx; [`HttpFailure::Malformed`] for a response that violates the
/// protocol.
pub(super) fn tidy(received: &Received) -> Result<Tidy, HttpFailure> {
    let status = received.status.as_u16();
    if matches!(status, 408 | 429 | 500..) {
        return Err(HttpFailure::Unavailable { status, retry_after: received.retry_after });
    }
    let malformed = HttpFailure::Malformed(status);
    let mut fields = fields(received).ok_or(malformed.clone())?;
    let interval = fields.get("interval").and_then(whole).map(Duration::from_secs);
    let (status, fields) = match error(&fields) {
        Some(error) => (StatusCode::BAD_REQUEST, error),
        None if received.status.is_success() => {
            fields.retain(|_, value| !value.is_null());
            (StatusCode::OK, fields)
        }
        None => return Err(malformed),
    };
    let body = serde_json::to_vec(&fields).map_err(|_| malformed)?;
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(Tidy { response, interval })
}

/// Reads a JSON object of any media type, or a form with its own media type only.
fn fields(received: &Received) -> Option<Map<String, Value>> {
    if let Ok(fields) = serde_json::from_slice(&received.body) {
        return Some(fields);
    }
    let form = received.media == "application/x-www-form-urlencoded";
    let pair = |(name, value): (std::borrow::Cow<'_, str>, std::borrow::Cow<'_, str>)| {
        (name.into_owned(), Value::String(value.into_owned()))
    };
    form.then(|| url::form_urlencoded::parse(&received.body).map(pair).collect())
}

/// Returns the error in a response: `{"error": "code", ...}`, or an object with `code` and `message` as `error`.
fn error(fields: &Map<String, Value>) -> Option<Map<String, Value>> {
    let (code, text) = match fields.get("error")? {
        Value::String(code) => (code.as_str(), fields.get("error_description")),
        Value::Object(inner) => {
            let code = inner.get("code").or(inner.get("type")).and_then(Value::as_str).unwrap_or_default();
            (code, inner.get("message"))
        }
        _ => return None,
    };
    // An empty error does not count: some issuers always send the field.
    if code.is_empty() && fields.contains_key("access_token") {
        return None;
    }
    let text: String = text.and_then(Value::as_str).unwrap_or_default().chars().take(TEXT).collect();
    let pairs = [("error", code.chars().take(TEXT).collect()), ("error_description", text)];
    Some(pairs.map(|(name, value): (&str, String)| (name.to_owned(), value.into())).into_iter().collect())
}

/// Reads a non-negative whole number, given as a number (possibly with a zero fraction) or as text.
pub(super) fn whole(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => {
            number.as_u64().or_else(|| number.to_string().strip_suffix(".0")?.parse().ok())
        }
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// Completes the response to the start of a device login. A missing or unusable lifetime becomes one hour, which is as
/// long as any forge allows. Numbers written as text become numbers.
pub(super) fn device(mut tidy: Tidy) -> Result<Response<Vec<u8>>, HttpFailure> {
    if tidy.response.status() != StatusCode::OK {
        return Ok(tidy.response);
    }
    let malformed = |_| HttpFailure::Malformed(200);
    let mut fields: Map<String, Value> = serde_json::from_slice(tidy.response.body()).map_err(malformed)?;
    for (name, default) in [("expires_in", 3600), ("interval", 5)] {
        let number = fields.get(name).and_then(whole).filter(|number| *number > 0).unwrap_or(default);
        fields.insert(name.to_owned(), number.into());
    }
    *tidy.response.body_mut() = serde_json::to_vec(&fields).map_err(malformed)?;
    Ok(tidy.response)
}
