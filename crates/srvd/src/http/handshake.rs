//! The check of a WebSocket handshake (RFC 6455, section 4.2.1).

use hyper::StatusCode;
use hyper::header::{CONNECTION, HeaderMap, HeaderName, UPGRADE};

use super::access::{AccessRefusal, Route, refuse};
use super::headers::{list, only};
use super::token::offered;

const VERSION: HeaderName = HeaderName::from_static("sec-websocket-version");
const KEY: HeaderName = HeaderName::from_static("sec-websocket-key");
const SUBPROTOCOL: &str = "srvd.v1";

/// Returns the route of a correct handshake.
pub(super) fn handshake(headers: &HeaderMap) -> Result<Route, AccessRefusal> {
    let upgrades = list(headers, &UPGRADE).any(|value| value.eq_ignore_ascii_case("websocket"))
        && list(headers, &CONNECTION).any(|value| value.eq_ignore_ascii_case("upgrade"));
    if !upgrades || only(headers, &VERSION) != Some("13") {
        return refuse(StatusCode::UPGRADE_REQUIRED, "not a WebSocket handshake of version 13");
    }
    let Some(key) = only(headers, &KEY).filter(|key| is_nonce(key)) else {
        return refuse(StatusCode::BAD_REQUEST, "Sec-WebSocket-Key");
    };
    let subprotocol = offered(headers).any(|name| name == SUBPROTOCOL);
    Ok(Route::Socket { accept: rpc_engine::accept_key(key.as_bytes()), subprotocol })
}

/// Returns whether the key is 16 bytes in base64.
fn is_nonce(key: &str) -> bool {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(key).is_ok_and(|bytes| bytes.len() == 16)
}
