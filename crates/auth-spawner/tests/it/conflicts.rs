//! Tests of conflicting logins, and of shutting down the spawner.

use std::net::TcpListener;

use auth_spawner::{FailureKind, ProcessIdentity, SpawnLimits, StartError, State, end_leftover, start_ticks};

use crate::harness::{Options, PATIENCE, TERMINALS, World};

#[tokio::test]
async fn login_is_rejected_while_one_runs_for_the_same_scope_and_provider() {
    for terminal in TERMINALS {
        let world = World::new(terminal, "out https://login.example.test/a\nhang\n");
        world.start("login").unwrap();
        let other = format!("{}-other", world.id);
        let again = world.spawner.start(world.request(&other, "login"));
        assert_eq!(again, Err(StartError::Running { session: world.id.clone() }));
        assert_eq!(world.start("login"), Err(StartError::DuplicateId));
        let elsewhere = world.request(&other, "login");
        let elsewhere = auth_spawner::LoginRequest { scope: "bundle-2".to_owned(), ..elsewhere };
        // A directory shared by two scopes allows only one login at a time.
        let shared = world.spawner.start(elsewhere.clone());
        assert_eq!(shared, Err(StartError::Running { session: world.id.clone() }));
        let elsewhere = world.in_scope(&other, "login", "bundle-2");
        world.spawner.start(elsewhere).unwrap();
        assert_eq!(world.spawner.snapshots().len(), 2);
        world.spawner.cancel(&world.id).await.unwrap();
        // A caller that has seen the end can start again immediately.
        let third = format!("{}-third", world.id);
        world.spawner.start(world.request(&third, "login")).unwrap();
        world.spawner.shutdown(PATIENCE).await;
        let states: Vec<State> = world.spawner.snapshots().iter().map(|snapshot| snapshot.state).collect();
        assert_eq!(states, [State::Cancelled; 3]);
        world.assert_no_process_left();
        let late = world.spawner.start(world.request("late", "login"));
        assert_eq!(late, Err(StartError::ShuttingDown));
    }
}

#[tokio::test]
async fn callback_port_is_reserved_until_its_login_ends() {
    for terminal in TERMINALS {
        let world = World::new(terminal, "hang\n");
        world.start("callback").unwrap();
        let other = world.in_scope(&format!("{}-other", world.id), "callback", "bundle-2");
        let leased = StartError::PortLeased {
            port: world.port,
            session: world.id.clone(),
            provider: "fake".to_owned(),
        };
        assert_eq!(world.spawner.start(other.clone()), Err(leased));
        world.spawner.cancel(&world.id).await.unwrap();
        world.spawner.start(other).unwrap();
        world.spawner.shutdown(PATIENCE).await;
    }
}

#[tokio::test]
async fn callback_port_reservation_applies_across_providers() {
    for terminal in TERMINALS {
        let world = World::new(terminal, "hang\n");
        let text = include_str!("../fixtures/fake.toml")
            .replace("providers.fake", "providers.other")
            .replace("Fake-CLI", "other-cli")
            .replace("{script}", world.home.path().join("script").to_str().unwrap())
            .replace("{port}", &world.port.to_string());
        let overlay = auth_spawner::Overlay { source: "other.toml".into(), text };
        let registry = auth_spawner::Registry::with_overlays(&[overlay]).unwrap();
        world.start("callback").unwrap();
        let other = auth_spawner::LoginRequest {
            provider: std::sync::Arc::clone(registry.provider("other").unwrap()),
            ..world.in_scope(&format!("{}-other", world.id), "callback", "bundle-2")
        };
        let leased = StartError::PortLeased {
            port: world.port,
            session: world.id.clone(),
            provider: "fake".to_owned(),
        };
        assert_eq!(world.spawner.start(other), Err(leased));
        world.spawner.shutdown(PATIENCE).await;
    }
}

