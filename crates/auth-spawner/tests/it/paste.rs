//! Pasted answers: what reaches the CLI and what does not.

use auth_spawner::{FailureKind, State, SubmitError};
use secrecy::SecretString;

use crate::harness::{LOGIN, TERMINALS, World};

const URL: &str =
    "https://login.example.test/authorize?redirect_uri=https%3A%2F%2Flogin.example.test%2Fcb&state=S1";

#[tokio::test]
async fn nothing_refused_reaches_the_child() {
    for terminal in TERMINALS {
        let world = World::new(
            terminal,
            &format!("out {URL}\noutn Paste code >\nread pasted\ntouch answered\nhang\n"),
        );
        world.start("login").unwrap();
        world.until_prompt().await;
        let refused = |text: String| {
            let (spawner, id) = (world.spawner.clone(), world.id.clone());
            async move { spawner.submit(&id, SecretString::from(text)).await.unwrap_err() }
        };
        assert_eq!(refused("code#other".into()).await, SubmitError::WrongState);
        assert_eq!(refused("x".repeat(5000)).await, SubmitError::TooLong);
        for text in
            ["a\nb#S1", "a\x03#S1", "\x04", "", "a b", "file:///x", "https://evil.example/cb?code=a&state=S1"]
        {
            let error = refused(text.to_owned()).await;
            assert!(matches!(error, SubmitError::Invalid { .. }), "{text:?}: {error:?}");
        }
        // The first line that the child reads is the one that was accepted.
        let answer = SecretString::from("https://login.example.test/cb?code=good&state=S1");
        assert_eq!(world.spawner.submit(&world.id, answer).await, Ok(()));
        assert_eq!(world.file("pasted").await, "good#S1\n");
        let again = world.spawner.submit(&world.id, SecretString::from("good#S1")).await;
        assert_eq!(again, Err(SubmitError::NotExpected), "one answer until the CLI asks again");
        world.spawner.cancel(&world.id).await.unwrap();
    }
}

#[tokio::test]
async fn a_refused_answer_can_be_given_again() {
    let ways = ["err Bad code", "out oops\noutn Paste code >", "outn Paste code >"];
    for (terminal, again) in TERMINALS.into_iter().flat_map(|terminal| ways.map(|way| (terminal, way))) {
        let script = format!(
            "when status\nexit 0\nwhen *\ndir-var FAKE_HOME\nout {URL}\noutn Paste code >\nread one\n{again}\nread two\nwrite auth.json {LOGIN}\n"
        );
        let world = World::new(terminal, &script);
        world.start("login").unwrap();
        world.until_prompt().await;
        world.spawner.submit(&world.id, SecretString::from("first#S1")).await.unwrap();
        world.file("one").await;
        world.until_prompt().await;
        world.spawner.submit(&world.id, SecretString::from("second#S1")).await.unwrap();
        assert_eq!(world.file("two").await, "second#S1\n");
        assert_eq!(world.end().await.state, State::Success, "{again} on {terminal:?}");
    }
}

#[tokio::test]
async fn an_answer_goes_to_the_cli_s_own_callback() {
    for terminal in TERMINALS {
        let script = format!(
            "when status\nexit 0\nwhen *\ndir-var FAKE_HOME\nout Listening on http://localhost:{{port}}.\nout https://login.example.test/authorize?redirect_uri=http%3A%2F%2F127.0.0.1%3A{{port}}%2Fauth%2Fcallback&state=S1\nlisten {{port}} bad 400\nlisten {{port}} target 302\nwrite auth.json {LOGIN}\n"
        );
        let world = World::new(terminal, &script);
        world.start("callback").unwrap();
        let shown = world.until_url().await;
        assert!(shown.auth_url.unwrap().starts_with("https://login.example.test/"));
        world.file("bad.ready").await;
        let refused = world.spawner.submit(&world.id, SecretString::from("c0de#S1")).await;
        let reason = "the CLI's callback answered 400".to_owned();
        assert_eq!(refused, Err(SubmitError::Undeliverable { reason }));
        world.file("target.ready").await;
        let url = format!("http://localhost:{}/auth/callback?code=c0de&state=S1", world.port);
        assert_eq!(world.spawner.submit(&world.id, SecretString::from(url)).await, Ok(()));
        assert_eq!(world.file("target").await, "/auth/callback?code=c0de&state=S1");
        assert_eq!(world.end().await.state, State::Success);
    }
}

#[tokio::test]
async fn an_answer_before_there_is_a_question_is_not_taken() {
    for terminal in TERMINALS {
        let world = World::new(terminal, "hang\n");
        world.start("login").unwrap();
        let early = world.spawner.submit(&world.id, SecretString::from("c#S1")).await;
        assert_eq!(early, Err(SubmitError::NotExpected));
        world.spawner.cancel(&world.id).await.unwrap();
        let late = world.spawner.submit(&world.id, SecretString::from("c#S1")).await;
        assert_eq!(late, Err(SubmitError::NotLive));
    }
}

#[tokio::test]
async fn what_was_pasted_is_not_repeated_in_a_failure() {
    for terminal in TERMINALS {
        let script =
            format!("out {URL}\noutn Paste code >\nread pasted\nerr error: bad s3cretc0de here\nexit 1\n");
        let world = World::new(terminal, &script);
        world.start("login").unwrap();
        world.until_prompt().await;
        world.spawner.submit(&world.id, SecretString::from("s3cretc0de#S1")).await.unwrap();
        let end = world.end().await;
        assert_eq!(end.failure.clone().unwrap().kind, FailureKind::CliExited);
        let told = format!("{:?} {end:?}", world.ear.moves.lock().unwrap());
        assert!(!told.contains("s3cretc0de"), "{told}");
    }
}
