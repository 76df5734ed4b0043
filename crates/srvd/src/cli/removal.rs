//! The report about directories that were removed or kept.

use super::failure::Failure;
use super::ui::{Ui, plain_line};
use crate::wire::bundle::Cleanup;

/// Prints a line for each directory.
pub(super) fn report(cleanup: &[Cleanup], ui: &Ui) -> Result<(), Failure> {
    cleanup.iter().try_for_each(|one| ui.result(&line(one)))
}

fn line(one: &Cleanup) -> String {
    let path = plain_line(&one.path);
    match one.outcome.as_str() {
        "removed" => format!("  removed {path}"),
        "kept_history" => format!("  removed the login in {path}, and kept the conversations there"),
        "absent" => format!("  {path} was not there"),
        "not_ours" => format!("  left {path} alone"),
        other => format!("  {path}: {}", plain_line(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removal_prints_a_line_for_every_outcome() {
        let check = |outcome: &str, expected: &str| {
            let one = Cleanup { path: "/d".to_owned(), outcome: outcome.to_owned() };
            assert_eq!(line(&one), expected);
        };
        check("removed", "  removed /d");
        check("kept_history", "  removed the login in /d, and kept the conversations there");
        check("absent", "  /d was not there");
        check("not_ours", "  left /d alone");
        check("failed: no\nspace", "  /d: failed: no space");
    }
}
