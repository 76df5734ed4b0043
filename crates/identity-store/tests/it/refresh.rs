//! Refreshing: the queue, the lease, and the handling of the issuer's answer.

use std::collections::BTreeSet;

use identity_store::{
    Change, CompletedRefresh, FailedRefresh, Identity, Jitter, Life, ReceivedTokens, RefreshReason,
    RefreshStart, RefreshState, RefreshWhy, Status, StoreError,
};
use tokio::task::JoinSet;

use crate::grants::{
    HOUR, MINUTE, Standing, begin, good, kind, life, numbered, outcome, permanent, person, received, texts,
    transient,
};
use crate::harness::{Fixture, NOW, keyring, obstacles, on_both, refusal};

on_both![
    refresh_grants_no_lease_when_expiry_is_far,
    refresh_grants_one_lease_and_commits_once_when_expiry_is_near,
    refresh_grants_one_lease_when_two_stores_ask_concurrently,
    refresh_returns_the_new_tokens_when_another_caller_refreshed_first,
    refresh_keeps_tokens_and_backs_off_when_failure_is_transient,
    refresh_waits_for_the_retry_after_of_the_issuer,
    refresh_keeps_stored_values_when_the_answer_omits_them,
    refresh_is_not_scheduled_without_refresh_token_or_tokens,
    forced_refresh_grants_a_lease_when_the_token_is_still_valid,
    refused_refresh_token_is_never_used_again,
    refresh_failure_is_ignored_when_the_tokens_were_replaced,
    interrupted_refresh_is_retried_once,
    refresh_answer_is_saved_when_its_lease_has_expired,
    refresh_answer_can_be_committed_again_when_the_first_commit_fails,
    refresh_rejects_tokens_of_another_person,
    refresh_answer_is_discarded_when_the_grant_was_deleted_or_replaced,
    refresh_queue_skips_a_corrupt_row,
    refresh_backs_off_when_the_new_token_expires_no_later,
    account_needs_reauth_when_its_current_token_is_refused,
    given_up_grant_is_dead_and_discards_a_pending_answer,
    profiles_keep_their_order_when_tokens_are_refreshed,
    postponed_account_moves_back_in_the_refresh_queue,
];

/// The database fails between the answer and the commit. The row keeps its mark and its old tokens, and the answer can
/// be written once the database works again.
async fn refresh_answer_can_be_committed_again_when_the_first_commit_fails(f: Fixture) {
    let account = f.operator("git", "1", received(0, NOW)).await;
    for (number, (obstacle, end)) in (1..).zip(obstacles(f.place.kind)) {
        let refreshed = f.lease(&account, NOW).await.answered(received(number, NOW), None);
        f.heard();
        let before = f.standing(&account).await;
        assert_eq!(before.state, RefreshState::Refreshing);
        f.place.execute(obstacle).await;
        for _ in 0..2 {
            let (kind, text) = refusal(f.store.complete_refresh(&refreshed, Jitter::NONE, NOW).await);
            assert!(["unavailable", "uncertain", "other"].contains(&kind), "{kind}: {text}");
            assert_eq!((f.standing(&account).await, f.heard()), (before.clone(), vec![]));
        }
        f.place.execute(end).await;
        let completed = f.store.complete_refresh(&refreshed, Jitter::NONE, NOW).await.unwrap();
        assert!(matches!(completed, CompletedRefresh::Committed(_)), "{completed:?}");
        assert_eq!(f.standing(&account).await, good(number, u64::from(number) + 1, NOW));
    }
}

/// Long before the expiry no caller receives a lease, and nothing is written.
async fn refresh_grants_no_lease_when_expiry_is_far(f: Fixture) {
    let account = f.operator("git", "1", received(0, NOW)).await;
    f.heard();
    for why in [RefreshWhy::Due, RefreshWhy::Use { min_ttl: 0 }, RefreshWhy::Use { min_ttl: 59 * MINUTE }] {
        assert_eq!(kind(&f.begin(&account, why, NOW).await), "fresh");
    }
    assert_eq!(f.standing(&account).await, good(0, 1, NOW));
    for (after, expected) in [
        (0, Life::Live),
        (55 * MINUTE - 1, Life::Live),
        (55 * MINUTE, Life::Soon),
        (HOUR - 1, Life::Soon),
        (HOUR, Life::StaleRefreshable),
    ] {
        assert_eq!(life(&f, &account, NOW + after).await, expected, "{after}");
    }
    assert_eq!(f.store.due_refreshes(NOW, 10).await.unwrap(), []);
    assert_eq!(f.store.next_refresh_at().await.unwrap(), Some(NOW + 55 * MINUTE));
    assert_eq!(f.heard(), []);
}

