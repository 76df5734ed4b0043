//! The fitness of a login: settings in its place, another person's login, and the answer of its CLI.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::logins::log_in;
use crate::support::fake::{self, HAPPY, write_script};
use crate::support::{Daemon, Home, PATIENCE, is_late, patiently, private_directory};

/// Rules for the fake CLI: settings in its directory, of the system and of a project, and its answer.
pub(crate) const RULES: &str = r#"
[providers.fake.cli.who-am-i]
args = ["whoami"]
email = "/email"
expects = { "/method" = ["login"] }
logged-out = '^nobody$'

[[providers.fake.cli.shadows]]
path = "settings.json"
keys = ["/helper"]
variables = "/env"

[[providers.fake.cli.shadows]]
scope = "system"
path = "@SYSTEM@"
keys = ["/helper"]

[[providers.fake.cli.shadows]]
scope = "project"
path = ".fake/settings.json"
keys = ["/helper"]
"#;

/// A step that makes a file.
type Make<'a> = Box<dyn Fn() + 'a>;

/// A login in a bundle of the name `Work`.
struct World {
    daemon: Daemon,
    bundle: String,
    account: String,
}

impl World {
    async fn new() -> Self {
        let home = fake::home(HAPPY);
        let system = home.dir("etc/fake.json").display().to_string();
        let daemon = home.config("providers.d/rules.toml", &RULES.replace("@SYSTEM@", &system)).start();
        let done = log_in(&daemon, json!({"bundleName": "Work"})).await;
        let text = |field: &str| done[field].as_str().unwrap().to_owned();
        Self { bundle: text("bundleId"), account: text("accountId"), daemon }
    }

    fn home(&self) -> &Home {
        &self.daemon.home
    }

    /// The directory of the login.
    fn dir(&self) -> PathBuf {
        self.home().dir("data/identities").join(&self.bundle).join("fake")
    }

    async fn status(&self) -> Value {
        self.daemon.call("account.refreshstatus", json!({"accountId": self.account})).await
    }

    /// Waits until the account has this status without a request for a check.
    async fn becomes(&self, status: &str) -> Value {
        let follow = async {
            loop {
                let found = self.daemon.call("account.get", json!({"accountId": self.account})).await;
                if found["status"] == status {
                    return found;
                }
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, follow).await.unwrap_or_else(|_| panic!("never {status}"))
    }

    /// Tries to resolve a launch, and returns the kind of the refusal and its reason.
    async fn refusal(&self) -> (Value, Value) {
        let (_, data) = self.daemon.refused("launch.resolve", json!({"bundleId": self.bundle})).await;
        (data["kind"].clone(), data["reason"].clone())
    }

    /// Resolves a launch, and returns the account that it uses.
    async fn used(&self) -> Value {
        self.daemon.call("launch.resolve", json!({"bundleId": self.bundle})).await["accounts"][0].clone()
    }

    /// Runs `srvd exec` in a directory.
    fn exec(&self, dir: &Path, args: &[&str]) -> (i32, String, String) {
        let args = [&["exec", "--bundle", "Work"], args].concat();
        let output = self.home().command(&args).current_dir(dir).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }

    fn doctor(&self) -> Vec<Value> {
        let output = self.home().run(&["doctor", "--json"]);
        let mut all: Value = serde_json::from_slice(&output.stdout).unwrap();
        serde_json::from_value(all["findings"].take()).unwrap()
    }
}

fn found<'a>(findings: &'a [Value], id: &str) -> Option<(&'a str, &'a str)> {
    let finding = findings.iter().find(|finding| finding["id"] == id)?;
    Some((finding["severity"].as_str()?, finding["detail"].as_str()?))
}

/// Returns whether the CLI has answered the checkup.
fn answered(findings: &[Value]) -> bool {
    let ids = ["login.identity", "login.identity-confirmed", "login.identity-unclear"];
    let mut said = ids.into_iter().filter_map(|id| found(findings, id));
    said.next().is_some_and(|(_, detail)| !is_late(detail))
}

