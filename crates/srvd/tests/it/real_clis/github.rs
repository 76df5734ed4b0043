//! gh: a whole login at the stand-in. Towards `github.localhost` it speaks plain HTTP, which its proxy can answer.

use serde_json::{Value, json};

use super::{is_stored, named, nothing_is_left, overlay, recipes, start};
use crate::standin::Standin;
use crate::support::{Home, left_over, optional};

const HOST: &str = "github.localhost";

/// The shipped entry with another host everywhere, and the stand-in as the way to it.
fn gh_home(standin: &Standin) -> Option<Home> {
    let home = Home::offline().search(optional("gh")?);
    let mut recipes = recipes("github");
    for arg in recipes[0]["args"].as_array_mut().unwrap() {
        if arg.as_str() == Some("github.com") {
            *arg = HOST.into();
        }
    }
    // A list with `localhost` in it means the hosts below it as well.
    let env = [("GH_PROMPT_DISABLED", "1"), ("HTTP_PROXY", standin.url()), ("NO_PROXY", "127.0.0.1")];
    let env = toml::Table::from_iter(env.map(|(name, value)| (name.to_owned(), value.into())));
    let credential: toml::Value = toml::from_str(&format!(
        "path = 'hosts.yml'\nformat = 'yaml'\nrequires = ['/{HOST}/oauth_token']\nsubject = {{ pointer = '/{HOST}/user' }}\n"
    ))
    .unwrap();
    Some(overlay(home, "github", [("recipes", recipes), ("env", env.into()), ("credential", credential)]))
}

#[tokio::test(flavor = "multi_thread")]
async fn gh_logs_in_by_device_code() {
    let standin = Standin::start().await;
    standin.person("ada@example.com", "acct-standin-1");
    let Some(home) = gh_home(&standin) else { return };
    let daemon = home.start();
    let id = start(&daemon, json!({"providerId": "github"})).await;
    // The code stands above the address.
    let shown = daemon.session(&id, |session| !session["verificationUrl"].is_null()).await;
    assert_eq!(
        (&shown["deviceCode"], &shown["verificationUrl"], &shown["openable"]),
        (&json!("GHGH-0001"), &json!("https://github.com/login/device"), &json!(true))
    );
    standin.approve();
    let done = daemon.ended(&id).await;
    let dir = is_stored(&daemon, &done, "github", &Value::Null).await;
    assert_eq!(named(&daemon.home, |name| name == "hosts.yml"), [dir.join("hosts.yml")]);
    let (_, _home) = daemon.stop();
    assert_eq!(left_over(&id), Vec::<u32>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn gh_is_refused_and_leaves_nothing() {
    let standin = Standin::start().await;
    standin.deny();
    let Some(home) = gh_home(&standin) else { return };
    let daemon = home.start();
    let id = start(&daemon, json!({"providerId": "github"})).await;
    let ended = daemon.ended(&id).await;
    assert_eq!((&ended["status"], &ended["errorKind"]), (&json!("failed"), &json!("denied")), "{ended}");
    nothing_is_left(&daemon, &id).await;
}
