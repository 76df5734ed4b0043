//! The HTTP face of the daemon: who may connect, and what each path answers.

pub mod gate;
mod listen;
mod operator;
mod respond;

pub use listen::{Front, Listeners};
