//! Disk: the directories of the identities.
//!
//! It names, makes, checks and removes a bundle's directories, retries the removal of what deleted accounts left, finds
//! the directories that the user's own CLIs use, and puts the user's own setup into the homes of identities. It uses
//! `wire`, `base` and `config`. It must not decide which account is used or whether a login is good.

pub(crate) mod ballast;
pub(crate) mod identity_dir;
pub(crate) mod leftovers;
pub(crate) mod own_dir;
pub(crate) mod share;
pub(crate) mod space;
