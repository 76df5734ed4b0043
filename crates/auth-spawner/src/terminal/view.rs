//! The two ways to read the output of a child: as lines from a pipe, as a screen from a terminal.

use super::lines::Lines;
use super::row::Line;
use super::screen::Screen;
use crate::registry::Terminal;

pub(crate) enum View {
    Lines(Box<Lines>),
    Screen(Box<Screen>),
}

impl View {
    /// Creates a view. `limit` is the most characters of a line.
    pub(crate) fn new(terminal: Terminal, limit: usize) -> Self {
        match terminal {
            Terminal::Pipe => Self::Lines(Box::new(Lines::new(limit))),
            Terminal::Pty { columns, rows } => Self::Screen(Box::new(Screen::new(columns, rows, limit))),
        }
    }

    /// Takes a chunk and passes to `done` the lines that it finishes.
    pub(crate) fn feed(&mut self, chunk: &[u8], done: &mut dyn FnMut(&Line)) {
        match self {
            Self::Lines(lines) => lines.feed(chunk, done),
            Self::Screen(screen) => screen.feed(chunk, done),
        }
    }

    /// Ends the stream. All unread text counts as whole.
    pub(crate) fn finish(&mut self, done: &mut dyn FnMut(&Line)) {
        match self {
            Self::Lines(lines) => lines.finish(done),
            Self::Screen(screen) => screen.finish(done),
        }
    }

    /// Reads drawn rows, except the cursor's.
    pub(crate) fn settle(&mut self, done: &mut dyn FnMut(&Line)) {
        if let Self::Screen(screen) = self {
            screen.settle(done);
        }
    }

    pub(crate) fn partial(&self) -> Option<Line> {
        match self {
            Self::Lines(lines) => lines.partial(),
            Self::Screen(screen) => screen.partial(),
        }
    }

    /// Returns whether the unfinished line has changed since the last call.
    pub(crate) fn touched(&mut self) -> bool {
        match self {
            Self::Lines(lines) => lines.touched(),
            Self::Screen(screen) => screen.touched(),
        }
    }

    pub(crate) fn has_unread(&self) -> bool {
        match self {
            Self::Lines(lines) => lines.has_partial(),
            Self::Screen(screen) => screen.has_unread(),
        }
    }

    /// Makes the text that follows a line of its own.
    pub(crate) fn break_line(&mut self) {
        match self {
            Self::Lines(lines) => lines.finish(&mut |_| {}),
            Self::Screen(screen) => screen.break_line(),
        }
    }

    /// Takes the next answer to a question of the child to its terminal. A pipe gets no questions.
    pub(crate) fn reply(&mut self) -> Option<String> {
        match self {
            Self::Lines(_) => None,
            Self::Screen(screen) => screen.reply(),
        }
    }
}
