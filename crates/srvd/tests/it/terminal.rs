//! Logins at a terminal: a person's browser, a remote terminal, and typed input.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::support::fake::{self, HAPPY};
use crate::support::terminal::Terminal;
use crate::support::{Daemon, Home, PATIENCE};

/// Returns `srvd` with these arguments and variables, from a shell that afterwards shows the terminal's modes and reads
/// a line.
fn from_shell(home: &Home, args: &[&str], vars: &[(&str, &OsStr)]) -> Command {
    // The shell outlives a Ctrl-C; its child does not inherit that.
    let script = "trap : INT; \"$@\"; code=$?; stty -a; echo modes shown; read line; echo \"then <$line>\"; exit $code";
    let mut command = home.shell(script, args);
    command.envs(vars.iter().copied()).env("TERM", "xterm").current_dir(home.dir("home"));
    command
}

/// Returns whether the modes that were shown last include the echo.
fn echoes(shown: &str) -> bool {
    let modes: Vec<&str> =
        shown.split_whitespace().filter(|word| matches!(*word, "echo" | "-echo")).collect();
    modes.last() == Some(&"echo")
}

/// Creates a browser of this name that records its address and its environment, and ends with this code.
fn browser(home: &Home, name: &str, code: u8) -> String {
    let path = home.dir(name);
    let text = format!("#!/bin/sh\nenv > '{0}.env'\necho \"$1\" > '{0}.url'\nexit {code}\n", path.display());
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path.display().to_string()
}

const CALLBACK: &str = "https://login.fake.test/callback?code=planted-code-123&state=st4te";
const URL: &str =
    "https://login.fake.test/authorize?state=st4te&redirect_uri=https%3A%2F%2Flogin.fake.test%2Fcallback";

#[tokio::test(flavor = "multi_thread")]
async fn login_opens_the_first_working_browser_of_the_list() {
    let daemon = fake::home(HAPPY).start();
    let home = &daemon.home;
    let (bad, good, spare) = (browser(home, "bad", 1), browser(home, "good", 0), browser(home, "spare", 0));
    let list = format!("/no/such/browser:{bad}:{good} %s:{spare}");
    let vars = [
        ("BROWSER", OsStr::new(&list)),
        ("OAUTH_ENCRYPTION_KEY", OsStr::new("planted-key")),
        ("MINE", OsStr::new("1")),
    ];
    let mut terminal = Terminal::start(&from_shell(home, &["login", "fake", "--recipe", "pipe"], &vars));
    terminal.shows("Opened in your browser.").await;
    terminal.shows("Paste the code or the address that the browser ended on: (not shown").await;
    terminal.types(&format!("{CALLBACK}\n"));
    terminal.shows("modes shown").await;
    terminal.types("\n");
    let (code, shown) = terminal.end();
    assert_eq!(code, 0, "{shown}");

    let file = |name: &str| std::fs::read_to_string(home.dir(name)).ok();
    assert_eq!(
        [file("bad.url"), file("good.url"), file("spare.url")],
        [Some(format!("{URL}\n")), Some(format!("{URL}\n")), None]
    );
    let environment = file("good.env").unwrap();
    assert!(environment.contains("MINE=1\n"), "{environment}");
    assert!(!environment.contains("SRVD_") && !environment.contains("planted-key"), "{environment}");
}

