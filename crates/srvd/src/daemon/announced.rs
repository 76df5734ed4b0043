//! The files that announce the daemon's addresses to local clients.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Instant;

use secrecy::SecretString;

use super::BootError;
use crate::base::blocking::BlockingTasks;
use crate::base::endpoint::{self, Endpoint};
use crate::config::Config;

/// The addresses of the daemon, with the directory of the files that announce them.
#[derive(Debug, Clone)]
pub(super) struct Announced {
    endpoint: Endpoint,
    runtime_dir: PathBuf,
}

impl Announced {
    /// Collects the addresses. Nothing is written yet.
    pub(super) fn new(config: &Config, tcp: Option<SocketAddr>, epoch: &str) -> Self {
        let runtime_dir = config.runtime_dir.clone();
        let endpoint = Endpoint {
            version: 1,
            pid: std::process::id(),
            url: tcp.map(|address| format!("ws://{address}/rpc")),
            socket: config.socket(),
            token_file: runtime_dir.join("token"),
            epoch: epoch.to_owned(),
        };
        Self { endpoint, runtime_dir }
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
        let Self { endpoint, runtime_dir } = self.clone();
        let write = move || {
            endpoint::write_token(&endpoint.token_file, &token)?;
            endpoint.write(&runtime_dir)
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
        let paths = [Endpoint::path(&self.runtime_dir), self.endpoint.token_file.clone()];
        let _ = blocking.run(move || paths.map(std::fs::remove_file)).await;
    }
}
