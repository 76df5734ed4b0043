use identity_store::keeping::Keeping;
use identity_store::{
    Account, AccountEdit, AccountFilter, AccountKind, AccountList, AccountOrder, AccountPage, AccountQuery,
    AuditQuery, BundleId, Change, CorruptRow, DatabaseKind, DeletedAccount, DestinationBundle, Evidence,
    History, Leftover, NewInstance, Owner, SecretRef, Status, StatusReport, StoreError,
};

use crate::adopt::own;
use crate::harness::{Fixture, NOW, account_dir, account_id, api_key, bundle_id, on_both, provider, refusal};

on_both![
    account_page_goes_on_where_the_last_one_ended_in_each_order,
    account_list_filters_by_provider_and_bundle,
    directory_owner_is_its_account_until_the_account_is_deleted,
    account_update_changes_the_names_and_refuses_a_blank_name,
    account_delete_removes_every_binding,
    status_is_announced_when_its_content_changes,
    corrupt_account_is_reported_and_hides_no_other_account,
    corrupt_account_blocks_no_bundle_delete,
    corrupt_account_is_deleted_and_its_directory_is_noted,
];

async fn account_list_filters_by_provider_and_bundle(f: Fixture) {
    f.bundle("One").await;
    f.bundle("Two").await;
    let codex = f.login("one", "a@x").await;
    let expected = Account {
        id: codex.id.clone(),
        provider: provider("codex"),
        kind: AccountKind::OAuth,
        owner: Owner::Bundle,
        name: "Codex (a@x)".into(),
        display_name: None,
        email: Some("a@x".into()),
        subject: None,
        base_url: None,
        client_id: None,
        scopes: None,
        secret_ref: SecretRef::ConfigDir { dir: "/data/identities/x/codex".into(), adopted: false },
        masked_tail: None,
        status: Status::Valid,
        status_reason: None,
        evidence: Evidence::File,
        checked_at: Some(NOW),
        expires_at: Some(NOW + 1000),
        login_deadline_at: None,
        keeping: Keeping::default(),
        bound_to: vec![bundle_id("one")],
        created_at: NOW,
        updated_at: NOW,
    };
    assert_eq!(codex, expected);
    assert_eq!(f.store.bound_account(&bundle_id("one"), &provider("codex")).await.unwrap(), Some(expected));
    assert_eq!(f.store.bound_account(&bundle_id("two"), &provider("codex")).await.unwrap(), None);
    let mut save = api_key(DestinationBundle::Existing(bundle_id("two")), "sk-0123456789abcdef");
    save.now += 1;
    let key = f.store.save_api_key(save).await.unwrap().account;
    let key = f.store.account(&key).await.unwrap();

    let list = async |provider: Option<&str>, bundle: Option<&str>| {
        let filter =
            AccountFilter { provider: provider.map(crate::harness::provider), bundle: bundle.map(bundle_id) };
        f.store.accounts(filter).await.unwrap()
    };
    let only = |accounts: &[&Account]| AccountList {
        accounts: accounts.iter().map(|account| (*account).clone()).collect(),
        corrupt: Vec::new(),
    };
    assert_eq!(list(None, None).await, only(&[&codex, &key]));
    assert_eq!(list(Some("openai"), None).await, only(&[&key]));
    assert_eq!(list(None, Some("one")).await, only(&[&codex]));
    assert_eq!(list(Some("openai"), Some("one")).await, only(&[]));
    assert_eq!(
        refusal(f.store.account(&account_id("gone")).await),
        ("not found", "no account gone".to_owned())
    );
}

async fn directory_owner_is_its_account_until_the_account_is_deleted(f: Fixture) {
    f.bundle("One").await;
    let account = f.login("one", "a@x").await;
    let key = f
        .store
        .save_api_key(api_key(DestinationBundle::Existing(bundle_id("one")), "sk-0123456789abcdef"))
        .await
        .unwrap();
    let adopted = vec![own("claude", "/home/u/.claude", "c@x")];
    let adopted = f.store.adopt_logins(adopted, NOW).await.unwrap().outcomes.remove(0).unwrap().account;
    let owner = async |dir: &str| f.store.directory_owner(dir.as_ref()).await.unwrap();
    assert_eq!(owner("/data/identities/x/codex").await, Some(account.id.clone()));
    assert_eq!(owner("/home/u/.claude").await, Some(adopted));
    for dir in ["/data/identities/x", "/home/u/.claude/more", "/home/u"] {
        assert_eq!(owner(dir).await, None);
    }
    f.store.delete_account(&account.id, NOW).await.unwrap();
    assert_eq!(owner("/data/identities/x/codex").await, None);
    assert_eq!(f.store.account(&key.account).await.unwrap().provider, provider("openai"));
}

