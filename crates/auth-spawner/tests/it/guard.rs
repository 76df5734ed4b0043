//! Tests of the guard: which processes it ends and which it spares, and what a login reports to it.

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use auth_spawner::{Guard, GuardCommand, State, end_leftover, start_ticks, watch_over};

use crate::harness::{LOGIN, Options, PATIENCE, TERMINALS, World};

static SESSIONS: AtomicU32 = AtomicU32::new(0);

/// A process group that stands in for a CLI. It is killed when dropped.
struct Cli {
    session: String,
    child: Child,
}

impl Cli {
    /// Runs a script that prints `up` once it is ready.
    fn start(script: &str) -> Self {
        let number = SESSIONS.fetch_add(1, Ordering::Relaxed);
        Self::of(format!("guarded-{}-{number}", std::process::id()), script)
    }

    fn of(session: String, script: &str) -> Self {
        let mut child = Command::new("/bin/sh")
            .args(["-c", script])
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("SRVD_SESSION", &session)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "up\n");
        Self { session, child }
    }

    fn group(&self) -> String {
        let pid = self.child.id();
        format!("group {} {pid} {}\n", self.session, start_ticks(pid).unwrap())
    }

    fn lives(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Cli {
    fn drop(&mut self) {
        let group = rustix::process::Pid::from_raw(self.child.id().cast_signed()).unwrap();
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        let _ = self.child.wait();
    }
}

const STUBBORN: &str = "trap '' TERM HUP INT; echo up; while :; do sleep 1; done";

fn watch(text: &str) {
    let begun = Instant::now();
    watch_over(text.as_bytes());
    assert!(begun.elapsed() < PATIENCE);
}

#[test]
fn guard_ends_the_process_group_and_marked_processes() {
    let (mut known, mut marked) = (Cli::start(STUBBORN), Cli::start(STUBBORN));
    watch(&format!("begin {}\n{}begin {}\n", known.session, known.group(), marked.session));
    assert!(!known.lives() && !marked.lives());
}

#[test]
fn guard_gives_the_process_group_time_to_exit() {
    let home = tempfile::tempdir().unwrap();
    let note = home.path().join("ended");
    let script =
        format!("trap 'echo yes > {}; exit 0' TERM; echo up; while :; do sleep 0.01; done", note.display());
    let mut cli = Cli::start(&script);
    watch(&format!("begin {}\n{}", cli.session, cli.group()));
    assert!(!cli.lives());
    assert_eq!(std::fs::read_to_string(note).unwrap(), "yes\n");
}

#[test]
fn guard_ends_an_unmarked_child_outside_the_group_while_its_parent_lives() {
    let home = tempfile::tempdir().unwrap();
    let note = home.path().join("pid");
    let script = format!(
        "env -i setsid /bin/sh -c 'trap \"\" TERM; echo $$ > {}; echo up; while :; do sleep 1; done' & wait",
        note.display()
    );
    let mut cli = Cli::start(&script);
    let stray: u32 = std::fs::read_to_string(note).unwrap().trim().parse().unwrap();
    let start = start_ticks(stray);
    assert!(start.is_some());
    watch(&format!("begin {}\n{}", cli.session, cli.group()));
    assert!(!cli.lives());
    let deadline = Instant::now() + PATIENCE;
    while start_ticks(stray) == start && !is_zombie(stray) {
        assert!(Instant::now() < deadline, "the stray process is still running");
        std::thread::yield_now();
    }
}

/// Returns whether the process is a zombie. If a machine's first process does not reap children, dead processes stay
/// listed.
fn is_zombie(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z "))
}

#[test]
fn guard_spares_processes_not_proven_to_belong_to_the_daemon() {
    let (mut ended, mut other) = (Cli::start(STUBBORN), Cli::start(STUBBORN));
    let mut stranger = Cli::start(STUBBORN);
    let text = format!(
        "begin {one}\n{group}end {one}\nbegin absent\ngroup absent {two} 1\ngroup absent 1 1\ngroup absent 0 -\n\
         begin unproven\ngroup unproven {three} -\n\u{0}\u{1b}garbage {}\nbegin {}",
        "x".repeat(100_000),
        other.session,
        one = ended.session,
        group = ended.group(),
        two = other.child.id(),
        three = stranger.child.id(),
    );
    watch(&text);
    assert!(ended.lives() && other.lives() && stranger.lives());
}

#[test]
fn session_mark_covers_only_sessions_below_it() {
    let above = format!("covering-{}", std::process::id());
    let (mut below, mut beside) =
        (Cli::of(format!("{above}.1"), STUBBORN), Cli::of(format!("{above}1"), STUBBORN));
    assert!(end_leftover(&above, None));
    assert!(!below.lives() && beside.lives());
    assert!(!end_leftover(&format!("{above}1.2"), None));
    assert!(beside.lives());
}

fn command(program: &str, args: &[&str]) -> GuardCommand {
    let args = args.iter().map(Into::into).collect();
    GuardCommand { program: program.into(), name: "guard".into(), args }
}

fn login() -> String {
    format!("when status\nexit 0\nwhen *\ndir-var FAKE_HOME\nwrite auth.json {LOGIN}\nout Logged in\n")
}

#[tokio::test]
async fn login_reports_its_process_to_the_guard_from_begin_to_end() {
    for terminal in TERMINALS {
        let home = tempfile::tempdir().unwrap();
        let received = home.path().join("received");
        let script = format!("exec cat > {}", received.display());
        let guard = Guard::start(command("/bin/sh", &["-c", &script]), &[]).await;
        let world = World::with(Options { guard: Some(guard.clone()), ..Options::on(terminal) }, &login());
        world.start("login").unwrap();
        let end = world.end().await;
        assert_eq!(end.state, State::Success, "{end:?}");
        world.spawner.shutdown(PATIENCE).await;
        guard.close(PATIENCE).await;
        let (pid, start) = (end.pid.unwrap(), end.process_start.unwrap());
        let expected = format!("begin {0}\ngroup {0} {pid} {start}\nend {0}\n", world.id);
        assert_eq!(std::fs::read_to_string(received).unwrap(), expected, "on {terminal:?}");
    }
}

#[tokio::test]
async fn login_succeeds_when_the_guard_cannot_be_started_or_exits() {
    for program in ["/nonexistent", "/bin/false"] {
        let guard = Guard::start(command(program, &[]), &[]).await;
        let world = World::with(Options { guard: Some(guard), ..Options::on(TERMINALS[0]) }, &login());
        world.start("login").unwrap();
        assert_eq!(world.end().await.state, State::Success, "{program}");
    }
}
