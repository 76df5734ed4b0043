//! A network for one test, with loopback only, in which the vendors' names lead to a stand-in.
//!
//! A test that calls [`inside`] starts its own program again below `unshare`, for this test alone. The daemon, the
//! CLIs, the stand-in and the test then share a network, a table of hosts and a table of processes, separate from the
//! rest of the machine. Fixed ports never collide, no request reaches a vendor, and every process ends with the test.
//!
//! Root may create namespaces. Other users may where the kernel allows user namespaces. Elsewhere the tests are
//! skipped, unless `CI=true`.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use crate::standin::{ADDRESS, Standin, VENDORS};

/// Variable that is set for the program that runs inside.
const INSIDE: &str = "SRVD_TEST_INSIDE";

/// A network, a table of mounts and a table of processes. When `unshare` ends, all processes inside end.
const NAMESPACES: [&str; 6] = ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];
/// Additional options for a user without privileges, who is root inside.
const AS_A_USER: [&str; 2] = ["--user", "--map-root-user"];

/// Prepares the namespace and runs the remaining arguments in it. The shell stays, because the first process of a
/// namespace inherits its orphans and has to reap them.
const PREPARE: &str = r#"
set -e
PATH=$PATH:/usr/sbin:/sbin
ip link set lo up
ip address add "$2/32" dev lo
mount --bind "$1/hosts" /etc/hosts
[ ! -e /etc/nsswitch.conf ] || mount --bind "$1/nsswitch.conf" /etc/nsswitch.conf
shift 2
code=0
"$@" || code=$?
exit "$code"
"#;

/// Runs a test with a stand-in for all vendors, in its own network. The test is a closure in the body of the test
/// function, and has the name of that function.
pub(crate) fn inside<F: AsyncFnOnce(Standin)>(test: F) {
    if variable(INSIDE) {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(async { test(Standin::vendors().await).await });
        return;
    }
    let files = tempfile::tempdir().unwrap();
    tables(files.path());
    let mut command = match unshare(files.path()) {
        Ok(command) => command,
        Err(reason) => return skip(&reason),
    };
    let closure = std::any::type_name::<F>();
    let name = closure.split_once("::").and_then(|(_, path)| path.strip_suffix("::{{closure}}"));
    let name = name.unwrap_or_else(|| panic!("{closure} is no closure in a test"));
    command.arg(std::env::current_exe().unwrap()).args(["--exact", name, "--nocapture"]).env(INSIDE, "true");
    let output = command.output().unwrap();
    let [stdout, stderr] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert!(output.status.success(), "inside:\n{stdout}\n{stderr}");
    assert!(stdout.contains("1 passed"), "{name} was not run inside:\n{stdout}\n{stderr}");
}

/// Writes the files that define the known names.
fn tables(dir: &Path) {
    let mut hosts = "127.0.0.1 localhost\n::1 localhost\n".to_owned();
    for vendor in VENDORS {
        writeln!(hosts, "{ADDRESS} {vendor}").unwrap();
    }
    std::fs::write(dir.join("hosts"), hosts).unwrap();
    // Some systems ask a resolver first, which knows the machine's table of hosts.
    std::fs::write(dir.join("nsswitch.conf"), "passwd: files\ngroup: files\nhosts: files\n").unwrap();
}

/// Returns a command that runs its added arguments in a new namespace, or the reason why none can be created.
fn unshare(tables: &Path) -> Result<Command, String> {
    let enter = |more: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(NAMESPACES).args(more).args(["--", "sh", "-c", PREPARE, "sh"]).arg(tables).arg(ADDRESS);
        command
    };
    let mut reason = String::new();
    for more in [&[][..], &AS_A_USER] {
        match enter(more).arg("true").output() {
            Ok(output) if output.status.success() => return Ok(enter(more)),
            Ok(output) => reason = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; "),
            Err(error) => reason = format!("unshare: {error}"),
        }
    }
    Err(reason)
}

fn skip(reason: &str) {
    let text =
        format!("no network namespace can be made here (util-linux and iproute2 are needed): {reason}");
    assert!(!variable("CI"), "{text}");
    // Written directly, because `eprintln` is captured and not shown for a test that passes.
    writeln!(std::io::stderr(), "SKIPPED: {text}").unwrap();
}

#[expect(clippy::disallowed_methods, reason = "these say how the tests run, they are not a user's")]
fn variable(name: &str) -> bool {
    std::env::var(name).is_ok_and(|value| value == "true")
}

#[test]
fn namespace_reaches_only_the_stand_in() {
    use tokio::net::TcpStream;

    inside(async |_vendors| {
        for name in ["auth.openai.com:443", "claude.ai:443"] {
            assert!(TcpStream::connect(name).await.is_ok(), "{name}");
        }
        // An address from a documentation range, and a name that belongs to no vendor.
        for name in ["192.0.2.1:443", "example.com:443"] {
            assert!(TcpStream::connect(name).await.is_err(), "{name}");
        }
        let listener = tokio::net::TcpListener::bind("[::1]:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(TcpStream::connect(("localhost", port)).await.is_ok(), "localhost has both families");
    });
}
