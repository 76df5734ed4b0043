//! Directories that are bound to a bundle, and the shims that use the binding.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::{Value, json};

use crate::logins::log_in;
use crate::support::fake;
use crate::support::{Daemon, Home};

/// A script of the fake CLI with a login. Started without arguments, the CLI records the directory that it received.
const SCRIPT: &str = "\
when login
dir-var FAKE_HOME
out https://login.fake.test/authorize?state=st4te&redirect_uri=https%3A%2F%2Flogin.fake.test%2Fcallback
outn Paste code here > 
read pasted
write credentials.json {\"access\":\"planted-{now_us}\",\"refresh\":\"r\",\"email\":\"ann@fake.test\",\"id\":\"person-1\"}
out Logged in.
when --version
out fakecli 1.2.3
when *
dump-env environment
exit 5
";

/// A provider whose login is the user's own.
const SECOND: &str = r#"
[providers.second]
display-name = "Second"
class = "oauth"
[providers.second.cli]
binaries = ["secondcli"]
install = "nowhere"
[providers.second.cli.config-dir]
var = "SECOND_HOME"
name = "second"
ambient = "~/.second"
[providers.second.cli.credential]
path = "credentials.json"
requires = ["/access"]
[[providers.second.cli.recipes]]
id = "login"
args = ["login"]
"#;

struct Place {
    daemon: Daemon,
    bundle: String,
    dir: PathBuf,
}

impl Place {
    /// Starts a daemon with a login in the bundle `Work`, and creates a directory of the user.
    async fn new() -> Self {
        let home = fake::home(SCRIPT).config("providers.d/second.toml", SECOND);
        crate::support::private_directory(&home.dir("home/.second"));
        std::fs::write(home.dir("home/.second/credentials.json"), r#"{"access": "a"}"#).unwrap();
        let daemon = home.start();
        let done = log_in(&daemon, json!({"recipe": "pipe", "bundleName": "Work"})).await;
        let dir = daemon.home.dir("home/project/deep");
        std::fs::DirBuilder::new().recursive(true).create(&dir).unwrap();
        Self { bundle: done["bundleId"].as_str().unwrap().to_owned(), dir, daemon }
    }

    fn home(&self) -> &Home {
        &self.daemon.home
    }

    /// Runs the program in the directory, with additional environment variables.
    fn run(&self, args: &[&str], vars: &[(&str, &str)]) -> Output {
        self.home().command(args).envs(vars.iter().copied()).current_dir(&self.dir).output().unwrap()
    }

    /// Binds the parent directory.
    fn bind(&self, bundle: &str) {
        let mut command = self.home().command(&["use", bundle]);
        let output = command.current_dir(self.dir.parent().unwrap()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    /// Returns the environment of the fake CLI's last start, and deletes the record.
    fn started_with(&self) -> Option<Vec<String>> {
        let file = self.home().dir("environment");
        let text = std::fs::read_to_string(&file).ok()?;
        std::fs::remove_file(file).unwrap();
        Some(text.lines().map(str::to_owned).collect())
    }

    /// Returns the variable that tells the CLI the directory of the login.
    fn login(&self) -> String {
        let dir = self.home().dir("data/identities").join(&self.bundle).join("fake");
        format!("FAKE_HOME={}", dir.display())
    }

    /// Returns the script that the CLI needs to run when it is not launched by srvd.
    fn script(&self) -> String {
        self.home().dir("script").display().to_string()
    }
}

fn told(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_owned()).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn directory_is_bound_shown_used_and_unbound() {
    let place = Place::new().await;
    let (code, out, errors) = told(&place.run(&["exec", "--", "env"], &[]));
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(errors.contains("project/deep is not bound to a bundle ("), "{errors}");
    assert!(errors.contains("\nhint: bind it with: srvd use BUNDLE"), "{errors}");
    for args in [&["which"][..], &["env"], &["use"]] {
        assert_eq!(told(&place.run(args, &[])).0, 1, "{args:?}");
    }
    let (code, _, errors) = told(&place.run(&["use", "nowhere"], &[]));
    assert!(code == 1 && errors.contains("no bundle has the id or the name"), "{errors}");

    place.bind("wORK");
    let file = place.dir.with_file_name(".srvd");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "Work\n");
    let (code, out, _) = told(&place.run(&["which", "--json"], &[]));
    let expected = json!({
        "bundleId": place.bundle, "bundleName": "Work", "file": file.canonicalize().unwrap(), "ready": true,
        "providers": [{"providerId": "fake", "ready": true}],
    });
    assert_eq!((code, serde_json::from_str::<Value>(&out).unwrap()), (0, expected));
    let (code, out, errors) = told(&place.run(&["exec", "--", "env"], &[]));
    assert_eq!((code, errors.as_str()), (0, ""));
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines.contains(&place.login().as_str()), "{lines:?}");
    assert!(lines.contains(&format!("SRVD_BUNDLE={}", place.bundle).as_str()), "{lines:?}");
    let (code, out, _) = told(&place.run(&["env"], &[]));
    assert!(code == 0 && out.contains(&format!("export SRVD_BUNDLE='{}'\n", place.bundle)), "{out}");

    // The bundle of an enclosing launch takes precedence over the directory.
    let (code, out, _) = told(&place.run(&["exec", "--", "env"], &[("SRVD_BUNDLE", "blank")]));
    // Nothing of the bundle of the directory is there: the CLI has an empty home.
    assert!(code == 0 && !out.contains(&place.login()) && out.contains("identities/blank/fake"), "{out}");

    // The error for an unknown bundle says where the bundle was named.
    std::fs::write(place.dir.join(".srvd"), "gone").unwrap();
    assert_eq!(told(&place.run(&["use", "--allow"], &[])).0, 0);
    let (code, _, errors) = told(&place.run(&["exec", "--", "env"], &[]));
    assert!(code == 1 && errors.contains("deep/.srvd; bind another one with"), "{errors}");
    let (code, out, errors) = told(&place.run(&["use", "--remove"], &[]));
    assert!(code == 0 && out.ends_with("project/deep is no longer bound\n"), "{out}");
    assert!(errors.starts_with("The bundle \"Work\" now applies here, because of "), "{errors}");
    assert_eq!(told(&place.run(&["use", "--remove"], &[])).0, 1);

    // A file with more than a name has no effect, and cannot be allowed.
    std::fs::write(&file, "Work\nexec = rm\n").unwrap();
    let (code, out, errors) = told(&place.run(&["exec", "--", "env"], &[]));
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(errors.contains("project/.srvd has no effect: it has more than one line"), "{errors}");
    let (code, _, errors) = told(&place.run(&["use", "--allow"], &[]));
    assert!(code == 78 && errors.contains("it has more than one line"), "{errors}");
}

#[tokio::test(flavor = "multi_thread")]
async fn binding_file_of_another_origin_has_no_effect_until_it_is_allowed() {
    let place = Place::new().await;
    place.daemon.call("bundle.create", json!({"name": "Other"})).await;
    place.bind("Work");
    // A checkout or an archive brings a file with it.
    let file = place.dir.join(".srvd");
    std::fs::write(&file, "Other\n").unwrap();
    let bundle = |place: &Place| {
        let (code, out, errors) = told(&place.run(&["which", "--json"], &[]));
        assert_eq!(code, 0, "{errors}");
        let answer: Value = serde_json::from_str(&out).unwrap();
        (answer["bundleName"].as_str().unwrap().to_owned(), errors)
    };
    let (name, errors) = bundle(&place);
    assert_eq!(name, "Work");
    let dir = place.dir.canonicalize().unwrap();
    let expected = format!(
        "srvd: {0}/.srvd has no effect: you have not bound the directory with it; to use the bundle \"Other\" there, \
         run in {0}: srvd use --allow\n",
        dir.display()
    );
    assert_eq!(errors, expected);
    let (code, out, _) = told(&place.run(&["exec", "--", "env"], &[]));
    assert!(code == 0 && out.contains(&format!("SRVD_BUNDLE={}", place.bundle)), "{out}");

    let (code, out, _) = told(&place.run(&["use", "--allow"], &[]));
    assert!(code == 0 && out.contains("use the bundle \"Other\""), "{out}");
    assert_eq!(bundle(&place), ("Other".to_owned(), String::new()));
    // A second time changes nothing.
    assert_eq!(told(&place.run(&["use", "--allow"], &[])).0, 0);
    std::fs::write(&file, "Work").unwrap();
    let (name, errors) = bundle(&place);
    assert!(name == "Work" && errors.contains("it has changed since you bound the directory"), "{errors}");
    let records = place.home().dir("data/bound");
    for record in std::fs::read_dir(&records).unwrap() {
        let mode = record.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    assert_eq!(std::fs::metadata(&records).unwrap().permissions().mode() & 0o777, 0o700);

    // The file and its record go together.
    assert_eq!(told(&place.run(&["use", "--remove"], &[])).0, 0);
    std::fs::write(&file, "Other\n").unwrap();
    assert!(bundle(&place).1.contains("you have not bound the directory with it"));
}

#[tokio::test(flavor = "multi_thread")]
async fn binding_file_of_another_user_is_never_obeyed() {
    if !rustix::process::geteuid().is_root() {
        // Only root can give a file to another user.
        return;
    }
    let place = Place::new().await;
    std::fs::write(place.dir.join(".srvd"), "Work\n").unwrap();
    assert_eq!(told(&place.run(&["use", "--allow"], &[])).0, 0);
    assert_eq!(told(&place.run(&["which"], &[])).0, 0);
    std::os::unix::fs::chown(place.dir.join(".srvd"), Some(12_345), None).unwrap();
    let (code, _, errors) = told(&place.run(&["which"], &[]));
    assert!(code == 1 && errors.contains(".srvd has no effect: it belongs to uid 12345"), "{errors}");
    let (code, _, errors) = told(&place.run(&["use", "--allow"], &[]));
    assert!(code == 78 && errors.contains("it belongs to uid 12345"), "{errors}");
}

#[tokio::test(flavor = "multi_thread")]
async fn unbound_directory_names_the_command_that_works_there() {
    let place = Place::new().await;
    std::fs::write(place.dir.join(".srvd"), "Work\n").unwrap();
    let (code, _, errors) = told(&place.run(&["exec", "--", "env"], &[]));
    assert!(
        code == 1 && errors.contains("hint: obey the file that is named above with: srvd use --allow"),
        "{errors}"
    );
    std::fs::set_permissions(&place.dir, Permissions::from_mode(0o777)).unwrap();
    let (code, _, errors) = told(&place.run(&["which"], &[]));
    let hint = format!("hint: Run: chmod go-w {}\n", place.dir.canonicalize().unwrap().display());
    assert!(code == 1 && errors.contains(&hint), "{errors}");
}

#[tokio::test(flavor = "multi_thread")]
async fn worktree_of_git_uses_the_bundle_of_its_repository() {
    let place = Place::new().await;
    let git = |dir: &Path, args: &[&str]| {
        let mut command = std::process::Command::new("git");
        command.args(["-c", "user.name=t", "-c", "user.email=t@x.test"]).args(args).current_dir(dir);
        let output = command.env("HOME", place.home().dir("home")).output();
        output.is_ok_and(|output| output.status.success())
    };
    let main = place.home().dir("home/main");
    std::fs::create_dir(&main).unwrap();
    assert!(git(&main, &["init", "-q"]), "this test needs git");
    assert!(git(&main, &["commit", "-q", "--allow-empty", "-m", "first"]));
    let tree = place.home().dir("home/trees/one");
    assert!(git(&main, &["worktree", "add", "-q", tree.to_str().unwrap()]));
    let which = |dir: &Path| told(&place.home().command(&["which"]).current_dir(dir).output().unwrap());
    assert_eq!(which(&tree).0, 1);
    let bound = place.home().command(&["use", "Work"]).current_dir(&main).output().unwrap();
    assert!(bound.status.success(), "{bound:?}");
    let (code, out, errors) = which(&tree);
    let expected = format!("Work (by {}/.srvd)", main.canonicalize().unwrap().display());
    assert!(code == 0 && out.starts_with(&expected), "{out} {errors}");
    // A directory that only claims to be a worktree is none.
    let fake = place.home().dir("home/fake");
    std::fs::create_dir(&fake).unwrap();
    std::fs::copy(tree.join(".git"), fake.join(".git")).unwrap();
    assert_eq!(which(&fake).0, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn binding_is_neither_read_nor_made_when_others_can_write_there() {
    let place = Place::new().await;
    place.bind("Work");
    let open = place.dir.parent().unwrap().to_owned();
    std::fs::set_permissions(&open, Permissions::from_mode(0o1777)).unwrap();
    let (code, out, errors) = told(&place.run(&["exec", "--", "env"], &[]));
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(errors.contains("project is not searched, because it is world-writable"), "{errors}");
    let output = place.home().command(&["use", "Work"]).current_dir(&open).output().unwrap();
    let (code, _, errors) = told(&output);
    assert!(code == 77 && errors.contains("cannot be bound"), "{errors}");
}

#[tokio::test(flavor = "multi_thread")]
async fn cli_starts_when_the_login_of_another_provider_is_missing() {
    let place = Place::new().await;
    let home = place.home();
    let add = json!({
        "providerId": "openai", "intoBundleId": place.bundle, "apiKey": "sk-proj-planted-secret-0123456789",
        "accountName": "Key", "validate": false
    });
    assert_eq!(place.daemon.call("auth.submitapikey", add).await["success"], true);
    let exec = |program: &str| told(&place.run(&["exec", "--bundle", "work", "--", program], &[]));
    let (code, _, errors) = exec("fakecli");
    assert_eq!((code, errors.as_str()), (5, ""));
    let lines = place.started_with().unwrap();
    assert!(lines.contains(&place.login()), "{lines:?}");
    assert!(lines.contains(&"OPENAI_API_KEY=sk-proj-planted-secret-0123456789".to_owned()), "{lines:?}");

    // Another provider's login is missing. A program of any kind is refused, but the CLI starts without that login.
    let second = place.daemon.call("account.list", json!({"providerId": "second"})).await;
    let bind = json!({"bundleId": place.bundle, "accountId": second["accounts"][0]["id"]});
    place.daemon.call("bundle.bind", bind).await;
    std::fs::write(home.dir("home/.second/credentials.json"), "{}").unwrap();
    let (code, _, errors) = exec("env");
    assert!(
        code == 1
            && errors
                .starts_with("srvd: second: credentials.json holds no login: the file has no access token\n"),
        "{errors}"
    );
    let (code, _, errors) = exec("fakecli");
    let said = "srvd: started without second: credentials.json holds no login: the file has no access token (srvd login second --bundle ";
    assert!(code == 5 && errors.starts_with(said), "{errors}");
    let lines = place.started_with().unwrap();
    assert!(lines.contains(&place.login()), "{lines:?}");
    assert!(lines.contains(&"OPENAI_API_KEY=sk-proj-planted-secret-0123456789".to_owned()), "{lines:?}");
    let (code, _, errors) = exec("secondcli");
    assert!(
        code == 1
            && errors
                .starts_with("srvd: second: credentials.json holds no login: the file has no access token\n"),
        "{errors}"
    );

    // The CLI's own login is required in any case.
    let dir = home.dir("data/identities").join(&place.bundle).join("fake");
    std::fs::write(dir.join("credentials.json"), "{}").unwrap();
    let (code, _, errors) = exec("fakecli");
    assert_eq!((code, place.started_with()), (1, None));
    assert!(
        errors.starts_with("srvd: fake: credentials.json holds no login: the file has no access token\nhint: srvd login fake --bundle "),
        "{errors}"
    );
}

/// Installs the shims. Returns their directory, and a `PATH` that begins with it.
fn install(place: &Place, args: &[&str]) -> (PathBuf, String) {
    let (code, out, errors) = told(&place.run(&[&["shims", "install"], args].concat(), &[]));
    assert_eq!(code, 0, "{errors}");
    assert!(out.lines().any(|row| row.starts_with("fakecli ")), "{out}");
    let dir = place.home().dir("data/shims");
    assert!(errors.contains(&format!("export PATH='{}':\"$PATH\"", dir.display())), "{errors}");
    let path = format!("{}:{}:/usr/bin:/bin", dir.display(), place.home().dir("bin").display());
    (dir, path)
}

/// Types the CLI's name at a shell in the directory.
fn type_it(place: &Place, path: &str, vars: &[(&str, &str)]) -> (i32, String, String) {
    type_line(place, "fakecli 'two words'", path, vars)
}

/// Types a line at a shell in the directory.
fn type_line(place: &Place, line: &str, path: &str, vars: &[(&str, &str)]) -> (i32, String, String) {
    let mut command = place.home().shell(line, &[]);
    command.env("PATH", path);
    command.envs(vars.iter().copied()).current_dir(&place.dir);
    told(&command.output().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn shim_starts_the_cli_as_the_bundle_of_the_directory() {
    let place = Place::new().await;
    let (dir, path) = install(&place, &["fakecli"]);
    let way_out = "hint: to run it once without srvd: SRVD_SHIM=off fakecli\n";

    let (code, _, errors) = type_it(&place, &path, &[("FAKE_SCRIPT", &place.script())]);
    assert_eq!((code, place.started_with()), (1, None), "never as the user's own login");
    assert!(errors.contains("is not bound to a bundle") && errors.ends_with(way_out), "{errors}");

    place.bind("Work");
    let (code, _, errors) = type_it(&place, &path, &[("FAKE_API_KEY", "stray")]);
    let removed = "srvd: removed FAKE_API_KEY: it would override the login of ann@fake.test\n";
    assert_eq!((code, errors.as_str()), (5, removed));
    let lines = place.started_with().unwrap();
    assert!(lines.contains(&place.login()) && !lines.iter().any(|line| line.contains("stray")), "{lines:?}");

    // `exec` skips the shim, given by name or by path, and uses the bundle that was named.
    let shim = dir.join("fakecli").display().to_string();
    for program in ["fakecli", &shim] {
        let args = ["exec", "--bundle", "work", "--", program];
        assert_eq!(told(&place.run(&args, &[("PATH", &path)])).0, 5, "{program}");
        assert!(place.started_with().unwrap().contains(&place.login()), "{program}");
    }
    // Programs that a launched program starts use the same bundle in every directory.
    std::fs::write(place.dir.join(".srvd"), "Blank").unwrap();
    let args = ["exec", "--bundle", "work", "--", "sh", "-c", "fakecli"];
    assert_eq!(told(&place.run(&args, &[("PATH", &path)])).0, 5);
    assert!(place.started_with().unwrap().contains(&place.login()));

    // The user can turn the shim off for one command. The variable is not passed on.
    let own = [("SRVD_SHIM", "off"), ("FAKE_SCRIPT", &*place.script()), ("FAKE_API_KEY", "own")];
    assert_eq!(type_it(&place, &path, &own).0, 5);
    let lines = place.started_with().unwrap();
    assert!(lines.contains(&"FAKE_API_KEY=own".to_owned()), "{lines:?}");
    assert!(
        !lines.iter().any(|line| line.starts_with("SRVD_SHIM=") || line.starts_with("FAKE_HOME=")),
        "{lines:?}"
    );
    assert_eq!(type_it(&place, &path, &[("SRVD_SHIM", "yes")]).0, 78);

    let (_, home) = place.daemon.stop();
    let mut command = home.command(&["exec", "--shim", "--bundle", "work", "--", "fakecli"]);
    let (code, _, errors) = told(&command.env("PATH", &path).output().unwrap());
    assert!(code == 69 && errors.ends_with(way_out), "{errors}");
}

#[tokio::test(flavor = "multi_thread")]
async fn shim_runs_the_cli_plainly_when_the_command_needs_no_identity() {
    let mut place = Place::new().await;
    let (_, path) = install(&place, &["fakecli"]);
    let vars = [("FAKE_SCRIPT", &*place.script())].map(|(name, value)| (name, value.to_owned()));
    let vars = vars.each_ref().map(|(name, value)| (*name, value.as_str()));
    let entry = "[providers.fake.cli]\nplain-commands = [\"update\"]\n";
    std::fs::write(place.home().dir("config/providers.d/plain.toml"), entry).unwrap();

    let check = |place: &Place| {
        let told = type_line(place, "fakecli --version", &path, &vars);
        assert_eq!(told, (0, "fakecli 1.2.3\n".to_owned(), String::new()));
        for command in ["update", "--help", "-h"] {
            let (code, _, errors) = type_line(place, &format!("fakecli {command}"), &path, &vars);
            let lines = place.started_with().unwrap_or_default();
            assert_eq!((code, errors.as_str()), (5, ""), "{command}");
            assert!(!lines.is_empty() && !lines.contains(&place.login()), "{command}: {lines:?}");
        }
    };
    check(&place);
    // Elsewhere in the line the word is an argument like any other.
    assert_eq!(type_line(&place, "fakecli -p update", &path, &vars).0, 1);
    assert_eq!(place.started_with(), None);
    place.bind("Work");
    check(&place);
    assert_eq!(type_line(&place, "fakecli -p update", &path, &[]).0, 5);
    assert!(place.started_with().unwrap().contains(&place.login()));
    // `exec` treats it as a command like any other.
    assert_eq!(told(&place.run(&["exec", "--", "fakecli", "update"], &[("PATH", &path)])).0, 5);
    assert!(place.started_with().unwrap().contains(&place.login()));

    place.daemon.halt();
    check(&place);
}

#[tokio::test(flavor = "multi_thread")]
async fn shim_fails_after_32_launches_when_a_wrapper_leads_back_to_it() {
    let place = Place::new().await;
    place.bind("Work");
    let (_, path) = install(&place, &[]);
    let wrappers = place.home().dir("wrappers");
    std::fs::create_dir(&wrappers).unwrap();
    std::fs::write(wrappers.join("fakecli"), "#!/bin/sh\nfakecli \"$@\"\n").unwrap();
    std::fs::set_permissions(wrappers.join("fakecli"), Permissions::from_mode(0o755)).unwrap();
    let (shims, rest) = path.split_once(':').unwrap();
    let (code, _, errors) = type_it(&place, &format!("{shims}:{}:{rest}", wrappers.display()), &[]);
    assert_eq!((code, place.started_with()), (1, None));
    assert!(errors.contains("there are too many nested launches: the limit is 32"), "{errors}");
}

#[tokio::test(flavor = "multi_thread")]
async fn shims_command_lists_and_removes_only_shims() {
    let place = Place::new().await;
    let (dir, path) = install(&place, &["fakecli"]);
    let list = |path: &str| {
        let (code, out, _) = told(&place.run(&["shims", "list", "--json"], &[("PATH", path)]));
        assert_eq!(code, 0);
        serde_json::from_str::<Value>(&out).unwrap()
    };
    let cli = place.home().dir("bin/fakecli");
    let shim = |first: bool, reaches: &Path| {
        let one = json!({
            "program": "fakecli", "path": dir.join("fakecli"), "first": first, "reaches": reaches, "leadsTo": cli
        });
        json!({"dir": dir, "shims": [one]})
    };
    assert_eq!(list(&path), shim(true, &dir.join("fakecli")));
    assert_eq!(list(place.home().dir("bin").to_str().unwrap()), shim(false, &cli));

    let bin = place.home().dir("bin");
    let args = ["shims", "install", "--dir", bin.to_str().unwrap(), "fakecli"];
    let (code, _, errors) = told(&place.run(&args, &[]));
    assert!(code == 73 && errors.contains("not an srvd shim, so not overwritten"), "{errors}");
    let (code, out, _) = told(&place.run(&["shims", "install", "fakecli"], &[("PATH", &path)]));
    assert!(code == 0 && out.contains("unchanged"), "{out}");

    std::fs::write(dir.join("mine"), "#!/bin/sh\n").unwrap();
    let (code, _, errors) = told(&place.run(&["shims", "remove", "mine"], &[]));
    assert!(code == 1 && errors.contains("mine is not an srvd shim and was not removed"), "{errors}");
    let (code, out, _) = told(&place.run(&["shims", "remove"], &[]));
    assert_eq!((code, out), (0, format!("removed {}\n", dir.join("fakecli").display())));
    let left: Vec<_> = std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["mine"]);
}
