//! Tests with more logins than may run at the same time.

use std::sync::Arc;
use std::time::Duration;

use auth_spawner::{
    ChildEnv, ConfirmedLogin, FailureKind, LoginRequest, SaveError, Saved, Sink, Snapshot, SpawnLimits,
    Spawner, SpawnerConfig, StartError, State, SubmitError, Terminal,
};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::harness::{NOW, Options, PATIENCE, TERMINALS, World};

fn world(terminal: Terminal, live: usize, queue: usize) -> World {
    let options = Options::on(terminal);
    let limits = SpawnLimits { live, queue, ..options.limits.clone() };
    World::with(Options { limits, ..options }, "hang\n")
}

/// Creates a login in a separate scope that logs its start and its end, and runs until the file `go` exists.
fn noted(world: &World, number: usize) -> LoginRequest {
    let id = format!("{}-{number}", world.id);
    let home = world.home.path().display();
    let script = format!(
        "echo + $SRVD_SESSION >> {home}/log; while ! [ -e {home}/go ]; do sleep 0.01; done; echo - >> {home}/log"
    );
    LoginRequest {
        program: "/bin/sh".into(),
        version: None,
        args: Some(vec!["-c".to_owned(), script]),
        check_args: None,
        ..world.in_scope(&id, "login", &format!("scope-{number}"))
    }
}

fn log(world: &World) -> String {
    std::fs::read_to_string(world.home.path().join("log")).unwrap_or_default()
}

async fn ended(spawner: &Spawner, id: &str) -> Snapshot {
    let mut receiver = spawner.watch(id).unwrap();
    let waited = tokio::time::timeout(PATIENCE, receiver.wait_for(|shown| shown.state.is_terminal())).await;
    waited.unwrap_or_else(|_| panic!("{id} does not end")).unwrap().clone()
}

async fn has_process(spawner: &Spawner, id: &str) {
    let mut receiver = spawner.watch(id).unwrap();
    let waited = tokio::time::timeout(PATIENCE, receiver.wait_for(|shown| shown.pid.is_some())).await;
    waited.unwrap_or_else(|_| panic!("{id} does not start")).unwrap();
}

#[tokio::test]
async fn queue_runs_two_of_five_logins_at_a_time() {
    for terminal in TERMINALS {
        let world = world(terminal, 2, 3);
        let requests: Vec<LoginRequest> = (0..5).map(|number| noted(&world, number)).collect();
        for request in &requests {
            world.spawner.start(request.clone()).unwrap();
        }
        for request in &requests[..2] {
            has_process(&world.spawner, &request.id).await;
        }
        for request in &requests[2..] {
            let waiting = world.spawner.snapshot(&request.id).unwrap();
            assert_eq!((waiting.state, waiting.pid), (State::Pending, None));
        }
        world.touch("go");
        for request in &requests {
            let end = ended(&world.spawner, &request.id).await;
            assert_eq!(end.failure.unwrap().kind, FailureKind::NotAuthenticated, "{terminal:?}");
        }
        let mut running = 0;
        let log = log(&world);
        for line in log.lines() {
            running += if line.starts_with('+') { 1 } else { -1 };
            assert!((0..=2).contains(&running), "{log}");
        }
        assert_eq!((running, log.lines().count()), (0, 10), "{log}");
    }
}

#[tokio::test]
async fn queue_serves_logins_in_order_of_arrival() {
    for terminal in TERMINALS {
        let world = world(terminal, 1, 20);
        world.touch("go");
        let requests: Vec<LoginRequest> = (0..4).map(|number| noted(&world, number)).collect();
        for request in &requests {
            world.spawner.start(request.clone()).unwrap();
        }
        ended(&world.spawner, &requests[3].id).await;
        let order: Vec<String> = requests.iter().map(|request| format!("+ {}\n-\n", request.id)).collect();
        assert_eq!(log(&world), order.concat(), "{terminal:?}");
    }
}

