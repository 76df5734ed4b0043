use identity_store::keeping::Keeping;
use identity_store::{
    Account, AccountKind, Change, DestinationBundle, Evidence, LoginCredential, LoginSession, PersonRule,
    SaveLogin, SavedCredential, SecretRef, SessionEnd, SessionEnding, SessionId, SessionState, Status,
    StatusReport,
};
use secrecy::{ExposeSecret as _, SecretString};

use crate::adopt::own;
use crate::harness::{
    Fixture, NOW, api_key, bundle_id, login, new_session, new_target, on_both, provider, refusal,
};

on_both![
    login_makes_bundle_account_and_binding,
    new_bundles_get_unique_names,
    login_renews_the_account_when_the_person_is_the_same,
    login_of_another_person_changes_nothing_until_confirmed,
    session_ends_when_its_login_is_saved,
    login_is_refused_when_its_session_has_ended,
    directory_stays_adopted_until_a_login_moves_it,
    keys_and_logins_do_not_overwrite_each_other,
    api_key_is_sealed_and_replaced_in_place,
    token_login_makes_an_account_separate_from_the_directory_login,
    refused_input_changes_nothing,
];

async fn login_makes_bundle_account_and_binding(f: Fixture) {
    let saved = f.store.save_login(login(new_target("b1", None), "a@x")).await.unwrap();
    assert_eq!((&saved.bundle, saved.created_bundle), (&bundle_id("b1"), true));
    let bundle = f.store.bundle(&saved.bundle).await.unwrap();
    assert_eq!((bundle.name.as_str(), bundle.bindings.len()), ("Codex (a@x)", 1));
    assert_eq!(bundle.bindings[0].account, saved.account);
    assert_eq!(
        f.heard(),
        [Change::Bundles, Change::Bindings(saved.bundle.clone()), Change::Account(saved.account.clone())]
    );
    let actions: Vec<_> =
        f.store.audit_log(2).await.unwrap().into_iter().map(|e| (e.actor, e.action, e.subject)).collect();
    let own = |action: &str, subject: String| ("srvd".to_owned(), action.to_owned(), subject);
    assert_eq!(
        actions,
        [own("login.save", format!("b1 codex {}", saved.account)), own("bundle.create", "b1".into())]
    );
}

async fn new_bundles_get_unique_names(f: Fixture) {
    let mut names = Vec::new();
    for (id, email) in [("b1", "a@x"), ("b2", "A@X"), ("b3", "a@x"), ("b4", ""), ("b5", "")] {
        let saved = f.store.save_login(login(new_target(id, None), email)).await.unwrap();
        names.push(f.store.bundle(&saved.bundle).await.unwrap().name);
    }
    assert_eq!(names, ["Codex (a@x)", "Codex (A@X) 2", "Codex (a@x) 3", "Codex", "Codex 2"]);
    let saved = f.store.save_login(login(new_target("b6", Some("Mine")), "a@x")).await.unwrap();
    assert_eq!(f.store.bundle(&saved.bundle).await.unwrap().name, "Mine");
    let by_subject = SaveLogin { subject: Some("octocat".into()), ..login(new_target("b8", None), "") };
    let saved = f.store.save_login(by_subject).await.unwrap();
    let account = f.store.account(&saved.account).await.unwrap();
    let bundle = f.store.bundle(&saved.bundle).await.unwrap();
    assert_eq!([bundle.name, account.name], ["Codex (octocat)", "Codex (octocat)"].map(str::to_owned));

    let before = f.state().await;
    f.heard();
    assert_eq!(
        refusal(f.store.save_login(login(new_target("b7", Some("mine")), "a@x")).await),
        ("conflict", "bundle name mine: another bundle has it".to_owned())
    );
    assert_eq!(
        refusal(f.store.save_login(login(new_target("b1", None), "a@x")).await),
        ("conflict", "bundle b1: it exists already".to_owned())
    );
    assert_eq!(
        refusal(f.store.save_login(login(DestinationBundle::Existing(bundle_id("gone")), "a@x")).await),
        ("not found", "no bundle gone".to_owned())
    );
    assert_eq!((f.state().await, f.heard()), (before, vec![]));
}

