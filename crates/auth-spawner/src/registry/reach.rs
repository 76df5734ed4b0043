//! The ways in which a CLI finds the directory that contains a login.

use std::collections::BTreeMap;
use std::path::Path;

use super::config_dir::ConfigDir;

/// The way in which a CLI finds the directory that contains a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Through all variables of its entry: a directory that belongs to a bundle.
    Bundle,
    /// Through the one variable that the user sets: the user's own directory in a place of the user's choice.
    Variable,
    /// Without a variable: the user's own directory in its usual place, where some files lie beside it.
    Usual,
}

impl ConfigDir {
    /// Returns the way in which the CLI finds `dir`. A bundle owns `dir` unless `own` is true; `home` is the user's
    /// home.
    #[must_use]
    pub fn reach(&self, dir: &Path, own: bool, home: &Path) -> Reach {
        match own {
            false => Reach::Bundle,
            true if dir == self.own(home) => Reach::Usual,
            true => Reach::Variable,
        }
    }

    /// Returns the variables that point the CLI at `dir`; `shared` is the directory that all bundles share.
    #[must_use]
    pub fn variables_for(&self, reach: Reach, dir: &Path, shared: &Path) -> BTreeMap<String, String> {
        match reach {
            Reach::Bundle => self.variables(dir, shared),
            // The user's own programs decide where everything else of the user's directory is.
            Reach::Variable => BTreeMap::from([(self.var.clone(), dir.to_string_lossy().into_owned())]),
            Reach::Usual => BTreeMap::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Proof, Registry};

    #[test]
    fn config_dir_sets_only_the_variables_its_reach_needs() {
        let registry = Registry::builtin().unwrap();
        let home = Path::new("/home/u");
        let check = |provider: &str, dir: &str, own, expected: Reach, set: &[&str]| {
            let config = &registry.provider(provider).unwrap().cli.as_ref().unwrap().config_dir;
            let reach = config.reach(Path::new(dir), own, home);
            assert_eq!(reach, expected, "{provider} {dir}");
            let variables = config.variables_for(reach, Path::new(dir), Path::new("/s"));
            assert_eq!(variables.keys().collect::<Vec<_>>(), set, "{provider} {dir}");
        };
        check("codex", "/home/u/.codex", true, Reach::Usual, &[]);
        check("codex", "/work/codex", true, Reach::Variable, &["CODEX_HOME"]);
        check("codex", "/data/b/codex", false, Reach::Bundle, &["CODEX_HOME"]);
        check("gemini", "/home/u", true, Reach::Usual, &[]);
        let all = ["COPILOT_CACHE_HOME", "COPILOT_HOME", "COPILOT_PKG_CACHE_HOME", "GH_CONFIG_DIR"];
        check("copilot", "/work/copilot", true, Reach::Variable, &["COPILOT_HOME"]);
        check("copilot", "/data/b/copilot", false, Reach::Bundle, &all);
    }

    #[test]
    fn file_beside_the_directory_counts_only_when_no_variable_is_set() {
        let registry = Registry::builtin().unwrap();
        let cli = registry.provider("claude").unwrap().cli.as_ref().unwrap();
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join(".claude");
        std::fs::create_dir(&dir).unwrap();
        let tokens =
            r#"{"claudeAiOauth": {"accessToken": "a", "refreshToken": "r", "expiresAt": 9999999999999}}"#;
        std::fs::write(dir.join(".credentials.json"), tokens).unwrap();
        std::fs::write(
            home.path().join(".claude.json"),
            r#"{"oauthAccount": {"emailAddress": "a@x", "accountUuid": "1"}}"#,
        )
        .unwrap();
        let email = |reach| match cli.prove(&dir, reach) {
            Proof::LoggedIn(credential) => credential.email,
            other => panic!("{other:?}"),
        };
        assert_eq!(email(Reach::Usual).as_deref(), Some("a@x"));
        assert_eq!(email(Reach::Variable), None);
    }
}