fn put(path: &Path, text: &str) {
    private_directory(path.parent().unwrap());
    std::fs::write(path, text).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn setting_in_place_of_the_login_is_named_by_status_launch_and_doctor() {
    let world = World::new().await;
    assert_eq!(world.status().await["status"], "valid");
    let settings = world.dir().join("settings.json");
    for (file, text, key) in [
        (&settings, r#"{"helper": "/bin/key"}"#, "helper"),
        (&settings, r#"{"env": {"FAKE_API_KEY": "planted-shadow-key"}}"#, "env.FAKE_API_KEY"),
        (&world.home().dir("etc/fake.json"), r#"{"helper": "/bin/key"}"#, "helper"),
    ] {
        put(file, text);
        let reason = format!("{} sets {key}, which its CLI uses in place of this login", file.display());
        let account = world.becomes("invalid").await;
        assert_eq!((&account["statusReason"], &account["evidence"]), (&json!(reason), &json!("file")));
        assert_eq!(account["nextStep"]["command"], format!("remove {key} from {}", file.display()));
        assert_eq!(world.refusal().await, (json!("shadowed"), json!(reason)));
        let ready = world.daemon.call("launch.ready", json!({"bundleId": world.bundle})).await;
        assert_eq!((&ready["ready"], &ready["providers"][0]["reason"]), (&json!(false), &json!(reason)));
        let (code, _, errors) = world.exec(Path::new("/"), &["--", "fakecli"]);
        assert!(code == 1 && errors.contains(&reason), "{errors}");
        let findings = world.doctor();
        let expected = format!("Fake: {} sets {key}", file.display());
        assert_eq!(found(&findings, "login.shadowed"), Some(("error", expected.as_str())));
        assert!(!serde_json::to_string(&findings).unwrap().contains("planted-shadow-key"));
        std::fs::remove_file(file).unwrap();
        world.becomes("valid").await;
    }
    put(&settings, r#"{"helper": "", "env": {"OTHER": "x"}, "theme": "dark"}"#);
    assert_eq!(world.status().await["status"], "valid");
    world.daemon.call("launch.resolve", json!({"bundleId": world.bundle})).await;
    assert_eq!(found(&world.doctor(), "login.shadowed"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_file_that_cannot_be_read_makes_the_status_unknown_and_hangs_nothing() {
    let world = World::new().await;
    let settings = world.dir().join("settings.json");
    let other = world.home().dir("elsewhere");
    let make: [(&str, Make<'_>); 4] = [
        ("not JSON with comments at line 1", Box::new(|| std::fs::write(&settings, "{ not json").unwrap())),
        (
            "it is not a regular file",
            Box::new(|| {
                let mode = rustix::fs::Mode::from_raw_mode(0o600);
                rustix::fs::mknodat(rustix::fs::CWD, &settings, rustix::fs::FileType::Fifo, mode, 0).unwrap();
            }),
        ),
        (
            "it is larger than 64 MiB",
            Box::new(|| {
                std::fs::File::create(&settings).unwrap().set_len(100 * 1024 * 1024).unwrap();
            }),
        ),
        (
            "it is not a regular file",
            Box::new(|| {
                std::fs::create_dir(&other).unwrap();
                symlink(&other, &settings).unwrap();
            }),
        ),
    ];
    for (why, make) in make {
        make();
        let reason = format!(
            "{} cannot be read: {why}, so it is not known which credential its CLI uses",
            settings.display()
        );
        let account = world.status().await;
        assert_eq!((&account["status"], &account["statusReason"]), (&json!("unknown"), &json!(reason)));
        assert_eq!(account["nextStep"]["command"], format!("correct or remove {}", settings.display()));
        let (kind, _) = world.refusal().await;
        assert_eq!(kind, "secret_unavailable");
        assert_eq!(found(&world.doctor(), "login.settings").map(|(severity, _)| severity), Some("error"));
        std::fs::remove_file(&settings).unwrap();
    }
    if rustix::process::geteuid().is_root() {
        std::fs::write(&settings, "{}").unwrap();
        std::os::unix::fs::chown(&settings, Some(12_345), None).unwrap();
        let account = world.status().await;
        let reason = account["statusReason"].as_str().unwrap();
        assert!(
            account["status"] == "unknown" && reason.contains("belongs to another user (uid 12345)"),
            "{reason}"
        );
        std::fs::remove_file(&settings).unwrap();
    }
    // A link to nothing sets nothing, as for the CLI.
    symlink(world.home().dir("nowhere"), &settings).unwrap();
    assert_eq!(world.status().await["status"], "valid");
}

#[tokio::test(flavor = "multi_thread")]
async fn login_of_another_person_is_refused_and_an_unnamed_one_is_unproven() {
    let world = World::new().await;
    let file = world.dir().join("credentials.json");
    let used = world.used().await;
    assert!(used.get("unproven").is_none(), "{used}");
    std::fs::write(&file, r#"{"access": "x", "email": "bob@fake.test", "id": "person-2"}"#).unwrap();
    assert_eq!(world.status().await["status"], "invalid");
    let another = (json!("identity_mismatch"), json!("its directory holds another person's login"));
    assert_eq!(world.refusal().await, another);
    let (code, _, errors) = world.exec(Path::new("/"), &["--", "fakecli"]);
    assert!(
        code == 1 && errors.contains("another person's login") && errors.contains("--replace-person"),
        "{errors}"
    );
    std::fs::write(&file, r#"{"access": "x"}"#).unwrap();
    assert_eq!(world.status().await["status"], "valid");
    let used = world.used().await;
    assert_eq!((&used["status"], &used["unproven"]), (&json!("valid"), &json!(true)));
}

#[tokio::test(flavor = "multi_thread")]
async fn exec_verify_starts_a_program_only_if_the_cli_confirms_the_account() {
    let world = World::new().await;
    let here = world.home().dir("home");
    let check = |answer: &str, program: &[&str], code: i32, words: &str| {
        let script = format!(
            "when --version\nout fakecli 1.2.3\nwhen whoami\n{answer}\nwhen *\nout started\nexit 5\n"
        );
        write_script(world.home(), &script);
        let args = [&["--verify", "--"], program].concat();
        let late = |(_, _, errors): &(i32, String, String)| is_late(errors);
        let (ended, out, errors) = patiently(|| world.exec(&here, &args), late);
        assert_eq!(ended, code, "{answer}: {out} {errors}");
        assert_eq!(out.contains("started"), code != 1, "{answer}: {out}");
        assert!(errors.contains(words), "{answer}: {errors}");
    };
    let fake = &["fakecli"][..];
    check(r#"out {"method": "login", "email": "Ann@fake.test"}"#, fake, 5, "");
    check(r#"out {"method": "login"}"#, fake, 5, "does not say as which person");
    check(r#"out {"method": "login", "email": "bob@fake.test"}"#, fake, 1, "the login of bob@fake.test");
    check(r#"out {"method": "api_key", "email": "ann@fake.test"}"#, fake, 1, "method is api_key");
    check("out nobody", fake, 1, "not logged in");
    check("out Logged in as ann@fake.test", fake, 1, "not understood");
    check("exit 3", fake, 1, "not understood");
    // Another program is started only if the CLIs of the launch confirm their accounts.
    let shell = &["/bin/sh", "-c", "echo started"][..];
    check(r#"out {"method": "login", "email": "ann@fake.test"}"#, shell, 0, "");
    check("out nobody", shell, 1, "Fake does not confirm the login of ann@fake.test");
}

#[tokio::test(flavor = "multi_thread")]
async fn project_setting_in_place_of_the_login_is_a_warning() {
    let world = World::new().await;
    write_script(world.home(), "when --version\nout fakecli 1.2.3\nwhen *\nexit 5\n");
    let project = world.home().dir("home/project");
    put(&project.join(".fake/settings.json"), r#"{"helper": "x"}"#);
    let warning = "srvd: warning: in this project, Fake may use another credential: ";
    let (code, _, errors) = world.exec(&project, &["--", "fakecli"]);
    assert!(code == 5 && errors.starts_with(warning), "{errors}");
    assert!(errors.contains("project/.fake/settings.json sets helper"), "{errors}");
    let (code, _, errors) = world.exec(&world.home().dir("home"), &["--", "fakecli"]);
    assert_eq!((code, errors.as_str()), (5, ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_asks_the_cli_of_each_account() {
    let world = World::new().await;
    let answer = |text: &str| {
        write_script(world.home(), &format!("when --version\nout fakecli 1.2.3\nwhen whoami\nout {text}\n"));
        patiently(|| world.doctor(), |findings| !answered(findings))
    };
    let findings = answer(r#"{"method": "login", "email": "ann@fake.test"}"#);
    let account = "Fake as ann@fake.test in \"Work\"";
    assert_eq!(found(&findings, "login.identity-confirmed"), Some(("ok", account)));
    let findings = answer(r#"{"method": "login", "email": "bob@fake.test"}"#);
    let wrong = format!("{account}: it would use the login of bob@fake.test");
    assert_eq!(found(&findings, "login.identity"), Some(("error", wrong.as_str())));
    let findings = answer("something else");
    let unclear = format!("{account}: the CLI's answer is not understood");
    assert_eq!(found(&findings, "login.identity-unclear"), Some(("warning", unclear.as_str())));
}
