//! Settings that make a CLI use another credential than the login in its directory.

use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use rustix::fs::Access;
use rustix::io::Errno;
use serde_json::{Map, Value};

use super::document::{members, parse};
use super::facts::text;
use super::files::{Root, Trust, hops, read_trusted};
use crate::registry::{
    Cli, Format, KeyHome, Reach, SettingsFile, SettingsFormat, SettingsScope, settings_of,
};

/// Largest settings file that is read, in bytes. Some CLIs keep their whole state in one.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// The most entries of a directory of settings files.
const MAX_ENTRIES: usize = 1000;

/// The most directories above the one in which a program is started that are searched for a project's settings.
const MAX_DEPTH: usize = 64;

/// A setting that makes the CLI use another credential than its login, or a file that may hold such a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shadow {
    /// The settings file.
    pub file: PathBuf,
    /// The cause.
    pub cause: ShadowCause,
}

/// The cause of a [`Shadow`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ShadowCause {
    /// The file sets this key, such as `env.ANTHROPIC_API_KEY`.
    Set(String),
    /// The file exists and cannot be read, so its settings are not known. The text is the reason.
    Unreadable(String),
}

/// The credential whose place a setting takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Beaten {
    Login,
    Key,
}

impl fmt::Display for Shadow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.display();
        match &self.cause {
            ShadowCause::Set(key) => write!(f, "{file} sets {key}"),
            ShadowCause::Unreadable(reason) => write!(f, "{file} cannot be read: {reason}"),
        }
    }
}

impl Cli {
    /// Returns the setting that takes the place of the login in `dir`, in a file of the CLI's directory or of the
    /// system. A setting comes before a file that cannot be read. `dir` is the directory that the CLI's variable names,
    /// or would name. Blocks, but not for long: of a large file only the few members that matter are kept.
    ///
    /// A file that the CLI cannot read either, because it is missing or not permitted, sets nothing.
    #[must_use]
    pub fn shadow(&self, dir: &Path, reach: Reach) -> Option<Shadow> {
        self.first_shadow(&self.shadows, dir, reach, Beaten::Login)
    }

    /// Returns the setting that takes the place of the key with which the CLI runs in `dir`, as [`Cli::shadow`] does for
    /// a login. Blocks.
    #[must_use]
    pub fn shadow_of_key(&self, key: &KeyHome, dir: &Path) -> Option<Shadow> {
        let files = key.shadows.as_deref().unwrap_or(&self.shadows);
        self.first_shadow(files, dir, Reach::Bundle, Beaten::Key)
    }

    fn first_shadow(
        &self,
        files: &[SettingsFile],
        dir: &Path,
        reach: Reach,
        beaten: Beaten,
    ) -> Option<Shadow> {
        let mut unreadable = None;
        let places = self
            .settings(files, dir, reach)
            .flat_map(|(place, file)| matching(place).into_iter().map(move |place| (place, file)));
        for (place, file) in places {
            match self.look(&place, file, beaten) {
                None => {}
                Some(found @ Shadow { cause: ShadowCause::Set(_), .. }) => return Some(found),
                Some(found) => unreadable = unreadable.or(Some(found)),
            }
        }
        unreadable
    }

    /// Returns the settings of a project that take the place of the login of programs that are started in `dir`. The
    /// project's files are looked for in `dir` and in the directories above it, up to the root of the repository.
    /// Blocks.
    #[must_use]
    pub fn project_shadows(&self, dir: &Path) -> Vec<Shadow> {
        let mut found = Vec::new();
        for above in dir.ancestors().take(MAX_DEPTH) {
            let counts = |file: &&SettingsFile| file.upward || above == dir;
            for file in self.settings_in(SettingsScope::Project).filter(counts) {
                found.extend(self.look(&above.join(&file.path), file, Beaten::Login));
            }
            if std::fs::symlink_metadata(above.join(".git")).is_ok() {
                break;
            }
        }
        found
    }

    /// Returns the files whose change may change what [`Cli::shadow`] returns, also those that do not exist. Blocks.
    #[must_use]
    pub fn settings_files(&self, dir: &Path, reach: Reach) -> Vec<(PathBuf, Format)> {
        let files = self.settings(&self.shadows, dir, reach).flat_map(|(place, _)| hops(place));
        files.map(|path| (path, Format::Json)).collect()
    }

