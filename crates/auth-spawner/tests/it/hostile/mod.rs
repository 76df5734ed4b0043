//! Misbehaving CLIs. Each scenario must end in one specific way, on a pipe and on a terminal, without using much
//! memory, leaving a process behind, or keeping its slot.

mod cancel;
mod floods;
mod lies;
mod processes;
mod stdin;
mod text;

use std::process::Command;
use std::time::Duration;

use auth_spawner::{FailureKind, Snapshot, SpawnLimits, State, Terminal};
use futures_util::future::join_all;
use tokio::time::{MissedTickBehavior, interval};

use crate::harness::{NOW, Options, PATIENCE, TERMINALS, World, resident};

/// The start of a script: the check command succeeds, and the lines that follow are the login.
const YES: &str = "when status\nexit 0\nwhen *\n";
const URL: &str =
    "https://login.example.test/authorize?redirect_uri=https%3A%2F%2Flogin.example.test%2Fcb&state=S1";
/// The maximum growth of a test process's memory, in KiB. Most scenarios produce several times as much output.
const MARGIN: u64 = 16 * 1024;

/// The expected end of a login.
type Ending = (State, Option<(FailureKind, Option<i32>)>);

const SUCCESS: Ending = (State::Success, None);
const CANCELLED: Ending = (State::Cancelled, Some((FailureKind::Cancelled, None)));
const EXPIRED: Ending = (State::Expired, Some((FailureKind::Expired, None)));
const NOT_AUTHENTICATED: Ending = (State::Failed, Some((FailureKind::NotAuthenticated, None)));

fn cli_exited(code: i32) -> Ending {
    (State::Failed, Some((FailureKind::CliExited, Some(code))))
}

/// A login that runs to its end without user input.
struct Course {
    name: &'static str,
    script: String,
    /// The content of the credential file before the login.
    before: Option<&'static str>,
    /// The time until the deadline, in milliseconds.
    deadline: i64,
    ending: Ending,
}

impl Course {
    fn new(name: &'static str, script: impl Into<String>, ending: Ending) -> Self {
        Self { name, script: format!("{YES}{}", script.into()), before: None, deadline: 600_000, ending }
    }

    fn begin(&self, terminal: Terminal) -> World {
        let world = World::new(terminal, &self.script);
        if let Some(before) = self.before {
            world.write_config("auth.json", before);
        }
        let mut request = world.request(&world.id, "login");
        request.expires_at = NOW + self.deadline;
        world.spawner.start(request).unwrap();
        world
    }
}

/// Runs every scenario on a pipe and on a terminal, all concurrently, and passes their results to `look`.
async fn run_all(courses: &[Course], look: impl Fn(&Course, &World, &Snapshot)) {
    let each = courses.iter().flat_map(|course| TERMINALS.map(|terminal| (course, terminal)));
    let runs = each.map(async |(course, terminal)| {
        let world = course.begin(terminal);
        let end = ends(&world, course.name, course.ending).await;
        look(course, &world, &end);
    });
    join_all(runs).await;
}

/// Asserts that the login ends as expected, that none of its processes is left, and that another login for its scope
/// can start.
async fn ends(world: &World, name: &str, ending: Ending) -> Snapshot {
    let end = world.until_within(PATIENCE * 4, name, |snapshot| snapshot.state.is_terminal()).await;
    let failure = end.failure.as_ref().map(|failure| (failure.kind, failure.exit_code));
    assert_eq!((end.state, failure), ending, "{name} on {:?}: {end:?}", world.terminal);
    let told = |snapshots: &[Snapshot]| {
        snapshots.iter().filter(|snapshot| snapshot.id == world.id && snapshot.state.is_terminal()).count()
    };
    let counts = (told(&world.ear.moves.lock().unwrap()), told(&world.ear.shown.lock().unwrap()));
    assert_eq!(counts, (1, 1), "{name} on {:?}", world.terminal);
    assert_eq!(world.ear.logins.lock().unwrap().len(), usize::from(ending == SUCCESS), "{name}");
    // A CLI may keep running for a moment after it has succeeded.
    world.spawner.settled(&world.provider, "login", "bundle-1").await;
    world.assert_no_process_left();
    world.assert_scope_is_free().await;
    end
}

/// Cancels the login and asserts that it ends as a result.
async fn cancelled(world: &World, name: &str) -> Snapshot {
    assert_eq!(world.spawner.cancel(&world.id).await, Ok(()), "{name} on {:?}", world.terminal);
    ends(world, name, CANCELLED).await
}

/// Returns whether this process runs only one test at a time, which measuring its memory requires. Otherwise, the
/// calling test is run in a separate process, and has passed when this function returns.
#[expect(clippy::disallowed_methods, reason = "the only way to tell this program that it is running alone")]
fn alone() -> bool {
    const ALONE: &str = "SRVD_TEST_ALONE";
    let thread = std::thread::current();
    let test = thread.name().unwrap();
    // The harness runs tests on the main thread if it runs them one after another.
    if test == "main" || std::env::var_os(ALONE).is_some() {
        return true;
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    let run = command.args(["--exact", test]).env(ALONE, "1").output().unwrap();
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(
        run.status.success() && said.contains("1 passed"),
        "{said}{}",
        String::from_utf8_lossy(&run.stderr)
    );
    false
}

/// Does the work, and asserts that the memory of this process does not grow meanwhile.
async fn within_memory<T>(work: impl Future<Output = T>) -> T {
    let before = resident();
    let mut look = interval(Duration::from_millis(20));
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut work = std::pin::pin!(work);
    loop {
        let result = tokio::select! {
            result = &mut work => Some(result),
            _ = look.tick() => None,
        };
        let grown = resident().saturating_sub(before);
        assert!(grown < MARGIN, "{grown} KiB more than before");
        if let Some(result) = result {
            return result;
        }
    }
}

/// Creates a home with unusual limits.
fn limited(terminal: Terminal, script: &str, change: impl FnOnce(&mut SpawnLimits)) -> World {
    let mut options = Options::on(terminal);
    change(&mut options.limits);
    World::with(options, script)
}
