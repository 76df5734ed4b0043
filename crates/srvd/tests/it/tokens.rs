//! A credential that the CLI only shows on its screen.

use serde_json::{Value, json};

use crate::logins::log_in;
use crate::support::fake;
use crate::support::{Daemon, event, files_below};

const TOKEN: &str = "fake-token-0123456789abcdefghijklmnop";
/// Script that shows the token in the middle of a TUI's output, and once more beside the word "error".
const SHOWS: &str = "\
dir-var FAKE_HOME
out Open https://login.fake.test/authorize?state=st4te
outn Paste code here > 
read pasted
raw \\e[2J\\e[1;1H\\e[32mDone\\e[0m\\r\\n\\e[3Gfake-token-0123456789abcdefghijklmnop\\r\\n
err error: not stored: fake-token-0123456789abcdefghijklmnop
";
const PASTE: &str = "planted-code-123#st4te";

async fn take_token(daemon: &Daemon, params: Value) -> Value {
    let started = daemon.call("auth.start", params).await;
    let session = started["sessionId"].as_str().unwrap();
    daemon.session(session, |session| session["prompt"] == true).await;
    let pasted = json!({"sessionId": session, "callbackUrl": PASTE});
    assert_eq!(daemon.call("auth.submitcallback", pasted).await, json!({"success": true}));
    daemon.ended(session).await
}

#[tokio::test(flavor = "multi_thread")]
async fn token_is_sealed_as_an_account_and_appears_in_no_answer_log_or_file() {
    let home = fake::home(SHOWS);
    let daemon = home.start_with(|command| command.env("SRVD_LOG", "trace"));
    let client = daemon.client().await;
    let mut events = client.subscribe(["*"]).await.unwrap();
    let before = crate::support::now();
    let done =
        take_token(&daemon, json!({"providerId": "fake", "recipe": "token", "bundleName": "Robot"})).await;
    assert_eq!((&done["status"], &done["email"]), (&json!("success"), &Value::Null), "{done}");
    let bundle = done["bundleId"].as_str().unwrap();
    event(&mut events, &format!("identitybundlebindings:changed:{bundle}")).await;

    let account = daemon.call("account.get", json!({"accountId": done["accountId"]})).await;
    assert_eq!(account["secretRef"], json!({"backend": "sealed"}));
    let facts = ["kind", "status", "evidence", "providerId"].map(|field| account[field].as_str().unwrap());
    assert_eq!(facts, ["oauth", "valid", "login", "fake"]);
    assert!(account.get("maskedTail").is_none(), "{account}");
    let day = 86_400_000;
    let expires = account["expiresAt"].as_i64().unwrap();
    assert!((before + day..=crate::support::now() + day).contains(&expires), "{expires}");
    assert_eq!(account["loginDeadlineAt"], account["expiresAt"]);

    let answers = format!(
        "{done}{account}{}{}{}",
        daemon.call("auth.list", json!({})).await,
        daemon.call("account.list", json!({})).await,
        daemon.call("bundle.list", json!({})).await,
    );
    assert!(!answers.contains("fake-token"), "{answers}");
    // The token leaves the daemon in one way only: in the variable of an agent that is launched with it.
    let launch = daemon.call("launch.resolve", json!({"bundleId": bundle})).await;
    assert_eq!(launch["set"]["FAKE_TOKEN"], TOKEN);
    assert!(launch["set"]["FAKE_HOME"].as_str().unwrap().ends_with(&format!("{bundle}/fake")), "{launch}");
    let log = daemon.log();
    assert!(log.contains("a login ended") && !log.contains(TOKEN), "{log}");
    let (_, home) = daemon.stop();
    for path in files_below(&home.dir("data")).into_iter().chain(files_below(&home.dir("run"))) {
        let bytes = std::fs::read(&path).unwrap();
        assert!(!bytes.windows(TOKEN.len()).any(|window| window == TOKEN.as_bytes()), "{}", path.display());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn token_gets_its_own_account_beside_a_login() {
    let daemon = fake::home(fake::HAPPY).start();
    let login = log_in(&daemon, json!({"recipe": "pipe", "bundleName": "Both"})).await;
    let params = json!({"providerId": "fake", "recipe": "token", "intoBundleId": login["bundleId"]});
    let (code, data) = daemon.refused("auth.start", params.clone()).await;
    assert_eq!((code, &data["accountId"]), (1002, &login["accountId"]), "{data}");

    fake::write_script(&daemon.home, SHOWS);
    let mut forced = params.clone();
    forced["force"] = json!(true);
    let token = take_token(&daemon, forced.clone()).await;
    assert_eq!((&token["status"], &token["bundleId"]), (&json!("success"), &login["bundleId"]), "{token}");
    assert_ne!(token["accountId"], login["accountId"]);
    let bundle = daemon.call("bundle.get", json!({"bundleId": login["bundleId"]})).await;
    assert_eq!(bundle["bindings"][0]["accountId"], token["accountId"]);
    // The login is unchanged and can be bound again.
    let kept = daemon.call("account.get", json!({"accountId": login["accountId"]})).await;
    assert_eq!((&kept["status"], &kept["boundTo"]), (&json!("valid"), &json!([])));

    let (code, data) = daemon.refused("auth.start", params).await;
    assert_eq!((code, &data["accountId"]), (1002, &token["accountId"]), "{data}");
    let again = take_token(&daemon, forced).await;
    assert_eq!(again["accountId"], token["accountId"], "the next token renews the account: {again}");
}
