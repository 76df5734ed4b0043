//! `srvd man`: the manual pages, for packages.

use std::path::{Path, PathBuf};

use clap::CommandFactory as _;

use super::failure::{Failure, code};

/// Arguments of `srvd man`.
#[derive(Debug, clap::Args)]
pub(super) struct ManArgs {
    /// Existing directory for the pages: srvd.1, and one page for each command
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// Writes a page for each command that the help lists.
pub(super) fn run(args: &ManArgs) -> Result<(), Failure> {
    write(&args.out)
        .map_err(|error| Failure::new(code::CANNOT_CREATE, format!("{}: {error}", args.out.display())))
}

fn write(out: &Path) -> std::io::Result<()> {
    clap_mangen::generate_to(super::Cli::command(), out)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Adds the names of the pages that a command and its visible subcommands must have.
    fn pages(command: &clap::Command, name: &str, into: &mut BTreeSet<String>) {
        into.insert(format!("{name}.1"));
        for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
            pages(sub, &format!("{name}-{}", sub.get_name()), into);
        }
    }

    #[test]
    fn manual_has_a_page_for_each_command() {
        let out = tempfile::tempdir().unwrap();
        run(&ManArgs { out: out.path().to_owned() }).unwrap();
        let written: BTreeSet<String> = std::fs::read_dir(out.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        let mut expected = BTreeSet::new();
        pages(&super::super::Cli::command(), "srvd", &mut expected);
        assert_eq!(written, expected, "the pages must be those of the commands");
        assert!(written.contains("srvd-key-generate.1"), "{written:?}");
        let page = std::fs::read_to_string(out.path().join("srvd-wait.1")).unwrap();
        assert!(page.contains("timeout"), "a page must describe the options: {page}");
    }

    #[test]
    fn missing_directory_is_named() {
        let out = tempfile::tempdir().unwrap().path().join("absent");
        let failure = run(&ManArgs { out: out.clone() }).unwrap_err();
        assert_eq!(failure.code(), code::CANNOT_CREATE);
        assert!(failure.render().contains(&out.display().to_string()), "{}", failure.render());
    }
}
