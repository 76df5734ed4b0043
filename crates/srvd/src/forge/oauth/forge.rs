//! Forges as data: the endpoints of each kind, and the forges configured by the operator.
//!
//! The daemon's redirect URL is `http://127.0.0.1:<port>/oauth/callback`. Each forge requires this when the client is
//! registered:
//!
//! | forge | registered | port |
//! |---|---|---|
//! | GitHub | `http://127.0.0.1/oauth/callback` | any: GitHub ignores the port of loopback addresses |
//! | GitLab | `http://127.0.0.1:<port>/oauth/callback` | set it with `listen.tcp`, because the complete URL is compared |
//! | Forgejo, Gitea | `http://127.0.0.1/oauth/callback` | any for a public client; set it for a confidential one |

use std::path::Path;
use std::sync::Arc;

use secrecy::SecretString;
use url::Url;

use super::failure::Failure;
use super::http::Http;
use super::identity::{Identity, identify};
use super::issuer::{Issuer, IssuerConfig};
use super::revoke::{RetiredTokens, Revocation, RevocationRequest};
use crate::base::environment::Environment;
use crate::base::trust::{self, Trust};
use crate::config::forges::{BaseUrl, ClientAuth, ForgeKind, ForgeSettings, SecretPlace};

/// The maximum size of a client secret file, in bytes.
const SECRET_BYTES: u64 = 4096;

/// A forge of which the daemon is a client.
pub(crate) struct Forge {
    /// The configuration of this forge.
    pub settings: ForgeSettings,
    /// The client for the forge's authorization, token and device endpoints.
    pub issuer: Issuer,
    /// The URL of the token endpoint.
    pub token_url: String,
    identity: String,
    revocation: Option<Revocation>,
    http: Http,
}

/// All configured forges, sorted by name.
#[derive(Clone, Default)]
pub(crate) struct Forges(Vec<Arc<Forge>>);

/// The reason why a request does not identify a single forge.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SelectError {
    /// No forge with this type, URL and client is configured.
    #[error("no such forge is configured in srvd.toml")]
    Unknown,
    /// Several forges match.
    #[error("several forges match; specify the base URL or the client id")]
    Ambiguous,
}

impl Forge {
    /// Creates a forge from its configuration and its client secret.
    ///
    /// # Errors
    /// An endpoint that is not a valid URL.
    pub(crate) fn new(
        settings: ForgeSettings,
        secret: Option<SecretString>,
        http: Http,
        clock: fn() -> i64,
    ) -> Result<Self, url::ParseError> {
        let places = ForgeEndpoints::of(settings.kind, &settings.base);
        let token_url = settings.base.join(places.token);
        let revocation =
            RevocationRequest::of(settings.kind, &settings.base, &settings.client_id).map(|way| Revocation {
                way,
                client_id: settings.client_id.clone(),
                secret: secret.clone(),
                client_auth: settings.client_auth,
            });
        let issuer = IssuerConfig {
            authorize: settings.public.join(places.authorize),
            token: token_url.clone(),
            device: places.device.map(|path| settings.base.join(path)),
            client_id: settings.client_id.clone(),
            secret,
            client_auth: settings.client_auth,
            scopes: settings.scopes.clone(),
            json: false,
            allow_http: settings.allow_http,
            clock,
        };
        let issuer = Issuer::new(issuer, http.clone())?;
        Ok(Self { issuer, token_url, identity: places.identity, revocation, settings, http })
    }

