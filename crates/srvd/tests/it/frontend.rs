//! The example frontend, run as a frontend developer would run it.

use std::process::Command;

use serde_json::json;

use crate::support::clis;
use crate::support::fake;
use crate::support::program::Program;

const EXAMPLE: &str = include_str!("../../../../examples/frontend.mjs");

const DEVICE: &str = "\
dir-var FAKE_HOME
out Go to https://login.fake.test/device
out and enter code: ABCD-1234
wait-file approved
write credentials.json {\"access\":\"a\",\"email\":\"ann@fake.test\"}
out Logged in.
";

#[tokio::test(flavor = "multi_thread")]
async fn frontend_example_logs_in() {
    let daemon = fake::home(DEVICE).start();
    let mut node = Command::new(clis().join("node"));
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/frontend.mjs");
    node.env_clear().arg(example).arg(daemon.home.dir("run/endpoint.json")).args(["fake", "device"]);
    let frontend = Program::start(node);
    frontend.says("enter ABCD-1234 at https://login.fake.test/device\n").await;
    std::fs::write(daemon.home.dir("approved"), "").unwrap();
    let ended = frontend.end().await;
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{ended:?}");

    let account = daemon.call("account.list", json!({})).await["accounts"][0].clone();
    let bundle = account["boundTo"][0].as_str().unwrap();
    let mut lines: Vec<&str> = ended.stdout.lines().filter(|line| !line.starts_with("open ")).collect();
    let logged_in = format!("logged in ann@fake.test in bundle {bundle}");
    let changed = format!("event identitybundlebindings:changed:{bundle}");
    // The order of the event and the answer is not fixed, and more than one event may arrive.
    lines.sort_unstable();
    lines.dedup();
    assert_eq!(
        lines,
        ["enter ABCD-1234 at https://login.fake.test/device", changed.as_str(), logged_in.as_str()]
    );
}

#[test]
fn readme_contains_the_frontend_example_unchanged() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md")).unwrap();
    assert!(readme.contains(&format!("```js\n{EXAMPLE}```\n")), "README.md shows another example");
}
