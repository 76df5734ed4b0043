use proptest::prelude::*;

use super::*;
use crate::Registry;
use crate::findings::{Completeness, Finding, Matcher};
use crate::registry::Overlay;
use crate::terminal::decoder::hidden;

const LIMIT: usize = 8192;

/// Returns all lines read from the chunks. The screen is still between chunks.
fn lines(screen: &mut Screen, chunks: &[&[u8]]) -> Vec<Line> {
    let mut seen = Vec::new();
    for (position, chunk) in chunks.iter().enumerate() {
        if position > 0 {
            screen.settle(&mut |line| seen.push(line.clone()));
        }
        screen.feed(chunk, &mut |line| seen.push(line.clone()));
    }
    seen
}

/// Returns the lines read immediately, and the lines read at the end.
fn read(columns: u16, rows: u16, chunks: &[&[u8]]) -> (Vec<String>, Vec<String>) {
    let mut screen = Screen::new(columns, rows, LIMIT);
    let text = |line: Line| line.text;
    let at_once = lines(&mut screen, chunks).into_iter().map(text).collect();
    let mut last = Vec::new();
    screen.finish(&mut |line| last.push(line.text.clone()));
    (at_once, last)
}

#[test]
fn screen_reads_rows_as_displayed() {
    let check = |bytes: &str, at_once: &[&str], last: &[&str]| {
        let found = read(80, 5, &[bytes.as_bytes()]);
        assert_eq!((found.0, found.1), (to_owned(at_once), to_owned(last)), "{bytes:?}");
    };
    check("one\r\ntwo\r\n\r\nthree", &["one", "two"], &["three"]);
    check("real\rfake\r\n", &["fake"], &[]);
    check("spin |\r\x1b[Kdone\r\n", &["done"], &[]);
    // Words positioned by column, and by moving right.
    check("Welcome\x1b[9Gto\x1b[12GClaude\r\n", &["Welcome to Claude"], &[]);
    check("a\x1b[2Cb\r\n", &["a  b"], &[]);
    check("a\tb\r\n", &["a       b"], &[]);
    // Rows drawn out of order.
    check("\x1b[3;1Hthird\x1b[1;1Hfirst\x1b[2;3Hsecond", &[], &["first", "  second", "third"]);
    check("a\x1b[1Bb\x1b[1Ac\x1b[2Ed\x1b[1Fe\x1b[4df", &[], &["a c", "eb", "d", " f"]);
    // Saving and restoring the cursor.
    check("ab\x1b7\x1b[4;4Hx\x1b8cd\x1b[s\x1b[H.\x1b[ue", &[], &[".bcde", "   x"]);
    // A redraw that skips unchanged text.
    check("Claude max account\r\x1b[7Cpro\x1b[13Gc\r\n", &["Claude pro account"], &[]);
    // Erasing, inserting, deleting.
    check("hello\x1b[3D\x1b[K\r\n", &["he"], &[]);
    check("hello\x1b[1K.\r\n", &["     ."], &[]);
    check("hello\x1b[4D\x1b[2X\r\n", &["h  lo"], &[]);
    check("hello\x1b[4D\x1b[2P\r\n", &["hlo"], &[]);
    check("hello\x1b[4D\x1b[2@\r\n", &["h  ello"], &[]);
    check("\x1b[2;1Hb\x1b[1;1Ha\x1b[2;1H\x1b[Lx", &[], &["a", "x", "b"]);
    check("\x1b[2;1Hb\x1b[3;1Hc\x1b[2;1H\x1b[M", &["b"], &["c"]);
    // Rows are read before they are lost with their screen.
    check("\x1b[2;1Hlow\x1b[1;1Hup\x1b[2J\x1b[Hnew", &["up", "low"], &["new"]);
    check("\x1b[3;1Hlow\x1b[1;1Hup\x1b[Jnew", &["low"], &["upnew"]);
    check("old\x1b[?1049h\x1b[Hmenu\x1b[?1049l+", &["old", "menu"], &["old+"]);
    // Scrolling: the first row is lost and the others move up.
    check("1\r\n2\r\n3\r\n4\r\n5\r\n6", &["1", "2", "3", "4", "5"], &["6"]);
    check("\x1b[5;1Hlow\x1b[1;1Hup\x1b[S\x1b[4;5Hx", &["up"], &["low x"]);
    check("up\x1b[T\x1b[2;4Hx\x1b[H\x1bM.", &[], &[".", "up x"]);
    check("\x1b[2;4r\x1b[2;1Htop\x1b[4;1Hend\n\x1b[4;1Hx", &["end", "top"], &["x"]);
    // Rows neither wrap nor are truncated at the width of the terminal.
    check(&format!("{}\r\n", "x".repeat(300)), &[&"x".repeat(300)], &[]);
    check("\x1b[999C.\x1b[999D,\r\n", &[&format!(",{}.", " ".repeat(78))], &[]);
    // Characters that are two columns wide, and zero-width characters.
    check("\u{4f60}\u{597d}\x1b[5Gx\x1b[2Gy\r\n", &["\u{20}y\u{597d}x"], &[]);
    check("e\u{301}\u{fe0f}x\x1b[3G!\r\n", &["ex!"], &[]);
    // Sequences that are not text, and malformed ones.
    check("\x1b]0;title\x07\x1b]52;c;c2VjcmV0\x07\x1bPq\x1b\\text\x1b[?25l\x1b(B\r\n", &["text"], &[]);
    check("a\u{202e}b\u{2066}c\u{9b}d\x7f\r\n", &["abcd"], &[]);
    check("\x1b[1;2<3mx\x1b[31y\r\n", &["x"], &[]);
    check("lone escape\x1b", &[], &["lone escape"]);
}

