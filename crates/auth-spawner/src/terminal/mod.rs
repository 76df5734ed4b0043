//! The text of a CLI's output: lines from a pipe, rows from the screen of a terminal.
//!
//! The room turns bytes into [`Line`]s in bounded memory, wherever the stream is cut. It may use the registry for the
//! kind of a terminal, and nothing else. The meaning of a line must not be in it.

mod decoder;
mod lines;
mod row;
mod screen;
mod view;

pub(crate) use row::Line;
pub(crate) use view::View;
