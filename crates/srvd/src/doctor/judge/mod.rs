//! Judges the facts. It has no side effects: the same facts give the same findings.

mod daemon;
mod fitness;
mod identities;
mod key;
mod places;
mod programs;
mod shares;
mod surroundings;

use super::facts::{DaemonAnswer, Facts};
use super::finding::{Finding, Severity};
use crate::hint::Step;

/// Returns all findings, the most severe first. Findings of the same severity keep the order of the checkup.
pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let runs = matches!(facts.daemon.answer, DaemonAnswer::Runs { .. });
    let mut findings = Vec::new();
    findings.extend(configuration(facts));
    findings.extend(key::judge(facts));
    findings.extend(facts.places.iter().filter_map(|place| places::judge(place, facts.uid)));
    findings.extend(daemon::database(facts));
    findings.extend(daemon::space(facts.space));
    findings.extend(identities::judge(facts));
    findings.extend(fitness::shadows(&facts.shadows));
    findings.extend(fitness::asked(&facts.asked));
    findings.extend(fitness::strays(&facts.strays));
    findings.extend(shares::judge(&facts.identities.shares));
    findings.extend(daemon::daemon(&facts.daemon));
    findings.extend(daemon::service(&facts.service, facts.system));
    findings.extend(programs::ports(&facts.ports, live_sessions(&facts.daemon.answer)));
    findings.extend(programs::programs(&facts.programs, runs));
    findings.extend(programs::skipped(&facts.skipped));
    findings.extend(surroundings::variables(&facts.variables));
    findings.extend(surroundings::network(&facts.unused_network));
    findings.extend(surroundings::own_logins(&facts.own_logins));
    findings.extend(surroundings::keychain(facts.system, &facts.programs));
    findings.extend(unseen(&facts.unseen));
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    findings
}

/// Returns the finding for a configuration that cannot be used.
pub(super) fn unusable_configuration(reason: &str) -> Finding {
    Finding::new(
        "config",
        Severity::Error,
        "The configuration cannot be used",
        reason,
        "srvd does not work, and nothing else could be checked.",
    )
    .fix(Step::CorrectConfiguration)
}

fn configuration(facts: &Facts) -> Vec<Finding> {
    let registry = match &facts.registry {
        None => Finding::well("config", "The configuration can be used", ""),
        Some(reason) => Finding::new(
            "config",
            Severity::Error,
            "A file in providers.d cannot be used",
            reason,
            "The daemon does not start with it. The checks below use the built-in providers.",
        )
        .fix(Step::CorrectOrRemove),
    };
    let policy = facts.checked_policy.then(|| {
        Finding::new(
            "config.policy",
            Severity::Note,
            "Clients may choose the program of a login",
            "spawn.policy is \"checked\" in srvd.toml",
            "Every client of the daemon can make it run any program in a directory that only root or you can write to.",
        )
        .fix(Step::RemovePolicy)
    });
    std::iter::once(registry).chain(policy).collect()
}

fn live_sessions(answer: &DaemonAnswer) -> u64 {
    match answer {
        DaemonAnswer::Runs { live_sessions, .. } => *live_sessions,
        _ => 0,
    }
}

fn unseen(what: &[&str]) -> Option<Finding> {
    (!what.is_empty()).then(|| {
        Finding::new(
            "doctor",
            Severity::Warning,
            "Some checks did not finish in time",
            format!("not checked: {}", what.join(", ")),
            "Something is very slow, such as a network drive or a program that hangs.",
        )
        .fix(Step::ExamineAgain)
    })
}

#[cfg(test)]
pub(super) mod tests;
