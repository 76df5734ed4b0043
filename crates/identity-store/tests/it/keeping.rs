//! Tests of the state of the renewals of CLI logins.

use identity_store::keeping::{DeadlineNotice, Keeping, RefusedLogin};
use identity_store::{AccountId, Change};

use crate::harness::{Fixture, NOW, login, new_target, on_both};

on_both![keeping_is_stored_and_announced, switch_of_an_account_is_authentic_and_kept_by_reports];

async fn account(f: &Fixture) -> AccountId {
    f.store.save_login(login(new_target("work", None), "a@x")).await.unwrap().account
}

async fn keeping(f: &Fixture, id: &AccountId) -> Keeping {
    f.store.account(id).await.unwrap().keeping
}

fn tried() -> Keeping {
    Keeping {
        switch: None,
        kept_at: Some(NOW - 5),
        tried_at: Some(NOW),
        outcome: Some("refused".to_owned()),
        detail: Some("the provider refused".to_owned()),
        next_at: Some(NOW + 7),
        failures: 3,
        version: Some("0.171.0".to_owned()),
        refused: Some(RefusedLogin { mark: "00ff".to_owned(), at: NOW }),
        notice: Some(DeadlineNotice { days: 3, deadline: NOW + 100 }),
    }
}

async fn keeping_is_stored_and_announced(f: Fixture) {
    let id = account(&f).await;
    assert_eq!(keeping(&f, &id).await, Keeping::default());
    f.heard();
    let _ = f.heard();
    f.store.record_keeping(&id, tried(), NOW).await.unwrap();
    assert_eq!(keeping(&f, &id).await, tried());
    assert_eq!(f.heard(), [Change::Account(id.clone())]);
    // The time of the next attempt alone wakes no client.
    f.store.record_keeping(&id, Keeping { next_at: None, ..tried() }, NOW).await.unwrap();
    assert_eq!(f.heard(), []);
    assert_eq!(keeping(&f, &id).await.next_at, None);
    f.store.record_keeping(&id, Keeping::default(), NOW).await.unwrap();
    assert_eq!(keeping(&f, &id).await, Keeping::default());
}

async fn switch_of_an_account_is_authentic_and_kept_by_reports(f: Fixture) {
    let id = account(&f).await;
    for on in [Some(true), Some(false), None] {
        assert_eq!(f.store.switch_keep_alive(&id, on, NOW).await.unwrap().keeping.switch, on);
        f.store.record_keeping(&id, tried(), NOW).await.unwrap();
        assert_eq!(keeping(&f, &id).await, Keeping { switch: on, ..tried() });
    }
    f.place.execute("UPDATE accounts SET keep_alive = 'on'").await;
    f.store.account(&id).await.unwrap_err();
}
