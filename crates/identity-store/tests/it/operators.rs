//! Operator tokens and the active forge.

use identity_store::{
    AccountId, ActiveForge, Authority, Change, CommitOperator, Consumer, Identity, OperatorToken,
    ReceivedTokens, RefreshState, StoreError, UnsavedLogin,
};

use crate::grants::{HOUR, authority, endpoint, good, login, operator, person, received, texts};
use crate::harness::{Fixture, NOW, on_both, provider, refusal};

on_both![
    operator_commit_writes_row_and_active_forge_together_or_neither,
    operator_row_is_unchanged_when_active_forge_switches,
    active_forge_is_cleared_when_its_account_is_deleted,
    operator_login_replaces_every_token_field,
    operator_row_follows_subject_id_and_not_login_name,
    operator_account_ignores_case_and_trailing_slash_of_address,
    operator_commit_returns_login_when_a_field_is_missing,
    operator_account_is_refused_in_a_bundle,
];

/// No launch could use it.
async fn operator_account_is_refused_in_a_bundle(f: Fixture) {
    let account = f.operator("git", "1", received(0, NOW)).await;
    let bundle = f.bundle("One").await;
    let expected =
        "invalid accountId: it is the operator's account at a forge, which no bundle can launch".to_owned();
    let refused = f.store.bind(&bundle.id, &account, NOW).await;
    assert_eq!(refusal(refused), ("invalid name", expected));
    assert_eq!(f.store.bundle(&bundle.id).await.unwrap().bindings, []);
}

async fn row(f: &Fixture, account: &AccountId) -> Vec<String> {
    let columns = match f.place.kind {
        identity_store::DatabaseKind::Sqlite => "hex(sealed_access) || hex(sealed_refresh)",
        identity_store::DatabaseKind::Postgres => {
            "encode(sealed_access, 'hex') || encode(sealed_refresh, 'hex')"
        }
    };
    let query = format!(
        "SELECT {columns} || account_tokens.generation || ' ' || operator_tokens.updated_at || login || accounts.updated_at
         FROM account_tokens JOIN operator_tokens ON operator_tokens.account_id = account_tokens.account_id
         JOIN accounts ON accounts.id = account_tokens.account_id WHERE account_tokens.account_id = '{account}'"
    );
    f.place.texts(&query).await
}

/// The row and the pointer are both written, or neither is.
async fn operator_commit_writes_row_and_active_forge_together_or_neither(f: Fixture) {
    // The last statement of the transaction fails.
    let fault = match f.place.kind {
        identity_store::DatabaseKind::Sqlite => {
            "CREATE TRIGGER fault BEFORE INSERT ON service_settings BEGIN SELECT RAISE(ABORT, 'fault'); END"
        }
        identity_store::DatabaseKind::Postgres => {
            "ALTER TABLE service_settings ADD CONSTRAINT fault CHECK (key <> 'active_forge')"
        }
    };
    f.place.execute(fault).await;
    let before = f.state().await;
    let unsaved = f.store.commit_operator(login("git", "f", received(0, NOW)), operator("1", true)).await;
    let unsaved = unsaved.unwrap_err();
    assert!(matches!(unsaved.error, StoreError::Database(_)), "{unsaved:?}");
    assert_eq!((f.state().await, f.store.active_forge().await.unwrap()), (before, None));
    assert_eq!((f.store.operator_tokens().await.unwrap(), f.heard()), (vec![], vec![]));
    f.place
        .execute(match f.place.kind {
            identity_store::DatabaseKind::Sqlite => "DROP TRIGGER fault",
            identity_store::DatabaseKind::Postgres => "ALTER TABLE service_settings DROP CONSTRAINT fault",
        })
        .await;

    // The login was returned and can be saved now.
    let kept = f.store.commit_operator(*unsaved.login, operator("1", true)).await.unwrap();
    assert!(kept.created && kept.replaced.is_none());
    let account = kept.account;
    let expected = OperatorToken {
        account: account.clone(),
        forge: provider("forgejo"),
        base_url: "https://git".parse().unwrap(),
        client_id: Some("srvd".into()),
        subject: "1".into(),
        login: "login-1".into(),
        email: Some("1@x".into()),
        active: true,
        expires_at: Some(NOW + HOUR),
        state: RefreshState::Active,
        reason: None,
        created_at: NOW,
        updated_at: NOW,
    };
    assert_eq!(f.store.operator_tokens().await.unwrap(), std::slice::from_ref(&expected));
    assert_eq!(f.store.operator_token(&account).await.unwrap(), expected);
    let active = ActiveForge {
        account: account.clone(),
        forge: provider("forgejo"),
        login: "login-1".into(),
        base_url: "https://git".parse().unwrap(),
        since: NOW,
    };
    assert_eq!(f.store.active_forge().await.unwrap(), Some(active));
    assert_eq!(f.heard(), [Change::Account(account), Change::OperatorTokens]);
}

