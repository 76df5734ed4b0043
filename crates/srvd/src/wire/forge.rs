//! `forge.*`: the active forge, as the operator's account sees it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(crate) use super::forge_watch::{ListWatched, Unwatch, Unwatched, Watch, Watched, WatchedList};
use super::operator::ForgeType;
use super::{method, words};

/// Asks the active forge who the operator is there.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WhoAmI {}
method!(
    WhoAmI,
    "forge.whoami",
    Person,
    "Asks the active forge who the operator is there; error 1010 if no account is active.",
    seconds = 60
);

/// The operator at the active forge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ForgePerson")]
pub(crate) struct Person {
    /// The type of the forge.
    pub forge_type: ForgeType,
    /// The forge's base URL.
    pub base_url: String,
    /// The id of the operator's account.
    pub account_id: String,
    /// The forge's own id of the user.
    pub subject: String,
    /// The user's login name.
    pub login: String,
    /// The user's email address, if the forge returns one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
}

/// Lists the repositories that the operator can reach at the active forge.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ListForgeRepos")]
pub(crate) struct Repos {
    /// A part of the name, in any case. If absent, all repositories are listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// The page: `nextPage` of the page before; 1 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page: Option<u32>,
}
method!(
    Repos,
    "forge.repos",
    RepoPage,
    "Lists the repositories that the operator can reach at the active forge, a page at a time.",
    seconds = 60
);

/// A page of repositories.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RepoPage {
    /// The repositories.
    pub repos: Vec<Repo>,
    /// The next page; absent after the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_page: Option<u32>,
}

/// A repository.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ForgeRepo")]
pub(crate) struct Repo {
    /// The name with its owner or its groups, such as `owner/name`.
    pub repo: String,
    /// The description, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// True unless everybody can read it.
    pub private: bool,
    /// True if it is read-only.
    pub archived: bool,
    /// The default branch; absent for an empty repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_branch: Option<String>,
    /// The URL of its page.
    pub web_url: String,
    /// The URL for `git clone` over HTTPS.
    pub clone_url: String,
}

/// Reads one repository.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct GetRepo {
    /// The name with its owner or its groups.
    pub repo: String,
}
method!(GetRepo, "forge.repo", Repo, "Reads one repository of the active forge.", seconds = 60);

/// Lists the branches of a repository.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ListForgeBranches")]
pub(crate) struct Branches {
    /// The name of the repository with its owner or its groups.
    pub repo: String,
}
method!(
    Branches,
    "forge.branches",
    BranchList,
    "Lists the branches of a repository of the active forge.",
    seconds = 60
);

/// The branches of a repository.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BranchList {
    /// The branches.
    pub branches: Vec<Branch>,
    /// True if there are more.
    pub truncated: bool,
}

/// A branch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ForgeBranch")]
pub(crate) struct Branch {
    /// The name.
    pub name: String,
    /// The commit at its head.
    pub head: String,
}

/// Lists the open pull or merge requests of a repository.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ListForgePulls")]
pub(crate) struct Pulls {
    /// The name of the repository with its owner or its groups.
    pub repo: String,
}
method!(
    Pulls,
    "forge.pulls",
    PullList,
    "Lists the open pull or merge requests of a repository of the active forge.",
    seconds = 60
);

/// The open pull or merge requests of a repository.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PullList {
    /// The requests.
    pub pulls: Vec<Pull>,
    /// True if there are more.
    pub truncated: bool,
}

/// A pull request, or a merge request of GitLab.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ForgePull")]
pub(crate) struct Pull {
    /// Its number in the repository.
    pub number: u64,
    /// The title.
    pub title: String,
    /// The login name of its author, if the forge returns one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// The branch with the changes.
    pub source_branch: String,
    /// The branch that receives them.
    pub target_branch: String,
    /// The commit at the head of the source branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<String>,
    /// True for a draft.
    pub draft: bool,
    /// The URL of its page.
    pub web_url: String,
}

/// Opens a pull or merge request.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "CreateForgePull")]
pub(crate) struct CreatePull {
    /// The name of the repository with its owner or its groups.
    pub repo: String,
    /// The title.
    pub title: String,
    /// The description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// The branch with the changes.
    pub source_branch: String,
    /// The branch that receives them.
    pub target_branch: String,
    /// True for a draft.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draft: Option<bool>,
}
method!(
    CreatePull,
    "forge.createpull",
    Pull,
    "Opens a pull or merge request in a repository of the active forge.",
    seconds = 60
);

/// Lists the open issues of a repository.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ListForgeIssues")]
pub(crate) struct Issues {
    /// The name of the repository with its owner or its groups.
    pub repo: String,
}
method!(Issues, "forge.issues", IssueList, "Lists the open issues of a repository.", seconds = 60);

/// The open issues of a repository.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct IssueList {
    /// The issues.
    pub issues: Vec<Issue>,
    /// True if there are more.
    pub truncated: bool,
}

/// An issue.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ForgeIssue")]
pub(crate) struct Issue {
    /// Its number in the repository.
    pub number: u64,
    /// The title.
    pub title: String,
    /// The login name of its author, if the forge returns one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// The labels.
    pub labels: Vec<String>,
    /// The URL of its page.
    pub web_url: String,
}

words! {
    /// An HTTP method.
    #[schemars(rename = "ForgeMethod")]
    HttpMethod {
        /// Reads.
        Get = "GET",
        /// Creates.
        Post = "POST",
        /// Changes.
        Patch = "PATCH",
        /// Replaces.
        Put = "PUT",
        /// Deletes.
        Delete = "DELETE",
    }
}

/// Sends a request to the API of the active forge, and to no other host.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ForgeRequest")]
pub(crate) struct Request {
    /// The method.
    pub method: HttpMethod,
    /// The path below the API's root, with its query, such as `/user/repos?page=2`.
    pub path: String,
    /// The JSON body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
}
method!(
    Request,
    "forge.request",
    Answer,
    "Sends a request to the API of the active forge. Redirects are not followed, and the answer has at most 1 MiB. The audit log records the method and the path.",
    seconds = 60
);

/// The forge's answer to a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ForgeAnswer")]
pub(crate) struct Answer {
    /// The HTTP status. The target of a redirect is in the header `location`.
    pub status: u16,
    /// The headers about pages, versions, limits and scopes, by their names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body, if it is JSON; otherwise absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
    /// The body, if it is another text than JSON; otherwise absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}
