//! Credentials that files declare for agents, and credentials that clients lend to them.

use std::os::unix::fs::PermissionsExt as _;

use rpc_engine::{ClientEvent, Subscription};
use serde_json::{Value, json};

use crate::support::{Daemon, Home, PATIENCE, credentials, event, files_below};

const TOPIC: &str = "declaredagents:changed";
const ANTHROPIC: &str = "sk-ant-planted-secret-0123456789abcdefghij";
const OPENAI: &str = "sk-planted-secret-0123456789abcdefghijklmnop";
const LENT: &str = "sk-ant-planted-lent-0123456789abcdefghij";

const TWO: &str = "\
[[agents]]
id = 'reviewer'
[agents.providers]
anthropic-api.key = 'ANTHROPIC'
openai.env = 'TEAM_OPENAI'

[[agents]]
id = 'writer'
providers.anthropic.key = 'ANTHROPIC'
";

/// Writes as an editor does: a new file beside the old one, and a rename. The mode is 0600.
fn write(home: &Home, name: &str, text: &str) {
    let path = home.dir("config").join(name);
    let text = text.replace("ANTHROPIC", ANTHROPIC);
    crate::support::private_file(&path, text.as_bytes());
}

fn start(home: Home) -> Daemon {
    home.start_with(|command| command.env("TEAM_OPENAI", OPENAI))
}

fn home(text: &str) -> Home {
    let home = Home::new();
    write(&home, "agents.toml", text);
    home
}

fn agent(home: &Home, id: &str, file: &str, providers: &[&str]) -> Value {
    json!({"agentId": id, "source": home.dir("config").join(file), "providers": providers})
}

async fn set(daemon: &Daemon, params: Value) -> Value {
    credentials(&daemon.call("launch.resolve", params).await)
}

async fn news(events: &mut Subscription) -> String {
    match tokio::time::timeout(PATIENCE, events.next()).await {
        Ok(Some(ClientEvent::Event { topic, data: None, .. })) => topic,
        other => panic!("{other:?}"),
    }
}

async fn lend(daemon: &Daemon, agent: &str, user: Option<&str>, key: &str) -> Value {
    let mut params = json!({"agentId": agent, "providerId": "anthropic", "apiKey": key});
    if let Some(user) = user {
        params["userId"] = user.into();
    }
    daemon.call("ephemeral.put", params).await
}

#[tokio::test(flavor = "multi_thread")]
async fn agent_launch_sets_declared_keys() {
    let daemon = start(home(TWO));
    let listed = daemon.call("declared.list", json!({})).await;
    let expect = json!({
        "agents": [
            agent(&daemon.home, "reviewer", "agents.toml", &["anthropic", "openai"]),
            agent(&daemon.home, "writer", "agents.toml", &["anthropic"]),
        ],
        "errors": [],
    });
    assert_eq!(listed, expect);

    let launch = daemon.call("launch.resolve", json!({"agentId": "reviewer", "explain": true})).await;
    assert_eq!(credentials(&launch), json!({"ANTHROPIC_API_KEY": ANTHROPIC, "OPENAI_API_KEY": OPENAI}));
    assert_eq!(
        launch["accounts"],
        json!([
            {"providerId": "anthropic", "accountId": "declared:reviewer:anthropic", "source": "declared", "status": "unknown"},
            {"providerId": "openai", "accountId": "declared:reviewer:openai", "source": "declared", "status": "unknown"},
        ])
    );
    assert_eq!(launch["trace"][0]["reason"], "sets ANTHROPIC_API_KEY");
    let unset = launch["unset"].as_array().unwrap();
    for name in ["ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN", "CODEX_API_KEY", "OAUTH_ENCRYPTION_KEY"] {
        assert!(unset.contains(&json!(name)), "{name} in {unset:?}");
    }
    // The provider's names are equivalent. A model's prefix names the provider.
    for params in [
        json!({"agentId": "reviewer", "providerId": "Anthropic-API "}),
        json!({"agentId": "reviewer", "model": "anthropic-api/opus"}),
        json!({"agentId": "reviewer", "userId": "u1", "providerId": "anthropic", "model": "opus"}),
    ] {
        assert_eq!(set(&daemon, params).await, json!({"ANTHROPIC_API_KEY": ANTHROPIC}));
    }
    assert_eq!(
        set(&daemon, json!({"agentId": "writer", "dryRun": true})).await,
        json!({"ANTHROPIC_API_KEY": ""})
    );
    let best = daemon
        .call(
            "profile.best",
            json!({"agentId": "writer", "providerId": "anthropic-api", "model": "x", "explain": true}),
        )
        .await;
    assert_eq!(
        best,
        json!({
            "profileId": "declared:writer:anthropic", "providerId": "anthropic", "source": "declared", "model": "*",
            "status": "unknown",
            "trace": [{
                "profileId": "declared:writer:anthropic", "providerId": "anthropic", "source": "declared", "model": "*",
                "chosen": true, "reason": "it is used",
            }],
        })
    );
    let nameless = json!({"agentId": "writer", "providerId": ""});
    assert_eq!(daemon.refused("profile.best", nameless).await.0, 1003);
    let log = daemon.log();
    assert!(!log.contains("planted"), "the log holds a key");
}