    fn settings<'a>(
        &'a self,
        files: &'a [SettingsFile],
        dir: &'a Path,
        reach: Reach,
    ) -> impl Iterator<Item = (PathBuf, &'a SettingsFile)> + 'a {
        let root = Root::reached(&self.config_dir, dir, reach);
        let home = settings_of(files, SettingsScope::Home).filter_map(move |file| {
            let plain = file.own.is_none() && !file.path.starts_with('{');
            // The user's own setup has some of the CLI's files in other places.
            let place =
                if plain { Some(root.place(&file.path)) } else { self.settings_place(file, dir, reach) };
            Some((place?, file))
        });
        let system = settings_of(files, SettingsScope::System).map(|file| (PathBuf::from(&file.path), file));
        home.chain(system)
    }

    fn look(&self, place: &Path, file: &SettingsFile, beaten: Beaten) -> Option<Shadow> {
        let shadow = |cause| Some(Shadow { file: place.to_owned(), cause });
        match settings(place, file) {
            Ok(None) => None,
            Ok(Some(document)) => {
                first_key(self, file, &document, beaten).and_then(|key| shadow(ShadowCause::Set(key)))
            }
            Err(reason) => shadow(ShadowCause::Unreadable(reason)),
        }
    }
}

/// Returns the files that a path names: the path itself, or the matches of the one `*` in its last segment, in order.
fn matching(place: PathBuf) -> Vec<PathBuf> {
    let Some((head, tail)) = place.file_name().and_then(|name| name.to_str()?.split_once('*')) else {
        return vec![place];
    };
    let Some(Ok(entries)) = place.parent().map(std::fs::read_dir) else { return Vec::new() };
    let fits = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.len() >= head.len() + tail.len() && name.starts_with(head) && name.ends_with(tail)
    };
    let mut found: Vec<PathBuf> =
        entries.take(MAX_ENTRIES).flatten().map(|entry| entry.path()).filter(fits).collect();
    found.sort();
    found
}

/// Reads a settings file; `Ok(None)` if the CLI reads nothing there. Links are followed, as the CLI follows them.
fn settings(place: &Path, file: &SettingsFile) -> Result<Option<Value>, String> {
    let real = match std::fs::canonicalize(place) {
        Ok(real) => real,
        Err(error) if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => return Ok(None),
        Err(error) => {
            return match error.kind() {
                ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::PermissionDenied => Ok(None),
                _ => Err(error.to_string()),
            };
        }
    };
    if rustix::fs::access(&real, Access::READ_OK) == Err(Errno::ACCESS) {
        return Ok(None);
    }
    let Some(bytes) = read_trusted(&real, MAX_BYTES, Trust::Own)? else { return Ok(None) };
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    match file.format {
        SettingsFormat::Json => match members(&bytes, &file.members()) {
            Some(document) => Ok(document),
            None => parse(Format::Jsonc, &bytes),
        },
        SettingsFormat::Toml => parse(Format::Toml, &bytes),
        SettingsFormat::Yaml => parse(Format::Yaml, &bytes),
        SettingsFormat::Env => Ok(assignments(&bytes)),
    }
    .map(Some)
}

/// Returns the assignments of a file with lines of the form `NAME=value`. Other lines are skipped.
fn assignments(bytes: &[u8]) -> Value {
    let mut found = Map::new();
    for line in String::from_utf8_lossy(bytes).lines() {
        let line = line.trim();
        let line = line.strip_prefix("export ").unwrap_or(line);
        if let Some((name, value)) = line.split_once('=').filter(|_| !line.starts_with('#')) {
            let value = value.trim().trim_matches(['"', '\'']);
            found.insert(name.trim().to_owned(), Value::String(value.to_owned()));
        }
    }
    Value::Object(found)
}

