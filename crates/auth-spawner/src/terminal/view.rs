//! The two ways to read a child's output: as lines from a pipe, or as a terminal screen.

use super::lines::Lines;
use super::row::Line;
use super::screen::Screen;
use crate::registry::Terminal;

pub(crate) enum View {
    Lines(Box<Lines>),
    Screen(Box<Screen>),
}

impl View {
    /// Creates a view. `limit` is the maximum number of characters per line.
    pub(crate) fn new(terminal: Terminal, limit: usize) -> Self {
        match terminal {
            Terminal::Pipe => Self::Lines(Box::new(Lines::new(limit))),
            Terminal::Pty { columns, rows } => Self::Screen(Box::new(Screen::new(columns, rows, limit))),
        }
    }

    /// Processes a chunk and passes every completed line to `done`.
    pub(crate) fn feed(&mut self, chunk: &[u8], done: &mut dyn FnMut(&Line)) {
        match self {
            Self::Lines(lines) => lines.feed(chunk, done),
            Self::Screen(screen) => screen.feed(chunk, done),
        }
    }

    /// Ends the stream. All unread text then counts as complete.
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

    /// Makes the text that follows a separate line.
    pub(crate) fn break_line(&mut self) {
        match self {
            Self::Lines(lines) => lines.finish(&mut |_| {}),
            Self::Screen(screen) => screen.break_line(),
        }
    }

    /// Takes the next reply to a query that the child has sent to its terminal. A pipe receives no queries.
    pub(crate) fn reply(&mut self) -> Option<String> {
        match self {
            Self::Lines(_) => None,
            Self::Screen(screen) => screen.reply(),
        }
    }
}
