//! The call that a thread is working on, so that a log line can name it.
//!
//! A tracing span would carry the same data, but creating, entering and leaving one costs more than the rest of a small
//! request. Most calls log nothing, so this module only remembers what a log line would need. The log writer asks for
//! it when it writes a line.

use std::cell::Cell;
use std::fmt;

use crate::method::{Call, ConnectionId};

/// The identity of a call in the log: numbers and the registered method name, and nothing that a client sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Calling {
    /// The registered name of the method.
    pub method: &'static str,
    /// The number of the request within the engine.
    pub request: u64,
    /// The connection that sent the call.
    pub connection: ConnectionId,
}

impl fmt::Display for Calling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { method, request, connection } = self;
        write!(f, "call{{method={method:?} request={request} connection={connection}}}")
    }
}

thread_local! {
    static NOW: Cell<Option<Calling>> = const { Cell::new(None) };
}

/// Returns the call that this thread is working on, if any.
pub fn calling() -> Option<Calling> {
    NOW.get()
}

impl Calling {
    pub(crate) fn of(call: &Call, method: &'static str) -> Self {
        Self { method, request: call.request, connection: call.connection }
    }

    /// Marks the thread as working on the call until the returned guard is dropped.
    pub(crate) fn enter(self) -> Entered {
        Entered(NOW.replace(Some(self)))
    }
}

/// Restores the previous call when dropped, also when the stack unwinds.
pub(crate) struct Entered(Option<Calling>);

impl Drop for Entered {
    fn drop(&mut self) {
        NOW.set(self.0);
    }
}
