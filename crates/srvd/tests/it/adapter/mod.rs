//! The active forge's API: the answers of the four forges, refreshes and limits, requests of clients, watched repositories,
//! and the token for git.

mod answers;
mod git;
mod stale;
mod watch;

use serde_json::{Value, json};

use crate::forge::standin::{CLIENT_SECRET, Recorded, Standin};
use crate::support::{Daemon, Home};
use answers::{KINDS, MAIN, WORK, ok, place, record};

/// Starts a daemon that is a client of this forge, and whose operator is `ada` there.
async fn daemon(kind: &str, forge: &Standin, more: &str) -> Daemon {
    let daemon = client(Home::new(), kind, forge, more);
    sign_in(&daemon, kind, forge).await;
    daemon
}

fn client(home: Home, kind: &str, forge: &Standin, more: &str) -> Daemon {
    let table = format!(
        "[forges.it]\ntype = \"{kind}\"\nbase_url = \"{}\"\nclient_id = \"srvd\"\nclient_secret_env = \"PLANTED\"\n{more}",
        forge.url
    );
    home.config("srvd.toml", &table).start_with(|command| command.env("PLANTED", CLIENT_SECRET))
}

/// Brings tokens that can be refreshed, and makes their account the active one.
async fn sign_in(daemon: &Daemon, kind: &str, forge: &Standin) -> Value {
    let (access, refresh) = forge.hand_out();
    let in_an_hour = crate::support::now() + 3_600_000;
    let tokens =
        json!({"accessToken": access, "refreshToken": refresh, "expiresAt": in_an_hour, "subject": "12"});
    daemon
        .call(
            "operator.upsert",
            json!({"forgeType": kind, "baseUrl": forge.url, "clientId": "srvd", "accountLogin": "ada",
                "tokens": tokens, "activate": true}),
        )
        .await
}

fn tool() -> Value {
    json!({"repo": "ada/tool"})
}

