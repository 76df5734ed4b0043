//! Output that no CLI should print, and some that real ones do.

use auth_spawner::State;

use crate::harness::{LOGIN, TERMINALS, World};

const YES: &str = "when status\nexit 0\nwhen *\ndir-var FAKE_HOME\n";

#[tokio::test]
async fn an_address_is_found_however_it_is_printed() {
    let url = "https://login.example.test/authorize?state=S1";
    let cases = [
        ("split over writes", "outn visit https://login.exam\nsleep 150\nout ple.test/authorize?state=S1\n"),
        ("without a line feed", "outn visit https://login.example.test/authorize?state=S1\n"),
        (
            "in a hyperlink only",
            "raw \\e]8;;https://login.example.test/authorize?state=S1\\x07here\\e]8;;\\x07\\n\n",
        ),
        (
            "after bad bytes",
            "raw \\xff\\xfe\\x00\\x80\\n\nout https://login.example.test/authorize?state=S1\n",
        ),
        ("coloured inside", "raw https://login.example.test/authorize?\\e[0m\\e[94mstate=S1\\e[0m\\n\n"),
        ("on standard error", "err https://login.example.test/authorize?state=S1\n"),
        ("after a flood", "flood 50000000\nout\nout https://login.example.test/authorize?state=S1\n"),
    ];
    for terminal in TERMINALS {
        for (name, script) in cases {
            let world = World::new(terminal, &format!("{script}hang\n"));
            world.start("login").unwrap();
            let shown = world.until_url().await;
            assert_eq!(
                (shown.auth_url.as_deref(), shown.url_openable),
                (Some(url), true),
                "{name} on {terminal:?}"
            );
            world.spawner.cancel(&world.id).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_strange_address_is_shown_but_not_to_be_opened() {
    for terminal in TERMINALS {
        let script = "out https://evil.example/authorize?x\nwait-file go\nout https://login.example.test/authorize\nout https://evil.example/again\nout javascript:alert(1)\nout done\nhang\n";
        let world = World::new(terminal, script);
        world.start("login").unwrap();
        let shown = world.until_url().await;
        assert_eq!(
            (shown.auth_url.as_deref(), shown.url_openable),
            (Some("https://evil.example/authorize?x"), false)
        );
        world.touch("go");
        let shown = world.until("the real one", |snapshot| snapshot.url_openable).await;
        assert_eq!(shown.auth_url.as_deref(), Some("https://login.example.test/authorize"));
        world.spawner.cancel(&world.id).await.unwrap();
        let end = world.spawner.snapshot(&world.id).unwrap();
        assert_eq!(end.auth_url.as_deref(), Some("https://login.example.test/authorize"));
    }
}

#[tokio::test]
async fn a_flood_costs_no_memory_and_hides_nothing() {
    for terminal in TERMINALS {
        let script = format!("{YES}flood 50000000\nout\nwrite auth.json {LOGIN}\nout Logged in\n");
        let world = World::new(terminal, &script);
        let before = resident();
        world.start("login").unwrap();
        let end = world.end().await;
        assert_eq!(end.state, State::Success);
        // Other tests of this binary run at the same time, hence the wide margin: it is the flood's size.
        let grown = resident().saturating_sub(before);
        assert!(grown < 50_000, "{grown} KiB on {terminal:?}");
    }
}

/// Resident memory of this process in KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn the_address_is_not_wrapped_by_a_terminal() {
    for terminal in TERMINALS {
        let url = format!("https://login.example.test/authorize?state={}", "s".repeat(850));
        let world = World::new(terminal, &format!("out {url}\nhang\n"));
        world.start("login").unwrap();
        assert_eq!(world.until_url().await.auth_url, Some(url));
        world.spawner.cancel(&world.id).await.unwrap();
    }
}