async fn account_update_changes_the_names_and_refuses_a_blank_name(f: Fixture) {
    f.bundle("One").await;
    let before = f.login("one", "a@x").await;
    f.heard();
    let edit = |name: Option<&str>, display: Option<&str>| AccountEdit {
        name: name.map(Into::into),
        display_name: display.map(Into::into),
    };
    let after = f.store.update_account(&before.id, edit(Some("Mine"), Some("M")), NOW + 1).await.unwrap();
    let expected = Account {
        name: "Mine".into(),
        display_name: Some("M".into()),
        updated_at: NOW + 1,
        ..before.clone()
    };
    assert_eq!(after, expected);
    assert_eq!(f.heard(), [Change::Account(before.id.clone())]);
    let after = f.store.update_account(&before.id, edit(None, Some("")), NOW + 2).await.unwrap();
    assert_eq!((after.name.as_str(), after.display_name), ("Mine", None));
    f.heard();

    let state = f.state().await;
    assert_eq!(
        refusal(f.store.update_account(&before.id, edit(Some(" "), None), NOW).await).0,
        "invalid name"
    );
    let gone = f.store.update_account(&account_id("gone"), edit(Some("x"), None), NOW).await;
    assert_eq!(refusal(gone), ("not found", "no account gone".to_owned()));
    assert_eq!((f.state().await, f.heard()), (state, vec![]));
}

async fn account_delete_removes_every_binding(f: Fixture) {
    f.bundle("One").await;
    f.bundle("Two").await;
    let account = f.login("one", "a@x").await;
    f.store.bind(&bundle_id("two"), &account.id, NOW).await.unwrap();
    for bundle in [bundle_id("two"), BundleId::blank()] {
        let agent = NewInstance { definition: "agent".to_owned(), name: None, bundle: Some(bundle) };
        f.store.create_instance(agent, NOW).await.unwrap();
    }
    f.heard();
    let deleted = f.store.delete_account(&account.id, NOW).await.unwrap();
    let bound_to = vec![bundle_id("one"), bundle_id("two")];
    let leftover =
        Leftover { provider: account.provider.clone(), dir: account_dir(&account), history: History::Keep };
    let expected = DeletedAccount {
        id: account.id.clone(),
        account: Some(Account { bound_to: bound_to.clone(), ..account.clone() }),
        unbound_from: bound_to,
        instances: 1,
        leftover: Some(leftover.clone()),
    };
    assert_eq!(deleted, expected);
    assert_eq!(f.store.leftovers().await.unwrap(), std::slice::from_ref(&leftover));
    for _ in 0..2 {
        f.store.forget_leftover(&leftover, NOW).await.unwrap();
        assert_eq!(f.store.leftovers().await.unwrap(), []);
    }
    assert_eq!(
        f.heard(),
        [
            Change::Account(account.id.clone()),
            Change::Bindings(bundle_id("one")),
            Change::Bindings(bundle_id("two"))
        ]
    );
    assert_eq!(f.store.counts().await.unwrap().bindings, 0);
    assert_eq!(refusal(f.store.delete_account(&account.id, NOW).await).0, "not found");
}

