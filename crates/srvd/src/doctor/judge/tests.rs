use std::path::PathBuf;

use auth_spawner::{HeldPort, PortHolder, Version};
use identity_store::maintenance::{RowCheck, RowSetFault, SetFault};
use identity_store::{Inspection, KeyFit};

use super::*;
use crate::doctor::facts::{
    AdoptionState, Daemon, Database, EndpointState, Identities, Key, KeyProblem, LoadedKey, LockState,
    LoginState, Node, NodeKind, OwnLogin, PathState, Ports, Program, Role, Service, System, Unowned,
    Variable,
};

/// Returns the facts of a machine without problems.
fn healthy() -> Facts {
    Facts {
        system: System::Linux,
        uid: 1000,
        registry: None,
        checked_policy: false,
        key: Key {
            in_variable: false,
            file: "/c/encryption.key".into(),
            file_seen: PathState::Is(node(NodeKind::File, 0o600)),
            loaded: Ok(LoadedKey {
                id: "0011223344556677".to_owned(),
                places: vec!["/c/encryption.key".to_owned()],
            }),
        },
        places: Vec::new(),
        database: Database::Is("sqlite:/d/srvd.db".to_owned(), Box::new(inspection(Some(2), KeyFit::Fits))),
        space: Some(1 << 40),
        identities: Identities::default(),
        daemon: running(daemon::VERSION),
        ports: Ports { fixed: vec![(1455, vec!["codex".to_owned()])], held: Vec::new() },
        programs: Vec::new(),
        skipped: Vec::new(),
        variables: Vec::new(),
        own_logins: Vec::new(),
        shadows: Vec::new(),
        asked: Vec::new(),
        strays: Vec::new(),
        service: Service { managed: true, unit: Some("/u".into()), system_wide: false, lingers: Some(true) },
        unused_network: Vec::new(),
        unseen: Vec::new(),
    }
}

fn node(kind: NodeKind, mode: u32) -> Node {
    Node { kind, uid: 1000, mode }
}

fn inspection(schema: Option<i64>, key: KeyFit) -> Inspection {
    Inspection { schema, known: 2, key, contents: None, rows: RowCheck::default() }
}

fn running(version: &str) -> Daemon {
    Daemon {
        endpoint: EndpointState::Of { pid: 7, alive: true },
        lock: LockState::Held(Some(7)),
        answer: DaemonAnswer::Runs { version: version.to_owned(), schema: 2, live_sessions: 0 },
        socket: "/r/srvd.sock".into(),
        runtime: "/r".into(),
        data: "/d".into(),
    }
}

/// Checks the findings worse than `ok`, as `id severity fixable`, after a change of the healthy machine.
#[track_caller]
fn check(change: impl FnOnce(&mut Facts), expect: &[&str]) {
    let mut facts = healthy();
    change(&mut facts);
    let findings = judge(&facts);
    let mut ids: Vec<&str> = findings.iter().map(|finding| finding.id.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), findings.len(), "an id occurs twice: {findings:?}");
    let said = |finding: &Finding| {
        let severity = serde_json::to_value(finding.severity).unwrap();
        let fixable = if finding.fixable { " fixable" } else { "" };
        format!("{} {}{fixable}", finding.id, severity.as_str().unwrap())
    };
    let found: Vec<String> =
        findings.iter().filter(|finding| finding.severity != Severity::Ok).map(said).collect();
    assert_eq!(found, expect, "{findings:?}");
    for finding in findings.iter().filter(|finding| finding.severity != Severity::Ok) {
        assert!(!finding.title.is_empty() && !finding.meaning.is_empty(), "{finding:?}");
        assert!(finding.severity < Severity::Warning || finding.fix.is_some(), "nothing to do: {finding:?}");
    }
}

#[test]
fn doctor_finds_nothing_when_the_machine_is_healthy() {
    check(|_| {}, &[]);
}

