//! One row of text that can be overwritten.

use unicode_width::UnicodeWidthChar;

/// The maximum number of hyperlinks stored per row.
const LINKS: usize = 8;
/// The content of the second cell of a character that is two columns wide.
const WIDE: char = '\0';

/// A line of text, or the part of an unfinished line received so far.
#[derive(Debug, Clone, PartialEq, Eq, Default, Hash)]
pub(crate) struct Line {
    /// The printable text, without control characters and direction marks.
    pub(crate) text: String,
    /// The targets of the hyperlinks in the line.
    pub(crate) links: Vec<String>,
}

impl Line {
    pub(crate) fn is_empty(&self) -> bool {
        self.text.is_empty() && self.links.is_empty()
    }
}

/// The cells up to the last one written, and the hyperlinks among them.
#[derive(Debug, Default)]
pub(crate) struct Row {
    cells: Vec<char>,
    links: Vec<String>,
}

impl Row {
    pub(crate) fn is_empty(&self) -> bool {
        self.cells.is_empty() && self.links.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.cells.clear();
        self.links.clear();
    }

    /// Writes printable ASCII and returns the new cursor column. Text beyond `limit` is dropped.
    pub(crate) fn ascii(&mut self, column: usize, text: &[u8], limit: usize) -> usize {
        let text = &text[..text.len().min(limit.saturating_sub(column))];
        if text.is_empty() {
            return column;
        }
        let end = column + text.len();
        self.open(column, end);
        let (over, beyond) = text.split_at(text.len().min(self.cells.len() - column));
        for (cell, byte) in self.cells[column..].iter_mut().zip(over) {
            *cell = char::from(*byte);
        }
        self.cells.extend(beyond.iter().copied().map(char::from));
        end
    }

    /// Writes one character and returns the new cursor column. A zero-width character is dropped, because it would push
    /// the characters after it out of their columns.
    pub(crate) fn character(&mut self, column: usize, character: char, limit: usize) -> usize {
        let width = character.width().unwrap_or(0);
        if width == 0 || column + width > limit {
            return column;
        }
        let end = column + width;
        self.open(column, end);
        self.cells.resize(self.cells.len().max(end), WIDE);
        self.cells[column] = character;
        self.cells[column + 1..end].fill(WIDE);
        end
    }

    /// Makes room for text from `column` to `end`.
    fn open(&mut self, column: usize, end: usize) {
        self.split(column);
        self.split(end);
        if self.cells.len() < column {
            self.cells.resize(column, ' ');
        }
    }

    /// Blanks both cells of a wide character that would be split at `column`.
    fn split(&mut self, column: usize) {
        if column > 0 && self.cells.get(column) == Some(&WIDE) {
            self.cells[column - 1..=column].fill(' ');
        }
    }

    /// Clears the cells from `column` onwards.
    pub(crate) fn truncate(&mut self, column: usize) {
        self.split(column);
        self.cells.truncate(column);
        if column == 0 {
            self.links.clear();
        }
    }

    /// Clears cells. The cells after them stay where they are.
    pub(crate) fn erase(&mut self, column: usize, count: usize) {
        let end = column.saturating_add(count);
        if end >= self.cells.len() {
            return self.truncate(column);
        }
        self.split(column);
        self.split(end);
        self.cells[column..end].fill(' ');
    }

    /// Removes cells. The cells after them move left.
    pub(crate) fn delete(&mut self, column: usize, count: usize) {
        let end = column.saturating_add(count);
        if end >= self.cells.len() {
            return self.truncate(column);
        }
        self.split(column);
        self.split(end);
        self.cells.drain(column..end);
    }

    /// Inserts empty cells. The cells after them move right, and are lost beyond `limit`.
    pub(crate) fn insert(&mut self, column: usize, count: usize, limit: usize) {
        if column < self.cells.len() {
            self.split(column);
            let count = count.min(limit.saturating_sub(column));
            self.cells.splice(column..column, std::iter::repeat_n(' ', count));
            self.split(limit);
            self.cells.truncate(limit);
        }
    }

    /// Records a hyperlink's target. Only the newest ones are kept: a row that is redrawn gets its links again.
    pub(crate) fn link(&mut self, target: &str) {
        if self.links.iter().any(|known| known == target) {
            return;
        }
        if self.links.len() == LINKS {
            self.links.remove(0);
        }
        self.links.push(target.to_owned());
    }

    /// Reads the row from a column onwards, without trailing spaces.
    pub(crate) fn read(&self, from: usize, line: &mut Line) {
        let cells = self.cells.get(from..).unwrap_or_default();
        let end =
            cells.iter().rposition(|cell| *cell != WIDE && !cell.is_whitespace()).map_or(0, |at| at + 1);
        let cells = &cells[..end];
        line.text.clear();
        line.text.extend(cells.iter().filter(|cell| **cell != WIDE));
        line.links.clone_from(&self.links);
    }
}
