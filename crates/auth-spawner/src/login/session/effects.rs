//! Execution of the machine's effects.

use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::timeout;

use super::actor::{Session, done};
use super::work::Confirmed;
use crate::login::machine::Effect;
use crate::login::sink::{ConfirmedLogin, SaveError};
use crate::login::snapshot::FailureKind;
use crate::process::tree::{self, Tree};

/// The maximum time for the sink to commit a login.
const SAVE_PATIENCE: Duration = Duration::from_secs(30);

/// The time between SIGTERM and SIGKILL for processes that are left after the CLI has exited. It is short because the
/// CLI's work is done and a user is waiting for the session to end.
const STRAGGLERS: Duration = Duration::from_millis(50);

impl Session {
    /// Executes an effect. Returns whether the session has finished.
    pub(super) async fn apply(&mut self, effect: Effect) -> bool {
        match effect {
            Effect::Announce => self.report.announce(&self.machine).await,
            Effect::Check { last } => self.work.checking = Some(self.work.check.clone().run(last).boxed()),
            Effect::Save => self.save(),
            Effect::Finish(kind) => {
                self.finish(kind).await;
                return true;
            }
            Effect::Linger => {
                self.succeed();
                self.report.announce(&self.machine).await;
                self.linger().await;
                self.end_tree().await;
                self.shared.release(&self.request.id);
                return true;
            }
        }
        false
    }

    fn save(&mut self) {
        let Some(Confirmed { mut credential, checked }) = self.work.confirmed.clone() else { return };
        credential.email = credential.email.or_else(|| self.report.email.clone());
        self.report.email.clone_from(&credential.email);
        let login = ConfirmedLogin {
            session: self.request.id.clone(),
            provider: self.request.provider.id.clone(),
            scope: self.request.scope.clone(),
            config_dir: self.request.config_dir.clone(),
            credential,
            evidence_check: checked,
            token: self.work.check.screen.as_ref().and_then(|screen| screen.token.clone()),
        };
        let save = timeout(SAVE_PATIENCE, self.shared.sink.save(login));
        let late = || SaveError {
            kind: FailureKind::Storage,
            message: "the login could not be stored: the store did not answer in time".to_owned(),
            advice: None,
        };
        self.work.saving = Some(save.map(move |saved| saved.unwrap_or_else(|_| Err(late()))).boxed());
    }

    fn succeed(&mut self) {
        self.report.snapshot.email = self.report.email.take();
    }

    async fn finish(&mut self, kind: Option<FailureKind>) {
        // A check that is still running belongs to this login and is dropped with it.
        self.work.checking = None;
        self.work.delivering = None;
        self.end_tree().await;
        match kind {
            Some(kind) => self.report.fail(kind, &self.machine),
            None => self.succeed(),
        }
        // A user who sees the end can start the next login immediately.
        self.shared.release(&self.request.id);
        self.report.announce(&self.machine).await;
        // The reply is dropped last. Its caller then gets an error, and must already be able to see why the login
        // ended.
        self.work.reply = None;
    }

    /// Gives the CLI a moment to exit without a signal, and keeps reading its output.
    async fn linger(&mut self) {
        let ended = async {
            loop {
                tokio::select! {
                    _ = done(&mut self.work.exit) => return,
                    _ = self.output.next(), if !self.output.ended() => {}
                }
            }
        };
        // A CLI that is still running now will not exit without a signal; its process tree is ended next.
        let _ = timeout(self.shared.config.limits.linger, ended).await;
    }

    async fn end_tree(&mut self) {
        let patience = self.shared.config.limits.term_grace;
        let grace = if self.work.exit.is_some() { patience } else { patience.min(STRAGGLERS) };
        let start = self.report.snapshot.process_start.as_deref();
        let tree = Tree { pid: self.work.pid, start, session: &self.request.id };
        tree::end(tree, self.work.exit.as_mut(), grace).await;
        self.work.exit = None;
        self.work.kill_on_drop.release();
    }
}
