//! Logins whose person is not known yet, and invalid expiries.

use identity_store::{
    Change, CommitOperator, ExpirySource, ParkLogin, ParkedLogin, Promotion, ReceivedTokens, SavedTokens,
    Status,
};

use crate::grants::{
    HOUR, authority, good, login, numbered, of_user, operator, parked, person, received, texts,
};
use crate::harness::{Fixture, NOW, on_both, refusal};

on_both![
    parked_login_becomes_the_operator_account_when_promoted,
    promotion_moves_the_tokens_when_the_person_has_an_account,
    parked_login_is_deleted_when_the_person_has_signed_in_since,
    promotion_never_replaces_a_sign_in_that_runs_beside_it,
    promotion_keeps_the_active_account_when_it_was_chosen_since,
    commit_removes_only_the_parked_login_of_the_same_flow,
    parked_tokens_are_refreshed,
    operator_account_takes_precedence_over_a_parked_login,
    parked_login_is_replaced_when_the_flow_parks_again,
    bad_expiries_are_repaired_once,
];

/// No part of the login is lost until its person is known; then there is one account.
async fn parked_login_becomes_the_operator_account_when_promoted(f: Fixture) {
    let account = f.store.park(login("git", "f", received(0, NOW)), parked(None)).await.unwrap();
    let expected = ParkedLogin {
        account: account.clone(),
        authority: authority("git"),
        flow: "f".parse().unwrap(),
        user: None,
        hint_email: Some("hint@x".into()),
        created_at: NOW,
    };
    assert_eq!(f.store.pending_logins(None).await.unwrap(), [expected]);
    assert_eq!(f.standing(&account).await, good(0, 1, NOW));
    assert_eq!(f.store.operator_tokens().await.unwrap(), []);
    let kept = completed(f.store.promote_operator(&account, operator("1", true)).await.unwrap());
    assert_eq!((&kept.account, kept.created), (&account, false));
    assert_eq!(f.store.pending_logins(None).await.unwrap(), []);
    assert_eq!(f.standing(&account).await, good(0, 1, NOW));
    assert_eq!(f.store.active_forge().await.unwrap().unwrap().account, account);
    let row = f.store.account(&account).await.unwrap();
    assert_eq!(
        (row.subject.as_deref(), row.name.as_str(), row.status),
        (Some("1"), "login-1", Status::Valid)
    );
    let again = f.store.promote_operator(&account, operator("1", true)).await;
    assert_eq!(refusal(again), ("not found", format!("no pending login {account}")));
}

/// If the person already has an account, it receives the tokens, and the parked one is deleted.
async fn promotion_moves_the_tokens_when_the_person_has_an_account(f: Fixture) {
    let known = f.operator("git", "1", received(0, NOW)).await;
    let pending = f.store.park(login("git", "later", received(1, NOW)), parked_at(NOW + 1)).await.unwrap();
    let lease = f.lease(&pending, NOW).await;
    let busy = f.store.promote_operator(&pending, operator("1", false)).await;
    let expected = format!("pending login {pending}: it is being refreshed");
    assert_eq!(refusal(busy), ("conflict", expected));
    let refreshed = lease.answered(received(2, NOW), None);
    f.store.complete_refresh(&refreshed, identity_store::Jitter::NONE, NOW).await.unwrap();
    let kept = completed(f.store.promote_operator(&pending, operator("1", false)).await.unwrap());
    assert_eq!((&kept.account, kept.replaced.is_some()), (&known, true));
    assert_eq!(f.standing(&known).await, good(2, 2, NOW));
    assert_eq!(f.store.pending_logins(None).await.unwrap(), []);
    assert_eq!(f.store.counts().await.unwrap().accounts, 1);
}

fn parked_at(now: i64) -> ParkLogin {
    ParkLogin { now, ..parked(None) }
}

fn completed(promotion: Promotion) -> SavedTokens {
    match promotion {
        Promotion::Completed(kept) => kept,
        Promotion::Superseded(account) => panic!("{account} has newer tokens"),
    }
}

/// The tokens of the last sign-in stay, also when both have the same time.
async fn parked_login_is_deleted_when_the_person_has_signed_in_since(f: Fixture) {
    for later in [0, 1] {
        let flow = format!("early-{later}");
        let pending = f.store.park(login("git", &flow, received(1, NOW)), parked(None)).await.unwrap();
        let commit = CommitOperator { now: NOW + later, ..operator("1", false) };
        let fresh = f.store.commit_operator(login("git", "late", received(2, NOW)), commit).await.unwrap();
        let before = f.standing(&fresh.account).await;
        let promoted = f.store.promote_operator(&pending, operator("1", true)).await.unwrap();
        assert!(
            matches!(&promoted, Promotion::Superseded(account) if *account == fresh.account),
            "{promoted:?}"
        );
        assert_eq!(f.standing(&fresh.account).await, before);
        assert_eq!(f.store.pending_logins(None).await.unwrap(), []);
        assert_eq!(f.store.active_forge().await.unwrap(), None);
    }
}

