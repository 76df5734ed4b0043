//! Input from the user: a secret, which is hidden on a terminal and is a line of standard input without one, and a
//! confirmation.

use std::io::{self, BufRead as _, Read as _};
use std::sync::mpsc::{SyncSender, sync_channel};

use rustix::process::getpgrp;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetpgrp, tcsetattr};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use super::failure::{Failure, code};
use super::ui::Ui;
use crate::hint::Step;

/// The longest line that is read, in bytes.
const LONGEST: u64 = 64 * 1024;

/// A reader of lines that runs in the background.
pub(super) struct Prompt {
    ask: SyncSender<()>,
    lines: mpsc::Receiver<Answer>,
    state: State,
    /// The terminal with its echo switched off; `None` if the echo was not switched off.
    quiet: Option<Quiet>,
    /// True if a question was printed and its line has not been ended.
    line_open: bool,
    ui: Ui,
}

/// The result of a question.
pub(super) enum Answer {
    /// A line, without its line ending.
    Line(SecretString),
    /// Standard input has ended.
    Closed,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Idle,
    Asked,
    Closed,
}

impl Prompt {
    /// Returns a prompt for secrets. The terminal does not show typed input until the prompt is dropped. Nothing is
    /// read before the first [`Prompt::listen`].
    pub(super) fn hidden(ui: &Ui) -> Self {
        Self::reading(ui, ui.types.then(Quiet::begin).flatten())
    }

    /// Returns a prompt like [`Prompt::hidden`], for optional input. A program in the background may not use the
    /// terminal, so nothing is hidden there and the prompt is never ready.
    pub(super) fn offered(ui: &Ui) -> Self {
        Self::reading(ui, (ui.types && in_foreground()).then(Quiet::begin).flatten())
    }

    /// Returns a prompt whose input is shown.
    fn shown(ui: &Ui) -> Self {
        Self::reading(ui, None)
    }

    fn reading(ui: &Ui, quiet: Option<Quiet>) -> Self {
        let (ask, asked) = sync_channel::<()>(1);
        let (answer, lines) = mpsc::channel(1);
        // A read from a terminal cannot be cancelled, so the thread is not joined. It ends with its channels, or with
        // the program.
        std::thread::spawn(move || {
            while asked.recv().is_ok() {
                let line = match read_line() {
                    Ok(Some(line)) => Answer::Line(SecretString::from(line)),
                    Ok(None) | Err(_) => Answer::Closed,
                };
                let closed = matches!(line, Answer::Closed);
                if answer.blocking_send(line).is_err() || closed {
                    return;
                }
            }
        });
        Self { ask, lines, state: State::Idle, quiet, line_open: false, ui: *ui }
    }

    /// Returns whether a line can be read without showing it.
    fn hides(&self) -> bool {
        !self.ui.types || self.quiet.is_some()
    }

    /// Prints a question, and waits for a line in the background.
    pub(super) fn ask(&mut self, question: &str) {
        if self.state != State::Idle {
            return;
        }
        if self.ui.types {
            self.ui.ask(question);
            self.line_open = true;
        } else {
            // Without a terminal, no typed Enter key ends this line.
            self.ui.note(question.trim_end());
        }
        self.listen();
    }

    /// Waits for a line in the background, unless a wait is running or standard input has ended.
    pub(super) fn listen(&mut self) {
        if self.state == State::Idle {
            self.state = if self.ask.try_send(()).is_ok() { State::Asked } else { State::Closed };
        }
    }

    /// Returns whether the prompt is idle and can hide the input.
    pub(super) fn is_ready(&self) -> bool {
        self.state == State::Idle && self.hides()
    }

    /// Waits for the requested line. Never ends if none was requested.
    pub(super) async fn answer(&mut self) -> Answer {
        if self.state != State::Asked {
            return std::future::pending().await;
        }
        let answer = self.lines.recv().await.unwrap_or(Answer::Closed);
        self.state = if matches!(answer, Answer::Closed) { State::Closed } else { State::Idle };
        self.end_line();
        answer
    }

