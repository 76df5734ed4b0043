//! The replies of a connection or POST that are ready to be written.

use std::collections::VecDeque;

use crate::wire::Limits;

/// A queue of replies. Its owner keeps it bounded by not reading requests while [`Self::is_full`].
#[derive(Default)]
pub(super) struct Outbox {
    replies: VecDeque<Vec<u8>>,
    bytes: usize,
}

impl Outbox {
    pub(super) fn push(&mut self, reply: Vec<u8>) {
        self.bytes += reply.len();
        self.replies.push_back(reply);
    }

    pub(super) fn pop(&mut self) -> Option<Vec<u8>> {
        let reply = self.replies.pop_front()?;
        self.bytes -= reply.len();
        Some(reply)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.replies.is_empty()
    }

    /// Returns whether reading requests must pause until some replies have been written.
    pub(super) fn is_full(&self, limits: &Limits) -> bool {
        self.replies.len() >= limits.outbound_messages || self.bytes >= limits.outbound_bytes
    }
}
