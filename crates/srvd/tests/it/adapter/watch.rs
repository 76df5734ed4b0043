//! Watched repositories.

use serde_json::json;

use super::answers::{KINDS, MAIN, WORK, branch, ok, place, pull, record};
use super::{daemon, tool};
use crate::forge::standin::{Recorded, Standin};
use crate::support::event;

const CHANGED: &str = "forgerepos:changed";

#[tokio::test(flavor = "multi_thread")]
async fn watched_repository_announces_a_new_commit_and_a_new_request() {
    for (kind, _) in KINDS {
        let forge = Standin::start(kind).await;
        record(&forge, kind);
        let place = place(kind);
        let (branches, pulls) = match kind {
            "gitlab" => {
                (format!("GET {place}/repository/branches/main"), format!("GET {place}/merge_requests"))
            }
            _ => (format!("GET {place}/branches/main"), format!("GET {place}/pulls")),
        };
        let tagged = |etag: &str, answer: Recorded| Recorded {
            headers: vec![("etag", format!("\"{etag}\""))],
            ..answer
        };
        forge.record(&branches, tagged("b1", ok(branch(kind, "main", MAIN))));
        let daemon = daemon(kind, &forge, "[forge_watch]\nseconds = 1\n").await;
        let client = daemon.client().await;
        let mut events = client.subscribe([CHANGED]).await.unwrap();
        let watched = daemon.call("forge.watch", tool()).await;
        assert_eq!(watched["error"], json!(null));
        assert_eq!((&watched["repo"], &watched["head"]), (&json!("ada/tool"), &json!(MAIN)), "{kind}");
        // A look that finds nothing new leaves the time of the last change empty.
        let looked = watched["checkedAt"].as_i64().unwrap();
        forge
            .until(|forge| {
                let path = branches.as_str();
                forge.requests().iter().filter(|request| *request == path).count() >= 3
            })
            .await;
        forge.record(&branches, tagged("b2", ok(branch(kind, "main", WORK))));
        assert_eq!(event(&mut events, CHANGED).await, Some(json!({"repo": "ada/tool"})), "{kind}");
        let list = daemon.call("forge.watched", json!({})).await;
        let one = &list["repos"][0];
        assert_eq!((&list["intervalSeconds"], &one["head"]), (&json!(1), &json!(WORK)), "{kind}");
        assert!(one["changedAt"].as_i64().unwrap() > looked, "{kind}: {list}");
        forge.record(&pulls, ok(json!([pull(kind, 3, WORK, &forge.url), pull(kind, 4, MAIN, &forge.url)])));
        assert_eq!(event(&mut events, CHANGED).await, Some(json!({"repo": "ada/tool"})), "{kind}");
        assert_eq!(daemon.call("forge.unwatch", tool()).await, json!({"removed": true}));
        assert_eq!(daemon.call("forge.unwatch", tool()).await, json!({"removed": false}));
        assert_eq!(daemon.call("forge.watched", json!({})).await["repos"], json!([]));
    }
}

/// The daemon looks only if the operator says so.
#[tokio::test(flavor = "multi_thread")]
async fn repository_is_not_looked_at_without_an_interval() {
    let forge = Standin::start("github").await;
    record(&forge, "github");
    let daemon = daemon("github", &forge, "").await;
    daemon.call("forge.watch", tool()).await;
    let list = daemon.call("forge.watched", json!({})).await;
    assert_eq!((list.get("intervalSeconds"), &list["repos"][0]["repo"]), (None, &json!("ada/tool")));
    assert_eq!(daemon.refused("forge.watch", json!({"repo": "ada/none"})).await.0, 1001);
    assert_eq!(daemon.refused("forge.watch", json!({"repo": "../x"})).await.0, 1005);
}
