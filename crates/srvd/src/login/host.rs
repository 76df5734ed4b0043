//! Selection of the host for a login.

use std::sync::Arc;

use auth_spawner::{Host, Provider};
use identity_store::{Account, SecretRef};

use crate::base::host;
use crate::hint::Step;
use crate::wire::error::{ApiError, Kind};

/// A provider with the host of a login.
pub(super) struct HostedProvider {
    /// The provider. Its CLI uses that host.
    pub(super) provider: Arc<Provider>,
    /// The URL of the service, if it is not the default one.
    pub(super) base_url: Option<String>,
    /// The display name. It includes the host if that is not the default one.
    pub(super) name: String,
}

/// Selects the host: the one specified by the client, or else that of the present login, or else the default one.
///
/// # Errors
/// `invalid_input` for a text that is not a host name, and for a CLI that supports only one host. `conflict` if the
/// bundle has a login at another host: its files would then contain both logins, and a launch could use either.
pub(super) fn choose(
    provider: &Arc<Provider>,
    bound: Option<&Account>,
    wanted: Option<&str>,
) -> Result<HostedProvider, ApiError> {
    let wanted = wanted.filter(|host| !host.is_empty());
    let Some(usual) = provider.default_host() else {
        if wanted.is_none() {
            return Ok(at(provider, None));
        }
        let reason = format!("the CLI of {} can log in to only one host", provider.display_name);
        return Err(ApiError::invalid_input("host", reason).hint(Step::OmitHost));
    };
    let wanted: Option<Host> = match wanted {
        Some(text) => {
            Some(text.parse().map_err(|error| ApiError::invalid_input("host", format!("{error}")))?)
        }
        None => None,
    };
    let bound = bound.filter(|account| matches!(account.secret_ref, SecretRef::ConfigDir { .. }));
    let there = bound.map(|account| host::of_account(account).unwrap_or_else(|| usual.clone()));
    match (wanted, there) {
        (Some(wanted), Some(there)) if wanted != there => Err(refused(bound, &there)),
        (Some(host), _) | (None, Some(host)) => Ok(at(provider, Some(&host).filter(|host| *host != usual))),
        (None, None) => Ok(at(provider, None)),
    }
}

fn at(provider: &Arc<Provider>, other: Option<&Host>) -> HostedProvider {
    let there = other.and_then(|host| Some((host, Arc::new(provider.at_host(host)?))));
    match there {
        Some((host, provider)) => HostedProvider {
            base_url: Some(host::base_url(host)),
            name: format!("{} at {host}", provider.display_name),
            provider,
        },
        None => HostedProvider {
            provider: Arc::clone(provider),
            base_url: None,
            name: provider.display_name.clone(),
        },
    }
}

fn refused(bound: Option<&Account>, there: &Host) -> ApiError {
    let account = bound.map(|account| account.id.to_string()).unwrap_or_default().into();
    ApiError::new(Kind::Conflict, format!("there is a login at {there} already"))
        .with("what", "host")
        .with("host", there.as_str())
        .hint(Step::ForgetFirst { account })
}
