//! The client side of OAuth: logins at forges, and the refresh of their tokens.
//!
//! - [`forge`]: the forges as data, made from the settings in `srvd.toml`.
//! - [`http`] does one bounded exchange. `tidy` converts the forges' real answers to the form of RFC 6749, so that the
//!   `oauth2` crate can read them. [`granted`] and [`failure`] hold the meaning of an answer.
//! - [`issuer`] sends the requests: authorization URL, code, refresh, device grant.
//! - [`revoke`] revokes tokens that are no longer used.
//! - [`table`] holds the live logins, [`flows`] runs them, [`callback`] reads the request that a browser brings back.

pub(crate) mod callback;
pub(crate) mod failure;
pub(crate) mod flows;
pub(crate) mod forge;
pub(crate) mod granted;
pub(crate) mod http;
pub(crate) mod identity;
pub(crate) mod issuer;
pub(crate) mod revoke;
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