#[tokio::test]
async fn login_fails_and_names_the_holder_when_its_callback_port_is_in_use() {
    for terminal in TERMINALS {
        let world = World::new(terminal, "touch up\nhang\n");
        let holder = TcpListener::bind(("127.0.0.1", world.port)).unwrap();
        let name = std::fs::read_to_string("/proc/self/comm").unwrap();
        world.start("callback").unwrap();
        let end = world.end().await;
        let failure = end.failure.unwrap();
        let expected =
            format!("port {} is in use by {} (pid {})", world.port, name.trim(), std::process::id());
        assert_eq!((failure.kind, failure.message), (FailureKind::PortInUse, expected));
        assert!(failure.advice.is_some());
        assert!(!world.home.path().join("up").exists(), "no process may have been started");
        drop(holder);
        let again = world.request(&format!("{}-again", world.id), "callback");
        world.spawner.start(again).unwrap();
        world.file("up").await;
        world.spawner.shutdown(PATIENCE).await;
    }
}

#[tokio::test]
async fn detached_process_is_killed_when_its_login_is_cancelled() {
    for terminal in TERMINALS {
        let world = World::new(terminal, "");
        let note = world.home.path().join("pid");
        let script = format!(
            "env -i setsid /bin/sh -c 'trap \"\" TERM HUP; echo $$ > {0}.new; mv {0}.new {0}; while :; do sleep 1; done' & wait",
            note.display()
        );
        let request = auth_spawner::LoginRequest {
            program: "/bin/sh".into(),
            args: Some(vec!["-c".to_owned(), script]),
            ..world.request(&world.id, "login")
        };
        world.spawner.start(request).unwrap();
        let stray: u32 = world.file("pid").await.trim().parse().unwrap();
        let start = start_ticks(stray);
        assert!(start.is_some());
        world.spawner.cancel(&world.id).await.unwrap();
        let dead = || {
            let shown = std::fs::read_to_string(format!("/proc/{stray}/stat"));
            start_ticks(stray) != start || shown.is_ok_and(|shown| shown.contains(") Z "))
        };
        let gone = async {
            while !dead() {
                tokio::task::yield_now().await;
            }
        };
        // The process that adopted the stray process reaps it at some later point.
        tokio::time::timeout(PATIENCE, gone).await.unwrap();
    }
}

#[tokio::test]
async fn spawner_enforces_capacity_and_rejects_unknown_recipes() {
    let options = Options::on(TERMINALS[0]);
    let limits = SpawnLimits { live: 1, queue: 0, ended_keep: 1, ..options.limits.clone() };
    let world = World::with(Options { limits, ..options }, "hang\n");
    assert_eq!(world.start("nonsense"), Err(StartError::UnknownRecipe));
    world.start("").unwrap();
    assert_eq!(world.spawner.snapshot(&world.id).unwrap().recipe, "login");
    let other = world.in_scope("other", "login", "bundle-2");
    assert_eq!(world.spawner.start(other.clone()), Err(StartError::Capacity));
    world.spawner.cancel(&world.id).await.unwrap();
    world.spawner.start(other).unwrap();
    world.spawner.cancel("other").await.unwrap();
    // Only the most recently ended session is retained here.
    assert_eq!(world.spawner.snapshot(&world.id), None);
    assert_eq!(world.spawner.snapshot("other").unwrap().state, State::Cancelled);
}

#[tokio::test]
async fn leftover_process_is_killed_only_when_its_start_time_matches() {
    for terminal in TERMINALS {
        let world = World::new(terminal, "ignore TERM\ntouch up\nhang\n");
        world.start("login").unwrap();
        world.file("up").await;
        let shown = world.until("a process", |snapshot| snapshot.pid.is_some()).await;
        let (pid, start) = (shown.pid.unwrap(), shown.process_start.unwrap());
        assert_eq!(start_ticks(pid).as_ref(), Some(&start));
        assert!(!end_leftover("auth-another", Some(ProcessIdentity { pid, start: "1" })));
        assert!(end_leftover("auth-another", Some(ProcessIdentity { pid, start: &start })));
        assert_eq!(world.end().await.state, State::Failed);
        assert!(!end_leftover("auth-another", Some(ProcessIdentity { pid, start: &start })));
    }
}

#[tokio::test]
async fn leftover_process_without_recorded_pid_is_found_by_its_session_mark() {
    for terminal in TERMINALS {
        let world = World::new(terminal, "ignore TERM\ntouch up\nhang\n");
        world.start("login").unwrap();
        world.file("up").await;
        assert!(end_leftover(&world.id, None));
        assert_eq!(world.end().await.state, State::Failed);
        assert!(!end_leftover(&world.id, None));
    }
}
