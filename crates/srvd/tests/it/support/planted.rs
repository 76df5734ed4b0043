//! Logins that are made by the tests: files in the format of each CLI's registry entry, and rows that point at them.

use std::path::Path;

use auth_spawner::{Cli, Format};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use identity_store::{BundleId, DestinationBundle, Evidence, LoginCredential, PersonRule, SaveLogin};
use serde_json::{Value, json};

/// Returns a JSON Web Token of a person, valid until 2100.
pub(crate) fn token(email: &str) -> String {
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = json!({"exp": 4_102_444_800_u64, "email": email, "sub": email});
    format!("{}.{}.c2lnbmF0dXJl", part(json!({"alg": "RS256"})), part(claims))
}

/// Writes a minimal login of this CLI, where `dir` is the value of its variable. Returns false if the CLI uses a
/// database, which is not supported.
pub(crate) fn login(cli: &Cli, dir: &Path, email: &str) -> bool {
    let Some(file) = cli.credential.iter().find(|file| file.format != Format::Sqlite) else { return false };
    let mut document = json!({});
    for pointer in &file.requires {
        set(&mut document, pointer, &token(email));
    }
    // JSON is also valid YAML, and valid JSON with comments.
    let path = cli.config_dir.inside(dir).join(file.path.replace('*', ""));
    crate::support::private_directory(path.parent().unwrap());
    std::fs::write(path, document.to_string()).unwrap();
    if let Some((mode, settings)) = file.mode.as_ref().and_then(|mode| Some((mode, mode.file.as_ref()?))) {
        // The setting with which the CLI uses the login.
        let mut document = json!({});
        set(&mut document, &mode.pointer, &mode.accepts[0]);
        std::fs::write(cli.config_dir.inside(dir).join(settings), document.to_string()).unwrap();
    }
    true
}

/// Sets a text at a pointer of a document.
fn set(document: &mut Value, pointer: &str, text: &str) {
    let mut place = document;
    for part in pointer.trim_start_matches('/').split('/') {
        // A name for the wildcard segment.
        place = &mut place[if part == "*" { "one" } else { part }];
    }
    *place = json!(text);
}

/// Returns a login to store in a new bundle.
pub(crate) fn row(bundle: &BundleId, provider: &str, credential: LoginCredential) -> SaveLogin {
    SaveLogin {
        session: None,
        target: DestinationBundle::New { id: bundle.clone(), name: Some(bundle.to_string()) },
        provider: provider.parse().unwrap(),
        provider_name: provider.to_owned(),
        credential,
        email: None,
        subject: None,
        base_url: None,
        expires_at: None,
        login_deadline_at: None,
        evidence: Evidence::File,
        person: PersonRule::NotAnother,
        now: 1,
    }
}