/// A login to another forge moves the pointer and leaves the other row unchanged; switching back needs no
/// login.
async fn operator_row_is_unchanged_when_active_forge_switches(f: Fixture) {
    let a = f.store.commit_operator(login("a", "f", received(0, NOW)), operator("1", true)).await.unwrap();
    let before = row(&f, &a.account).await;
    let later = CommitOperator { now: NOW + 5, ..operator("1", true) };
    let b = f.store.commit_operator(login("b", "g", received(1, NOW)), later).await.unwrap();
    let active = f.store.active_forge().await.unwrap().unwrap();
    assert_eq!((active.account, active.since), (b.account.clone(), NOW + 5));
    assert_eq!(row(&f, &a.account).await, before);
    f.heard();
    f.store.set_active_forge(&a.account, NOW + 9).await.unwrap();
    assert_eq!(f.heard(), [Change::OperatorTokens]);
    // An account that is already active keeps its time of activation.
    f.store.set_active_forge(&a.account, NOW + 10).await.unwrap();
    let active = f.store.active_forge().await.unwrap().unwrap();
    assert_eq!((active.account, active.since, f.heard()), (a.account.clone(), NOW + 9, vec![]));
    assert_eq!((row(&f, &a.account).await, f.standing(&a.account).await), (before, good(0, 1, NOW)));
}

/// Without a row no account is active; deleting the active one leaves none.
async fn active_forge_is_cleared_when_its_account_is_deleted(f: Fixture) {
    assert_eq!(f.store.active_forge().await.unwrap(), None);
    let missing = AccountId::generate();
    let refused = ("not found", format!("no operator token {missing}"));
    assert_eq!(refusal(f.store.set_active_forge(&missing, NOW).await), refused);
    assert_eq!(refusal(f.store.delete_operator(&missing, NOW).await), refused);
    assert!(!f.store.clear_active_forge(NOW).await.unwrap());
    let one = f.operator("git", "1", received(0, NOW)).await;
    let two = f.operator("git", "2", received(0, NOW)).await;
    f.store.set_active_forge(&one, NOW).await.unwrap();
    f.store.delete_operator(&two, NOW).await.unwrap();
    assert_eq!(f.store.active_forge().await.unwrap().unwrap().account, one);
    f.heard();
    assert!(f.store.delete_operator(&one, NOW).await.unwrap().active);
    assert_eq!(f.heard(), [Change::OperatorTokens, Change::Account(one.clone())]);
    assert_eq!(f.store.active_forge().await.unwrap(), None);
    assert_eq!(f.store.setting("active_forge").await.unwrap(), None);
    assert_eq!(f.store.operator_tokens().await.unwrap(), []);
    // An account that is deleted in another way is not active either.
    let three = f.operator("git", "3", received(0, NOW)).await;
    f.store.set_active_forge(&three, NOW).await.unwrap();
    f.store.delete_account(&three, NOW).await.unwrap();
    assert_eq!(f.store.active_forge().await.unwrap(), None);
    assert_eq!(f.place.texts("SELECT account_id FROM account_tokens").await, Vec::<String>::new());
    let four = f.operator("git", "4", received(0, NOW)).await;
    f.store.set_active_forge(&four, NOW).await.unwrap();
    assert!(f.store.clear_active_forge(NOW).await.unwrap());
    assert_eq!(f.store.active_forge().await.unwrap(), None);
}

/// A login replaces every field, including the expiry; fields that it does not have are cleared.
async fn operator_login_replaces_every_token_field(f: Fixture) {
    let full = ReceivedTokens {
        id: Some("id-0".into()),
        expires_in: Some(7200),
        refresh_expires_in: Some(86400),
        ..received(0, NOW)
    };
    let account = f.operator("git", "1", full).await;
    let row = f.store.account(&account).await.unwrap();
    assert_eq!((row.expires_at, row.login_deadline_at), (Some(NOW + 2 * HOUR), Some(NOW + 24 * HOUR)));
    assert_eq!(row.scopes.as_deref(), Some("repo"));
    let bare = ReceivedTokens::access_only("access-1".into(), NOW);
    let kept = f.store.commit_operator(login("git", "f", bare), operator("1", false)).await.unwrap();
    assert_eq!((&kept.account, kept.created), (&account, false));
    // The replaced tokens are returned, so that they can be revoked.
    let replaced = kept.replaced.unwrap();
    assert_eq!(secrecy::ExposeSecret::expose_secret(&replaced.access.secret), "access-0");
    let stored = f.store.tokens(&account, NOW).await.unwrap();
    assert_eq!(texts(&stored), [Some("access-1".into()), None, None]);
    assert_eq!((stored.tokens.expiry().at(), stored.next_refresh_at), (None, None));
    assert_eq!((stored.tokens.scopes, stored.tokens.token_type, stored.generation), (None, None, 2));
    let row = f.store.account(&account).await.unwrap();
    assert_eq!((row.expires_at, row.login_deadline_at, row.scopes), (None, None, None));
    // Without a refresh token, only a new login helps after the access token's expiry.
    let short = ReceivedTokens { refresh: None, ..received(2, NOW) };
    f.operator("git", "1", short).await;
    let row = f.store.account(&account).await.unwrap();
    assert_eq!((row.expires_at, row.login_deadline_at), (Some(NOW + HOUR), Some(NOW + HOUR)));
}

