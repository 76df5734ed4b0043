//! The effects of control functions on a screen (ECMA-48, and xterm's private modes).

use vte::Params;

use super::canvas::{Canvas, Position, Track};
use crate::terminal::decoder::{Page, number};
use crate::terminal::row::{Line, Row};

/// A canvas while it is being drawn on.
pub(super) struct Drawing<'a> {
    pub(super) canvas: &'a mut Canvas,
    pub(super) done: &'a mut dyn FnMut(&Line),
}

impl Drawing<'_> {
    /// Returns the cursor's row for writing from the cursor onwards.
    fn track(&mut self) -> &mut Track {
        self.canvas.touched = true;
        &mut self.canvas.rows[self.canvas.cursor.row]
    }

    fn write(&mut self, write: impl FnOnce(&mut Row, usize, usize) -> usize) {
        let canvas = &mut *self.canvas;
        let column = canvas.cursor.column;
        if column >= canvas.limit {
            return;
        }
        let row = canvas.rows[canvas.cursor.row].edit(column);
        if let Some(target) = &canvas.link {
            row.link(target);
        }
        canvas.cursor.column = write(row, column, canvas.limit);
        canvas.touched = true;
    }

    fn read(&mut self, position: usize) {
        self.canvas.rows[position].read(&mut self.canvas.line, self.done);
    }

    fn line_feed(&mut self) {
        let row = self.canvas.cursor.row;
        if self.canvas.rows[row].shown.is_none() {
            self.read(row);
        }
        if row == self.canvas.margins.1 {
            self.scroll_up(self.canvas.margins.0, 1);
        } else {
            self.canvas.down(1);
        }
    }

    fn reverse_line_feed(&mut self) {
        if self.canvas.cursor.row == self.canvas.margins.0 {
            self.scroll_down(self.canvas.margins.0, 1);
        } else {
            self.canvas.up(1);
        }
    }

    /// Removes rows at `top`. The rows below, down to the end of the scrolling region, move up.
    fn scroll_up(&mut self, top: usize, count: usize) {
        self.shift(top, self.canvas.margins.1, count);
    }

    /// Inserts empty rows at `top`. The last rows of the scrolling region are lost.
    fn scroll_down(&mut self, top: usize, count: usize) {
        self.shift(self.canvas.margins.1, top, count);
    }

    /// Removes rows at one position and inserts empty ones at the other.
    fn shift(&mut self, from: usize, to: usize, count: usize) {
        for _ in 0..count.min(from.abs_diff(to) + 1) {
            self.read(from);
            if let Some(mut track) = self.canvas.rows.remove(from) {
                track.reset();
                self.canvas.rows.insert(to, track);
            }
        }
    }

    fn erase_display(&mut self, how: usize) {
        let Position { row, column } = self.canvas.cursor;
        let (others, own) = match how {
            0 => (row + 1..self.canvas.rows.len(), (column, usize::MAX)),
            1 => (0..row, (0, column + 1)),
            // Rows that have scrolled off are not stored.
            3 => return,
            _ => (0..self.canvas.rows.len(), (0, usize::MAX)),
        };
        for position in others {
            self.read(position);
            self.canvas.rows[position].erase(0, usize::MAX);
        }
        self.track().erase(own.0, own.1);
    }

    fn erase_line(&mut self, how: usize) {
        let column = self.canvas.cursor.column;
        match how {
            0 => self.track().erase(column, usize::MAX),
            1 => self.track().erase(0, column + 1),
            _ => self.track().erase(0, usize::MAX),
        }
    }

    fn edit_cells(&mut self, action: char, count: usize) {
        let (column, limit) = (self.canvas.cursor.column, self.canvas.limit);
        let track = self.track();
        match action {
            'X' => track.erase(column, count),
            'P' => track.edit(column).delete(column, count),
            _ => track.edit(column).insert(column, count, limit),
        }
    }

    fn edit_rows(&mut self, action: char, count: usize) {
        let row = self.canvas.cursor.row;
        let (top, bottom) = self.canvas.margins;
        match action {
            'S' => self.scroll_up(top, count),
            'T' => self.scroll_down(top, count),
            'L' if (top..=bottom).contains(&row) => self.scroll_down(row, count),
            'M' if (top..=bottom).contains(&row) => self.scroll_up(row, count),
            _ => {}
        }
    }

    fn alternate(&mut self, shown: bool) {
        if shown == self.canvas.main.is_some() {
            return;
        }
        self.canvas.read_all(true, self.done);
        let canvas = &mut *self.canvas;
        if let Some((rows, cursor)) = canvas.main.take() {
            (canvas.rows, canvas.cursor) = (rows, cursor);
        } else {
            let blank = canvas.rows.iter().map(|_| Track::default()).collect();
            canvas.main = Some((std::mem::replace(&mut canvas.rows, blank), canvas.cursor));
        }
        canvas.margins = (0, canvas.bottom());
    }

    fn reset(&mut self) {
        self.alternate(false);
        self.erase_display(2);
        let canvas = &mut *self.canvas;
        (canvas.cursor, canvas.saved, canvas.link) = (Position::default(), Position::default(), None);
        canvas.margins = (0, canvas.bottom());
    }

    fn private(&mut self, action: char, params: &Params) {
        for mode in params.iter().filter_map(|param| param.first()) {
            match (mode, action) {
                (47 | 1047 | 1049, 'h' | 'l') => self.alternate(action == 'h'),
                (1048, 'h') => self.canvas.saved = self.canvas.cursor,
                (1048, 'l') => self.canvas.cursor = self.canvas.saved,
                _ => {}
            }
        }
    }
}

