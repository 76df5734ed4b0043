//! Tests of what a CLI draws on its terminal, and of its queries to the terminal. The CLIs here are shell scripts,
//! because they have to set terminal modes.

use std::os::unix::fs::PermissionsExt;

use auth_spawner::{LoginRequest, State, Terminal};
use secrecy::SecretString;

use crate::harness::World;

const URL: &str = "https://login.example.test/authorize?state=S1";

/// Creates a home whose CLI is this shell script. The CLI's check command reports that there is no login.
fn world(script: &str) -> World {
    let world = World::new(Terminal::WIDE, "");
    let text = format!("#!/bin/sh\n[ \"$1\" = status ] && exit 1\n{script}\n");
    let path = world.home.path().join("cli");
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
    let program = path;
    world.spawner.start(LoginRequest { program, ..world.request(&world.id, "login") }).unwrap();
    world
}

#[tokio::test]
async fn terminal_answers_cursor_and_device_queries() {
    let cases = [
        // The cursor is in the third row, after four characters.
        ("\\r\\n\\r\\nrow:\\033[6n", 6, "3;5"),
        ("\\033[9999;9999H\\033[6n", 10, "24;1000"),
        ("\\033[5n", 4, "0"),
        ("\\033[c", 5, "6"),
        ("\\033[>c", 9, "0;1;1"),
    ];
    for (question, length, answer) in cases {
        let world = world(&format!(
            "stty raw -echo; printf '{question}'\n\
             answer=$(dd bs=1 count={length} 2>/dev/null | tr -dc '0-9;')\n\
             printf '\\r\\n{URL}&answer=%s\\r\\n' \"$answer\"; sleep 600"
        ));
        let shown = world.until_url().await;
        assert_eq!(shown.auth_url, Some(format!("{URL}&answer={answer}")), "{question}");
        world.spawner.cancel(&world.id).await.unwrap();
        world.assert_no_process_left();
    }
}

/// The CLI sends endless queries and never reads, so its input is full of replies.
#[tokio::test]
async fn login_shows_its_url_and_can_be_cancelled_when_the_cli_only_sends_queries() {
    let world = world(&format!(
        "stty raw -echo; printf '{URL}\\r\\n'\n\
         while :; do printf '\\033[6n\\033[c\\033[6n\\033[c\\033[6n\\033[c\\033[6n\\033[c'; done"
    ));
    assert_eq!(world.until_url().await.auth_url.as_deref(), Some(URL));
    world.spawner.cancel(&world.id).await.unwrap();
    assert_eq!(world.end().await.state, State::Cancelled);
    world.assert_no_process_left();
}

/// The reply to the query before the paste is written first, and completely.
#[tokio::test]
async fn query_reply_is_written_completely_before_a_paste() {
    let world = world(&format!(
        "stty raw -echo; printf '{URL}\\r\\nPaste code > \\033[6n'\n\
         answer=$(dd bs=1 count=12 2>/dev/null | tr -dc '0-9;a-zA-Z#')\n\
         printf '%s' \"$answer\" > ../got; sleep 600"
    ));
    world.until_prompt().await;
    world.spawner.submit(&world.id, SecretString::from("a#S1")).await.unwrap();
    assert_eq!(world.file("got").await, "2;14Ra#S1");
    world.spawner.cancel(&world.id).await.unwrap();
}

#[tokio::test]
async fn url_is_read_while_a_spinner_keeps_drawing() {
    // The URL is drawn with cursor moves, in two halves, and the cursor never rests on it.
    let world = world(
        "printf '\\033[H\\033[2J\\033[3;10H//login.example.test/authorize\\033[3;4Hhttps:\\033[3;40H?state=S1\\033[1;1H'\n\
         while :; do printf '\\033[1;1H|'; sleep 0.02; printf '\\033[1;1H-'; sleep 0.02; done",
    );
    assert_eq!(world.until_url().await.auth_url.as_deref(), Some(URL));
    world.spawner.cancel(&world.id).await.unwrap();
}

#[tokio::test]
async fn url_is_read_when_the_alternate_screen_shows_it_only_briefly() {
    let world = world(&format!("printf '\\033[?1049h\\033[5;5H{URL}\\033[?1049l'; sleep 600"));
    assert_eq!(world.until_url().await.auth_url.as_deref(), Some(URL));
    world.spawner.cancel(&world.id).await.unwrap();
}
