//! The state machine of a login, without clock or I/O: a state and an input give a new state and effects.
//!
//! ```text
//!             Url             Prompt asked, pasted,     Confirmed        Saved
//!  Pending ---------> UrlAvailable ---+  LoggedIn, Exited  +--> Saving --------> Success
//!     |       Code    CodeEmitted ----+---> Confirming ----+       |
//!     +------------------^   ^------ Prompt, Refused --+            +-- SaveFailed --> Failed
//!
//!  Cancel -> Cancelled, Deadline -> Expired, a last NotConfirmed -> Failed; none of these apply once Saving has begun.
//! ```

use super::snapshot::{FailureKind, State};
use crate::process::Exit;

/// An input of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Input {
    /// The CLI printed a URL.
    Url {
        /// True if the user enters a code at the URL.
        device: bool,
        /// True if an answer from the URL can be pasted.
        paste: bool,
    },
    /// The CLI printed a device code.
    Code,
    /// The CLI is waiting for a paste, for the first time or again.
    Prompt,
    /// The CLI reports that it is logged in.
    LoggedIn,
    /// The CLI reports that the login was denied.
    Denied,
    /// The CLI reports that the login failed for another reason.
    Failed,
    /// The CLI reported a denial or failure a while ago, has not prompted since, and is still running.
    GivenUp,
    /// The program reports that it is no longer the provider's CLI.
    Retired,
    /// A pasted answer is being delivered to the CLI.
    Delivering,
    /// The answer could not be delivered to the CLI.
    Undelivered {
        /// True if the answer can be retried.
        again: bool,
    },
    /// The credential file has changed since the login started.
    FileChanged,
    /// The CLI has exited and its output has been read.
    Exited(Exit),
    /// The check found a login.
    Confirmed,
    /// The check found no login.
    NotConfirmed,
    /// The login was committed.
    Saved,
    /// The login was not committed.
    SaveFailed(FailureKind),
    /// The CLI could not be started.
    SpawnFailed(FailureKind),
    /// The user cancelled the login.
    Cancel,
    /// The login's time limit has passed.
    Deadline,
}

/// An effect of a step. Effects are applied in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Publish the current state of the session.
    Announce,
    /// Check whether the login exists; `last` if nothing more can arrive.
    Check { last: bool },
    /// Commit the login that the check found.
    Save,
    /// End the process tree, then publish the final state.
    Finish(Option<FailureKind>),
    /// Publish the success, give the CLI a moment to exit, then end the process tree.
    Linger,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum CheckProgress {
    Idle,
    Running { last: bool, again: bool },
}

/// The state machine of one login.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Machine {
    state: State,
    /// The state to return to when the CLI prompts for another paste.
    shown: State,
    check: CheckProgress,
    /// The exit of the CLI, once it has exited.
    exit: Option<Exit>,
    /// The failure reported by the CLI.
    reported: Option<FailureKind>,
    given_up: bool,
    prompt: bool,
}

impl Default for Machine {
    fn default() -> Self {
        Self {
            state: State::Pending,
            shown: State::Pending,
            check: CheckProgress::Idle,
            exit: None,
            reported: None,
            given_up: false,
            prompt: false,
        }
    }
}

impl Machine {
    pub(crate) fn state(&self) -> State {
        self.state
    }

    /// Returns whether the CLI has prompted for an answer and one would be accepted in this state.
    pub(crate) fn prompt(&self) -> bool {
        self.prompt && self.takes_paste()
    }

    /// Returns whether a check is running.
    pub(crate) fn checking(&self) -> bool {
        self.check != CheckProgress::Idle
    }

    /// Returns the CLI's exit code, if it has one.
    pub(crate) fn exit_code(&self) -> Option<i32> {
        self.exit.and_then(|exit| exit.code)
    }

    /// Returns whether a pasted answer would be accepted now: an answer is wanted, and no other answer is being
    /// processed.
    pub(crate) fn takes_paste(&self) -> bool {
        matches!(self.state, State::UrlAvailable | State::CodeEmitted) && self.exit.is_none()
    }

