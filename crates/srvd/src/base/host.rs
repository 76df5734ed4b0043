//! The host of a login, stored in its account as the URL of the service.

use std::sync::Arc;

use auth_spawner::{Host, Provider};
use identity_store::{Account, SecretRef};

/// Returns the service URL for a host, in the form stored in accounts.
pub(crate) fn base_url(host: &Host) -> String {
    format!("https://{host}")
}

/// Returns the host of a login that is stored in a directory; `None` means the provider's default host.
pub(crate) fn of_account(account: &Account) -> Option<Host> {
    match account.secret_ref {
        SecretRef::ConfigDir { .. } => account.base_url.as_deref()?.strip_prefix("https://")?.parse().ok(),
        _ => None,
    }
}

/// Returns the provider adapted to this account: its CLI's files and variables are those for the account's host.
pub(crate) fn provider_of(provider: &Arc<Provider>, account: &Account) -> Arc<Provider> {
    match of_account(account).and_then(|host| provider.at_host(&host)) {
        Some(there) => Arc::new(there),
        None => Arc::clone(provider),
    }
}