fn to_owned(lines: &[&str]) -> Vec<String> {
    lines.iter().map(|line| (*line).to_owned()).collect()
}

#[test]
fn screen_reads_drawn_rows_once_output_settles() {
    let check = |chunks: &[&str], settled: &[&str], last: &[&str]| {
        let chunks: Vec<&[u8]> = chunks.iter().map(|chunk| chunk.as_bytes()).collect();
        let found = read(80, 5, &chunks);
        assert_eq!((found.0, found.1), (to_owned(settled), to_owned(last)), "{chunks:?}");
    };
    // The cursor's row is not read.
    check(&["\x1b[2;1Hwhole\x1b[1;1Hha", "lf"], &["whole"], &["half"]);
    // A row that has been read is not read again when it is redrawn, even if it is erased first.
    check(&["one\r\ntwo\r\n", "\x1b[2A\x1b[2Kone\r\n\x1b[2Ktwo\r\n", ""], &["one", "two"], &[]);
    check(&["one\r\ntwo\r\n", "\x1b[2A\x1b[2K\x1b[1Bspin", "\rtwo", ""], &["one", "two"], &["twon"]);
    // Changed rows are read again, but only once they are complete.
    check(&["one\r\ntwo\r\n", "\x1b[2Auno\r\n", ""], &["one", "two", "uno"], &[]);
    check(&["one\r\n", "\x1b[1A\x1b[2Ku\r\n\x1b[1A\x1b[1Cno\r\n", ""], &["one", "uno"], &[]);
}

