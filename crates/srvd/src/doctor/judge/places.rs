//! Judges the files and directories that other users must not read or write.

use crate::doctor::facts::{Node, NodeKind, PathState, ProtectedPath, RequiredAccess};
use crate::doctor::finding::{Finding, Severity};
use crate::doctor::repair::Repair;
use crate::hint::Step;

/// Returns the finding for a place. A correct file has none; a correct directory has one.
pub(super) fn judge(place: &ProtectedPath, uid: u32) -> Option<Finding> {
    let directory =
        matches!(place.wanted, RequiredAccess::PrivateDirectory | RequiredAccess::GuardedDirectory);
    let path = place.path.display();
    match &place.seen {
        PathState::Nothing if directory => Some(
            Finding::new(
                place.id,
                Severity::Note,
                format!("{} does not exist yet", place.what),
                path.to_string(),
                "It is created when it is needed.",
            )
            .repair([Repair::MakeDirectory { path: place.path.clone() }]),
        ),
        PathState::Nothing => None,
        PathState::Hidden(reason) => Some(
            Finding::new(
                place.id,
                Severity::Error,
                format!("{} cannot be examined", place.what),
                format!("{path}: {reason}"),
                "Neither you nor the daemon can use it.",
            )
            .fix(Step::CheckDirectoriesAbove),
        ),
        PathState::Is(node) => wrong_kind(place, *node, directory)
            .or_else(|| untrusted(place, *node, uid))
            .or_else(|| wrong_owner(place, *node, uid))
            .or_else(|| wrong_mode(place, *node, directory))
            .or_else(|| {
                directory
                    .then(|| Finding::well(place.id, format!("{} is in order", place.what), path.to_string()))
            }),
    }
}

fn wrong_kind(place: &ProtectedPath, node: Node, directory: bool) -> Option<Finding> {
    let wanted = if directory { NodeKind::Directory } else { NodeKind::File };
    if node.kind == wanted {
        return None;
    }
    let what = if directory { "a directory" } else { "a file" };
    let is = if node.kind == NodeKind::Link { "is a symbolic link" } else { "has the wrong type" };
    Some(
        Finding::new(
            place.id,
            Severity::Error,
            format!("{} {is}", place.what),
            place.path.display().to_string(),
            format!("It must be {what}; srvd does not use anything else."),
        )
        .fix(Step::MoveAwayOrConfigure),
    )
}

/// Returns the finding for a place that another user can change through a directory above it, or that belongs to
/// another user. A mode that this user can correct is repaired.
fn untrusted(place: &ProtectedPath, node: Node, uid: u32) -> Option<Finding> {
    let found = place.untrusted.as_ref()?;
    let directory =
        matches!(place.wanted, RequiredAccess::GuardedDirectory | RequiredAccess::PrivateDirectory);
    let own_mode = node.uid == uid && node.mode & 0o022 != 0;
    if own_mode && let Some(finding) = wrong_mode(place, node, directory) {
        return Some(finding);
    }
    let title = format!("{} can be changed by another user", place.what);
    let harm = "srvd does not use it, and the daemon does not start.";
    let finding = Finding::new(place.id, Severity::Error, title, found.reason.clone(), harm);
    Some(match &found.remedy {
        Some(remedy) => finding.fix(remedy.clone()),
        None => finding,
    })
}

fn wrong_owner(place: &ProtectedPath, node: Node, uid: u32) -> Option<Finding> {
    let trusted = matches!(place.wanted, RequiredAccess::GuardedDirectory | RequiredAccess::GuardedFile)
        && node.uid == 0;
    if node.uid == uid || trusted {
        return None;
    }
    Some(
        Finding::new(
            place.id,
            Severity::Error,
            format!("{} belongs to another user", place.what),
            format!("{} belongs to uid {}, but your uid is {uid}", place.path.display(), node.uid),
            "Its owner can change its content, so srvd does not use it.",
        )
        .fix(Step::TakeFile { user: uid, path: place.path.as_path().into() }),
    )
}

