//! Profiles: their owners, their replacement and their deletion.

use identity_store::{
    AccountKind, Change, Credential, DatabaseKind, DeletedProfiles, Identity, Life, Profile,
    ProfileCredential, ProfileFilter, ProfileId, ProfileOrder, ProfileScope, ReceivedTokens, SaveProfileKey,
    Status,
};
use tokio::task::JoinSet;

use crate::grants::{HOUR, good, key, numbered, of_user, parked, person, received, scope, texts};
use crate::harness::{Fixture, NOW, keyring, on_both, provider, refusal};

on_both![
    key_is_sealed,
    tokens_are_sealed,
    second_key_replaces_the_first,
    second_login_replaces_the_first,
    users_see_only_their_own_profiles,
    profile_deletion_removes_its_secrets,
    agent_deletion_removes_every_users_profiles,
    user_deletion_removes_profiles_and_parked_logins,
    ids_match_literally_when_they_hold_special_characters,
    concurrent_writers_lose_no_profile,
    corrupt_row_is_reported_and_kept,
    sealed_secret_opens_only_in_its_own_row_and_column,
    accounts_of_one_scope_coexist_with_one_primary,
    grant_is_stored_once_per_user_person_and_authority,
    profile_order_changes_only_when_each_profile_is_named_once,
    broken_secret_is_reported_and_hides_no_other,
    planted_secret_appears_in_no_file_row_or_text,
    agent_has_no_rows_without_a_user,
];

async fn list(f: &Fixture) -> Vec<Profile> {
    let list = f.store.profiles(ProfileFilter::default()).await.unwrap();
    assert_eq!(list.corrupt, []);
    list.profiles
}

async fn candidates(f: &Fixture, user: &str, agent: &str) -> Vec<ProfileCredential> {
    f.store.profile_credentials(&user.parse().unwrap(), &agent.parse().unwrap(), None).await.unwrap()
}

/// Returns the secrets that a user has for an agent, in order.
async fn secrets(f: &Fixture, user: &str, agent: &str) -> Vec<String> {
    let found = candidates(f, user, agent).await;
    found.iter().map(|candidate| candidate.secret().unwrap_or("none").to_owned()).collect()
}

/// Returns the number of rows in each of the tables.
async fn rows(f: &Fixture) -> [usize; 3] {
    let mut counts = [0; 3];
    for (count, table) in counts.iter_mut().zip(["user_profiles", "accounts", "account_tokens"]) {
        *count = f.place.texts(&format!("SELECT 'x' FROM {table}")).await.len();
    }
    counts
}

/// The key is sealed and can be opened.
async fn key_is_sealed(f: Fixture) {
    let save = SaveProfileKey {
        label: Some("Mine".into()),
        base_url: Some("https://API.example/v1/".into()),
        ..key("slack:U1", "a1", "sk-0123456789abcdef")
    };
    let profile = f.store.save_profile_key(save).await.unwrap();
    let expected = Profile {
        id: profile.id.clone(),
        user: "slack:U1".parse().unwrap(),
        agent: "a1".parse().unwrap(),
        provider: provider("openai"),
        model: None,
        account: profile.account.clone(),
        kind: AccountKind::ApiKey,
        primary: true,
        label: Some("Mine".into()),
        identity: Identity::default(),
        base_url: Some("https://api.example/v1".into()),
        masked_tail: Some("cdef".into()),
        status: Status::Unknown,
        status_reason: None,
        expires_at: None,
        login_deadline_at: None,
        created_at: NOW,
        updated_at: NOW,
    };
    assert_eq!(profile, expected);
    assert_eq!(
        (f.store.profile(&profile.id).await.unwrap(), list(&f).await),
        (expected, vec![profile.clone()])
    );
    assert_eq!(secrets(&f, "slack:U1", "a1").await, ["sk-0123456789abcdef"]);
    let user = "slack:U1".parse().unwrap();
    assert_eq!(f.heard(), [Change::Profiles(user), Change::Account(profile.account)]);
}

/// Access and refresh token are sealed and can be opened.
async fn tokens_are_sealed(f: Fixture) {
    let (profile, kept) = f.profile("u1", "a1", person("1"), received(0, NOW)).await;
    assert_eq!((&profile.account, kept.created, profile.kind), (&kept.account, true, AccountKind::OAuth));
    let found = candidates(&f, "u1", "a1").await;
    let [ProfileCredential { credential: Credential::Tokens(tokens), .. }] = found.as_slice() else {
        panic!("{found:?}")
    };
    assert_eq!((texts(tokens), found[0].life(NOW, 0)), (numbered(0, 0), Life::Live));
    assert_eq!(found[0].life(NOW, HOUR), Life::StaleRefreshable);
    assert_eq!(f.standing(&kept.account).await, good(0, 1, NOW));
}

