//! The port of one forge: its dialect, and the exchange with the account's token.

use std::collections::BTreeMap;

use hyper::Method;
use serde_json::Value;

use super::dialect::Dialect;
use super::error::ForgeError;
use super::exchange::{Ask, Exchange};
use super::path::{self, RepoName};
use super::port::{ForgePort, Pending};
use crate::forge::oauth::http::Received;
use crate::forge::oauth::identity::Identity;
use crate::wire::forge::{
    Answer, BranchList, CreatePull, HttpMethod, IssueList, Person, Pull, PullList, Repo, RepoPage, Request,
};
use crate::wire::operator::ForgeType;

/// The maximum number of pages that one question follows.
const PAGES: u32 = 10;
/// The headers of an answer that a client receives.
const HEADERS: &[&str] = &[
    "etag",
    "link",
    "location",
    "last-modified",
    "retry-after",
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
    "ratelimit-limit",
    "ratelimit-remaining",
    "ratelimit-reset",
    "x-total",
    "x-next-page",
    "x-total-count",
    "x-oauth-scopes",
    "x-accepted-oauth-scopes",
];

/// A forge bound to the token of one of the operator's accounts.
pub(super) struct Bound {
    pub(super) dialect: Dialect,
    pub(super) exchange: Exchange,
    pub(super) forge_type: ForgeType,
    pub(super) base_url: String,
}

/// The items of some pages.
struct Listed<T> {
    items: Vec<T>,
    truncated: bool,
}

impl Bound {
    /// Follows the pages of a list from this path.
    async fn list<T>(
        &self,
        first: &str,
        what: &str,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Result<Listed<T>, ForgeError> {
        let place = first.split('?').next().unwrap_or(first);
        let (mut items, mut path) = (Vec::new(), first.to_owned());
        for _ in 0..PAGES {
            let (page, received) = self.exchange.json(&Ask::get(&path), what).await?;
            items.extend(array(&page)?.iter().filter_map(&read));
            match next(&received) {
                Some(query) => path = format!("{place}?{query}"),
                None => return Ok(Listed { items, truncated: false }),
            }
        }
        Ok(Listed { items, truncated: true })
    }

    async fn page(&self, query: Option<&str>, first: u32) -> Result<RepoPage, ForgeError> {
        let wanted = query.map(str::to_lowercase);
        let fits = |repo: &Repo| {
            self.dialect.searches()
                || wanted.as_ref().is_none_or(|wanted| repo.repo.to_lowercase().contains(wanted.as_str()))
        };
        let mut number = first.max(1);
        for _ in 0..PAGES {
            let path = self.dialect.repos(query, number);
            let (page, received) = self.exchange.json(&Ask::get(&path), "the list of repositories").await?;
            let read = array(&page)?.iter().filter_map(|value| self.dialect.read_repo(value));
            let repos: Vec<Repo> = read.filter(fits).collect();
            let more = next(&received).is_some();
            let next_page = more.then(|| number.saturating_add(1));
            // The forge does not search, so the next page may have what this one has not.
            if !repos.is_empty() || !more {
                return Ok(RepoPage { repos, next_page });
            }
            number = number.saturating_add(1);
        }
        Ok(RepoPage { repos: Vec::new(), next_page: Some(number) })
    }

    async fn person(&self) -> Result<Person, ForgeError> {
        let (_, received) = self.exchange.json(&Ask::get("/user"), "the user").await?;
        let Identity { account_id, login, email } =
            Identity::parse(&received.body).ok_or_else(|| unreadable("the user"))?;
        Ok(Person {
            forge_type: self.forge_type.clone(),
            base_url: self.base_url.clone(),
            account_id: self.exchange.account.to_string(),
            subject: account_id,
            login,
            email,
        })
    }

    async fn raw(&self, request: &Request) -> Result<Answer, ForgeError> {
        let method = match &request.method {
            HttpMethod::Get => Method::GET,
            HttpMethod::Post => Method::POST,
            HttpMethod::Patch => Method::PATCH,
            HttpMethod::Put => Method::PUT,
            HttpMethod::Delete => Method::DELETE,
            HttpMethod::Other(word) => {
                let reason = format!("{word:?} is not one of: GET, POST, PATCH, PUT, DELETE");
                return Err(ForgeError::Invalid { field: "method", reason });
            }
        };
        let ask = Ask { method, path: &request.path, body: request.body.as_ref(), etag: None };
        let received = self.exchange.send(&ask).await?;
        Ok(answer(&received))
    }
}

/// Returns an answer as a client receives it.
fn answer(received: &Received) -> Answer {
    let header = |name: &&str| {
        let value = received.headers.get(*name)?.to_str().ok()?;
        Some(((*name).to_owned(), value.to_owned()))
    };
    let body: Option<Value> = serde_json::from_slice(&received.body).ok();
    let text = (body.is_none() && !received.body.is_empty())
        .then(|| String::from_utf8_lossy(&received.body).into_owned());
    let headers: BTreeMap<String, String> = HEADERS.iter().filter_map(header).collect();
    Answer { status: received.status.as_u16(), headers, body, text }
}

fn array(page: &Value) -> Result<&Vec<Value>, ForgeError> {
    page.as_array().ok_or_else(|| unreadable("a list"))
}

fn next(received: &Received) -> Option<String> {
    path::next_query(received.headers.get("link")?.to_str().ok()?)
}

fn unreadable(what: &str) -> ForgeError {
    ForgeError::Unavailable(format!("its answer about {what} has another form than expected"))
}

impl ForgePort for Bound {
    fn whoami(&self) -> Pending<'_, Person> {
        Box::pin(self.person())
    }

