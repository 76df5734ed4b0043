//! The default-bundle migration: it binds the existing logins of the user's own CLIs in the bundle `default`, so that
//! users need not log in again when they start to use srvd.
//!
//! An account that is created here points at the user's own directory. The login is never copied, because the copies
//! would share one refresh token, and using one invalidates the other. The decisions are made in `plan`; this module
//! carries them out.
//!
//! These are the only accounts that may name a directory outside the daemon's root. The logins of one run are bound in
//! one transaction and announced once. A provider that any bundle binds, or whose account the user has deleted, is left
//! alone. The deletion of such an account changes nothing in the user's directory.
//!
//! It uses `wire` and `disk`. It must not write to a directory of the user or run a CLI.

mod plan;

use std::time::Duration;

use auth_spawner::{Provider, Registry};
use futures_util::StreamExt as _;
use identity_store::{
    Account, AccountFilter, AdoptedLogin, AdoptedLogins, BundleId, Instance, InstanceFilter, OwnLogin,
    ProviderId, SecretRef, Store, StoreError,
};
use tokio::time::{Instant, timeout_at};

use plan::{AdoptionStep, StoredBindings, candidates, judge};
pub(crate) use plan::{Counts, Outcome};

use crate::disk::own_dir::OwnDirs;
use crate::wire::error::with_causes;

/// Longest time for reading all files together. A home on an unreachable network must not block the boot.
const PATIENCE: Duration = Duration::from_secs(10);

/// Longest time for reading the files of one provider. Another provider's files may be on another disk.
const PATIENCE_EACH: Duration = Duration::from_secs(3);
/// Number of providers whose files are read at once, so that files on an unreachable network keep no others out.
const AT_ONCE: usize = 4;

/// The results of a run, or of a preview.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// The number of providers for each outcome.
    pub counts: Counts,
    /// The outcome of each provider, in order of id.
    pub providers: Vec<(String, Outcome)>,
    /// The error that ended the run early. The next run does the rest.
    pub error: Option<StoreError>,
}

/// The operations of the store that a run uses.
trait AdoptionStore {
    /// Returns the bound providers, and whether the bundle `default` exists.
    async fn bound(&self) -> Result<(Vec<ProviderId>, bool), StoreError>;
    async fn declined(&self) -> Result<Vec<ProviderId>, StoreError>;
    async fn adopt(&self, logins: Vec<OwnLogin>, now: i64) -> Result<AdoptedLogins, StoreError>;
    async fn backfill(&self, now: i64) -> Result<u64, StoreError>;
}

impl AdoptionStore for Store {
    async fn bound(&self) -> Result<(Vec<ProviderId>, bool), StoreError> {
        Ok((self.bound_providers().await?, self.has_bundle(&BundleId::default_bundle()).await?))
    }

    async fn declined(&self) -> Result<Vec<ProviderId>, StoreError> {
        self.declined_providers().await
    }

    async fn adopt(&self, logins: Vec<OwnLogin>, now: i64) -> Result<AdoptedLogins, StoreError> {
        self.adopt_logins(logins, now).await
    }

    async fn backfill(&self, now: i64) -> Result<u64, StoreError> {
        self.backfill_instances(&BundleId::default_bundle(), now).await
    }
}

/// A store whose writes only report what they would do.
struct Preview<'a> {
    store: &'a Store,
    /// The accounts of the store, and the number of its running instances without an identity.
    accounts: Vec<Account>,
    idle: u64,
    default_exists: bool,
}

impl AdoptionStore for Preview<'_> {
    async fn bound(&self) -> Result<(Vec<ProviderId>, bool), StoreError> {
        self.store.bound().await
    }

    async fn declined(&self) -> Result<Vec<ProviderId>, StoreError> {
        self.store.declined_providers().await
    }

    async fn adopt(&self, logins: Vec<OwnLogin>, _: i64) -> Result<AdoptedLogins, StoreError> {
        let known = |login: &OwnLogin| {
            let own = SecretRef::ConfigDir { dir: login.dir.clone(), adopted: true };
            let mut same = self.accounts.iter().filter(|account| account.provider == login.provider);
            same.find(|account| account.secret_ref == own).map(|account| account.id.clone())
        };
        let adopted = logins.iter().map(|login| {
            let known = known(login);
            let reused = known.is_some();
            let account = known.unwrap_or_else(identity_store::AccountId::generate);
            Ok(AdoptedLogin { account, reused })
        });
        Ok(AdoptedLogins { bundle_created: !self.default_exists, outcomes: adopted.collect() })
    }

    async fn backfill(&self, _: i64) -> Result<u64, StoreError> {
        Ok(self.idle)
    }
}