/// A renamed person keeps the row; another person of the same name receives a new one.
async fn operator_row_follows_subject_id_and_not_login_name(f: Fixture) {
    let one = f.operator("git", "1", received(0, NOW)).await;
    let named = |subject: &str, login: &str| CommitOperator {
        identity: Identity { login: Some(login.into()), ..person(subject) },
        now: NOW + 7,
        ..operator(subject, false)
    };
    let renamed =
        f.store.commit_operator(login("git", "f", received(1, NOW)), named("1", "new")).await.unwrap();
    let other =
        f.store.commit_operator(login("git", "f", received(2, NOW)), named("2", "login-1")).await.unwrap();
    assert_eq!((&renamed.account, renamed.created, other.created), (&one, false, true));
    let rows: Vec<_> = f
        .store
        .operator_tokens()
        .await
        .unwrap()
        .into_iter()
        .map(|token| (token.account, token.subject, token.login, token.created_at, token.updated_at))
        .collect();
    let expected = [
        (other.account, "2".to_owned(), "login-1".to_owned(), NOW + 7, NOW + 7),
        (one, "1".to_owned(), "new".to_owned(), NOW, NOW + 7),
    ];
    assert_eq!(rows, expected);
}

/// Two hosts are two rows; a slash and capitals make no other row; each authority has its own account.
async fn operator_account_ignores_case_and_trailing_slash_of_address(f: Fixture) {
    let one = f.operator("Git.Example/", "1", received(0, NOW)).await;
    assert_eq!(f.operator("git.example", "1", received(1, NOW)).await, one);
    let sub = f.operator("git.example/Sub", "1", received(2, NOW)).await;
    let other = f.operator("other.example", "1", received(3, NOW)).await;
    assert_eq!(f.store.operator_tokens().await.unwrap().len(), 3);
    for (host, subject, expected) in [
        ("git.example", None, Some(&one)),
        ("git.example", Some("1"), Some(&one)),
        ("git.example", Some("2"), None),
        ("git.example/Sub", None, Some(&sub)),
        ("other.example", Some("1"), Some(&other)),
        ("third.example", None, None),
        ("third.example", Some("1"), None),
    ] {
        let found = f.store.operator_account(&authority(host), subject).await.unwrap();
        assert_eq!(found.as_ref(), expected, "{host} {subject:?}");
    }
    let client = Authority { client_id: None, ..authority("git.example") };
    assert_eq!(f.store.operator_account(&client, None).await.unwrap(), None);
    // Several accounts are a conflict; the order does not decide.
    f.operator("git.example", "2", received(4, NOW)).await;
    let several = f.store.operator_account(&authority("git.example"), None).await;
    assert_eq!(refusal(several), ("conflict", "operator account forgejo: several accounts match".to_owned()));
}

/// A login that cannot be saved writes nothing and is returned; the earlier login still works.
async fn operator_commit_returns_login_when_a_field_is_missing(f: Fixture) {
    let earlier = f.operator("git", "1", received(9, NOW)).await;
    f.heard();
    let before = f.state().await;
    let nowhere = UnsavedLogin::new(
        Authority { base_url: None, ..authority("git") },
        endpoint(),
        "f".parse().unwrap(),
        received(0, NOW),
        Consumer::Access,
    );
    let unnamed = |identity: Identity| CommitOperator { identity, ..operator("1", true) };
    for (login, commit, expected) in [
        (nowhere.unwrap(), operator("1", true), "invalid base_url: it is missing"),
        (
            login("git", "f", received(0, NOW)),
            unnamed(Identity { subject: None, ..person("1") }),
            "invalid subject: it is missing",
        ),
        (
            login("git", "f", received(0, NOW)),
            unnamed(Identity { login: None, ..person("1") }),
            "invalid login: it is missing",
        ),
    ] {
        let unsaved = f.store.commit_operator(login, commit).await.unwrap_err();
        assert_eq!(unsaved.error.to_string(), expected);
        let text = format!("{unsaved:?} {unsaved}");
        assert!(!text.contains("access-0") && !text.contains("refresh-0"), "{text}");
        let tokens = unsaved.login.discard();
        assert_eq!(secrecy::ExposeSecret::expose_secret(&tokens.access.secret), "access-0");
    }
    let bad = ReceivedTokens { access: "a\nb".into(), ..received(0, NOW) };
    let bad = UnsavedLogin::new(authority("git"), endpoint(), "f".parse().unwrap(), bad, Consumer::Access);
    assert_eq!(bad.unwrap_err().to_string(), "invalid access_token: it has a control character");
    assert_eq!((f.state().await, f.heard()), (before, vec![]));
    assert_eq!(f.standing(&earlier).await, good(9, 1, NOW));
}
