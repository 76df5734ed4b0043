//! A provider whose CLI is the scripted fake, configured as an operator would do it.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use super::Home;

/// The id of the provider.
pub(crate) const PROVIDER: &str = "fake";

/// The default script of the fake CLI: a URL, a paste, a login.
pub(crate) const HAPPY: &str = "\
dir-var FAKE_HOME
out Open https://login.fake.test/authorize?state=st4te&redirect_uri=https%3A%2F%2Flogin.fake.test%2Fcallback
outn Paste code here > 
read pasted
write credentials.json {\"access\":\"planted-token-access-{now_us}\",\"refresh\":\"planted-token-refresh\",\"email\":\"ann@fake.test\",\"id\":\"person-1\"}
out Logged in.
";

const ENTRY: &str = r#"
[providers.fake]
aliases = ["fake-cli"]
display-name = "Fake"
class = "oauth"

[providers.fake.cli]
binaries = ["fakecli"]
install = "build the examples of auth-spawner"
tested = "1.2.3"
url-hosts = ["login.fake.test"]
key-vars = ["FAKE_API_KEY"]
history = ["sessions"]
logout = ["logout"]
env = { FAKE_SCRIPT = "@SCRIPT@" }
token = { var = "FAKE_TOKEN", lifetime-s = 86400 }

[providers.fake.cli.config-dir]
var = "FAKE_HOME"
name = "fake"
ambient = "~/.fake"

[providers.fake.cli.credential]
path = "credentials.json"
requires = ["/access"]
refresh = "/refresh"
email = { pointer = "/email" }
subject = { pointer = "/id" }

[[providers.fake.cli.recipes]]
id = "pipe"
args = ["login"]
paste = { shapes = ["url", "code_state"], delivery = "stdin_line", form = "code_state" }
[providers.fake.cli.recipes.patterns]
prompt = 'Paste code here >\s*$'
logged-in = ['^Logged in']
denied = ['^Denied']

[[providers.fake.cli.recipes]]
id = "pty"
args = ["login", "--tty"]
terminal = { pty = {} }
paste = { shapes = ["url", "code_state"], delivery = "stdin_line", form = "code_state" }
[providers.fake.cli.recipes.patterns]
prompt = 'Paste code here >\s*$'
logged-in = ['^Logged in']
denied = ['^Denied']

[[providers.fake.cli.recipes]]
id = "device"
args = ["login", "--device"]
[providers.fake.cli.recipes.patterns]
device-code = 'code: (?P<code>[A-Z0-9-]+)$'
logged-in = ['^Logged in']
denied = ['^Denied']

[[providers.fake.cli.recipes]]
id = "token"
args = ["login"]
terminal = { pty = {} }
paste = { shapes = ["code_state"], delivery = "stdin_typed" }
[providers.fake.cli.recipes.patterns]
prompt = 'Paste code here >\s*$'
token = '(?P<token>fake-token-[a-z0-9]{20,})'
"#;

/// Creates a home whose daemon knows the provider. The script can be changed until a login starts.
pub(crate) fn home(script: &str) -> Home {
    let home = Home::new();
    let bin = home.dir("bin");
    crate::support::private_directory(&bin);
    std::fs::copy(program(), bin.join("fakecli")).unwrap();
    let entry = ENTRY.replace("@SCRIPT@", &home.dir("script").display().to_string());
    write_script(&home, script);
    home.config("providers.d/fake.toml", &entry).search(bin)
}

/// Changes the script of the next login. A script without cases is used for logins only, because the version is also
/// queried.
pub(crate) fn write_script(home: &Home, script: &str) {
    let whole =
        if script.contains("when ") { script.to_owned() } else { format!("{VERSION}when *\n{script}") };
    std::fs::write(home.dir("script"), whole).unwrap();
}

/// The script for the fake CLI's answer to `--version`.
const VERSION: &str = "when --version\nout fakecli 1.2.3\nexit 0\n";

/// Returns the fake CLI, which is built once. Cargo builds another crate's examples only when it tests that crate as
/// well.
fn program() -> PathBuf {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM
        .get_or_init(|| {
            let built = Command::new(env!("CARGO"))
                .args(["build", "--quiet", "--package", "auth-spawner", "--example", "fake_cli"])
                .status()
                .unwrap();
            assert!(built.success());
            // target/<profile>/deps/it-<hash> -> target/<profile>/examples/fake_cli
            let profile = std::env::current_exe().unwrap().ancestors().nth(2).unwrap().to_owned();
            profile.join("examples/fake_cli")
        })
        .clone()
}
