//! The keys of a declared agent that are not in its file: keys from an environment variable and keys that a command
//! prints.

use std::time::Duration;

use auth_spawner::SecretCommand;
use secrecy::SecretString;

use crate::keys::api_key;
use crate::rpc::app::App;

/// Longest time that a command may take to print a secret. Some commands ask a person first.
const PRINTING: Duration = Duration::from_secs(30);

/// Returns the key in a variable of the daemon's environment, or the reason why there is none.
pub(super) fn of_variable(
    app: &App,
    provider: &str,
    var: &str,
    value: Option<&SecretString>,
) -> Result<SecretString, String> {
    match value {
        Some(value) => {
            usable(app, provider, value).map_err(|reason| format!("the key in the variable {var} {reason}"))
        }
        None => Err(format!("the variable {var} of the daemon's environment is not set")),
    }
}

/// Returns the key that a command prints.
pub(super) async fn printed(app: &App, provider: &str, argv: &[String]) -> Result<SecretString, String> {
    let environment = crate::config::child::child_env(&app.config);
    let (timeout, bytes) = (PRINTING, api_key::LONGEST);
    let secret = SecretCommand { argv, environment: &environment, timeout, bytes }.ask().await;
    let secret = secret.map_err(|error| error.to_string())?;
    app.redactor.hide(&secret);
    usable(app, provider, &secret).map_err(|reason| format!("the key that the command printed {reason}"))
}

fn usable(app: &App, provider: &str, secret: &SecretString) -> Result<SecretString, String> {
    match app.registry.provider(provider).and_then(|provider| provider.key.as_ref()) {
        Some(service) => api_key::usable(secret, service),
        None => Err("belongs to a provider that takes none".to_owned()),
    }
}