    /// Creates a forge at this URL without a client. It is used only to ask for the owner of a token that a caller
    /// supplies.
    ///
    /// # Errors
    /// The reason why the URL is rejected.
    pub(crate) fn bare(kind: ForgeKind, address: &str, clock: fn() -> i64) -> Result<Self, &'static str> {
        let base = BaseUrl::parse(address, false)?;
        let settings = ForgeSettings {
            name: String::new(),
            kind,
            public: base.clone(),
            base,
            client_id: String::new(),
            secret: None,
            client_auth: ClientAuth::Body,
            scopes: Vec::new(),
            allow_http: false,
        };
        Self::new(settings, None, Http::default(), clock).map_err(|_| "is not a URL")
    }

    /// Asks the forge for the owner of this token.
    ///
    /// # Errors
    /// As for [`identify`].
    pub(crate) async fn identify(&self, access: &SecretString) -> Result<Identity, Failure> {
        identify(&self.http, &self.identity, self.settings.allow_http, access).await
    }

    /// Returns whether this forge can revoke tokens.
    pub(crate) fn takes_back(&self) -> bool {
        self.revocation.is_some()
    }

    /// Revokes tokens. A forge that cannot revoke tokens receives no request.
    ///
    /// # Errors
    /// The [`Failure`] of the first token that could not be revoked.
    pub(crate) async fn revoke(&self, spent: &RetiredTokens) -> Result<(), Failure> {
        match &self.revocation {
            Some(revocation) => revocation.revoke(&self.http, self.settings.allow_http, spent).await,
            None => Ok(()),
        }
    }

    /// Returns whether a user can sign in with a code entered on another device.
    pub(crate) fn has_device_flow(&self) -> bool {
        ForgeEndpoints::of(self.settings.kind, &self.settings.base).device.is_some()
    }

    /// Returns whether `issuer`, as named in a response (RFC 9207), can be this forge: its origin must be one of the
    /// forge's two origins.
    pub(crate) fn is_issuer(&self, issuer: &str) -> bool {
        let origin = Url::parse(issuer).ok().map(|url| url.origin());
        origin.is_some() && (origin == self.settings.base.origin() || origin == self.settings.public.origin())
    }
}

impl Forges {
    /// Loads the configured forges and reads their secrets. Relative paths of secret files are relative to
    /// `config_dir`.
    ///
    /// # Errors
    /// The key below `forges`, and the reason why its value cannot be used.
    pub(crate) fn load(
        settings: &[ForgeSettings],
        environment: &Environment,
        config_dir: &Path,
        clock: fn() -> i64,
    ) -> Result<Self, (String, String)> {
        let http = Http::default();
        let build = |settings: &ForgeSettings| {
            let secret = secret(settings, environment, config_dir)?;
            Forge::new(settings.clone(), secret, http.clone(), clock)
                .map(Arc::new)
                .map_err(|error| (format!("{}.base_url", settings.name), error.to_string()))
        };
        settings.iter().map(build).collect::<Result<_, _>>().map(Self)
    }

    /// Returns the forge with this name.
    pub(crate) fn named(&self, name: &str) -> Option<&Arc<Forge>> {
        self.0.iter().find(|forge| forge.settings.name == name)
    }

    /// Returns the only forge of this kind that has the given URL and client id. An absent value matches every forge.
    ///
    /// # Errors
    /// A [`SelectError`].
    pub(crate) fn select(
        &self,
        kind: ForgeKind,
        base_url: Option<&str>,
        client_id: Option<&str>,
    ) -> Result<&Arc<Forge>, SelectError> {
        // Plain http is accepted here because the URL is only compared with configured ones.
        let base =
            base_url.map(|text| BaseUrl::parse(text, true).map_err(|_| SelectError::Unknown)).transpose()?;
        let mut fitting = self.0.iter().filter(|forge| {
            let own = &forge.settings;
            own.kind == kind
                && base.as_ref().is_none_or(|base| *base == own.base || *base == own.public)
                && client_id.is_none_or(|id| id == own.client_id)
        });
        match (fitting.next(), fitting.next()) {
            (Some(forge), None) => Ok(forge),
            (None, _) => Err(SelectError::Unknown),
            (Some(_), Some(_)) => Err(SelectError::Ambiguous),
        }
    }

    /// Iterates over all configured forges.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Forge>> {
        self.0.iter()
    }
}

/// The endpoints of a kind of forge: paths below its URL, and the full URL of the identity endpoint.
struct ForgeEndpoints {
    authorize: &'static str,
    token: &'static str,
    device: Option<&'static str>,
    identity: String,
}

