//! One login as one task. The task owns the child, the state machine, and the snapshot visible to others.

mod actor;
mod answers;
mod effects;
mod opening;
mod replies;
mod report;
mod timers;
mod work;

pub(crate) use actor::run;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use secrecy::SecretString;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::answer::SubmitError;

/// The maximum time for the sink to record a session change.
pub(crate) const SINK_PATIENCE: Duration = Duration::from_secs(5);

/// Messages sent to a session from outside.
pub(crate) struct Inbox {
    pub(crate) commands: mpsc::Receiver<Submit>,
    pub(crate) cancel: CancellationToken,
    /// The reason for the cancellation, if it has one.
    pub(crate) why: Arc<OnceLock<String>>,
    /// Resolves when the session may have processes.
    pub(crate) turn: oneshot::Receiver<()>,
}

/// A pasted answer, and the channel for the result.
pub(crate) struct Submit {
    pub(crate) pasted: SecretString,
    pub(crate) reply: oneshot::Sender<Result<(), SubmitError>>,
}
