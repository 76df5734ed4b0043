//! Launch: the account of each provider that an agent runs with, and the exact change of its environment.
//!
//! `gather` collects the candidates of a bundle, an instance or an agent, `decide` chooses among them without I/O, `settle`
//! refreshes and reads what the choice needs, `placement` gives every CLI its home, `environment` makes the variables,
//! and `starting` and `report` make the answer. It uses `wire`, `base`, `config`, `disk`, `keys`, `agents` and `refresh`.
//! It must not read the app state or write to the store. `launch.resolve`, `launch.ready` and `profile.best` have no
//! other engine.

mod candidate;
mod decide;
mod environment;
mod gather;
mod launcher;
mod placement;
mod plan;
mod refusal;
mod report;
mod settle;
mod starting;
mod subject;

pub(crate) use environment::RemovalRules;
pub(crate) use launcher::{Launcher, LauncherConfig};
