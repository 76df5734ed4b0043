//! `srvd cswap --list --json`: the logins in the form that `CodexBar` reads from claude-swap (schema version 1).

use std::time::{Duration, UNIX_EPOCH};

use serde::Serialize;

use super::client::Connection;
use super::failure::{Failure, code};
use super::list::who;
use super::ui::Ui;
use crate::base::clock::now;
use crate::wire::account::{self, Account};
use crate::wire::quota::{List, Quota, QuotaState, Window};

/// Arguments of `srvd cswap`.
#[derive(Debug, clap::Args)]
pub(super) struct CswapArgs {
    /// List the logins
    #[arg(long)]
    list: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Refused: srvd switches no login behind a running agent
    #[arg(long, value_name = "NUMBER")]
    switch_to: Option<String>,
}

/// The document.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    schema_version: u32,
    accounts: Vec<Entry>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    number: usize,
    active: bool,
    usage_status: &'static str,
    email: Option<String>,
    organization_name: Option<String>,
    alias: String,
    usage: Option<Usage>,
    usage_age_seconds: Option<i64>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Usage {
    five_hour: Option<Share>,
    seven_day: Option<Share>,
    scoped: Vec<Scoped>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Share {
    pct: u8,
    resets_at: Option<String>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Scoped {
    name: String,
    #[serde(flatten)]
    share: Share,
}

/// Prints the document.
pub(super) async fn run(args: &CswapArgs, daemon: &Connection, ui: &Ui) -> Result<(), Failure> {
    if args.switch_to.is_some() {
        return Err(Failure::new(code::USAGE, "srvd switches no login behind a running agent"));
    }
    if !(args.list && args.json) {
        return Err(Failure::new(code::USAGE, "only --list --json is known"));
    }
    let quotas = daemon.call(&List::default()).await?.quotas;
    let accounts = daemon.call(&account::List::default()).await?.accounts;
    ui.json(&document(&quotas, &accounts, now()))
}

fn document(quotas: &[Quota], accounts: &[Account], now: i64) -> Document {
    let entries = quotas.iter().zip(1..).map(|(quota, number)| {
        let account = accounts.iter().find(|account| account.id == quota.account_id);
        let bundle = account.and_then(|account| account.bound_to.first());
        Entry {
            number,
            active: bundle.is_some_and(|bundle| bundle == "default"),
            usage_status: if quota.state == QuotaState::Unknown { "unavailable" } else { "ok" },
            email: account.and_then(|account| account.email.clone()),
            organization_name: None,
            alias: match bundle {
                Some(bundle) => format!("{} {bundle}", quota.provider_id),
                None => account.map_or_else(|| quota.provider_id.clone(), who),
            },
            usage: (!quota.windows.is_empty()).then(|| usage(&quota.windows)),
            usage_age_seconds: quota.measured_at.map(|at| (now - at).max(0) / 1000),
        }
    });
    Document { schema_version: 1, accounts: entries.collect() }
}

fn usage(windows: &[Window]) -> Usage {
    let named = |key: &str| windows.iter().find(|window| window.key == key).and_then(share);
    let scoped = windows.iter().filter_map(|window| {
        let (_, name) = window.key.split_once(':')?;
        Some(Scoped { name: name.to_owned(), share: share(window)? })
    });
    Usage { five_hour: named("5h"), seven_day: named("7d"), scoped: scoped.collect() }
}

fn share(window: &Window) -> Option<Share> {
    Some(Share { pct: window.used_percent?, resets_at: window.resets_at.and_then(date) })
}

/// Returns a time in UTC as in RFC 3339.
fn date(at: i64) -> Option<String> {
    let seconds = u64::try_from(at / 1000).ok()?;
    let text = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds));
    // `Sun, 06 Nov 1994 08:49:37 GMT`
    let parts: Vec<&str> = text.split(' ').collect();
    let [_, day, month, year, clock, _] = parts.as_slice() else { return None };
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = months.iter().position(|name| name == month)? + 1;
    Some(format!("{year}-{month:02}-{day}T{clock}Z"))
}

#[cfg(test)]
mod tests {
    use super::super::list::tests::account;
    use super::*;
    use crate::wire::Status;
    use crate::wire::quota::Billing;

    #[test]
    fn document_has_the_fields_of_the_schema() {
        let mut one = account("claude", Some("a@b.c"), Status::Valid);
        (one.id, one.bound_to) = ("a1".to_owned(), vec!["work".to_owned()]);
        let window = |key: &str, used_percent| Window {
            key: key.to_owned(),
            seconds: None,
            used_percent: Some(used_percent),
            resets_at: Some(784_111_777_000),
            ahead: false,
        };
        let quota = Quota {
            account_id: "a1".to_owned(),
            provider_id: "claude".to_owned(),
            state: QuotaState::Fine,
            reason: None,
            billing: Billing::Subscription,
            plan: None,
            windows: vec![window("5h", 42), window("7d", 61), window("7d:sonnet", 12)],
            measured_at: Some(1_000),
            source: None,
        };
        let unknown =
            Quota { windows: Vec::new(), state: QuotaState::Unknown, measured_at: None, ..quota.clone() };
        let document = document(&[quota, unknown], &[one], 6_000);
        let at = "1994-11-06T08:49:37Z";
        let expected = serde_json::json!({"schemaVersion": 1, "accounts": [
            {
                "number": 1, "active": false, "usageStatus": "ok", "email": "a@b.c", "organizationName": null,
                "alias": "claude work", "usageAgeSeconds": 5,
                "usage": {
                    "fiveHour": {"pct": 42, "resetsAt": at},
                    "sevenDay": {"pct": 61, "resetsAt": at},
                    "scoped": [{"name": "sonnet", "pct": 12, "resetsAt": at}],
                },
            },
            {
                "number": 2, "active": false, "usageStatus": "unavailable", "email": "a@b.c",
                "organizationName": null, "alias": "claude work", "usage": null, "usageAgeSeconds": null,
            },
        ]});
        assert_eq!(serde_json::to_value(document).unwrap(), expected);
    }
}
