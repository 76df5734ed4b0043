//! Credentials shared by several agents or users: a user's credential for every agent, and an owner's credential for
//! every user who runs the agent.

use serde_json::{Value, json};

use super::endpoint::Endpoint;
use super::{HOUR, bring, entry, launched, question};
use crate::support::{Daemon, Home};

async fn key(daemon: &Daemon, (user, agent): (&str, &str), key: &str) -> Value {
    let params = json!({"userId": user, "agentId": agent, "providerId": "lent", "apiKey": key});
    daemon.call("profile.upsert", params).await
}

/// A credential for a single agent takes precedence over one for every agent. The latter is used once the former has
/// expired.
#[tokio::test(flavor = "multi_thread")]
async fn agent_credential_takes_precedence_over_one_for_every_agent() {
    let endpoint = Endpoint::start(HOUR).await;
    let daemon = Home::new().config("providers.d/lent.toml", &entry("lent", &endpoint.url, "form")).start();
    let shared = key(&daemon, ("u", "*"), "planted-key-for-all").await;
    key(&daemon, ("v", "*"), "planted-key-of-another").await;
    assert_eq!(launched(&daemon, "lent", ("u", "a")).await, "planted-key-for-all");
    let own = key(&daemon, ("u", "a"), "planted-key-for-a").await;
    assert_eq!(launched(&daemon, "lent", ("u", "a")).await, "planted-key-for-a");
    assert_eq!(launched(&daemon, "lent", ("u", "b")).await, "planted-key-for-all");
    assert_eq!(launched(&daemon, "lent", ("v", "b")).await, "planted-key-of-another");
    daemon.call("profile.delete", json!({"profileId": own["id"]})).await;

    let tokens = json!({"accessToken": "planted-access-first", "expiresAt": 1000});
    let mut params = question("lent", ("u", "a"));
    params["tokens"] = tokens;
    let over = daemon.call("profile.upsert", params).await;
    let best = daemon.call("profile.best", question("lent", ("u", "a"))).await;
    assert_eq!((&best["profileId"], &best["source"]), (&shared["id"], &json!("user")), "{best}");
    let from = json!({"profileId": over["id"], "source": "user", "reason": "it has expired"});
    assert_eq!(best["degradedFrom"], from);

    // The id `*` means every agent and is not an agent itself.
    for (method, params) in [
        ("launch.resolve", json!({"agentId": "*", "userId": "u"})),
        ("profile.best", question("lent", ("u", "*"))),
        ("agent.delete", json!({"agentId": "*"})),
        ("ephemeral.put", json!({"agentId": "*", "providerId": "lent", "apiKey": "planted-key-lent"})),
    ] {
        let (code, data) = daemon.refused(method, params).await;
        assert_eq!((code, &data["field"]), (1005, &json!("agentId")), "{method}");
    }
    // The credential belongs to the user. It survives deleting the agent but not deleting the user.
    daemon.call("agent.delete", json!({"agentId": "a"})).await;
    assert_eq!(launched(&daemon, "lent", ("u", "a")).await, "planted-key-for-all");
    let gone = daemon.call("user.delete", json!({"userId": "u"})).await;
    assert_eq!(gone, json!({"profilesDeleted": 1, "secretsDeleted": 1}));
    assert_eq!(daemon.refused("profile.best", question("lent", ("u", "a"))).await.0, 1006);
}

/// A user who runs an agent uses its owner's credential only if the file allows it. The credential still belongs to the
/// owner.
#[tokio::test(flavor = "multi_thread")]
async fn agent_run_uses_the_owners_credential_only_when_the_file_allows_it() {
    let endpoint = Endpoint::start(HOUR).await;
    let home = Home::new().config("providers.d/lent.toml", &entry("lent", &endpoint.url, "form"));
    let agents = "[[agents]]\nid = 'run'\nowner = 'ada'\nrun_as_owner = true\n\
                  [[agents]]\nid = 'kept'\nowner = 'ada'\n";
    crate::support::private_file(&home.dir("config/agents.toml"), agents.as_bytes());
    let daemon = home.start();
    let first = endpoint.login();
    let owned = bring(&daemon, "lent", ("ada", "run"), &first).await;
    bring(&daemon, "lent", ("ada", "kept"), &endpoint.login()).await;

    let best = daemon.call("profile.best", question("lent", ("synthetic-1", "run"))).await;
    let used = json!({"profileId": owned["id"], "accountId": owned["accountId"], "ownerId": "ada"});
    for (name, value) in used.as_object().unwrap() {
        assert_eq!(&best[name], value, "{best}");
    }
    let fresh = format!("planted-access-of-{first}");
    assert_eq!(launched(&daemon, "lent", ("synthetic-1", "run")).await, fresh);
    // A run without a user also acts as the owner. The owner's own run uses the credential directly.
    assert_eq!(launched(&daemon, "lent", ("", "run")).await, fresh);
    let own = daemon.call("profile.best", question("lent", ("ada", "run"))).await;
    assert_eq!((&own["profileId"], own.get("ownerId")), (&owned["id"], None), "{own}");
    assert_eq!(endpoint.seen().sent.iter().filter(|sent| **sent == first).count(), 1);
    // The owner's row is refreshed, and the run has no row of its own.
    let rows =
        async |user: &str| daemon.call("profile.list", json!({"userId": user})).await["profiles"].clone();
    assert_eq!(rows("synthetic-1").await, json!([]));
    let ada = rows("ada").await;
    assert_eq!(ada.as_array().unwrap().len(), 2, "{ada}");

    let (code, _) = daemon.refused("profile.best", question("lent", ("synthetic-1", "kept"))).await;
    assert_eq!(code, 1006);
    let ready = daemon.call("launch.ready", question("lent", ("synthetic-1", "kept"))).await;
    assert_eq!(ready["ready"], false);
    key(&daemon, ("synthetic-1", "run"), "planted-key-of-the-run").await;
    assert_eq!(launched(&daemon, "lent", ("synthetic-1", "run")).await, "planted-key-of-the-run");
}
