//! The CLIs as started by `srvd exec`. Each reads the directory of its bundle and none of the user's own files.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use auth_spawner::{Cli, Registry};
use identity_store::{BundleId, LoginCredential, SharePolicy};
use serde_json::{Value, json};

use super::home;
use crate::support::planted;
use crate::support::{Daemon, Home, files_below, optional, store};

/// Variables that direct every request to a vendor to a proxy that does not exist.
const NOWHERE: [(&str, &str); 3] = [
    ("ALL_PROXY", "http://127.0.0.1:9"),
    ("HTTP_PROXY", "http://127.0.0.1:9"),
    ("HTTPS_PROXY", "http://127.0.0.1:9"),
];

/// Reports the files below a directory that have been opened, as recorded by the kernel.
#[cfg(target_os = "linux")]
pub(super) mod watch {
    use std::collections::BTreeMap;
    use std::mem::MaybeUninit;
    use std::os::unix::ffi::OsStrExt as _;
    use std::path::{Path, PathBuf};

    use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
    use rustix::io::Errno;

    pub(in crate::real_clis) struct Watch {
        queue: rustix::fd::OwnedFd,
        dirs: BTreeMap<i32, PathBuf>,
    }

    impl Watch {
        /// Starts a watch of the directories below `root`.
        pub(in crate::real_clis) fn below(root: &Path) -> Self {
            let queue = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).unwrap();
            let (mut dirs, mut open) = (BTreeMap::new(), vec![root.to_owned()]);
            while let Some(dir) = open.pop() {
                let below = std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path());
                open.extend(below.filter(|path| path.is_dir()));
                dirs.insert(inotify::add_watch(&queue, &dir, WatchFlags::OPEN).unwrap(), dir);
            }
            // The search for the directories has opened them, so these events are discarded.
            let watch = Self { queue, dirs };
            watch.opened();
            watch
        }

        /// Returns the files that were opened since the last call, without directories.
        pub(in crate::real_clis) fn opened(&self) -> Vec<PathBuf> {
            let mut buffer = vec![MaybeUninit::uninit(); 64 * 1024];
            let mut events = Reader::new(&self.queue, &mut buffer);
            let mut found = Vec::new();
            loop {
                match events.next() {
                    Ok(event) if event.events().contains(ReadFlags::QUEUE_OVERFLOW) => {
                        panic!("events were lost")
                    }
                    Ok(event) if event.events().contains(ReadFlags::ISDIR) => {}
                    Ok(event) => {
                        let name = event.file_name().map(std::ffi::CStr::to_bytes).unwrap_or_default();
                        found.push(self.dirs[&event.wd()].join(std::ffi::OsStr::from_bytes(name)));
                    }
                    Err(Errno::AGAIN) => return found,
                    Err(error) => panic!("{error}"),
                }
            }
        }
    }
}

/// Creates a bundle with a planted login of a provider.
pub(super) async fn planted_bundle(home: &Home, provider: &str, cli: &Cli, bundle: &str) -> Option<PathBuf> {
    let bundle: BundleId = bundle.parse().unwrap();
    let dir = home.dir("data/identities").join(bundle.as_str()).join(&cli.config_dir.name);
    for made in [dir.parent().unwrap().parent().unwrap(), dir.parent().unwrap(), &dir] {
        crate::support::private_directory(made);
    }
    if !planted::login(cli, &dir, "work@example.test") {
        return None;
    }
    let store = store(home).await;
    let row = planted::row(&bundle, provider, LoginCredential::Directory(dir.clone()));
    store.save_login(row).await.unwrap();
    // A new bundle has the user's own settings, and these tests assert that a CLI reads no file of the user's.
    store.set_share_policy(&bundle, SharePolicy::NOTHING, 2).await.unwrap();
    store.close().await;
    Some(dir)
}