#[tokio::test(flavor = "multi_thread")]
async fn declared_files_are_watched_and_keep_agents_when_a_file_is_faulty() {
    let home = Home::new();
    let daemon = start(home);
    let mut events = daemon.client().await.subscribe([TOPIC]).await.unwrap();
    assert_eq!(daemon.call("declared.list", json!({})).await, json!({"agents": [], "errors": []}));

    write(&daemon.home, "agents.toml", TWO);
    assert_eq!(news(&mut events).await, TOPIC);
    assert_eq!(set(&daemon, json!({"agentId": "writer"})).await, json!({"ANTHROPIC_API_KEY": ANTHROPIC}));

    // A folder that is created later is watched as well, and so is a file in it that is written in place.
    let folder = daemon.home.dir("config/declared.d");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(
        folder.join("more.toml"),
        "[[agents]]\nid = 'third'\nproviders.openai.env = 'TEAM_OPENAI'\n",
    )
    .unwrap();
    assert_eq!(news(&mut events).await, TOPIC);
    assert_eq!(set(&daemon, json!({"agentId": "third"})).await, json!({"OPENAI_API_KEY": OPENAI}));

    // A provider that is no longer declared is removed at once.
    write(&daemon.home, "agents.toml", &TWO.replace("openai.env = 'TEAM_OPENAI'\n", ""));
    assert_eq!(news(&mut events).await, TOPIC);
    let params = json!({"agentId": "reviewer", "providerId": "openai"});
    let (code, data) = daemon.refused("launch.resolve", params).await;
    assert_eq!((code, &data["reason"]), (1006, &json!("no_stored_credentials")));

    let good = daemon.call("declared.list", json!({})).await;
    write(
        &daemon.home,
        "agents.toml",
        "[[agents]]\nid = 'x'\n[agents.providers.nobody]\nkey = 'ANTHROPIC'\n[[\n",
    );
    let bad = daemon.call("declared.reload", json!({})).await;
    assert_eq!(bad["agents"], good["agents"]);
    assert_eq!(
        (&bad["errors"][0]["line"], &bad["errors"][0]["file"]),
        (&json!(5), &good["agents"][0]["source"]),
        "{bad}"
    );
    write(
        &daemon.home,
        "agents.toml",
        "[[agents]]\nid = 'x'\n[agents.providers.nobody]\nkey = 'ANTHROPIC'\n",
    );
    let bad = daemon.call("declared.reload", json!({})).await;
    let source = &good["agents"][0]["source"];
    assert_eq!(
        bad["errors"],
        json!([{"file": source, "line": 3, "message": "no provider \"nobody\" in the registry"}])
    );
    assert_eq!(daemon.call("declared.list", json!({})).await, bad);
    assert_eq!(set(&daemon, json!({"agentId": "writer"})).await, json!({"ANTHROPIC_API_KEY": ANTHROPIC}));

    // No event was sent in the meantime, nor by a reload that finds no change.
    write(&daemon.home, "agents.toml", &TWO.replace("openai.env = 'TEAM_OPENAI'\n", ""));
    assert_eq!(daemon.call("declared.reload", json!({})).await, good);
    let mut all = daemon.client().await.subscribe(["*"]).await.unwrap();
    daemon.call("declared.reload", json!({})).await;
    daemon.call("bundle.create", json!({"name": "B"})).await;
    assert_eq!(news(&mut all).await, "identitybundles:changed");
    std::fs::remove_file(daemon.home.dir("config/agents.toml")).unwrap();
    assert_eq!(news(&mut events).await, TOPIC);
    let listed = daemon.call("declared.list", json!({})).await;
    assert_eq!(listed["agents"], json!([agent(&daemon.home, "third", "declared.d/more.toml", &["openai"])]));

    let log = daemon.log();
    assert!(log.contains("agents.toml:3: no provider"), "the log names the line");
    assert!(!log.contains("planted"), "the log holds a key");
}

