//! The engine's limits, collected in one struct.

use std::time::Duration;

/// The limits of the engine and of each connection. Each field documents what happens when it is exceeded. A value
/// exactly at the limit is accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The size of an inbound message or POST body, in bytes: error `message_too_large`, then close 1009. Default 1
    /// MiB.
    pub message_bytes: usize,
    /// The payload size of an inbound frame, in bytes: as for `message_bytes`. Default 1 MiB.
    pub frame_bytes: usize,
    /// The number of frames in a message: close 1008. Default 1024.
    pub frames_per_message: u32,
    /// The number of messages in each of a connection's two outbound queues. Excess events become one `lagged`
    /// notification; excess replies pause the reading of requests. Default 1024.
    pub outbound_messages: usize,
    /// The number of bytes in each of the two outbound queues: as for `outbound_messages`. Default 4 MiB.
    pub outbound_bytes: usize,
    /// Running calls per connection or POST: further calls wait. Default 32.
    pub in_flight: usize,
    /// Running calls in the whole engine: further calls wait. Default 256.
    pub in_flight_total: usize,
    /// Waiting calls per connection or POST: error `server_busy` for the call. Default 64.
    pub waiting: usize,
    /// The maximum time for which a call waits: error `server_busy` for the call. Default 20 s.
    pub waiting_time: Duration,
    /// Requests per batch: error `invalid_request`. Default 50.
    pub batch: usize,
    /// The nesting depth of a request, including its own object: error `invalid_request`. A depth of 128 or more is
    /// always a `parse_error`, regardless of this limit. Default 64.
    pub json_depth: usize,
    /// The size of an id as written, including quotes, in bytes: error `invalid_request`. Default 256.
    pub id_bytes: usize,
    /// Live subscriptions per connection: error `too_many_subscriptions`. Default 64.
    pub subscriptions: usize,
    /// Topics per subscription: error `invalid_params`. Default 32.
    pub topics: usize,
    /// The length of a topic in bytes: error `invalid_params`. Default 200.
    pub topic_bytes: usize,
    /// The silence after which a connection is pinged, and the interval between further pings. Default 20 s.
    pub ping_every: Duration,
    /// The maximum time without a frame from the client: close 4008. Default 45 s.
    pub idle: Duration,
    /// The maximum duration of one flush: close 4013. Default 10 s.
    pub write_timeout: Duration,
    /// The maximum time for a closing connection to send its close frame before it is dropped. Default 1 s.
    pub close_wait: Duration,
    /// Messages read from one connection before other connections get their turn. Default 32.
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
            waiting: 64,
            waiting_time: Duration::from_secs(20),
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
