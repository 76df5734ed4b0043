//! The work in progress of one login.

use futures_util::future::BoxFuture;
use tokio::sync::oneshot;

use super::answers::Held;
use super::replies::Replies;
use crate::answer::{Delivered, Stdin, SubmitError};
use crate::login::check::{CheckResult, LoginCheck};
use crate::login::sink::{SaveError, Saved};
use crate::process::{Exit, KillOnDrop};
use crate::proof::{Credential, Fingerprint};

/// The child, and all work in progress for it. At most one item of each kind exists.
pub(super) struct Work {
    pub(super) check: LoginCheck,
    pub(super) stdin: Option<Stdin>,
    pub(super) exit: Option<BoxFuture<'static, Exit>>,
    pub(super) pid: u32,
    pub(super) kill_on_drop: KillOnDrop,
    pub(super) checking: Option<BoxFuture<'static, CheckResult>>,
    pub(super) saving: Option<BoxFuture<'static, Result<Saved, SaveError>>>,
    pub(super) delivering: Option<BoxFuture<'static, Delivered>>,
    pub(super) replies: Replies,
    pub(super) reply: Option<oneshot::Sender<Result<(), SubmitError>>>,
    /// An answer that was pasted before the CLI was ready for it.
    pub(super) held: Option<Held>,
    pub(super) glancing: Option<BoxFuture<'static, Option<Fingerprint>>>,
    pub(super) confirmed: Option<Confirmed>,
    /// The number of recipe steps that have been reached, and the number that have been typed.
    pub(super) steps_reached: usize,
    pub(super) steps_typed: usize,
    pub(super) glanced: Option<Fingerprint>,
    pub(super) ticks: u32,
}

impl Work {
    pub(super) fn idle(check: LoginCheck) -> Self {
        Self {
            check,
            stdin: None,
            exit: None,
            pid: 0,
            kill_on_drop: KillOnDrop::new(None),
            checking: None,
            saving: None,
            delivering: None,
            replies: Replies::default(),
            reply: None,
            held: None,
            glancing: None,
            confirmed: None,
            steps_reached: 0,
            steps_typed: 0,
            glanced: None,
            ticks: 0,
        }
    }
}

/// A login that the check has confirmed.
#[derive(Clone)]
pub(super) struct Confirmed {
    pub(super) credential: Credential,
    /// True if a check command has confirmed the login as well.
    pub(super) checked: bool,
}
