//! The rows of a screen, its cursor, and a record of what has already been read.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::terminal::row::{Line, Row};

/// The maximum number of rows on a screen, whatever the registry requests.
const ROWS: u16 = 500;
/// The maximum number of pending replies. A program that sends queries faster is not reading the replies.
const REPLIES: usize = 16;

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Position {
    pub(super) row: usize,
    pub(super) column: usize,
}

/// A row, and a record of what has already been read of it.
#[derive(Debug, Default)]
pub(super) struct Track {
    row: Row,
    /// True if the row has changed since it was read.
    fresh: bool,
    /// The first column to read. Text before it was written before an answer was given, and is not read again.
    from: usize,
    /// A hash of the text that was last read.
    pub(super) shown: Option<u64>,
}

impl Track {
    /// Returns the row for writing from this column onwards.
    pub(super) fn edit(&mut self, column: usize) -> &mut Row {
        self.fresh = true;
        if column < self.from {
            self.from = 0;
        }
        &mut self.row
    }

    pub(super) fn erase(&mut self, column: usize, count: usize) {
        if !self.row.is_empty() {
            self.edit(column).erase(column, count);
        }
    }

    pub(super) fn read(&mut self, line: &mut Line, done: &mut dyn FnMut(&Line)) {
        if !std::mem::take(&mut self.fresh) {
            return;
        }
        self.row.read(self.from, line);
        if line.is_empty() {
            return;
        }
        let mut hasher = DefaultHasher::new();
        line.hash(&mut hasher);
        let hash = Some(hasher.finish());
        if std::mem::replace(&mut self.shown, hash) != hash {
            done(line);
        }
    }

    pub(super) fn reset(&mut self) {
        self.row.clear();
        (self.fresh, self.from, self.shown) = (false, 0, None);
    }
}

pub(super) struct Canvas {
    columns: usize,
    pub(super) limit: usize,
    pub(super) rows: VecDeque<Track>,
    /// The main screen, while the alternate screen is shown.
    pub(super) main: Option<(VecDeque<Track>, Position)>,
    pub(super) cursor: Position,
    pub(super) saved: Position,
    /// The first and last row of the scrolling region.
    pub(super) margins: (usize, usize),
    pub(super) link: Option<String>,
    pub(super) touched: bool,
    replies: VecDeque<String>,
    /// A buffer reused for each row.
    pub(super) line: Line,
}

impl Canvas {
    pub(super) fn new(columns: u16, rows: u16, limit: usize) -> Self {
        let rows = usize::from(rows.clamp(1, ROWS));
        Self {
            columns: usize::from(columns.max(1)).min(limit),
            limit,
            rows: (0..rows).map(|_| Track::default()).collect(),
            main: None,
            cursor: Position::default(),
            saved: Position::default(),
            margins: (0, rows - 1),
            link: None,
            touched: false,
            replies: VecDeque::new(),
            line: Line::default(),
        }
    }

    pub(super) fn read_all(&mut self, cursors_too: bool, done: &mut dyn FnMut(&Line)) {
        for (position, track) in self.rows.iter_mut().enumerate() {
            if cursors_too || position != self.cursor.row {
                track.read(&mut self.line, done);
            }
        }
    }

    pub(super) fn partial(&self) -> Option<Line> {
        let track = self.rows.get(self.cursor.row).filter(|track| track.fresh)?;
        let mut line = Line::default();
        track.row.read(track.from, &mut line);
        (!line.is_empty()).then_some(line)
    }

    pub(super) fn has_unread(&self) -> bool {
        self.rows.iter().any(|track| track.fresh && !track.row.is_empty())
    }

    pub(super) fn take_touched(&mut self) -> bool {
        std::mem::take(&mut self.touched)
    }

    pub(super) fn break_line(&mut self) {
        let track = &mut self.rows[self.cursor.row];
        (track.fresh, track.from, track.shown) = (false, self.cursor.column, None);
    }

    pub(super) fn reply(&mut self) -> Option<String> {
        self.replies.pop_front()
    }

    pub(super) fn answer(&mut self, text: String) {
        if self.replies.len() < REPLIES {
            self.replies.push_back(text);
        }
    }

    pub(super) fn bottom(&self) -> usize {
        self.rows.len() - 1
    }

    pub(super) fn go(&mut self, row: usize, column: usize) {
        // Only text can extend beyond the last column.
        let farthest = (self.columns - 1).max(self.cursor.column);
        self.cursor = Position { row: row.min(self.bottom()), column: column.min(farthest) };
    }

    pub(super) fn up(&mut self, count: usize) {
        let top = if self.cursor.row < self.margins.0 { 0 } else { self.margins.0 };
        self.cursor.row = self.cursor.row.saturating_sub(count).max(top);
    }

    pub(super) fn down(&mut self, count: usize) {
        let bottom = if self.cursor.row > self.margins.1 { self.bottom() } else { self.margins.1 };
        self.cursor.row = self.cursor.row.saturating_add(count).min(bottom);
    }

    pub(super) fn right(&mut self, count: usize) {
        self.go(self.cursor.row, self.cursor.column.saturating_add(count));
    }

    pub(super) fn left(&mut self, count: usize) {
        self.cursor.column = self.cursor.column.saturating_sub(count);
    }

    pub(super) fn set_margins(&mut self, first: usize, last: usize) {
        let last = if last == 0 { self.bottom() } else { (last - 1).min(self.bottom()) };
        let first = first.max(1) - 1;
        if first < last || self.bottom() == 0 {
            self.margins = (first.min(last), last);
            self.cursor = Position::default();
        }
    }

    pub(super) fn report(&mut self) {
        let Position { row, column } = self.cursor;
        self.answer(format!("\x1b[{};{}R", row + 1, column.min(self.columns - 1) + 1));
    }
}
