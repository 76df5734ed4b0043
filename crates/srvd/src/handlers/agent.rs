//! The credentials of an agent from every layer, and the one of them that is used. `profile.best` and the launches by
//! agent ask here, so that their answers are one.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use auth_spawner::Provider;
use identity_store::{AccountKind, AgentId, UserId};
use secrecy::SecretString;
use serde_json::{Value, json};

use super::{agent_key, agent_refresh, convert, profile};
use crate::api::Status;
use crate::api::profile::Degraded;
use crate::app::App;
use crate::declared::{Agent, Credential, credential_id};
use crate::error::{ApiError, Kind};
use crate::launch;
use crate::refresh::Grant;
use crate::resolution::{
    Asked, Candidate, Decision, Model, Outcome, Renewal, Secret, Source, Verdict, decide, settle,
};

/// How long the refreshes of one answer may take together.
const REFRESHING: Duration = Duration::from_secs(10);

/// Whose credentials are looked at.
pub(super) struct Subject {
    /// The user; nobody without one.
    pub(super) user: Option<UserId>,
    /// The agent.
    pub(super) agent: AgentId,
}

impl Subject {
    /// As a request names it. An empty user is nobody.
    ///
    /// # Errors
    /// `invalid_input` for an id that no agent or user can have.
    pub(super) fn of(user: Option<&str>, agent: &str) -> Result<Self, ApiError> {
        let user = user.filter(|user| !user.is_empty()).map(user_id).transpose()?;
        Ok(Self { user, agent: one_agent(agent)? })
    }
}

/// The one agent in a request; not `*`.
///
/// # Errors
/// `invalid_input`.
pub(super) fn one_agent(id: &str) -> Result<AgentId, ApiError> {
    let agent = agent_id(id)?;
    if agent.is_any() {
        return Err(ApiError::invalid_input("agentId", "* stands for every agent; name one"));
    }
    Ok(agent)
}

/// The agent in a request, or `*` for all.
///
/// # Errors
/// `invalid_input`.
pub(super) fn agent_id(id: &str) -> Result<AgentId, ApiError> {
    id.parse().map_err(|error| ApiError::bad_id("agentId", &error))
}

/// The user in a request.
///
/// # Errors
/// `invalid_input`.
pub(super) fn user_id(id: &str) -> Result<UserId, ApiError> {
    id.parse().map_err(|error| ApiError::bad_id("userId", &error))
}

/// Whether anything may happen outside the daemon for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effort {
    /// What has to be refreshed first is refreshed.
    Refresh,
    /// Nothing is refreshed.
    Look,
}

/// An agent's credentials; the two lists go together.
pub(super) struct Layers {
    pub(super) candidates: Vec<Candidate>,
    pub(super) held: Vec<Held>,
    /// How long refreshes may still take.
    left: Duration,
}

/// What belongs to a candidate and has no part in the decision.
pub(super) struct Held {
    /// The account that holds it; only a user's has one.
    pub(super) account: Option<String>,
    /// What is known of it, apart from its time.
    pub(super) status: Status,
    /// Which set of the account's tokens it is; a key has none.
    pub(super) generation: Option<u64>,
    /// The agent's owner, whose it is; `None` for the subject's own.
    pub(super) owner: Option<String>,
    /// What is refreshed when it is over.
    grant: Option<Grant>,
    material: Material,
}

enum Material {
    Secret(SecretString),
    /// The access token of a login.
    Token(SecretString),
    /// What prints it. It is run when its turn has come, because that may cost a person's attention.
    Command(Vec<String>),
    None,
}

impl Layers {
    /// Everything that the subject has, of one provider or of all, with every secret looked for.
    ///
    /// # Errors
    /// What the store says; a failed reading is not an empty layer.
    pub(super) async fn gather(
        app: &App,
        subject: &Subject,
        provider: Option<&Provider>,
    ) -> Result<Self, ApiError> {
        let mut layers = Self { candidates: Vec::new(), held: Vec::new(), left: REFRESHING };
        let wanted = provider.map(super::provider::stored_id).transpose()?;
        let current = app.declared.now();
        let agent = current.agents.agent(subject.agent.as_str());
        let owner = agent.and_then(Agent::lender).filter(|owner| subject.user.as_ref() != Some(owner));
        // What is for this agent alone comes first, and what is the user's own before what the owner lends.
        let (own, lent) = (subject.user.as_ref().map(|user| (user, false)), owner.map(|owner| (owner, true)));
        for (user, lent) in own.into_iter().chain(lent) {
            for agent in [&subject.agent, &AgentId::any()] {
                for one in app.store.candidates(user, agent, wanted.as_ref()).await? {
                    layers.own(app, one, lent.then_some(user));
                }
            }
        }
        layers.lent(app, subject);
        layers.declared(app, &subject.agent, agent);
        if let Some(wanted) = provider {
            layers.keep_only(&wanted.id);
        }
        Ok(layers)
    }

    fn keep_only(&mut self, provider: &str) {
        let all = std::mem::take(&mut self.candidates).into_iter().zip(std::mem::take(&mut self.held));
        (self.candidates, self.held) = all.filter(|(one, _)| one.provider == provider).unzip();
    }