/// One profile remains, with the new key; the old box is deleted, the time of creation stays.
async fn second_key_replaces_the_first(f: Fixture) {
    let first = f.store.save_profile_key(key("u1", "a1", "sk-old")).await.unwrap();
    let later = SaveProfileKey { now: NOW + 5, label: Some("new".into()), ..key("u1", "a1", "sk-new") };
    let second = f.store.save_profile_key(later).await.unwrap();
    let expected = Profile { label: Some("new".into()), updated_at: NOW + 5, ..first };
    assert_eq!((second, list(&f).await), (expected.clone(), vec![expected.clone()]));
    assert_eq!((secrets(&f, "u1", "a1").await, rows(&f).await), (vec!["sk-new".to_owned()], [1, 1, 0]));
    // Another model, another address and another person are separate scopes.
    let model = ProfileScope { model: Some("m".into()), ..scope("u1", "a1") };
    f.store.save_profile_key(SaveProfileKey { scope: model, ..key("u1", "a1", "sk-m") }).await.unwrap();
    let base_url = Some("https://other".into());
    f.store.save_profile_key(SaveProfileKey { base_url, ..key("u1", "a1", "sk-o") }).await.unwrap();
    let email = Some("a@x".into());
    f.store.save_profile_key(SaveProfileKey { email, ..key("u1", "a1", "sk-a") }).await.unwrap();
    assert_eq!(secrets(&f, "u1", "a1").await, ["sk-a", "sk-o", "sk-m", "sk-new"]);
}

/// A login that replaces another one leaves nothing of it, whatever its form.
async fn second_login_replaces_the_first(f: Fixture) {
    let nobody = Identity::default;
    let (first, _) = f.profile("u1", "a1", nobody(), received(0, NOW)).await;
    let (second, kept) = f.profile("u1", "a1", nobody(), received(1, NOW)).await;
    assert_eq!((&second, kept.created), (&first, false));
    assert_eq!((f.standing(&first.account).await, rows(&f).await), (good(1, 2, NOW), [1, 1, 1]));
    // A key of the same scope replaces the login. The login's account is deleted with all its tokens.
    let base_url = Some("https://git".into());
    let save = SaveProfileKey { provider: provider("forgejo"), base_url, ..key("u1", "a1", "sk-1") };
    f.heard();
    let third = f.store.save_profile_key(save).await.unwrap();
    assert_eq!((&third.id, third.created_at), (&first.id, NOW));
    assert_eq!((secrets(&f, "u1", "a1").await, rows(&f).await), (vec!["sk-1".to_owned()], [1, 1, 0]));
    let user = "u1".parse().unwrap();
    let expected =
        [Change::Profiles(user), Change::Account(first.account), Change::Account(third.account.clone())];
    assert_eq!(f.heard(), expected);
    // A login replaces a key in the same way.
    let (fourth, kept) = f.profile("u1", "a1", nobody(), received(2, NOW)).await;
    assert_eq!((&fourth.id, kept.created, rows(&f).await), (&first.id, true, [1, 1, 1]));
}

/// Each user has a separate list; it is empty for a user without credentials.
async fn users_see_only_their_own_profiles(f: Fixture) {
    f.store.save_profile_key(key("u1", "a1", "sk-1")).await.unwrap();
    f.store.save_profile_key(key("u2", "a1", "sk-2")).await.unwrap();
    f.profile("u2", "a2", person("1"), received(0, NOW)).await;
    for (user, agent, expected) in [
        ("u1", "a1", vec!["sk-1"]),
        ("u2", "a1", vec!["sk-2"]),
        ("u2", "a2", vec!["access-0"]),
        ("u1", "a2", vec![]),
        ("u3", "a1", vec![]),
    ] {
        assert_eq!(secrets(&f, user, agent).await, expected, "{user} {agent}");
    }
    let filtered = async |user: Option<&str>, agent: Option<&str>| {
        let filter = ProfileFilter {
            user: user.map(|user| user.parse().unwrap()),
            agent: agent.map(|agent| agent.parse().unwrap()),
        };
        let list = f.store.profiles(filter).await.unwrap().profiles;
        list.iter().map(|profile| format!("{}/{}", profile.user, profile.agent)).collect::<Vec<_>>()
    };
    assert_eq!(filtered(None, None).await, ["u1/a1", "u2/a1", "u2/a2"]);
    assert_eq!(filtered(Some("u2"), None).await, ["u2/a1", "u2/a2"]);
    assert_eq!(filtered(None, Some("a1")).await, ["u1/a1", "u2/a1"]);
    assert_eq!(filtered(Some("u2"), Some("a1")).await, ["u2/a1"]);
    let openai = provider("openai");
    let of = f
        .store
        .profile_credentials(&"u2".parse().unwrap(), &"a2".parse().unwrap(), Some(&openai))
        .await
        .unwrap();
    assert!(of.is_empty());
}

