//! Identity bundles. A bundle is a named set of accounts with at most one bound account per provider.

use std::collections::BTreeSet;

use crate::id::{AccountId, BundleId, ProviderId};
use crate::model::account::{Account, Leftover, Status};

/// An identity bundle with its bindings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// The bundle's id, which is one safe path segment.
    pub id: BundleId,
    /// The bundle's name; 1 to 100 characters, unique without regard to case.
    pub name: String,
    /// A free text, possibly empty.
    pub description: String,
    /// True if this is the bundle `blank`, which cannot be changed.
    pub is_blank: bool,
    /// Time when the bundle was created, in unix milliseconds.
    pub created_at: i64,
    /// Time of the last change to the bundle or to one of its bindings, in unix milliseconds.
    pub updated_at: i64,
    /// The bundle's bindings, in order of their providers.
    pub bindings: Vec<Binding>,
    /// The treatment of the providers that the bundle does not bind.
    pub unbound: UnboundPolicy,
}

/// One provider of a bundle, and the account that the bundle uses for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// The provider that the binding is for.
    pub provider: ProviderId,
    /// The account that the bundle uses for the provider.
    pub account: AccountId,
    /// The account's status.
    pub status: Status,
}

/// A bundle to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewBundle {
    /// The id of the new bundle.
    pub id: BundleId,
    /// The name of the new bundle; 1 to 100 characters, unique without regard to case.
    pub name: String,
    /// A free text, possibly empty.
    pub description: String,
}

/// The changes to a bundle. `None` leaves a field unchanged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BundleEdit {
    /// The new name.
    pub name: Option<String>,
    /// The new description.
    pub description: Option<String>,
    /// The new treatment of the providers that the bundle does not bind.
    pub unbound: Option<UnboundPolicy>,
}

/// The rule for the providers that a bundle does not bind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum UnboundRule {
    /// Each of them has an empty home, and none of their variables is passed on.
    Sealed,
    /// Agents are sealed. The person's tools keep the person's own credentials.
    #[default]
    Tools,
    /// All of them keep the person's own credentials.
    Own,
}

/// The treatment of the providers that a bundle does not bind: a rule, and the providers that are decided by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnboundPolicy {
    /// The rule for providers that are not decided by name.
    pub rule: UnboundRule,
    /// Providers that keep the person's own credentials whatever the rule is.
    pub own: BTreeSet<ProviderId>,
    /// Providers that are sealed whatever the rule is.
    pub sealed: BTreeSet<ProviderId>,
}

impl UnboundRule {
    /// Returns the word that the database holds.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sealed => "sealed",
            Self::Tools => "tools",
            Self::Own => "own",
        }
    }

    /// Returns the rule for a word of the database. An unknown word is the strictest rule.
    #[must_use]
    pub fn of_stored(word: &str) -> Self {
        match word {
            "tools" => Self::Tools,
            "own" => Self::Own,
            _ => Self::Sealed,
        }
    }

    /// Returns the rule of a new bundle. The bundle `default` stands for the person's own logins, and `blank` for no
    /// identity at all.
    #[must_use]
    pub fn of_new(bundle: &BundleId) -> Self {
        if bundle.is_blank() {
            Self::Sealed
        } else if *bundle == BundleId::default_bundle() {
            Self::Own
        } else {
            Self::Tools
        }
    }
}

impl UnboundPolicy {
    /// Returns a policy without providers that are decided by name.
    #[must_use]
    pub fn of(rule: UnboundRule) -> Self {
        Self { rule, ..Self::default() }
    }

    /// Decides a provider by name: it keeps the person's own credentials, or it is sealed.
    pub fn decide(&mut self, provider: ProviderId, own: bool) {
        let (chosen, other) =
            if own { (&mut self.own, &mut self.sealed) } else { (&mut self.sealed, &mut self.own) };
        other.remove(&provider);
        chosen.insert(provider);
    }

    /// Lets the rule decide a provider again.
    pub fn forget(&mut self, provider: &ProviderId) {
        self.own.remove(provider);
        self.sealed.remove(provider);
    }

    /// Returns the rule for a provider.
    #[must_use]
    pub fn rule_for(&self, provider: &str) -> UnboundRule {
        let named = |list: &BTreeSet<ProviderId>| list.iter().any(|id| id.as_str() == provider);
        if named(&self.sealed) {
            UnboundRule::Sealed
        } else if named(&self.own) {
            UnboundRule::Own
        } else {
            self.rule
        }
    }
}

/// The result of deleting a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeletedBundle {
    /// The bundle before the deletion.
    pub bundle: Bundle,
    /// The accounts that were deleted with the bundle, as they were before: those owned by bundles that no other bundle
    /// binds.
    pub accounts: Vec<Account>,
    /// The number of running instances that were under the bundle. They are now under no bundle.
    pub instances: u64,
    /// The directories that the accounts left behind. They are recorded until they are reported as removed.
    pub leftovers: Vec<Leftover>,
}
