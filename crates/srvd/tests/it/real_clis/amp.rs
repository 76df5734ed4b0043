//! Amp: its page sends the browser back to the CLI's own port, with the token in the address.

use serde_json::{Value, json};
use url::Url;

use super::{browse, cancel, home_at, named, nothing_is_left, page, parameter, start, stop};
use crate::support::files_below;
use crate::support::namespace::inside;

#[test]
fn amp_logs_in_by_the_browser() {
    inside(async |vendors| {
        let daemon = home_at(&vendors).start();
        let id = start(&daemon, json!({"providerId": "amp"})).await;
        let page = page(&daemon, &id).await;
        assert!(page.as_str().starts_with("https://ampcode.com/auth/cli-login?"), "{page}");
        let handle = parameter(&page, "authToken");
        let callback = "http://127.0.0.1:35789/auth/callback?accessToken=sgamp_planted-token";
        let answer = browse(&Url::parse_with_params(callback, [("authToken", handle)]).unwrap());
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        let done = daemon.ended(&id).await;
        assert_eq!((&done["status"], &done["email"]), (&json!("success"), &Value::Null), "{done}");
        let dir = daemon.home.dir("data/identities").join(done["bundleId"].as_str().unwrap()).join("amp");
        assert_eq!(named(&daemon.home, |name| name == "secrets.json"), [dir.join("amp/secrets.json")]);
        assert_eq!(files_below(&daemon.home.dir("home")), Vec::<std::path::PathBuf>::new());
        assert!(!done.to_string().contains("planted-token") && !daemon.log().contains("planted-token"));
        stop(daemon, &[&id]);
    });
}

#[test]
fn amp_ends_when_it_is_cancelled() {
    inside(async |vendors| {
        let daemon = home_at(&vendors).start();
        let id = start(&daemon, json!({"providerId": "amp"})).await;
        page(&daemon, &id).await;
        cancel(&daemon, &id).await;
        nothing_is_left(&daemon, &id).await;
    });
}
