//! The steps of logins that were refused or failed, and of accounts that need one.

use identity_store::{DestinationBundle, Evidence, KeyPlace, SaveApiKey, Status};
use serde_json::{Value, json};

use super::{answers, fails, finishes, out, shell, succeeds, typed};
use crate::keys::failing_service;
use crate::logins::log_in;
use crate::support::fake::{self, HAPPY};
use crate::support::program::Program;
use crate::support::{Daemon, Home};

const KEY: &str = "sk-planted-0123456789abcdef0123456789";
const ENTRY: &str = "[providers.far]\ndisplay-name = 'Far'\nclass = 'oauth'\n[providers.far.cli]\nbinaries = ['farcli']\n\
    install = 'ln -s fakecli \"$BIN/farcli\"'\nurl-hosts = ['login.fake.test']\nenv = { FAKE_SCRIPT = '@SCRIPT@' }\n\
    config-dir = { var = 'FAKE_HOME', name = 'far', ambient = '~/.far' }\n\
    credential = { path = 'credentials.json', requires = ['/access'] }\n[[providers.far.cli.recipes]]\nid = 'login'\n\
    args = ['login']\npaste = { shapes = ['url', 'code_state'], delivery = 'stdin_line', form = 'code_state' }\n\
    [providers.far.cli.recipes.patterns]\nprompt = 'Paste code here >\\s*$'\nlogged-in = ['^Logged in']\nretired = ['^farcli is retired']\n";

/// A home with a CLI whose command of installation works.
fn far() -> Home {
    let home = fake::home(HAPPY);
    let entry = ENTRY
        .replace("$BIN", &home.dir("bin").display().to_string())
        .replace("@SCRIPT@", &home.dir("script").display().to_string());
    home.config("providers.d/far.toml", &entry)
}

/// Returns the page of the status.
fn shown(daemon: &Daemon) -> String {
    out(&succeeds(&daemon.home, "srvd status"))
}

/// Stores a key with this status.
async fn stored_key(home: &Home, bundle: &str, status: Status) {
    let store = crate::support::store(home).await;
    let save = SaveApiKey {
        target: DestinationBundle::Existing(bundle.parse().unwrap()),
        provider: "openai".parse().unwrap(),
        provider_name: "OpenAI".into(),
        account_name: "Key".into(),
        key: KeyPlace::Sealed(KEY.to_owned().into()),
        base_url: None,
        email: None,
        status,
        status_reason: None,
        evidence: Evidence::Live,
        checked_at: None,
        now: 1,
    };
    store.save_api_key(save).await.unwrap();
    store.close().await;
}

async fn status_of(daemon: &Daemon, provider: &str) -> Value {
    let accounts = daemon.call("account.list", json!({"providerId": provider})).await;
    let account = &accounts["accounts"][0]["id"];
    daemon.call("account.refreshstatus", json!({"accountId": account})).await["status"].clone()
}

