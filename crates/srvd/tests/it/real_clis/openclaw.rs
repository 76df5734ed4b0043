//! `openclaw`: if `localhost` is also `::1`, its callback listens only there.

use serde_json::json;

use super::{home_at, is_stored, named, page, paste, start, stop};
use crate::support::namespace::inside;

#[test]
fn openclaw_logs_in_by_a_paste_when_its_callback_has_no_ipv4() {
    inside(async |vendors| {
        let daemon = home_at(&vendors).start();
        let id = start(&daemon, json!({"providerId": "openclaw", "recipe": "openai"})).await;
        let shown = page(&daemon, &id).await;
        assert!(
            std::net::TcpStream::connect("127.0.0.1:1455").is_err(),
            "it listens on both, this proves nothing"
        );
        let address = vendors.consent(&shown);
        assert_eq!(paste(&daemon, &id, address.to_string()).await, json!({"success": true}));
        let done = daemon.ended(&id).await;
        let dir = is_stored(&daemon, &done, "openclaw", &json!("ada@example.com")).await;
        assert_eq!(
            named(&daemon.home, |name| name == "openclaw.sqlite"),
            [dir.join("state/openclaw.sqlite")]
        );
        assert!(!daemon.log().contains("planted-code"));
        stop(daemon, &[&id]);
    });
}
