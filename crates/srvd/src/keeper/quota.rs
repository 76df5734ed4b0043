//! The questions to CLIs about the limits of their logins. A question takes the same turn as a renewal of the login,
//! because it may renew the login as well.

use std::collections::HashMap;
use std::time::Duration;

use auth_spawner::LoginCommand;
use futures_util::future::join_all;
use identity_store::{Account, AccountFilter, AccountId, AccountKind, SecretRef, StoreError};

use super::flight::{Keeper, Subject, lock};
use super::limits::{Figures, Known};
use super::seen::Seen;
use crate::base::clock::now;
use crate::wire::error::{ApiError, with_causes};
use crate::wire::events;
use crate::wire::quota::{Billing, Quota, Quotas, Suggested, Suggestions};

/// The maximum wait of a client for an answer.
const ASKING: Duration = Duration::from_mins(1);
/// The version of the form of the lists.
pub(crate) const SCHEMA: u32 = 1;

impl Keeper {
    /// Lists the limits. Old figures are asked for in the background.
    ///
    /// # Errors
    /// The errors of the store.
    pub(crate) async fn quotas(&self, provider: Option<&str>) -> Result<Quotas, ApiError> {
        self.known_quotas().await?;
        let accounts = self.logins(provider).await?;
        for account in &accounts {
            self.looked(&account.id);
            self.ask_in_background(account);
        }
        Ok(Quotas { schema_version: SCHEMA, quotas: accounts.iter().map(|one| self.quota_of(one)).collect() })
    }

    /// Asks the CLIs, and lists the limits.
    ///
    /// # Errors
    /// `invalid_input` or `not_found` for the account, and the errors of the store.
    pub(crate) async fn refresh_quotas(&self, only: Option<&AccountId>) -> Result<Quotas, ApiError> {
        self.known_quotas().await?;
        let accounts = match only {
            Some(id) => vec![self.store().account(id).await?],
            None => self.logins(None).await?,
        };
        let asked = accounts.iter().map(|account| async move {
            self.looked(&account.id);
            // What takes longer goes on, and is shown by the next list.
            let _ = tokio::time::timeout(ASKING, self.ask(account, true)).await;
        });
        join_all(asked).await;
        Ok(Quotas { schema_version: SCHEMA, quotas: accounts.iter().map(|one| self.quota_of(one)).collect() })
    }

    /// Reads the limits of one login.
    ///
    /// # Errors
    /// `invalid_input` or `not_found` for the account, and the errors of the store.
    pub(crate) async fn quota(&self, id: &AccountId) -> Result<Quota, ApiError> {
        self.known_quotas().await?;
        let account = self.store().account(id).await?;
        self.looked(id);
        self.ask_in_background(&account);
        Ok(self.quota_of(&account))
    }

    /// Ranks the logins of a provider, the best first, with the reason for each.
    ///
    /// # Errors
    /// The errors of the store.
    pub(crate) async fn suggest(&self, provider: &str) -> Result<Suggestions, ApiError> {
        self.known_quotas().await?;
        let accounts = self.logins(Some(provider)).await?;
        let now = now();
        let mut ranked = Vec::new();
        for account in accounts.into_iter().filter(|account| !account.bound_to.is_empty()) {
            self.looked(&account.id);
            self.ask_in_background(&account);
            let usable =
                matches!(account.status, identity_store::Status::Valid | identity_store::Status::Expired);
            let (rank, reason) =
                lock(self.quotas_map()).get(&account.id).cloned().unwrap_or_default().rank(now);
            let reason = if usable { reason } else { "it needs a new login".to_owned() };
            ranked.push(((!usable, rank), account, reason));
        }
        ranked.sort_by_key(|one| one.0);
        let suggestions = ranked.into_iter().map(|((unusable, _), account, reason)| Suggested {
            account_id: account.id.to_string(),
            bundle_ids: account.bound_to.iter().map(ToString::to_string).collect(),
            usable: !unusable,
            quota: self.quota_of(&account),
            reason,
        });
        Ok(Suggestions { suggestions: suggestions.collect() })
    }