    pub(crate) fn step(&mut self, input: Input) -> Vec<Effect> {
        if self.state.is_terminal() {
            return Vec::new();
        }
        if self.state == State::Saving {
            return self.step_saving(input);
        }
        match input {
            Input::Url { device, paste } => {
                self.prompt |= paste;
                let first = !device && self.shown == State::Pending;
                self.show(if first { State::UrlAvailable } else { self.shown })
            }
            Input::Undelivered { again } => {
                self.prompt = again;
                self.show(self.shown)
            }
            Input::Code => self.show(State::CodeEmitted),
            Input::Prompt => {
                self.prompt = true;
                self.show(self.shown)
            }
            Input::LoggedIn => {
                let mut effects = self.confirm();
                effects.extend(self.start_check());
                effects
            }
            Input::Denied => {
                self.reported = Some(FailureKind::Denied);
                Vec::new()
            }
            Input::Failed => {
                self.reported.get_or_insert(FailureKind::LoginFailed);
                Vec::new()
            }
            // A running check may still find a login.
            Input::GivenUp if self.checking() => {
                self.given_up = self.reported.is_some();
                Vec::new()
            }
            Input::GivenUp if self.reported.is_some() => self.end(State::Failed, self.reported),
            Input::Retired => self.end(State::Failed, Some(FailureKind::CliRetired)),
            Input::Delivering => {
                self.prompt = false;
                self.confirm()
            }
            Input::FileChanged if self.checking() => Vec::new(),
            Input::FileChanged => self.start_check().into_iter().collect(),
            Input::Exited(exit) => {
                self.exit = Some(exit);
                self.prompt = false;
                let mut effects = self.confirm();
                effects.extend(self.start_check());
                effects
            }
            Input::Confirmed if self.checking() => {
                self.check = CheckProgress::Idle;
                self.prompt = false;
                self.state = State::Saving;
                vec![Effect::Announce, Effect::Save]
            }
            Input::NotConfirmed => self.not_confirmed(),
            Input::SpawnFailed(kind) => self.end(State::Failed, Some(kind)),
            Input::Cancel => self.end(State::Cancelled, Some(FailureKind::Cancelled)),
            Input::Deadline => self.end(State::Expired, Some(FailureKind::Expired)),
            // The result of a check that was never started.
            Input::Confirmed | Input::Saved | Input::SaveFailed(_) | Input::GivenUp => Vec::new(),
        }
    }

    /// Handles an input while the sink commits the login. Neither a cancellation nor the deadline can undo a commit.
    fn step_saving(&mut self, input: Input) -> Vec<Effect> {
        match input {
            Input::Exited(exit) => {
                self.exit = Some(exit);
                Vec::new()
            }
            Input::Saved if self.exit.is_some() => self.end(State::Success, None),
            Input::Saved => {
                self.state = State::Success;
                vec![Effect::Linger]
            }
            Input::SaveFailed(kind) => self.end(State::Failed, Some(kind)),
            _ => Vec::new(),
        }
    }

    /// Publishes a new URL or code. While the CLI is running, the user can then paste an answer, more than once if
    /// needed.
    fn show(&mut self, state: State) -> Vec<Effect> {
        self.shown = state;
        if self.exit.is_none() && !self.checking() {
            self.state = state;
        }
        vec![Effect::Announce]
    }

    fn confirm(&mut self) -> Vec<Effect> {
        if self.state == State::Confirming {
            return Vec::new();
        }
        self.state = State::Confirming;
        vec![Effect::Announce]
    }

    /// Starts a check, or records that another one must follow the current one.
    fn start_check(&mut self) -> Option<Effect> {
        let last = self.exit.is_some();
        if let CheckProgress::Running { again, .. } = &mut self.check {
            *again = true;
            return None;
        }
        self.check = CheckProgress::Running { last, again: false };
        Some(Effect::Check { last })
    }

