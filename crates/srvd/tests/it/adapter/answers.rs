//! Answers in the form of each forge's API documentation: a user, a repository, two pages of branches, an open request
//! and an issue.

use serde_json::{Value, json};

use crate::forge::standin::{Recorded, Standin};

/// The kinds of forge, each with the root of its API below the stand-in's address.
pub(super) const KINDS: [(&str, &str); 4] =
    [("github", "/api/v3"), ("gitlab", "/api/v4"), ("forgejo", "/api/v1"), ("gitea", "/api/v1")];

/// The commits at the heads.
pub(super) const MAIN: &str = "7fd1a60b01f91b314f59955a4e4d4e80d8edf11d";
pub(super) const WORK: &str = "6dcb09b5b57875f334f61aebed695e2e4193db5e";

pub(super) fn ok(body: Value) -> Recorded {
    Recorded { status: 200, body, headers: Vec::new() }
}

/// Returns the place of the repository `ada/tool` in the API.
pub(super) fn place(kind: &str) -> String {
    let root = KINDS.iter().find(|(name, _)| *name == kind).unwrap().1;
    if kind == "gitlab" { format!("{root}/projects/ada%2Ftool") } else { format!("{root}/repos/ada/tool") }
}

pub(super) fn repo(kind: &str, name: &str, url: &str) -> Value {
    if kind == "gitlab" {
        return json!({
            "id": 4, "description": "A tool", "name": name, "name_with_namespace": format!("Ada / {name}"),
            "path": name, "path_with_namespace": format!("ada/{name}"), "created_at": "2026-01-02T03:04:05.000Z",
            "default_branch": "main", "topics": [], "ssh_url_to_repo": format!("git@gitlab.example:ada/{name}.git"),
            "http_url_to_repo": format!("{url}/ada/{name}.git"), "web_url": format!("{url}/ada/{name}"),
            "visibility": "private", "archived": false, "open_issues_count": 1,
        });
    }
    json!({
        "id": 1_296_269, "name": name, "full_name": format!("ada/{name}"), "description": "A tool",
        "owner": {"login": "ada", "id": 12}, "private": true, "fork": false, "archived": false,
        "html_url": format!("{url}/ada/{name}"), "clone_url": format!("{url}/ada/{name}.git"),
        "ssh_url": format!("git@git.example:ada/{name}.git"), "default_branch": "main", "empty": false,
        "permissions": {"admin": true, "push": true, "pull": true},
    })
}

pub(super) fn branch(kind: &str, name: &str, commit: &str) -> Value {
    match kind {
        "github" => json!({"name": name, "commit": {"sha": commit, "url": "https://x"}, "protected": false}),
        "gitlab" => {
            json!({"name": name, "merged": false, "protected": true, "default": true,
                "commit": {"id": commit, "short_id": &commit[..8], "title": "t"}})
        }
        _ => json!({"name": name, "commit": {"id": commit, "message": "t"}, "protected": false}),
    }
}

pub(super) fn pull(kind: &str, number: u64, head: &str, url: &str) -> Value {
    if kind == "gitlab" {
        return json!({
            "id": 900 + number, "iid": number, "title": "Add it", "state": "opened", "draft": false,
            "author": {"id": 2, "username": "bob"}, "source_branch": "work", "target_branch": "main", "sha": head,
            "web_url": format!("{url}/ada/tool/-/merge_requests/{number}"),
        });
    }
    json!({
        "id": 900 + number, "number": number, "title": "Add it", "state": "open", "draft": false,
        "user": {"login": "bob", "id": 2}, "head": {"label": "bob:work", "ref": "work", "sha": head},
        "base": {"label": "ada:main", "ref": "main", "sha": MAIN},
        "html_url": format!("{url}/ada/tool/pulls/{number}"),
    })
}

pub(super) fn issue(kind: &str, url: &str) -> Value {
    if kind == "gitlab" {
        return json!({"id": 76, "iid": 6, "title": "It breaks", "state": "opened", "labels": ["bug"],
            "author": {"username": "eve"}, "web_url": format!("{url}/ada/tool/-/issues/6")});
    }
    json!({"id": 76, "number": 6, "title": "It breaks", "state": "open", "user": {"login": "eve"},
        "labels": [{"id": 1, "name": "bug", "color": "f00"}], "html_url": format!("{url}/ada/tool/issues/6"),
        "pull_request": null})
}

/// Records the answers to all questions about the repository. The branches have two pages, whose link names a host that must
/// not be asked.
pub(super) fn record(forge: &Standin, kind: &str) {
    let (url, root) = (forge.url.as_str(), KINDS.iter().find(|(name, _)| *name == kind).unwrap().1);
    let get = |path: &str, answer: Recorded| forge.record(&format!("GET {path}"), answer);
    let place = place(kind);
    get(&place, ok(repo(kind, "tool", url)));
    let list = if kind == "gitlab" { format!("{root}/projects") } else { format!("{root}/user/repos") };
    get(&list, ok(json!([repo(kind, "tool", url), repo(kind, "other", url)])));
    let (branches, per) = match kind {
        "github" => (format!("{place}/branches"), "per_page=100"),
        "gitlab" => (format!("{place}/repository/branches"), "per_page=100"),
        _ => (format!("{place}/branches"), "limit=50"),
    };
    let next = format!(
        "<https://elsewhere.example{branches}?{per}&page=2>; rel=\"next\", <https://x/?page=2>; rel=\"last\""
    );
    let first = Recorded { headers: vec![("link", next)], ..ok(json!([branch(kind, "main", MAIN)])) };
    get(&format!("{branches}?{per}"), first);
    get(&format!("{branches}?{per}&page=2"), ok(json!([branch(kind, "work", WORK)])));
    get(&format!("{branches}/main"), ok(branch(kind, "main", MAIN)));
    let pulls = if kind == "gitlab" { "merge_requests" } else { "pulls" };
    get(&format!("{place}/{pulls}"), ok(json!([pull(kind, 3, WORK, url)])));
    let made = Recorded { status: 201, ..ok(pull(kind, 4, WORK, url)) };
    forge.record(&format!("POST {place}/{pulls}"), made);
    let mut issues = vec![issue(kind, url)];
    if kind == "github" {
        // GitHub lists pull requests among the issues.
        let mut request = issue(kind, url);
        request["pull_request"] = json!({"url": "https://x"});
        issues.push(request);
    }
    get(&format!("{place}/issues"), ok(issues.into()));
}
