//! Encoding of replies, directly to bytes.

use serde::Serialize;

use super::error::RpcError;

/// The start of a reply, up to the JSON of the result. [`finish_result`] adds the rest.
pub(crate) const RESULT_HEAD: &[u8] = br#"{"jsonrpc":"2.0","result":"#;

/// Completes a reply that starts with [`RESULT_HEAD`].
pub(crate) fn finish_result(mut reply: Vec<u8>, id: &str) -> Vec<u8> {
    reply.extend_from_slice(br#","id":"#);
    reply.extend_from_slice(id.as_bytes());
    reply.push(b'}');
    reply
}

/// Encodes an error reply. Without an id, the reply has a null id.
pub(crate) fn error_reply(error: &RpcError, id: Option<&str>) -> Vec<u8> {
    #[derive(Serialize)]
    struct Reply<'a> {
        jsonrpc: &'static str,
        error: &'a RpcError,
    }
    let mut reply = serde_json::to_vec(&Reply { jsonrpc: "2.0", error }).unwrap_or_else(|_| {
        // Encoding can fail only if the application's data is not valid JSON. The client still receives a complete
        // reply.
        br#"{"jsonrpc":"2.0","error":{"code":-32603,"message":"Internal error","data":{"kind":"internal"}}}"#
            .to_vec()
    });
    reply.pop();
    finish_result(reply, id.unwrap_or("null"))
}
