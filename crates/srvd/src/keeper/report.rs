//! The state of the renewals, for clients.

use std::time::Duration;

use auth_spawner::KeepAliveBy;
use futures_util::future::join_all;
use identity_store::{AccountFilter, AccountId, AccountKind, Store};

use super::flight::{Keeper, Kept, Subject, shown};
use super::outcome;
use super::schedule::{LAUNCH, Plan, Step as Next, Why};
use crate::base::clock::now;
use crate::hint::{Hint, Step};
use crate::wire::account::{AfterRefusal, AfterRefusalStep, Refused};
use crate::wire::error::ApiError;
use crate::wire::ids::account_id;
use crate::wire::keeping::{KeepAlive, KeepState, KeepSwitch, KeptLogin, KeptLogins};

/// The maximum wait for the renewals of one request.
const RENEWING: Duration = Duration::from_secs(90);
/// The maximum time by which a renewal delays a launch.
const LAUNCHING: Duration = Duration::from_secs(5);
/// The maximum wait for a renewal after a service refused an access token.
const REFUSED: Duration = Duration::from_secs(10);
/// The time for which a renewal answers reports about the token before it, in milliseconds.
const JUST_NOW: i64 = 60_000;
/// The HTTP status of an access token that is not accepted.
const UNAUTHORIZED: u16 = 401;

impl Keeper {
    /// Answers `account.keepalive`. `store` names the caller in the audit log.
    ///
    /// # Errors
    /// `invalid_input` or `not_found` for the account, and the errors of the store.
    pub(crate) async fn answer(&self, store: &Store, params: KeepAlive) -> Result<KeptLogins, ApiError> {
        let only = params.account_id.as_deref().map(account_id).transpose()?;
        if let Some(switch) = &params.switch {
            let Some(id) = &only else {
                return Err(ApiError::invalid_input("accountId", "name the account to switch"));
            };
            let on = match switch {
                KeepSwitch::On => Some(true),
                KeepSwitch::Off => Some(false),
                KeepSwitch::Default => None,
                KeepSwitch::Other(word) => {
                    return Err(ApiError::invalid_input(
                        "switch",
                        format!("{word} is not on, off or default"),
                    ));
                }
            };
            store.switch_keep_alive(id, on, now()).await?;
        }
        let why = if only.is_some() { Why::Asked } else { Why::Due };
        let subjects = self.subjects(store, only.as_ref()).await?;
        if params.renew.unwrap_or(false) {
            // Without an account, those that are left alone stay so.
            let allowed = |subject: &&Subject| {
                why == Why::Asked || !is_left_alone(&subject.plan(self.settings(), Why::Due, now()).state)
            };
            let runs = subjects.iter().filter(allowed);
            let runs = runs.map(|subject| self.keep(&subject.account.id, Why::Asked, RENEWING));
            for done in join_all(runs).await {
                done?;
            }
            return Ok(self.report(&self.subjects(store, only.as_ref()).await?));
        }
        Ok(self.report(&subjects))
    }

    /// Renews a login that a launch is about to use, if it is about to end. Returns a note for the user if it could not be
    /// renewed in time.
    pub(crate) async fn before_launch(&self, id: &AccountId) -> Option<String> {
        match self.keep(id, Why::Launch, LAUNCHING).await {
            Ok(Kept::Ended) => {}
            Ok(Kept::Late) => return Some("its renewal is not done after 5 s, and goes on".to_owned()),
            // The launch itself names an account that cannot be read.
            Ok(Kept::Unneeded) | Err(_) => return None,
        }
        let again = self.subject(id).await.ok()??;
        let left = again.seen.login()?.expires_at? - now();
        let failed = again.account.keeping.failures > 0;
        (left < LAUNCH && failed).then(|| {
            let detail = again.account.keeping.detail.unwrap_or_default();
            format!("it could not be renewed before the launch: {detail}")
        })
    }

