//! Facts about groups from the system's user database.

use std::path::Path;

use nix::unistd::{Gid, Group as Entry, Uid, User};

use super::decision::Group;

/// Names of groups whose members administrate the machine.
const ADMINISTRATORS: [&str; 4] = ["root", "wheel", "admin", "staff"];

/// Returns the kind of a group for a user. A group that cannot be looked up is any other group.
pub(super) fn of(gid: u32, uid: u32) -> Group {
    let Ok(Some(group)) = Entry::from_gid(Gid::from_raw(gid)) else {
        return if gid == 0 { Group::Administrators } else { Group::Other };
    };
    let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
    let others = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let user = user.as_ref().map(|user| (user.name.as_str(), user.gid.as_raw()));
    kind(gid, &group.name, &group.mem, user, &others)
}

/// Decides about a group with a name and members. `user` is the user's name and primary group, and `passwd` is the text
/// of `/etc/passwd`, which shows the users who have the group as their primary one.
fn kind(gid: u32, name: &str, members: &[String], user: Option<(&str, u32)>, passwd: &str) -> Group {
    if gid == 0 || ADMINISTRATORS.contains(&name) {
        return Group::Administrators;
    }
    let Some((user, primary)) = user else { return Group::Other };
    let alone =
        members.iter().all(|member| member == user) && !passwd.lines().any(|line| shares(line, user, gid));
    if gid == primary && name == user && alone { Group::Private } else { Group::Other }
}

/// Returns whether a line of `/etc/passwd` is that of another user with this primary group.
fn shares(line: &str, user: &str, gid: u32) -> bool {
    let mut fields = line.split(':');
    let other = fields.next().is_some_and(|name| name != user);
    other && fields.nth(2).and_then(|field| field.parse().ok()) == Some(gid)
}

/// Returns whether a file has an access list in addition to its mode.
#[cfg(target_os = "linux")]
pub(super) fn has_access_list(path: &Path) -> bool {
    let mut nothing: [u8; 0] = [];
    rustix::fs::lgetxattr(path, "system.posix_acl_access", &mut nothing[..]).is_ok_and(|length| length > 0)
}

/// Returns whether a file has an access list in addition to its mode. Elsewhere a list does not change the mode's
/// meaning.
#[cfg(not(target_os = "linux"))]
pub(super) fn has_access_list(_: &Path) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn group_is_private_only_when_its_single_member_is_the_user() {
        let passwd = "root:x:0:0::/root:/bin/sh\nada:x:1000:1000::/home/ada:/bin/sh\nbob:x:1001:100::/home/bob:/bin/sh\n";
        let check = |gid: u32, name: &str, members: &[&str], primary: u32, expect: Group| {
            let members: Vec<String> = members.iter().map(|&member| member.to_owned()).collect();
            assert_eq!(kind(gid, name, &members, Some(("ada", primary)), passwd), expect, "{gid} {name}");
        };
        check(1000, "ada", &[], 1000, Group::Private);
        check(1000, "ada", &["ada"], 1000, Group::Private);
        check(1000, "ada", &["ada", "bob"], 1000, Group::Other);
        check(1000, "developers", &[], 1000, Group::Other);
        check(1001, "ada", &[], 1000, Group::Other);
        // openSUSE: `users` is the primary group of every user.
        check(100, "users", &[], 100, Group::Other);
        check(100, "ada", &[], 100, Group::Other);
        for (gid, name) in
            [(0, "root"), (0, "anything"), (10, "wheel"), (80, "admin"), (50, "staff"), (20, "staff")]
        {
            check(gid, name, &["bob"], 1000, Group::Administrators);
        }
        assert_eq!(kind(1000, "ada", &[], None, passwd), Group::Other);
    }

    #[test]
    fn group_of_root_is_known_without_a_database() {
        assert_eq!(of(0, 4_000_000), Group::Administrators);
        assert_eq!(of(4_000_000, 4_000_000), Group::Other);
    }
}
