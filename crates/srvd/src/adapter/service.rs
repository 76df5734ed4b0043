//! The port of the active forge, and the answers to clients' questions about it.

use std::sync::Arc;
use std::time::Duration;

use identity_store::{OperatorToken, Store};

use super::bound::Bound;
use super::dialect::Dialect;
use super::error::ForgeError;
use super::exchange::{Exchange, Limits};
use super::path;
use super::port::{ForgePort, RepoName};
use crate::config::forges::{BaseUrl, ForgeKind};
use crate::forge::oauth::{Forge, Forges, Http};
use crate::forge::operator::accounts::forge_type;
use crate::hint::Step;
use crate::refresh::Refresher;
use crate::wire::error::{ApiError, Kind};
use crate::wire::forge::{
    Answer, BranchList, CreatePull, IssueList, Person, Pull, PullList, Repo, RepoPage, Repos, Request,
};

/// The maximum size of an answer, in bytes.
const ANSWER_BYTES: usize = 1024 * 1024;
/// The maximum duration of one request.
const TIMEOUT: Duration = Duration::from_secs(15);
/// The maximum duration of one question, with its refreshes, pauses and pages. It is shorter than a client's patience.
const LONGEST: Duration = Duration::from_secs(50);

/// Gives the port of the active forge. Cheap to clone; clones share the limits that forges set.
#[derive(Clone)]
pub(crate) struct Adapters {
    forges: Forges,
    refresher: Refresher,
    http: Http,
    limits: Limits,
    /// The time between two looks at the watched repositories; `None` if the daemon does not look.
    pub(super) interval: Option<Duration>,
}

/// The parts from which [`Adapters`] is built.
pub(crate) struct AdaptersConfig {
    /// The configured forges.
    pub forges: Forges,
    /// Refreshes the operator's tokens.
    pub refresher: Refresher,
    /// The time between two looks at the watched repositories.
    pub interval: Option<Duration>,
}

/// The active forge: the operator's account, and its configuration if there is one.
pub(super) struct ActivePlace {
    pub(super) token: OperatorToken,
    pub(super) kind: ForgeKind,
    pub(super) base: BaseUrl,
    pub(super) configured: Option<Arc<Forge>>,
}

impl Adapters {
    /// Creates the adapters. No request is sent.
    pub(crate) fn new(config: AdaptersConfig) -> Self {
        let AdaptersConfig { forges, refresher, interval } = config;
        let http = Http::reading(ANSWER_BYTES, TIMEOUT);
        Self { forges, refresher, http, limits: Limits::default(), interval }
    }

    /// Returns the port of the active forge, bound to the token of the operator's active account.
    ///
    /// # Errors
    /// [`ForgeError::NoActiveForge`], and errors of the store.
    pub(crate) async fn operator_adapter(&self, store: &Store) -> Result<Box<dyn ForgePort>, ForgeError> {
        Ok(Box::new(self.bound(store).await?))
    }

    /// Returns the refresher of the operator's tokens.
    pub(super) fn refresher(&self) -> &Refresher {
        &self.refresher
    }

    /// Returns the active forge.
    ///
    /// # Errors
    /// As for [`Adapters::operator_adapter`].
    pub(super) async fn active(&self, store: &Store) -> Result<ActivePlace, ForgeError> {
        let active = store.active_forge().await?.ok_or(ForgeError::NoActiveForge)?;
        let token = store.operator_token(&active.account).await?;
        let kind = ForgeKind::named(token.forge.as_str())
            .ok_or_else(|| ForgeError::Unavailable("srvd does not know this type of forge".to_owned()))?;
        // The address was checked when it was stored.
        let base = BaseUrl::parse(token.base_url.as_str(), true)
            .map_err(|reason| ForgeError::Unavailable(format!("the forge's address {reason}")))?;
        let client = token.client_id.as_deref();
        let configured = self.forges.select(kind, Some(base.as_str()), client).ok().cloned();
        Ok(ActivePlace { token, kind, base, configured })
    }