/// The row and the secrets are deleted and counted.
async fn profile_deletion_removes_its_secrets(f: Fixture) {
    let key = f.store.save_profile_key(key("u1", "a1", "sk-1")).await.unwrap();
    let (login, _) = f.profile("u1", "a1", person("1"), received(0, NOW)).await;
    f.heard();
    let deleted = f.store.delete_profile(&login.id, NOW).await.unwrap();
    let expected =
        DeletedProfiles { profiles: 1, accounts: vec![login.account.clone()], secrets: 2, leftovers: vec![] };
    assert_eq!(deleted, expected);
    assert_eq!(f.heard(), [Change::Profiles("u1".parse().unwrap()), Change::Account(login.account)]);
    assert_eq!(rows(&f).await, [1, 1, 0]);
    let deleted = f.store.delete_profile(&key.id, NOW).await.unwrap();
    assert_eq!(
        deleted,
        DeletedProfiles { profiles: 1, accounts: vec![key.account], secrets: 1, leftovers: vec![] }
    );
    assert_eq!(rows(&f).await, [0, 0, 0]);
    let gone = f.store.delete_profile(&key.id, NOW).await;
    assert_eq!(refusal(gone), ("not found", format!("no profile {}", key.id)));
}

/// Every user's profiles for the agent are deleted; an agent of the same id has none of them.
async fn agent_deletion_removes_every_users_profiles(f: Fixture) {
    f.store.save_profile_key(key("u1", "a1", "sk-1")).await.unwrap();
    f.profile("u2", "a1", person("1"), received(0, NOW)).await;
    let (shared, _) = f.profile("u3", "a1", person("3"), received(0, NOW)).await;
    let (other, _) = f.profile("u3", "a2", person("3"), received(1, NOW)).await;
    assert_eq!(shared.account, other.account);
    f.heard();
    let deleted = f.store.delete_agent(&"a1".parse().unwrap(), NOW).await.unwrap();
    assert_eq!((deleted.profiles, deleted.accounts.len(), deleted.secrets), (3, 2, 3));
    let mut expected: Vec<_> = ["u1", "u2", "u3"].map(|user| Change::Profiles(user.parse().unwrap())).into();
    let heard = f.heard();
    assert_eq!(heard[..3], expected[..]);
    expected.extend(heard[3..].iter().cloned());
    assert_eq!((heard.len(), rows(&f).await), (5, [1, 1, 1]));
    for user in ["u1", "u2", "u3"] {
        assert_eq!(secrets(&f, user, "a1").await, Vec::<String>::new());
    }
    // The account that another agent also uses stays.
    assert_eq!(secrets(&f, "u3", "a2").await, ["access-1"]);
    assert_eq!(f.store.delete_agent(&"a1".parse().unwrap(), NOW).await.unwrap(), DeletedProfiles::default());
}

/// A user is deleted with every profile and every parked login.
async fn user_deletion_removes_profiles_and_parked_logins(f: Fixture) {
    f.store.save_profile_key(key("u1", "a1", "sk-1")).await.unwrap();
    f.profile("u1", "a1", person("1"), received(0, NOW)).await;
    f.profile("u1", "a2", person("1"), received(1, NOW)).await;
    f.store.save_profile_key(key("u2", "a1", "sk-2")).await.unwrap();
    let pending = crate::grants::login("git", "p", received(2, NOW));
    f.store.park(pending, parked(Some("u1"))).await.unwrap();
    let operators = crate::grants::login("git", "o", received(3, NOW));
    f.store.park(operators, parked(None)).await.unwrap();
    let deleted = f.store.delete_user(&"u1".parse().unwrap(), NOW).await.unwrap();
    assert_eq!((deleted.profiles, deleted.accounts.len(), deleted.secrets), (3, 3, 5));
    assert_eq!((rows(&f).await, secrets(&f, "u2", "a1").await), ([1, 2, 1], vec!["sk-2".to_owned()]));
}

