//! The policy that decides which setup the homes of a bundle have in common with another place.

use std::fmt;
use std::str::FromStr;

use crate::id::BundleId;

/// The longest chain of bundles that take their setup from each other.
pub const LONGEST_CHAIN: usize = 8;

/// The word before a bundle's id in the database.
const BUNDLE: &str = "bundle:";

/// The policy of a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharePolicy {
    /// The place that the setup comes from.
    pub source: ShareSource,
    /// True if the history is shared as well.
    pub history: bool,
}

/// The place that a bundle's setup comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ShareSource {
    /// The bundle has only its own setup.
    Nothing,
    /// The person's own directories.
    Mine,
    /// The homes of another bundle.
    Bundle(BundleId),
}

impl SharePolicy {
    /// The policy of a bundle that shares nothing.
    pub const NOTHING: Self = Self { source: ShareSource::Nothing, history: false };
    /// The policy of a person's new bundle.
    pub const MINE: Self = Self { source: ShareSource::Mine, history: false };
}

impl fmt::Display for ShareSource {
    /// Writes the word that the database keeps.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing"),
            Self::Mine => f.write_str("mine"),
            Self::Bundle(id) => write!(f, "{BUNDLE}{id}"),
        }
    }
}

impl FromStr for ShareSource {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "nothing" => Ok(Self::Nothing),
            "mine" => Ok(Self::Mine),
            _ => {
                let id = text.strip_prefix(BUNDLE).and_then(|id| id.parse().ok());
                id.map(Self::Bundle).ok_or("it names no source of a setup")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn share_source_is_read_as_it_was_written() {
        for source in [ShareSource::Nothing, ShareSource::Mine, ShareSource::Bundle("work".parse().unwrap())]
        {
            assert_eq!(source.to_string().parse(), Ok(source));
        }
        for text in ["", "bundle:", "bundle:../x", "theirs", "Mine"] {
            assert!(text.parse::<ShareSource>().is_err(), "{text}");
        }
    }
}
