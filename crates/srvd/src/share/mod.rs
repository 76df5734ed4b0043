//! Share: the policy of each bundle about the person's own setup, and its application to the bundle's homes.
//!
//! It reads and writes the policy, follows it from bundle to bundle, and has `disk` furnish the homes. It uses `wire` and
//! `disk`. It must not read a file or decide which part of a setup is shared.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::Path;
use std::sync::Arc;

use auth_spawner::{Provider, Registry};
use identity_store::{BundleId, SharePolicy, ShareSource, Store, StoreError};

use crate::base::clock::now;
use crate::disk::identity_dir::IdentityDirs;
use crate::disk::share::{Furnished, Furnisher, Item, ItemState, Order, Source};
use crate::wire::error::{ApiError, with_causes};
use crate::wire::ids::{bundle_id, parse};
use crate::wire::share::{Get, HomeShare, Set, Share, ShareFrom, ShareItem, ShareLeftOut, ShareState};

/// Applies the policies. A clone is a handle to the same one.
#[derive(Clone)]
pub(crate) struct Sharing {
    registry: Registry,
    identities: IdentityDirs,
    furnisher: Furnisher,
}

/// The policies of a bundle and of those that it takes its setup from.
type Chain = [(BundleId, SharePolicy)];

/// The effect of a request on the homes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Effect {
    Preview,
    Furnish,
}

impl Sharing {
    /// Creates the service.
    pub(crate) fn new(registry: Registry, identities: IdentityDirs, furnisher: Furnisher) -> Self {
        Self { registry, identities, furnisher }
    }

    /// Answers `share.get`.
    ///
    /// # Errors
    /// `invalid_input` or `not_found` for the id, and an error of the store.
    pub(crate) async fn get(&self, store: &Store, params: &Get) -> Result<Share, ApiError> {
        let chain = store.share_chain(&bundle_id(&params.bundle_id)?).await?;
        self.report(&chain, Effect::Preview).await
    }

    /// Answers `share.set`. The homes are brought up to date at once.
    ///
    /// # Errors
    /// `invalid_input` or `not_found` for an id, `conflict` if bundles would share in a circle, and an error of the store.
    pub(crate) async fn set(&self, store: &Store, params: &Set) -> Result<Share, ApiError> {
        let id = bundle_id(&params.bundle_id)?;
        let source = match params.share.as_str() {
            "nothing" => ShareSource::Nothing,
            "mine" => ShareSource::Mine,
            other => ShareSource::Bundle(parse("share", other)?),
        };
        let before = store.share_chain(&id).await?;
        let kept = before.first().is_some_and(|(_, policy)| policy.history);
        let policy = SharePolicy { source, history: params.history.unwrap_or(kept) };
        store.set_share_policy(&id, policy, now()).await?;
        let chain = store.share_chain(&id).await?;
        self.report(&chain, Effect::Furnish).await
    }

    /// Brings the homes of a launch up to date, as the policies of their bundles say. A home that cannot be furnished is
    /// launched as it is.
    pub(crate) async fn at_launch(
        &self,
        store: &Store,
        launched: &BundleId,
        homes: &[(&Arc<Provider>, &Path)],
    ) -> Vec<HomeShare> {
        let mut chains = BTreeMap::new();
        let mut shares = Vec::new();
        for (provider, home) in homes.iter().filter(|(_, home)| self.identities.owns(home)) {
            // The homes of a bundle have one parent.
            let chain = match chains.entry(home.parent()) {
                Entry::Occupied(chain) => chain.into_mut(),
                Entry::Vacant(free) => free.insert(self.chain_of(store, launched, home).await),
            };
            match chain {
                Ok(chain) => shares.extend(self.home(chain, provider, home, Effect::Furnish).await),
                Err(error) => {
                    tracing::warn!(
                        error = with_causes(error),
                        "the policy of a bundle's setup cannot be read"
                    );
                }
            }
        }
        shares
    }

