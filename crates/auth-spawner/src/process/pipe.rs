//! A child on three pipes.

use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;

use tokio::process::Command;

use super::{ChildCommand, Exit, KillOnDrop, OpenError, StartedChild};

/// Starts the child in a new process group. Without `pre_exec`, the standard library can use its cheaper way to spawn.
pub(super) fn open(command: &ChildCommand) -> Result<StartedChild, OpenError> {
    let mut child = Command::new(&command.program)
        .args(&command.args)
        .env_clear()
        .envs(command.env.iter())
        .current_dir(&command.dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| OpenError::Program(error.to_string()))?;
    let kill_on_drop = KillOnDrop::new(child.id());
    let (Some(pid), Some(stdin), Some(stdout), Some(stderr)) =
        (child.id(), child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(OpenError::Program("the child has no pipes".to_owned()));
    };
    let exit = async move {
        let status = child.wait().await.ok();
        Exit { code: status.and_then(|status| if status.signal().is_some() { None } else { status.code() }) }
    };
    Ok(StartedChild {
        streams: vec![Box::new(stdout), Box::new(stderr)],
        stdin: Box::new(stdin),
        exit: Box::pin(exit),
        pid,
        kill_on_drop,
    })
}
