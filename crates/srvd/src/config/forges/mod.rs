//! The tables `[forges.<name>]` of `srvd.toml`: the forges and the daemon's client at each.

use std::net::IpAddr;
use std::path::PathBuf;

use serde::Deserialize;
use url::Url;

/// The kinds of forge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ForgeKind {
    /// github.com and GitHub Enterprise.
    GitHub,
    /// gitlab.com and self-managed GitLab.
    GitLab,
    /// Codeberg and other Forgejo servers.
    Forgejo,
    /// Gitea.
    Gitea,
}

/// One table of the file, not checked yet.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ForgeTable {
    #[serde(rename = "type")]
    kind: ForgeKind,
    base_url: Option<String>,
    public_url: Option<String>,
    client_id: String,
    client_secret_file: Option<PathBuf>,
    client_secret_env: Option<String>,
    client_auth: Option<ClientAuth>,
    scopes: Option<Vec<String>>,
    #[serde(default)]
    allow_http: bool,
}

/// The ways in which the client authenticates at the token endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ClientAuth {
    /// Id and secret in the body, which every forge accepts.
    Body,
    /// The `Authorization` header of HTTP's Basic scheme.
    Basic,
}

/// The checked settings of one forge. They hold no secret, only the place of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ForgeSettings {
    /// The name of the table.
    pub name: String,
    /// The kind of forge.
    pub kind: ForgeKind,
    /// The address at which the daemon reaches the forge. With the client id it forms the authority of the forge's
    /// tokens.
    pub base: BaseUrl,
    /// The address at which the person's browser reaches the forge.
    pub public: BaseUrl,
    /// The id of the registered client.
    pub client_id: String,
    /// The place of the client's secret; `None` for a public client.
    pub secret: Option<SecretPlace>,
    /// The way in which the client authenticates.
    pub client_auth: ClientAuth,
    /// The scopes that a login asks for.
    pub scopes: Vec<String>,
    /// True if plain HTTP to another machine is allowed.
    pub allow_http: bool,
}

/// The place of a client secret. The configuration file itself never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SecretPlace {
    /// A file that only this user may read; a relative path begins at the configuration directory.
    File(PathBuf),
    /// A variable of the daemon's environment.
    Variable(String),
}

/// The address of a forge in one spelling: host in lower case, no default port, no slash at the end. A sub-path is
/// kept.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct BaseUrl(String);

impl BaseUrl {
    /// Parses an address. Plain `http` is accepted for loopback addresses only, unless `allow_http` is set.
    ///
    /// # Errors
    /// The reason why the address is refused.
    pub(crate) fn parse(text: &str, allow_http: bool) -> Result<Self, &'static str> {
        let url = Url::parse(text).map_err(|_| "is not a URL")?;
        let host = url.host_str().ok_or("contains no host")?;
        match url.scheme() {
            "https" => {}
            "http" if allow_http || is_loopback_host(host) => {}
            "http" => return Err("is plain http, which requires allow_http = true"),
            _ => return Err("must be an https address"),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("must not contain a user name or a password");
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err("must not have a query or a fragment");
        }
        Ok(Self(url.as_str().trim_end_matches('/').to_owned()))
    }

    /// The address followed by `path`, which begins with a slash.
    pub(crate) fn join(&self, path: &str) -> String {
        format!("{}{path}", self.0)
    }

    /// The address, without a slash at the end.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The scheme, host and port.
    pub(crate) fn origin(&self) -> Option<url::Origin> {
        Url::parse(&self.0).ok().map(|url| url.origin())
    }
}

impl ForgeKind {
    /// Every kind.
    pub(crate) const ALL: [Self; 4] = [Self::GitHub, Self::GitLab, Self::Forgejo, Self::Gitea];

    /// The word on the wire and in the file.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::GitHub => "github",
            Self::GitLab => "gitlab",
            Self::Forgejo => "forgejo",
            Self::Gitea => "gitea",
        }
    }

    /// The kind with this word.
    pub(crate) fn named(word: &str) -> Option<Self> {
        [Self::GitHub, Self::GitLab, Self::Forgejo, Self::Gitea]
            .into_iter()
            .find(|kind| kind.as_str() == word)
    }

    /// The address of this kind when the file names none.
    pub(crate) fn default_base(self) -> Option<&'static str> {
        match self {
            Self::GitHub => Some("https://github.com"),
            Self::GitLab => Some("https://gitlab.com"),
            Self::Forgejo | Self::Gitea => None,
        }
    }

    /// The scope that lets a token name its owner.
    pub(crate) fn identity_scope(self) -> &'static str {
        match self {
            Self::GitLab => "read_user",
            Self::GitHub | Self::Forgejo | Self::Gitea => "read:user",
        }
    }

    /// The scopes of this kind when the file names none. Forgejo gives every token the user's full rights. Gitea does
    /// so unless scopes are requested.
    fn default_scopes(self) -> Vec<String> {
        match self {
            Self::GitHub => vec!["repo".to_owned()],
            Self::GitLab => vec!["api".to_owned()],
            Self::Forgejo | Self::Gitea => Vec::new(),
        }
    }
}

