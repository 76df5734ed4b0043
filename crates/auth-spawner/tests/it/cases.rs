//! Login scenarios, each on pipes and on a pseudo-terminal.

use std::os::unix::fs::PermissionsExt;

use auth_spawner::{
    Advice, Credential, FailureKind, NotLive, SaveError, SpawnLimits, State, SubmitError, Terminal,
};
use futures_util::future::join_all;
use secrecy::SecretString;

use crate::harness::{LOGIN, NOW, Options, TERMINALS, World, saved};

const URL: &str =
    "https://login.example.test/authorize?redirect_uri=https%3A%2F%2Flogin.example.test%2Fcb&state=S1";
const YES: &str = "when status\nexit 0\nwhen *\ndir-var FAKE_HOME\n";
const NO: &str = "when status\nexit 1\nwhen *\ndir-var FAKE_HOME\n";

fn credential() -> Credential {
    Credential {
        email: Some("ada@example.test".to_owned()),
        subject: Some("u-1".to_owned()),
        expires_at: Some(1_795_000_900_000),
        assumed_end: false,
        login_deadline_at: None,
        refreshable: true,
        issued_at: None,
        refresh_mark: "8621b2bc3241681ae0ea3ad6dee251fa".parse().ok(),
    }
}

/// A script, and the expected end of its login.
struct Case {
    name: &'static str,
    script: String,
    /// The content of `auth.json` before the login.
    before: Option<&'static str>,
    end: (State, Option<(FailureKind, Option<i32>)>),
}

fn case(
    name: &'static str,
    script: String,
    state: State,
    failure: Option<(FailureKind, Option<i32>)>,
) -> Case {
    Case { name, script, before: None, end: (state, failure) }
}

fn cases() -> Vec<Case> {
    let failed = |name, script, kind, code| case(name, script, State::Failed, Some((kind, code)));
    let good = |name, script| case(name, script, State::Success, None);
    let old = r#"{"access_token":"old","email":"old@example.test"}"#;
    vec![
        good(
            "reports the login and exits",
            format!("{YES}out go to {URL}\nwrite auth.json {LOGIN}\nout Logged in\n"),
        ),
        good("reports nothing and exits", format!("{YES}write auth.json {LOGIN}\n")),
        good(
            "exits with an error after a successful login",
            format!("{YES}write auth.json {LOGIN}\nexit 1\n"),
        ),
        good(
            "never exits after a successful login",
            format!("{YES}write auth.json {LOGIN}\nout Logged in\nhang\n"),
        ),
        good("reports nothing and never exits", format!("{YES}write auth.json {LOGIN}\nhang\n")),
        good(
            "writes the login in two halves",
            format!(
                "{YES}write auth.json {{\"email\":\"a\"}}\nout Logged in\nsleep 300\nwrite auth.json {LOGIN}\n"
            ),
        ),
        good(
            "leaves the output open in a grandchild",
            format!("{YES}spawn-grandchild g.pid\nwrite auth.json {LOGIN}\nout Logged in\n"),
        ),
        Case {
            before: Some(old),
            ..good("replaces an old login", format!("{YES}write auth.json {LOGIN}\nout Logged in\n"))
        },
        Case {
            before: Some(old),
            ..failed(
                "leaves the old login unchanged",
                format!("{YES}out Logged in\nexit 0\n"),
                FailureKind::NotAuthenticated,
                None,
            )
        },
        failed("exits without a login", format!("{YES}exit 0\n"), FailureKind::NotAuthenticated, None),
        failed(
            "falsely reports a login",
            format!("{YES}out Logged in\nexit 0\n"),
            FailureKind::NotAuthenticated,
            None,
        ),
        failed(
            "fails its own check command",
            format!("{NO}write auth.json {LOGIN}\nout Logged in\nexit 0\n"),
            FailureKind::NotAuthenticated,
            None,
        ),
        failed(
            "has an expired login that cannot be renewed",
            format!("{YES}write auth.json {{\"access_token\":\"x\",\"expires_at\":1000}}\nexit 0\n"),
            FailureKind::NotAuthenticated,
            None,
        ),
        failed("fails", format!("{YES}err error: no network\nexit 7\n"), FailureKind::CliExited, Some(7)),
        failed("is denied", format!("{YES}err Denied by the user\nexit 1\n"), FailureKind::Denied, None),
        failed(
            "leaves the output open and fails",
            format!("{YES}spawn-grandchild g.pid\nspawn-grandchild h.pid detach\nexit 3\n"),
            FailureKind::CliExited,
            Some(3),
        ),
    ]
}

