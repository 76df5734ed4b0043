//! The account of each provider that an agent is started with, and the exact change of its environment.
//!
//! All decisions are made from values. The caller reads the files and opens the secrets first. `launch.resolve` and
//! `launch.ready` use the same function and differ only in what they show of its result.

mod variables;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use auth_spawner::{Proof, Provider, Reach, Registry};
use identity_store::{Account, AccountKind, BundleId, SecretRef, Status};
use secrecy::SecretString;

pub use variables::Shadows;
pub(crate) use variables::{of_key, of_token};

use crate::api::Names;
use crate::error::{ApiError, Kind};
use crate::secrets::Unavailable;

/// An account that a launch may use, with the credential that was found for it.
pub struct Candidate {
    /// The provider of the account.
    pub provider: Arc<Provider>,
    /// The account.
    pub account: Arc<Account>,
    /// The credential of the account.
    pub found: Found,
    /// The provider's directory in the bundle, for a CLI that receives its credential in a variable.
    pub own_dir: Option<PathBuf>,
}

/// The result of looking for a credential.
pub enum Found {
    /// The CLI's own directory.
    Directory {
        /// The path of the directory.
        dir: PathBuf,
        /// The way in which the CLI finds the directory.
        reach: Reach,
        /// True if an account may use the directory: it is below the daemon's root, or adopted.
        allowed: bool,
        /// The proof from its files, judged at the present time.
        proof: Proof,
    },
    /// The secret.
    Secret(SecretString),
    /// The credential is not available.
    Unavailable(Unavailable),
}

/// The parameters of a launch.
pub struct Request<'a> {
    /// The bundle.
    pub bundle: &'a BundleId,
    /// The id of the provider to launch; all providers of the bundle when absent.
    pub provider: Option<&'a str>,
    /// Shortest remaining lifetime of a credential that only a person can renew, in milliseconds.
    pub min_ttl: i64,
    /// The directory of the caches that the bundles share.
    pub shared: &'a Path,
    /// The present time, in unix milliseconds.
    pub now: i64,
}

/// The result for one account.
pub struct Verdict {
    /// Canonical provider id.
    pub provider: String,
    /// Account id.
    pub account: String,
    /// True if the provider's own CLI holds this login. A login that cannot be used fails the launch.
    pub login: bool,
    /// The present status of the credential.
    pub status: Status,
    /// The variables to set, or the reason why there are none.
    pub outcome: Result<BTreeMap<String, Value>, Unfit>,
}

/// The value of a variable.
#[derive(Debug, Clone)]
pub enum Value {
    /// A value that is no credential, such as a directory.
    Plain(String),
    /// A credential.
    Secret(SecretString),
}

impl Value {
    /// Returns whether both values are the same text and neither is a credential.
    fn is_same(&self, other: &Self) -> bool {
        matches!((self, other), (Self::Plain(one), Self::Plain(two)) if one == two)
    }
}

/// The reason why an account cannot be used in a launch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfit {
    /// The error kind, for programs.
    pub kind: Kind,
    /// The text, for people.
    pub reason: String,
    /// The reason why a secret is not available, as a word for programs.
    pub word: Option<&'static str>,
    /// An action for the person, such as a command to run.
    pub next_step: Option<String>,
}

/// The change of the environment that gives an agent this identity.
#[derive(Debug)]
pub struct Launch {
    /// Variables to set.
    pub set: BTreeMap<String, Value>,
    /// Variables to remove, ordered by name. None of them is in `set`.
    pub unset: Names,
}

/// Judges each candidate separately.
pub fn judge(candidates: Vec<Candidate>, request: &Request<'_>) -> Vec<Verdict> {
    candidates.into_iter().map(|candidate| candidate.judge(request)).collect()
}

/// Combines the verdicts into one launch.
///
/// # Errors
/// A login that cannot be used fails the launch; `data.candidates` names the reason of each account. A key that cannot
/// be used only leaves its variables unset, and the caller reports it. `no_credential` when nothing is bound.
pub fn resolve(
    verdicts: &[Verdict],
    (registry, shadows): (&Registry, &Shadows),
    request: &Request<'_>,
) -> Result<Launch, ApiError> {
    if verdicts.is_empty() && (request.provider.is_some() || *request.bundle != BundleId::blank()) {
        return Err(nothing_bound(request));
    }
    let mut decisive = verdicts.iter().filter(|verdict| verdict.login || request.provider.is_some());
    let refused = decisive.find_map(|verdict| Some((verdict, verdict.outcome.as_ref().err()?)));
    if let Some((verdict, unfit)) = refused {
        let error = ApiError::new(unfit.kind, format!("{}: {}", verdict.provider, unfit.reason))
            .with("providerId", verdict.provider.as_str())
            .with("accountId", verdict.account.as_str())
            .with("candidates", candidates(verdicts))
            .with("reason", unfit.word.unwrap_or(&unfit.reason));
        return Err(match &unfit.next_step {
            Some(step) => error.hint(step.as_str()),
            None => error,
        });
    }
    let set = together(verdicts, registry)?;
    let launched: Vec<&str> = verdicts.iter().map(|verdict| verdict.provider.as_str()).collect();
    let unset = shadows.beside(&set, &launched);
    Ok(Launch { set, unset })
}

