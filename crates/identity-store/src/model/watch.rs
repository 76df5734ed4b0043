//! Repositories that are watched at a forge.

use crate::id::ProviderId;
use crate::model::token::BaseUrl;

/// A watched repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepoWatch {
    /// The kind of forge, such as `forgejo`.
    pub forge: ProviderId,
    /// The forge's address in its canonical spelling.
    pub base_url: BaseUrl,
    /// The repository's name as the forge spells it, with its owner or its groups.
    pub repo: String,
    /// The last view of the repository.
    pub view: RepoView,
    /// Time of the last look, in unix milliseconds.
    pub checked_at: Option<i64>,
    /// Time of the last look that found a change, in unix milliseconds.
    pub changed_at: Option<i64>,
    /// The reason why the last look failed.
    pub problem: Option<String>,
    /// Time since when the repository has been watched, in unix milliseconds.
    pub created_at: i64,
}

/// A repository to watch.
#[derive(Debug, Clone)]
pub struct NewWatch {
    /// The kind of forge.
    pub forge: ProviderId,
    /// The forge's address.
    pub base_url: BaseUrl,
    /// The repository's name as the forge spells it.
    pub repo: String,
    /// The repository as it is now.
    pub view: RepoView,
}

/// A repository as it was seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RepoView {
    /// The name of the default branch; `None` for an empty repository.
    pub default_branch: Option<String>,
    /// The commit at the head of the default branch.
    pub head: Option<String>,
    /// A text that changes with the open requests.
    pub requests: Option<String>,
    /// The validators with which the forge is asked the next time, as a text of the caller.
    pub etags: Option<String>,
}

impl RepoView {
    /// Returns whether a listener has to know the difference between two views.
    pub fn differs(&self, other: &Self) -> bool {
        (&self.default_branch, &self.head, &self.requests)
            != (&other.default_branch, &other.head, &other.requests)
    }
}
