//! The user and the agent that a login or a key is for, in place of a bundle.

use super::ui::plain_line;
use crate::hint::Word;

/// The arguments that name them.
#[derive(Debug, Default, Clone, clap::Args)]
pub(super) struct OwnerArgs {
    /// The user who gets the credential, in place of a bundle
    #[arg(long, value_name = "USER", conflicts_with_all = ["bundle", "new"])]
    pub(super) user: Option<String>,
    /// The user's agent that the credential is for; all of the user's agents by default
    #[arg(long, value_name = "AGENT", requires = "user")]
    pub(super) agent: Option<String>,
}

impl OwnerArgs {
    /// Returns the words that name the user and the agent; `None` without a user.
    pub(super) fn words(&self) -> Option<[Word; 2]> {
        let agent = self.agent.as_deref().unwrap_or("*");
        Some([Word::from(self.user.as_ref()?), Word::from(agent)])
    }
}

/// Names the user and the agent of a credential for people.
pub(super) fn place(user: &str, agent: Option<&str>) -> String {
    let text = match agent.filter(|agent| *agent != "*") {
        Some(agent) => format!("for user {user} and agent {agent}"),
        None => format!("for user {user}"),
    };
    plain_line(&text)
}
