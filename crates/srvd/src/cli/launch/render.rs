//! The output formats of `srvd env`.

use std::fmt::Write as _;

use crate::wire::launch::Launch;

/// The format of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(in crate::cli) enum Shell {
    /// For sh, bash and zsh: eval "$(srvd env --bundle work)"
    Sh,
    /// For fish: srvd env --bundle work --shell fish | source
    Fish,
    /// One JSON object
    Json,
}

/// Returns the lines that give a shell this identity.
pub(super) fn render(launch: &Launch, shell: Shell) -> String {
    let mut text = String::new();
    match shell {
        Shell::Sh => {
            for name in launch.unset.iter() {
                // Writing to a String cannot fail, here and below.
                let _ = writeln!(text, "unset {name}");
            }
            for (name, value) in &launch.set {
                let _ = writeln!(text, "export {name}='{}'", value.expose().replace('\'', r"'\''"));
            }
        }
        Shell::Fish => {
            for name in launch.unset.iter() {
                let _ = writeln!(text, "set --erase {name}");
            }
            for (name, value) in &launch.set {
                let value = value.expose().replace('\\', r"\\").replace('\'', r"\'");
                let _ = writeln!(text, "set --global --export {name} '{value}'");
            }
        }
        Shell::Json => {
            let set: serde_json::Map<String, serde_json::Value> =
                launch.set.iter().map(|(name, value)| (name.clone(), value.expose().into())).collect();
            let _ = writeln!(text, "{}", serde_json::json!({ "set": set, "unset": launch.unset }));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::tests::launch;
    use super::*;

    #[test]
    fn render_quotes_values_for_each_shell() {
        let launch = launch("codex", None);
        let check = |shell, expected: &str| assert_eq!(render(&launch, shell), expected);
        check(Shell::Sh, "unset C\nunset D\nexport A='it'\\''s'\nexport B='back\\slash'\n");
        check(
            Shell::Fish,
            "set --erase C\nset --erase D\nset --global --export A 'it\\'s'\nset --global --export B 'back\\\\slash'\n",
        );
        check(Shell::Json, "{\"set\":{\"A\":\"it's\",\"B\":\"back\\\\slash\"},\"unset\":[\"C\",\"D\"]}\n");
    }
}
