//! Logins that nobody made: files as the registry says that each CLI writes them, and rows that point at them.

use std::path::Path;
use std::sync::Arc;

use auth_spawner::{Cli, Format};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use identity_store::{
    BundleId, Change, DatabaseUrl, Evidence, Key, Keyring, LoginCredential, SaveLogin, Store, StoreOptions,
    Target,
};
use serde_json::{Value, json};

use crate::support::{Home, KEY};

/// A JSON Web Token of a person, good until 2100.
pub(crate) fn token(email: &str) -> String {
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = json!({"exp": 4_102_444_800_u64, "email": email, "sub": email});
    format!("{}.{}.c2lnbmF0dXJl", part(json!({"alg": "RS256"})), part(claims))
}

/// Writes the least that makes a login of this CLI, where `dir` is what its variable names. Says whether it could: a
/// database is left out.
pub(crate) fn login(cli: &Cli, dir: &Path, email: &str) -> bool {
    let Some(file) = cli.credential.iter().find(|file| file.format != Format::Sqlite) else { return false };
    let mut document = json!({});
    for pointer in &file.requires {
        let mut place = &mut document;
        for part in pointer.trim_start_matches('/').split('/') {
            // A name for the segment that stands for any.
            place = &mut place[if part == "*" { "one" } else { part }];
        }
        *place = json!(token(email));
    }
    // JSON is YAML, and JSON with comments, too.
    let path = cli.config_dir.inside(dir).join(file.path.replace('*', ""));
    srvd::private::directory(path.parent().unwrap()).unwrap();
    std::fs::write(path, document.to_string()).unwrap();
    true
}

/// The store of a home whose daemon does not run.
pub(crate) async fn store(home: &Home) -> Store {
    let url = DatabaseUrl::sqlite(home.dir("data/srvd.db"));
    let options = StoreOptions::new(url, Arc::new(|_: &[Change]| {}), 1);
    Store::open(options, Keyring::from_key(Key::parse(KEY.as_bytes()).unwrap())).await.unwrap()
}

/// A login that is to be kept in a bundle of its own.
pub(crate) fn row(bundle: &BundleId, provider: &str, credential: LoginCredential) -> SaveLogin {
    SaveLogin {
        session: None,
        target: Target::New { id: bundle.clone(), name: Some(bundle.to_string()) },
        provider: provider.parse().unwrap(),
        provider_name: provider.to_owned(),
        credential,
        email: None,
        subject: None,
        base_url: None,
        expires_at: None,
        login_deadline_at: None,
        evidence: Evidence::File,
        replace_identity: false,
        now: 1,
    }
}
