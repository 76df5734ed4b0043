//! A database with many accounts.

use std::sync::Arc;

use anyhow::Result;
use identity_store::{
    BundleId, Change, DestinationBundle, Evidence, Key, KeyPlace, Keyring, LoginCredential, SaveApiKey,
    SaveLogin, Status, Store, StoreOptions,
};

use crate::daemon::{Home, KEY};

/// Fills the database of a home with API keys: one of each provider that takes keys in every bundle.
/// Returns the bundles.
pub(crate) async fn accounts(home: &Home, count: usize) -> Result<Vec<BundleId>> {
    let registry = auth_spawner::Registry::builtin()?;
    let providers: Vec<_> = registry.iter().filter(|provider| provider.key.is_some()).cloned().collect();
    anyhow::ensure!(!providers.is_empty(), "no provider takes keys");
    let store = store(home).await?;
    let mut bundles = Vec::new();
    let mut bundle = BundleId::generate();
    for number in 0..count {
        let provider = &providers[number % providers.len()];
        let target = if number % providers.len() == 0 {
            bundle = BundleId::generate();
            bundles.push(bundle.clone());
            DestinationBundle::New { id: bundle.clone(), name: Some(format!("Bundle {number}")) }
        } else {
            DestinationBundle::Existing(bundle.clone())
        };
        // One key is one use case and so one transaction. The store has no way to save several at once.
        store.save_api_key(key(provider, target, number)?).await?;
        if number % 1000 == 999 {
            crate::table::progress(&format!("{} of {count} accounts saved", number + 1));
        }
    }
    store.close().await;
    Ok(bundles)
}

/// Adds bundles with one Claude login each, in files of that CLI's format. Returns the bundles.
pub(crate) async fn logins(home: &Home, count: usize) -> Result<Vec<BundleId>> {
    let store = store(home).await?;
    let mut bundles = Vec::new();
    for number in 0..count {
        let bundle = BundleId::generate();
        let dir = home.root.join("data/identities").join(bundle.as_str()).join("claude");
        srvd::private::directory(&dir)?;
        let secret = format!("{number:04}-{}", "0123456789abcdef".repeat(6));
        let login = serde_json::json!({"claudeAiOauth": {
            "accessToken": secret, "refreshToken": secret, "expiresAt": 4_102_444_800_000_u64, "scopes": ["user:inference"],
        }});
        std::fs::write(dir.join(".credentials.json"), login.to_string())?;
        let account =
            serde_json::json!({"oauthAccount": {"emailAddress": format!("person-{number}@bench.test")}});
        std::fs::write(dir.join(".claude.json"), account.to_string())?;
        let save = SaveLogin {
            session: None,
            target: DestinationBundle::New { id: bundle.clone(), name: Some(format!("Login {number}")) },
            provider: "claude".parse()?,
            provider_name: "Claude Code".to_owned(),
            credential: LoginCredential::Directory(dir),
            email: None,
            subject: None,
            base_url: None,
            expires_at: None,
            login_deadline_at: None,
            evidence: Evidence::File,
            replace_identity: false,
            now: srvd::app::now(),
        };
        store.save_login(save).await?;
        bundles.push(bundle);
    }
    store.close().await;
    Ok(bundles)
}

/// Opens the store of a home whose daemon is not running.
pub(crate) async fn store(home: &Home) -> Result<Store> {
    let url = home.database().clone();
    let options = StoreOptions::new(url, Arc::new(|_: &[Change]| {}), srvd::app::now());
    Ok(Store::open(options, Keyring::from_key(Key::parse(KEY.as_bytes())?)).await?)
}

fn key(provider: &auth_spawner::Provider, target: DestinationBundle, number: usize) -> Result<SaveApiKey> {
    let now = srvd::app::now();
    Ok(SaveApiKey {
        target,
        provider: provider.id.parse()?,
        provider_name: provider.display_name.clone(),
        account_name: format!("{} key {number}", provider.display_name),
        key: KeyPlace::Sealed(format!("sk-bench-0123456789abcdef0123456789abcdef-{number:08}").into()),
        base_url: None,
        email: Some(format!("person-{number}@bench.test")),
        status: Status::Valid,
        status_reason: None,
        evidence: Evidence::Live,
        checked_at: Some(now),
        now,
    })
}
