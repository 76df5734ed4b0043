//! What becomes of each provider, decided from values.

use std::collections::BTreeSet;
use std::path::PathBuf;

use auth_spawner::{Credential, Proof, Provider, Registry};
use identity_store::{OwnLogin, ProviderId};

use crate::own_dir::OwnDir;

/// What the store says before a run.
#[derive(Debug)]
pub(super) struct Known {
    bound: BTreeSet<ProviderId>,
    declined: BTreeSet<ProviderId>,
    /// Whether the bundle `default` exists.
    pub(super) default_exists: bool,
}

/// What is to be done about a provider.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing.
    Settled(Outcome),
    /// Its login is to be bound in the bundle `default`.
    Adopt(OwnLogin),
}

/// What became of a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// A bundle binds it, so it is left alone.
    Bound,
    /// The user removed its account, so its login is not taken over again.
    Declined,
    /// The user's own directory holds no login that could be used; the reason, when it holds something.
    NoLogin(Option<String>),
    /// The CLI keeps the login where only the CLI can look.
    Elsewhere {
        /// Where it is.
        reason: String,
        /// The next step for the person.
        hint: String,
    },
    /// The user's own login is bound in the bundle `default`.
    Adopted {
        /// Whose login it is, when the files say so.
        email: Option<String>,
        /// The user's own directory.
        dir: PathBuf,
        /// Whether the account was there already.
        reused: bool,
    },
    /// It was left out; the reason.
    Failed(String),
}

/// How many providers each outcome had, and what else a run did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Providers whose login is one of a CLI.
    pub examined: usize,
    /// Some bundle binds them.
    pub skipped_bound: usize,
    /// The user's own directory holds no login.
    pub no_ambient: usize,
    /// The user removed them.
    pub tombstoned: usize,
    /// Bound with a new account.
    pub seeded: usize,
    /// Bound with an account that was there.
    pub reused: usize,
    /// Left out because something failed.
    pub failed: usize,
    /// Whether the bundle `default` was made.
    pub default_created: bool,
    /// Agent instances that were moved to the bundle `default`.
    pub instances_backfilled: u64,
}

impl Known {
    pub(super) fn new(bound: Vec<ProviderId>, declined: Vec<ProviderId>, default_exists: bool) -> Self {
        Self { bound: bound.into_iter().collect(), declined: declined.into_iter().collect(), default_exists }
    }

    /// What is settled before any file is looked at.
    pub(super) fn settled(&self, provider: &ProviderId) -> Option<Outcome> {
        if self.bound.contains(provider) {
            Some(Outcome::Bound)
        } else if self.declined.contains(provider) {
            Some(Outcome::Declined)
        } else {
            None
        }
    }
}

/// The providers whose usual credential is a login that a file proves.
pub(super) fn candidates(registry: &Registry) -> impl Iterator<Item = &Provider> {
    let proves = |provider: &&Provider| provider.cli.as_ref().is_some_and(|cli| !cli.credential.is_empty());
    let oauth = |provider: &&Provider| provider.class == auth_spawner::Class::OAuth;
    registry.iter().map(AsRef::as_ref).filter(oauth).filter(proves)
}

/// What the files of the user's own directory mean; `proof` with its end times judged.
pub(super) fn judge(provider: &Provider, id: ProviderId, own: &OwnDir, proof: Proof) -> Step {
    match proof {
        Proof::LoggedIn(Credential { email, subject, expires_at, login_deadline_at, .. }) => {
            Step::Adopt(OwnLogin {
                provider: id,
                provider_name: provider.display_name.clone(),
                dir: own.dir.clone(),
                email,
                subject,
                expires_at,
                login_deadline_at,
            })
        }
        Proof::Elsewhere { reason, hint } => Step::Settled(Outcome::Elsewhere { reason, hint }),
        // A person who sets the variable expects that its directory is looked at.
        Proof::Absent => Step::Settled(Outcome::NoLogin(
            own.variable.is_some().then(|| format!("there is no login in {}", own.describe())),
        )),
        // Half a login cannot be launched with, and the next start looks again.
        Proof::Incomplete { reason } | Proof::Unreadable { reason } => {
            let named = own.variable.is_some().then(|| format!("{}: {reason}", own.describe()));
            Step::Settled(Outcome::NoLogin(Some(named.unwrap_or(reason))))
        }
    }
}

impl Counts {
    /// The counts of these outcomes; the rest is nothing yet.
    pub(super) fn of<'a>(outcomes: impl Iterator<Item = &'a Outcome>) -> Self {
        let mut counts = Self::default();
        for outcome in outcomes {
            counts.examined += 1;
            *match outcome {
                Outcome::Bound => &mut counts.skipped_bound,
                Outcome::Declined => &mut counts.tombstoned,
                Outcome::NoLogin(_) | Outcome::Elsewhere { .. } => &mut counts.no_ambient,
                Outcome::Adopted { reused: false, .. } => &mut counts.seeded,
                Outcome::Adopted { reused: true, .. } => &mut counts.reused,
                Outcome::Failed(_) => &mut counts.failed,
            } += 1;
        }
        counts
    }
}