/// Near the expiry there is one lease, one commit, and the next due time.
async fn refresh_grants_one_lease_and_commits_once_when_expiry_is_near(f: Fixture) {
    let account = f.operator("git", "1", received(0, NOW)).await;
    f.heard();
    let now = NOW + 55 * MINUTE;
    let due = f.store.due_refreshes(now, 10).await.unwrap();
    assert_eq!(due.iter().map(|due| &due.account).collect::<Vec<_>>(), [&account]);
    assert_eq!(due[0].authority, crate::grants::authority("git"));
    let RefreshStart::Lease(lease) = f.begin(&account, RefreshWhy::Due, now).await else {
        panic!("no lease")
    };
    assert_eq!(texts(lease.stored()), numbered(0, 0));
    // The account is due again when the lease is over, not earlier.
    assert_eq!(f.store.due_refreshes(now, 10).await.unwrap(), []);
    assert_eq!(kind(&f.begin(&account, RefreshWhy::Due, now).await), "fresh");
    assert_eq!(f.heard(), []);
    let refreshed = lease.answered(received(1, now), None);
    let CompletedRefresh::Committed(tokens) =
        f.store.complete_refresh(&refreshed, Jitter::NONE, now).await.unwrap()
    else {
        panic!("not committed")
    };
    assert_eq!((texts(&tokens), tokens.last_refreshed_at), (numbered(1, 1), Some(now)));
    assert_eq!(f.standing(&account).await, good(1, 2, now));
    // The operator's list shows the token's expiry, so that change is announced too.
    assert_eq!(f.heard(), [Change::OperatorTokens, Change::Account(account.clone())]);
    let row = f.store.account(&account).await.unwrap();
    assert_eq!((row.status, row.expires_at), (Status::Valid, Some(now + HOUR)));
    // An answer is never saved twice, because the caller may not know whether its commit succeeded.
    let again = f.store.complete_refresh(&refreshed, Jitter::NONE, now).await.unwrap();
    assert!(matches!(again, CompletedRefresh::Adopted(tokens) if tokens.generation == 2));
}

/// Of ten callers in two processes, one receives the lease; the others are informed about it.
async fn refresh_grants_one_lease_when_two_stores_ask_concurrently(f: Fixture) {
    let account = f.operator("git", "1", received(0, NOW)).await;
    let other = f.place.open(keyring("one")).await.unwrap();
    let now = NOW + 2 * HOUR;
    let mut tasks = JoinSet::new();
    for number in 0..10 {
        let store = if number % 2 == 0 { f.store.clone() } else { other.clone() };
        let account = account.clone();
        let why = if number % 3 == 0 { RefreshWhy::Due } else { RefreshWhy::Use { min_ttl: 0 } };
        tasks.spawn(async move { begin(&store, &account, why, now).await });
    }
    let answers = tasks.join_all().await;
    let leases: Vec<_> = answers.iter().filter(|answer| matches!(answer, RefreshStart::Lease(_))).collect();
    assert_eq!(leases.len(), 1);
    // A caller for the queue finds its account moved to a later time. A caller that needs the token receives the time
    // until which to wait.
    let kinds: BTreeSet<_> = answers.iter().map(kind).filter(|kind| !kind.starts_with("lease")).collect();
    let until = 2 * HOUR + 30_000;
    assert!(kinds.is_subset(&BTreeSet::from([format!("busy until {until}"), "fresh".into()])), "{kinds:?}");
    other.close().await;
}