/// Takes over the logins in the user's own directories. A second run over the same logins changes and announces
/// nothing.
///
/// The run always ends and never fails the boot. Errors are logged and reported, and the next run retries.
pub(crate) async fn run(store: &Store, registry: &Registry, own: &OwnDirs, now: i64) -> Report {
    let report = migrate(store, registry, own, now).await;
    let Counts {
        examined,
        skipped_bound,
        no_ambient,
        tombstoned,
        seeded,
        reused,
        failed,
        default_created,
        instances_backfilled,
    } = report.counts;
    tracing::info!(
        examined,
        skipped_bound,
        no_ambient,
        tombstoned,
        seeded,
        reused,
        failed,
        default_created,
        instances_backfilled,
        "the search for the user's own logins has ended"
    );
    report
}

/// Returns the report that [`run`] would give, without changing anything.
pub(crate) async fn preview(store: &Store, registry: &Registry, own: &OwnDirs, now: i64) -> Report {
    match Preview::of(store).await {
        Ok(preview) => migrate(&preview, registry, own, now).await,
        Err(error) => Report { error: Some(error), ..Report::default() },
    }
}

impl<'a> Preview<'a> {
    async fn of(store: &'a Store) -> Result<Self, StoreError> {
        let idle = |instance: &&Instance| instance.bundle.as_ref().is_none_or(BundleId::is_blank);
        let instances = store.instances(InstanceFilter::default()).await?;
        Ok(Self {
            store,
            accounts: store.accounts(AccountFilter::default()).await?.accounts,
            idle: instances.iter().filter(idle).count() as u64,
            default_exists: store.has_bundle(&BundleId::default_bundle()).await?,
        })
    }
}

async fn migrate(store_access: &impl AdoptionStore, registry: &Registry, own: &OwnDirs, now: i64) -> Report {
    let mut report = Report::default();
    let (mut created, mut backfilled) = (false, 0);
    let done = async {
        let (bound, default_exists) = store_access.bound().await?;
        let known = StoredBindings::new(bound, store_access.declined().await?, default_exists);
        let mut wanted = Vec::new();
        for (id, step) in steps(&known, registry, own, now).await {
            match step {
                AdoptionStep::Settled(outcome) => report.providers.push((id, outcome)),
                AdoptionStep::Adopt(login) => wanted.push(login),
            }
        }
        if !wanted.is_empty() {
            created = adopt(store_access, wanted, now, &mut report.providers).await?;
        }
        if created || known.default_exists {
            backfilled = store_access.backfill(now).await?;
        }
        Ok::<_, StoreError>(())
    };
    if let Err(error) = done.await {
        let error_text = with_causes(&error);
        tracing::warn!(
            error = error_text,
            "not all of the user's own logins were adopted; the next start tries again"
        );
        report.error = Some(error);
    }
    report.providers.sort_by(|(left, _), (right, _)| left.cmp(right));
    let counts = Counts::of(report.providers.iter().map(|(_, outcome)| outcome));
    report.counts = Counts { default_created: created, instances_backfilled: backfilled, ..counts };
    report
}

/// Binds the logins. Returns whether the bundle was created for them. If they cannot be bound together, each is bound on its
/// own, so that a fault of one provider keeps no other out.
async fn adopt(
    store_access: &impl AdoptionStore,
    logins: Vec<OwnLogin>,
    now: i64,
    report: &mut Vec<(String, Outcome)>,
) -> Result<bool, StoreError> {
    let together = match store_access.adopt(logins.clone(), now).await {
        Err(error) if logins.len() > 1 && is_of_one(&error) => {
            tracing::warn!(
                error = with_causes(&error),
                "the user's own logins could not be adopted together; each is tried on its own"
            );
            None
        }
        adopted => Some(adopted),
    };
    if let Some(adopted) = together {
        return adopted_all(&logins, adopted, report);
    }
    let mut created = false;
    for login in logins {
        match store_access.adopt(vec![login.clone()], now).await {
            Err(error) if is_of_one(&error) => {
                report.push((login.provider.to_string(), not_adopted(&login, &error)));
            }
            adopted => created |= adopted_all(&[login], adopted, report)?,
        }
    }
    Ok(created)
}