#[test]
fn screen_reports_the_cursor_row_as_an_unfinished_line() {
    let mut screen = Screen::new(80, 24, LIMIT);
    let text = |screen: &Screen| screen.partial().map(|line| line.text);
    lines(&mut screen, &[b"\x1b[5;1Hbox\x1b[3;1HPaste code > "]);
    assert_eq!((text(&screen).as_deref(), screen.touched()), (Some("Paste code >"), true));
    assert!(!screen.touched(), "the row must be unchanged");
    screen.break_line();
    assert_eq!(text(&screen), None, "the prompt has been answered");
    lines(&mut screen, &[b"Bad code"]);
    assert_eq!(text(&screen).as_deref(), Some("Bad code"));
    // The cursor is still where the program expects it, and a row that it redraws is read again.
    lines(&mut screen, &[b"\r\x1b[2Kagain > "]);
    assert_eq!(text(&screen).as_deref(), Some("again >"));
    assert_eq!(lines(&mut screen, &[b"\r\n"]), [Line { text: "again >".into(), links: Vec::new() }]);
    assert_eq!(text(&screen), None);
}

#[test]
fn hyperlink_is_attached_to_every_row_that_shows_it() {
    let link = |text: &str| Line { text: text.into(), links: vec!["https://a.test/x;y".into()] };
    let mut screen = Screen::new(80, 24, LIMIT);
    let bytes = b"\x1b]8;id=1;https://a.test/x;y\x07https://\r\n  a.test\x1b]8;;\x07/\r\nplain\r\n";
    let plain = Line { text: "plain".into(), links: Vec::new() };
    assert_eq!(lines(&mut screen, &[bytes]), [link("https://"), link("  a.test/"), plain]);
    // A link is kept complete or dropped.
    let long = format!("\x1b]8;;https://a.test/{}\x07here\r\n", "x".repeat(LIMIT));
    assert_eq!(lines(&mut screen, &[long.as_bytes()])[0].links, Vec::<String>::new());
}

#[test]
fn screen_answers_terminal_queries_up_to_a_limit() {
    let check = |bytes: &[u8], expected: &[&str]| {
        let mut screen = Screen::new(80, 24, LIMIT);
        lines(&mut screen, &[bytes]);
        let replies: Vec<String> = std::iter::from_fn(|| screen.reply()).collect();
        assert_eq!(replies, expected, "{:?}", String::from_utf8_lossy(bytes));
    };
    check(b"\x1b[6n", &["\x1b[1;1R"]);
    check(b"ab\r\nc\x1b[6n\x1b[5n", &["\x1b[2;2R", "\x1b[0n"]);
    // This is how programs measure a terminal.
    check(b"\x1b[999;999H\x1b[6n", &["\x1b[24;80R"]);
    check(&[&[b'x'; 300][..], b"\x1b[6n"].concat(), &["\x1b[1;80R"]);
    check(b"\x1b[c\x1b[0c\x1b[>c", &["\x1b[?6c", "\x1b[?6c", "\x1b[>0;1;1c"]);
    // Answers from other terminals are not queries.
    check(b"\x1b[?6c\x1b[1;1R\x1b[0n\x1b]11;?\x07\x1b[>q\x1b[?u\x1b[?6n", &[]);
    let mut screen = Screen::new(80, 24, LIMIT);
    lines(&mut screen, &[&b"\x1b[6n".repeat(100_000)]);
    assert_eq!(std::iter::from_fn(|| screen.reply()).count(), 16);
}

#[test]
fn screen_limits_row_count_and_row_length() {
    let mut screen = Screen::new(1000, u16::MAX, 10);
    for _ in 0..100 {
        lines(
            &mut screen,
            &[
                &[b'x'; 10_000],
                b"\x1b[9999C.\x1b[9999@\x1b[65535T\x1b[65535B\x1b]8;;",
                &[b'y'; 10_000],
                b"\x1b\\",
            ],
        );
    }
    let mut last = Vec::new();
    screen.finish(&mut |line| last.push(line.text.len()));
    assert!(last.len() <= 500 && last.iter().all(|length| *length <= 10), "{last:?}");
}

