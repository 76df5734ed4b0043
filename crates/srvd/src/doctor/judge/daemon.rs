//! Judges the daemon, its database, its disk space, and the service that starts it.

use identity_store::maintenance::{RowSetFault, UnfitRow};

use crate::base::endpoint::Endpoint;
use crate::doctor::facts::{
    Daemon, DaemonAnswer, Database, EndpointState, Facts, LockState, Service, System,
};
use crate::doctor::finding::{Finding, Severity};
use crate::doctor::repair::Repair;
use crate::hint::Step;

/// The numbers of free bytes below which a write will soon fail, and below which it may fail.
const NO_ROOM: u64 = 20 * 1024 * 1024;
const LITTLE_ROOM: u64 = 200 * 1024 * 1024;

/// The number of corrupt rows that a finding names.
const NAMED: usize = 10;

/// The version of this build.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

pub(super) fn daemon(facts: &Daemon) -> Vec<Finding> {
    match &facts.answer {
        DaemonAnswer::Runs { version, .. } => running(facts, version),
        DaemonAnswer::Silent => vec![
            Finding::new(
                "daemon",
                Severity::Error,
                "The daemon does not answer",
                format!(
                    "{}it accepted the connection at {} but sent no answer",
                    holder(facts),
                    facts.socket.display()
                ),
                "It hangs or is stopped. Commands that need it do not work.",
            )
            .fix(Step::RestartHung),
        ],
        DaemonAnswer::Failed(_) if matches!(facts.endpoint, EndpointState::Broken(_)) => vec![absent(facts)],
        DaemonAnswer::Failed(reason) => vec![
            Finding::new(
                "daemon",
                Severity::Error,
                "The request to the daemon failed",
                reason,
                "Commands that need the daemon do not work.",
            )
            .fix(Step::CorrectProblem),
        ],
        DaemonAnswer::Nobody => vec![absent(facts)],
    }
}

fn running(facts: &Daemon, version: &str) -> Vec<Finding> {
    let detail = format!("{}version {version}, socket {}", holder(facts), facts.socket.display());
    let mut findings = vec![Finding::well("daemon", "The daemon is running", detail)];
    if version != VERSION {
        findings.push(
            Finding::new(
                "daemon.version",
                Severity::Warning,
                "The daemon and this program have different versions",
                format!("the daemon is {version}, this program is {VERSION}"),
                "srvd was updated while the daemon was running. The daemon may not support all commands.",
            )
            .fix(Step::RestartDaemon),
        );
    }
    if let (EndpointState::Of { pid, .. }, LockState::Held(Some(other))) = (&facts.endpoint, &facts.lock)
        && pid != other
    {
        findings.push(
            Finding::new(
                "daemon.second",
                Severity::Warning,
                "Two daemons are mixed up",
                format!(
                    "process {pid} serves {}, and process {other} holds {}",
                    facts.runtime.display(),
                    facts.data.display()
                ),
                "Commands talk to one daemon, but the identities here belong to the other one.",
            )
            .fix(Step::OwnDirectories),
        );
    }
    findings
}

fn holder(facts: &Daemon) -> String {
    match facts.endpoint {
        EndpointState::Of { pid, .. } => format!("process {pid}, "),
        _ => String::new(),
    }
}

/// Returns the finding for a daemon that does not listen. It distinguishes a daemon that has ended from one that
/// listens elsewhere.
fn absent(facts: &Daemon) -> Finding {
    let endpoint = Endpoint::path(&facts.runtime);
    let stale = || Repair::RemoveEndpoint { runtime: facts.runtime.clone(), data: facts.data.clone() };
    match (&facts.endpoint, &facts.lock) {
        (_, LockState::Held(pid)) => {
            let who = pid.map_or_else(|| "a process".to_owned(), |pid| format!("process {pid}"));
            Finding::new(
                "daemon",
                Severity::Warning,
                "A daemon uses the data directory, but does not listen here",
                format!(
                    "{who} holds {}, but no process listens at {}",
                    facts.data.display(),
                    facts.socket.display()
                ),
                "It is starting or stopping, or it was started with another runtime directory.",
            )
            .fix(Step::UseItsRuntime)
        }
        (EndpointState::Absent, _) => Finding::new(
            "daemon",
            Severity::Note,
            "No daemon is running",
            format!("no process listens at {}", facts.socket.display()),
            "Logins, launches and srvd status need it.",
        )
        .fix(Step::StartDaemonNow),
        (EndpointState::Broken(reason), _) => Finding::new(
            "daemon",
            Severity::Warning,
            "No daemon is running, and the endpoint file of the last one cannot be read",
            format!("{}: {reason}", endpoint.display()),
            "Commands cannot find a daemon. The next start replaces the file.",
        )
        .repair([stale()]),
        (EndpointState::Of { pid, alive }, _) => {
            let gone = if *alive { "is now another program" } else { "no longer exists" };
            Finding::new(
                "daemon",
                Severity::Warning,
                "No daemon is running, and the last one did not shut down cleanly",
                format!("{} names process {pid}, which {gone}", endpoint.display()),
                "It was killed or crashed, or the machine went down. Frontends may try to connect to it and fail.",
            )
            .repair([stale()])
        }
    }
}

