//! `srvd shims`: scripts with the names of the CLIs, first on the `PATH`, that start the CLIs through `srvd exec`. A
//! shim is known by its first bytes (`auth_spawner::SHIM_HEAD`), and every search for a CLI passes over it. In a
//! directory without a bundle it starts its CLI only for `--version`, `--help` and the `plain-commands` of the
//! registry.

mod file;

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use auth_spawner::Registry;
use serde::Serialize;

use super::failure::{Failure, code};
use super::launch::{find, search_path, trust};
use super::list::Format;
use super::table;
use super::ui::{Ui, plain_line};
use super::vocabulary::Symbol;
use crate::base::environment::Environment;
use crate::base::private;
use crate::config::Config;
use crate::daemon;
use crate::hint::Step;
pub(super) use file::quoted;
use file::{Place, Written};

/// Subcommands of `srvd shims`.
#[expect(clippy::doc_markdown, reason = "these comments are help texts, which show what is typed")]
#[derive(Debug, clap::Subcommand)]
pub(super) enum ShimsCommand {
    /// Create shims for the named CLIs, or for all installed ones
    ///
    /// A shim starts its CLI with the bundle that the directory is bound to (see: srvd use). In a directory that is not
    /// bound, it runs only commands that need no identity, such as --version, --help and updates of the CLI.
    /// SRVD_SHIM=off codex ... starts the CLI once without srvd. A file that is not an srvd shim is never overwritten.
    Install(ShimsArgs),
    /// Remove the named shims, or all of them
    Remove(ShimsArgs),
    /// List the shims, and the programs that they start
    List {
        #[command(flatten)]
        place: PlaceArgs,
        #[command(flatten)]
        format: Format,
    },
}

/// Arguments of `srvd shims install` and `srvd shims remove`.
#[derive(Debug, clap::Args)]
pub(super) struct ShimsArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// The CLIs, such as claude
    #[arg(value_name = "PROGRAM")]
    programs: Vec<String>,
}

