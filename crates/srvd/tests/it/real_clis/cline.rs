//! Cline: its device login, in which `WorkOS`' tokens are exchanged for Cline's own.

use serde_json::json;

use super::seen::{CANARY, Launch, only_the_login_is_sent, stored};
use super::{home_at, nothing_is_left, start, stop};
use crate::support::namespace::inside;
use crate::support::optional;

#[test]
fn cline_logs_in_and_launches_by_its_own_login() {
    let Some(cline) = optional("cline") else { return };
    inside(async |vendors| {
        let daemon = home_at(&vendors).search(&cline).start();
        let id = start(&daemon, json!({"providerId": "cline"})).await;
        // The code comes a moment before the address.
        let shown = daemon.session(&id, |session| session["verificationUrl"].is_string()).await;
        let page = "https://authkit.cline.bot/device?user_code=WORK-0001";
        assert_eq!(
            (&shown["deviceCode"], &shown["verificationUrl"], &shown["openable"]),
            (&json!("WORK-0001"), &json!(page), &json!(true))
        );
        vendors.approve();
        let done = daemon.ended(&id).await;
        let dir = stored(&daemon, &done, "cline", (json!("ada@example.com"), json!("acct-standin-1"))).await;
        assert!(dir.join("data/settings/providers.json").is_file());
        let own = json!({"version": 1, "lastUsedProvider": "cline", "modes": {}, "providers": {"cline": {"settings": {
            "provider": "cline", "auth": {"accessToken": CANARY, "refreshToken": CANARY, "expiresAt": 4_102_444_800_000_u64}
        }}}});
        let launch = Launch {
            provider: "cline",
            program: cline.join("cline"),
            // One word would be taken for a command.
            args: &["--json", "--retries", "1", "say hi"],
            request: "POST api.cline.bot/api/v1/chat/completions",
            hosts: &["cline.bot"],
            own: (".cline/data/settings/providers.json", own),
        };
        only_the_login_is_sent(&vendors, &daemon, done["bundleId"].as_str().unwrap(), &launch).await;
        stop(daemon, &[&id]);
    });
}

#[test]
fn cline_login_leaves_nothing_when_it_is_denied() {
    let Some(cline) = optional("cline") else { return };
    inside(async |vendors| {
        vendors.deny();
        let daemon = home_at(&vendors).search(&cline).start();
        let id = start(&daemon, json!({"providerId": "cline"})).await;
        let ended = daemon.ended(&id).await;
        // The CLI tells a refusal and an expired code with the same words.
        assert_eq!(
            (&ended["status"], &ended["errorKind"]),
            (&json!("failed"), &json!("login_failed")),
            "{ended}"
        );
        assert!(ended["error"].as_str().unwrap().contains("WorkOS authorization failed"), "{ended}");
        nothing_is_left(&daemon, &id).await;
    });
}
