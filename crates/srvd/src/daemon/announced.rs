//! The files that announce the daemon's addresses to local clients: one in the runtime directory, and one in the data
//! directory for clients whose environment leads to another runtime directory.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Instant;

use secrecy::SecretString;

use super::BootError;
use crate::base::blocking::BlockingTasks;
use crate::base::endpoint::{self, Endpoint};
use crate::config::Config;

/// The addresses of the daemon, with the directories of the files that announce them.
#[derive(Debug, Clone)]
pub(super) struct Announced {
    endpoint: Endpoint,
    /// The data directory and the runtime directory. The file in the latter is written last, because scripts wait for it.
    dirs: [PathBuf; 2],
}

impl Announced {
    /// Collects the addresses. Nothing is written yet.
    pub(super) fn new(config: &Config, tcp: Option<SocketAddr>, epoch: &str) -> Self {
        let dirs = [config.data_dir.clone(), config.runtime_dir.clone()];
        let endpoint = Endpoint {
            version: 1,
            pid: std::process::id(),
            url: tcp.map(|address| format!("ws://{address}/rpc")),
            socket: config.socket(),
            token_file: config.runtime_dir.join("token"),
            epoch: epoch.to_owned(),
        };
        Self { endpoint, dirs }
    }

    /// Writes the files. The daemon has been booting since `started`.
    ///
    /// # Errors
    /// The I/O error.
    pub(super) async fn write(
        &self,
        blocking: &BlockingTasks,
        token: SecretString,
        started: Instant,
    ) -> Result<(), BootError> {
        let Self { endpoint, dirs } = self.clone();
        let write = move || {
            endpoint::write_token(&endpoint.token_file, &token)?;
            dirs.iter().try_for_each(|dir| endpoint.write(dir))
        };
        let written = blocking.run(write).await.map_err(std::io::Error::other);
        written.flatten().map_err(BootError::cannot_create)?;
        tracing::info!(
            pid = self.endpoint.pid,
            url = self.endpoint.url.as_deref().unwrap_or("off"),
            socket = %self.endpoint.socket.display(),
            boot_ms = started.elapsed().as_millis(),
            "ready"
        );
        Ok(())
    }

    /// Removes the files. A file that stays is overwritten by the next boot; clients detect by its pid that it is stale.
    pub(super) async fn remove(&self, blocking: &BlockingTasks) {
        let [data, runtime] = self.dirs.each_ref().map(|dir| Endpoint::path(dir));
        let paths = [runtime, data, self.endpoint.token_file.clone()];
        let _ = blocking.run(move || paths.map(std::fs::remove_file)).await;
    }
}
