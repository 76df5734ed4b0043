//! A database with many accounts.

use std::sync::Arc;

use anyhow::Result;
use identity_store::{
    BundleId, Change, DatabaseUrl, Evidence, Key, Keyring, SaveApiKey, Status, Store, StoreOptions, Target,
};

use crate::daemon::{Home, KEY};

/// Fills the database of a home with API keys: one of each provider that takes keys in every bundle.
pub(crate) async fn accounts(home: &Home, count: usize) -> Result<()> {
    let registry = auth_spawner::Registry::builtin()?;
    let providers: Vec<_> = registry.iter().filter(|provider| provider.key.is_some()).cloned().collect();
    anyhow::ensure!(!providers.is_empty(), "no provider takes keys");
    let now = srvd::app::now();
    let url = DatabaseUrl::sqlite(home.root.join("data/srvd.db"));
    let options = StoreOptions::new(url, Arc::new(|_: &[Change]| {}), now);
    let store = Store::open(options, Keyring::from_key(Key::parse(KEY.as_bytes())?)).await?;
    let mut bundle = BundleId::generate();
    for number in 0..count {
        let provider = &providers[number % providers.len()];
        let target = if number % providers.len() == 0 {
            bundle = BundleId::generate();
            Target::New { id: bundle.clone(), name: Some(format!("Bundle {number}")) }
        } else {
            Target::Existing(bundle.clone())
        };
        // One key is one use case and so one transaction; the store has no way to save several at once.
        store.save_api_key(key(provider, target, number)?).await?;
        if number % 1000 == 999 {
            crate::table::progress(&format!("{} of {count} accounts saved", number + 1));
        }
    }
    store.close().await;
    Ok(())
}

fn key(provider: &auth_spawner::Provider, target: Target, number: usize) -> Result<SaveApiKey> {
    let now = srvd::app::now();
    Ok(SaveApiKey {
        target,
        provider: provider.id.parse()?,
        provider_name: provider.display_name.clone(),
        account_name: format!("{} key {number}", provider.display_name),
        key: format!("sk-bench-0123456789abcdef0123456789abcdef-{number:08}").into(),
        base_url: None,
        email: Some(format!("person-{number}@bench.test")),
        status: Status::Valid,
        status_reason: None,
        evidence: Evidence::Live,
        checked_at: Some(now),
        now,
    })
}
