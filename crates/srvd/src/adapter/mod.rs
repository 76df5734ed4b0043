//! Adapter: the active forge's API, bound to the operator's token.
//!
//! - [`port`] is the trait by which the daemon speaks with any forge, and [`Adapters`] gives the port of the active one.
//! - `dialect` knows the paths and the fields of each kind of forge, and `path` which paths are sent. Both are pure.
//! - `exchange` sends a request with the token: it waits for limits, and after a 401 it refreshes once and asks once more.
//! - `bound` implements the port. `watch` looks at the watched repositories, and `credential` hands the token to git.
//!
//! The room uses `wire`, `base`, `config`, `forge` and `refresh`. It must not start a sign-in or store a token.

mod bound;
pub(crate) mod credential;
mod dialect;
mod error;
mod exchange;
mod path;
pub(crate) mod port;
pub(crate) mod service;
mod watch;

pub(crate) use service::{Adapters, AdaptersConfig};
pub(crate) use watch::watch_over;
