//! The request for a login.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::registry::{Provider, Terminal};

/// A login to start. Its `Debug` output hides arguments and variables, because they may contain secrets.
#[derive(Clone)]
pub struct LoginRequest {
    /// The unique session id. It also marks the processes of this login.
    pub id: String,
    /// The provider to log in to.
    pub provider: Arc<Provider>,
    /// The recipe id; empty for the provider's default.
    pub recipe: String,
    /// The absolute path of the CLI.
    pub program: PathBuf,
    /// The version reported by the program. It selects the recipe variant.
    pub version: Option<String>,
    /// Arguments to use instead of the recipe's, already checked against the caller's policy.
    pub args: Option<Vec<String>>,
    /// Arguments to use instead of those of the CLI's check, already checked against the caller's policy. An empty list
    /// means no check command.
    pub check_args: Option<Vec<String>>,
    /// Additional variables, already checked against the caller's policy.
    pub extra_env: Vec<(String, String)>,
    /// The directory in which the CLI stores the login. It must exist and belong to this scope only.
    pub config_dir: PathBuf,
    /// The directory to which the login is moved when it is saved, if it is not `config_dir`. Two logins for the same
    /// directory never run at the same time.
    pub destination: Option<PathBuf>,
    /// The owner of the login. Only one login runs at a time for a scope and a provider.
    pub scope: String,
    /// The deadline of the login, in Unix milliseconds.
    pub expires_at: i64,
    /// The terminal to use instead of the recipe's.
    pub terminal: Option<Terminal>,
}

impl fmt::Debug for LoginRequest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("LoginRequest")
            .field("id", &self.id)
            .field("provider", &self.provider.id)
            .field("recipe", &self.recipe)
            .field("program", &self.program)
            .field("version", &self.version)
            .field("config_dir", &self.config_dir)
            .field("destination", &self.destination)
            .field("scope", &self.scope)
            .field("expires_at", &self.expires_at)
            .field("terminal", &self.terminal)
            .finish_non_exhaustive()
    }
}

impl LoginRequest {
    /// Returns the directory for which the login is made.
    pub(crate) fn directory(&self) -> &Path {
        self.destination.as_deref().unwrap_or(&self.config_dir)
    }
}
