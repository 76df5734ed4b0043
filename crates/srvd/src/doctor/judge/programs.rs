//! Judges the providers' CLIs, and the fixed ports that they need.

use auth_spawner::Version;

use crate::doctor::facts::{Ports, Program};
use crate::doctor::finding::{Finding, Severity};

pub(super) fn ports(ports: &Ports, live_sessions: u64) -> Vec<Finding> {
    if ports.held.is_empty() {
        let all: Vec<String> = ports.fixed.iter().map(|(port, _)| port.to_string()).collect();
        return vec![Finding::well("ports", "The callback ports are free", all.join(", "))];
    }
    let finding = |held: &auth_spawner::HeldPort| {
        let needed: Vec<&str> = ports
            .fixed
            .iter()
            .filter(|(port, _)| *port == held.port)
            .flat_map(|(_, providers)| providers)
            .map(String::as_str)
            .collect();
        let id = format!("port.{}", held.port);
        let needed = needed.join(", ");
        if live_sessions > 0 {
            let meaning =
                format!("A login runs, and that is probably it. {needed} can log in one at a time.");
            return Finding::new(id, Severity::Note, held.to_string(), "", meaning);
        }
        let meaning =
            format!("Browsers answer a login of {needed} there, so such a login is refused meanwhile.");
        Finding::new(id, Severity::Warning, held.to_string(), "", meaning)
            .fix("end that program, or log in with a device code where the provider has one")
    };
    ports.held.iter().map(finding).collect()
}

pub(super) fn programs(programs: &[Program]) -> Vec<Finding> {
    let mut findings: Vec<Finding> = programs.iter().flat_map(program).collect();
    let missing: Vec<&str> = programs
        .iter()
        .filter(|program| program.found.is_empty())
        .map(|program| program.provider.as_str())
        .collect();
    if !missing.is_empty() {
        findings.push(
            Finding::new(
                "cli",
                Severity::Note,
                "Some providers' CLIs are not installed",
                missing.join(", "),
                "Their logins need them; API keys do not.",
            )
            .fix("`srvd providers` says how to install each"),
        );
    }
    findings
}

fn program(program: &Program) -> Vec<Finding> {
    if program.found.is_empty() {
        return Vec::new();
    }
    let id = format!("cli.{}", program.provider);
    let chosen = program
        .found
        .iter()
        .find(|(_, said)| matches!(said, Version::Is(_)))
        .or_else(|| program.found.iter().find(|(_, said)| *said == Version::Silent));
    let first = match chosen {
        Some((path, Version::Is(version))) => known(program, &id, &path.display().to_string(), version),
        Some((path, _)) => Finding::new(
            &id,
            Severity::Warning,
            format!("{} does not tell its version", program.name),
            path.display().to_string(),
            "It may be broken, or not that CLI at all; a login with it may fail.",
        )
        .fix(format!("run it with --version yourself; then srvd providers check {}", program.provider)),
        None => Finding::new(
            &id,
            Severity::Note,
            format!("{} is not installed, and its name is taken", program.name),
            all(program),
            "Another program has its name; srvd does not use it for this provider.",
        ),
    };
    let several = (program.found.len() > 1 && chosen.is_some()).then(|| {
        Finding::new(
            format!("{id}.several"),
            Severity::Note,
            format!("There are several programs named like {}", program.name),
            all(program),
            "srvd uses the first that is this CLI. Your shell may start another one.",
        )
        .fix("remove what you do not use, or order spawn.search_path in srvd.toml")
    });
    std::iter::once(first).chain(several).collect()
}

fn known(program: &Program, id: &str, path: &str, version: &str) -> Finding {
    match &program.tested {
        Some(tested) if tested != version => Finding::new(
            id,
            Severity::Note,
            format!("{} has another version than srvd was tested with", program.name),
            format!("{path} is {version}, tested with {tested}"),
            "Usually that works. If a login does not, this is the first suspect.",
        )
        .fix(format!("srvd providers check {}", program.provider)),
        _ => {
            Finding::well(id, format!("{} is installed", program.name), format!("{path}, version {version}"))
        }
    }
}

fn all(program: &Program) -> String {
    let line = |(path, said): &(std::path::PathBuf, Version)| match said {
        Version::Is(version) => format!("{} ({version})", path.display()),
        Version::Other(_) => format!("{} (another program)", path.display()),
        Version::Silent => format!("{} (tells no version)", path.display()),
    };
    program.found.iter().map(line).collect::<Vec<_>>().join(", ")
}
