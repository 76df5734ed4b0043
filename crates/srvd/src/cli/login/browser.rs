//! Opening the person's browser; the daemon never does.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use super::super::ui::Seat;

#[cfg(target_os = "macos")]
const OPENER: &str = "open";
#[cfg(not(target_os = "macos"))]
const OPENER: &str = "xdg-open";

/// Asks the desktop to open the address; false when there is no desktop, no such address, or nobody to ask.
pub(in super::super) fn open(url: &str, seat: Seat) -> bool {
    if seat != Seat::Desktop || !is_openable(url) {
        return false;
    }
    // No shell, no terminal, a group of its own: neither what it prints nor Ctrl-C passes between it and this program.
    let child = Command::new(OPENER)
        .arg(url)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn();
    match child {
        Ok(mut child) => {
            // Only so that it leaves no zombie while the login goes on; how it ends does not matter.
            std::thread::spawn(move || child.wait());
            true
        }
        Err(_) => false,
    }
}

/// A web address, which no opener can take for a file or for a flag.
fn is_openable(url: &str) -> bool {
    url::Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "https" | "http"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_web_addresses_are_opened_and_only_on_a_desktop() {
        let check = |url: &str, expect: bool| assert_eq!(is_openable(url), expect, "{url}");
        check("https://auth.example/authorize?a=1", true);
        check("http://127.0.0.1:1455/", true);
        check("file:///etc/passwd", false);
        check("--help", false);
        check("/bin/sh", false);
        check("javascript:alert(1)", false);
        check("", false);
        for seat in [Seat::Console, Seat::Remote] {
            assert!(!open("https://auth.example/", seat));
        }
    }
}
