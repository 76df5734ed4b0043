//! A program without the key writes into the database: each deciding column of each table, rows that are swapped, copied
//! and planted, and a database that is set back to before the authentication.

use std::fmt::Write as _;

use identity_store::maintenance::{RowCheck, UnfitRow, deciding_columns};
use identity_store::{
    AccountFilter, AccountId, Credential, DatabaseKind, DestinationBundle, History, InstanceFilter,
    InstanceId, KnownDatabase, NewInstance, OpenError, PersonRule, ProfileFilter, RefreshRequest, RefreshWhy,
    SaveLogin, SecretError, SessionId, Store, StoreError,
};

use crate::grants::{key, login as token_login, of_user, operator, parked, person, received, scope};
use crate::harness::{
    ALTERED, Fixture, NOW, TestDatabase, api_key, bundle_id, keyring, login, new_session, on_both, provider,
    refusal,
};

on_both![
    change_of_any_deciding_column_is_found,
    altered_account_is_never_used,
    altered_tokens_are_neither_read_nor_sent,
    altered_binding_is_not_launched_and_can_be_removed,
    altered_profile_is_not_launched_with_another_credential,
    altered_forge_account_is_not_used_and_an_altered_choice_is_refused,
    altered_instance_session_setting_and_tombstone_are_not_used,
    altered_bundle_is_named_and_can_be_deleted,
    row_with_invalid_text_is_named_and_hides_no_other,
    rows_that_are_swapped_or_copied_do_not_fit,
    write_does_not_sign_the_change_of_another_program,
    trigger_cannot_have_its_change_signed,
    rows_are_authenticated_when_an_older_database_is_opened,
    upgrade_continues_after_an_interruption,
    older_database_of_a_server_is_restored_from_its_dump,
    secret_that_does_not_open_leaves_its_row_without_authentication,
    database_without_its_mark_does_not_open,
    database_that_disagrees_with_what_is_known_does_not_open,
];

/// One row in every table.
pub(crate) struct World {
    pub(crate) key_account: AccountId,
    token_account: AccountId,
    pub(crate) instance: InstanceId,
    session: SessionId,
}

pub(crate) async fn world(f: &Fixture) -> World {
    f.bundle("One").await;
    f.bundle("Two").await;
    f.login("one", "a@x").await;
    let save = api_key(DestinationBundle::Existing(bundle_id("one")), "sk-one");
    let key_account = f.store.save_api_key(save).await.unwrap().account;
    f.store.save_api_key(api_key(DestinationBundle::Existing(bundle_id("two")), "sk-two")).await.unwrap();
    f.store.save_profile_key(key("u1", "a1", "sk-user")).await.unwrap();
    let (_, saved) = f.profile("u1", "a1", person("7"), received(0, NOW)).await;
    f.store
        .commit_operator(token_login("forge", "flow", received(1, NOW)), operator("1", true))
        .await
        .unwrap();
    f.store.park(token_login("forge", "parked", received(2, NOW)), parked(Some("u1"))).await.unwrap();
    f.watch("o/one").await;
    let new = NewInstance { definition: "agent".into(), name: None, bundle: Some(bundle_id("one")) };
    let instance = f.store.create_instance(new, NOW).await.unwrap().id;
    let session = new_session(Some("one"));
    f.store.insert_session(session.clone()).await.unwrap();
    f.store.create_client_token(crate::clients::token("page"), NOW).await.unwrap();
    f.bundle("Gone").await;
    f.login("gone", "g@x").await;
    f.store.delete_bundle(&bundle_id("gone"), History::Keep, NOW).await.unwrap();
    World { key_account, token_account: saved.account, instance, session: session.id }
}

impl TestDatabase {
    /// Runs SQL as a program that also switches the checks of references off.
    pub(crate) async fn attack(&self, text: &str) {
        let off = match self.kind {
            DatabaseKind::Sqlite => "PRAGMA foreign_keys = OFF",
            DatabaseKind::Postgres => "SET session_replication_role = replica",
        };
        self.execute(&format!("{off}; {text}")).await;
    }

