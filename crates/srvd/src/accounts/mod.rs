//! Accounts: what a user holds, that is bundles, accounts, bindings, instances and profiles.
//!
//! It lists, creates, changes and deletes them. A deletion ends the logins that still run for the deleted rows and
//! removes their directories. It uses `wire`, `base`, `config`, `disk`, `keys`, `agents`, `health` and `refresh`. The
//! caller passes the store, which names the caller in the audit log. It must not run a login, choose the credential of
//! a launch, or know how a request arrived.

#[expect(clippy::module_inception, reason = "the room is named after the record that all others lead to")]
pub(crate) mod accounts;
pub(crate) mod bundles;
pub(crate) mod instances;
pub(crate) mod profiles;
pub(crate) mod removal;
pub(crate) mod strays;