#[tokio::test(flavor = "multi_thread")]
async fn login_reports_that_no_browser_could_be_opened() {
    let daemon = fake::home(HAPPY).start();
    let home = &daemon.home;
    // A desktop without the variable, whose opener fails.
    browser(home, "bin/xdg-open", 3);
    browser(home, "bin/open", 3);
    let vars = [("DISPLAY", OsStr::new(":99"))];
    let mut terminal = Terminal::start(&from_shell(home, &["login", "fake", "--recipe", "pipe"], &vars));
    terminal.shows("No browser could be opened. Open the address above yourself.").await;
    terminal.types(&format!("{CALLBACK}\n"));
    let shown = terminal.shows("Logged in to fake as ann@fake.test").await;
    assert!(!shown.contains("Opened in your browser"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn remote_terminal_gets_the_login_by_a_code() {
    const SCRIPT: &str = "\
when --version
out fakecli 1.2.3
when login --device
dir-var FAKE_HOME
out Open https://login.fake.test/device and enter the
out code: ABCD-1234
wait-file go
write credentials.json {\"access\":\"planted-{now_us}\",\"email\":\"ann@fake.test\",\"id\":\"person-1\"}
out Logged in.
when login
out https://login.fake.test/authorize?redirect_uri=http%3A%2F%2Flocalhost%3A1%2F
hang
";
    let daemon = fake::home(SCRIPT).start();
    let home = &daemon.home;
    let vars = [("SSH_CONNECTION", OsStr::new("192.0.2.1 50000 192.0.2.2 22"))];
    let terminal = Terminal::start(&from_shell(home, &["login", "fake-cli"], &vars));
    terminal.shows("To use the default login instead: srvd login fake-cli --recipe pipe").await;
    let shown = terminal.shows("Enter this code there: ABCD-1234").await;
    assert!(shown.contains("A B C D - 1 2 3 4") && shown.contains('▀'), "{shown}");
    std::fs::write(home.dir("go"), "").unwrap();
    terminal.shows("Logged in to fake as ann@fake.test").await;

    // The recipe that was named is used. No QR code is shown for a login that only this machine can finish.
    let terminal = Terminal::start(&from_shell(home, &["login", "fake", "--recipe", "pipe"], &vars));
    let shown = terminal.shows("waiting for you to log in").await;
    assert!(shown.contains("redirect_uri") && !shown.contains('▀'), "{shown}");
}

const LOCAL: &str = r#"
[providers.local]
display-name = "Local"
class = "oauth"
[providers.local.cli]
binaries = ["localcli"]
install = "nowhere"
url-hosts = ["login.local.test"]
env = { FAKE_SCRIPT = "@SCRIPT@" }
[providers.local.cli.config-dir]
var = "LOCAL_HOME"
name = "local"
ambient = "~/.local-cli"
[providers.local.cli.credential]
path = "credentials.json"
requires = ["/access"]
email = { pointer = "/email" }
[[providers.local.cli.recipes]]
id = "login"
args = ["login"]
callback-ports = [@PORT@]
paste = { shapes = ["url", "code_state"], delivery = "callback_get" }
[providers.local.cli.recipes.patterns]
prompt = 'Waiting >\s*$'
logged-in = ['^Logged in']
"#;

const LOCAL_LOGIN: &str = "\
dir-var LOCAL_HOME
out https://login.local.test/authorize?state=st4te&redirect_uri=http%3A%2F%2Flocalhost%3A@PORT@%2Fcallback
outn Waiting > 
@THEN@
write credentials.json {\"access\":\"planted-{now_us}\",\"email\":\"ann@local.test\"}
out Logged in.
";

/// Starts a daemon with a CLI whose browser login ends at its own port, after the script in `then`. Returns the port as
/// well.
fn local(then: &str) -> (Daemon, u16) {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let home = fake::home(HAPPY);
    let script = home.dir("local-script");
    let fill = |text: &str| {
        let text = text.replace("@THEN@", then).replace("@PORT@", &port.to_string());
        text.replace("@SCRIPT@", &script.display().to_string())
    };
    std::fs::write(&script, fill(LOCAL_LOGIN)).unwrap();
    std::fs::copy(home.dir("bin/fakecli"), home.dir("bin/localcli")).unwrap();
    (home.config("providers.d/local.toml", &fill(LOCAL)).start(), port)
}

async fn appears(path: &Path) {
    let wait = async {
        while !path.exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("no {}", path.display()));
}

const OFFER: &str = "If the browser cannot reach this machine, paste the address that it ended on:";

#[tokio::test(flavor = "multi_thread")]
async fn pasted_address_finishes_a_login_whose_callback_the_browser_cannot_reach() {
    let (daemon, port) = local("listen @PORT@ request");
    let home = &daemon.home;
    let mut terminal =
        Terminal::start(&from_shell(home, &["login", "local", "--bundle", "Box", "--new"], &[]));
    let shown = terminal.shows(OFFER).await;
    assert!(!shown.contains('▀'), "a phone cannot finish it:\n{shown}");
    let address =
        |state: &str| format!("http://localhost:{port}/callback?code=planted-code-123&state={state}\n");
    terminal.types(&address("another"));
    terminal.shows("The input was not accepted: the answer belongs to another login attempt").await;
    terminal.shows_times(OFFER, 2).await;
    appears(&home.dir("request.ready")).await;
    terminal.types(&address("st4te"));
    terminal.shows("Logged in to local as ann@local.test in bundle \"Box\"").await;
    let shown = terminal.shows("modes shown").await;
    assert!(echoes(&shown), "{shown}");
    terminal.types("\n");
    let (code, shown) = terminal.end();
    assert_eq!(code, 0, "{shown}");
    assert!(!shown.contains("planted-code-123"), "the paste was shown:\n{shown}");
    let asked = std::fs::read_to_string(home.dir("request")).unwrap();
    assert_eq!(asked, "/callback?code=planted-code-123&state=st4te");
}

#[tokio::test(flavor = "multi_thread")]
async fn login_that_the_browser_finishes_ends_the_offer_to_paste() {
    let (daemon, _) = local("wait-file go");
    let home = &daemon.home;
    let mut terminal = Terminal::start(&from_shell(home, &["login", "local"], &[]));
    terminal.shows(OFFER).await;
    // An unfinished line appears neither on the screen nor in the shell.
    terminal.types("planted-half");
    std::fs::write(home.dir("go"), "").unwrap();
    terminal.shows("Logged in to local as ann@local.test").await;
    let shown = terminal.shows("modes shown").await;
    assert!(echoes(&shown), "{shown}");
    terminal.types("next\n");
    terminal.shows("then <next>").await;
    let (code, shown) = terminal.end();
    assert_eq!(code, 0, "{shown}");
    assert!(!shown.contains("planted-half"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn typed_api_key_is_not_shown() {
    let daemon = fake::home(HAPPY).start();
    let args = ["add-key", "openai", "--bundle", "Keys", "--new", "--no-validate"];
    let mut terminal = Terminal::start(&from_shell(&daemon.home, &args, &[]));
    terminal.shows("not shown").await;
    terminal.types("sk-proj-planted-0123456789abcdefghij\n");
    terminal.shows("Added an API key of openai").await;
    let shown = terminal.shows("modes shown").await;
    assert!(echoes(&shown) && !shown.contains("planted"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn interrupted_login_leaves_the_terminal_as_it_was() {
    let (daemon, _) = local("hang");
    let mut terminal = Terminal::start(&from_shell(&daemon.home, &["login", "local"], &[]));
    terminal.shows(OFFER).await;
    terminal.types("\u{3}");
    terminal.shows("srvd: the login was cancelled").await;
    let shown = terminal.shows("modes shown").await;
    assert!(echoes(&shown), "{shown}");
}
