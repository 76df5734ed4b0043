//! One table of launches. Each case runs as a bundle, as an instance of that bundle and as an agent of a user. The wire
//! methods `launch.resolve`, `launch.ready` and `profile.best` and the commands `srvd exec`, `srvd env` and `srvd which`
//! must agree about it.

use std::collections::BTreeMap;
use std::process::Output;

use identity_store::{BundleId, DestinationBundle, LoginCredential, SaveLogin};
use rpc_engine::CallError;
use serde_json::{Value, json};

use crate::standin::Standin;
use crate::support::planted;
use crate::support::{Daemon, Home, credentials, store};

const OPENAI: &str = "sk-proj-planted-secret-0123456789abcdefghij";
const GROQ: &str = "gsk_plantedsecret0123456789abcdefghijklmno";
const USER: &str = "u1";

/// A credential of a case.
#[derive(Clone, Copy)]
enum Held {
    /// A key that is stored.
    Key,
    /// A stored key that its provider has refused.
    Refused,
    /// A key that the command of this name prints.
    Command(&'static str),
}
use Held::{Command, Key, Refused};

/// The scripts of the commands that print keys, by name. Each prints a good key until the subjects are complete, because
/// a key is read when it is bound.
const COMMANDS: [(&str, &str); 4] = [
    ("prints", "echo $KEY"),
    ("fails", "echo planted; exit 7"),
    ("hangs", "exec sleep 600"),
    ("short", "echo planted"),
];

/// Returns the program and the arguments of the command of this name.
fn argv(home: &Home, name: &str) -> Value {
    let (_, script) = COMMANDS.iter().find(|(known, _)| *known == name).unwrap();
    let complete = home.dir("complete");
    json!([
        "/bin/sh",
        "-c",
        format!("KEY={OPENAI}; [ -e {} ] || exec echo $KEY; {script}", complete.display())
    ])
}

/// The error code, the reason for programs and the reason for people of a launch that fails.
type Failure = (i32, &'static str, &'static str);

struct Case {
    name: &'static str,
    held: &'static [(&'static str, Held)],
    /// The provider that the request names.
    named: Option<&'static str>,
    /// The variables that the launch sets.
    expect: Result<&'static [(&'static str, &'static str)], Failure>,
    /// The providers that are not ready, with the reason for people.
    unready: &'static [(&'static str, &'static str)],
}

const FAILED: &str = "the command failed (exit code 7)";
const LATE: &str = "the command timed out";
const SHORT: &str =
    "the key that the command printed is shorter than the 20 characters of this provider's keys";

const CASES: [Case; 11] = [
    Case {
        name: "good-key",
        held: &[("openai", Key)],
        named: None,
        expect: Ok(&[("OPENAI_API_KEY", OPENAI)]),
        unready: &[],
    },
    Case {
        name: "printed-key",
        held: &[("openai", Command("prints"))],
        named: None,
        expect: Ok(&[("OPENAI_API_KEY", OPENAI)]),
        unready: &[],
    },
    Case {
        name: "two-keys",
        held: &[("openai", Command("prints")), ("groq", Key)],
        named: None,
        expect: Ok(&[("GROQ_API_KEY", GROQ), ("OPENAI_API_KEY", OPENAI)]),
        unready: &[],
    },
    Case {
        name: "unusable-beside-good",
        held: &[("openai", Command("fails")), ("groq", Key)],
        named: None,
        expect: Ok(&[("GROQ_API_KEY", GROQ)]),
        unready: &[("openai", FAILED)],
    },
    Case {
        name: "unusable-named-beside-good",
        held: &[("openai", Command("fails")), ("groq", Key)],
        named: Some("openai"),
        expect: Err((1011, "backend_failed", FAILED)),
        unready: &[("openai", FAILED)],
    },
    Case {
        name: "only-unusable",
        held: &[("openai", Command("fails"))],
        named: None,
        expect: Err((1011, "backend_failed", FAILED)),
        unready: &[("openai", FAILED)],
    },
    Case {
        name: "printed-no-key",
        held: &[("openai", Command("short"))],
        named: None,
        expect: Err((1011, "backend_failed", SHORT)),
        unready: &[("openai", SHORT)],
    },
    Case {
        name: "refused",
        held: &[("openai", Refused)],
        named: None,
        expect: Err((1007, "its provider refused it", "its provider refused it")),
        unready: &[("openai", "its provider refused it")],
    },
    Case {
        name: "refused-beside-good",
        held: &[("openai", Refused), ("groq", Key)],
        named: None,
        expect: Ok(&[("GROQ_API_KEY", GROQ)]),
        unready: &[("openai", "its provider refused it")],
    },
    Case {
        name: "none",
        held: &[],
        named: None,
        expect: Err((1006, "no_stored_credentials", "no credential")),
        unready: &[],
    },
    Case {
        name: "named-that-has-none",
        held: &[("openai", Key)],
        named: Some("groq"),
        expect: Err((1006, "no_stored_credentials", "no credential of groq")),
        unready: &[("groq", "no credential of groq")],
    },
];