async fn login_renews_the_account_when_the_person_is_the_same(f: Fixture) {
    f.bundle("One").await;
    f.bundle("Two").await;
    let first = f.login("one", "a@x").await;
    f.store.bind(&bundle_id("two"), &first.id, NOW).await.unwrap();
    let edit = identity_store::AccountEdit { name: Some("Mine".into()), display_name: None };
    f.store.update_account(&first.id, edit, NOW).await.unwrap();
    let expired = StatusReport {
        status: Status::Expired,
        reason: Some("old".into()),
        evidence: Evidence::File,
        checked_at: Some(NOW),
        expires_at: Some(NOW),
        login_deadline_at: None,
    };
    f.store.set_status(&first.id, expired, NOW).await.unwrap();
    f.heard();

    // The person is the same: the address differs only in case, and the subject becomes known.
    let again = SaveLogin {
        subject: Some("user-1".into()),
        base_url: Some("https://ghe.example".into()),
        credential: LoginCredential::Directory("/data/identities/one/codex".into()),
        expires_at: Some(NOW + 9000),
        login_deadline_at: Some(NOW + 99_000),
        evidence: Evidence::Check,
        now: NOW + 5,
        ..login(DestinationBundle::Existing(bundle_id("one")), "A@x")
    };
    let saved = f.store.save_login(again).await.unwrap();
    let expected = SavedCredential {
        bundle: bundle_id("one"),
        account: first.id.clone(),
        created_bundle: false,
        replaced: None,
    };
    assert_eq!(saved, expected);
    let expected = Account {
        name: "Mine".into(),
        email: Some("A@x".into()),
        subject: Some("user-1".into()),
        base_url: Some("https://ghe.example".into()),
        secret_ref: SecretRef::ConfigDir { dir: "/data/identities/one/codex".into(), adopted: false },
        evidence: Evidence::Check,
        checked_at: Some(NOW + 5),
        expires_at: Some(NOW + 9000),
        login_deadline_at: Some(NOW + 99_000),
        keeping: Keeping::default(),
        bound_to: vec![bundle_id("one"), bundle_id("two")],
        updated_at: NOW + 5,
        ..first.clone()
    };
    assert_eq!(f.store.account(&first.id).await.unwrap(), expected);
    let heard = f.heard();
    assert_eq!(
        heard,
        [
            Change::Bindings(bundle_id("one")),
            Change::Bindings(bundle_id("two")),
            Change::Account(first.id.clone())
        ]
    );
    assert_eq!(f.store.counts().await.unwrap().accounts, 1);

    // A login with fewer fields leaves the known values.
    f.store.save_login(login(DestinationBundle::Existing(bundle_id("one")), "")).await.unwrap();
    let kept = f.store.account(&first.id).await.unwrap();
    assert_eq!((kept.email.as_deref(), kept.subject.as_deref()), (Some("A@x"), Some("user-1")));
}

async fn login_of_another_person_changes_nothing_until_confirmed(f: Fixture) {
    f.bundle("One").await;
    let first = f.login("one", "a@x").await;
    let session = new_session(Some("one"));
    f.store.insert_session(session.clone()).await.unwrap();
    f.heard();
    let before = f.state().await;
    let stranger = SaveLogin {
        session: Some(session.id.clone()),
        ..login(DestinationBundle::Existing(bundle_id("one")), "b@x")
    };
    assert_eq!(
        refusal(f.store.save_login(stranger.clone()).await),
        ("identity mismatch", format!("account {} belongs to a@x, the login to b@x", first.id))
    );
    assert_eq!((f.state().await, f.heard()), (before, vec![]));
    assert_eq!(f.store.session(&session.id).await.unwrap().state, SessionState::Pending);

    let saved = f.store.save_login(SaveLogin { person: PersonRule::Anyone, ..stranger }).await.unwrap();
    let after = f.store.account(&saved.account).await.unwrap();
    assert_eq!((after.id, after.email.as_deref()), (first.id, Some("b@x")));
}

async fn session_ends_when_its_login_is_saved(f: Fixture) {
    let session = NewTarget::insert(&f).await;
    f.heard();
    let save = SaveLogin {
        session: Some(session.clone()),
        now: NOW + 7,
        ..login(new_target("b1", Some("Mine")), "a@x")
    };
    let saved = f.store.save_login(save.clone()).await.unwrap();
    let row = f.store.session(&session).await.unwrap();
    let expected = LoginSession {
        state: SessionState::Success,
        revision: 1,
        bundle: Some(saved.bundle.clone()),
        account: Some(saved.account.clone()),
        email: Some("a@x".into()),
        updated_at: NOW + 7,
        ended_at: Some(NOW + 7),
        ..row.clone()
    };
    assert_eq!(row, expected);
    assert_eq!(
        f.heard(),
        [
            Change::Bundles,
            Change::Bindings(saved.bundle),
            Change::Account(saved.account),
            Change::Session(session.clone())
        ]
    );

    // The same request is sent again after its sender crashed. Nothing is saved twice.
    let before = f.state().await;
    let again = SaveLogin { target: new_target("b2", None), ..save };
    assert_eq!(
        refusal(f.store.save_login(again).await),
        ("conflict", format!("session {session}: it has ended"))
    );
    assert_eq!((f.state().await, f.heard()), (before, vec![]));
}