/// Returns a `srvd exec` command with stray credentials in the caller's environment.
fn exec(daemon: &Daemon, bundle: &str, provider: &str, program: &Path, args: &[&str]) -> Command {
    let program = program.to_str().unwrap();
    let mut command =
        daemon.home.command(&["exec", "--bundle", bundle, "--provider", provider, "--", program]);
    let work = daemon.home.dir("work");
    crate::support::private_directory(&work);
    command.args(args).envs(NOWHERE).current_dir(work);
    for stray in ["ANTHROPIC_API_KEY", "OPENAI_API_KEY", "CODEX_ACCESS_TOKEN", "GH_TOKEN", "GEMINI_API_KEY"] {
        command.env(stray, "stray-planted-0123456789");
    }
    command
}

pub(super) fn shown(output: &Output) -> String {
    let [out, err] =
        [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    format!("{:?}\n{out}\n{err}", output.status.code())
}

/// Commands with which a CLI reads its login without the vendor, in addition to its version and its check.
const QUESTIONS: [(&str, &[&str]); 3] =
    [("github", &["auth", "token"]), ("kimi-code", &["provider", "list"]), ("opencode", &["auth", "list"])];

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn launched_cli_opens_no_file_in_the_users_home() {
    let mut home = home();
    let others: Vec<PathBuf> = ["gh", "kimi-cli"].into_iter().filter_map(optional).collect();
    for dir in &others {
        home = home.search(dir);
    }
    let registry = Registry::builtin().unwrap();
    let places: Vec<PathBuf> = others.iter().cloned().chain([crate::support::clis()]).collect();
    let mut asked = Vec::new();
    for provider in registry.iter() {
        let Some(cli) = &provider.cli else { continue };
        // Both Kimi CLIs are called `kimi`.
        let mut dirs = places.iter().filter(|dir| (provider.id == "kimi") == dir.ends_with("kimi-cli/bin"));
        let found =
            dirs.find_map(|dir| cli.binaries.iter().map(|name| dir.join(name)).find(|path| path.exists()));
        let Some(program) = found else { continue };
        if planted_bundle(&home, &provider.id, cli, &provider.id).await.is_some() {
            asked.push((provider.clone(), program));
        }
    }
    let daemon = home.start();
    // The user's own logins are created after the start, so that the daemon does not take them over.
    let user = daemon.home.dir("home");
    for provider in registry.iter() {
        if let Some(cli) = &provider.cli {
            planted::login(cli, &cli.config_dir.own(&user), "user@example.test");
        }
    }
    for (path, text) in [
        (".claude/settings.json", "{\"env\":{\"ANTHROPIC_API_KEY\":\"stray\"}}"),
        (".claude.json", "{\"primaryApiKey\":\"stray\"}"),
        (".config/anthropic/active_config", "default"),
        (".config/anthropic/configs/default.json", "{}"),
        (".codex/config.toml", ""),
        (".gemini/settings.json", "{}"),
        (".copilot/settings.json", "{}"),
        (".config/opencode/opencode.json", "{}"),
    ] {
        let path = user.join(path);
        crate::support::private_directory(path.parent().unwrap());
        std::fs::write(path, text).unwrap();
    }
    let before = files_below(&user);
    let watch = watch::Watch::below(&user);
    // The watch must report this read.
    std::fs::read(user.join(".claude/settings.json")).unwrap();
    assert_eq!(watch.opened(), [user.join(".claude/settings.json")]);
    let mut answered = Vec::new();
    for (provider, program) in &asked {
        let cli = provider.cli.as_ref().unwrap();
        let check = cli.check.iter().map(|check| check.args.clone());
        let more = QUESTIONS.iter().filter(|(id, _)| *id == provider.id);
        let more = more.map(|(_, args)| args.iter().map(|word| (*word).to_owned()).collect());
        for args in std::iter::once(cli.version_args.clone()).chain(check).chain(more) {
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            let output = exec(&daemon, &provider.id, &provider.id, program, &args).output().unwrap();
            let opened = watch.opened();
            assert!(opened.is_empty(), "{} {args:?} opened {opened:?}\n{}", provider.id, shown(&output));
        }
        answered.push(provider.id.as_str());
    }
    assert_eq!(files_below(&user), before, "nothing was written there either");
    for id in ["amp", "claude", "codex", "copilot", "gemini", "kimi-code", "opencode", "pi"] {
        assert!(answered.contains(&id), "{id} was not asked: {answered:?}");
    }
}

/// Writes a complete Claude login that its status command accepts.
pub(super) fn claude_login(dir: &Path, email: &str) {
    let login = json!({"claudeAiOauth": {
        "accessToken": "sk-ant-oat01-planted", "refreshToken": "sk-ant-ort01-planted", "expiresAt": 4_102_444_800_000_u64,
        "scopes": ["user:inference", "user:profile"], "subscriptionType": "max",
    }});
    let account = json!({"oauthAccount": {"emailAddress": email, "accountUuid": email}});
    std::fs::write(dir.join(".credentials.json"), login.to_string()).unwrap();
    std::fs::write(dir.join(".claude.json"), account.to_string()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn launched_clis_use_their_own_login_when_two_bundles_run_concurrently() {
    let mut home = home();
    let gh = optional("gh");
    if let Some(gh) = &gh {
        home = home.search(gh);
    }
    let registry = Registry::builtin().unwrap();
    let clis = crate::support::clis();
    for person in ["ann", "bob"] {
        for provider in ["claude", "codex", "github"] {
            let cli = registry.provider(provider).unwrap().cli.as_ref().unwrap();
            let dir = planted_bundle(&home, provider, cli, &format!("{person}-{provider}")).await.unwrap();
            match provider {
                "claude" => claude_login(&dir, &format!("{person}@example.test")),
                // The status of Codex names no person, but Codex rejects an invalid token.
                "codex" if person == "bob" => {
                    let tokens = json!({"id_token": "none", "access_token": planted::token("bob"), "refresh_token": "r"});
                    let login = json!({"auth_mode": "chatgpt", "tokens": tokens});
                    std::fs::write(dir.join("auth.json"), login.to_string()).unwrap();
                }
                "codex" => {
                    let token = planted::token("ann@example.test");
                    let tokens = json!({"id_token": token, "access_token": token, "refresh_token": "r", "account_id": "a"});
                    let login = json!({"auth_mode": "chatgpt", "tokens": tokens, "last_refresh": "2026-11-20T00:00:00Z"});
                    std::fs::write(dir.join("auth.json"), login.to_string()).unwrap();
                }
                _ => {
                    let hosts = format!("github.com:\n    user: {person}\n    oauth_token: gho_{person}\n");
                    std::fs::write(dir.join("hosts.yml"), hosts).unwrap();
                }
            }
        }
    }
    let daemon = home.start();
    let run = |person: &str, provider: &str, program: PathBuf, args: &[&str]| {
        let mut command = exec(&daemon, &format!("{person}-{provider}"), provider, &program, args);
        tokio::task::spawn_blocking(move || command.output().unwrap())
    };
    let people = ["ann", "bob"];
    let claude = people.map(|person| run(person, "claude", clis.join("claude"), &["auth", "status"]));
    let codex = people.map(|person| run(person, "codex", clis.join("codex"), &["login", "status"]));
    let tokens = gh.map(|gh| people.map(|person| run(person, "github", gh.join("gh"), &["auth", "token"])));
    for (person, asked) in people.into_iter().zip(claude) {
        let output = asked.await.unwrap();
        let status: Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", shown(&output)));
        let email = format!("{person}@example.test");
        // With both the login and the stray key, the method would be `api_key`, without an address.
        assert_eq!(
            (&status["authMethod"], &status["email"]),
            (&json!("claude.ai"), &json!(email)),
            "{status}"
        );
    }
    for ((person, asked), expected) in people.into_iter().zip(codex).zip([Some(0), Some(1)]) {
        let output = asked.await.unwrap();
        assert_eq!(output.status.code(), expected, "{person}: {}", shown(&output));
    }
    for (person, asked) in people.into_iter().zip(tokens.into_iter().flatten()) {
        let output = asked.await.unwrap();
        assert_eq!(
            String::from_utf8_lossy(&output.stdout).trim(),
            format!("gho_{person}"),
            "{}",
            shown(&output)
        );
    }
}
