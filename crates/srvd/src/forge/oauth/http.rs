//! A single bounded HTTP exchange with an issuer. Its duration and the size of the response are limited, and redirects
//! are not followed. Bodies are never logged.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper::http::uri::Scheme;
use hyper::{Request, StatusCode, Uri};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use tokio::sync::OnceCell;

use crate::base::https;
use crate::config::forges::is_loopback_host;

/// The maximum duration of an exchange, from connecting to the last byte.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The maximum size of a response, in bytes. A token response is a few kilobytes.
const ANSWER_BYTES: usize = 64 * 1024;
/// The pause after a refusal that names none.
const USUAL_PAUSE: Duration = Duration::from_mins(1);
/// The longest delay that an issuer can request.
const LONGEST_PAUSE: Duration = Duration::from_hours(24);

/// The HTTP client for issuers. Certificates are loaded on the first exchange, and clones share them.
#[derive(Clone)]
pub(crate) struct Http {
    client: Arc<OnceCell<Client<HttpsConnector<https::Connector>, Full<Bytes>>>>,
    timeout: Duration,
    most: usize,
}

/// An issuer's response.
pub(crate) struct Received {
    /// The HTTP status.
    pub status: StatusCode,
    /// The media type without its parameters, in lower case; empty if there is none.
    pub media: String,
    /// The delay before the next attempt, if the issuer specifies one.
    pub retry_after: Option<Duration>,
    /// The header lines of the response.
    pub headers: HeaderMap,
    /// The body, up to the limit of the client.
    pub body: Bytes,
}

impl Received {
    /// Returns the time after which a forge that counts requests answers again; `None` if it did not refuse the request
    /// for that reason. GitHub uses 403 for that, too.
    pub(crate) fn rate_limited(&self, now: SystemTime) -> Option<Duration> {
        let header = |name: &str| self.headers.get(name).and_then(|value| value.to_str().ok());
        let spent =
            ["x-ratelimit-remaining", "ratelimit-remaining"].iter().any(|name| header(name) == Some("0"));
        let limited = match self.status.as_u16() {
            429 => true,
            403 => spent || self.retry_after.is_some() || mentions_limit(&self.body),
            _ => false,
        };
        let reset =
            ["x-ratelimit-reset", "ratelimit-reset"].iter().find_map(|name| header(name)?.parse().ok());
        let until = |at: u64| {
            let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            Duration::from_secs(at).saturating_sub(now).min(LONGEST_PAUSE)
        };
        limited.then(|| self.retry_after.or(reset.map(until)).unwrap_or(USUAL_PAUSE))
    }
}

/// Returns whether a refusal of GitHub's says that a limit was reached.
fn mentions_limit(body: &[u8]) -> bool {
    let text = String::from_utf8_lossy(body);
    text.contains("rate limit") || text.contains("abuse detection")
}

/// The reason why there is no usable response. The texts contain no part of a request or response.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HttpFailure {
    /// Plain HTTP to another machine is not allowed, so nothing was sent.
    #[error("plain http is not allowed for this URL")]
    Insecure,
    /// The connection failed or was interrupted. The text contains the cause.
    #[error("the request failed: {0}")]
    Unreachable(String),
    /// The response was not complete in time.
    #[error("the request timed out")]
    TimedOut,
    /// The response is larger than any token response.
    #[error("the response is too large")]
    TooLong,
    /// The response is not what the protocol requires, such as HTML, a redirect or malformed JSON.
    #[error("the response is not valid (HTTP status {0})")]
    Malformed(u16),
    /// The issuer is temporarily unavailable (408, 429, 5xx).
    #[error("HTTP status {status}")]
    Unavailable {
        /// The HTTP status.
        status: u16,
        /// The delay before the next attempt, if the issuer specifies one.
        retry_after: Option<Duration>,
    },
}

impl Default for Http {
    fn default() -> Self {
        Self::new(TIMEOUT)
    }
}

impl Http {
    /// Creates a client with this limit on the duration of an exchange.
    pub(crate) fn new(timeout: Duration) -> Self {
        Self { client: Arc::default(), timeout, most: ANSWER_BYTES }
    }

    /// Creates a client for responses up to this size.
    pub(crate) fn reading(most: usize, timeout: Duration) -> Self {
        Self { most, ..Self::new(timeout) }
    }

