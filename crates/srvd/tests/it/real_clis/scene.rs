//! A daemon with logins of many CLIs, below a person's own home that is logged in everywhere as another person.
//!
//! Every credential in that home is a canary: the kernel reports its files when they are opened, and the stand-in sees
//! what is sent.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use auth_spawner::Registry;
use identity_store::{BundleId, DestinationBundle, LoginCredential, SaveLogin};
use serde_json::json;

use super::home_at;
use super::launched::{claude_login, watch::Watch};
use crate::standin::Standin;
use crate::support::{Daemon, Home, optional, planted, private_directory, store};

/// The token of the bundle `token`, as `claude setup-token` prints one.
pub(super) const SETUP_TOKEN: &str = "sk-ant-oat01-setup-0123456789012345678901234567890123456789";

/// The settings that a login of Kimi Code writes.
const KIMI_CONFIG: &str = r#"
default_model = "kimi-code/kimi-for-coding"

[providers."managed:kimi-code"]
type = "kimi"
base_url = "https://api.kimi.com/coding/v1"
api_key = ""

[providers."managed:kimi-code".oauth]
storage = "file"
key = "oauth/kimi-code"

[models."kimi-code/kimi-for-coding"]
provider = "managed:kimi-code"
model = "kimi-for-coding"
max_context_size = 262144
"#;

/// Variables of the person's own. Every value says so.
pub(super) const CANARIES: [&str; 14] = [
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
pub(super) struct Scene {
    pub(super) daemon: Daemon,
    pub(super) files: Vec<PathBuf>,
    pub(super) watch: Watch,
    before: Vec<Vec<u8>>,
    pub(super) gh: Option<PathBuf>,
}

impl Scene {
    pub(super) async fn new(vendors: &Standin) -> Self {
        // Claude asks whose token it has, and ends a login whose token is refused.
        vendors.person("work@example.test", "work@example.test");
        vendors.accept_access_token("sk-ant-oat01-planted");
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
    pub(super) async fn share_nothing(&self) {
        let listed = self.daemon.call("bundle.list", json!({})).await;
        for bundle in listed["bundles"].as_array().unwrap().iter().filter(|bundle| bundle["isBlank"] == false)
        {
            let params = json!({"bundleId": bundle["id"], "share": "nothing"});
            self.daemon.call("share.set", params).await;
        }
        self.watch.opened();
    }

    /// Returns a command below `srvd exec` with the canaries in its environment.
    pub(super) fn exec(&self, bundle: &str, command: &[&str]) -> Command {
        self.exec_as(&["--bundle", bundle], command)
    }

    /// Returns a command as [`Self::exec`] does, for the identity that the arguments name.
    pub(super) fn exec_as(&self, subject: &[&str], command: &[&str]) -> Command {
        let args = [&["exec", "-q"], subject, &["--"], command].concat();
        let mut exec = self.daemon.home.command(&args);
        let authority = self.daemon.home.dir("authority.pem");
        exec.envs(CANARIES.map(|name| (name, format!("canary-{name}"))));
        exec.env("NODE_EXTRA_CA_CERTS", &authority).env("SSL_CERT_FILE", &authority);
        exec.current_dir(self.daemon.home.dir("work"));
        exec
    }

    pub(super) async fn run(&self, bundle: &str, command: &[&str]) -> Output {
        let mut exec = self.exec(bundle, command);
        tokio::task::spawn_blocking(move || exec.output().unwrap()).await.unwrap()
    }

    /// Asserts that no own login was opened since the last call, and that none was changed.
    pub(super) fn is_untouched(&self, what: &str) {
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
            "pi" => write(
                "auth.json",
                json!({"openai-codex": {"type": "oauth", "access": token, "refresh": "r", "expires": 4_102_444_800_000_u64, "accountId": "a"}}),
            ),
            "opencode" => write(
                "auth.json",
                json!({"openai": {"type": "oauth", "access": token, "refresh": "r", "expires": 4_102_444_800_000_u64, "accountId": "a"}}),
            ),
            "amp" => write("secrets.json", json!({"apiKey@https://ampcode.com/": token})),
            "kimi-code" => std::fs::write(dir.join("config.toml"), KIMI_CONFIG).unwrap(),
            "github" => {
                write("hosts.yml", json!({"github.com": {"user": "work", "oauth_token": "gho_workgh"}}));
            }
            _ => {}
        }
        let row = planted::row(&bundle, provider, LoginCredential::Directory(dir));
        store.save_login(SaveLogin { target, ..row }).await.unwrap();
        target = DestinationBundle::Existing(bundle.clone());
    }
    let row = planted::row(&"token".parse().unwrap(), "claude", LoginCredential::Token(SETUP_TOKEN.into()));
    store.save_login(row).await.unwrap();
    store.close().await;
}
