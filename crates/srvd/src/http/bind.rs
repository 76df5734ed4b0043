//! The sockets of the daemon: a Unix socket, and TCP on a loopback address.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tokio::net::{TcpListener, UnixListener, UnixStream};

/// The bound sockets, not yet being served.
pub(crate) struct Listeners {
    pub(super) unix: UnixListener,
    pub(super) socket: PathBuf,
    pub(super) tcp: Option<TcpListener>,
}

impl Listeners {
    /// Binds both sockets. The socket file is created in a directory that only this user may enter, with a umask that
    /// denies other users access to the file. A socket left by a crashed daemon is replaced, which is safe because the
    /// caller holds the lock of the data directory.
    ///
    /// # Errors
    /// The I/O error, including the address.
    pub(crate) async fn bind(socket: &Path, tcp: Option<SocketAddr>) -> io::Result<Self> {
        check_length(socket)?;
        let named =
            |what: String| move |error: io::Error| io::Error::new(error.kind(), format!("{what}: {error}"));
        match tokio::fs::symlink_metadata(socket).await {
            Ok(found) => {
                use std::os::unix::fs::FileTypeExt as _;
                if !found.file_type().is_socket() {
                    let text = format!("{} is not a socket, so it is kept; move it away", socket.display());
                    return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
                }
                if UnixStream::connect(socket).await.is_ok() {
                    let text = format!("{}: another process is serving this socket", socket.display());
                    return Err(io::Error::new(io::ErrorKind::AddrInUse, text));
                }
                tokio::fs::remove_file(socket).await.map_err(named(socket.display().to_string()))?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(named(socket.display().to_string())(error)),
        }
        let unix = UnixListener::bind(socket).map_err(named(socket.display().to_string()))?;
        let tcp = match tcp {
            Some(address) => Some(TcpListener::bind(address).await.map_err(named(address.to_string()))?),
            None => None,
        };
        Ok(Self { unix, socket: socket.to_owned(), tcp })
    }

    /// The TCP address that was bound.
    pub(crate) fn tcp_address(&self) -> Option<SocketAddr> {
        self.tcp.as_ref().and_then(|tcp| tcp.local_addr().ok())
    }
}

/// The longest path that a socket's address can hold, in bytes, without the zero byte at its end.
const SOCKET_PATH: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

/// Checks that the system accepts the path of a socket.
///
/// # Errors
/// `InvalidInput` with the setting that makes the path shorter.
pub(crate) fn check_length(socket: &Path) -> io::Result<()> {
    let length = socket.as_os_str().len();
    if length <= SOCKET_PATH {
        return Ok(());
    }
    let text = format!(
        "{}: the path of the socket has {length} bytes, and this system allows {SOCKET_PATH}; set SRVD_RUNTIME_DIR to a directory with a shorter path",
        socket.display()
    );
    Err(io::Error::new(io::ErrorKind::InvalidInput, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn socket_path_that_is_too_long_is_rejected_with_the_setting_that_shortens_it() {
        let dir = tempfile::tempdir().unwrap();
        let left = SOCKET_PATH - dir.path().as_os_str().len() - 1;
        assert!(check_length(&dir.path().join("s".repeat(left))).is_ok());
        let long = dir.path().join("s".repeat(left + 1));
        let error = Listeners::bind(&long, None).await.err().unwrap().to_string();
        assert!(error.contains("SRVD_RUNTIME_DIR") && error.contains(&long.display().to_string()), "{error}");
    }
}