async fn login_is_refused_when_its_session_has_ended(f: Fixture) {
    for state in [SessionEnding::Cancelled, SessionEnding::Failed, SessionEnding::Expired] {
        let session = NewTarget::insert(&f).await;
        let end = SessionEnd {
            state,
            error: None,
            error_kind: None,
            hint: None,
            exit_code: None,
            revision: 1,
            now: NOW,
        };
        f.store.finish_session(&session, end).await.unwrap();
        f.heard();
        let (before, row) = (f.state().await, f.store.session(&session).await.unwrap());
        let save = SaveLogin { session: Some(session.clone()), ..login(new_target("b1", None), "a@x") };
        assert_eq!(
            refusal(f.store.save_login(save).await),
            ("conflict", format!("session {session}: it has ended"))
        );
        assert_eq!((f.state().await, f.heard()), (before, vec![]));
        assert_eq!(f.store.session(&session).await.unwrap(), row);
    }
    let unknown = SessionId::generate();
    let save = SaveLogin { session: Some(unknown.clone()), ..login(new_target("b1", None), "a@x") };
    assert_eq!(refusal(f.store.save_login(save).await), ("not found", format!("no session {unknown}")));
}

async fn directory_stays_adopted_until_a_login_moves_it(f: Fixture) {
    let adopted = f.store.adopt_logins(vec![own("codex", "/home/u/.codex", "a@x")], NOW).await.unwrap();
    let id = adopted.outcomes.into_iter().next().unwrap().unwrap().account;
    let reference = async || f.store.account(&id).await.unwrap().secret_ref;
    let adopted = SecretRef::ConfigDir { dir: "/home/u/.codex".into(), adopted: true };
    assert_eq!(reference().await, adopted);
    let renewed = SaveLogin {
        credential: LoginCredential::Directory("/home/u/.codex".into()),
        ..login(DestinationBundle::Existing(bundle_id("default")), "a@x")
    };
    f.store.save_login(renewed.clone()).await.unwrap();
    assert_eq!(reference().await, adopted);
    f.store
        .save_login(SaveLogin { credential: LoginCredential::Directory("/data/own".into()), ..renewed })
        .await
        .unwrap();
    assert_eq!(reference().await, SecretRef::ConfigDir { dir: "/data/own".into(), adopted: false });
}

async fn keys_and_logins_do_not_overwrite_each_other(f: Fixture) {
    let one = f.bundle("One").await.id;
    let login_account = f.login("one", "a@x").await.id;
    let mut save = api_key(DestinationBundle::Existing(one.clone()), "sk-0123456789abcdef");
    save.provider = provider("codex");
    let key_account = f.store.save_api_key(save).await.unwrap().account;
    assert_ne!(key_account, login_account);
    let bound = f.store.bound_account(&one, &provider("codex")).await.unwrap().unwrap();
    assert_eq!((bound.id, bound.kind), (key_account.clone(), AccountKind::ApiKey));
    let kept = f.store.account(&login_account).await.unwrap();
    assert_eq!((kept.kind, kept.bound_to), (AccountKind::OAuth, vec![]));

    let third = f.login("one", "a@x").await;
    assert_eq!((third.kind, third.bound_to), (AccountKind::OAuth, vec![one]));
    assert_eq!(f.store.open_secret(&key_account).await.unwrap().expose_secret(), "sk-0123456789abcdef");
}

