//! The settings of all renewals.

/// The settings of all renewals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeeperSettings {
    /// True if logins are renewed unless their account says otherwise.
    pub on: bool,
}
