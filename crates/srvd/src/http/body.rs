//! The body of a request, with its limits.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use hyper::StatusCode;
use hyper::body::Incoming;
use rpc_engine::RpcError;

use super::respond::{self, HttpResponse};

/// The maximum size of a POST body, in bytes.
const BODY_BYTES: usize = 1024 * 1024;
/// The maximum time for a client to send the body.
const BODY_TIME: Duration = Duration::from_secs(10);

/// Reads the body of a request, or returns the response if it is too large or too slow.
pub(super) async fn read_body(body: Incoming) -> Result<Bytes, HttpResponse> {
    match tokio::time::timeout(BODY_TIME, Limited::new(body, BODY_BYTES).collect()).await {
        Err(_) => Err(respond::json(StatusCode::REQUEST_TIMEOUT, r#"{"error":"Request Timeout"}"#)),
        Ok(Err(_)) => Err(respond::json(StatusCode::PAYLOAD_TOO_LARGE, too_large())),
        Ok(Ok(body)) => Ok(body.to_bytes()),
    }
}

/// Returns the engine's error for a message that is too large. Its id is null because the message was not read.
fn too_large() -> String {
    serde_json::json!({"jsonrpc": "2.0", "error": RpcError::message_too_large(), "id": null}).to_string()
}