/// The recorded bytes of a terminal session.
fn recorded(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/fixtures/{name}.events", env!("CARGO_MANIFEST_DIR"));
    let mut bytes = Vec::new();
    for line in std::fs::read_to_string(path).unwrap().lines() {
        let (_, stream, text): (f64, String, String) = serde_json::from_str(line).unwrap();
        if stream != "tty" || text == "EOF" {
            continue;
        }
        // Partial characters were recorded as escaped text.
        let mut parts = text.split("\\x");
        bytes.extend_from_slice(parts.next().unwrap().as_bytes());
        for part in parts {
            bytes.push(u8::from_str_radix(&part[..2], 16).unwrap());
            bytes.extend_from_slice(&part.as_bytes()[2..]);
        }
    }
    bytes
}

const PROVIDERS: &str = r#"
[providers.tui]
display-name = "TUI"
class = "oauth"
[providers.tui.cli]
binaries = ["tui"]
install = "none"
url-hosts = ["claude.com", "auth.openai.com", "accounts.google.com", "github.com"]
key-vars = []
[providers.tui.cli.config-dir]
var = "TUI_HOME"
name = "tui"
ambient = "~/.tui"
[providers.tui.cli.check]
args = ["status"]
[providers.tui.cli.credential]
path = "auth.json"
requires = ["/access_token"]
[[providers.tui.cli.recipes]]
id = "login"
args = ["login"]
terminal = { pty = {} }
patterns = { prompt = 'Paste code here if prompted|Paste the authorization code|Enter the authorization code:', logged-in = ['Signed in with Google'], refused = ["doesn't look like the full code", '\bRequired$'] }
"#;

fn matcher() -> Matcher {
    let overlay = Overlay { source: "tui.toml".into(), text: PROVIDERS.into() };
    let registry = Registry::with_overlays(&[overlay]).unwrap();
    let provider = registry.provider("tui").unwrap();
    Matcher::new(provider, &provider.recipe("login", None).unwrap())
}

/// Returns the findings in the lines, each only once.
fn meaning(matcher: &mut Matcher, lines: &[Line]) -> Vec<Finding> {
    let mut heard = Vec::new();
    for seen in lines.iter().flat_map(|line| matcher.read(line, Completeness::Whole)) {
        if !heard.contains(&seen) {
            heard.push(seen);
        }
    }
    heard
}

/// Checks a recording read in one piece, split at every byte, and split at each position with the screen read in
/// between.
fn check_recording(name: &str, columns: u16, rows: &[&str], expected: &[Finding]) {
    let bytes = recorded(name);
    let all = |chunks: &[&[u8]], still: bool| {
        let mut screen = Screen::new(columns, 24, LIMIT);
        let mut seen = Vec::new();
        if still {
            seen = lines(&mut screen, chunks);
        } else {
            for chunk in chunks {
                screen.feed(chunk, &mut |line| seen.push(line.clone()));
            }
        }
        screen.finish(&mut |line| seen.push(line.clone()));
        seen
    };
    let whole = all(&[&bytes], false);
    for row in rows {
        assert!(whole.iter().any(|line| line.text == *row), "{name}: {row} in {whole:#?}");
    }
    let fresh = matcher();
    assert_eq!(meaning(&mut fresh.clone(), &whole), expected, "{name}: {whole:#?}");
    let bytewise: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(all(&bytewise, false), whole, "{name} cut everywhere");
    for cut in 0..=bytes.len() {
        let (head, tail) = bytes.split_at(cut);
        let paused = all(&[head, tail], true);
        assert_eq!(meaning(&mut fresh.clone(), &paused), expected, "{name} still at {cut}: {paused:#?}");
    }
}

fn url(url: &str) -> Finding {
    Finding::Url { url: url.to_owned(), openable: true, device: false }
}

const CLAUDE: &str = "https://claude.com/cai/oauth/authorize?code=true&client_id=9d1c250a-e61b-44d9-88ed-5944d1962f5e&response_type=code&redirect_uri=https%3A%2F%2Fplatform.claude.com%2Foauth%2Fcode%2Fcallback&scope=user%3Ainference&code_challenge=hw145voAI8rMVeoscBew0p5F4L56CtQbSDQTq_KrT0M&code_challenge_method=S256&state=oW2pBp5oe_aHzxXcN5YYTQfznkkbMW2x8kuY3IJTtgo";

