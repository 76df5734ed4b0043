//! The user's own setup in launches of the real CLIs: each CLI is asked what it has, once with the user's setup and once
//! without.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use auth_spawner::Registry;
use identity_store::{BundleId, LoginCredential, SharePolicy};
use serde_json::{Value, json};

use super::{home, home_at, page, paste, start};
use crate::support::namespace::inside;
use crate::support::{Daemon, Home, clis, files_below, optional, planted, private_directory, store};

/// Text of the user's instructions.
const INSTRUCTIONS: &str = "Planted instruction: answer in one word.";
/// A server in the style of MCP, with one tool.
const SERVER: &str = r#"
const lines = require("node:readline").createInterface({ input: process.stdin });
lines.on("line", (line) => {
  const { id, method, params } = JSON.parse(line);
  if (id === undefined) return;
  let result = {};
  if (method === "initialize") {
    result = { protocolVersion: params.protocolVersion, capabilities: { tools: {} }, serverInfo: { name: "planted", version: "1" } };
  } else if (method === "tools/list") {
    result = { tools: [{ name: "planted_tool", description: "A planted tool.", inputSchema: { type: "object" } }] };
  }
  process.stdout.write(JSON.stringify({ jsonrpc: "2.0", id, result }) + "\n");
});
"#;

fn write(path: &Path, text: &str) {
    let mut dirs: Vec<&Path> = path.parent().unwrap().ancestors().take_while(|dir| !dir.exists()).collect();
    dirs.reverse();
    dirs.into_iter().for_each(private_directory);
    std::fs::write(path, text).unwrap();
}

/// Creates two bundles with a planted login of a provider: one with the user's setup, one with nothing.
async fn bundles(home: &Home, provider: &str) {
    let registry = Registry::builtin().unwrap();
    let cli = registry.provider(provider).unwrap().cli.clone().unwrap();
    for (policy, name) in [(SharePolicy::MINE, "mine"), (SharePolicy::NOTHING, "nothing")] {
        let bundle: BundleId = format!("{name}-{provider}").parse().unwrap();
        let dir = home.dir("data/identities").join(bundle.as_str()).join(&cli.config_dir.name);
        for made in [dir.parent().unwrap().parent().unwrap(), dir.parent().unwrap(), &dir] {
            private_directory(made);
        }
        auth_spawner::prepare(&cli, &dir).unwrap();
        assert!(planted::login(&cli, &dir, "work@example.test"));
        if provider == "claude" {
            claude_login(&dir);
        }
        let store = store(home).await;
        let row = planted::row(&bundle, provider, LoginCredential::Directory(dir));
        store.save_login(row).await.unwrap();
        store.set_share_policy(&bundle, policy, 2).await.unwrap();
        store.close().await;
    }
}

fn claude_login(dir: &Path) {
    let login = json!({"claudeAiOauth": {
        "accessToken": "sk-ant-oat01-planted", "refreshToken": "sk-ant-ort01-planted", "expiresAt": 4_102_444_800_000_u64,
        "scopes": ["user:inference", "user:profile"], "subscriptionType": "max",
    }});
    std::fs::write(dir.join(".credentials.json"), login.to_string()).unwrap();
    let state = json!({"hasCompletedOnboarding": true, "oauthAccount": {"emailAddress": "work@example.test", "accountUuid": "1"}});
    std::fs::write(dir.join(".claude.json"), state.to_string()).unwrap();
}

/// Runs a program with the bundle's identity, in an empty directory. Returns all of its output.
fn run(daemon: &Daemon, bundle: &str, program: &Path, args: &[&str], planted: &[(&str, &str)]) -> String {
    let mut command = daemon.home.command(&["exec", "--bundle", bundle, "--"]);
    // Claude also reads instructions in the directories above, so this one is not below the user's home.
    let work = daemon.home.dir("work");
    private_directory(&work);
    command.arg(program).args(args).envs(planted.iter().copied()).current_dir(work);
    output(&mut command)
}

fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

fn persons(home: &Home) -> BTreeMap<PathBuf, Vec<u8>> {
    files_below(&home.dir("home"))
        .into_iter()
        .map(|path| (path.clone(), std::fs::read(path).unwrap()))
        .collect()
}

