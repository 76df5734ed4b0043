//! Credentials that users bring for agents.

use serde_json::{Value, json};

use crate::support::{Daemon, Home, attached, credentials, event, files_below};

const DECLARED: &str = "sk-ant-planted-declared-0123456789abcdef";

fn home() -> Home {
    let home = Home::new();
    let text = format!("[[agents]]\nid = 'shared'\nproviders.anthropic.key = '{DECLARED}'\n");
    crate::support::private_file(&home.dir("config/agents.toml"), text.as_bytes());
    home
}

fn key(name: &str) -> String {
    format!("sk-ant-planted-{name}-0123456789abcdef")
}

/// Stores a key that is named after the user, and returns the profile.
async fn bring(daemon: &Daemon, user: &str, agent: &str, extra: Value) -> Value {
    let mut params = json!({"userId": user, "agentId": agent, "providerId": "anthropic"});
    params.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    if params.get("tokens").is_none() && params.get("apiKey").is_none() {
        params["apiKey"] = key(user).into();
    }
    daemon.call("profile.upsert", params).await
}

async fn launched(daemon: &Daemon, user: Option<&str>, agent: &str) -> Value {
    let mut params = json!({"agentId": agent, "providerId": "anthropic"});
    if let Some(user) = user {
        params["userId"] = user.into();
    }
    let ready = daemon.call("launch.ready", params.clone()).await;
    match daemon.client().await.call_raw("launch.resolve", &params).await {
        Ok(launch) => {
            assert_eq!(ready["ready"], true, "{params} {ready}");
            launch["set"]["ANTHROPIC_API_KEY"].clone()
        }
        Err(rpc_engine::CallError::Rpc(error)) => {
            assert_eq!(ready["ready"], false, "{params} {ready}");
            json!(error.code)
        }
        Err(other) => panic!("{other:?}"),
    }
}