/// A caller that waited finds the new token, asks no issuer and writes nothing.
async fn refresh_returns_the_new_tokens_when_another_caller_refreshed_first(f: Fixture) {
    let account = f.operator("git", "1", received(0, NOW)).await;
    let now = NOW + 2 * HOUR;
    f.refresh(&account, 1, now).await;
    f.heard();
    for why in [RefreshWhy::Due, RefreshWhy::Use { min_ttl: 0 }, RefreshWhy::Forced { generation: 1 }] {
        let RefreshStart::Fresh(tokens) = f.begin(&account, why, now).await else { panic!("not fresh") };
        assert_eq!(texts(&tokens), numbered(1, 1));
    }
    assert_eq!((f.standing(&account).await, f.heard()), (good(1, 2, now), vec![]));
}

/// A failure changes no token; a valid token is still returned.
async fn refresh_keeps_tokens_and_backs_off_when_failure_is_transient(f: Fixture) {
    let account = f.operator("git", "1", received(0, NOW)).await;
    f.heard();
    let lease = f.lease(&account, NOW).await;
    let failed =
        f.store.fail_refresh(&lease, transient(RefreshReason::Network, None), NOW + 10).await.unwrap();
    assert_eq!(outcome(&failed), "retry at 30010");
    let expected = Standing {
        reason: Some(RefreshReason::Network),
        failures: 1,
        next_attempt_at: Some(NOW + 30_010),
        next_refresh_at: Some(NOW + 30_010),
        ..good(0, 1, NOW)
    };
    assert_eq!(f.standing(&account).await, expected);
    assert_eq!(f.heard(), [Change::OperatorTokens, Change::Account(account.clone())]);
    assert_eq!(f.store.account(&account).await.unwrap().status, Status::Valid);
    let soon = RefreshWhy::Use { min_ttl: 2 * HOUR };
    assert_eq!(kind(&f.begin(&account, soon, NOW + 30_009).await), "waiting until 30010");
    // The same failure again is not announced; the wait doubles.
    let lease = f.lease(&account, NOW + 30_010).await;
    let failed = f.store.fail_refresh(&lease, transient(RefreshReason::Network, None), NOW + 30_010).await;
    assert_eq!(outcome(&failed.unwrap()), "retry at 90010");
    assert_eq!(f.heard(), []);
    // A failure that is reported twice counts once.
    let failed = f.store.fail_refresh(&lease, transient(RefreshReason::Network, None), NOW + 30_010).await;
    assert_eq!(outcome(&failed.unwrap()), "superseded");
    // Recovery is announced.
    f.refresh(&account, 1, NOW + 90_010).await;
    assert_eq!(f.standing(&account).await, good(1, 2, NOW + 90_010));
    assert_eq!(f.heard(), [Change::OperatorTokens, Change::Account(account)]);
}

/// The wait that an issuer asks for is respected.
async fn refresh_waits_for_the_retry_after_of_the_issuer(f: Fixture) {
    let account = f.operator("git", "1", received(0, NOW)).await;
    let lease = f.lease(&account, NOW).await;
    let failure = transient(RefreshReason::RateLimited, Some(120_000));
    assert_eq!(outcome(&f.store.fail_refresh(&lease, failure, NOW).await.unwrap()), "retry at 120000");
    assert_eq!(f.store.due_refreshes(NOW + 119_999, 10).await.unwrap(), []);
    assert_eq!(f.store.due_refreshes(NOW + 120_000, 10).await.unwrap().len(), 1);
    assert_eq!(life(&f, &account, NOW).await, Life::Live);
}

/// Values missing in the answer stay as they were.
async fn refresh_keeps_stored_values_when_the_answer_omits_them(f: Fixture) {
    let tokens = ReceivedTokens { id: Some("id-0".into()), ..received(0, NOW) };
    let account = f.operator("git", "1", tokens).await;
    let bare =
        ReceivedTokens { expires_in: Some(3600), ..ReceivedTokens::access_only("access-1".into(), NOW) };
    let refreshed = f.lease(&account, NOW).await.answered(bare, None);
    f.store.complete_refresh(&refreshed, Jitter::NONE, NOW).await.unwrap();
    let stored = f.store.tokens(&account, NOW).await.unwrap();
    let expected = [Some("access-1".into()), Some("refresh-0".into()), Some("id-0".into())];
    assert_eq!((texts(&stored), stored.tokens.scopes.as_deref()), (expected, Some("repo")));
}

