//! The providers' own CLIs, driven by the daemon: whole logins where the vendor can be a stand-in on loopback, and up to
//! the browser where it cannot. Nothing leaves this machine: every other address goes to a proxy that is not there.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use url::Url;

use crate::program::Program;
use crate::standin::Standin;
use crate::support::{Daemon, Home, clis, event, files_below, left_over};

const OFFLINE: &str = "\
[spawn.environment]
ALL_PROXY = \"http://127.0.0.1:9\"
HTTP_PROXY = \"http://127.0.0.1:9\"
HTTPS_PROXY = \"http://127.0.0.1:9\"
NO_PROXY = \"127.0.0.1,localhost\"
";

/// The registry as it is shipped.
const REGISTRY: &str = include_str!("../../../../config/providers.toml");

fn home() -> Home {
    Home::new().config("srvd.toml", OFFLINE).search(clis())
}

/// A home whose Codex logs in at the stand-in: the shipped recipes, with one more argument.
fn codex_home(standin: &Standin) -> Home {
    let registry: toml::Table = REGISTRY.parse().unwrap();
    let mut recipes = registry["providers"]["codex"]["cli"]["recipes"].clone();
    for recipe in recipes.as_array_mut().unwrap() {
        let args = recipe["args"].as_array_mut().unwrap();
        args.extend(["--experimental_issuer", standin.url()].map(toml::Value::from));
    }
    let cli = toml::Table::from_iter([("recipes".to_owned(), recipes)]);
    let entry = json!({"providers": {"codex": {"cli": cli}}});
    home().config("providers.d/standin.toml", &toml::to_string(&entry).unwrap())
}

fn kimi_home(standin: &Standin) -> Home {
    let env = toml::Table::from_iter(standin.kimi_env().map(|(name, value)| (name, value.into())));
    let entry = json!({"providers": {"kimi-code": {"cli": {"env": env}}}});
    home().config("providers.d/standin.toml", &toml::to_string(&entry).unwrap())
}

async fn start(daemon: &Daemon, params: Value) -> String {
    let started = daemon.call("auth.start", params).await;
    assert_eq!((&started["status"], &started["authUrl"]), (&json!("pending"), &Value::Null), "{started}");
    started["sessionId"].as_str().unwrap().to_owned()
}

/// Asserts that a login has left nothing: no account, no bundle, no file of the CLI, no process.
async fn nothing_is_left(daemon: &Daemon, session: &str) {
    assert_eq!(daemon.call("account.list", json!({})).await, json!({"accounts": [], "corrupt": []}));
    assert_eq!(daemon.call("bundle.list", json!({})).await["bundles"].as_array().unwrap().len(), 1);
    assert_eq!(files_below(&daemon.home.dir("data/identities")), Vec::<PathBuf>::new());
    assert_eq!(files_below(&daemon.home.dir("home")), Vec::<PathBuf>::new());
    assert_eq!(left_over(session), Vec::<u32>::new());
}

/// Asserts that a login is stored, bound and announced, in the bundle's own directory, which is returned.
async fn is_stored(daemon: &Daemon, done: &Value, provider: &str, email: &Value) -> PathBuf {
    assert_eq!((&done["status"], &done["email"]), (&json!("success"), email), "{done}");
    let bundle = done["bundleId"].as_str().unwrap();
    let account = daemon.call("account.get", json!({"accountId": done["accountId"]})).await;
    let dir = daemon.home.dir("data/identities").join(bundle).join(provider);
    assert_eq!(account["secretRef"], json!({"backend": "config_dir", "dir": dir}));
    assert_eq!(account.get("email").cloned().unwrap_or_default(), *email);
    assert_eq!((&account["subject"], &account["status"]), (&json!("acct-standin-1"), &json!("valid")));
    let bound = json!([{"providerId": provider, "accountId": done["accountId"], "status": "valid"}]);
    assert_eq!(daemon.call("bundle.get", json!({"bundleId": bundle})).await["bindings"], bound);
    assert_eq!(files_below(&daemon.home.dir("home")), Vec::<PathBuf>::new());
    dir
}

/// Every file below the test's root with such a name.
fn named(home: &Home, is_meant: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let mut files = files_below(&home.dir(""));
    files.retain(|path| is_meant(path.file_name().unwrap().to_str().unwrap()));
    files
}

