//! A database with the stored profiles of many users and agents.

use std::ops::Range;

use anyhow::{Context as _, Result};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use identity_store::{
    Authority, CommitProfile, Consumer, Endpoint, Evidence, FlowId, Identity, Jitter, ProfileScope,
    ProviderId, ReceivedTokens, SaveProfileKey, Status, Store, UnsavedLogin,
};
use srvd::app::now;

use crate::daemon::Home;
use crate::fill;
use crate::table::progress;

/// Profiles of one user for one agent: two people at each provider, with keys at all but the last.
pub(crate) const EACH: usize = PROVIDERS * PEOPLE;
const PROVIDERS: usize = 5;
const PEOPLE: usize = 2;
/// Agents of one user.
const AGENTS: usize = 2;
/// Writes in progress at a time. Waiting writes can be committed together.
const AT_A_TIME: usize = 64;
/// An hour in milliseconds.
const HOUR: i64 = 60 * 60 * 1000;
/// Remaining life of a due token in milliseconds. It is less than the five minutes before the end, so that the token is
/// due. It is more than the time until all tokens are refreshed, because the end of a token is an event and is stored.
const LEFT: i64 = 290 * 1000;

/// Returns the user and the agent that own the profile with this number.
pub(crate) fn owner(number: usize) -> (String, String) {
    let pair = number / EACH;
    (format!("user-{}", pair / AGENTS), format!("agent-{}", pair % AGENTS))
}

/// The providers of every user, in the registry's order.
pub(crate) fn providers() -> Result<Vec<ProviderId>> {
    let registry = auth_spawner::Registry::builtin()?;
    // Only key services whose key has one part.
    let takes_key = |key: &auth_spawner::KeyService| key.pair.is_none();
    let keys =
        registry.iter().filter(|provider| provider.key.as_ref().is_some_and(takes_key)).take(PROVIDERS);
    let ids: Vec<ProviderId> = keys.map(|provider| provider.id.parse()).collect::<Result<_, _>>()?;
    anyhow::ensure!(ids.len() == PROVIDERS, "too few providers take keys");
    Ok(ids)
}

/// Stores the profiles with these numbers.
pub(crate) async fn profiles(home: &Home, numbers: Range<usize>) -> Result<()> {
    let (store, providers) = (fill::store(home).await?, providers()?);
    let (last, others) = providers.split_last().context("no provider")?;
    let saves = numbers.map(|number| {
        let (user, agent) = owner(number);
        let (place, person) = (number % EACH / PEOPLE, format!("person-{}@bench.test", number % PEOPLE));
        let (store, provider) = (&store, others.get(place).unwrap_or(last));
        async move {
            let scope = ProfileScope { user: user.parse()?, agent: agent.parse()?, model: None };
            if place < others.len() {
                store.save_profile_key(key(scope, provider, person, number)).await?;
            } else {
                let later = now() + 1000 * HOUR;
                tokens(store, scope, provider, Grant { person, number, received_at: now(), ends_at: later })
                    .await?;
            }
            anyhow::Ok(number)
        }
    });
    let mut saves = stream::iter(saves).buffer_unordered(AT_A_TIME);
    let mut count = 0;
    while saves.try_next().await?.is_some() {
        count += 1;
        if count % 10_000 == 0 {
            progress(&format!("{count} profiles saved"));
        }
    }
    drop(saves);
    store.close().await;
    Ok(())
}

/// Stores `count` sets of tokens that are about to end, so that they are due for a refresh. Each belongs to its own
/// user. The providers take turns.
pub(crate) async fn due(home: &Home, providers: &[ProviderId], count: usize) -> Result<()> {
    let store = fill::store(home).await?;
    let saves = (0..count).zip(providers.iter().cycle()).map(|(number, provider)| {
        let (store, person) = (&store, format!("person-{number}@bench.test"));
        async move {
            let user = format!("user-{number}").parse()?;
            let scope = ProfileScope { user, agent: "agent".parse()?, model: None };
            let (received_at, ends_at) = (now() - 4 * HOUR, now() + LEFT);
            tokens(store, scope, provider, Grant { person, number, received_at, ends_at }).await
        }
    });
    stream::iter(saves).buffer_unordered(AT_A_TIME).try_collect::<()>().await?;
    store.close().await;
    Ok(())
}

fn key(scope: ProfileScope, provider: &ProviderId, person: String, number: usize) -> SaveProfileKey {
    SaveProfileKey {
        scope,
        provider: provider.clone(),
        key: format!("sk-bench-0123456789abcdef0123456789abcdef-{number:08}").into(),
        label: None,
        email: Some(person),
        base_url: None,
        status: Status::Valid,
        status_reason: None,
        evidence: Evidence::Live,
        make_primary: false,
        now: now(),
    }
}

/// A set of tokens and its person.
struct Grant {
    person: String,
    number: usize,
    received_at: i64,
    ends_at: i64,
}

async fn tokens(store: &Store, scope: ProfileScope, provider: &ProviderId, grant: Grant) -> Result<()> {
    let received = ReceivedTokens {
        access: crate::issuer::access(grant.number).into(),
        refresh: Some(crate::issuer::refresh(grant.number).into()),
        id: None,
        expires_in: Some((grant.ends_at - grant.received_at) / 1000),
        refresh_expires_in: None,
        scopes: None,
        token_type: Some("bearer".to_owned()),
        received_at: grant.received_at,
    };
    let authority = Authority { provider: provider.clone(), base_url: None, client_id: None };
    let endpoint = Endpoint { auth_method: "none".to_owned(), ..Endpoint::default() };
    let flow: FlowId = format!("bench-{}", grant.number).parse()?;
    let login = UnsavedLogin::new(authority, endpoint, flow, received, Consumer::Access)?;
    let commit = CommitProfile {
        scope,
        identity: Identity { email: Some(grant.person), ..Identity::default() },
        label: None,
        make_primary: false,
        jitter: Jitter::NONE,
        now: now(),
    };
    store.commit_profile(login, commit).await.map_err(|unsaved| unsaved.error)?;
    Ok(())
}
