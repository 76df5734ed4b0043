//! The fields of a request that are not used.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A field of a request that is not used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NotUsed {
    /// The field, such as `cliPath` or `authEnv.NAME`.
    pub field: String,
    /// The reason, as a sentence without a full stop.
    pub reason: String,
}

impl NotUsed {
    /// A field that the daemon does not know.
    pub(crate) fn unknown(field: String) -> Self {
        Self { field, reason: "the daemon does not know this field".to_owned() }
    }
}