/// Returns the first setting of a document that takes the place of the login.
fn first_key(cli: &Cli, file: &SettingsFile, document: &Value, beaten: Beaten) -> Option<String> {
    let by_key = || file.keys.iter().find_map(|pointer| set_at(document, pointer));
    let by_value = || {
        file.values.iter().find_map(|(pointer, texts)| {
            let value = document.pointer(pointer).and_then(text)?;
            texts.iter().any(|text| text == value).then(|| name(pointer))
        })
    };
    let by_other = || {
        file.other_than.iter().find_map(|(pointer, texts)| {
            let value = document.pointer(pointer).and_then(text)?;
            texts.iter().all(|text| text != value).then(|| name(pointer))
        })
    };
    let by_variable = || {
        let pointer = file.variables.as_deref()?;
        let table = document.pointer(pointer)?.as_object()?;
        // Lines of an `env` file set only variables that are not set, and a launch with a key sets the key's.
        let only_addresses = beaten == Beaten::Key && file.format == SettingsFormat::Env;
        let counts = |name: &&str| !(only_addresses && cli.key_vars.iter().any(|known| known == name));
        let mut names = cli.overriding_variables().filter(counts);
        let found = names.find(|name| table.get(*name).is_some_and(takes_effect))?;
        Some(name(&format!("{pointer}/{found}")))
    };
    by_key().or_else(by_value).or_else(by_other).or_else(by_variable)
}

/// Returns the name of the first setting at a pointer, where a segment `*` stands for every member.
fn set_at(document: &Value, pointer: &str) -> Option<String> {
    let Some((above, below)) = pointer.split_once("/*") else {
        return document.pointer(pointer).filter(|value| is_set(value)).map(|_| name(pointer));
    };
    let members = document.pointer(above)?.as_object()?;
    let mut names: Vec<&String> = members.keys().collect();
    names.sort();
    names.into_iter().find_map(|member| {
        let value = &members[member];
        let rest = set_at(value, below)?;
        let head = name(&format!("{above}/{}", member.replace('~', "~0").replace('/', "~1")));
        Some(if rest.is_empty() { head } else { format!("{head}.{rest}") })
    })
}

/// Returns whether a setting has a value that is not empty.
fn is_set(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(values) => !values.is_empty(),
        Value::Object(members) => !members.is_empty(),
        Value::Bool(true) | Value::Number(_) => true,
    }
}

/// Returns whether a variable with this value has an effect. Switches are off with `0` and `false`.
fn takes_effect(value: &Value) -> bool {
    is_set(value) && !matches!(value.as_str(), Some("0" | "false")) && value.as_i64() != Some(0)
}