/// Checks the tables. `Err` is the key below `forges`, and the reason why its value is refused.
pub(crate) fn check(
    tables: impl IntoIterator<Item = (String, ForgeTable)>,
) -> Result<Vec<ForgeSettings>, (String, &'static str)> {
    let mut forges: Vec<ForgeSettings> = Vec::new();
    for (name, table) in tables {
        let forge = table.check(&name).map_err(|(key, reason)| (format!("{name}.{key}"), reason))?;
        let same = |other: &&ForgeSettings| {
            (other.kind, &other.base, &other.client_id) == (forge.kind, &forge.base, &forge.client_id)
        };
        // Such forges would invalidate each other's tokens: a forge counts refreshes by user and client.
        if forges.iter().find(same).is_some() {
            return Err((
                format!("{name}.client_id"),
                "another forge has the same type, base_url and client_id",
            ));
        }
        forges.push(forge);
    }
    Ok(forges)
}

impl ForgeSettings {
    /// Prints the table in the form of the file. It includes the place of the secret, which is not secret.
    pub(crate) fn print(&self) -> String {
        let quoted = |value: &str| toml::Value::from(value).to_string();
        let auth = if self.client_auth == ClientAuth::Basic { "basic" } else { "body" };
        let mut lines = vec![
            format!("\n[forges.{}]", self.name),
            format!("type = {}", quoted(self.kind.as_str())),
            format!("base_url = {}", quoted(self.base.as_str())),
            format!("public_url = {}", quoted(self.public.as_str())),
            format!("client_id = {}", quoted(&self.client_id)),
            format!("client_auth = {}", quoted(auth)),
            format!("scopes = {}", toml::Value::from(self.scopes.clone())),
            format!("allow_http = {}", self.allow_http),
        ];
        lines.extend(self.secret.as_ref().map(|place| match place {
            SecretPlace::File(path) => {
                format!("client_secret_file = {}", quoted(&path.display().to_string()))
            }
            SecretPlace::Variable(name) => format!("client_secret_env = {}", quoted(name)),
        }));
        lines.join("\n") + "\n"
    }
}

impl ForgeTable {
    fn check(self, name: &str) -> Result<ForgeSettings, (&'static str, &'static str)> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
        if name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
            return Err(("type", "the table's name must be lower case letters, digits, `-` and `_`"));
        }
        let default = self.kind.default_base().map(str::to_owned);
        let base = self.base_url.or(default).ok_or(("base_url", "is missing; this type has no default"))?;
        let base = BaseUrl::parse(&base, self.allow_http).map_err(|reason| ("base_url", reason))?;
        let public = match &self.public_url {
            Some(text) => BaseUrl::parse(text, self.allow_http).map_err(|reason| ("public_url", reason))?,
            None => base.clone(),
        };
        let visible = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        if !visible(&self.client_id) {
            return Err(("client_id", "must be printable text without spaces"));
        }
        let scopes = self.scopes.unwrap_or_else(|| self.kind.default_scopes());
        if !scopes.iter().all(|scope| visible(scope)) {
            return Err(("scopes", "must be a list of words without spaces"));
        }
        let secret = match (self.client_secret_file, self.client_secret_env) {
            (Some(_), Some(_)) => {
                return Err((
                    "client_secret_env",
                    "client_secret_file is set as well; keep only one of them",
                ));
            }
            (Some(path), None) => Some(SecretPlace::File(path)),
            (None, Some(name))
                if crate::base::environment::is_variable_name(&name) && !name.starts_with("SRVD_") =>
            {
                Some(SecretPlace::Variable(name))
            }
            (None, Some(_)) => {
                return Err((
                    "client_secret_env",
                    "must be the name of a variable that does not begin with SRVD_",
                ));
            }
            (None, None) => None,
        };
        Ok(ForgeSettings {
            name: name.to_owned(),
            kind: self.kind,
            base,
            public,
            client_id: self.client_id,
            secret,
            client_auth: self.client_auth.unwrap_or(ClientAuth::Body),
            scopes,
            allow_http: self.allow_http,
        })
    }
}

/// Returns whether a host, as written in a URL, is this machine.
pub(crate) fn is_loopback_host(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests;