/// Whichever of the two is first, the account has the tokens of the sign-in in the end, and they are never replaced.
async fn promotion_never_replaces_a_sign_in_that_runs_beside_it(f: Fixture) {
    for round in 0..100 {
        let subject = format!("p{round}");
        let pending = f.store.park(login("git", &subject, received(1, NOW)), parked(None)).await.unwrap();
        let (store, fresh) = (f.store.clone(), login("git", &format!("fresh-{round}"), received(2, NOW)));
        let commit = operator(&subject, false);
        let signing_in = tokio::spawn(async move { store.commit_operator(fresh, commit).await.unwrap() });
        if round % 2 == 0 {
            tokio::task::yield_now().await;
        }
        let promoted = f.store.promote_operator(&pending, operator(&subject, false)).await.unwrap();
        let fresh = signing_in.await.unwrap();
        if let Promotion::Completed(kept) = promoted {
            assert!(kept.replaced.is_none(), "round {round}: the fresh tokens were replaced");
        }
        let stored = f.store.tokens(&fresh.account, NOW).await.unwrap();
        assert_eq!(texts(&stored), numbered(2, 2), "round {round}");
    }
}

async fn promotion_keeps_the_active_account_when_it_was_chosen_since(f: Fixture) {
    let active = async || f.store.active_forge().await.unwrap().map(|active| active.account);
    let other = f.operator("hub", "9", received(0, NOW)).await;
    f.store.set_active_forge(&other, NOW).await.unwrap();
    let early = f.store.park(login("git", "early", received(1, NOW)), parked_at(NOW - 1)).await.unwrap();
    completed(f.store.promote_operator(&early, operator("1", true)).await.unwrap());
    assert_eq!(active().await, Some(other));
    let late = f.store.park(login("git", "late", received(1, NOW)), parked_at(NOW + 1)).await.unwrap();
    let kept = completed(f.store.promote_operator(&late, operator("2", true)).await.unwrap());
    assert_eq!(active().await, Some(kept.account));
}

/// Logins parked for another authority, another flow or another user stay.
async fn commit_removes_only_the_parked_login_of_the_same_flow(f: Fixture) {
    let park = async |host: &str, flow: &str, user: Option<&str>| {
        f.store.park(login(host, flow, received(0, NOW)), parked(user)).await.unwrap()
    };
    let same = park("us", "f", None).await;
    let other_zone = park("eu", "f", None).await;
    let other_flow = park("us", "g", None).await;
    let other_user = park("us", "h", Some("u2")).await;
    f.heard();
    let kept =
        f.store.commit_operator(login("us", "f", received(1, NOW)), operator("1", false)).await.unwrap();
    assert_eq!(f.heard(), [Change::Account(kept.account), Change::Account(same), Change::OperatorTokens]);
    let left: Vec<_> =
        f.store.pending_logins(None).await.unwrap().into_iter().map(|pending| pending.account).collect();
    let mut expected = vec![other_zone, other_flow];
    expected.sort();
    assert_eq!(left, expected);
    let user = f.store.pending_logins(Some(&"u2".parse().unwrap())).await.unwrap();
    let user: Vec<_> = user.into_iter().map(|pending| pending.account).collect();
    assert_eq!(user, std::slice::from_ref(&other_user));
    // A user's parked login becomes a profile.
    let commit = of_user("u2", "a1", person("9"));
    let (profile, _) = f.store.promote_profile(&other_user, commit).await.unwrap();
    assert_eq!((&profile.account, profile.primary), (&other_user, true));
}

/// The rotated token of a parked login is saved.
async fn parked_tokens_are_refreshed(f: Fixture) {
    let account = f.store.park(login("git", "f", received(0, NOW)), parked(None)).await.unwrap();
    assert_eq!(f.store.due_refreshes(NOW + HOUR, 10).await.unwrap().len(), 1);
    let stored = f.refresh(&account, 1, NOW + HOUR).await;
    assert_eq!(texts(&stored), numbered(1, 1));
    f.store.promote_operator(&account, operator("1", false)).await.unwrap();
    assert_eq!(f.standing(&account).await, good(1, 2, NOW + HOUR));
}

