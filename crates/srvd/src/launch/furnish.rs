//! The homes of a launch, brought up to date before the program starts.

use std::path::Path;
use std::sync::Arc;

use auth_spawner::{Provider, Reach};
use identity_store::Store;

use super::Launcher;
use super::placement::Placed;
use super::plan::Plan;
use super::subject::Subject;
use crate::disk::identity_dir::homes::Home;
use crate::wire::launch::HomeState;
use crate::wire::share::HomeShare;

impl Launcher {
    /// Puts the setup that a bundle's policy names into the homes of the CLIs that have a credential in its launch. A home
    /// that cannot be furnished is launched as it is. The user's own directories are never changed.
    pub(super) async fn furnish(
        &self,
        store: &Store,
        plan: &Plan,
        placed: &[Placed],
        homes: &[Home],
    ) -> Vec<HomeShare> {
        let Subject::Bundle(bundle) = &plan.subject else { return Vec::new() };
        let furnished: Vec<(&Arc<Provider>, &Path)> = homes
            .iter()
            .filter(|home| home.reach == Reach::Bundle && has_credential(placed, home))
            .map(|home| (&home.provider, home.dir.as_path()))
            .collect();
        self.sharing.at_launch(store, bundle, &furnished).await
    }
}

/// Returns whether the CLI of a home has a credential in the launch.
fn has_credential(placed: &[Placed], home: &Home) -> bool {
    let placed = placed.iter().find(|placed| placed.provider.id == home.provider.id);
    placed.is_some_and(|placed| placed.state == HomeState::Account || placed.key_of.is_some())
}
