//! A store in a file: a bundle, an API key in it, and the key as an agent is launched with it.
//!
//! Run it with `cargo run -p identity-store --example store`.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use identity_store::account::{Evidence, Status};
use identity_store::credential::{DestinationBundle, KeyPlace, SaveApiKey};
use identity_store::secret::{Key, Keyring};
use identity_store::url::DatabaseUrl;
use identity_store::{BundleId, Store, StoreOptions};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;
    let (key, _text_to_keep) = Key::generate()?;
    let url = DatabaseUrl::sqlite(directory.path().join("store.db"));
    let announce = Arc::new(|changes: &[_]| tracing::info!(?changes, "read these again"));
    let store = Store::open(StoreOptions::new(url, announce, now), Keyring::from_key(key)).await?;

    let saved = store
        .save_api_key(SaveApiKey {
            target: DestinationBundle::New { id: BundleId::generate(), name: Some("Work".into()) },
            provider: "openai".parse()?,
            provider_name: "OpenAI".into(),
            account_name: "Work key".into(),
            key: KeyPlace::Sealed("sk-0123456789abcdef".into()),
            base_url: None,
            email: None,
            status: Status::Unknown,
            status_reason: None,
            evidence: Evidence::None,
            checked_at: None,
            now,
        })
        .await?;
    let credentials = store.credentials(&saved.bundle, None).await?;
    assert!(credentials.held.iter().all(|one| one.secret.as_ref().is_some_and(Result::is_ok)));
    store.close().await;
    Ok(())
}
