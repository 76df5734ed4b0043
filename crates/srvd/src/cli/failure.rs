//! The failure of a command: a message for the user, hints, and an exit code for scripts.

use std::io;
use std::path::PathBuf;

use identity_store::OpenError;
use rpc_engine::{CallError, RpcError};
use serde_json::Value;

use super::shims::quoted;
use super::ui::plain;
use crate::config::ConfigError;
use crate::daemon::BootError;
use crate::hint::{Hint, Step};
use crate::wire::bundle::Bundle;
use crate::wire::error::with_causes;

/// Exit codes, after `sysexits.h`.
pub(super) mod code {
    /// The requested action failed.
    pub(crate) const FAILED: u8 = 1;
    /// The command line is not valid.
    pub(crate) const USAGE: u8 = 64;
    /// No daemon is running, or it cannot answer now.
    pub(crate) const UNAVAILABLE: u8 = 69;
    /// A bug in srvd.
    pub(crate) const BUG: u8 = 70;
    /// A file cannot be created.
    pub(crate) const CANNOT_CREATE: u8 = 73;
    /// A read or a write failed.
    pub(crate) const IO: u8 = 74;
    /// A file or a socket belongs to another user.
    pub(crate) const PERMISSION: u8 = 77;
    /// The configuration or the key cannot be used.
    pub(crate) const CONFIG: u8 = 78;
    /// The command was ended by Ctrl-C. For other signals the code is 128 plus the signal's number too.
    pub(crate) const INTERRUPTED: u8 = 130;
}

/// The failure of a command.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Failure {
    code: u8,
    message: Option<String>,
    hints: Vec<Hint>,
    /// True if no daemon listens at any of the places that were tried.
    no_daemon: bool,
}

impl Failure {
    /// Returns a failure with a message for the user.
    pub(super) fn new(code: u8, message: impl Into<String>) -> Self {
        Self { code, message: Some(message.into()), hints: Vec::new(), no_daemon: false }
    }

    /// Returns a failure whose message has been printed already.
    pub(super) fn silent(code: u8) -> Self {
        Self { code, message: None, hints: Vec::new(), no_daemon: false }
    }

    /// Adds a hint.
    #[must_use]
    pub(super) fn hint(mut self, hint: impl Into<Hint>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Returns the failure for an error of a read or a write. A closed pipe, as in `srvd status | head`, prints no
    /// message.
    #[expect(clippy::needless_pass_by_value, reason = "the signature that map_err asks for")]
    pub(super) fn io(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::silent(code::IO);
        }
        Self::new(code::IO, error.to_string())
    }

    /// Returns the failure for sockets on which no daemon listens.
    pub(super) fn no_daemon(sockets: &[PathBuf]) -> Self {
        let tried: Vec<String> = sockets.iter().map(|socket| socket.display().to_string()).collect();
        let failure =
            Self::new(code::UNAVAILABLE, format!("no daemon is running (tried {})", tried.join(", ")))
                .hint(Step::StartDaemon);
        Self { no_daemon: true, ..failure }
    }

    /// Returns whether the reason is that no daemon listens.
    pub(super) fn is_no_daemon(&self) -> bool {
        self.no_daemon
    }

    /// Returns the failure of `srvd serve`. Another daemon is not in the way of a user who only wants one.
    pub(super) fn of_start(error: BootError) -> Self {
        match error {
            BootError::AlreadyRunning { .. } => {
                Self::new(error.exit_code(), error.to_string()).hint(Step::ShowStatus)
            }
            error => Self::from(error),
        }
    }

    /// The message; empty if it has been printed already.
    pub(super) fn message(&self) -> &str {
        self.message.as_deref().unwrap_or_default()
    }

    /// The hints in one text; empty if there are none.
    pub(super) fn hint_text(&self) -> String {
        self.hints.iter().map(Hint::as_str).collect::<Vec<_>>().join("; ")
    }

    /// The exit code of the process.
    pub(super) fn code(&self) -> u8 {
        self.code
    }

    /// Returns the lines for standard error; empty if the message has been printed already.
    pub(super) fn render(&self) -> String {
        let message = self.message.iter().map(|message| format!("srvd: {}", plain(message)));
        let hints = self.hints.iter().map(|hint| format!("hint: {}", plain(hint.as_str())));
        message.chain(hints).collect::<Vec<_>>().join("\n")
    }

