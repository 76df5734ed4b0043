//! The paths and the fields of each kind of forge. It performs no I/O.

use serde_json::{Value, json};

use super::path::{RepoName, encoded};
use crate::config::forges::{BaseUrl, ForgeKind};
use crate::forge::oauth::forge::api_root;
use crate::wire::forge::{Branch, CreatePull, Issue, Pull, Repo};

/// The language of one forge.
#[derive(Debug, Clone)]
pub(super) struct Dialect {
    kind: ForgeKind,
    /// The URL of the API, without a slash at the end.
    root: String,
    names: &'static FieldNames,
}

/// The places of the fields in a forge's answers, as JSON pointers.
#[derive(Debug)]
struct FieldNames {
    repo: &'static str,
    page: &'static str,
    clone: &'static str,
    number: &'static str,
    author: &'static str,
    source: &'static str,
    target: &'static str,
    head: &'static str,
    commit: &'static str,
    /// The pointer of a label's name in its list.
    label: &'static str,
}

static GITHUB: FieldNames = GITHUB_FIELDS;
static GITEA: FieldNames = FieldNames { commit: "/commit/id", ..GITHUB_FIELDS };
const GITHUB_FIELDS: FieldNames = FieldNames {
    repo: "/full_name",
    page: "/html_url",
    clone: "/clone_url",
    number: "/number",
    author: "/user/login",
    source: "/head/ref",
    target: "/base/ref",
    head: "/head/sha",
    commit: "/commit/sha",
    label: "/name",
};

static GITLAB: FieldNames = FieldNames {
    repo: "/path_with_namespace",
    page: "/web_url",
    clone: "/http_url_to_repo",
    number: "/iid",
    author: "/author/username",
    source: "/source_branch",
    target: "/target_branch",
    head: "/sha",
    commit: "/commit/id",
    label: "",
};

impl Dialect {
    pub(super) fn new(kind: ForgeKind, base: &BaseUrl) -> Self {
        let names = match kind {
            ForgeKind::GitHub => &GITHUB,
            ForgeKind::GitLab => &GITLAB,
            ForgeKind::Forgejo | ForgeKind::Gitea => &GITEA,
        };
        Self { kind, root: api_root(kind, base), names }
    }

    /// The URL of the API, without a slash at the end.
    pub(super) fn root(&self) -> &str {
        &self.root
    }

    /// Returns whether the forge itself searches the names of the user's repositories.
    pub(super) fn searches(&self) -> bool {
        self.kind == ForgeKind::GitLab
    }

    /// The path of the user's repositories.
    pub(super) fn repos(&self, query: Option<&str>, page: u32) -> String {
        match self.kind {
            ForgeKind::GitHub => format!("/user/repos?per_page=100&sort=full_name&page={page}"),
            ForgeKind::GitLab => {
                let search = query.map(|query| format!("&search={}", encoded(query))).unwrap_or_default();
                format!("/projects?membership=true&per_page=100&order_by=path&sort=asc&page={page}{search}")
            }
            ForgeKind::Forgejo | ForgeKind::Gitea => format!("/user/repos?limit=50&page={page}"),
        }
    }

    /// The path of one repository.
    pub(super) fn repo(&self, repo: &RepoName) -> String {
        match self.kind {
            ForgeKind::GitLab => format!("/projects/{}", repo.segment()),
            _ => format!("/repos/{}", repo.segments()),
        }
    }

    /// The path of the branches of a repository.
    pub(super) fn branches(&self, repo: &RepoName) -> String {
        let repo = self.repo(repo);
        match self.kind {
            ForgeKind::GitHub => format!("{repo}/branches?per_page=100"),
            ForgeKind::GitLab => format!("{repo}/repository/branches?per_page=100"),
            ForgeKind::Forgejo | ForgeKind::Gitea => format!("{repo}/branches?limit=50"),
        }
    }

    /// The path of one branch.
    pub(super) fn branch(&self, repo: &RepoName, branch: &str) -> String {
        let repo = self.repo(repo);
        match self.kind {
            ForgeKind::GitLab => format!("{repo}/repository/branches/{}", encoded(branch)),
            // Both accept the slashes of a branch as they are.
            _ => format!("{repo}/branches/{}", branch.split('/').map(encoded).collect::<Vec<_>>().join("/")),
        }
    }

    /// The path of the open pull or merge requests.
    pub(super) fn pulls(&self, repo: &RepoName) -> String {
        let repo = self.repo(repo);
        match self.kind {
            ForgeKind::GitHub => format!("{repo}/pulls?state=open&per_page=100"),
            ForgeKind::GitLab => format!("{repo}/merge_requests?state=opened&per_page=100"),
            ForgeKind::Forgejo | ForgeKind::Gitea => format!("{repo}/pulls?state=open&limit=50"),
        }
    }