/// Without a refresh token, without an expiry, or for an API key, no issuer is asked and nothing is
/// queued.
async fn refresh_is_not_scheduled_without_refresh_token_or_tokens(f: Fixture) {
    let without = f.operator("git", "1", ReceivedTokens { refresh: None, ..received(0, NOW) }).await;
    let endless =
        f.operator("git", "2", ReceivedTokens { refresh: None, expires_in: None, ..received(0, NOW) }).await;
    let key = f.store.save_profile_key(crate::grants::key("u1", "a1", "sk-1")).await.unwrap().account;
    let late = NOW + 1000 * HOUR;
    assert_eq!(f.store.next_refresh_at().await.unwrap(), None);
    assert_eq!(f.store.due_refreshes(late, 10).await.unwrap(), []);
    let why = RefreshWhy::Use { min_ttl: 0 };
    assert_eq!(kind(&f.begin(&without, why, late).await), "stuck: no_refresh_token");
    assert_eq!(kind(&f.begin(&endless, why, late).await), "fresh");
    assert_eq!((life(&f, &without, late).await, life(&f, &endless, late).await), (Life::Dead, Life::Live));
    assert_eq!(refusal(f.store.tokens(&key, NOW).await), ("not found", format!("no tokens {key}")));
}

/// A forced refresh is made even if the token is still valid for a while.
async fn forced_refresh_grants_a_lease_when_the_token_is_still_valid(f: Fixture) {
    let account = f.operator("git", "1", received(0, NOW)).await;
    let why = RefreshWhy::Forced { generation: 1 };
    let RefreshStart::Lease(lease) = f.begin(&account, why, NOW + 40 * MINUTE).await else {
        panic!("no lease")
    };
    let refreshed = lease.answered(received(1, NOW + 40 * MINUTE), None);
    f.store.complete_refresh(&refreshed, Jitter::NONE, NOW + 40 * MINUTE).await.unwrap();
    // Other callers whose same token was refused find the new one.
    assert_eq!(kind(&f.begin(&account, why, NOW + 40 * MINUTE).await), "fresh");
}

/// After one refusal the token is never used again, neither by a request nor after a login that brings
/// it again.
async fn refused_refresh_token_is_never_used_again(f: Fixture) {
    let account = f.operator("git", "1", received(0, NOW)).await;
    f.heard();
    let lease = f.lease(&account, NOW).await;
    let failed = f.store.fail_refresh(&lease, permanent(RefreshReason::TokenReused), NOW + 1).await.unwrap();
    assert_eq!(outcome(&failed), "needs_reauth: refresh_token_reused");
    assert_eq!(f.heard(), [Change::OperatorTokens, Change::Account(account.clone())]);
    let row = f.store.account(&account).await.unwrap();
    assert_eq!(
        (row.status, row.status_reason.as_deref()),
        (Status::NeedsReauth, Some("refresh_token_reused"))
    );
    let other = f.place.open(keyring("one")).await.unwrap();
    for round in 0..26 {
        let later = NOW + round * HOUR;
        assert_eq!(other.due_refreshes(later, 10).await.unwrap(), []);
        for why in [RefreshWhy::Use { min_ttl: 2 * HOUR }, RefreshWhy::Forced { generation: 1 }] {
            assert_eq!(kind(&begin(&other, &account, why, later).await), "stuck: refresh_token_reused");
        }
    }
    other.close().await;
    // A token that is still valid is returned until it expires.
    assert_eq!(life(&f, &account, NOW).await, Life::Live);
    assert_eq!(life(&f, &account, NOW + HOUR).await, Life::Dead);
    // The same refresh token stays refused. Another one makes the account usable.
    assert_eq!(f.operator("git", "1", received(0, NOW)).await, account);
    let standing = f.standing(&account).await;
    assert_eq!((standing.state, standing.next_refresh_at), (RefreshState::NeedsReauth, None));
    assert_eq!(f.operator("git", "1", received(1, NOW)).await, account);
    assert_eq!(f.standing(&account).await, good(1, 3, NOW));
    assert_eq!(f.store.account(&account).await.unwrap().status, Status::Valid);
}

