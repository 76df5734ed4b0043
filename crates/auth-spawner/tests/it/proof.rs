//! Tests of the proof that a credential file provides.

use std::os::unix::fs::symlink;
use std::path::Path;

use auth_spawner::{Cli, Credential, Fingerprint, Overlay, Proof, Registry, fingerprint, prove, prove_own};
use base64::Engine;
use serde_json::{Value, json};

use crate::harness::NOW;

/// The error for a symbolic link in a bundle's directory.
pub(crate) const LINK: &str =
    "is a symbolic link through which the CLI would overwrite another login; remove it and log in again";

pub(crate) fn jwt(claims: &Value) -> String {
    let encode = |text: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
    format!("{}.{}.c2ln", encode(r#"{"alg":"none"}"#), encode(&claims.to_string()))
}

/// Returns the CLI of a built-in provider, or of a provider whose login has the structure of a real CLI's login.
pub(crate) fn cli(provider: &str) -> Cli {
    let text = include_str!("../fixtures/shapes.toml").to_owned();
    let registry = Registry::with_overlays(&[Overlay { source: "shapes.toml".into(), text }]).unwrap();
    registry.provider(provider).unwrap().cli.clone().unwrap()
}

pub(crate) fn write(dir: &Path, path: &str, text: &[u8]) {
    let path = dir.join(path);
    std::fs::DirBuilder::new().recursive(true).create(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

pub(crate) fn look(provider: &str, files: &[(&str, String)]) -> Proof {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in files {
        write(dir.path(), path, text.as_bytes());
    }
    match prove(&cli(provider), dir.path()) {
        // The mark of the token is tested apart. An assumed end depends on the time of the test.
        Proof::LoggedIn(credential) => Proof::LoggedIn(Credential {
            refresh_mark: None,
            expires_at: credential.expires_at.filter(|_| !credential.assumed_end),
            ..credential
        }),
        other => other,
    }
}

/// Claude Code stores its list of projects in the file that names the account.
#[test]
fn account_name_is_found_in_a_large_settings_file() {
    let projects: serde_json::Map<String, Value> = (0..20_000)
        .map(|number| (format!("/projects/{number}"), json!({"history": ["x".repeat(100)]})))
        .collect();
    let before = json!({"projects": projects}).to_string();
    let settings = format!("{},\"oauthAccount\":{{\"emailAddress\":\"a@x\"}}}}", &before[..before.len() - 1]);
    assert!(settings.len() > 2 * 1024 * 1024);
    let login = (".credentials.json", r#"{"claudeAiOauth": {"accessToken": "a"}}"#.to_owned());
    let unnamed = Credential { assumed_end: true, ..Credential::default() };
    let named = Credential { email: Some("a@x".to_owned()), ..unnamed.clone() };
    for (settings, expected) in [
        (settings.clone(), named),
        // A truncated file names no account and does not affect the login.
        (settings[..settings.len() / 2].to_owned(), unnamed),
    ] {
        assert_eq!(look("claude", &[login.clone(), (".claude.json", settings)]), Proof::LoggedIn(expected));
    }
}

#[test]
fn proof_finds_the_users_own_files_where_the_cli_stores_them() {
    let claude = cli("claude");
    let home = tempfile::tempdir().unwrap();
    let person = |email: &str| json!({"oauthAccount": {"emailAddress": email}}).to_string();
    write(home.path(), ".claude/.credentials.json", br#"{"claudeAiOauth": {"accessToken": "a"}}"#);
    write(home.path(), ".claude.json", person("own@x").as_bytes());
    write(home.path(), ".claude/.claude.json", person("bundle@x").as_bytes());
    let dir = claude.config_dir.own(home.path());
    assert_eq!(dir, home.path().join(".claude"));
    let email = |proof: Proof| match proof {
        Proof::LoggedIn(credential) => credential.email,
        other => panic!("{other:?}"),
    };
    assert_eq!(email(prove_own(&claude, &dir)).as_deref(), Some("own@x"));
    assert_eq!(email(prove(&claude, &dir)).as_deref(), Some("bundle@x"));
    // A directory that is not at the user's own path has no home directory above it.
    let elsewhere = home.path().join("elsewhere");
    std::fs::rename(&dir, &elsewhere).unwrap();
    assert_eq!(email(prove_own(&claude, &elsewhere)).as_deref(), Some("bundle@x"));
    // The key of a console login is in a file next to the directory.
    write(home.path(), ".claude.json", br#"{"primaryApiKey": "k", "oauthAccount": {"emailAddress": "c@x"}}"#);
    assert_eq!(email(prove_own(&claude, &dir)).as_deref(), Some("c@x"));
    for (provider, own) in [("gemini", ""), ("opencode", ".local/share"), ("pi", ".pi/agent")] {
        assert_eq!(cli(provider).config_dir.own(home.path()), home.path().join(own), "{provider}");
    }
}

#[test]
fn proof_reads_the_login_files_of_codex_claude_and_kimi() {
    let codex = json!({"auth_mode": "chatgpt", "OPENAI_API_KEY": null, "tokens": {
        "id_token": jwt(&json!({"email": "fake.user@example.test"})),
        "access_token": jwt(&json!({"exp": 1_796_062_299})),
        "refresh_token": "rt", "account_id": "acct-1111-2222"}});
    let expected = Credential {
        email: Some("fake.user@example.test".into()),
        subject: Some("acct-1111-2222".into()),
        expires_at: Some(1_796_062_299_000),
        assumed_end: false,
        login_deadline_at: None,
        refreshable: true,
        issued_at: None,
        refresh_mark: None,
    };
    assert_eq!(look("codex", &[("auth.json", codex.to_string())]), Proof::LoggedIn(expected));

    let claude = json!({"claudeAiOauth": {"accessToken": "sk-ant-oat01-x", "refreshToken": "sk-ant-ort01-x",
        "expiresAt": 1_795_000_000_001_i64, "refreshTokenExpiresAt": 1_797_000_000_000_i64}});
    let person = json!({"oauthAccount": {"emailAddress": "fake.user@example.test", "accountUuid": "u-u"}});
    let expected = Credential {
        email: Some("fake.user@example.test".into()),
        subject: Some("u-u".into()),
        expires_at: Some(1_795_000_000_001),
        assumed_end: false,
        login_deadline_at: Some(1_797_000_000_000),
        refreshable: true,
        issued_at: None,
        refresh_mark: None,
    };
    let files = [(".credentials.json", claude.to_string()), (".claude.json", person.to_string())];
    assert_eq!(look("claude", &files), Proof::LoggedIn(expected));

    let kimi = json!({"access_token": jwt(&json!({"user_id": "u1"})), "refresh_token": "opaque",
        "expires_at": 1_795_200_596, "token_type": "Bearer"});
    let expected = Credential {
        email: None,
        subject: Some("u1".into()),
        expires_at: Some(1_795_200_596_000),
        assumed_end: false,
        login_deadline_at: None,
        refreshable: true,
        issued_at: None,
        refresh_mark: None,
    };
    let path = "credentials/kimi-code-env-b0325b1d9f4557a4.json";
    assert_eq!(look("kimi-code", &[(path, kimi.to_string())]), Proof::LoggedIn(expected));
}

#[test]
fn proof_finds_no_login_when_the_file_is_incomplete_or_unreadable() {
    let check = |provider: &str, file: &str, text: &str, expected: Proof| {
        assert_eq!(look(provider, &[(file, text.to_owned())]).at(NOW), expected, "{text}");
    };
    let incomplete = |reason: &str| Proof::Incomplete { reason: reason.to_owned() };
    let unreadable = |reason: &str| Proof::Unreadable { reason: reason.to_owned() };
    check("codex", "other.json", "{}", Proof::Absent);
    check("codex", "auth.json", "{}", incomplete("auth.json holds no login: the file has no ID token"));
    let no_json = "auth.json cannot be read: not JSON at line 1";
    check("codex", "auth.json", "", unreadable(no_json));
    check("codex", "auth.json", "secret garbage", unreadable(no_json));
    check("claude", ".credentials.json", r#"{"claudeAiOauth":{"accessToken":""}}"#, {
        incomplete(".credentials.json holds no login: the file has no access token")
    });
    let expired = r#"{"claudeAiOauth":{"accessToken":"a","refreshToken":null,"expiresAt":1}}"#;
    check("claude", ".credentials.json", expired, incomplete("it has expired"));
    let large = format!(r#"{{"x":"{}"}}"#, "y".repeat(1024 * 1024));
    check("codex", "auth.json", &large, unreadable("auth.json cannot be read: it is larger than 1 MiB"));
}

#[test]
fn login_expires_only_when_nothing_can_renew_it() {
    let login = |expires_at, login_deadline_at, refreshable| {
        Proof::LoggedIn(Credential { expires_at, login_deadline_at, refreshable, ..Credential::default() })
    };
    let expired = Proof::Incomplete { reason: "it has expired".to_owned() };
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
fn proof_reads_only_regular_files() {
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
    assert_eq!(reason(dir.path()), format!("auth.json {LINK}"));
    std::fs::remove_file(&place).unwrap();
    std::fs::create_dir(&place).unwrap();
    assert_eq!(reason(dir.path()), "auth.json cannot be read: it is not a regular file");
    std::fs::remove_dir(&place).unwrap();
    let made = std::process::Command::new("mkfifo").arg(&place).status().unwrap();
    assert!(made.success());
    assert_eq!(reason(dir.path()), "auth.json cannot be read: it is not a regular file");
    symlink(outside.path(), dir.path().join("credentials")).unwrap();
    let folder = Proof::Unreadable { reason: format!("credentials {LINK}") };
    assert_eq!(prove(kimi, dir.path()), folder);
}

#[test]
fn fingerprint_changes_when_the_file_changes() {
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
    assert_eq!(take(), first, "rewriting the same contents must not change it");
    std::fs::write(&file, "[]").unwrap();
    assert_ne!(take(), first);
}

#[test]
fn proof_finds_each_kind_of_login_of_one_cli() {
    let key = json!({"auth_mode": "apikey", "OPENAI_API_KEY": "sk-test"});
    assert_eq!(
        look("shape-codex", &[("auth.json", key.to_string())]),
        Proof::LoggedIn(Credential::default())
    );
    let neither = json!({"auth_mode": "chatgpt", "OPENAI_API_KEY": null, "tokens": {}});
    let why = Proof::Incomplete { reason: "auth.json holds no login: the file has no ID token".to_owned() };
    assert_eq!(
        look("shape-codex", &[("auth.json", neither.to_string())]),
        why,
        "the reason must come from the first existing file"
    );

    let person = json!({"oauthAccount": {"emailAddress": "ada@example.test", "accountUuid": "u-1"},
        "primaryApiKey": "sk-ant-api03-x"});
    let console = Credential {
        email: Some("ada@example.test".into()),
        subject: Some("u-1".into()),
        ..Credential::default()
    };
    let files = [(".credentials.json", "{}".to_owned()), (".claude.json", person.to_string())];
    assert_eq!(look("shape-claude", &files), Proof::LoggedIn(console.clone()));
    let oauth = json!({"claudeAiOauth": {"accessToken": "at", "refreshToken": "rt", "expiresAt": 1_795_000_000_001_i64}});
    let files = [(".credentials.json", oauth.to_string()), (".claude.json", person.to_string())];
    let expected = Credential { expires_at: Some(1_795_000_000_001), refreshable: true, ..console };
    assert_eq!(look("shape-claude", &files), Proof::LoggedIn(expected));
    assert_eq!(
        look("shape-claude", &[(".claude.json", "{}".to_owned())]),
        Proof::Incomplete { reason: ".claude.json holds no login: the file has no API key".to_owned() }
    );
}

#[test]
fn proof_reads_the_login_files_of_the_other_clis() {
    let gemini = json!({"access_token": "ya29.x", "refresh_token": "1//r", "scope": "s", "token_type": "Bearer",
        "id_token": "x", "expiry_date": 1_795_000_000_001_i64});
    let accounts = json!({"active": "ada@example.test", "old": []});
    let files = [
        (".gemini/oauth_creds.json", gemini.to_string()),
        (".gemini/google_accounts.json", accounts.to_string()),
    ];
    assert_eq!(
        look("shape-gemini", &files),
        Proof::LoggedIn(Credential {
            email: Some("ada@example.test".into()),
            expires_at: Some(1_795_000_000_001),
            refreshable: true,
            ..Credential::default()
        })
    );
    assert_eq!(
        look("shape-gemini", &[("oauth_creds.json", gemini.to_string())]),
        Proof::Absent,
        "not in the inner directory"
    );

    let copilot = "// User settings belong in settings.json.\n// This file is managed automatically.\n{\n  \"authTokens\": {\n    \
        \"https://github.com:octo\": {},\n    \"https://github.com:octo:github\": {\"token\": \"gho_x//y\"},\n  },\n  \
        \"lastLoggedInUser\": {\"host\": \"https://github.com\", \"login\": \"octo\"}, /* end */\n}\n";
    assert_eq!(
        look("shape-copilot", &[("config.json", copilot.to_owned())]),
        Proof::LoggedIn(Credential { subject: Some("octo".into()), ..Credential::default() })
    );

    let gh =
        "# written by gh\ngithub.com:\n    user: octo\n    oauth_token: gho_x\n    git_protocol: https\n";
    assert_eq!(
        look("shape-gh", &[("hosts.yml", gh.to_owned())]),
        Proof::LoggedIn(Credential { subject: Some("octo".into()), ..Credential::default() })
    );

    for (written, expires_at) in [("1795200596", 1_795_200_596_000), ("1795200596.25", 1_795_200_596_250)] {
        let kimi = format!(r#"{{"access_token":"a","refresh_token":"r","expires_at":{written}}}"#);
        assert_eq!(
            look("shape-kimi", &[("credentials/kimi-code.json", kimi)]),
            Proof::LoggedIn(Credential {
                expires_at: Some(expires_at),
                refreshable: true,
                ..Credential::default()
            })
        );
    }

    // The first complete member by name counts: `anthropic` is a key, so `github-copilot` is first.
    let opencode = json!({
        "openai": {"type": "oauth", "access": "a2", "refresh": "r2", "expires": 1_795_000_000_002_i64, "accountId": "acct"},
        "anthropic": {"type": "api", "key": "sk-ant"},
        "github-copilot": {"type": "oauth", "access": "a1", "refresh": "r1", "expires": 0}});
    assert_eq!(
        look("shape-opencode", &[("opencode/auth.json", opencode.to_string())]),
        Proof::LoggedIn(Credential { refreshable: true, ..Credential::default() })
    );
    let key = json!({"anthropic": {"type": "api", "key": "sk-ant"}});
    assert_eq!(
        look("shape-opencode", &[("opencode/auth.json", key.to_string())]),
        Proof::LoggedIn(Credential::default())
    );

    let pi = json!({"anthropic": {"type": "oauth", "access": "a", "refresh": "r", "expires": 1_795_000_000_001_i64}});
    assert_eq!(
        look("shape-pi", &[("auth.json", pi.to_string())]),
        Proof::LoggedIn(Credential {
            expires_at: Some(1_795_000_000_001),
            refreshable: true,
            ..Credential::default()
        })
    );

    for url in ["https://ampcode.com/", "http://127.0.0.1:9999/"] {
        let amp = json!({ (format!("apiKey@{url}")): "sgamp_x" });
        assert_eq!(
            look("shape-amp", &[("amp/secrets.json", amp.to_string())]),
            Proof::LoggedIn(Credential::default())
        );
    }
}

/// Malicious and damaged files of every format give a bounded error that names the file.
#[test]
fn proof_gives_the_reason_when_a_file_is_damaged() {
    for (provider, path, empty, garbage) in [
        ("shape-pi", "auth.json", "not JSON at line 1", "not JSON at line 1"),
        (
            "shape-copilot",
            "config.json",
            "not JSON with comments at line 1",
            "not JSON with comments at line 1",
        ),
        ("shape-gh", "hosts.yml", "", "not UTF-8"),
        ("shape-openclaw", "state/openclaw.sqlite", "", "not an SQLite database"),
    ] {
        let cli = cli(provider);
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join(path);
        let check = |what: &str, expect: &str| match (prove(&cli, dir.path()), expect) {
            (Proof::Unreadable { reason }, _) if !expect.is_empty() && reason.ends_with(expect) => {}
            (Proof::Absent | Proof::Incomplete { .. }, "") => {}
            (other, _) => panic!("{provider}: {what}: {other:?}, expected {expect:?}"),
        };
        check("nothing", "");
        write(dir.path(), path, b"");
        check("empty", empty);
        write(dir.path(), path, b"\xff\xfe garbage that could be a secret \x00");
        check("no text", garbage);
        write(dir.path(), path, b"{}");
        check("an empty document", if provider == "shape-openclaw" { garbage } else { "" });
        std::fs::File::create(&place).unwrap().set_len(100 * 1024 * 1024).unwrap();
        let limit = if provider == "shape-openclaw" { 64 } else { 1 };
        check("100 MB", &format!("it is larger than {limit} MiB"));
        std::fs::remove_file(&place).unwrap();
        symlink("/etc/passwd", &place).unwrap();
        check("a link", LINK);
        std::fs::remove_file(&place).unwrap();
        std::fs::create_dir(&place).unwrap();
        check("a directory", "it is not a regular file");
        std::fs::remove_dir(&place).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&place).status().unwrap().success());
        check("a FIFO", "it is not a regular file");
    }
}

#[test]
fn proof_gives_a_short_reason_for_malicious_text() {
    let bomb = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n\
        d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\n\
        g: &g [*f,*f,*f,*f,*f,*f,*f,*f,*f]\nh: [*g,*g,*g,*g,*g,*g,*g,*g,*g]\n";
    let deep = "[".repeat(500_000);
    for (provider, path, text) in [
        ("shape-gh", "hosts.yml", bomb),
        ("shape-gh", "hosts.yml", &deep),
        ("shape-gh", "hosts.yml", "github.com: {oauth_token: sec\u{0}ret"),
        ("shape-pi", "auth.json", &deep),
        ("shape-copilot", "config.json", &deep),
    ] {
        match look(provider, &[(path, text.to_owned())]) {
            Proof::Unreadable { reason } => {
                assert!(reason.contains(" cannot be read: not ") && reason.len() < 90, "{reason}");
            }
            other => panic!("{provider}: {other:?}"),
        }
    }
}

#[test]
fn fingerprint_covers_only_the_tokens_when_there_is_a_login() {
    let cli = cli("shape-claude");
    let dir = tempfile::tempdir().unwrap();
    let take = || fingerprint(&cli, dir.path());
    write(dir.path(), ".claude.json", br#"{"numStartups": 1}"#);
    let before = take();
    write(dir.path(), ".claude.json", br#"{"numStartups": 2}"#);
    assert_ne!(take(), before, "without a login, every change must count");
    write(dir.path(), ".claude.json", br#"{"numStartups": 2, "primaryApiKey": "k1"}"#);
    let first = take();
    write(dir.path(), ".claude.json", br#"{"numStartups": 3, "primaryApiKey": "k1"}"#);
    assert_eq!(take(), first, "a changed counter must not count as a new login");
    write(dir.path(), ".claude.json", br#"{"numStartups": 3, "primaryApiKey": "k2"}"#);
    assert_ne!(take(), first);
    write(dir.path(), ".credentials.json", br#"{"claudeAiOauth":{"accessToken":"a"}}"#);
    let other = take();
    write(dir.path(), ".claude.json", b"{}");
    assert_eq!(take(), other, "a login of another kind must have its own fingerprint");
}
