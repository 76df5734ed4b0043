//! Kilo Code: its device login, which looks like a menu and runs on pipes.

use serde_json::json;

use super::seen::{CANARY, Launch, logs_out, only_the_login_is_sent, stored};
use super::{home_at, nothing_is_left, start, stop};
use crate::support::namespace::inside;
use crate::support::optional;

#[test]
fn kilo_logs_in_launches_by_its_own_login_and_logs_out() {
    let Some(kilo) = optional("kilo") else { return };
    inside(async |vendors| {
        let daemon = home_at(&vendors).search(&kilo).start();
        let id = start(&daemon, json!({"providerId": "kilo"})).await;
        let shown = daemon.session(&id, |session| session["status"] == "code-emitted").await;
        let page = "https://app.kilo.ai/device-auth?code=KILO-0001";
        assert_eq!(
            (&shown["deviceCode"], &shown["verificationUrl"], &shown["openable"]),
            (&json!("KILO-0001"), &json!(page), &json!(true))
        );
        vendors.approve();
        let done = daemon.ended(&id).await;
        let dir = stored(&daemon, &done, "kilo", (json!(null), json!("acct-standin-1"))).await;
        let own = json!({"kilo": {"type": "oauth", "access": CANARY, "refresh": CANARY, "expires": 4_102_444_800_000_u64}});
        let launch = Launch {
            provider: "kilo",
            program: kilo.join("kilo"),
            args: &["run", "-m", "kilo/kilo-auto/free", "hi"],
            request: "POST api.kilo.ai/api/openrouter/chat/completions",
            hosts: &["kilo.ai"],
            own: (".local/share/kilo/auth.json", own),
        };
        only_the_login_is_sent(&vendors, &daemon, done["bundleId"].as_str().unwrap(), &launch).await;
        logs_out(&daemon, &done, dir.join("kilo/auth.json")).await;
        stop(daemon, &[&id]);
    });
}

#[test]
fn kilo_login_leaves_nothing_when_it_is_denied() {
    let Some(kilo) = optional("kilo") else { return };
    inside(async |vendors| {
        vendors.deny();
        let daemon = home_at(&vendors).search(&kilo).start();
        let id = start(&daemon, json!({"providerId": "kilo"})).await;
        let ended = daemon.ended(&id).await;
        assert_eq!((&ended["status"], &ended["errorKind"]), (&json!("failed"), &json!("denied")), "{ended}");
        nothing_is_left(&daemon, &id).await;
    });
}