/// A refusal of a token that was replaced in the meantime changes nothing; the newer one is adopted.
async fn refresh_failure_is_ignored_when_the_tokens_were_replaced(f: Fixture) {
    let account = f.operator("git", "1", received(0, NOW)).await;
    let lease = f.lease(&account, NOW).await;
    f.operator("git", "1", received(1, NOW)).await;
    let failed = f.store.fail_refresh(&lease, permanent(RefreshReason::InvalidGrant), NOW).await.unwrap();
    assert!(matches!(failed, FailedRefresh::Adopted(tokens) if texts(&tokens) == numbered(1, 1)));
    assert_eq!(f.standing(&account).await, good(1, 2, NOW));
}

/// An interrupted refresh is retried once, by the first caller; after that a person is needed.
async fn interrupted_refresh_is_retried_once(f: Fixture) {
    let [first, second, third] = [
        f.operator("git", "1", received(0, NOW)).await,
        f.operator("git", "2", received(0, NOW)).await,
        f.operator("git", "3", received(0, NOW)).await,
    ];
    for account in [&first, &second, &third] {
        drop(f.lease(account, NOW).await);
        let busy = f.begin(account, RefreshWhy::Use { min_ttl: 2 * HOUR }, NOW + 29_999).await;
        assert_eq!(kind(&busy), "busy until 30000");
    }
    let after = NOW + 30_000;
    assert_eq!(f.store.due_refreshes(after, 10).await.unwrap().len(), 3);
    let [one, two, _] =
        [f.lease(&first, after).await, f.lease(&second, after).await, f.lease(&third, after).await];
    // The second attempt succeeds: nothing was lost.
    let refreshed = one.answered(received(1, after), None);
    f.store.complete_refresh(&refreshed, Jitter::NONE, after).await.unwrap();
    assert_eq!(f.standing(&first).await, good(1, 2, after));
    // The second attempt is refused: the first one used up the token.
    let failed = f.store.fail_refresh(&two, permanent(RefreshReason::InvalidGrant), after).await.unwrap();
    assert_eq!(outcome(&failed), "needs_reauth: crashed_rotation");
    // The second attempt is interrupted as well. The state of the token is unknown, and no caller asks again.
    let last = f.begin(&third, RefreshWhy::Due, after + 30_000).await;
    assert_eq!(kind(&last), "stuck: crashed_rotation");
    let standing = f.standing(&third).await;
    assert_eq!((standing.state, standing.texts), (RefreshState::NeedsReauth, numbered(0, 0)));
    assert_eq!(f.store.due_refreshes(NOW + 1000 * HOUR, 10).await.unwrap().len(), 1);
}

/// Tokens that arrive after the lease has expired are saved.
async fn refresh_answer_is_saved_when_its_lease_has_expired(f: Fixture) {
    let account = f.operator("git", "1", received(0, NOW)).await;
    let late = f.lease(&account, NOW).await;
    let second = f.lease(&account, NOW + 30_000).await;
    let failed = f.store.fail_refresh(&late, permanent(RefreshReason::InvalidGrant), NOW + 30_001).await;
    assert_eq!(outcome(&failed.unwrap()), "superseded");
    let refreshed = late.answered(received(1, NOW + 30_001), None);
    let kept = f.store.complete_refresh(&refreshed, Jitter::NONE, NOW + 30_001).await.unwrap();
    assert!(matches!(kept, CompletedRefresh::Committed(_)));
    let failed = f.store.fail_refresh(&second, permanent(RefreshReason::InvalidGrant), NOW + 30_002).await;
    assert_eq!(outcome(&failed.unwrap()), "adopted 2");
    assert_eq!(f.standing(&account).await, good(1, 2, NOW + 30_001));
}

