//! `srvd quota` and `srvd best`: what is left of the limits of subscriptions, and which login has the most.

use std::time::Duration;

use super::client::Connection;
use super::failure::{Failure, code};
use super::list::{Format, who};
use super::ui::{Ui, plain_line};
use super::{failure, table};
use crate::base::clock::now;
use crate::hint::Step;
use crate::wire::account::{self, Account};
use crate::wire::quota::{Quota, QuotaState, Quotas, Refresh, Suggest, Suggested, Window};

/// The time between two drawings while nothing changes, because ages and countdowns go on.
const REDRAW: Duration = Duration::from_secs(30);

/// Arguments of `srvd quota`.
#[derive(Debug, clap::Args)]
pub(super) struct QuotaArgs {
    /// Show the figures again whenever they change
    #[arg(long)]
    watch: bool,
    #[command(flatten)]
    format: Format,
}

/// Arguments of `srvd best`.
#[derive(Debug, clap::Args)]
pub(super) struct BestArgs {
    /// The provider
    provider: String,
    #[command(flatten)]
    format: Format,
}

/// Prints the limits. The exit code is 2 if a login is spent, and 3 if nothing is known.
pub(super) async fn run(args: &QuotaArgs, daemon: &Connection, ui: &Ui) -> Result<(), Failure> {
    if args.watch {
        return watch(args, daemon, ui).await;
    }
    let quotas = daemon.call(&Refresh::default()).await?;
    show(args, &quotas, daemon, ui).await?;
    match exit_code(&quotas.quotas) {
        0 => Ok(()),
        other => Err(Failure::silent(other)),
    }
}

async fn watch(args: &QuotaArgs, daemon: &Connection, ui: &Ui) -> Result<(), Failure> {
    let topics = ["accountquota:changed:*"];
    let mut changes =
        daemon.client.subscribe(topics).await.map_err(|error| failure::of_call(&error, |_| None))?;
    loop {
        let quotas = daemon.call(&Refresh::default()).await?;
        show(args, &quotas, daemon, ui).await?;
        if let Ok(None) = tokio::time::timeout(REDRAW, changes.next()).await {
            return Err(Failure::new(code::UNAVAILABLE, "the daemon has stopped"));
        }
    }
}

async fn show(args: &QuotaArgs, quotas: &Quotas, daemon: &Connection, ui: &Ui) -> Result<(), Failure> {
    if args.format.json {
        return ui.json(quotas);
    }
    let accounts = daemon.call(&account::List::default()).await?.accounts;
    ui.result(&draw(&quotas.quotas, &accounts, now(), ui))
}

fn exit_code(quotas: &[Quota]) -> u8 {
    let any = |state: &QuotaState| quotas.iter().any(|quota| quota.state == *state);
    match () {
        () if any(&QuotaState::Spent) => 2,
        () if any(&QuotaState::Fine) || any(&QuotaState::Near) => 0,
        () => 3,
    }
}

fn draw(quotas: &[Quota], accounts: &[Account], now: i64, ui: &Ui) -> String {
    let rows = quotas.iter().map(|quota| {
        let account = accounts.iter().find(|account| account.id == quota.account_id);
        let age = quota.measured_at.map(|at| table::when(Some(at.min(now - 1)), now)).unwrap_or_default();
        let figures = match quota.windows.as_slice() {
            [] => quota.reason.clone().unwrap_or_else(|| "unknown".to_owned()),
            windows => windows.iter().map(|window| figure(window, now)).collect::<Vec<_>>().join(", "),
        };
        vec![
            quota.provider_id.clone(),
            account.map_or_else(|| quota.account_id.clone(), who),
            quota.state.to_string(),
            figures,
            age,
        ]
    });
    table::draw(ui, &["PROVIDER", "ACCOUNT", "STATE", "USED", "MEASURED"], rows)
}

