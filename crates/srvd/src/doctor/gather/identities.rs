//! The tree of the CLIs' directories: `<bundle id>/<directory name>/...`. It is read and never changed.

use std::path::{Path, PathBuf};

use auth_spawner::{Cli, Proof, Reach, Registry, Shadow, TokenMark};
use identity_store::Contents;

use super::knows;
use super::places::node;
use crate::disk::identity_dir::homes::KEYS as KEY_HOMES;
use crate::disk::own_dir::OwnDirs;
use crate::disk::share;
use crate::doctor::facts::{Identities, NodeKind, Shared, Unowned};

/// The largest number of entries that are examined. CLIs keep caches and histories in these directories.
const ENTRIES: usize = 20_000;
/// The largest number of paths of one kind that are kept.
const KEPT: usize = 20;

/// Examines the tree. Without the database's contents it is not known which bundles exist.
pub(super) fn look(
    root: &Path,
    registry: &Registry,
    contents: Option<&Contents>,
    own: &OwnDirs,
) -> Identities {
    let mut walk = Walk { found: Identities { root: root.to_owned(), ..Identities::default() }, entries: 0 };
    if std::fs::symlink_metadata(root).is_ok() {
        walk.enter(root.to_owned(), 0);
    }
    let mut found = walk.found;
    found.directories.retain(|(path, _)| !is_lock(path, registry));
    found.tokens.extend(own_tokens(own, registry));
    for (path, node) in &found.directories {
        let depth = path.strip_prefix(root).map_or(0, |below| below.components().count());
        if node.kind != NodeKind::Directory {
            continue;
        }
        match depth {
            1 => {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                // No bundle's name begins with a dot: these are the daemon's own, such as the homes of agents.
                let is_bundle = !name.starts_with('.');
                if is_bundle && contents.is_some_and(|contents| !knows(contents, &name)) {
                    found.unowned.push(Unowned { path: path.clone(), logins: logins(path, registry) });
                }
            }
            2 if path.ends_with(KEY_HOMES) => found.shadows.extend(key_shadows(path, registry)),
            2 => {
                found.credentials.extend(credentials(path, registry));
                found.shadows.extend(shadows(path, registry));
                found.shares.extend(shared(path));
                found.tokens.extend(tokens(path, registry));
            }
            _ => {}
        }
    }
    found
}

struct Walk {
    found: Identities,
    entries: usize,
}

impl Walk {
    /// Records the entry at a path, and all entries below it. Follows no link.
    fn enter(&mut self, path: PathBuf, depth: usize) {
        if self.entries >= ENTRIES {
            self.found.truncated = true;
            return;
        }
        self.entries += 1;
        let node = match std::fs::symlink_metadata(&path) {
            Ok(found) => node(&found),
            // The entry was removed meanwhile, or may not be read.
            Err(error) => return self.hidden(path, &error),
        };
        if node.uid != rustix::process::geteuid().as_raw() && self.found.foreign.len() < KEPT {
            self.found.foreign.push((path.clone(), node.uid));
        }
        if depth <= 2 && matches!(node.kind, NodeKind::Directory | NodeKind::Link) {
            self.found.directories.push((path.clone(), node));
        }
        if node.kind != NodeKind::Directory {
            return;
        }
        match std::fs::read_dir(&path) {
            Ok(entries) => entries.flatten().for_each(|entry| self.enter(entry.path(), depth + 1)),
            Err(error) => self.hidden(path, &error),
        }
    }

    fn hidden(&mut self, path: PathBuf, error: &std::io::Error) {
        if error.kind() != std::io::ErrorKind::NotFound && self.found.hidden.len() < KEPT {
            self.found.hidden.push((path, error.to_string()));
        }
    }
}

/// Returns the credential files of the CLI that uses this directory.
fn credentials(dir: &Path, registry: &Registry) -> Vec<(PathBuf, crate::doctor::facts::Node)> {
    let name = dir.file_name().unwrap_or_default();
    let clis = registry.iter().filter_map(|provider| provider.cli.as_ref());
    clis.filter(|cli| name == cli.config_dir.name.as_str())
        .flat_map(|cli| cli.credential.iter().map(|file| cli.config_dir.inside(dir).join(&file.path)))
        .filter_map(|path| std::fs::symlink_metadata(&path).ok().map(|found| (path, node(&found))))
        .collect()
}