/// Tokens of another person are not written, and the issuer is not asked again.
async fn refresh_rejects_tokens_of_another_person(f: Fixture) {
    let account = f.operator("git", "1", received(0, NOW)).await;
    let refreshed = f.lease(&account, NOW).await.answered(received(1, NOW), Some(person("2")));
    let found = refusal(f.store.complete_refresh(&refreshed, Jitter::NONE, NOW).await);
    assert_eq!(found, ("identity mismatch", format!("account {account} belongs to 1, the login to 2")));
    let standing = f.standing(&account).await;
    assert_eq!(
        (standing.texts, standing.generation, standing.reason),
        (numbered(0, 0), 1, Some(RefreshReason::IdentityMismatch))
    );
    assert_eq!(kind(&f.begin(&account, RefreshWhy::Due, NOW + HOUR).await), "fresh");
    // The same person under a new address is the same person.
    let same = f.operator("git", "3", received(0, NOW)).await;
    let renamed = Identity { email: Some("new@x".into()), ..person("3") };
    let refreshed = f.lease(&same, NOW).await.answered(received(1, NOW), Some(renamed));
    f.store.complete_refresh(&refreshed, Jitter::NONE, NOW).await.unwrap();
    assert_eq!(f.store.account(&same).await.unwrap().email.as_deref(), Some("3@x"));
}

/// The answer for a deleted or replaced grant is discarded.
async fn refresh_answer_is_discarded_when_the_grant_was_deleted_or_replaced(f: Fixture) {
    let [gone, replaced] =
        [f.operator("git", "1", received(0, NOW)).await, f.operator("git", "2", received(0, NOW)).await];
    let (late_gone, late_replaced) = (f.lease(&gone, NOW).await, f.lease(&replaced, NOW).await);
    f.store.delete_operator(&gone, NOW).await.unwrap();
    f.operator("git", "2", received(5, NOW)).await;
    f.heard();
    let answered = late_gone.answered(received(1, NOW), None);
    assert!(matches!(
        f.store.complete_refresh(&answered, Jitter::NONE, NOW).await.unwrap(),
        CompletedRefresh::Gone
    ));
    let lease = answered.into_lease();
    let failed = f.store.fail_refresh(&lease, permanent(RefreshReason::InvalidGrant), NOW).await.unwrap();
    assert_eq!(outcome(&failed), "gone");
    let answered = late_replaced.answered(received(1, NOW), None);
    let done = f.store.complete_refresh(&answered, Jitter::NONE, NOW).await.unwrap();
    assert!(matches!(done, CompletedRefresh::Adopted(tokens) if texts(&tokens) == numbered(5, 5)));
    assert_eq!((f.standing(&replaced).await, f.heard()), (good(5, 2, NOW), vec![]));
    assert_eq!(f.place.texts("SELECT account_id FROM account_tokens").await, [replaced.as_str()]);
}

/// A row that cannot be read is skipped for a while, and the others are processed.
async fn refresh_queue_skips_a_corrupt_row(f: Fixture) {
    let bad = f.operator("git", "1", received(0, NOW - MINUTE)).await;
    let sound = f.operator("git", "2", received(0, NOW)).await;
    f.place.execute(&format!("UPDATE account_tokens SET state = 'odd' WHERE account_id = '{bad}'")).await;
    let now = NOW + HOUR;
    let due =
        |list: Vec<identity_store::DueRefresh>| list.into_iter().map(|due| due.account).collect::<Vec<_>>();
    assert_eq!(due(f.store.due_refreshes(now, 1).await.unwrap()), std::slice::from_ref(&bad));
    let request = identity_store::RefreshRequest {
        account: bad.clone(),
        holder: "one".into(),
        why: RefreshWhy::Due,
        lease: 30_000,
        now,
    };
    let found = refusal(f.store.begin_refresh(request).await);
    assert_eq!(
        found,
        ("corrupt", format!("the stored row of tokens {bad} is corrupt: unknown refresh state"))
    );
    assert_eq!(due(f.store.due_refreshes(now, 1).await.unwrap()), std::slice::from_ref(&sound));
    f.refresh(&sound, 1, now).await;
    assert_eq!(due(f.store.due_refreshes(now + 15 * MINUTE, 10).await.unwrap()), [bad]);
}

