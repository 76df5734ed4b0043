//! `srvd providers add`: checks a file with provider entries, and puts it into providers.d.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use auth_spawner::{Overlay, Recorded, Recording, Recordings, Registry};

use super::AddArgs;
use crate::base::private;
use crate::cli::failure::{Failure, code};
use crate::cli::ui::{Ui, plain_line};
use crate::config::Config;
use crate::daemon::{OVERLAYS, overlays};
use crate::hint::Step;

/// Largest file of entries, and largest recording, in bytes.
const LARGEST: u64 = 4 * 1024 * 1024;
/// Name of the list in the directory of recordings.
const LIST: &str = "recordings.toml";

/// Checks the file and puts it into providers.d.
pub(crate) fn run(args: &AddArgs, config: &Config, ui: &Ui) -> Result<(), Failure> {
    let name = args.file.file_name().filter(|_| args.file.extension().is_some_and(|ending| ending == "toml"));
    let name = name.ok_or_else(|| Failure::new(code::USAGE, "the name of the file must end in .toml"))?;
    let text = read(&args.file)?;
    let dir = config.config_dir.join(OVERLAYS);
    let target = dir.join(name);
    if target.exists() && !args.replace {
        let message = format!("{} exists already", target.display());
        return Err(Failure::new(code::FAILED, message).hint(Step::ReplaceEntry));
    }
    let (before, after) = registries(config, &target, &text)?;
    let named = named(&text);
    let recordings = recordings(&args.file)?;
    let without = unrecorded(&named, &before, &after, &text, &recordings);
    if !without.is_empty() {
        let message = format!("no recording shows the login {}", without.join(", "));
        return Err(Failure::new(code::FAILED, message).hint(Step::RecordLogin));
    }
    check(&after, &named, &recordings)?;
    private::directory(&dir).map_err(|error| Failure::new(code::CANNOT_CREATE, error.to_string()))?;
    private::replace_file(&target, text.as_bytes()).map_err(Failure::io)?;
    let count = match recordings.len() {
        1 => "1 recording".to_owned(),
        count => format!("{count} recordings"),
    };
    ui.result(&format!(
        "added {} to {} ({count} checked). Restart the daemon to use it.",
        named.join(", "),
        plain_line(&target.display().to_string())
    ))
}

/// Reads a file that belongs to this user or to root and that only its owner may change.
fn read(path: &Path) -> Result<String, Failure> {
    let shown = plain_line(&path.display().to_string());
    let refuse = |reason: String| Failure::new(code::FAILED, format!("{shown} {reason}"));
    let found = std::fs::symlink_metadata(path)
        .map_err(|error| Failure::new(code::USAGE, format!("{shown} cannot be read: {error}")))?;
    if !found.is_file() {
        return Err(refuse("is not a regular file".to_owned()));
    }
    if found.uid() != rustix::process::geteuid().as_raw() && found.uid() != 0 {
        return Err(refuse(format!("belongs to another user (uid {})", found.uid())));
    }
    if found.mode() & 0o022 != 0 {
        let reason = format!("has mode {:04o}, so other users can change it", found.mode() & 0o7777);
        let path = path.into();
        let is_own = found.uid() == rustix::process::geteuid().as_raw();
        return Err(refuse(reason).hint(if is_own {
            Step::CloseFile { path }
        } else {
            Step::CloseAsRoot { path }
        }));
    }
    if found.len() > LARGEST {
        return Err(refuse(format!("is larger than {} MiB", LARGEST / 1024 / 1024)));
    }
    std::fs::read_to_string(path).map_err(|error| refuse(format!("cannot be read: {error}")))
}

/// Returns the registry without the file and with it. Files are laid over in the order of their names.
fn registries(config: &Config, target: &Path, text: &str) -> Result<(Registry, Registry), Failure> {
    let source = target.display().to_string();
    let mut files = overlays(config)?;
    files.retain(|file| file.source != source);
    let invalid = |error: auth_spawner::RegistryError| Failure::new(code::FAILED, error.to_string());
    let before = Registry::with_overlays(&files).map_err(invalid)?;
    files.push(Overlay { source, text: text.to_owned() });
    files.sort_by(|left, right| left.source.cmp(&right.source));
    Ok((before, Registry::with_overlays(&files).map_err(invalid)?))
}

/// Returns the ids of the providers in a file.
fn named(text: &str) -> Vec<String> {
    providers(text).keys().cloned().collect()
}

fn providers(text: &str) -> toml::Table {
    let file: toml::Table = text.parse().unwrap_or_default();
    file.get("providers").and_then(toml::Value::as_table).cloned().unwrap_or_default()
}

/// Reads the recordings beside a file.
fn recordings(file: &Path) -> Result<Vec<(Recording, Vec<Recorded>)>, Failure> {
    let dir: PathBuf = file.with_extension("recordings");
    if !dir.is_dir() {
        return Ok(Vec::new());
    }
    let refuse = |path: &Path, reason: String| {
        Failure::new(code::FAILED, format!("{}: {reason}", plain_line(&path.display().to_string())))
    };
    let list = dir.join(LIST);
    let parsed = Recordings::parse(&read(&list)?).map_err(|reason| refuse(&list, reason))?;
    let mut all = Vec::new();
    for recording in parsed.recording {
        if recording.name.contains('/') || recording.name.starts_with('.') {
            return Err(refuse(&list, format!("{:?} is not the name of a file", recording.name)));
        }
        let path = dir.join(format!("{}.events", recording.name));
        let output = Recorded::parse(&read(&path)?).map_err(|reason| refuse(&path, reason))?;
        all.push((recording, output));
    }
    Ok(all)
}

/// Returns the logins that the file defines for a tested version and that no recording shows.
fn unrecorded(
    named: &[String],
    before: &Registry,
    after: &Registry,
    text: &str,
    recordings: &[(Recording, Vec<Recorded>)],
) -> Vec<String> {
    let file = providers(text);
    let mut without = Vec::new();
    for id in named {
        let Some(cli) = after.provider(id).and_then(|provider| provider.cli.as_ref()) else { continue };
        let defines = file[id].get("cli").is_some_and(|cli| cli.get("recipes").is_some());
        if cli.tested.is_none() || !(defines || before.provider(id).is_none()) {
            continue;
        }
        for recipe in cli.recipe_ids() {
            let shown = recordings.iter().any(|(one, _)| one.provider == *id && one.recipe == recipe);
            if !shown {
                without.push(format!("{id} {recipe}"));
            }
        }
    }
    without
}

/// Reads every recording by the new entries.
fn check(
    registry: &Registry,
    named: &[String],
    recordings: &[(Recording, Vec<Recorded>)],
) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::io)?;
    for (recording, output) in recordings {
        let refuse = |reason: String| {
            Failure::new(code::FAILED, format!("the recording {} does not fit: {reason}", recording.name))
        };
        let provider = registry.provider(&recording.provider).filter(|provider| named.contains(&provider.id));
        let provider =
            provider.ok_or_else(|| refuse(format!("the file has no provider {}", recording.provider)))?;
        runtime.block_on(recording.check(provider, output)).map_err(refuse)?;
    }
    Ok(())
}
