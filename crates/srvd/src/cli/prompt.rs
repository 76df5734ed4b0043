//! Reading from the person: secrets, hidden on a terminal, a line from standard input without one; and a yes or a no.

use std::io::{self, BufRead as _, Read as _};
use std::sync::mpsc::{SyncSender, sync_channel};

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use super::failure::{Failure, code};
use super::ui::Ui;

/// The longest line that is read, in bytes.
const LONGEST: u64 = 64 * 1024;

/// A reader of secrets that nobody has to wait for.
pub(super) struct Prompt {
    ask: SyncSender<()>,
    lines: mpsc::Receiver<Answer>,
    state: State,
    /// How the terminal was before the reading began.
    terminal: Option<Termios>,
    ui: Ui,
}

/// What came of asking.
pub(super) enum Answer {
    /// A line, without its end.
    Line(SecretString),
    /// There is nothing to read and never will be.
    Closed,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Idle,
    Asked,
    Closed,
}

impl Prompt {
    /// Nothing is read before the first [`Prompt::ask`].
    pub(super) fn new(ui: &Ui) -> Self {
        Self::reading(ui, ui.types)
    }

    fn reading(ui: &Ui, hidden: bool) -> Self {
        let (ask, asked) = sync_channel::<()>(1);
        let (answer, lines) = mpsc::channel(1);
        // A read from a terminal cannot be called off, so the thread has no owner that joins it: it ends with its
        // channels, or with the program.
        std::thread::spawn(move || {
            while asked.recv().is_ok() {
                let line = if hidden { rpassword::read_password().map(Some) } else { read_line() };
                let line = match line {
                    Ok(Some(line)) => Answer::Line(SecretString::from(line)),
                    // Ctrl-C has been turned into the signal that it is, and whoever listens to signals goes first.
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Ok(None) | Err(_) => Answer::Closed,
                };
                let closed = matches!(line, Answer::Closed);
                if answer.blocking_send(line).is_err() || closed {
                    return;
                }
            }
        });
        Self { ask, lines, state: State::Idle, terminal: None, ui: *ui }
    }

    /// Asks for a line, unless one is being waited for or there is nothing to read from.
    pub(super) fn ask(&mut self, question: &str) {
        if self.state != State::Idle {
            return;
        }
        if self.ui.types {
            self.ui.ask(question);
            self.terminal = tcgetattr(io::stdin()).ok();
        } else {
            // Nobody types the end of this line.
            self.ui.note(question.trim_end());
        }
        self.state = if self.ask.try_send(()).is_ok() { State::Asked } else { State::Closed };
    }

    /// Whether a line is being waited for.
    pub(super) fn is_open(&self) -> bool {
        self.state == State::Asked
    }

    /// The line that was asked for; pending for ever when none was.
    pub(super) async fn answer(&mut self) -> Answer {
        if self.state != State::Asked {
            return std::future::pending().await;
        }
        let answer = self.lines.recv().await.unwrap_or(Answer::Closed);
        self.state = if matches!(answer, Answer::Closed) { State::Closed } else { State::Idle };
        self.end_line();
        answer
    }

    /// The person's line feed was hidden with the rest, so the line is ended for them.
    fn end_line(&mut self) {
        if self.terminal.take().is_some() {
            self.ui.ask("\n");
        }
    }
}

impl Drop for Prompt {
    /// A reader that is still waiting would leave the terminal without echo.
    fn drop(&mut self) {
        if let Some(terminal) = &self.terminal {
            // There is no other way to put the terminal right, and nobody to tell.
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, terminal);
            self.end_line();
        }
    }
}

/// A line of standard input; none at its end.
fn read_line() -> io::Result<Option<String>> {
    let mut line = Zeroizing::new(String::new());
    io::stdin().lock().take(LONGEST).read_line(&mut line)?;
    let text = line.trim_end_matches(['\n', '\r']);
    Ok((!line.is_empty()).then(|| text.to_owned()))
}

/// Asks on a terminal whether to go on; only a clear yes is one. Where nobody can be asked it takes `--yes`.
pub(super) async fn confirm(ui: &Ui, question: &str, yes: bool) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if !ui.types {
        return Err(Failure::new(
            code::USAGE,
            "nobody can be asked, because standard input is not a terminal",
        )
        .hint(format!("{question}  If so, add --yes")));
    }
    let mut prompt = Prompt::reading(ui, false);
    prompt.ask(&format!("{question} [y/N] "));
    // The person's own line feed ends the line.
    prompt.terminal = None;
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

/// Asks once and waits for the answer; `None` when there is nothing to read.
pub(super) async fn hidden(ui: &Ui, question: &str) -> Option<SecretString> {
    let mut prompt = Prompt::new(ui);
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
    fn only_a_clear_yes_is_one() {
        for (answer, expected) in
            [("y", true), (" Yes ", true), ("", false), ("n", false), ("yep", false), ("no, yes", false)]
        {
            assert_eq!(is_yes(answer), expected, "{answer:?}");
        }
    }

    #[tokio::test]
    async fn where_nobody_can_be_asked_it_takes_the_flag() {
        let ui = super::super::table::tests::ui(None);
        assert_eq!(confirm(&ui, "Go on?", true).await, Ok(()));
        let refusal = confirm(&ui, "Go on?", false).await.unwrap_err();
        assert_eq!(
            (refusal.code(), refusal.render().as_str()),
            (
                code::USAGE,
                "srvd: nobody can be asked, because standard input is not a terminal\nhint: Go on?  If so, add --yes"
            )
        );
    }
}
