//! The snapshot of a session, kept in sync with the machine.

use std::borrow::Cow;
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use tokio::sync::watch;
use tokio::time::timeout;

use super::SINK_PATIENCE;
use crate::answer::is_taken;
use crate::findings::{Finding, names_network, public_words};
use crate::login::machine::Machine;
use crate::login::snapshot::{Failure, FailureKind, Snapshot};
use crate::login::spawner::SpawnerState;
use crate::registry::Paste;

/// The maximum length of an email address from the CLI's output, in bytes. The same limit applies to its file.
const EMAIL_BYTES: usize = 320;

/// A login that can only be read by its CLI.
pub(crate) struct KeyringLogin {
    /// The location of the login, as a sentence without a full stop.
    pub(crate) reason: String,
    /// The next step for the user.
    pub(crate) hint: String,
}

/// The snapshot and all the data that goes into it.
pub(crate) struct Report {
    pub(crate) snapshot: Snapshot,
    shared: Arc<SpawnerState>,
    sender: watch::Sender<Snapshot>,
    /// The recipe's rules for a pasted answer.
    paste: Option<Paste>,
    /// The line of output that best explains the failure so far.
    explanation: Option<String>,
    /// The pasted texts. CLI output that contains one of them is never repeated.
    pasted: Vec<SecretString>,
    /// The email address from the CLI's output.
    pub(crate) email: Option<String>,
    /// An explanation of the failure, if it is not the CLI's exit.
    pub(crate) message: Option<String>,
    /// The next step for the user, if this kind of failure does not always have the same one.
    pub(crate) hint: Option<String>,
    /// The login that the CLI stored in the keyring instead of a file.
    pub(crate) in_keyring: Option<KeyringLogin>,
    /// The reason why the last check of the login has no result.
    pub(crate) hung: Option<String>,
    /// True if the CLI has said that it logged in.
    claimed: bool,
}

impl Report {
    pub(crate) fn new(
        shared: Arc<SpawnerState>,
        sender: watch::Sender<Snapshot>,
        paste: Option<Paste>,
    ) -> Self {
        let snapshot = sender.borrow().clone();
        Self {
            snapshot,
            shared,
            sender,
            paste,
            explanation: None,
            pasted: Vec::new(),
            email: None,
            message: None,
            hint: None,
            in_keyring: None,
            hung: None,
            claimed: false,
        }
    }

    /// Returns whether a pasted answer for the shown URL would be accepted.
    pub(crate) fn takes_paste(&self) -> bool {
        self.paste
            .as_ref()
            .zip(self.snapshot.auth_url.as_deref())
            .is_some_and(|(paste, url)| is_taken(paste, url))
    }

    /// Records a finding in the CLI's output. Returns whether it is new.
    pub(crate) fn note(&mut self, finding: &Finding) -> bool {
        match finding {
            Finding::Url { url, openable, device } => self.note_url(url, *openable, *device),
            Finding::DeviceCode(code) => {
                let new = self.snapshot.device_code.as_ref() != Some(code);
                self.snapshot.device_code = Some(code.clone());
                new
            }
            Finding::LoggedIn { email } => {
                let email = email.clone().filter(|email| email.len() <= EMAIL_BYTES);
                self.email = email.or(self.email.take());
                self.claimed = true;
                true
            }
            Finding::Denied(line) | Finding::Failed(line) => {
                self.explain(line);
                true
            }
            Finding::Retired(line) => {
                self.message = Some(line.clone());
                true
            }
            Finding::Prompt => {
                let first = !std::mem::replace(&mut self.snapshot.prompted, true);
                // An answer given before the CLI prompted is the answer to its first prompt.
                !first || self.pasted.is_empty()
            }
            Finding::Refused | Finding::Token(_) | Finding::Step(_) => true,
        }
    }

    fn note_url(&mut self, url: &str, openable: bool, device: bool) -> bool {
        let snapshot = &mut self.snapshot;
        let place = if device { &mut snapshot.verification_url } else { &mut snapshot.auth_url };
        // A URL that is not on the provider's list never replaces one that is.
        let worse = snapshot.url_openable && !openable;
        if worse || place.as_deref() == Some(url) {
            return false;
        }
        *place = Some(url.to_owned());
        snapshot.url_openable = openable;
        true
    }

    /// Stores a line that may explain a failure.
    pub(crate) fn explain(&mut self, line: &str) {
        let repeats = |pasted: &SecretString| {
            let parts = secret_parts(pasted.expose_secret());
            parts.iter().any(|part| part.len() >= 4 && line.contains(part.as_ref()))
        };
        if !self.pasted.iter().any(repeats) {
            self.explanation = Some(public_words(line));
        }
    }

    pub(crate) fn remember_pasted(&mut self, pasted: SecretString) {
        // Only the latest few answers can still be echoed.
        if self.pasted.len() >= 4 {
            self.pasted.remove(0);
        }
        self.pasted.push(pasted);
    }