/// An answer whose token in use expires no later than the previous one is saved, and the next attempt waits.
async fn refresh_backs_off_when_the_new_token_expires_no_later(f: Fixture) {
    let account = f.operator("git", "1", received(0, NOW)).await;
    let now = NOW + 59 * MINUTE;
    let stale = ReceivedTokens { expires_in: Some(60), ..received(1, now) };
    let refreshed = f.lease(&account, now).await.answered(stale, None);
    f.store.complete_refresh(&refreshed, Jitter::NONE, now).await.unwrap();
    let expected = Standing {
        reason: Some(RefreshReason::NoProgress),
        failures: 1,
        next_attempt_at: Some(now + 30_000),
        next_refresh_at: Some(now + 30_000),
        ..good(1, 2, now)
    };
    assert_eq!(f.standing(&account).await, expected);
}

/// A token that is refused although it was just refreshed needs a person.
async fn account_needs_reauth_when_its_current_token_is_refused(f: Fixture) {
    let account = f.operator("git", "1", received(0, NOW)).await;
    f.refresh(&account, 1, NOW).await;
    assert!(!f.store.refuse_tokens(&account, 1, NOW).await.unwrap());
    assert_eq!(f.standing(&account).await, good(1, 2, NOW));
    assert!(f.store.refuse_tokens(&account, 2, NOW).await.unwrap());
    assert_eq!(life(&f, &account, NOW).await, Life::Dead);
    assert_eq!(f.store.account(&account).await.unwrap().status, Status::NeedsReauth);
}

/// A grant that was given up is no longer usable, and a pending answer of the issuer is not saved.
async fn given_up_grant_is_dead_and_discards_a_pending_answer(f: Fixture) {
    let account = f.operator("git", "1", received(0, NOW)).await;
    let late = f.lease(&account, NOW).await.answered(received(1, NOW), None);
    f.store.give_up_tokens(&account, NOW).await.unwrap();
    let done = f.store.complete_refresh(&late, Jitter::NONE, NOW).await.unwrap();
    assert!(matches!(done, CompletedRefresh::Gone));
    assert_eq!(life(&f, &account, NOW).await, Life::Dead);
    assert_eq!(kind(&f.begin(&account, RefreshWhy::Forced { generation: 1 }, NOW).await), "stuck: given_up");
    let missing = identity_store::AccountId::generate();
    assert!(matches!(
        f.store.give_up_tokens(&missing, NOW).await,
        Err(StoreError::NotFound { what: "tokens", .. })
    ));
}

/// A refresh moves no profile; the primary stays the primary.
async fn profiles_keep_their_order_when_tokens_are_refreshed(f: Fixture) {
    let (first, _) = f.profile("u1", "a1", person("1"), received(0, NOW)).await;
    let (second, kept) = f.profile("u1", "a1", person("2"), received(0, NOW)).await;
    let order = async || {
        let list = f.store.profiles(identity_store::ProfileFilter::default()).await.unwrap();
        list.profiles.into_iter().map(|profile| (profile.id, profile.primary)).collect::<Vec<_>>()
    };
    let before = order().await;
    assert_eq!(before, [(second.id, true), (first.id, false)]);
    f.refresh(&kept.account, 1, NOW).await;
    f.refresh(&first.account, 1, NOW).await;
    assert_eq!(order().await, before);
}

/// An account that the caller cannot refresh is moved in the queue. Nothing is announced, and accounts that are not due
/// stay.
async fn postponed_account_moves_back_in_the_refresh_queue(f: Fixture) {
    let one = f.operator("git", "1", received(0, NOW)).await;
    let other = f.operator("git", "2", received(0, NOW + HOUR)).await;
    f.heard();
    let now = NOW + HOUR;
    f.store.postpone_refreshes(&[one.clone(), other.clone()], now + 9 * HOUR, now).await.unwrap();
    let due = async |now| {
        f.store.due_refreshes(now, 10).await.unwrap().into_iter().map(|due| due.account).collect::<Vec<_>>()
    };
    assert_eq!(due(now).await, []);
    assert_eq!(due(now + 8 * HOUR).await, std::slice::from_ref(&other));
    assert_eq!(due(now + 9 * HOUR).await, [other, one]);
    assert_eq!(f.heard(), []);
}
