//! Loading of all files into a single set of agents.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use auth_spawner::Registry;

use super::parse::{Parsed, Reader};
use super::{Agent, Agents, Fault, read};
use crate::base::environment::Environment;
use crate::base::trust::{Trust, TrustError};

/// The operator's own file, in the configuration directory.
pub(super) const FILE: &str = "agents.toml";
/// The folder next to it, for files from other sources.
pub(super) const FOLDER: &str = "declared.d";
/// The maximum number of files in the folder, and of agents in total.
const MOST_FILES: usize = 256;
const MOST_AGENTS: usize = 10_000;
/// The maximum number of reported errors.
const MOST_FAULTS: usize = 32;

/// Reads `agents.toml` and `declared.d/*.toml` in the configuration directory. All of them are optional.
///
/// An agent in `agents.toml` completely replaces the agent with the same id in the folder. An id that occurs twice in
/// one file, or in two files of the folder, is an error.
///
/// # Errors
/// All errors in the files, in file order. In that case, no agent is loaded.
pub(crate) fn load(
    config_dir: &Path,
    registry: &Registry,
    environment: &Environment,
    trust: &Trust,
) -> Result<Agents, Vec<Fault>> {
    let mut loader = Loader { registry, environment, trust, seen: BTreeMap::new(), faults: Vec::new() };
    let own = loader.file(&config_dir.join(FILE), BTreeMap::new());
    let mut dropped_in = BTreeMap::new();
    for path in loader.folder(&config_dir.join(FOLDER)) {
        dropped_in = loader.file(&path, dropped_in);
    }
    let mut agents = dropped_in;
    agents.extend(own);
    if agents.len() > MOST_AGENTS {
        loader.blame(config_dir, None, format!("declares more than {MOST_AGENTS} agents"));
    }
    if loader.faults.is_empty() {
        return Ok(Agents(agents.into_iter().map(|(id, (_, agent))| (id, agent)).collect()));
    }
    loader.faults.sort();
    loader.faults.truncate(MOST_FAULTS);
    Err(loader.faults)
}

/// Agents by id, each with the line that declares it.
type Lined = BTreeMap<String, (usize, Agent)>;

struct Loader<'a> {
    registry: &'a Registry,
    environment: &'a Environment,
    trust: &'a Trust,
    /// The paths of the files that have been read, by device and inode number.
    seen: BTreeMap<(u64, u64), PathBuf>,
    faults: Vec<Fault>,
}

impl Loader<'_> {
    fn blame(&mut self, file: &Path, line: Option<usize>, reason: impl Into<String>) {
        self.faults.push(Fault { file: file.to_owned(), line, reason: reason.into() });
    }

    /// Returns the files in the folder, sorted by name.
    fn folder(&mut self, folder: &Path) -> Vec<PathBuf> {
        match self.trust.directory(folder) {
            Ok(_) => {}
            Err(TrustError::Missing(_)) => return Vec::new(),
            Err(error) => {
                self.blame(folder, None, read::reason(folder, &error));
                return Vec::new();
            }
        }
        let listed = std::fs::read_dir(folder).and_then(|entries| {
            entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()
        });
        let mut paths = match listed {
            Ok(paths) => paths,
            Err(error) => {
                self.blame(folder, None, error.to_string());
                return Vec::new();
            }
        };
        // Editors' backup files start with a dot or have a different extension.
        let hidden =
            |path: &Path| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml") && !hidden(path));
        paths.sort();
        if paths.len() > MOST_FILES {
            self.blame(folder, None, format!("has more than {MOST_FILES} files"));
            paths.clear();
        }
        paths
    }

    /// Returns the agents so far together with those of another file.
    fn file(&mut self, path: &Path, mut agents: Lined) -> Lined {
        let read = match read::file(path, self.trust) {
            Ok(Some(read)) => read,
            Ok(None) => return agents,
            Err(reason) => {
                self.blame(path, None, reason);
                return agents;
            }
        };
        if let Some(other) = self.seen.insert(read.inode, path.to_owned()) {
            self.blame(path, None, format!("is the same file as {}", other.display()));
            return agents;
        }
        let reader =
            Reader { path, text: &read.text, registry: self.registry, environment: self.environment };
        let Parsed { agents: found, first_key, faults } = reader.parse();
        self.faults.extend(faults);
        if read.open && first_key.is_some() {
            self.blame(path, first_key, "contains a key, but every user can read the file; run chmod 600");
        }
        for (id, line, agent) in found {
            if let Some((first, other)) = agents.get(&id) {
                let twice =
                    format!("the agent {id:?} is already declared in {}:{first}", other.source.display());
                self.blame(path, Some(line), twice);
            } else {
                agents.insert(id, (line, agent));
            }
        }
        agents
    }
}
