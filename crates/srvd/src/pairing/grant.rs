//! The permissions of a caller that is not the owner.

use std::time::Instant;

use tokio_util::sync::CancellationToken;

use super::Client;
use crate::wire::scope::{Scope, Scopes};

/// The permissions of a caller on TCP that is not the owner: a paired client, or a session of the console.
#[derive(Debug, Clone)]
pub(crate) struct Grant {
    /// The caller's name in the audit log.
    pub caller: String,
    /// The permissions.
    pub scopes: Scopes,
    /// Cancelled when the permissions end.
    pub revoked: CancellationToken,
    /// The time at which the permissions end; `None` if they last until they are revoked.
    pub until: Option<Instant>,
}

impl Grant {
    /// Returns whether the caller may start logins.
    pub(crate) fn may_log_in(&self) -> bool {
        self.scopes.contains(&Scope::Login)
    }
}

impl From<Client> for Grant {
    fn from(client: Client) -> Self {
        let caller = format!("token:{}", client.id);
        Self { caller, scopes: client.scopes, revoked: client.revoked, until: None }
    }
}
