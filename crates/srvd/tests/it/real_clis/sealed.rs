//! The CLIs below `srvd exec`, reached in different ways, while the person's own home and environment are full of
//! credentials. The stand-in sees the credential of each request, and the kernel reports the files that are opened.

#![cfg(target_os = "linux")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use auth_spawner::Registry;
use identity_store::{BundleId, DestinationBundle, LoginCredential, SaveLogin};
use serde_json::json;

use super::home_at;
use super::launched::{claude_login, shown, watch::Watch};
use crate::standin::Standin;
use crate::support::namespace::inside;
use crate::support::{Daemon, Home, clis, optional, planted, private_directory, store};

/// Variables of the person's own. Every value says so.
const CANARIES: [&str; 14] = [
    "AMP_API_KEY",
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_AUTH_TOKEN",
    "CLAUDE_CODE_OAUTH_TOKEN",
    "CLAUDE_CODE_UNHEARD_OF_TOKEN",
    "CODEX_API_KEY",
    "COPILOT_GITHUB_TOKEN",
    "GEMINI_API_KEY",
    "GOOGLE_API_KEY",
    "KIMI_API_KEY",
    "OPENAI_API_KEY",
    "OPENCODE_AUTH_CONTENT",
    "GH_TOKEN",
    "GITHUB_TOKEN",
];

/// Writes the person's own logins, in which every credential is a canary. Returns their files.
fn own_logins(user: &Path) -> Vec<PathBuf> {
    let text = |name: &str| format!("canary-{name}-0123456789");
    let token = planted::token("canary@example.test");
    let files = [
        (
            ".claude/.credentials.json",
            json!({"claudeAiOauth": {"accessToken": text("claude"), "refreshToken": text("claude"), "expiresAt": 4_102_444_800_000_u64, "scopes": ["user:inference"]}}),
        ),
        (
            ".claude/settings.json",
            json!({"env": {"ANTHROPIC_API_KEY": text("settings")}, "apiKeyHelper": "echo canary-helper"}),
        ),
        (".claude.json", json!({"primaryApiKey": text("primary")})),
        (
            ".codex/auth.json",
            json!({"auth_mode": "chatgpt", "tokens": {"id_token": token, "access_token": token, "refresh_token": text("codex"), "account_id": "a"}, "last_refresh": "2026-11-20T00:00:00Z"}),
        ),
        (".gemini/settings.json", json!({"security": {"auth": {"selectedType": "oauth-personal"}}})),
        (
            ".gemini/oauth_creds.json",
            json!({"access_token": text("gemini"), "refresh_token": text("gemini"), "expiry_date": 4_102_444_800_000_u64}),
        ),
        (
            ".copilot/config.json",
            json!({"lastLoggedInUser": {"host": "https://github.com", "login": "own"}, "authTokens": {"https://github.com:own": {"token": text("copilot")}}}),
        ),
        (".config/gh/hosts.yml", json!({"github.com": {"user": "own", "oauth_token": text("gh")}})),
        (
            ".config/opencode/opencode.json",
            json!({"provider": {"openai": {"options": {"apiKey": text("opencode")}}}}),
        ),
        (".local/share/opencode/auth.json", json!({"openai": {"type": "api", "key": text("opencode")}})),
        (".local/share/amp/secrets.json", json!({"apiKey@https://ampcode.com/": text("amp")})),
        (
            ".qwen/settings.json",
            json!({"env": {"OPENAI_API_KEY": text("qwen")}, "security": {"auth": {"selectedType": "openai"}}}),
        ),
        (".pi/agent/auth.json", json!({"openai": {"type": "api_key", "key": text("pi")}})),
    ];
    let write = |(name, value): (&str, serde_json::Value)| {
        let path = user.join(name);
        private_directory(path.parent().unwrap());
        std::fs::write(&path, value.to_string()).unwrap();
        path
    };
    files.into_iter().map(write).collect()
}

/// A daemon whose bundle `work` has a login of each CLI, and the person's own files.
struct Scene {
    daemon: Daemon,
    files: Vec<PathBuf>,
    watch: Watch,
    before: Vec<Vec<u8>>,
    gh: Option<PathBuf>,
}

