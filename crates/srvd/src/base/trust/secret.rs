//! Reading of a file with a secret, as people, containers and Kubernetes make it.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use zeroize::Zeroizing;

use super::decision::Group;
use super::error::Exposed;
use super::{Trust, TrustError};

/// The mount of a file with a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mount {
    /// A mount that cannot be written to, as of a container's secret.
    ReadOnly,
    /// A file system in memory, as often of a container's secret.
    Memory,
    Other,
}

impl Trust {
    /// Reads a secret from a file that only root and this user can change. Links are followed: Kubernetes makes the
    /// file of a secret as a link inside the mount. Other users must not be able to read it, unless it is a secret of a
    /// container: on a read-only mount, or in memory without any permission to write.
    ///
    /// # Errors
    /// [`TrustError`]; [`TrustError::Missing`] when there is no file.
    pub(crate) fn read_secret(&self, path: &Path, longest: u64) -> Result<Zeroizing<Vec<u8>>, TrustError> {
        let content = self.read(path, longest)?.ok_or_else(|| TrustError::Missing(path.to_owned()))?;
        let found = &content.metadata;
        let group_reads = found.mode() & 0o040 != 0;
        let group = if group_reads { self.group(found.gid()) } else { Group::Other };
        if may_be_read(found.mode(), group, mount(path)) {
            return Ok(content.bytes);
        }
        Err(TrustError::Exposed(Exposed {
            path: path.to_owned(),
            mode: found.mode() & 0o7777,
            owned: found.uid() == self.uid,
            user: self.uid,
        }))
    }
}

/// Decides whether a secret with this mode is kept from other users.
fn may_be_read(mode: u32, group: Group, mount: Mount) -> bool {
    let group_reads = mode & 0o040 != 0 && group == Group::Other;
    let others_read = mode & 0o004 != 0;
    match mount {
        Mount::ReadOnly => true,
        Mount::Memory if mode & 0o222 == 0 => true,
        Mount::Memory | Mount::Other => !group_reads && !others_read,
    }
}

fn mount(path: &Path) -> Mount {
    let read_only = rustix::fs::statvfs(path)
        .is_ok_and(|found| found.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY));
    match (read_only, is_in_memory(path)) {
        (true, _) => Mount::ReadOnly,
        (false, true) => Mount::Memory,
        (false, false) => Mount::Other,
    }
}

#[cfg(target_os = "linux")]
fn is_in_memory(path: &Path) -> bool {
    const TMPFS: u64 = 0x0102_1994;
    const RAMFS: u64 = 0x8584_58f6;
    let kind = rustix::fs::statfs(path).map(|found| u64::try_from(found.f_type).unwrap_or_default());
    kind.is_ok_and(|kind| kind == TMPFS || kind == RAMFS)
}

#[cfg(not(target_os = "linux"))]
fn is_in_memory(_: &Path) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_may_be_read_by_others_only_in_a_container_s_mount() {
        use Group::{Administrators, Other, Private};
        use Mount::{Memory, ReadOnly};
        for (mode, group, mount, expect) in [
            (0o600, Other, Mount::Other, true),
            (0o400, Other, Mount::Other, true),
            (0o640, Other, Mount::Other, false),
            (0o640, Private, Mount::Other, true),
            (0o440, Administrators, Mount::Other, true),
            (0o440, Other, Mount::Other, false),
            (0o444, Administrators, Mount::Other, false),
            (0o644, Other, Mount::Other, false),
            // Kubernetes with fsGroup, Docker Swarm
            (0o440, Other, Memory, true),
            (0o444, Other, Memory, true),
            (0o644, Other, Memory, false),
            (0o640, Other, Memory, false),
            // Docker Compose mounts a file of the host.
            (0o644, Other, ReadOnly, true),
            (0o444, Other, ReadOnly, true),
        ] {
            assert_eq!(may_be_read(mode, group, mount), expect, "{mode:04o} {group:?} {mount:?}");
        }
    }
}