    fn repos<'a>(&'a self, query: Option<&'a str>, page: u32) -> Pending<'a, RepoPage> {
        Box::pin(self.page(query, page))
    }

    fn repo<'a>(&'a self, repo: &'a RepoName) -> Pending<'a, Repo> {
        Box::pin(async move {
            let path = self.dialect.repo(repo);
            let (value, _) = self.exchange.json(&Ask::get(&path), repo.as_str()).await?;
            self.dialect.read_repo(&value).ok_or_else(|| unreadable("a repository"))
        })
    }

    fn branches<'a>(&'a self, repo: &'a RepoName) -> Pending<'a, BranchList> {
        Box::pin(async move {
            let path = self.dialect.branches(repo);
            let found = self.list(&path, repo.as_str(), |value| self.dialect.read_branch(value)).await?;
            Ok(BranchList { branches: found.items, truncated: found.truncated })
        })
    }

    fn pulls<'a>(&'a self, repo: &'a RepoName) -> Pending<'a, PullList> {
        Box::pin(async move {
            let path = self.dialect.pulls(repo);
            let found = self.list(&path, repo.as_str(), |value| self.dialect.read_pull(value)).await?;
            Ok(PullList { pulls: found.items, truncated: found.truncated })
        })
    }

    fn create_pull<'a>(&'a self, repo: &'a RepoName, new: &'a CreatePull) -> Pending<'a, Pull> {
        Box::pin(async move {
            let (path, body) = self.dialect.new_pull(repo, new);
            let ask = Ask { method: Method::POST, path: &path, body: Some(&body), etag: None };
            let (value, _) = self.exchange.json(&ask, repo.as_str()).await?;
            self.dialect.read_pull(&value).ok_or_else(|| unreadable("the new request"))
        })
    }

    fn issues<'a>(&'a self, repo: &'a RepoName) -> Pending<'a, IssueList> {
        Box::pin(async move {
            let path = self.dialect.issues(repo);
            let found = self.list(&path, repo.as_str(), |value| self.dialect.read_issue(value)).await?;
            Ok(IssueList { issues: found.items, truncated: found.truncated })
        })
    }

    fn request<'a>(&'a self, request: &'a Request) -> Pending<'a, Answer> {
        Box::pin(self.raw(request))
    }
}
