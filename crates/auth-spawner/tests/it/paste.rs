//! Pasted answers: which ones reach the CLI and which do not.

use auth_spawner::{FailureKind, State, SubmitError, Terminal};
use secrecy::SecretString;

use crate::harness::{LOGIN, TERMINALS, World};

const URL: &str =
    "https://login.example.test/authorize?redirect_uri=https%3A%2F%2Flogin.example.test%2Fcb&state=S1";

const CALLBACK: &str = "https://login.example.test/authorize?redirect_uri=http%3A%2F%2F127.0.0.1%3A{port}%2Fauth%2Fcallback&state=S1";

/// Answers that must not reach any CLI, apart from those with the wrong state or excessive length. `{cb}` is the
/// login's own callback.
const INVALID: [&str; 32] = [
    "",
    " \r\n ",
    "\x04",
    "a\x03#S1",
    "a\x00#S1",
    "a\x1b[201~#S1",
    "a\x15b#S1",
    "a\x7f#S1",
    "a\u{9b}A#S1",
    "a\u{202e}b#S1",
    "a\nb#S1",
    "a#S1\nb#S1",
    "a#S1\rb#S1",
    "a\tb#S1",
    "a\u{2028}b#S1",
    "a b#S1",
    "a;reboot#S1",
    "$(reboot)#S1",
    "file:///etc/passwd",
    "file:/etc/passwd#S1",
    "file:c0de#S1",
    "javascript:c0de#S1",
    "data:c0de#S1",
    "https://evil.example/cb?code=c0de&state=S1",
    "https://login.example.test@evil.example/cb?code=c0de&state=S1",
    "https://login.example.test.evil.example/cb?code=c0de&state=S1",
    "https://ada:pw@login.example.test/cb?code=c0de&state=S1",
    "https://login.example.test:444/cb?code=c0de&state=S1",
    "http://login.example.test/cb?code=c0de&state=S1",
    "{cb}/further?code=c0de&state=S1",
    "{cb}?code=c0de%0Areboot&state=S1",
    "{cb}?error=access_denied&state=S1",
];

/// For each way to deliver an answer: the recipe, the CLI's URL, and the callback named in the URL.
const WAYS: [(&str, &str, &str); 2] = [
    ("login", URL, "https://login.example.test/cb"),
    ("callback", CALLBACK, "http://127.0.0.1:{port}/auth/callback"),
];

#[tokio::test]
async fn rejected_paste_never_reaches_the_cli() {
    for (terminal, (recipe, url, callback)) in
        TERMINALS.into_iter().flat_map(|terminal| WAYS.map(|way| (terminal, way)))
    {
        let script =
            format!("record heard\nout Paste code >\nout {url}\nlisten {{port}} target\ntouch taken\nhang\n");
        let world = World::new(terminal, &script);
        let callback = callback.replace("{port}", &world.port.to_string());
        world.start(recipe).unwrap();
        world.until_url().await;
        world.file("target.ready").await;
        let refused = async |text: String| {
            let answer = world.spawner.submit(&world.id, SecretString::from(text.clone())).await;
            answer.expect_err(&format!("{text:?} by {recipe} on {terminal:?}"))
        };
        for text in INVALID {
            let error = refused(text.replace("{cb}", &callback)).await;
            assert!(matches!(error, SubmitError::Invalid { .. }), "{text:?} by {recipe}: {error:?}");
        }
        assert_eq!(refused("x".repeat(5000)).await, SubmitError::TooLong);
        assert_eq!(
            refused(format!("{callback}?code={}&state=S1", "x".repeat(5000))).await,
            SubmitError::TooLong
        );
        for state in ["S2", "s1", "S1x", "S", "%53%32"] {
            assert_eq!(refused(format!("{callback}?code=c0de&state={state}")).await, SubmitError::WrongState);
        }
        assert_eq!(refused("c0de#other".into()).await, SubmitError::WrongState);

        // If a rejected answer had reached the CLI, it would precede the one valid answer.
        assert_eq!(world.file("heard").await, "", "by {recipe} on {terminal:?}");
        let good = SecretString::from(format!("{callback}?code=good&state=S1"));
        assert_eq!(world.spawner.submit(&world.id, good).await, Ok(()));
        if recipe == "callback" {
            world.file("taken").await;
            assert_eq!(world.file("target").await, "/auth/callback?code=good&state=S1");
        } else {
            let end = if terminal == TERMINALS[0] { '\n' } else { '\r' };
            world.file_ending("heard", end).await;
        }
        let again = world.spawner.submit(&world.id, SecretString::from("good#S1")).await;
        assert_eq!(
            again,
            Err(SubmitError::NotExpected),
            "only one answer is accepted until the CLI prompts again"
        );
        world.spawner.cancel(&world.id).await.unwrap();
        let heard = match (recipe, terminal) {
            ("callback", _) => "",
            (_, Terminal::Pipe) => "good#S1\n",
            (_, Terminal::Pty { .. }) => "good#S1\r",
        };
        assert_eq!(world.file("heard").await, heard, "by {recipe} on {terminal:?}");
        world.assert_no_process_left();
    }
}