    /// Sends a request once and reads the whole response, whatever its status. Plain `http` is allowed only for
    /// loopback addresses, unless `plain` is set.
    ///
    /// # Errors
    /// An [`HttpFailure`]: insecure, unreachable, timed out or too large.
    pub(crate) async fn send(&self, request: Request<Vec<u8>>, plain: bool) -> Result<Received, HttpFailure> {
        if !plain && !is_safe(request.uri()) {
            return Err(HttpFailure::Insecure);
        }
        let (mut head, body) = request.into_parts();
        head.headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        head.headers
            .insert(USER_AGENT, HeaderValue::from_static(concat!("srvd/", env!("CARGO_PKG_VERSION"))));
        for value in head.headers.values_mut() {
            value.set_sensitive(true);
        }
        let request = Request::from_parts(head, Full::new(Bytes::from(body)));
        match tokio::time::timeout(self.timeout, self.exchange(request)).await {
            Ok(received) => received,
            Err(_) => Err(HttpFailure::TimedOut),
        }
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Received, HttpFailure> {
        let client = self.client.get_or_try_init(|| async { https::client() }).await.map_err(|error| {
            HttpFailure::Unreachable(format!("the certificate authorities could not be loaded: {error}"))
        })?;
        let unreachable = |error: &dyn std::error::Error| HttpFailure::Unreachable(https::reason(error));
        let answer = client.request(request).await.map_err(|error| unreachable(&error))?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, self.most).collect().await.map_err(|error| {
            if error.is::<LengthLimitError>() { HttpFailure::TooLong } else { unreachable(&*error) }
        })?;
        Ok(Received {
            status: head.status,
            media: media(&head.headers),
            retry_after: retry_after(&head.headers, SystemTime::now()),
            headers: head.headers,
            body: body.to_bytes(),
        })
    }
}

fn is_safe(uri: &Uri) -> bool {
    uri.scheme() == Some(&Scheme::HTTPS) || uri.host().is_some_and(is_loopback_host)
}

fn media(headers: &HeaderMap) -> String {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Parses `Retry-After` (RFC 9110, 10.2.3), which is either seconds or a date.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let pause = match value.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => httpdate::parse_http_date(value).ok()?.duration_since(now).unwrap_or_default(),
    };
    Some(pause.min(LONGEST_PAUSE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_read_as_seconds_or_date_and_is_bounded() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let check = |value: &'static str, expect: Option<u64>| {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(value))]);
            assert_eq!(retry_after(&headers, now), expect.map(Duration::from_secs), "{value}");
        };
        check("120", Some(120));
        check(" 0 ", Some(0));
        check("99999999999", Some(86_400));
        check("Sun, 06 Nov 1994 08:50:37 GMT", Some(60));
        check("Sun, 06 Nov 1994 08:00:00 GMT", Some(0));
        check("-5", None);
        check("soon", None);
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }

    #[test]
    fn rate_limit_is_told_from_a_missing_right() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        let check = |status: u16,
                     headers: &[(&'static str, &'static str)],
                     body: &'static str,
                     expect: Option<u64>| {
            let named = headers.iter().map(|(name, value)| {
                (hyper::header::HeaderName::from_static(name), HeaderValue::from_static(value))
            });
            let headers = named.collect::<HeaderMap>();
            let received = Received {
                status: StatusCode::from_u16(status).unwrap(),
                media: String::new(),
                retry_after: retry_after(&headers, now),
                headers,
                body: Bytes::from_static(body.as_bytes()),
            };
            assert_eq!(received.rate_limited(now), expect.map(Duration::from_secs), "{status} {body}");
        };
        check(429, &[], "", Some(60));
        check(429, &[("retry-after", "7")], "", Some(7));
        check(403, &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1030")], "", Some(30));
        check(429, &[("ratelimit-remaining", "0"), ("ratelimit-reset", "900")], "", Some(0));
        check(403, &[], r#"{"message":"You have exceeded a secondary rate limit"}"#, Some(60));
        check(403, &[("x-ratelimit-remaining", "12")], r#"{"message":"Must have admin rights"}"#, None);
        check(200, &[("x-ratelimit-remaining", "0")], "", None);
    }

    #[tokio::test]
    async fn plain_http_reaches_loopback_only() {
        let check =
            |uri: &'static str, expect: bool| assert_eq!(is_safe(&Uri::from_static(uri)), expect, "{uri}");
        check("https://forge.example/x", true);
        check("http://127.0.0.1:80/x", true);
        check("http://127.8.9.1/x", true);
        check("http://[::1]/x", true);
        check("http://localhost:3000/x", true);
        check("http://forge.example/x", false);
        check("http://127.0.0.1.forge.example/x", false);
        check("http://localhost.forge.example/x", false);
        let request = Request::builder().uri("http://forge.example/token").body(Vec::new()).unwrap();
        assert_eq!(Http::default().send(request, false).await.err(), Some(HttpFailure::Insecure));
    }
}