    /// A profile, after those that are there already.
    fn own(&mut self, app: &App, one: identity_store::Candidate, owner: Option<&UserId>) {
        let (secret, expires_at, renewal) = profile::standing(&one);
        let grant = grant(app, &one);
        let renewal = match renewal {
            Renewal::Possible | Renewal::Waiting { .. } if grant.is_none() => Renewal::None,
            renewal => renewal,
        };
        let material = match (one.secret(), one.profile.kind) {
            (Some(text), AccountKind::OAuth) => Material::Token(SecretString::from(text)),
            (Some(text), AccountKind::ApiKey) => Material::Secret(SecretString::from(text)),
            (None, _) => Material::None,
        };
        let generation = match &one.credential {
            identity_store::Credential::Tokens(tokens) => Some(tokens.generation),
            _ => None,
        };
        self.candidates.push(Candidate {
            id: one.profile.id.to_string(),
            source: Source::User,
            provider: one.profile.provider.to_string(),
            model: one.profile.model.map_or(Model::Any, Model::Only),
            position: i64::try_from(self.candidates.len()).unwrap_or(i64::MAX),
            secret,
            expires_at,
            renewal,
        });
        let account = Some(one.profile.account.to_string());
        let status = convert::status(one.profile.status);
        let owner = owner.map(ToString::to_string);
        self.held.push(Held { account, status, generation, owner, grant, material });
    }

    fn lent(&mut self, app: &App, subject: &Subject) {
        for one in app.ephemeral.of(subject.agent.as_str(), subject.user.as_ref().map(UserId::as_str)) {
            let id = format!("ephemeral:{}:{}", subject.agent, one.provider);
            // One for this user is stronger than one for any.
            let position = i64::from(!one.own);
            let candidate = key(id, Source::Ephemeral, one.provider, Secret::Found);
            self.push(Candidate { position, ..candidate }, Material::Secret(one.secret));
        }
    }

    fn declared(&mut self, app: &App, id: &AgentId, agent: Option<&Agent>) {
        for (provider, credential) in agent.into_iter().flat_map(|agent| &agent.credentials) {
            let (secret, material) = match credential {
                Credential::Key(secret) => (Secret::Found, Material::Secret(secret.clone())),
                Credential::Env { var, value, .. } => {
                    match agent_key::of_variable(app, provider, var, value.as_ref()) {
                        Ok(secret) => (Secret::Found, Material::Secret(secret)),
                        Err(reason) => (Secret::Unavailable(reason), Material::None),
                    }
                }
                Credential::Command(argv) => (Secret::Found, Material::Command(argv.clone())),
            };
            let id = credential_id(id.as_str(), provider);
            let declared = key(id, Source::Declared, provider.clone(), secret);
            let (candidate, material) = match credential.ends() {
                Ok(expires_at) => (Candidate { expires_at, ..declared }, material),
                Err(reason) => {
                    (Candidate { secret: Secret::Unavailable(reason), ..declared }, Material::None)
                }
            };
            self.push(candidate, material);
        }
    }

    fn push(&mut self, candidate: Candidate, material: Material) {
        self.candidates.push(candidate);
        let (status, generation) = (Status::Unknown, None);
        self.held.push(Held { account: None, status, generation, owner: None, grant: None, material });
    }

    /// Chooses. A command is run when the choice has fallen on it; one that fails is as if its secret were missing.
    pub(super) async fn choose(&mut self, app: &App, asked: &Asked, effort: Effort) -> Decision {
        loop {
            let decision = match effort {
                Effort::Look => decide(&self.candidates, asked),
                Effort::Refresh => self.refreshed(app, asked).await,
            };
            let Outcome::Use { chosen, .. } = decision.outcome else { return decision };
            let Material::Command(argv) = &self.held[chosen].material else { return decision };
            match agent_key::printed(app, &self.candidates[chosen].provider, argv).await {
                Ok(secret) => self.held[chosen].material = Material::Secret(secret),
                Err(reason) => self.candidates[chosen].secret = Secret::Unavailable(reason),
            }
        }
    }

    /// Decides, and refreshes first what has to be.
    async fn refreshed(&mut self, app: &App, asked: &Asked) -> Decision {
        let (begun, budget) = (Instant::now(), self.left);
        let renewed = Mutex::new(Vec::new());
        let (held, secrets) = (&self.held, &renewed);
        let decision = settle(&mut self.candidates, asked, budget, |at, before| async move {
            let Some(grant) = held.get(at).and_then(|held| held.grant.as_ref()) else { return before };
            let (after, fresh) = agent_refresh::renew(app, grant, (asked.min_ttl, budget), before).await;
            secrets.lock().unwrap_or_else(PoisonError::into_inner).push((at, fresh));
            after
        })
        .await;
        self.left = budget.saturating_sub(begun.elapsed());
        for (at, fresh) in renewed.into_inner().unwrap_or_else(PoisonError::into_inner) {
            let Some((secret, generation)) = fresh else { continue };
            self.held[at].material = Material::Token(secret);
            self.held[at].generation = Some(generation);
            if decision.trace[at] == Verdict::Chosen {
                self.held[at].status = Status::Valid;
            }
        }
        decision
    }

