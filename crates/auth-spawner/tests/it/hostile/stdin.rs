//! CLIs and their input: CLIs that query the terminal, do not read, or prompt twice.

use std::time::Duration;

use auth_spawner::{State, SubmitError, Terminal};
use futures_util::future::join_all;
use secrecy::SecretString;

use super::{SUCCESS, URL, YES, cancelled, ends};
use crate::harness::{LOGIN, TERMINALS, World};

/// A query that blocks real CLIs until it is answered.
const QUERY: &str = "record heard\nraw \\e[6n\n";

#[tokio::test]
async fn pipe_receives_no_reply_to_a_cursor_query() {
    let script = format!("{YES}{QUERY}out {URL}\nwait-file go\nwrite auth.json {LOGIN}\n");
    let world = World::new(Terminal::Pipe, &script);
    world.start("login").unwrap();
    world.until_url().await;
    world.touch("go");
    ends(&world, "a query on a pipe", SUCCESS).await;
    assert_eq!(world.file("heard").await, "");
}

#[tokio::test]
async fn terminal_answers_a_cursor_query_once() {
    let script = format!("{YES}{QUERY}out {URL}\nwait-file go\nwrite auth.json {LOGIN}\n");
    let world = World::new(Terminal::WIDE, &script);
    world.start("login").unwrap();
    world.until_url().await;
    let heard = world.file_ending("heard", 'R').await;
    assert_eq!(heard, "\x1b[1;1R");
    world.touch("go");
    ends(&world, "a query on a terminal", SUCCESS).await;
    assert_eq!(world.file("heard").await, "\x1b[1;1R", "answered once");
}

#[tokio::test]
async fn login_accepts_an_answer_to_each_of_two_prompts() {
    let ask = "outn Paste code >\nread";
    for terminal in TERMINALS {
        let script =
            format!("{YES}out {URL}\n{ask} one\nout checking it\n{ask} two\nwrite auth.json {LOGIN}\n");
        let world = World::new(terminal, &script);
        world.start("login").unwrap();
        for (name, answer) in [("one", "first#S1"), ("two", "second#S1")] {
            world.until_prompt().await;
            assert_eq!(world.spawner.submit(&world.id, SecretString::from(answer)).await, Ok(()));
            assert_eq!(world.file(name).await, format!("{answer}\n"));
        }
        ends(&world, "two questions", SUCCESS).await;
        let confirmed = world.states().iter().filter(|state| **state == State::Confirming).count();
        assert!(confirmed >= 2, "{:?}", world.states());
    }
}

/// The number of answers, which is more than fits into a pipe or terminal.
const ROUNDS: usize = 60;

/// A CLI that prompts repeatedly, each time after a file appears, but never reads.
fn deaf(terminal: Terminal) -> World {
    let ask = |round| format!("outn Paste code >\nwait-file go-{round}\nout\n");
    let asks = (0..ROUNDS).map(ask).collect::<Vec<_>>().concat();
    let world = World::new(terminal, &format!("{YES}out {URL}\n{asks}hang\n"));
    world.start("login").unwrap();
    world
}

/// An answer of the maximum length.
fn answer() -> SecretString {
    SecretString::from(format!("{}#S1", "c".repeat(3997)))
}

/// Submits answers until one is not accepted immediately. Returns the error from `last` for that answer.
async fn until_full<T>(world: &World, last: impl AsyncFn() -> Result<(), T>) -> T {
    for round in 0..ROUNDS {
        world.until_prompt().await;
        match last().await {
            Ok(()) => world.touch(&format!("go-{round}")),
            Err(refused) => return refused,
        }
    }
    panic!("nothing is full on {:?}", world.terminal);
}

/// Unread answers fill the pipe or terminal. An answer that fits counts as written. One that does not fit ends as
/// undeliverable, and no other answer follows it.
#[tokio::test]
async fn answer_is_undeliverable_when_the_cli_does_not_read_its_input() {
    let runs = TERMINALS.map(async |terminal| {
        let world = deaf(terminal);
        let refused = until_full(&world, async || world.spawner.submit(&world.id, answer()).await).await;
        let reason = "the CLI is not reading its input".to_owned();
        assert_eq!(refused, SubmitError::Undeliverable { reason }, "on {terminal:?}");
        // The session continues without the answer.
        world.until("the address again", |snapshot| snapshot.state == State::UrlAvailable).await;
        let reason = "the CLI's input is closed".to_owned();
        let again = world.spawner.submit(&world.id, answer()).await;
        assert_eq!(again, Err(SubmitError::Undeliverable { reason }), "on {terminal:?}");
        cancelled(&world, "a CLI that does not read").await;
    });
    join_all(runs).await;
}

#[tokio::test]
async fn cancel_does_not_wait_for_a_pending_answer() {
    for terminal in TERMINALS {
        let world = deaf(terminal);
        let pending = until_full(&world, async || {
            let (spawner, id) = (world.spawner.clone(), world.id.clone());
            let mut submit = tokio::spawn(async move { spawner.submit(&id, answer()).await });
            // An answer is either accepted immediately or has ten seconds.
            match tokio::time::timeout(Duration::from_secs(2), &mut submit).await {
                Ok(taken) => taken.unwrap().map_err(|error| panic!("{error}")),
                Err(_) => Err(submit),
            }
        })
        .await;
        cancelled(&world, "an answer on its way").await;
        assert_eq!(pending.await.unwrap(), Err(SubmitError::NotLive), "on {terminal:?}");
    }
}

#[tokio::test]
async fn login_succeeds_when_the_cli_has_closed_its_input() {
    for terminal in TERMINALS {
        let script = format!(
            "{YES}close stdin\nout {URL}\noutn Paste code >\nwait-file go\nwrite auth.json {LOGIN}\n"
        );
        let world = World::new(terminal, &script);
        world.start("login").unwrap();
        world.until_prompt().await;
        let answer = world.spawner.submit(&world.id, SecretString::from("c0de#S1")).await;
        match terminal {
            // A pipe reports that it has no reader. A terminal holds a line for the next reader.
            Terminal::Pipe => {
                let reason = "writing to the CLI's input failed: broken pipe".to_owned();
                assert_eq!(answer, Err(SubmitError::Undeliverable { reason }));
            }
            Terminal::Pty { .. } => assert_eq!(answer, Ok(())),
        }
        world.touch("go");
        ends(&world, "closed input", SUCCESS).await;
    }
}
