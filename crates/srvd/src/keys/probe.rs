//! Checks an API key with its provider, using the small HTTP request described in the registry.

use std::time::Duration;

use auth_spawner::{KeyService, Probe};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::header::{ACCEPT, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Method, Request};
use secrecy::{ExposeSecret, SecretString};

use crate::base::https;

/// The maximum time for a provider to answer.
const TIMEOUT: Duration = Duration::from_secs(15);
/// The maximum number of response bytes that are read. The response is read so that the connection can be closed
/// properly.
const ANSWER_BYTES: usize = 1024 * 1024;

/// The result of the check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ProbeAnswer {
    /// The provider accepts the key.
    Accepted,
    /// The provider rejects the key.
    Rejected {
        /// The HTTP status.
        status: u16,
    },
    /// The provider could not be asked, or its response was inconclusive.
    Unknown {
        /// The human-readable reason.
        reason: String,
    },
}

/// Sends the probe once and judges the status of the response. Redirects are not followed, so that a key is sent only
/// to the provider's own host.
pub(crate) async fn ask(service: &KeyService, probe: &Probe, key: &SecretString) -> ProbeAnswer {
    let request = match request(service, probe, key) {
        Ok(request) => request,
        Err(reason) => return ProbeAnswer::Unknown { reason },
    };
    let host = request.uri().authority().map(ToString::to_string).unwrap_or_default();
    match tokio::time::timeout(TIMEOUT, send(request)).await {
        Err(_) => ProbeAnswer::Unknown { reason: format!("{host} did not respond in time") },
        Ok(Err(reason)) => ProbeAnswer::Unknown { reason: format!("the request to {host} failed: {reason}") },
        Ok(Ok(status)) if probe.accepted.contains(&status) => ProbeAnswer::Accepted,
        Ok(Ok(status)) if probe.rejected.contains(&status) => ProbeAnswer::Rejected { status },
        Ok(Ok(status)) => ProbeAnswer::Unknown { reason: format!("{host} returned HTTP status {status}") },
    }
}

fn request(service: &KeyService, probe: &Probe, key: &SecretString) -> Result<Request<Empty<Bytes>>, String> {
    let uri = format!("{}{}", service.base_url.trim_end_matches('/'), probe.path);
    let method = Method::from_bytes(probe.method.as_bytes())
        .map_err(|_| "the HTTP method in the registry is not valid")?;
    let mut request = Request::builder()
        .method(method)
        .uri(uri)
        .header(USER_AGENT, concat!("srvd/", env!("CARGO_PKG_VERSION")))
        .header(ACCEPT, "application/json")
        .body(Empty::new())
        .map_err(|_| "the URL in the registry is not valid")?;
    for (name, template) in &probe.headers {
        let name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| "a header name in the registry is not valid")?;
        let text = template.replace("{key}", key.expose_secret());
        let mut value = HeaderValue::from_str(&text)
            .map_err(|_| "the key contains characters that are not allowed in a header")?;
        value.set_sensitive(true);
        request.headers_mut().insert(name, value);
    }
    Ok(request)
}

async fn send(request: Request<Empty<Bytes>>) -> Result<u16, String> {
    // The certificates are loaded for each probe. Probes are rare, and an idle daemon does not need to hold the
    // certificates.
    let client = https::client()
        .map_err(|error| format!("the certificate authorities could not be loaded: {error}"))?;
    let answer = client.request(request).await.map_err(|error| https::reason(&error))?;
    let status = answer.status().as_u16();
    // Only the status matters. A truncated body does not change it.
    let _ = Limited::new(answer.into_body(), ANSWER_BYTES).collect().await;
    Ok(status)
}