    /// What a launch calls a candidate: its account, or its own id where it has none.
    pub(super) fn account(&self, at: usize) -> String {
        self.held[at].account.clone().unwrap_or_else(|| self.candidates[at].id.clone())
    }

    /// The variables that carry a candidate's secret to a program of its provider. `Err` is why there are none.
    pub(super) fn variables(
        &self,
        at: usize,
        provider: &Provider,
    ) -> Result<BTreeMap<String, launch::Value>, &'static str> {
        match self.held.get(at).map(|held| &held.material) {
            Some(Material::Secret(secret)) => launch::of_key(provider, None, secret),
            Some(Material::Token(secret)) => launch::of_token(provider, secret),
            Some(Material::Command(_) | Material::None) | None => Err("its secret is not there"),
        }
    }

    /// What is known of a candidate after a decision.
    pub(super) fn status(&self, at: usize, decision: &Decision) -> Status {
        match decision.trace[at] {
            Verdict::Expired
            | Verdict::RefreshedFirst
            | Verdict::Waiting { .. }
            | Verdict::RefreshFailed { .. } => Status::Expired,
            Verdict::NeedsReauth(_) => Status::NeedsReauth,
            Verdict::Unavailable(_) => Status::Unknown,
            _ => self.held[at].status,
        }
    }

    /// In whose place the choice is used.
    pub(super) fn degraded(&self, decision: &Decision) -> Option<Degraded> {
        let Outcome::Use { degraded_from: Some(from), .. } = decision.outcome else { return None };
        Some(Degraded {
            profile_id: self.candidates[from].id.clone(),
            source: self.candidates[from].source.as_str().to_owned(),
            reason: decision.trace[from].to_string(),
        })
    }

    /// The position of the one that is used, perhaps after a refresh.
    ///
    /// # Errors
    /// Why nothing can be used, with `data.candidates`.
    pub(super) fn chosen(&self, decision: &Decision, provider: &str) -> Result<usize, ApiError> {
        let named = |at: usize, error: ApiError| {
            let error = error.with("profileId", self.candidates[at].id.as_str());
            match &self.held[at].account {
                Some(account) => error.with("accountId", account.as_str()),
                None => error,
            }
        };
        let because = |at: usize, kind: Kind| {
            let reason = decision.trace[at].to_string();
            named(at, ApiError::new(kind, format!("{provider}: {reason}")).with("reason", reason))
        };
        let timed = |error: ApiError, retry_at: Option<i64>| match retry_at {
            Some(at) => error.with("retryAt", at),
            None => error,
        };
        let error = match decision.outcome {
            Outcome::Use { chosen, .. } | Outcome::RefreshFirst(chosen) => return Ok(chosen),
            Outcome::RefreshFailed { candidate, retry_at } => {
                timed(because(candidate, Kind::RefreshFailed), retry_at)
            }
            Outcome::AllExpired { retry_at } => {
                let error =
                    ApiError::new(Kind::AllExpired, format!("{provider}: every credential has expired"));
                timed(error.with("refreshable", retry_at.is_some()).with("reason", "token_expired"), retry_at)
            }
            Outcome::NeedsReauth(at) => because(at, Kind::NeedsReauth),
            Outcome::SecretUnavailable(at) => because(at, Kind::SecretUnavailable),
            Outcome::NoProfileForModel => ApiError::new(
                Kind::NoCredential,
                format!("{provider}: every credential is for another model"),
            )
            .with("reason", "no_profile_for_model"),
            Outcome::NoCredential => {
                ApiError::new(Kind::NoCredential, format!("{provider}: the agent has no credential of it"))
                    .with("reason", "no_stored_credentials")
                    .hint("store one with profile.upsert, or declare it in agents.toml")
            }
        };
        Err(error.with("providerId", provider).with("candidates", self.considered(decision)))
    }

    fn considered(&self, decision: &Decision) -> Value {
        let of = |(one, verdict): (&Candidate, &Verdict)| {
            json!({
                "profileId": one.id,
                "providerId": one.provider,
                "source": one.source.as_str(),
                "model": one.model.as_str(),
                "reason": verdict.to_string(),
            })
        };
        let own = |(_, verdict): &(&Candidate, &Verdict)| **verdict != Verdict::OtherProvider;
        self.candidates.iter().zip(&decision.trace).filter(own).map(of).collect()
    }
}

/// What is refreshed of a profile, where somebody can.
fn grant(app: &App, one: &identity_store::Candidate) -> Option<Grant> {
    let identity_store::Credential::Tokens(tokens) = &one.credential else { return None };
    let supported = app.refresher.supports(&tokens.authority);
    supported.then(|| Grant { account: tokens.account.clone(), authority: tokens.authority.clone() })
}

/// A key without an end, for every model.
fn key(id: String, source: Source, provider: String, secret: Secret) -> Candidate {
    Candidate {
        id,
        source,
        provider,
        model: Model::Any,
        position: 0,
        secret,
        expires_at: None,
        renewal: Renewal::None,
    }
}
