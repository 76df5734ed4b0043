//! The progress line of a command that waits for the user.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::super::ui::Ui;

/// A spinner with the current state on a terminal; without one, a plain line for each new state.
pub(super) struct Progress {
    spinner: Option<ProgressBar>,
    state: String,
    ui: Ui,
}

impl Progress {
    /// Starts with the given state.
    pub(super) fn start(ui: &Ui, state: &str) -> Self {
        let mut progress = Self { spinner: ui.stderr.map(|_| spinner()), state: String::new(), ui: *ui };
        progress.state(state);
        progress
    }

    /// Shows another state.
    pub(super) fn state(&mut self, state: &str) {
        if self.state == state {
            return;
        }
        state.clone_into(&mut self.state);
        match &self.spinner {
            Some(spinner) => spinner.set_message(self.state.clone()),
            None => self.ui.note(state),
        }
    }

    /// Prints lines above the spinner. Prints nothing for an empty text.
    pub(super) fn note(&self, text: &str) {
        match &self.spinner {
            Some(spinner) => spinner.suspend(|| self.ui.note(text)),
            None => self.ui.note(text),
        }
    }
}

fn spinner() -> ProgressBar {
    let spinner = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
        spinner.set_style(style);
    }
    spinner.enable_steady_tick(Duration::from_millis(100));
    spinner
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(spinner) = self.spinner.take() {
            spinner.finish_and_clear();
        }
    }
}
