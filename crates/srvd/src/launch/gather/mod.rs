//! The collection of a launch's candidates: the accounts of a bundle, or the credentials of an agent.

mod agent;
pub(super) mod bundle;
mod tokens;
mod user;

use identity_store::Store;

use super::Launcher;
use super::candidate::Candidate;
use super::subject::Subject;
use crate::wire::error::ApiError;

pub(super) use tokens::{Needed, renewed};

impl Launcher {
    /// Collects all credentials of the subject, of one provider or of all. Commands that print a key are not run yet.
    ///
    /// # Errors
    /// An error of the store: a failed read is not treated as an absent credential. `secret_unavailable` for an account
    /// of a bundle that cannot be read.
    pub(super) async fn gather(
        &self,
        store: &Store,
        subject: &Subject,
        provider: Option<&auth_spawner::Provider>,
        now: i64,
    ) -> Result<Vec<Candidate>, ApiError> {
        match subject {
            Subject::Bundle(id) => bundle::gather(self, store, id, provider, now).await,
            // The rarer path is boxed. Otherwise the future of every launch would be as large as the larger of the two.
            Subject::Agent(agent) => Box::pin(agent::gather(self, store, agent, provider, now)).await,
        }
    }
}
