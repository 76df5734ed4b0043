//! The steps that bring a home up to date. Nothing is changed here.

use std::collections::BTreeSet;
use std::path::PathBuf;

use auth_spawner::{ShareFormat, ShareKind, ShareRule};
use serde_json::Value;

use super::document;
use super::filter::{Filter, LeftOut, members};
use super::job::{Job, Target};
use super::ledger::{ABSENT, Ledger};
use super::merge::Change;
use super::origin::{self, Found};
use super::place::{self, OWN, Place};

/// The largest settings file, in bytes.
pub(super) const MOST_SETTINGS: u64 = 1024 * 1024;
/// The largest file in which members are merged, in bytes. CLIs keep their state in such files.
pub(super) const MOST_STATE: u64 = 4 * 1024 * 1024;
/// The reason for a copy that was changed in the home.
const CHANGED: &str = "it was changed in this identity, so it is not updated any more";

/// A part of the setup, and its state in the home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Item {
    /// The path in the home, below the directory that the CLI's variable names.
    pub path: String,
    /// The state.
    pub state: ItemState,
    /// The places in the file that the home does not have.
    pub left_out: Vec<LeftOut>,
}

/// The state of a part of the setup in a home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ItemState {
    /// The home has a link to this file or directory.
    Linked(PathBuf),
    /// The home has a copy.
    Copied,
    /// The CLI's own file has these members.
    Merged(Vec<String>),
    /// The home does not have it, for this reason.
    LeftOut(String),
}

/// A change of a home.
#[derive(Debug)]
pub(super) enum Step {
    /// Make a link, in place of the links that srvd made.
    Link { path: String, target: PathBuf },
    /// Remove a link that srvd made.
    Unlink { path: String },
    /// Write a copy, in place of nothing or of a file in one of these states.
    Copy { path: String, copy: Kind, content: Vec<u8>, digest: String, replaces: Vec<String> },
    /// Remove a copy in one of these states, or put the prepared text in its place.
    Uncopy { path: String, copy: Kind, states: Vec<String>, prepared: Option<String> },
    /// Change members of a file of the CLI's.
    Merge { path: String, lock: Option<String>, changes: Vec<Change> },
}

/// The kind of a copy.
#[derive(Debug, Clone, Default)]
pub(super) struct Kind {
    pub(super) format: ShareFormat,
    /// The members that the CLI changes by itself.
    pub(super) own: Vec<String>,
}

impl Kind {
    fn of(rule: &ShareRule) -> Self {
        Self { format: rule.format, own: rule.own_members.clone() }
    }

    /// Returns the digest of a copy without the CLI's own members.
    fn digest(&self, document: &Value) -> String {
        document::digest(&document::without(document, &self.own))
    }
}

impl Step {
    /// The path that the step changes.
    pub(super) fn path(&self) -> &str {
        match self {
            Self::Link { path, .. }
            | Self::Unlink { path }
            | Self::Copy { path, .. }
            | Self::Uncopy { path, .. }
            | Self::Merge { path, .. } => path,
        }
    }
}

/// The steps for a home, and its state after them.
pub(super) struct Plan {
    pub(super) steps: Vec<Step>,
    pub(super) items: Vec<Item>,
    /// The record without the entries that are srvd's no more.
    pub(super) ledger: Ledger,
}

/// Compares a home with its setup. Blocking.
pub(super) fn plan(job: &Job<'_>, targets: &[Target<'_>], ledger: &Ledger) -> Plan {
    let mut planner = Planner {
        job,
        plan: Plan { steps: Vec::new(), items: Vec::new(), ledger: ledger.clone() },
        kept: BTreeSet::new(),
    };
    for target in targets {
        match target.rule.kind {
            ShareKind::Link => planner.link(target),
            ShareKind::Copy => planner.copy(target),
            ShareKind::Merge => planner.merge(target),
        }
    }
    planner.remove_the_rest();
    planner.plan
}

struct Planner<'a> {
    job: &'a Job<'a>,
    plan: Plan,
    /// The paths that a setup has, or may have: their entries in the record stay.
    kept: BTreeSet<String>,
}

