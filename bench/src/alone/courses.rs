//! The scripted CLI as a provider, with a script for each kind of measurement.

use std::path::Path;

use anyhow::{Context as _, Result};

use crate::daemon::Home;

const ENTRY: &str = r#"
[providers.fake]
display-name = "Fake"
class = "oauth"

[providers.fake.cli]
binaries = ["fakecli"]
install = "build the examples of auth-spawner"
url-hosts = ["login.fake.test"]
env = { FAKE_SCRIPT = "@SCRIPT@" }

[providers.fake.cli.config-dir]
var = "FAKE_HOME"
name = "fake"
ambient = "~/.fake"

[providers.fake.cli.credential]
path = "credentials.json"
requires = ["/access"]
"#;

const RECIPE: &str = r#"
[[providers.fake.cli.recipes]]
id = "@ID@"
args = ["@ID@"]
terminal = @TERMINAL@
"#;

/// The terminals of a login: their names, and their values in a registry file.
pub(crate) const TERMINALS: [(&str, &str); 2] = [("pipe", "\"pipe\""), ("pty", "{ pty = {} }")];

/// The number of bytes in a flood.
pub(crate) const FLOOD: u32 = 200_000_000;

/// Names and scripts. A time in a URL is the moment at which the URL was printed.
const ALL: [(&str, &str); 6] = [
    // Prints the URL, then pauses as if waiting for a user.
    ("url", "out https://login.fake.test/authorize?t={now_us}\nsleep 60000\n"),
    (
        "crowd",
        "out https://login.fake.test/authorize?t={now_us}\nwait-file go\nwrite credentials.json {\"access\":\"{now_us}-{pid}\"}\n",
    ),
    (
        "flood",
        "out https://login.fake.test/authorize?t={now_us}\nflood @FLOOD@ \\e[2K\\r\\e[36m\\xe2\\xa0\\x8b\\e[0m Waiting for the browser...\\e[2K\\r\\e[36m\\xe2\\xa0\\x99\\e[0m Waiting for the browser...\\n\\e[1mSuccessfully fetched\\e[0m \\e[90mconfiguration from the server (attempt 3 of 10), 12.5 kB in 0.3 s\\e[0m\\r\\n  - If your browser did not open, copy the address above and open it yourself.\\r\\n\\r\\n\nout\nout https://login.fake.test/done?t={now_us}\nsleep 60000\n",
    ),
    // Logs in and leaves behind a process that holds the output open. That process exits on SIGTERM, on SIGKILL after a
    // grace period, or on an immediate SIGKILL.
    (
        "polite",
        "spawn-grandchild a polite\nwrite credentials.json {\"access\":\"{now_us}-{pid}\"}\nout https://login.fake.test/end?t={now_us}\n",
    ),
    (
        "stubborn",
        "spawn-grandchild b\nwrite credentials.json {\"access\":\"{now_us}-{pid}\"}\nout https://login.fake.test/end?t={now_us}\n",
    ),
    (
        "session",
        "spawn-grandchild c session\nwrite credentials.json {\"access\":\"{now_us}-{pid}\"}\nout https://login.fake.test/end?t={now_us}\n",
    ),
];

/// Adds the scripted CLI to a home, as the provider `fake`. For each terminal, each script becomes a recipe:
/// `url-pipe`, `url-pty`, and so on.
pub(crate) fn install(home: &Home, program: &Path) -> Result<()> {
    std::fs::copy(program, home.root.join("bin/fakecli")).with_context(|| program.display().to_string())?;
    let place = home.root.join("script").display().to_string();
    let (mut script, mut entry) = (String::new(), ENTRY.replace("@SCRIPT@", &place));
    for (course, steps) in ALL {
        for (name, terminal) in TERMINALS {
            let id = format!("{course}-{name}");
            let steps = steps.replace("@FLOOD@", &FLOOD.to_string());
            script.extend(["when ", &id, "\ndir-var FAKE_HOME\n", &steps]);
            entry.push_str(&RECIPE.replace("@ID@", &id).replace("@TERMINAL@", terminal));
        }
    }
    home.write("script", &script, 0o600)?;
    home.write("config/providers.d/fake.toml", &entry, 0o600)
}
