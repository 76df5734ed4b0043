//! The text of JSON-RPC 2.0: envelopes, replies, error objects, text frames, and the limits that every room respects.
//!
//! The room may not use any other room of the crate. Everything in it is a pure function or a plain value. It must not
//! contain streams, tasks, locks or method tables.

mod envelope;
mod error;
mod frame;
mod limits;
mod reply;

pub use envelope::{Element, Id, Message, Request, parse, parse_element};
pub use error::{
    DataField, DataKind, ENGINE_ERRORS, ErrorEntry, INTERNAL, INVALID_PARAMS, INVALID_REQUEST,
    MESSAGE_TOO_LARGE, METHOD_NOT_FOUND, NOT_SUPPORTED, PARSE_ERROR, RpcError, SERVER_BUSY, SHUTTING_DOWN,
    TOO_MANY_SUBSCRIPTIONS, UNKNOWN,
};
pub(crate) use frame::put_text_frame;
pub use limits::Limits;
pub(crate) use reply::{RESULT_HEAD, error_reply, finish_result};
