//! Output that hides, splits or forges a URL.

use futures_util::future::join_all;

use super::{URL, cancelled};
use crate::harness::{TERMINALS, World};

/// Runs the script on both terminals concurrently, and asserts that the URL is shown there and may be opened.
async fn shown(name: &str, script: &str) {
    let runs = TERMINALS.map(async |terminal| {
        let world = World::new(terminal, &format!("{script}hang\n"));
        world.start("login").unwrap();
        let shown = world.until_url().await;
        assert_eq!(
            (shown.auth_url.as_deref(), shown.url_openable),
            (Some(URL), true),
            "{name} on {terminal:?}"
        );
        let end = cancelled(&world, name).await;
        assert_eq!(end.auth_url.as_deref(), Some(URL), "{name} on {terminal:?}");
    });
    join_all(runs).await;
}

#[tokio::test]
async fn url_is_found_in_every_form_of_output() {
    let (head, tail) = URL.split_at(40);
    let cases = [
        ("split over writes", format!("outn visit {head}\nsleep 150\nout {tail}\n")),
        ("without a line feed", format!("outn visit {URL}\n")),
        ("in a hyperlink only", format!("raw \\e]8;;{URL}\\x07here\\e]8;;\\x07\\n\n")),
        ("after bad bytes", format!("raw \\xff\\xfe\\x00\\x80\\n\nout {URL}\n")),
        ("coloured inside", format!("raw {head}\\e[0m\\e[94m{tail}\\e[0m\\n\n")),
        ("with NULs inside", format!("raw {head}\\x00\\x00{tail}\\n\n")),
        ("with marks that turn it around", format!("raw {head}\\xe2\\x80\\xae\\xe2\\x81\\xa6{tail}\\n\n")),
        ("on standard error", format!("err {URL}\n")),
        (
            "each byte in its own write",
            format!("bytes \\e[1;32mopen\\e[0m \\e[4m{URL}\\e[0m \\xe2\\x80\\xa6\\r\\n\n"),
        ),
        (
            "a link, each byte in its own write",
            format!("bytes \\e]8;id=1;{URL}\\e\\\\here\\e]8;;\\e\\\\\\n\n"),
        ),
        ("over a line that was erased", format!("raw https://evil.example/waiting\\r\\e[K{URL}\\n\n")),
        ("over a line that was as long", format!("raw {}\\r{URL}\\n\n", "x".repeat(URL.len()))),
        ("over a spinner", format!("repeat 200 raw \\r|\\r/\\r-\\r\\\\\nraw \\r\\e[K{URL}\\n\n")),
        ("with a slip of the keyboard", format!("raw {head}zz\\x08\\x08{tail}\\n\n")),
        (
            "beside a flood on the other stream",
            format!("later 0 repeat 200 flood 65536 one of many lines\\n\nerr {URL}\n"),
        ),
    ];
    join_all(cases.iter().map(|(name, script)| shown(name, script))).await;
}

#[tokio::test]
async fn url_is_not_wrapped_by_a_terminal() {
    for terminal in TERMINALS {
        let url = format!("https://login.example.test/authorize?state={}", "s".repeat(850));
        let world = World::new(terminal, &format!("out {url}\nhang\n"));
        world.start("login").unwrap();
        assert_eq!(world.until_url().await.auth_url, Some(url));
        cancelled(&world, "a long address").await;
    }
}

/// URLs that resemble the provider's.
const FORGED: [&str; 13] = [
    "https://evil.example/authorize?x",
    "https://evil.example/https://login.example.test/",
    "https://login.example.test.evil.example/",
    "https://evillogin.example.test.example/",
    "https://login.example.test@evil.example/",
    "https://login.example.test:pw@evil.example/",
    "https://ada@login.example.test/",
    "https://login.ex\u{430}mple.test/",
    "https://xn--80ak6aa92e.example/",
    "https://login.example.test%2eevil.example/",
    "https://login\u{3002}example.test.evil.example/",
    "http://login.example.test/",
    "https://203.0.113.7/login.example.test",
];

#[tokio::test]
async fn forged_url_is_shown_but_not_openable() {
    let runs = FORGED.iter().flat_map(|forged| TERMINALS.map(|terminal| (forged, terminal)));
    let runs = runs.map(async |(forged, terminal)| {
        let script = format!(
            "out javascript:alert(1)//login.example.test\nout file:///etc/passwd\nout data:text/html,login.example.test\nout ssh://login.example.test/\nout {forged}\nwait-file go\nout {URL}\nout {forged}again\nout javascript:alert(2)\ntouch over\nhang\n"
        );
        let world = World::new(terminal, &script);
        world.start("login").unwrap();
        let shown = world.until_url().await;
        assert_eq!((shown.auth_url.as_deref(), shown.url_openable), (Some(*forged), false), "on {terminal:?}");
        world.touch("go");
        let shown = world.until("the real one", |snapshot| snapshot.url_openable).await;
        assert_eq!(shown.auth_url.as_deref(), Some(URL), "after {forged} on {terminal:?}");
        world.file("over").await;
        let end = cancelled(&world, forged).await;
        assert_eq!((end.auth_url.as_deref(), end.url_openable), (Some(URL), true), "{forged} on {terminal:?}");
    });
    join_all(runs).await;
}

/// Text that cannot be a URL is not shown.
#[tokio::test]
async fn text_that_cannot_be_a_url_is_not_shown() {
    let script = "out javascript:alert(1)\nout data:text/html,x\nout file:///etc/passwd\nout https://\nraw \\e]8;;javascript:alert(1)\\x07click\\e]8;;\\x07\\n\nraw \\e]52;c;aHR0cHM6Ly9ldmlsLmV4YW1wbGU=\\x07\\n\nout http://127.0.0.1:1/cb\nout Paste code >\nhang\n";
    for terminal in TERMINALS {
        let world = World::new(terminal, script);
        world.start("login").unwrap();
        let asked = world.until("the CLI's question", |snapshot| snapshot.prompted).await;
        assert_eq!((asked.auth_url, asked.prompt), (None, false), "on {terminal:?}");
        cancelled(&world, "no address").await;
    }
}
