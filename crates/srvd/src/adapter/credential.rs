//! The operator's token for git and for the forge's own programs.

use std::collections::BTreeMap;
use std::time::Duration;

use identity_store::{RefreshWhy, Store, StoredTokens};
use secrecy::{ExposeSecret as _, SecretString};
use subtle::ConstantTimeEq as _;
use url::{Position, Url};

use super::service::{ActivePlace, Adapters, timely};
use crate::config::forges::{BaseUrl, ForgeKind};
use crate::forge::operator::accounts::forge_type;
use crate::hint::Step;
use crate::refresh::{Grant, Outcome};
use crate::wire::SecretOutput;
use crate::wire::error::{ApiError, Kind};
use crate::wire::forge_credential::{AfterRejection, Credential, CredentialAnswer, GetCredential, Rejected};
use crate::wire::ids::bundle_id;

/// The maximum time of a refresh that git waits for.
const REFRESHING: Duration = Duration::from_secs(10);

impl Adapters {
    /// Returns the token of the active forge. For git, it is returned only for a URL of that forge, under a bundle that has
    /// no account of its own there.
    ///
    /// # Errors
    /// `no_active_forge`, `needs_reauth`, `invalid_input` or `not_found` for the bundle, and errors of the store.
    pub(crate) async fn credential(
        &self,
        store: &Store,
        params: GetCredential,
    ) -> Result<CredentialAnswer, ApiError> {
        let place = self.active(store).await?;
        if let Some(url) = &params.url {
            let bundle = params.bundle_id.as_deref();
            let bundle = bundle.ok_or_else(|| ApiError::invalid_input("bundleId", "is required with url"))?;
            let bundle = store.bundle(&bundle_id(bundle)?).await?;
            let own = bundle.bindings.iter().any(|binding| binding.provider == place.token.forge);
            if own || !is_of(&place, url) || !is_user(&place, params.username.as_deref()) {
                return Ok(CredentialAnswer::default());
            }
        }
        let bound = self.bound(store).await?;
        let stored = timely(bound.exchange.usable()).await?;
        Ok(CredentialAnswer { credential: Some(shown(&place, &stored)) })
    }

    /// Handles git's report that a server rejected a token. The token in use is refreshed once; a token that cannot be
    /// refreshed is given up only if the forge itself rejects it, too. Any other token is old news.
    ///
    /// # Errors
    /// As for [`Adapters::credential`].
    pub(crate) async fn rejected(&self, store: &Store, params: Rejected) -> Result<AfterRejection, ApiError> {
        let place = self.active(store).await?;
        let bound = self.bound(store).await?;
        let stored = store.tokens(&place.token.account, crate::base::clock::now()).await?;
        let rejected = params.token.into_secret();
        if !is_of(&place, &params.url) || !same(&stored.tokens.used().secret, &rejected) {
            return Ok(AfterRejection { renewed: false });
        }
        let generation = stored.generation;
        if stored.is_refreshable() {
            let grant = Grant { account: stored.account, authority: stored.authority };
            let why = RefreshWhy::Forced { generation };
            let outcome = self.refresher().refresh(&grant, why, REFRESHING).await;
            return Ok(AfterRejection { renewed: matches!(outcome, Outcome::Renewed | Outcome::Unneeded) });
        }
        match timely(super::port::ForgePort::whoami(&bound)).await {
            Ok(_) => Ok(AfterRejection { renewed: false }),
            Err(error) if error.kind() == Kind::NeedsReauth => Ok(AfterRejection { renewed: false }),
            Err(error) => Err(error),
        }
    }
}

fn same(one: &SecretString, other: &SecretString) -> bool {
    one.expose_secret().as_bytes().ct_eq(other.expose_secret().as_bytes()).into()
}

/// Returns whether git's URL is one of the active forge: its scheme, its host and its port, and the path below which the
/// forge is served.
fn is_of(place: &ActivePlace, url: &str) -> bool {
    let Ok(asked) = Url::parse(url) else { return false };
    let public = place.configured.as_ref().map(|forge| &forge.settings.public);
    [Some(&place.base), public].into_iter().flatten().any(|base| is_below(base, &asked))
}

fn is_below(base: &BaseUrl, asked: &Url) -> bool {
    let Ok(base) = Url::parse(base.as_str()) else { return false };
    let path = base.path().trim_end_matches('/');
    // Git names no path unless `credential.useHttpPath` is set.
    let inside = asked.path() == "/"
        || path.is_empty()
        || asked.path() == path
        || asked.path().starts_with(&format!("{path}/"));
    base.origin() == asked.origin() && inside
}

/// Returns whether a user name in git's URL is the operator's.
fn is_user(place: &ActivePlace, name: Option<&str>) -> bool {
    name.is_none_or(|name| name == place.token.login || name == username(place.kind))
}

/// The user name with which a forge accepts a token as a password.
fn username(kind: ForgeKind) -> &'static str {
    match kind {
        ForgeKind::GitHub => "x-access-token",
        ForgeKind::GitLab | ForgeKind::Forgejo | ForgeKind::Gitea => "oauth2",
    }
}

