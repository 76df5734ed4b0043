//! `srvd operator` on the command line.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::Stdio;

use serde_json::Value;

use super::{approved, browse, daemon, named};
use crate::forge::standin::Standin;

#[tokio::test(flavor = "multi_thread")]
async fn operator_commands_sign_in_list_choose_and_forget_accounts() {
    let (hub, git) = (Standin::start("github").await, Standin::start("forgejo").await);
    let daemon = daemon(&[("hub", "github", &hub.url), ("git", "forgejo", &git.url)]);
    let run = |args: &[&str]| {
        let output = daemon.home.run(&[&["operator"], args].concat());
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    };
    let (code, stdout, stderr) = run(&["list"]);
    assert_eq!((code, stdout.as_str()), (0, ""));
    assert_eq!(stderr, "No accounts. Sign in with: srvd operator login NAME   (forges: git, hub)\n");
    for (name, url) in [("hub", &hub.url), ("git", &git.url)] {
        let mut login = daemon
            .home
            .command(&["operator", "login", name])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(login.stderr.take().unwrap()).lines();
        assert_eq!(lines.next().unwrap().unwrap(), "Open this address on this machine to sign in:");
        let callback = approved(&lines.next().unwrap().unwrap()).await;
        assert_eq!(browse(&daemon, &callback, None).0, 200);
        let mut said = String::new();
        login.stdout.take().unwrap().read_to_string(&mut said).unwrap();
        assert!(login.wait().unwrap().success());
        assert!(
            said.starts_with(&format!("Signed in to {url} as ada, which is now in use (account ")),
            "{said}"
        );
    }
    let (_, stdout, _) = run(&["list", "--json"]);
    let list: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(named(&list, "forgejo")["active"], true);
    let id = named(&list, "github")["accountId"].as_str().unwrap();
    assert_eq!(run(&["use", "ada"]).0, 1, "there are two of that name");
    assert_eq!(run(&["use", id]).1, format!("In use: ada at {} (github)\n", hub.url));
    assert_eq!(run(&["forget", id]).0, 64, "there is no terminal to ask on");
    let (code, stdout, stderr) = run(&["forget", id, "--yes"]);
    assert_eq!((code, stdout), (0, format!("Forgot ada at {}\n", hub.url)));
    assert_eq!(stderr, "No account is in use now. Choose one with: srvd operator use ACCOUNT\n");
    assert_eq!(run(&["use", "ada"]).1, format!("In use: ada at {} (forgejo)\n", git.url));
    let (code, _, stderr) = run(&["login", "git", "--device"]);
    assert_eq!(code, 1);
    assert!(stderr.contains("this forge does not support the device flow"), "{stderr}");
    assert!(run(&["login", "nowhere"]).2.contains("no forge is called nowhere"));
}
