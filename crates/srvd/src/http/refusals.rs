//! Counts of refused connections and requests. Each kind is logged at most once a second, so that a flood of them does
//! not fill the log.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use hyper::header::{HOST, HeaderName, ORIGIN};
use hyper::http::request::Parts;

use super::access::AccessRefusal;

/// The shortest time between two log lines of one kind.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest part of a refused header that is logged, in characters.
const SHOWN: usize = 200;

/// The kind of a connection that found no place.
pub(super) const NO_PLACE: &str = "connections";
/// The kind of a connection that was closed before its head was complete, for a newer one.
pub(super) const UNFINISHED: &str = "unfinished connections";
/// The kind of a connection of another user.
pub(super) const OTHER_USER: &str = "another user";

/// The refusals since the start, by kind.
#[derive(Debug, Default)]
pub(crate) struct Refusals(Mutex<BTreeMap<&'static str, Kind>>);

#[derive(Debug, Default)]
struct Kind {
    total: u64,
    logged: Option<Instant>,
    /// Refusals since the last line of the log.
    since: u64,
}

impl Refusals {
    /// Counts a refusal. Returns the number of refusals since the last line if another line is due.
    fn count(&self, kind: &'static str, now: Instant) -> Option<u64> {
        let mut kinds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let kind = kinds.entry(kind).or_default();
        kind.total += 1;
        kind.since += 1;
        if kind.logged.is_some_and(|logged| now < logged + PAUSE) {
            return None;
        }
        kind.logged = Some(now);
        Some(std::mem::take(&mut kind.since))
    }

    /// Returns the number of refusals of each kind since the start.
    pub(super) fn totals(&self) -> Vec<(&'static str, u64)> {
        let kinds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kinds.iter().map(|(kind, counted)| (*kind, counted.total)).collect()
    }

    /// Counts and logs a connection that was rejected before its request was read, or for want of a place.
    pub(super) fn connection(&self, kind: &'static str, limit: Option<usize>) {
        let Some(count) = self.count(kind, Instant::now()) else { return };
        match limit {
            Some(limit) if kind == NO_PLACE => tracing::warn!(
                count,
                limit,
                setting = "listen.connections",
                "a client was turned away because too many connections are open"
            ),
            _ => tracing::warn!(count, reason = kind, "a connection was closed"),
        }
    }

    /// Counts and logs a request that the checks refused, with the value that would have to be allowed.
    pub(super) fn request(&self, head: &Parts, refusal: AccessRefusal) {
        let Some(count) = self.count(refusal.reason, Instant::now()) else { return };
        let (status, reason) = (refusal.status.as_u16(), refusal.reason);
        let Some((header, setting)) = allowed_by(reason) else {
            return tracing::warn!(status, reason, count, "a request was rejected");
        };
        tracing::warn!(
            status,
            reason,
            value = shown(head, &header),
            setting,
            count,
            "a request was rejected; to allow it, add the value to the setting in srvd.toml"
        );
    }
}

/// Returns the refused header, and the setting with the values that are allowed.
fn allowed_by(reason: &str) -> Option<(HeaderName, &'static str)> {
    match reason {
        "Host" => Some((HOST, "listen.hosts")),
        "Origin" => Some((ORIGIN, "listen.origins")),
        _ => None,
    }
}

fn shown(head: &Parts, header: &HeaderName) -> String {
    let values = head.headers.get_all(header).iter();
    let values = values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    values.collect::<Vec<_>>().join(", ").chars().take(SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_all_counted_and_logged_once_a_second_for_each_kind() {
        let refusals = Refusals::default();
        let start = Instant::now();
        assert_eq!(refusals.count("Host", start), Some(1));
        assert_eq!(refusals.count("Host", start + PAUSE / 2), None);
        assert_eq!(refusals.count("Origin", start + PAUSE / 2), Some(1));
        assert_eq!(refusals.count("Host", start + PAUSE), Some(2));
        assert_eq!(refusals.count("Host", start + PAUSE), None);
        assert_eq!(refusals.totals(), [("Host", 4), ("Origin", 1)]);
    }

    #[test]
    fn refused_value_is_shown_with_every_repetition_up_to_a_limit() {
        let long = "x".repeat(300);
        let request = hyper::Request::builder().header("origin", "https://a").header("origin", &long);
        let head = request.body(()).unwrap().into_parts().0;
        let text = shown(&head, &ORIGIN);
        assert!(text.starts_with("https://a, xxx"), "{text}");
        assert_eq!(text.len(), SHOWN);
        assert_eq!(shown(&head, &HOST), "");
    }
}
