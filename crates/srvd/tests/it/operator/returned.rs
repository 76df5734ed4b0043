//! Revocation at the forge of tokens that a sign-in replaced, and of tokens from a sign-in that is not kept.

use serde_json::json;

use super::{approved, browse, daemon, sign_in};
use crate::forge::standin::{Naming, Standin};
use crate::support::event;

/// R17: the new tokens are committed first, and only the old ones are revoked.
#[tokio::test(flavor = "multi_thread")]
async fn old_tokens_are_revoked_when_a_new_sign_in_replaces_them() {
    for (kind, returned) in [
        ("gitlab", vec!["planted-refresh-3", "planted-access-2"]),
        ("github", vec!["planted-access-2"]),
        ("forgejo", vec![]),
    ] {
        let forge = Standin::start(kind).await;
        let daemon = daemon(&[("own", kind, &forge.url)]);
        let begin = json!({"forgeType": kind});
        let (first, _) = sign_in(&daemon, begin.clone(), None).await;
        assert_eq!(forge.revoked(), [""; 0], "{kind}");
        let (second, _) = sign_in(&daemon, begin, None).await;
        assert_eq!(first["accountId"], second["accountId"], "{kind}");
        forge.until(|forge| forge.revoked().len() == returned.len()).await;
        let (status, _) = daemon.stop();
        assert!(status.success());
        // The end of the daemon waits for the revocations in progress.
        assert_eq!(forge.revoked(), returned, "{kind}");
        assert!(forge.live().contains("planted-refresh-6"), "{kind}: what is in use stays");
    }
}

/// R17: a forge issues a token and then does not know it, and a sign-in is cancelled while it is being finished.
#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_revoked_when_the_sign_in_does_not_keep_them() {
    let lab = Standin::start("gitlab").await;
    let daemon = daemon(&[("lab", "gitlab", &lab.url)]);
    let begin = json!({"forgeType": "gitlab"});
    lab.naming(Naming::Disowns);
    let started = daemon.call("operator.start", begin.clone()).await;
    let callback = approved(started["authUrl"].as_str().unwrap()).await;
    assert_eq!(browse(&daemon, &callback, None).0, 502);
    let ended = daemon.call("operator.poll", json!({"sessionId": started["sessionId"]})).await;
    assert_eq!((&ended["status"], &ended["errorKind"]), (&json!("failed"), &json!("invalid_grant")));
    lab.until(|lab| lab.revoked() == ["planted-refresh-3", "planted-access-2"]).await;

    lab.naming(Naming::Holds);
    let started = daemon.call("operator.start", begin).await;
    let session = json!({"sessionId": started["sessionId"]});
    let mut events = daemon.client().await.subscribe(["authsession:changed:*"]).await.unwrap();
    let asked = lab.requests().len();
    let callback = approved(started["authUrl"].as_str().unwrap()).await;
    let page = std::thread::scope(|scope| {
        // The browser waits for its page while the sign-in is cancelled.
        let page = scope.spawn(|| browse(&daemon, &callback, None).0);
        let cancel = async {
            let user =
                |lab: &Standin| lab.requests()[asked..].iter().any(|request| request.ends_with("/user"));
            lab.until(user).await;
            assert_eq!(daemon.call("operator.cancel", session.clone()).await, json!({"success": true}));
            lab.naming(Naming::Says);
        };
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(cancel));
        page.join().unwrap()
    });
    assert_eq!(page, 502);
    event(&mut events, &format!("authsession:changed:{}", session["sessionId"].as_str().unwrap())).await;
    lab.until(|lab| lab.revoked()[2..] == ["planted-refresh-6", "planted-access-5"]).await;
    let list = daemon.call("operator.list", json!({})).await;
    assert_eq!((&list["tokens"], &list["pending"]), (&json!([]), &json!([])));
    assert!(!daemon.log().contains("planted-"), "the log holds a token");
}
