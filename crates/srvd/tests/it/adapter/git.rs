//! The token of the active forge for git, for scripts and for the forge's own programs.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::json;

use super::daemon;
use crate::forge::standin::Standin;
use crate::support::Daemon;

/// Makes the repository `ada/tool.git` with one commit, as a server of plain files needs it.
fn repository(dir: &Path) {
    let script = "set -e; git init -q -b main work; cd work; echo hello > README; git add README; \
        git -c user.name=a -c user.email=a@x commit -q -m first; cd ..; mkdir ada; \
        git clone -q --bare work ada/tool.git; git -C ada/tool.git update-server-info";
    let made = Command::new("/bin/sh").args(["-c", script]).current_dir(dir).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// Clones the repository in a directory, with srvd as git's only helper.
fn clone(daemon: &Daemon, forge: &Standin, dir: &Path, to: &str, bundle: Option<&str>) -> Output {
    let own = daemon.home.command(&[]);
    let mut git = Command::new("git");
    git.env_clear().envs(own.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let helper = format!("credential.helper=!'{}' git-credential", env!("CARGO_BIN_EXE_srvd"));
    git.args(["-c", "credential.helper=", "-c", &helper, "clone", "-q"])
        .arg(format!("{}/ada/tool.git", forge.url))
        .arg(to)
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .current_dir(dir);
    if let Some(bundle) = bundle {
        git.env("SRVD_BUNDLE", bundle);
    }
    git.output().unwrap()
}

/// Makes a directory of this user's, and binds it to a bundle unless `bundle` is `None`.
fn directory(daemon: &Daemon, name: &str, bundle: Option<&str>) -> PathBuf {
    let dir = daemon.home.dir("home").join(name);
    std::fs::create_dir(&dir).unwrap();
    if let Some(bundle) = bundle {
        let bound = daemon.home.command(&["use", bundle]).current_dir(&dir).output().unwrap();
        assert!(bound.status.success(), "{}", String::from_utf8_lossy(&bound.stderr));
    }
    dir
}

#[tokio::test(flavor = "multi_thread")]
async fn git_clones_a_private_repository_only_where_a_bundle_says_so() {
    for kind in ["github", "gitlab", "forgejo"] {
        let forge = Standin::start(kind).await;
        let server = tempfile::tempdir().unwrap();
        repository(server.path());
        forge.repositories(server.path());
        let daemon = daemon(kind, &forge, "").await;
        let bundle = daemon.call("bundle.create", json!({"name": "Work"})).await["id"].clone();
        let (bound, free) = (directory(&daemon, "bound", Some("Work")), directory(&daemon, "free", None));
        let good = clone(&daemon, &forge, &bound, "one", None);
        assert!(good.status.success(), "{kind}: {}", String::from_utf8_lossy(&good.stderr));
        assert_eq!(std::fs::read_to_string(bound.join("one/README")).unwrap(), "hello\n");
        let none = clone(&daemon, &forge, &free, "one", None);
        assert!(!none.status.success() && !free.join("one").exists(), "{kind}");
        let launched = clone(&daemon, &forge, &free, "two", bundle.as_str());
        assert!(launched.status.success(), "{kind}: {}", String::from_utf8_lossy(&launched.stderr));
        // A server that rejects the token makes git erase it. It is refreshed once, and nothing is deleted.
        forge.expire();
        assert!(!clone(&daemon, &forge, &bound, "three", None).status.success(), "{kind}");
        assert_eq!(forge.exchanges(), 1, "{kind}");
        let again = clone(&daemon, &forge, &bound, "three", None);
        assert!(again.status.success(), "{kind}: {}", String::from_utf8_lossy(&again.stderr));
        assert_eq!(forge.exchanges(), 1, "{kind}");
        let listed = daemon.call("operator.list", json!({})).await;
        assert_eq!(
            (&listed["tokens"][0]["state"], &listed["tokens"][0]["active"]),
            (&json!("active"), &json!(true))
        );
        let (_, home) = daemon.stop();
        let rows = crate::audit::rows(&home);
        let given = rows.iter().filter(|row| row["action"] == "forge.credential" && row["outcome"] == "ok");
        assert!(given.count() >= 4, "{kind}: {rows:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn helper_is_silent_about_other_places_and_stores_nothing() {
    let forge = Standin::start("gitea").await;
    let daemon = daemon("gitea", &forge, "").await;
    daemon.call("bundle.create", json!({"name": "Work"})).await;
    let dir = directory(&daemon, "bound", Some("Work"));
    let token = forge.tokens().into_iter().next().unwrap();
    let host = forge.url.strip_prefix("http://").unwrap().split('/').next().unwrap().to_owned();
    let ask = |operation: &str, question: &str| {
        let script = format!("printf '{question}' | \"$@\"");
        let asked =
            daemon.home.shell(&script, &["git-credential", operation]).current_dir(&dir).output().unwrap();
        assert!(asked.status.success(), "{}", String::from_utf8_lossy(&asked.stderr));
        String::from_utf8(asked.stdout).unwrap()
    };
    let answer = ask("get", &format!("protocol=http\\nhost={host}\\npath=code/o/r.git\\n\\n"));
    let lines: Vec<&str> = answer.lines().collect();
    assert_eq!((lines[0], lines[1]), ("username=oauth2", format!("password={token}").as_str()));
    let expiry: i64 = lines[2].strip_prefix("password_expiry_utc=").unwrap().parse().unwrap();
    assert!(expiry * 1000 > crate::support::now(), "{answer}");
    for question in [
        format!("protocol=https\\nhost={host}\\n"),
        "protocol=http\\nhost=127.0.0.1:1\\n".to_owned(),
        "protocol=https\\nhost=github.com\\n".to_owned(),
        format!("protocol=http\\nhost={host}\\npath=other/o/r.git\\n"),
        format!("protocol=http\\nhost={host}\\nusername=bob\\n"),
        "host=x\\n".to_owned(),
    ] {
        assert_eq!(ask("get", &question), "", "{question}");
    }
    let known = format!("protocol=http\\nhost={host}\\nusername=oauth2\\npassword={token}\\n");
    assert_eq!(ask("store", &known), "");
    assert_eq!(ask("capability", &known), "");
    // Another password than the token in use is old news.
    assert_eq!(ask("erase", &known.replace(&token, "planted-old")), "");
    assert_eq!(forge.exchanges(), 0);
    assert_eq!(ask("erase", &known), "");
    assert_eq!(ask("erase", &known), "");
    assert_eq!(forge.exchanges(), 1, "the same token is reported once");
}

#[tokio::test(flavor = "multi_thread")]
async fn token_is_printed_for_scripts_and_set_for_programs_of_the_forge() {
    let forge = Standin::start("gitlab").await;
    let daemon = daemon("gitlab", &forge, "").await;
    daemon.call("bundle.create", json!({"name": "Work"})).await;
    let token = forge.tokens().into_iter().next().unwrap();
    let refused = daemon.home.run(&["operator", "token"]);
    assert_eq!(
        (refused.status.code(), refused.stdout.len()),
        (Some(64), 0),
        "there is no terminal to ask on"
    );
    let printed = daemon.home.run(&["operator", "token", "--yes"]);
    assert_eq!(String::from_utf8(printed.stdout).unwrap(), format!("{token}\n"));
    let exec = |args: &[&str]| {
        let run = daemon
            .home
            .command(&[&["exec", "--bundle", "Work"], args, &["--", "/usr/bin/env"]].concat())
            .env("GITLAB_TOKEN", "outer")
            .output()
            .unwrap();
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
        String::from_utf8(run.stdout).unwrap()
    };
    let with = exec(&["--forge"]);
    assert!(with.contains(&format!("\nGITLAB_TOKEN={token}\n")), "{with}");
    assert!(with.contains(&format!("\nGITLAB_HOST={}\n", forge.url)), "{with}");
    // The token is served on the socket only.
    let (address, bearer) = daemon.tcp();
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"forge.credential","params":{}}"#;
    let request = format!(
        "POST /rpc HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {bearer}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = std::net::TcpStream::connect(&address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("not_allowed") && !answer.contains(&token), "{answer}");
    let (_, home) = daemon.stop();
    let rows = crate::audit::rows(&home);
    assert!(
        rows.iter().any(|row| row["action"] == "forge.credential" && row["subject"] == "program"),
        "{rows:?}"
    );
    assert!(!std::fs::read_to_string(home.dir("log")).unwrap().contains(&token), "the log holds the token");
}