#[test]
fn doctor_reports_config_and_key_problems() {
    let trouble = |reason: &str| Err(KeyProblem::Unusable(reason.to_owned()));
    let nobody = |facts: &mut Facts| {
        facts.daemon.answer = DaemonAnswer::Nobody;
        facts.daemon.lock = LockState::Free;
        facts.daemon.endpoint = EndpointState::Absent;
    };
    check(|facts| facts.registry = Some("x.toml: no".to_owned()), &["config error"]);
    check(|facts| facts.checked_policy = true, &["config.policy note"]);
    check(|facts| facts.key.in_variable = true, &["key.variable note"]);
    // The daemon has a key from another source, as under a service manager.
    check(|facts| facts.key.loaded = Err(KeyProblem::Missing), &["key note"]);
    check(
        |facts| {
            nobody(facts);
            facts.key.loaded = Err(KeyProblem::Missing);
        },
        &["key error", "daemon note"],
    );
    check(
        |facts| {
            facts.key.loaded = trouble("it has mode 0644");
            facts.key.file_seen = PathState::Is(node(NodeKind::File, 0o644));
        },
        &["key error fixable"],
    );
    check(|facts| facts.key.loaded = trouble("too short"), &["key error"]);
    let [database, given] = ["00000000000000aa", "00000000000000bb"].map(|id| id.parse().unwrap());
    check(
        |facts| {
            facts.database = Database::Is(
                "db".to_owned(),
                Box::new(inspection(Some(2), KeyFit::Wrong { database, given })),
            );
        },
        &["key.database error"],
    );
}

#[test]
fn doctor_advises_to_restore_a_lost_key_when_a_database_exists() {
    let mut facts = healthy();
    facts.daemon.answer = DaemonAnswer::Nobody;
    facts.key.loaded = Err(KeyProblem::Missing);
    let advice = |facts: &Facts| {
        let found = judge(facts).into_iter().find(|finding| finding.id == "key").unwrap();
        found.fix.unwrap().to_string()
    };
    assert!(advice(&facts).contains("put the key back"));
    facts.database = Database::Absent("db".to_owned());
    assert_eq!(advice(&facts), "srvd key generate");
}

#[test]
fn doctor_reports_database_and_disk_space_problems() {
    let schema = |schema| Database::Is("db".to_owned(), Box::new(inspection(Some(schema), KeyFit::Unasked)));
    let stopped = |facts: &mut Facts, database| {
        facts.daemon.answer = DaemonAnswer::Nobody;
        facts.daemon.lock = LockState::Free;
        facts.daemon.endpoint = EndpointState::Absent;
        facts.database = database;
    };
    check(|facts| stopped(facts, schema(1)), &["database note", "daemon note"]);
    check(|facts| stopped(facts, schema(3)), &["database error", "daemon note"]);
    check(|facts| stopped(facts, Database::Absent("db".to_owned())), &["database note", "daemon note"]);
    check(
        |facts| stopped(facts, Database::Failed("db".to_owned(), "no".to_owned())),
        &["database error", "daemon note"],
    );
    let row = |number: u32| identity_store::maintenance::UnfitRow {
        table: "accounts",
        row: format!("a{number}"),
        reason: identity_store::SecretError::Altered,
    };
    check(
        |facts| {
            let unfit = (0..12).map(row).collect();
            let rows = RowCheck { unfit, sets: vec![] };
            let inspection = Inspection { rows, ..inspection(Some(2), KeyFit::Fits) };
            facts.database = Database::Is("db".to_owned(), Box::new(inspection));
        },
        &["database.rows error"],
    );
    check(
        |facts| {
            let fault = SetFault::Deleted("a1".to_owned());
            let rows = RowCheck { unfit: vec![], sets: vec![RowSetFault { table: "accounts", fault }] };
            let inspection = Inspection { rows, ..inspection(Some(2), KeyFit::Fits) };
            facts.database = Database::Is("db".to_owned(), Box::new(inspection));
        },
        &["database.missing error"],
    );
    check(|facts| facts.space = Some(1 << 20), &["space error"]);
    check(|facts| facts.space = Some(100 << 20), &["space warning"]);
    check(|facts| facts.space = None, &[]);
    check(|facts| facts.unused_network = vec!["HTTPS_PROXY"], &["network warning"]);
}