#[tokio::test]
async fn login_ends_as_expected_in_every_case_on_every_terminal() {
    let cases = cases();
    let runs = cases.iter().flat_map(|case| TERMINALS.map(|terminal| (case, terminal)));
    // The cases run concurrently because most of them spend their time waiting.
    join_all(runs.map(|(case, terminal)| ends_as_it_should(case, terminal))).await;
}

async fn ends_as_it_should(case: &Case, terminal: Terminal) {
    let world = World::new(terminal, &case.script);
    if let Some(before) = case.before {
        world.write_config("auth.json", before);
    }
    world.start("login").unwrap();
    let end = world.end().await;
    let failure = end.failure.as_ref().map(|failure| (failure.kind, failure.exit_code));
    assert_eq!((end.state, failure), case.end, "{} on {terminal:?}: {end:?}", case.name);
    assert_eq!(end.ended_at, Some(NOW));
    let logins = world.ear.logins.lock().unwrap().clone();
    if end.state == State::Success {
        assert_eq!(end.saved, Some(saved()), "{}", case.name);
        assert_eq!(end.email.as_deref(), Some("ada@example.test"), "{}", case.name);
        let committed: Vec<_> =
            logins.iter().map(|login| (&login.credential, login.evidence_check)).collect();
        assert_eq!(committed, [(&credential(), true)], "{}", case.name);
    } else {
        assert_eq!((logins.len(), end.saved.as_ref()), (0, None), "{}", case.name);
    }
    assert_eq!(world.ear.moves.lock().unwrap().last(), Some(&end), "{}", case.name);
    world.spawner.shutdown(crate::harness::PATIENCE).await;
    world.assert_no_process_left();
}

#[tokio::test]
async fn login_shows_the_url_and_succeeds_when_the_code_is_pasted() {
    for terminal in TERMINALS {
        let script = format!(
            "{YES}out visit: {URL}\noutn Paste code >\nread pasted\nwrite auth.json {LOGIN}\nout Logged in as eve@example.test\n"
        );
        let world = World::new(terminal, &script);
        world.start("login").unwrap();
        let shown = world.until_prompt().await;
        assert_eq!((shown.auth_url.as_deref(), shown.url_openable), (Some(URL), true));
        assert_eq!(shown.state, State::UrlAvailable);
        assert!(shown.pid.is_some() && shown.process_start.is_some());
        assert_eq!(world.spawner.submit(&world.id, SecretString::from("c0de#S1")).await, Ok(()));
        let end = world.end().await;
        assert_eq!(end.state, State::Success, "{end:?}");
        assert_eq!(world.file("pasted").await, "c0de#S1\n");
        // The email address in the file takes precedence over the CLI's output.
        assert_eq!(end.email.as_deref(), Some("ada@example.test"));
        let expected =
            [State::Pending, State::UrlAvailable, State::Confirming, State::Saving, State::Success];
        assert_eq!(world.states(), expected, "on {terminal:?}");
        let late = world.spawner.submit(&world.id, SecretString::from("c0de#S1")).await;
        assert_eq!(late, Err(SubmitError::NotLive));
    }
}

