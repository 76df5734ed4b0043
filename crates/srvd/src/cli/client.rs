//! The connection of a command to the daemon of the same user, over the daemon's Unix socket.

use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;
use std::time::Duration;

use rpc_engine::{Client, ClientOptions, EventNames, Params};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use super::failure::{Failure, code};
use crate::base::endpoint::Endpoint;
use crate::config::Config;
use crate::wire::events;

/// The longest time that a call may take. It includes the daemon's own requests to a provider about a key, or to CLIs
/// about their versions.
const CALL_TIMEOUT: Duration = Duration::from_mins(1);

/// The method names of the events on the wire, for the client library.
const EVENT_NAMES: EventNames = EventNames {
    event: events::METHODS.event,
    lagged: events::METHODS.lagged,
    subscribe: events::Subscribe::METHOD,
    unsubscribe: events::Unsubscribe::METHOD,
};

/// A connection to a running daemon.
pub(super) struct Connection {
    /// The client, for callers that handle the daemon's errors themselves.
    pub(super) client: Client,
    /// The content of the daemon's `endpoint.json`.
    pub(super) endpoint: Endpoint,
}

impl Connection {
    /// Connects to the daemon of the runtime directory.
    pub(super) async fn open(config: &Config) -> Result<Self, Failure> {
        let endpoint = find(&config.runtime_dir, &config.socket())?;
        check_socket(&endpoint.socket)?;
        let stream = match UnixStream::connect(&endpoint.socket).await {
            Ok(stream) => stream,
            Err(error) => return Err(unreachable(&endpoint.socket, &error)),
        };
        let mut options = ClientOptions::new("srvd.sock", "/rpc", EVENT_NAMES);
        options.timeout = CALL_TIMEOUT;
        let client = Client::connect(stream, options).await.map_err(|error| {
            Failure::new(
                code::UNAVAILABLE,
                format!("cannot connect to the daemon at {}: {error}", endpoint.socket.display()),
            )
        })?;
        Ok(Self { client, endpoint })
    }

    /// Calls a method.
    pub(super) async fn call<P>(&self, params: &P) -> Result<P::Result, Failure>
    where
        P: Params + Serialize,
        P::Result: DeserializeOwned,
    {
        Ok(self.client.call(params).await?)
    }
}

fn find(runtime: &Path, socket: &Path) -> Result<Endpoint, Failure> {
    Endpoint::read(runtime).map_err(|error| {
        let path = Endpoint::path(runtime);
        match error.kind() {
            io::ErrorKind::NotFound => Failure::no_daemon(socket),
            io::ErrorKind::PermissionDenied => {
                Failure::new(code::PERMISSION, format!("{}: {error}", path.display()))
            }
            _ => Failure::new(code::IO, format!("{}: {error}", path.display())),
        }
    })
}

/// Checks that the socket belongs to this user. API keys are sent over it, so a socket of another user must not receive
/// them.
fn check_socket(socket: &Path) -> Result<(), Failure> {
    let found = std::fs::symlink_metadata(socket).map_err(|error| unreachable(socket, &error))?;
    let owner = found.uid();
    let refuse = |what: String| Err(Failure::new(code::PERMISSION, format!("{} {what}", socket.display())));
    if !found.file_type().is_socket() {
        refuse("is not a socket".to_owned())
    } else if owner != rustix::process::geteuid().as_raw() {
        refuse(format!("belongs to uid {owner}, so srvd does not use it"))
    } else {
        Ok(())
    }
}

fn unreachable(socket: &Path, error: &io::Error) -> Failure {
    match error.kind() {
        // A daemon that was killed leaves its socket behind.
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Failure::no_daemon(socket),
        io::ErrorKind::PermissionDenied => {
            Failure::new(code::PERMISSION, format!("{}: {error}", socket.display()))
        }
        _ => Failure::new(code::UNAVAILABLE, format!("{}: {error}", socket.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_refuses_path_that_is_not_a_socket() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("s");
        assert_eq!(check_socket(&socket), Err(Failure::no_daemon(&socket)));
        std::fs::write(&socket, "").unwrap();
        assert_eq!(check_socket(&socket).unwrap_err().code(), code::PERMISSION);
        std::fs::remove_file(&socket).unwrap();
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        assert_eq!(check_socket(&socket), Ok(()));
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&socket, &link).unwrap();
        assert_eq!(check_socket(&link).unwrap_err().code(), code::PERMISSION);
    }

    #[test]
    fn client_distinguishes_missing_endpoint_from_broken_one() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("srvd.sock");
        assert_eq!(find(dir.path(), &socket).unwrap_err(), Failure::no_daemon(&socket));
        crate::base::private::replace_file(&Endpoint::path(dir.path()), b"{").unwrap();
        assert_eq!(find(dir.path(), &socket).unwrap_err().code(), code::IO);
    }
}
