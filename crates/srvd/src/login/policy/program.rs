//! The program that a client names.

use std::path::{Component, Path, PathBuf};

use auth_spawner::Cli;

use super::refused;
use crate::base::programs::Search;
use crate::config::SpawnPolicy;
use crate::hint::Step;
use crate::wire::error::ApiError;

/// A program of a client that is not run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::login) struct UnusedProgram {
    /// Its path, as the client sent it.
    pub(in crate::login) path: String,
    /// The reason, as a sentence without a full stop.
    pub(in crate::login) reason: String,
    /// True if it has a name of the provider's CLI, or is the same file. Another installation of the CLI may then take
    /// its place.
    pub(in crate::login) is_the_cli: bool,
}

impl UnusedProgram {
    /// Returns the error for it, if no other installation takes its place.
    pub(in crate::login) fn refusal(&self) -> ApiError {
        refused("cliPath", &self.path).with("reason", self.reason.as_str()).hint(Step::OmitPath)
    }
}

/// Returns the program that a client names, if it may be run; nothing is run to find out. Under `registered`, it must have
/// one of the CLI's names and be in a directory that is searched for CLIs. Blocking.
///
/// # Errors
/// The reason why it is not run.
pub(in crate::login) fn named(
    policy: SpawnPolicy,
    cli: &Cli,
    path: &str,
    search: &Search,
) -> Result<PathBuf, UnusedProgram> {
    let place = Path::new(path);
    let has_name = place
        .file_name()
        .and_then(|name| name.to_str())
        .is_some_and(|name| cli.binaries.iter().any(|known| known == name));
    let unused = |reason: String| UnusedProgram {
        path: path.to_owned(),
        reason,
        is_the_cli: has_name || is_same_file(cli, place, search),
    };
    if !place.is_absolute() {
        return Err(unused("it is not an absolute path".to_owned()));
    }
    if path.contains('\0') || place.components().any(|part| matches!(part, Component::ParentDir)) {
        return Err(unused("it contains a .. component or a null character".to_owned()));
    }
    if policy == SpawnPolicy::Registered {
        if !place.parent().is_some_and(|dir| search.has(dir)) {
            return Err(unused("it is outside the directories that are searched for CLIs".to_owned()));
        }
        if !has_name {
            return Err(unused("it has no name of the provider's CLI".to_owned()));
        }
    }
    let canonical = search.trust().program(place).map_err(|error| unused(error.to_string()))?;
    if auth_spawner::is_shim(place) {
        return Err(unused("it is a shim of srvd and not the CLI itself".to_owned()));
    }
    Ok(if policy == SpawnPolicy::Registered { place.to_owned() } else { canonical })
}

/// Returns whether the path leads to the file of an installed CLI, such as the target of its link.
fn is_same_file(cli: &Cli, place: &Path, search: &Search) -> bool {
    let Ok(file) = std::fs::canonicalize(place) else { return false };
    let same = |found: &PathBuf| std::fs::canonicalize(found).is_ok_and(|found| found == file);
    search.installed(cli).usable.iter().any(same)
}