    /// Changes a column of one row of a table, and returns a statement that undoes it.
    async fn alter(&self, table: &str, column: &str) -> String {
        let kind = match self.kind {
            DatabaseKind::Sqlite => {
                format!("SELECT type FROM pragma_table_info('{table}') WHERE name = '{column}'")
            }
            DatabaseKind::Postgres => format!(
                "SELECT data_type::text FROM information_schema.columns
                 WHERE table_schema = 'public' AND table_name = '{table}' AND column_name = '{column}'"
            ),
        };
        let is_number = !self.texts(&kind).await[0].eq_ignore_ascii_case("text");
        let read =
            format!("SELECT COALESCE(CAST({column} AS TEXT), '<null>') FROM {table} ORDER BY 1 LIMIT 1");
        let old = self.texts(&read).await.remove(0);
        let (old_value, new_value) = match (old.as_str(), is_number) {
            ("<null>", true) => ("NULL".to_owned(), "1".to_owned()),
            ("<null>", false) => ("NULL".to_owned(), "'x'".to_owned()),
            (number, true) => (number.to_owned(), format!("{number} + 7")),
            (text, false) => (format!("'{text}'"), format!("'{text}x'")),
        };
        let row = match self.kind {
            DatabaseKind::Sqlite => "rowid",
            DatabaseKind::Postgres => "ctid",
        };
        let chosen = |value: &str| {
            let equal = if value == "NULL" { "IS NULL".to_owned() } else { format!("= {value}") };
            format!("{row} = (SELECT {row} FROM {table} WHERE {column} {equal} LIMIT 1)")
        };
        self.attack(&format!("UPDATE {table} SET {column} = {new_value} WHERE {}", chosen(&old_value))).await;
        let new_value = if is_number && old != "<null>" {
            format!("{}", old.parse::<i64>().unwrap() + 7)
        } else {
            new_value
        };
        format!("UPDATE {table} SET {column} = {old_value} WHERE {}", chosen(&new_value))
    }

    /// Takes the authentication away, as if no version with it had ever opened the database.
    async fn make_old(&self) {
        self.execute("DELETE FROM service_settings WHERE key IN ('authentication', 'row_census')").await;
        self.undo_migrations_since(6).await;
    }

    pub(crate) async fn open_knowing(&self, known: Option<KnownDatabase>) -> Result<Store, OpenError> {
        let options = identity_store::StoreOptions { known, ..self.options(std::sync::Arc::new(|_| {})) };
        Store::open(options, keyring("one")).await
    }
}

fn corrupt<T: std::fmt::Debug>(found: Result<T, StoreError>, expected: &str) {
    match found {
        Err(StoreError::Corrupt { what, reason, .. }) => {
            assert_eq!((what, reason.as_str()), (expected, ALTERED));
        }
        other => panic!("{expected}: {other:?}"),
    }
}

async fn change_of_any_deciding_column_is_found(f: Fixture) {
    world(&f).await;
    assert_eq!(f.store.unfit_rows().await.unwrap(), []);
    let mut columns_seen = 0;
    for (table, columns) in deciding_columns() {
        for column in columns {
            let undo = f.place.alter(table, column).await;
            let unfit = f.store.unfit_rows().await.unwrap();
            let found: Vec<_> = unfit.iter().map(|row| (row.table, row.reason)).collect();
            assert_eq!(found, [(table, SecretError::Altered)], "{table}.{column}");
            f.place.attack(&undo).await;
            assert_eq!(f.store.unfit_rows().await.unwrap(), [], "{table}.{column}: {undo}");
            columns_seen += 1;
        }
        f.place.execute(&format!("CREATE TABLE kept AS SELECT * FROM {table}")).await;
        f.place.execute(&format!("UPDATE {table} SET mac = NULL")).await;
        let rows = f.place.texts("SELECT CAST(count(*) AS TEXT) FROM kept").await.remove(0);
        let unfit = f.store.unfit_rows().await.unwrap();
        assert_eq!(unfit.len().to_string(), rows, "{table}");
        assert!(unfit.iter().all(|row| row.reason == SecretError::Unauthenticated), "{unfit:?}");
        // Every code is put back to its own row, which its first two columns tell from the others.
        let same =
            [columns[0], columns[1]].map(|column| format!("kept.{column} = {table}.{column}")).join(" AND ");
        let restore =
            format!("UPDATE {table} SET mac = (SELECT mac FROM kept WHERE {same}); DROP TABLE kept");
        f.place.execute(&restore).await;
        assert_eq!(f.store.unfit_rows().await.unwrap(), []);
    }
    assert!(columns_seen > 50, "{columns_seen}");
}

