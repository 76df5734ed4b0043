//! The command that starts the guard process.

use auth_spawner::GuardCommand;

/// The name of the hidden command that runs the guard process.
pub(crate) const GUARD: &str = "__guard";

/// Returns the command that starts the guard process. On Linux it runs this same program, even if the file has been
/// replaced. The guard is not called `srvd`, so that `pkill -9 srvd` does not kill it.
pub(crate) fn guard_command() -> std::io::Result<GuardCommand> {
    let own = std::path::PathBuf::from("/proc/self/exe");
    Ok(GuardCommand {
        program: if own.exists() { own } else { std::env::current_exe()? },
        name: "srvd".into(),
        args: vec![GUARD.into()],
    })
}
