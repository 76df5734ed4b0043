//! The checkup: problems on this machine that keep srvd or the CLIs from working, and the next steps.
//!
//! `gather` collects the facts, `judge` decides in pure code what they mean, and `repair` makes safe changes. The
//! checkup needs no daemon, no key and no directory: a missing one is a finding. Nothing is changed unless the caller
//! asks for it. No credential is opened for writing, and no secret reaches a finding.
//!
//! It uses `wire`, `base`, `config`, `disk`, `launch` and `daemon`. It must not print; `cli` does that.

mod facts;
mod finding;
mod gather;
mod judge;
mod repair;

pub(crate) use facts::{Asked, AskedIdentity, DaemonAnswer, IdentityAnswer, StrayLogin};
pub(crate) use finding::{Finding, Severity};

use auth_spawner::Registry;

use crate::base::environment::Environment;
use crate::config::{Config, ConfigError};
use crate::daemon;
use gather::UsableRegistry;

/// Runs the whole checkup once. `answer` is the daemon's answer to the caller; `asked` are further answers.
/// Ends within half a minute.
pub(crate) async fn examine(
    config: &Config,
    environment: &Environment,
    answer: DaemonAnswer,
    asked: Asked,
) -> Vec<Finding> {
    let registry = match daemon::registry(config) {
        Ok(registry) => UsableRegistry { registry, problem: None },
        Err(error) => match Registry::builtin() {
            Ok(registry) => UsableRegistry { registry, problem: Some(error.to_string()) },
            Err(builtin) => return vec![judge::unusable_configuration(&builtin.to_string())],
        },
    };
    let facts = gather::gather(config, environment, registry, answer).await;
    let Asked { identities, strays } = asked;
    judge::judge(&facts::Facts { asked: identities, strays, ..facts })
}

/// Returns the findings for a configuration that cannot be used. Nothing else is examined, because its location is not
/// known.
pub(crate) fn without_configuration(error: &ConfigError) -> Vec<Finding> {
    vec![judge::unusable_configuration(&error.to_string())]
}

/// Makes the safe repairs, and records in each finding whether they succeeded. Returns whether anything was repaired.
pub(crate) fn repair(findings: &mut [Finding]) -> bool {
    let mut any = false;
    for finding in findings.iter_mut().filter(|finding| !finding.repairs.is_empty()) {
        let failed: Vec<String> = finding.repairs.iter().filter_map(|repair| repair.apply().err()).collect();
        any |= failed.len() < finding.repairs.len();
        finding.fixed = Some(failed.is_empty());
        finding.fix_error = (!failed.is_empty()).then(|| failed.join("; "));
    }
    any
}

/// Merges the findings of a checkup before the repairs and of one after them. Each id occurs once.
pub(crate) fn after_repair(first: Vec<Finding>, second: Vec<Finding>) -> Vec<Finding> {
    let (mut tried, _): (Vec<Finding>, Vec<Finding>) =
        first.into_iter().partition(|finding| finding.fixed.is_some());
    let mut left = Vec::new();
    for mut finding in second {
        match tried.iter_mut().find(|earlier| earlier.id == finding.id) {
            // A finding that is good because of a repair is shown as the repair.
            Some(earlier) if earlier.fixed == Some(true) && finding.severity <= Severity::Note => {}
            Some(earlier) => {
                finding.fixed = Some(false);
                finding.fix_error = earlier.fix_error.take();
                left.push(finding);
            }
            None => left.push(finding),
        }
    }
    tried.retain(|finding| finding.fixed == Some(true) && left.iter().all(|other| other.id != finding.id));
    tried.extend(left);
    tried
}

#[cfg(test)]
mod tests {
    use super::repair::Repair;
    use super::*;

    fn finding(id: &str, severity: Severity) -> Finding {
        Finding::new(id, severity, "t", "d", "m")
    }

    #[test]
    fn doctor_reports_each_repair_once_and_each_remaining_finding() {
        let tried = |id: &str, fixed: bool| Finding {
            fixed: Some(fixed),
            fix_error: (!fixed).then(|| "no".to_owned()),
            ..finding(id, Severity::Error)
        };
        let first = vec![
            tried("well", true),
            tried("again", true),
            tried("stuck", false),
            finding("other", Severity::Warning),
        ];
        let second = vec![
            finding("well", Severity::Ok),
            finding("again", Severity::Error),
            finding("stuck", Severity::Error),
            finding("other", Severity::Warning),
            finding("seen", Severity::Note),
        ];
        let expect = vec![
            tried("well", true),
            Finding { fixed: Some(false), ..finding("again", Severity::Error) },
            tried("stuck", false),
            finding("other", Severity::Warning),
            finding("seen", Severity::Note),
        ];
        assert_eq!(after_repair(first, second), expect);
    }

    #[test]
    fn doctor_reports_the_error_and_does_the_other_repairs_when_one_fails() {
        let root = tempfile::tempdir().unwrap();
        let (made, link) = (root.path().join("made"), root.path().join("link"));
        std::os::unix::fs::symlink(root.path(), &link).unwrap();
        let mut findings = [
            finding("a", Severity::Note).repair([Repair::MakeDirectory { path: made.clone() }]),
            finding("b", Severity::Error).repair([Repair::Mode { path: link.clone(), mode: 0o700 }]),
            finding("c", Severity::Error),
        ];
        assert!(repair(&mut findings));
        assert!(made.is_dir());
        assert_eq!(findings.each_ref().map(|finding| finding.fixed), [Some(true), Some(false), None]);
        let error = findings[1].fix_error.clone().unwrap();
        assert!(error.starts_with(&link.display().to_string()), "{error}");
    }
}
