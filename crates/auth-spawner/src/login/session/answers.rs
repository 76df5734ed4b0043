//! Delivery of pasted answers to the CLI.

use futures_util::FutureExt;

use super::Submit;
use super::actor::Session;
use crate::answer::{Answer, Delivered, SubmitError, Typed, deliver, paste};
use crate::login::machine::Input;
use crate::registry::{Delivery, Terminal};

impl Session {
    /// Validates a pasted answer and starts its delivery.
    pub(super) fn submit(&mut self, Submit { pasted, reply }: Submit) -> Option<Input> {
        let answer = match (&self.recipe.paste, &self.report.snapshot.auth_url) {
            (Some(paste), Some(url)) if self.machine.takes_paste() && self.work.delivering.is_none() => {
                paste::interpret(paste, url, &pasted)
            }
            _ => Err(SubmitError::NotExpected),
        };
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