typed! {
    login_that_exists_or_runs_is_repeated_or_cancelled types [
        LogInAgain, CancelRunning, CancelOne,
    ]: |typed| {
        // A login that names nobody may be anyone's.
        let daemon = fake::home(&HAPPY.replace(",\"email\":\"ann@fake.test\",\"id\":\"person-1\"", "")).start();
        let home = &daemon.home;
        log_in(&daemon, json!({"bundleName": "my box"})).await;
        let line = typed.step("LogInAgain", &fails(home, "srvd login fake --bundle 'my box'"));
        finishes(home, &line).await;
        for name in ["one", "two"] {
            let bundle = daemon.call("bundle.create", json!({"name": name})).await["id"].clone();
            daemon.call("auth.start", json!({"providerId": "fake", "intoBundleId": bundle})).await;
        }
        let said = fails(home, "srvd login fake --bundle one");
        let cancel_one = fails(home, "srvd login fake --cancel");
        succeeds(home, &typed.step("CancelRunning", &said));
        succeeds(home, &typed.step("CancelOne", &cancel_one).replace("BUNDLE", "two"));
    }

    login_that_holds_the_callback_port_is_cancelled types [CancelRunningAnywhere]: |typed| {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let recipe = format!("id = 'login'\ncallback-ports = [{port}]\n");
        let entry = ENTRY.replace("id = 'login'\n", &recipe).replace("farcli", "fakecli");
        let mut home = fake::home(HAPPY);
        let script = home.dir("script").display().to_string();
        for id in ["one", "two"] {
            let entry = entry
                .replace("providers.far", &format!("providers.{id}"))
                .replace("'far'", &format!("'{id}'"))
                .replace("~/.far", &format!("~/.{id}"))
                .replace("@SCRIPT@", &script);
            home = home.config(&format!("providers.d/{id}.toml"), &entry);
        }
        let daemon = home.start();
        let home = &daemon.home;
        let first = daemon.call("auth.start", json!({"providerId": "one"})).await;
        let line = typed.step("CancelRunningAnywhere", &fails(home, "srvd login two --bundle new --new"));
        assert_eq!(line, "srvd login one --cancel");
        succeeds(home, &line);
        daemon.ended(first["sessionId"].as_str().unwrap()).await;
    }

    login_of_another_person_is_accepted_when_that_is_meant types [LogInAsOrReplace]: |typed| {
        let daemon = fake::home(HAPPY).start();
        let home = &daemon.home;
        log_in(&daemon, json!({"bundleName": "my box"})).await;
        fake::write_script(home, &HAPPY.replace("person-1", "person-2").replace("ann@", "bob@"));
        let mut login = Program::start(shell(home, "srvd login fake --bundle 'my box'"));
        login.notes("Paste the code or the address that the browser ended on:").await;
        login.types("https://login.fake.test/callback?code=planted-code-123&state=st4te").await;
        let ended = login.end().await;
        assert_eq!(ended.code, Some(1), "{ended:?}");
        finishes(home, &typed.step("LogInAsOrReplace", &ended.stderr)).await;
        assert!(shown(&daemon).contains("bob@fake.test"));
    }

    key_that_cannot_be_checked_is_stored_when_that_is_meant types [StoreUnchecked]: |typed| {
        let daemon = fake::home(HAPPY).start();
        let bundle = daemon.call("bundle.create", json!({"name": "box"})).await["id"].clone();
        let (_, home) = daemon.stop();
        stored_key(&home, bundle.as_str().unwrap(), Status::Valid).await;
        let daemon = home.start();
        let home = &daemon.home;
        let line = format!("srvd add-key openai --bundle box --base-url {}", failing_service().await);
        let mut refused = Program::start(shell(home, &line));
        refused.types(KEY).await;
        let flag = typed.step("StoreUnchecked", &refused.end().await.stderr);
        answers(home, &format!("{line} {flag}"), KEY).await;
    }

    provider_of_the_other_kind_is_used_the_other_way types [AddKeyInstead, LogInInstead]: |typed| {
        let daemon = fake::home(HAPPY).start();
        let home = &daemon.home;
        let line = typed.step("AddKeyInstead", &fails(home, "srvd login openai"));
        answers(home, &format!("{line} --no-validate"), KEY).await;
        let mut refused = Program::start(shell(home, "srvd add-key fake"));
        refused.types(KEY).await;
        let line = typed.step("LogInInstead", &refused.end().await.stderr);
        finishes(home, &line).await;
    }

    account_that_needs_a_login_or_a_key_gets_one types [LogIn, LogInAnew, AddKey]: |typed| {
        let daemon = fake::home(HAPPY).start();
        let done = log_in(&daemon, json!({"bundleName": "my box"})).await;
        let file = daemon.home.dir("data/identities").join(done["bundleId"].as_str().unwrap());
        let file = file.join("fake/credentials.json");
        let login = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, "{}").unwrap();
        assert_eq!(status_of(&daemon, "fake").await, "needs_reauth");
        let line = typed.step("LogIn", &shown(&daemon));
        assert!(line.contains("'my box'"), "{line}");
        finishes(&daemon.home, &line).await;
        assert_eq!(status_of(&daemon, "fake").await, "valid");
        std::fs::write(&file, login.replace("person-1", "person-2").replace("ann@", "bob@")).unwrap();
        assert_eq!(status_of(&daemon, "fake").await, "invalid");
        finishes(&daemon.home, &typed.step("LogInAnew", &shown(&daemon))).await;
        assert_eq!(status_of(&daemon, "fake").await, "valid");
        let (_, home) = daemon.stop();
        stored_key(&home, done["bundleId"].as_str().unwrap(), Status::Invalid).await;
        let daemon = home.start();
        let line = typed.step("AddKey", &shown(&daemon));
        answers(&daemon.home, &format!("{line} --no-validate"), KEY).await;
        assert!(!shown(&daemon).contains("srvd add-key"));
    }

    missing_cli_is_installed_by_its_command types [InstallCli, InstallWith, Reinstall, LaunchSingly]: |typed| {
        let daemon = far().start();
        let home = &daemon.home;
        let line = typed.step("InstallWith", &fails(home, "srvd providers check far"));
        assert_eq!(line, typed.step("InstallCli", &fails(home, "srvd login far")));
        succeeds(home, &line);
        finishes(home, "srvd login far --bundle work --new").await;
        // Both CLIs use one variable for their directories.
        finishes(home, "srvd login fake --bundle work").await;
        let flag = typed.step("LaunchSingly", &fails(home, "srvd env --bundle work")).replace("PROVIDER", "fake");
        succeeds(home, &format!("srvd env --bundle work {flag}"));
        fake::write_script(home, "out farcli is retired\nexit 1\n");
        let ended = Program::start(shell(home, "srvd login far --bundle other --new")).end().await;
        std::fs::remove_file(home.dir("bin/farcli")).unwrap();
        succeeds(home, &typed.step("Reinstall", &ended.stderr));
        assert!(home.dir("bin/farcli").exists());
    }
}