impl Planner<'_> {
    fn item(&mut self, path: &str, state: ItemState, left_out: Vec<LeftOut>) {
        self.plan.items.push(Item { path: path.to_owned(), state, left_out });
    }

    fn leave_out(&mut self, path: &str, reason: impl Into<String>) {
        self.item(path, ItemState::LeftOut(reason.into()), Vec::new());
    }

    fn link(&mut self, target: &Target<'_>) {
        let real = match self.job.origin.find(&target.source, target.expected) {
            Found::Absent => return,
            Found::Refused(reason) => return self.leave_out(&target.path, reason),
            Found::At(real) => real,
        };
        let ours = self.plan.ledger.links.get(&target.path).cloned().unwrap_or_default();
        let directory = target.expected == origin::Expected::Directory;
        let needed = match place::state(self.job.home, &target.path) {
            Err(reason) => return self.leave_out(&target.path, reason),
            Ok(Place::Link(found)) if ours.contains(&found) => found != real,
            Ok(Place::Absent) => true,
            Ok(Place::EmptyDirectory) if directory => true,
            Ok(_) => return self.leave_out(&target.path, OWN),
        };
        self.kept.insert(target.path.clone());
        if needed {
            self.plan.steps.push(Step::Link { path: target.path.clone(), target: real.clone() });
        } else {
            self.plan.ledger.links.insert(target.path.clone(), vec![real.clone()]);
        }
        self.item(&target.path, ItemState::Linked(real), Vec::new());
    }

    /// Reads a document of the setup. `None` if there is none; the reason is recorded if it cannot be used, and what the
    /// home has of it stays.
    fn source(&mut self, target: &Target<'_>, limit: u64) -> Option<Value> {
        let read = match self.job.origin.find(&target.source, target.expected) {
            Found::Absent => return None,
            Found::Refused(reason) => Err(reason),
            Found::At(real) => origin::read(&real, limit),
        };
        let document = match read {
            Ok(None) => return None,
            Ok(Some(bytes)) => document::read(target.rule.format, &bytes)
                .map_err(|reason| format!("it cannot be used: {reason}")),
            Err(reason) => Err(reason),
        };
        document
            .map_err(|reason| {
                self.kept.insert(target.path.clone());
                self.leave_out(&target.path, reason);
            })
            .ok()
    }

    fn copy(&mut self, target: &Target<'_>) {
        let Some(source) = self.source(target, MOST_SETTINGS) else { return };
        let filter = Filter { rule: target.rule, listed: self.job.listed };
        let (kept, left_out) = filter.apply(source);
        let Some(mut wanted) = kept else {
            let state = ItemState::LeftOut("nothing in it can be shared".to_owned());
            return self.item(&target.path, state, left_out);
        };
        let prepared = prepared(self.job, target)
            .and_then(|text| document::read(target.rule.format, text.as_bytes()).ok());
        if let Some(prepared) = &prepared {
            document::overlay(&mut wanted, prepared);
        }
        let copy = Kind::of(target.rule);
        let Ok((state, current)) = copy_state(self.job, &target.path, &copy) else {
            return self.leave_out(&target.path, OWN);
        };
        let digest = copy.digest(&wanted);
        if let Some(current) = &current {
            document::keep(&mut wanted, current, &copy.own);
        }
        let content = match document::write(target.rule.format, &wanted) {
            Ok(content) => content,
            Err(reason) => return self.leave_out(&target.path, format!("it cannot be copied: {reason}")),
        };
        let known = self.plan.ledger.copies.contains_key(&target.path);
        let ours = self.plan.ledger.made_copy(&target.path, &state);
        let as_prepared = !known && prepared.is_some_and(|prepared| copy.digest(&prepared) == state);
        self.kept.insert(target.path.clone());
        match (state == ABSENT || as_prepared, ours) {
            (false, true) if state == digest => {
                self.plan.ledger.copies.insert(target.path.clone(), vec![digest]);
            }
            (true, _) | (_, true) => {
                let path = target.path.clone();
                self.plan.steps.push(Step::Copy { path, copy, content, digest, replaces: vec![state] });
            }
            _ => {
                let reason = if known { CHANGED } else { OWN };
                return self.item(&target.path, ItemState::LeftOut(reason.to_owned()), left_out);
            }
        }
        self.item(&target.path, ItemState::Copied, left_out);
    }

    fn merge(&mut self, target: &Target<'_>) {
        let path = &target.path;
        let Some(source) = self.source(target, MOST_STATE) else { return };
        let (mut wanted, mut left_out) = (Vec::new(), Vec::new());
        for pointer in &target.rule.take {
            let (taken, left) = members(&source, pointer);
            wanted.extend(taken.into_iter().map(|(name, value)| (pointer.clone(), name, value)));
            left_out.extend(left);
        }
        if wanted.is_empty() && left_out.is_empty() && !self.plan.ledger.members.contains_key(path) {
            return;
        }
        let home = match super::merge::read(self.job.home, path) {
            Ok(Some((_, home))) => home,
            Ok(None) => return self.later(path, left_out, "its CLI has not made the file yet"),
            Err(reason) => return self.later(path, left_out, &reason),
        };
        self.kept.insert(path.clone());
        let (mut changes, mut names) = (Vec::new(), Vec::new());
        let mut seen = BTreeSet::new();
        for (pointer, name, value) in wanted {
            let place = Change::place(&pointer, &name);
            seen.insert(place.clone());
            let (state, digest) = (Change::state(&home, &place), document::digest(&value));
            let states = self.plan.ledger.member(path, &place).cloned();
            let reason = match &states {
                None if state == ABSENT => None,
                None => Some("this identity has its own of this name"),
                Some(states) if states.contains(&state) => None,
                Some(_) if state == ABSENT => Some("it was removed in this identity"),
                Some(_) => Some(CHANGED),
            };
            if let Some(reason) = reason {
                left_out.push(LeftOut { place: Change::shown(&place), reason: reason.to_owned() });
                continue;
            }
            names.push(name);
            if state == digest {
                self.plan.ledger.set_member(path, &place, Some(vec![digest]));
            } else {
                changes.push(Change { place, value: Some(value), replaces: state, digest });
            }
        }
        changes.extend(self.members_to_remove(path, &home, &seen));
        if !changes.is_empty() {
            let (path, lock) = (path.clone(), target.rule.lock.clone());
            self.plan.steps.push(Step::Merge { path, lock, changes });
        }
        self.item(path, ItemState::Merged(names), left_out);
    }

    fn later(&mut self, path: &str, left_out: Vec<LeftOut>, reason: &str) {
        self.kept.insert(path.to_owned());
        self.item(path, ItemState::LeftOut(reason.to_owned()), left_out);
    }

    /// Returns the changes that remove the members that srvd made and that no setup has any more. Members that were
    /// changed are forgotten.
    fn members_to_remove(&mut self, path: &str, home: &Value, seen: &BTreeSet<String>) -> Vec<Change> {
        let recorded = self.plan.ledger.members.get(path).cloned().unwrap_or_default();
        let mut changes = Vec::new();
        for (place, states) in recorded.into_iter().filter(|(place, _)| !seen.contains(place)) {
            let state = Change::state(home, &place);
            if state != ABSENT && states.contains(&state) {
                changes.push(Change { place, value: None, replaces: state, digest: ABSENT.to_owned() });
            } else {
                self.plan.ledger.set_member(path, &place, None);
            }
        }
        changes
    }

    /// Plans the removal of everything in the record that no setup has any more.
    fn remove_the_rest(&mut self) {
        let (ledger, kept) = (self.plan.ledger.clone(), self.kept.clone());
        for (path, targets) in ledger.links.iter().filter(|(path, _)| !kept.contains(*path)) {
            match place::state(self.job.home, path) {
                Ok(Place::Link(found)) if targets.contains(&found) => {
                    self.plan.steps.push(Step::Unlink { path: path.clone() });
                }
                _ => drop(self.plan.ledger.links.remove(path)),
            }
        }
        for (path, states) in ledger.copies.iter().filter(|(path, _)| !kept.contains(*path)) {
            let rule = self.job.rule_of(path);
            let copy = rule.map(|(rule, _)| Kind::of(rule)).unwrap_or_default();
            match copy_state(self.job, path, &copy) {
                Ok((state, _)) if state != ABSENT && states.contains(&state) => {
                    let prepared = rule.and_then(|(_, below)| self.job.prepared(below)).map(str::to_owned);
                    let (path, states) = (path.clone(), states.clone());
                    self.plan.steps.push(Step::Uncopy { path, copy, states, prepared });
                }
                _ => drop(self.plan.ledger.copies.remove(path)),
            }
        }
        for path in ledger.members.keys().filter(|path| !kept.contains(*path)) {
            let lock = self.job.rule_of(path).and_then(|(rule, _)| rule.lock.clone());
            match super::merge::read(self.job.home, path) {
                Ok(Some((_, home))) => {
                    let changes = self.members_to_remove(path, &home, &BTreeSet::new());
                    if !changes.is_empty() {
                        self.plan.steps.push(Step::Merge { path: path.clone(), lock, changes });
                    }
                }
                Ok(None) => drop(self.plan.ledger.members.remove(path)),
                // It is tried again at the next launch.
                Err(reason) => self.leave_out(path, reason),
            }
        }
    }
}

/// Returns the text that srvd writes before a login, if it writes one at this place.
fn prepared<'a>(job: &Job<'a>, target: &Target<'_>) -> Option<&'a str> {
    if target.rule.home.is_some() { None } else { job.prepared(&target.below) }
}

/// Returns the state of a copy, which is its digest or a word that no digest equals, and the copy itself.
///
/// # Errors
/// The reason why it cannot be read. It is then not srvd's.
pub(super) fn copy_state(job: &Job<'_>, path: &str, copy: &Kind) -> Result<(String, Option<Value>), String> {
    if !place::folders(job.home, path, false)? {
        return Ok((ABSENT.to_owned(), None));
    }
    Ok(match origin::read(&job.home.join(path), MOST_STATE)? {
        None => (ABSENT.to_owned(), None),
        Some(bytes) => match document::read(copy.format, &bytes) {
            Ok(document) => (copy.digest(&document), Some(document)),
            Err(_) => ("another document".to_owned(), None),
        },
    })
}
