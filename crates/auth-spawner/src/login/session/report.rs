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
use crate::login::snapshot::{Advice, Failure, FailureKind, Snapshot};
use crate::login::spawner::SpawnerState;
use crate::login::table::STOPPED;
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
    pub(crate) advice: Option<Advice>,
    /// The login that the CLI stored in the keyring instead of a file.
    pub(crate) in_keyring: Option<KeyringLogin>,
    /// The reason why the last check of the login has no result.
    pub(crate) hung: Option<String>,
    /// The reason why the last check found no login.
    pub(crate) doubt: Option<Doubt>,
    /// The reason why a proven login was not committed.
    pub(crate) not_saved: Option<NotSaved>,
    /// True if the CLI has said that it logged in.
    claimed: bool,
}

/// The reason why a check found no login.
pub(crate) struct Doubt {
    pub(crate) reason: String,
    /// True if the reason explains the failure. False if there is simply no login.
    pub(crate) telling: bool,
}

/// The reason why a proven login was not committed.
pub(crate) struct NotSaved {
    pub(crate) message: String,
    pub(crate) advice: Option<Advice>,
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
            advice: None,
            in_keyring: None,
            hung: None,
            doubt: None,
            not_saved: None,
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
            let advice = Some(Advice::OfEntry(hint));
            self.snapshot.failure = Some(Failure { kind, message, advice, exit_code: None });
            return;
        }
        if kind == FailureKind::NotAuthenticated
            && let Some(message) = self.hung.take()
        {
            // The login may be good. That it was not confirmed in time says nothing about the person.
            let advice = Some(Advice::CheckHung);
            self.snapshot.failure =
                Some(Failure { kind: FailureKind::Expired, message, advice, exit_code: None });
            return;
        }
        if let Some(NotSaved { message, advice }) = self.not_saved.take() {
            let advice = advice.or_else(|| wording(kind).1);
            self.snapshot.failure = Some(Failure { kind, message, advice, exit_code: None });
            return;
        }
        // To the client, the end by a shutdown is the same as one by a crash.
        let is_stopped = kind == FailureKind::Cancelled && self.message.as_deref() == Some(STOPPED);
        let kind = if is_stopped { FailureKind::DaemonRestarted } else { kind };
        let (message, usual) = wording(kind);
        let exit_code = machine.exit_code().filter(|_| kind == FailureKind::CliExited);
        let unstored = self.doubt.as_ref().is_none_or(|doubt| !doubt.telling);
        let message = match self.reason(kind) {
            // The reason already names the port and its holder.
            Some(text) if kind == FailureKind::PortInUse => text,
            Some(text) => format!("{message}: {text}"),
            None => message.to_owned(),
        };
        let usual = match kind {
            FailureKind::NotAuthenticated if self.claimed && unstored => Some(Advice::StoredElsewhere),
            FailureKind::NotAuthenticated if !unstored => Some(Advice::Unproven),
            _ => usual,
        };
        let unreached = kind != FailureKind::PortInUse && names_network(&message);
        let network = self.shared.config.network_advice.clone().filter(|_| unreached);
        let advice = self.advice.take().or(network.map(Advice::OfCaller)).or(usual);
        self.snapshot.failure = Some(Failure { kind, message, advice, exit_code });
    }

    /// Returns the text that best explains a failure. If the CLI exited as after a success, its file and its check say
    /// more than its output.
    fn reason(&mut self, kind: FailureKind) -> Option<String> {
        if let Some(message) = self.message.take() {
            return Some(message);
        }
        let (words, doubt) = (self.explanation.take(), self.doubt.take());
        let found = doubt.as_ref().filter(|doubt| doubt.telling).map(|doubt| doubt.reason.clone());
        match kind {
            FailureKind::NotAuthenticated => found.or(words).or(doubt.map(|doubt| doubt.reason)),
            FailureKind::CliExited | FailureKind::Denied | FailureKind::LoginFailed => words.or(found),
            FailureKind::Expired => found,
            _ => None,
        }
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

fn wording(kind: FailureKind) -> (&'static str, Option<Advice>) {
    match kind {
        FailureKind::SpawnFailed => ("the CLI could not be started", Some(Advice::CheckInstalled)),
        FailureKind::TtyUnavailable => {
            ("no terminal could be opened for the CLI", Some(Advice::CheckTerminals))
        }
        FailureKind::CliExited => ("the CLI exited with an error", Some(Advice::StartAgain)),
        FailureKind::NotAuthenticated => ("the CLI exited without logging in", Some(Advice::FinishInBrowser)),
        FailureKind::Denied => ("the login was denied", Some(Advice::Approve)),
        FailureKind::LoginFailed => ("the CLI could not complete the login", Some(Advice::CheckNetwork)),
        FailureKind::CliRetired => ("the program is no longer the provider's CLI", None),
        // Copilot, for example, keeps waiting silently after the user has denied the login.
        FailureKind::Expired => ("the login was not completed in time", Some(Advice::ApproveInTime)),
        FailureKind::Cancelled => ("the login was cancelled", None),
        FailureKind::PortInUse => ("a port that the CLI needs is in use", Some(Advice::FreePort)),
        FailureKind::IdentityMismatch => ("the CLI logged in to another account", None),
        FailureKind::Storage | FailureKind::StoreUnavailable => ("the login could not be stored", None),
        FailureKind::DaemonRestarted => ("the login ended", Some(Advice::StartAgain)),
        FailureKind::NotFound
        | FailureKind::Conflict
        | FailureKind::AmbientDirectory
        | FailureKind::Internal => ("the login could not be saved", None),
    }
}
