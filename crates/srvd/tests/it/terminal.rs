//! Logins at a terminal: a person's browser, a remote terminal, and typed input.

use std::ffi::OsStr;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use portable_pty::{Child, CommandBuilder, PtySize, native_pty_system};
use tokio::sync::watch;

use crate::fake::{self, HAPPY};
use crate::support::{Daemon, Home, PATIENCE};

/// A program on its own terminal, which is killed on drop.
pub(crate) struct Terminal {
    child: Box<dyn Child + Send + Sync>,
    keys: Box<dyn std::io::Write + Send>,
    screen: watch::Receiver<String>,
    reader: Option<std::thread::JoinHandle<()>>,
}

impl Terminal {
    /// Starts the program on a terminal of 100 columns and 40 rows, with exactly the command's environment.
    pub(crate) fn start(command: &Command) -> Self {
        let size = PtySize { rows: 40, cols: 100, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).unwrap();
        let mut builder = CommandBuilder::new(command.get_program());
        builder.args(command.get_args());
        builder.env_clear();
        for (name, value) in command.get_envs() {
            builder.env(name, value.unwrap());
        }
        builder.cwd(command.get_current_dir().unwrap());
        let child = pair.slave.spawn_command(builder).unwrap();
        let mut output = pair.master.try_clone_reader().unwrap();
        let keys = pair.master.take_writer().unwrap();
        let (sender, screen) = watch::channel(String::new());
        let reader = std::thread::spawn(move || {
            let (mut bytes, mut chunk) = (Vec::new(), [0; 4096]);
            // Linux reports the end of the other side as an error.
            while let Ok(count @ 1..) = output.read(&mut chunk) {
                bytes.extend_from_slice(&chunk[..count]);
                sender.send_replace(String::from_utf8_lossy(&bytes).into_owned());
            }
        });
        Self { child, keys, screen, reader: Some(reader) }
    }

    /// Waits until this text has appeared, and returns all output so far.
    pub(crate) async fn shows(&self, text: &str) -> String {
        let mut screen = self.screen.clone();
        let found = screen.wait_for(|shown| shown.contains(text));
        let found = tokio::time::timeout(PATIENCE, found).await.is_ok_and(|found| found.is_ok());
        let shown = self.screen.borrow().clone();
        assert!(found, "no {text:?} in\n{shown}");
        shown
    }

    /// Waits until this text has appeared `times` times.
    async fn shows_times(&self, text: &str, times: usize) {
        let mut screen = self.screen.clone();
        let found = screen.wait_for(|shown| shown.matches(text).count() >= times);
        let found = tokio::time::timeout(PATIENCE, found).await.is_ok_and(|found| found.is_ok());
        assert!(found, "no {times} times {text:?} in\n{}", *self.screen.borrow());
    }

    pub(crate) fn types(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    /// Waits for the end. Returns the exit code and all output.
    pub(crate) fn end(mut self) -> (u32, String) {
        let code = self.child.wait().unwrap().exit_code();
        self.reader.take().unwrap().join().unwrap();
        (code, self.screen.borrow().clone())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // A program that has ended cannot be killed.
        let _ = self.child.kill();
    }
}

/// Returns `srvd` with these arguments and variables, from a shell that afterwards shows the terminal's modes and reads
/// a line.
fn from_shell(home: &Home, args: &[&str], vars: &[(&str, &OsStr)]) -> Command {
    let own = home.command(args);
    let mut command = Command::new("/bin/sh");
    // The shell outlives a Ctrl-C; its child does not inherit that.
    let script = "trap : INT; \"$@\"; code=$?; stty -a; echo modes shown; read line; echo \"then <$line>\"; exit $code";
    command.args(["-c", script, "sh"]).arg(own.get_program()).args(own.get_args());
    command.env_clear().envs(own.get_envs().filter_map(|(name, value)| Some((name, value?))));
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
    let mut terminal = Terminal::start(&from_shell(home, &["login", "local", "--bundle", "Box"], &[]));
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
    let args = ["add-key", "openai", "--bundle", "Keys", "--no-validate"];
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