    /// Answers a report that a service refused the access token of a CLI login. Returns `None` for another account.
    ///
    /// # Errors
    /// `invalid_input` or `not_found` for the account, and the errors of the store.
    pub(crate) async fn after_refusal(&self, refused: &Refused) -> Result<Option<AfterRefusal>, ApiError> {
        let id = account_id(&refused.account_id)?;
        let Some(before) = self.subject(&id).await? else { return Ok(None) };
        if refused.status.unwrap_or(UNAUTHORIZED) != UNAUTHORIZED {
            return Ok(Some(AfterRefusal { next: AfterRefusalStep::Nothing }));
        }
        self.count_refusal(&id);
        self.keep(&id, Why::Refused, REFUSED).await?;
        let Some(after) = self.subject(&id).await? else { return Ok(None) };
        let logins = before.seen.login().zip(after.seen.login());
        let moved = logins.is_some_and(|(before, after)| outcome::moved(before, after));
        // The report may be about the token before the last renewal.
        let since = after.account.keeping.kept_at.map(|at| now() - at);
        let fresh =
            since.is_some_and(|since| (0..JUST_NOW).contains(&since)) && !refused.retried.unwrap_or(false);
        let dead = after.plan(self.settings(), Why::Refused, now()).state == KeepState::Dead;
        let next = match () {
            () if dead || after.seen.login().is_none() => AfterRefusalStep::SignIn,
            () if moved || fresh => AfterRefusalStep::Retry,
            () => AfterRefusalStep::Nothing,
        };
        Ok(Some(AfterRefusal { next }))
    }

    async fn subjects(&self, store: &Store, only: Option<&AccountId>) -> Result<Vec<Subject>, ApiError> {
        if let Some(id) = only {
            let found = self.subject(id).await?;
            return Ok(vec![found.ok_or_else(|| {
                ApiError::invalid_input("accountId", "this account has no login of a CLI")
            })?]);
        }
        let all = store.accounts(AccountFilter::default()).await?;
        let logins = all.accounts.into_iter().filter(|account| account.kind == AccountKind::OAuth);
        let subjects = join_all(logins.map(|account| self.subject_of(account))).await;
        Ok(subjects.into_iter().flatten().collect())
    }

    fn report(&self, subjects: &[Subject]) -> KeptLogins {
        KeptLogins { logins: subjects.iter().map(|subject| self.described(subject)).collect() }
    }

    fn described(&self, subject: &Subject) -> KeptLogin {
        let Subject { account, provider, .. } = subject;
        let plan = subject.plan(self.settings(), Why::Due, now());
        let Plan { state, step, reason } = shown(plan, self.is_running(&subject.dir.path));
        let keeping = &account.keeping;
        let dead = state == KeepState::Dead;
        let copied = state == KeepState::Copied;
        let login = account.bound_to.first().map(|bundle| {
            let (provider, bundle) = (provider.id.as_str().into(), bundle.as_str().into());
            // A login that looks well is replaced only on request.
            if copied { Step::LogInAnew { provider, bundle } } else { Step::LogIn { provider, bundle } }
        });
        KeptLogin {
            account_id: account.id.to_string(),
            provider_id: provider.id.clone(),
            switch: match keeping.switch {
                Some(true) => KeepSwitch::On,
                Some(false) => KeepSwitch::Off,
                None => KeepSwitch::Default,
            },
            by: subject.keep().map_or(KeepAliveBy::None, |keep| keep.by).as_str().to_owned(),
            expires_at: subject.seen.login().and_then(|login| login.expires_at),
            kept_at: keeping.kept_at,
            tried_at: keeping.tried_at,
            outcome: keeping.outcome.as_deref().map(Into::into),
            detail: keeping.detail.clone(),
            next_at: match step {
                Next::Run { .. } => Some(keeping.next_at.unwrap_or_else(now)),
                Next::At(at) => Some(at),
                Next::Rest => None,
            },
            failures: keeping.failures,
            refusals: self.refusals(&account.id),
            dead_at: keeping.refused.as_ref().filter(|_| dead).map(|refused| refused.at),
            copies: subject.copies.iter().map(ToString::to_string).collect(),
            next_step: login.filter(|_| dead || copied || state == KeepState::NoLogin).map(Hint::from),
            reason,
            state,
        }
    }
}

/// Returns whether a login is renewed only if the user names it.
fn is_left_alone(state: &KeepState) -> bool {
    matches!(state, KeepState::Off | KeepState::Own)
}
