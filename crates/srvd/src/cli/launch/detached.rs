//! The programs that do not pass the environment of a launch on to what they start.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use crate::base::environment::Environment;

/// Programs that hand their work to a process that runs already, or that start it with another environment, and the
/// advice for each.
const DETACHED: [(&[&str], &str); 7] = [
    (
        &["sudo", "doas", "su", "runuser"],
        "it starts programs with another environment; run srvd exec inside it",
    ),
    (
        &[
            "code",
            "code-insiders",
            "cursor",
            "windsurf",
            "zed",
            "idea",
            "pycharm",
            "webstorm",
            "goland",
            "emacsclient",
        ],
        "an editor that runs already keeps its own environment; close it first",
    ),
    (
        &["docker", "podman", "nerdctl", "distrobox", "toolbox"],
        "containers get no variable of a launch; pass what they need by name",
    ),
    (&["ssh", "mosh"], "the other machine gets no variable of a launch"),
    (&["systemd-run", "at", "batch", "crontab"], "jobs run outside the launch; name srvd exec in the job"),
    (
        &["gradle", "gradlew", "bazel", "bazelisk", "watchman", "pm2"],
        "its daemon keeps the environment of the first caller; stop the daemon first",
    ),
    (&["screen"], "a session that runs already keeps its own environment; start a new one with: screen -m"),
];

/// Returns the note for a program that does not pass the launch's environment on; `None` for other programs.
pub(super) fn note(command: &[OsString], environment: &Environment, label: &str) -> Option<String> {
    let name = Path::new(command.first()?).file_name()?.to_str()?;
    if matches!(name, "tmux" | "zellij") {
        return multiplexer(name, &command[1..], environment, label);
    }
    if name == "screen" && !command.iter().skip(1).any(|arg| is_attach(arg)) {
        return None;
    }
    let (_, advice) = DETACHED.iter().find(|(names, _)| names.contains(&name))?;
    Some(format!("{name} does not pass this identity on: {advice}"))
}

fn is_attach(arg: &OsStr) -> bool {
    arg.to_str()
        .is_some_and(|arg| ["-r", "-R", "-x", "-d", "-D", "-S"].iter().any(|flag| arg.starts_with(flag)))
}

/// A server that runs already starts every window with its own environment.
fn multiplexer(name: &str, args: &[OsString], environment: &Environment, label: &str) -> Option<String> {
    if name == "zellij" {
        let attaches = args.first().is_some_and(|first| first == "attach" || first == "a");
        return attaches.then(|| {
            format!(
                "{name} does not pass this identity on: a session that runs already keeps its own environment"
            )
        });
    }
    let flag = |wanted: &str| {
        let at = args.iter().position(|arg| arg == wanted)?;
        args.get(at + 1).map(PathBuf::from)
    };
    let base = environment.path("TMUX_TMPDIR").unwrap_or_else(|| "/tmp".into());
    let dir = base.join(format!("tmux-{}", rustix::process::geteuid().as_raw()));
    let socket = flag("-S").unwrap_or_else(|| dir.join(flag("-L").unwrap_or_else(|| "default".into())));
    let inside = environment.text("TMUX").is_some() && flag("-S").is_none() && flag("-L").is_none();
    (inside || socket.exists()).then(|| {
        format!(
            "tmux does not pass this identity on: its server runs already; start one of this identity with: tmux -L srvd-{label}"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn note_names_programs_that_keep_their_own_environment() {
        let root = tempfile::tempdir().unwrap();
        let environment = Environment::of([("TMUX_TMPDIR", root.path().display().to_string())]);
        let check = |line: &str, expected: Option<&str>| {
            let command: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            let note = note(&command, &environment, "work");
            assert_eq!(note.is_some(), expected.is_some(), "{line}: {note:?}");
            if let (Some(note), Some(expected)) = (note, expected) {
                assert!(note.contains(expected), "{line}: {note}");
            }
        };
        check("sudo make", Some("run srvd exec inside it"));
        check("/usr/bin/docker run x", Some("containers"));
        check("make", None);
        check("screen", None);
        check("screen -r", Some("keeps its own environment"));
        check("zellij", None);
        check("zellij attach x", Some("keeps its own environment"));
        check("tmux new", None);
        let dir = root.path().join(format!("tmux-{}", rustix::process::geteuid().as_raw()));
        std::fs::create_dir(&dir).unwrap();
        std::fs::write(dir.join("default"), "").unwrap();
        check("tmux new", Some("tmux -L srvd-work"));
        check("tmux -L other new", None);
    }
}
