//! How the output of a child is read: as lines from a pipe, as a screen from a terminal.

use crate::lines::Lines;
use crate::recipe::Terminal;
use crate::row::Line;
use crate::screen::Screen;
use crate::skim::Skim;

pub(super) enum View {
    Lines(Box<Lines>),
    Screen(Box<Screen>),
}

impl View {
    /// `limit` is the most characters of a line. `skim` knows the lines that matter.
    pub(super) fn new(terminal: Terminal, limit: usize, skim: Option<Skim>) -> Self {
        match terminal {
            Terminal::Pipe => Self::Lines(Box::new(Lines::new(limit, skim))),
            Terminal::Pty { columns, rows } => Self::Screen(Box::new(Screen::new(columns, rows, limit))),
        }
    }

    /// Takes a chunk and hands what is whole with it, and may matter, to `done`.
    pub(super) fn feed(&mut self, chunk: &[u8], done: &mut dyn FnMut(&Line)) {
        match self {
            Self::Lines(lines) => lines.feed(chunk, done),
            Self::Screen(screen) => screen.feed(chunk, done),
        }
    }

    /// The end of the stream: all that is unread is whole.
    pub(super) fn finish(&mut self, done: &mut dyn FnMut(&Line)) {
        match self {
            Self::Lines(lines) => lines.finish(done),
            Self::Screen(screen) => screen.finish(done),
        }
    }

    /// Reads what was drawn, except where the cursor is.
    pub(super) fn settle(&mut self, done: &mut dyn FnMut(&Line)) {
        if let Self::Screen(screen) = self {
            screen.settle(done);
        }
    }

    pub(super) fn partial(&self) -> Option<Line> {
        match self {
            Self::Lines(lines) => lines.partial(),
            Self::Screen(screen) => screen.partial(),
        }
    }

    /// Whether the unfinished line has changed since this was asked last.
    pub(super) fn touched(&mut self) -> bool {
        match self {
            Self::Lines(lines) => lines.touched(),
            Self::Screen(screen) => screen.touched(),
        }
    }

    pub(super) fn has_unread(&self) -> bool {
        match self {
            Self::Lines(lines) => lines.has_partial(),
            Self::Screen(screen) => screen.has_unread(),
        }
    }

    /// What follows is a line of its own.
    pub(super) fn break_line(&mut self) {
        match self {
            Self::Lines(lines) => lines.finish(&mut |_| {}),
            Self::Screen(screen) => screen.break_line(),
        }
    }

    /// An answer to what the child has asked its terminal. A pipe is asked nothing.
    pub(super) fn reply(&mut self) -> Option<String> {
        match self {
            Self::Lines(_) => None,
            Self::Screen(screen) => screen.reply(),
        }
    }
}
