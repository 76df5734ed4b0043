//! The daemon, its guard, or both are killed. No CLI outlives them, and the next start reports the true state.

#![expect(clippy::print_stdout, reason = "seeds and figures are for whoever runs the tests")]

use std::collections::HashSet;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use serde_json::{Value, json};

use crate::support::{Daemon, Home, KEY, has_variable, is_over, processes, until};

/// The scripts of the CLIs by the name of the recipe. Each covers one difficulty at the end of a login.
const SCRIPT: &str = "\
when status
exit 0
when quick
dir-var FAKE_HOME
out https://login.fake.test/x
write credentials.json {\"access\":\"{now_us}\",\"email\":\"ann@fake.test\",\"id\":\"person-1\"}
out Logged in.
when slow
dir-var FAKE_HOME
out https://login.fake.test/x
sleep 120
write credentials.json {\"access\":\"{now_us}\",\"email\":\"ann@fake.test\",\"id\":\"person-1\"}
sleep 60
out Logged in.
when stubborn
ignore TERM
ignore HUP
ignore INT
out https://login.fake.test/x
hang
when family
spawn-grandchild one
spawn-grandchild two detach
out https://login.fake.test/x
hang
";
const COURSES: [&str; 4] = ["quick", "slow", "stubborn", "family"];

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

[providers.fake.cli.check]
args = ["status"]

[providers.fake.cli.credential]
path = "credentials.json"
requires = ["/access"]
email = { pointer = "/email" }
subject = { pointer = "/id" }
"#;

const RECIPE: &str = r#"
[[providers.fake.cli.recipes]]
id = "@COURSE@-@TERMINAL@"
args = ["@COURSE@"]
terminal = @VALUE@
patterns = { logged-in = ['^Logged in'] }
"#;

fn home() -> Home {
    let home = crate::support::fake::home(SCRIPT);
    let mut entry = ENTRY.replace("@SCRIPT@", &home.dir("script").display().to_string());
    for (terminal, value) in [("pipe", "\"pipe\""), ("pty", "{ pty = {} }")] {
        for course in COURSES {
            let recipe = RECIPE.replace("@COURSE@", course).replace("@TERMINAL@", terminal);
            entry.push_str(&recipe.replace("@VALUE@", value));
        }
    }
    home.config("providers.d/fake.toml", &entry).config("srvd.toml", "[spawn]\nlive_logins = 128\n")
}

async fn start(daemon: &Daemon, recipe: &str) -> String {
    let started = daemon.call("auth.start", json!({"providerId": "fake", "recipe": recipe})).await;
    started["sessionId"].as_str().unwrap().to_owned()
}

/// Starts every recipe once, and waits until each shows its address and its processes run.
async fn start_all(daemon: &Daemon) {
    let mut sessions = Vec::new();
    for terminal in ["pipe", "pty"] {
        for course in ["stubborn", "family"] {
            sessions.push(start(daemon, &format!("{course}-{terminal}")).await);
        }
    }
    for session in &sessions {
        daemon.session(session, |session| session["status"] == "url-available").await;
    }
    assert!(clis(&daemon.home).len() >= 8, "leaders and grandchildren run");
}

/// Returns the CLIs of a home and all processes that they started. These have the home's script in the environment.
fn clis(home: &Home) -> Vec<u32> {
    let mark = format!("FAKE_SCRIPT={}", home.dir("script").display());
    processes().filter(|pid| has_variable(*pid, &mark)).collect()
}

/// Returns the guards of a running daemon: its live children that were started as a guard.
fn guards(daemon: u32) -> Vec<u32> {
    let is_guard = |pid: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1));
        let arguments = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        parent == Some(daemon.to_string().as_str()) && arguments == b"srvd\0__guard\0"
    };
    processes().filter(is_guard).collect()
}

fn guard(daemon: &Daemon) -> u32 {
    let found = guards(daemon.pid());
    assert_eq!(found.len(), 1, "one guard:\n{}", daemon.log());
    found[0]
}

fn exists(pid: u32) -> bool {
    // A zombie process has no memory, and so no arguments.
    std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|arguments| !arguments.is_empty())
}

/// Returns whether a process has handlers for all these signals. The signals are a mask: bit 0 is signal 1.
fn hears(pid: u32, signals: u64) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
    u64::from_str_radix(caught.trim(), 16).unwrap() & signals == signals
}

