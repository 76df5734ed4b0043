//! Integration tests: complete logins with a scripted CLI, and recordings of real CLIs.
//!
//! The tests run `examples/fake_cli`, which `cargo test` builds next to them.

#![expect(clippy::unwrap_used, reason = "a test that cannot continue has failed")]

mod cases;
mod conflicts;
mod elsewhere;
mod guard;
mod harness;
mod hostile;
mod links;
mod logout;
mod paste;
mod proof;
mod queue;
mod registry;
mod replays;
mod screen;
mod secret_command;
mod slots;
mod sqlite;
mod terminal;
