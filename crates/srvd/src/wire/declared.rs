//! `declared.*`: agents and their credentials that files declare.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::method;

/// Lists the declared agents.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ListDeclared")]
pub(crate) struct List {}
method!(List, "declared.list", DeclaredAgents, "Lists the agents that files declare, without their keys.");

/// Reads the files again now.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ReloadDeclared")]
pub(crate) struct Reload {}
method!(
    Reload,
    "declared.reload",
    DeclaredAgents,
    "Reads the files of the declared agents now. If one of them has an error, no declared agent changes.",
    seconds = 30
);

/// The declared agents that are in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeclaredAgents {
    /// The agents, ordered by id.
    pub agents: Vec<DeclaredAgent>,
    /// The errors in the present files. While there are errors, the agents are those of the last valid files.
    pub errors: Vec<DeclaredError>,
}

/// An agent that a file declares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeclaredAgent {
    /// The agent's id.
    pub agent_id: String,
    /// The path of the file.
    pub source: String,
    /// Canonical ids of the providers for which the agent has a credential.
    pub providers: Vec<String>,
}

/// An error in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeclaredError {
    /// The path of the file.
    pub file: String,
    /// The line number, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// The error text.
    pub message: String,
}
