//! A home whose file system hangs: a FUSE file system that is mounted and whose requests are never read.

use std::process::{Child, ChildStdin, Command, Stdio};

use serde_json::json;

use crate::logins::log_in;
use crate::support::fake::{self, HAPPY};
use crate::support::{Daemon, PATIENCE, private_directory, private_file};

/// Mounts the file system at `$1`. Each access to it waits until the shell ends.
const MOUNT: &str =
    "exec 3<>/dev/fuse && mount -i -t fuse.hang -o fd=3,rootmode=40000,user_id=0,group_id=0 none \"$1\"";

/// A mounted file system that hangs until it is dropped.
struct Hanging {
    shell: Child,
    input: Option<ChildStdin>,
}

impl Hanging {
    /// Mounts it where the daemon sees it, which needs the daemon's table of mounts.
    fn over(daemon: &Daemon, dir: &std::path::Path) -> Self {
        let mut shell = Command::new("nsenter");
        shell.arg(format!("--mount=/proc/{}/ns/mnt", daemon.pid()));
        shell.args(["sh", "-c", &format!("{MOUNT} && echo mounted && read -r line"), "sh"]).arg(dir);
        let mut shell = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = [0; 8];
        std::io::Read::read_exact(shell.stdout.as_mut().unwrap(), &mut said).unwrap();
        assert_eq!(&said, b"mounted\n");
        let input = shell.stdin.take();
        Self { shell, input }
    }
}

impl Drop for Hanging {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.shell.wait();
    }
}

/// Returns the beginning of a shell line that runs its last word with a directory that hangs; `None` if this machine has
/// no FUSE or no namespaces, which a test of the project's own must have.
pub(crate) fn shell_with_a_hanging_directory(dir: &str) -> Option<String> {
    let line = |dir: &str| format!("unshare --mount sh -c '{} && eval \"$2\"' sh \"{dir}\"", MOUNT);
    let tried = tempfile::tempdir().unwrap();
    let probe = format!("{} true", line(&tried.path().display().to_string()));
    let works = Command::new("sh").args(["-c", &probe]).output().is_ok_and(|done| done.status.success());
    let in_ci = std::env::vars().any(|(name, value)| name == "CI" && value == "true");
    assert!(works || !in_ci, "these tests need /dev/fuse and the right to mount");
    works.then(|| line(dir))
}

/// A launch and a look at an account whose home hangs end, and other accounts are used as before. The signal to stop ends
/// the daemon.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn launch_and_look_end_and_hold_no_other_when_a_home_hangs() {
    if shell_with_a_hanging_directory("/nowhere").is_none() {
        return;
    }
    let home = fake::home(HAPPY).config("srvd.toml", "shutdown_seconds = 2\n");
    let own = home.dir("home/.fake");
    private_directory(&own);
    let login = r#"{"access":"planted","refresh":"r","email":"ada@fake.test","id":"person-2"}"#;
    private_file(&own.join("credentials.json"), login.as_bytes());
    let daemon = home.start_with(|command| {
        let program = command.get_program().to_owned();
        let envs: Vec<_> =
            command.get_envs().map(|(name, value)| (name.to_owned(), value.map(ToOwned::to_owned))).collect();
        // The mount is seen in the daemon's own table only.
        *command = Command::new("unshare");
        command.args(["--mount", "--"]).arg(program).arg("serve").env_clear();
        command.envs(envs.into_iter().filter_map(|(name, value)| Some((name, value?))))
    });
    let other = log_in(&daemon, json!({"bundleName": "other"})).await;
    let accounts = daemon.call("account.list", json!({})).await;
    let adopted = accounts["accounts"].as_array().unwrap().iter().find(|one| one["email"] == "ada@fake.test");
    let adopted = adopted.unwrap_or_else(|| panic!("{accounts}"))["id"].clone();

    let hanging = Hanging::over(&daemon, &own);
    let begun = std::time::Instant::now();
    let hung = async {
        let client = daemon.client().await;
        let params = json!({"accountId": adopted});
        let look = client.call_raw("account.refreshstatus", &params);
        let launch = daemon.error("launch.resolve", json!({"bundleId": "default"}));
        tokio::join!(look, launch)
    };
    let others = async {
        for _ in 0..20 {
            daemon.call("launch.resolve", json!({"bundleId": other["bundleId"]})).await;
            daemon.call("bundle.list", json!({})).await;
            daemon.call("bundle.create", json!({})).await;
        }
        begun.elapsed()
    };
    let ((_, launch), _) =
        tokio::time::timeout(PATIENCE, async { tokio::join!(hung, others) }).await.unwrap();
    assert!(launch.message.contains("file system"), "{launch:?}");
    // While it hangs, the next one is refused at once, and no more threads are taken.
    let again = daemon.error("launch.resolve", json!({"bundleId": "default"})).await;
    assert!(again.message.contains("hangs"), "{again:?}");
    // The daemon ends although a thread of it hangs.
    let (status, home) = daemon.stop();
    assert_eq!(status.code(), Some(0));
    drop(hanging);
    assert_eq!(std::fs::read_to_string(home.dir("home/.fake/credentials.json")).unwrap(), login);
}