/// Each change would send the key to another host, to another provider or under another owner.
async fn altered_account_is_never_used(f: Fixture) {
    let World { key_account, .. } = world(&f).await;
    let others = f.store.accounts(AccountFilter::default()).await.unwrap().accounts.len() - 1;
    for change in [
        "base_url = 'http://127.0.0.1:9'",
        "owner = 'user'",
        "kind = 'oauth'",
        "name = 'Other'",
        "email = 'b@x'",
        "secret_ref = '{\"backend\":\"command\",\"argv\":[\"x\"]}'",
        "client_id = 'x'",
        "masked_tail = '...0000'",
    ] {
        f.place.execute("CREATE TABLE kept AS SELECT * FROM accounts").await;
        f.place.execute(&format!("UPDATE accounts SET {change} WHERE id = '{key_account}'")).await;
        corrupt(f.store.account(&key_account).await, "account");
        corrupt(f.store.open_secret(&key_account).await, "account");
        corrupt(f.store.bound_account(&bundle_id("one"), &provider("openai")).await, "account");
        corrupt(f.store.export_bundle(&bundle_id("one"), NOW).await, "account");
        let list = f.store.accounts(AccountFilter::default()).await.unwrap();
        let named: Vec<_> = list.corrupt.iter().map(|row| (row.id.as_str(), row.reason.as_str())).collect();
        assert_eq!((list.accounts.len(), named), (others, vec![(key_account.as_str(), ALTERED)]), "{change}");
        let found = f.store.credentials(&bundle_id("one"), None).await.unwrap();
        assert_eq!((found.held.len(), found.corrupt[0].id.as_str()), (1, key_account.as_str()), "{change}");
        let column = change.split(' ').next().unwrap();
        f.place
            .execute(&format!(
                "UPDATE accounts SET {column} = (SELECT {column} FROM kept WHERE kept.id = accounts.id); DROP TABLE kept"
            ))
            .await;
        f.store.account(&key_account).await.unwrap();
    }
    f.place.execute(&format!("UPDATE accounts SET base_url = 'http://x' WHERE id = '{key_account}'")).await;
    // A new key gets a row of its own, and the altered one can be removed.
    let save = api_key(DestinationBundle::Existing(bundle_id("one")), "sk-new");
    let anew = f.store.save_api_key(save).await.unwrap().account;
    assert_ne!(anew, key_account);
    assert_eq!(f.store.delete_account(&key_account, NOW).await.unwrap().leftover, None);
    assert_eq!(f.store.check_rows().await.unwrap(), RowCheck::default());
}

async fn altered_tokens_are_neither_read_nor_sent(f: Fixture) {
    let World { token_account, .. } = world(&f).await;
    for change in ["token_url = 'http://127.0.0.1:9/token'", "issuer = 'http://x'", "consumer = 'id'"] {
        f.place.execute("CREATE TABLE kept AS SELECT * FROM account_tokens").await;
        f.place
            .execute(&format!("UPDATE account_tokens SET {change} WHERE account_id = '{token_account}'"))
            .await;
        corrupt(f.store.tokens(&token_account, NOW).await, "tokens");
        for why in [RefreshWhy::Due, RefreshWhy::Use { min_ttl: 7_200_000 }] {
            let account = token_account.clone();
            let request = RefreshRequest { account, holder: "one".into(), why, lease: 30_000, now: NOW };
            corrupt(f.store.begin_refresh(request).await, "tokens");
        }
        let found =
            f.store.profile_credentials(&"u1".parse().unwrap(), &"a1".parse().unwrap(), None).await.unwrap();
        let states: Vec<_> =
            found.iter().map(|found| matches!(found.credential, Credential::Corrupt(_))).collect();
        assert_eq!(states, [true, false], "{change}: {found:?}");
        let column = change.split(' ').next().unwrap();
        f.place
            .execute(&format!(
                "UPDATE account_tokens SET {column} = (SELECT {column} FROM kept
                     WHERE kept.account_id = account_tokens.account_id); DROP TABLE kept"
            ))
            .await;
        f.store.tokens(&token_account, NOW).await.unwrap();
    }
    // The account says which authority the tokens belong to.
    f.place
        .execute(&format!("UPDATE accounts SET base_url = 'https://x' WHERE id = '{token_account}'"))
        .await;
    corrupt(f.store.tokens(&token_account, NOW).await, "account");
}

