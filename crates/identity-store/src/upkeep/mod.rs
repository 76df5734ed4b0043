//! Use cases on the database as a whole: counts and settings, the audit log, inspection, backup and rotation of the key.
//!
//! The room may use the store, the database and the tombstones. It handles every table in the same way, so a rule about
//! bundles, accounts or tokens must not be here.

pub(crate) mod audit;
pub(crate) mod backup;
pub(crate) mod dump;
pub(crate) mod inspect;
pub(crate) mod rotate;
pub(crate) mod rows;
pub(crate) mod sealed;
pub(crate) mod service;
