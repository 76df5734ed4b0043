//! The reasons for closing a connection, with their close codes.

use std::fmt;

/// The reason why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// The client closed the connection, with this code if it sent one.
    ByClient(Option<u16>),
    /// The stream ended or failed without a close frame.
    Lost,
    /// 1002: the client violated the WebSocket protocol.
    Protocol,
    /// 1003: the client sent a binary message.
    Binary,
    /// 1007: the client sent text that is not UTF-8.
    InvalidUtf8,
    /// 1008: the client sent a message in too many frames.
    TooManyFrames,
    /// 1009: a message or frame exceeded its limit.
    TooLarge,
    /// 4008: the client was silent for too long.
    Idle,
    /// 4013: the client did not read its messages.
    Slow,
    /// 4003: the caller's permission ended ([`Engine::serve_until`](crate::Engine::serve_until)).
    Dismissed,
    /// 1001: the daemon is shutting down.
    Drained,
    /// 1001: the daemon's grace period ended while the connection was still open.
    Aborted,
}

impl Closed {
    /// Every reason for which the engine closes a connection with a code.
    pub const BY_SERVER: &'static [Self] = &[
        Self::Drained,
        Self::Protocol,
        Self::Binary,
        Self::InvalidUtf8,
        Self::TooManyFrames,
        Self::TooLarge,
        Self::Dismissed,
        Self::Idle,
        Self::Slow,
    ];

    /// The close code that was sent, or received from the client.
    pub fn code(self) -> Option<u16> {
        match self {
            Self::ByClient(code) => code,
            Self::Lost => None,
            Self::Protocol => Some(1002),
            Self::Binary => Some(1003),
            Self::InvalidUtf8 => Some(1007),
            Self::TooManyFrames => Some(1008),
            Self::TooLarge => Some(1009),
            Self::Idle => Some(4008),
            Self::Slow => Some(4013),
            Self::Dismissed => Some(4003),
            Self::Drained | Self::Aborted => Some(1001),
        }
    }
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ByClient(_) => "the client closed the connection",
            Self::Lost => "the connection was lost",
            Self::Protocol => "the client violated the WebSocket protocol",
            Self::Binary => "binary messages are not accepted",
            Self::InvalidUtf8 => "a text message is not valid UTF-8",
            Self::TooManyFrames => "a message has too many frames",
            Self::TooLarge => "a message or frame is too large",
            Self::Idle => "the client sent nothing for too long",
            Self::Slow => "the client reads too slowly",
            Self::Dismissed => "the token was revoked or has expired",
            Self::Drained | Self::Aborted => "the daemon is shutting down",
        })
    }
}
