//! gh: a whole login at a host of its own, which is the stand-in. Towards `github.localhost` it speaks plain HTTP, which its
//! proxy can answer.

use serde_json::{Value, json};

use super::{is_stored, named, nothing_is_left, overlay, start};
use crate::standin::Standin;
use crate::support::{Home, left_over, optional};

const HOST: &str = "github.localhost";

/// The shipped entry, with the stand-in as the way to every host.
fn gh_home(standin: &Standin) -> Option<Home> {
    let home = Home::offline().search(optional("gh")?);
    // A list with `localhost` in it means the hosts below it as well.
    let env = [("GH_PROMPT_DISABLED", "1"), ("HTTP_PROXY", standin.url()), ("NO_PROXY", "127.0.0.1")];
    let env = toml::Table::from_iter(env.map(|(name, value)| (name.to_owned(), value.into())));
    Some(overlay(home, "github", [("env", env.into())]))
}

#[tokio::test(flavor = "multi_thread")]
async fn gh_logs_in_by_device_code() {
    let standin = Standin::start().await;
    standin.person("ada@example.com", "acct-standin-1");
    let Some(home) = gh_home(&standin) else { return };
    let daemon = home.start();
    let id = start(&daemon, json!({"providerId": "github", "host": HOST})).await;
    // The code stands above the address, which is at another host than the chosen one.
    let shown = daemon.session(&id, |session| !session["verificationUrl"].is_null()).await;
    assert_eq!(
        (&shown["deviceCode"], &shown["verificationUrl"], &shown["openable"]),
        (&json!("GHGH-0001"), &json!("https://github.com/login/device"), &json!(false))
    );
    standin.approve();
    let done = daemon.ended(&id).await;
    let dir = is_stored(&daemon, &done, "github", &Value::Null).await;
    assert_eq!(named(&daemon.home, |name| name == "hosts.yml"), [dir.join("hosts.yml")]);
    let account = daemon.call("account.get", json!({"accountId": done["accountId"]})).await;
    assert_eq!(account["baseUrl"], format!("https://{HOST}"), "{account}");
    let launch = daemon.call("launch.resolve", json!({"bundleId": done["bundleId"]})).await;
    assert_eq!(launch["set"]["GH_HOST"], HOST, "{launch}");
    let bundle = done["bundleId"].as_str().unwrap();
    let token = daemon.home.run(&["exec", "--bundle", bundle, "--", "gh", "auth", "token", "-h", HOST]);
    let text = std::fs::read_to_string(dir.join("hosts.yml")).unwrap();
    let token = String::from_utf8(token.stdout).unwrap();
    assert!(!token.trim().is_empty() && text.contains(&format!("oauth_token: {}", token.trim())), "{text}");
    let (_, _home) = daemon.stop();
    assert_eq!(left_over(&id), Vec::<u32>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn gh_is_refused_and_leaves_nothing() {
    let standin = Standin::start().await;
    standin.deny();
    let Some(home) = gh_home(&standin) else { return };
    let daemon = home.start();
    let id = start(&daemon, json!({"providerId": "github", "host": HOST})).await;
    let ended = daemon.ended(&id).await;
    assert_eq!((&ended["status"], &ended["errorKind"]), (&json!("failed"), &json!("denied")), "{ended}");
    nothing_is_left(&daemon, &id).await;
}
