//! Cancellation at any point in the first milliseconds of a login.

use std::collections::HashMap;
use std::time::Duration;

use auth_spawner::{LoginRequest, NotLive, Snapshot, State};
use futures_util::future::join_all;
use tokio::sync::watch;

use super::limited;
use crate::harness::{LOGIN, NOW, PATIENCE, TERMINALS, World, marked};

const ROUNDS: usize = 500;
/// The number of concurrent logins, each in its own scope.
const WORKERS: usize = 16;
/// The shortest delay, in milliseconds, after which a login that exits on its own may end before the cancellation.
const TO_THE_END: u64 = 40;
/// The behaviour of a login, selected by its arguments. The first two end without being cancelled.
const WAYS: [&str; 5] = ["ends", "succeeds", "hangs", "stubborn", "tree"];
const SCRIPT: &str = "dir-var FAKE_HOME
when status
exit 0
when hangs
out https://login.example.test/authorize?state=S1
hang
when ends
exit 3
when succeeds
write auth.json {login}
out Logged in
when stubborn
ignore TERM
ignore HUP
outn Paste code >
hang
when tree
spawn-grandchild a session
spawn-grandchild b detach
hang
";

/// A deterministic pseudo-random sequence (`SplitMix64`).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut number = self.0;
        number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((number ^ (number >> 31)) % limit as u64).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn login_ends_exactly_once_when_cancelled_soon_after_the_start() {
    let script = SCRIPT.replace("{login}", LOGIN);
    let world = limited(TERMINALS[0], &script, |limits| limits.term_grace = Duration::from_millis(50));
    let mut numbers = Numbers(0x5eed);
    let mut plans: Vec<Vec<(usize, usize, u64)>> = vec![Vec::new(); WORKERS];
    for round in 0..ROUNDS {
        let wait = u64::try_from(numbers.below(51)).unwrap();
        plans[round % WORKERS].push((numbers.below(TERMINALS.len()), numbers.below(WAYS.len()), wait));
    }
    let workers = plans.iter().enumerate().map(|(number, plan)| worker(&world, number, plan));
    let ended: Vec<Snapshot> = join_all(workers).await.into_iter().flatten().collect();

    // A session's last event can arrive after callers have seen its end.
    world.spawner.shutdown(PATIENCE).await;
    assert_eq!(ended.len(), ROUNDS);
    let (moves, shown) = (tally(&world.ear.moves.lock().unwrap()), tally(&world.ear.shown.lock().unwrap()));
    for end in &ended {
        assert_eq!((moves.get(&end.id), shown.get(&end.id)), (Some(&1), Some(&1)), "{end:?}");
    }
    // Both outcomes of the race must occur, on a machine of any speed.
    let states = |state| ended.iter().filter(|end| end.state == state).count();
    assert!(states(State::Cancelled) > ROUNDS / 2, "{}", states(State::Cancelled));
    assert!(states(State::Cancelled) < ROUNDS, "some logins must end before their cancellation");
    assert_eq!(marked(|session| session.starts_with(&format!("{}-", world.id))), Vec::<u32>::new());
}

/// Counts how often the end of each session was reported.
fn tally(snapshots: &[Snapshot]) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    for snapshot in snapshots.iter().filter(|snapshot| snapshot.state.is_terminal()) {
        *counts.entry(snapshot.id.clone()).or_default() += 1;
    }
    counts
}

async fn over(receiver: &mut watch::Receiver<Snapshot>) -> Snapshot {
    let over = receiver.wait_for(|snapshot| snapshot.state.is_terminal());
    tokio::time::timeout(PATIENCE, over).await.unwrap().unwrap().clone()
}

/// Starts and cancels logins one after another in one scope.
async fn worker(world: &World, number: usize, plan: &[(usize, usize, u64)]) -> Vec<Snapshot> {
    let scope = format!("scope-{number}");
    let first = world.in_scope("", "login", &scope);
    let mut ended = Vec::new();
    for (round, (terminal, way, wait)) in plan.iter().enumerate() {
        let id = format!("{}-{number}-{round}", world.id);
        let request = LoginRequest {
            id: id.clone(),
            args: Some(vec![WAYS[*way].to_owned()]),
            terminal: Some(TERMINALS[*terminal]),
            expires_at: NOW + 60_000,
            ..first.clone()
        };
        // The previous login in this scope has released its slot.
        assert_eq!(world.spawner.start(request), Ok(()), "{id}");
        let mut receiver = world.spawner.watch(&id).unwrap();
        if *way < 2 && *wait >= TO_THE_END {
            over(&mut receiver).await;
        } else {
            tokio::time::sleep(Duration::from_millis(*wait)).await;
        }
        let answer = world.spawner.cancel(&id).await;
        let end = over(&mut receiver).await;
        let expected = if end.state == State::Cancelled { Ok(()) } else { Err(NotLive) };
        assert_eq!(answer, expected, "{end:?}");
        world.spawner.settled(&world.provider, "login", &scope).await;
        assert_eq!(
            marked(|session| session == id),
            Vec::<u32>::new(),
            "{} on {:?}",
            WAYS[*way],
            TERMINALS[*terminal]
        );
        ended.push(end);
    }
    ended
}