/// Combines the variables of all accounts. The variable for a CLI's own directory has that CLI's value, even if another
/// CLI sets it as well. Two CLIs that need different values of the same variable cannot be launched together.
fn together(verdicts: &[Verdict], registry: &Registry) -> Result<BTreeMap<String, Value>, ApiError> {
    let mut set = BTreeMap::new();
    let mut owners: BTreeMap<&str, (&str, &Value)> = BTreeMap::new();
    let fit = || verdicts.iter().filter_map(|verdict| Some((verdict, verdict.outcome.as_ref().ok()?)));
    for (_, variables) in fit() {
        set.extend(variables.iter().map(|(name, value)| (name.clone(), value.clone())));
    }
    for (verdict, variables) in fit() {
        let cli = registry.provider(&verdict.provider).and_then(|provider| provider.cli.as_ref());
        let own = cli.and_then(|cli| variables.get_key_value(&cli.config_dir.var));
        let Some((name, value)) = own else { continue };
        if let Some((other, its)) = owners.insert(name, (&verdict.provider, value))
            && !its.is_same(value)
        {
            let both = format!("{other} and {} both live by {name}", verdict.provider);
            return Err(ApiError::new(Kind::Conflict, both)
                .with("what", "variable")
                .hint("launch them one at a time, by naming the provider"));
        }
        set.insert(name.clone(), value.clone());
    }
    Ok(set)
}

fn nothing_bound(request: &Request<'_>) -> ApiError {
    let what = request.provider.map_or_else(|| "any account".to_owned(), |id| format!("an account of {id}"));
    let provider = request.provider.unwrap_or("PROVIDER");
    ApiError::new(Kind::NoCredential, format!("the bundle does not bind {what}"))
        .with("candidates", serde_json::json!([]))
        .hint(format!("srvd login {provider} --bundle {}", request.bundle))
}

fn candidates(verdicts: &[Verdict]) -> serde_json::Value {
    let reason = |verdict: &Verdict| match &verdict.outcome {
        Ok(_) => "fit".to_owned(),
        Err(unfit) => unfit.reason.clone(),
    };
    let one = |verdict: &Verdict| {
        serde_json::json!({
            "providerId": verdict.provider,
            "accountId": verdict.account,
            "status": verdict.status.as_str(),
            "reason": reason(verdict),
        })
    };
    verdicts.iter().map(one).collect()
}

impl Candidate {
    fn judge(self, request: &Request<'_>) -> Verdict {
        let login = self.account.kind == AccountKind::OAuth;
        let (status, outcome) = match self.fitness(request) {
            Ok(variables) => (self.known(), Ok(variables)),
            Err((status, unfit)) => (status, Err(unfit)),
        };
        Verdict {
            provider: self.provider.id.clone(),
            account: self.account.id.to_string(),
            login,
            status,
            outcome,
        }
    }

    /// Returns the status of an account that can be used. A login is valid, because its files prove it. A key keeps its
    /// status, because a launch does not test it.
    fn known(&self) -> Status {
        match self.account.kind {
            AccountKind::OAuth => Status::Valid,
            AccountKind::ApiKey => self.account.status,
        }
    }

    /// Returns the action for a person when the account cannot be used.
    fn next_step(&self, bundle: &BundleId) -> String {
        match (&self.account.secret_ref, self.account.kind) {
            (SecretRef::Env { var }, _) => {
                format!("start the daemon with a value of {var}, as srvd.toml names it")
            }
            (SecretRef::Command { .. }, _) => {
                "run the command by hand that srvd.toml names for it, to see why".to_owned()
            }
            (_, AccountKind::OAuth) => format!("srvd login {} --bundle {bundle}", self.provider.id),
            (_, AccountKind::ApiKey) => format!("srvd add-key {} --bundle {bundle}", self.provider.id),
        }
    }

    fn fitness(&self, request: &Request<'_>) -> Result<BTreeMap<String, Value>, (Status, Unfit)> {
        let again = self.next_step(request.bundle);
        let unfit = |status, kind, reason: &str| {
            (status, Unfit { kind, reason: reason.to_owned(), word: None, next_step: Some(again.clone()) })
        };
        match &self.found {
            Found::Unavailable(why) => {
                let (status, unfit) = unfit(Status::Unknown, Kind::SecretUnavailable, &why.text);
                Err((status, Unfit { word: Some(why.why.as_str()), ..unfit }))
            }
            Found::Directory { allowed: false, .. } => Err(unfit(
                Status::Invalid,
                Kind::AmbientDirectory,
                "its directory is not one of the daemon's",
            )),
            Found::Directory { dir, reach, proof, .. } => match proof {
                Proof::LoggedIn(_) => {
                    Ok(variables::of_directory(&self.provider, dir, *reach, request.shared))
                }
                Proof::Absent => {
                    Err(unfit(Status::NeedsReauth, Kind::NeedsReauth, "its directory holds no login"))
                }
                Proof::Incomplete { reason } => Err(unfit(Status::NeedsReauth, Kind::NeedsReauth, reason)),
                Proof::Unreadable { reason } | Proof::InKeyring { reason, .. } => {
                    Err(unfit(Status::Unknown, Kind::SecretUnavailable, reason))
                }
            },
            Found::Secret(secret) => {
                let ends = self.account.expires_at.unwrap_or(i64::MAX);
                if ends <= request.now {
                    return Err(unfit(Status::NeedsReauth, Kind::NeedsReauth, "it has expired"));
                }
                if ends <= request.now.saturating_add(request.min_ttl) {
                    return Err(unfit(Status::Valid, Kind::NeedsReauth, "it expires too soon"));
                }
                if self.account.status == Status::Invalid {
                    return Err(unfit(Status::Invalid, Kind::NeedsReauth, "its provider refused it"));
                }
                variables::of_secret(self, secret, request.shared)
                    .map_err(|reason| unfit(Status::Invalid, Kind::SecretUnavailable, reason))
            }
        }
    }
}

#[cfg(test)]
mod tests;
