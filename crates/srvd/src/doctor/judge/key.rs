//! Judges the encryption key.

use identity_store::{Inspection, KeyFit};

use crate::doctor::facts::{DaemonAnswer, Database, Facts, KeyProblem, LoadedKey, NodeKind, PathState};
use crate::doctor::finding::{Finding, Severity};
use crate::doctor::repair::Repair;
use crate::hint::Step;

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let mut findings = vec![source(facts)];
    if facts.key.in_variable {
        findings.push(
            Finding::new(
                "key.variable",
                Severity::Note,
                "The key is in an environment variable",
                "OAUTH_ENCRYPTION_KEY",
                "Every program that you start from here inherits the key, and can decrypt the secrets of srvd.",
            )
            .fix(Step::KeyIntoFile),
        );
    }
    if let Database::Is(_, inspection) = &facts.database {
        findings.extend(fit(inspection, &facts.daemon.answer));
    }
    findings
}

fn source(facts: &Facts) -> Finding {
    let runs = matches!(facts.daemon.answer, DaemonAnswer::Runs { .. });
    let sealed = matches!(&facts.database, Database::Is(_, inspection) if inspection.schema.is_some());
    match &facts.key.loaded {
        Ok(LoadedKey { id, places }) => {
            let agree = if places.len() > 1 { ", which agree" } else { "" };
            Finding::well("key", "There is an encryption key", format!("in {}{agree} (key id {id})", places.join(" and ")))
        }
        Err(KeyProblem::Missing) if runs => Finding::new(
            "key",
            Severity::Note,
            "There is no encryption key here",
            "the running daemon has a key from another source",
            "The daemon gets the key from the program that starts it, such as a service manager. No action is needed.",
        ),
        Err(KeyProblem::Missing) if sealed => Finding::new(
            "key",
            Severity::Error,
            "The encryption key is missing",
            format!("there is a database, but no key: {} is missing", facts.key.file.display()),
            "The daemon does not start. API keys and tokens in the database can be decrypted only with the key that encrypted them.",
        )
        .fix(Step::PutKeyBack),
        Err(KeyProblem::Missing) => Finding::new(
            "key",
            Severity::Error,
            "There is no encryption key",
            format!(
                "OAUTH_ENCRYPTION_KEY, OAUTH_ENCRYPTION_KEY_FILE and {} are all missing",
                facts.key.file.display()
            ),
            "The daemon encrypts API keys and tokens with the key, and does not start without one.",
        )
        .fix(Step::GenerateKey),
        Err(KeyProblem::Unusable(reason)) => {
            let meaning = "The daemon does not start without a key that only you can read.";
            Finding::new("key", Severity::Error, "The encryption key cannot be used", reason, meaning)
                .fix(Step::CorrectProblem)
                .repair(open_file(facts))
        }
    }
}

/// Returns the repair for a key file of this user that other users can read. It cannot be known who has read the file
/// so far.
fn open_file(facts: &Facts) -> Option<Repair> {
    let PathState::Is(node) = facts.key.file_seen else { return None };
    let repairable = node.kind == NodeKind::File
        && node.uid == facts.uid
        && (node.mode & 0o077 != 0 || node.mode & 0o400 == 0);
    repairable.then(|| Repair::Mode { path: facts.key.file.clone(), mode: 0o600 })
}

fn fit(inspection: &Inspection, answer: &DaemonAnswer) -> Option<Finding> {
    match inspection.key {
        KeyFit::Unasked => None,
        KeyFit::Fits => Some(Finding::well("key.database", "The key matches the database", "")),
        KeyFit::Wrong { database, given } => {
            let meaning = match answer {
                DaemonAnswer::Runs { .. } => {
                    "The running daemon still has the right key, but will not start again with this one."
                }
                _ => "The daemon refuses to start, so that no secret is lost.",
            };
            let detail = format!("the database has key {database}, the given key is {given}");
            Some(
                Finding::new(
                    "key.database",
                    Severity::Error,
                    "The key does not match the database",
                    detail,
                    meaning,
                )
                .fix(Step::PutRightKeyBack),
            )
        }
    }
}
