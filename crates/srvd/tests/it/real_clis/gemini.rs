//! Gemini: a login on the first screen of its TUI, with the code that its page shows.

use serde_json::json;

use super::{home_at, is_stored, named, page, parameter, paste, start, stop};
use crate::support::namespace::inside;

#[test]
fn gemini_logs_in_by_each_form_of_paste() {
    inside(async |vendors| {
        let daemon = home_at(&vendors).start();
        let mut sessions = Vec::new();
        for form in ["address", "code"] {
            let id = start(&daemon, json!({"providerId": "gemini", "bundleName": form})).await;
            let address = vendors.consent(&page(&daemon, &id).await);
            let code = parameter(&address, "code");
            let answer = if form == "code" { code.clone() } else { address.to_string() };
            assert_eq!(paste(&daemon, &id, answer).await, json!({"success": true}), "{form}");
            let done = daemon.ended(&id).await;
            let dir = is_stored(&daemon, &done, "gemini", &json!("ada@example.com")).await;
            assert!(
                named(&daemon.home, |name| name == "oauth_creds.json")
                    .contains(&dir.join(".gemini/oauth_creds.json"))
            );
            assert!(!daemon.log().contains(&code), "{form}");
            sessions.push(id);
        }
        stop(daemon, &sessions.iter().map(String::as_str).collect::<Vec<_>>());
    });
}
