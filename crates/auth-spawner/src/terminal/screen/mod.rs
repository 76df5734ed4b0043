//! Reads the screen of a terminal from its bytes, in bounded memory.
//!
//! A program on a terminal places words by cursor moves and overwrites what it has drawn. Its stream is therefore no
//! text; only the screen is. This model has only what is needed to read the screen: rows of characters with their
//! hyperlinks, the cursor, scrolling, and the alternate screen. Colours, modes and titles are left out.
//!
//! **No row wraps.** The terminal is 1000 columns wide, and a row may be longer than that. A wrapped address would be
//! two rows of which neither is an address, and the model could not tell where a program has wrapped it. Rows are
//! stored only as far as they are written, so width costs nothing.
//!
//! **Reading order.** The result is the same [`Line`] that a pipe gives.
//! - A new row is a whole line as soon as a line feed leaves it. A program that only prints is thus read as fast as on
//!   a pipe.
//! - All other changed rows wait until the screen is still ([`Screen::settle`]): rows drawn by cursor moves, and rows
//!   drawn again, whose halves may arrive in any order. The reader must limit this wait, because a spinner is never
//!   still. The cursor's own row is not among them, because it may be half drawn wherever the stream was cut.
//! - A row that is about to be lost (scrolled off, cleared with its screen, left with the alternate screen) is read
//!   before. A row that is erased alone is not: it is being drawn again.
//! - A row whose text is the same as at its last reading is not read again, however often it is drawn.
//! - At the end of the stream everything unread is read.
//! - The cursor's row is the unfinished line, which may hold a prompt: [`Screen::partial`].

mod canvas;
mod page;
#[cfg(test)]
mod tests;

use canvas::Canvas;
use page::Drawing;

use crate::terminal::decoder::Decoder;
use crate::terminal::row::Line;

/// A reader of the stream of one terminal. It keeps its state when the stream is cut at any place.
pub(crate) struct Screen {
    decoder: Decoder,
    canvas: Canvas,
}

impl Screen {
    /// Creates a screen. `limit` is the most characters kept of one row.
    pub(crate) fn new(columns: u16, rows: u16, limit: usize) -> Self {
        Self { decoder: Decoder::default(), canvas: Canvas::new(columns, rows, limit) }
    }

    /// Takes a chunk and passes every row that it finishes to `done`. Empty rows are left out.
    pub(crate) fn feed(&mut self, chunk: &[u8], done: &mut dyn FnMut(&Line)) {
        self.decoder.feed(&mut Drawing { canvas: &mut self.canvas, done }, chunk);
    }

    /// Reads the changed rows, from the top to the bottom, but not the cursor's row.
    pub(crate) fn settle(&mut self, done: &mut dyn FnMut(&Line)) {
        self.canvas.read_all(false, done);
    }

    /// Ends the stream and reads all changed rows.
    pub(crate) fn finish(&mut self, done: &mut dyn FnMut(&Line)) {
        self.canvas.read_all(true, done);
    }

    /// Returns the cursor's row, if it has changed since it was read and is not empty.
    pub(crate) fn partial(&self) -> Option<Line> {
        self.canvas.partial()
    }

    /// Returns whether any change has not been read.
    pub(crate) fn has_unread(&self) -> bool {
        self.canvas.has_unread()
    }

    /// Returns whether the cursor's row has changed since the last call.
    pub(crate) fn touched(&mut self) -> bool {
        self.canvas.take_touched()
    }

    /// Makes the text that follows in the cursor's row a line of its own. The cursor stays, because the program knows
    /// its position.
    pub(crate) fn break_line(&mut self) {
        self.canvas.break_line();
    }

    /// Takes the next answer to a question that the program has asked its terminal.
    pub(crate) fn reply(&mut self) -> Option<String> {
        self.canvas.reply()
    }
}