/// Writes a setup in which each CLI has instructions, an MCP server, a skill and a command, where it knows such a thing.
fn setup(home: &Home) {
    let own = |path: &str, text: &str| write(&home.dir("home").join(path), text);
    let node = clis().join("node");
    let script = home.dir("home/server.js");
    own("server.js", SERVER);
    let server = json!({"command": node, "args": [script]});
    let servers = json!({"mcpServers": {"planted": server}}).to_string();
    let skill = "---\nname: planted-skill\ndescription: A planted skill.\n---\nSay planted.\n";
    for dir in [".claude", ".codex", ".gemini", ".copilot"] {
        own(&format!("{dir}/skills/planted-skill/SKILL.md"), skill);
    }
    own(".claude/CLAUDE.md", INSTRUCTIONS);
    own(".claude/commands/planted-command.md", "---\ndescription: A planted command.\n---\nSay planted.\n");
    own(
        ".claude/settings.json",
        r#"{"spinnerTipsEnabled":false,"apiKeyHelper":"/bin/planted-helper","env":{"ANTHROPIC_API_KEY":"planted-own-key"}}"#,
    );
    own(
        ".claude.json",
        &json!({"mcpServers": {"planted": server}, "oauthAccount": {"emailAddress": "me@x"}}).to_string(),
    );
    own(".codex/AGENTS.md", INSTRUCTIONS);
    let table = json!({"mcp_servers": {"planted": server}, "model_provider": "x", "model_providers": {"x": {
        "name": "x", "base_url": "http://127.0.0.1:9/planted", "experimental_bearer_token": "planted-own-key",
    }}});
    own(".codex/config.toml", &toml::to_string(&table).unwrap());
    let auth =
        json!({"security": {"auth": {"selectedType": "gemini-api-key"}}, "mcpServers": {"planted": server}});
    own(".gemini/settings.json", &auth.to_string());
    own(".copilot/mcp-config.json", &servers);
    let local = json!({"mcp": {"planted": {"type": "local", "command": [node, script]}}, "provider": {"openai": {"options": {"apiKey": "planted-own-key"}}}});
    own(".config/opencode/opencode.json", &local.to_string());
    own(".config/gh/config.yml", "version: \"1\"\ngit_protocol: ssh\naliases:\n    planted: pr checkout\n");
}

/// Claude sends the instructions and the tool of the server, lists the skill and the command, and uses the bundle's token,
/// although the user's settings name a key and a helper.
#[test]
fn claude_sends_the_persons_instructions_and_tools_with_the_login_of_the_bundle() {
    inside(async |vendors| {
        // A token that is refused would be renewed, and the login ended.
        vendors.accept_access_tokens();
        let home = home_at(&vendors);
        bundles(&home, "claude").await;
        setup(&home);
        let authority = home.dir("authority.pem");
        let trust = [("NODE_EXTRA_CA_CERTS", authority.to_str().unwrap())];
        let daemon = home.start();
        let before = persons(&daemon.home);
        let claude = clis().join("claude");
        let args = ["-p", "hi", "--output-format", "stream-json", "--verbose"];
        let mut sent = 0;
        for (bundle, expected) in [("mine-claude", true), ("nothing-claude", false)] {
            let output = run(&daemon, bundle, &claude, &args, &trust);
            let begun: Value = output
                .lines()
                .filter_map(|line| serde_json::from_str(line).ok())
                .find(|line: &Value| line["subtype"] == "init")
                .unwrap_or_else(|| panic!("{output}"));
            let listed = |field: &str, name: &str| begun[field].to_string().contains(name);
            for (field, name) in [
                ("slash_commands", "planted-command"),
                ("skills", "planted-skill"),
                ("mcp_servers", "planted"),
            ] {
                assert_eq!(listed(field, name), expected, "{bundle} {field}: {begun}");
            }
            assert_ne!(begun["apiKeySource"], "apiKeyHelper", "{begun}");
            let bodies = vendors.bodies("POST api.anthropic.com/v1/messages");
            let new = &bodies[sent..];
            sent = bodies.len();
            let any = |text: &str| new.iter().any(|body| body.contains(text));
            assert!(!new.is_empty(), "{bundle}: {output}\n{:?}", vendors.requests());
            assert_eq!(any(INSTRUCTIONS), expected, "{bundle}: {output}");
            assert_eq!(any("planted_tool"), expected, "{bundle}: {output}");
        }
        let resolve = json!({"bundleId": "mine-claude", "explain": true});
        let launched = daemon.call("launch.resolve", resolve).await;
        let items = launched["shares"][0]["items"].as_array().unwrap();
        assert!(items.iter().all(|item| item["state"] != "left_out"), "{launched}");
        let keys = vendors.credentials("POST api.anthropic.com/v1/messages");
        assert!(keys.iter().all(|key| key == "Bearer sk-ant-oat01-planted"), "{keys:?}");
        let mut after = persons(&daemon.home);
        after.retain(|path, _| before.contains_key(path));
        assert_eq!(after, before);
    });
}

