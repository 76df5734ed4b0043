//! The text of a CLI's output: lines from a pipe, rows from a terminal screen.
//!
//! The room turns bytes into [`Line`]s, in bounded memory and wherever the stream is split. It may use the registry
//! only for the kind of terminal. The meaning of a line must not be in it.

mod decoder;
mod lines;
mod row;
mod screen;
mod view;

pub(crate) use row::Line;
pub(crate) use view::View;