impl ForgeEndpoints {
    fn of(kind: ForgeKind, base: &BaseUrl) -> Self {
        match kind {
            ForgeKind::GitHub => Self {
                authorize: "/login/oauth/authorize",
                token: "/login/oauth/access_token",
                device: Some("/login/device/code"),
                identity: api_root(kind, base) + "/user",
            },
            ForgeKind::GitLab => Self {
                authorize: "/oauth/authorize",
                token: "/oauth/token",
                device: Some("/oauth/authorize_device"),
                identity: api_root(kind, base) + "/user",
            },
            // Neither has a device flow: see go-gitea/gitea#27309; Forgejo's documentation lists only the authorization
            // code flow.
            ForgeKind::Forgejo | ForgeKind::Gitea => Self {
                authorize: "/login/oauth/authorize",
                token: "/login/oauth/access_token",
                device: None,
                identity: api_root(kind, base) + "/user",
            },
        }
    }
}

impl RevocationRequest {
    fn of(kind: ForgeKind, base: &BaseUrl, client_id: &str) -> Option<Self> {
        match kind {
            ForgeKind::GitHub => {
                let client: String = url::form_urlencoded::byte_serialize(client_id.as_bytes()).collect();
                Some(Self::GitHub(github_api(base, &format!("/applications/{client}/token"))))
            }
            ForgeKind::GitLab => Some(Self::Standard(base.join("/oauth/revoke"))),
            // go-gitea/gitea has no revocation endpoint, and Forgejo's documentation does not mention one.
            ForgeKind::Forgejo | ForgeKind::Gitea => None,
        }
    }
}

/// Returns the URL of a forge's API, without a slash at the end.
pub(crate) fn api_root(kind: ForgeKind, base: &BaseUrl) -> String {
    match kind {
        ForgeKind::GitHub => github_api(base, ""),
        ForgeKind::GitLab => base.join("/api/v4"),
        ForgeKind::Forgejo | ForgeKind::Gitea => base.join("/api/v1"),
    }
}

/// The URL of a path in GitHub's API. github.com and GitHub's hosted enterprises (`<name>.ghe.com`) have a separate API
/// host; GitHub Enterprise Server has an API path.
fn github_api(base: &BaseUrl, path: &str) -> String {
    match base.as_str().strip_prefix("https://") {
        Some(host) if host == "github.com" || (host.ends_with(".ghe.com") && !host.contains('/')) => {
            format!("https://api.{host}{path}")
        }
        _ => base.join(&format!("/api/v3{path}")),
    }
}

fn secret(
    settings: &ForgeSettings,
    environment: &Environment,
    config_dir: &Path,
) -> Result<Option<SecretString>, (String, String)> {
    let named = |key: &str, reason: String| (format!("{}.{key}", settings.name), reason);
    let text = match &settings.secret {
        None => return Ok(None),
        Some(SecretPlace::Variable(name)) => environment
            .text(name)
            .ok_or_else(|| named("client_secret_env", format!("{name} is not set")))?
            .to_owned(),
        Some(SecretPlace::File(path)) => {
            let path = config_dir.join(path);
            let unusable =
                |reason: String| named("client_secret_file", format!("{}: {reason}", path.display()));
            let trust = Trust::of_process(environment.text(trust::VARIABLE));
            let bytes =
                trust.read_secret(&path, SECRET_BYTES).map_err(|error| unusable(error.to_string()))?;
            std::str::from_utf8(&bytes).map_err(|_| unusable("is not text".to_owned()))?.to_owned()
        }
    };
    // A trailing line break added by an editor is not part of the secret.
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() || text.chars().any(char::is_control) {
        let key = match settings.secret {
            Some(SecretPlace::Variable(_)) => "client_secret_env",
            _ => "client_secret_file",
        };
        return Err(named(key, "must contain one line of text".to_owned()));
    }
    Ok(Some(SecretString::from(text)))
}

#[cfg(test)]
mod tests;