    /// The path and the body of a new pull or merge request.
    pub(super) fn new_pull(&self, repo: &RepoName, new: &CreatePull) -> (String, Value) {
        let draft = new.draft.unwrap_or(false);
        let prefixed =
            |prefix: &str| if draft { format!("{prefix}{}", new.title) } else { new.title.clone() };
        let body = new.body.clone().unwrap_or_default();
        let place = self.repo(repo);
        match self.kind {
            ForgeKind::GitHub => {
                let fields = json!({"title": new.title, "head": new.source_branch, "base": new.target_branch,
                    "body": body, "draft": draft});
                (format!("{place}/pulls"), fields)
            }
            ForgeKind::GitLab => {
                let fields = json!({"title": prefixed("Draft: "), "source_branch": new.source_branch,
                    "target_branch": new.target_branch, "description": body});
                (format!("{place}/merge_requests"), fields)
            }
            // A draft is told by its title.
            ForgeKind::Forgejo | ForgeKind::Gitea => {
                let fields = json!({"title": prefixed("WIP: "), "head": new.source_branch,
                    "base": new.target_branch, "body": body});
                (format!("{place}/pulls"), fields)
            }
        }
    }

    /// The path of the open issues.
    pub(super) fn issues(&self, repo: &RepoName) -> String {
        let repo = self.repo(repo);
        match self.kind {
            ForgeKind::GitHub => format!("{repo}/issues?state=open&per_page=100"),
            ForgeKind::GitLab => format!("{repo}/issues?state=opened&per_page=100"),
            ForgeKind::Forgejo | ForgeKind::Gitea => format!("{repo}/issues?state=open&type=issues&limit=50"),
        }
    }

    /// Reads a repository; `None` if a field that every forge sends is missing.
    pub(super) fn read_repo(&self, value: &Value) -> Option<Repo> {
        let flag = |pointer: &str| value.pointer(pointer).and_then(Value::as_bool);
        let private = match self.kind {
            ForgeKind::GitLab => value.pointer("/visibility").and_then(Value::as_str) != Some("public"),
            _ => flag("/private").unwrap_or(true),
        };
        Some(Repo {
            repo: text(value, self.names.repo)?,
            description: text(value, "/description"),
            private,
            archived: flag("/archived").unwrap_or(false),
            default_branch: text(value, "/default_branch"),
            web_url: text(value, self.names.page)?,
            clone_url: text(value, self.names.clone)?,
        })
    }

    /// Reads a branch.
    pub(super) fn read_branch(&self, value: &Value) -> Option<Branch> {
        Some(Branch { name: text(value, "/name")?, head: text(value, self.names.commit)? })
    }

    /// Reads a pull or merge request.
    pub(super) fn read_pull(&self, value: &Value) -> Option<Pull> {
        let title = text(value, "/title")?;
        let wip = self.kind != ForgeKind::GitHub && title.starts_with("WIP:");
        Some(Pull {
            number: value.pointer(self.names.number)?.as_u64()?,
            author: text(value, self.names.author),
            source_branch: text(value, self.names.source)?,
            target_branch: text(value, self.names.target)?,
            head: text(value, self.names.head),
            draft: value.pointer("/draft").and_then(Value::as_bool).unwrap_or(wip),
            web_url: text(value, self.names.page)?,
            title,
        })
    }

    /// Reads an issue. GitHub lists pull requests among the issues; they are none.
    pub(super) fn read_issue(&self, value: &Value) -> Option<Issue> {
        if value.get("pull_request").is_some_and(|pull| !pull.is_null()) {
            return None;
        }
        let labels = value.get("labels").and_then(Value::as_array);
        Some(Issue {
            number: value.pointer(self.names.number)?.as_u64()?,
            title: text(value, "/title")?,
            author: text(value, self.names.author),
            labels: labels.into_iter().flatten().filter_map(|label| text(label, self.names.label)).collect(),
            web_url: text(value, self.names.page)?,
        })
    }

    /// Returns a text that changes when a request is opened, closed or gets new commits.
    pub(super) fn digest(pulls: &[Pull]) -> String {
        let mut marks: Vec<String> = pulls
            .iter()
            .map(|pull| {
                format!("{}@{}", pull.number, pull.head.as_deref().unwrap_or("?").get(..12).unwrap_or("?"))
            })
            .collect();
        marks.sort();
        marks.join(" ")
    }
}

/// Returns the text at a place, unless it is empty.
fn text(value: &Value, pointer: &str) -> Option<String> {
    let text = value.pointer(pointer)?.as_str()?;
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests;
