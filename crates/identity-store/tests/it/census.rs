//! A program without the key deletes rows, and brings rows back that the store had deleted.

use identity_store::maintenance::{RowCheck, RowSetFault, SetFault, deciding_columns};
use identity_store::{
    AccountId, DatabaseKind, DestinationBundle, History, KnownDatabase, OpenError, PersonRule, ProfileFilter,
    StoreError,
};

use crate::authentic::{World, world};
use crate::harness::{
    Fixture, NOW, TestDatabase, api_key, bundle_id, keyring, login, on_both, provider, refusal,
};

on_both![
    deleted_row_of_any_table_is_named,
    call_for_a_deleted_row_names_the_deletion,
    deleted_rows_are_counted_when_they_are_several,
    row_that_the_store_deleted_is_named_when_it_is_brought_back,
    deletion_is_found_after_further_writes,
    row_that_is_written_again_is_no_longer_missing,
    planted_row_leaves_no_fault_when_it_is_removed_or_replaced,
    census_without_authentication_is_named_until_the_rows_are_accepted,
    failed_member_of_a_group_leaves_the_census_unchanged,
    census_is_taken_when_an_older_database_is_opened,
    database_that_lost_its_census_does_not_open_where_it_is_known,
];

fn deleted(table: &'static str, row: &str) -> RowCheck {
    RowCheck { sets: vec![RowSetFault { table, fault: SetFault::Deleted(row.to_owned()) }], unfit: vec![] }
}

fn counted(table: &'static str, written: i64, found: i64) -> RowCheck {
    RowCheck { sets: vec![RowSetFault { table, fault: SetFault::Count { written, found } }], unfit: vec![] }
}

impl TestDatabase {
    async fn number(&self, text: &str) -> i64 {
        self.texts(&format!("SELECT CAST(({text}) AS TEXT)")).await[0].parse().unwrap()
    }
}

async fn deleted_row_of_any_table_is_named(f: Fixture) {
    world(&f).await;
    for (table, columns) in deciding_columns() {
        let id = match table {
            "identity_bindings" | "tombstones" | "forge_watches" => {
                format!("{} || ' ' || {}", columns[0], columns[1])
            }
            _ => columns[0].to_owned(),
        };
        let rows =
            f.place.texts(&format!("SELECT {id} FROM {table} WHERE {id} <> 'row_census' ORDER BY 1")).await;
        assert!(!rows.is_empty(), "{table}");
        for row in rows {
            f.place
                .attack(&format!(
                    "CREATE TABLE kept AS SELECT * FROM {table} WHERE {id} = '{row}';
                     DELETE FROM {table} WHERE {id} = '{row}'"
                ))
                .await;
            assert_eq!(f.store.check_rows().await.unwrap(), deleted(table, &row));
            f.place.attack(&format!("INSERT INTO {table} SELECT * FROM kept; DROP TABLE kept")).await;
            assert_eq!(f.store.check_rows().await.unwrap(), RowCheck::default(), "{table} {row}");
        }
    }
}

async fn call_for_a_deleted_row_names_the_deletion(f: Fixture) {
    let World { key_account, instance, .. } = world(&f).await;
    let profile = f.store.profiles(ProfileFilter::default()).await.unwrap().profiles.remove(0).id;
    f.place.attack(&format!("DELETE FROM accounts WHERE id = '{key_account}'")).await;
    f.place.attack("DELETE FROM identity_bundles WHERE id = 'two'; DELETE FROM agent_instances").await;
    f.place.attack(&format!("DELETE FROM user_profiles WHERE id = '{profile}'")).await;
    let deleted = |what: &'static str, found: Result<(), StoreError>| match found {
        Err(StoreError::Corrupt { what: found, reason, .. }) => {
            assert_eq!(found, what);
            assert_eq!(reason, "it was deleted by a program without the encryption key");
        }
        other => panic!("{what}: {other:?}"),
    };
    deleted("account", f.store.account(&key_account).await.map(drop));
    deleted("bundle", f.store.bundle(&bundle_id("two")).await.map(drop));
    deleted("instance", f.store.instance(&instance).await.map(drop));
    deleted("profile", f.store.profile(&profile).await.map(drop));
    // A row that never existed is not found.
    assert_eq!(refusal(f.store.bundle(&bundle_id("never")).await).0, "not found");
    assert_eq!(refusal(f.store.account(&AccountId::generate()).await).0, "not found");
    f.store.accept_rows(NOW).await.unwrap();
    assert_eq!(refusal(f.store.account(&key_account).await).0, "not found");
}

