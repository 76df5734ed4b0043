//! Sign-ins that were parked earlier, beside a fresh one of the same person.

use identity_store::{Authority, Consumer, Endpoint, Jitter, ParkLogin, ReceivedTokens, Store, UnsavedLogin};
use secrecy::ExposeSecret as _;
use serde_json::json;

use super::client;
use crate::forge::standin::{Naming, Standin};
use crate::operator::{approved, browse};
use crate::support::{Home, PATIENCE, attached};

/// The number of sign-ins. Each is beside a parked one, and the order in which the two are written is left to chance.
const ROUNDS: u32 = 20;

/// Parks tokens of a sign-in whose owner was not named, and returns the access token.
async fn park(store: &Store, forge: &Standin, round: u32) -> String {
    let authority = Authority {
        provider: "gitlab".parse().unwrap(),
        base_url: Some(forge.url.parse().unwrap()),
        client_id: Some("srvd".to_owned()),
    };
    let endpoint = Endpoint {
        issuer: None,
        token_url: Some(format!("{}/oauth/token", forge.url)),
        auth_method: "client_secret_post".to_owned(),
    };
    let access = format!("planted-stale-access-{round}");
    let now = crate::support::now();
    let received = ReceivedTokens {
        access: access.clone().into(),
        refresh: Some(format!("planted-stale-refresh-{round}").into()),
        id: None,
        expires_in: Some(7200),
        refresh_expires_in: None,
        scopes: None,
        token_type: None,
        received_at: now,
    };
    let flow = format!("stale-{round}").parse().unwrap();
    let login = UnsavedLogin::new(authority, endpoint, flow, received, Consumer::Access).unwrap();
    let parked = ParkLogin { user: None, hint_email: None, jitter: Jitter::NONE, now };
    store.park(login, parked).await.unwrap();
    access
}

/// The start of a sign-in completes parked ones. The callback follows at once, so both are written at the same moment.
#[tokio::test(flavor = "multi_thread")]
async fn parked_tokens_never_replace_those_of_a_callback_beside_them() {
    let forge = Standin::start("gitlab").await;
    let daemon = client(Home::new(), "gitlab", &forge, "");
    let store = attached(&daemon.home).await;
    for round in 0..ROUNDS {
        let stale = park(&store, &forge, round).await;
        forge.accept(&stale);
        forge.naming(Naming::Holds);
        let named =
            |forge: &Standin| forge.requests().iter().filter(|request| request.ends_with("/user")).count();
        let before = named(&forge);
        let started = daemon.call("operator.start", json!({"forgeType": "gitlab"})).await;
        let callback = approved(started["authUrl"].as_str().unwrap()).await;
        let released = async {
            forge.until(|forge| named(forge) >= before + 2).await;
            forge.accept(&stale);
            forge.naming(Naming::Says);
        };
        let runtime = tokio::runtime::Handle::current();
        let (status, _, _, page) = tokio::task::block_in_place(|| {
            std::thread::scope(|scope| {
                let page = scope.spawn(|| browse(&daemon, &callback, None));
                runtime.block_on(released);
                page.join().unwrap()
            })
        });
        assert_eq!(status, 200, "round {round}: {page}");
        let poll = json!({"sessionId": started["sessionId"], "waitMs": 30_000});
        let session = daemon.call("operator.poll", poll).await;
        assert_eq!(session["status"], "success", "round {round}: {session}");
        let completed = async {
            while daemon.call("operator.list", json!({})).await["pending"] != json!([]) {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, completed).await.unwrap();
        let account = session["accountId"].as_str().unwrap().parse().unwrap();
        let stored = store.tokens(&account, crate::support::now()).await.unwrap();
        let access = stored.tokens.access.secret.expose_secret().to_owned();
        assert!(forge.tokens().contains(&access), "round {round}: {access} is not the fresh token");
        assert!(!access.contains("stale") && !forge.revoked().contains(&access), "round {round}: {access}");
    }
    store.close().await;
}

/// A sign-in whose scope the forge refuses is told on the page, and nothing of it stays pending.
#[tokio::test(flavor = "multi_thread")]
async fn parked_sign_in_ends_when_the_forge_will_never_name_its_person() {
    let forge = Standin::start("gitlab").await;
    forge.naming(Naming::Forbids);
    let daemon = client(Home::new(), "gitlab", &forge, "");
    let store = attached(&daemon.home).await;
    let stale = park(&store, &forge, 1).await;
    store.close().await;
    daemon.call("operator.start", json!({"forgeType": "gitlab"})).await;
    let ended = async {
        loop {
            let list = daemon.call("operator.list", json!({})).await;
            if list["pending"] == json!([]) {
                return list["forges"][0]["lastFailure"].as_str().unwrap().to_owned();
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    let reason = tokio::time::timeout(PATIENCE, ended).await.unwrap();
    assert!(
        reason.contains("[read:user]") && reason.contains("Add \"read_user\" to scopes of [forges.it]"),
        "{reason}"
    );
    forge.until(|forge| forge.revoked().contains(&stale)).await;
    let listed = daemon.home.run(&["operator", "list"]);
    let shown = String::from_utf8(listed.stderr).unwrap();
    assert!(shown.contains("The last sign-in at it failed: "), "{shown}");
}
