//! Judges the directories in which the CLIs keep the logins of each bundle.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use auth_spawner::TokenMark;

use crate::doctor::facts::{Database, Facts, Identities, Node, NodeKind, Unowned};
use crate::doctor::finding::{Finding, Severity};
use crate::doctor::repair::Repair;
use crate::hint::Step;

/// The largest number of paths that a finding names.
const NAMED: usize = 5;

/// Returns the finding for bundles whose names people can take for each other.
fn twins(facts: &Facts) -> Option<Finding> {
    let Database::Is(_, inspection) = &facts.database else { return None };
    let mut alike: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for name in inspection.contents.iter().flat_map(|contents| &contents.names) {
        alike.entry(identity_store::skeleton(name)).or_default().push(name);
    }
    let groups = alike.into_values().filter(|names| names.len() > 1);
    let shown = |names: Vec<&str>| {
        let escaped = |name: &&str| format!("\"{}\"", name.escape_default());
        names.iter().map(escaped).collect::<Vec<_>>().join(" and ")
    };
    let groups: Vec<String> = groups.map(shown).collect();
    (!groups.is_empty()).then(|| {
        let title = "Some bundles have names that look alike";
        let meaning = "They are different bundles, and a login or a key can end in the wrong one.";
        Finding::new("bundles.twins", Severity::Warning, title, groups.join("; "), meaning)
            .fix(Step::RenameTwin)
    })
}

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let Identities { directories, credentials, foreign, hidden, unowned, truncated, .. } = &facts.identities;
    let ours = |node: &Node| node.uid == facts.uid;
    let open: Vec<&PathBuf> = paths(directories, |node| {
        node.kind == NodeKind::Directory
            && ours(node)
            && (node.mode & 0o077 != 0 || node.mode & 0o700 != 0o700)
    });
    let links: Vec<&PathBuf> = paths(directories, |node| node.kind == NodeKind::Link);
    let loose: Vec<&PathBuf> =
        paths(credentials, |node| node.kind == NodeKind::File && ours(node) && node.mode & 0o077 != 0);
    let led: Vec<&PathBuf> = paths(credentials, |node| node.kind == NodeKind::Link);
    let found = [
        (!open.is_empty()).then(|| {
            let meaning = "srvd refuses to use them for a login or a launch until only you can access them.";
            let title = "Login directories do not have the mode 0700";
            Finding::new("identities.mode", Severity::Error, title, named(&open), meaning)
                .repair(open.iter().map(|path| Repair::Mode { path: (*path).clone(), mode: 0o700 }))
        }),
        (!links.is_empty()).then(|| {
            let meaning = "A link could point anywhere, so srvd refuses to use it.";
            let title = "A login directory is a symbolic link";
            Finding::new("identities.link", Severity::Error, title, named(&links), meaning)
                .fix(Step::RemoveLink)
        }),
        (!loose.is_empty()).then(|| {
            let meaning = "The directories above deny other users access, so only you can read the files, but other users could read a copy.";
            let title = "Credential files do not have the mode 0600";
            Finding::new("identities.credential-mode", Severity::Note, title, named(&loose), meaning)
                .repair(loose.iter().map(|path| Repair::Mode { path: (*path).clone(), mode: 0o600 }))
        }),
        (!led.is_empty()).then(|| {
            let meaning = "srvd does not follow the link. It treats the login as unreadable and does not launch with it.";
            let title = "A credential file is a symbolic link";
            Finding::new("identities.credential-link", Severity::Warning, title, named(&led), meaning)
                .fix(Step::ReplaceLink)
        }),
        (!foreign.is_empty()).then(|| foreigners(foreign, facts)),
        (!hidden.is_empty()).then(|| {
            let reasons: Vec<String> =
                hidden.iter().take(NAMED).map(|(path, why)| format!("{}: {why}", path.display())).collect();
            let meaning = "srvd cannot read the logins in it either.";
            let title = "A login directory cannot be read";
            Finding::new("identities.hidden", Severity::Error, title, reasons.join(", "), meaning)
                .fix(Step::RestoreAccess)
        }),
        unowned_logins(unowned),
        copies(&facts.identities.tokens),
        twins(facts),
        truncated.then(|| {
            let title = "There are more files than srvd doctor checks";
            let detail = facts.identities.root.display().to_string();
            Finding::new("identities.many", Severity::Note, title, detail, "The other files were not checked.")
        }),
    ];
    let mut findings: Vec<Finding> = found.into_iter().flatten().collect();
    if findings.is_empty() && !directories.is_empty() {
        let detail = facts.identities.root.display().to_string();
        findings.push(Finding::well("identities", "Only you can access the login directories", detail));
    }
    findings
}

