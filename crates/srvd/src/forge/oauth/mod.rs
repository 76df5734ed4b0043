//! The client side of OAuth: logins at forges, and the refresh of their tokens.
//!
//! - [`forge`]: the forges as data, made from the settings in `srvd.toml`.
//! - [`http`] does one bounded exchange. `tidy` converts the forges' real answers to the form of RFC 6749, so that the
//!   `oauth2` crate can read them. [`granted`] and [`failure`] hold the meaning of an answer.
//! - [`issuer`] sends the requests: authorization URL, code, refresh, device grant.
//! - [`revoke`] revokes tokens that are no longer used.
//! - [`table`] holds the live logins, [`flows`] runs them, [`callback`] reads the request that a browser brings back.

pub mod callback;
pub mod failure;
pub mod flows;
pub mod forge;
pub mod granted;
pub mod http;
pub mod identity;
pub mod issuer;
pub mod revoke;
pub mod table;
mod tidy;

pub use failure::{Dead, Failure, Misconfigured, Trouble};
pub use flows::Flows;
pub use forge::{Forge, Forges};
pub use granted::Granted;
pub use http::Http;
pub use identity::Identity;
pub use issuer::Issuer;
pub use revoke::Returns;
