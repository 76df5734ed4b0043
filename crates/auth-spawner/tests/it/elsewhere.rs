//! Logins whose file shows that the token is in the system keyring.

use std::path::Path;

use auth_spawner::{Cli, Host, Overlay, Proof, Provider, Reach, Registry};

use crate::harness::NOW;

fn provider(id: &str) -> Provider {
    (**Registry::builtin().unwrap().provider(id).unwrap()).clone()
}

fn proof(cli: &Cli, path: &str, text: &str) -> Proof {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(path), text).unwrap();
    cli.prove(dir.path(), Reach::Bundle).at(NOW)
}

fn reason(proof: &Proof) -> Option<&str> {
    match proof {
        Proof::InKeyring { reason, .. } => Some(reason),
        _ => None,
    }
}

const KEYRING: &str = "HOST:\n    git_protocol: https\n    users:\n        octo:\n    user: octo\n";
const USER_SLOT: &str = "HOST:\n    users:\n        octo:\n            oauth_token: gho_x\n    user: octo\n";
const PLAIN: &str = "HOST:\n    users:\n        octo:\n            oauth_token: gho_x\n    user: octo\n    oauth_token: gho_x\n";
const LOGGED_OUT: &str = "HOST:\n    git_protocol: https\n";

#[test]
fn gh_login_is_in_the_keyring_when_its_file_names_a_user_but_no_token() {
    let github = provider("github");
    for host in ["github.com", "ghe.corp.example"] {
        let there = github.at_host(&host.parse::<Host>().unwrap()).unwrap();
        let look = |text: &str| proof(there.cli.as_ref().unwrap(), "hosts.yml", &text.replace("HOST", host));
        let text = "gh stored the token in your keyring, where srvd does not look";
        assert_eq!(reason(&look(KEYRING)), Some(text), "{host}");
        // gh reads the host's token from this file, but the user's token only from the keyring.
        assert_eq!(reason(&look(USER_SLOT)), Some(text), "{host}");
        assert!(matches!(look(PLAIN), Proof::LoggedIn(_)), "{host}");
        assert!(matches!(look(LOGGED_OUT), Proof::Incomplete { .. }), "{host}");
        assert!(matches!(look("no: [yaml"), Proof::Unreadable { .. }), "{host}");
        let other = PLAIN.replace("HOST", "other.example");
        assert!(matches!(look(&other), Proof::Incomplete { .. }), "{host}");
    }
}

#[test]
fn codex_login_is_in_the_keyring_when_its_configuration_says_so() {
    let codex = provider("codex");
    let cli = codex.cli.as_ref().unwrap();
    let look = |text: &str| proof(cli, "config.toml", text);
    for store in ["keyring", "auto"] {
        let found =
            look(&format!("model = 'x'\ncli_auth_credentials_store = \"{store}\"\n[tui]\ntheme = 'y'\n"));
        assert!(reason(&found).is_some_and(|reason| reason.contains("keyring")), "{found:?}");
    }
    let texts = [
        "cli_auth_credentials_store = \"file\"",
        "",
        "broken = [",
        "[tui]\ncli_auth_credentials_store = \"keyring\"",
    ];
    for text in texts {
        assert_eq!(look(text), Proof::Absent, "{text}");
    }
}

#[test]
fn keyring_mark_counts_only_when_no_file_proves_a_login() {
    let codex = provider("codex");
    let cli = codex.cli.as_ref().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| std::fs::write(dir.path().join(path), text).unwrap();
    write("config.toml", "cli_auth_credentials_store = \"auto\"");
    write("auth.json", r#"{"tokens": {"id_token": "a.e30.c", "access_token": "a.e30.c"}}"#);
    let look = |dir: &Path| cli.prove(dir, Reach::Variable);
    assert!(matches!(look(dir.path()), Proof::LoggedIn(_)), "{:?}", look(dir.path()));
    write("auth.json", "{");
    assert!(matches!(look(dir.path()), Proof::Unreadable { .. }));
}

#[test]
fn keyring_mark_is_rejected_when_it_would_match_anything() {
    let check = |mark: &str, expected: &str| {
        let text = format!("[[providers.codex.cli.elsewhere]]\n{mark}");
        let overlay = Overlay { source: "own.toml".to_owned(), text };
        let error = Registry::with_overlays(&[overlay]).unwrap_err().to_string();
        assert!(error.contains("cli.elsewhere.0") && error.contains(expected), "{error}");
    };
    let rest = "reason = 'r'\nhint = 'h'";
    check(&format!("path = '../x'\nwhen = {{ '/a' = [] }}\n{rest}"), "..");
    check(&format!("path = 'x'\nwhen = {{}}\n{rest}"), "at least one pointer");
    check(&format!("path = 'x'\nwhen = {{ 'a' = [] }}\n{rest}"), "JSON pointers");
    check(&format!("path = 'x'\nformat = 'sqlite'\nwhen = {{ '/a' = [] }}\n{rest}"), "database");
    check("path = 'x'\nwhen = { '/a' = [] }\nreason = 'r'\nhint = ' '", "must not be empty");
}
