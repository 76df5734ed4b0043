//! Delivery of pasted answers to the CLI.

use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::Instant;

use super::Submit;
use super::actor::Session;
use crate::answer::{Answer, Delivered, SubmitError, Typed, deliver, paste};
use crate::login::machine::Input;
use crate::login::snapshot::State;
use crate::registry::{Delivery, Terminal};

/// The maximum time for a CLI to show its URL once an answer was pasted. It is shorter than a client's call.
const FOR_URL: Duration = Duration::from_secs(20);
/// The maximum time for a CLI to prompt once it has shown its URL and an answer was pasted. After that, the answer is
/// delivered without the prompt, because another version of the CLI may prompt in other words.
const FOR_PROMPT: Duration = Duration::from_secs(5);

/// An answer that was pasted before the CLI was ready for it.
pub(super) struct Held {
    submit: Submit,
    /// The end of the wait.
    pub(super) until: Instant,
}

/// The time at which a pasted answer can be delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Readiness {
    Now,
    /// The CLI has not shown the URL to which the answer must belong.
    AfterUrl,
    /// The CLI reads its input only once it has prompted.
    AfterPrompt,
    Never,
}

impl Session {
    /// Starts the delivery of a pasted answer, or keeps it until the CLI is ready for it.
    pub(super) fn submit(&mut self, submit: Submit) -> Option<Input> {
        let wait = match self.readiness() {
            Readiness::AfterUrl if self.work.held.is_none() => FOR_URL,
            Readiness::AfterPrompt if self.work.held.is_none() => match self.interpret(&submit) {
                Ok(_) => FOR_PROMPT,
                Err(_) => return self.answer(submit),
            },
            _ => return self.answer(submit),
        };
        self.work.held = Some(Held { submit, until: Instant::now() + wait });
        None
    }

    /// Starts the delivery of a kept answer once the CLI is ready for it, or refuses it if the CLI never will be.
    pub(super) fn release_held(&mut self) -> Option<Input> {
        if self.work.delivering.is_some() {
            return None;
        }
        match self.readiness() {
            Readiness::Now | Readiness::Never => {}
            Readiness::AfterUrl => return None,
            Readiness::AfterPrompt => {
                let by = Instant::now() + FOR_PROMPT;
                if let Some(held) = &mut self.work.held {
                    held.until = held.until.min(by);
                }
                return None;
            }
        }
        let held = self.work.held.take()?;
        self.answer(held.submit)
    }

    /// Ends the wait for the CLI to become ready.
    pub(super) fn give_held_up(&mut self) -> Option<Input> {
        let held = self.work.held.take()?;
        self.answer(held.submit)
    }

    fn readiness(&self) -> Readiness {
        let Some(paste) = &self.recipe.paste else { return Readiness::Never };
        if self.report.snapshot.auth_url.is_none() {
            let starting = self.machine.state() == State::Pending && self.work.exit.is_some();
            return if starting { Readiness::AfterUrl } else { Readiness::Never };
        }
        if !self.machine.takes_paste() || self.work.delivering.is_some() {
            return Readiness::Never;
        }
        let prompts = paste.delivery != Delivery::CallbackGet && !self.recipe.patterns.prompt.is_empty();
        if prompts && !self.report.snapshot.prompted { Readiness::AfterPrompt } else { Readiness::Now }
    }

    fn interpret(&self, submit: &Submit) -> Result<Answer, SubmitError> {
        match (&self.recipe.paste, &self.report.snapshot.auth_url) {
            (Some(paste), Some(url)) if self.machine.takes_paste() && self.work.delivering.is_none() => {
                paste::interpret(paste, url, &submit.pasted)
            }
            _ => Err(SubmitError::NotExpected),
        }
    }

    /// Validates a pasted answer and starts its delivery.
    fn answer(&mut self, submit: Submit) -> Option<Input> {
        let answer = self.interpret(&submit);
        let Submit { pasted, reply } = submit;
        let delivery = match answer {
            Err(error) => Err(error),
            Ok(Answer::Get(url)) => Ok(deliver::callback(url).boxed()),
            Ok(Answer::Line(line)) => match self.work.stdin.take() {
                Some(stdin) => {
                    self.report.remember_pasted(line.clone());
                    self.output.break_lines();
                    let typed = Typed {
                        before: self.work.replies.take_begun(),
                        text: line,
                        enter: self.enter(),
                        apart: self.apart(),
                    };
                    Ok(deliver::line(stdin, typed).boxed())
                }
                None => Err(SubmitError::Undeliverable { reason: "the CLI's input is closed".to_owned() }),
            },
        };
        match delivery {
            Ok(delivery) => {
                self.report.remember_pasted(pasted);
                self.work.delivering = Some(delivery);
                self.work.reply = Some(reply);
                Some(Input::Delivering)
            }
            Err(error) => {
                // The caller may have disconnected.
                let _ = reply.send(Err(error));
                None
            }
        }
    }

    /// Records that the CLI shows the prompt for this step. Steps are reached in order, each only once.
    pub(super) fn reach_step(&mut self, position: usize) {
        if position == self.work.steps_reached && self.work.steps_typed == self.work.steps_reached {
            self.work.steps_reached += 1;
            self.type_step();
        }
    }

    /// Types the step that has been reached, unless something else is being delivered to the CLI.
    fn type_step(&mut self) {
        let Some(step) = self.recipe.steps.get(self.work.steps_typed) else { return };
        if self.work.steps_typed == self.work.steps_reached || self.work.delivering.is_some() {
            return;
        }
        let Some(stdin) = self.work.stdin.take() else { return };
        self.work.steps_typed += 1;
        let before = self.work.replies.take_begun();
        let keys = before + &step.send.replace('\r', char::from(self.enter()).encode_utf8(&mut [0; 4]));
        self.work.delivering = Some(deliver::keys(stdin, keys).boxed());
    }

    /// Returns whether the CLI needs the Enter key separately from the text.
    fn apart(&self) -> bool {
        self.recipe.paste.as_ref().is_some_and(|paste| paste.delivery == Delivery::StdinTyped)
    }

    /// Returns the byte that the Enter key sends to the child.
    fn enter(&self) -> u8 {
        match self.request.terminal.unwrap_or(self.recipe.terminal) {
            Terminal::Pipe => b'\n',
            Terminal::Pty { .. } => b'\r',
        }
    }

    pub(super) fn delivered(&mut self, Delivered { stdin, result }: Delivered) -> Option<Input> {
        if stdin.is_some() {
            self.work.stdin = stdin;
        }
        // A callback can always be retried. A line can be retried only while the CLI's input is open.
        let by_callback =
            self.recipe.paste.as_ref().is_some_and(|paste| paste.delivery == Delivery::CallbackGet);
        let again = by_callback || self.work.stdin.is_some();
        // Only a pasted answer has a waiting caller. A failed step shows in the CLI's subsequent output.
        let input = self.work.reply.take().and_then(|reply| {
            let input = result.is_err().then_some(Input::Undelivered { again });
            // The caller may have disconnected.
            let _ = reply.send(result);
            input
        });
        self.type_step();
        input
    }
}