#[tokio::test]
async fn device_login_shows_the_code_and_its_url() {
    for terminal in TERMINALS {
        let script = format!(
            "{YES}raw open \\e[94mhttps://login.example.test/device\\e[0m\\n2. Enter this one-time code\\n   \\e[1mABCD-12345\\e[0m\\n\nwait-file go\nwrite auth.json {LOGIN}\n"
        );
        let world = World::new(terminal, &script);
        world.start("device").unwrap();
        let shown = world.until("a code", |snapshot| snapshot.device_code.is_some()).await;
        assert_eq!(shown.state, State::CodeEmitted);
        assert_eq!(shown.device_code.as_deref(), Some("ABCD-12345"));
        assert_eq!(shown.verification_url.as_deref(), Some("https://login.example.test/device"));
        assert_eq!((shown.auth_url.as_deref(), shown.url_openable), (None, true));
        assert!(!format!("{shown:?}").contains("ABCD"));
        world.touch("go");
        assert_eq!(world.end().await.state, State::Success);
    }
}

#[tokio::test]
async fn cancel_ends_the_whole_process_tree_at_every_stage() {
    let stages = [
        ("before anything", "hang\n".to_owned()),
        ("while it waits", format!("out {URL}\noutn Paste code >\nhang\n")),
        ("although it ignores TERM", format!("ignore TERM\nignore HUP\nout {URL}\nhang\n")),
        (
            "with grandchildren",
            format!("spawn-grandchild a.pid\nspawn-grandchild b.pid detach\nout {URL}\nhang\n"),
        ),
        ("while it floods", format!("out {URL}\nrepeat 1000000 flood 100000\n")),
    ];
    for terminal in TERMINALS {
        for (stage, script) in &stages {
            let world = World::new(terminal, script);
            world.start("login").unwrap();
            if script.contains(URL) {
                world.until_url().await;
            }
            assert_eq!(world.spawner.cancel(&world.id).await, Ok(()), "{stage}");
            world.assert_no_process_left();
            let end = world.spawner.snapshot(&world.id).unwrap();
            assert_eq!(end.state, State::Cancelled, "{stage}");
            assert_eq!(end.failure.unwrap().kind, FailureKind::Cancelled, "{stage}");
            assert_eq!(world.spawner.cancel(&world.id).await, Err(NotLive), "{stage}");
            assert_eq!(world.spawner.cancel("unknown").await, Err(NotLive));
            assert_eq!(world.ear.logins.lock().unwrap().len(), 0, "{stage}");
        }
    }
}

#[tokio::test]
async fn cancel_ends_the_session_once_before_its_process_is_spawned() {
    for terminal in TERMINALS {
        for round in 0..20 {
            let world = World::new(terminal, "hang\n");
            world.start("login").unwrap();
            // Each round yields more often, to cover everything from "not started" to "about to be spawned".
            for _ in 0..round {
                tokio::task::yield_now().await;
            }
            assert_eq!(world.spawner.cancel(&world.id).await, Ok(()));
            world.assert_no_process_left();
            let moves = world.ear.moves.lock().unwrap().clone();
            let ends = moves.iter().filter(|snapshot| snapshot.state.is_terminal()).count();
            assert_eq!(ends, 1, "round {round} on {terminal:?}");
            let revisions: Vec<u64> = moves.iter().map(|snapshot| snapshot.revision).collect();
            assert!(revisions.is_sorted_by(|left, right| left < right), "{revisions:?}");
        }
    }
}

#[tokio::test]
async fn deadline_expires_the_session_and_ends_the_process_tree() {
    for terminal in TERMINALS {
        let world = World::new(terminal, "ignore TERM\nspawn-grandchild a.pid detach\nhang\n");
        let mut request = world.request(&world.id, "login");
        request.expires_at = NOW + 200;
        world.spawner.start(request).unwrap();
        let end = world.end().await;
        assert_eq!(end.state, State::Expired);
        assert_eq!(end.failure.unwrap().kind, FailureKind::Expired);
        world.assert_no_process_left();
    }
}