fn shown(place: &ActivePlace, stored: &StoredTokens) -> Credential {
    let token = stored.tokens.used();
    Credential {
        forge_type: forge_type(place.kind),
        base_url: place.base.as_str().to_owned(),
        username: username(place.kind).to_owned(),
        token: SecretOutput::from(token.secret.clone()),
        expires_at: token.expiry.at(),
        environment: environment(place.kind, &place.base, &token.secret),
    }
}

/// Returns the variables by which a forge's own programs find the token and the forge: `gh`, `glab` and `tea`.
fn environment(kind: ForgeKind, base: &BaseUrl, token: &SecretString) -> BTreeMap<String, SecretOutput> {
    let plain = |text: &str| SecretOutput::from(SecretString::from(text));
    let host = match Url::parse(base.as_str()) {
        Ok(url) => url[Position::BeforeHost..Position::AfterPort].to_owned(),
        Err(_) => String::new(),
    };
    let hosted = host == "github.com" || host.ends_with(".ghe.com");
    let (secrets, places): (&[&str], Vec<(&str, SecretOutput)>) = match kind {
        ForgeKind::GitHub if hosted => (&["GH_TOKEN", "GITHUB_TOKEN"], vec![("GH_HOST", plain(&host))]),
        ForgeKind::GitHub => {
            (&["GH_ENTERPRISE_TOKEN", "GITHUB_ENTERPRISE_TOKEN"], vec![("GH_HOST", plain(&host))])
        }
        ForgeKind::GitLab => (&["GITLAB_TOKEN"], vec![("GITLAB_HOST", plain(base.as_str()))]),
        ForgeKind::Gitea => {
            (&["GITEA_TOKEN", "GITEA_SERVER_TOKEN"], vec![("GITEA_SERVER_URL", plain(base.as_str()))])
        }
        ForgeKind::Forgejo => (
            &["FORGEJO_TOKEN", "GITEA_TOKEN", "GITEA_SERVER_TOKEN"],
            vec![("FORGEJO_URL", plain(base.as_str())), ("GITEA_SERVER_URL", plain(base.as_str()))],
        ),
    };
    let secrets = secrets.iter().map(|name| ((*name).to_owned(), SecretOutput::from(token.clone())));
    secrets.chain(places.into_iter().map(|(name, value)| (name.to_owned(), value))).collect()
}

/// Refuses a caller that is not on the Unix socket.
///
/// # Errors
/// `not_allowed`.
pub(crate) fn on_socket(caller: &str) -> Result<(), ApiError> {
    if caller.starts_with("unix:") {
        return Ok(());
    }
    let text = "the token of the active forge is served on the Unix socket only";
    Err(ApiError::new(Kind::NotAllowed, text).hint(Step::UseSocket))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn url_belongs_to_the_forge_only_with_its_host_port_and_path() {
        let check = |base: &str, url: &str, expect: bool| {
            let base = BaseUrl::parse(base, true).unwrap();
            assert_eq!(is_below(&base, &Url::parse(url).unwrap()), expect, "{base:?} {url}");
        };
        check("https://github.com", "https://github.com", true);
        check("https://github.com", "https://github.com/o/r.git", true);
        check("https://github.com", "https://GitHub.com:443/o/r.git", true);
        check("https://github.com", "http://github.com/o/r.git", false);
        check("https://github.com", "https://github.com.evil.example/o/r", false);
        check("https://github.com", "https://evil.example/github.com", false);
        check("https://git.example:3000", "https://git.example/o/r", false);
        check("https://git.example/code", "https://git.example/code/o/r", true);
        check("https://git.example/code", "https://git.example/codex/o/r", false);
        check("https://git.example/code", "https://git.example", true);
    }

    #[test]
    fn variables_of_each_forge_name_the_token_and_the_host() {
        let names = |kind, base: &str| {
            let base = BaseUrl::parse(base, true).unwrap();
            let set = environment(kind, &base, &SecretString::from("t"));
            set.into_iter()
                .map(|(name, value)| format!("{name}={}", value.expose()))
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(
            names(ForgeKind::GitHub, "https://github.com"),
            "GH_HOST=github.com GH_TOKEN=t GITHUB_TOKEN=t"
        );
        assert_eq!(
            names(ForgeKind::GitHub, "https://ghe.example:8443"),
            "GH_ENTERPRISE_TOKEN=t GH_HOST=ghe.example:8443 GITHUB_ENTERPRISE_TOKEN=t"
        );
        assert_eq!(
            names(ForgeKind::GitLab, "https://gitlab.com"),
            "GITLAB_HOST=https://gitlab.com GITLAB_TOKEN=t"
        );
        assert_eq!(
            names(ForgeKind::Gitea, "https://git.example/code"),
            "GITEA_SERVER_TOKEN=t GITEA_SERVER_URL=https://git.example/code GITEA_TOKEN=t"
        );
    }
}
