//! The connection of a command to the daemon of the same user, over the daemon's Unix socket.

use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rpc_engine::{Client, ClientError, ClientOptions, EventNames, Params};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use super::failure::{Failure, code};
use crate::base::endpoint::Endpoint;
use crate::base::environment::Environment;
use crate::config::search::SearchPath;
use crate::config::{Config, child};
use crate::hint::Step;
use crate::wire::daemon::Info;
use crate::wire::events;

/// The longest time that a call may take. It includes the daemon's own requests to a provider about a key, or to CLIs
/// about their versions.
const CALL_TIMEOUT: Duration = Duration::from_mins(1);
/// The longest time for a question to the daemon that a command can do without.
const LOOK_TIMEOUT: Duration = Duration::from_secs(5);

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
    /// Connects to the user's daemon. An endpoint file may be left from a daemon that was killed, so the next place is
    /// tried when no process listens at the socket that it names.
    pub(super) async fn open(config: &Config) -> Result<Self, Failure> {
        let mut tried = vec![config.socket()];
        let mut problem = None;
        for dir in config.endpoint_dirs() {
            let (endpoint, owner) = match Endpoint::read_with_owner(&dir) {
                Ok(found) => found,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => {
                    problem.get_or_insert_with(|| unreadable(&dir, &error));
                    continue;
                }
            };
            match stream_to(&endpoint.socket, owner).await {
                Ok(stream) => return Self::over(stream, endpoint).await,
                Err(failure) if !failure.is_no_daemon() => return Err(failure),
                Err(_) if tried.contains(&endpoint.socket) => {}
                Err(_) => tried.push(endpoint.socket),
            }
        }
        Err(problem.unwrap_or_else(|| Failure::no_daemon(&tried)))
    }

    async fn over(stream: UnixStream, endpoint: Endpoint) -> Result<Self, Failure> {
        let mut options = ClientOptions::new("srvd.sock", "/rpc", EVENT_NAMES);
        options.timeout = CALL_TIMEOUT;
        match Client::connect(stream, options).await {
            Ok(client) => Ok(Self { client, endpoint }),
            Err(error) => Err(refused(&endpoint.socket, &error)),
        }
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

/// Returns the endpoint that a daemon has announced, whether or not it still runs.
pub(super) fn announced(config: &Config) -> Option<Endpoint> {
    config.endpoint_dirs().iter().find_map(|dir| Endpoint::read(dir).ok())
}

/// Returns the directories in which the daemon looks for CLIs; without a daemon, those in which one would look that this
/// environment starts.
pub(super) async fn search_path(config: &Config, environment: &Environment) -> Vec<PathBuf> {
    let asked = async { Connection::open(config).await?.call(&Info {}).await };
    match tokio::time::timeout(LOOK_TIMEOUT, asked).await {
        Ok(Ok(daemon)) if !daemon.search_path.is_empty() => {
            daemon.search_path.into_iter().map(PathBuf::from).collect()
        }
        _ => SearchPath::new(config, environment, &child::probes(config)).directories().await,
    }
}

fn unreadable(dir: &Path, error: &io::Error) -> Failure {
    let code = if error.kind() == io::ErrorKind::PermissionDenied { code::PERMISSION } else { code::IO };
    Failure::new(code, format!("{}: {error}", Endpoint::path(dir).display()))
}

/// Returns the failure for a daemon that accepted the connection, but not the handshake.
fn refused(socket: &Path, error: &ClientError) -> Failure {
    let socket = socket.display();
    match error {
        ClientError::Refused(503) => Failure::new(
            code::UNAVAILABLE,
            format!("the daemon at {socket} serves as many connections as it may"),
        )
        .hint(Step::MoreConnections),
        _ => Failure::new(code::UNAVAILABLE, format!("cannot connect to the daemon at {socket}: {error}")),
    }
}

/// Connects to a socket. API keys are sent over it, so it must belong to the owner of the endpoint file that names it.
async fn stream_to(socket: &Path, owner: u32) -> Result<UnixStream, Failure> {
    check_socket(socket, owner)?;
    UnixStream::connect(socket).await.map_err(|error| unreachable(socket, &error))
}

fn check_socket(socket: &Path, owner: u32) -> Result<(), Failure> {
    let found = std::fs::symlink_metadata(socket).map_err(|error| unreachable(socket, &error))?;
    let refuse = |what: String| Err(Failure::new(code::PERMISSION, format!("{} {what}", socket.display())));
    if !found.file_type().is_socket() {
        refuse("is not a socket".to_owned())
    } else if found.uid() != owner {
        refuse(format!("belongs to uid {}, so srvd does not use it", found.uid()))
    } else {
        Ok(())
    }
}

fn unreachable(socket: &Path, error: &io::Error) -> Failure {
    match error.kind() {
        // A daemon that was killed leaves its socket behind.
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            Failure::no_daemon(&[socket.to_owned()])
        }
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
    fn client_refuses_path_that_is_not_a_socket_of_the_owner() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("s");
        let owner = std::fs::metadata(dir.path()).unwrap().uid();
        assert_eq!(check_socket(&socket, owner), Err(Failure::no_daemon(std::slice::from_ref(&socket))));
        std::fs::write(&socket, "").unwrap();
        assert_eq!(check_socket(&socket, owner).unwrap_err().code(), code::PERMISSION);
        std::fs::remove_file(&socket).unwrap();
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        assert_eq!(check_socket(&socket, owner), Ok(()));
        assert_eq!(check_socket(&socket, owner + 1).unwrap_err().code(), code::PERMISSION);
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&socket, &link).unwrap();
        assert_eq!(check_socket(&link, owner).unwrap_err().code(), code::PERMISSION);
    }

    #[tokio::test]
    async fn client_distinguishes_missing_endpoint_from_broken_one() {
        let dir = tempfile::tempdir().unwrap();
        let place = |name: &str| dir.path().join(name).display().to_string();
        let environment = Environment::of([
            ("HOME", place("home")),
            ("SRVD_DATA_DIR", place("data")),
            ("SRVD_RUNTIME_DIR", place("run")),
        ]);
        let config = Config::load(&environment, &crate::config::Flags::default()).unwrap();
        let opened = async || Connection::open(&config).await.map(|_| ()).unwrap_err();
        assert_eq!(opened().await, Failure::no_daemon(&[config.socket()]));
        crate::base::private::directory(&config.data_dir).unwrap();
        let endpoint = Endpoint {
            version: 1,
            pid: 1,
            url: None,
            socket: dir.path().join("elsewhere"),
            token_file: dir.path().join("token"),
            epoch: "e".to_owned(),
        };
        endpoint.write(&config.data_dir).unwrap();
        let tried = [config.socket(), dir.path().join("elsewhere")];
        assert_eq!(opened().await, Failure::no_daemon(&tried));
        crate::base::private::replace_file(&Endpoint::path(&config.data_dir), b"{").unwrap();
        assert_eq!(opened().await.code(), code::IO);
    }
}