async fn api_key_is_sealed_and_replaced_in_place(f: Fixture) {
    let mut save = api_key(new_target("b1", None), "sk-0123456789abcdef");
    save.base_url = Some("https://gateway.example".into());
    let saved = f.store.save_api_key(save).await.unwrap();
    assert_eq!(f.store.bundle(&saved.bundle).await.unwrap().name, "OpenAI");
    let account = f.store.account(&saved.account).await.unwrap();
    assert_eq!(
        (account.name.as_str(), account.kind, &account.secret_ref, account.masked_tail.as_deref()),
        ("Work key", AccountKind::ApiKey, &SecretRef::Sealed, Some("cdef"))
    );
    assert_eq!(account.base_url.as_deref(), Some("https://gateway.example"));
    assert_eq!(f.store.open_secret(&account.id).await.unwrap().expose_secret(), "sk-0123456789abcdef");
    f.heard();

    let mut again = api_key(DestinationBundle::Existing(saved.bundle.clone()), "short");
    again.account_name = "Other key".into();
    again.status = Status::Unknown;
    again.now = NOW + 3;
    let replaced = f.store.save_api_key(again).await.unwrap();
    assert_eq!(replaced, SavedCredential { created_bundle: false, ..saved });
    let after = f.store.account(&account.id).await.unwrap();
    let expected = Account {
        name: "Other key".into(),
        base_url: None,
        masked_tail: None,
        status: Status::Unknown,
        updated_at: NOW + 3,
        ..account.clone()
    };
    assert_eq!(after, expected);
    assert_eq!(f.store.open_secret(&account.id).await.unwrap().expose_secret(), "short");
    assert_eq!(f.heard(), [Change::Bindings(replaced.bundle), Change::Account(account.id)]);
}

async fn token_login_makes_an_account_separate_from_the_directory_login(f: Fixture) {
    let one = f.bundle("One").await.id;
    let directory = f.login("one", "a@x").await.id;
    let token = |text: &str| SaveLogin {
        credential: LoginCredential::Token(SecretString::from(text)),
        evidence: Evidence::Login,
        ..login(DestinationBundle::Existing(bundle_id("one")), "")
    };
    let bound = async || f.store.bound_account(&one, &provider("codex")).await.unwrap().unwrap();
    let first = f.store.save_login(token("tok-first")).await.unwrap().account;
    assert_ne!(first, directory);
    let account = bound().await;
    assert_eq!(
        (&account.id, account.kind, &account.secret_ref, account.masked_tail.as_deref(), account.evidence),
        (&first, AccountKind::OAuth, &SecretRef::Sealed, None, Evidence::Login)
    );
    assert!(!format!("{:?}", token("tok-first")).contains("tok-first"));
    // The next token renews the account. Its row then opens with the second token.
    assert_eq!(f.store.save_login(token("tok-second")).await.unwrap().account, first);
    assert_eq!(f.store.open_secret(&first).await.unwrap().expose_secret(), "tok-second");
    // A login in the directory becomes another account again. The other two are unchanged.
    let third = f.login("one", "a@x").await;
    assert_ne!((&third.id, &third.id), (&first, &directory));
    assert_eq!(bound().await.id, third.id);
    assert_eq!(f.store.open_secret(&first).await.unwrap().expose_secret(), "tok-second");
    assert_eq!(f.store.account(&first).await.unwrap().bound_to, vec![]);
    let empty = f.store.save_login(token("")).await;
    assert_eq!(refusal(empty), ("invalid name", "invalid token: it is empty".to_owned()));
}

async fn refused_input_changes_nothing(f: Fixture) {
    let before = f.state().await;
    let target = || new_target("b1", None);
    for (save, text) in [
        (
            SaveLogin { credential: LoginCredential::Directory("relative".into()), ..login(target(), "") },
            "invalid config_dir: it is not absolute",
        ),
        (
            SaveLogin { provider_name: " ".into(), ..login(target(), "") },
            "invalid provider_name: it is empty",
        ),
        (login(target(), "a\u{1b}[2J@x"), "invalid email: it has a control character"),
        (login(target(), "a\0@x"), "invalid email: it has a control character"),
        (login(new_target("b1", Some("")), ""), "invalid bundle_name: it is empty"),
    ] {
        assert_eq!(refusal(f.store.save_login(save).await), ("invalid name", text.to_owned()));
    }
    for (key, name, text) in [
        ("", "n", "invalid api_key: it is empty"),
        ("sk\n1", "n", "invalid api_key: it has a control character"),
        ("sk-1", "", "invalid account_name: it is empty"),
    ] {
        let mut save = api_key(target(), key);
        save.account_name = name.into();
        assert_eq!(refusal(f.store.save_api_key(save).await), ("invalid name", text.to_owned()));
    }
    assert_eq!((f.state().await, f.heard()), (before, vec![]));

    // A long address still produces a name that fits.
    let long = format!("{}@x", "a".repeat(300));
    let saved = f.store.save_login(login(target(), &long)).await.unwrap();
    assert_eq!(f.store.bundle(&saved.bundle).await.unwrap().name.chars().count(), 100);
}

/// A session whose login creates a bundle.
struct NewTarget;

impl NewTarget {
    async fn insert(f: &Fixture) -> SessionId {
        let session = new_session(None);
        f.store.insert_session(session.clone()).await.unwrap();
        session.id
    }
}
