//! Values of request headers, and their comparison with what is served.

use hyper::header::{HeaderMap, HeaderName, HeaderValue};

/// Returns the header's value as text if the header occurs exactly once.
pub(super) fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    if values.next().is_some() {
        return None;
    }
    value.to_str().ok()
}

/// Returns the elements of a comma-separated header.
pub(super) fn list<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> + use<'a> {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| HeaderValue::to_str(value).ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
}

/// Returns whether a `Host` refers to this machine and the listener's port.
pub(super) fn is_loopback(host: &str, port: u16) -> bool {
    host.rsplit_once(':').is_some_and(|(name, digits)| {
        let is_name = |known: &&str| name.eq_ignore_ascii_case(known);
        ["127.0.0.1", "localhost", "[::1]"].iter().any(is_name) && digits == port.to_string()
    })
}