    /// Records that a launch uses a login.
    pub(crate) fn launched(&self, id: &AccountId) {
        lock(self.quotas_map()).entry(id.clone()).or_default().used_at = Some(now());
    }

    /// Asks the CLIs of the logins in use whose figures are old. Called at each pass of the task.
    pub(super) async fn ask_due(&self) {
        let ids: Vec<AccountId> = {
            let (known, now) = (lock(self.quotas_map()), now());
            known.iter().filter(|(_, known)| known.may_ask(false, now)).map(|(id, _)| id.clone()).collect()
        };
        for id in ids {
            match self.store().account(&id).await {
                Ok(account) => self.ask_in_background(&account),
                Err(_) => {
                    lock(self.quotas_map()).remove(&id);
                }
            }
        }
    }

    fn looked(&self, id: &AccountId) {
        lock(self.quotas_map()).entry(id.clone()).or_default().looked_at = Some(now());
    }

    fn ask_in_background(&self, account: &Account) {
        let may = lock(self.quotas_map()).get(&account.id).is_some_and(|known| known.may_ask(false, now()));
        if may && !self.is_stopping() {
            let (keeper, account) = (self.clone(), account.clone());
            self.spawn(async move { keeper.ask(&account, false).await });
        }
    }

    /// Asks the CLI of one login, when the turn of its directory comes.
    async fn ask(&self, account: &Account, wanted: bool) {
        {
            let mut known = lock(self.quotas_map());
            let known = known.entry(account.id.clone()).or_default();
            if !known.may_ask(wanted, now()) {
                return;
            }
            known.asked_at = Some(now());
        }
        let Some(subject) = self.subject_of(account.clone()).await else { return };
        let dir = subject.dir.path.clone();
        let (keeper, id) = (self.clone(), account.id.clone());
        let work = async move {
            let answer = keeper.limits(&subject).await;
            keeper.keep_answer(&id, answer).await;
        };
        self.alone(dir, work).await;
        // A question can renew the login, and a renewal may have waited for it.
        self.signal().changed(&account.id);
    }

    async fn keep_answer(&self, id: &AccountId, answer: Result<Figures, String>) {
        let (stored, changed) = {
            let mut map = lock(self.quotas_map());
            let known = map.entry(id.clone()).or_default();
            let before = (known.state(now()), known.windows(now()));
            match answer {
                Ok(figures) => (known.figures, known.reason, known.failures) = (Some(figures), None, 0),
                Err(reason) => {
                    known.reason = Some(reason);
                    known.failures = known.failures.saturating_add(1);
                }
            }
            let stored = known.figures.as_ref().and_then(|figures| serde_json::to_string(figures).ok());
            (stored, before != (known.state(now()), known.windows(now())))
        };
        if let Some(text) = stored
            && let Err(error) = self.store().record_quota(id, &text, now()).await
        {
            tracing::warn!(account = %id, error = with_causes(&error), "the limits of a login could not be stored");
        }
        if changed {
            let data = serde_json::json!({"accountId": id.as_str()});
            self.broker().publish(&events::quota_changed(id.as_str()), now(), Some(data));
        }
    }

    /// Reads the stored figures once.
    async fn known_quotas(&self) -> Result<(), StoreError> {
        self.quotas_read()
            .get_or_try_init(|| async {
                let stored = self.store().quotas().await?;
                let mut map: HashMap<AccountId, Known> = HashMap::new();
                for (id, text) in stored {
                    let figures = serde_json::from_str(&text).ok();
                    map.insert(id, Known { figures, ..Known::default() });
                }
                let mut known = lock(self.quotas_map());
                for (id, one) in map {
                    known.entry(id).or_insert(one);
                }
                Ok::<(), StoreError>(())
            })
            .await
            .copied()
    }

