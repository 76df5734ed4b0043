//! The steps of a plan, one by one. Each checks again that it replaces nothing but what srvd made. A step that fails
//! changes nothing and is reported; the others are done.

use super::job::Job;
use super::ledger::{ABSENT, Ledger};
use super::merge;
use super::place::{self, OWN};
use super::plan::{Step, copy_state};

/// Returns the record with both states of everything that the steps change.
pub(super) fn pending(ledger: &Ledger, steps: &[Step]) -> Ledger {
    let mut pending = ledger.clone();
    for step in steps {
        match step {
            Step::Link { path, target } => {
                pending.links.entry(path.clone()).or_default().push(target.clone());
            }
            Step::Copy { path, digest, .. } => {
                pending.copies.entry(path.clone()).or_default().push(digest.clone());
            }
            Step::Merge { path, changes, .. } => {
                for change in changes {
                    let mut states = pending.member(path, &change.place).cloned().unwrap_or_default();
                    states.extend([change.replaces.clone(), change.digest.clone()]);
                    pending.set_member(path, &change.place, Some(states));
                }
            }
            Step::Unlink { .. } | Step::Uncopy { .. } => {}
        }
    }
    pending
}

/// Does one step, and records it. Blocking.
///
/// # Errors
/// The reason why it was not done, for people. The record then has the state before.
pub(super) fn apply(job: &Job<'_>, step: &Step, ledger: &mut Ledger) -> Result<(), String> {
    match step {
        Step::Link { path, target } => {
            let ours = ledger.links.get(path).cloned().unwrap_or_default();
            place::link(job.home, path, target, &ours)?;
            ledger.links.insert(path.clone(), vec![target.clone()]);
        }
        Step::Unlink { path } => {
            let ours = ledger.links.get(path).cloned().unwrap_or_default();
            place::unlink(job.home, path, &ours)?;
            ledger.links.remove(path);
        }
        Step::Copy { path, copy, content, digest, replaces } => {
            let (state, _) = copy_state(job, path, copy)?;
            if state == ABSENT {
                place::create(job.home, path, content)?;
            } else if replaces.contains(&state) {
                place::replace(job.home, path, content)?;
            } else {
                return Err(OWN.to_owned());
            }
            ledger.copies.insert(path.clone(), vec![digest.clone()]);
        }
        Step::Uncopy { path, copy, states, prepared } => {
            if states.contains(&copy_state(job, path, copy)?.0) {
                match prepared {
                    Some(text) => place::replace(job.home, path, text.as_bytes())?,
                    None => std::fs::remove_file(job.home.join(path))
                        .map_err(|error| format!("it could not be removed: {error}"))?,
                }
            }
            ledger.copies.remove(path);
        }
        Step::Merge { path, lock, changes } => {
            let made = merge::merge(job.home, path, lock.as_deref(), changes)?;
            for change in made {
                let states = change.value.is_some().then(|| vec![change.digest.clone()]);
                ledger.set_member(path, &change.place, states);
            }
        }
    }
    Ok(())
}
