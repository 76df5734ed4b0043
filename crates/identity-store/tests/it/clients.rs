//! Tokens of clients.

use identity_store::client::NewClientToken;
use identity_store::{StoreError, client::ClientToken};

use crate::harness::{Fixture, NOW, on_both};

on_both![
    client_token_is_kept_until_it_is_revoked,
    client_token_with_an_altered_row_is_not_used,
    client_tokens_are_limited_in_number,
];

pub(crate) fn token(name: &str) -> NewClientToken {
    NewClientToken {
        name: name.to_owned(),
        scopes: "read,login".to_owned(),
        origin: Some("http://localhost:3000".to_owned()),
        hash: format!("hash of {name}"),
    }
}

async fn client_token_is_kept_until_it_is_revoked(f: Fixture) {
    let made = f.store.create_client_token(token(" page "), NOW).await.unwrap();
    let expected = ClientToken {
        id: made.id.clone(),
        name: "page".to_owned(),
        scopes: "read,login".to_owned(),
        origin: Some("http://localhost:3000".to_owned()),
        hash: "hash of  page ".to_owned(),
        created_at: NOW,
    };
    assert_eq!(made, expected);
    let plain = NewClientToken { origin: None, ..token("tool") };
    let other = f.store.create_client_token(plain, NOW + 1).await.unwrap();
    assert_eq!(f.store.client_tokens().await.unwrap(), [made.clone(), other.clone()]);
    f.store.revoke_client_token(&made.id, NOW).await.unwrap();
    assert_eq!(f.store.client_tokens().await.unwrap(), [other]);
    let again = f.store.revoke_client_token(&made.id, NOW).await;
    assert!(matches!(again, Err(StoreError::NotFound { .. })), "{again:?}");
    let unnamed = f.store.create_client_token(token(""), NOW).await;
    assert!(matches!(unnamed, Err(StoreError::InvalidName { .. })), "{unnamed:?}");
}

async fn client_token_with_an_altered_row_is_not_used(f: Fixture) {
    for change in ["scopes = 'launch'", "origin = 'http://evil.test'", "token_hash = 'mine'", "name = 'x'"] {
        let made = f.store.create_client_token(token(change), NOW).await.unwrap();
        assert_eq!(f.store.client_tokens().await.unwrap(), std::slice::from_ref(&made));
        f.place.execute(&format!("UPDATE client_tokens SET {change}")).await;
        assert_eq!(f.store.client_tokens().await.unwrap(), [], "{change}");
        f.store.revoke_client_token(&made.id, NOW).await.unwrap();
    }
}

async fn client_tokens_are_limited_in_number(f: Fixture) {
    for number in 0..256 {
        f.store.create_client_token(token(&format!("t{number}")), NOW).await.unwrap();
    }
    let more = f.store.create_client_token(token("more"), NOW).await;
    assert!(matches!(more, Err(StoreError::Conflict { .. })), "{more:?}");
}
