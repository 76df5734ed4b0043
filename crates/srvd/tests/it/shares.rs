//! The user's own setup in the homes of bundles: over the wire, by the command line and at launches.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use identity_store::{BundleId, LoginCredential};
use serde_json::{Value, json};

use crate::support::namespace::inside;
use crate::support::{Daemon, Home, event, files_below, planted, private_directory, store};

/// Creates bundles with a planted login of Claude, and the user's own setup.
pub(crate) async fn home(bundles: &[&str]) -> Home {
    let home = Home::new();
    for bundle in bundles {
        plant(&home, bundle).await;
    }
    setup(&home);
    home
}

async fn plant(home: &Home, bundle: &str) -> PathBuf {
    let registry = auth_spawner::Registry::builtin().unwrap();
    let cli = registry.provider("claude").unwrap().cli.clone().unwrap();
    let bundle: BundleId = bundle.parse().unwrap();
    let dir = claude(home, bundle.as_str());
    for made in [dir.parent().unwrap().parent().unwrap(), dir.parent().unwrap(), &dir] {
        private_directory(made);
    }
    assert!(planted::login(&cli, &dir, "work@example.test"));
    std::fs::write(dir.join(".claude.json"), r#"{"oauthAccount":{"emailAddress":"work@example.test"}}"#)
        .unwrap();
    let store = store(home).await;
    store.save_login(planted::row(&bundle, "claude", LoginCredential::Directory(dir.clone()))).await.unwrap();
    store.close().await;
    dir
}

fn claude(home: &Home, bundle: &str) -> PathBuf {
    home.dir("data/identities").join(bundle).join("claude")
}

fn write(path: &Path, text: &str) {
    let mut dirs: Vec<&Path> = path.parent().unwrap().ancestors().take_while(|dir| !dir.exists()).collect();
    dirs.reverse();
    dirs.into_iter().for_each(private_directory);
    std::fs::write(path, text).unwrap();
}

fn setup(home: &Home) {
    let own = |path: &str, text: &str| write(&home.dir("home").join(path), text);
    own(".claude/CLAUDE.md", "Be brief.");
    own(".claude/skills/foo/SKILL.md", "---\nname: foo\ndescription: d\n---\n");
    own(
        ".claude/settings.json",
        r#"{"model":"opus","apiKeyHelper":"/bin/planted-helper","env":{"ANTHROPIC_API_KEY":"planted"}}"#,
    );
    let servers = json!({"fs": {"command": "npx"}, "key": {"command": "npx", "env": {"API_KEY": "planted-server-key"}}});
    own(
        ".claude.json",
        &json!({"oauthAccount": {"emailAddress": "me@example.test"}, "mcpServers": servers}).to_string(),
    );
}

/// Returns every file of the user's with its content and mode.
fn persons(home: &Home) -> BTreeMap<PathBuf, (Vec<u8>, u32)> {
    let files = files_below(&home.dir("home")).into_iter();
    files
        .map(|path| {
            let mode = std::fs::metadata(&path).unwrap().permissions().mode();
            (path.clone(), (std::fs::read(path).unwrap(), mode))
        })
        .collect()
}

pub(crate) async fn launch(daemon: &Daemon, bundle: &str) -> Value {
    daemon.call("launch.resolve", json!({"bundleId": bundle, "explain": true})).await
}

fn json_of(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn item<'a>(home: &'a Value, path: &str) -> &'a Value {
    home["items"].as_array().unwrap().iter().find(|item| item["path"] == path).unwrap_or(&Value::Null)
}

