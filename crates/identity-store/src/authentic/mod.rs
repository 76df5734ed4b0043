//! The authentication of rows: the columns of each table that decide where a credential goes or whose it is, and the
//! code over them that only a holder of the encryption key can make.
//!
//! [`tables`] is the one list. A statement that reads such a row selects `signed!(table)` with it and checks the
//! [`Seal`]; a statement that writes one computes the code of the [`Fields`] it intends, never of what it reads back, so
//! that a trigger of another program cannot have its change signed. The [`census`] finds rows that are missing. The room
//! may use the database, errors, ids and secrets. It must not know a use case.

pub(crate) mod census;
mod fields;
mod scan;
mod seal;
#[macro_use]
mod tables;

pub(crate) use fields::{Fields, fields_in, known, setting};
pub(crate) use scan::{Page, page, resign};
pub(crate) use seal::{Link, Seal};
pub(crate) use tables::{
    ACCOUNTS, AGENT_INSTANCES, CLIENT_TOKENS, FORGE_WATCHES, IDENTITY_BINDINGS, IDENTITY_BUNDLES,
    LOGIN_SESSIONS, OPERATOR_TOKENS, PENDING_LOGINS, SERVICE_SETTINGS, TABLES, TOKENS, TOMBSTONES, Table,
    USER_PROFILES,
};
