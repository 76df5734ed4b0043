//! Judges the providers' CLIs, and the fixed ports that they need.

use auth_spawner::Version;

use crate::base::programs::Skipped;
use crate::doctor::facts::{Ports, Program};
use crate::doctor::finding::{Finding, Severity};
use crate::hint::Step;

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
            let meaning = format!(
                "A login is running and probably uses the port. Logins of {needed} can run only one at a time."
            );
            return Finding::new(id, Severity::Note, held.to_string(), "", meaning);
        }
        let meaning = format!(
            "The browser's answer to a login of {needed} arrives at this port, so such a login is refused until the port is free."
        );
        Finding::new(id, Severity::Warning, held.to_string(), "", meaning).fix(Step::FreePort)
    };
    ports.held.iter().map(finding).collect()
}

/// Judges the CLIs. The list of the providers is printed by a daemon, if one `runs`.
pub(super) fn programs(programs: &[Program], runs: bool) -> Vec<Finding> {
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
            .fix(if runs { Step::ListProviders } else { Step::DescribeProviders }),
        );
    }
    findings
}

/// Returns one finding for all directories and programs that are not used.
pub(super) fn skipped(skipped: &[Skipped]) -> Option<Finding> {
    let first = skipped.first()?;
    let paths: Vec<String> = skipped.iter().map(|one| one.path.display().to_string()).collect();
    let finding = Finding::new(
        "cli.skipped",
        Severity::Warning,
        "Some directories or programs on the search path are not used",
        format!("{}: {}", paths.join(", "), first.reason),
        "Another user could replace a CLI there, and it would run as you.",
    );
    Some(match &first.remedy {
        Some(remedy) => finding.fix(remedy.clone()),
        None => finding,
    })
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
            format!("{} does not print its version", program.name),
            path.display().to_string(),
            "It may be broken, or it may be another program. A login with it may fail.",
        )
        .fix(Step::CheckVersion { provider: (&program.provider).into() }),
        None => Finding::new(
            &id,
            Severity::Note,
            format!("{} is not installed, but another program has its name", program.name),
            all(program),
            "srvd does not use that program for this provider.",
        ),
    };
    let several = (program.found.len() > 1 && chosen.is_some()).then(|| {
        Finding::new(
            format!("{id}.several"),
            Severity::Note,
            format!("There are several programs with the name of {}", program.name),
            all(program),
            "srvd uses the first one that is this CLI. Your shell may start another one.",
        )
        .fix(Step::RemoveOthers)
    });
    std::iter::once(first).chain(several).collect()
}

fn known(program: &Program, id: &str, path: &str, version: &str) -> Finding {
    match &program.tested {
        None => Finding::new(
            id,
            Severity::Note,
            format!("{} is untested", program.name),
            format!("{path} is {version}; srvd's entry was never tested with this CLI"),
            "Its logins may not work. The entry follows the CLI's documentation.",
        )
        .fix(Step::CheckProvider { provider: (&program.provider).into() }),
        Some(tested) if tested != version => Finding::new(
            id,
            Severity::Note,
            format!("{} is not the version that srvd was tested with", program.name),
            format!("{path} is {version}, tested with {tested}"),
            "This usually works. If a login fails, the version is the likely cause.",
        )
        .fix(Step::CheckProvider { provider: (&program.provider).into() }),
        _ => {
            Finding::well(id, format!("{} is installed", program.name), format!("{path}, version {version}"))
        }
    }
}

fn all(program: &Program) -> String {
    let line = |(path, said): &(std::path::PathBuf, Version)| match said {
        Version::Is(version) => format!("{} ({version})", path.display()),
        Version::Other(_) => format!("{} (another program)", path.display()),
        Version::Silent => format!("{} (prints no version)", path.display()),
    };
    program.found.iter().map(line).collect::<Vec<_>>().join(", ")
}
