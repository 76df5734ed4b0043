//! Logins and keys of users, from the request to the launch by user and agent.

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::fake::{self, HAPPY, PROVIDER};
use crate::support::program::Program;
use crate::support::{Daemon, Home, event, files_below, left_over, private_file};

const CALLBACK: &str = "https://login.fake.test/callback?code=planted-code-123&state=st4te";
/// A key service for the scripted CLI, so that a file can declare a key of it.
const KEY: &str = "\n[providers.fake.key]\nvars = [\"FAKE_API_KEY\"]\nbase-url = \"https://api.fake.test\"\n";
const DECLARED: &str = "planted-declared-0123456789";

/// A home with a declared agent `shared`, which has a key of the scripted CLI's provider.
fn home(script: &str) -> Home {
    let home = fake::home(script);
    let entry = home.dir("config/providers.d/fake.toml");
    let text = std::fs::read_to_string(&entry).unwrap() + KEY;
    std::fs::write(&entry, text).unwrap();
    let agents = format!("[[agents]]\nid = 'shared'\nproviders.fake.key = '{DECLARED}'\n");
    private_file(&home.dir("config/agents.toml"), agents.as_bytes());
    home
}

fn of(user: &str, agent: &str) -> Value {
    json!({"providerId": PROVIDER, "userId": user, "agentId": agent})
}

#[expect(clippy::needless_pass_by_value, reason = "the calls read better without references")]
fn with(mut params: Value, more: Value) -> Value {
    params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    params
}

/// Starts a login and waits for its prompt.
async fn prompted(daemon: &Daemon, params: Value) -> String {
    let started = daemon.call("auth.start", params).await;
    let id = started["sessionId"].as_str().unwrap().to_owned();
    daemon.session(&id, |session| session["prompt"] == true).await;
    id
}

/// Runs a whole login, and returns the ended session.
async fn log_in(daemon: &Daemon, params: Value) -> Value {
    let id = prompted(daemon, params).await;
    let answer = json!({"sessionId": id, "callbackUrl": CALLBACK});
    assert_eq!(daemon.call("auth.submitcallback", answer).await, json!({"success": true}));
    daemon.ended(&id).await
}

fn as_bob() -> String {
    HAPPY.replace("ann@fake.test", "bob@fake.test").replace("person-1", "person-2")
}

/// Returns the home of the launch, or the code of its refusal.
async fn launched(daemon: &Daemon, user: Option<&str>, agent: &str) -> Value {
    let mut params = json!({"agentId": agent, "providerId": PROVIDER});
    if let Some(user) = user {
        params["userId"] = user.into();
    }
    let ready = daemon.call("launch.ready", params.clone()).await;
    match daemon.client().await.call_raw("launch.resolve", &params).await {
        Ok(launch) => {
            assert_eq!(ready["ready"], true, "{params} {ready}");
            launch["set"]["FAKE_HOME"].clone()
        }
        Err(rpc_engine::CallError::Rpc(error)) => {
            assert_eq!(ready["ready"], false, "{params} {ready}");
            json!(error.code)
        }
        Err(other) => panic!("{other:?}"),
    }
}

async fn profiles(daemon: &Daemon, user: &str) -> Vec<Value> {
    daemon.call("profile.list", json!({"userId": user})).await["profiles"].as_array().unwrap().clone()
}

/// Returns the files below the homes of agents.
fn homes(home: &Home) -> Vec<PathBuf> {
    let dir = home.dir("data/identities/.agents");
    if dir.exists() { files_below(&dir) } else { Vec::new() }
}

/// Returns the directory of a user's login.
async fn directory(daemon: &Daemon, account: &Value) -> PathBuf {
    let account = daemon.call("account.get", json!({"accountId": account})).await;
    assert_eq!(account["owner"], "user", "{account}");
    PathBuf::from(account["secretRef"]["dir"].as_str().unwrap())
}