/// Returns whether a path is the lock that a CLI keeps beside its directory.
fn is_lock(path: &Path, registry: &Registry) -> bool {
    let Some(folder) = path.parent() else { return false };
    let clis = registry.iter().filter_map(|provider| provider.cli.as_ref());
    let mut locks = clis.flat_map(|cli| cli.locks_beside(&folder.join(&cli.config_dir.name)));
    locks.any(|lock| lock == path)
}

/// Returns the marks of the logins in a directory that a renewal replaces.
fn tokens(dir: &Path, registry: &Registry) -> Vec<(String, PathBuf, TokenMark)> {
    let name = dir.file_name().unwrap_or_default();
    let rotating = rotating(registry).filter(|(_, cli)| name == cli.config_dir.name.as_str());
    let marks =
        rotating.filter_map(|(id, cli)| Some((id, dir.to_owned(), mark(auth_spawner::prove(cli, dir))?)));
    marks.collect()
}

/// Returns the marks of the logins in the user's own directories that a renewal replaces.
fn own_tokens(own: &OwnDirs, registry: &Registry) -> Vec<(String, PathBuf, TokenMark)> {
    let found = rotating(registry).filter_map(|(id, cli)| {
        let dir = own.of(cli);
        Some((id, dir.dir.clone(), mark(dir.prove(cli))?))
    });
    found.collect()
}

fn rotating(registry: &Registry) -> impl Iterator<Item = (String, &Cli)> {
    let clis = registry.iter().filter_map(|provider| Some((provider.id.clone(), provider.cli.as_ref()?)));
    clis.filter(|(_, cli)| cli.keep_alive.as_ref().is_some_and(|keep| keep.rotates))
}

fn mark(proof: Proof) -> Option<TokenMark> {
    match proof {
        Proof::LoggedIn(found) => found.refresh_mark,
        _ => None,
    }
}

/// Returns the settings that take the place of a login in this directory, with the names of the CLIs.
fn shadows(dir: &Path, registry: &Registry) -> Vec<(String, Shadow)> {
    let name = dir.file_name().unwrap_or_default();
    let shadow = |provider: &std::sync::Arc<auth_spawner::Provider>| {
        let cli = provider.cli.as_ref().filter(|cli| name == cli.config_dir.name.as_str())?;
        matches!(auth_spawner::prove(cli, dir), Proof::LoggedIn(_)).then_some(())?;
        Some((provider.display_name.clone(), cli.shadow(dir, Reach::Bundle)?))
    };
    registry.iter().filter_map(shadow).collect()
}

/// Returns the settings that take the place of a key in the homes below this directory, with the names of the CLIs.
fn key_shadows(dir: &Path, registry: &Registry) -> Vec<(String, Shadow)> {
    let shadow = |provider: &std::sync::Arc<auth_spawner::Provider>| {
        let cli = provider.cli.as_ref()?;
        let home = dir.join(&cli.config_dir.name);
        std::fs::symlink_metadata(&home).ok()?;
        // A key of every provider is used in the same home.
        let found = cli.keys.values().find_map(|key| cli.shadow_of_key(key, &home))?;
        Some((provider.display_name.clone(), found))
    };
    registry.iter().filter_map(shadow).collect()
}

/// Returns the record of what was shared with a home; `None` if nothing was.
fn shared(home: &Path) -> Option<Shared> {
    let nothing = Shared { path: home.to_owned(), problem: None, broken: Vec::new(), left_out: Vec::new() };
    match share::recorded(home) {
        Ok(None) => None,
        Ok(Some(ledger)) => {
            let left = ledger.left_out().iter();
            let left = left.map(|left| (left.path.clone(), left.place.clone(), left.reason.clone()));
            Some(Shared { broken: ledger.broken_links(home), left_out: left.collect(), ..nothing })
        }
        Err(reason) => Some(Shared { problem: Some(reason), ..nothing }),
    }
}

/// Returns the providers whose logins are below a bundle's directory.
fn logins(bundle: &Path, registry: &Registry) -> Vec<String> {
    let holds = |cli: &Cli| {
        matches!(
            auth_spawner::prove(cli, &bundle.join(&cli.config_dir.name)),
            Proof::LoggedIn(_) | Proof::Unreadable { .. }
        )
    };
    let providers = registry.iter().filter(|provider| provider.cli.as_ref().is_some_and(holds));
    providers.map(|provider| provider.id.clone()).collect()
}
