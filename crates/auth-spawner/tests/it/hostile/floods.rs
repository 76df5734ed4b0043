//! Floods of output.

use auth_spawner::Snapshot;

use super::{Course, SUCCESS, URL, alone, ends, run_all, within_memory};
use crate::harness::{LOGIN, PATIENCE, TERMINALS, World};

fn volume(megabytes: u64) -> u64 {
    megabytes * 1_000_000
}

/// Asserts that the login shows the URL and then succeeds.
async fn shows_the_address_and_succeeds(name: &'static str, noise: String) {
    let script = format!("{noise}\nout {URL}\nwrite auth.json {LOGIN}\nout Logged in\n");
    let course = Course::new(name, script, SUCCESS);
    for terminal in TERMINALS {
        within_memory(async {
            let world = course.begin(terminal);
            let end = ends(&world, name, SUCCESS).await;
            assert_eq!(
                (end.auth_url.as_deref(), end.url_openable),
                (Some(URL), true),
                "{name} on {terminal:?}"
            );
        })
        .await;
    }
}

#[tokio::test]
async fn login_succeeds_when_output_has_no_line_feed() {
    if !alone() {
        return;
    }
    // Twelve times the memory that the test allows.
    let noise = format!("flood {}\nout", volume(200));
    shows_the_address_and_succeeds("two hundred megabytes in one line", noise).await;
}

#[tokio::test]
async fn login_succeeds_when_output_has_a_million_lines() {
    if !alone() {
        return;
    }
    let line = "[12:00:01] INFO still waiting for the browser\\n";
    let length = line.len() as u64 - 1;
    let noise = format!("flood {} {line}", volume(length));
    shows_the_address_and_succeeds("a million lines", noise).await;
}

#[tokio::test]
async fn login_succeeds_when_output_is_only_line_feeds() {
    if !alone() {
        return;
    }
    shows_the_address_and_succeeds("line feeds", format!("flood {} \\n", volume(10))).await;
}

#[tokio::test]
async fn login_succeeds_when_three_hundred_megabytes_precede_the_url() {
    if !alone() {
        return;
    }
    // Most of the output is a single line. The rest consists of ordinary lines.
    let words = "many words that say nothing at all ";
    let noise = format!("flood {} {words}\nflood {} {words}\\n\nout", volume(290), volume(10));
    shows_the_address_and_succeeds("three hundred megabytes of words", noise).await;
}

#[tokio::test]
async fn login_succeeds_when_every_kind_of_noise_precedes_the_url() {
    if !alone() {
        return;
    }
    let noise =
        "\\e[2K\\r\\e[36m|\\e[0m fetching \\xe2\\xa0\\x8b some of it\\x07\\nand\\x00 more \\e]0;title\\x07";
    // The flood may end in the middle of an escape sequence. CAN ends that sequence.
    let noise = format!("flood {} {noise}\nraw \\x18\\n", volume(20));
    shows_the_address_and_succeeds("noise of every kind", noise).await;
}

/// Each URL is new and must be shown, and the last one counts. The CLI logs in only after it has been shown, because
/// otherwise the daemon might see the credential file before the last output.
#[tokio::test]
async fn login_shows_the_last_of_a_thousand_urls() {
    if !alone() {
        return;
    }
    let script = format!(
        "repeat 1000 out https://login.example.test/authorize?t={{now_us}}\nout {URL}\nwait-file go\nwrite auth.json {LOGIN}\n"
    );
    let course = Course::new("addresses", script, SUCCESS);
    for terminal in TERMINALS {
        within_memory(async {
            let world = course.begin(terminal);
            let last =
                |snapshot: &Snapshot| snapshot.auth_url.as_deref() == Some(URL) && snapshot.url_openable;
            world.until_within(PATIENCE * 4, course.name, last).await;
            world.touch("go");
            let end = ends(&world, course.name, SUCCESS).await;
            assert!(last(&end), "on {terminal:?}: {end:?}");
        })
        .await;
    }
}

#[tokio::test]
async fn login_succeeds_when_output_contains_invalid_text() {
    if !alone() {
        return;
    }
    for (name, text) in [
        ("invalid UTF-8", "\\xff\\xfe\\xc0\\xaf\\xed\\xa0\\x80\\xf5\\x80"),
        ("characters that are cut off", "\\xe2\\x82 \\xf0\\x9f\\x98 "),
        ("NULs", "\\x00"),
        ("continuation bytes", "\\x80"),
        ("C1 controls", "\\xc2\\x9b\\xc2\\x9d\\xc2\\x90"),
    ] {
        shows_the_address_and_succeeds(
            name,
            format!("flood {} {text}\\nout", volume(10)).replace("\\nout", "\nout"),
        )
        .await;
    }
}

/// The openings of an operating system command and related sequences.
const OPENINGS: [(&str, &str); 5] = [
    ("a title", "\\e]0;"),
    ("a link", "\\e]8;;https://login.example.test/"),
    ("a device control string", "\\eP"),
    ("an application command", "\\e_"),
    ("a control sequence", "\\e["),
];

#[tokio::test]
async fn login_succeeds_when_an_escape_sequence_never_ends() {
    if !alone() {
        return;
    }
    let courses = OPENINGS.map(|(name, opening)| {
        let filling = if name == "a control sequence" { "1;" } else { "x" };
        // The title is the sequence that real terminals see most often, so it gets the full size.
        let megabytes = if name == "a title" { 100 } else { 10 };
        let noise = format!("raw {opening}\nflood {} {filling}\n", volume(megabytes));
        Course::new(name, format!("{noise}write auth.json {LOGIN}\n"), SUCCESS)
    });
    within_memory(run_all(&courses, |course, world, end| {
        assert_eq!(end.auth_url, None, "{} on {:?}", course.name, world.terminal);
    }))
    .await;
}

#[tokio::test]
async fn url_is_read_after_the_end_of_a_long_escape_sequence() {
    for (name, opening) in &OPENINGS[..4] {
        for (what, end) in [("CAN", "\\x18"), ("SUB", "\\x1a"), ("BEL", "\\x07"), ("ST", "\\e\\\\")] {
            // Only an operating system command ends with BEL.
            if what == "BEL" && !opening.starts_with("\\e]") {
                continue;
            }
            let name = format!("{name} ended by {what}");
            for terminal in TERMINALS {
                let noise = format!("raw {opening}\nflood {}\nraw {end}\n", volume(1));
                let world = World::new(terminal, &format!("{noise}out {URL}\nhang\n"));
                world.start("login").unwrap();
                let shown =
                    world.until_within(PATIENCE * 4, &name, |snapshot| snapshot.auth_url.is_some()).await;
                assert_eq!((shown.auth_url.as_deref(), shown.url_openable), (Some(URL), true), "{name}");
                super::cancelled(&world, &name).await;
            }
        }
    }
}
