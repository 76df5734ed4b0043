//! The texts and drawings that a user sees during a login. Nothing here has side effects.

use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};

use url::{Host, Url};

use super::super::ui::{Screen, plain_line};
use crate::wire::auth::{Phase, Session, SessionStatus};
use crate::wire::paste::PasteShape;

/// Lines below an address: the result of opening a browser, the offer to paste, which may wrap, and the spinner.
const LINES_BELOW: usize = 4;

/// The parts of a session that have been shown already, so that none is shown twice.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Shown {
    url: Option<String>,
    device_code: Option<String>,
    to_open: bool,
}

impl Shown {
    /// Returns the lines about the changes in this state; empty if there are none.
    pub(super) fn update(&mut self, session: &Session, screen: Option<Screen>) -> String {
        let url = session.verification_url.as_ref().filter(|_| session.device_code.is_some());
        let url = url.or(session.auth_url.as_ref()).cloned();
        let is_new = url != self.url || session.device_code != self.device_code;
        if !is_new {
            return String::new();
        }
        self.to_open = url.is_some() && url != self.url;
        self.url = url;
        self.device_code.clone_from(&session.device_code);
        let known = session.openable != Some(false);
        self.instructions(screen, known)
    }

    /// Returns the address to open, once.
    pub(super) fn take_url_to_open(&mut self) -> Option<&str> {
        if std::mem::take(&mut self.to_open) { self.url.as_deref() } else { None }
    }

    /// Returns the address and the code. A QR code and then the large code are added if the screen has room. `known` is
    /// true if the address is one of the provider's.
    fn instructions(&self, screen: Option<Screen>, known: bool) -> String {
        let screen_of = |draw: &dyn Fn(&str, Screen) -> Option<String>, text: Option<&str>| {
            screen.zip(text).and_then(|(screen, text)| draw(text, screen))
        };
        let code = self.device_code.as_deref().map(plain_line);
        let scanned = self.url.as_deref().filter(|url| finishes_anywhere(url));
        let (square, large) = (screen_of(&qr, scanned), screen_of(&boxed, code.as_deref()));
        let candidates = [(true, true), (true, false), (false, true)].map(|(with_qr, with_large)| {
            self.pieces(known, square.as_deref().filter(|_| with_qr), large.as_deref().filter(|_| with_large))
        });
        let room = |screen: Screen| usize::from(screen.rows).saturating_sub(LINES_BELOW);
        let fits = |pieces: &Vec<String>| {
            screen.is_none_or(|screen| height(&pieces.join("\n"), screen.columns) <= room(screen))
        };
        let chosen = candidates.into_iter().find(fits).unwrap_or_else(|| self.pieces(known, None, None));
        let text = chosen.join("\n");
        match &self.url {
            Some(url) => text.replacen(&plain_line(url), &link(url, screen), 1),
            None => text,
        }
    }

    fn pieces(&self, known: bool, square: Option<&str>, large: Option<&str>) -> Vec<String> {
        let mut pieces = Vec::new();
        if let Some(url) = &self.url {
            pieces.push(format!("Open this address to log in:\n\n  {}\n", plain_line(url)));
        }
        pieces.extend(square.map(str::to_owned));
        if let Some(code) = &self.device_code {
            let there = if self.url.is_some() { " there" } else { "" };
            pieces.push(format!("Enter this code{there}: {}", plain_line(code)));
        }
        pieces.extend(large.map(str::to_owned));
        if self.url.is_some() && !known {
            pieces.push(UNKNOWN_ADDRESS.to_owned());
        }
        pieces
    }
}

const UNKNOWN_ADDRESS: &str = "This is not a known address of the provider. Open it only if you trust it.";

/// Returns the offer to paste. The user need not paste where the browser can reach the CLI.
pub(super) fn offer(session: &Session) -> &'static str {
    let shapes = session.paste_shapes.as_deref().unwrap_or_default();
    let takes = |shape| shapes.contains(&shape);
    let takes_code = takes(PasteShape::Code) || takes(PasteShape::CodeState);
    let local = session.auth_url.as_deref().is_some_and(|url| !finishes_anywhere(url));
    match (takes(PasteShape::Url), takes_code) {
        (true, _) if local => {
            "If the browser cannot reach this machine, paste the address that it ended on: "
        }
        (true, false) => "Paste the address that the browser ended on: ",
        (false, true) => "Paste the code that the page shows: ",
        (true, true) | (false, false) => "Paste the code or the address that the browser ended on: ",
    }
}