/// After a login that the CLI made, its home gets the user's settings, and keeps what the login needs.
#[test]
fn settings_are_shared_after_a_login_that_the_cli_made() {
    inside(async |vendors| {
        let home = home_at(&vendors);
        setup(&home);
        let own = |path: &str, text: &str| write(&home.dir("home").join(path), text);
        own(".copilot/settings.json", r#"{"theme":"dark","storeTokenPlaintext":false}"#);
        own(".kimi-code/mcp.json", r#"{"mcpServers":{"planted":{"command":"planted"}}}"#);
        let daemon = home.start();
        vendors.approve();
        for (provider, file, kept) in [
            ("gemini", ".gemini/settings.json", "oauth-personal"),
            ("copilot", "settings.json", "\"storeTokenPlaintext\": true"),
            ("kimi-code", "mcp.json", "planted"),
            ("claude", ".claude.json", "oauthAccount"),
            ("codex", "config.toml", "planted"),
        ] {
            let recipe = if provider == "codex" { "device-auth" } else { "login" };
            let id = start(&daemon, json!({"providerId": provider, "recipe": recipe})).await;
            if matches!(provider, "gemini" | "claude") {
                let address = vendors.consent(&page(&daemon, &id).await);
                assert_eq!(paste(&daemon, &id, address.to_string()).await, json!({"success": true}));
            }
            let done = daemon.ended(&id).await;
            assert_eq!(done["status"], "success", "{done}");
            let resolve = json!({"bundleId": done["bundleId"], "explain": true});
            let launched = daemon.call("launch.resolve", resolve).await;
            let share = &launched["shares"][0];
            let item = share["items"].as_array().unwrap().iter().find(|item| item["path"] == file);
            let state = item.unwrap_or_else(|| panic!("{share}"))["state"].as_str().unwrap();
            assert!(matches!(state, "copied" | "merged"), "{provider}: {share}");
            let text =
                std::fs::read_to_string(Path::new(share["path"].as_str().unwrap()).join(file)).unwrap();
            assert!(text.contains(kept), "{provider}: {text}");
        }
    });
}

/// Asks a CLI of both bundles, and asserts that only the answer of the first one has each of the texts.
async fn differs(provider: &str, program: &Path, questions: &[(&[&str], &[&str])]) {
    let home = home();
    bundles(&home, provider).await;
    setup(&home);
    let daemon = home.start();
    let before = persons(&daemon.home);
    let nowhere = ["ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY"].map(|name| (name, "http://127.0.0.1:9"));
    for (args, texts) in questions {
        let mine = run(&daemon, &format!("mine-{provider}"), program, args, &nowhere);
        let nothing = run(&daemon, &format!("nothing-{provider}"), program, args, &nowhere);
        for text in *texts {
            assert!(mine.contains(text), "{provider} {args:?} {text}:\n{mine}");
            assert!(!nothing.contains(text), "{provider} {args:?} {text}:\n{nothing}");
        }
        assert!(!mine.contains("planted-own-key"), "{mine}");
    }
    // A run of the CLI has not changed the copies, or only what the registry knows of.
    let resolve = json!({"bundleId": format!("mine-{provider}"), "explain": true});
    let launched = daemon.call("launch.resolve", resolve).await;
    let items = launched["shares"][0]["items"].as_array().unwrap();
    assert!(
        !items.is_empty() && items.iter().all(|item| item["state"] != "left_out"),
        "{provider}: {launched}"
    );
    let mut after = persons(&daemon.home);
    after.retain(|path, _| before.contains_key(path));
    assert_eq!(after, before, "{provider}");
}

#[tokio::test(flavor = "multi_thread")]
async fn codex_has_the_persons_instructions_skill_and_server() {
    let prompt: &[&str] = &["debug", "prompt-input", "hi"];
    let questions: [(&[&str], &[&str]); 2] =
        [(&["mcp", "list"], &["planted"]), (prompt, &[INSTRUCTIONS, "planted-skill"])];
    differs("codex", &clis().join("codex"), &questions).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gemini_has_the_persons_server_and_skill() {
    let questions: [(&[&str], &[&str]); 2] =
        [(&["mcp", "list"], &["planted"]), (&["skills", "list"], &["planted-skill"])];
    differs("gemini", &clis().join("gemini"), &questions).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn copilot_has_the_persons_server_and_skill() {
    let questions: [(&[&str], &[&str]); 2] =
        [(&["mcp", "list"], &["planted"]), (&["skill", "list"], &["planted-skill"])];
    differs("copilot", &clis().join("copilot"), &questions).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn opencode_has_the_persons_server() {
    let questions: [(&[&str], &[&str]); 1] = [(&["debug", "config"], &["server.js"])];
    differs("opencode", &clis().join("opencode"), &questions).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gh_has_the_persons_aliases() {
    let Some(gh) = optional("gh") else { return };
    let questions: [(&[&str], &[&str]); 2] =
        [(&["alias", "list"], &["planted"]), (&["config", "get", "git_protocol"], &["ssh"])];
    differs("github", &gh.join("gh"), &questions).await;
}
