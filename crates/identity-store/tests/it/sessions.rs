use identity_store::{
    Change, LoginSession, NewSession, SessionEnd, SessionEnding, SessionId, SessionState, SessionUpdate,
    Store,
};

use crate::harness::{Fixture, NOW, bundle_id, new_session, on_both, provider, refusal};

on_both![
    session_is_inserted_and_updated_only_by_valid_steps,
    session_refuses_changes_when_ended,
    session_fails_when_daemon_restarts_during_it,
    store_lists_recent_sessions_and_prunes_ended_ones,
];

fn update(state: SessionState, revision: u64) -> SessionUpdate {
    SessionUpdate { state, revision, pid: None, process_start: None, now: NOW + 1 }
}

fn end(state: SessionEnding, revision: u64, now: i64) -> SessionEnd {
    SessionEnd {
        state,
        error: Some("it went away".into()),
        error_kind: Some("cli_exited".into()),
        hint: Some("try again".into()),
        exit_code: Some(-9),
        revision,
        now,
    }
}

/// Returns the row of a session that has just been inserted.
fn fresh(new: &NewSession) -> LoginSession {
    LoginSession {
        id: new.id.clone(),
        provider: provider("codex"),
        recipe: "browser".into(),
        target_bundle: new.target_bundle.clone(),
        new_bundle: new.new_bundle,
        state: SessionState::Pending,
        revision: 0,
        pid: None,
        process_start: None,
        bundle: None,
        account: None,
        email: None,
        owner: None,
        profile: None,
        error: None,
        error_kind: None,
        hint: None,
        exit_code: None,
        started_at: new.started_at,
        expires_at: new.expires_at,
        updated_at: new.started_at,
        ended_at: None,
    }
}

async fn session_is_inserted_and_updated_only_by_valid_steps(f: Fixture) {
    let new = new_session(Some("one"));
    f.store.insert_session(new.clone()).await.unwrap();
    assert_eq!(f.store.session(&new.id).await.unwrap(), fresh(&new));
    assert_eq!(fresh(&new).target_bundle, Some(bundle_id("one")));
    assert_eq!(f.heard(), [Change::Session(new.id.clone())]);
    assert_eq!(
        refusal(f.store.insert_session(new.clone()).await),
        ("conflict", format!("session {}: it exists already", new.id))
    );

    let started = SessionUpdate {
        pid: Some(4711),
        process_start: Some("99".into()),
        ..update(SessionState::Pending, 1)
    };
    f.store.update_session(&new.id, started).await.unwrap();
    f.store.update_session(&new.id, update(SessionState::UrlAvailable, 2)).await.unwrap();
    let expected = LoginSession {
        state: SessionState::UrlAvailable,
        revision: 2,
        pid: Some(4711),
        process_start: Some("99".into()),
        updated_at: NOW + 1,
        ..fresh(&new)
    };
    assert_eq!(f.store.session(&new.id).await.unwrap(), expected);
    assert_eq!(f.heard(), [Change::Session(new.id.clone()), Change::Session(new.id.clone())]);

    // Updates that are late, for an unknown session or not a step are refused.
    assert_eq!(
        refusal(f.store.update_session(&new.id, update(SessionState::Confirming, 1)).await),
        ("conflict", format!("session {}: its revision is newer", new.id))
    );
    assert_eq!(
        refusal(f.store.update_session(&new.id, update(SessionState::Success, 3)).await),
        ("conflict", format!("session {}: this state ends it", new.id))
    );
    let unknown = SessionId::generate();
    let missing = ("not found", format!("no session {unknown}"));
    assert_eq!(refusal(f.store.update_session(&unknown, update(SessionState::Saving, 3)).await), missing);
    assert_eq!(refusal(f.store.finish_session(&unknown, end(SessionEnding::Failed, 3, NOW)).await), missing);
    assert_eq!(refusal(f.store.session(&unknown).await), missing);
    assert_eq!((f.store.session(&new.id).await.unwrap(), f.heard()), (expected, vec![]));
}

