//! Directories of the user's own that were adopted by an earlier version and lie in a home that was renamed since.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use auth_spawner::Registry;

use crate::config::Config;

/// Finds the present place of a directory in a home that no longer exists.
pub(super) struct MovedHome<'a> {
    config: &'a Config,
    /// Read only if there is such a directory.
    registry: OnceLock<Option<Registry>>,
}

impl<'a> MovedHome<'a> {
    /// The present home of this configuration.
    pub(super) fn new(config: &'a Config) -> Self {
        Self { config, registry: OnceLock::new() }
    }

    /// Returns the CLI's own directory in the present home, if `dir` was the same in a home that no longer exists. Blocks.
    pub(super) fn now(&self, provider: &str, dir: &Path) -> Option<PathBuf> {
        let gone = |path: &Path| std::fs::symlink_metadata(path).is_err();
        if !gone(dir) {
            return None;
        }
        let registry = self.registry.get_or_init(|| super::registry(self.config).ok()).as_ref()?;
        let own = registry.provider(provider)?.cli.as_ref()?.config_dir.own(&self.config.home);
        let below = own.strip_prefix(&self.config.home).ok().filter(|below| !below.as_os_str().is_empty())?;
        let home = dir.ancestors().nth(below.components().count()).filter(|_| dir.ends_with(below))?;
        (gone(home) && !gone(&own)).then_some(own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::environment::Environment;
    use crate::config::Flags;

    #[test]
    fn own_directory_is_found_again_when_its_home_was_renamed() {
        let root = tempfile::tempdir().unwrap();
        let home = root.path().join("home");
        std::fs::DirBuilder::new().recursive(true).create(home.join(".codex")).unwrap();
        let environment = Environment::of([("HOME", home.display().to_string())]);
        let config = Config::load(&environment, &Flags::default()).unwrap();
        let moved = MovedHome::new(&config);
        let check = |provider: &str, dir: PathBuf, found: bool| {
            let expected = found.then(|| home.join(".codex"));
            assert_eq!(moved.now(provider, &dir), expected, "{}", dir.display());
        };
        check("codex", root.path().join("former/.codex"), true);
        // The directory, or the home that it was in, still exists.
        check("codex", home.join(".codex"), false);
        check("codex", root.path().join(".codex"), false);
        check("codex", root.path().join("former/other"), false);
        check("claude", root.path().join("former/.claude"), false);
        check("gemini", root.path().join("former"), false);
    }
}
