//! Use cases on accounts: reading, editing, deleting, their status, their sealed secrets and their directories.
//!
//! The room may use the store below it, instances and tombstones. Other rooms build on it: bundles bind accounts, token
//! sets and profiles belong to them. Nothing here decides which bundle, profile or operator an account is for, and no
//! token is refreshed here.

pub(crate) mod credentials;
pub(crate) mod delete;
pub(crate) mod keeping;
pub(crate) mod leftovers;
pub(crate) mod links;
pub(crate) mod login_texts;
pub(crate) mod logins;
pub(crate) mod page;
pub(crate) mod rows;
pub(crate) mod secrets;
pub(crate) mod status;
