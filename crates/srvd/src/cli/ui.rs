//! The terminal: which of the streams is one, its size, and the only functions that write to the streams.

use std::io::{self, IsTerminal as _, Write as _};
use std::os::fd::AsFd;

use super::failure::Failure;
use crate::base::environment::Environment;

/// The properties of the terminal. Tests make their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ui {
    /// True if standard input is a terminal.
    pub(super) types: bool,
    /// The terminal on standard output, if it is one.
    pub(super) stdout: Option<Screen>,
    /// The terminal on standard error, if it is one.
    pub(super) stderr: Option<Screen>,
    /// The place of the user.
    pub(super) seat: Seat,
    /// True if the terminal can show more than ASCII.
    pub(super) unicode: bool,
}

/// A terminal's size and abilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Screen {
    /// The number of characters in a line.
    pub(super) columns: u16,
    /// The number of lines.
    pub(super) rows: u16,
    /// True if escape sequences may be used: bold, colours, links.
    pub(super) styled: bool,
}

/// The place of the user, which decides how a browser can be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seat {
    /// At this machine's desktop.
    Desktop,
    /// At this machine, without a desktop.
    Console,
    /// At another machine, over SSH.
    Remote,
}

impl Ui {
    /// Examines the streams of this process.
    pub(super) fn of_process(environment: &Environment) -> Self {
        let styled = environment.text("NO_COLOR").is_none()
            && environment.text("TERM").is_some_and(|term| term != "dumb");
        let screen = |is_terminal: bool, stream: &dyn AsFd| is_terminal.then(|| Screen::of(stream, styled));
        Self {
            types: io::stdin().is_terminal(),
            stdout: screen(io::stdout().is_terminal(), &io::stdout()),
            stderr: screen(io::stderr().is_terminal(), &io::stderr()),
            seat: Seat::of(environment),
            unicode: speaks_unicode(environment, io::stdout().is_terminal()),
        }
    }

    /// Prints a result and a line feed on standard output.
    pub(super) fn result(&self, text: &str) -> Result<(), Failure> {
        self.print(format!("{text}\n").as_bytes())
    }

    /// Prints bytes on standard output without a change.
    #[expect(clippy::unused_self, reason = "only a holder of the Ui may write")]
    pub(super) fn print(&self, bytes: &[u8]) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(Failure::io)
    }

    /// Prints a value of the protocol as JSON on standard output.
    pub(super) fn json(&self, value: &impl serde::Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(value).map_err(|error| Failure::io(error.into()))?;
        self.result(&text)
    }

    /// Prints a line on standard error. Prints nothing for an empty text.
    #[expect(clippy::unused_self, reason = "only a holder of the Ui may write")]
    pub(super) fn note(&self, text: &str) {
        if !text.is_empty() {
            // If standard error is closed, the error cannot be reported.
            let _ = io::stderr().lock().write_all(format!("{text}\n").as_bytes());
        }
    }

    /// Prints the beginning of a line on standard error, for a prompt.
    #[expect(clippy::unused_self, reason = "only a holder of the Ui may write")]
    pub(super) fn ask(&self, text: &str) {
        let mut stderr = io::stderr().lock();
        // Errors are ignored, as in `note`.
        let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
    }
}

impl Screen {
    fn of(stream: &dyn AsFd, styled: bool) -> Self {
        // A terminal that does not report its size, such as a serial line, is assumed to be 80 by 24.
        let size =
            rustix::termios::tcgetwinsize(stream).ok().filter(|size| size.ws_col > 0 && size.ws_row > 0);
        let (columns, rows) = size.map_or((80, 24), |size| (size.ws_col, size.ws_row));
        Self { columns, rows, styled }
    }
}

impl Seat {
    fn of(environment: &Environment) -> Self {
        let set = |names: &[&str]| names.iter().any(|name| environment.text(name).is_some());
        if set(&["SSH_CONNECTION", "SSH_CLIENT", "SSH_TTY"]) {
            Self::Remote
        } else if cfg!(target_os = "macos") || set(&["DISPLAY", "WAYLAND_DISPLAY"]) {
            Self::Desktop
        } else {
            Self::Console
        }
    }
}

/// Returns whether the locale's variables, in their order of precedence (locale(7)), select UTF-8. Without any, a
/// terminal is assumed not to support UTF-8, and a file is assumed to be UTF-8.
fn speaks_unicode(environment: &Environment, terminal: bool) -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(|name| environment.text(name));
    locale.map_or(!terminal, |locale| {
        let locale = locale.to_ascii_uppercase();
        locale.contains("UTF-8") || locale.contains("UTF8")
    })
}

/// Replaces the characters of a text that would move the cursor, change colours or reverse the direction of writing.
/// Names, addresses and error texts come from other programs and from the network.
pub(super) fn plain(text: &str) -> String {
    let steers =
        |c: char| c.is_control() && c != '\n' || (identity_store::is_invisible(c) && !c.is_whitespace());
    text.chars().map(|c| if steers(c) { '\u{fffd}' } else { c }).collect()
}

/// Returns the text as [`plain`] does, on one line.
pub(super) fn plain_line(text: &str) -> String {
    plain(text).replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_replaces_terminal_control_characters() {
        assert_eq!(
            plain("a\u{1b}[2Jb\u{7}\u{9b}c\u{202e}d\ne"),
            "a\u{fffd}[2Jb\u{fffd}\u{fffd}c\u{fffd}d\ne"
        );
        assert_eq!(plain_line("one\ntwo"), "one two");
        assert_eq!(plain("Zoë 漢字 ✓"), "Zoë 漢字 ✓");
    }

    #[test]
    fn unicode_output_follows_the_locale() {
        let check = |vars: &[(&'static str, &str)], terminal, expect| {
            let environment = Environment::of(vars.iter().map(|(name, value)| (*name, (*value).to_owned())));
            assert_eq!(speaks_unicode(&environment, terminal), expect, "{vars:?} {terminal}");
        };
        check(&[("LANG", "de_DE.UTF-8")], true, true);
        check(&[("LC_CTYPE", "UTF-8"), ("LANG", "C")], true, true);
        check(&[("LC_ALL", "C"), ("LANG", "en_US.utf8")], true, false);
        check(&[("LANG", "de_DE@euro")], false, false);
        check(&[], true, false);
        check(&[], false, true);
    }

    #[test]
    fn seat_is_detected_from_ssh_and_display_variables() {
        let seat = |names: &[&'static str]| {
            Seat::of(&Environment::of(names.iter().map(|name| (*name, "x".to_owned()))))
        };
        assert_eq!(seat(&["SSH_CONNECTION", "DISPLAY"]), Seat::Remote);
        assert_eq!(seat(&["SSH_TTY"]), Seat::Remote);
        assert_eq!(seat(&["WAYLAND_DISPLAY"]), Seat::Desktop);
        assert_eq!(seat(&["DISPLAY"]), Seat::Desktop);
        #[cfg(not(target_os = "macos"))]
        assert_eq!(seat(&[]), Seat::Console);
    }
}