#[test]
fn claude_setup_token_is_read_with_wrapped_url_and_positioned_words() {
    let rows = [
        "Welcome to Claude Code v2.1.329",
        " This will guide you through long-lived (1-year) auth token setup for your",
        " Claude account. Claude subscription required.",
        " Browser didn't open? Use the URL below to sign in (c to copy)",
        "https://claude.com/cai/oauth/authorize?code=true&client_id=9d1c250a-e61b-44d9-88",
        " Paste code here if prompted",
        " \u{2718} That doesn't look like the full code.",
        "   Copy all of it, including the # in the middle.",
    ];
    check_recording("claude-setup-token-pty", 80, &rows, &[url(CLAUDE), Finding::Prompt, Finding::Refused]);
}

/// Output on a wide terminal, without hyperlinks.
#[test]
fn url_is_found_on_one_row_when_the_terminal_is_wide() {
    let mut screen = Screen::new(1000, 24, LIMIT);
    let bytes = format!("\x1b[3;1H\x1b[38;5;246m{CLAUDE}\x1b[39m\x1b[5;2HPaste\x1b[8Gcode");
    let seen = lines(&mut screen, &[bytes.as_bytes(), b""]);
    assert_eq!(meaning(&mut matcher(), &seen), [url(CLAUDE)]);
}

#[test]
fn openclaw_url_is_found_once_when_repeated_in_a_box() {
    let address = "https://auth.openai.com/oauth/authorize?response_type=code&client_id=app_EMoamEEZ73f0CkXaXp7hrann&redirect_uri=http%3A%2F%2Flocalhost%3A1455%2Fauth%2Fcallback&scope=openid+profile+email+offline_access&code_challenge=CV4MDcgong8fOE2gnOSPPh0IzHuSIeu6O8y5pFThEAk&code_challenge_method=S256&state=3ea0d8286fd60487f3fe20273ca7c7fa&id_token_add_organizations=true&codex_cli_simplified_flow=true&originator=openclaw";
    let rows = [
        address,
        &format!("\u{2502}  {address}  \u{2502}"),
        "\u{25c6}  Paste the authorization code (or full redirect URL):",
        "\u{25b2}  Paste the authorization code (or full redirect URL):",
        "\u{2514}  Required",
    ];
    check_recording("openclaw-login-pty", 1000, &rows, &[url(address), Finding::Prompt, Finding::Refused]);
}

#[test]
fn gemini_login_is_read_from_the_alternate_screen() {
    let address = "https://accounts.google.com/o/oauth2/v2/auth?redirect_uri=https%3A%2F%2Fcodeassist.google.com%2Fauthcode&access_type=offline&scope=https%3A%2F%2Fwww.googleapis.com%2Fauth%2Fcloud-platform%20https%3A%2F%2Fwww.googleapis.com%2Fauth%2Fuserinfo.email%20https%3A%2F%2Fwww.googleapis.com%2Fauth%2Fuserinfo.profile&code_challenge_method=S256&code_challenge=Hx8z3K7r5Nua7D2ma25OtFWcqgDPP2DAMp19VrScsRY&state=f700db9544c66691adfe2218e63dbe99ddf98e3895010d9e45f1d6e2edbc4a85&response_type=code&client_id=681255809395-oo8ft2oprdrnp9e3aqf6av3hmdib135j.apps.googleusercontent.com";
    let rows = [address, "Enter the authorization code: goodcode"];
    let expected = [url(address), Finding::Prompt, Finding::LoggedIn { email: None }];
    check_recording("gemini-login-pty", 1000, &rows, &expected);
}

