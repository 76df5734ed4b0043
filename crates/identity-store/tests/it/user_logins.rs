//! Logins that users make for agents: their profiles, accounts, sessions and directories.

use identity_store::{
    Authority, Change, Consumer, DeletedProfiles, Evidence, History, Leftover, LoginCredential, LoginOwner,
    NewSession, Owner, PersonRule, ProfileFilter, ReplacedPerson, SaveUserLogin, SavedProfile, SecretRef,
    SessionState, Status, StoreError, UnsavedLogin,
};

use crate::grants::{endpoint, of_user, person, received};
use crate::harness::{Fixture, NOW, new_session, on_both, provider};

on_both![
    login_becomes_a_profile_and_ends_its_session,
    renewal_keeps_its_profile_and_refuses_another_person,
    renewed_profile_takes_the_place_of_another_of_the_same_person,
    login_and_tokens_of_one_person_replace_each_other,
    deletion_records_the_directories_of_logins,
    status_change_is_announced_to_the_users,
];

const DIR: &str = "/data/identities/.agents/u1/a1/codex";

fn owner(user: &str, agent: &str) -> LoginOwner {
    LoginOwner { user: user.parse().unwrap(), agent: agent.parse().unwrap() }
}

fn login(owner: LoginOwner, dir: &str, subject: &str) -> SaveUserLogin {
    SaveUserLogin {
        session: None,
        owner,
        provider: provider("codex"),
        provider_name: "Codex".into(),
        credential: LoginCredential::Directory(dir.into()),
        email: None,
        subject: Some(subject.into()),
        base_url: None,
        expires_at: None,
        login_deadline_at: None,
        evidence: Evidence::File,
        person: PersonRule::NotAnother,
        now: NOW,
    }
}

fn directory(dir: &str) -> SecretRef {
    SecretRef::ConfigDir { dir: dir.into(), adopted: false }
}

async fn login_becomes_a_profile_and_ends_its_session(f: Fixture) {
    let session = NewSession { owner: Some(owner("u1", "a1")), new_bundle: false, ..new_session(None) };
    f.store.insert_session(session.clone()).await.unwrap();
    let live = f.store.session(&session.id).await.unwrap();
    assert_eq!((live.owner, live.target_bundle), (Some(owner("u1", "a1")), None));
    f.heard();
    let save = SaveUserLogin { session: Some(session.id.clone()), ..login(owner("u1", "a1"), DIR, "1") };
    let saved = f.store.save_user_login(save).await.unwrap();
    let account = f.store.account(&saved.account).await.unwrap();
    assert_eq!(
        (account.owner, account.secret_ref, account.status),
        (Owner::User, directory(DIR), Status::Valid)
    );
    let profile = f.store.profile(&saved.profile).await.unwrap();
    assert_eq!((profile.user.as_str(), profile.agent.as_str(), profile.primary), ("u1", "a1", true));
    let ended = f.store.session(&session.id).await.unwrap();
    assert_eq!(
        (ended.state, ended.profile, ended.account, ended.bundle),
        (SessionState::Success, Some(saved.profile), Some(saved.account.clone()), None)
    );
    let changes = f.heard();
    for change in [
        Change::Profiles("u1".parse().unwrap()),
        Change::Account(saved.account),
        Change::Session(session.id.clone()),
    ] {
        assert!(changes.contains(&change), "{changes:?}");
    }
    let again = SaveUserLogin { session: Some(session.id), ..login(owner("u1", "a1"), DIR, "1") };
    assert!(matches!(f.store.save_user_login(again).await, Err(StoreError::Conflict { .. })));
    assert!(f.store.user_login(&owner("u1", "a1"), &provider("codex"), true).await.unwrap().is_some());
    assert_eq!(f.store.user_login(&owner("u1", "a2"), &provider("codex"), true).await.unwrap(), None);
    assert_eq!(f.store.user_login(&owner("u1", "a1"), &provider("codex"), false).await.unwrap(), None);
}

async fn renewal_keeps_its_profile_and_refuses_another_person(f: Fixture) {
    let first = f.store.save_user_login(login(owner("u1", "a1"), DIR, "1")).await.unwrap();
    assert_eq!(f.store.save_user_login(login(owner("u1", "a1"), DIR, "1")).await.unwrap(), first);
    let stranger = login(owner("u1", "a1"), DIR, "2");
    let refused = f.store.save_user_login(stranger.clone()).await;
    assert!(matches!(refused, Err(StoreError::IdentityMismatch { .. })), "{refused:?}");
    let forced = SaveUserLogin { person: PersonRule::Anyone, ..stranger };
    let replaced = Some(ReplacedPerson { former: "1".to_owned(), present: "2".to_owned() });
    assert_eq!(f.store.save_user_login(forced).await.unwrap(), SavedProfile { replaced, ..first.clone() });
    let profile = f.store.profile(&first.profile).await.unwrap();
    assert_eq!(profile.identity.subject.as_deref(), Some("2"));
    // A token that is only shown stands beside the login in the directory.
    let token = SaveUserLogin {
        credential: LoginCredential::Token("planted-token".into()),
        subject: None,
        ..login(owner("u1", "a1"), DIR, "1")
    };
    let shown = f.store.save_user_login(token.clone()).await.unwrap();
    assert_ne!(shown.profile, first.profile);
    assert_eq!(f.store.save_user_login(token).await.unwrap(), shown);
}

