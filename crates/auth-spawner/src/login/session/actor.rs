//! The task that runs one login.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::opening::{Opened, Unopened, open};
use super::report::{Doubt, KeyringLogin, NotSaved, Report};
use super::timers::Timers;
use super::work::{Confirmed, Work};
use super::{Inbox, Submit};
use crate::answer::{Delivered, SubmitError};
use crate::findings::{Completeness, Finding, Findings, Matcher, Output, Token};
use crate::login::check::CheckResult;
use crate::login::machine::{Effect, Input, Machine};
use crate::login::request::LoginRequest;
use crate::login::sink::{SaveError, Saved};
use crate::login::snapshot::{Advice, Snapshot};
use crate::login::spawner::SpawnerState;
use crate::process::{Exit, StartedChild, start_ticks};
use crate::proof::{Fingerprint, fingerprint};
use crate::registry::Recipe;
use crate::terminal::View;

/// The number of ticks after which an unchanged new file is checked again.
const ASK_AGAIN: u32 = 5;

/// Runs one login from start to finish.
pub(crate) async fn run(
    shared: Arc<SpawnerState>,
    request: LoginRequest,
    recipe: Recipe,
    mut inbox: Inbox,
    sender: watch::Sender<Snapshot>,
) {
    let mut report = Report::new(Arc::clone(&shared), sender, recipe.paste.clone());
    let mut machine = Machine::default();
    // The sink must have recorded the login before its process exists.
    report.announce(&machine).await;
    let opened = match its_turn(&mut inbox, time_left(&shared, &request)).await {
        Ok(()) => open(&shared, &request, &recipe).await,
        Err(input) => Err(Unopened { message: inbox.why.get().cloned(), input }),
    };
    let Opened { child, check } = match opened {
        Ok(opened) => opened,
        Err(Unopened { input, message }) => {
            report.message = message;
            for effect in machine.step(input) {
                if let Effect::Finish(Some(kind)) = effect {
                    report.fail(kind, &machine);
                }
            }
            shared.release(&request.id);
            report.announce(&machine).await;
            return;
        }
    };
    report.snapshot.pid = Some(child.pid);
    let pid = child.pid;
    report.snapshot.process_start =
        shared.tracker.spawn_blocking(move || start_ticks(pid)).await.ok().flatten();
    if let Some(guard) = &shared.config.guard {
        guard.leads(&request.id, child.pid, report.snapshot.process_start.as_deref());
    }
    report.announce(&machine).await;
    let StartedChild { streams, stdin, exit, pid, kill_on_drop } = child;
    let terminal = request.terminal.unwrap_or(recipe.terminal);
    let matcher = Matcher::new(&request.provider, &recipe);
    let limit = shared.config.limits.line_bytes;
    let output = Output::new(streams, || View::new(terminal, limit), || matcher.clone());
    let work = Work { stdin: Some(stdin), exit: Some(exit), pid, kill_on_drop, ..Work::idle(check) };
    let mut session = Session { shared, request, recipe, inbox, report, machine, output, work };
    session.live().await;
}

/// Waits until the login may start its process. `Err` is the input that ends the login before that.
async fn its_turn(inbox: &mut Inbox, left: Duration) -> Result<(), Input> {
    let deadline = Instant::now() + left;
    loop {
        tokio::select! {
            biased;
            () = inbox.cancel.cancelled() => return Err(Input::Cancel),
            // The sender is dropped only together with the table, and then no other login is running.
            _ = &mut inbox.turn => return Ok(()),
            () = sleep_until(deadline) => return Err(Input::Deadline),
            Some(submit) = inbox.commands.recv() => {
                // The caller may have disconnected.
                let _ = submit.reply.send(Err(SubmitError::NotExpected));
            }
        }
    }
}

fn time_left(shared: &SpawnerState, request: &LoginRequest) -> Duration {
    let left = request.expires_at.saturating_sub(shared.now());
    Duration::from_millis(u64::try_from(left).unwrap_or(0))
}

pub(super) struct Session {
    pub(super) shared: Arc<SpawnerState>,
    pub(super) request: LoginRequest,
    pub(super) recipe: Recipe,
    pub(super) inbox: Inbox,
    pub(super) report: Report,
    pub(super) machine: Machine,
    pub(super) output: Output,
    pub(super) work: Work,
}