fn wrong_mode(place: &ProtectedPath, node: Node, directory: bool) -> Option<Finding> {
    let (forbidden, severity, harm) = match place.wanted {
        RequiredAccess::PrivateDirectory => {
            (0o077, Severity::Error, "Other users can access it, so the daemon refuses to use it.")
        }
        RequiredAccess::PrivateFile => (0o077, Severity::Warning, "Other users can access it."),
        // A group that only this user is in, or that administrates the machine, may write.
        RequiredAccess::GuardedDirectory | RequiredAccess::GuardedFile if place.untrusted.is_none() => {
            (0, Severity::Error, "")
        }
        RequiredAccess::GuardedDirectory | RequiredAccess::GuardedFile => {
            (0o022, Severity::Error, "Other users can change which programs srvd runs.")
        }
    };
    let needed = if directory { 0o700 } else { 0o600 };
    let shut = node.mode & needed != needed;
    if node.mode & forbidden == 0 && !shut {
        return None;
    }
    let (severity, title, harm) = if shut {
        let title = format!("{} denies you access", place.what);
        (Severity::Error, title, "Neither you nor the daemon can use it.")
    } else {
        (severity, format!("{} is open to others", place.what), harm)
    };
    let mode = (node.mode & 0o777 & !forbidden) | needed;
    let detail = format!("{} has mode {:04o}", place.path.display(), node.mode);
    let finding = Finding::new(place.id, severity, title, detail, harm);
    Some(finding.repair([Repair::Mode { path: place.path.clone(), mode }]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::facts::Distrust;

    fn check(wanted: RequiredAccess, seen: PathState, expect: Option<(Severity, &str, &[Repair])>) {
        let writable = |node: &Node| {
            matches!(wanted, RequiredAccess::GuardedDirectory | RequiredAccess::GuardedFile)
                && node.mode & 0o022 != 0
        };
        let distrust = || Distrust { reason: "r".to_owned(), remedy: Some(Step::RestartDaemon.into()) };
        let untrusted = matches!(&seen, PathState::Is(node) if writable(node)).then(distrust);
        let place = ProtectedPath { id: "p", what: "The place", path: "/p".into(), seen, wanted, untrusted };
        let finding = judge(&place, 1000);
        let got = finding
            .as_ref()
            .map(|finding| (finding.severity, finding.title.as_str(), finding.repairs.as_slice()));
        assert_eq!(got, expect, "{place:?}");
    }

    fn is(kind: NodeKind, uid: u32, mode: u32) -> PathState {
        PathState::Is(Node { kind, uid, mode })
    }

    #[test]
    fn place_is_an_error_when_a_directory_above_it_is_open() {
        let place = |untrusted| ProtectedPath {
            id: "p",
            what: "The place",
            path: "/p".into(),
            seen: is(NodeKind::Directory, 1000, 0o700),
            wanted: RequiredAccess::PrivateDirectory,
            untrusted,
        };
        let distrust =
            Distrust { reason: "/ has mode 0777".to_owned(), remedy: Some(Step::RestartDaemon.into()) };
        let finding = judge(&place(Some(distrust)), 1000).unwrap();
        assert_eq!(finding.title, "The place can be changed by another user");
        assert_eq!((finding.severity, finding.detail.as_str()), (Severity::Error, "/ has mode 0777"));
        assert_eq!(judge(&place(None), 1000).unwrap().severity, Severity::Ok);
        // umask 002 with a group of one's own
        let group = ProtectedPath {
            seen: is(NodeKind::Directory, 1000, 0o775),
            wanted: RequiredAccess::GuardedDirectory,
            ..place(None)
        };
        assert_eq!(judge(&group, 1000).unwrap().severity, Severity::Ok);
    }

    #[test]
    fn place_is_judged_by_kind_owner_and_mode() {
        use NodeKind::{Directory, File, Link, Other};
        use RequiredAccess::{GuardedDirectory, GuardedFile, PrivateDirectory, PrivateFile};
        use Severity::{Error, Note, Ok, Warning};
        let mode = |mode: u32| Repair::Mode { path: "/p".into(), mode };
        let make = Repair::MakeDirectory { path: "/p".into() };
        let open = "The place is open to others";

        check(PrivateDirectory, is(Directory, 1000, 0o700), Some((Ok, "The place is in order", &[])));
        check(PrivateDirectory, is(Directory, 1000, 0o755), Some((Error, open, &[mode(0o700)])));
        check(
            PrivateDirectory,
            is(Directory, 1000, 0o000),
            Some((Error, "The place denies you access", &[mode(0o700)])),
        );
        check(
            PrivateDirectory,
            is(Directory, 0, 0o700),
            Some((Error, "The place belongs to another user", &[])),
        );
        check(PrivateDirectory, is(Link, 1000, 0o777), Some((Error, "The place is a symbolic link", &[])));
        check(PrivateDirectory, is(File, 1000, 0o600), Some((Error, "The place has the wrong type", &[])));
        check(PrivateDirectory, PathState::Nothing, Some((Note, "The place does not exist yet", &[make])));
        check(
            PrivateDirectory,
            PathState::Hidden("no".into()),
            Some((Error, "The place cannot be examined", &[])),
        );

        check(GuardedDirectory, is(Directory, 1000, 0o755), Some((Ok, "The place is in order", &[])));
        check(GuardedDirectory, is(Directory, 0, 0o755), Some((Ok, "The place is in order", &[])));
        check(GuardedDirectory, is(Directory, 1000, 0o775), Some((Error, open, &[mode(0o755)])));

        check(PrivateFile, is(File, 1000, 0o600), None);
        check(PrivateFile, PathState::Nothing, None);
        check(PrivateFile, is(File, 1000, 0o644), Some((Warning, open, &[mode(0o600)])));
        check(PrivateFile, is(Other, 1000, 0o600), Some((Error, "The place has the wrong type", &[])));
        check(GuardedFile, is(File, 1000, 0o644), None);
        check(GuardedFile, is(File, 1000, 0o666), Some((Error, open, &[mode(0o644)])));
    }
}