/// A command that hangs takes until the limit of the daemon. The subjects and commands wait for it together.
const HANGING: Case = Case {
    name: "hanging",
    held: &[("openai", Command("hangs"))],
    named: None,
    expect: Err((1011, "backend_failed", LATE)),
    unready: &[("openai", LATE)],
};

/// A running daemon with the subjects of the cases, and the provider that refuses every key.
struct Table {
    daemon: Daemon,
    _provider: Standin,
}

/// The subjects of one case, each as the parameters that name it.
struct Subjects {
    bundle: Value,
    instance: Value,
    agent: Value,
}

impl Table {
    async fn new(cases: &[Case]) -> Self {
        let standin = Standin::start().await;
        let home = Home::new();
        let secrets = COMMANDS.map(|(name, _)| {
            format!("[secrets.{name}]\nprovider = 'openai'\ncommand = {}\n", argv(&home, name))
        });
        let overlay = format!("[providers.openai.key]\nbase-url = '{}'\n", standin.url());
        let agents: String = cases.iter().map(|case| declaration(&home, case)).collect();
        let home = home.config("srvd.toml", &secrets.concat()).config("providers.d/standin.toml", &overlay);
        crate::support::private_file(&home.dir("config/agents.toml"), agents.as_bytes());
        Self { daemon: home.start(), _provider: standin }
    }

    /// Checks the cases, after the subjects of all of them are complete.
    async fn check_all(&self, cases: &[Case]) {
        let mut all = Vec::new();
        for case in cases {
            all.push((case, self.subjects(case).await));
        }
        std::fs::write(self.daemon.home.dir("complete"), "").unwrap();
        for (case, subjects) in all {
            Box::pin(self.check(case, &subjects)).await;
        }
    }

    async fn subjects(&self, case: &Case) -> Subjects {
        let bundle = self.daemon.call("bundle.create", json!({"name": case.name})).await["id"].clone();
        // An agent's launches are sealed, and a person's are not.
        self.daemon.call("bundle.update", json!({"bundleId": bundle, "unbound": "sealed"})).await;
        let made = json!({"definitionId": case.name, "bundleId": bundle});
        let instance = self.daemon.call("instance.create", made).await["id"].clone();
        for (provider, held) in case.held {
            self.bind(&bundle, provider, *held).await;
            self.bring(case.name, provider, *held).await;
        }
        Subjects {
            bundle: json!({"bundleId": bundle}),
            instance: json!({"instanceId": instance}),
            agent: json!({"agentId": case.name, "userId": USER}),
        }
    }

    /// Gives the credential to the bundle.
    async fn bind(&self, bundle: &Value, provider: &str, held: Held) {
        let mut params = json!({
            "providerId": provider, "intoBundleId": bundle, "accountName": provider, "validate": false,
        });
        match held {
            Command(name) => params["secretName"] = name.into(),
            Key | Refused => params["apiKey"] = key(provider).into(),
        }
        let done = self.daemon.call("auth.submitapikey", params).await;
        self.refuse(&done["accountId"], held).await;
    }