    /// Ends the line of the question, because the typed line feed was not shown.
    fn end_line(&mut self) {
        if std::mem::take(&mut self.line_open) && self.quiet.is_some() {
            self.ui.ask("\n");
        }
    }
}

impl Drop for Prompt {
    fn drop(&mut self) {
        if let Some(quiet) = self.quiet.as_mut() {
            // A part of a secret must not become input of the shell.
            quiet.discards = self.state == State::Asked;
        }
        self.end_line();
    }
}

/// A terminal on standard input whose echo is off. Dropping it restores the echo.
struct Quiet {
    before: Termios,
    /// True if typed input that was not read is discarded on drop.
    discards: bool,
}

impl Quiet {
    fn begin() -> Option<Self> {
        let before = tcgetattr(io::stdin()).ok()?;
        let mut modes = before.clone();
        modes.local_modes -= LocalModes::ECHO | LocalModes::ECHONL;
        tcsetattr(io::stdin(), OptionalActions::Now, &modes).ok()?;
        Some(Self { before, discards: false })
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        let when = if self.discards { OptionalActions::Flush } else { OptionalActions::Now };
        if in_foreground() {
            // An error is ignored, because there is no other way to restore the terminal.
            let _ = tcsetattr(io::stdin(), when, &self.before);
        }
    }
}

/// Returns whether this program is in the foreground of its terminal. The system stops a background job that changes
/// the terminal's modes.
fn in_foreground() -> bool {
    tcgetpgrp(io::stdin()).is_ok_and(|group| group == getpgrp())
}

/// Reads a line of standard input; `None` at its end.
fn read_line() -> io::Result<Option<String>> {
    let mut line = Zeroizing::new(String::new());
    io::stdin().lock().take(LONGEST).read_line(&mut line)?;
    let text = line.trim_end_matches(['\n', '\r']);
    Ok((!line.is_empty()).then(|| text.to_owned()))
}

/// Asks on a terminal for a confirmation. Any answer other than yes is a failure. Without a terminal, `yes` has to be
/// true.
pub(super) async fn confirm(ui: &Ui, question: &str, yes: bool) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if !ui.types {
        return Err(Failure::new(
            code::USAGE,
            "cannot ask for confirmation, because standard input is not a terminal",
        )
        .hint(Step::Confirm { question: question.to_owned() }));
    }
    let mut prompt = Prompt::shown(ui);
    prompt.ask(&format!("{question} [y/N] "));
    match prompt.answer().await {
        Answer::Line(line) if is_yes(line.expose_secret()) => Ok(()),
        Answer::Line(_) | Answer::Closed => {
            Err(Failure::new(code::FAILED, "nothing was done, because the answer was not yes"))
        }
    }
}

fn is_yes(answer: &str) -> bool {
    matches!(answer.trim().to_lowercase().as_str(), "y" | "yes")
}

/// Asks once and waits for the answer. Returns `None` if there is nothing to read.
pub(super) async fn hidden(ui: &Ui, question: &str) -> Option<SecretString> {
    let mut prompt = Prompt::hidden(ui);
    if !prompt.is_ready() {
        return None;
    }
    prompt.ask(if ui.types { question } else { "" });
    match prompt.answer().await {
        Answer::Line(line) => Some(line),
        Answer::Closed => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answer_counts_as_yes_only_when_y_or_yes() {
        for (answer, expected) in
            [("y", true), (" Yes ", true), ("", false), ("n", false), ("yep", false), ("no, yes", false)]
        {
            assert_eq!(is_yes(answer), expected, "{answer:?}");
        }
    }

    #[tokio::test]
    async fn confirmation_requires_the_yes_flag_when_input_is_no_terminal() {
        let ui = super::super::table::tests::ui(None);
        assert_eq!(confirm(&ui, "Go on?", true).await, Ok(()));
        let refusal = confirm(&ui, "Go on?", false).await.unwrap_err();
        assert_eq!(
            (refusal.code(), refusal.render().as_str()),
            (
                code::USAGE,
                "srvd: cannot ask for confirmation, because standard input is not a terminal\nhint: Go on?  To confirm, add --yes"
            )
        );
    }
}
