//! A database that hangs: it accepts what is sent and never answers.

use std::collections::BTreeMap;
use std::sync::Arc;

use rpc_engine::{CallError, Client, ClientOptions, EventNames};
use serde_json::{Map, Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::support::{Daemon, Home, PATIENCE, postgres};

/// A relay before a database server. While it is frozen, it delivers nothing in either direction.
struct Relay {
    url: String,
    frozen: watch::Sender<bool>,
}

impl Relay {
    async fn before(server: &str) -> Self {
        let mut url = url::Url::parse(server).unwrap();
        let there = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap_or(5432));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        url.set_host(Some("127.0.0.1")).unwrap();
        url.set_port(Some(listener.local_addr().unwrap().port())).unwrap();
        let frozen = watch::Sender::new(false);
        let state = frozen.clone();
        tokio::spawn(async move {
            loop {
                let (near, _) = listener.accept().await.unwrap();
                let (there, state) = (there.clone(), state.clone());
                tokio::spawn(async move {
                    let Ok(far) = TcpStream::connect(&there).await else { return };
                    let (mut near_in, mut near_out) = near.into_split();
                    let (mut far_in, mut far_out) = far.into_split();
                    tokio::join!(
                        copy(&mut near_in, &mut far_out, state.subscribe()),
                        copy(&mut far_in, &mut near_out, state.subscribe())
                    );
                });
            }
        });
        Self { url: url.to_string(), frozen }
    }
}

async fn copy(
    from: &mut (impl tokio::io::AsyncRead + Unpin),
    to: &mut (impl tokio::io::AsyncWrite + Unpin),
    mut frozen: watch::Receiver<bool>,
) {
    let mut bytes = [0; 4096];
    while let Ok(read @ 1..) = from.read(&mut bytes).await {
        if frozen.wait_for(|frozen| !frozen).await.is_err() || to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
    // The other side may be gone as well.
    let _ = to.shutdown().await;
}

/// Returns parameters that every method of the table accepts: known ones by their names, others by their types.
fn parameters(method: &Value, known: &BTreeMap<&str, Value>) -> Value {
    let mut params = Map::new();
    for param in method["params"].as_array().unwrap() {
        let name = param["name"].as_str().unwrap();
        if let Some(value) = known.get(name) {
            params.insert(name.to_owned(), value.clone());
        } else if param["required"] == true {
            let value = match param["schema"]["type"].as_str() {
                Some("integer" | "number") => json!(1),
                Some("boolean") => json!(true),
                Some("array") => json!([]),
                Some("object") => json!({}),
                _ => json!("x"),
            };
            params.insert(name.to_owned(), value);
        }
    }
    Value::Object(params)
}

/// Connects a client that waits longer than every method may take.
async fn client(daemon: &Daemon) -> Client {
    let names = EventNames {
        event: "event",
        lagged: "events.lagged",
        subscribe: "events.subscribe",
        unsubscribe: "events.unsubscribe",
    };
    let mut options = ClientOptions::new("srvd.sock", "/rpc", names);
    options.timeout = PATIENCE * 5;
    let stream = UnixStream::connect(daemon.home.dir("run/srvd.sock")).await.unwrap();
    Client::connect(stream, options).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_method_answers_and_a_signal_ends_the_daemon_while_the_database_hangs() {
    let server = postgres().await;
    let relay = Relay::before(&server.url).await;
    let home = Home::new().config("srvd.toml", "shutdown_seconds = 2\n[listen]\nconnections = 200\n");
    let daemon = Arc::new(home.start_with(|command| command.env("SRVD_DATABASE_URL", &relay.url)));
    let made = daemon
        .call(
            "auth.submitapikey",
            json!({"providerId": "openai", "apiKey": "sk-proj-planted-secret-0123456789abcdefghij",
                   "accountName": "hang", "bundleName": format!("hang {}", std::process::id()), "validate": false}),
        )
        .await;
    assert_eq!(made["success"], true, "{made}");
    let known: BTreeMap<&str, Value> = [
        ("bundleId", made["bundleId"].clone()),
        ("accountId", made["accountId"].clone()),
        ("providerId", json!("openai")),
        ("definitionId", json!("agent")),
        ("agentId", json!("agent")),
        ("userId", json!("user")),
        ("apiKey", json!("sk-proj-planted-secret-0123456789abcdefghij")),
        ("accountName", json!("other")),
        ("topics", json!(["*"])),
        ("forgeType", json!("github")),
        // The forge is not asked for a person that is named.
        ("tokens", json!({"accessToken": "planted-access", "subject": "1"})),
        ("accountLogin", json!("ada")),
        ("validate", json!(false)),
    ]
    .into();
    let document = daemon.call("rpc.discover", json!({})).await;
    let methods = document["methods"].as_array().unwrap().clone();
    assert!(methods.len() > 40, "the method table: {}", methods.len());
    let mut calls = JoinSet::new();
    relay.frozen.send_replace(true);
    for method in methods {
        let name = method["name"].as_str().unwrap().to_owned();
        let params = parameters(&method, &known);
        let daemon = daemon.clone();
        calls.spawn(async move {
            let answer = client(&daemon).await.call_raw(&name, &params).await;
            let kind = match answer {
                Ok(_) => "ok".to_owned(),
                Err(CallError::Rpc(error)) => error.kind().unwrap_or("no kind").to_owned(),
                Err(other) => panic!("{name} was not answered: {other:?}"),
            };
            (name, kind)
        });
    }
    let mut kinds = BTreeMap::new();
    while let Some(answered) = calls.join_next().await {
        let (name, kind) = answered.unwrap();
        kinds.insert(name, kind);
    }
    let unfit = ["internal", "invalid_params", "no kind"];
    let unfit: Vec<_> = kinds.iter().filter(|(_, kind)| unfit.contains(&kind.as_str())).collect();
    assert!(unfit.is_empty(), "{unfit:?}");
    for name in ["bundle.list", "bundle.create", "account.get", "srvd.info", "instance.create"] {
        let kind = &kinds[name];
        assert!(["store_unavailable", "unknown"].contains(&kind.as_str()), "{name}: {kind}");
    }
    assert_eq!(kinds["srvd.ping"], "ok");

    let daemon = Arc::into_inner(daemon).unwrap();
    // `stop` sends the signal. A second one would end the daemon with another code.
    let ended = tokio::task::spawn_blocking(move || daemon.stop());
    let (status, home) = tokio::time::timeout(PATIENCE, ended).await.expect("the daemon ends").unwrap();
    assert_eq!(status.code(), Some(0));
    // What was left is put in order by the next start.
    relay.frozen.send_replace(false);
    let next = home.start_with(|command| command.env("SRVD_DATABASE_URL", &server.url));
    let deleted = next.call("bundle.delete", json!({"bundleId": made["bundleId"]})).await;
    assert_eq!(deleted["deleted"], true, "{deleted}");
}