/// Special characters in ids of other programs do not match other users.
async fn ids_match_literally_when_they_hold_special_characters(f: Fixture) {
    let users = ["a", "a:b", "a/b", "%", "a%", "_", "a\\", "A", " a"];
    for user in users {
        for agent in users {
            f.store.save_profile_key(key(user, agent, &format!("sk-{user}|{agent}"))).await.unwrap();
        }
    }
    for user in users {
        for agent in users {
            assert_eq!(secrets(&f, user, agent).await, [format!("sk-{user}|{agent}")]);
        }
    }
    for agent in ["%", "_", "a"] {
        assert_eq!(f.store.delete_agent(&agent.parse().unwrap(), NOW).await.unwrap().profiles, 9, "{agent}");
    }
    assert_eq!(f.store.delete_user(&"a%".parse().unwrap(), NOW).await.unwrap().profiles, 6);
    assert_eq!(rows(&f).await, [48, 48, 0]);
}

/// Concurrent writers in two processes lose nothing and leave one profile per scope.
async fn concurrent_writers_lose_no_profile(f: Fixture) {
    let other = f.place.open(keyring("one")).await.unwrap();
    let mut tasks = JoinSet::new();
    for writer in 0..25 {
        let store = if writer % 2 == 0 { f.store.clone() } else { other.clone() };
        tasks.spawn(async move {
            let save = key("u1", &format!("a{}", writer % 5), &format!("sk-{}", writer % 5));
            store.save_profile_key(save).await.unwrap();
        });
    }
    tasks.join_all().await;
    for agent in 0..5 {
        assert_eq!(secrets(&f, "u1", &format!("a{agent}")).await, [format!("sk-{agent}")]);
    }
    assert_eq!(rows(&f).await, [5, 5, 0]);
    other.close().await;
}

/// A row that cannot be read is reported, hides no other, and is left unchanged by the next write.
async fn corrupt_row_is_reported_and_kept(f: Fixture) {
    let bad = f.store.save_profile_key(key("u1", "a1", "sk-bad")).await.unwrap();
    let email = Some("a@x".into());
    f.store.save_profile_key(SaveProfileKey { email, ..key("u1", "a1", "sk-good") }).await.unwrap();
    f.place.execute(&format!("UPDATE accounts SET status = 'odd' WHERE id = '{}'", bad.account)).await;
    let list = f.store.profiles(ProfileFilter::default()).await.unwrap();
    assert_eq!(list.profiles.len(), 1);
    let corrupt: Vec<_> = list.corrupt.iter().map(|row| (row.id.as_str(), row.reason.as_str())).collect();
    assert_eq!(corrupt, [(bad.id.as_str(), "unknown status")]);
    assert_eq!(refusal(f.store.profile(&bad.id).await).0, "corrupt");
    assert_eq!(secrets(&f, "u1", "a1").await, ["sk-good"]);
    f.store.save_profile_key(key("u1", "a2", "sk-2")).await.unwrap();
    assert_eq!(f.place.texts("SELECT status FROM accounts WHERE status = 'odd'").await, ["odd"]);
    // The owner of the row can replace it or delete it.
    f.store.save_profile_key(key("u1", "a1", "sk-new")).await.unwrap();
    assert_eq!(secrets(&f, "u1", "a1").await, ["sk-new", "sk-good"]);
    f.place.execute(&format!("UPDATE accounts SET status = 'odd' WHERE id = '{}'", bad.account)).await;
    assert_eq!(f.store.delete_profile(&bad.id, NOW).await.unwrap().profiles, 1);
}

/// A box that was copied to another row, or to another column of its own row, does not open.
async fn sealed_secret_opens_only_in_its_own_row_and_column(f: Fixture) {
    let (one, _) = f.profile("u1", "a1", person("1"), received(0, NOW)).await;
    let (two, _) = f.profile("u1", "a1", person("2"), received(1, NOW)).await;
    let swap = |column: &str, from: &str, source: &str| {
        format!(
            "CREATE TABLE old AS SELECT * FROM account_tokens;
             UPDATE account_tokens SET {column} = (SELECT {from} FROM old WHERE account_id = '{source}')
             WHERE account_id = '{}';
             DROP TABLE old",
            one.account
        )
    };
    f.place.execute(&swap("sealed_access", "sealed_access", two.account.as_str())).await;
    let broken = refusal(f.store.tokens(&one.account, NOW).await);
    assert_eq!(broken, ("secret", "the secret was sealed for another row or column".to_owned()));
    // A new login makes the account usable again.
    f.profile("u1", "a1", person("1"), received(2, NOW)).await;
    f.place.execute(&swap("sealed_refresh", "sealed_access", one.account.as_str())).await;
    let stored = f.store.tokens(&one.account, NOW).await.unwrap();
    assert_eq!((texts(&stored)[1].as_deref(), stored.unreadable), (None, true));
    assert_eq!((stored.life(NOW, 0), stored.life(NOW + HOUR, 0)), (Life::Live, Life::Dead));
}