impl Scene {
    async fn new(vendors: &Standin) -> Self {
        let gh = optional("gh");
        let mut home = home_at(vendors);
        if let Some(gh) = &gh {
            home = home.search(gh);
        }
        plant_work(&home).await;
        let daemon = home.start();
        // The own logins come after the start, so that the daemon does not take them over.
        let user = daemon.home.dir("home");
        let files = own_logins(&user);
        let before = files.iter().map(|file| std::fs::read(file).unwrap()).collect();
        private_directory(&daemon.home.dir("work"));
        let watch = Watch::below(&user);
        std::fs::read(&files[0]).unwrap();
        assert_eq!(watch.opened(), files[..1], "the watch works");
        let scene = Self { daemon, files, watch, before, gh };
        scene.share_nothing().await;
        scene
    }

    /// Keeps the person's own setup out of every bundle: srvd would read it in order to share it.
    async fn share_nothing(&self) {
        let listed = self.daemon.call("bundle.list", json!({})).await;
        for bundle in listed["bundles"].as_array().unwrap().iter().filter(|bundle| bundle["isBlank"] == false)
        {
            let params = json!({"bundleId": bundle["id"], "share": "nothing"});
            self.daemon.call("share.set", params).await;
        }
        self.watch.opened();
    }

    /// Returns a command below `srvd exec` with the canaries in its environment.
    fn exec(&self, bundle: &str, command: &[&str]) -> Command {
        let args = [&["exec", "-q", "--bundle", bundle, "--"], command].concat();
        let mut exec = self.daemon.home.command(&args);
        let authority = self.daemon.home.dir("authority.pem");
        exec.envs(CANARIES.map(|name| (name, format!("canary-{name}"))));
        exec.env("NODE_EXTRA_CA_CERTS", &authority).env("SSL_CERT_FILE", &authority);
        exec.current_dir(self.daemon.home.dir("work"));
        exec
    }

    async fn run(&self, bundle: &str, command: &[&str]) -> Output {
        let mut exec = self.exec(bundle, command);
        tokio::task::spawn_blocking(move || exec.output().unwrap()).await.unwrap()
    }

    /// Asserts that no own login was opened since the last call, and that none was changed.
    fn is_untouched(&self, what: &str) {
        let opened = self.watch.opened();
        let canaries: Vec<&PathBuf> = opened.iter().filter(|path| self.files.contains(path)).collect();
        assert!(canaries.is_empty(), "{what} opened {canaries:?}");
        for (file, before) in self.files.iter().zip(&self.before) {
            assert!(std::fs::read(file).unwrap() == *before, "{what} changed {}", file.display());
        }
        // This check has opened the files itself.
        self.watch.opened();
    }
}

/// Gives the bundle `work` a login of each CLI.
async fn plant_work(home: &Home) {
    let registry = Registry::builtin().unwrap();
    let bundle: BundleId = "work".parse().unwrap();
    private_directory(&home.dir("data/identities/work"));
    let store = store(home).await;
    let mut target = DestinationBundle::New { id: bundle.clone(), name: Some("work".to_owned()) };
    for provider in ["amp", "claude", "codex", "copilot", "gemini", "github", "kimi-code", "opencode", "pi"] {
        let cli = registry.provider(provider).unwrap().cli.as_ref().unwrap();
        let dir = home.dir("data/identities/work").join(&cli.config_dir.name);
        assert!(planted::login(cli, &dir, "work@example.test"));
        let token = planted::token("work@example.test");
        let write = |name: &str, value: serde_json::Value| {
            std::fs::write(cli.config_dir.inside(&dir).join(name), value.to_string()).unwrap();
        };
        match provider {
            "claude" => claude_login(&dir, "work@example.test"),
            "codex" => write(
                "auth.json",
                json!({"auth_mode": "chatgpt", "tokens": {"id_token": token, "access_token": token, "refresh_token": "r", "account_id": "a"}, "last_refresh": "2026-11-20T00:00:00Z"}),
            ),
            "copilot" => write(
                "config.json",
                json!({"lastLoggedInUser": {"host": "https://github.com", "login": "work"}, "authTokens": {"https://github.com:work": {"token": "gho_worktoken0123456789"}}}),
            ),
            "gemini" => {
                write("settings.json", json!({"security": {"auth": {"selectedType": "oauth-personal"}}}));
                write(
                    "oauth_creds.json",
                    json!({"access_token": "ya29.work", "refresh_token": "1//work", "expiry_date": 4_102_444_800_000_u64, "token_type": "Bearer"}),
                );
            }
            "github" => {
                write("hosts.yml", json!({"github.com": {"user": "work", "oauth_token": "gho_workgh"}}));
            }
            _ => {}
        }
        let row = planted::row(&bundle, provider, LoginCredential::Directory(dir));
        store.save_login(SaveLogin { target, ..row }).await.unwrap();
        target = DestinationBundle::Existing(bundle.clone());
    }
    store.close().await;
}