/// A known person takes precedence in any order; a parked login counts only if it is alone.
async fn operator_account_takes_precedence_over_a_parked_login(f: Fixture) {
    let found = async || f.store.operator_account(&authority("git"), None).await.unwrap();
    let first = f.store.park(login("git", "f", received(0, NOW)), parked(None)).await.unwrap();
    assert_eq!(found().await, Some(first));
    // A user's login does not count for the operator.
    f.store.park(login("git", "h", received(0, NOW)), parked(Some("u1"))).await.unwrap();
    assert!(found().await.is_some());
    let known = f.operator("git", "1", received(1, NOW)).await;
    assert_eq!(found().await, Some(known.clone()));
    f.store.park(login("git", "later", received(2, NOW)), parked(None)).await.unwrap();
    assert_eq!(found().await, Some(known));
}

/// A second login of one flow replaces the first.
async fn parked_login_is_replaced_when_the_flow_parks_again(f: Fixture) {
    let first = f.store.park(login("git", "f", received(0, NOW)), parked(None)).await.unwrap();
    let second = f.store.park(login("git", "f", received(1, NOW)), parked(None)).await.unwrap();
    assert_eq!(first, second);
    assert_eq!(f.standing(&first).await, good(1, 2, NOW));
    f.store.discard_pending(&first, NOW).await.unwrap();
    assert_eq!(f.place.texts("SELECT id FROM accounts").await, Vec::<String>::new());
    let gone = f.store.discard_pending(&first, NOW).await;
    assert_eq!(refusal(gone), ("not found", format!("no pending login {first}")));
    let known = f.operator("git", "1", received(0, NOW)).await;
    let known_one = f.store.discard_pending(&known, NOW).await;
    assert_eq!(refusal(known_one), ("not found", format!("no pending login {known}")));
}

/// An invalid expiry becomes an assumed one, once, and is the same an hour later.
async fn bad_expiries_are_repaired_once(f: Fixture) {
    let mut accounts = Vec::new();
    for (number, bad) in [
        "access_expires_at = -1",
        "access_expires_at = NULL",
        "access_expires_at = 0",
        "access_expires_at = 9223372036854775807",
        "access_expiry_source = 'garbage'",
        "access_expiry_source = ''",
        "access_expiry_source = 'none'",
        "access_expires_at = -1, refresh_expires_at = -1, refresh_expiry_source = 'issuer'",
    ]
    .into_iter()
    .enumerate()
    {
        let tokens = ReceivedTokens { expires_in: Some(7200), ..received(0, NOW) };
        let account = f.operator("git", &number.to_string(), tokens).await;
        f.place.execute(&format!("UPDATE account_tokens SET {bad} WHERE account_id = '{account}'")).await;
        accounts.push(account);
    }
    let sound = f.operator("git", "sound", received(0, NOW)).await;
    f.heard();
    let log = f.store.audit_log(1000).await.unwrap().len();
    let read = async |now: i64| {
        let mut ends = Vec::new();
        for account in &accounts {
            let stored = f.store.tokens(account, now).await.unwrap();
            let expiry = stored.tokens.expiry();
            ends.push((expiry.at(), expiry.source(), stored.next_refresh_at));
        }
        ends
    };
    let assumed = (Some(NOW + HOUR), ExpirySource::Assumed, Some(NOW + 55 * 60 * 1000));
    assert_eq!(read(NOW).await[..7], [assumed; 7]);
    assert_eq!(f.heard(), accounts.iter().cloned().map(Change::Account).collect::<Vec<_>>());
    assert_eq!(read(NOW + HOUR).await, [assumed; 8]);
    // The repair was recorded once.
    assert_eq!((f.heard(), f.store.audit_log(1000).await.unwrap().len()), (vec![], log + 8));
    let ends = f.place.texts("SELECT DISTINCT access_expiry_source FROM account_tokens ORDER BY 1").await;
    assert_eq!(ends, ["assumed", "issuer"]);
    // An assumed expiry does not invalidate a refresh token.
    f.refresh(&accounts[7], 1, NOW + 2 * HOUR).await;
    // All rows are repaired at once, as at a start.
    f.place.execute("UPDATE account_tokens SET id_expires_at = 5").await;
    assert_eq!(f.store.repair_expiries(NOW).await.unwrap(), 9);
    assert_eq!(f.store.repair_expiries(NOW).await.unwrap(), 0);
    assert_eq!(f.standing(&sound).await, good(0, 1, NOW));
}
