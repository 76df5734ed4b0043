//! OpenClaw: its callback listens on `::1` only where `localhost` is both addresses.

use serde_json::json;

use super::{home_at, is_stored, named, page, paste, start};
use crate::namespace::inside;
use crate::support::left_over;

#[test]
fn openclaw_gets_a_paste_at_its_callback_on_the_sixth_version() {
    inside(async |vendors| {
        let daemon = home_at(&vendors).start();
        let id = start(&daemon, json!({"providerId": "openclaw", "recipe": "openai"})).await;
        let shown = page(&daemon, &id).await;
        assert!(std::net::TcpStream::connect("127.0.0.1:1455").is_err(), "it listens on both, this proves nothing");
        let address = vendors.consent(&shown);
        assert_eq!(paste(&daemon, &id, address.to_string()).await, json!({"success": true}));
        let done = daemon.ended(&id).await;
        let dir = is_stored(&daemon, &done, "openclaw", &json!("ada@example.com")).await;
        assert_eq!(named(&daemon.home, |name| name == "openclaw.sqlite"), [dir.join("state/openclaw.sqlite")]);
        assert!(!daemon.log().contains("planted-code"));
        let (_, _home) = daemon.stop();
        assert_eq!(left_over(&id), Vec::<u32>::new());
    });
}
