//! The homes of a launch, brought up to date before the program starts.

use std::path::Path;
use std::sync::Arc;

use auth_spawner::{Provider, Reach};
use futures_util::future::join_all;
use identity_store::Store;

use super::Launcher;
use super::plan::{Part, Plan};
use super::subject::Subject;
use crate::wire::share::HomeShare;

impl Launcher {
    /// Puts the setup that a bundle's policy names into the homes of its launch. A home that cannot be furnished is
    /// launched as it is. The user's own directories are never changed.
    pub(super) async fn furnish(&self, store: &Store, plan: &Plan) -> Vec<HomeShare> {
        let Subject::Bundle(bundle) = &plan.subject else { return Vec::new() };
        let homes = plan.parts.iter().filter_map(Part::home);
        let furnished = homes.map(|(provider, home)| self.sharing.at_launch(store, bundle, provider, home));
        join_all(furnished).await.into_iter().flatten().collect()
    }
}

impl Part {
    /// Returns the home of the credential that is used, if it belongs to a bundle.
    fn home(&self) -> Option<(&Arc<Provider>, &Path)> {
        self.outcome.as_ref().ok()?;
        let chosen = &self.candidates[self.decision.outcome.chosen()?];
        let home = chosen.home.as_ref().filter(|home| home.reach == Reach::Bundle)?;
        Some((&self.provider, &home.dir))
    }
}
