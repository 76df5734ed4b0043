//! The OAuth clients of providers at which a user can log in without a CLI.

use std::collections::HashMap;

use auth_spawner::{Provider, Registry, TokenBody, TokenEndpoint};
use base64::Engine as _;
use identity_store::Identity;
use secrecy::{ExposeSecret as _, SecretString};

use crate::config::forges::ClientAuth;
use crate::forge::oauth::issuer::IssuerConfig;
use crate::forge::oauth::{Http, Issuer};
use crate::hint::Step;
use crate::wire::error::ApiError;
use crate::wire::provider::{Login, LoginKind};

/// The recipe of a login in a browser, with the provider's authorization endpoint.
pub(in crate::login) const BROWSER: &str = "oauth-browser";
/// The recipe of a login with a code, with the provider's device endpoint.
pub(in crate::login) const DEVICE: &str = "oauth-device";

/// A way to log in at a provider without its CLI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::login) enum Way {
    Browser,
    Device,
}

impl Way {
    pub(in crate::login) fn recipe(self) -> &'static str {
        match self {
            Self::Browser => BROWSER,
            Self::Device => DEVICE,
        }
    }

    /// Returns the way that a request means; `None` for a login with the provider's CLI. A browser can return to the
    /// daemon only if `listens`.
    ///
    /// # Errors
    /// `invalid_input` for a way that the provider or this daemon does not have.
    #[expect(clippy::match_same_arms, reason = "the order of the arms is that of the preferences")]
    pub(in crate::login) fn of(
        provider: &Provider,
        recipe: Option<&str>,
        listens: bool,
    ) -> Result<Option<Self>, ApiError> {
        let has_cli = provider.cli.as_ref().is_some_and(|cli| !cli.recipes.is_empty());
        let Some(endpoint) = &provider.oauth else { return Ok(None) };
        let (browser, device) =
            (endpoint.authorization_url.is_some(), endpoint.device_authorization_url.is_some());
        let off = || {
            ApiError::invalid_input("recipe", "a login in the browser requires the TCP listener")
                .hint(Step::UseCode)
        };
        match recipe.filter(|recipe| !recipe.is_empty()) {
            Some(BROWSER) if browser && !listens => Err(off()),
            None if browser && !device && !listens && !has_cli => Err(off()),
            Some(BROWSER) if browser => Ok(Some(Self::Browser)),
            Some(DEVICE) if device => Ok(Some(Self::Device)),
            None if has_cli => Ok(None),
            None if browser && listens => Ok(Some(Self::Browser)),
            None if device => Ok(Some(Self::Device)),
            _ => Ok(None),
        }
    }
}

/// Returns the logins of a provider that need no CLI.
pub(in crate::login) fn logins(provider: &Provider) -> Vec<Login> {
    let Some(endpoint) = &provider.oauth else { return Vec::new() };
    let browser = endpoint.authorization_url.is_some().then(|| Login {
        id: BROWSER.to_owned(),
        kind: LoginKind::Browser,
        takes_paste: true,
        label: "In a browser on this machine".to_owned(),
        opens_browser: true,
        shows_code: false,
        needs_paste: true,
        holds_ports: Vec::new(),
    });
    let device = endpoint.device_authorization_url.is_some().then(|| Login {
        id: DEVICE.to_owned(),
        kind: LoginKind::DeviceCode,
        takes_paste: false,
        label: "With a code, in any browser".to_owned(),
        opens_browser: true,
        shows_code: true,
        needs_paste: false,
        holds_ports: Vec::new(),
    });
    browser.into_iter().chain(device).collect()
}

/// A client at one provider.
pub(super) struct Client {
    pub(super) issuer: Issuer,
    pub(super) endpoint: TokenEndpoint,
}

