//! `share.*`: the person's own setup in the homes of a bundle.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{method, words};

words! {
    /// The source of a bundle's setup. Any other text is the id of a bundle.
    ShareFrom {
        /// The bundle has only its own setup.
        Nothing = "nothing",
        /// The person's own directories.
        Mine = "mine",
    }
}

/// Returns the setup of a bundle's homes. Nothing is changed.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "GetShare")]
pub(crate) struct Get {
    /// The bundle's id.
    pub bundle_id: String,
}
method!(
    Get,
    "share.get",
    Share,
    "Returns the setup of a bundle's homes. Nothing is changed.",
    errors = [AmbientDirectory]
);

/// Changes which setup a bundle's homes have, and brings them up to date.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "SetShare")]
pub(crate) struct Set {
    /// The bundle's id.
    pub bundle_id: String,
    /// `mine` for the person's own directories, `nothing`, or the id of a bundle whose homes are the source.
    pub share: String,
    /// True to link the history as well. Unchanged when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<bool>,
}
method!(
    Set,
    "share.set",
    Share,
    "Changes which setup a bundle's homes have, and brings them up to date.",
    errors = [Conflict, AmbientDirectory]
);

/// The setup of a bundle's homes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Share {
    /// The bundle's id.
    pub bundle_id: String,
    /// `mine`, `nothing`, or the id of the bundle whose homes are the source.
    #[schemars(with = "String")]
    pub share: ShareFrom,
    /// True if the history is linked as well.
    pub history: bool,
    /// The homes that exist, in order of their providers.
    pub homes: Vec<HomeShare>,
}

/// The setup of one home.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HomeShare {
    /// Canonical provider id.
    pub provider_id: String,
    /// The home's absolute path.
    pub path: String,
    /// The directory that the setup comes from, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The parts of the setup that exist in the source, in order of their paths.
    pub items: Vec<ShareItem>,
    /// The number of changes that were made, or that the next launch makes.
    pub changes: u64,
    /// The reason why the home is not kept up to date, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// A part of a setup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ShareItem {
    /// The path below the home.
    pub path: String,
    /// The way in which the home has it.
    pub state: ShareState,
    /// The file or directory that a link leads to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The names of the merged members.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<String>,
    /// The reason why the home does not have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The places in the file that the home does not have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<ShareLeftOut>,
}

words! {
    /// The way in which a home has a part of a setup.
    ShareState {
        /// A link leads to it.
        Linked = "linked",
        /// The home has a copy without credentials.
        Copied = "copied",
        /// Members of it are in the CLI's own file.
        Merged = "merged",
        /// The home does not have it.
        LeftOut = "left_out",
    }
}

/// A place in a file that is not shared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ShareLeftOut {
    /// The names that lead to it, separated by dots.
    pub place: String,
    /// The reason.
    pub reason: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn source_of_a_share_is_a_word_or_a_bundle_on_the_wire() {
        for (from, text) in [
            (ShareFrom::Nothing, "nothing"),
            (ShareFrom::Mine, "mine"),
            (ShareFrom::Other("work".to_owned()), "work"),
        ] {
            assert_eq!(serde_json::to_value(&from).unwrap(), text);
            assert_eq!(serde_json::from_value::<ShareFrom>(text.into()).unwrap(), from);
        }
    }
}