async fn altered_binding_is_not_launched_and_can_be_removed(f: Fixture) {
    let World { key_account, .. } = world(&f).await;
    f.place
        .execute(&format!(
            "UPDATE identity_bindings SET account_id = '{key_account}' WHERE bundle_id = 'two' AND provider = 'openai'"
        ))
        .await;
    let found = f.store.credentials(&bundle_id("two"), None).await.unwrap();
    assert_eq!((found.held.len(), found.corrupt.len()), (0, 1), "{found:?}");
    assert!(found.corrupt[0].reason.contains("its binding in the bundle two is corrupt"), "{found:?}");
    // The bundle that the account belongs to is not affected, and shows no binding to the other.
    let own = f.store.credentials(&bundle_id("one"), None).await.unwrap();
    assert_eq!((own.held.len(), own.corrupt.len()), (2, 0), "{own:?}");
    assert_eq!(f.store.account(&key_account).await.unwrap().bound_to, [bundle_id("one")]);
    assert_eq!(f.store.bundle(&bundle_id("two")).await.unwrap().bindings, []);
    f.store.unbind(&bundle_id("two"), &provider("openai"), NOW).await.unwrap();
    assert_eq!(f.store.credentials(&bundle_id("two"), None).await.unwrap().corrupt, []);
    assert_eq!(f.store.check_rows().await.unwrap(), RowCheck::default());
}

async fn altered_profile_is_not_launched_with_another_credential(f: Fixture) {
    let World { key_account, .. } = world(&f).await;
    let credentials = async || {
        f.store.profile_credentials(&"u1".parse().unwrap(), &"a1".parse().unwrap(), None).await.unwrap()
    };
    let list = f.store.profiles(ProfileFilter::default()).await.unwrap().profiles;
    let profile = list.iter().find(|profile| profile.provider == provider("openai")).unwrap().clone();
    f.place
        .execute(&format!(
            "UPDATE user_profiles SET account_id = '{key_account}' WHERE id = '{}'",
            profile.id
        ))
        .await;
    let found = credentials().await;
    let states: Vec<_> =
        found.iter().map(|found| matches!(found.credential, Credential::Corrupt(_))).collect();
    assert_eq!(states, [false, true], "{found:?}");
    corrupt(f.store.profile(&profile.id).await, "profile");
    let list = f.store.profiles(ProfileFilter::default()).await.unwrap();
    assert_eq!((list.profiles.len(), list.corrupt[0].id.as_str()), (1, profile.id.as_str()));
    corrupt(f.store.save_profile_key(key("u1", "a1", "sk-new")).await, "profile");
    f.store.delete_profile(&profile.id, NOW).await.unwrap();
    f.store.save_profile_key(key("u1", "a1", "sk-new")).await.unwrap();
    assert_eq!(f.store.account(&key_account).await.unwrap().bound_to, [bundle_id("one")]);
    // A row that leads a login of one user into the account of another is not followed.
    let (victim, _) = f.profile("u2", "a1", person("9"), received(3, NOW)).await;
    f.place.execute(&format!("UPDATE user_profiles SET user_id = 'u3' WHERE id = '{}'", victim.id)).await;
    let commit =
        identity_store::CommitProfile { scope: scope("u3", "a2"), ..of_user("u3", "a2", person("9")) };
    let login = token_login("git", "flow", received(4, NOW));
    let refused = f.store.commit_profile(login, commit).await.unwrap_err();
    corrupt(Err::<(), _>(refused.error), "profile");
}

async fn altered_forge_account_is_not_used_and_an_altered_choice_is_refused(f: Fixture) {
    world(&f).await;
    let other = f.operator("elsewhere", "2", received(5, NOW)).await;
    let active = f.store.active_forge().await.unwrap().unwrap().account;
    f.place
        .execute(&format!("UPDATE service_settings SET value = '{other}' WHERE key = 'active_forge'"))
        .await;
    corrupt(f.store.active_forge().await, "setting");
    assert!(f.store.operator_tokens().await.unwrap().iter().all(|token| !token.active));
    // The value is the intended one already, and is signed anew.
    f.store.set_active_forge(&other, NOW).await.unwrap();
    assert_eq!(f.store.active_forge().await.unwrap().unwrap().account, other);
    f.store.set_active_forge(&active, NOW).await.unwrap();

    f.place
        .execute(&format!("UPDATE operator_tokens SET base_url = 'https://x' WHERE account_id = '{active}'"))
        .await;
    corrupt(f.store.operator_token(&active).await, "operator token");
    corrupt(f.store.active_forge().await, "operator token");
    let listed: Vec<_> =
        f.store.operator_tokens().await.unwrap().into_iter().map(|token| token.account).collect();
    assert_eq!(listed, [other]);
    f.store.delete_account(&active, NOW).await.unwrap();
    f.store.clear_active_forge(NOW).await.unwrap();
    assert_eq!(f.store.check_rows().await.unwrap(), RowCheck::default());
}

