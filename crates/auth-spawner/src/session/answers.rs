//! Pasted answers on their way to the CLI.

use futures_util::FutureExt;

use super::Submit;
use super::actor::{Session, Stdin};
use crate::deliver;
use crate::error::SubmitError;
use crate::machine::Input;
use crate::paste::{self, Answer};
use crate::recipe::Terminal;

impl Session {
    /// Checks a pasted answer and sends it on its way.
    pub(super) fn submit(&mut self, Submit { pasted, reply }: Submit) -> Option<Input> {
        let answer = match (&self.recipe.paste, &self.report.snapshot.auth_url) {
            (Some(paste), Some(url)) if self.machine.takes_paste() && self.work.delivering.is_none() => {
                paste::interpret(paste, url, &pasted)
            }
            _ => Err(SubmitError::NotExpected),
        };
        let delivery = match answer {
            Err(error) => Err(error),
            Ok(Answer::Get(url)) => Ok(deliver::callback(url).map(|result| (None, result)).boxed()),
            Ok(Answer::Line(line)) => match self.work.stdin.take() {
                Some(stdin) => {
                    self.report.remember_pasted(line.clone());
                    self.output.break_lines();
                    Ok(deliver::line(stdin, line, self.enter()).boxed())
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
                // Whoever asked may have gone.
                let _ = reply.send(Err(error));
                None
            }
        }
    }

    /// What the Enter key sends to the child.
    fn enter(&self) -> u8 {
        match self.request.terminal.unwrap_or(self.recipe.terminal) {
            Terminal::Pipe => b'\n',
            Terminal::Pty { .. } => b'\r',
        }
    }

    pub(super) fn delivered(
        &mut self,
        stdin: Option<Stdin>,
        result: Result<(), SubmitError>,
    ) -> Option<Input> {
        if stdin.is_some() {
            self.work.stdin = stdin;
        }
        let input = result.is_err().then_some(Input::Undelivered);
        if let Some(reply) = self.work.reply.take() {
            let _ = reply.send(result);
        }
        input
    }
}
