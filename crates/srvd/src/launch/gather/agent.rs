//! The credentials of an agent: the user's own, those that clients lend, and those that files declare. This order is
//! their precedence.

use auth_spawner::Provider;
use identity_store::{AccountKind, AgentId, Credential as Stored, Status, Store, UserId};
use secrecy::SecretString;

use super::tokens::{self, Standing};
use crate::agents::declared::{Agent as DeclaredAgent, Credential as Declared, credential_id};
use crate::agents::model::Model;
use crate::keys::external::{self, Unavailable, Why};
use crate::launch::Launcher;
use crate::launch::candidate::{Candidate, Credential, KeyCommand, Renewability, State};
use crate::launch::subject::Agent;
use crate::refresh::Grant;
use crate::wire::error::{ApiError, with_causes};
use crate::wire::{self, Source, convert};

/// Collects all credentials of an agent. Credentials for this agent come before those for every agent, and the user's
/// own before those that the owner lends.
pub(super) async fn gather(
    launcher: &Launcher,
    store: &Store,
    subject: &Agent,
    provider: Option<&Provider>,
) -> Result<Vec<Candidate>, ApiError> {
    let wanted = provider.map(convert::stored_id).transpose()?;
    let current = launcher.declared.now();
    let agent = current.agents.agent(subject.agent.as_str());
    let owner = agent.and_then(DeclaredAgent::lender).filter(|owner| subject.user.as_ref() != Some(owner));
    let mut candidates = Vec::new();
    let own = subject.user.iter().map(|user| (user, None));
    for (user, owner) in own.chain(owner.map(|owner| (owner, Some(owner)))) {
        for agent in [&subject.agent, &AgentId::any()] {
            for profile in store.profile_credentials(user, agent, wanted.as_ref()).await? {
                let position = i64::try_from(candidates.len()).unwrap_or(i64::MAX);
                candidates.extend(of_profile(launcher, profile, position, owner));
            }
        }
    }
    candidates.extend(lent(launcher, subject));
    candidates.extend(declared(launcher, &subject.agent, agent));
    candidates.sort_by(|one, other| one.provider.id.cmp(&other.provider.id));
    candidates.retain(|one| provider.is_none_or(|wanted| one.provider.id == wanted.id));
    Ok(candidates)
}

/// Returns the candidate for a profile, or `None` if the registry does not know its provider.
fn of_profile(
    launcher: &Launcher,
    profile: identity_store::ProfileCredential,
    position: i64,
    owner: Option<&UserId>,
) -> Option<Candidate> {
    let provider = launcher.registry.provider(profile.profile.provider.as_str())?.clone();
    let grant = grant(launcher, &profile);
    let Standing { state, expires_at, renewal } = standing(&profile);
    let login = profile.profile.kind == AccountKind::OAuth;
    let renewal = match renewal {
        Renewability::Possible | Renewability::Waiting { .. } if grant.is_none() => Renewability::None,
        renewal => renewal,
    };
    // A login that nothing can renew needs a person, as in a bundle.
    let renewal = match renewal {
        Renewability::None if login && provider.cli.is_some() => {
            Renewability::Person("it has expired".to_owned())
        }
        renewal => renewal,
    };
    let not_taken = provider.takes_access_token().err().filter(|_| login);
    let credential = match profile.secret().map(SecretString::from) {
        Some(secret) if login => Credential::AccessToken(secret),
        Some(secret) => Credential::Key(secret),
        None => Credential::Absent,
    };
    let generation = match &profile.credential {
        Stored::Tokens(tokens) => Some(tokens.generation),
        _ => None,
    };
    let profile = profile.profile;
    Some(Candidate {
        id: profile.id.to_string(),
        account: Some(profile.account.to_string()),
        source: Source::User,
        provider,
        login,
        unproven: false,
        model: profile.model.map_or(Model::Any, Model::Only),
        position,
        state,
        expires_at,
        renewal,
        status: convert::status(profile.status),
        base_url: None,
        home: None,
        generation,
        owner: owner.map(ToString::to_string),
        grant,
        credential,
        not_taken,
        person: profile.identity.email.clone(),
        next_step: None,
    })
}

/// Returns the state of a stored profile.
fn standing(profile: &identity_store::ProfileCredential) -> Standing {
    let unavailable = |why: Why, reason: &str| Standing {
        state: State::Unavailable(Unavailable::new(why, reason)),
        expires_at: None,
        renewal: Renewability::None,
    };
    match &profile.credential {
        Stored::Key(_) => {
            let refused = matches!(profile.profile.status, Status::Invalid | Status::NeedsReauth);
            let state = if refused { State::Refused } else { State::Found };
            Standing { state, expires_at: profile.profile.expires_at, renewal: Renewability::None }
        }
        Stored::Tokens(stored) => tokens::standing(stored),
        Stored::Broken(error) => {
            let (error, profile) = (with_causes(error), &profile.profile.id);
            tracing::error!(error, %profile, "a stored secret cannot be opened");
            unavailable(Why::Undecryptable, "its stored secret could not be opened")
        }
        Stored::Elsewhere => unavailable(Why::BackendFailed, "a profile cannot use this credential type"),
        Stored::Corrupt(reason) => {
            tracing::error!(reason, profile = %profile.profile.id, "an account of a profile cannot be read");
            unavailable(Why::Missing, "its account cannot be read")
        }
    }
}

/// Returns the grant of a profile, if the daemon can refresh it.
fn grant(launcher: &Launcher, profile: &identity_store::ProfileCredential) -> Option<Grant> {
    let Stored::Tokens(tokens) = &profile.credential else { return None };
    let supported = launcher.refresher.supports(&tokens.authority);
    supported.then(|| Grant { account: tokens.account.clone(), authority: tokens.authority.clone() })
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
