//! The client side of OAuth: logins at forges, and refreshing their tokens.
//!
//! - [`forge`]: forges as data, built from the settings in `srvd.toml`.
//! - [`http`] performs one bounded exchange. `tidy` converts real forge responses to the form defined in RFC 6749, so
//!   that the `oauth2` crate can read them. [`granted`] and [`failure`] represent the meaning of a response.
//! - [`issuer`] sends the requests: authorization URL, code, refresh, device login.
//! - [`scopes`] names the scopes that a forge refused.
//! - [`revoke`] revokes tokens that are no longer used.
//! - [`table`] contains the live logins, [`flows`] runs them, and [`callback`] parses the request with which a browser
//!   returns.

pub(crate) mod callback;
pub(crate) mod failure;
pub(crate) mod flows;
pub(crate) mod forge;
pub(crate) mod granted;
pub(crate) mod http;
pub(crate) mod identity;
pub(crate) mod issuer;
pub(crate) mod revoke;
pub(crate) mod scopes;
pub(crate) mod starting;
pub(crate) mod table;
mod tidy;

pub(crate) use failure::{Failure, PermanentFailure, TransientFailure};
pub(crate) use flows::Flows;
pub(crate) use forge::{Forge, Forges};
pub(crate) use granted::Granted;
pub(crate) use http::Http;
pub(crate) use issuer::Issuer;
pub(crate) use revoke::Returns;

#[cfg(test)]
mod tests;