impl Page for Drawing<'_> {
    fn ascii(&mut self, text: &[u8]) {
        self.write(|row, column, limit| row.ascii(column, text, limit));
    }

    fn character(&mut self, character: char) {
        self.write(|row, column, limit| row.character(column, character, limit));
    }

    fn control(&mut self, byte: u8) {
        match byte {
            b'\n' | 0x0b | 0x0c => self.line_feed(),
            b'\r' => self.canvas.cursor.column = 0,
            0x08 => self.canvas.left(1),
            b'\t' => {
                let column = self.canvas.cursor.column;
                self.canvas.go(self.canvas.cursor.row, (column / 8 + 1) * 8);
            }
            _ => {}
        }
    }

    fn sequence(&mut self, private: u8, action: char, params: &Params) {
        let (first, second) = (number(params, 0), number(params, 1));
        let count = first.max(1);
        let Position { row, column } = self.canvas.cursor;
        match (private, action) {
            (b'?', _) => self.private(action, params),
            // Device attributes of a VT102, which is a simpler terminal than any program needs.
            (b'>', 'c') if first == 0 => self.canvas.answer("\x1b[>0;1;1c".to_owned()),
            (0, 'c') if first == 0 => self.canvas.answer("\x1b[?6c".to_owned()),
            (0, 'n') if first == 5 => self.canvas.answer("\x1b[0n".to_owned()),
            (0, 'n') if first == 6 => self.canvas.report(),
            (0, 'A') => self.canvas.up(count),
            (0, 'B' | 'e') => self.canvas.down(count),
            (0, 'C' | 'a') => self.canvas.right(count),
            (0, 'D') => self.canvas.left(count),
            (0, 'E' | 'F') => {
                self.canvas.cursor.column = 0;
                if action == 'E' { self.canvas.down(count) } else { self.canvas.up(count) }
            }
            (0, 'G' | '`') => self.canvas.go(row, count - 1),
            (0, 'd') => self.canvas.go(count - 1, column),
            (0, 'H' | 'f') => self.canvas.go(count - 1, second.max(1) - 1),
            (0, 'J') => self.erase_display(first),
            (0, 'K') => self.erase_line(first),
            (0, 'X' | 'P' | '@') => self.edit_cells(action, count),
            (0, 'L' | 'M' | 'S' | 'T') => self.edit_rows(action, count),
            (0, 'r') => self.canvas.set_margins(first, second),
            (0, 's') => self.canvas.saved = self.canvas.cursor,
            (0, 'u') => self.canvas.cursor = self.canvas.saved,
            _ => {}
        }
    }

    fn escape(&mut self, byte: u8) {
        match byte {
            b'D' => self.line_feed(),
            b'E' => {
                self.line_feed();
                self.canvas.cursor.column = 0;
            }
            b'M' => self.reverse_line_feed(),
            b'7' => self.canvas.saved = self.canvas.cursor,
            b'8' => self.canvas.cursor = self.canvas.saved,
            b'c' => self.reset(),
            _ => {}
        }
    }

    fn link(&mut self, target: Option<&str>) {
        self.canvas.link = target.map(str::to_owned);
    }

    fn is_full(&self) -> bool {
        self.canvas.cursor.column >= self.canvas.limit
    }
}