    /// Names the bundle in the suggested commands by its name, which is easier to type than its id.
    pub(super) fn naming(mut self, bundle: &Bundle) -> Self {
        let hints = std::mem::take(&mut self.hints);
        self.hints = hints.into_iter().map(|hint| hint.naming(&bundle.id, &bundle.name)).collect();
        self
    }

    /// Returns the failure for the daemon's error. Its hint is `better` if there is one, else the daemon's own hint.
    fn answered(error: &RpcError, better: Option<Hint>) -> Self {
        let failure = Self::new(exit_code(error), message(error));
        let hint = better.or_else(|| match error.kind() {
            Some("unknown_provider") => Some(Step::KnownProviders { known: known(error) }.into()),
            _ => Hint::answered(error),
        });
        match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

/// Returns a text as it is typed in a shell.
pub(super) fn shell_word(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.@".contains(&byte);
    if !text.is_empty() && text.bytes().all(plain) { text.to_owned() } else { quoted(text) }
}

/// Returns the failure for a failed call. `better` may return a hint in terms of the command line for an error of the
/// daemon.
pub(super) fn of_call(error: &CallError, better: impl FnOnce(&RpcError) -> Option<Hint>) -> Failure {
    match error {
        CallError::Rpc(error) => Failure::answered(error, better(error)),
        CallError::Closed => {
            Failure::new(code::UNAVAILABLE, "the daemon closed the connection before it answered")
                .hint(Step::DaemonGone)
        }
        CallError::Timeout => Failure::new(code::UNAVAILABLE, "the daemon did not answer in time"),
        other => Failure::new(code::BUG, format!("the call to the daemon failed: {other}"))
            .hint(Step::RestartAfterUpdate),
    }
}

/// Returns the daemon's message in terms of the command line: an argument in place of the parameter on the wire.
fn message(error: &RpcError) -> String {
    let reason = field(error, "field").and_then(|parameter| {
        let reason = error.message.strip_prefix(parameter)?.strip_prefix(": ")?;
        Some((argument(parameter), reason))
    });
    match reason {
        Some((Some(argument), reason)) => format!("{argument}: {reason}"),
        Some((None, reason)) => reason.to_owned(),
        None => error.message.to_string(),
    }
}

/// Returns the argument that a command passes in a parameter of the wire; `None` for a parameter without one.
fn argument(parameter: &str) -> Option<&'static str> {
    Some(match parameter {
        "accountId" => "the account",
        "accountName" => "the account's name",
        "agentId" => "the agent",
        "apiKey" => "the API key",
        "baseUrl" => "--base-url",
        "bundleId" | "intoBundleId" => "the bundle",
        "bundleName" | "name" => "the name",
        "forge" | "forgeId" | "forgeName" | "forgeType" => "the forge",
        "host" => "--host",
        "instanceId" => "the instance",
        "providerId" => "the provider",
        "recipe" => "--recipe",
        "secretName" => "--from",
        "userId" => "the user",
        _ => return None,
    })
}

/// Returns a text field of an error's data.
pub(super) fn field<'a>(error: &'a RpcError, name: &str) -> Option<&'a str> {
    error.data.as_ref()?.get(name)?.as_str()
}

fn known(error: &RpcError) -> String {
    let known = error.data.as_ref().and_then(|data| data.get("known")).and_then(Value::as_array);
    known.into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
}

fn exit_code(error: &RpcError) -> u8 {
    match error.kind() {
        Some("store_unavailable" | "unknown" | "capacity" | "shutting_down" | "server_busy") => {
            code::UNAVAILABLE
        }
        Some(
            "internal" | "database_failed" | "method_not_found" | "invalid_params" | "invalid_request"
            | "parse_error",
        ) => code::BUG,
        _ => code::FAILED,
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        of_call(&error, |_| None)
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::new(code::CONFIG, error.to_string())
    }
}