#[test]
fn doctor_judges_the_daemon_by_endpoint_lock_and_answer() {
    let seen = |endpoint, lock, answer| {
        move |facts: &mut Facts| facts.daemon = Daemon { endpoint, lock, answer, ..running("") }
    };
    let of = |alive| EndpointState::Of { pid: 7, alive };
    let broken = || EndpointState::Broken("no".to_owned());
    check(|facts| facts.daemon = running("0.0.1"), &["daemon.version warning"]);
    check(seen(EndpointState::Absent, LockState::Free, DaemonAnswer::Nobody), &["daemon note"]);
    check(seen(of(false), LockState::Free, DaemonAnswer::Nobody), &["daemon warning fixable"]);
    check(seen(of(true), LockState::Free, DaemonAnswer::Nobody), &["daemon warning fixable"]);
    check(seen(of(true), LockState::Held(Some(7)), DaemonAnswer::Nobody), &["daemon warning"]);
    check(seen(EndpointState::Absent, LockState::Held(None), DaemonAnswer::Nobody), &["daemon warning"]);
    check(
        seen(broken(), LockState::Free, DaemonAnswer::Failed("no".to_owned())),
        &["daemon warning fixable"],
    );
    check(seen(of(true), LockState::Held(Some(7)), DaemonAnswer::Silent), &["daemon error"]);
    check(seen(of(true), LockState::Held(Some(7)), DaemonAnswer::Failed("no".to_owned())), &["daemon error"]);
    let other = DaemonAnswer::Runs { version: daemon::VERSION.to_owned(), schema: 2, live_sessions: 0 };
    check(seen(of(true), LockState::Held(Some(8)), other), &["daemon.second warning"]);
}

#[test]
fn doctor_notes_a_missing_service_unit_and_disabled_linger() {
    let service = |unit: Option<&str>, system_wide, lingers| {
        let unit = unit.map(PathBuf::from);
        move |facts: &mut Facts| facts.service = Service { managed: true, unit, system_wide, lingers }
    };
    check(service(None, false, None), &["service note"]);
    check(service(Some("/u"), false, Some(false)), &["service.linger note"]);
    check(service(Some("/u"), true, Some(false)), &[]);
    check(service(Some("/u"), false, None), &[]);
}

#[test]
fn doctor_reports_unsafe_and_unowned_login_directories() {
    let path = || PathBuf::from("/d/identities/b/codex");
    let with = |change: fn(&mut Identities, PathBuf)| {
        move |facts: &mut Facts| {
            facts.identities.directories.push(("/d/identities".into(), node(NodeKind::Directory, 0o700)));
            change(&mut facts.identities, path());
        }
    };
    check(with(|_, _| {}), &[]);
    check(
        with(|seen, path| seen.directories.push((path, node(NodeKind::Directory, 0o750)))),
        &["identities.mode error fixable"],
    );
    check(
        with(|seen, path| seen.directories.push((path, node(NodeKind::Link, 0o777)))),
        &["identities.link error"],
    );
    check(
        with(|seen, path| seen.credentials.push((path, node(NodeKind::File, 0o644)))),
        &["identities.credential-mode note fixable"],
    );
    check(
        with(|seen, path| seen.credentials.push((path, node(NodeKind::Link, 0o777)))),
        &["identities.credential-link warning"],
    );
    check(with(|seen, path| seen.foreign.push((path, 0))), &["identities.owner error"]);
    check(with(|seen, path| seen.hidden.push((path, "no".to_owned()))), &["identities.hidden error"]);
    check(
        with(|seen, path| seen.unowned.push(Unowned { path, logins: Vec::new() })),
        &["identities.unowned note"],
    );
    check(
        with(|seen, path| seen.unowned.push(Unowned { path, logins: vec!["codex".to_owned()] })),
        &["identities.unowned warning"],
    );
    check(with(|seen, _| seen.truncated = true), &["identities.many note"]);
}