    pub(super) async fn bound(&self, store: &Store) -> Result<Bound, ForgeError> {
        let place = self.active(store).await?;
        let dialect = Dialect::new(place.kind, &place.base);
        let exchange = Exchange {
            http: self.http.clone(),
            store: store.clone(),
            refresher: self.refresher.clone(),
            account: place.token.account,
            root: dialect.root().to_owned(),
            plain: place.configured.is_some_and(|forge| forge.settings.allow_http),
            limits: self.limits.clone(),
        };
        let base_url = place.base.as_str().to_owned();
        Ok(Bound { dialect, exchange, forge_type: forge_type(place.kind), base_url })
    }

    /// Asks the active forge for the owner of its token.
    ///
    /// # Errors
    /// `no_active_forge`, `needs_reauth`, `forge_refused`, `forge_unavailable`, and errors of the store.
    pub(crate) async fn whoami(&self, store: &Store) -> Result<Person, ApiError> {
        let port = self.operator_adapter(store).await?;
        timely(port.whoami()).await
    }

    /// Lists the repositories of the operator.
    ///
    /// # Errors
    /// As for [`Adapters::whoami`].
    pub(crate) async fn repos(&self, store: &Store, params: Repos) -> Result<RepoPage, ApiError> {
        let query = params.query.as_deref().map(str::trim).filter(|query| !query.is_empty());
        if query.is_some_and(|query| query.len() > 200) {
            return Err(ApiError::invalid_input("query", "must be at most 200 bytes"));
        }
        let port = self.operator_adapter(store).await?;
        timely(port.repos(query, params.page.unwrap_or(1))).await
    }

    /// Reads a repository.
    ///
    /// # Errors
    /// As for [`Adapters::whoami`], `invalid_input` or `not_found` for the repository.
    pub(crate) async fn repo(&self, store: &Store, repo: &str) -> Result<Repo, ApiError> {
        let repo = RepoName::parse(repo)?;
        let port = self.operator_adapter(store).await?;
        timely(port.repo(&repo)).await
    }

    /// Lists the branches of a repository.
    ///
    /// # Errors
    /// As for [`Adapters::repo`].
    pub(crate) async fn branches(&self, store: &Store, repo: &str) -> Result<BranchList, ApiError> {
        let repo = RepoName::parse(repo)?;
        let port = self.operator_adapter(store).await?;
        timely(port.branches(&repo)).await
    }

    /// Lists the open pull or merge requests of a repository.
    ///
    /// # Errors
    /// As for [`Adapters::repo`].
    pub(crate) async fn pulls(&self, store: &Store, repo: &str) -> Result<PullList, ApiError> {
        let repo = RepoName::parse(repo)?;
        let port = self.operator_adapter(store).await?;
        timely(port.pulls(&repo)).await
    }

    /// Opens a pull or merge request.
    ///
    /// # Errors
    /// As for [`Adapters::repo`].
    pub(crate) async fn create_pull(&self, store: &Store, params: &CreatePull) -> Result<Pull, ApiError> {
        let repo = RepoName::parse(&params.repo)?;
        let port = self.operator_adapter(store).await?;
        timely(port.create_pull(&repo, params)).await
    }

    /// Lists the open issues of a repository.
    ///
    /// # Errors
    /// As for [`Adapters::repo`].
    pub(crate) async fn issues(&self, store: &Store, repo: &str) -> Result<IssueList, ApiError> {
        let repo = RepoName::parse(repo)?;
        let port = self.operator_adapter(store).await?;
        timely(port.issues(&repo)).await
    }

    /// Sends a request to the API of the active forge.
    ///
    /// # Errors
    /// As for [`Adapters::whoami`], `invalid_input` for the method or the path.
    pub(crate) async fn request(&self, store: &Store, params: &Request) -> Result<Answer, ApiError> {
        let port = self.operator_adapter(store).await?;
        timely(port.request(params)).await
    }
}

/// Returns the subject of a request in the audit log.
pub(crate) fn audited(params: &Request) -> String {
    format!("{} {}", params.method, path::without_query(&params.path)).chars().take(400).collect()
}

/// Waits for an answer, but not for longer than a client does.
pub(super) async fn timely<T>(answer: impl Future<Output = Result<T, ForgeError>>) -> Result<T, ApiError> {
    match tokio::time::timeout(LONGEST, answer).await {
        Ok(answer) => answer.map_err(ApiError::from),
        Err(_) => {
            Err(ApiError::new(Kind::ForgeUnavailable, "the forge did not answer in time")
                .hint(Step::LookFirst))
        }
    }
}