/// Returns a pointer in the form in which people write a setting: `env.NAME`.
fn name(pointer: &str) -> String {
    let segments = pointer.split('/').skip(1).map(|segment| segment.replace("~1", "/").replace("~0", "~"));
    let name: Vec<String> = segments.collect();
    // The names of members come from the file, which could hold any text.
    name.join(".").chars().filter(|letter| !letter.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::registry::{Overlay, Registry};

    fn cli(provider: &str) -> Cli {
        Registry::builtin().unwrap().provider(provider).unwrap().cli.clone().unwrap()
    }

    /// A CLI whose only shadow is one file of the system.
    fn with_system_file(path: &Path) -> Cli {
        let text = format!(
            "[[providers.claude.cli.shadows]]\npath = \"{}\"\nscope = \"system\"\nkeys = [\"/apiKeyHelper\"]\n",
            path.display()
        );
        let overlay = Overlay { text, source: "test".to_owned() };
        Registry::with_overlays(&[overlay]).unwrap().provider("claude").unwrap().cli.clone().unwrap()
    }

    fn put(path: &Path, text: &str) {
        std::fs::DirBuilder::new().recursive(true).create(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Each setting was seen to take the place of the login, or is documented to do so.
    #[test]
    fn setting_in_the_directory_is_named_with_file_and_key() {
        let check = |provider: &str, file: &str, text: &str, expected: Option<&str>| {
            let dir = tempfile::tempdir().unwrap();
            put(&dir.path().join(file), text);
            let found = cli(provider).shadow(dir.path(), Reach::Bundle);
            let expected = expected
                .map(|key| Shadow { file: dir.path().join(file), cause: ShadowCause::Set(key.to_owned()) });
            assert_eq!(found, expected, "{provider} {file} {text}");
        };
        let settings = "settings.json";
        check("claude", settings, r#"{"apiKeyHelper": "/bin/key"}"#, Some("apiKeyHelper"));
        check("claude", settings, r#"{"env": {"ANTHROPIC_API_KEY": "k"}}"#, Some("env.ANTHROPIC_API_KEY"));
        check("claude", settings, r#"{"env": {"ANTHROPIC_BASE_URL": "u"}}"#, Some("env.ANTHROPIC_BASE_URL"));
        check(
            "claude",
            settings,
            r#"{"env": {"CLAUDE_CODE_USE_BEDROCK": 1}}"#,
            Some("env.CLAUDE_CODE_USE_BEDROCK"),
        );
        check("claude", settings, r#"{"env": {"CLAUDE_CODE_USE_BEDROCK": "0"}}"#, None);
        check(
            "claude",
            settings,
            r#"{"env": {"CLAUDE_CODE_MAX_OUTPUT_TOKENS": "9"}, "theme": "dark"}"#,
            None,
        );
        check("claude", settings, r#"{"apiKeyHelper": "", "env": {"ANTHROPIC_API_KEY": ""}}"#, None);
        check("claude", settings, r#"["apiKeyHelper"]"#, None);
        check("claude", settings, " \n", None);
        check("codex", "config.toml", "model_provider = \"azure\"\n", Some("model_provider"));
        check("codex", "config.toml", "model_provider = \"openai\"\n", None);
        check(
            "codex",
            "config.toml",
            "cli_auth_credentials_store = \"keyring\"\n",
            Some("cli_auth_credentials_store"),
        );
        check("codex", "config.toml", "[profiles.w]\nmodel_provider = \"x\"\n", None);
        check("codex", "config.toml", "forced_login_method = \"api\"\n", Some("forced_login_method"));
        check(
            "gemini",
            ".gemini/settings.json",
            r#"{"security":{"auth":{"enforcedType":"vertex-ai"}}}"#,
            Some("security.auth.enforcedType"),
        );
        check(
            "gemini",
            ".gemini/.env",
            "export CODE_ASSIST_ENDPOINT='https://x.test'\n",
            Some("CODE_ASSIST_ENDPOINT"),
        );
        check("gemini", ".gemini/.env", "# CODE_ASSIST_ENDPOINT=x\nGOOGLE_CLOUD_PROJECT=p\n", None);
        check("github", "config.yml", "http_unix_socket: /run/x\n", Some("http_unix_socket"));
        check("github", "config.yml", "http_unix_socket:\n", None);
        check(
            "opencode",
            "config/opencode/opencode.json",
            r#"{"provider": {"openai": {"options": {"apiKey": "k"}}}}"#,
            Some("provider.openai.options.apiKey"),
        );
    }

    #[test]
    fn settings_file_that_cannot_be_read_is_named_with_the_reason() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("settings.json");
        let cli = cli("claude");
        let check = |expected: Option<&str>| {
            let found = cli.shadow(dir.path(), Reach::Bundle).map(|found| match found.cause {
                ShadowCause::Unreadable(reason) => reason,
                other @ ShadowCause::Set(_) => panic!("{other:?}"),
            });
            assert_eq!(found.as_deref(), expected);
            let _ = std::fs::remove_file(&file);
        };
        check(None);
        put(&file, "{\n\"apiKeyHelper\": ");
        check(Some("not JSON with comments at line 2"));
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &file,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        check(Some("it is not a regular file"));
        std::fs::File::create(&file).unwrap().set_len(100 * 1024 * 1024).unwrap();
        check(Some("it is larger than 64 MiB"));
        symlink(dir.path().join("absent"), &file).unwrap();
        check(None);
        symlink(&file, &file).unwrap();
        check(None);
    }

    #[test]
    fn setting_behind_a_link_of_the_users_counts() {
        let dir = tempfile::tempdir().unwrap();
        put(&dir.path().join("dotfiles/claude.json"), r#"{"apiKeyHelper": "x"}"#);
        let home = dir.path().join("home");
        std::fs::create_dir(&home).unwrap();
        symlink("../dotfiles/claude.json", home.join("settings.json")).unwrap();
        let cli = cli("claude");
        let found = cli.shadow(&home, Reach::Bundle).unwrap();
        assert_eq!(found.file, home.join("settings.json"));
        // A change of the link and a change of its target are both noticed.
        let watched: Vec<PathBuf> =
            cli.settings_files(&home, Reach::Bundle).into_iter().map(|(path, _)| path).collect();
        assert!(watched.contains(&home.join("settings.json")));
        assert!(watched.contains(&home.join("../dotfiles/claude.json")), "{watched:?}");
    }

    #[test]
    fn setting_of_the_system_counts_for_every_directory() {
        let root = tempfile::tempdir().unwrap();
        let managed = root.path().join("etc/managed-settings.json");
        let cli = with_system_file(&managed);
        let dir = root.path().join("home");
        assert_eq!(cli.shadow(&dir, Reach::Bundle), None);
        put(&managed, r#"{"apiKeyHelper": "/opt/key"}"#);
        for reach in [Reach::Bundle, Reach::Variable, Reach::Usual] {
            let found = cli.shadow(&dir, reach).unwrap().to_string();
            assert_eq!(found, format!("{} sets apiKeyHelper", managed.display()));
        }
    }

    #[test]
    fn every_settings_file_of_a_directory_counts_when_the_path_has_a_star() {
        let root = tempfile::tempdir().unwrap();
        let cli = with_system_file(&root.path().join("etc/managed.d/*.json"));
        let found = || cli.shadow(root.path(), Reach::Bundle).map(|found| found.file);
        assert_eq!(found(), None);
        put(&root.path().join("etc/managed.d/a.json"), "{}");
        put(&root.path().join("etc/managed.d/c.txt"), r#"{"apiKeyHelper": "x"}"#);
        assert_eq!(found(), None);
        put(&root.path().join("etc/managed.d/b.json"), r#"{"apiKeyHelper": "x"}"#);
        assert_eq!(found(), Some(root.path().join("etc/managed.d/b.json")));
    }

    #[test]
    fn settings_of_the_users_own_setup_are_found_beside_the_directory() {
        let home = tempfile::tempdir().unwrap();
        let cli = cli("opencode");
        let settings = home.path().join(".config/opencode/opencode.json");
        put(&settings, r#"{"provider": {"openai": {"options": {"baseURL": "https://x.test"}}}}"#);
        let dir = cli.config_dir.own(home.path());
        assert_eq!(cli.shadow(&dir, Reach::Usual).unwrap().file, settings);
        assert_eq!(cli.shadow(&dir, Reach::Bundle), None);
        assert_eq!(cli.shadow(&dir, Reach::Variable), None);
    }

    #[test]
    fn project_settings_are_found_up_to_the_root_of_the_repository() {
        let root = tempfile::tempdir().unwrap();
        let project = root.path().join("above/project");
        put(&project.join("deep/er/x"), "");
        put(&root.path().join("above/.codex/config.toml"), "model_provider = \"outside\"");
        put(&project.join(".codex/config.toml"), "model_provider = \"inside\"");
        put(&project.join(".claude/settings.local.json"), r#"{"env": {"ANTHROPIC_API_KEY": "k"}}"#);
        let found = |provider: &str, dir: &Path| cli(provider).project_shadows(dir).len();
        assert_eq!(found("codex", &project.join("deep/er")), 2);
        std::fs::create_dir(project.join(".git")).unwrap();
        assert_eq!(found("codex", &project.join("deep/er")), 1);
        assert_eq!(found("codex", &root.path().join("above")), 1);
        // Claude Code reads the settings of the directory in which it is started only.
        assert_eq!((found("claude", &project.join("deep")), found("claude", &project)), (0, 1));
    }

    #[test]
    fn star_in_a_key_names_the_member_that_sets_it() {
        let document = serde_json::json!({"p": {"b": {"k": "x"}, "a": {"k": ""}, "c/d": {"k": "y"}}});
        assert_eq!(set_at(&document, "/p/*/k").as_deref(), Some("p.b.k"));
        assert_eq!(set_at(&document, "/p/*/none"), None);
        assert_eq!(set_at(&document, "/none/*/k"), None);
    }
}
