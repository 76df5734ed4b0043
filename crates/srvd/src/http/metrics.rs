//! The figures of `GET /metrics`, in the text format of Prometheus (version 0.0.4).
//!
//! Labels are ids and words of fixed lists. No name, address or path of a user is among them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use identity_store::{Account, AccountFilter, Status, Store};
use rpc_engine::MethodOutcome;

use crate::base::clock::now;
use crate::base::tally;

/// The media type of the format.
pub(super) const MEDIA: &str = "text/plain; version=0.0.4; charset=utf-8";
/// Longest time that the database may take. After it the figures of the database are left out.
const PATIENCE: Duration = Duration::from_secs(2);

/// The figures that the listeners and the engine hold.
pub(super) struct Served {
    /// Time since the start of the daemon.
    pub(super) uptime: Duration,
    /// Open WebSocket connections.
    pub(super) connections: usize,
    /// Finished calls.
    pub(super) calls: Vec<MethodOutcome>,
    /// Refused connections and requests, by reason.
    pub(super) refused: Vec<(&'static str, u64)>,
}

/// The figures that the database holds.
struct Stored {
    latency: Duration,
    live_logins: u64,
    accounts: Vec<Account>,
}

/// Asks the database, and returns the text.
pub(super) async fn text(store: &Store, served: Served) -> String {
    let stored = match tokio::time::timeout(PATIENCE, stored(store)).await {
        Ok(Ok(stored)) => Some(stored),
        Ok(Err(_)) | Err(_) => None,
    };
    let kind = store.kind().as_str();
    render(kind, &served, stored.as_ref(), now())
}

async fn stored(store: &Store) -> Result<Stored, identity_store::StoreError> {
    let begun = Instant::now();
    store.ping().await?;
    let latency = begun.elapsed();
    let live_logins = store.counts().await?.live_sessions;
    let accounts = store.accounts(AccountFilter::default()).await?.accounts;
    Ok(Stored { latency, live_logins, accounts })
}

fn render(database: &str, served: &Served, stored: Option<&Stored>, now: i64) -> String {
    let mut page = Page::default();
    page.family("srvd_info", "gauge", "The version of the daemon and the kind of its database.");
    page.sample("srvd_info", &[("version", env!("CARGO_PKG_VERSION")), ("database", database)], 1.0);
    page.family("srvd_uptime_seconds", "gauge", "Time since the start of the daemon.");
    page.sample("srvd_uptime_seconds", &[], served.uptime.as_secs_f64());
    page.family("srvd_connections", "gauge", "Open WebSocket connections.");
    page.sample("srvd_connections", &[], count(u64::try_from(served.connections).unwrap_or(u64::MAX)));
    page.family(
        "srvd_calls_total",
        "counter",
        "Finished calls by method and outcome: ok or the kind of the error.",
    );
    for call in &served.calls {
        let labels = [("method", call.method), ("outcome", &*call.outcome)];
        page.sample("srvd_calls_total", &labels, count(call.calls));
    }
    page.family("srvd_refused_total", "counter", "Refused connections and requests by reason.");
    for (reason, refused) in &served.refused {
        page.sample("srvd_refused_total", &[("reason", reason)], count(*refused));
    }
    page.family("srvd_logins_ended_total", "counter", "Ended login sessions by ending and kind of failure.");
    for ([ending, kind], ended) in tally::LOGINS.counts() {
        page.sample("srvd_logins_ended_total", &[("ending", ending), ("kind", kind)], count(ended));
    }
    page.family("srvd_refreshes_total", "counter", "Refreshes of tokens by outcome.");
    for ([outcome, _], ended) in tally::REFRESHES.counts() {
        page.sample("srvd_refreshes_total", &[("outcome", outcome)], count(ended));
    }
    page.family("srvd_store_up", "gauge", "1 if the database answered for this page, else 0.");
    page.sample("srvd_store_up", &[], if stored.is_some() { 1.0 } else { 0.0 });
    if let Some(stored) = stored {
        page.stored(stored, now);
    }
    page.0
}

/// A number as a value. Counts stay far below the 53 bits that are exact.
#[expect(clippy::cast_precision_loss, reason = "a count of events in one process")]
fn count(number: u64) -> f64 {
    number as f64
}

/// The text so far.
#[derive(Default)]
struct Page(String);

impl Page {
    fn stored(&mut self, stored: &Stored, now: i64) {
        self.family("srvd_store_latency_seconds", "gauge", "Time that the database took for a small query.");
        self.sample("srvd_store_latency_seconds", &[], stored.latency.as_secs_f64());
        self.family("srvd_logins_live", "gauge", "Login sessions that are running.");
        self.sample("srvd_logins_live", &[], count(stored.live_logins));
        self.family("srvd_accounts", "gauge", "Accounts by provider and status.");
        let mut accounts: BTreeMap<[&str; 2], u64> = BTreeMap::new();
        for account in &stored.accounts {
            *accounts.entry([account.provider.as_str(), account.status.as_str()]).or_default() += 1;
        }
        for ([provider, status], number) in accounts {
            let labels = [("provider", provider), ("status", status)];
            self.sample("srvd_accounts", &labels, count(number));
        }
        if let Some(nearest) = nearest_expiry(&stored.accounts, now) {
            let help = "Time until the first valid account expires.";
            self.family("srvd_nearest_expiry_seconds", "gauge", help);
            self.sample("srvd_nearest_expiry_seconds", &[], nearest);
        }
    }

    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        let escaped = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let labels: Vec<String> =
            labels.iter().map(|(label, text)| format!("{label}=\"{}\"", escaped(text))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }
}

/// Returns the seconds until the first valid account expires.
fn nearest_expiry(accounts: &[Account], now: i64) -> Option<f64> {
    let valid = accounts.iter().filter(|account| account.status == Status::Valid);
    nearest(valid.flat_map(|account| [account.expires_at, account.login_deadline_at]).flatten(), now)
}

/// Returns the seconds until the first of these times that has not passed.
fn nearest(ends: impl Iterator<Item = i64>, now: i64) -> Option<f64> {
    let left = ends.map(|end| end.saturating_sub(now)).filter(|left| *left >= 0).min()?;
    Some(Duration::from_millis(left.unsigned_abs()).as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_expiry_is_the_first_that_has_not_passed() {
        assert_eq!(nearest([5_000, 2_500, 900].into_iter(), 1_000), Some(1.5));
        assert_eq!(nearest([900, i64::MIN].into_iter(), 1_000), None);
    }

    #[test]
    fn figures_are_rendered_with_escaped_labels() {
        let served = Served {
            uptime: Duration::from_millis(1500),
            connections: 2,
            calls: vec![MethodOutcome { method: "srvd.info", outcome: "a\"b\\c\nd".to_owned(), calls: 3 }],
            refused: vec![("Host", 4)],
        };
        let text = render("sqlite", &served, None, 0);
        for line in [
            "# TYPE srvd_uptime_seconds gauge",
            "srvd_uptime_seconds 1.5",
            "srvd_connections 2",
            r#"srvd_calls_total{method="srvd.info",outcome="a\"b\\c\nd"} 3"#,
            r#"srvd_refused_total{reason="Host"} 4"#,
            "srvd_store_up 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
        assert!(text.ends_with('\n') && !text.contains("srvd_accounts"), "{text}");
        let stored = Stored { latency: Duration::from_millis(2), live_logins: 1, accounts: Vec::new() };
        let text = render("sqlite", &served, Some(&stored), 0);
        for line in ["srvd_store_up 1", "srvd_store_latency_seconds 0.002", "srvd_logins_live 1"] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
    }
}