async fn ids(daemon: &Daemon, params: Value) -> Vec<String> {
    let listed = daemon.call("profile.list", params).await;
    assert_eq!(listed["corrupt"], json!([]));
    listed["profiles"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn profile_is_used_only_for_its_own_user() {
    let daemon = home().start();
    let mut events = daemon.client().await.subscribe(["userprofiles:changed:*"]).await.unwrap();
    let one = bring(&daemon, "u1", "shared", json!({"label": "Work", "email": "ann@example.test"})).await;
    let data = event(&mut events, "userprofiles:changed:u1").await;
    assert_eq!(data, Some(json!({"userId": "u1"})));
    assert_eq!(
        one,
        json!({
            "id": one["id"], "userId": "u1", "agentId": "shared", "providerId": "anthropic", "accountId": one["accountId"],
            "model": "*", "source": "user", "kind": "api_key", "label": "Work", "email": "ann@example.test",
            "primary": true, "status": "unknown", "statusReason": "the provider was not asked",
            "createdAt": one["createdAt"], "updatedAt": one["updatedAt"],
        })
    );
    bring(&daemon, "slack:U2", "shared", json!({"providerId": "Anthropic-API"})).await;
    assert_eq!(launched(&daemon, Some("u1"), "shared").await, key("u1"));
    assert_eq!(launched(&daemon, Some("slack:U2"), "shared").await, key("slack:U2"));
    for nobody in [None, Some("slack"), Some("u3"), Some("U1")] {
        assert_eq!(launched(&daemon, nobody, "shared").await, DECLARED);
        assert_eq!(launched(&daemon, nobody, "other").await, 1006);
    }
    assert_eq!(ids(&daemon, json!({"userId": "u3"})).await, Vec::<String>::new());
    assert_eq!(ids(&daemon, json!({"userId": "u1"})).await, [one["id"].as_str().unwrap()]);
    assert_eq!(
        ids(&daemon, json!({"userId": "u1", "agentId": "shared"})).await,
        [one["id"].as_str().unwrap(), "declared:shared:anthropic"]
    );

    // A second call for the same person updates the key of the same profile. The old key is removed from the database.
    let again =
        bring(&daemon, "u1", "shared", json!({"apiKey": key("newer"), "email": "ann@example.test"})).await;
    assert_eq!((&again["id"], &again["createdAt"]), (&one["id"], &one["createdAt"]));
    assert_eq!(launched(&daemon, Some("u1"), "shared").await, key("newer"));

    let log = daemon.log();
    let (_, home) = daemon.stop();
    for path in files_below(&home.dir("")) {
        if !path.ends_with("config/agents.toml") {
            let bytes = std::fs::read(&path).unwrap();
            let held = bytes.windows(7).any(|window| window == b"planted");
            assert!(!held, "{} holds a key", path.display());
        }
    }
    assert!(!log.contains("planted"), "the log holds a key");
    let daemon = home.start();
    assert_eq!(launched(&daemon, Some("u1"), "shared").await, key("newer"));
}

/// A provider whose only credential is a login of its CLI. The token is put into the variable that the CLI reads. If
/// the CLI has no such variable, the launch fails and says so.
#[tokio::test(flavor = "multi_thread")]
async fn launch_sets_the_users_token_when_the_cli_accepts_one() {
    let daemon = home().start();
    let of = |provider: &str| json!({"userId": "u1", "agentId": "alone", "providerId": provider});
    for provider in ["claude", "codex"] {
        let mut params = of(provider);
        params["tokens"] = json!({"accessToken": format!("planted-access-{provider}")});
        daemon.call("profile.upsert", params).await;
    }
    // On systems where the CLI keeps logins in the keychain, the user's own login would be at risk.
    if cfg!(target_os = "linux") {
        let launch = daemon.call("launch.resolve", of("claude")).await;
        assert_eq!(credentials(&launch), json!({"CLAUDE_CODE_OAUTH_TOKEN": "planted-access-claude"}));
        let unset = launch["unset"].as_array().unwrap();
        for shadow in [
            "ANTHROPIC_API_KEY",
            "ANTHROPIC_AUTH_TOKEN",
            "CLAUDE_CODE_OAUTH_REFRESH_TOKEN",
            "ANTHROPIC_BASE_URL",
        ] {
            assert!(unset.contains(&json!(shadow)), "{shadow} stays: {launch}");
        }
        assert!(!unset.contains(&json!("CLAUDE_CODE_OAUTH_TOKEN")), "{launch}");
        assert_eq!(
            (&launch["accounts"][0]["source"], launch["accounts"].as_array().unwrap().len()),
            (&json!("user"), 1)
        );
        assert_eq!(daemon.call("launch.ready", of("claude")).await["ready"], true);
        let mut dry = of("claude");
        dry["dryRun"] = true.into();
        let dry = daemon.call("launch.resolve", dry).await;
        assert_eq!(credentials(&dry), json!({"CLAUDE_CODE_OAUTH_TOKEN": ""}));
    } else {
        assert_eq!(daemon.refused("launch.resolve", of("claude")).await.0, 1011);
    }
    let error = daemon.error("launch.resolve", of("codex")).await;
    assert_eq!((error.code, &*error.message), (1011, "codex: its CLI accepts only its own logins"));
    assert_eq!(daemon.call("launch.ready", of("codex")).await["ready"], false);
    assert!(!daemon.log().contains("planted-access"), "the log holds a token");
}

/// Several accounts of one provider.
#[tokio::test(flavor = "multi_thread")]
async fn best_profile_is_chosen_by_expiry_model_and_order() {
    let daemon = home().start();
    let tokens = |ends: i64| json!({"tokens": {"accessToken": "planted-access", "expiresAt": ends}});
    let best = async |user: &str, agent: &str, extra: Value| {
        let mut params = json!({"userId": user, "agentId": agent, "providerId": "anthropic"});
        params.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        daemon.client().await.call_raw("profile.best", &params).await.map_err(|error| match error {
            rpc_engine::CallError::Rpc(error) => (error.code, error.data.unwrap_or_default()),
            other => panic!("{other:?}"),
        })
    };
    let later = crate::support::now() + 86_400_000;
    let over = bring(&daemon, "u1", "shared", tokens(1000)).await;
    assert_eq!(over["expiresAt"], 1000);
    let found = best("u1", "shared", json!({})).await.unwrap();
    assert_eq!(
        (&found["profileId"], &found["degradedFrom"]),
        (
            &json!("declared:shared:anthropic"),
            &json!({"profileId": over["id"], "source": "user", "reason": "it has expired"})
        )
    );
    bring(&daemon, "u1", "alone", tokens(1000)).await;
    let (code, data) = best("u1", "alone", json!({})).await.unwrap_err();
    assert_eq!((code, &data["refreshable"]), (1008, &json!(false)), "{data}");
    assert_eq!(data["candidates"][0]["reason"], "it has expired");

    let live = bring(&daemon, "u1", "alone", tokens(later)).await;
    assert_eq!((&live["expiresAt"], &live["kind"]), (&json!(later), &json!("oauth")));
    let found = best("u1", "alone", json!({"minTtlMs": 3_600_000})).await.unwrap();
    assert_eq!((&found["profileId"], &found["expiresAt"]), (&live["id"], &json!(later)));

    // Models: the exact one, any model, and none of another one.
    let opus = bring(&daemon, "u2", "alone", json!({"model": "anthropic/opus"})).await;
    assert_eq!(opus["model"], "opus");
    let (code, data) = best("u2", "alone", json!({"model": "haiku"})).await.unwrap_err();
    assert_eq!((code, &data["reason"]), (1006, &json!("no_profile_for_model")));
    let any = bring(&daemon, "u2", "alone", json!({"apiKey": key("any")})).await;
    for (model, expect) in [("opus", &opus), ("anthropic-api/opus", &opus), ("haiku", &any), ("*", &any)] {
        let found = best("u2", "alone", json!({"model": model})).await.unwrap();
        assert_eq!(found["profileId"], expect["id"], "{model}");
    }

    // Accounts of two persons at one provider, the primary one first.
    let email = |name: &str| json!({"email": format!("{name}@example.test"), "apiKey": key(name)});
    let ann = bring(&daemon, "u3", "alone", email("ann")).await;
    let mut last = email("bob");
    last["makePrimary"] = false.into();
    let bob = bring(&daemon, "u3", "alone", last).await;
    let listed = ids(&daemon, json!({"userId": "u3"})).await;
    assert_eq!(listed, [&ann["id"], &bob["id"]].map(|id| id.as_str().unwrap()));
    let order = json!({
        "userId": "u3", "agentId": "alone", "providerId": "anthropic-api", "profileIds": [bob["id"], ann["id"]],
    });
    assert_eq!(launched(&daemon, Some("u3"), "alone").await, key("ann"));
    let reordered = daemon.call("profile.reorder", order.clone()).await;
    assert_eq!(
        (&reordered["profiles"][0]["id"], &reordered["profiles"][0]["primary"]),
        (&bob["id"], &json!(true))
    );
    assert_eq!(launched(&daemon, Some("u3"), "alone").await, key("bob"));
    let mut wrong = order;
    wrong["profileIds"] = json!([bob["id"]]);
    wrong["profileIds"].as_array_mut().unwrap().push(json!("nobody"));
    assert_eq!(daemon.refused("profile.reorder", wrong).await.0, 1002);
    assert!(!daemon.log().contains("planted"), "the log holds a secret");
}

#[tokio::test(flavor = "multi_thread")]
async fn delete_removes_stored_profiles_and_refuses_declared_ones() {
    let daemon = home().start();
    for agent in ["a", "ab", "a/", "a%"] {
        for user in ["u1", "u2"] {
            bring(&daemon, user, agent, json!({})).await;
        }
    }
    let gone = daemon.call("agent.delete", json!({"agentId": "a"})).await;
    assert_eq!(gone, json!({"profilesDeleted": 2, "secretsDeleted": 2}));
    daemon
        .call("ephemeral.put", json!({"agentId": "a%", "providerId": "anthropic", "apiKey": key("lent")}))
        .await;
    assert_eq!(daemon.call("agent.delete", json!({"agentId": "a%"})).await["profilesDeleted"], 2);
    for (agent, expect) in
        [("a", json!(1006)), ("a%", json!(1006)), ("ab", json!(key("u1"))), ("a/", json!(key("u1")))]
    {
        assert_eq!(launched(&daemon, Some("u1"), agent).await, expect, "{agent}");
    }
    // A later user with the same id finds no earlier data.
    bring(&daemon, "u2", "a", json!({})).await;
    assert_eq!(launched(&daemon, Some("u1"), "a").await, 1006);
    assert_eq!(
        daemon.call("user.delete", json!({"userId": "u2"})).await,
        json!({"profilesDeleted": 3, "secretsDeleted": 3})
    );
    assert_eq!(ids(&daemon, json!({"agentId": "ab"})).await.len(), 1);
    let kept = ids(&daemon, json!({"agentId": "a/"})).await;
    let params = json!({"profileId": kept[0]});
    assert_eq!(
        daemon.call("profile.delete", params.clone()).await,
        json!({"profilesDeleted": 1, "secretsDeleted": 1})
    );
    assert_eq!(daemon.refused("profile.delete", params).await.0, 1001);

    let file = daemon.home.dir("config/agents.toml");
    let order = json!({
        "userId": "u1", "agentId": "shared", "providerId": "anthropic", "profileIds": ["declared:shared:anthropic"],
    });
    for (method, params) in
        [("profile.delete", json!({"profileId": "declared:shared:anthropic"})), ("profile.reorder", order)]
    {
        let (code, data) = daemon.refused(method, params).await;
        assert_eq!((code, &data["kind"]), (1009, &json!("declared_immutable")), "{method}");
        assert_eq!((&data["file"], &data["agentId"]), (&json!(file), &json!("shared")), "{method}");
    }
    assert_eq!(launched(&daemon, None, "shared").await, DECLARED);
}

#[tokio::test(flavor = "multi_thread")]
async fn profile_upsert_names_the_invalid_field() {
    let daemon = home().start();
    let check = async |changes: Value, code: i32, field: &str| {
        let mut params =
            json!({"userId": "u", "agentId": "a", "providerId": "anthropic", "apiKey": key("u")});
        params.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        let (got, data) = daemon.refused("profile.upsert", params).await;
        assert_eq!((got, data["field"].as_str().unwrap_or_default()), (code, field), "{changes} -> {data}");
    };
    check(json!({"userId": ""}), 1005, "userId").await;
    check(json!({"agentId": "a\u{7}"}), 1005, "agentId").await;
    check(json!({"providerId": "nobody"}), 1003, "").await;
    check(json!({"providerId": "codex"}), 1005, "providerId").await;
    check(json!({"apiKey": "planted key"}), 1005, "apiKey").await;
    check(json!({"apiKey": null}), 1005, "apiKey").await;
    check(json!({"tokens": {"accessToken": "planted-access"}}), 1005, "apiKey").await;
    check(json!({"model": "x".repeat(300)}), 1005, "model").await;
    assert_eq!(ids(&daemon, json!({"userId": "u"})).await, Vec::<String>::new());
    assert!(!daemon.log().contains("planted"), "the log holds a key");
}

/// Returns the number of commits in the write-ahead log of the daemon's database. Only the last frame of a commit says
/// how large the database is then.
fn commits(home: &Home) -> usize {
    let log = std::fs::read(home.dir("data/srvd.db-wal")).unwrap();
    let (header, frames) = log.split_at(32);
    let number = |bytes: &[u8]| u32::from_be_bytes(bytes.try_into().unwrap());
    let page = usize::try_from(number(&header[8..12])).unwrap();
    // Frames of an earlier round of the log have other salts.
    let is_current = |frame: &&[u8]| frame.get(8..16) == Some(&header[16..24]);
    frames.chunks(24 + page).filter(is_current).filter(|frame| number(&frame[4..8]) > 0).count()
}

/// Another process holds the database until all calls wait.
#[tokio::test(flavor = "multi_thread")]
async fn upserts_share_commits_when_they_arrive_together() {
    const CALLS: usize = 32;
    let daemon = home().start();
    let clients = futures_util::future::join_all((0..CALLS).map(|_| daemon.client())).await;
    let store = attached(&daemon.home).await;
    let bundle: identity_store::BundleId = "holder".parse().unwrap();
    let token = identity_store::LoginCredential::Token("planted-token-0123456789".into());
    let holder = store.begin_login(crate::support::planted::row(&bundle, "claude", token)).await.unwrap();
    let before = commits(&daemon.home);
    let calls: Vec<_> = clients
        .into_iter()
        .enumerate()
        .map(|(number, client)| {
            let user = format!("u{number}");
            let params =
                json!({"userId": user, "agentId": "a", "providerId": "anthropic", "apiKey": key(&user)});
            tokio::spawn(async move { client.call_raw("profile.upsert", &params).await.unwrap() })
        })
        .collect();
    // The daemon answers a read, so it has received the calls that were sent earlier.
    daemon.call("bundle.list", json!({})).await;
    drop(holder);
    store.close().await;
    for call in calls {
        call.await.unwrap();
    }
    let made = commits(&daemon.home) - before;
    assert!((1..CALLS / 2).contains(&made), "{made} commits for {CALLS} calls");
    for number in 0..CALLS {
        let user = format!("u{number}");
        assert_eq!(launched(&daemon, Some(&user), "a").await, key(&user));
    }
}