pub(super) fn database(facts: &Facts) -> Vec<Finding> {
    let applied = match &facts.daemon.answer {
        DaemonAnswer::Runs { schema, .. } => Some(*schema),
        _ => None,
    };
    let mut missing = None;
    let finding = match &facts.database {
        Database::Absent(place) => Finding::new(
            "database",
            Severity::Note,
            "There is no database yet",
            place,
            "The daemon creates it when it starts for the first time.",
        ),
        Database::Failed(place, reason) => Finding::new(
            "database",
            Severity::Error,
            "The database cannot be used",
            format!("{place}: {reason}"),
            "The daemon does not start without it, and never overwrites a database that it cannot read.",
        )
        .fix(Step::MendDatabase),
        Database::Is(place, inspection) => match applied.or(inspection.schema) {
            Some(found) if found > inspection.known => Finding::new(
                "database",
                Severity::Error,
                "The database is newer than this program",
                format!("{place} has schema {found}, but this program uses {}", inspection.known),
                "A newer srvd has used it. This version does not open it.",
            )
            .fix(Step::UseNewerSrvd),
            Some(found) if found < inspection.known => Finding::new(
                "database",
                Severity::Note,
                "The database is older than this program",
                format!("{place} has schema {found}, but this program uses {}", inspection.known),
                "The next start of the daemon migrates it. An older srvd cannot use it after that.",
            ),
            _ => {
                missing = (!inspection.rows.sets.is_empty()).then(|| incomplete(&inspection.rows.sets));
                if inspection.rows.unfit.is_empty() {
                    let detail = format!("{place}, schema {}", inspection.known);
                    Finding::well("database", "The database is in order", detail)
                } else {
                    corrupt(&inspection.rows.unfit)
                }
            }
        },
    };
    std::iter::once(finding).chain(missing).collect()
}

/// Returns the finding for rows that another program changed.
fn corrupt(rows: &[UnfitRow]) -> Finding {
    let named: Vec<String> = rows.iter().take(NAMED).map(ToString::to_string).collect();
    let more = if rows.len() > NAMED { format!("; and {} more", rows.len() - NAMED) } else { String::new() };
    Finding::new(
        "database.rows",
        Severity::Error,
        "Rows of the database were changed by another program",
        format!("{}{more}", named.join("; ")),
        "srvd does not use them. A credential in one of them may have been meant for another address or another owner.",
    )
    .fix(Step::DeleteRows)
}

/// Returns the finding for rows that another program deleted or added.
fn incomplete(faults: &[RowSetFault]) -> Finding {
    let named: Vec<String> = faults.iter().map(ToString::to_string).collect();
    Finding::new(
        "database.missing",
        Severity::Error,
        "Rows of the database were deleted or added by another program",
        named.join("; "),
        "What is missing is not used. A bundle without one of its bindings is launched without that login.",
    )
    .fix(Step::AcceptRows)
}

pub(super) fn space(free: Option<u64>) -> Option<Finding> {
    let free = free?;
    let megabytes = free / 1024 / 1024;
    let finding = |severity, title: &str, meaning: &str| {
        let detail = format!("{megabytes} MB are free on the disk of the data directory");
        Finding::new("space", severity, title, detail, meaning).fix(Step::FreeDisk)
    };
    match free {
        ..NO_ROOM => Some(finding(
            Severity::Error,
            "The disk is full",
            "Logins cannot be saved, and a CLI would lose a login that it renews.",
        )),
        NO_ROOM..LITTLE_ROOM => Some(finding(
            Severity::Warning,
            "The disk is nearly full",
            "When it is full, logins cannot be saved.",
        )),
        _ => None,
    }
}

pub(super) fn service(facts: &Service, system: System) -> Vec<Finding> {
    let Some(unit) = &facts.unit else {
        let meaning = "The daemon runs only as long as you keep it running, and does not start when the machine starts.";
        let finding = Finding::new("service", Severity::Note, "No service starts the daemon", "", meaning);
        return vec![match (facts.managed, system) {
            (true, _) => finding.fix(Step::InstallService),
            (false, _) => finding.fix(Step::ConfigureStart),
        }];
    };
    let well = Finding::well("service", "A service starts the daemon", unit.display().to_string());
    let ends = facts.lingers == Some(false) && !facts.system_wide;
    let lingering = ends.then(|| {
        Finding::new(
            "service.linger",
            Severity::Note,
            "The daemon ends when you log out",
            "lingering is off for your user",
            "This is right for a desktop. On a server, agents lose their identities when your last session ends.",
        )
        .fix(Step::Linger)
    });
    std::iter::once(well).chain(lingering).collect()
}
