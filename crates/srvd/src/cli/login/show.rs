//! What a person is shown of a login. All of it is pure.

use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};

use super::super::ui::{Screen, plain_line};
use crate::api::auth::{Phase, Session, SessionStatus};

/// Lines that stay visible beside a QR code: what it is for, and the spinner.
const LINES_BESIDE: usize = 6;

/// What has been shown already, so that nothing is shown twice.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Shown {
    url: Option<String>,
    device_code: Option<String>,
    to_open: bool,
}

impl Shown {
    /// The lines about what is new in this state; empty when nothing is.
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
        let mut lines = self.instructions(screen);
        if self.url.is_some() && session.openable == Some(false) {
            lines.push(
                "This address is not one of the provider's known ones. Open it only if you trust it."
                    .to_owned(),
            );
        }
        lines.join("\n")
    }

    /// The address, once, to try to open it.
    pub(super) fn take_url_to_open(&mut self) -> Option<&str> {
        if std::mem::take(&mut self.to_open) { self.url.as_deref() } else { None }
    }

    fn instructions(&self, screen: Option<Screen>) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(url) = &self.url {
            lines.push(format!("Open this address to log in:\n\n  {}\n", link(url, screen)));
            lines.extend(screen.and_then(|screen| qr(url, screen)));
        }
        if let Some(device_code) = &self.device_code {
            let device_code = plain_line(device_code);
            let there = if self.url.is_some() { " there" } else { "" };
            lines.push(format!("Enter this code{there}: {device_code}"));
            lines.extend(screen.map(|screen| boxed(&device_code, screen)));
        }
        lines
    }
}

/// What the login is waiting for, in words.
pub(super) fn state(session: &Session) -> &'static str {
    match (session.phase, session.status) {
        (Some(Phase::Confirming), _) => "checking the login",
        (Some(Phase::Saving), _) => "saving the login",
        (None, SessionStatus::Pending) => "waiting for the provider's CLI",
        (None, SessionStatus::UrlAvailable) => "waiting for you to log in",
        (None, SessionStatus::CodeEmitted) => "waiting for you to enter the code",
        (None, SessionStatus::Success | SessionStatus::Failed) => "done",
    }
}

/// The address, which a terminal that can makes clickable as a whole even when it wraps (OSC 8).
fn link(url: &str, screen: Option<Screen>) -> String {
    let url = plain_line(url);
    match screen {
        Some(Screen { styled: true, .. }) => format!("\u{1b}]8;;{url}\u{1b}\\{url}\u{1b}]8;;\u{1b}\\"),
        _ => url,
    }
}

/// The address for a phone's camera, where the terminal has room for it.
fn qr(url: &str, screen: Screen) -> Option<String> {
    let code = QrCode::with_error_correction_level(url, EcLevel::L).ok()?;
    // Four light modules on each side, without which a camera does not find it; two modules are one line.
    let side = code.width() + 8;
    if side > usize::from(screen.columns) || side.div_ceil(2) + LINES_BESIDE > usize::from(screen.rows) {
        return None;
    }
    let mut renderer = code.render::<Dense1x2>();
    let drawn = if screen.styled {
        // Each line on its own, because a terminal would colour the rest of a line that ends coloured.
        let (begin, end) = ("\u{1b}[30;107m", "\u{1b}[0m");
        format!("{begin}{}{end}\n", renderer.build().replace('\n', &format!("{end}\n{begin}")))
    } else {
        // Without colours the light modules are drawn, because most terminals are dark.
        renderer.dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build() + "\n"
    };
    Some(drawn)
}

/// A code that can be read from across the room.
fn boxed(code: &str, screen: Screen) -> String {
    let spaced = code.chars().map(String::from).collect::<Vec<_>>().join(" ");
    let inner = spaced.chars().count() + 8;
    if inner + 4 > usize::from(screen.columns) {
        return String::new();
    }
    let (bold, end) = if screen.styled { ("\u{1b}[1m", "\u{1b}[0m") } else { ("", "") };
    let (line, space) = ("─".repeat(inner), " ".repeat(inner));
    format!("\n  ╭{line}╮\n  │{space}│\n  │    {bold}{spaced}{end}    │\n  │{space}│\n  ╰{line}╯\n")
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// A session with these fields beside the ones that are always there.
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
    fn without_a_terminal_there_are_plain_lines_once() {
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
             This address is not one of the provider's known ones. Open it only if you trust it."
        );
        assert_eq!(shown.take_url_to_open(), Some("https://a.example/device"));
    }

    #[test]
    fn a_code_that_follows_its_address_does_not_open_it_again() {
        let mut shown = Shown::default();
        let url = "https://a.example/x?code=AB-1";
        shown.update(&session(json!({"status": "url-available", "authUrl": url})), None);
        assert_eq!(shown.take_url_to_open(), Some(url));
        shown.update(&session(json!({"status": "code-emitted", "authUrl": url, "deviceCode": "AB-1"})), None);
        assert_eq!(shown.take_url_to_open(), None);
    }

    #[test]
    fn the_code_is_boxed_where_it_fits() {
        let expect = "\n  ╭───────────────╮\n  │               │\n  │    A B - 1    │\n  │               │\n  ╰───────────────╯\n";
        assert_eq!(boxed("AB-1", screen(80, 24, false)), expect);
        assert_eq!(boxed("AB-1", screen(19, 24, false)), expect);
        assert_eq!(boxed("AB-1", screen(18, 24, false)), "");
        assert_eq!(
            boxed("AB-1", screen(80, 24, true)),
            expect.replace("A B - 1", "\u{1b}[1mA B - 1\u{1b}[0m")
        );
    }

    #[test]
    fn a_qr_code_is_drawn_only_where_it_fits() {
        // 19 bytes are version 1 or 2: 25 modules and the margin of 8 are 33 columns and 17 lines.
        let url = "https://a.example/xyz";
        let drawn = qr(url, screen(33, 23, false)).unwrap();
        assert_eq!(drawn.lines().count(), 17);
        assert!(drawn.lines().all(|line| line.chars().count() == 33), "{drawn}");
        assert_eq!(qr(url, screen(32, 23, false)), None);
        assert_eq!(qr(url, screen(33, 22, false)), None);
        assert_eq!(qr(&"x".repeat(5000), screen(u16::MAX, u16::MAX, false)), None);
        let styled = qr(url, screen(33, 23, true)).unwrap();
        assert!(styled.lines().all(|line| line.starts_with("\u{1b}[30;107m") && line.ends_with("\u{1b}[0m")));
    }

    #[test]
    fn an_address_cannot_end_its_link_early() {
        let url = "https://a.example/\u{1b}\\\u{1b}[2J";
        assert_eq!(link(url, None), "https://a.example/\u{fffd}\\\u{fffd}[2J");
        let safe = "https://a.example/\u{fffd}\\\u{fffd}[2J";
        assert_eq!(
            link(url, Some(screen(80, 24, true))),
            format!("\u{1b}]8;;{safe}\u{1b}\\{safe}\u{1b}]8;;\u{1b}\\")
        );
    }

    #[test]
    fn the_phase_says_more_than_the_status() {
        let check = |fields: Value, expect: &str| assert_eq!(state(&session(fields)), expect);
        check(json!({}), "waiting for the provider's CLI");
        check(json!({"status": "url-available"}), "waiting for you to log in");
        check(json!({"status": "code-emitted"}), "waiting for you to enter the code");
        check(json!({"status": "code-emitted", "phase": "confirming"}), "checking the login");
        check(json!({"phase": "saving"}), "saving the login");
    }
}