async fn status_is_announced_when_its_content_changes(f: Fixture) {
    f.bundle("One").await;
    let before = f.login("one", "a@x").await;
    f.heard();
    let report = StatusReport {
        status: Status::NeedsReauth,
        reason: Some("the refresh token is gone".into()),
        evidence: Evidence::Check,
        checked_at: Some(NOW + 9),
        expires_at: None,
        login_deadline_at: Some(NOW + 10),
    };
    let after = f.store.set_status(&before.id, report.clone(), NOW + 9).await.unwrap();
    let expected = Account {
        status: Status::NeedsReauth,
        status_reason: Some("the refresh token is gone".into()),
        evidence: Evidence::Check,
        checked_at: Some(NOW + 9),
        expires_at: None,
        login_deadline_at: Some(NOW + 10),
        updated_at: NOW + 9,
        ..before.clone()
    };
    assert_eq!(after, expected);
    assert_eq!(f.heard(), [Change::Bindings(bundle_id("one")), Change::Account(before.id.clone())]);
    assert_eq!(f.store.bundle(&bundle_id("one")).await.unwrap().bindings[0].status, Status::NeedsReauth);

    let later = StatusReport { checked_at: Some(NOW + 20), ..report.clone() };
    let confirmed = f.store.set_status(&before.id, later, NOW + 20).await.unwrap();
    assert_eq!((confirmed.checked_at, f.heard()), (Some(NOW + 20), vec![]));

    let reworded = StatusReport { reason: None, ..report.clone() };
    f.store.set_status(&before.id, reworded, NOW + 21).await.unwrap();
    assert_eq!(f.heard(), [Change::Account(before.id)]);
    // A report about an account that was written in the meantime is discarded.
    let seen = f.store.account(&after.id).await.unwrap();
    let news = StatusReport { reason: Some("news".into()), ..report.clone() };
    let written = f.store.confirm_status(&seen, news, NOW + 22).await.unwrap().unwrap();
    assert_eq!(f.store.confirm_status(&seen, report.clone(), NOW + 23).await.unwrap(), None);
    assert_eq!(f.store.account(&written.id).await.unwrap(), written);
    assert_eq!(refusal(f.store.set_status(&account_id("gone"), report, NOW).await).0, "not found");
}

async fn corrupt_account_is_reported_and_hides_no_other_account(f: Fixture) {
    f.bundle("One").await;
    f.bundle("Two").await;
    let good = f.login("one", "a@x").await;
    let bad = f.login("two", "b@x").await;
    let bad_json = r#"{"backend":"config_dir","dir":"C:\Users"}"#;
    f.place.execute(&format!("UPDATE accounts SET secret_ref = '{bad_json}' WHERE id = '{}'", bad.id)).await;
    let list = f.store.accounts(AccountFilter::default()).await.unwrap();
    let reason = crate::harness::ALTERED.to_owned();
    let corrupt = vec![CorruptRow { id: bad.id.to_string(), reason: reason.clone() }];
    assert_eq!(list, AccountList { accounts: vec![good], corrupt });
    let expected = ("corrupt", format!("the stored row of account {} is corrupt: {reason}", bad.id));
    assert_eq!(refusal(f.store.account(&bad.id).await), expected);
    assert_eq!(f.store.bundles().await.unwrap().len(), 3);

    // A new login gets a row of its own, and the binding moves to it. The corrupt row stays reported until it is deleted.
    let anew = f.login("two", "b@x").await;
    assert_ne!(anew.id, bad.id);
    let list = f.store.accounts(AccountFilter::default()).await.unwrap();
    assert_eq!((list.accounts.len(), list.corrupt[0].id.as_str()), (2, bad.id.as_str()));
    assert_eq!(f.store.bundle(&bundle_id("two")).await.unwrap().bindings[0].account, anew.id);
}

async fn corrupt_account_blocks_no_bundle_delete(f: Fixture) {
    f.bundle("One").await;
    let account = f.login("one", "a@x").await;
    f.place.execute("UPDATE accounts SET status = 'perfect'").await;
    let bundle = f.store.bundle(&bundle_id("one")).await.unwrap();
    assert_eq!(bundle.bindings[0].status, Status::Unknown);
    let deleted = f.store.delete_bundle(&bundle_id("one"), History::Keep, NOW).await.unwrap();
    assert_eq!((deleted.bundle, deleted.accounts), (bundle, vec![]));
    let corrupt = vec![CorruptRow { id: account.id.to_string(), reason: "unknown status".to_owned() }];
    let list = f.store.accounts(AccountFilter::default()).await.unwrap();
    assert_eq!(list, AccountList { accounts: Vec::new(), corrupt });
}