/// The directory of the shims.
#[derive(Debug, clap::Args)]
pub(super) struct PlaceArgs {
    /// The directory of the shims; by default, `shims` in the data directory
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl PlaceArgs {
    fn dir(&self, config: &Config) -> Result<PathBuf, Failure> {
        match &self.dir {
            Some(dir) => std::path::absolute(dir).map_err(Failure::io),
            None => Ok(config.data_dir.join("shims")),
        }
    }
}

/// Runs a command about shims. It needs no daemon.
pub(super) fn run(
    command: &ShimsCommand,
    config: &Config,
    environment: &Environment,
    ui: &Ui,
) -> Result<(), Failure> {
    match command {
        ShimsCommand::Install(args) => install(args, config, environment, ui),
        ShimsCommand::Remove(args) => remove(args, config, ui),
        ShimsCommand::List { place, format } => list(&place.dir(config)?, format, environment, ui),
    }
}

fn install(args: &ShimsArgs, config: &Config, environment: &Environment, ui: &Ui) -> Result<(), Failure> {
    let programs = wanted(&daemon::registry(config)?, &args.programs, environment)?;
    let dir = args.place.dir(config)?;
    prepare(&dir, args.place.dir.is_none())?;
    let srvd = own_path(environment)?;
    let mut rows = Vec::new();
    let mut foreign = Vec::new();
    for name in &programs {
        let path = dir.join(name);
        let written = file::write(&path, &file::text(&srvd, name)?)
            .map_err(|error| Failure::new(code::CANNOT_CREATE, format!("{}: {error}", path.display())))?;
        if written == Written::NotOurs {
            foreign.push(path.display().to_string());
        }
        let leads = find(name.as_ref(), search_path(environment), &trust(environment));
        let leads = leads.map(|path| path.display().to_string()).unwrap_or_default();
        rows.push(vec![name.clone(), written.as_str().to_owned(), leads]);
    }
    if rows.is_empty() {
        ui.note("No installed CLI was found on the PATH. See: srvd providers");
        return Ok(());
    }
    ui.result(&table::draw(ui, &["PROGRAM", "SHIM", "LEADS TO"], rows))?;
    let ahead = |name: &&String| first(name, environment).is_some_and(|first| first == dir.join(name));
    if !programs.iter().all(|name| ahead(&name)) {
        ui.note(&path_advice(&dir, environment));
    }
    if foreign.is_empty() {
        return Ok(());
    }
    let message = format!("not an srvd shim, so not overwritten: {}", foreign.join(", "));
    Err(Failure::new(code::CANNOT_CREATE, message).hint(Step::MoveShimTarget))
}

/// Returns the programs to make shims for: the named ones, else every installed CLI of the registry.
fn wanted(registry: &Registry, named: &[String], environment: &Environment) -> Result<Vec<String>, Failure> {
    let clis = || registry.iter().filter_map(|provider| provider.cli.as_ref());
    let mut known: Vec<&String> = clis().flat_map(|cli| &cli.binaries).collect();
    known.sort();
    known.dedup();
    let is_there =
        |name: &&String| find(name.as_ref(), search_path(environment), &trust(environment)).is_ok();
    if named.is_empty() {
        return Ok(known.into_iter().filter(|name| is_there(name)).cloned().collect());
    }
    if let Some(unknown) = named.iter().find(|name| !known.contains(name)) {
        let known: Vec<&str> = known.iter().map(|name| name.as_str()).collect();
        return Err(Failure::new(code::USAGE, format!("{unknown} is not the CLI of any provider"))
            .hint(Step::KnownClis { known: known.join(", ") }));
    }
    if let Some(absent) = named.iter().find(|name| !is_there(name)) {
        let cli = clis().find(|cli| cli.binaries.contains(absent));
        let failure = Failure::new(code::UNAVAILABLE, format!("{absent} is not on the PATH"));
        return Err(match cli {
            Some(cli) => failure.hint(Step::InstallWith { command: cli.install.clone() }),
            None => failure,
        });
    }
    Ok(named.to_vec())
}

/// Creates the directory, or checks an existing one. A user who can write to it decides which program runs under a
/// CLI's name.
fn prepare(dir: &Path, is_default: bool) -> Result<(), Failure> {
    let refuse = |reason: &str| Failure::new(code::PERMISSION, format!("{}: {reason}", dir.display()));
    if is_default || !dir.exists() {
        return private::directory(dir).map_err(|error| Failure::new(code::CANNOT_CREATE, error.to_string()));
    }
    let found = std::fs::metadata(dir).map_err(Failure::io)?;
    let owner = found.uid();
    if !found.is_dir() {
        Err(refuse("it is not a directory"))
    } else if owner != rustix::process::geteuid().as_raw() {
        Err(refuse(&format!("it belongs to uid {owner}")))
    } else if found.permissions().mode() & 0o022 != 0 {
        Err(refuse("other users can write to it and put their own programs there")
            .hint(Step::CloseOwn { path: dir.into() }))
    } else {
        Ok(())
    }
}

/// Returns the path of this program. The name that it was called by is used if it leads to the program, because a
/// package manager keeps that name when it installs a newer version elsewhere.
fn own_path(environment: &Environment) -> Result<PathBuf, Failure> {
    let running = std::env::current_exe().map_err(Failure::io)?;
    let real = running.canonicalize().map_err(Failure::io)?;
    let called = std::env::args_os().next().and_then(|name| {
        let found = find(&name, search_path(environment), &trust(environment)).ok()?;
        std::path::absolute(found).ok()
    });
    Ok(called.filter(|path| path.canonicalize().is_ok_and(|path| path == real)).unwrap_or(running))
}

/// Returns the file that a name on the `PATH` leads to. It may be a shim.
fn first(name: &str, environment: &Environment) -> Option<PathBuf> {
    std::env::split_paths(search_path(environment))
        .map(|dir| dir.join(name))
        .find(|place| auth_spawner::is_shim(place) || auth_spawner::is_program(place))
}

fn path_advice(dir: &Path, environment: &Environment) -> String {
    let fish = environment.text("SHELL").is_some_and(|shell| shell.ends_with("/fish"));
    let quoted = quoted(&dir.display().to_string());
    let line = if fish {
        format!("fish_add_path --prepend --move {quoted}")
    } else {
        format!("export PATH={quoted}:\"$PATH\"")
    };
    format!("The shims are not first on the PATH. Put this at the end of your shell's profile:\n\n  {line}\n")
}

fn remove(args: &ShimsArgs, config: &Config, ui: &Ui) -> Result<(), Failure> {
    let dir = args.place.dir(config)?;
    let names = if args.programs.is_empty() {
        file::shims_in(&dir).map_err(Failure::io)?
    } else {
        args.programs.clone()
    };
    if names.is_empty() {
        ui.note(&format!("There are no shims in {}", plain_line(&dir.display().to_string())));
        return Ok(());
    }
    let mut left = Vec::new();
    for name in names {
        // Only the file name is used, so that a path cannot lead out of the directory.
        let path = dir.join(Path::new(&name).file_name().unwrap_or_default());
        match file::place(&path) {
            Place::Ours => {
                std::fs::remove_file(&path).map_err(Failure::io)?;
                ui.result(&format!("removed {}", plain_line(&path.display().to_string())))?;
            }
            Place::Free => left.push(format!("{} does not exist", path.display())),
            Place::Foreign => {
                left.push(format!("{} is not an srvd shim and was not removed", path.display()));
            }
        }
    }
    if args.place.dir.is_none() {
        // The directory is only removed if it is empty. Otherwise this fails, as intended.
        let _ = std::fs::remove_dir(&dir);
    }
    if left.is_empty() { Ok(()) } else { Err(Failure::new(code::FAILED, left.join("; "))) }
}

/// A shim in the output of `srvd shims list`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shim {
    program: String,
    path: PathBuf,
    /// True if the shell runs this shim for its name.
    first: bool,
    /// The file that the shell runs for the name.
    #[serde(skip_serializing_if = "Option::is_none")]
    reaches: Option<PathBuf>,
    /// The program that the shim starts.
    #[serde(skip_serializing_if = "Option::is_none")]
    leads_to: Option<PathBuf>,
}