/// The ways to reach a program, each as the command of a launch. `script` is a file that runs its arguments.
fn ways(program: &str, args: &[&str], script: &Path) -> Vec<(&'static str, Vec<String>)> {
    let direct: Vec<String> =
        std::iter::once(program).chain(args.iter().copied()).map(str::to_owned).collect();
    let line = direct.join(" ");
    let before = |words: &[&str]| {
        words.iter().map(|word| (*word).to_owned()).chain(direct.clone()).collect::<Vec<String>>()
    };
    let shell = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).chain([line.clone()]).collect();
    let srvd = env!("CARGO_BIN_EXE_srvd");
    vec![
        ("env", before(&["env"])),
        ("sh", shell(&["sh", "-c"])),
        ("a login shell", shell(&["bash", "-lc"])),
        ("a script", before(&[script.to_str().unwrap()])),
        ("a launch in a launch", before(&[srvd, "exec", "-q", "--bundle", "work", "--"])),
        ("direct", direct.clone()),
    ]
}

#[test]
fn cli_finds_the_login_of_its_bundle_in_whatever_way_it_is_reached() {
    inside(async |vendors| {
        let scene = Scene::new(&vendors).await;
        let script = scene.daemon.home.dir("script.sh");
        std::fs::write(&script, "#!/bin/sh\nexec \"$@\"\n").unwrap();
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
        let clis = clis();
        let at = |name: &str| clis.join(name).display().to_string();
        let gh = scene.gh.as_ref().map(|gh| gh.join("gh").display().to_string());
        let mut questions = vec![
            (at("claude"), vec!["auth", "status"], "work@example.test"),
            (at("codex"), vec!["login", "status"], "Logged in using ChatGPT"),
        ];
        questions.extend(gh.map(|gh| (gh, vec!["auth", "token"], "gho_workgh")));
        for (program, args, expected) in &questions {
            for (way, command) in ways(program, args, &script) {
                let command: Vec<&str> = command.iter().map(String::as_str).collect();
                let output = shown(&scene.run("work", &command).await);
                assert!(
                    output.contains(expected) && !output.contains("canary"),
                    "{program} by {way}: {output}"
                );
                scene.is_untouched(way);
            }
        }
        // These have no question that needs no vendor.
        for (name, args) in [
            ("claude", vec!["-p", "hi"]),
            ("codex", vec!["exec", "--skip-git-repo-check", "hi"]),
            ("copilot", vec!["-p", "hi"]),
            ("gemini", vec!["--skip-trust", "-p", "hi"]),
            ("opencode", vec!["auth", "list"]),
            ("kimi", vec!["provider", "list"]),
        ] {
            let line = format!("timeout 120 {} {}", at(name), args.join(" "));
            let output = scene.run("work", &["sh", "-c", &line]).await;
            assert!(!shown(&output).contains("canary"), "{name}: {}", shown(&output));
            scene.is_untouched(name);
        }
        let sent = vendors.all_credentials();
        assert!(sent.iter().all(|credential| !credential.contains("canary")), "{sent:?}");
        for expected in ["sk-ant-oat01-planted", "gho_worktoken0123456789", "ya29.work"] {
            assert!(sent.iter().any(|credential| credential.contains(expected)), "{expected} in {sent:?}");
        }
        let token = planted::token("work@example.test");
        assert!(sent.iter().any(|credential| credential.contains(&token)), "codex in {sent:?}");
    });
}

