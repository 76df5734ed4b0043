//! The credentials of an agent: the user's own, those that clients lend, and those that files declare. This order is
//! their precedence.

use auth_spawner::Provider;
use identity_store::{AgentId, Store, UserId};

use super::user;
use super::user::Place;
use crate::agents::declared::{Agent as DeclaredAgent, Credential as Declared, credential_id};
use crate::agents::model::Model;
use crate::disk::identity_dir::homes::HomeOwner;
use crate::keys::external::{self, Unavailable, Why};
use crate::launch::Launcher;
use crate::launch::candidate::{Candidate, Credential, KeyCommand, Renewability, State};
use crate::launch::subject::Agent;
use crate::wire::error::ApiError;
use crate::wire::{self, Source, convert};

/// Collects all credentials of an agent. Credentials for this agent come before those for every agent, and the user's
/// own before those that the owner lends.
pub(super) async fn gather(
    launcher: &Launcher,
    store: &Store,
    subject: &Agent,
    provider: Option<&Provider>,
    now: i64,
) -> Result<Vec<Candidate>, ApiError> {
    let wanted = provider.map(convert::stored_id).transpose()?;
    let current = launcher.declared.now();
    let agent = current.agents.agent(subject.agent.as_str());
    let owner = agent.and_then(DeclaredAgent::lender).filter(|owner| subject.user.as_ref() != Some(owner));
    let homes = HomeOwner::Agent(subject.user.clone(), subject.agent.clone());
    let mut candidates = Vec::new();
    let own = subject.user.iter().map(|user| (user, None));
    for (user, owner) in own.chain(owner.map(|owner| (owner, Some(owner)))) {
        for agent in [&subject.agent, &AgentId::any()] {
            for profile in store.profile_credentials(user, agent, wanted.as_ref()).await? {
                let position = i64::try_from(candidates.len()).unwrap_or(i64::MAX);
                candidates.extend(
                    user::candidate(launcher, store, Place { profile, position, owner, homes: &homes }, now)
                        .await?,
                );
            }
        }
    }
    candidates.extend(lent(launcher, subject));
    candidates.extend(declared(launcher, &subject.agent, agent));
    candidates.sort_by(|one, other| one.provider.id.cmp(&other.provider.id));
    candidates.retain(|one| provider.is_none_or(|wanted| one.provider.id == wanted.id));
    Ok(candidates)
}

/// Returns the credentials that clients lend.
fn lent(launcher: &Launcher, subject: &Agent) -> Vec<Candidate> {
    let lent = launcher.ephemeral.of(subject.agent.as_str(), subject.user.as_ref().map(UserId::as_str));
    let candidate = |one: crate::agents::ephemeral::Lent| {
        let id = format!("ephemeral:{}:{}", subject.agent, one.provider);
        let key = key(launcher, id, Source::Ephemeral, &one.provider)?;
        // A credential for this user comes before one for any user.
        Some(Candidate { position: i64::from(!one.own), credential: Credential::Key(one.secret), ..key })
    };
    lent.into_iter().filter_map(candidate).collect()
}

/// Returns the credentials that files declare.
fn declared(launcher: &Launcher, id: &AgentId, agent: Option<&DeclaredAgent>) -> Vec<Candidate> {
    let credentials = agent.into_iter().flat_map(|agent| &agent.credentials);
    let candidate = |(provider, declared): (&String, &Declared)| {
        let key = key(launcher, credential_id(id.as_str(), provider), Source::Declared, provider)?;
        let (state, credential) = match declared {
            Declared::Key(secret) => (State::Found, Credential::Key(secret.clone())),
            Declared::Env { var, value, .. } => {
                match external::of_variable(&key.provider, var, value.as_ref()) {
                    Ok(secret) => (State::Found, Credential::Key(secret)),
                    Err(unavailable) => (State::Unavailable(unavailable), Credential::Absent),
                }
            }
            Declared::Command(argv) => {
                (State::Found, Credential::Command(KeyCommand::Declared(argv.clone())))
            }
        };
        Some(match declared.ends() {
            Ok(expires_at) => Candidate { state, expires_at, credential, ..key },
            Err(reason) => {
                Candidate { state: State::Unavailable(Unavailable::new(Why::Missing, reason)), ..key }
            }
        })
    };
    credentials.filter_map(candidate).collect()
}

/// Returns a key that does not expire and is for every model, without its secret. `None` if the registry does not know
/// the provider.
fn key(launcher: &Launcher, id: String, source: Source, provider: &str) -> Option<Candidate> {
    Some(Candidate {
        id,
        account: None,
        source,
        provider: launcher.registry.provider(provider)?.clone(),
        login: false,
        unproven: false,
        model: Model::Any,
        position: 0,
        state: State::Found,
        expires_at: None,
        renewal: Renewability::None,
        status: wire::Status::Unknown,
        base_url: None,
        home: None,
        generation: None,
        owner: None,
        grant: None,
        credential: Credential::Absent,
        not_taken: None,
        person: None,
        next_step: None,
    })
}
