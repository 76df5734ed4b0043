//! The decision whether another user can change a place, without I/O.

/// The group of a file, as far as the decision needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Group {
    /// The user's own group: the primary one, with the user's name and no other member.
    Private,
    /// A group of administrators: root, wheel, admin or staff.
    Administrators,
    /// Any other group.
    Other,
}

/// A file or a directory on the way to a place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) uid: u32,
    pub(super) mode: u32,
    pub(super) group: Group,
    /// True if an access list names more users than the mode shows.
    pub(super) listed: bool,
    pub(super) kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Directory,
    File,
}

/// The use of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// A directory on the way. In a sticky one, other users cannot replace an entry of root or this user.
    Above,
    /// The place itself, or the directory whose entries are searched.
    Used,
}

/// The reason why an entry is not trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flaw {
    /// It belongs to another user.
    Owner,
    /// Other users may write to it.
    Writable,
}

impl Entry {
    /// Returns the reason why another user than `user` and root can change what is found here.
    pub(super) fn flaw(&self, user: u32, role: Role) -> Option<Flaw> {
        if self.uid != 0 && self.uid != user {
            return Some(Flaw::Owner);
        }
        let sticky = self.kind == Kind::Directory && self.mode & 0o1000 != 0;
        (self.shared() && !(sticky && role == Role::Above)).then_some(Flaw::Writable)
    }

    /// Returns whether other users may write to it.
    pub(super) fn shared(&self) -> bool {
        let group = self.mode & 0o020 != 0 && (self.group == Group::Other || self.listed);
        self.mode & 0o002 != 0 || group
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: u32 = 1000;

    #[test]
    fn entry_is_trusted_only_when_no_other_user_can_change_it() {
        use Group::{Administrators, Other, Private};
        use Kind::{Directory, File};
        let check = |kind, uid, mode, group, above: Option<Flaw>, used: Option<Flaw>| {
            let entry = Entry { uid, mode, group, listed: false, kind };
            assert_eq!(entry.flaw(ME, Role::Above), above, "{entry:?}");
            assert_eq!(entry.flaw(ME, Role::Used), used, "{entry:?}");
            let listed = Entry { listed: true, ..entry };
            let writable = mode & 0o020 != 0;
            assert_eq!(listed.flaw(ME, Role::Used).is_some(), used.is_some() || writable, "{listed:?}");
        };
        let (owner, writable) = (Some(Flaw::Owner), Some(Flaw::Writable));
        for (kind, uid, mode, group, above, used) in [
            (Directory, 0, 0o755, Other, None, None),
            (Directory, ME, 0o700, Other, None, None),
            (File, ME, 0o644, Other, None, None),
            (Directory, 1001, 0o755, Other, owner, owner),
            (Directory, 1001, 0o777, Private, owner, owner),
            // `/tmp`
            (Directory, 0, 0o1777, Other, None, writable),
            (File, ME, 0o1666, Other, writable, writable),
            // `umask 002` of Fedora and Debian, where each user has a group of the same name
            (Directory, ME, 0o775, Private, None, None),
            (File, ME, 0o664, Private, None, None),
            (Directory, ME, 0o775, Other, writable, writable),
            // Homebrew: the user and admin; `/usr/local` of Debian: root and staff
            (Directory, ME, 0o775, Administrators, None, None),
            (Directory, 0, 0o2775, Administrators, None, None),
            // the Nix store: root and the build users, sticky
            (Directory, 0, 0o1775, Other, None, writable),
            // WSL without metadata, and a shared folder
            (Directory, ME, 0o777, Private, writable, writable),
            (File, ME, 0o777, Administrators, writable, writable),
        ] {
            check(kind, uid, mode, group, above, used);
        }
    }
}
