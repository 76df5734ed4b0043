//! The signals that end a client command.

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::failure::{Failure, code};

/// A listener for these signals. It listens from its creation on, so that a signal between two waits is not lost.
pub(super) struct Interrupt {
    ctrl_c: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Interrupt {
    /// Starts to listen. Must be called inside a runtime.
    pub(super) fn listen() -> Result<Self, Failure> {
        let listen = |kind| signal(kind).map_err(Failure::io);
        Ok(Self {
            ctrl_c: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    /// Waits for the next signal, and returns the exit code of a program that the signal ended.
    pub(super) async fn next(&mut self) -> u8 {
        tokio::select! {
            _ = self.ctrl_c.recv() => code::INTERRUPTED,
            _ = self.terminate.recv() => 128 + 15,
            _ = self.hangup.recv() => 128 + 1,
        }
    }
}
