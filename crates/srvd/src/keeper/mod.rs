//! Keeping CLI logins alive: the official CLI of a login renews it before an agent has to.
//!
//! - `schedule` decides when a login is renewed, and `outcome` judges a run by the files before and after it. `canary`
//!   holds logins back after a new version of their CLI. These parts perform no I/O.
//! - `flight` lets one CLI run at a time for each login directory, whoever asked for it, and `run` is such a run.
//! - `actor` owns the agenda of due logins, and `notice` tells the user about refused logins and near deadlines.
//! - `report` describes the state for clients.
//! - `limits` judges what is left of a subscription, and `quota` asks the CLIs for it.
//!
//! No token is sent, read or stored here, and no lock of a CLI is taken. The room uses `wire`, `base`, `config`, `disk`,
//! `audit` and `login`, which finds the CLIs. It must not choose credentials or change the status of an account.

mod actor;
mod canary;
mod flight;
mod limits;
mod notice;
mod outcome;
mod quota;
mod report;
mod run;
mod schedule;
mod seen;
mod settings;

pub(crate) use actor::{KeeperSignal, watch_over};
pub(crate) use flight::{Keeper, KeeperConfig};
pub(crate) use settings::KeeperSettings;
