//! The CLIs below `srvd exec`, reached in different ways, while the person's own home and environment are full of
//! credentials. The stand-in sees the credential of each request, and the kernel reports the files that are opened.

#![cfg(target_os = "linux")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::json;

use super::launched::shown;
use super::scene::Scene;
use crate::support::namespace::inside;
use crate::support::{clis, planted};

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
            ("../auggie/bin/auggie", "account status"),
        ] {
            if !clis().join(name).exists() {
                continue;
            }
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