async fn altered_instance_session_setting_and_tombstone_are_not_used(f: Fixture) {
    let World { instance, session, .. } = world(&f).await;
    f.place.execute("UPDATE agent_instances SET bundle_id = 'two'").await;
    corrupt(f.store.instance(&instance).await, "instance");
    assert_eq!(f.store.instances(InstanceFilter::default()).await.unwrap(), []);
    corrupt(f.store.move_instance(&instance, Some(&bundle_id("one")), NOW).await, "instance");
    assert!(f.store.end_instance(&instance, NOW).await.unwrap());

    f.place.execute("UPDATE login_sessions SET target_bundle = 'two'").await;
    corrupt(f.store.session(&session).await, "session");
    let mut save = login(DestinationBundle::Existing(bundle_id("two")), "a@x");
    save.session = Some(session);
    corrupt(f.store.save_login(save).await, "session");
    assert_eq!(f.store.live_sessions().await.unwrap(), []);
    f.store.fail_orphaned_sessions(NOW).await.unwrap();
    f.store.prune_sessions(NOW + 1, 0).await.unwrap();

    f.store.put_setting("policy", "strict", NOW).await.unwrap();
    f.place.execute("UPDATE service_settings SET value = 'lax' WHERE key = 'policy'").await;
    corrupt(f.store.setting("policy").await, "setting");
    f.store.put_setting("policy", "strict", NOW).await.unwrap();

    let leftover = f.store.leftovers().await.unwrap();
    f.place
        .execute(
            "INSERT INTO tombstones (kind, subject, created_at) VALUES ('directory', 'codex /data/identities/one/codex', 1),
                 ('default_provider', 'claude', 1)",
        )
        .await;
    assert_eq!(f.store.leftovers().await.unwrap(), leftover);
    assert_eq!(f.store.declined_providers().await.unwrap(), [provider("codex")]);
    assert_eq!(f.store.unfit_rows().await.unwrap().len(), 2);
}

async fn altered_bundle_is_named_and_can_be_deleted(f: Fixture) {
    world(&f).await;
    f.place
        .execute("UPDATE identity_bundles SET name = 'One (work)', name_key = 'one (work)' WHERE id = 'one'")
        .await;
    corrupt(f.store.bundle(&bundle_id("one")).await, "bundle");
    let edit = identity_store::BundleEdit { name: Some("New".into()), description: None, unbound: None };
    corrupt(f.store.update_bundle(&bundle_id("one"), edit, NOW).await, "bundle");
    assert_eq!(f.store.bundles().await.unwrap().len(), 2);
    let deleted = f.store.delete_bundle(&bundle_id("one"), History::Keep, NOW).await.unwrap();
    assert_eq!(deleted.accounts.len(), 2);
    assert_eq!(f.store.check_rows().await.unwrap(), RowCheck::default());
}

/// `PostgreSQL` accepts no such text, so there the rows only get another one.
async fn row_with_invalid_text_is_named_and_hides_no_other(f: Fixture) {
    world(&f).await;
    let bad = match f.place.kind {
        DatabaseKind::Sqlite => "CAST(x'ff' AS TEXT)",
        DatabaseKind::Postgres => "'x'",
    };
    let others = f.store.bundles().await.unwrap().len() - 1;
    for (table, column, row) in [
        ("identity_bundles", "description", "id = 'one'"),
        ("accounts", "name", "provider = 'openai' AND owner = 'bundle'"),
        ("agent_instances", "name", "name = 'agent'"),
        ("client_tokens", "name", "name = 'page'"),
        ("login_sessions", "recipe", "recipe = 'browser'"),
        ("pending_logins", "hint_email", "flow = 'parked'"),
        ("tombstones", "subject", "kind = 'directory'"),
        ("identity_bindings", "account_id", "bundle_id = 'two'"),
        ("user_profiles", "label", "user_id = 'u1'"),
        ("account_tokens", "issuer", "consumer = 'access'"),
    ] {
        f.place.attack(&format!("UPDATE {table} SET {column} = {bad} WHERE {row}")).await;
        let unfit = f.store.unfit_rows().await.unwrap();
        assert!(unfit.iter().any(|row| row.table == table), "{table}: {unfit:?}");
    }
    assert_eq!(f.store.bundles().await.unwrap().len(), others);
    assert_eq!(f.store.accounts(AccountFilter::default()).await.unwrap().corrupt.len(), 2);
    assert_eq!(f.store.instances(InstanceFilter::default()).await.unwrap(), []);
    assert_eq!(f.store.client_tokens().await.unwrap(), []);
    assert_eq!(f.store.recent_sessions(0, 10).await.unwrap(), []);
    assert_eq!(f.store.pending_logins(Some(&"u1".parse().unwrap())).await.unwrap(), []);
    assert_eq!(f.store.leftovers().await.unwrap(), []);
    assert_eq!(f.store.profiles(ProfileFilter::default()).await.unwrap().profiles, []);
    // A key that is not Unicode ends the search in its table, and no other.
    f.place.attack(&format!("UPDATE service_settings SET key = {bad} WHERE key = 'active_forge'")).await;
    assert!(f.store.unfit_rows().await.unwrap().iter().any(|row| row.table == "service_settings"));
}