/// Returns whether an error may be of one login only. Any other error, such as a full disk, meets every login.
fn is_of_one(error: &StoreError) -> bool {
    !matches!(
        error,
        StoreError::Busy(_) | StoreError::Full(_) | StoreError::Unavailable(_) | StoreError::Uncertain(_)
    )
}

/// Reports the outcomes of logins that were bound together.
fn adopted_all(
    logins: &[OwnLogin],
    adopted: Result<AdoptedLogins, StoreError>,
    report: &mut Vec<(String, Outcome)>,
) -> Result<bool, StoreError> {
    let adopted = adopted.inspect_err(|error| {
        report.extend(logins.iter().map(|login| (login.provider.to_string(), not_adopted(login, error))));
    })?;
    for (login, outcome) in logins.iter().zip(adopted.outcomes) {
        let outcome = match outcome {
            Ok(AdoptedLogin { account, reused }) => {
                tracing::debug!(provider = %login.provider, %account, reused, "the user's own login was adopted");
                Outcome::Adopted { email: login.email.clone(), dir: login.dir.clone(), reused }
            }
            Err(error) => not_adopted(login, &error),
        };
        report.push((login.provider.to_string(), outcome));
    }
    Ok(adopted.bundle_created)
}

/// Logs and returns the outcome for a login that could not be stored.
fn not_adopted(login: &OwnLogin, error: &StoreError) -> Outcome {
    tracing::warn!(provider = %login.provider, error = with_causes(error), "the user's own login was not adopted");
    Outcome::Failed(match error {
        StoreError::IdentityMismatch { .. } => {
            "its account belongs to another person; delete that account first".to_owned()
        }
        other => format!("it could not be stored: {other}"),
    })
}

/// Decides on each provider. Files are read only if the store does not settle the question.
async fn steps(
    known: &StoredBindings,
    registry: &Registry,
    own: &OwnDirs,
    now: i64,
) -> Vec<(String, AdoptionStep)> {
    let times = RunTimes { now, deadline: Instant::now() + PATIENCE };
    let mut steps = Vec::new();
    let mut waiting = futures_util::stream::iter(candidates(registry))
        .map(|provider| async move { (provider, step(provider, known, own, times).await) })
        .buffered(AT_ONCE);
    while let Some((provider, step)) = waiting.next().await {
        match &step {
            AdoptionStep::Settled(Outcome::NoLogin(Some(reason)) | Outcome::Elsewhere { reason, .. }) => {
                tracing::info!(
                    provider = provider.id,
                    reason,
                    "the user's own directory holds no usable login"
                );
            }
            AdoptionStep::Settled(Outcome::Failed(reason)) => {
                tracing::warn!(provider = provider.id, reason, "the search for the user's own login failed");
            }
            _ => {}
        }
        steps.push((provider.id.clone(), step));
    }
    steps
}

/// Decides on one provider.
async fn step(provider: &Provider, known: &StoredBindings, own: &OwnDirs, times: RunTimes) -> AdoptionStep {
    match provider.id.parse::<ProviderId>() {
        // Operators may choose provider names that the store does not accept.
        Err(error) => AdoptionStep::Settled(Outcome::Failed(error.to_string())),
        Ok(id) => match known.settled(&id) {
            Some(outcome) => AdoptionStep::Settled(outcome),
            None => look(provider, id, own, times).await,
        },
    }
}

/// The times of a run.
#[derive(Clone, Copy)]
struct RunTimes {
    /// The time that decides whether a login has expired, in unix milliseconds.
    now: i64,
    /// The end of the time for reading files.
    deadline: Instant,
}

async fn look(provider: &Provider, id: ProviderId, own: &OwnDirs, times: RunTimes) -> AdoptionStep {
    let RunTimes { now, deadline } = times;
    let Some(cli) = &provider.cli else { return AdoptionStep::Settled(Outcome::NoLogin(None)) };
    let dir = own.of(cli);
    let until = deadline.min(Instant::now() + PATIENCE_EACH);
    let proof = match timeout_at(until, own.read(&dir, cli)).await {
        Ok(Ok(proof)) => Ok(proof.at(now)),
        Ok(Err(_)) => Err("reading its files failed"),
        Err(_) => Err("its files could not be read in time"),
    };
    match proof {
        Ok(proof) => judge(provider, id, &dir, proof),
        Err(reason) => AdoptionStep::Settled(Outcome::Failed(reason.to_owned())),
    }
}

#[cfg(test)]
mod tests;