/// Several accounts of one provider coexist, and one of them is the primary.
async fn accounts_of_one_scope_coexist_with_one_primary(f: Fixture) {
    f.profile("u1", "a1", person("1"), received(1, NOW)).await;
    f.profile("u1", "a1", person("2"), received(2, NOW)).await;
    let last = identity_store::CommitProfile { make_primary: false, ..of_user("u1", "a1", person("3")) };
    f.store.commit_profile(crate::grants::login("git", "f", received(3, NOW)), last.clone()).await.unwrap();
    assert_eq!(secrets(&f, "u1", "a1").await, ["access-2", "access-1", "access-3"]);
    // A login that does not ask for the first position leaves the order unchanged.
    let again = identity_store::CommitProfile { make_primary: false, ..of_user("u1", "a1", person("2")) };
    f.store.commit_profile(crate::grants::login("git", "f", received(4, NOW)), again).await.unwrap();
    assert_eq!(secrets(&f, "u1", "a1").await, ["access-4", "access-1", "access-3"]);
    let front = identity_store::CommitProfile { make_primary: true, ..last };
    f.store.commit_profile(crate::grants::login("git", "f", received(5, NOW)), front).await.unwrap();
    assert_eq!(secrets(&f, "u1", "a1").await, ["access-5", "access-4", "access-1"]);
    let primary: Vec<_> = list(&f).await.iter().map(|profile| profile.primary).collect();
    assert_eq!(primary, [true, false, false]);
}

/// One user's login of one person at one authority is one grant, wherever it is used.
async fn grant_is_stored_once_per_user_person_and_authority(f: Fixture) {
    let (one, _) = f.profile("u1", "a1", person("1"), received(1, NOW)).await;
    let (two, kept) = f.profile("u1", "a2", person("1"), received(2, NOW)).await;
    assert_eq!((&one.account, kept.created), (&two.account, false));
    assert_eq!(secrets(&f, "u1", "a1").await, ["access-2"]);
    // The login of another user is a separate grant, and so is one at another authority.
    let (three, _) = f.profile("u2", "a1", person("1"), received(3, NOW)).await;
    let elsewhere = crate::grants::login("eu", "f", received(4, NOW));
    let (four, _) = f.store.commit_profile(elsewhere, of_user("u1", "a1", person("1"))).await.unwrap();
    assert_eq!(rows(&f).await, [4, 3, 3]);
    assert!(three.account != one.account && four.account != one.account);
    // A change of status is announced to all users of the account.
    f.heard();
    assert!(f.store.refuse_tokens(&one.account, 2, NOW).await.unwrap());
    assert_eq!(f.heard(), [Change::Profiles("u1".parse().unwrap()), Change::Account(one.account)]);
}

async fn profile_order_changes_only_when_each_profile_is_named_once(f: Fixture) {
    let mut ids = Vec::new();
    for number in 1..=3 {
        ids.push(f.profile("u1", "a1", person(&number.to_string()), received(number, NOW)).await.0.id);
    }
    let (user, agent, forge) = ("u1".parse().unwrap(), "a1".parse().unwrap(), provider("forgejo"));
    f.heard();
    let order = [ids[1].clone(), ids[2].clone(), ids[0].clone()];
    let wish = ProfileOrder { user: &user, agent: &agent, provider: &forge, profiles: &order };
    f.store.reorder_profiles(wish, NOW).await.unwrap();
    assert_eq!(list(&f).await.into_iter().map(|profile| profile.id).collect::<Vec<_>>(), order);
    assert_eq!(f.heard(), [Change::Profiles(user.clone())]);
    let stranger = ProfileId::generate();
    for bad in [
        vec![],
        ids[..2].to_vec(),
        vec![ids[0].clone(), ids[0].clone(), ids[1].clone()],
        [ids.clone(), vec![stranger]].concat(),
    ] {
        let refused = f.store.reorder_profiles(ProfileOrder { profiles: &bad, ..wish }, NOW).await;
        let expected = "profiles forgejo: the order does not name each of them once";
        assert_eq!(refusal(refused), ("conflict", expected.to_owned()));
    }
    assert_eq!(f.heard(), []);
}

