//! Reads the screen of a terminal from its byte stream, in bounded memory.
//!
//! A program on a terminal positions words with cursor moves and overwrites what it has drawn. Its stream is therefore
//! not readable as text; only the screen is. This model contains only what is needed to read the screen: rows of
//! characters with their hyperlinks, the cursor, scrolling, and the alternate screen. Colours, modes and titles are
//! omitted.
//!
//! **Rows never wrap.** The terminal is 1000 columns wide, and a row may be even longer. A wrapped URL would become two
//! rows, neither of which is a URL, and the model could not tell where a program wrapped it. Rows are stored only as
//! far as they are written, so width costs nothing.
//!
//! **Reading order.** The result is the same [`Line`] that a pipe gives.
//! - A new row is a complete line as soon as a line feed leaves it. A program that only prints is therefore read as
//!   quickly as on a pipe.
//! - All other changed rows wait until the screen is still ([`Screen::settle`]): rows drawn with cursor moves, and
//!   redrawn rows, whose parts may arrive in any order. The reader must limit this wait, because a spinner is never
//!   still. The cursor's own row is excluded, because the stream may have been split while it was being drawn.
//! - A row that is about to be lost (scrolled off, cleared with its screen, left with the alternate screen) is read
//!   first. A row that is erased individually is not: it is being redrawn.
//! - A row whose text is the same as when it was last read is not read again, however often it is drawn.
//! - At the end of the stream, everything unread is read.
//! - The cursor's row is the unfinished line, which may contain a prompt: [`Screen::partial`].

mod canvas;
mod page;
#[cfg(test)]
mod tests;

use canvas::Canvas;
use page::Drawing;

use crate::terminal::decoder::Decoder;
use crate::terminal::row::Line;

/// A reader for the byte stream of one terminal. It keeps its state wherever the stream is split.
pub(crate) struct Screen {
    decoder: Decoder,
    canvas: Canvas,
}

impl Screen {
    /// Creates a screen. `limit` is the maximum number of characters per row.
    pub(crate) fn new(columns: u16, rows: u16, limit: usize) -> Self {
        Self { decoder: Decoder::default(), canvas: Canvas::new(columns, rows, limit) }
    }

    /// Processes a chunk and passes every completed row to `done`. Empty rows are omitted.
    pub(crate) fn feed(&mut self, chunk: &[u8], done: &mut dyn FnMut(&Line)) {
        self.decoder.feed(&mut Drawing { canvas: &mut self.canvas, done }, chunk);
    }

    /// Reads the changed rows from top to bottom, except the cursor's row.
    pub(crate) fn settle(&mut self, done: &mut dyn FnMut(&Line)) {
        self.canvas.read_all(false, done);
    }

    /// Ends the stream and reads all changed rows.
    pub(crate) fn finish(&mut self, done: &mut dyn FnMut(&Line)) {
        self.canvas.read_all(true, done);
    }

    /// Returns the cursor's row if it is not empty and has changed since it was read.
    pub(crate) fn partial(&self) -> Option<Line> {
        self.canvas.partial()
    }

    /// Returns whether there are unread changes.
    pub(crate) fn has_unread(&self) -> bool {
        self.canvas.has_unread()
    }

    /// Returns whether the cursor's row has changed since the last call.
    pub(crate) fn touched(&mut self) -> bool {
        self.canvas.take_touched()
    }

    /// Makes any text that follows in the cursor's row a separate line. The cursor stays, because the program knows its
    /// position.
    pub(crate) fn break_line(&mut self) {
        self.canvas.break_line();
    }

    /// Takes the next reply to a query that the program has sent to its terminal.
    pub(crate) fn reply(&mut self) -> Option<String> {
        self.canvas.reply()
    }
}
