//! The files that the sharing of one home is about.

use std::path::{Path, PathBuf};

use auth_spawner::{Cli, ShareRule};

use super::origin::{self, Expected, Found, Origin};
use super::variables::ListedVariables;

/// The largest number of entries of one directory that are linked one by one.
const ENTRIES: usize = 500;

/// The sharing of one home.
pub(super) struct Job<'a> {
    pub(super) cli: &'a Cli,
    /// The directory that the CLI's variable names.
    pub(super) home: &'a Path,
    pub(super) origin: &'a Origin,
    /// True if the history is shared.
    pub(super) history: bool,
    pub(super) listed: &'a ListedVariables,
}

/// One file or directory of a setup.
pub(super) struct Target<'a> {
    pub(super) rule: &'a ShareRule,
    /// The path below the directory that the CLI's variable names.
    pub(super) path: String,
    /// The path as the registry knows it, without the marks of directories.
    pub(super) below: String,
    /// The place in the setup that is shared.
    pub(super) source: PathBuf,
    pub(super) expected: Expected,
}

impl<'a> Job<'a> {
    /// Returns everything that may be shared, whether or not it exists. Blocking.
    pub(super) fn targets(&self) -> Vec<Target<'a>> {
        let rules = self.cli.share.iter().filter(|rule| self.history || !rule.history);
        rules.flat_map(|rule| rule.paths.iter().flat_map(|path| self.of_path(rule, path))).collect()
    }

    fn of_path(&self, rule: &'a ShareRule, path: &str) -> Vec<Target<'a>> {
        if let Some(dir) = path.strip_suffix("/*") {
            return self.entries(rule, dir);
        }
        let (below, expected) = match path.strip_suffix('/') {
            Some(below) => (below, Expected::Directory),
            None => (path, Expected::File),
        };
        self.target(rule, below.to_owned(), expected).into_iter().collect()
    }

    fn target(&self, rule: &'a ShareRule, below: String, expected: Expected) -> Option<Target<'a>> {
        let source = self.origin.place(self.cli, rule, &below)?;
        let path = origin::below_home(self.cli, rule, Path::new("")).join(&below);
        Some(Target { rule, path: path.to_string_lossy().into_owned(), below, source, expected })
    }

    /// Returns the entries of a directory, without hidden ones and in order of name.
    fn entries(&self, rule: &'a ShareRule, dir: &str) -> Vec<Target<'a>> {
        let Some(place) = self.origin.place(self.cli, rule, dir) else { return Vec::new() };
        let Found::At(real) = self.origin.find(&place, Expected::Directory) else { return Vec::new() };
        let names = std::fs::read_dir(real).into_iter().flatten().flatten();
        let mut names: Vec<(String, bool)> = names
            .filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path().is_dir())))
            .filter(|(name, _)| !name.starts_with('.'))
            .take(ENTRIES)
            .collect();
        names.sort();
        let target = |(name, is_dir): (String, bool)| {
            let expected = if is_dir { Expected::Directory } else { Expected::File };
            self.target(rule, format!("{dir}/{name}"), expected)
        };
        names.into_iter().filter_map(target).collect()
    }
}

impl<'a> Job<'a> {
    /// Returns the rule of a path in the home, and the path as the registry knows it. It may be a rule for files that are
    /// not shared now.
    pub(super) fn rule_of<'p>(&self, path: &'p str) -> Option<(&'a ShareRule, &'p str)> {
        self.cli.share.iter().find_map(|rule| {
            let base = origin::below_home(self.cli, rule, Path::new(""));
            let below = Path::new(path).strip_prefix(base).ok()?.to_str()?;
            rule.paths.iter().any(|known| known == below).then_some((rule, below))
        })
    }

    /// Returns the text that srvd writes before a login at this path.
    pub(super) fn prepared(&self, below: &str) -> Option<&'a str> {
        self.cli.prepare.iter().find(|file| file.path == below).map(|file| file.text.as_str())
    }
}