async fn deleted_rows_are_counted_when_they_are_several(f: Fixture) {
    world(&f).await;
    let accounts = f.place.number("SELECT count(*) FROM accounts").await;
    f.place.attack("DELETE FROM accounts WHERE provider = 'openai'").await;
    let left = f.place.number("SELECT count(*) FROM accounts").await;
    assert!(accounts - left > 1);
    assert_eq!(f.store.check_rows().await.unwrap(), counted("accounts", accounts, left));
    // A database that checks its references deletes the rows of other tables, too.
    let bindings = f.place.number("SELECT count(*) FROM identity_bindings WHERE bundle_id = 'one'").await;
    assert_eq!(bindings, 2);
    f.place.execute("DELETE FROM identity_bundles WHERE id = 'one'").await;
    let check = f.store.check_rows().await.unwrap();
    let tables: Vec<_> = check.sets.iter().map(|fault| fault.table).collect();
    assert_eq!(tables[..2], ["accounts", "identity_bundles"], "{check:?}");
}

async fn row_that_the_store_deleted_is_named_when_it_is_brought_back(f: Fixture) {
    let World { key_account, .. } = world(&f).await;
    f.place.execute("CREATE TABLE kept AS SELECT * FROM accounts").await;
    f.store.delete_account(&key_account, NOW).await.unwrap();
    assert_eq!(f.store.check_rows().await.unwrap(), RowCheck::default());
    let back = format!("INSERT INTO accounts SELECT * FROM kept WHERE id = '{key_account}'");
    f.place.execute(&back).await;
    let fault = SetFault::Added(key_account.to_string());
    let sets = vec![RowSetFault { table: "accounts", fault }];
    assert_eq!(f.store.check_rows().await.unwrap(), RowCheck { sets, unfit: vec![] });
    // In the place of another row, the number is the same.
    f.place.attack("DELETE FROM accounts WHERE provider = 'codex' AND email = 'a@x'").await;
    let rows = f.place.number("SELECT count(*) FROM accounts").await;
    assert_eq!(f.store.check_rows().await.unwrap(), counted("accounts", rows, rows));
}

async fn deletion_is_found_after_further_writes(f: Fixture) {
    world(&f).await;
    f.place.attack("DELETE FROM identity_bindings WHERE bundle_id = 'two'").await;
    f.bundle("Three").await;
    let save = api_key(DestinationBundle::Existing(bundle_id("three")), "sk-three");
    let account = f.store.save_api_key(save).await.unwrap().account;
    f.store.delete_account(&account, NOW).await.unwrap();
    f.store.delete_bundle(&bundle_id("one"), History::Keep, NOW).await.unwrap();
    assert_eq!(f.store.check_rows().await.unwrap(), deleted("identity_bindings", "two openai"));
    f.store.close().await;
    let store = f.place.open(keyring("one")).await.unwrap();
    assert_eq!(store.check_rows().await.unwrap(), deleted("identity_bindings", "two openai"));
    store.close().await;
}

async fn row_that_is_written_again_is_no_longer_missing(f: Fixture) {
    world(&f).await;
    let account = f.store.bound_account(&bundle_id("two"), &provider("openai")).await.unwrap().unwrap().id;
    f.place.attack("DELETE FROM identity_bindings WHERE bundle_id = 'two'").await;
    f.store.bind(&bundle_id("two"), &account, NOW).await.unwrap();
    assert_eq!(f.store.check_rows().await.unwrap(), RowCheck::default());
    // A row that another program did not delete stays missing.
    f.place.attack("DELETE FROM identity_bindings WHERE bundle_id = 'one' AND provider = 'codex'").await;
    f.store.unbind(&bundle_id("two"), &provider("openai"), NOW).await.unwrap();
    f.store.bind(&bundle_id("two"), &account, NOW).await.unwrap();
    assert_eq!(f.store.check_rows().await.unwrap(), deleted("identity_bindings", "one codex"));
}

async fn planted_row_leaves_no_fault_when_it_is_removed_or_replaced(f: Fixture) {
    let World { key_account, .. } = world(&f).await;
    f.place
        .attack(&format!(
            "INSERT INTO identity_bundles (id, name, name_key, description, created_at, updated_at)
                 VALUES ('evil', 'Evil', 'evil', '', 1, 1);
             INSERT INTO identity_bindings (bundle_id, provider, account_id, created_at)
                 VALUES ('evil', 'openai', '{key_account}', 1), ('two', 'codex', '{key_account}', 1);
             INSERT INTO service_settings (key, value, updated_at) VALUES ('policy', 'lax', 1)"
        ))
        .await;
    let check = f.store.check_rows().await.unwrap();
    assert_eq!((check.unfit.len(), check.sets.len()), (4, 0), "{check:?}");
    f.store.delete_bundle(&bundle_id("evil"), History::Keep, NOW).await.unwrap();
    f.store.put_setting("policy", "strict", NOW).await.unwrap();
    f.store.unbind(&bundle_id("two"), &provider("codex"), NOW).await.unwrap();
    assert_eq!(f.store.check_rows().await.unwrap(), RowCheck::default());
    // A row that was changed and is removed was counted before.
    f.place.execute("UPDATE service_settings SET value = 'lax' WHERE key = 'policy'").await;
    f.store.put_setting("policy", "strict", NOW).await.unwrap();
    f.place.execute(&format!("UPDATE accounts SET name = 'x' WHERE id = '{key_account}'")).await;
    f.store.delete_account(&key_account, NOW).await.unwrap();
    assert_eq!(f.store.check_rows().await.unwrap(), RowCheck::default());
}

