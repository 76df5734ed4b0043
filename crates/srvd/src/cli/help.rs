//! The help of the program: its commands in groups.

use std::fmt::Write as _;

use clap::Command;

/// The groups of commands, in the order of the help.
const GROUPS: &[(&str, &[&str])] = &[
    ("Log in", &["login", "logout", "add-key", "console", "operator", "git-credential"]),
    ("Launch", &["exec", "env", "use", "which", "shims", "best"]),
    (
        "Identities",
        &[
            "status", "quota", "bundles", "bundle", "accounts", "account", "profiles", "share", "refresh",
            "migrate",
        ],
    ),
    ("Service", &["up", "down", "restart", "logs", "serve", "wait", "doctor"]),
    ("Keys and data", &["key", "backup", "restore", "export", "import", "audit"]),
    ("Clients and providers", &["pair", "tokens", "providers"]),
    ("Help", &["completions", "version", "help"]),
];

/// Returns the program with its commands in groups.
pub(super) fn grouped(mut program: Command) -> Command {
    program.build();
    let template = format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n{}\nOptions:\n{{options}}{{after-help}}",
        groups(&program)
    );
    program.help_template(template)
}

fn groups(program: &Command) -> String {
    let width = GROUPS.iter().flat_map(|(_, names)| *names).map(|name| name.len()).max().unwrap_or_default();
    let mut text = String::new();
    for (title, names) in GROUPS {
        // Writing to a text cannot fail.
        let _ = writeln!(text, "\n{title}:");
        for name in *names {
            let about = program.find_subcommand(name).and_then(Command::get_about);
            let about = about.map(ToString::to_string).unwrap_or_default();
            let _ = writeln!(text, "  {name:width$}  {about}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn each_visible_command_is_in_one_group() {
        let mut program = crate::cli::Cli::command();
        program.build();
        let visible: BTreeSet<&str> = program
            .get_subcommands()
            .filter(|command| !command.is_hide_set())
            .map(Command::get_name)
            .collect();
        let grouped: Vec<&str> = GROUPS.iter().flat_map(|(_, names)| *names).copied().collect();
        assert_eq!(grouped.iter().copied().collect::<BTreeSet<_>>(), visible);
        assert_eq!(grouped.len(), visible.len(), "a command is in one group");
    }

    #[test]
    fn line_of_a_command_fits_a_terminal() {
        let text = groups(&{
            let mut program = crate::cli::Cli::command();
            program.build();
            program
        });
        for line in text.lines() {
            assert!(line.chars().count() <= 100, "{line}");
        }
    }
}
