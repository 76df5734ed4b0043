//! The credentials of an agent from every layer, and the choice of the one to use. `profile.best` and the launches by
//! agent both use this module, so that their answers agree.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use auth_spawner::Provider;
use identity_store::{AccountKind, AgentId, UserId};
use secrecy::SecretString;
use serde_json::{Value, json};

use super::{agent_key, agent_refresh, profile};
use crate::agents::declared::{Agent, Credential, credential_id};
use crate::launch;
use crate::launch::resolution::{
    Asked, Candidate, Decision, Model, Outcome, Renewal, Secret, Source, Verdict, decide, settle,
};
use crate::refresh::Grant;
use crate::rpc::app::App;
use crate::wire::Status;
use crate::wire::convert;
use crate::wire::error::{ApiError, Kind};
use crate::wire::ids::{one_agent, user_id};
use crate::wire::profile::Degraded;

/// Longest time that the refreshes for one answer may take together.
const REFRESHING: Duration = Duration::from_secs(10);

/// The user and the agent whose credentials are considered.
pub(super) struct Subject {
    /// The user, if one was named.
    pub(super) user: Option<UserId>,
    /// The agent.
    pub(super) agent: AgentId,
}

impl Subject {
    /// Returns the subject that a request names. An empty user counts as no user.
    ///
    /// # Errors
    /// `invalid_input` for an id that no agent or user can have.
    pub(super) fn of(user: Option<&str>, agent: &str) -> Result<Self, ApiError> {
        let user = user.filter(|user| !user.is_empty()).map(user_id).transpose()?;
        Ok(Self { user, agent: one_agent(agent)? })
    }
}

/// The choice between refreshing credentials and only reading them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effort {
    /// Credentials that need a refresh are refreshed.
    Refresh,
    /// Nothing is refreshed.
    Look,
}

/// An agent's credentials. The two lists have the same order.
pub(super) struct Layers {
    pub(super) candidates: Vec<Candidate>,
    pub(super) held: Vec<Held>,
    /// Time that is left for refreshes.
    left: Duration,
}

/// The data of a candidate that the decision does not need.
pub(super) struct Held {
    /// The id of the account that holds the credential; only a user's credential has an account.
    pub(super) account: Option<String>,
    /// The state of the credential, not counting its expiry.
    pub(super) status: Status,
    /// The generation of the account's tokens; `None` for a key.
    pub(super) generation: Option<u64>,
    /// The owner of the agent, if the credential is the owner's; `None` if it is the subject's own.
    pub(super) owner: Option<String>,
    /// The grant to refresh when the credential has expired.
    grant: Option<Grant>,
    material: Material,
}

enum Material {
    Secret(SecretString),
    /// The access token of a login.
    Token(SecretString),
    /// A command that prints the secret. It is run only when it is chosen, because it may ask a person for
    /// confirmation.
    Command(Vec<String>),
    None,
}

impl Layers {
    /// Collects all credentials of the subject, of one provider or of all, and looks up every secret.
    ///
    /// # Errors
    /// An error of the store. A failed read is not treated as an empty layer.
    pub(super) async fn gather(
        app: &App,
        subject: &Subject,
        provider: Option<&Provider>,
    ) -> Result<Self, ApiError> {
        let mut layers = Self { candidates: Vec::new(), held: Vec::new(), left: REFRESHING };
        let wanted = provider.map(convert::stored_id).transpose()?;
        let current = app.declared.now();
        let agent = current.agents.agent(subject.agent.as_str());
        let owner = agent.and_then(Agent::lender).filter(|owner| subject.user.as_ref() != Some(owner));
        // Credentials for this agent come before those for every agent. The user's own come before those that the owner
        // lends.
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

    /// Adds a profile after the existing candidates.
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
            // A credential for this user comes before one for any user.
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

    /// Chooses a credential. A command is run when it is chosen. If it fails, its secret counts as missing.
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

    /// Decides, and refreshes credentials first if the decision requires it.
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

    /// Returns the name of a candidate in a launch: its account, or its own id if it has no account.
    pub(super) fn account(&self, at: usize) -> String {
        self.held[at].account.clone().unwrap_or_else(|| self.candidates[at].id.clone())
    }

    /// Returns the variables that pass a candidate's secret to a program of its provider. `Err` is the reason why there
    /// are none.
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

    /// Returns the status of a candidate after a decision.
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

    /// Returns the preferred credential that could not be used, if the chosen one replaces it.
    pub(super) fn degraded(&self, decision: &Decision) -> Option<Degraded> {
        let Outcome::Use { degraded_from: Some(from), .. } = decision.outcome else { return None };
        Some(Degraded {
            profile_id: self.candidates[from].id.clone(),
            source: self.candidates[from].source.as_str().to_owned(),
            reason: decision.trace[from].to_string(),
        })
    }

    /// Returns the position of the candidate that is used, possibly after a refresh.
    ///
    /// # Errors
    /// The reason why no credential can be used, with `data.candidates`.
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

/// Returns the grant of a profile, if the daemon can refresh it.
fn grant(app: &App, one: &identity_store::Candidate) -> Option<Grant> {
    let identity_store::Credential::Tokens(tokens) = &one.credential else { return None };
    let supported = app.refresher.supports(&tokens.authority);
    supported.then(|| Grant { account: tokens.account.clone(), authority: tokens.authority.clone() })
}

/// A key that does not expire and is for every model.
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