async fn rows_that_are_swapped_or_copied_do_not_fit(f: Fixture) {
    world(&f).await;
    let ids = f
        .place
        .texts("SELECT id FROM accounts WHERE provider = 'openai' AND owner = 'bundle' ORDER BY id")
        .await;
    let swap = |columns: &str| {
        let [one, two] = ids.as_slice() else { panic!("{ids:?}") };
        format!(
            "CREATE TABLE kept AS SELECT * FROM accounts;
             UPDATE accounts SET {columns} = (SELECT {columns} FROM kept WHERE kept.id = '{two}') WHERE id = '{one}';
             UPDATE accounts SET {columns} = (SELECT {columns} FROM kept WHERE kept.id = '{one}') WHERE id = '{two}';
             DROP TABLE kept"
        )
    };
    // The codes alone, and back.
    f.place.execute(&swap("mac")).await;
    let rows: Vec<_> = f.store.unfit_rows().await.unwrap().into_iter().map(|row| row.row).collect();
    assert_eq!(rows, ids);
    f.place.execute(&swap("mac")).await;
    assert_eq!(f.store.unfit_rows().await.unwrap(), []);
    // The secrets alone do not open in each other's rows.
    f.place.execute(&swap("sealed_secret")).await;
    let refused = refusal(f.store.open_secret(&ids[0].parse().unwrap()).await);
    assert_eq!(refused.0, "secret");
    f.place.execute(&swap("sealed_secret")).await;
    // A copy of a whole row under another key.
    f.place
        .attack(
            "INSERT INTO identity_bindings (bundle_id, provider, account_id, created_at, mac)
             SELECT 'two', provider, account_id, created_at, mac FROM identity_bindings
             WHERE bundle_id = 'one' AND provider = 'codex'",
        )
        .await;
    let planted =
        UnfitRow { table: "identity_bindings", row: "two codex".into(), reason: SecretError::Altered };
    assert_eq!(f.store.unfit_rows().await.unwrap(), [planted]);
    assert_eq!(f.store.credentials(&bundle_id("two"), Some(&provider("codex"))).await.unwrap().held.len(), 0);
    // The copy was never counted, so nothing is missing without it.
    f.place.execute("DELETE FROM identity_bindings WHERE bundle_id = 'two' AND provider = 'codex'").await;
    assert_eq!(f.store.check_rows().await.unwrap(), RowCheck::default());
}

async fn write_does_not_sign_the_change_of_another_program(f: Fixture) {
    let World { key_account, token_account, .. } = world(&f).await;
    f.place.execute("UPDATE accounts SET base_url = 'http://127.0.0.1:9'").await;
    let edit = identity_store::AccountEdit { name: Some("New".into()), display_name: None };
    corrupt(f.store.update_account(&key_account, edit, NOW).await, "account");
    // Logins of each kind: none of them may make an altered row fit.
    let save = login(DestinationBundle::Existing(bundle_id("one")), "a@x");
    f.store.save_login(SaveLogin { person: PersonRule::Anyone, ..save }).await.unwrap();
    corrupt(f.store.save_profile_key(key("u1", "a1", "sk-new")).await, "account");
    let login = token_login("git", "flow", received(6, NOW));
    let refused = f.store.commit_profile(login, of_user("u1", "a1", person("7"))).await.unwrap_err();
    corrupt(Err::<(), _>(refused.error), "account");
    let login = token_login("forge", "flow", received(6, NOW));
    let refused = f.store.commit_operator(login, operator("1", true)).await.unwrap_err();
    corrupt(Err::<(), _>(refused.error), "account");
    corrupt(f.store.tokens(&token_account, NOW).await, "account");
    let altered =
        f.place.texts("SELECT id FROM accounts WHERE base_url = 'http://127.0.0.1:9' ORDER BY id").await;
    let rows: Vec<_> = f.store.unfit_rows().await.unwrap().into_iter().map(|row| row.row).collect();
    assert_eq!(rows, altered);
}