/// Asks Codex itself whether it is logged in there.
fn codex_is_logged_in(daemon: &Daemon, dir: &Path) -> bool {
    let mut codex = Command::new(clis().join("codex"));
    codex.args(["login", "status"]).env_clear().env("HOME", daemon.home.dir("home")).env("CODEX_HOME", dir);
    codex.output().unwrap().status.success()
}

#[tokio::test(flavor = "multi_thread")]
async fn they_are_found_with_their_versions_and_leave_the_home_alone() {
    let daemon = home().start();
    let listed = daemon.call("provider.list", json!({})).await;
    for (id, binary) in [("codex", "codex"), ("claude", "claude"), ("kimi-code", "kimi")] {
        let provider =
            listed["providers"].as_array().unwrap().iter().find(|known| known["id"] == id).unwrap();
        let cli = &provider["cli"];
        assert_eq!((&cli["found"], &cli["path"]), (&json!(true), &json!(clis().join(binary))), "{provider}");
        let version = cli["version"].as_str().unwrap_or_else(|| panic!("no version in {provider}"));
        assert!(installed().contains(&format!("{binary} {version}")), "{provider}");
    }
    assert_eq!(files_below(&daemon.home.dir("home")), Vec::<PathBuf>::new());
}

/// What `scripts/clis.sh` says that it has installed.
fn installed() -> String {
    std::fs::read_to_string(clis().join("../complete")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn codex_logs_in_by_device_code() {
    let standin = Standin::start().await;
    let daemon = codex_home(&standin).start();
    let client = daemon.client().await;
    let mut events = client.subscribe(["identitybundlebindings:changed:*"]).await.unwrap();
    let id = start(&daemon, json!({"providerId": "codex", "recipe": "device-auth"})).await;
    let shown = daemon.session(&id, |session| session["status"] == "code-emitted").await;
    assert_eq!(
        (&shown["deviceCode"], &shown["verificationUrl"], &shown["openable"]),
        (&json!("ABCD-00001"), &json!(format!("{}/codex/device", standin.url())), &json!(false))
    );
    standin.approve();
    let done = daemon.ended(&id).await;
    let dir = is_stored(&daemon, &done, "codex", &json!("ada@example.com")).await;
    event(&mut events, &format!("identitybundlebindings:changed:{}", done["bundleId"].as_str().unwrap()))
        .await;
    assert_eq!(named(&daemon.home, |name| name == "auth.json"), [dir.join("auth.json")]);
    assert!(codex_is_logged_in(&daemon, &dir));
    // The CLI may still be saying goodbye, but not to a daemon that is gone.
    let (_, _home) = daemon.stop();
    assert_eq!(left_over(&id), Vec::<u32>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn codex_is_refused_and_leaves_nothing() {
    let standin = Standin::start().await;
    standin.deny();
    let daemon = codex_home(&standin).start();
    let id = start(&daemon, json!({"providerId": "codex", "recipe": "device-auth"})).await;
    let ended = daemon.ended(&id).await;
    assert_eq!(
        (&ended["status"], &ended["errorKind"], &ended["exitCode"]),
        (&json!("failed"), &json!("cli_exited"), &json!(1)),
        "{ended}"
    );
    assert!(ended["error"].as_str().unwrap().contains("400 Bad Request"), "{ended}");
    nothing_is_left(&daemon, &id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn codex_logs_in_through_the_command_line() {
    let standin = Standin::start().await;
    let daemon = codex_home(&standin).start();
    let args = ["login", "codex", "--recipe", "device-auth", "--bundle", "work", "--no-browser"];
    let login = Program::start(daemon.home.command(&args));
    login.notes("Enter this code there: ABCD-00001").await;
    login.notes(&format!("\n  {}/codex/device\n", standin.url())).await;
    standin.approve();
    let ended = login.end().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let bundles = daemon.home.run(&["bundles", "--json"]);
    let bundles: Value = serde_json::from_slice(&bundles.stdout).unwrap();
    assert_eq!(bundles, daemon.call("bundle.list", json!({})).await);
    let work = bundles["bundles"].as_array().unwrap().iter().find(|bundle| bundle["name"] == "work").unwrap();
    let binding = &work["bindings"][0];
    assert_eq!((&binding["providerId"], &binding["status"]), (&json!("codex"), &json!("valid")));
    let account = binding["accountId"].as_str().unwrap();
    let expect = format!("Logged in to Codex as ada@example.com in bundle \"work\" (account {account})\n");
    assert_eq!(ended.stdout, expect);
}

/// The fixed port of Codex's browser login belongs to one test at a time, in this process and in every other.
async fn callback_port() -> File {
    let lock = File::create(std::env::temp_dir().join("srvd-it-port-1455.lock")).unwrap();
    let locked = tokio::task::spawn_blocking(move || lock.lock().map(|()| lock));
    locked.await.unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn codex_waits_for_the_browser_until_it_is_cancelled() {
    let _port = callback_port().await;
    let daemon = home().start();
    let first = start(&daemon, json!({"providerId": "codex", "recipe": "login"})).await;
    let shown = daemon.session(&first, |session| session["status"] == "url-available").await;
    assert!(
        shown["authUrl"].as_str().unwrap().starts_with("https://auth.openai.com/oauth/authorize?"),
        "{shown}"
    );
    assert_eq!(shown["openable"], true);

    let other = daemon.call("bundle.create", json!({"name": "Other"})).await["id"].clone();
    let (code, data) =
        daemon.refused("auth.start", json!({"providerId": "codex", "intoBundleId": other})).await;
    assert_eq!((code, &data["sessionId"], &data["port"]), (1002, &json!(first), &json!(1455)));
    daemon.call("bundle.delete", json!({"bundleId": other})).await;

    assert!(!left_over(&first).is_empty(), "the CLI runs");
    assert_eq!(daemon.call("auth.cancel", json!({"sessionId": first})).await, json!({"success": true}));
    assert_eq!(daemon.ended(&first).await["errorKind"], "cancelled");
    nothing_is_left(&daemon, &first).await;
    TcpListener::bind(("127.0.0.1", 1455)).expect("the port is free again");
}

#[tokio::test(flavor = "multi_thread")]
async fn codex_gets_a_pasted_callback_at_its_own_port() {
    let _port = callback_port().await;
    let daemon = home().start();
    let id = start(&daemon, json!({"providerId": "codex", "recipe": "login"})).await;
    let shown = daemon.session(&id, |session| session["status"] == "url-available").await;
    let state = parameter(&Url::parse(shown["authUrl"].as_str().unwrap()).unwrap(), "state");
    let callback =
        |state: &str| format!("http://localhost:1455/auth/callback?code=planted-code&state={state}");
    let refused = paste(&daemon, &id, callback(&format!("{state}x"))).await;
    assert_eq!((&refused["success"], &refused["errorKind"]), (&json!(false), &json!("invalid_input")));
    let accepted = paste(&daemon, &id, callback(&state)).await;
    assert_eq!(accepted, json!({"success": true}));
    // The code is made up and there is no way to the vendor, so this is as far as it goes.
    let ended = daemon.ended(&id).await;
    assert_eq!((&ended["status"], &ended["errorKind"]), (&json!("failed"), &json!("cli_exited")), "{ended}");
    assert!(ended["error"].as_str().unwrap().contains("Token exchange failed"), "{ended}");
    assert!(!ended.to_string().contains("planted-code") && !daemon.log().contains("planted-code"));
    nothing_is_left(&daemon, &id).await;
    TcpListener::bind(("127.0.0.1", 1455)).expect("the port is free again");
}

#[tokio::test(flavor = "multi_thread")]
async fn kimi_logs_in_by_device_code() {
    let standin = Standin::start().await;
    let daemon = kimi_home(&standin).start();
    let client = daemon.client().await;
    let mut events = client.subscribe(["identitybundlebindings:changed:*"]).await.unwrap();
    let id = start(&daemon, json!({"providerId": "kimi-code"})).await;
    let shown = daemon.session(&id, |session| session["status"] == "code-emitted").await;
    let page = "https://www.kimi.com/code/authorize_device?user_code=WXYZ-0001";
    assert_eq!(
        (&shown["deviceCode"], &shown["verificationUrl"], &shown["openable"]),
        (&json!("WXYZ-0001"), &json!(page), &json!(true))
    );
    standin.approve();
    let done = daemon.ended(&id).await;
    let dir = is_stored(&daemon, &done, "kimi-code", &Value::Null).await;
    event(&mut events, &format!("identitybundlebindings:changed:{}", done["bundleId"].as_str().unwrap()))
        .await;
    let credentials = named(&daemon.home, |name| name.starts_with("kimi-code-env-"));
    let places: Vec<&Path> = credentials.iter().map(|path| path.parent().unwrap()).collect();
    assert_eq!(places, [dir.join("credentials")]);
    let (_, _home) = daemon.stop();
    assert_eq!(left_over(&id), Vec::<u32>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn kimi_is_refused_and_leaves_nothing() {
    let standin = Standin::start().await;
    standin.deny();
    let daemon = kimi_home(&standin).start();
    let id = start(&daemon, json!({"providerId": "kimi-code"})).await;
    let ended = daemon.ended(&id).await;
    assert_eq!((&ended["status"], &ended["errorKind"]), (&json!("failed"), &json!("denied")), "{ended}");
    nothing_is_left(&daemon, &id).await;
}

/// Starts Claude's login and waits until it takes a paste: the session, and the state in its address.
async fn claude(daemon: &Daemon) -> (String, String) {
    let id = start(daemon, json!({"providerId": "claude"})).await;
    let shown = daemon.session(&id, |session| session["prompt"] == true).await;
    assert_eq!((&shown["status"], &shown["openable"]), (&json!("url-available"), &json!(true)), "{shown}");
    let url = Url::parse(shown["authUrl"].as_str().unwrap()).unwrap();
    assert!(url.as_str().starts_with("https://claude.com/cai/oauth/authorize?"), "{url}");
    assert_eq!(parameter(&url, "redirect_uri"), REDIRECT);
    assert_eq!(parameter(&url, "response_type"), "code");
    assert_eq!(parameter(&url, "code_challenge_method"), "S256");
    (id, parameter(&url, "state"))
}

fn parameter(url: &Url, name: &str) -> String {
    let found = url.query_pairs().find(|(key, _)| key == name);
    found.unwrap_or_else(|| panic!("no {name} in {url}")).1.into_owned()
}

const REDIRECT: &str = "https://platform.claude.com/oauth/code/callback";

async fn paste(daemon: &Daemon, session: &str, text: String) -> Value {
    daemon.call("auth.submitcallback", json!({"sessionId": session, "callbackUrl": text})).await
}

#[tokio::test(flavor = "multi_thread")]
async fn claude_gets_no_paste_of_another_login_and_ends_when_cancelled() {
    let daemon = home().start();
    let (id, state) = claude(&daemon).await;
    let before = daemon.call("auth.poll", json!({"sessionId": id})).await;
    for text in [format!("{REDIRECT}?code=planted-code&state={state}x"), format!("planted-code#{state}x")] {
        let refused = paste(&daemon, &id, text).await;
        assert_eq!((&refused["success"], &refused["errorKind"]), (&json!(false), &json!("invalid_input")));
    }
    // The CLI takes whatever line it gets, so it would not be waiting any more.
    assert_eq!(daemon.call("auth.poll", json!({"sessionId": id})).await, before);
    assert!(!left_over(&id).is_empty(), "the CLI runs");
    assert_eq!(daemon.call("auth.cancel", json!({"sessionId": id})).await, json!({"success": true}));
    assert_eq!(daemon.ended(&id).await["errorKind"], "cancelled");
    nothing_is_left(&daemon, &id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn claude_takes_the_callback_of_its_own_login() {
    let daemon = home().start();
    let (id, state) = claude(&daemon).await;
    let accepted = paste(&daemon, &id, format!("{REDIRECT}?code=planted-code&state={state}")).await;
    assert_eq!(accepted, json!({"success": true}));
    // The code is made up and there is no way to the vendor, so this is as far as it goes.
    let ended = daemon.ended(&id).await;
    assert_eq!((&ended["status"], &ended["errorKind"]), (&json!("failed"), &json!("cli_exited")), "{ended}");
    assert!(!ended.to_string().contains("planted-code") && !daemon.log().contains("planted-code"));
    nothing_is_left(&daemon, &id).await;
}