#[test]
fn copilot_login_on_a_terminal_prints_plain_lines() {
    let address = "https://github.com/login/oauth/authorize?client_id=Ov23ctDVkRmgkPke0Mmm&redirect_uri=http%3A%2F%2F127.0.0.1%3A37131%2Fcallback&scope=read%3Auser+read%3Aorg+repo+gist+codespace+write%3Aplugin_gateway_connections&state=xb5b4JCeGN5osVGvSL8ffQ&code_challenge=loKjw7uB2luZvo6gbrjJ_mk2So7wKfuqpwpQDvhezak&code_challenge_method=S256";
    check_recording("copilot-login-pty", 1000, &[address, "Waiting for authorization..."], &[url(address)]);
}

proptest! {
    #[test]
    fn screen_reads_the_same_lines_when_the_stream_is_split(bytes in stream(), cut in any::<prop::sample::Index>()) {
        let cut = cut.index(bytes.len() + 1);
        let all = |chunks: &[&[u8]]| {
            let mut screen = Screen::new(20, 4, 40);
            let mut seen = Vec::new();
            for chunk in chunks {
                screen.feed(chunk, &mut |line| seen.push(line.clone()));
            }
            screen.finish(&mut |line| seen.push(line.clone()));
            let replies: Vec<String> = std::iter::from_fn(|| screen.reply()).collect();
            (seen, replies)
        };
        prop_assert_eq!(all(&[&bytes]), all(&[&bytes[..cut], &bytes[cut..]]));
    }

    #[test]
    fn screen_removes_control_characters(bytes in stream()) {
        let (at_once, last) = read(20, 4, &[&bytes, b""]);
        for text in at_once.iter().chain(&last) {
            prop_assert!(!text.chars().any(hidden), "{text:?}");
        }
    }

    /// If no row is drawn with cursor moves, a screen gives the same lines as a pipe.
    #[test]
    fn screen_gives_the_same_lines_as_a_pipe_when_text_is_plain(words in prop::collection::vec("[ -~\u{e9}]{0,30}", 0..40)) {
        let text = words.join("\r\n");
        let mut plain = Vec::new();
        let mut lines = crate::terminal::lines::Lines::new(LIMIT);
        lines.feed(text.as_bytes(), &mut |line| plain.push(line.text.clone()));
        lines.finish(&mut |line| plain.push(line.text.clone()));
        let (mut seen, last) = read(80, 5, &[text.as_bytes()]);
        seen.extend(last);
        prop_assert_eq!(seen, plain);
    }
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    let number = prop_oneof![Just(String::new()), (0..30_u16).prop_map(|number| number.to_string())];
    let sequence = (prop::sample::select(&["", "?", ">"][..]), number.clone(), number, 0x40..0x7f_u8)
        .prop_map(|(private, first, second, end)| {
            format!("\x1b[{private}{first};{second}{}", char::from(end))
        });
    let piece = prop_oneof![
        4 => sequence.prop_map(String::into_bytes),
        2 => "[a-z]{1,12}".prop_map(String::into_bytes),
        1 => Just(b"\x1b[?1049h".to_vec()),
        1 => Just(b"\x1b[?1049l".to_vec()),
        1 => (0x30..0x7f_u8).prop_map(|byte| vec![0x1b, byte]),
        1 => Just(b"\x1b]8;;https://a.test/?q\x07".to_vec()),
        1 => Just(b"\x1b]8;;\x1b\\".to_vec()),
        1 => Just("\u{2026}\u{e9}\u{202e}\u{4f60}\u{301}".as_bytes().to_vec()),
        2 => Just(b"\r\n".to_vec()),
        1 => prop::sample::select(&[8_u8, 9, 10, 11, 13, 0x18, 0x1a, 0x1b, 0x9b][..]).prop_map(|byte| vec![byte]),
        1 => prop::collection::vec(any::<u8>(), 0..8),
    ];
    prop::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}
