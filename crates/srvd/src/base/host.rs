//! The host that a login is for, kept in its account as the address of the service.

use std::sync::Arc;

use auth_spawner::{Host, Provider};
use identity_store::{Account, SecretRef};

/// Returns the address of the service at a host, in the form that an account keeps.
pub(crate) fn base_url(host: &Host) -> String {
    format!("https://{host}")
}

/// Returns the host of a login that is kept in a directory; `None` means the provider's usual host.
pub(crate) fn of_account(account: &Account) -> Option<Host> {
    match account.secret_ref {
        SecretRef::ConfigDir { .. } => account.base_url.as_deref()?.strip_prefix("https://")?.parse().ok(),
        _ => None,
    }
}

/// Returns the provider adapted to this account: its CLI's files and variables are those of the account's host.
pub(crate) fn provider_of(provider: &Arc<Provider>, account: &Account) -> Arc<Provider> {
    match of_account(account).and_then(|host| provider.at_host(&host)) {
        Some(there) => Arc::new(there),
        None => Arc::clone(provider),
    }
}