    /// Gives the credential to the agent of the user. A file declares the commands.
    async fn bring(&self, agent: &str, provider: &str, held: Held) {
        if matches!(held, Command(_)) {
            return;
        }
        let params =
            json!({"userId": USER, "agentId": agent, "providerId": provider, "apiKey": key(provider)});
        let done = self.daemon.call("profile.upsert", params).await;
        self.refuse(&done["accountId"], held).await;
    }

    /// Has the provider refuse the key of an account, if the case says so.
    async fn refuse(&self, account: &Value, held: Held) {
        if matches!(held, Refused) {
            let found = self.daemon.call("account.refreshstatus", json!({"accountId": account})).await;
            assert_eq!(found["status"], "invalid", "{found}");
        }
    }

    /// Asserts that the answers of all subjects, methods and commands are the expected ones.
    async fn check(&self, case: &Case, subjects: &Subjects) {
        let named = |subject: &Value| match case.named {
            Some(provider) => with(subject, json!({"providerId": provider})),
            None => subject.clone(),
        };
        let [bundle, instance, agent] = [&subjects.bundle, &subjects.instance, &subjects.agent].map(named);
        let (of_bundle, of_instance, of_agent, (), ()) = tokio::join!(
            self.answer(&bundle),
            self.answer(&instance),
            self.answer(&agent),
            self.best_agrees(case, &subjects.agent),
            async {
                for subject in [&subjects.bundle, &subjects.instance, &subjects.agent] {
                    self.commands_agree(case, subject).await;
                }
            },
        );
        assert_eq!(of_bundle, of_instance, "{}: the bundle, and its instance", case.name);
        assert_eq!(of_bundle, of_agent, "{}: the bundle, and the agent", case.name);
        let Answer { launch, ready } = of_bundle;
        match (case.expect, &launch) {
            (Ok(set), Ok(launch)) => {
                assert_eq!(launch["set"], variables(set), "{}", case.name);
                let unset: Vec<&str> = texts(&launch["unset"]);
                for name in ["OPENAI_API_KEY", "GROQ_API_KEY", "ANTHROPIC_API_KEY", "GITHUB_TOKEN"] {
                    let sets = set.iter().any(|(set, _)| *set == name);
                    assert_ne!(sets, unset.contains(&name), "{}: {name}", case.name);
                }
            }
            (Err((code, reason, _)), Err(error)) => {
                assert_eq!(
                    (&error["code"], &error["reason"]),
                    (&json!(code), &json!(reason)),
                    "{}",
                    case.name
                );
            }
            _ => panic!("{}: {launch:?}", case.name),
        }
        assert_eq!(ready["ready"], case.expect.is_ok() && case.unready.is_empty(), "{}", case.name);
        let unready: Vec<(&str, &str)> = ready["providers"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|one| one["ready"] == false)
            .map(|one| (one["providerId"].as_str().unwrap(), one["reason"].as_str().unwrap()))
            .collect();
        assert_eq!(unready, case.unready, "{}", case.name);
    }

    async fn answer(&self, params: &Value) -> Answer {
        let (launch, ready) = tokio::join!(
            self.asked("launch.resolve", params),
            self.daemon.call("launch.ready", params.clone())
        );
        let account = |one: &Value| json!([one["providerId"], one["status"], one.get("reason")]);
        let launch = launch.map(|launch| {
            let accounts = sorted(launch["accounts"].as_array().unwrap().iter().map(account).collect());
            json!({"set": credentials(&launch), "unset": launch["unset"], "accounts": accounts})
        });
        let mut ready = ready;
        for one in ready["providers"].as_array_mut().unwrap() {
            // The next step of a person is a command for a bundle and a method for an agent.
            one.as_object_mut().unwrap().remove("nextStep");
            if let Some(reason) = one.get("reason").and_then(Value::as_str).map(in_common) {
                one["reason"] = reason.into();
            }
        }
        ready["providers"] = sorted(ready["providers"].as_array().unwrap().clone());
        Answer { launch, ready }
    }