/// The whole way of a user's login.
async fn whole_login(daemon: &Daemon, user: &str) {
    let mut events = daemon.client().await.subscribe(["userprofiles:changed:*"]).await.unwrap();
    let topic = format!("userprofiles:changed:{user}");
    let id = prompted(daemon, of(user, "coder")).await;
    let shown = daemon.call("auth.poll", json!({"sessionId": id})).await;
    assert_eq!((&shown["userId"], &shown["agentId"]), (&json!(user), &json!("coder")), "{shown}");
    let (code, data) = daemon.refused("auth.start", of(user, "coder")).await;
    assert_eq!((code, &data["sessionId"]), (1002, &json!(id)), "{data}");
    daemon.call("auth.submitcallback", json!({"sessionId": id, "callbackUrl": CALLBACK})).await;
    let done = daemon.ended(&id).await;
    assert_eq!((&done["status"], &done["email"]), (&json!("success"), &json!("ann@fake.test")), "{done}");
    assert!(done.get("bundleId").is_none(), "{done}");
    assert_eq!(event(&mut events, &topic).await, Some(json!({"userId": user})));

    let [profile] = &profiles(daemon, user).await[..] else { panic!("one profile") };
    let expect = ["id", "accountId", "userId", "agentId"].map(|field| profile[field].clone());
    assert_eq!(expect, [done["profileId"].clone(), done["accountId"].clone(), json!(user), json!("coder")]);
    let facts = ["kind", "source", "status", "email", "model"].map(|field| profile[field].as_str().unwrap());
    assert_eq!(facts, ["oauth", "user", "valid", "ann@fake.test", "*"]);
    assert_eq!(daemon.call("bundle.list", json!({})).await["bundles"].as_array().unwrap().len(), 1);
    let dir = directory(daemon, &done["accountId"]).await;
    assert!(
        dir.starts_with(daemon.home.dir("data/identities/.agents")) && dir.join("credentials.json").exists()
    );

    // The login is this user's for this agent, and nobody else's.
    assert_eq!(launched(daemon, Some(user), "coder").await, json!(dir));
    for (other, agent) in [(Some(user), "other"), (Some("nobody"), "coder"), (None, "coder")] {
        assert_eq!(launched(daemon, other, agent).await, 1006, "{other:?} {agent}");
    }
    // One for all of the user's agents comes after one for the agent.
    let any = log_in(daemon, json!({"providerId": PROVIDER, "userId": user})).await;
    assert_eq!((&any["status"], &any["agentId"]), (&json!("success"), &json!("*")), "{any}");
    let any_dir = directory(daemon, &any["accountId"]).await;
    assert_eq!(launched(daemon, Some(user), "other").await, json!(any_dir));
    assert_eq!(launched(daemon, Some(user), "coder").await, json!(dir));

    // A login that is gone is announced, and passed over.
    let mut events = daemon.client().await.subscribe([topic.clone()]).await.unwrap();
    std::fs::write(dir.join("credentials.json"), "{}").unwrap();
    event(&mut events, &topic).await;
    assert_eq!(launched(daemon, Some(user), "coder").await, json!(any_dir));
    let status = |listed: &[Value], id: &Value| {
        listed.iter().find(|one| one["id"] == *id).map(|one| one["status"].clone()).unwrap()
    };
    assert_eq!(status(&profiles(daemon, user).await, &done["profileId"]), "needs_reauth");

    // Another person needs force. The profile keeps its id.
    fake::write_script(&daemon.home, &as_bob());
    let ended = log_in(daemon, of(user, "coder")).await;
    assert_eq!(ended["errorKind"], "identity_mismatch", "{ended}");
    let hint = format!(
        "log in again as ann@fake.test, or accept the other person: srvd login fake --user {user} --agent coder --replace-person"
    );
    assert_eq!(ended["hint"], hint);
    let forced = log_in(daemon, with(of(user, "coder"), json!({"force": true}))).await;
    assert_eq!(
        ["status", "profileId", "accountId", "email"].map(|field| forced[field].clone()),
        [json!("success"), done["profileId"].clone(), done["accountId"].clone(), json!("bob@fake.test")],
        "{forced}"
    );
    assert_eq!(launched(daemon, Some(user), "coder").await, json!(dir));
    fake::write_script(&daemon.home, HAPPY);

    // The deletion of a profile removes its login.
    let gone = daemon.call("profile.delete", json!({"profileId": done["profileId"]})).await;
    assert_eq!(gone, json!({"profilesDeleted": 1, "secretsDeleted": 0}));
    assert!(!dir.join("credentials.json").exists() && any_dir.join("credentials.json").exists());
    assert_eq!(launched(daemon, Some(user), "coder").await, json!(any_dir));

    // The deletion of the user ends a running login and removes the rest.
    let running = prompted(daemon, of(user, "coder")).await;
    assert_eq!(daemon.call("user.delete", json!({"userId": user})).await["profilesDeleted"], 1);
    assert_eq!(daemon.ended(&running).await["errorKind"], "cancelled");
    assert_eq!(left_over(&running), Vec::<u32>::new());
    assert_eq!(launched(daemon, Some(user), "coder").await, 1006);
    assert_eq!((profiles(daemon, user).await, homes(&daemon.home)), (Vec::new(), Vec::new()));
    assert!(!daemon.log().contains("planted-token") && !daemon.log().contains("planted-code"));
}