async fn session_refuses_changes_when_ended(f: Fixture) {
    for state in [SessionEnding::Failed, SessionEnding::Cancelled, SessionEnding::Expired] {
        let new = new_session(None);
        f.store.insert_session(new.clone()).await.unwrap();
        f.store.finish_session(&new.id, end(state, 5, NOW + 2)).await.unwrap();
        let row = f.store.session(&new.id).await.unwrap();
        let expected = LoginSession {
            state: state.as_str().parse().unwrap(),
            revision: 5,
            error: Some("it went away".into()),
            error_kind: Some("cli_exited".into()),
            hint: Some("try again".into()),
            exit_code: Some(-9),
            updated_at: NOW + 2,
            ended_at: Some(NOW + 2),
            ..fresh(&new)
        };
        assert_eq!(row, expected);
        f.heard();
        let refused = ("conflict", format!("session {}: it has ended", new.id));
        for other in [SessionEnding::Failed, SessionEnding::Cancelled, SessionEnding::Expired] {
            assert_eq!(refusal(f.store.finish_session(&new.id, end(other, 6, NOW + 3)).await), refused);
        }
        assert_eq!(refusal(f.store.update_session(&new.id, update(SessionState::Saving, 6)).await), refused);
        assert_eq!((f.store.session(&new.id).await.unwrap(), f.heard()), (expected, vec![]));
    }
}

async fn session_fails_when_daemon_restarts_during_it(f: Fixture) {
    let (live, done) = (new_session(Some("one")), new_session(None));
    f.store.insert_session(live.clone()).await.unwrap();
    f.store.insert_session(done.clone()).await.unwrap();
    f.store.finish_session(&done.id, end(SessionEnding::Failed, 1, NOW)).await.unwrap();
    let started = SessionUpdate {
        pid: Some(7),
        process_start: Some("x".into()),
        ..update(SessionState::UrlAvailable, 3)
    };
    f.store.update_session(&live.id, started).await.unwrap();
    let (was, ended) = (f.store.session(&live.id).await.unwrap(), f.store.session(&done.id).await.unwrap());
    assert_eq!(f.store.live_sessions().await.unwrap(), std::slice::from_ref(&was));
    assert_eq!(f.store.counts().await.unwrap().live_sessions, 1);
    f.heard();

    assert_eq!(f.store.fail_orphaned_sessions(NOW + 8).await.unwrap(), std::slice::from_ref(&was));
    assert_eq!(f.heard(), [Change::Session(live.id.clone())]);
    let expected = LoginSession {
        state: SessionState::Failed,
        revision: 4,
        error: Some("the daemon was restarted during this login".into()),
        error_kind: Some("daemon_restarted".into()),
        hint: Some("start the login again".into()),
        updated_at: NOW + 8,
        ended_at: Some(NOW + 8),
        ..was
    };
    assert_eq!(f.store.session(&live.id).await.unwrap(), expected);
    assert_eq!(f.store.session(&done.id).await.unwrap(), ended);
    assert_eq!(f.store.live_sessions().await.unwrap(), []);
    assert_eq!(f.store.fail_orphaned_sessions(NOW + 9).await.unwrap(), []);
    assert_eq!(f.heard(), []);
}

async fn store_lists_recent_sessions_and_prunes_ended_ones(f: Fixture) {
    let mut ids = Vec::new();
    for at in 0..5 {
        let new = NewSession { started_at: NOW + at, ..new_session(None) };
        f.store.insert_session(new.clone()).await.unwrap();
        if at > 0 {
            f.store.finish_session(&new.id, end(SessionEnding::Failed, 1, NOW + 10 + at)).await.unwrap();
        }
        ids.push(new.id);
    }
    let pick = |which: &[usize]| which.iter().map(|at| ids[*at].clone()).collect::<Vec<_>>();
    assert_eq!(recent(&f.store, 0, 100).await, pick(&[4, 3, 2, 1, 0]));
    assert_eq!(recent(&f.store, NOW + 13, 100).await, pick(&[4, 3, 0]));
    assert_eq!(recent(&f.store, 0, 2).await, pick(&[4, 3]));

    assert_eq!(f.store.prune_sessions(NOW + 12, 100).await.unwrap(), 1);
    assert_eq!(recent(&f.store, 0, 100).await, pick(&[4, 3, 2, 0]));
    assert_eq!(f.store.prune_sessions(0, 1).await.unwrap(), 2);
    assert_eq!(recent(&f.store, 0, 100).await, pick(&[4, 0]));
    assert_eq!(f.store.prune_sessions(i64::MAX, 0).await.unwrap(), 1);
    assert_eq!(recent(&f.store, 0, 100).await, pick(&[0]));
}

/// Returns the ids of the recent sessions.
async fn recent(store: &Store, since: i64, limit: u32) -> Vec<SessionId> {
    store.recent_sessions(since, limit).await.unwrap().into_iter().map(|session| session.id).collect()
}