async fn trigger_cannot_have_its_change_signed(f: Fixture) {
    let World { key_account, .. } = world(&f).await;
    f.place
        .execute(match f.place.kind {
            DatabaseKind::Sqlite => {
                "CREATE TRIGGER evil AFTER INSERT ON accounts BEGIN
                     UPDATE accounts SET base_url = 'http://127.0.0.1:9' WHERE id = NEW.id; END"
            }
            DatabaseKind::Postgres => {
                "CREATE FUNCTION evil() RETURNS trigger LANGUAGE plpgsql AS
                     $$ BEGIN NEW.base_url := 'http://127.0.0.1:9'; RETURN NEW; END $$;
                 CREATE TRIGGER evil BEFORE INSERT ON accounts FOR EACH ROW EXECUTE FUNCTION evil()"
            }
        })
        .await;
    f.bundle("Three").await;
    let save = api_key(DestinationBundle::Existing(bundle_id("three")), "sk-three");
    let planted = f.store.save_api_key(save).await.unwrap().account;
    corrupt(f.store.account(&planted).await, "account");
    corrupt(f.store.open_secret(&planted).await, "account");
    f.store.account(&key_account).await.unwrap();
}

async fn rows_are_authenticated_when_an_older_database_is_opened(f: Fixture) {
    let World { key_account, token_account, .. } = world(&f).await;
    let before = f.state().await;
    f.store.close().await;
    f.place.make_old().await;
    let store = f.place.open(keyring("one")).await.unwrap();
    assert_eq!(store.unfit_rows().await.unwrap(), []);
    assert!(store.database().authenticated);
    assert_eq!(store.accounts(AccountFilter::default()).await.unwrap(), before.1);
    store.open_secret(&key_account).await.unwrap();
    store.tokens(&token_account, NOW).await.unwrap();
    let known = store.database().clone();
    store.close().await;
    // The second start finds nothing to do, and knows the database.
    let store = f.place.open_knowing(Some(known.clone())).await.unwrap();
    assert_eq!(*store.database(), known);
    store.close().await;
    // From now on a row without authentication is corrupt.
    f.place.execute(&format!("UPDATE accounts SET mac = NULL WHERE id = '{key_account}'")).await;
    let store = f.place.open_knowing(Some(known)).await.unwrap();
    let reason = SecretError::Unauthenticated;
    let unfit = UnfitRow { table: "accounts", row: key_account.to_string(), reason };
    assert_eq!(store.unfit_rows().await.unwrap(), [unfit]);
    assert_eq!(refusal(store.open_secret(&key_account).await).0, "corrupt");
    store.close().await;
}

/// The script is run as `psql` runs it: statements, and the rows after each `COPY`.
async fn older_database_of_a_server_is_restored_from_its_dump(f: Fixture) {
    let World { key_account, token_account, .. } = world(&f).await;
    let odd = identity_store::NewBundle {
        id: bundle_id("odd"),
        name: "Odd".into(),
        description: "A \\ and \\n".into(),
    };
    f.store.create_bundle(odd, NOW).await.unwrap();
    let before = f.state().await;
    f.store.close().await;
    f.place.make_old().await;
    let script = tempfile::NamedTempFile::new().unwrap();
    let url: identity_store::DatabaseUrl = f.place.url.parse().unwrap();
    let dumped = identity_store::maintenance::dump(&url, script.as_file()).await;
    if f.place.kind == DatabaseKind::Sqlite {
        assert_eq!(refusal(dumped).0, "unsupported");
        return;
    }
    dumped.unwrap();
    f.place.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public").await;
    f.place.run_script(&std::fs::read_to_string(script.path()).unwrap()).await;
    let store = f.place.open(keyring("one")).await.unwrap();
    assert_eq!(store.check_rows().await.unwrap(), RowCheck::default());
    assert_eq!(store.accounts(AccountFilter::default()).await.unwrap(), before.1);
    store.open_secret(&key_account).await.unwrap();
    store.tokens(&token_account, NOW).await.unwrap();
    assert_eq!(store.check_audit().await.unwrap().fault, None);
    // The log continues after its last row.
    store.put_setting("policy", "strict", NOW).await.unwrap();
    store.close().await;
}

/// Returns the row of the mark with that word, as the store would write it.
fn mark(id: &str, word: &str) -> (String, String) {
    let value = format!("{id} {word}");
    let text = format!("key=14:authentication;value={}:{value};", value.chars().count());
    let code = identity_store::secret::authenticate(&keyring("one"), "service_settings", text.as_bytes());
    let hex = code.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    (value, hex)
}

