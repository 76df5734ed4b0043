//! Auggie: a CLI whose directory is named by an option, and which is launched with the text of its login's file.

use serde_json::json;

use super::seen::{CANARY, Launch, logs_out, only_the_login_is_sent, stored};
use super::{browse, home_at, page, paste, refuses, start, stop};
use crate::support::namespace::inside;
use crate::support::optional;

#[test]
fn auggie_logs_in_launches_by_its_own_login_and_logs_out() {
    let Some(auggie) = optional("auggie") else { return };
    inside(async |vendors| {
        let daemon = home_at(&vendors).search(&auggie).start();
        let id = start(&daemon, json!({"providerId": "auggie"})).await;
        let address = page(&daemon, &id).await;
        assert_eq!(address.host_str(), Some("auth.augmentcode.com"));
        browse(&vendors.consent(&address));
        let done = daemon.ended(&id).await;
        let dir = stored(&daemon, &done, "auggie", (json!(null), json!(null))).await;
        let own = json!({"accessToken": CANARY, "tenantURL": "https://e1.api.augmentcode.com/", "scopes": ["email"]});
        let launch = Launch {
            provider: "auggie",
            program: auggie.join("auggie"),
            args: &["-p", "hi"],
            request: "POST e1.api.augmentcode.com/chat-stream",
            hosts: &["augmentcode.com"],
            own: (".augment/session.json", own),
        };
        only_the_login_is_sent(&vendors, &daemon, done["bundleId"].as_str().unwrap(), &launch).await;
        logs_out(&daemon, &done, dir.join("session.json")).await;
        stop(daemon, &[&id]);
    });
}

#[test]
fn auggie_logs_in_by_a_pasted_address_with_its_tenant() {
    let Some(auggie) = optional("auggie") else { return };
    inside(async |vendors| {
        let daemon = home_at(&vendors).search(&auggie).start();
        let id = start(&daemon, json!({"providerId": "auggie"})).await;
        let callback = vendors.consent(&page(&daemon, &id).await);
        refuses(&daemon, &id, callback.as_str().replace("state=", "state=x")).await;
        let (without, _) = callback.as_str().split_once("&tenant_url=").unwrap();
        refuses(&daemon, &id, without.to_owned()).await;
        assert_eq!(paste(&daemon, &id, callback.to_string()).await, json!({"success": true}));
        let done = daemon.ended(&id).await;
        stored(&daemon, &done, "auggie", (json!(null), json!(null))).await;
        stop(daemon, &[&id]);
    });
}
