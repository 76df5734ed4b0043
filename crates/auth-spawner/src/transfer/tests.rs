use std::os::unix::fs::{PermissionsExt as _, symlink};

use serde_json::{Value, json};

use super::*;
use crate::Registry;

struct Two {
    root: tempfile::TempDir,
    cli: Cli,
}

impl Two {
    fn new(provider: &str) -> Self {
        let cli = Registry::builtin().unwrap().provider(provider).unwrap().cli.clone().unwrap();
        let two = Self { root: tempfile::tempdir().unwrap(), cli };
        for dir in ["from", "to", "work"] {
            private_directory(&two.cli.config_dir.inside(&two.dir(dir))).unwrap();
        }
        two
    }

    fn dir(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn file(&self, dir: &str, path: &str) -> PathBuf {
        self.cli.config_dir.inside(&self.dir(dir)).join(path)
    }

    fn write(&self, dir: &str, path: &str, text: &str) {
        let path = self.file(dir, path);
        private_directory(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn text(&self, path: &str) -> Option<String> {
        std::fs::read_to_string(self.file("to", path)).ok()
    }

    fn prepare(&self) -> Result<Transfer, TransferError> {
        Transfer::prepare(&self.cli, &self.dir("from"), &self.dir("to"), &self.dir("work"))
    }

    fn place(&self, transfer: &Transfer) -> Result<(), TransferError> {
        transfer.place(&self.cli, &self.dir("from"), &self.dir("to"))
    }
}

/// The contents of the directory, the files of the new login, and the expected contents after the move. No other file
/// may exist.
struct Case<'a> {
    provider: &'a str,
    old: &'a [(&'a str, &'a str)],
    made: &'a [(&'a str, &'a str)],
    shall: &'a [(&'a str, Value)],
}

fn check(case: &Case<'_>) {
    let two = Two::new(case.provider);
    for (path, text) in case.old {
        two.write("to", path, text);
    }
    for (path, text) in case.made {
        two.write("from", path, text);
    }
    let transfer = two.prepare().unwrap();
    let before: Vec<_> = case.old.iter().map(|(path, text)| (*path, Some((*text).to_owned()))).collect();
    let now = || case.old.iter().map(|(path, _)| (*path, two.text(path))).collect::<Vec<_>>();
    assert_eq!(now(), before, "{}: preparing must not change anything", case.provider);
    two.place(&transfer).unwrap();
    for (path, value) in case.shall {
        let text = two.text(path).unwrap_or_else(|| panic!("{}: no {path}", case.provider));
        let found = proof_of(&two, path, &text);
        assert_eq!(found, *value, "{} {path}", case.provider);
    }
    // Another process that finds the plan gets the same result.
    Transfer::open(&two.dir("work")).unwrap().unwrap().undo().unwrap();
    assert_eq!(now(), before, "{}: undone", case.provider);
    for (path, _) in case.shall.iter().filter(|(path, _)| !case.old.iter().any(|(old, _)| old == path)) {
        assert_eq!(two.text(path), None, "{} {path}", case.provider);
    }
    transfer.undo().unwrap();
    assert_eq!(now(), before, "{}: twice", case.provider);
    Transfer::close(&two.dir("work")).unwrap();
    assert!(Transfer::open(&two.dir("work")).unwrap().is_none());
}

fn proof_of(two: &Two, path: &str, text: &str) -> Value {
    let known = two.cli.credential.iter().find(|file| file.path == path);
    crate::proof::parse(known.map_or(Format::Json, |file| file.format), text.as_bytes()).unwrap()
}

