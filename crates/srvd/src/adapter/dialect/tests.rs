use serde_json::json;

use super::*;

fn dialect(kind: ForgeKind) -> Dialect {
    let base = kind.default_base().unwrap_or("https://git.example/code");
    Dialect::new(kind, &BaseUrl::parse(base, false).unwrap())
}

#[test]
fn paths_are_those_of_each_forge() {
    let repo = RepoName::parse("team/tool").unwrap();
    let check = |kind: ForgeKind, root: &str, expect: [&str; 4]| {
        let dialect = dialect(kind);
        assert_eq!(dialect.root(), root);
        let paths =
            [dialect.repo(&repo), dialect.branch(&repo, "a/b"), dialect.pulls(&repo), dialect.issues(&repo)];
        assert_eq!(paths, expect, "{kind:?}");
    };
    check(
        ForgeKind::GitHub,
        "https://api.github.com",
        [
            "/repos/team/tool",
            "/repos/team/tool/branches/a/b",
            "/repos/team/tool/pulls?state=open&per_page=100",
            "/repos/team/tool/issues?state=open&per_page=100",
        ],
    );
    check(
        ForgeKind::GitLab,
        "https://gitlab.com/api/v4",
        [
            "/projects/team%2Ftool",
            "/projects/team%2Ftool/repository/branches/a%2Fb",
            "/projects/team%2Ftool/merge_requests?state=opened&per_page=100",
            "/projects/team%2Ftool/issues?state=opened&per_page=100",
        ],
    );
    check(
        ForgeKind::Forgejo,
        "https://git.example/code/api/v1",
        [
            "/repos/team/tool",
            "/repos/team/tool/branches/a/b",
            "/repos/team/tool/pulls?state=open&limit=50",
            "/repos/team/tool/issues?state=open&type=issues&limit=50",
        ],
    );
    assert_eq!(dialect(ForgeKind::GitLab).repos(Some("a&b"), 2).rsplit('&').next(), Some("search=a%26b"));
}

#[test]
fn draft_is_sent_in_the_way_of_each_forge() {
    let new = CreatePull {
        repo: "team/tool".to_owned(),
        title: "Add it".to_owned(),
        body: None,
        source_branch: "work".to_owned(),
        target_branch: "main".to_owned(),
        draft: Some(true),
    };
    let repo = RepoName::parse(&new.repo).unwrap();
    let sent = |kind| dialect(kind).new_pull(&repo, &new);
    let (path, body) = sent(ForgeKind::GitHub);
    assert_eq!(
        (path.as_str(), &body["draft"], &body["title"]),
        ("/repos/team/tool/pulls", &json!(true), &json!("Add it"))
    );
    let (path, body) = sent(ForgeKind::GitLab);
    assert_eq!(
        (path.as_str(), &body["title"]),
        ("/projects/team%2Ftool/merge_requests", &json!("Draft: Add it"))
    );
    assert_eq!(body["source_branch"], "work");
    assert_eq!(sent(ForgeKind::Gitea).1["title"], "WIP: Add it");
}

#[test]
fn answer_without_a_required_field_is_not_read() {
    let dialect = dialect(ForgeKind::GitHub);
    assert!(dialect.read_repo(&json!({"full_name": "a/b"})).is_none());
    assert!(dialect.read_pull(&json!({"number": "1", "title": "x"})).is_none());
    assert!(dialect.read_branch(&json!({"name": "main"})).is_none());
}

#[test]
fn digest_changes_with_each_request_and_its_commits() {
    let pull = |number: u64, head: &str| Pull { number, head: Some(head.to_owned()), ..Pull::default() };
    let one = Dialect::digest(&[pull(1, "aaaaaaaaaaaaaa"), pull(2, "bbbbbbbbbbbbbb")]);
    assert_eq!(one, Dialect::digest(&[pull(2, "bbbbbbbbbbbbbb"), pull(1, "aaaaaaaaaaaaaa")]));
    assert_ne!(one, Dialect::digest(&[pull(1, "aaaaaaaaaaaaaa")]));
    assert_ne!(one, Dialect::digest(&[pull(1, "aaaaaaaaaaaaaa"), pull(2, "cccccccccccccc")]));
    assert_eq!(Dialect::digest(&[]), "");
}