async fn renewed_profile_takes_the_place_of_another_of_the_same_person(f: Fixture) {
    let first = f.store.save_user_login(login(owner("u1", "a1"), DIR, "1")).await.unwrap();
    let other = "/data/identities/.agents/u1/other/codex";
    let second = f.store.save_user_login(login(owner("u1", "a1"), other, "2")).await.unwrap();
    let forced = SaveUserLogin { person: PersonRule::Anyone, ..login(owner("u1", "a1"), DIR, "2") };
    let replaced = Some(ReplacedPerson { former: "1".to_owned(), present: "2".to_owned() });
    assert_eq!(f.store.save_user_login(forced).await.unwrap(), SavedProfile { replaced, ..first.clone() });
    let all = f.store.profiles(ProfileFilter::default()).await.unwrap();
    let ids: Vec<_> = all.profiles.iter().map(|profile| &profile.id).collect();
    assert_eq!((ids, all.corrupt.len()), (vec![&first.profile], 0));
    assert!(matches!(f.store.account(&second.account).await, Err(StoreError::NotFound { .. })));
    let dirs: Vec<_> = f.store.leftovers().await.unwrap().into_iter().map(|left| left.dir).collect();
    assert_eq!(dirs, [std::path::PathBuf::from(other)]);
}

async fn login_and_tokens_of_one_person_replace_each_other(f: Fixture) {
    let tokens = |at| {
        let authority = Authority { provider: provider("codex"), base_url: None, client_id: None };
        let flow = "flow".parse().unwrap();
        UnsavedLogin::new(authority, endpoint(), flow, received(0, at), Consumer::Access).unwrap()
    };
    let (first, kept) = f.store.commit_profile(tokens(NOW), of_user("u1", "a1", person("1"))).await.unwrap();
    let saved = f.store.save_user_login(login(owner("u1", "a1"), DIR, "1")).await.unwrap();
    assert_eq!(saved.profile, first.id);
    assert!(matches!(f.store.account(&kept.account).await, Err(StoreError::NotFound { .. })));
    let (again, _) = f.store.commit_profile(tokens(NOW), of_user("u1", "a1", person("1"))).await.unwrap();
    assert_eq!(again.id, first.id);
    let left = Leftover { provider: provider("codex"), dir: DIR.into(), history: History::Keep };
    assert_eq!(f.store.leftovers().await.unwrap(), [left]);
}

async fn deletion_records_the_directories_of_logins(f: Fixture) {
    let place = |user: &str, agent: &str| format!("/data/identities/.agents/{user}/{agent}/codex");
    let save = async |user: &str, agent: &str| {
        let login = login(owner(user, agent), &place(user, agent), "1");
        f.store.save_user_login(login).await.unwrap()
    };
    let one = save("u1", "a1").await;
    for (user, agent) in [("u1", "a2"), ("u2", "a2"), ("u2", "a3")] {
        save(user, agent).await;
    }
    let left = |gone: DeletedProfiles| -> Vec<(String, History)> {
        gone.leftovers.into_iter().map(|left| (left.dir.display().to_string(), left.history)).collect()
    };
    let gone = f.store.delete_profile(&one.profile, NOW).await.unwrap();
    assert_eq!(left(gone), [(place("u1", "a1"), History::Keep)]);
    let mut gone = left(f.store.delete_agent(&"a2".parse().unwrap(), NOW).await.unwrap());
    gone.sort_by(|one, other| one.0.cmp(&other.0));
    assert_eq!(gone, ["u1", "u2"].map(|user| (place(user, "a2"), History::Remove)));
    let gone = f.store.delete_user(&"u2".parse().unwrap(), NOW).await.unwrap();
    assert_eq!(left(gone), [(place("u2", "a3"), History::Remove)]);
    assert_eq!(f.store.leftovers().await.unwrap().len(), 4);
    // The user's own CLI is not concerned.
    assert_eq!(f.store.declined_providers().await.unwrap(), []);
    let again = save("u3", "a1").await;
    f.heard();
    let deleted = f.store.delete_account(&again.account, NOW).await.unwrap();
    assert_eq!(deleted.leftover.unwrap().dir.display().to_string(), place("u3", "a1"));
    assert!(f.heard().contains(&Change::Profiles("u3".parse().unwrap())));
    assert_eq!(f.store.declined_providers().await.unwrap(), []);
}

async fn status_change_is_announced_to_the_users(f: Fixture) {
    let saved = f.store.save_user_login(login(owner("u1", "a1"), DIR, "1")).await.unwrap();
    let account = f.store.account(&saved.account).await.unwrap();
    let report = |status| identity_store::StatusReport {
        status,
        reason: None,
        evidence: Evidence::File,
        checked_at: Some(NOW),
        expires_at: None,
        login_deadline_at: None,
    };
    f.heard();
    f.store.set_status(&account.id, report(Status::Valid), NOW).await.unwrap();
    assert_eq!(f.heard(), []);
    f.store.set_status(&account.id, report(Status::NeedsReauth), NOW).await.unwrap();
    assert!(f.heard().contains(&Change::Profiles("u1".parse().unwrap())));
}