    /// Calls a method. An error has only the parts that must be the same for all subjects.
    async fn asked(&self, method: &str, params: &Value) -> Result<Value, Value> {
        match self.daemon.client().await.call_raw(method, params).await {
            Ok(answer) => Ok(answer),
            Err(CallError::Rpc(error)) => {
                let data = error.data.unwrap_or_default();
                let candidate = |one: &Value| json!([one["providerId"], one["status"], one["reason"]]);
                let candidates =
                    sorted(data["candidates"].as_array().unwrap().iter().map(candidate).collect());
                Err(json!({
                    "code": error.code, "kind": data["kind"], "reason": data["reason"],
                    "message": in_common(&error.message), "candidates": candidates,
                }))
            }
            Err(other) => panic!("{method} {params}: {other:?}"),
        }
    }

    /// Asserts that `profile.best` chooses the credential of the launch with each provider of the case, or fails as it
    /// does.
    async fn best_agrees(&self, case: &Case, agent: &Value) {
        let held = case.held.iter().map(|(provider, _)| *provider);
        let providers: Vec<&str> = match case.named {
            Some(provider) => vec![provider],
            None if case.held.is_empty() => vec!["openai"],
            None => held.collect(),
        };
        let each = providers.into_iter().map(async |provider| {
            let params = with(agent, json!({"providerId": provider}));
            let (best, launch) =
                tokio::join!(self.asked("profile.best", &params), self.asked("launch.resolve", &params));
            let best = best.map(|best| best.get("accountId").unwrap_or(&best["profileId"]).clone());
            let launch = launch.map(|launch| launch["accounts"][0]["accountId"].clone());
            assert_eq!(best, launch, "{}: {provider}", case.name);
        });
        futures_util::future::join_all(each).await;
    }

    /// Asserts that the commands agree with the expectation.
    async fn commands_agree(&self, case: &Case, subject: &Value) {
        let text = |name: &str| subject[name].as_str().unwrap_or_default();
        let (named, mark) = match (text("bundleId"), text("instanceId")) {
            ("", "") => (vec!["--agent", text("agentId"), "--user", USER], ("SRVD_AGENT", text("agentId"))),
            ("", instance) => (vec!["--instance", instance], ("SRVD_INSTANCE", instance)),
            (bundle, _) => (vec!["--bundle", bundle], ("SRVD_BUNDLE", bundle)),
        };
        let provider: Vec<&str> = case.named.map_or_else(Vec::new, |provider| vec!["--provider", provider]);
        let exec = [&["exec"][..], &named, &provider, &["--", "env"]].concat();
        let env = [&["env", "--shell", "json"][..], &named, &provider].concat();
        let which = [&["which", "--json"][..], &named].concat();
        let stray = [("OPENAI_API_KEY", "stray"), ("GROQ_API_KEY", "stray"), ("KEPT", "yes")];
        let (executed, env, which, ready) = tokio::join!(
            self.command(&exec, &stray),
            self.command(&env, &[]),
            self.command(&which, &[]),
            self.daemon.call("launch.ready", subject.clone()),
        );
        match case.expect {
            Ok(set) => {
                let wanted: BTreeMap<&str, &str> = set.iter().copied().chain([("KEPT", "yes")]).collect();
                let found = stdout(&executed);
                let found: BTreeMap<&str, &str> = found
                    .lines()
                    .filter_map(|line| line.split_once('='))
                    .filter(|(name, _)| name.ends_with("_KEY") || *name == "KEPT")
                    .collect();
                assert_eq!(found, wanted, "{}: exec", case.name);
                let printed: Value = serde_json::from_str(&stdout(&env)).unwrap();
                assert_eq!(printed["set"][mark.0], mark.1, "{}: env", case.name);
                let mut printed = credentials(&printed);
                printed.as_object_mut().unwrap().retain(|name, _| !name.starts_with("SRVD_"));
                assert_eq!(printed, variables(set), "{}: env", case.name);
                // A credential that cannot be had is reported by both commands.
                for (provider, reason) in case.unready {
                    let errors = String::from_utf8_lossy(&executed.stderr);
                    let line = format!("started without {provider}: {reason}");
                    assert!(errors.contains(&line), "{}: {errors}", case.name);
                }
            }
            Err((_, _, reason)) => {
                for output in [executed, env] {
                    let errors = in_common(&String::from_utf8_lossy(&output.stderr));
                    assert_eq!((output.status.code(), &*output.stdout), (Some(1), &b""[..]), "{errors}");
                    assert!(errors.contains(reason), "{}: {errors}", case.name);
                }
            }
        }
        let shown: Value = serde_json::from_str(&stdout(&which)).unwrap();
        assert_eq!(
            (&shown["ready"], &shown["providers"]),
            (&ready["ready"], &ready["providers"]),
            "{}: which",
            case.name
        );
    }