#[test]
fn transfer_replaces_the_login_and_keeps_other_members() {
    let claude = r#"{"claudeAiOauth":{"accessToken":"new","refreshToken":"r"}}"#;
    check(&Case {
        provider: "claude",
        old: &[
            (".credentials.json", r#"{"claudeAiOauth":{"accessToken":"old"},"mcpOAuth":{"a":1}}"#),
            (
                ".claude.json",
                r#"{"oauthAccount":{"emailAddress":"a@x"},"primaryApiKey":"k","numStartups":9,"projects":{"/p":{}}}"#,
            ),
        ],
        made: &[
            (".credentials.json", claude),
            (".claude.json", r#"{"oauthAccount":{"emailAddress":"b@x"},"numStartups":1}"#),
        ],
        shall: &[
            (
                ".credentials.json",
                json!({"claudeAiOauth": {"accessToken": "new", "refreshToken": "r"}, "mcpOAuth": {"a": 1}}),
            ),
            (
                ".claude.json",
                json!({"oauthAccount": {"emailAddress": "b@x"}, "numStartups": 9, "projects": {"/p": {}}}),
            ),
        ],
    });
    // A login of the other kind. The old one must be removed, because it would be found first.
    check(&Case {
        provider: "claude",
        old: &[(".credentials.json", claude)],
        made: &[(".credentials.json", "{}"), (".claude.json", r#"{"primaryApiKey":"k"}"#)],
        shall: &[(".credentials.json", json!({})), (".claude.json", json!({"primaryApiKey": "k"}))],
    });
    let jwt = "x.e30.x";
    let codex = json!({"auth_mode": "chatgpt", "OPENAI_API_KEY": null, "tokens": {"id_token": jwt, "access_token": jwt, "refresh_token": "r"}});
    check(&Case {
        provider: "codex",
        old: &[("auth.json", r#"{"auth_mode":"apikey","OPENAI_API_KEY":"k"}"#)],
        made: &[("auth.json", &codex.to_string())],
        shall: &[("auth.json", codex.clone())],
    });
    let entry = json!({"type": "oauth", "access": "a", "refresh": "r"});
    check(&Case {
        provider: "opencode",
        old: &[(
            "auth.json",
            r#"{"anthropic":{"type":"api","key":"k"},"openai":{"access":"old","refresh":"r"}}"#,
        )],
        made: &[("auth.json", &json!({"openai": entry}).to_string())],
        shall: &[("auth.json", json!({"anthropic": {"type": "api", "key": "k"}, "openai": entry}))],
    });
    check(&Case {
        provider: "github",
        old: &[(
            "hosts.yml",
            "github.com:\n    user: ann\n    oauth_token: old\nother.host:\n    user: eve\n",
        )],
        made: &[("hosts.yml", "github.com:\n    user: bob\n    oauth_token: new\n")],
        shall: &[(
            "hosts.yml",
            json!({"github.com": {"user": "bob", "oauth_token": "new"}, "other.host": {"user": "eve"}}),
        )],
    });
    check(&Case {
        provider: "copilot",
        old: &[(
            "config.json",
            "// of the CLI\n{\"authTokens\":{\"a\":{\"token\":\"old\"}},\"firstLaunchAt\":\"x\",}",
        )],
        made: &[("config.json", "// of the CLI\n{\"authTokens\":{\"b\":{\"token\":\"new\"}}}")],
        shall: &[("config.json", json!({"authTokens": {"b": {"token": "new"}}, "firstLaunchAt": "x"}))],
    });
    check(&Case {
        provider: "gemini",
        old: &[("oauth_creds.json", "half a docu")],
        made: &[
            ("oauth_creds.json", r#"{"access_token":"a","refresh_token":"r"}"#),
            ("google_accounts.json", r#"{"active":"a@x","old":[]}"#),
            ("settings.json", r#"{"security":{"auth":{"selectedType":"oauth-personal"}}}"#),
        ],
        shall: &[
            ("oauth_creds.json", json!({"access_token": "a", "refresh_token": "r"})),
            ("google_accounts.json", json!({"active": "a@x", "old": []})),
            ("settings.json", json!({"security": {"auth": {"selectedType": "oauth-personal"}}})),
        ],
    });
    check(&Case {
        provider: "kimi-code",
        old: &[],
        made: &[("credentials/kimi-code-env-1.json", r#"{"access_token":"a"}"#)],
        shall: &[("credentials/kimi-code-env-1.json", json!({"access_token": "a"}))],
    });
}

#[test]
fn replacement_file_is_copied_byte_for_byte_and_private() {
    let two = Two::new("codex");
    let text = "{ \"tokens\": {\"id_token\": \"x.e30.x\",\n \"access_token\": \"x.e30.x\"} }";
    two.write("from", "auth.json", text);
    symlink(two.dir("elsewhere"), two.file("to", "auth.json")).unwrap();
    let transfer = two.prepare().unwrap();
    two.place(&transfer).unwrap();
    assert_eq!(two.text("auth.json").as_deref(), Some(text));
    let mode = std::fs::symlink_metadata(two.file("to", "auth.json")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    transfer.undo().unwrap();
    assert!(two.file("to", "auth.json").is_symlink());
    assert!(!two.dir("elsewhere").exists());
}

#[test]
fn failed_transfer_is_undone_without_following_links() {
    let made = r#"{"access_token":"a"}"#;
    let two = Two::new("kimi-code");
    two.write("from", "credentials/kimi-code.json", made);
    let outside = two.dir("outside");
    std::fs::create_dir(&outside).unwrap();
    symlink(&outside, two.file("to", "credentials")).unwrap();
    let transfer = two.prepare().unwrap();
    assert!(matches!(two.place(&transfer), Err(TransferError::Io { .. })));
    transfer.undo().unwrap();
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);

    // A login that is not proven at its destination, because an older one with another name is found first there.
    let two = Two::new("codex");
    two.write("from", "auth.json", "{}");
    two.write("to", "auth.json", "{\"keep\":1}");
    let transfer = two.prepare().unwrap();
    assert!(matches!(two.place(&transfer), Err(TransferError::Unproven(_))));
    transfer.undo().unwrap();
    assert_eq!(two.text("auth.json").as_deref(), Some("{\"keep\":1}"));
}

#[test]
fn interrupted_transfer_is_undone_from_every_point() {
    let files = [".credentials.json", ".claude.json"];
    for (stop, was) in [(0, true), (1, true), (2, true), (0, false), (1, false), (2, false)] {
        let two = Two::new("claude");
        two.write("from", files[0], r#"{"claudeAiOauth":{"accessToken":"new"}}"#);
        two.write("from", files[1], r#"{"oauthAccount":{"emailAddress":"b@x"}}"#);
        let old = r#"{"claudeAiOauth":{"accessToken":"old"},"oauthAccount":{"emailAddress":"a@x"}}"#;
        for path in files.iter().filter(|_| was) {
            two.write("to", path, old);
        }
        let transfer = two.prepare().unwrap();
        for (number, path) in files.iter().enumerate().take(stop) {
            rename(&two.dir("work/new").join(number.to_string()), &two.file("to", path)).unwrap();
        }
        Transfer::open(&two.dir("work")).unwrap().unwrap().undo().unwrap();
        let expected = was.then(|| old.to_owned());
        let found: Vec<_> = files.iter().map(|path| two.text(path)).collect();
        assert_eq!(found, [expected.clone(), expected], "{stop} {was}");
        drop(transfer);
    }
}

#[test]
fn undo_restores_every_file_after_an_interrupted_undo() {
    let files = [".credentials.json", ".claude.json"];
    let two = Two::new("claude");
    two.write("from", files[0], r#"{"claudeAiOauth":{"accessToken":"new"}}"#);
    two.write("from", files[1], r#"{"oauthAccount":{"emailAddress":"b@x"}}"#);
    let old = r#"{"claudeAiOauth":{"accessToken":"old"},"oauthAccount":{"emailAddress":"a@x"}}"#;
    for path in files {
        two.write("to", path, old);
    }
    let transfer = two.prepare().unwrap();
    two.place(&transfer).unwrap();
    assert!(files.iter().all(|path| two.text(path).as_deref() != Some(old)));
    // The earlier undo was interrupted after the last file, which is the first one it restores.
    rename(&two.dir("work/old/1"), &two.file("to", files[1])).unwrap();
    Transfer::open(&two.dir("work")).unwrap().unwrap().undo().unwrap();
    assert!(files.iter().all(|path| two.text(path).as_deref() == Some(old)));
}

#[test]
fn provider_declares_whether_its_login_is_movable() {
    let registry = Registry::builtin().unwrap();
    let can = |provider: &str| registry.provider(provider).unwrap().cli.as_ref().unwrap().can_move();
    let fixed = ["codex", "kimi-code", "kimi", "gemini", "copilot", "github", "opencode", "pi", "amp"];
    assert!(fixed.iter().all(|provider| can(provider)));
    assert!(!can("openclaw") && !can("qwen"));
    assert_eq!(can("claude"), !cfg!(target_os = "macos"));
}

/// The setting that makes the CLI use another credential is changed; the other settings stay.
#[test]
fn settings_are_changed_to_select_the_new_login() {
    let tokens = json!({"id_token": "x.e30.x", "access_token": "x.e30.x", "refresh_token": "r"});
    check(&Case {
        provider: "codex",
        old: &[("auth.json", r#"{"auth_mode":"apikey","OPENAI_API_KEY":"k","other":1}"#)],
        made: &[("auth.json", &json!({"tokens": tokens}).to_string())],
        shall: &[("auth.json", json!({"tokens": tokens, "other": 1}))],
    });
    let creds = r#"{"access_token":"a","refresh_token":"r"}"#;
    let settings =
        |kind: &str| json!({"security": {"auth": {"selectedType": kind}, "folderTrust": true}, "ui": 1});
    let with_comment = format!("// mine\n{}", settings("gemini-api-key"));
    check(&Case {
        provider: "gemini",
        old: &[("settings.json", &with_comment)],
        made: &[("oauth_creds.json", creds), ("settings.json", &settings("oauth-personal").to_string())],
        shall: &[("settings.json", settings("oauth-personal"))],
    });
    // Without the setting, the CLI would not use the login.
    let selected = json!({"security": {"auth": {"selectedType": "oauth-personal"}}});
    check(&Case {
        provider: "gemini",
        old: &[("settings.json", r#"{"ui":1}"#)],
        made: &[("oauth_creds.json", creds), ("settings.json", &selected.to_string())],
        shall: &[("settings.json", json!({"ui": 1, "security": selected["security"]}))],
    });
    let chosen = settings("oauth-personal").to_string();
    let two = Two::new("gemini");
    two.write("to", "settings.json", &format!("// mine\n{chosen}"));
    two.write("from", "oauth_creds.json", creds);
    two.write("from", "settings.json", &chosen);
    two.place(&two.prepare().unwrap()).unwrap();
    assert_eq!(
        two.text("settings.json").unwrap(),
        format!("// mine\n{chosen}"),
        "settings that already select the login must not change"
    );
}