#[tokio::test]
async fn login_fails_when_saving_is_rejected() {
    for terminal in TERMINALS {
        let answer = Err(SaveError {
            kind: FailureKind::IdentityMismatch,
            message: "the login belongs to a different user".to_owned(),
            advice: Some(Advice::OfCaller("log in as the user of the account".to_owned())),
        });
        let script = format!("{YES}write auth.json {LOGIN}\nout Logged in\nhang\n");
        let world = World::with(Options { answer, ..Options::on(terminal) }, &script);
        world.start("login").unwrap();
        let end = world.end().await;
        let failure = end.failure.unwrap();
        assert_eq!((end.state, failure.kind), (State::Failed, FailureKind::IdentityMismatch));
        assert_eq!(failure.message, "the login belongs to a different user");
        assert_eq!(failure.advice, Some(Advice::OfCaller("log in as the user of the account".to_owned())));
        assert_eq!(end.saved, None);
        world.assert_no_process_left();
    }
}

#[tokio::test]
async fn session_fails_when_the_program_cannot_be_started() {
    for terminal in TERMINALS {
        for program in ["/nonexistent/cli", "/etc/passwd", "/tmp"] {
            let world = World::new(terminal, "");
            let mut request = world.request(&world.id, "login");
            request.program = program.into();
            world.spawner.start(request).unwrap();
            let end = world.end().await;
            let failure = end.failure.clone().unwrap();
            assert_eq!((end.state, failure.kind), (State::Failed, FailureKind::SpawnFailed), "{program}");
        }
    }
}

#[tokio::test]
async fn check_times_out_when_the_status_command_hangs() {
    for terminal in TERMINALS {
        let options = Options::on(terminal);
        let limits = SpawnLimits { check_timeout: std::time::Duration::from_millis(200), ..options.limits };
        let script =
            format!("when status\nhang\nwhen *\ndir-var FAKE_HOME\nwrite auth.json {LOGIN}\nexit 0\n");
        let world = World::with(Options { limits, ..Options::on(terminal) }, &script);
        world.start("login").unwrap();
        let failure = world.end().await.failure.unwrap();
        assert_eq!(failure.kind, FailureKind::Expired);
        assert!(failure.message.contains("check command (status) did not end within"), "{failure:?}");
        world.assert_no_process_left();
    }
}

#[tokio::test]
async fn environment_contains_only_the_listed_variables() {
    for terminal in TERMINALS {
        let world = World::new(terminal, "dump-env env\nhang\n");
        let mut request = world.request(&world.id, "login");
        request.extra_env = vec![("FAKE_HOME".into(), "/elsewhere".into()), ("LANG".into(), "C".into())];
        world.spawner.start(request).unwrap();
        let config = world.home.path().join("config");
        let (config, script) = (config.display(), world.home.path().join("script").display().to_string());
        let common = world.home.path().join("shared/fake");
        let shared = common.display();
        let term = if terminal == TERMINALS[0] { "dumb" } else { "xterm-256color" };
        let expected = format!(
            "BROWSER=/bin/true\nDBUS_SESSION_BUS_ADDRESS=disabled:\nFAKE_CACHE={config}/cache\nFAKE_HOME={config}\nFAKE_SCRIPT={script}\n\
             FAKE_SHARED={shared}\nHOME=/nonexistent\nLANG=C\nPATH=/usr/bin:/bin\nSHELL=/bin/sh\nSRVD_SESSION={}\nTERM={term}\n",
            world.id
        );
        assert_eq!(world.file("env").await, expected);
        assert_eq!(std::fs::metadata(&common).unwrap().permissions().mode() & 0o777, 0o700);
        let prepared = world.home.path().join("config/settings/fake.json");
        assert_eq!(std::fs::read_to_string(prepared).unwrap(), "{}\n");
        world.spawner.cancel(&world.id).await.unwrap();
    }
}

#[test]
fn login_example_reaches_a_proven_login() {
    let program = crate::harness::fake_cli().with_file_name("login");
    let run = std::process::Command::new(program).output().unwrap();
    let printed = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{printed}{}", String::from_utf8_lossy(&run.stderr));
    assert!(printed.contains("ada@example.test") && printed.ends_with("state: success\n"), "{printed}");
}