fn signal(pid: u32, signal: Signal) {
    rustix::process::kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), signal).unwrap();
}

/// A small generator (xorshift64*), so that a failed round can be repeated with its seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }
}

const LANES: u64 = 5;
const ROUNDS: u64 = 40;

/// Results of the rounds.
#[derive(Debug, Default)]
struct Tally {
    /// The longest time that a CLI outlived its daemon.
    longest: Duration,
    successes: usize,
    cut_off: usize,
}

/// Runs one daemon after the other in the same directories.
async fn lane(seed: u64) -> Tally {
    let mut dice = Dice(seed);
    let mut home = home();
    let mut judged = HashSet::new();
    let mut tally = Tally::default();
    for round in 0..ROUNDS {
        let place = format!("seed {seed}, round {round}");
        let daemon = home.start();
        judge(&daemon, &mut judged, &mut tally, &place).await;
        let client = daemon.client().await;
        let logins = tokio::spawn(async move {
            loop {
                for recipe in shuffled(&mut dice) {
                    let params = json!({"providerId": "fake", "recipe": recipe});
                    // The daemon may be gone before it answers.
                    if client.call_raw("auth.start", &params).await.is_err() {
                        return dice;
                    }
                }
            }
        });
        let mut moment = Dice(seed ^ (round + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        tokio::time::sleep(Duration::from_millis(moment.below(400))).await;
        let guard = guard(&daemon);
        home = daemon.kill();
        dice = logins.await.unwrap();
        // In some rounds the next daemon starts while the guard is still working.
        if moment.below(4) > 0 {
            let took = tokio::task::spawn_blocking(move || {
                let took = until("a CLI outlives its daemon", || clis(&home).is_empty());
                until("the guard stays", || !exists(guard));
                (took, home)
            });
            let (took, same) = took.await.unwrap();
            home = same;
            tally.longest = tally.longest.max(took);
        }
    }
    let daemon = home.start();
    judge(&daemon, &mut judged, &mut tally, "the last boot").await;
    tally
}

/// Returns eight logins in random order, at most two of each course.
fn shuffled(dice: &mut Dice) -> Vec<String> {
    let terminals = ["pipe", "pty"];
    let mut all: Vec<String> =
        COURSES.iter().flat_map(|course| terminals.map(|terminal| format!("{course}-{terminal}"))).collect();
    for place in (1..all.len()).rev() {
        let other = usize::try_from(dice.below(place as u64 + 1)).unwrap();
        all.swap(place, other);
    }
    all
}

/// Checks the state after an earlier daemon: every session has ended with its true result, and no bundle is incomplete.
async fn judge(daemon: &Daemon, judged: &mut HashSet<String>, tally: &mut Tally, place: &str) {
    assert_eq!(clis(&daemon.home), Vec::<u32>::new(), "{place}: a CLI of an earlier daemon runs");
    let sessions = daemon.call("auth.list", json!({})).await["sessions"].clone();
    for session in sessions.as_array().unwrap() {
        assert!(is_over(session), "{place}: {session}");
        if !judged.insert(session["sessionId"].as_str().unwrap().to_owned()) {
            continue;
        }
        if session["status"] == "success" {
            tally.successes += 1;
            let account = daemon.call("account.get", json!({"accountId": session["accountId"]})).await;
            let file = Path::new(account["secretRef"]["dir"].as_str().unwrap()).join("credentials.json");
            let login: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
            assert_eq!(login["email"], "ann@fake.test", "{place}");
            let bundle = daemon.call("bundle.get", json!({"bundleId": session["bundleId"]})).await;
            assert_eq!(bundle["bindings"][0]["accountId"], session["accountId"], "{place}: {bundle}");
        } else {
            tally.cut_off += 1;
            assert_eq!(session["errorKind"], "daemon_restarted", "{place}: {session}\n{}", daemon.log());
        }
    }
    let bundles = daemon.call("bundle.list", json!({})).await["bundles"].clone();
    let known: HashSet<&str> =
        bundles.as_array().unwrap().iter().map(|bundle| bundle["id"].as_str().unwrap()).collect();
    let identities = daemon.home.dir("data/identities");
    let dirs: Vec<PathBuf> = match std::fs::read_dir(&identities) {
        Ok(entries) => entries.map(|entry| entry.unwrap().path()).collect(),
        Err(_) => Vec::new(),
    };
    for dir in dirs {
        let name = dir.file_name().unwrap().to_str().unwrap();
        assert!(known.contains(name), "{place}: {} belongs to no bundle\n{}", dir.display(), daemon.log());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn daemon_boot_leaves_no_partial_login_when_killed_at_random_moments() {
    let named = std::env::vars().find(|(name, _)| name == "SRVD_TEST_SEED");
    let seed = named.map_or(u64::from(std::process::id()) << 20 | 1, |(_, seed)| seed.parse().unwrap());
    println!("SRVD_TEST_SEED={seed}");
    let begun = Instant::now();
    let mut lanes = tokio::task::JoinSet::new();
    for number in 0..LANES {
        lanes.spawn(lane(seed + 2 * number));
    }
    let mut all = Tally::default();
    while let Some(tally) = lanes.join_next().await {
        let tally = tally.unwrap();
        all.longest = all.longest.max(tally.longest);
        all.successes += tally.successes;
        all.cut_off += tally.cut_off;
    }
    println!("{} rounds in {:?}: {all:?}", LANES * ROUNDS, begun.elapsed());
    assert!(all.successes > 0 && all.cut_off > 0, "the moments are spread over whole logins: {all:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn guard_ignores_signals_and_ends_with_the_daemon() {
    let daemon = home().start();
    let guard = guard(&daemon);
    until("the guard has not taken over its signals", || hears(guard, 0x4003));
    for meant_for_the_daemon in [Signal::TERM, Signal::INT, Signal::HUP] {
        signal(guard, meant_for_the_daemon);
    }
    start_all(&daemon).await;
    assert_eq!(guards(daemon.pid()), [guard]);
    let (status, home) = daemon.stop();
    assert_eq!(status.code(), Some(0));
    assert!(!exists(guard), "the daemon waits for its guard");
    assert_eq!(clis(&home), Vec::<u32>::new());
    let migrated = home.run(&["--migrate-only"]);
    let words = String::from_utf8_lossy(&migrated.stderr).into_owned();
    assert!(migrated.status.success() && !words.contains("guard"), "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn boot_ends_left_over_processes_when_daemon_and_guard_were_killed() {
    let daemon = home().start();
    start_all(&daemon).await;
    let guard = guard(&daemon);
    // A stopped daemon cannot start another guard before it is killed.
    signal(daemon.pid(), Signal::STOP);
    signal(guard, Signal::KILL);
    let home = daemon.kill();
    // The two that ignore it outlive the hangup of their terminals.
    assert!(clis(&home).len() >= 2);
    let again = home.start();
    let mut tally = Tally::default();
    judge(&again, &mut HashSet::new(), &mut tally, "after both were killed").await;
    assert_eq!((tally.successes, tally.cut_off), (0, 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn guard_is_replaced_when_killed_and_still_ends_all_logins() {
    let daemon = home().start();
    start_all(&daemon).await;
    let mut former = HashSet::new();
    for _ in 0..3 {
        let guard = guard(&daemon);
        assert!(former.insert(guard));
        signal(guard, Signal::KILL);
        until("no new guard", || guards(daemon.pid()).iter().any(|found| !former.contains(found)));
    }
    assert!(daemon.log().contains("the guard process is gone"), "{}", daemon.log());
    assert!(clis(&daemon.home).len() >= 8, "a guard's end is not the logins' end");
    // The guard is notified before the daemon reports the session.
    let session = start(&daemon, "stubborn-pipe").await;
    daemon.session(&session, |session| session["status"] == "url-available").await;
    let home = daemon.kill();
    until("a CLI outlives its daemon", || clis(&home).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn login_check_ends_with_the_daemon() {
    let mut home = home();
    let script = SCRIPT.replace("when status\n", "when status\nignore TERM\ntouch checking\nhang\n");
    crate::support::fake::write_script(&home, &script);
    for terminal in ["pipe", "pty"] {
        let daemon = home.start();
        start(&daemon, &format!("quick-{terminal}")).await;
        let checking = daemon.home.dir("checking");
        until("nothing is checked", || checking.exists());
        std::fs::remove_file(checking).unwrap();
        home = daemon.kill();
        until("a check outlives its daemon", || clis(&home).is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn version_probe_ends_with_the_daemon() {
    let home = home();
    let hangs = "#!/bin/sh\ntrap '' TERM\nwhile :; do sleep 1; done\n";
    std::fs::write(home.dir("bin/fakecli"), hangs).unwrap();
    let daemon = home.start();
    let client = daemon.client().await;
    let asking = tokio::spawn(async move { client.call_raw("provider.list", &json!({})).await });
    let of_this_home = format!("HOME={}", daemon.home.dir("home").display());
    let probes = || {
        let marked =
            |variables: &str| variables.split('\0').any(|found| found.starts_with("SRVD_SESSION=probe-"));
        let read = |pid: &u32| std::fs::read_to_string(format!("/proc/{pid}/environ")).unwrap_or_default();
        processes().filter(|pid| has_variable(*pid, &of_this_home) && marked(&read(pid))).count()
    };
    until("no version is asked for", || probes() > 0);
    let _home = daemon.kill();
    assert!(asking.await.unwrap().is_err());
    until("a probe outlives its daemon", || probes() == 0);
}

#[test]
fn guard_survives_garbage_in_bounded_memory() {
    let home = Home::new();
    let mut command = home.command(&["__guard"]);
    let mut guard = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut pipe = guard.stdin.take().unwrap();
    let mut dice = Dice(7);
    let noise: Vec<u8> = (0..1_000_000).map(|_| u8::try_from(dice.below(256)).unwrap()).collect();
    pipe.write_all(&noise).unwrap();
    pipe.write_all(&vec![b'x'; 20_000_000]).unwrap();
    for number in 0..100_000 {
        writeln!(pipe, "begin {number}\ngroup {number} {} 99999999999", number % 5).unwrap();
    }
    pipe.write_all(b"\ngroup 1 1 -\n").unwrap();
    let status = std::fs::read_to_string(format!("/proc/{}/status", guard.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().strip_suffix(" kB").unwrap().parse().unwrap();
    assert!(peak < 60_000, "{peak} KiB");
    drop(pipe);
    let mut words = String::new();
    guard.stderr.take().unwrap().read_to_string(&mut words).unwrap();
    assert_eq!((guard.wait().unwrap().code(), words.as_str()), (Some(0), ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn started_processes_hold_no_secret_of_the_daemon() {
    let daemon = home().start_with(|command| {
        command.env("OAUTH_ENCRYPTION_KEY", KEY).env("ANTHROPIC_API_KEY", "planted-stray-key")
    });
    start_all(&daemon).await;
    let guard = guard(&daemon);
    assert_eq!(std::fs::read(format!("/proc/{guard}/environ")).unwrap(), b"");
    for pid in clis(&daemon.home) {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap();
        let text = String::from_utf8_lossy(&environment);
        assert!(
            !text.contains(KEY) && !text.contains("planted-stray-key") && !text.contains("OAUTH_"),
            "{text}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn daemon_needs_few_threads_when_a_hundred_logins_run_on_terminals() {
    let daemon = home().start();
    let threads = || std::fs::read_dir(format!("/proc/{}/task", daemon.pid())).unwrap().count();
    let idle = threads();
    let mut most = idle;
    let mut clients = Vec::new();
    for _ in 0..10 {
        clients.push(daemon.client().await);
    }
    let logins = futures_util::future::join_all(clients.iter().map(async |client| {
        for _ in 0..10 {
            let params = json!({"providerId": "fake", "recipe": "stubborn-pty"});
            let session = client.call_raw("auth.start", &params).await.unwrap()["sessionId"].clone();
            daemon.session(session.as_str().unwrap(), |session| session["status"] == "url-available").await;
        }
    }));
    let mut look = tokio::time::interval(Duration::from_millis(10));
    tokio::pin!(logins);
    loop {
        tokio::select! {
            _ = &mut logins => break,
            _ = look.tick() => most = most.max(threads()),
        }
    }
    assert_eq!(clis(&daemon.home).len(), 100);
    println!("{idle} threads idle, {most} with a hundred logins on terminals");
    // The pool grows with the load of the machine, but by far less than a thread for each login.
    assert!(most <= idle + 16, "{idle} threads idle, {most} with a hundred logins");
}
