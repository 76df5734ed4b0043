//! The decision on each provider, as pure functions of values.

use std::collections::BTreeSet;
use std::path::PathBuf;

use auth_spawner::{Credential, Proof, Provider, Registry};
use identity_store::{OwnLogin, ProviderId};

use crate::disk::own_dir::OwnDir;

/// The relevant content of the store before a run.
#[derive(Debug)]
pub(super) struct StoredBindings {
    bound: BTreeSet<ProviderId>,
    declined: BTreeSet<ProviderId>,
    /// True if the bundle `default` exists.
    pub(super) default_exists: bool,
}

/// The action for a provider.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum AdoptionStep {
    /// No action; the outcome is known.
    Settled(Outcome),
    /// The login is to be bound in the bundle `default`.
    Adopt(OwnLogin),
}

/// The outcome of a run for one provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// A bundle binds the provider, so nothing is done.
    Bound,
    /// The user removed the provider's account, so its login is not taken over again.
    Declined,
    /// The user's own directory holds no usable login. The reason is given if the directory holds something.
    NoLogin(Option<String>),
    /// The CLI keeps the login in a place that only the CLI can read.
    Elsewhere {
        /// The place of the login.
        reason: String,
        /// The next step for the person.
        hint: String,
    },
    /// The user's own login is bound in the bundle `default`.
    Adopted {
        /// Email address of the login, if the files state it.
        email: Option<String>,
        /// The user's own directory.
        dir: PathBuf,
        /// True if the account already existed.
        reused: bool,
    },
    /// The provider was left out for this reason.
    Failed(String),
}

/// The number of providers with each outcome, and the other effects of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Providers whose credential is a login of a CLI.
    pub examined: usize,
    /// Providers that a bundle already binds.
    pub skipped_bound: usize,
    /// Providers without a login in the user's own directory.
    pub no_ambient: usize,
    /// Providers whose account the user removed.
    pub tombstoned: usize,
    /// Providers that were bound with a new account.
    pub seeded: usize,
    /// Providers that were bound with an existing account.
    pub reused: usize,
    /// Providers that were left out because of an error.
    pub failed: usize,
    /// True if the bundle `default` was created.
    pub default_created: bool,
    /// Agent instances that were moved to the bundle `default`.
    pub instances_backfilled: u64,
}

impl StoredBindings {
    pub(super) fn new(bound: Vec<ProviderId>, declined: Vec<ProviderId>, default_exists: bool) -> Self {
        Self { bound: bound.into_iter().collect(), declined: declined.into_iter().collect(), default_exists }
    }

    /// Returns the outcome if the store settles it without reading files.
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

/// Returns the providers whose usual credential is a login that a file proves.
pub(super) fn candidates(registry: &Registry) -> impl Iterator<Item = &Provider> {
    let proves = |provider: &&Provider| provider.cli.as_ref().is_some_and(|cli| !cli.credential.is_empty());
    let oauth = |provider: &&Provider| provider.class == auth_spawner::Class::OAuth;
    registry.iter().map(AsRef::as_ref).filter(oauth).filter(proves)
}

/// Decides from the files of the user's own directory. The end times in `proof` have been judged.
pub(super) fn judge(provider: &Provider, id: ProviderId, own: &OwnDir, proof: Proof) -> AdoptionStep {
    match proof {
        Proof::LoggedIn(Credential {
            email, subject, expires_at, assumed_end, login_deadline_at, ..
        }) => {
            AdoptionStep::Adopt(OwnLogin {
                provider: id,
                provider_name: provider.display_name.clone(),
                dir: own.dir.clone(),
                email,
                subject,
                // Nobody has given an assumed end. The first check of the account records it.
                expires_at: expires_at.filter(|_| !assumed_end),
                login_deadline_at,
            })
        }
        Proof::InKeyring { reason, hint } => AdoptionStep::Settled(Outcome::Elsewhere { reason, hint }),
        // A user who sets the variable expects its directory to be searched.
        Proof::Absent => AdoptionStep::Settled(Outcome::NoLogin(
            own.variable.is_some().then(|| format!("there is no login in {}", own.describe())),
        )),
        // An incomplete login cannot be used for a launch, and the next start checks again.
        Proof::Incomplete { reason } | Proof::Unreadable { reason } => {
            let named = own.variable.is_some().then(|| format!("{}: {reason}", own.describe()));
            AdoptionStep::Settled(Outcome::NoLogin(Some(named.unwrap_or(reason))))
        }
    }
}

impl Counts {
    /// Returns the counts of these outcomes; the other fields are zero.
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