#[tokio::test(flavor = "multi_thread")]
async fn user_logs_in_and_launches_by_user_and_agent() {
    let daemon = home(HAPPY).start();
    whole_login(&daemon, "u1").await;
    let (_, home) = daemon.stop();
    let audit = home.run(&["audit", "--json"]);
    let text = String::from_utf8(audit.stdout).unwrap();
    for action in ["session.start", "login.save", "profile.delete", "user.delete"] {
        assert!(text.contains(action), "{action} is not in the audit log: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn user_logs_in_and_launches_when_the_database_is_postgresql() {
    let server = crate::support::postgres().await;
    let daemon = home(HAPPY).start_with(|command| command.env("SRVD_DATABASE_URL", &server.url));
    // The database outlives the test.
    whole_login(&daemon, &format!("u{}", uuid::Uuid::new_v4().simple())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_login_of_a_user_leaves_nothing() {
    let daemon = home(HAPPY).start();
    for script in ["exit 3\n", "dir-var FAKE_HOME\nwrite other {}\nout Denied by the person\nexit 1\n"] {
        fake::write_script(&daemon.home, script);
        let started = daemon.call("auth.start", of("u1", "coder")).await;
        let ended = daemon.ended(started["sessionId"].as_str().unwrap()).await;
        assert_eq!((&ended["status"], &ended["userId"]), (&json!("failed"), &json!("u1")), "{ended}");
        assert_eq!(homes(&daemon.home), Vec::<PathBuf>::new(), "{script}");
    }
    fake::write_script(&daemon.home, HAPPY);
    let id = prompted(&daemon, of("u1", "coder")).await;
    assert_eq!(daemon.call("auth.cancel", of("u1", "other")).await["success"], false);
    assert_eq!(daemon.call("auth.cancel", of("u1", "coder")).await, json!({"success": true}));
    assert_eq!(daemon.ended(&id).await["errorKind"], "cancelled");
    assert_eq!(homes(&daemon.home), Vec::<PathBuf>::new());

    // A crash in the middle leaves nothing either.
    let script = HAPPY.replace("out Open", "write credentials.json {\"access\":\"half\"}\nout Open");
    fake::write_script(&daemon.home, &script);
    let id = prompted(&daemon, of("u1", "coder")).await;
    assert_eq!(homes(&daemon.home).len(), 1);
    let daemon = daemon.kill().start();
    let ended = daemon.call("auth.poll", json!({"sessionId": id})).await;
    assert_eq!(
        (&ended["errorKind"], &ended["userId"], &ended["agentId"]),
        (&json!("daemon_restarted"), &json!("u1"), &json!("coder"))
    );
    assert_eq!((homes(&daemon.home), left_over(&id)), (Vec::new(), Vec::new()));
    assert_eq!(launched(&daemon, Some("u1"), "coder").await, 1006);
}

#[tokio::test(flavor = "multi_thread")]
async fn request_for_a_user_is_refused_when_it_is_contradictory() {
    let daemon = home(HAPPY).start();
    let key = |more: Value| {
        let key = json!({"providerId": "openai", "apiKey": "sk-proj-planted-0123456789abcdefghij", "accountName": "Key"});
        with(with(key, json!({"validate": false})), more)
    };
    for (method, params, field) in [
        ("auth.start", json!({"providerId": PROVIDER, "agentId": "coder"}), "agentId"),
        ("auth.start", with(of("u1", "coder"), json!({"bundleName": "Work"})), "userId"),
        ("auth.start", with(of("u1", "coder"), json!({"agentId": "a\u{7}"})), "agentId"),
        ("auth.submitapikey", key(json!({"agentId": "coder"})), "agentId"),
        ("auth.submitapikey", key(json!({"userId": "u1", "bundleName": "Work"})), "userId"),
        ("auth.submitapikey", key(json!({"userId": "u1", "apiKey": null, "secretName": "x"})), "secretName"),
        ("auth.cancel", with(of("u1", "coder"), json!({"bundleId": "b"})), "sessionId"),
        ("auth.cancel", json!({"userId": "u1"}), "sessionId"),
    ] {
        let (code, data) = daemon.refused(method, params.clone()).await;
        assert_eq!((code, &data["field"]), (1005, &json!(field)), "{method} {params}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn key_of_a_user_is_launched_by_user_and_agent() {
    let daemon = home(HAPPY).start();
    let key = |text: &str, more: Value| {
        let params =
            json!({"providerId": "anthropic", "apiKey": text, "accountName": "Mine", "validate": false});
        with(params, more)
    };
    let (mine, other) = ("sk-ant-planted-mine-0123456789abcdef", "sk-ant-planted-other-0123456789abcdef");
    let kept = daemon.call("auth.submitapikey", key(mine, json!({"userId": "u1"}))).await;
    assert_eq!((&kept["success"], &kept["status"]), (&json!(true), &json!("unknown")), "{kept}");
    assert!(kept.get("bundleId").is_none() && kept["profileId"].is_string(), "{kept}");
    let at = json!({"userId": "u1", "agentId": "coder", "baseUrl": "https://proxy.test"});
    let own = daemon.call("auth.submitapikey", key(other, at)).await;
    let launch = async |agent: &str| {
        let params = json!({"userId": "u1", "agentId": agent, "providerId": "anthropic"});
        daemon.call("launch.resolve", params).await["set"].clone()
    };
    let (any, coder) = (launch("any").await, launch("coder").await);
    assert_eq!((&any["ANTHROPIC_API_KEY"], any.get("ANTHROPIC_BASE_URL")), (&json!(mine), None));
    assert_eq!(
        (&coder["ANTHROPIC_API_KEY"], &coder["ANTHROPIC_BASE_URL"]),
        (&json!(other), &json!("https://proxy.test"))
    );
    let again = daemon.call("auth.submitapikey", key(other, json!({"userId": "u1"}))).await;
    assert_eq!(again["profileId"], kept["profileId"], "the next key replaces the first");
    assert_ne!(own["profileId"], kept["profileId"]);
    assert_eq!(launch("any").await["ANTHROPIC_API_KEY"], other);
    assert!(!daemon.log().contains("planted"), "the log holds a key");
}

#[tokio::test(flavor = "multi_thread")]
async fn credential_of_a_user_that_cannot_be_launched_is_passed_over() {
    let home = home(HAPPY);
    let agents = std::fs::read_to_string(home.dir("config/agents.toml")).unwrap();
    let agents = agents + "providers.qwen.key = 'sk-sp-planted-declared-0123456789abcdef'\n";
    private_file(&home.dir("config/agents.toml"), agents.as_bytes());
    let daemon = home.start();
    // The registry has no variable for the address of this service.
    let key = json!({
        "providerId": "qwen", "apiKey": "sk-sp-planted-mine-0123456789abcdef0123", "accountName": "Mine",
        "baseUrl": "https://proxy.test", "userId": "u1", "agentId": "shared", "validate": false,
    });
    let kept = daemon.call("auth.submitapikey", key).await;
    let params = json!({"userId": "u1", "agentId": "shared", "providerId": "qwen"});
    let launch = daemon.call("launch.resolve", params).await;
    let used = &launch["accounts"][0];
    assert_eq!((&used["source"], &used["status"]), (&json!("declared"), &json!("unknown")), "{launch}");
    let reason = "the registry does not define how an agent receives its address";
    assert_eq!(
        used["degradedFrom"],
        json!({"profileId": kept["profileId"], "source": "user", "reason": reason})
    );

    // A login whose files were lost gives way to the key that the file declares.
    let done = log_in(&daemon, of("u1", "shared")).await;
    let dir = directory(&daemon, &done["accountId"]).await;
    let params = json!({"userId": "u1", "agentId": "shared", "providerId": PROVIDER});
    let launch = daemon.call("launch.resolve", params.clone()).await;
    assert_eq!((&launch["accounts"][0]["source"], launch["set"].get("FAKE_API_KEY")), (&json!("user"), None));
    std::fs::remove_file(dir.join("credentials.json")).unwrap();
    let launch = daemon.call("launch.resolve", params).await;
    assert_eq!(launch["set"]["FAKE_API_KEY"], DECLARED, "{launch}");
    assert_eq!(launch["accounts"][0]["degradedFrom"]["profileId"], done["profileId"], "{launch}");

    // The agent's users can be forgotten while the agent is declared.
    let gone = daemon.call("agent.delete", json!({"agentId": "shared"})).await;
    assert_eq!(gone, json!({"profilesDeleted": 2, "secretsDeleted": 1}));
    assert_eq!((profiles(&daemon, "u1").await, homes(&daemon.home)), (Vec::new(), Vec::new()));
    let launch = daemon.call("launch.resolve", json!({"agentId": "shared", "providerId": PROVIDER})).await;
    assert_eq!(launch["set"]["FAKE_API_KEY"], DECLARED);
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_token_of_a_user_is_never_valid_and_its_end_is_announced() {
    let daemon = home(HAPPY).start();
    let token = |user: &str, expires_at: i64, refresh: Option<&str>| {
        let tokens =
            json!({"accessToken": "planted-access", "expiresAt": expires_at, "refreshToken": refresh});
        json!({"userId": user, "agentId": "coder", "providerId": "anthropic", "tokens": tokens})
    };
    let over = daemon.call("profile.upsert", token("u1", 1000, None)).await;
    assert_eq!(over["status"], "needs_reauth", "{over}");
    let renewable = daemon.call("profile.upsert", token("u2", 1000, Some("planted-refresh"))).await;
    assert_eq!(renewable["status"], "expired", "{renewable}");

    let soon = crate::support::now() + 1500;
    let live = daemon.call("profile.upsert", token("u3", soon, None)).await;
    assert_eq!(live["status"], "valid", "{live}");
    let mut events = daemon.client().await.subscribe(["userprofiles:changed:u3"]).await.unwrap();
    event(&mut events, "userprofiles:changed:u3").await;
    assert!(crate::support::now() >= soon, "the change was announced before the end");
    assert_eq!(profiles(&daemon, "u3").await[0]["status"], "needs_reauth");
}

#[tokio::test(flavor = "multi_thread")]
async fn login_replaces_the_tokens_of_the_same_person_and_is_replaced_by_them() {
    let daemon = home(HAPPY).start();
    let tokens =
        with(of("u1", "coder"), json!({"tokens": {"accessToken": "planted-a", "subject": "person-1"}}));
    let first = daemon.call("profile.upsert", tokens.clone()).await;
    let done = log_in(&daemon, of("u1", "coder")).await;
    assert_eq!(done["profileId"], first["id"], "the person keeps one profile: {done}");
    let dir = directory(&daemon, &done["accountId"]).await;
    assert_eq!(launched(&daemon, Some("u1"), "coder").await, json!(dir));
    assert_eq!(daemon.refused("account.get", json!({"accountId": first["accountId"]})).await.0, 1001);

    let again = daemon.call("profile.upsert", tokens).await;
    assert_eq!(again["id"], first["id"]);
    assert!(!dir.join("credentials.json").exists(), "the replaced login is removed");
    // The account of a user's login can be deleted by its own id as well.
    let done = log_in(&daemon, of("u1", "coder")).await;
    let mut events = daemon.client().await.subscribe(["userprofiles:changed:u1"]).await.unwrap();
    daemon.call("account.delete", json!({"accountId": done["accountId"]})).await;
    event(&mut events, "userprofiles:changed:u1").await;
    assert_eq!(profiles(&daemon, "u1").await, Vec::<Value>::new());
    // The homes of the other CLIs stay for the user's next launch.
    let logins = homes(&daemon.home).into_iter().filter(|file| file.ends_with("credentials.json"));
    assert_eq!(logins.collect::<Vec<_>>(), Vec::<PathBuf>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn user_logs_in_and_launches_on_the_command_line() {
    let daemon = home(HAPPY).start();
    let run = |args: &[&str]| {
        let output = daemon.home.run(args);
        let [out, err] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        (output.status.code(), out, err)
    };
    let login = ["login", PROVIDER, "--user", "ann", "--agent", "coder", "--no-browser"];
    let mut program = Program::start(daemon.home.command(&login));
    program.notes("Paste the code").await;
    program.types(CALLBACK).await;
    let ended = program.end().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stdout.contains("as ann@fake.test for user ann and agent coder"), "{ended:?}");

    let mut key =
        daemon.home.command(&["add-key", PROVIDER, "--user", "ann", "--agent", "coder", "--no-validate"]);
    let key = with_input(&mut key, "planted-key-0123456789\n");
    assert!(key.contains("for user ann and agent coder"), "{key}");
    let listed: Value = serde_json::from_str(&run(&["profiles", "--user", "ann", "--json"]).1).unwrap();
    let ids: Vec<&str> =
        listed["profiles"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 2, "{listed}");
    let (code, out, err) = run(&["profiles", "reorder", ids[1], ids[0]]);
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(out.find(ids[1]) < out.find(ids[0]), "{out}");
    assert_eq!(profiles(&daemon, "ann").await[0]["id"], ids[1]);
    let (_, out, _) =
        run(&["exec", "--agent", "coder", "--user", "ann", "--provider", PROVIDER, "--", "env"]);
    let login_first = profiles(&daemon, "ann").await[0]["kind"] == "oauth";
    assert_eq!(out.contains("FAKE_API_KEY=planted-key"), !login_first, "{out}");
    for id in ids {
        assert_eq!(run(&["profiles", "remove", id]).0, Some(0));
    }
    let (code, out, err) =
        run(&["exec", "--agent", "coder", "--user", "ann", "--provider", PROVIDER, "--", "env"]);
    assert_ne!(code, Some(0), "{out}");
    assert!(err.contains(&format!("srvd login {PROVIDER} --user ann --agent coder")), "{err}");
    let (code, _, err) = run(&["profiles", "reorder", "nobody"]);
    assert_eq!(code, Some(64), "{err}");
}

/// Runs a command with this text on its standard input.
fn with_input(command: &mut Command, text: &str) -> String {
    use std::io::Write as _;
    use std::process::Stdio;
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
}