#[tokio::test]
async fn paste_with_the_state_of_another_session_reaches_no_cli() {
    for terminal in TERMINALS {
        let script = |state: &str| {
            format!(
                "record heard\nout https://login.example.test/authorize?state={state}\nout Paste code >\nhang\n"
            )
        };
        let worlds = ["mine", "theirs"].map(|state| World::new(terminal, &script(state)));
        for world in &worlds {
            world.start("login").unwrap();
            world.until_prompt().await;
        }
        for (world, state) in worlds.iter().zip(["theirs", "mine"]) {
            let text = SecretString::from(format!("c0de#{state}"));
            assert_eq!(world.spawner.submit(&world.id, text).await, Err(SubmitError::WrongState));
            let unknown = world.spawner.submit("another", SecretString::from("c0de#mine")).await;
            assert_eq!(unknown, Err(SubmitError::NotLive));
        }
        for world in &worlds {
            world.spawner.cancel(&world.id).await.unwrap();
            assert_eq!(world.file("heard").await, "", "on {terminal:?}");
        }
    }
}

#[tokio::test]
async fn second_paste_is_accepted_when_the_cli_rejects_the_first() {
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
async fn paste_is_delivered_to_the_cli_callback() {
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

/// A CLI that listens with only one address family is reached by its host name, and a failed callback can be retried.
#[tokio::test]
async fn callback_by_name_reaches_either_address_family_and_can_be_retried() {
    for (terminal, verb) in
        TERMINALS.into_iter().flat_map(|terminal| ["listen", "listen6"].map(|verb| (terminal, verb)))
    {
        let script = format!(
            "when status\nexit 0\nwhen *\ndir-var FAKE_HOME\nout https://login.example.test/authorize?redirect_uri=http%3A%2F%2Flocalhost%3A{{port}}%2Fauth%2Fcallback&state=S1\nwait-file go\n{verb} {{port}} target 302\nwrite auth.json {LOGIN}\n"
        );
        let world = World::new(terminal, &script);
        world.start("callback").unwrap();
        world.until_offer().await;
        let failed = world.spawner.submit(&world.id, SecretString::from("c0de#S1")).await;
        let reason = "the CLI's callback cannot be reached".to_owned();
        assert_eq!(failed, Err(SubmitError::Undeliverable { reason }));
        let shown = world.until_offer().await;
        assert_eq!(shown.state, State::UrlAvailable, "{verb} on {terminal:?}");
        world.touch("go");
        world.file("target.ready").await;
        assert_eq!(world.spawner.submit(&world.id, SecretString::from("c0de#S1")).await, Ok(()));
        assert_eq!(world.file("target").await, "/auth/callback?code=c0de&state=S1", "{verb}");
        assert_eq!(world.end().await.state, State::Success, "{verb} on {terminal:?}");
    }
}

/// The user may paste an answer once the URL is known, whether or not the CLI prompts for one.
#[tokio::test]
async fn paste_is_offered_exactly_when_it_would_be_accepted() {
    let checked = |state: &str| {
        format!(
            "https://login.example.test/authorize?redirect_uri=https%3A%2F%2Flogin.example.test%2Fcb{state}"
        )
    };
    for terminal in TERMINALS {
        let script = format!(
            "outn Paste code >\nwait-file go\nout \nout {}\nwait-file more\nout {}\nhang\n",
            checked(""),
            checked("&state=S1")
        );
        let world = World::new(terminal, &script);
        world.start("login").unwrap();
        let asked = world.until("the CLI's question", |snapshot| snapshot.prompted).await;
        assert!(!asked.prompt, "there must be no URL on {terminal:?}");
        world.touch("go");
        assert!(!world.until_url().await.prompt, "the URL has no state on {terminal:?}");
        let refused = world.spawner.submit(&world.id, SecretString::from("c0de#S1")).await;
        assert!(matches!(refused, Err(SubmitError::Invalid { .. })), "{refused:?} on {terminal:?}");
        world.touch("more");
        world.until_prompt().await;
        assert_eq!(world.spawner.submit(&world.id, SecretString::from("c0de#S1")).await, Ok(()));
        world.spawner.cancel(&world.id).await.unwrap();
    }
}

/// The names of a URL's parameters are not secret, so a line containing the word "code" may explain the failure.
#[tokio::test]
async fn failure_is_explained_by_the_last_line_after_a_pasted_url() {
    for terminal in TERMINALS {
        let script = format!(
            "out If your browser did not open, navigate to this URL to authenticate:\nout {URL}\noutn Paste code >\nread pasted\nerr Error logging in: Token exchange failed: Invalid code\nexit 1\n"
        );
        let world = World::new(terminal, &script);
        world.start("login").unwrap();
        world.until_prompt().await;
        let callback = "https://login.example.test/cb?code=s3cretc0de&state=S1";
        world.spawner.submit(&world.id, SecretString::from(callback)).await.unwrap();
        let message = world.end().await.failure.unwrap().message;
        assert_eq!(
            message, "the CLI exited with an error: Error logging in: Token exchange failed: Invalid code",
            "on {terminal:?}"
        );
    }
}

#[tokio::test]
async fn paste_is_rejected_before_the_cli_prompts_and_after_it_exits() {
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
async fn failure_never_repeats_the_pasted_code() {
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