#[tokio::test(flavor = "multi_thread")]
async fn port_reads_the_answers_of_every_forge_and_follows_their_pages() {
    for (kind, root) in KINDS {
        let forge = Standin::start(kind).await;
        record(&forge, kind);
        let daemon = daemon(kind, &forge, "").await;
        let person = daemon.call("forge.whoami", json!({})).await;
        assert_eq!(
            (&person["login"], &person["subject"], &person["forgeType"]),
            (&json!("ada"), &json!("12"), &json!(kind))
        );
        let repo = daemon.call("forge.repo", tool()).await;
        let web = format!("{}/ada/tool", forge.url);
        assert_eq!(
            repo,
            json!({"repo": "ada/tool", "description": "A tool", "private": true, "archived": false,
                "defaultBranch": "main", "webUrl": web, "cloneUrl": format!("{web}.git")}),
            "{kind}"
        );
        let repos = daemon.call("forge.repos", json!({})).await;
        assert_eq!(
            (&repos["repos"][0], repos["repos"].as_array().unwrap().len(), repos.get("nextPage")),
            (&repo, 2, None)
        );
        if kind != "gitlab" {
            let found = daemon.call("forge.repos", json!({"query": "OTHER"})).await;
            assert_eq!(found["repos"].as_array().unwrap().len(), 1, "{kind}: {found}");
        }
        let branches = daemon.call("forge.branches", tool()).await;
        let expected = json!([{"name": "main", "head": MAIN}, {"name": "work", "head": WORK}]);
        assert_eq!(branches, json!({"branches": expected, "truncated": false}), "{kind}");
        let pulls = daemon.call("forge.pulls", tool()).await;
        let pull = &pulls["pulls"][0];
        assert_eq!(
            (&pull["number"], &pull["author"], &pull["head"]),
            (&json!(3), &json!("bob"), &json!(WORK)),
            "{kind}"
        );
        assert_eq!((&pull["sourceBranch"], &pull["targetBranch"]), (&json!("work"), &json!("main")));
        let new =
            json!({"repo": "ada/tool", "title": "Add it", "sourceBranch": "work", "targetBranch": "main"});
        assert_eq!(daemon.call("forge.createpull", new).await["number"], 4, "{kind}");
        let issues = daemon.call("forge.issues", tool()).await;
        let issue = json!({"number": 6, "title": "It breaks", "author": "eve", "labels": ["bug"],
            "webUrl": issues["issues"][0]["webUrl"]});
        assert_eq!(issues, json!({"issues": [issue], "truncated": false}), "{kind}");
        let asked = forge.requests();
        assert!(asked.iter().all(|request| request.contains(root)), "{kind}: {asked:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rejected_token_is_refreshed_once_and_the_request_repeated_once() {
    for (kind, _) in KINDS {
        let forge = Standin::start(kind).await;
        record(&forge, kind);
        let daemon = daemon(kind, &forge, "").await;
        forge.expire();
        assert_eq!(daemon.call("forge.repo", tool()).await["repo"], "ada/tool", "{kind}");
        assert_eq!(forge.exchanges(), 1, "{kind}");
        let path = format!("GET {}", place(kind));
        let asked = || forge.requests().iter().filter(|request| **request == path).count();
        assert_eq!(asked(), 2, "{kind}");
        // A forge that rejects the new token, too, ends the grant.
        forge.record(&path, Recorded { status: 401, ..ok(json!({"message": "Bad credentials"})) });
        let (code, data) = daemon.refused("forge.repo", tool()).await;
        assert_eq!((code, &data["kind"]), (1007, &json!("needs_reauth")), "{kind}");
        assert_eq!((forge.exchanges(), asked()), (2, 4), "{kind}");
        let listed = daemon.call("operator.list", json!({})).await;
        assert_eq!(listed["tokens"][0]["state"], "needs_reauth", "{kind}: {listed}");
        assert_eq!(daemon.refused("forge.repo", tool()).await.0, 1007);
        assert_eq!((forge.exchanges(), asked()), (2, 4), "{kind}: the forge is not asked again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_scope_is_named_and_never_refreshed() {
    let refusals = [
        (
            "github",
            json!({"message": "Resource not accessible"}),
            vec![("x-accepted-oauth-scopes", "repo".to_owned())],
            "repo",
        ),
        (
            "gitlab",
            json!({"error": "insufficient_scope", "error_description": "needs more", "scope": "api"}),
            vec![],
            "api",
        ),
        (
            "forgejo",
            json!({"message": "token does not have at least one of required scope(s): [read:repository]"}),
            vec![],
            "read:repository",
        ),
        (
            "gitea",
            json!({"message": "token does not have at least one of required scope(s): [read:repository]"}),
            vec![],
            "read:repository",
        ),
    ];
    for (kind, body, headers, scope) in refusals {
        let forge = Standin::start(kind).await;
        let daemon = daemon(kind, &forge, "").await;
        forge.record(&format!("GET {}", place(kind)), Recorded { status: 403, body, headers });
        let error = daemon.error("forge.repo", tool()).await;
        let data = error.data.unwrap_or_default();
        assert_eq!(
            (error.code, &data["scope"], &data["status"]),
            (1040, &json!(scope), &json!(403)),
            "{kind}: {data}"
        );
        assert_eq!(forge.exchanges(), 0, "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn limit_is_waited_for_when_it_is_short_and_kept_when_it_is_long() {
    for (kind, _) in KINDS {
        let forge = Standin::start(kind).await;
        record(&forge, kind);
        let daemon = daemon(kind, &forge, "").await;
        let path = format!("GET {}", place(kind));
        let asked = || forge.requests().iter().filter(|request| **request == path).count();
        let limited = |seconds: &str| Recorded {
            status: if kind == "github" { 403 } else { 429 },
            body: json!({"message": "API rate limit exceeded"}),
            headers: vec![("retry-after", seconds.to_owned())],
        };
        forge.record(&path, limited("0"));
        let (code, data) = daemon.refused("forge.repo", tool()).await;
        assert_eq!((code, asked()), (1041, 2), "{kind}: {data}");
        let again = daemon.call("forge.whoami", json!({})).await;
        assert_eq!(again["login"], "ada", "{kind}: the limit is over");
        forge.record(&path, limited("3600"));
        let before = crate::support::now();
        let (code, data) = daemon.refused("forge.repo", tool()).await;
        assert_eq!((code, &data["kind"], asked()), (1041, &json!("forge_unavailable"), 3), "{kind}");
        assert!(data["retryAt"].as_i64().unwrap() >= before + 3_500_000, "{kind}: {data}");
        // Until then no request is sent, whichever it is.
        let requests = forge.requests().len();
        assert_eq!(daemon.refused("forge.whoami", json!({})).await.0, 1041, "{kind}");
        assert_eq!(forge.requests().len(), requests, "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn client_s_request_reaches_the_active_forge_only_and_is_audited() {
    let (forge, other) = (Standin::start("gitea").await, Standin::start("gitea").await);
    record(&forge, "gitea");
    let daemon = client(Home::new(), "gitea", &forge, "");
    let ask = |method: &str, path: &str| json!({"method": method, "path": path});
    let (code, data) = daemon.refused("forge.request", ask("GET", "/user")).await;
    assert_eq!((code, &data["kind"]), (1010, &json!("no_active_forge")));
    for method in ["forge.whoami", "forge.repos", "forge.watched"] {
        assert_eq!(daemon.refused(method, json!({})).await.0, 1010, "{method}");
    }
    sign_in(&daemon, "gitea", &forge).await;
    let answer = daemon.call("forge.request", ask("GET", "/user")).await;
    assert_eq!((&answer["status"], &answer["body"]["login"]), (&json!(200), &json!("ada")));
    let body = json!({"title": "x"});
    let post = json!({"method": "POST", "path": "/repos/ada/tool/pulls?secret=planted-query", "body": body});
    assert_eq!(daemon.call("forge.request", post).await["status"], 201);
    assert_eq!(daemon.call("forge.request", ask("DELETE", "/repos/ada/none")).await["status"], 404);
    let redirect = Recorded {
        status: 302,
        body: json!({}),
        headers: vec![("location", format!("{}/api/v1/user", other.url))],
    };
    forge.record("GET /api/v1/away", redirect);
    let answer = daemon.call("forge.request", ask("GET", "/away")).await;
    assert_eq!(answer["status"], 302);
    assert!(answer["headers"]["location"].as_str().unwrap().starts_with(&other.url));
    forge.record("GET /api/v1/big", ok(json!("x".repeat(2 * 1024 * 1024))));
    assert_eq!(daemon.refused("forge.request", ask("GET", "/big")).await.0, 1041);
    for path in
        ["//evil.example/x", "/../../login", "/%2e%2e/x", "http://evil.example/", "user", "/a b", "/x#y"]
    {
        let (code, data) = daemon.refused("forge.request", ask("GET", path)).await;
        assert_eq!((code, &data["field"]), (1005, &json!("path")), "{path}");
    }
    assert_eq!(daemon.refused("forge.request", ask("TRACE", "/user")).await.1["field"], "method");
    assert_eq!(other.requests(), Vec::<String>::new());
    let (_, home) = daemon.stop();
    let rows = crate::audit::rows(&home);
    let audited = |subject: &str| {
        rows.iter().find(|row| row["action"] == "forge.request" && row["subject"] == subject).cloned()
    };
    let row = audited("POST /repos/ada/tool/pulls").unwrap_or_else(|| panic!("{rows:?}"));
    assert_eq!((&row["outcome"], &row["detail"]), (&json!("ok"), &json!("status 201")), "{row}");
    assert!(audited("GET /../../login").is_some_and(|row| row["outcome"] == "failed"), "{rows:?}");
    assert!(!rows.iter().any(|row| row.to_string().contains("planted")), "{rows:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn operator_s_account_is_refused_in_a_bundle() {
    let forge = Standin::start("github").await;
    let daemon = daemon("github", &forge, "").await;
    let account = daemon.call("operator.active", json!({})).await["accountId"].clone();
    let bundle = daemon.call("bundle.create", json!({"name": "Work"})).await["id"].clone();
    let (code, data) = daemon.refused("bundle.bind", json!({"bundleId": bundle, "accountId": account})).await;
    assert_eq!((code, &data["field"]), (1005, &json!("accountId")));
}