/// Returns whether a browser on any machine can finish the login at this address. It cannot if the address names a
/// callback on this machine.
fn finishes_anywhere(url: &str) -> bool {
    let Ok(url) = Url::parse(url) else { return true };
    let is_local = |value: &str| {
        let target = Url::parse(value).ok().filter(|target| matches!(target.scheme(), "http" | "https"));
        target.is_some_and(|target| is_this_machine(&target))
    };
    !url.query_pairs().any(|(_, value)| is_local(&value))
}

fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback() || address.is_unspecified(),
        Some(Host::Ipv6(address)) => address.is_loopback() || address.is_unspecified(),
        None => false,
    }
}

/// Returns the number of lines that a text takes on a terminal. Colours take no room. The text must hold no cursor
/// movements.
fn height(text: &str, columns: u16) -> usize {
    let columns = usize::from(columns.max(1));
    let width = |line: &str| {
        // Each colour sequence begins with an escape character and ends with `m`.
        let parts = line.split('\u{1b}').enumerate();
        let visible = parts.map(|(position, part)| match part.split_once('m') {
            Some((_, rest)) if position > 0 => rest.chars().count(),
            _ => part.chars().count(),
        });
        visible.sum::<usize>()
    };
    text.split('\n').map(|line| width(line).div_ceil(columns).max(1)).sum()
}

/// Returns the text for the event that the login waits for.
pub(crate) fn state(session: &Session) -> &'static str {
    match (&session.phase, &session.status) {
        (Some(Phase::Confirming), _) => "checking the login",
        (Some(Phase::Saving), _) => "saving the login",
        (None, SessionStatus::Pending) => "waiting for the provider's CLI",
        (None, SessionStatus::UrlAvailable) => "waiting for you to log in",
        (None, SessionStatus::CodeEmitted) => "waiting for you to enter the code",
        (None, SessionStatus::Success | SessionStatus::Failed) => "done",
        (Some(Phase::Other(_)), _) | (None, SessionStatus::Other(_)) => "working",
    }
}

/// Returns the address as a link (OSC 8) if the terminal supports it, so that an address that wraps can be clicked.
fn link(url: &str, screen: Option<Screen>) -> String {
    let url = plain_line(url);
    match screen {
        Some(Screen { styled: true, .. }) => format!("\u{1b}]8;;{url}\u{1b}\\{url}\u{1b}]8;;\u{1b}\\"),
        _ => url,
    }
}

/// Draws a QR code of the address, if the terminal is wide enough.
fn qr(url: &str, screen: Screen) -> Option<String> {
    let code = QrCode::with_error_correction_level(url, EcLevel::L).ok()?;
    // Each side needs a margin of four light modules, without which a camera does not find the code. Two modules are
    // one line.
    let side = code.width() + 8;
    if side > usize::from(screen.columns) {
        return None;
    }
    let mut renderer = code.render::<Dense1x2>();
    let drawn = if screen.styled {
        // Each line is coloured separately, because a terminal would colour the rest of a line that ends coloured.
        let (begin, end) = ("\u{1b}[30;107m", "\u{1b}[0m");
        format!("{begin}{}{end}\n", renderer.build().replace('\n', &format!("{end}\n{begin}")))
    } else {
        // Without colours the light modules are drawn, because most terminals are dark.
        renderer.dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build() + "\n"
    };
    Some(drawn)
}

