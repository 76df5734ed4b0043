//! The provider CLIs that `scripts/clis.sh` installs.

use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Returns the directory of the CLIs from npm.
pub(crate) fn clis() -> PathBuf {
    installed_clis().join("bin")
}

/// Returns the directory of a CLI that is not available on every machine. If it is missing, prints that the test is
/// skipped.
pub(crate) fn optional(name: &str) -> Option<PathBuf> {
    let dir = installed_clis().join(name).join("bin");
    if dir.is_dir() {
        return Some(dir);
    }
    let absent = std::fs::read_to_string(installed_clis().join("absent")).unwrap_or_default();
    // Written directly, because the test harness shows no captured output of a test that passes.
    writeln!(std::io::stderr(), "SKIPPED, because this machine has no {name}: {absent}").unwrap();
    None
}

fn installed_clis() -> PathBuf {
    #[expect(clippy::disallowed_methods, reason = "the place is named by the test script, not by a user")]
    let named = std::env::var_os("SRVD_TEST_CLIS").map(PathBuf::from);
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let dir = named.unwrap_or_else(|| workspace.join("target/clis"));
    assert!(dir.join("complete").is_file(), "no provider CLIs in {}: run scripts/clis.sh", dir.display());
    dir
}