fn list(dir: &Path, format: &Format, environment: &Environment, ui: &Ui) -> Result<(), Failure> {
    let shim = |program: String| {
        let path = dir.join(&program);
        let reaches = first(&program, environment);
        Shim {
            first: reaches.as_ref() == Some(&path),
            leads_to: find(program.as_ref(), search_path(environment), &trust(environment)).ok(),
            reaches,
            path,
            program,
        }
    };
    let shims: Vec<Shim> = file::shims_in(dir).map_err(Failure::io)?.into_iter().map(shim).collect();
    if format.json {
        return ui.json(&serde_json::json!({ "dir": dir, "shims": shims }));
    }
    if shims.is_empty() {
        ui.note(&format!(
            "There are no shims in {}. Create them with: srvd shims install",
            plain_line(&dir.display().to_string())
        ));
        return Ok(());
    }
    let shown = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
    let row = |shim: &Shim| {
        let state = match (&shim.reaches, shim.first) {
            (_, true) => format!("{} first on the PATH", Symbol::Good.text(ui)),
            (Some(other), false) => format!("{} behind {}", Symbol::Attention.text(ui), other.display()),
            (None, false) => format!("{} not on the PATH", Symbol::Attention.text(ui)),
        };
        let leads =
            shown(&shim.leads_to).unwrap_or_else(|| "no program: the CLI is not on the PATH".to_owned());
        vec![shim.program.clone(), state, leads]
    };
    ui.result(&table::draw(ui, &["PROGRAM", "STATE", "LEADS TO"], shims.iter().map(row)))?;
    if shims.iter().any(|shim| !shim.first) {
        ui.note(&path_advice(dir, environment));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;

    use super::*;

    #[test]
    fn path_advice_uses_the_syntax_of_the_shell() {
        let check = |shell: &str, expected: &str| {
            let environment = Environment::of([("SHELL", shell.to_owned())]);
            let said = path_advice(Path::new("/h/it's/shims"), &environment);
            assert_eq!(said.lines().nth(2), Some(expected));
        };
        check("/bin/zsh", r#"  export PATH='/h/it'\''s/shims':"$PATH""#);
        check("/usr/bin/fish", r"  fish_add_path --prepend --move '/h/it'\''s/shims'");
    }

    #[test]
    fn shim_is_made_only_for_an_installed_cli_of_the_registry() {
        let registry = Registry::builtin().unwrap();
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("codex"), "#!/bin/sh\n").unwrap();
        std::fs::set_permissions(root.path().join("codex"), Permissions::from_mode(0o755)).unwrap();
        let environment = Environment::of([("PATH", root.path().display().to_string())]);
        let check = |named: &[&str], expected: Result<&[&str], u8>| {
            let named: Vec<String> = named.iter().map(|name| (*name).to_owned()).collect();
            let found = wanted(&registry, &named, &environment).map_err(|failure| failure.code());
            assert_eq!(found, expected.map(|names| names.iter().map(|name| (*name).to_owned()).collect()));
        };
        check(&[], Ok(&["codex"]));
        check(&["codex"], Ok(&["codex"]));
        check(&["claude"], Err(code::UNAVAILABLE));
        check(&["sh"], Err(code::USAGE));
        check(&["../codex"], Err(code::USAGE));
    }

    #[test]
    fn shim_directory_is_refused_when_others_can_write_to_it() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("bin");
        assert_eq!(prepare(&dir, false), Ok(()));
        for (mode, good) in [(0o755, true), (0o775, false), (0o1777, false)] {
            std::fs::set_permissions(&dir, Permissions::from_mode(mode)).unwrap();
            assert_eq!(prepare(&dir, false).is_ok(), good, "{mode:o}");
        }
    }
}