#[tokio::test(flavor = "multi_thread")]
async fn declared_agents_are_unchanged_when_one_file_of_many_is_refused() {
    let home = home(TWO);
    crate::support::private_directory(&home.dir("config/declared.d"));
    for id in ["one", "two", "three"] {
        let text = format!("[[agents]]\nid = '{id}'\nproviders.anthropic.key = 'ANTHROPIC'\n");
        write(&home, &format!("declared.d/{id}.toml"), &text);
    }
    let daemon = start(home);
    let good = daemon.call("declared.list", json!({})).await;
    assert_eq!((good["agents"].as_array().unwrap().len(), &good["errors"]), (5, &json!([])));
    let two = daemon.home.dir("config/declared.d/two.toml");
    let mode = |mode| std::fs::set_permissions(&two, std::fs::Permissions::from_mode(mode)).unwrap();

    // A file that others may write to is not read. Root does not read it either, although no other mode would stop
    // root.
    mode(0o622);
    write(&daemon.home, "declared.d/three.toml", "");
    let bad = daemon.call("declared.reload", json!({})).await;
    assert_eq!(bad["agents"], good["agents"]);
    let faults = bad["errors"].as_array().unwrap();
    assert_eq!((faults.len(), &faults[0]["file"]), (1, &json!(two)), "{bad}");
    for agent in ["one", "two", "three", "writer"] {
        assert_eq!(set(&daemon, json!({"agentId": agent})).await, json!({"ANTHROPIC_API_KEY": ANTHROPIC}));
    }
    mode(0o600);
    let healed = daemon.call("declared.reload", json!({})).await;
    assert_eq!((healed["agents"].as_array().unwrap().len(), &healed["errors"]), (4, &json!([])));
}

