//! Launch: the account of each provider that an agent runs with, and the exact change of its environment.
//!
//! `gather` collects the candidates of a bundle, an instance or an agent, `decide` chooses among them without I/O, `settle`
//! refreshes and reads what the choice needs, `environment` makes the variables, `furnish` brings the homes up to date, and
//! `report` makes the answer. It uses `wire`, `base`, `config`, `disk`, `keys`, `agents`, `refresh` and `share`. It must not
//! read the app state or write to the store. `launch.resolve`, `launch.ready` and `profile.best` have no other engine.

mod candidate;
mod decide;
mod environment;
mod furnish;
mod gather;
mod launcher;
mod plan;
mod refusal;
mod report;
mod settle;
mod subject;

pub(crate) use environment::EnvironmentConflicts;
pub(crate) use launcher::{Launcher, LauncherConfig};
