//! The person's own setup in the homes of identities: settings, instructions, skills, MCP servers.
//!
//! The registry says which files of a CLI are shared and how. What a CLI only reads is linked, what it also writes is
//! copied without credentials, and single members are merged into files of the CLI's own. [`Furnisher::furnish`] brings
//! one home up to date: one look at each file tells whether anything has changed, and only then the files are read.
//!
//! A person's own files are only read. In a home, nothing is replaced or removed but what srvd made there and nothing
//! has changed since; a record in the home says what that is (`ledger`).

mod apply;
mod document;
mod filter;
mod job;
mod ledger;
mod lock;
mod look;
mod merge;
mod origin;
mod place;
mod plan;
mod secret;
#[cfg(test)]
mod tests;
mod variables;

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use auth_spawner::{Provider, Registry};

use crate::base::blocking::{BlockingTasks, BrokenOff};
use crate::base::clock::now;
use crate::disk::own_dir::OwnDirs;
use job::{Job, Target};
pub(crate) use ledger::{Ledger, Noted, recorded};
use look::Look;
use origin::Origin;
pub(crate) use plan::{Item, ItemState};
use variables::ListedVariables;

/// The number of homes whose state is remembered.
const HOMES: usize = 1024;
/// The largest number of parts that the record of a home names as left out.
const NOTED: usize = 200;

/// Furnishes homes. A clone is a handle to the same one.
#[derive(Clone)]
pub(crate) struct Furnisher(Arc<Inner>);

struct Inner {
    own: OwnDirs,
    /// The person's home.
    home: PathBuf,
    /// The daemon's directory.
    data: PathBuf,
    listed: ListedVariables,
    blocking: BlockingTasks,
    clock: fn() -> i64,
    homes: Mutex<HashMap<PathBuf, Arc<Mutex<Option<Remembered>>>>>,
}

/// The place that the setup of a home comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// There is none. What was shared before is removed.
    Nothing,
    /// The person's own directories.
    Mine,
    /// The home of the same CLI in another bundle.
    Home(PathBuf),
}

/// A home, and the setup that it is to have.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    /// The provider of the CLI.
    pub provider: Arc<Provider>,
    /// The directory that the CLI's variable names. It belongs to a bundle, never to the person.
    pub home: PathBuf,
    /// The place that the setup comes from.
    pub source: Source,
    /// True if the history is shared as well.
    pub history: bool,
}

/// The setup of a home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Furnished {
    /// The id of the provider.
    pub provider: String,
    /// The directory that the CLI's variable names.
    pub home: PathBuf,
    /// The directory that the setup comes from.
    pub source: Option<PathBuf>,
    /// The parts of the setup, in order of their paths.
    pub items: Vec<Item>,
    /// The number of changes that were made, or would be made.
    pub changes: usize,
    /// The reason why nothing was done, if there is one.
    pub problem: Option<String>,
}

/// The result of the last time that a home was looked at and nothing was to be done.
struct Remembered {
    origin: Origin,
    history: bool,
    look: Look,
    furnished: Furnished,
}

impl Furnisher {
    /// Creates a furnisher. `home` is the person's home, and `data` the daemon's directory.
    pub(crate) fn new(
        own: OwnDirs,
        home: PathBuf,
        data: PathBuf,
        registry: &Registry,
        blocking: BlockingTasks,
    ) -> Self {
        let listed = ListedVariables::new(registry);
        Self(Arc::new(Inner { own, home, data, listed, blocking, clock: now, homes: Mutex::default() }))
    }

    /// Brings a home up to date. Launches of the same home wait for each other. A part that cannot be shared is reported
    /// and never an error.
    ///
    /// # Errors
    /// [`BrokenOff`].
    pub(crate) async fn furnish(&self, order: Order) -> Result<Furnished, BrokenOff> {
        let inner = Arc::clone(&self.0);
        self.0.blocking.run(move || inner.furnish(&order)).await
    }

    /// Returns what [`Self::furnish`] would do, and changes nothing.
    ///
    /// # Errors
    /// [`BrokenOff`].
    pub(crate) async fn preview(&self, order: Order) -> Result<Furnished, BrokenOff> {
        let inner = Arc::clone(&self.0);
        self.0.blocking.run(move || inner.preview(&order)).await
    }
}

impl Inner {
    fn origin(&self, order: &Order) -> Origin {
        match (&order.source, &order.provider.cli) {
            (Source::Mine, Some(cli)) => {
                Origin::Own { dir: self.own.of(cli), home: self.home.clone(), data: self.data.clone() }
            }
            (Source::Home(dir), Some(_)) if *dir != order.home => Origin::Home(dir.clone()),
            _ => Origin::Nothing,
        }
    }

    fn preview(&self, order: &Order) -> Furnished {
        let origin = self.origin(order);
        let mut furnished = Furnished::new(order, &origin);
        let Some(cli) = &order.provider.cli else { return furnished };
        if let Err(problem) = is_home(&order.home) {
            return Furnished { problem: Some(problem), ..furnished };
        }
        let job =
            Job { cli, home: &order.home, origin: &origin, history: order.history, listed: &self.listed };
        match Ledger::read(&order.home) {
            Ok(ledger) => {
                let plan = plan::plan(&job, &job.targets(), &ledger);
                furnished.changes = plan.steps.len();
                furnished.items = sorted(plan.items);
            }
            Err(reason) => furnished.problem = Some(unusable(&order.home, &reason)),
        }
        furnished
    }