/// Draws the code with spaces in a box, if the terminal is wide enough.
fn boxed(code: &str, screen: Screen) -> Option<String> {
    let spaced = code.chars().map(String::from).collect::<Vec<_>>().join(" ");
    let inner = spaced.chars().count() + 8;
    if inner + 4 > usize::from(screen.columns) {
        return None;
    }
    let (bold, end) = if screen.styled { ("\u{1b}[1m", "\u{1b}[0m") } else { ("", "") };
    let (line, space) = ("─".repeat(inner), " ".repeat(inner));
    Some(format!("\n  ╭{line}╮\n  │{space}│\n  │    {bold}{spaced}{end}    │\n  │{space}│\n  ╰{line}╯\n"))
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// Returns a session with these fields in addition to the required ones.
    pub(crate) fn session(fields: Value) -> Session {
        let mut all = json!({
            "sessionId": "auth-1", "providerId": "codex", "revision": 1, "status": "pending", "startedAt": 0, "expiresAt": 1,
        });
        if let (Value::Object(all), Value::Object(fields)) = (&mut all, fields) {
            all.extend(fields);
        }
        serde_json::from_value(all).unwrap()
    }

    fn screen(columns: u16, rows: u16, styled: bool) -> Screen {
        Screen { columns, rows, styled }
    }

    #[test]
    fn login_prints_plain_lines_once_when_there_is_no_terminal() {
        let mut shown = Shown::default();
        assert_eq!(shown.update(&session(json!({})), None), "");
        let url =
            session(json!({"status": "url-available", "authUrl": "https://a.example/x", "openable": true}));
        assert_eq!(shown.update(&url, None), "Open this address to log in:\n\n  https://a.example/x\n");
        assert_eq!(shown.take_url_to_open(), Some("https://a.example/x"));
        assert_eq!(shown.take_url_to_open(), None);
        assert_eq!(shown.update(&url, None), "");
        let code = session(json!({
            "status": "code-emitted", "authUrl": "https://a.example/x", "verificationUrl": "https://a.example/device",
            "deviceCode": "AB-1", "openable": false,
        }));
        assert_eq!(
            shown.update(&code, None),
            "Open this address to log in:\n\n  https://a.example/device\n\nEnter this code there: AB-1\n\
             This is not a known address of the provider. Open it only if you trust it."
        );
        assert_eq!(shown.take_url_to_open(), Some("https://a.example/device"));
    }

    #[test]
    fn address_opens_only_once_when_a_code_follows_it() {
        let mut shown = Shown::default();
        let url = "https://a.example/x?code=AB-1";
        shown.update(&session(json!({"status": "url-available", "authUrl": url})), None);
        assert_eq!(shown.take_url_to_open(), Some(url));
        shown.update(&session(json!({"status": "code-emitted", "authUrl": url, "deviceCode": "AB-1"})), None);
        assert_eq!(shown.take_url_to_open(), None);
    }

    #[test]
    fn code_is_boxed_only_when_it_fits() {
        let expect = "\n  ╭───────────────╮\n  │               │\n  │    A B - 1    │\n  │               │\n  ╰───────────────╯\n";
        let check = |columns: u16, styled: bool, expect: Option<&str>| {
            assert_eq!(boxed("AB-1", screen(columns, 24, styled)).as_deref(), expect, "{columns} {styled}");
        };
        check(80, false, Some(expect));
        check(19, false, Some(expect));
        check(18, false, None);
        check(80, true, Some(&expect.replace("A B - 1", "\u{1b}[1mA B - 1\u{1b}[0m")));
    }

    #[test]
    fn qr_code_is_drawn_only_when_it_fits() {
        // 19 bytes are version 1 or 2: 25 modules and the margin of 8 are 33 columns and 17 lines.
        let url = "https://a.example/xyz";
        let drawn = qr(url, screen(33, 24, false)).unwrap();
        assert_eq!(drawn.lines().count(), 17);
        assert!(drawn.lines().all(|line| line.chars().count() == 33), "{drawn}");
        assert_eq!(qr(url, screen(32, 24, false)), None);
        assert_eq!(qr(&"x".repeat(5000), screen(u16::MAX, u16::MAX, false)), None);
        let styled = qr(url, screen(33, 24, true)).unwrap();
        assert!(styled.lines().all(|line| line.starts_with("\u{1b}[30;107m") && line.ends_with("\u{1b}[0m")));
    }

    #[test]
    fn address_stays_on_the_screen_when_a_code_or_qr_code_is_drawn() {
        let check = |url: &str, code: Option<&str>, size: (u16, u16), drawn: [bool; 2]| {
            let (columns, rows) = size;
            for styled in [false, true] {
                let screen = screen(columns, rows, styled);
                let mut shown = Shown::default();
                let mut fields = json!({"authUrl": url, "verificationUrl": url, "openable": true});
                fields["deviceCode"] = json!(code);
                let text = shown.update(&session(fields), Some(screen));
                let found = [text.contains('▀') || text.contains('▄'), text.contains('╭')];
                assert_eq!(found, drawn, "{url} {size:?}:\n{text}");
                let plain = text.replace(&link(url, Some(screen)), url);
                let lines = height(&plain, columns) + LINES_BELOW;
                assert!(
                    lines <= usize::from(rows) || drawn == [false; 2],
                    "{lines} lines on {size:?}:\n{text}"
                );
            }
        };
        // The address takes 4 lines, its QR code 18, the line with the code 1, and the large code 7.
        let device = "https://github.com/login/device";
        check(device, Some("ABCD-1234"), (100, 34), [true, true]);
        check(device, Some("ABCD-1234"), (100, 33), [true, false]);
        check(device, Some("ABCD-1234"), (100, 27), [true, false]);
        check(device, Some("ABCD-1234"), (100, 26), [false, true]);
        check(device, Some("ABCD-1234"), (80, 24), [false, true]);
        check(device, Some("ABCD-1234"), (80, 16), [false, true]);
        check(device, Some("ABCD-1234"), (80, 15), [false, false]);
        check(device, None, (100, 26), [true, false]);
        check(device, None, (100, 25), [false, false]);
        // A long address wraps.
        let long = format!("{device}?{}", "x".repeat(300));
        let rows = (1..200).find(|rows| {
            let screen = screen(80, *rows, false);
            Shown::default().update(&session(json!({"authUrl": &long})), Some(screen)).contains('▀')
        });
        let square = qr(&long, screen(80, 200, false)).unwrap().lines().count() + 1;
        assert_eq!(rows.map(usize::from), Some(3 + 5 + square + LINES_BELOW));
        let local = "https://auth.example/authorize?redirect_uri=http%3A%2F%2Flocalhost%3A1455%2Fcb";
        check(local, None, (200, 200), [false, false]);
    }

    #[test]
    fn callback_on_this_machine_is_told_from_one_elsewhere() {
        let check = |redirect: &str, expect: bool| {
            let url = Url::parse_with_params("https://auth.example/authorize", [("redirect_uri", redirect)]);
            assert_eq!(finishes_anywhere(url.unwrap().as_str()), expect, "{redirect}");
        };
        check("http://localhost:1455/auth/callback", false);
        check("http://LOCALHOST/", false);
        check("http://app.localhost/", false);
        check("http://127.0.0.1:1/", false);
        check("http://127.9.9.9:1/", false);
        check("http://[::1]:1455/", false);
        check("http://0.0.0.0:1/", false);
        check("https://platform.claude.com/oauth/code/callback", true);
        check("http://10.0.0.1/", true);
        check("https://localhost.example/", true);
        check("urn:ietf:wg:oauth:2.0:oob", true);
        check("", true);
        assert!(finishes_anywhere("https://github.com/login/device"));
        assert!(finishes_anywhere("not an address"));
    }

    #[test]
    fn offer_names_only_the_paste_shapes_that_the_login_accepts() {
        let check = |redirect: &str, shapes: Value, expect: &str| {
            let url = Url::parse_with_params("https://a.example/x", [("redirect_uri", redirect)]).unwrap();
            let fields = json!({"authUrl": url.as_str(), "prompt": true, "pasteShapes": shapes});
            assert_eq!(offer(&session(fields)), expect, "{redirect} {shapes}");
        };
        let (here, there) = ("http://localhost:1455/cb", "https://a.example/cb");
        let reach = "If the browser cannot reach this machine, paste the address that it ended on: ";
        let either = "Paste the code or the address that the browser ended on: ";
        let code = "Paste the code that the page shows: ";
        check(here, json!(["url", "code_state"]), reach);
        check(here, json!(["url", "code_state", "code"]), reach);
        check(there, json!(["url", "code_state", "code"]), either);
        check(there, json!(["url"]), "Paste the address that the browser ended on: ");
        check(there, json!(["code"]), code);
        check(here, json!(["code"]), code);
        check(there, json!(["code_state"]), code);
        check(there, Value::Null, either);
    }

    #[test]
    fn address_cannot_end_its_link_early() {
        let url = "https://a.example/\u{1b}\\\u{1b}[2J";
        assert_eq!(link(url, None), "https://a.example/\u{fffd}\\\u{fffd}[2J");
        let safe = "https://a.example/\u{fffd}\\\u{fffd}[2J";
        assert_eq!(
            link(url, Some(screen(80, 24, true))),
            format!("\u{1b}]8;;{safe}\u{1b}\\{safe}\u{1b}]8;;\u{1b}\\")
        );
    }

    #[test]
    fn login_state_names_the_phase_when_there_is_one() {
        let check = |fields: Value, expect: &str| assert_eq!(state(&session(fields)), expect);
        check(json!({}), "waiting for the provider's CLI");
        check(json!({"status": "url-available"}), "waiting for you to log in");
        check(json!({"status": "code-emitted"}), "waiting for you to enter the code");
        check(json!({"status": "code-emitted", "phase": "confirming"}), "checking the login");
        check(json!({"phase": "saving"}), "saving the login");
    }
}