#[test]
fn key_of_the_bundle_is_the_only_credential_that_its_cli_sends() {
    inside(async |vendors| {
        let scene = Scene::new(&vendors).await;
        let id = scene.daemon.call("bundle.create", json!({"name": "keys"})).await["id"].clone();
        scene.share_nothing().await;
        let keys = [
            ("anthropic", "sk-ant-work-0123456789012345678901234567890123456789"),
            ("openai", "sk-proj-work-0123456789012345678901234567890"),
            ("gemini", "AIzaWORKWORKWORKWORKWORKWORKWORKWORK1"),
            ("qwen", "sk-sp-work-012345678901234567890123456789"),
        ];
        for (provider, key) in keys {
            let params = json!({
                "providerId": provider, "intoBundleId": id, "apiKey": key, "accountName": "Key", "validate": false
            });
            assert_eq!(scene.daemon.call("auth.submitapikey", params).await["success"], true);
        }
        for (name, args) in [
            ("claude", "-p hi"),
            ("codex", "exec --skip-git-repo-check hi"),
            ("gemini", "--skip-trust -p hi"),
            ("qwen", "-p hi"),
        ] {
            let program = clis().join(name).display().to_string();
            let words: Vec<&str> = std::iter::once(&*program).chain(args.split(' ')).collect();
            // Named directly it is started, and below a shell it finds the same home.
            let ways = [words.clone(), vec!["sh", "-c"]];
            let line = format!("timeout 120 {}", words.join(" "));
            for (way, mut command) in ways.into_iter().enumerate() {
                if way == 1 {
                    command.push(&line);
                }
                let output = shown(&scene.run("keys", &command).await);
                assert!(
                    !output.contains("canary") && !output.contains("was not started"),
                    "{name}: {output}"
                );
                scene.is_untouched(name);
            }
        }
        let sent = vendors.all_credentials();
        assert!(sent.iter().all(|credential| !credential.contains("canary")), "{sent:?}");
        for (provider, key) in keys {
            assert!(sent.iter().any(|credential| credential.contains(key)), "{provider} in {sent:?}");
        }
        for file in crate::support::files_below(&scene.daemon.home.dir("data/identities")) {
            let text = std::fs::read(&file).unwrap();
            let holds = |key: &str| text.windows(key.len()).any(|part| part == key.as_bytes());
            assert!(!keys.iter().any(|(_, key)| holds(key)), "{}", file.display());
        }
    });
}

#[test]
fn cli_without_an_account_is_logged_out_in_whatever_way_it_is_reached() {
    inside(async |vendors| {
        let scene = Scene::new(&vendors).await;
        let id = scene.daemon.call("bundle.create", json!({"name": "none"})).await["id"].clone();
        scene.share_nothing().await;
        let params = json!({
            "providerId": "groq", "intoBundleId": id, "apiKey": "gsk_work0123456789abcdef", "accountName": "Key", "validate": false
        });
        assert_eq!(scene.daemon.call("auth.submitapikey", params).await["success"], true);
        for (name, args) in [
            ("claude", "auth status"),
            ("claude", "-p hi"),
            ("codex", "login status"),
            ("copilot", "-p hi"),
            ("gemini", "--skip-trust -p hi"),
            ("qwen", "-p hi"),
            ("opencode", "auth list"),
            ("kimi", "provider list"),
        ] {
            let line = format!("timeout 60 {} {args}", clis().join(name).display());
            let output = shown(&scene.run("none", &["sh", "-c", &line]).await);
            assert!(!output.contains("canary"), "{name}: {output}");
            // Copilot asks the person's own gh, which has nothing for the host that it is led to.
            let opened = scene.watch.opened();
            let theirs =
                opened.iter().filter(|path| scene.files.contains(path) && !path.ends_with("gh/hosts.yml"));
            assert_eq!(theirs.count(), 0, "{name} opened {opened:?}");
        }
        let sent = vendors.all_credentials();
        assert!(sent.iter().all(|credential| !credential.contains("canary")), "{sent:?}");
    });
}