    fn not_confirmed(&mut self) -> Vec<Effect> {
        let CheckProgress::Running { last, again } = self.check else { return Vec::new() };
        self.check = CheckProgress::Idle;
        match self.exit {
            Some(exit) if last => {
                let by_exit = match exit.code {
                    Some(0) => FailureKind::NotAuthenticated,
                    _ => FailureKind::CliExited,
                };
                self.end(State::Failed, Some(self.reported.unwrap_or(by_exit)))
            }
            Some(_) => self.start_check().into_iter().collect(),
            None if self.given_up => self.end(State::Failed, self.reported),
            None if again => self.start_check().into_iter().collect(),
            None => Vec::new(),
        }
    }

    fn end(&mut self, state: State, kind: Option<FailureKind>) -> Vec<Effect> {
        self.state = state;
        self.prompt = false;
        self.check = CheckProgress::Idle;
        vec![Effect::Finish(kind)]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{HashSet, VecDeque};

    use proptest::prelude::*;

    use super::*;

    const INPUTS: [Input; 25] = [
        Input::Url { device: false, paste: false },
        Input::Url { device: false, paste: true },
        Input::Url { device: true, paste: false },
        Input::Code,
        Input::Prompt,
        Input::LoggedIn,
        Input::Denied,
        Input::Failed,
        Input::GivenUp,
        Input::Retired,
        Input::Delivering,
        Input::Undelivered { again: true },
        Input::Undelivered { again: false },
        Input::FileChanged,
        Input::Exited(Exit { code: Some(0) }),
        Input::Exited(Exit { code: Some(1) }),
        Input::Exited(Exit { code: None }),
        Input::Confirmed,
        Input::NotConfirmed,
        Input::Saved,
        Input::SaveFailed(FailureKind::Storage),
        Input::SpawnFailed(FailureKind::SpawnFailed),
        Input::Cancel,
        Input::Deadline,
        Input::SaveFailed(FailureKind::IdentityMismatch),
    ];

    /// Tests every reachable machine state with every input.
    #[test]
    fn machine_keeps_its_invariants_for_every_input_in_every_reachable_state() {
        let mut known = HashSet::from([Machine::default()]);
        let mut open = VecDeque::from([Machine::default()]);
        while let Some(before) = open.pop_front() {
            for input in INPUTS {
                let mut after = before.clone();
                let effects = after.step(input);
                holds(&before, input, &after, &effects);
                if known.insert(after.clone()) {
                    open.push_back(after);
                }
            }
        }
        let states: HashSet<State> = known.iter().map(|machine| machine.state).collect();
        assert_eq!(states.len(), 9, "not every state was reached: {states:?}");
        assert!(known.len() > 50, "too few states were explored: {}", known.len());
    }

    fn holds(before: &Machine, input: Input, after: &Machine, effects: &[Effect]) {
        let case = format!("{before:?} + {input:?} -> {after:?} {effects:?}");
        if before.state.is_terminal() {
            assert_eq!((before, effects), (after, &[][..]), "{case}");
            return;
        }
        let ends =
            effects.iter().filter(|effect| matches!(effect, Effect::Finish(_) | Effect::Linger)).count();
        assert_eq!(
            ends,
            usize::from(after.state.is_terminal()),
            "the end must be announced exactly once: {case}"
        );
        if after.state == State::Success {
            assert_eq!((before.state, input), (State::Saving, Input::Saved), "{case}");
        }
        let failed = matches!(after.state, State::Failed | State::Cancelled | State::Expired);
        let named = effects.iter().any(|effect| matches!(effect, Effect::Finish(Some(_))));
        assert_eq!(failed, named, "every failure must have a kind: {case}");
        let asks = effects.iter().filter(|effect| matches!(effect, Effect::Check { .. })).count();
        assert!(asks == 0 || after.checking(), "{case}");
        if before.checking() && after.checking() && input != Input::NotConfirmed {
            assert_eq!(asks, 0, "only one check may run at a time: {case}");
        }
        if after.state == State::Saving && before.state != State::Saving {
            assert_eq!((input, effects), (Input::Confirmed, &[Effect::Announce, Effect::Save][..]), "{case}");
        }
        if before.exit.is_some() && !after.state.is_terminal() && after.state != State::Saving {
            assert!(after.checking(), "a check must be running once the CLI has exited: {case}");
        }
        if before.state == State::Saving && matches!(input, Input::Cancel | Input::Deadline) {
            assert_eq!(after, before, "{case}");
        }
    }

    fn course(inputs: &[Input]) -> (State, Vec<Effect>) {
        let mut machine = Machine::default();
        let effects = inputs.iter().flat_map(|input| machine.step(*input)).collect();
        (machine.state, effects)
    }

    #[test]
    fn machine_gives_the_expected_state_and_effects_for_each_input_sequence() {
        let exit = |code| Input::Exited(Exit { code });
        let check = |inputs: &[Input], state: State, end: Effect| {
            let (reached, effects) = course(inputs);
            assert_eq!((reached, effects.last()), (state, Some(&end)), "{inputs:?}");
        };
        let url = Input::Url { device: false, paste: false };
        let failed = |kind| Effect::Finish(Some(kind));
        check(&[url, Input::LoggedIn, Input::Confirmed, Input::Saved], State::Success, Effect::Linger);
        check(&[url, exit(Some(1)), Input::Confirmed, Input::Saved], State::Success, Effect::Finish(None));
        check(
            &[url, exit(Some(0)), Input::NotConfirmed],
            State::Failed,
            failed(FailureKind::NotAuthenticated),
        );
        check(&[exit(Some(7)), Input::NotConfirmed], State::Failed, failed(FailureKind::CliExited));
        check(&[exit(None), Input::NotConfirmed], State::Failed, failed(FailureKind::CliExited));
        check(&[url, Input::Denied, Input::GivenUp], State::Failed, failed(FailureKind::Denied));
        let asked = [url, Input::Denied, Input::LoggedIn, Input::GivenUp];
        check(&[&asked[..], &[Input::NotConfirmed]].concat(), State::Failed, failed(FailureKind::Denied));
        check(&[&asked[..], &[Input::Confirmed, Input::Saved]].concat(), State::Success, Effect::Linger);
        check(&[url, Input::Failed, Input::GivenUp], State::Failed, failed(FailureKind::LoginFailed));
        check(
            &[Input::Failed, Input::Denied, exit(Some(1)), Input::NotConfirmed],
            State::Failed,
            failed(FailureKind::Denied),
        );
        check(
            &[Input::Denied, Input::Failed, exit(Some(1)), Input::NotConfirmed],
            State::Failed,
            failed(FailureKind::Denied),
        );
        check(
            &[Input::Failed, exit(Some(0)), Input::NotConfirmed],
            State::Failed,
            failed(FailureKind::LoginFailed),
        );
        check(&[Input::Retired, exit(Some(0))], State::Failed, failed(FailureKind::CliRetired));
        check(
            &[Input::Denied, exit(Some(1)), Input::NotConfirmed],
            State::Failed,
            failed(FailureKind::Denied),
        );
        // A check that was already running when the CLI exited does not count as the last one.
        check(
            &[Input::LoggedIn, exit(Some(0)), Input::NotConfirmed],
            State::Confirming,
            Effect::Check { last: true },
        );
        check(&[url, Input::Delivering, Input::Prompt], State::UrlAvailable, Effect::Announce);
        check(
            &[Input::Url { device: true, paste: false }, Input::Code],
            State::CodeEmitted,
            Effect::Announce,
        );
    }

    proptest! {
        #[test]
        fn machine_emits_at_most_one_end_effect(inputs in prop::collection::vec(prop::sample::select(&INPUTS[..]), 0..60)) {
            let (_, effects) = course(&inputs);
            let ends = effects.iter().filter(|effect| matches!(effect, Effect::Finish(_) | Effect::Linger));
            prop_assert!(ends.count() <= 1);
        }
    }
}
