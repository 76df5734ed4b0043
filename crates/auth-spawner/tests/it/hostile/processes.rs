//! Child processes that do not exit, or that are hard to find.

use std::time::Duration;

use auth_spawner::{FailureKind, State};
use futures_util::future::join_all;

use super::{
    Course, EXPIRED, NOT_AUTHENTICATED, SUCCESS, URL, YES, cancelled, cli_exited, ends, limited, run_all,
};
use crate::harness::{LOGIN, PATIENCE, TERMINALS, World, marked, runs};

const STUBBORN: &str = "ignore TERM\nignore INT\nignore HUP\n";

#[tokio::test]
async fn login_ends_every_process_of_a_cli_that_hangs_or_leaves_some_behind() {
    let expires = |name, script: &str| Course { deadline: 1000, ..Course::new(name, script, EXPIRED) };
    let good = |name, script: String| Course::new(name, script, SUCCESS);
    let closed = "close stdin\nclose stdout\nclose stderr\n";
    let courses = [
        expires("silent forever", "hang\n"),
        expires("silent and ignores signals", &format!("{STUBBORN}hang\n")),
        expires("silent after a URL", &format!("out {URL}\nhang\n")),
        expires("closes its output and keeps running", "close stdout\nclose stderr\nhang\n"),
        expires("closes everything and keeps running", &format!("{closed}{STUBBORN}hang\n")),
        good("closes everything and logs in", format!("{closed}write auth.json {LOGIN}\nhang\n")),
        good("closes everything, logs in and exits", format!("{closed}write auth.json {LOGIN}\n")),
        good("logs in and never exits", format!("{STUBBORN}write auth.json {LOGIN}\nout Logged in\nhang\n")),
        Course::new("leaves a grandchild with the output", "spawn-grandchild a\nexit 0\n", NOT_AUTHENTICATED),
        Course::new("leaves one in its own group", "spawn-grandchild a detach\nexit 4\n", cli_exited(4)),
        Course::new("leaves one in its own session", "spawn-grandchild a session\nexit 4\n", cli_exited(4)),
        Course::new("forks twice", "spawn-grandchild a orphan\nexit 4\n", cli_exited(4)),
        good("logs in and leaves a grandchild", format!("spawn-grandchild a\nwrite auth.json {LOGIN}\n")),
        good(
            "logs in and forks twice",
            format!("spawn-grandchild a orphan\nwrite auth.json {LOGIN}\nout Logged in\n"),
        ),
        good(
            "logs in, forks twice and keeps running",
            format!("spawn-grandchild a orphan\nwrite auth.json {LOGIN}\nhang\n"),
        ),
    ];
    run_all(&courses, |course, world, _| {
        if course.script.contains("spawn-grandchild a") {
            let pid = std::fs::read_to_string(world.home.path().join("a")).unwrap();
            assert!(!runs(&pid), "{} on {:?}: {pid}", course.name, world.terminal);
        }
    })
    .await;
}

/// Cancels a login with a grandchild started in this way, and checks by process id that the grandchild is gone, with or
/// without the mark.
async fn grandchild_is_found(how: &str) {
    let runs = TERMINALS.map(async |terminal| {
        let world = World::new(terminal, &format!("{STUBBORN}spawn-grandchild a {how}\ntouch up\nhang\n"));
        world.start("login").unwrap();
        world.file("up").await;
        let pid = world.file("a").await;
        assert!(runs(&pid), "{how} on {terminal:?}");
        cancelled(&world, how).await;
        assert!(!runs(&pid), "{how} on {terminal:?}: {pid}");
    });
    join_all(runs).await;
}

#[tokio::test]
async fn grandchild_is_found_in_any_group_or_session() {
    for how in ["", "detach", "session", "orphan", "wipe", "polite", "polite session"] {
        grandchild_is_found(how).await;
    }
}

/// The grandchild has neither the mark nor the group. Only its parent shows which login it belongs to.
#[tokio::test]
async fn unmarked_grandchild_is_found_through_its_parent() {
    grandchild_is_found("detach wipe").await;
    grandchild_is_found("session wipe").await;
}

#[tokio::test]
async fn fork_bomb_ends_when_the_login_is_cancelled() {
    const COUNT: usize = 200;
    for terminal in TERMINALS {
        let world = World::new(terminal, &format!("{STUBBORN}fork-bomb {COUNT}\nhang\n"));
        world.start("login").unwrap();
        let grown = async {
            while world.marked().len() <= COUNT {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, grown).await.unwrap();
        cancelled(&world, "a fork bomb").await;
    }
}

#[tokio::test]
async fn growing_fork_bomb_ends_when_the_login_is_cancelled() {
    for (terminal, size) in
        TERMINALS.into_iter().flat_map(|terminal| [1, 20, 100].map(|size| (terminal, size)))
    {
        let world = World::new(terminal, &format!("{STUBBORN}fork-bomb 200\nhang\n"));
        world.start("login").unwrap();
        let begun = async {
            while world.marked().len() <= size {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, begun).await.unwrap();
        cancelled(&world, "a fork bomb that grows").await;
    }
}

#[tokio::test]
async fn fork_bomb_left_behind_by_the_cli_ends() {
    let scripts = [
        ("and a login", format!("write auth.json {LOGIN}\n"), SUCCESS),
        ("alone", String::new(), NOT_AUTHENTICATED),
    ];
    for (name, login, ending) in scripts {
        for terminal in TERMINALS {
            let world = World::new(terminal, &format!("{YES}fork-bomb 200\n{login}exit 0\n"));
            world.start("login").unwrap();
            ends(&world, name, ending).await;
        }
    }
}

#[tokio::test]
async fn hanging_check_is_ended_with_all_its_processes() {
    let scripts = [
        ("hangs", String::new()),
        ("ignores everything", STUBBORN.to_owned()),
        ("has grandchildren", format!("{STUBBORN}spawn-grandchild a\nspawn-grandchild b session\n")),
        ("floods", "repeat 1000000 flood 65536\n".to_owned()),
    ];
    let runs = scripts.iter().flat_map(|script| TERMINALS.map(|terminal| (script, terminal)));
    let runs = runs.map(async |((name, check), terminal)| {
        let script =
            format!("when status\n{check}touch asked\nhang\nwhen *\ndir-var FAKE_HOME\nwrite auth.json {LOGIN}\nexit 0\n");
        let world = limited(terminal, &script, |limits| limits.check_timeout = Duration::from_millis(500));
        world.start("login").unwrap();
        // A check without an answer says nothing about the login.
        ends(&world, name, (State::Failed, Some((FailureKind::Expired, None)))).await;
    });
    join_all(runs).await;
}

/// While the CLI is running, a hanging check blocks nothing forever and leaves no process behind.
#[tokio::test]
async fn hanging_check_is_ended_while_the_cli_keeps_running() {
    for terminal in TERMINALS {
        let script = format!(
            "when status\n{STUBBORN}spawn-grandchild a\ntouch asked\nhang\nwhen *\nwrite auth.json {LOGIN}\nout Logged in\nhang\n"
        );
        let world = limited(terminal, &script, |limits| limits.check_timeout = Duration::from_millis(500));
        world.start("login").unwrap();
        world.file("asked").await;
        let confirming = world.spawner.snapshot(&world.id).unwrap();
        assert_eq!(confirming.state, State::Confirming);
        let alone = async {
            while marked(|session| session == world.id).len() > 1 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, alone).await.unwrap();
        cancelled(&world, "a check that hangs").await;
    }
}
