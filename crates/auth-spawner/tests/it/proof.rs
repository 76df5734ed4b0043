//! What a credential file proves.

use std::os::unix::fs::symlink;
use std::path::Path;

use auth_spawner::{Credential, Fingerprint, Proof, Registry, fingerprint, prove};
use base64::Engine;
use serde_json::{Value, json};

use crate::harness::NOW;

fn jwt(claims: &Value) -> String {
    let encode = |text: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
    format!("{}.{}.c2ln", encode(r#"{"alg":"none"}"#), encode(&claims.to_string()))
}

fn look(provider: &str, files: &[(&str, String)]) -> Proof {
    let registry = Registry::builtin().unwrap();
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = dir.path().join(path);
        std::fs::DirBuilder::new().recursive(true).create(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    prove(registry.provider(provider).unwrap().cli.as_ref().unwrap(), dir.path())
}

#[test]
fn real_shapes_of_each_cli() {
    let codex = json!({"auth_mode": "chatgpt", "OPENAI_API_KEY": null, "tokens": {
        "id_token": jwt(&json!({"email": "fake.user@example.test"})),
        "access_token": jwt(&json!({"exp": 1_796_062_299})),
        "refresh_token": "rt", "account_id": "acct-1111-2222"}});
    let expected = Credential {
        email: Some("fake.user@example.test".into()),
        subject: Some("acct-1111-2222".into()),
        expires_at: Some(1_796_062_299_000),
        login_deadline_at: None,
        refreshable: true,
    };
    assert_eq!(look("codex", &[("auth.json", codex.to_string())]), Proof::LoggedIn(expected));

    let claude = json!({"claudeAiOauth": {"accessToken": "sk-ant-oat01-x", "refreshToken": "sk-ant-ort01-x",
        "expiresAt": 1_795_000_000_001_i64, "refreshTokenExpiresAt": 1_797_000_000_000_i64}});
    let person = json!({"oauthAccount": {"emailAddress": "fake.user@example.test", "accountUuid": "u-u"}});
    let expected = Credential {
        email: Some("fake.user@example.test".into()),
        subject: Some("u-u".into()),
        expires_at: Some(1_795_000_000_001),
        login_deadline_at: Some(1_797_000_000_000),
        refreshable: true,
    };
    let files = [(".credentials.json", claude.to_string()), (".claude.json", person.to_string())];
    assert_eq!(look("claude", &files), Proof::LoggedIn(expected));

    let kimi = json!({"access_token": jwt(&json!({"user_id": "u1"})), "refresh_token": "opaque",
        "expires_at": 1_795_200_596, "token_type": "Bearer"});
    let expected = Credential {
        email: None,
        subject: Some("u1".into()),
        expires_at: Some(1_795_200_596_000),
        login_deadline_at: None,
        refreshable: true,
    };
    let path = "credentials/kimi-code-env-b0325b1d9f4557a4.json";
    assert_eq!(look("kimi-code", &[(path, kimi.to_string())]), Proof::LoggedIn(expected));
}

#[test]
fn everything_less_is_no_login() {
    let check = |provider: &str, file: &str, text: &str, expected: Proof| {
        assert_eq!(look(provider, &[(file, text.to_owned())]).at(NOW), expected, "{text}");
    };
    let incomplete = |reason: &str| Proof::Incomplete { reason: reason.to_owned() };
    let unreadable = |reason: &str| Proof::Unreadable { reason: reason.to_owned() };
    check("codex", "other.json", "{}", Proof::Absent);
    check("codex", "auth.json", "{}", incomplete("/tokens/id_token is missing"));
    check("codex", "auth.json", "", unreadable("not JSON at line 1"));
    check("codex", "auth.json", "secret garbage", unreadable("not JSON at line 1"));
    let broken = r#"{"tokens":{"id_token":"x","access_token":"no token"}}"#;
    check("codex", "auth.json", broken, incomplete("/tokens/access_token is not a time"));
    check("claude", ".credentials.json", r#"{"claudeAiOauth":{"accessToken":""}}"#, {
        incomplete("/claudeAiOauth/accessToken is missing")
    });
    let expired = r#"{"claudeAiOauth":{"accessToken":"a","refreshToken":null,"expiresAt":1}}"#;
    check("claude", ".credentials.json", expired, incomplete("expired"));
    let large = format!(r#"{{"x":"{}"}}"#, "y".repeat(1024 * 1024));
    check("codex", "auth.json", &large, unreadable("it is larger than 1 MiB"));
}

#[test]
fn an_end_counts_only_when_nothing_can_renew_it() {
    let login = |expires_at, login_deadline_at, refreshable| {
        Proof::LoggedIn(Credential { expires_at, login_deadline_at, refreshable, ..Credential::default() })
    };
    let expired = Proof::Incomplete { reason: "expired".to_owned() };
    let check = |proof: Proof, good: bool| {
        let expected = if good { proof.clone() } else { expired.clone() };
        assert_eq!(proof.at(1000), expected);
    };
    check(login(None, None, false), true);
    check(login(Some(1001), None, false), true);
    check(login(Some(1000), None, false), false);
    check(login(Some(1), None, true), true);
    check(login(Some(1), Some(1001), true), true);
    check(login(Some(1), Some(1000), true), false);
    check(login(Some(1001), Some(1), true), true);
}

#[test]
fn nothing_but_a_regular_file_is_read() {
    let registry = Registry::builtin().unwrap();
    let cli = registry.provider("codex").unwrap().cli.as_ref().unwrap();
    let kimi = registry.provider("kimi-code").unwrap().cli.as_ref().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("kimi-code.json"), r#"{"access_token":"x"}"#).unwrap();
    let place = dir.path().join("auth.json");
    let reason = |dir: &Path| match prove(cli, dir) {
        Proof::Unreadable { reason } => reason,
        other => panic!("{other:?}"),
    };
    symlink(outside.path().join("kimi-code.json"), &place).unwrap();
    assert_eq!(reason(dir.path()), "it is a symbolic link");
    std::fs::remove_file(&place).unwrap();
    std::fs::create_dir(&place).unwrap();
    assert_eq!(reason(dir.path()), "it is not a regular file");
    std::fs::remove_dir(&place).unwrap();
    let made = std::process::Command::new("mkfifo").arg(&place).status().unwrap();
    assert!(made.success());
    assert_eq!(reason(dir.path()), "it is not a regular file");
    symlink(outside.path(), dir.path().join("credentials")).unwrap();
    assert_eq!(prove(kimi, dir.path()), Proof::Absent);
}

#[test]
fn a_fingerprint_changes_with_the_file() {
    let registry = Registry::builtin().unwrap();
    let cli = registry.provider("kimi-code").unwrap().cli.as_ref().unwrap();
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("credentials")).unwrap();
    let take = || fingerprint(cli, dir.path());
    assert_eq!(take(), Fingerprint::default());
    let file = dir.path().join("credentials/kimi-code.json");
    std::fs::write(&file, "{}").unwrap();
    let first = take();
    assert_ne!(first, Fingerprint::default());
    std::fs::write(&file, "{}").unwrap();
    assert_eq!(take(), first, "written again with the same contents");
    std::fs::write(&file, "[]").unwrap();
    assert_ne!(take(), first);
}