/// Returns the finding for directories that hold the same refresh token.
fn copies(tokens: &[(String, PathBuf, TokenMark)]) -> Option<Finding> {
    let mut same: BTreeMap<(&str, TokenMark), BTreeSet<&PathBuf>> = BTreeMap::new();
    for (provider, dir, mark) in tokens {
        same.entry((provider, *mark)).or_default().insert(dir);
    }
    let groups = same.into_iter().filter(|(_, dirs)| dirs.len() > 1);
    let shown = groups.map(|((provider, _), dirs)| {
        let dirs: Vec<String> = dirs.iter().map(|dir| dir.display().to_string()).collect();
        format!("{provider}: {}", dirs.join(" and "))
    });
    let shown: Vec<String> = shown.collect();
    (!shown.is_empty()).then(|| {
        let title = "Two directories hold the same login";
        let meaning = "Each renewal replaces the refresh token, so a renewal in one directory ends the login in the other. \
                       srvd renews neither.";
        Finding::new("identities.copied", Severity::Error, title, shown.join("; "), meaning)
            .fix(Step::ShowStatus)
    })
}

fn foreigners(foreign: &[(PathBuf, u32)], facts: &Facts) -> Finding {
    let owners: Vec<String> =
        foreign.iter().take(NAMED).map(|(path, uid)| format!("{} (uid {uid})", path.display())).collect();
    Finding::new(
        "identities.owner",
        Severity::Error,
        "Some login files belong to another user",
        owners.join(", "),
        "A CLI was probably run with sudo. When you run it, it cannot renew its login.",
    )
    .fix(Step::TakeTree { user: facts.uid, path: facts.identities.root.as_path().into() })
}

fn unowned_logins(unowned: &[Unowned]) -> Option<Finding> {
    if unowned.is_empty() {
        return None;
    }
    let line = |one: &Unowned| match one.logins.as_slice() {
        [] => one.path.display().to_string(),
        logins => format!("{} (a login of {})", one.path.display(), logins.join(", ")),
    };
    let detail: Vec<String> = unowned.iter().take(NAMED).map(line).collect();
    let logins = unowned.iter().any(|one| !one.logins.is_empty());
    let (severity, meaning) = if logins {
        (Severity::Warning, "srvd does not use them, but anyone who can read them can use the logins.")
    } else {
        (
            Severity::Note,
            "They hold the conversation history of deleted bundles, or files of interrupted logins.",
        )
    };
    let title = "Some bundle directories are not in the database";
    Some(
        Finding::new("identities.unowned", severity, title, detail.join(", "), meaning)
            .fix(Step::RemoveUnowned),
    )
}

fn paths(nodes: &[(PathBuf, Node)], wanted: impl Fn(&Node) -> bool) -> Vec<&PathBuf> {
    nodes.iter().filter(|(_, node)| wanted(node)).map(|(path, _)| path).collect()
}

fn named(paths: &[&PathBuf]) -> String {
    let mut names: Vec<String> = paths.iter().take(NAMED).map(|path| path.display().to_string()).collect();
    if paths.len() > NAMED {
        names.push(format!("and {} more", paths.len() - NAMED));
    }
    names.join(", ")
}
