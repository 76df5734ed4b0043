//! The login of the user's own CLI, for an account that uses the user's own directory.
//!
//! The daemon starts no login there. This process starts the CLI as the user would, in the user's environment, and the
//! account follows the CLI's files.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;
use std::time::Duration;

use rpc_engine::{CallError, RpcError};
use serde::Deserialize;
use tokio::time::{Instant, sleep};

use super::provider_name;
use crate::base::environment::Environment;
use crate::cli::client::Connection;
use crate::cli::failure::{Failure, code};
use crate::cli::here::BUNDLE_VAR;
use crate::cli::interrupt::Interrupt;
use crate::cli::launch::{find, search_path, trust};
use crate::cli::list::who;
use crate::cli::ui::{Ui, plain_line};
use crate::wire::Status;
use crate::wire::account::{Account, RefreshStatus};

/// The longest wait for the login after the CLI has ended. Some CLIs write their files late.
const LATE: Duration = Duration::from_secs(5);
/// The time between two checks.
const AGAIN: Duration = Duration::from_millis(200);

/// The command by which the user's own CLI logs in.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Login {
    account_id: String,
    /// The user's own directory.
    dir: String,
    /// The program and its arguments.
    command: Vec<String>,
    /// The variables by which the CLI finds the directory, if it is not in the usual place.
    set: BTreeMap<String, String>,
    /// The variables by which the CLI would find another directory.
    unset: Vec<String>,
}

impl Login {
    /// Returns the command that a refusal of the daemon names; `None` for another error.
    pub(super) fn of(error: &CallError) -> Option<Self> {
        let CallError::Rpc(error) = error else { return None };
        Self::named(error)
    }

    fn named(error: &RpcError) -> Option<Self> {
        let data = error.data.clone().filter(|_| error.kind() == Some("ambient_directory"))?;
        let login: Self = serde_json::from_value(data).ok()?;
        (!login.command.is_empty()).then_some(login)
    }

    async fn status(&self, daemon: &Connection, accept: bool) -> Result<Account, Failure> {
        let account_id = self.account_id.clone();
        daemon.call(&RefreshStatus { account_id, accept_person: accept.then_some(true) }).await
    }

    /// Returns the account as soon as it is logged in, or as it is at the end of the wait.
    async fn account(&self, daemon: &Connection, force: bool) -> Result<Account, Failure> {
        let deadline = Instant::now() + LATE;
        loop {
            let account = self.status(daemon, force).await?;
            if account.status == Status::Valid || Instant::now() >= deadline {
                return Ok(account);
            }
            sleep(AGAIN).await;
        }
    }
}

/// The surroundings of this process.
#[derive(Clone, Copy)]
pub(in crate::cli) struct Surroundings<'a> {
    pub(in crate::cli) environment: &'a Environment,
    /// The daemon's data directory.
    pub(in crate::cli) data: &'a Path,
}

/// Returns the variables with which a launch points programs at the directories of an identity.
fn left_by_a_launch<'a>(environment: &'a Environment, data: &'a Path) -> impl Iterator<Item = &'a str> {
    let below = move |value: &str| Path::new(value).starts_with(data);
    let named = environment.texts().filter(move |(name, value)| *name == BUNDLE_VAR || below(value));
    named.map(|(name, _)| name).filter(|name| !name.starts_with("SRVD_") || *name == BUNDLE_VAR)
}

/// Runs the CLI's own login after saying so, and waits until the account is logged in. With `force`, the login of
/// another person is accepted, and one that is there already ends the command.
pub(super) async fn run(
    login: Login,
    force: bool,
    daemon: &Connection,
    Surroundings { environment, data }: Surroundings<'_>,
    ui: &Ui,
    interrupt: &mut Interrupt,
) -> Result<(), Failure> {
    let done = |account: &Account| {
        let provider = provider_name(&account.provider_id);
        ui.result(&plain_line(&format!("Logged in to {provider} as {}", who(account))))
    };
    if force && login.status(daemon, false).await?.status == Status::Invalid {
        let account = login.status(daemon, true).await?;
        if account.status == Status::Valid {
            return done(&account);
        }
    }
    let line = shell_words::join(&login.command);
    ui.note(&plain_line(&format!(
        "This account is the login of your own CLI, in {}. srvd runs there: {line}",
        login.dir
    )));
    let (program, args) = login.command.split_first().ok_or_else(|| Failure::silent(code::BUG))?;
    let program = find(OsStr::new(program), search_path(environment), &trust(environment))?;
    let mut command = tokio::process::Command::new(&program);
    command.args(args);
    for name in left_by_a_launch(environment, data).chain(login.unset.iter().map(String::as_str)) {
        command.env_remove(name);
    }
    command.envs(&login.set);
    let mut child = command
        .spawn()
        .map_err(|error| Failure::new(code::IO, format!("cannot run {}: {error}", program.display())))?;
    let ended = tokio::select! {
        ended = child.wait() => ended.map_err(Failure::io)?,
        // The terminal sends its signals to the CLI as well.
        code = interrupt.next() => return Err(Failure::silent(code)),
    };
    let account = login.account(daemon, force).await?;
    if account.status == Status::Valid {
        return done(&account);
    }
    let why = match (&account.status_reason, ended.code()) {
        (Some(reason), _) => reason.clone(),
        (None, code) => {
            code.map_or_else(|| "it was ended by a signal".to_owned(), |code| format!("exit code {code}"))
        }
    };
    Err(Failure::new(code::FAILED, format!("{line} has ended without a login that srvd can use: {why}")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn variables_of_a_launch_do_not_reach_the_users_own_cli() {
        let environment = Environment::of([
            ("CODEX_HOME", "/d/srvd/identities/b/codex".to_owned()),
            ("OTHER", "/d/srvd-other".to_owned()),
            ("SRVD_BUNDLE", "b".to_owned()),
            ("SRVD_RUNTIME_DIR", "/d/srvd/run".to_owned()),
        ]);
        let left: Vec<&str> = left_by_a_launch(&environment, Path::new("/d/srvd")).collect();
        assert_eq!(left, ["CODEX_HOME", "SRVD_BUNDLE"]);
    }

    #[test]
    fn command_is_read_from_the_refusal_of_an_own_login_only() {
        let error = |data: serde_json::Value| RpcError::new(1016, "no").with_data(data);
        let data = json!({
            "kind": "ambient_directory", "accountId": "a", "dir": "/h/.codex", "command": ["codex", "login"], "set": {},
            "unset": ["CODEX_HOME"]
        });
        let login = Login::named(&error(data.clone())).unwrap();
        assert_eq!((login.account_id.as_str(), login.command.join(" ").as_str()), ("a", "codex login"));
        let but = |name: &str, value: serde_json::Value| {
            let mut data = data.clone();
            data[name] = value;
            Login::named(&error(data))
        };
        assert_eq!(but("kind", json!("conflict")), None);
        assert_eq!(but("command", json!([])), None);
        assert_eq!(but("command", json!(null)), None);
    }
}
