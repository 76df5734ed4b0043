//! The client side of OAuth: logins at forges, and the refresh of what they gave.
//!
//! - [`settings`] and [`forge`]: the forges as data, from `srvd.toml`.
//! - [`http`] does one bounded exchange; `tidy` makes what forges really answer into what RFC 6749 asks for, so that
//!   the `oauth2` crate can read it; [`granted`] and [`failure`] say what the answer means.
//! - [`issuer`] asks: authorization URL, code, refresh, device grant.
//! - [`revoke`] gives tokens back that nobody uses any more.
//! - [`table`] holds the live logins, [`flows`] moves them, [`callback`] reads what a browser brings back.

pub mod callback;
pub mod failure;
pub mod flows;
pub mod forge;
pub mod granted;
pub mod http;
pub mod identity;
pub mod issuer;
pub mod revoke;
pub mod settings;
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