#[tokio::test]
async fn queued_login_can_be_cancelled_and_can_expire() {
    for terminal in TERMINALS {
        let world = world(terminal, 1, 2);
        let (first, second) = (noted(&world, 1), noted(&world, 2));
        let late = LoginRequest { expires_at: NOW + 50, ..noted(&world, 3) };
        let (fourth, fifth) = (noted(&world, 4), noted(&world, 5));
        world.spawner.start(first.clone()).unwrap();
        world.spawner.start(second.clone()).unwrap();
        world.spawner.start(late.clone()).unwrap();
        assert_eq!(world.spawner.start(fourth.clone()), Err(StartError::Capacity));

        let pasted = world.spawner.submit(&second.id, "code#state".into()).await;
        assert_eq!(pasted, Err(SubmitError::NotExpected));
        world.spawner.cancel(&second.id).await.unwrap();
        let cancelled = world.spawner.snapshot(&second.id).unwrap();
        assert_eq!((cancelled.state, cancelled.pid), (State::Cancelled, None));
        let expired = ended(&world.spawner, &late.id).await;
        assert_eq!((expired.state, expired.pid), (State::Expired, None));
        assert_eq!(expired.failure.unwrap().kind, FailureKind::Expired);

        // Their slots and their scopes are free again.
        let again = LoginRequest { id: fourth.id.clone(), ..second };
        world.spawner.start(again).unwrap();
        world.spawner.start(fifth).unwrap();
        world.touch("go");
        ended(&world.spawner, &first.id).await;
        ended(&world.spawner, &fourth.id).await;
        assert!(!log(&world).contains(&late.id), "a queued login must not have a process");
    }
}

#[tokio::test]
async fn shutdown_cancels_running_and_queued_logins() {
    for terminal in TERMINALS {
        let world = world(terminal, 1, 5);
        let requests: Vec<LoginRequest> = (0..4).map(|number| noted(&world, number)).collect();
        for request in &requests {
            world.spawner.start(request.clone()).unwrap();
        }
        has_process(&world.spawner, &requests[0].id).await;
        world.spawner.shutdown(PATIENCE).await;
        let states: Vec<State> = world.spawner.snapshots().iter().map(|shown| shown.state).collect();
        assert_eq!(states, [State::Cancelled; 4]);
        let begun = log(&world).lines().filter(|line| line.starts_with('+')).count();
        assert!(begun <= 1, "no queued login may start during the shutdown:\n{}", log(&world));
        world.assert_no_process_left();
    }
}

/// A sink that panics in the middle of a login.
struct Faulty;

impl Sink for Faulty {
    fn moved(&self, snapshot: Snapshot) -> BoxFuture<'static, ()> {
        assert!(snapshot.auth_url.is_none() || snapshot.state.is_terminal(), "on purpose");
        std::future::ready(()).boxed()
    }

    fn shown(&self, _: &Snapshot) {}

    fn save(&self, _: ConfirmedLogin) -> BoxFuture<'static, Result<Saved, SaveError>> {
        unreachable!("no login is saved here")
    }
}

#[tokio::test]
async fn internal_error_frees_the_slot_and_leaves_no_process() {
    for terminal in TERMINALS {
        let script = "spawn-grandchild child detach\nout https://login.example.test/a\nhang\n";
        let world = World::new(terminal, script);
        let config = SpawnerConfig {
            environment: [("PATH", "/usr/bin:/bin")].into_iter().collect::<ChildEnv>(),
            browser: None,
            shared: world.home.path().join("shared"),
            limits: SpawnLimits { live: 1, term_grace: Duration::from_millis(100), ..SpawnLimits::default() },
            clock: Arc::new(|| NOW),
            guard: None,
            network_advice: None,
        };
        let spawner = Spawner::new(config, Arc::new(Faulty));
        spawner.start(world.request(&world.id, "login")).unwrap();
        let second = noted(&world, 2);
        spawner.start(second.clone()).unwrap();
        let end = ended(&spawner, &world.id).await;
        assert_eq!(end.failure.unwrap().kind, FailureKind::Internal);
        world.assert_no_process_left();
        has_process(&spawner, &second.id).await;
        spawner.shutdown(PATIENCE).await;
    }
}