/// An event that wakes the session.
enum Event {
    Output(Findings),
    Exit(Exit),
    Drained,
    GiveUp,
    Still(Completeness),
    Tick,
    Glance(Option<Fingerprint>),
    CheckResult(CheckResult),
    Saved(Result<Saved, SaveError>),
    Delivered(Delivered),
    Submit(Submit),
    Replied,
    /// The CLI has not become ready for a pasted answer in time.
    HeldTooLong,
    Cancel,
    Deadline,
}

/// Waits until the given time. Never resolves if there is none.
async fn moment(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Waits for the result of pending work and takes it. Never resolves if there is none.
pub(super) async fn done<T>(slot: &mut Option<BoxFuture<'static, T>>) -> T {
    match slot {
        Some(work) => {
            let result = work.await;
            *slot = None;
            result
        }
        None => std::future::pending().await,
    }
}

impl Session {
    async fn live(&mut self) {
        let left = time_left(&self.shared, &self.request);
        let mut timers = Timers::new(Instant::now() + left);
        let mut exited = None;
        loop {
            let event = self.next_event(&mut timers).await;
            let inputs = match event {
                Event::Exit(exit) => {
                    self.work.check.failed = exit.code != Some(0);
                    exited = Some(exit);
                    timers.exited();
                    Vec::new()
                }
                Event::GiveUp => {
                    timers.give_up = None;
                    self.react(event)
                }
                Event::Drained => {
                    timers.drain = None;
                    exited.take().map(Input::Exited).into_iter().collect()
                }
                Event::Output(findings) => {
                    timers.heard(self.output.has_partial());
                    timers.drains();
                    while let Some(reply) = self.output.reply() {
                        self.work.replies.push(reply);
                    }
                    self.hear(findings)
                }
                Event::Still(completeness) => {
                    timers.looked(completeness);
                    let findings = self.output.still(completeness);
                    self.hear(findings)
                }
                event => self.react(event),
            };
            // Once both streams have ended, no more output can arrive.
            if timers.drain.is_some() && self.output.ended() {
                timers.drain = Some(Instant::now());
            }
            for input in inputs {
                if self.advance(input, &mut timers).await {
                    return;
                }
            }
            if let Some(input) = self.release_held()
                && self.advance(input, &mut timers).await
            {
                return;
            }
        }
    }

    /// Applies an input. Returns whether the session has finished.
    async fn advance(&mut self, input: Input, timers: &mut Timers) -> bool {
        timers.told(input);
        for effect in self.machine.step(input) {
            if self.apply(effect).await {
                return true;
            }
        }
        false
    }

    async fn next_event(&mut self, timers: &mut Timers) -> Event {
        let work = &mut self.work;
        let still = timers.still;
        tokio::select! {
            () = self.inbox.cancel.cancelled(), if !self.machine.state().is_terminal() && work.saving.is_none() => Event::Cancel,
            () = sleep_until(timers.deadline), if work.saving.is_none() => Event::Deadline,
            findings = self.output.next(), if !self.output.ended() => Event::Output(findings),
            exit = done(&mut work.exit) => Event::Exit(exit),
            () = moment(timers.drain) => Event::Drained,
            () = moment(timers.give_up) => Event::GiveUp,
            () = moment(still.map(|look| look.at)) => Event::Still(still.map_or(Completeness::Partial, |look| look.completeness)),
            _ = timers.tick.tick() => Event::Tick,
            glance = done(&mut work.glancing) => Event::Glance(glance),
            result = done(&mut work.checking) => Event::CheckResult(result),
            saved = done(&mut work.saving) => Event::Saved(saved),
            delivered = done(&mut work.delivering) => Event::Delivered(delivered),
            // An error needs no handling: the CLI has closed its input, which will show in its output or its exit.
            _ = work.replies.write(&mut work.stdin) => Event::Replied,
            Some(submit) = self.inbox.commands.recv() => Event::Submit(submit),
            () = moment(work.held.as_ref().map(|held| held.until)) => Event::HeldTooLong,
        }
    }

    /// Converts findings in the CLI's output to inputs of the machine.
    fn hear(&mut self, findings: Findings) -> Vec<Input> {
        if let Some(line) = findings.explanation {
            self.report.explain(&line);
        }
        let mut inputs = Vec::new();
        for finding in findings.found {
            if !self.report.note(&finding) {
                continue;
            }
            let input = match finding {
                Finding::Url { device, .. } => {
                    Input::Url { device, paste: !device && self.report.takes_paste() }
                }
                Finding::DeviceCode(_) => Input::Code,
                Finding::Prompt | Finding::Refused => Input::Prompt,
                Finding::LoggedIn { .. } => Input::LoggedIn,
                Finding::Denied(_) => Input::Denied,
                Finding::Failed(_) => Input::Failed,
                Finding::Token(token) if self.take_token(&token) => Input::LoggedIn,
                Finding::Token(_) => continue,
                Finding::Retired(_) => {
                    let install = self.request.provider.cli.as_ref().map(|cli| &cli.install);
                    self.report.advice = install.map(|line| Advice::Reinstall(line.clone()));
                    Input::Retired
                }
                Finding::Step(position) => {
                    self.reach_step(position);
                    continue;
                }
            };
            inputs.push(input);
        }
        inputs
    }

    /// Stores the credential that the CLI has shown. Returns whether it differs from the previous one.
    fn take_token(&mut self, token: &Token) -> bool {
        let Some(screen) = &mut self.work.check.screen else { return false };
        let new = screen.token.as_ref() != Some(token);
        screen.token = Some(token.clone());
        new
    }

    fn react(&mut self, event: Event) -> Vec<Input> {
        match event {
            Event::Tick => {
                self.glance();
                Vec::new()
            }
            Event::Glance(found) => self.compare(found).into_iter().collect(),
            Event::CheckResult(CheckResult::Confirmed { credential, checked }) => {
                self.work.confirmed = Some(Confirmed { credential, checked });
                vec![Input::Confirmed]
            }
            Event::CheckResult(CheckResult::NotConfirmed { reason, telling }) => {
                tracing::debug!(session = %self.request.id, reason, "no login yet");
                self.report.in_keyring = None;
                self.report.hung = None;
                self.report.doubt = Some(Doubt { reason, telling });
                vec![Input::NotConfirmed]
            }
            Event::CheckResult(CheckResult::NoAnswer { reason }) => {
                tracing::warn!(session = %self.request.id, reason, "the login could not be checked");
                self.report.hung = Some(reason);
                vec![Input::NotConfirmed]
            }
            Event::CheckResult(CheckResult::InKeyring { reason, hint }) => {
                self.report.in_keyring = Some(KeyringLogin { reason, hint });
                vec![Input::NotConfirmed]
            }
            Event::Saved(Ok(saved)) => {
                self.report.snapshot.saved = Some(saved);
                vec![Input::Saved]
            }
            Event::Saved(Err(error)) => {
                self.report.not_saved = Some(NotSaved { message: error.message, advice: error.advice });
                vec![Input::SaveFailed(error.kind)]
            }
            Event::Delivered(delivered) => self.delivered(delivered).into_iter().collect(),
            Event::Submit(submit) => self.submit(submit).into_iter().collect(),
            Event::Cancel => {
                self.report.message = self.inbox.why.get().cloned();
                vec![Input::Cancel]
            }
            Event::Deadline => vec![Input::Deadline],
            Event::GiveUp => vec![Input::GivenUp],
            Event::HeldTooLong => self.give_held_up().into_iter().collect(),
            Event::Output(_) | Event::Exit(_) | Event::Drained | Event::Still(_) | Event::Replied => {
                Vec::new()
            }
        }
    }

    /// Starts a read of the credential file on a blocking thread, unless a check is running.
    fn glance(&mut self) {
        self.work.ticks = self.work.ticks.saturating_add(1);
        if self.work.glancing.is_some() || self.machine.checking() {
            return;
        }
        let Some(cli) = self.request.provider.cli.clone() else { return };
        let dir = self.request.config_dir.clone();
        let look = self.shared.tracker.spawn_blocking(move || fingerprint(&cli, &dir));
        self.work.glancing = Some(look.map(Result::ok).boxed());
    }

    fn compare(&mut self, found: Option<Fingerprint>) -> Option<Input> {
        // Another process may refresh the old login at any time, so only the CLI's own report or its exit counts.
        if self.work.check.logged_in_before {
            return None;
        }
        let found = found.filter(|found| *found != self.work.check.baseline)?;
        let same = self.work.glanced.as_ref() == Some(&found);
        if same && self.work.ticks < ASK_AGAIN {
            return None;
        }
        self.work.glanced = Some(found);
        self.work.ticks = 0;
        Some(Input::FileChanged)
    }
}