#[tokio::test(flavor = "multi_thread")]
async fn launch_furnishes_the_home_of_a_new_bundle_and_reads_no_credential() {
    let daemon = home(&["work"]).await.start();
    let before = persons(&daemon.home);
    let dir = claude(&daemon.home, "work");
    daemon.call("launch.resolve", json!({"bundleId": "work", "dryRun": true})).await;
    daemon.call("launch.ready", json!({"bundleId": "work"})).await;
    assert!(!dir.join("CLAUDE.md").exists(), "a question changes nothing");
    let launched = launch(&daemon, "work").await;
    let share = &launched["shares"][0];
    assert_eq!((&share["providerId"], &share["path"]), (&json!("claude"), &json!(dir)), "{launched}");
    assert_eq!(item(share, "CLAUDE.md")["state"], "linked");
    assert_eq!(item(share, "settings.json")["state"], "copied");
    assert_eq!(item(share, ".claude.json")["members"], json!(["fs"]));
    assert_eq!(json_of(&dir.join("settings.json")), json!({"model": "opus"}));
    assert_eq!(std::fs::read_to_string(dir.join("CLAUDE.md")).unwrap(), "Be brief.");
    let state = json_of(&dir.join(".claude.json"));
    assert_eq!(state["oauthAccount"]["emailAddress"], "work@example.test");
    assert_eq!(state["mcpServers"], json!({"fs": {"command": "npx"}}));
    for path in files_below(&daemon.home.dir("data")) {
        let bytes = std::fs::read(&path).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        for planted in ["planted-helper", "planted-server-key"] {
            assert!(!text.contains(planted), "{planted} in {}", path.display());
        }
    }
    assert!(!daemon.log().contains("planted-server-key"));
    assert_eq!(persons(&daemon.home), before);
    assert_eq!(launch(&daemon, "work").await["shares"][0]["changes"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn share_is_turned_off_and_on_over_the_wire() {
    let daemon = home(&["work", "other"]).await.start();
    let client = daemon.client().await;
    let mut events = client.subscribe(["identitybundles:changed"]).await.unwrap();
    let dir = claude(&daemon.home, "work");
    let shown = daemon.call("share.get", json!({"bundleId": "work"})).await;
    assert_eq!((&shown["share"], &shown["history"]), (&json!("mine"), &json!(false)), "{shown}");
    assert_eq!(shown["homes"][0]["changes"], 4);
    assert!(!dir.join("CLAUDE.md").exists());
    launch(&daemon, "work").await;
    let off = daemon.call("share.set", json!({"bundleId": "work", "share": "nothing"})).await;
    event(&mut events, "identitybundles:changed").await;
    assert_eq!((&off["share"], &off["homes"][0]["items"]), (&json!("nothing"), &json!([])), "{off}");
    assert!(!dir.join("CLAUDE.md").is_symlink() && !dir.join("settings.json").exists());
    assert_eq!(launch(&daemon, "work").await["shares"][0]["items"], json!([]));
    // The homes of another bundle are the source, and are furnished before.
    let from = daemon.call("share.set", json!({"bundleId": "work", "share": "other"})).await;
    assert_eq!(item(&from["homes"][0], "settings.json")["state"], "copied", "{from}");
    assert_eq!(from["homes"][0]["source"], json!(claude(&daemon.home, "other")));
    let target = std::fs::read_link(dir.join("CLAUDE.md")).unwrap();
    assert!(target.ends_with("home/.claude/CLAUDE.md"), "{}", target.display());
    // The other bundle is deleted: nothing is left of its setup, and the launch works.
    daemon.call("bundle.delete", json!({"bundleId": "other"})).await;
    assert_eq!(launch(&daemon, "work").await["shares"][0]["items"], json!([]));
    assert!(!dir.join("CLAUDE.md").is_symlink());
}

/// The account of one bundle is bound in another one as well. Its home keeps the setup of the bundle that it belongs to,
/// whichever is launched, and that of the other one when the first is gone.
#[tokio::test(flavor = "multi_thread")]
async fn home_of_a_shared_account_has_the_setup_of_its_own_bundle() {
    let daemon = home(&["work"]).await.start();
    let dir = claude(&daemon.home, "work");
    let other = daemon.call("bundle.create", json!({"name": "other"})).await["id"].clone();
    let id = other.as_str().unwrap();
    daemon.call("share.set", json!({"bundleId": id, "share": "nothing"})).await;
    let account = daemon.call("account.list", json!({"bundleId": "work"})).await["accounts"][0]["id"].clone();
    daemon.call("bundle.bind", json!({"bundleId": id, "accountId": account})).await;
    for bundle in ["work", id, "work", id] {
        launch(&daemon, bundle).await;
        assert!(dir.join("CLAUDE.md").is_symlink(), "{bundle}");
    }
    daemon.call("bundle.delete", json!({"bundleId": "work"})).await;
    assert_eq!(launch(&daemon, id).await["shares"][0]["items"], json!([]));
    assert!(!dir.join("CLAUDE.md").is_symlink() && dir.join(".credentials.json").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn share_is_refused_when_its_source_is_unknown_or_leads_back() {
    let daemon = home(&["work", "other"]).await.start();
    let set = async |bundle: &str, share: &str| {
        let params = json!({"bundleId": bundle, "share": share});
        daemon.refused("share.set", params).await.1["kind"].as_str().unwrap().to_owned()
    };
    assert_eq!(set("work", "work").await, "conflict");
    assert_eq!(set("work", "gone").await, "not_found");
    assert_eq!(set("gone", "mine").await, "not_found");
    assert_eq!(set("blank", "mine").await, "invalid_input");
    assert_eq!(set("work", "../x").await, "invalid_input");
    assert_eq!(set("work", "").await, "invalid_input");
    daemon.call("share.set", json!({"bundleId": "other", "share": "work"})).await;
    assert_eq!(set("work", "other").await, "conflict");
}

#[tokio::test(flavor = "multi_thread")]
async fn share_command_shows_turns_on_and_turns_off() {
    let daemon = home(&["work"]).await.start();
    let run = |args: &[&str]| {
        let output = daemon.home.run(args);
        let text = String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned();
        (output.status.code(), text)
    };
    let (code, shown) = run(&["share", "--bundle", "work"]);
    assert_eq!(code, Some(0), "{shown}");
    for part in
        ["shares your own setup", "CLAUDE.md", "linked", "settings.json", "apiKeyHelper", "the next launch"]
    {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert!(!shown.contains("planted"), "{shown}");
    let exec = ["exec", "--bundle", "work", "--", "/bin/sh", "-c", "cat \"$CLAUDE_CONFIG_DIR/CLAUDE.md\""];
    assert_eq!(run(&exec), (Some(0), "Be brief.".to_owned()));
    let (code, off) = run(&["share", "off", "--bundle", "work"]);
    assert!(code == Some(0) && off.contains("shares nothing"), "{off}");
    assert_ne!(run(&exec).0, Some(0));
    let (code, on) = run(&["share", "on", "--bundle", "work", "--json"]);
    assert_eq!(code, Some(0), "{on}");
    assert_eq!(serde_json::from_str::<Value>(&on).unwrap()["share"], "mine");
    assert_eq!(run(&exec).0, Some(0));
    assert_eq!(run(&["share", "off", "--from", "work"]).0, Some(64));
    let (code, said) = run(&["share", "on", "--bundle", "work", "--from", "gone"]);
    assert!(code == Some(1) && said.contains("gone"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn persons_files_are_unchanged_after_many_launches_of_two_bundles() {
    let daemon = home(&["one", "two"]).await.start();
    let before = persons(&daemon.home);
    let clients = [daemon.client().await, daemon.client().await];
    let ask = async |client: &rpc_engine::Client, bundle: &str| {
        for _ in 0..50 {
            let params = json!({"bundleId": bundle, "explain": true});
            let launched = client.call_raw("launch.resolve", &params).await.unwrap();
            assert_eq!(launched["shares"][0]["problem"], Value::Null, "{launched}");
        }
    };
    tokio::join!(ask(&clients[0], "one"), ask(&clients[1], "two"), ask(&clients[0], "two"));
    assert_eq!(persons(&daemon.home), before);
    for bundle in ["one", "two"] {
        let dir = claude(&daemon.home, bundle);
        assert_eq!(json_of(&dir.join("settings.json")), json!({"model": "opus"}));
        assert_eq!(json_of(&dir.join(".claude.json"))["mcpServers"], json!({"fs": {"command": "npx"}}));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn launch_works_when_the_shared_files_turn_into_something_else() {
    let daemon = home(&["work"]).await.start();
    let own = daemon.home.dir("home/.claude");
    let dir = claude(&daemon.home, "work");
    launch(&daemon, "work").await;
    std::fs::remove_dir_all(own.join("skills")).unwrap();
    std::fs::write(own.join("skills"), "a file now").unwrap();
    std::fs::remove_file(own.join("CLAUDE.md")).unwrap();
    std::fs::remove_file(own.join("settings.json")).unwrap();
    assert!(Command::new("mkfifo").arg(own.join("settings.json")).status().unwrap().success());
    let launched = launch(&daemon, "work").await;
    let share = &launched["shares"][0];
    assert_eq!(item(share, "skills")["reason"], "it is not a directory", "{share}");
    assert_eq!(item(share, "settings.json")["reason"], "it is not a regular file", "{share}");
    assert_eq!(item(share, "CLAUDE.md"), &Value::Null);
    assert!(!dir.join("skills").is_symlink() && !dir.join("CLAUDE.md").is_symlink());
    assert!(dir.join("settings.json").exists(), "a copy stays as long as its source cannot be read");
    let doctor = daemon.home.run(&["doctor", "--json"]);
    let findings: Value = serde_json::from_slice(&doctor.stdout).unwrap();
    assert!(findings.to_string().contains("share.left-out"), "{findings}");
}

#[tokio::test(flavor = "multi_thread")]
async fn deletion_of_a_bundle_removes_links_and_keeps_what_they_lead_to() {
    let daemon = home(&["work"]).await.start();
    write(&daemon.home.dir("home/.claude/projects/p/1.jsonl"), "{}");
    let before = persons(&daemon.home);
    daemon.call("share.set", json!({"bundleId": "work", "share": "mine", "history": true})).await;
    let dir = claude(&daemon.home, "work");
    assert!(dir.join("projects/p/1.jsonl").exists() && dir.join("skills/foo/SKILL.md").exists());
    daemon.call("bundle.delete", json!({"bundleId": "work", "keepHistory": true})).await;
    assert!(!dir.exists(), "{:?}", files_below(&daemon.home.dir("data/identities")));
    assert_eq!(persons(&daemon.home), before);
}

/// The file system of the identities is full. The launch works with what there is, and nothing is lost.
#[cfg(target_os = "linux")]
#[test]
fn launch_loses_nothing_when_the_disk_is_full() {
    inside(async |_vendors| {
        let home = Home::new();
        private_directory(&home.dir("data/identities"));
        let mount = |options: &str| {
            let mut mount = Command::new("mount");
            mount.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(home.dir("data/identities"));
            assert!(mount.status().unwrap().success(), "{options}");
        };
        mount("size=1m,mode=0700");
        let dir = plant(&home, "work").await;
        let daemon = home.start();
        // A launch makes the homes of every CLI.
        launch(&daemon, "work").await;
        setup(&daemon.home);
        let fill = dir.join("fill");
        let mut writer = std::fs::File::create(&fill).unwrap();
        let block = [0_u8; 512];
        while std::io::Write::write_all(&mut writer, &block).is_ok() {}
        // An open file would keep its space after it is removed.
        drop(writer);
        let before = (persons(&daemon.home), std::fs::read(dir.join(".claude.json")).unwrap());
        let launched = launch(&daemon, "work").await;
        assert!(
            launched["shares"][0]["problem"].as_str().unwrap().contains("cannot be written"),
            "{launched}"
        );
        assert_eq!((persons(&daemon.home), std::fs::read(dir.join(".claude.json")).unwrap()), before);
        let mut names: Vec<_> =
            std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, [".claude.json", ".credentials.json", "fill"]);
        std::fs::remove_file(&fill).unwrap();
        let launched = launch(&daemon, "work").await;
        assert_eq!(launched["shares"][0]["problem"], Value::Null, "{launched}");
        assert!(dir.join("CLAUDE.md").exists());
    });
}
