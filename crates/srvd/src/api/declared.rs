//! `declared.*`: what files give to agents.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::method;

/// Lists the declared agents.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ListDeclared")]
pub struct List {}
method!(List, "declared.list", DeclaredAgents, "Lists the agents that files declare; never their keys.");

/// Reads the files now.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ReloadDeclared")]
pub struct Reload {}
method!(
    Reload,
    "declared.reload",
    DeclaredAgents,
    "Reads the files of the declared agents now. With an error in one of them all stays as it was."
);

/// The declared agents that are in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeclaredAgents {
    /// In order of id.
    pub agents: Vec<DeclaredAgent>,
    /// What is wrong with the files as they are; while there is something, the agents are those of the last good files.
    pub errors: Vec<DeclaredError>,
}

/// An agent that a file declares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeclaredAgent {
    /// The agent.
    pub agent_id: String,
    /// The file.
    pub source: String,
    /// Canonical ids of the providers that it has a credential of.
    pub providers: Vec<String>,
}

/// Something wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeclaredError {
    /// The file.
    pub file: String,
    /// The line, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// What is wrong.
    pub message: String,
}
