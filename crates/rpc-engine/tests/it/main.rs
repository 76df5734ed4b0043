//! Tests of the engine over real connections: raw frames and raw JSON through an in-memory stream.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a failing test helper should fail the test")]

mod client;
mod drain;
mod events;
mod jsonrpc;
mod limits;
mod logs;
mod support;
mod websocket;
mod wire;
