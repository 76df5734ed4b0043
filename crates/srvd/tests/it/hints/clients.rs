//! The steps of the console in the browser, and of paired clients.

use serde_json::{Value, json};

use super::{fails, out, succeeds, typed};
use crate::pairing::{paired, send};
use crate::support::{Daemon, Home};

/// Exchanges the code of a console as its page does. Returns the status and the body.
fn exchange(daemon: &Daemon, code: &str) -> (u16, Value) {
    let address = daemon.tcp().0;
    let origin = format!("http://{address}");
    let headers = [("Origin", origin.as_str()), ("Sec-Fetch-Site", "same-origin"), ("User-Agent", "browser")];
    let (status, _, body) = send(&address, "POST /console/session", &headers, code);
    (status, body)
}

/// Returns the words of a text that look like an id.
fn ids(text: &str) -> Vec<&str> {
    text.split_whitespace()
        .filter(|word| word.len() > 7 && word.contains(|c: char| c.is_ascii_digit()))
        .collect()
}

typed! {
    console_is_opened_again_when_its_code_was_used types [OpenConsole, ListConsoles]: |typed| {
        let daemon = Home::new().start();
        let home = &daemon.home;
        let (status, body) = exchange(&daemon, "used-code");
        assert_eq!(status, 410, "{body}");
        let opened = typed.types("OpenConsole", body["hint"].as_str().unwrap(), home);
        let url = out(&opened);
        let code = url.trim().split_once("#code=").unwrap_or_else(|| panic!("no code in {url}")).1;
        assert_eq!(exchange(&daemon, code).0, 200);
        let listed = out(&typed.types("ListConsoles", &fails(home, "srvd console --end nowhere"), home));
        let id = *ids(&listed).last().unwrap_or_else(|| panic!("no id in {listed}"));
        succeeds(home, &format!("srvd console --end {id}"));
        assert_eq!(daemon.call("console.sessions", json!({})).await["sessions"], json!([]));
    }

    token_is_revoked_by_its_name_or_its_id types [ListTokens, NameTokenId]: |typed| {
        let daemon = Home::new().start();
        let home = &daemon.home;
        let left = async || daemon.call("tokens.list", json!({})).await["tokens"].as_array().unwrap().len();
        paired(&daemon, "read", None).await;
        let listed = typed.types("ListTokens", &fails(home, "srvd tokens revoke window"), home);
        assert!(out(&listed).contains("my window"), "{}", out(&listed));
        paired(&daemon, "login", None).await;
        let listed = out(&typed.types("NameTokenId", &fails(home, "srvd tokens revoke 'my window'"), home));
        let id = *ids(&listed).last().unwrap_or_else(|| panic!("no id in {listed}"));
        succeeds(home, &format!("srvd tokens revoke {id}"));
        assert_eq!(left().await, 1);
        succeeds(home, "srvd tokens revoke 'my window'");
        assert_eq!(left().await, 0);
    }
}