    fn furnish(&self, order: &Order) -> Furnished {
        let origin = self.origin(order);
        let mut furnished = Furnished::new(order, &origin);
        let Some(cli) = &order.provider.cli else { return furnished };
        if let Err(problem) = is_home(&order.home) {
            return Furnished { problem: Some(problem), ..furnished };
        }
        let slot = self.slot(&order.home);
        let mut remembered = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if origin == Origin::Nothing && std::fs::symlink_metadata(order.home.join(ledger::NAME)).is_err() {
            *remembered = None;
            return furnished;
        }
        let job =
            Job { cli, home: &order.home, origin: &origin, history: order.history, listed: &self.listed };
        let targets = job.targets();
        let look = Look::at(&job, &targets);
        if let Some(known) = &*remembered
            && (&known.origin, known.history, &known.look) == (&origin, order.history, &look)
        {
            return known.furnished.clone();
        }
        *remembered = None;
        match run(&job, &targets) {
            Ok((items, changes)) => (furnished.items, furnished.changes) = (sorted(items), changes),
            Err(problem) => {
                tracing::warn!(home = %order.home.display(), problem, "a setup could not be shared with a home");
                furnished.problem = Some(problem);
            }
        }
        // Only a state that needed no change is remembered, and only if nothing changed while it was examined.
        let after = Look::at(&job, &job.targets());
        if furnished.changes == 0
            && furnished.problem.is_none()
            && look == after
            && look.is_settled((self.clock)())
        {
            let (history, furnished) = (order.history, furnished.clone());
            *remembered = Some(Remembered { origin, history, look, furnished });
        }
        furnished
    }

    /// Returns the memory of a home. Its lock makes the launches of that home wait for each other.
    fn slot(&self, home: &Path) -> Arc<Mutex<Option<Remembered>>> {
        let mut homes = self.homes.lock().unwrap_or_else(PoisonError::into_inner);
        if homes.len() >= HOMES && !homes.contains_key(home) {
            // A home that is in use now keeps its lock.
            homes.retain(|_, slot| Arc::strong_count(slot) > 1);
        }
        Arc::clone(homes.entry(home.to_owned()).or_default())
    }
}

impl Furnished {
    fn new(order: &Order, origin: &Origin) -> Self {
        Self {
            provider: order.provider.id.clone(),
            home: order.home.clone(),
            source: order.provider.cli.as_ref().and_then(|cli| origin.shown(cli)),
            items: Vec::new(),
            changes: 0,
            problem: None,
        }
    }
}

/// Brings a home up to date, and returns its items and the number of changes.
fn run(job: &Job<'_>, targets: &[Target<'_>]) -> Result<(Vec<Item>, usize), String> {
    let before = Ledger::read(job.home).map_err(|reason| unusable(job.home, &reason))?;
    let plan::Plan { steps, mut items, mut ledger } = plan::plan(job, targets, &before);
    let write = |ledger: &Ledger| {
        ledger.write(job.home).map_err(|error| format!("{} cannot be written: {error}", ledger::NAME))
    };
    if !steps.is_empty() {
        // Without the record, nothing is made that could not be removed again.
        let pending = apply::pending(&ledger, &steps);
        write(&pending)?;
    }
    for step in &steps {
        if let Err(reason) = apply::apply(job, step, &mut ledger) {
            tracing::warn!(home = %job.home.display(), path = step.path(), reason, "a part of a setup could not be shared");
            items.retain(|item| item.path != step.path());
            let path = step.path().to_owned();
            items.push(Item { path, state: ItemState::LeftOut(reason), left_out: Vec::new() });
        }
    }
    ledger.left_out = noted(&items);
    if !steps.is_empty() || ledger != before {
        write(&ledger)?;
    }
    Ok((items, steps.len()))
}

/// Checks that a home is a directory of this user.
fn is_home(home: &Path) -> Result<(), String> {
    match std::fs::symlink_metadata(home) {
        Ok(found) if !found.is_dir() => Err(format!("{} is not a directory", home.display())),
        Ok(found) if found.uid() != rustix::process::geteuid().as_raw() => {
            Err(format!("{} belongs to another user (uid {})", home.display(), found.uid()))
        }
        Ok(_) => Ok(()),
        Err(error) => Err(format!("{} cannot be read: {error}", home.display())),
    }
}

fn sorted(mut items: Vec<Item>) -> Vec<Item> {
    items.sort_by(|one, other| one.path.cmp(&other.path));
    items
}

fn noted(items: &[Item]) -> Vec<Noted> {
    let mut noted: Vec<Noted> = items
        .iter()
        .flat_map(|item| {
            let whole = match &item.state {
                ItemState::LeftOut(reason) => Some((String::new(), reason.clone())),
                _ => None,
            };
            let parts = item.left_out.iter().map(|left| (left.place.clone(), left.reason.clone()));
            whole.into_iter().chain(parts).map(|(place, reason)| Noted {
                path: item.path.clone(),
                place,
                reason,
            })
        })
        .collect();
    noted.sort();
    noted.truncate(NOTED);
    noted
}

fn unusable(home: &Path, reason: &str) -> String {
    format!(
        "{}: {reason}; remove it, and nothing that is in the home is changed",
        home.join(ledger::NAME).display()
    )
}