    /// Publishes the machine's state. The sink receives it first, so a caller who sees the end can rely on it being
    /// recorded.
    pub(crate) async fn announce(&mut self, machine: &Machine) {
        self.snapshot.revision += 1;
        self.snapshot.state = machine.state();
        self.snapshot.prompt = machine.prompt() && self.takes_paste();
        if machine.state().is_terminal() && self.snapshot.ended_at.is_none() {
            self.snapshot.ended_at = Some(self.shared.now());
        }
        let moved = self.shared.sink.moved(self.snapshot.clone());
        if timeout(SINK_PATIENCE, moved).await.is_err() {
            tracing::warn!(session = %self.snapshot.id, "the sink did not record a change of a login in time");
        }
        self.sender.send_replace(self.snapshot.clone());
        self.shared.sink.shown(&self.snapshot);
    }

    /// Sets the snapshot's failure, including its text.
    pub(crate) fn fail(&mut self, kind: FailureKind, machine: &Machine) {
        if kind == FailureKind::NotAuthenticated
            && let Some(KeyringLogin { reason: message, hint }) = self.in_keyring.take()
        {
            // Logging in through the browser again would have the same result.
            self.snapshot.failure = Some(Failure { kind, message, hint: Some(hint), exit_code: None });
            return;
        }
        if kind == FailureKind::NotAuthenticated
            && let Some(message) = self.hung.take()
        {
            // The login may be good. That it was not confirmed in time says nothing about the person.
            let hint = Some(
                "start the login again; if the check hangs again, look at the network of this machine"
                    .to_owned(),
            );
            self.snapshot.failure =
                Some(Failure { kind: FailureKind::Expired, message, hint, exit_code: None });
            return;
        }
        let (message, hint) = wording(kind);
        let exit_code = machine.exit_code().filter(|_| kind == FailureKind::CliExited);
        let explained = self.message.take();
        let line = self.explanation.take().filter(|_| {
            matches!(
                kind,
                FailureKind::CliExited
                    | FailureKind::Denied
                    | FailureKind::LoginFailed
                    | FailureKind::NotAuthenticated
            )
        });
        let message = match explained.or(line) {
            // The explanation already names the port and its holder.
            Some(text) if kind == FailureKind::PortInUse => text,
            Some(text) => format!("{message}: {text}"),
            None => message.to_owned(),
        };
        let hint = if kind == FailureKind::NotAuthenticated && self.claimed { Some(ELSEWHERE) } else { hint };
        let unreached = kind != FailureKind::PortInUse && names_network(&message);
        let advice = self.shared.config.network_advice.clone().filter(|_| unreached);
        let hint = self.hint.take().or(advice).or_else(|| hint.map(str::to_owned));
        self.snapshot.failure = Some(Failure { kind, message, hint, exit_code });
    }
}

/// Returns the secret parts of a pasted answer: a code and a state, or the values of a URL's parameters, both as
/// written and decoded. The URL itself and the names of its parameters are not secret.
fn secret_parts(pasted: &str) -> Vec<Cow<'_, str>> {
    let Some((_, address)) = pasted.split_once("://") else {
        return pasted.trim().split('#').map(Cow::Borrowed).collect();
    };
    let parameters = address.split(['?', '&', '#']).skip(1);
    let written = parameters.clone().map(|part| part.split_once('=').map_or(part, |(_, value)| value));
    let decoded = parameters.flat_map(|part| url::form_urlencoded::parse(part.as_bytes()));
    written.map(Cow::Borrowed).chain(decoded.map(|(_, value)| value)).collect()
}

/// The next step after a CLI that said that it logged in, and stored nothing in the login's directory.
const ELSEWHERE: &str = "the CLI says that it logged in, but it stored nothing in the directory that srvd gave it; if the program is a script that sets a directory of its own, put the CLI itself first on spawn.search_path in srvd.toml";

fn wording(kind: FailureKind) -> (&'static str, Option<&'static str>) {
    match kind {
        FailureKind::SpawnFailed => ("the CLI could not be started", Some("check that the CLI is installed")),
        FailureKind::TtyUnavailable => ("no terminal could be opened for the CLI", None),
        FailureKind::CliExited => ("the CLI exited with an error", Some("start the login again")),
        FailureKind::NotAuthenticated => {
            ("the CLI exited without logging in", Some("start the login again and finish it in the browser"))
        }
        FailureKind::Denied => ("the login was denied", Some("start the login again and approve it")),
        FailureKind::LoginFailed => (
            "the CLI could not complete the login",
            Some("start the login again; if that fails too, check the network of this machine"),
        ),
        FailureKind::CliRetired => ("the program is no longer the provider's CLI", None),
        // Copilot, for example, keeps waiting silently after the user has denied the login.
        FailureKind::Expired => (
            "the login was not completed in time",
            Some("start the login again and approve it; some CLIs do not report a denial in the browser"),
        ),
        FailureKind::Cancelled => ("the login was cancelled", None),
        FailureKind::PortInUse => (
            "a port that the CLI needs is in use",
            Some("stop the program that uses the port, then start the login again"),
        ),
        FailureKind::IdentityMismatch => ("the CLI logged in to another account", None),
        FailureKind::Storage | FailureKind::StoreUnavailable => ("the login could not be stored", None),
        FailureKind::NotFound
        | FailureKind::Conflict
        | FailureKind::AmbientDirectory
        | FailureKind::DaemonRestarted
        | FailureKind::Internal => ("the login could not be saved", None),
    }
}