/// Returns a window in words: its share, its pace, and the time until it starts again.
pub(super) fn figure(window: &Window, now: i64) -> String {
    let used = window.used_percent.map_or_else(|| "?".to_owned(), |used| format!("{used}%"));
    let ahead = if window.ahead { " (ahead)" } else { "" };
    let reset = window.resets_at.map(|at| format!(", resets {}", table::when(Some(at.max(now)), now)));
    format!("{} {used}{ahead}{}", plain_line(&window.key), reset.unwrap_or_default())
}

/// Returns the tightest window of a login, for a column.
pub(super) fn short(quota: &Quota) -> String {
    let tightest = quota.windows.iter().max_by_key(|window| window.used_percent);
    match (tightest, &quota.state) {
        (None, _) | (_, QuotaState::Unknown) => "-".to_owned(),
        (Some(window), _) => {
            let used = window.used_percent.map_or_else(|| "?".to_owned(), |used| format!("{used}%"));
            format!("{used} of {}", plain_line(&window.key))
        }
    }
}

/// Prints the logins of a provider, the best first.
pub(super) async fn best(args: &BestArgs, daemon: &Connection, ui: &Ui) -> Result<(), Failure> {
    let ranked = daemon.call(&Suggest { provider_id: args.provider.clone() }).await?;
    if args.format.json {
        return ui.json(&ranked);
    }
    let accounts = daemon.call(&account::List::default()).await?.accounts;
    let rows = ranked.suggestions.iter().map(|one| {
        let account = accounts.iter().find(|account| account.id == one.account_id);
        let bundles = one.bundle_ids.join(", ");
        vec![account.map_or_else(|| one.account_id.clone(), who), bundles, one.reason.clone()]
    });
    ui.result(&table::draw(ui, &["ACCOUNT", "BUNDLES", "REASON"], rows))
}

/// Returns the bundle of the best login of a provider.
pub(super) async fn best_bundle(daemon: &Connection, provider: &str) -> Result<(String, Suggested), Failure> {
    let ranked = daemon.call(&Suggest { provider_id: provider.to_owned() }).await?;
    let usable = ranked.suggestions.into_iter().find(|one| one.usable && !one.bundle_ids.is_empty());
    let found = usable.and_then(|one| Some((one.bundle_ids.first()?.clone(), one)));
    found.ok_or_else(|| {
        Failure::new(
            code::FAILED,
            format!("no bundle has a login of {} that can be used", plain_line(provider)),
        )
        .hint(Step::LogInInstead { provider: provider.into() })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::quota::Billing;

    fn quota(state: QuotaState, windows: Vec<Window>) -> Quota {
        Quota {
            account_id: "a".to_owned(),
            provider_id: "codex".to_owned(),
            state,
            reason: None,
            billing: Billing::Subscription,
            plan: None,
            windows,
            measured_at: None,
            source: None,
        }
    }

    #[test]
    fn exit_code_tells_spent_and_unknown() {
        let of = |states: &[QuotaState]| {
            exit_code(&states.iter().map(|state| quota(state.clone(), Vec::new())).collect::<Vec<_>>())
        };
        assert_eq!(of(&[QuotaState::Fine, QuotaState::Unknown]), 0);
        assert_eq!(of(&[QuotaState::Fine, QuotaState::Spent]), 2);
        assert_eq!(of(&[QuotaState::Unknown]), 3);
        assert_eq!(of(&[]), 3);
    }

    #[test]
    fn window_is_shown_with_its_share_pace_and_countdown() {
        let window = |used_percent, ahead| Window {
            key: "7d".to_owned(),
            seconds: Some(604_800),
            used_percent,
            resets_at: Some(7_200_000),
            ahead,
        };
        assert_eq!(figure(&window(Some(61), true), 0), "7d 61% (ahead), resets in 2 h");
        assert_eq!(figure(&window(None, false), 0), "7d ?, resets in 2 h");
        assert_eq!(short(&quota(QuotaState::Fine, vec![window(Some(61), false)])), "61% of 7d");
        assert_eq!(short(&quota(QuotaState::Unknown, Vec::new())), "-");
    }
}