/// A secret that cannot be opened is reported with its profile, and the others are returned.
async fn broken_secret_is_reported_and_hides_no_other(f: Fixture) {
    let (tokens, _) = f.profile("u1", "a1", person("1"), received(1, NOW)).await;
    f.profile("u1", "a1", person("2"), ReceivedTokens { refresh: None, ..received(2, NOW) }).await;
    let key = f.store.save_profile_key(key("u1", "a1", "sk-1")).await.unwrap();
    f.place.execute(&format!("DELETE FROM account_tokens WHERE account_id = '{}'", tokens.account)).await;
    f.place.execute(&format!("UPDATE accounts SET sealed_secret = NULL WHERE id = '{}'", key.account)).await;
    let found = candidates(&f, "u1", "a1").await;
    let said: Vec<_> = found
        .iter()
        .map(|candidate| match &candidate.credential {
            Credential::Broken(error) => format!("{} {error:?}", candidate.life(NOW, 0)),
            _ => format!("{} {}", candidate.life(NOW, 0), candidate.secret().unwrap_or("none")),
        })
        .collect();
    assert_eq!(said, ["live access-2", "broken Absent", "broken Absent"]);
}

/// A planted secret appears in no file, no log of the store and no text.
async fn planted_secret_appears_in_no_file_row_or_text(f: Fixture) {
    let planted = |name: &str| format!("planted-{name}-7f3a");
    let tokens = ReceivedTokens {
        access: planted("access").into(),
        refresh: Some(planted("refresh").into()),
        id: Some(planted("id").into()),
        ..received(0, NOW)
    };
    let login = crate::grants::login("git", "f", tokens);
    assert!(!format!("{login:?}").contains("planted"));
    let (profile, kept) = f.store.commit_profile(login, of_user("u1", "a1", person("1"))).await.unwrap();
    f.store.save_profile_key(key("u1", "a1", &planted("key"))).await.unwrap();
    let lease = f.lease(&kept.account, NOW).await;
    let texts = format!("{lease:?} {profile:?} {kept:?} {:?}", candidates(&f, "u1", "a1").await);
    assert!(!texts.contains("planted"), "{texts}");
    let failed = crate::grants::permanent(identity_store::RefreshReason::InvalidGrant);
    f.store.fail_refresh(&lease, failed, NOW).await.unwrap();
    for table in ["account_tokens", "accounts", "user_profiles", "audit_log"] {
        let all = match f.place.kind {
            DatabaseKind::Postgres => {
                f.place.texts(&format!("SELECT row_to_json(t)::text FROM {table} AS t")).await
            }
            DatabaseKind::Sqlite => Vec::new(),
        };
        assert!(!all.join(" ").contains("planted"), "{table}");
    }
    if f.place.kind == DatabaseKind::Sqlite {
        for entry in std::fs::read_dir(f.place.directory()).unwrap() {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            assert!(!bytes.windows(7).any(|window| window == b"planted"));
        }
    }
}

/// No row belongs to an agent alone, only to a user's use of one. So nothing has to be cleaned when a file declares an
/// agent.
async fn agent_has_no_rows_without_a_user(f: Fixture) {
    let (agents, owned) = match f.place.kind {
        DatabaseKind::Sqlite => (
            "SELECT t.name || '.' || c.name FROM sqlite_schema t, pragma_table_info(t.name) c
             WHERE t.type = 'table' AND c.name LIKE '%agent%' ORDER BY 1",
            "SELECT name FROM pragma_table_info('user_profiles') WHERE name = 'user_id' AND \"notnull\" = 1",
        ),
        DatabaseKind::Postgres => (
            "SELECT (table_name || '.' || column_name)::text FROM information_schema.columns
             WHERE table_schema = current_schema() AND column_name LIKE '%agent%' ORDER BY 1",
            "SELECT column_name::text FROM information_schema.columns WHERE table_schema = current_schema()
             AND table_name = 'user_profiles' AND column_name = 'user_id' AND is_nullable = 'NO'",
        ),
    };
    // The agent of a login session is that of its user.
    assert_eq!(f.place.texts(agents).await, ["login_sessions.target_agent", "user_profiles.agent_id"]);
    assert_eq!(f.place.texts(owned).await, ["user_id"]);
}
