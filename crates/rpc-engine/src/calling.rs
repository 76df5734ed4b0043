//! Which call a thread is working on, so that a line of the log can name it.
//!
//! A span would say the same, and making, entering and leaving one costs more than the whole rest of a small request.
//! Most calls log nothing, so this only remembers what a line would need: whoever writes the log asks for it then.

use std::cell::Cell;
use std::fmt;

use crate::method::{Call, ConnectionId};

/// A call as the log names it: numbers and the method's own name, never anything that a client sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Calling {
    /// The method.
    pub method: &'static str,
    /// Number of the request within the engine.
    pub request: u64,
    /// The connection it came from.
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

/// The call that this thread is working on, if it is.
pub fn calling() -> Option<Calling> {
    NOW.get()
}

impl Calling {
    pub(crate) fn of(call: &Call, method: &'static str) -> Self {
        Self { method, request: call.request, connection: call.connection }
    }

    /// Until this is dropped, the thread is working on the call.
    pub(crate) fn enter(self) -> Entered {
        Entered(NOW.replace(Some(self)))
    }
}

/// Puts back what was there, also when the stack unwinds.
pub(crate) struct Entered(Option<Calling>);

impl Drop for Entered {
    fn drop(&mut self) {
        NOW.set(self.0);
    }
}