    async fn command(&self, args: &[&str], vars: &[(&str, &str)]) -> Output {
        let mut command = self.daemon.home.command(args);
        command.envs(vars.iter().copied()).current_dir(self.daemon.home.dir("home"));
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    }
}

/// The answers about one subject, without the parts that name the subject.
#[derive(Debug, PartialEq)]
struct Answer {
    launch: Result<Value, Value>,
    ready: Value,
}

/// Returns the declaration of the agent of a case, with its commands.
fn declaration(home: &Home, case: &Case) -> String {
    let command = |(provider, held): &(&str, Held)| match held {
        Command(name) => Some(format!("providers.{provider}.command = {}\n", argv(home, name))),
        Key | Refused => None,
    };
    let commands: String = case.held.iter().filter_map(command).collect();
    if commands.is_empty() { commands } else { format!("[[agents]]\nid = '{}'\n{commands}", case.name) }
}

fn key(provider: &str) -> &'static str {
    match provider {
        "groq" => GROQ,
        _ => OPENAI,
    }
}

fn variables(set: &[(&str, &str)]) -> Value {
    set.iter()
        .map(|(name, value)| ((*name).to_owned(), json!(value)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn with(params: &Value, more: Value) -> Value {
    let (Value::Object(mut all), Value::Object(more)) = (params.clone(), more) else { panic!("not objects") };
    all.extend(more);
    Value::Object(all)
}

/// Returns the entries in an order that does not depend on the subject. A bundle lists its accounts in the order of their
/// binding, an agent by provider.
fn sorted(mut entries: Vec<Value>) -> Value {
    entries.sort_by_key(Value::to_string);
    entries.into()
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect()
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Returns the text with the words for a missing credential that all subjects have in common.
fn in_common(text: &str) -> String {
    [
        ("the bundle does not bind an account of", "no credential of"),
        ("the bundle does not bind any account", "no credential"),
        ("the agent has no credential", "no credential"),
    ]
    .iter()
    .fold(text.to_owned(), |text, (own, common)| text.replace(own, common))
}

#[tokio::test(flavor = "multi_thread")]
async fn launch_answers_the_same_for_every_subject_method_and_command() {
    let table = Table::new(&CASES).await;
    Box::pin(table.check_all(&CASES)).await;
    assert!(!table.daemon.log().contains("planted"), "the log holds a key");
}

#[tokio::test(flavor = "multi_thread")]
async fn launch_fails_the_same_for_every_subject_when_the_key_command_hangs() {
    let table = Table::new(&[HANGING]).await;
    Box::pin(table.check_all(&[HANGING])).await;
}

/// Returns the row of a login in a bundle.
fn login(bundle: &BundleId, provider: &str, credential: LoginCredential) -> SaveLogin {
    planted::row(bundle, provider, credential)
}

/// A login that has expired and that nothing can renew needs a person, whatever its owner.
#[tokio::test(flavor = "multi_thread")]
async fn launch_names_the_next_action_when_the_login_has_expired() {
    let home = Home::new();
    let bundle: BundleId = "work".parse().unwrap();
    let rows = store(&home).await;
    let token = LoginCredential::Token("planted-token-0123456789".into());
    rows.save_login(SaveLogin { expires_at: Some(1), ..login(&bundle, "claude", token) }).await.unwrap();
    rows.close().await;
    let table = Table { daemon: home.start(), _provider: Standin::start().await };
    let made = json!({"definitionId": "expired", "bundleId": "work"});
    let instance = table.daemon.call("instance.create", made).await["id"].clone();
    let tokens = json!({"accessToken": "planted-token-0123456789", "expiresAt": 1});
    let params = json!({"userId": USER, "agentId": "expired", "providerId": "claude", "tokens": tokens});
    table.daemon.call("profile.upsert", params).await;
    for (subject, code, reason, text) in [
        (json!({"bundleId": "work"}), 1007, "it has expired", "claude: it has expired"),
        (json!({"instanceId": instance}), 1007, "it has expired", "claude: it has expired"),
        (json!({"agentId": "expired", "userId": USER}), 1007, "it has expired", "claude: it has expired"),
    ] {
        let Answer { launch, ready } = table.answer(&subject).await;
        let error = launch.unwrap_err();
        assert_eq!(
            (&error["code"], &error["reason"], &error["message"]),
            (&json!(code), &json!(reason), &json!(text)),
            "{subject}"
        );
        assert_eq!(error["candidates"][0][2], "it has expired", "{subject}");
        assert_eq!((&ready["ready"], &ready["providers"][0]["ready"]), (&json!(false), &json!(false)));
    }
    let params = json!({"agentId": "expired", "userId": USER, "providerId": "claude"});
    let best = table.asked("profile.best", &params).await;
    assert_eq!(best, table.asked("launch.resolve", &params).await);
    for command in [&["exec", "--bundle", "work", "--", "env"][..], &["env", "--bundle", "work"]] {
        let output = table.command(command, &[]).await;
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), &*output.stdout), (Some(1), &b""[..]), "{errors}");
        assert!(errors.contains("claude: it has expired"), "{errors}");
    }
}

/// Both CLIs live by `XDG_DATA_HOME`. They find their homes in one view of it, beside everything else of the person.
#[tokio::test(flavor = "multi_thread")]
async fn launch_holds_two_clis_that_live_by_one_variable() {
    let home = Home::new();
    let bundle: BundleId = "work".parse().unwrap();
    let rows = store(&home).await;
    let registry = auth_spawner::Registry::builtin().unwrap();
    let mut target = DestinationBundle::New { id: bundle.clone(), name: Some("work".to_owned()) };
    for provider in ["amp", "opencode"] {
        let cli = registry.provider(provider).unwrap().cli.as_ref().unwrap();
        let dir = home.dir("data/identities/work").join(&cli.config_dir.name);
        assert!(planted::login(cli, &dir, "ann@example.test"));
        let row = login(&bundle, provider, LoginCredential::Directory(dir));
        rows.save_login(SaveLogin { target, ..row }).await.unwrap();
        target = DestinationBundle::Existing(bundle.clone());
    }
    rows.close().await;
    crate::support::private_directory(&home.dir("home/.local/share/other"));
    let table = Table { daemon: home.start(), _provider: Standin::start().await };
    let subject = json!({"bundleId": "work"});
    let launch = table.daemon.call("launch.resolve", subject.clone()).await;
    let view = std::path::PathBuf::from(launch["set"]["XDG_DATA_HOME"].as_str().unwrap());
    let identities = table.daemon.home.dir("data/identities/work");
    for provider in ["amp", "opencode"] {
        let target = std::fs::read_link(view.join(provider)).unwrap();
        assert_eq!(target, identities.join(provider).join(provider));
    }
    let other = std::fs::read_link(view.join("other")).unwrap();
    assert_eq!(other, table.daemon.home.dir("home/.local/share/other"));
    assert_eq!(table.daemon.call("launch.ready", subject).await["ready"], true);
    for command in [&["exec", "--bundle", "work", "--", "env"][..], &["env", "--bundle", "work"]] {
        let shown = stdout(&table.command(command, &[]).await);
        assert!(shown.contains(view.to_str().unwrap()), "{shown}");
    }
    // The account that is left out is logged out.
    let alone = json!({"bundleId": "work", "providerId": "amp"});
    let launch = table.daemon.call("launch.resolve", alone).await;
    assert_eq!(launch["accounts"].as_array().unwrap().len(), 1);
    let alone = std::path::PathBuf::from(launch["set"]["XDG_DATA_HOME"].as_str().unwrap());
    let target = std::fs::read_link(alone.join("opencode")).unwrap();
    assert_eq!(target, identities.join(".left-out/opencode/opencode"));
    // The launch before still has its own view.
    assert_eq!(std::fs::read_link(view.join("opencode")).unwrap(), identities.join("opencode/opencode"));
}
