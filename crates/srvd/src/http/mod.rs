//! The HTTP face of the daemon: who may connect, and what each path answers.

pub mod gate;
mod listen;
mod respond;

pub use listen::{Front, Listeners};
