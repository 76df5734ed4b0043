//! Every limit of the engine, in one value that the caller passes.

use std::time::Duration;

/// The resources that one connection may use. Each field names the consequence of exceeding it. A value exactly at the
/// limit is accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one inbound message (and of a POST body): error `message_too_large`, then close 1009. Default 1 MiB.
    pub message_bytes: usize,
    /// Bytes of one inbound frame's payload: as `message_bytes`. Default 1 MiB.
    pub frame_bytes: usize,
    /// Frames that one message may be cut into: close 1008. Default 1024.
    pub frames_per_message: u32,
    /// Messages in each of the two outbound queues of a connection. Events beyond it become one `lagged`
    /// notification; replies beyond it pause the reading of requests. Default 1024.
    pub outbound_messages: usize,
    /// Bytes in each of the two outbound queues, as `outbound_messages`. Default 4 MiB.
    pub outbound_bytes: usize,
    /// Unfinished calls of one connection (or one POST): error `server_busy` for the call. Default 32.
    pub in_flight: usize,
    /// Unfinished calls of the whole engine: error `server_busy` for the call. Default 256.
    pub in_flight_total: usize,
    /// Requests in one batch: error `invalid_request`. Default 50.
    pub batch: usize,
    /// Nesting of one request, its own object included: error `invalid_request`. A nesting of 128 or more is always
    /// `parse_error`, whatever this limit is. Default 64.
    pub json_depth: usize,
    /// Bytes of an id as written, quotes included: error `invalid_request`. Default 256.
    pub id_bytes: usize,
    /// Live subscriptions of one connection: error `too_many_subscriptions`. Default 64.
    pub subscriptions: usize,
    /// Topics of one subscription: error `invalid_params`. Default 32.
    pub topics: usize,
    /// Bytes of one topic: error `invalid_params`. Default 200.
    pub topic_bytes: usize,
    /// Silence after which a connection is pinged, and the interval of further pings. Default 20 s.
    pub ping_every: Duration,
    /// Longest time without a frame from the client: close 4008. Default 45 s.
    pub idle: Duration,
    /// Longest time that one flush may take: close 4013. Default 10 s.
    pub write_timeout: Duration,
    /// Longest time that a closing connection may take for its close frame before it is dropped. Default 1 s.
    pub close_wait: Duration,
    /// Messages taken from one connection before other connections get their turn. Default 32.
    pub requests_per_turn: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes: 1 << 20,
            frame_bytes: 1 << 20,
            frames_per_message: 1024,
            outbound_messages: 1024,
            outbound_bytes: 4 << 20,
            in_flight: 32,
            in_flight_total: 256,
            batch: 50,
            json_depth: 64,
            id_bytes: 256,
            subscriptions: 64,
            topics: 32,
            topic_bytes: 200,
            ping_every: Duration::from_secs(20),
            idle: Duration::from_secs(45),
            write_timeout: Duration::from_secs(10),
            close_wait: Duration::from_secs(1),
            requests_per_turn: 32,
        }
    }
}
