//! Bytes of a terminal to what stands on its screen, in bounded memory.
//!
//! A program on a terminal places words by cursor moves and draws over what it has drawn, so its stream is no text:
//! only the screen is. This is as much of one as is needed to read it: rows of characters with their hyperlinks, the
//! cursor, scrolling, the alternate screen. Colours, modes and titles are left out.
//!
//! **Nothing wraps.** The terminal is 1000 columns wide, and a row may be longer than that: a wrapped address would be
//! two rows of which neither is an address, and where a program wrapped it by itself no model could tell. Rows are
//! stored as far as they are written, so width costs nothing.
//!
//! **What is read, and when.** What comes out is the same [`Line`] that a pipe gives.
//! - A new row that a line feed leaves is a whole line at once. So a program that only prints is heard as fast as on a
//!   pipe.
//! - Everything else that has changed - rows drawn by cursor moves, and rows drawn again, whose halves may come in any
//!   order - waits until the screen is still ([`Screen::settle`]); who reads must not wait for ever, as a spinner never
//!   is. The cursor's own row is not among them: it is the one that may be half drawn, wherever the stream was cut.
//! - A row that is about to be lost (scrolled off, cleared with its screen, left with the alternate screen) is read
//!   before it goes. A row that is erased alone is not: it is being drawn again.
//! - A row whose text is what was read of it before is not read again, however often it is drawn.
//! - At the end of the stream everything unread is read.
//! - The cursor's row is the unfinished line, in which a prompt may stand: [`Screen::partial`].

mod canvas;
mod page;
#[cfg(test)]
mod tests;

use canvas::Canvas;
use page::Drawing;

use crate::decoder::Decoder;
use crate::row::Line;

/// Reads the stream of one terminal. Keeps its state over any cut of it.
pub(crate) struct Screen {
    decoder: Decoder,
    canvas: Canvas,
}

impl Screen {
    /// `limit` is the most characters kept of one row.
    pub(crate) fn new(columns: u16, rows: u16, limit: usize) -> Self {
        Self { decoder: Decoder::default(), canvas: Canvas::new(columns, rows, limit) }
    }

    /// Takes a chunk and hands every row that is finished with it to `done`. Empty rows are left out.
    pub(crate) fn feed(&mut self, chunk: &[u8], done: &mut dyn FnMut(&Line)) {
        self.decoder.feed(&mut Drawing { canvas: &mut self.canvas, done }, chunk);
    }

    /// Reads what has changed, from the top to the bottom, but not the cursor's row.
    pub(crate) fn settle(&mut self, done: &mut dyn FnMut(&Line)) {
        self.canvas.read_all(false, done);
    }

    /// Ends the stream: everything that has changed is read.
    pub(crate) fn finish(&mut self, done: &mut dyn FnMut(&Line)) {
        self.canvas.read_all(true, done);
    }

    /// The cursor's row, if it has changed since it was read and holds anything.
    pub(crate) fn partial(&self) -> Option<Line> {
        self.canvas.partial()
    }

    /// Whether anything has changed that was not read.
    pub(crate) fn has_unread(&self) -> bool {
        self.canvas.has_unread()
    }

    /// Whether the cursor's row has changed since this was asked last.
    pub(crate) fn touched(&mut self) -> bool {
        self.canvas.take_touched()
    }

    /// What follows in the cursor's row is a line of its own. The cursor stays: the program knows where it is.
    pub(crate) fn break_line(&mut self) {
        self.canvas.break_line();
    }

    /// Takes the next answer to a question that the program has asked its terminal.
    pub(crate) fn reply(&mut self) -> Option<String> {
        self.canvas.reply()
    }
}
