//! CLIs whose output does not match what they have done.

use auth_spawner::{Credential, State};
use futures_util::future::join_all;

use super::{Course, EXPIRED, NOT_AUTHENTICATED, SUCCESS, YES, cli_exited, ends, run_all};
use crate::harness::{LOGIN, NOW, TERMINALS, World};

const OLD: &str = r#"{"access_token":"old","refresh_token":"old","email":"old@example.test"}"#;
/// An expired login that cannot be renewed.
const ENDED: &str = r#"{"access_token":"x","expires_at":1000}"#;
/// An expired login that the CLI can renew.
const STALE: &str =
    r#"{"access_token":"x-{now_us}","refresh_token":"rt","expires_at":1000,"email":"ada@example.test"}"#;
/// A login whose file names no user.
const NAMELESS: &str = r#"{"access_token":"at-{now_us}","refresh_token":"rt"}"#;

#[tokio::test]
async fn login_succeeds_only_when_the_session_wrote_a_usable_credential() {
    let good = |name, script: String| Course::new(name, script, SUCCESS);
    let none = |name, script: &str| Course::new(name, script, NOT_AUTHENTICATED);
    let courses = [
        none("exits 0 without a login", "exit 0\n"),
        none("prints nothing and exits 0", ""),
        none("falsely reports a login", "out Logged in\nexit 0\n"),
        none("falsely reports a login with a name", "out Logged in as eve@example.test\nexit 0\n"),
        none("writes {}", "write auth.json {}\nout Logged in\nexit 0\n"),
        none("writes an empty file", "write auth.json \nout Logged in\nexit 0\n"),
        none("writes half of its file", "write auth.json {\"access_token\":\"at\nout Logged in\nexit 0\n"),
        none("writes an array instead of an object", "write auth.json [\"access_token\"]\nexit 0\n"),
        none("writes an empty token", "write auth.json {\"access_token\":\"\"}\nexit 0\n"),
        none("writes a token that is not a string", "write auth.json {\"access_token\":true}\nexit 0\n"),
        none("writes to another file", &format!("write other.json {LOGIN}\nout Logged in\nexit 0\n")),
        none("writes an expired login", &format!("write auth.json {ENDED}\nout Logged in\nexit 0\n")),
        none(
            "writes its login after the grace",
            &format!("later 20000 write auth.json {LOGIN}\nout Logged in\nexit 0\n"),
        ),
        good("writes a login that can be renewed", format!("write auth.json {STALE}\nexit 0\n")),
        good("exits 1 after a good login", format!("write auth.json {LOGIN}\nexit 1\n")),
        good("writes its login after exiting", format!("later 300 write auth.json {LOGIN}\nexit 0\n")),
        good(
            "falsely reports a failure",
            format!("write auth.json {LOGIN}\nerr error: login failed\nexit 3\n"),
        ),
        Course {
            before: Some(OLD),
            ..none("falsely reports a login over an old one", "out Logged in\nexit 0\n")
        },
        Course {
            before: Some(OLD),
            ..Course::new(
                "exits 1 after a good login over an old one",
                format!("write auth.json {LOGIN}\nexit 1\n"),
                cli_exited(1),
            )
        },
        Course {
            before: Some(OLD),
            ..good("replaces an old login", format!("write auth.json {LOGIN}\nexit 0\n"))
        },
        Course {
            deadline: 1500,
            ..Course::new("falsely reports a login and keeps running", "out Logged in\nhang\n", EXPIRED)
        },
        Course {
            deadline: 1500,
            ..Course::new("writes {} and keeps running", "write auth.json {}\nhang\n", EXPIRED)
        },
    ];
    run_all(&courses, |course, world, end| {
        let case = format!("{} on {:?}: {end:?}", course.name, world.terminal);
        assert_eq!(end.saved.is_some(), course.ending == SUCCESS, "{case}");
        let email = (course.ending == SUCCESS).then_some("ada@example.test");
        assert_eq!(end.email.as_deref(), email, "{case}");
        if course.name.ends_with("after the grace") {
            assert!(!world.home.path().join("config/auth.json").exists(), "{case}");
        }
    })
    .await;
}

/// The file determines the account. The CLI's output is used only if the file names no account.
#[tokio::test]
async fn login_email_comes_from_the_credential_file_rather_than_the_output() {
    let good = |name, script: String| Course::new(name, script, SUCCESS);
    let long = "e".repeat(400);
    let courses = [
        good(
            "a different user's name",
            format!("write auth.json {LOGIN}\nout Logged in as eve@example.test\n"),
        ),
        good(
            "a name only in its output",
            format!("write auth.json {NAMELESS}\nout Logged in as ada@example.test\n"),
        ),
        good("no name at all", format!("write auth.json {NAMELESS}\nout Logged in\n")),
        good(
            "an overlong name",
            format!("write auth.json {NAMELESS}\nout Logged in as {long}@example.test\n"),
        ),
    ];
    run_all(&courses, |course, world, end| {
        let email = ["a different user's name", "a name only in its output"]
            .contains(&course.name)
            .then(|| "ada@example.test".to_owned());
        assert_eq!(end.email, email, "{} on {:?}", course.name, world.terminal);
        let logins = world.ear.logins.lock().unwrap();
        let credential = Credential { email: email.clone(), ..logins[0].credential.clone() };
        assert_eq!(logins[0].credential, credential, "{} on {:?}", course.name, world.terminal);
    })
    .await;
}

#[tokio::test]
async fn login_waits_until_the_credential_file_is_complete() {
    // While only half of the file exists, another process prints the success message, and the file is checked.
    let endings = [("ends", ""), ("lives", "hang\n")];
    let runs = endings.into_iter().flat_map(|ending| TERMINALS.map(|terminal| (ending, terminal)));
    let runs = runs.map(async |((name, rest), terminal)| {
        let script = format!("{YES}later 300 out Logged in\nhalves auth.json go {LOGIN}\n{rest}");
        let world = World::new(terminal, &script);
        world.start("login").unwrap();
        world.file("go.half").await;
        let looked = world.until("a look", |snapshot| snapshot.state != State::Pending).await;
        assert_eq!(looked.state, State::Confirming, "{name} on {terminal:?}");
        world.touch("go");
        ends(&world, name, SUCCESS).await;
        assert_eq!(world.states(), [State::Pending, State::Confirming, State::Saving, State::Success]);
        assert_eq!(world.ear.logins.lock().unwrap()[0].credential.expires_at, Some(NOW + 900_000));
    });
    join_all(runs).await;
}
