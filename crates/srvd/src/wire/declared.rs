//! `declared.*`: agents and credentials declared in files.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::method;

/// Lists the declared agents.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ListDeclared")]
pub(crate) struct List {}
method!(List, "declared.list", DeclaredAgents, "Lists the agents declared in files, without their keys.");

/// Reads the files again immediately.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ReloadDeclared")]
pub(crate) struct Reload {}
method!(
    Reload,
    "declared.reload",
    DeclaredAgents,
    "Reads the files of the declared agents again immediately. If any file contains an error, the declared agents do not change.",
    seconds = 30
);

/// The declared agents in effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeclaredAgents {
    /// The agents, sorted by id.
    pub agents: Vec<DeclaredAgent>,
    /// The errors in the current files. As long as there are errors, the agents are those of the last valid files.
    pub errors: Vec<DeclaredError>,
}

/// An agent declared in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeclaredAgent {
    /// The agent's id.
    pub agent_id: String,
    /// The path of the file.
    pub source: String,
    /// The canonical ids of the providers for which the agent has a credential.
    pub providers: Vec<String>,
}

/// An error in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeclaredError {
    /// The path of the file.
    pub file: String,
    /// The line number, starting at 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// The error text.
    pub message: String,
}