#[test]
fn doctor_reports_held_ports_and_unexpected_cli_programs() {
    let held = || HeldPort { port: 1455, holder: Some(PortHolder { name: "node".to_owned(), pid: 9 }) };
    check(|facts| facts.ports.held.push(held()), &["port.1455 warning"]);
    check(
        |facts| {
            facts.ports.held.push(held());
            facts.daemon.answer =
                DaemonAnswer::Runs { version: daemon::VERSION.to_owned(), schema: 2, live_sessions: 1 };
        },
        &["port.1455 note"],
    );
    let is = |version: &str| Version::Is(version.to_owned());
    let other = || Version::Other("x".to_owned());
    let program = |found: Vec<Version>| {
        let path = |(number, said)| (PathBuf::from(format!("/bin{number}/codex")), said);
        let found = found.into_iter().enumerate().map(path).collect();
        let program = Program {
            provider: "codex".to_owned(),
            name: "Codex".to_owned(),
            tested: Some("1.0".to_owned()),
            found,
        };
        move |facts: &mut Facts| facts.programs.push(program)
    };
    check(program(vec![]), &["cli note"]);
    check(program(vec![is("1.0")]), &[]);
    check(program(vec![is("1.1")]), &["cli.codex note"]);
    let never = |facts: &mut Facts| {
        program(vec![is("1.0")])(facts);
        facts.programs.iter_mut().for_each(|program| program.tested = None);
    };
    check(never, &["cli.codex note"]);
    check(program(vec![Version::Silent]), &["cli.codex warning"]);
    check(program(vec![other()]), &["cli.codex note"]);
    check(program(vec![other(), is("1.0")]), &["cli.codex.several note"]);
    check(program(vec![is("1.0"), is("0.9")]), &["cli.codex.several note"]);
}

#[test]
fn doctor_reports_environment_variables_and_own_logins() {
    let variable = |role| {
        let variable = Variable { name: "NAME".to_owned(), role, heeded_by: vec!["Claude Code".to_owned()] };
        move |facts: &mut Facts| facts.variables.push(variable)
    };
    check(variable(Role::Credential), &["environment.NAME warning"]);
    check(variable(Role::Directory), &["environment.NAME note"]);
    check(variable(Role::Override), &["environment.NAME note"]);
    let own = |fate, state| {
        let login = OwnLogin {
            provider: "codex".to_owned(),
            name: "Codex".to_owned(),
            directory: "~/.codex".to_owned(),
            variable: None,
            shadow: None,
            state,
            fate,
        };
        move |facts: &mut Facts| facts.own_logins.push(login)
    };
    check(own(AdoptionState::Adopted, LoginState::Good), &[]);
    let other = AdoptionState::AdoptedElsewhere("/home/u/.codex".into());
    for fate in
        [AdoptionState::Bound, AdoptionState::Declined, AdoptionState::Waiting, AdoptionState::Unknown, other]
    {
        check(own(fate, LoginState::Good), &["own-login.codex note"]);
    }
    let unusable = LoginState::Unusable("expired".to_owned());
    check(own(AdoptionState::Adopted, unusable), &["own-login.codex note"]);
    let elsewhere = LoginState::Elsewhere { reason: "in the keyring".to_owned(), hint: "log in".to_owned() };
    check(own(AdoptionState::Waiting, elsewhere), &["own-login.codex note"]);
    check(|facts| facts.unseen.push("the disk"), &["doctor warning"]);
}

#[test]
fn doctor_notes_the_keychain_only_on_macos_with_claude_installed() {
    let claude = || Program {
        provider: "claude".to_owned(),
        name: "Claude Code".to_owned(),
        tested: Some("2".to_owned()),
        found: vec![("/bin/claude".into(), Version::Is("2".to_owned()))],
    };
    check(|facts| facts.programs.push(claude()), &[]);
    check(
        |facts| {
            facts.system = System::MacOs;
            facts.programs.push(claude());
        },
        &["keychain note"],
    );
    check(|facts| facts.system = System::MacOs, &[]);
}

#[test]
fn doctor_sorts_findings_by_severity() {
    let mut facts = healthy();
    facts.daemon = running("0.0.1");
    facts.space = Some(0);
    facts.checked_policy = true;
    let order: Vec<Severity> = judge(&facts).into_iter().map(|finding| finding.severity).collect();
    assert_eq!(order[..3], [Severity::Error, Severity::Warning, Severity::Note]);
    assert!(order.is_sorted_by(|earlier, later| earlier >= later));
}