/// Creates the clients of all providers with a login that needs no CLI.
pub(super) fn clients(registry: &Registry, clock: fn() -> i64) -> HashMap<String, Client> {
    let http = Http::default();
    let client = |endpoint: &TokenEndpoint| {
        let config = IssuerConfig {
            // Without an authorization endpoint no browser is sent anywhere.
            authorize: endpoint.authorization_url.clone().unwrap_or_else(|| endpoint.token_url.clone()),
            token: endpoint.token_url.clone(),
            device: endpoint.device_authorization_url.clone(),
            client_id: endpoint.client_id.clone(),
            secret: None,
            client_auth: ClientAuth::Body,
            scopes: endpoint.scopes.clone(),
            json: endpoint.body == TokenBody::Json,
            allow_http: false,
            clock,
        };
        Some(Client { issuer: Issuer::new(config, http.clone()).ok()?, endpoint: endpoint.clone() })
    };
    let usable = registry.iter().filter(|provider| !logins(provider).is_empty());
    usable.filter_map(|provider| Some((provider.id.clone(), client(provider.oauth.as_ref()?)?))).collect()
}

#[derive(serde::Deserialize)]
struct Claims {
    sub: Option<String>,
    email: Option<String>,
    #[serde(default)]
    aud: serde_json::Value,
}

/// Returns the person of an id token that was issued to this client. The signature is not checked, because the token came
/// directly from the issuer.
pub(super) fn person(token: Option<&SecretString>, client_id: &str) -> Identity {
    let claims = token.and_then(|token| {
        let payload = token.expose_secret().split('.').nth(1)?;
        let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).ok()?;
        serde_json::from_slice::<Claims>(&bytes).ok()
    });
    let ours = |claims: &Claims| match &claims.aud {
        serde_json::Value::String(one) => one == client_id,
        serde_json::Value::Array(all) => all.iter().any(|one| one == client_id),
        _ => false,
    };
    match claims.filter(ours) {
        Some(Claims { sub, email, .. }) => Identity { subject: sub, email, login: None },
        None => Identity::default(),
    }
}

#[cfg(test)]
mod tests {
    use auth_spawner::Overlay;

    use super::*;

    fn token(claims: &str) -> SecretString {
        let part = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(claims);
        format!("e30.{part}.c2ln").into()
    }

    #[test]
    fn person_is_read_only_from_a_token_that_was_issued_to_the_client() {
        let check = |claims: &str, expect: (Option<&str>, Option<&str>)| {
            let found = person(Some(&token(claims)), "srvd");
            assert_eq!((found.subject.as_deref(), found.email.as_deref()), expect, "{claims}");
        };
        check(r#"{"sub":"1","email":"a@x","aud":"srvd"}"#, (Some("1"), Some("a@x")));
        check(r#"{"sub":"1","aud":["other","srvd"]}"#, (Some("1"), None));
        check(r#"{"sub":"1","aud":"other"}"#, (None, None));
        check(r#"{"sub":"1"}"#, (None, None));
        check("no claims", (None, None));
        assert_eq!(person(None, "srvd"), Identity::default());
    }

    #[test]
    fn way_follows_the_recipe_and_the_endpoints() {
        let registry = |more: &str| {
            let text = format!(
                "[providers.x]\ndisplay-name = \"X\"\nclass = \"api_key\"\n[providers.x.key]\nvars = [\"X_KEY\"]\n\
                 base-url = \"https://x.test\"\n[providers.x.oauth]\ntoken-url = \"https://x.test/token\"\n\
                 client-id = \"srvd\"\n{more}"
            );
            let overlay = Overlay { source: "x.toml".into(), text };
            Registry::with_overlays(&[overlay]).unwrap()
        };
        let browser = "authorization-url = \"https://x.test/auth\"\n";
        let device = "device-authorization-url = \"https://x.test/device\"\n";
        let check = |more: &str, recipe: Option<&str>, listens: bool, expect: Result<Option<Way>, ()>| {
            let registry = registry(more);
            let way = Way::of(registry.provider("x").unwrap(), recipe, listens).map_err(|_| ());
            assert_eq!(way, expect, "{more} {recipe:?} {listens}");
        };
        let both = format!("{browser}{device}");
        check(&both, None, true, Ok(Some(Way::Browser)));
        check(&both, None, false, Ok(Some(Way::Device)));
        check(&both, Some(DEVICE), true, Ok(Some(Way::Device)));
        check(&both, Some(BROWSER), false, Err(()));
        check(browser, None, false, Err(()));
        check(device, Some(BROWSER), true, Ok(None));
        check("", None, true, Ok(None));
    }
}