impl From<BootError> for Failure {
    fn from(error: BootError) -> Self {
        let failure = Self::new(error.exit_code(), with_causes(&error));
        match error {
            BootError::AlreadyRunning { pid: Some(pid), .. } => failure.hint(Step::StopDaemon { pid }),
            BootError::Database { source: OpenError::InUse { .. }, .. } => failure.hint(Step::OneDaemonEach),
            BootError::AlreadyRunning { .. } => failure.hint(Step::StopItFirst),
            BootError::Open(OpenError::WrongKey { .. })
            | BootError::Database { source: OpenError::WrongKey { .. }, .. } => failure.hint(Step::WrongKey),
            BootError::Open(OpenError::Missing { .. })
            | BootError::Database { source: OpenError::Missing { .. }, .. } => {
                failure.hint(Step::RestoreDatabase).hint(Step::BeginWithEmptyDatabase)
            }
            BootError::Open(OpenError::OtherDatabase { .. })
            | BootError::Database { source: OpenError::OtherDatabase { .. }, .. } => {
                failure.hint(Step::UseThisDatabase)
            }
            BootError::NoDatabase { .. } => failure.hint(Step::NameDatabase).hint(Step::CreateDatabase),
            BootError::OtherDatabase { path, .. } => failure
                .hint(Step::NameDatabaseAgain)
                .hint(Step::RestoreIdentities)
                .hint(Step::BeginWithoutRecord { record: path.as_path().into() }),
            BootError::IdentitiesWithoutDatabase { identities, .. } => failure
                .hint(Step::RestoreIdentities)
                .hint(Step::BeginAnew { identities: identities.as_path().into() }),
            BootError::Record { path, .. } => {
                failure.hint(Step::TrustTheDatabase { record: path.as_path().into() })
            }
            _ => failure,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::wire::bundle::UnboundPolicy;

    fn check(kind: &str, data: Value, expect: (u8, &str)) {
        let error = RpcError::new(1, "no \u{1b}[31mgood").with_data(data).with_kind(kind);
        let failure = Failure::from(CallError::Rpc(error));
        assert_eq!((failure.code(), failure.render().as_str()), expect);
    }

    #[test]
    fn hint_names_the_bundle_by_its_shell_quoted_name() {
        let check = |name: &str, expect: &str| {
            let (id, name) = ("0194-id".to_owned(), name.to_owned());
            let description = String::new();
            let bundle = Bundle {
                id,
                name,
                description,
                is_blank: false,
                created_at: 0,
                updated_at: 0,
                bindings: vec![],
                unbound: UnboundPolicy::default(),
            };
            let failure = Failure::new(1, "no")
                .hint(Step::LogIn { provider: "codex".into(), bundle: "0194-id".into() })
                .naming(&bundle);
            assert_eq!(failure.render(), format!("srvd: no\nhint: srvd login codex --bundle {expect}"));
        };
        check("work", "work");
        check("ada@example.test", "ada@example.test");
        check("Codex (ada's)", r"'Codex (ada'\''s)'");
    }

    #[test]
    fn rpc_error_becomes_an_exit_code_message_and_hint() {
        check("conflict", json!({"hint": "wait"}), (1, "srvd: no \u{fffd}[31mgood\nhint: wait"));
        check(
            "unknown_provider",
            json!({"known": ["a", "b"]}),
            (1, "srvd: no \u{fffd}[31mgood\nhint: known providers: a, b"),
        );
        let error =
            RpcError::new(1, "intoBundleId: it is too long").with_data(json!({"field": "intoBundleId"}));
        assert_eq!(Failure::from(CallError::Rpc(error)).message(), "the bundle: it is too long");
        let error = RpcError::new(1, "waitMs: must be less").with_data(json!({"field": "waitMs"}));
        assert_eq!(Failure::from(CallError::Rpc(error)).message(), "must be less");
        check("store_unavailable", json!({}), (69, "srvd: no \u{fffd}[31mgood"));
        check("internal", json!({}), (70, "srvd: no \u{fffd}[31mgood"));
    }

    #[test]
    fn missing_daemon_exits_with_69_and_hints_how_to_start_one() {
        let failure = Failure::no_daemon(&["/r/srvd.sock".into()]);
        assert_eq!(failure.code(), 69);
        assert_eq!(
            failure.render(),
            "srvd: no daemon is running (tried /r/srvd.sock)\n\
             hint: start one with: srvd up"
        );
    }

    #[test]
    fn broken_pipe_prints_no_message() {
        assert_eq!(Failure::io(io::ErrorKind::BrokenPipe.into()).render(), "");
    }
}