    /// Returns the policies of the bundle that a home belongs to. An account may be bound in several bundles, but its home
    /// has one setup.
    async fn chain_of(
        &self,
        store: &Store,
        launched: &BundleId,
        home: &Path,
    ) -> Result<Vec<(BundleId, SharePolicy)>, StoreError> {
        let name = home.parent().and_then(Path::file_name).and_then(|name| name.to_str());
        match name.and_then(|name| name.parse::<BundleId>().ok()) {
            Some(owner) => match store.share_chain(&owner).await {
                // The bundle was deleted, and another one still binds the account.
                Err(StoreError::NotFound { .. }) => store.share_chain(launched).await,
                chain => chain,
            },
            None => store.share_chain(launched).await,
        }
    }

    async fn report(&self, chain: &Chain, effect: Effect) -> Result<Share, ApiError> {
        let Some((id, policy)) = chain.first() else { return Err(ApiError::not_found("bundle", "")) };
        let mut homes = Vec::new();
        for provider in self.registry.iter() {
            let Some(cli) = provider.cli.as_ref().filter(|cli| !cli.share.is_empty()) else { continue };
            let home = self.identities.place(id, &cli.config_dir.name);
            if self.identities.exists(&home).await? {
                homes.push(self.home(chain, provider, &home, effect).await?);
            }
        }
        let share = match &policy.source {
            ShareSource::Nothing => ShareFrom::Nothing,
            ShareSource::Mine => ShareFrom::Mine,
            ShareSource::Bundle(id) => ShareFrom::Other(id.to_string()),
        };
        Ok(Share { bundle_id: id.to_string(), share, history: policy.history, homes })
    }

    /// Brings a home up to date, and before it the homes of other bundles that its setup comes from.
    async fn home(
        &self,
        chain: &Chain,
        provider: &Arc<Provider>,
        home: &Path,
        effect: Effect,
    ) -> Result<HomeShare, ApiError> {
        let mut last = None;
        for (position, (_, policy)) in chain.iter().enumerate().rev() {
            let place = match position {
                0 => home.to_owned(),
                _ => self.place(&chain[position].0, provider),
            };
            // Another bundle need not have a home for this CLI.
            if position > 0 && !self.identities.exists(&place).await? {
                continue;
            }
            let source = match &policy.source {
                ShareSource::Mine => Source::Mine,
                ShareSource::Bundle(id) if chain.get(position + 1).is_some_and(|(next, _)| next == id) => {
                    Source::Home(self.place(id, provider))
                }
                // The bundle that it came from was deleted.
                ShareSource::Bundle(_) | ShareSource::Nothing => Source::Nothing,
            };
            let order =
                Order { provider: Arc::clone(provider), home: place, source, history: policy.history };
            last = Some(match effect {
                Effect::Furnish => self.furnisher.furnish(order).await?,
                Effect::Preview => self.furnisher.preview(order).await?,
            });
        }
        last.map(home_share).ok_or_else(|| ApiError::not_found("bundle", ""))
    }

    fn place(&self, bundle: &BundleId, provider: &Provider) -> std::path::PathBuf {
        let name = provider.cli.as_ref().map(|cli| cli.config_dir.name.as_str()).unwrap_or_default();
        self.identities.place(bundle, name)
    }
}

fn home_share(furnished: Furnished) -> HomeShare {
    HomeShare {
        provider_id: furnished.provider,
        path: furnished.home.display().to_string(),
        source: furnished.source.map(|source| source.display().to_string()),
        items: furnished.items.into_iter().map(item).collect(),
        changes: u64::try_from(furnished.changes).unwrap_or(u64::MAX),
        problem: furnished.problem,
    }
}

fn item(item: Item) -> ShareItem {
    let left_out =
        item.left_out.into_iter().map(|left| ShareLeftOut { place: left.place, reason: left.reason });
    let (state, target, members, reason) = match item.state {
        ItemState::Linked(target) => {
            (ShareState::Linked, Some(target.display().to_string()), Vec::new(), None)
        }
        ItemState::Copied => (ShareState::Copied, None, Vec::new(), None),
        ItemState::Merged(members) => (ShareState::Merged, None, members, None),
        ItemState::LeftOut(reason) => (ShareState::LeftOut, None, Vec::new(), Some(reason)),
    };
    ShareItem { path: item.path, state, target, members, reason, left_out: left_out.collect() }
}