#[tokio::test(flavor = "multi_thread")]
async fn stored_key_is_used_only_for_its_user_when_agent_is_declared_later() {
    let daemon = start(Home::new());
    let own = "sk-ant-planted-own-0123456789abcdefghij";
    let params = json!({"userId": "u1", "agentId": "writer", "providerId": "anthropic", "apiKey": own});
    let profile = daemon.call("profile.upsert", params).await;
    lend(&daemon, "writer", None, LENT).await;
    daemon.call("instance.create", json!({"definitionId": "writer"})).await;
    let home = daemon.stop().1;
    write(&home, "agents.toml", TWO);
    let daemon = start(home);
    let of = |user: &str| json!({"agentId": "writer", "userId": user});
    // The agent's credential is the one from the file. A user's credential is used for that user only.
    assert_eq!(set(&daemon, of("u1")).await, json!({"ANTHROPIC_API_KEY": own}));
    for asked in [of("u2"), json!({"agentId": "writer"})] {
        assert_eq!(set(&daemon, asked).await, json!({"ANTHROPIC_API_KEY": ANTHROPIC}));
    }
    let listed = daemon.call("profile.list", json!({"userId": "u1"})).await;
    assert_eq!(listed["profiles"][0]["id"], profile["id"], "{listed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn declared_and_lent_keys_are_not_kept_across_restart() {
    let daemon = start(home(TWO));
    lend(&daemon, "writer", None, LENT).await;
    assert_eq!(set(&daemon, json!({"agentId": "writer"})).await, json!({"ANTHROPIC_API_KEY": LENT}));
    let (_, home) = daemon.stop();
    for path in files_below(&home.dir("")) {
        if path.ends_with("config/agents.toml") {
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        let held = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        assert!(!held("planted"), "{} holds a key", path.display());
        assert!(path.ends_with("log") || !held("reviewer"), "{} holds an agent", path.display());
    }
    write(&home, "agents.toml", "not a file of agents");
    let daemon = start(home);
    let listed = daemon.call("declared.list", json!({})).await;
    assert_eq!((&listed["agents"], &listed["errors"][0]["line"]), (&json!([]), &json!(1)), "{listed}");
    for agent in ["writer", "reviewer"] {
        let (code, data) = daemon.refused("launch.resolve", json!({"agentId": agent})).await;
        assert_eq!((code, &data["candidates"]), (1006, &json!([])));
    }
}

/// A file may name the variable that holds the end of a key. Then that end must exist, and an expired key is
/// not used.
#[tokio::test(flavor = "multi_thread")]
async fn declared_key_is_refused_when_its_expiry_is_past_or_not_a_time() {
    let agent = |id: &str| {
        format!(
            "[[agents]]\nid = '{id}'\nproviders.openai = {{ env = 'TEAM_OPENAI', expires_env = 'END_{id}' }}\n"
        )
    };
    let home = home(&["DATED", "SECONDS", "PAST", "GARBAGE", "EMPTY", "UNSET"].map(agent).concat());
    let daemon = home.start_with(|command| {
        command
            .env("TEAM_OPENAI", OPENAI)
            .env("END_DATED", "2999-01-31T12:00:00+02:00")
            .env("END_SECONDS", "32500000000")
            .env("END_PAST", "2001-01-31T12:00:00Z")
            .env("END_GARBAGE", "tomorrow")
            .env("END_EMPTY", "")
    });
    let best = async |id: &str| {
        daemon.call("profile.best", json!({"agentId": id, "providerId": "openai"})).await["expiresAt"].clone()
    };
    assert_eq!(best("DATED").await, 32_474_772_000_000_i64);
    assert_eq!(best("SECONDS").await, 32_500_000_000_000_i64);
    assert_eq!(set(&daemon, json!({"agentId": "DATED"})).await["OPENAI_API_KEY"], OPENAI);
    for (id, code, reason) in [
        ("PAST", 1008, "it has expired"),
        (
            "GARBAGE",
            1011,
            "the variable END_GARBAGE, which should contain the key's expiry time, is not set or contains no valid time",
        ),
        (
            "EMPTY",
            1011,
            "the variable END_EMPTY, which should contain the key's expiry time, is not set or contains no valid time",
        ),
        (
            "UNSET",
            1011,
            "the variable END_UNSET, which should contain the key's expiry time, is not set or contains no valid time",
        ),
    ] {
        let params = json!({"agentId": id, "providerId": "openai"});
        let (found, data) = daemon.refused("launch.resolve", params.clone()).await;
        assert_eq!((found, &data["candidates"][0]["reason"]), (code, &json!(reason)), "{data}");
        assert_eq!(daemon.call("launch.ready", params).await["ready"], false, "{id}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lent_key_overrides_declared_key_and_is_removed_with_its_agent() {
    let daemon = start(home(TWO));
    let mut events = daemon.client().await.subscribe([TOPIC]).await.unwrap();
    let (any, own) = (LENT.to_owned() + "any", LENT.to_owned() + "own");
    assert_eq!(lend(&daemon, "writer", None, LENT).await, json!({"stored": true, "replaced": false}));
    assert_eq!(lend(&daemon, "writer", None, &any).await, json!({"stored": true, "replaced": true}));
    assert_eq!(lend(&daemon, "writer", Some("u1"), &own).await["replaced"], false);
    lend(&daemon, "undeclared", None, &any).await;
    let check = async |params: Value, key: &str| {
        assert_eq!(set(&daemon, params.clone()).await, json!({"ANTHROPIC_API_KEY": key}), "{params}");
    };
    check(json!({"agentId": "writer"}), &any).await;
    check(json!({"agentId": "writer", "userId": ""}), &any).await;
    check(json!({"agentId": "writer", "userId": "u2"}), &any).await;
    check(json!({"agentId": "writer", "userId": "u1"}), &own).await;
    check(json!({"agentId": "undeclared", "userId": "u1"}), &any).await;
    let launch = daemon.call("launch.resolve", json!({"agentId": "writer", "explain": true})).await;
    let sources: Vec<&str> =
        launch["trace"].as_array().unwrap().iter().map(|one| one["source"].as_str().unwrap()).collect();
    assert_eq!(sources, ["ephemeral", "declared"]);
    assert_eq!(launch["trace"][1]["reason"], "a credential with higher precedence is used");

    // The agent is no longer declared, so the key that was lent to it is removed. The key that was lent to another
    // agent stays.
    write(&daemon.home, "agents.toml", "");
    event(&mut events, TOPIC).await;
    assert_eq!(daemon.refused("launch.resolve", json!({"agentId": "writer", "userId": "u1"})).await.0, 1006);
    check(json!({"agentId": "undeclared"}), &any).await;
    assert_eq!(
        daemon.call("ephemeral.clear", json!({"agentId": "undeclared", "providerId": "openai"})).await,
        json!({"cleared": 0})
    );
    assert_eq!(daemon.call("ephemeral.clear", json!({"agentId": "undeclared"})).await, json!({"cleared": 1}));
    assert_eq!(daemon.refused("launch.resolve", json!({"agentId": "undeclared"})).await.0, 1006);
    assert!(!daemon.log().contains("planted"), "the log holds a key");
}

/// `launch.ready` reports what `launch.resolve` does, and `profile.best` agrees.
#[tokio::test(flavor = "multi_thread")]
async fn launch_ready_agrees_with_launch_resolve() {
    let missing = "[[agents]]\nid = 'missing'\nproviders.openai.env = 'NOT_SET'\n\
                   [[agents]]\nid = 'printed'\nproviders.anthropic.command = ['/bin/echo', 'ANTHROPIC']\n\
                   [[agents]]\nid = 'failing'\nproviders.anthropic.command = ['/bin/sh', '-c', 'echo planted; exit 7']\n\
                   [[agents]]\nid = 'wrong'\nproviders.anthropic.command = ['/bin/echo', 'planted']\n\
                   [[agents]]\nid = 'half'\n[agents.providers]\nopenai.env = 'NOT_SET'\nanthropic.key = 'ANTHROPIC'\n";
    let daemon = start(home(&format!("{TWO}{missing}")));
    lend(&daemon, "lent", Some("u1"), LENT).await;
    let check = async |mut params: Value, code: Option<i32>| {
        let ready = daemon.call("launch.ready", params.clone()).await;
        let resolved = daemon.client().await.call_raw("launch.resolve", &params).await;
        let got = match resolved {
            Ok(_) => None,
            Err(rpc_engine::CallError::Rpc(error)) => Some(error.code),
            Err(other) => panic!("{other:?}"),
        };
        // A launch leaves out a key that cannot be had beside others, and is not ready.
        let complete = ready["providers"].as_array().unwrap().iter().all(|one| one["ready"] == true);
        let expected = (code, Some(code.is_none() && complete));
        assert_eq!((got, ready["ready"].as_bool()), expected, "{params} {ready}");
        if params.get("providerId").is_some() {
            params.as_object_mut().unwrap().remove("minTtlMs");
            let best = daemon.client().await.call_raw("profile.best", &params).await;
            assert_eq!(best.is_ok(), code.is_none(), "{params} {best:?}");
        }
        ready
    };
    check(json!({"agentId": "writer"}), None).await;
    check(json!({"agentId": "writer", "userId": "u1", "minTtlMs": 4_000_000_000_u32}), None).await;
    check(json!({"agentId": "writer", "providerId": "openai"}), Some(1006)).await;
    check(json!({"agentId": "nobody"}), Some(1006)).await;
    check(json!({"agentId": "lent", "userId": "u1", "providerId": "anthropic"}), None).await;
    check(json!({"agentId": "lent", "userId": "u2", "providerId": "anthropic"}), Some(1006)).await;
    check(json!({"agentId": "lent", "providerId": "anthropic"}), Some(1006)).await;
    let ready = check(json!({"agentId": "missing"}), Some(1011)).await;
    assert_eq!(
        ready["providers"],
        json!([{
            "providerId": "openai", "ready": false,
            "reason": "the variable NOT_SET was not set when the daemon started",
        }])
    );
    check(json!({"agentId": "printed", "providerId": "anthropic"}), None).await;
    let launch = daemon.call("launch.resolve", json!({"agentId": "printed"})).await;
    assert_eq!(credentials(&launch), json!({"ANTHROPIC_API_KEY": ANTHROPIC}));
    let ready = check(json!({"agentId": "failing"}), Some(1011)).await;
    assert_eq!(ready["providers"][0]["reason"], "the command failed (exit code 7)");
    let ready = check(json!({"agentId": "wrong"}), Some(1011)).await;
    assert_eq!(
        ready["providers"][0]["reason"],
        "the key that the command printed is shorter than the 20 characters of this provider's keys"
    );
    // A lent key takes precedence over a command, which is then not run.
    lend(&daemon, "failing", None, LENT).await;
    check(json!({"agentId": "failing"}), None).await;
    // The variable of a missing key stays unset, and the missing key is reported.
    let ready = check(json!({"agentId": "half"}), None).await;
    assert_eq!(
        (&ready["providers"][0]["ready"], &ready["providers"][1]["ready"]),
        (&json!(true), &json!(false))
    );
    let launch = daemon.call("launch.resolve", json!({"agentId": "half"})).await;
    assert_eq!(credentials(&launch), json!({"ANTHROPIC_API_KEY": ANTHROPIC}));
    assert!(launch["unset"].as_array().unwrap().contains(&json!("OPENAI_API_KEY")));
    assert_eq!(launch["accounts"][1]["reason"], "the variable NOT_SET was not set when the daemon started");
    check(json!({"agentId": "half", "providerId": "openai"}), Some(1011)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_with_bad_ids_or_keys_are_refused_with_field_name() {
    let daemon = start(home(TWO));
    let check = async |method: &str, params: Value, code: i32, name: &str, value: &str| {
        let (got, data) = daemon.refused(method, params.clone()).await;
        assert_eq!((got, data[name].as_str()), (code, Some(value)), "{method} {params} -> {data}");
    };
    let put = |agent: &str, provider: &str, key: &str| json!({"agentId": agent, "providerId": provider, "apiKey": key});
    check("ephemeral.put", put("", "anthropic", LENT), 1005, "field", "agentId").await;
    check("ephemeral.put", put("a\u{7}", "anthropic", LENT), 1005, "field", "agentId").await;
    check("ephemeral.put", put(&"a".repeat(201), "anthropic", LENT), 1005, "field", "agentId").await;
    check("ephemeral.put", put("a", "nobody", LENT), 1003, "kind", "unknown_provider").await;
    check("ephemeral.put", put("a", "codex", LENT), 1005, "field", "providerId").await;
    check("ephemeral.put", put("a", "anthropic", "planted key"), 1005, "field", "apiKey").await;
    check("ephemeral.put", put("a", "anthropic", &"sk-ant-".repeat(2000)), 1005, "field", "apiKey").await;
    check("ephemeral.clear", json!({"agentId": "a\nb"}), 1005, "field", "agentId").await;
    check("profile.best", json!({"agentId": "", "providerId": "openai"}), 1005, "field", "agentId").await;
    check("profile.best", json!({"agentId": "a", "providerId": "nobody"}), 1003, "kind", "unknown_provider")
        .await;
    check("launch.resolve", json!({"agentId": ""}), 1005, "field", "agentId").await;
    check("launch.resolve", json!({"agentId": "a", "userId": "u\n"}), 1005, "field", "userId").await;
    check("launch.resolve", json!({"agentId": "a", "bundleId": "blank"}), 1005, "field", "agentId").await;
    check("launch.ready", json!({"agentId": "a", "instanceId": "i"}), 1005, "field", "agentId").await;
    check(
        "launch.resolve",
        json!({"agentId": "a", "providerId": "nobody"}),
        1003,
        "kind",
        "unknown_provider",
    )
    .await;
    assert!(!daemon.log().contains("planted"), "the log holds a key");
}
