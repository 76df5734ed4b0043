//! The port: the questions that the daemon asks any forge.

use std::pin::Pin;

pub(crate) use super::error::ForgeError;
pub(crate) use super::path::RepoName;
use crate::wire::forge::{
    Answer, BranchList, CreatePull, IssueList, Person, Pull, PullList, Repo, RepoPage, Request,
};

/// An answer that is on its way.
pub(crate) type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T, ForgeError>> + Send + 'a>>;

/// A forge, as one account sees it. Every question follows pages, waits for short limits, and asks once more after a 401
/// whose token could be refreshed.
pub(crate) trait ForgePort: Send + Sync {
    /// Returns the owner of the token.
    fn whoami(&self) -> Pending<'_, Person>;
    /// Returns a page of the repositories that the account can reach, whose names contain `query`.
    fn repos<'a>(&'a self, query: Option<&'a str>, page: u32) -> Pending<'a, RepoPage>;
    /// Returns one repository.
    fn repo<'a>(&'a self, repo: &'a RepoName) -> Pending<'a, Repo>;
    /// Returns the branches of a repository.
    fn branches<'a>(&'a self, repo: &'a RepoName) -> Pending<'a, BranchList>;
    /// Returns the open pull or merge requests of a repository.
    fn pulls<'a>(&'a self, repo: &'a RepoName) -> Pending<'a, PullList>;
    /// Opens a pull or merge request.
    fn create_pull<'a>(&'a self, repo: &'a RepoName, new: &'a CreatePull) -> Pending<'a, Pull>;
    /// Returns the open issues of a repository.
    fn issues<'a>(&'a self, repo: &'a RepoName) -> Pending<'a, IssueList>;
    /// Sends a request as it is. An answer of any status is returned, except for a 401.
    fn request<'a>(&'a self, request: &'a Request) -> Pending<'a, Answer>;
}