async fn census_without_authentication_is_named_until_the_rows_are_accepted(f: Fixture) {
    world(&f).await;
    let no_census = RowSetFault { table: "service_settings", fault: SetFault::NoCensus };
    for attack in [
        "UPDATE service_settings SET value = replace(value, 'accounts ', 'accounts 1') WHERE key = 'row_census'",
        "DELETE FROM service_settings WHERE key = 'row_census'",
    ] {
        f.place.execute(attack).await;
        f.place.attack("DELETE FROM tombstones").await;
        assert_eq!(f.store.check_rows().await.unwrap().sets, std::slice::from_ref(&no_census));
        // Writes go on.
        f.store.put_setting("policy", attack, NOW).await.unwrap();
        assert_eq!(f.store.accept_rows(NOW).await.unwrap(), std::slice::from_ref(&no_census));
        assert_eq!(f.store.check_rows().await.unwrap(), RowCheck::default());
        assert_eq!(f.store.accept_rows(NOW).await.unwrap(), []);
    }
    let accepted = f.store.audit_log(1).await.unwrap().remove(0);
    assert_eq!((accepted.action, accepted.subject), ("rows.accept".to_owned(), no_census.to_string()));
}

/// The members join one transaction, and one of them is refused after it has written.
async fn failed_member_of_a_group_leaves_the_census_unchanged(f: Fixture) {
    f.bundle("One").await;
    f.login("one", "a@x").await;
    let saves = (0..20).map(|number| {
        let store = f.store.clone();
        tokio::spawn(async move {
            let mut save = login(DestinationBundle::Existing(bundle_id("one")), &format!("b{number}@x"));
            save.person = if number % 2 == 0 { PersonRule::Anyone } else { PersonRule::NotAnother };
            store.save_login(save).await
        })
    });
    let profiles = (0..20).map(|number| {
        let store = f.store.clone();
        tokio::spawn(async move {
            let key = crate::grants::key(&format!("u{number}"), "a1", "sk-one");
            store.save_profile_key(key).await
        })
    });
    let (saves, profiles): (Vec<_>, Vec<_>) = (saves.collect(), profiles.collect());
    for save in saves {
        match save.await.unwrap() {
            Ok(_) | Err(StoreError::IdentityMismatch { .. }) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
    for profile in profiles {
        profile.await.unwrap().unwrap();
    }
    assert_eq!(f.store.check_rows().await.unwrap(), RowCheck::default());
}

async fn census_is_taken_when_an_older_database_is_opened(f: Fixture) {
    world(&f).await;
    let id = f.store.database().id.clone();
    f.store.close().await;
    // As the version before the census left it, and as a start of this version that was ended after its migration.
    for ended in [false, true] {
        f.place.put_mark(&id, "complete").await;
        f.place.execute("DELETE FROM service_settings WHERE key = 'row_census'").await;
        if !ended {
            f.place.undo_migrations_since(9).await;
        }
        let known = KnownDatabase { id: id.clone(), authenticated: true, counted: false };
        let store = f.place.open_knowing(Some(known)).await.unwrap();
        assert_eq!(*store.database(), KnownDatabase { id: id.clone(), authenticated: true, counted: true });
        assert_eq!(store.check_rows().await.unwrap(), RowCheck::default());
        store.close().await;
    }
}

async fn database_that_lost_its_census_does_not_open_where_it_is_known(f: Fixture) {
    world(&f).await;
    let known = f.store.database().clone();
    f.store.close().await;
    f.place.put_mark(&known.id, "complete").await;
    f.place.attack("DELETE FROM accounts").await;
    let refused = f.place.open_knowing(Some(known.clone())).await;
    assert!(matches!(refused, Err(OpenError::Reverted { .. })), "{refused:?}");
    f.place.undo_migrations_since(9).await;
    let refused = f.place.open_knowing(Some(known)).await;
    assert!(matches!(refused, Err(OpenError::Reverted { .. })), "{refused:?}");
    assert_eq!(f.place.kind == DatabaseKind::Sqlite, f.place.file().exists());
}
