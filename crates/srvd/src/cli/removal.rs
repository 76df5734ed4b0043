//! The report about directories that were removed or kept.

use super::failure::Failure;
use super::ui::{Ui, plain_line};
use crate::wire::bundle::{Cleanup, CleanupOutcome};

/// Prints a line for each directory.
pub(super) fn report(cleanup: &[Cleanup], ui: &Ui) -> Result<(), Failure> {
    cleanup.iter().try_for_each(|one| ui.result(&line(one)))
}

fn line(one: &Cleanup) -> String {
    let path = plain_line(&one.path);
    match &one.outcome {
        CleanupOutcome::Removed => format!("  removed {path}"),
        CleanupOutcome::KeptHistory => {
            format!("  removed the login from {path} and kept the conversations there")
        }
        CleanupOutcome::Absent => format!("  {path} did not exist"),
        CleanupOutcome::NotOurs => format!("  kept {path}: srvd does not own it, or another account uses it"),
        outcome @ (CleanupOutcome::Failed(_) | CleanupOutcome::Other(_)) => {
            format!("  {path}: {}", plain_line(&outcome.to_string()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removal_prints_a_line_for_every_outcome() {
        let check = |outcome: CleanupOutcome, expected: &str| {
            let one = Cleanup { path: "/d".to_owned(), outcome };
            assert_eq!(line(&one), expected);
        };
        check(CleanupOutcome::Removed, "  removed /d");
        check(CleanupOutcome::KeptHistory, "  removed the login from /d and kept the conversations there");
        check(CleanupOutcome::Absent, "  /d did not exist");
        check(CleanupOutcome::NotOurs, "  kept /d: srvd does not own it, or another account uses it");
        check(CleanupOutcome::Failed("no\nspace".to_owned()), "  /d: failed: no space");
    }
}