impl TestDatabase {
    pub(crate) async fn put_mark(&self, id: &str, word: &str) {
        let (value, code) = mark(id, word);
        let code = match self.kind {
            DatabaseKind::Sqlite => format!("x'{code}'"),
            DatabaseKind::Postgres => format!("decode('{code}', 'hex')"),
        };
        let set = format!(
            "UPDATE service_settings SET value = '{value}', mac = {code} WHERE key = 'authentication'"
        );
        self.execute(&set).await;
    }
}

async fn upgrade_continues_after_an_interruption(f: Fixture) {
    let World { key_account, .. } = world(&f).await;
    let id = f.store.database().id.clone();
    f.store.close().await;
    f.place.put_mark(&id, "unfinished").await;
    f.place.execute("UPDATE accounts SET mac = NULL WHERE provider = 'openai'").await;
    f.place.execute("UPDATE identity_bindings SET mac = NULL").await;
    let attached = Store::attach(f.place.options(std::sync::Arc::new(|_| {})), keyring("one")).await;
    assert!(matches!(attached, Err(OpenError::UpgradeUnfinished)), "{attached:?}");
    // An earlier copy of the mark does not bring back the time before the upgrade.
    let known = KnownDatabase { id: id.clone(), authenticated: true, counted: true };
    let refused = f.place.open_knowing(Some(known)).await;
    assert!(matches!(refused, Err(OpenError::Reverted { .. })), "{refused:?}");
    let known = KnownDatabase { id: id.clone(), authenticated: false, counted: false };
    let store = f.place.open_knowing(Some(known)).await.unwrap();
    assert_eq!(*store.database(), KnownDatabase { id, authenticated: true, counted: true });
    assert_eq!(store.unfit_rows().await.unwrap(), []);
    store.open_secret(&key_account).await.unwrap();
    store.close().await;
}

async fn secret_that_does_not_open_leaves_its_row_without_authentication(f: Fixture) {
    let World { key_account, .. } = world(&f).await;
    f.store.close().await;
    f.place.make_old().await;
    f.place
        .execute(&format!("UPDATE accounts SET generation = generation + 1 WHERE id = '{key_account}'"))
        .await;
    let store = f.place.open(keyring("one")).await.unwrap();
    let reason = SecretError::Unauthenticated;
    let unfit = UnfitRow { table: "accounts", row: key_account.to_string(), reason };
    assert_eq!(store.unfit_rows().await.unwrap(), [unfit]);
    store.delete_account(&key_account, NOW).await.unwrap();
    assert_eq!(store.check_rows().await.unwrap(), RowCheck::default());
    store.close().await;
}

async fn database_without_its_mark_does_not_open(f: Fixture) {
    world(&f).await;
    let id = f.store.database().id.clone();
    f.store.close().await;
    f.place.execute("UPDATE service_settings SET value = value || 'x' WHERE key = 'authentication'").await;
    assert!(matches!(f.place.open(keyring("one")).await, Err(OpenError::Reverted { .. })));
    f.place.put_mark(&id, "complete").await;
    f.place.open(keyring("one")).await.unwrap().close().await;
    f.place.execute("DELETE FROM service_settings WHERE key = 'authentication'").await;
    assert!(matches!(f.place.open(keyring("one")).await, Err(OpenError::Reverted { .. })));
}

async fn database_that_disagrees_with_what_is_known_does_not_open(f: Fixture) {
    world(&f).await;
    let known = f.store.database().clone();
    f.store.close().await;
    let other = KnownDatabase { id: "other".into(), authenticated: true, counted: true };
    match f.place.open_knowing(Some(other)).await {
        Err(OpenError::OtherDatabase { expected, found }) => {
            assert_eq!((expected.as_str(), found), ("other", known.id.clone()));
        }
        other => panic!("{other:?}"),
    }
    f.place.make_old().await;
    let refused = f.place.open_knowing(Some(known.clone())).await;
    assert!(matches!(refused, Err(OpenError::Reverted { .. })), "{refused:?}");
    match f.place.kind {
        DatabaseKind::Sqlite => std::fs::remove_dir_all(f.place.directory()).unwrap(),
        DatabaseKind::Postgres => f.place.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public").await,
    }
    let refused = f.place.open_knowing(Some(known)).await;
    assert!(matches!(refused, Err(OpenError::Missing { .. })), "{refused:?}");
    assert!(!f.place.file().exists());
}
