//! Logins through the providers' own CLIs, from the request to the stored account, and logging out.
//!
//! The room decides which command a client may run, locates the CLI, starts the login, stores its reports and its
//! result, and cleans up what an interrupted login left on disk. A login is for a bundle or for a user. Users can also log
//! in at a provider's OAuth endpoints, without a CLI (`oauth`). The room uses `wire`, `base`, `config`, `destination`,
//! `disk`, `health` and `forge`, whose OAuth client it shares; the spawner runs the processes. It must not delete accounts or choose the credentials of a
//! launch, and no file-system work in it runs on the runtime's threads.

mod attendance;
mod command;
mod commit;
mod host;
mod logout;
mod oauth;
mod policy;
mod present;
mod program;
pub(crate) mod renewal;
mod service;
mod sessions;
mod sink;
mod start;
mod target;

pub(crate) use program::Located;
pub(crate) use service::{LoginResources, Logins};
pub(crate) use sink::{LoginSink, discard_unmade, discard_unowned};