/// The row is deleted with its bindings. Its directory is noted only if a holder of the key wrote it.
async fn corrupt_account_is_deleted_and_its_directory_is_noted(f: Fixture) {
    let mut faults =
        vec![("status = 'perfect'", true), ("kind = 'none'", false), ("secret_ref = '{'", false)];
    if f.place.kind == DatabaseKind::Sqlite {
        // Text that is not UTF-8, which PostgreSQL does not accept.
        faults.extend([("name = CAST(x'ff' AS TEXT)", false), ("secret_ref = CAST(x'ff' AS TEXT)", false)]);
    }
    for (number, (fault, has_directory)) in faults.into_iter().enumerate() {
        let one = f.bundle(&format!("B{number}")).await.id;
        let account = f.login(one.as_str(), "a@x").await;
        f.place.execute(&format!("UPDATE accounts SET {fault} WHERE id = '{}'", account.id)).await;
        match f.store.account(&account.id).await {
            Err(StoreError::Corrupt { what: "account", id, .. }) => assert_eq!(id, account.id.as_str()),
            other => panic!("{fault}: {other:?}"),
        }
        f.heard();

        let deleted = f.store.delete_account(&account.id, NOW).await.unwrap();
        let dir = account_dir(&account);
        let leftover = Leftover { provider: account.provider.clone(), dir, history: History::Keep };
        let leftover = has_directory.then_some(leftover);
        let expected = DeletedAccount {
            id: account.id.clone(),
            account: None,
            unbound_from: vec![one.clone()],
            instances: 0,
            leftover: leftover.clone(),
        };
        assert_eq!(deleted, expected, "{fault}");
        assert_eq!(f.heard(), [Change::Account(account.id.clone()), Change::Bindings(one)]);
        assert_eq!(f.store.leftovers().await.unwrap(), leftover.iter().cloned().collect::<Vec<_>>());
        if let Some(leftover) = leftover {
            f.store.forget_leftover(&leftover, NOW).await.unwrap();
        }
        let list = f.store.accounts(AccountFilter::default()).await.unwrap();
        assert_eq!(list, AccountList::default(), "{fault}");
        assert_eq!(refusal(f.store.delete_account(&account.id, NOW).await).0, "not found");
    }
}

async fn account_page_goes_on_where_the_last_one_ended_in_each_order(f: Fixture) {
    for (at, name) in ["b_1", "A", "c", "b%2", "Ab"].iter().enumerate() {
        let bundle = f.bundle(&format!("bundle-{at}")).await.id;
        let mut save = api_key(DestinationBundle::Existing(bundle), &format!("sk-{at}"));
        save.account_name = (*name).to_owned();
        save.now = NOW + i64::try_from(at).unwrap() / 2;
        f.store.save_api_key(save).await.unwrap();
    }
    let names = |page: &AccountPage| -> Vec<String> {
        page.list.accounts.iter().map(|account| account.name.clone()).collect()
    };
    for order in [AccountOrder::Created, AccountOrder::Name, AccountOrder::Provider, AccountOrder::Status] {
        let query = |after, limit| AccountQuery { order, after, limit, ..AccountQuery::default() };
        let whole = f.store.account_page(query(None, 100)).await.unwrap();
        assert_eq!((whole.list.accounts.len(), &whole.next), (5, &None));
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = f.store.account_page(query(after, 2)).await.unwrap();
            seen.extend(names(&page));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(seen, names(&whole), "{order:?}");
    }
    let by_name = AccountQuery { order: AccountOrder::Name, limit: 9, ..AccountQuery::default() };
    let found = f.store.account_page(by_name.clone()).await.unwrap();
    assert_eq!(names(&found)[..2], ["A", "Ab"]);
    for (part, expected) in [("B_", vec!["b_1"]), ("b%", vec!["b%2"]), ("a", vec!["A", "Ab"]), ("x!", vec![])]
    {
        let query = AccountQuery { name: Some(part.to_owned()), ..by_name.clone() };
        assert_eq!(names(&f.store.account_page(query).await.unwrap()), expected, "{part}");
    }
    let query = AuditQuery { action: Some("bundle.".to_owned()), limit: 2, ..AuditQuery::default() };
    let first = f.store.audit_page(query.clone()).await.unwrap();
    let before = first.last().map(|row| row.seq);
    let second = f.store.audit_page(AuditQuery { before, ..query.clone() }).await.unwrap();
    assert_eq!((first.len(), second.len()), (2, 2));
    assert!(first[0].seq > first[1].seq && first[1].seq > second[0].seq, "{first:?} {second:?}");
    let none = f.store.audit_page(AuditQuery { subject: Some("nothing".to_owned()), ..query }).await.unwrap();
    assert_eq!(none, []);
}