    /// Returns the accounts with a login of a CLI, or those of one provider.
    ///
    /// # Errors
    /// The errors of the store.
    async fn logins(&self, provider: Option<&str>) -> Result<Vec<Account>, StoreError> {
        let mut all = self.store().accounts(AccountFilter::default()).await?.accounts;
        all.retain(|account| {
            matches!(account.secret_ref, SecretRef::ConfigDir { .. })
                && provider.is_none_or(|provider| account.provider.as_str() == provider)
        });
        Ok(all)
    }

    /// Returns whether the CLI of an account can be asked for its limits, or the reason why not.
    fn has_question(&self, account: &Account) -> Result<(), String> {
        let provider = self.0.config.registry.provider(account.provider.as_str());
        let cli = provider.and_then(|provider| provider.cli.as_ref());
        match cli.and_then(|cli| cli.quota.as_ref()) {
            Some(_) => Ok(()),
            None => Err("no command of its CLI tells its limits without cost".to_owned()),
        }
    }

    /// Asks the CLI of a login for its limits. The caller holds the turn of the directory.
    async fn limits(&self, subject: &Subject) -> Result<Figures, String> {
        let config = &self.0.config;
        self.has_question(&subject.account)?;
        askable(subject)?;
        let (Some(cli), Some(question)) = (subject.cli(), subject.cli().and_then(|cli| cli.quota.as_ref()))
        else {
            return Err("its CLI does not tell the limits".to_owned());
        };
        let Ok(_turn) = self.0.turns.acquire().await else { return Err("the daemon stops".to_owned()) };
        let programs = config.logins.programs();
        let located =
            programs.located(&subject.provider, cli).await.map_err(|error| error.message().to_owned())?;
        if question.is_too_old(located.version.as_deref()) {
            return Err("its CLI is older than the first version that is known to tell them".to_owned());
        }
        let command = LoginCommand {
            provider: &subject.provider,
            program: &located.path,
            environment: &config.environment,
            shared: programs.shared(),
            dir: subject.dir.path.clone(),
            reach: config.identities.reach(cli, &subject.dir),
            work_dir: &config.work_dir,
            limit: Duration::from_secs(u64::from(question.limit_s)),
        };
        let source = question.args.join(" ");
        let limits = command.limits(now()).await?;
        Ok(Figures::of(limits, source.trim(), now()))
    }

    fn quota_of(&self, account: &Account) -> Quota {
        let now = now();
        let known = lock(self.quotas_map()).get(&account.id).cloned().unwrap_or_default();
        let asks = self.has_question(account);
        let reason = match (asks, &known.reason) {
            (Err(reason), _) => Some(reason),
            (Ok(()), Some(reason)) => Some(reason.clone()),
            (Ok(()), None) if known.figures.is_none() => Some("its CLI was not asked yet".to_owned()),
            (Ok(()), None) => None,
        };
        let figures = known.figures.as_ref();
        Quota {
            account_id: account.id.to_string(),
            provider_id: account.provider.to_string(),
            state: known.state(now),
            billing: billing(account),
            plan: figures.and_then(|figures| figures.plan.clone()),
            windows: known.windows(now),
            measured_at: figures.map(|figures| figures.measured_at),
            source: figures.map(|figures| figures.source.clone()),
            reason,
        }
    }
}

/// Returns the kind of payment, as far as the kind of credential tells it.
fn billing(account: &Account) -> Billing {
    match (account.kind, &account.secret_ref) {
        (AccountKind::OAuth, SecretRef::ConfigDir { .. }) => Billing::Subscription,
        (AccountKind::OAuth, SecretRef::Sealed) => Billing::SetupToken,
        (AccountKind::ApiKey, _) if account.base_url.is_some() => Billing::Gateway,
        (AccountKind::ApiKey, _) => Billing::Key,
        _ => Billing::Unknown,
    }
}

/// Returns whether a login can be asked about its limits, or the reason why not.
fn askable(subject: &Subject) -> Result<(), String> {
    match &subject.seen {
        Seen::Login(_) => Ok(()),
        _ => Err("its directory holds no login that can be used".to_owned()),
    }
}
