//! `srvd status`: the daemon, and who is logged in where, on one page.

use serde::Serialize;

use super::client::Connection;
use super::failure::Failure;
use super::list::{Format, report_corrupt, who};
use super::table;
use super::ui::{Ui, plain_line};
use crate::api::account::{Account, Accounts};
use crate::api::auth::{Session, SessionStatus};
use crate::api::bundle::Bundle;
use crate::api::daemon::{Daemon, Info};
use crate::api::{Status, account, auth, bundle};
use crate::app::now;
use crate::endpoint::Endpoint;

/// `srvd status`.
#[derive(Debug, clap::Args)]
pub(super) struct StatusArgs {
    #[command(flatten)]
    format: Format,
}

/// Everything on the page, each part as the daemon gave it.
#[derive(Serialize)]
struct Page<'a> {
    daemon: &'a Daemon,
    endpoint: &'a Endpoint,
    bundles: Vec<Bundle>,
    #[serde(flatten)]
    accounts: Accounts,
    sessions: Vec<Session>,
}

/// Prints the page.
pub(super) async fn run(args: &StatusArgs, daemon: &Connection, ui: &Ui) -> Result<(), Failure> {
    let info = daemon.call(&Info {}).await?;
    let bundles = daemon.call(&bundle::List {}).await?.bundles;
    let accounts = daemon.call(&account::List::default()).await?;
    let mut sessions = daemon.call(&auth::List {}).await?.sessions;
    sessions.retain(|session| !session.status.is_terminal());
    let page = Page { daemon: &info, endpoint: &daemon.endpoint, bundles, accounts, sessions };
    if args.format.json {
        return ui.json(&page);
    }
    report_corrupt(&page.accounts.corrupt, ui);
    ui.result(&page.draw(ui, now()))
}

impl Page<'_> {
    fn draw(&self, ui: &Ui, now: i64) -> String {
        let identities: Vec<Vec<String>> =
            self.bundles.iter().flat_map(|bundle| self.rows(bundle, now)).collect();
        let mut parts = vec![self.daemon_line()];
        if identities.is_empty() {
            parts.push(
                "Nobody is logged in yet. Log in with: srvd login PROVIDER   (see: srvd providers)"
                    .to_owned(),
            );
        } else {
            parts.push(table::draw(ui, &["BUNDLE", "PROVIDER", "STATUS", "ACCOUNT", "EXPIRES"], identities));
        }
        if !self.sessions.is_empty() {
            let rows = self.sessions.iter().map(|session| session_row(session, now));
            parts.push(table::draw(ui, &["RUNNING LOGIN", "PROVIDER", "STATE", "STARTED", "ENDS"], rows));
        }
        let steps: Vec<String> = self.accounts.accounts.iter().filter_map(next_step).collect();
        if !steps.is_empty() {
            parts.push(steps.join("\n"));
        }
        parts.join("\n\n")
    }

    fn daemon_line(&self) -> String {
        let Daemon { version, uptime_ms, database_kind, schema_version, .. } = self.daemon;
        let up = table::span(i64::try_from(*uptime_ms).unwrap_or(i64::MAX));
        format!(
            "srvd {version} is running (pid {}, up {up}, {database_kind} schema {schema_version})\n  {}\n  {}",
            self.endpoint.pid,
            self.endpoint.url.as_deref().unwrap_or("TCP is off"),
            self.endpoint.socket.display(),
        )
    }

    fn rows(&self, bundle: &Bundle, now: i64) -> Vec<Vec<String>> {
        let row = |binding: &bundle::Binding| {
            let account = self.accounts.accounts.iter().find(|account| account.id == binding.account_id);
            vec![
                bundle.name.clone(),
                binding.provider_id.clone(),
                table::status(binding.status).to_owned(),
                account.map_or_else(|| binding.account_id.clone(), who),
                account.map(|account| table::when(account.expires_at, now)).unwrap_or_default(),
            ]
        };
        bundle.bindings.iter().map(row).collect()
    }
}

/// A login that waits for a person, without its URL and code: those are for whoever started it.
fn session_row(session: &Session, now: i64) -> Vec<String> {
    let state = match session.status {
        SessionStatus::Pending => "starting",
        SessionStatus::UrlAvailable => "waiting for the browser",
        SessionStatus::CodeEmitted => "waiting for the code",
        SessionStatus::Success | SessionStatus::Failed => "ended",
    };
    vec![
        session.session_id.clone(),
        session.provider_id.clone(),
        state.to_owned(),
        table::when(Some(session.started_at), now),
        table::when(Some(session.expires_at), now),
    ]
}

fn next_step(account: &Account) -> Option<String> {
    if account.status == Status::Valid {
        return None;
    }
    let step =
        account.next_step.as_deref().map(|step| format!(" -> {}", plain_line(step))).unwrap_or_default();
    let reason = account.status_reason.as_deref().map(plain_line);
    if reason.is_none() && step.is_empty() {
        return None;
    }
    let reason = reason.unwrap_or_else(|| table::status(account.status).chars().skip(2).collect());
    Some(format!("{} {}: {reason}{step}", account.provider_id, plain_line(&who(account))))
}

#[cfg(test)]
mod tests {
    use super::super::list::tests::{account, bundle};
    use super::super::table::tests::ui;
    use super::*;
    use crate::api::daemon::Counts;

    fn daemon() -> Daemon {
        let counts = Counts { bundles: 1, accounts: 0, bindings: 0, live_sessions: 0, connections: 1 };
        Daemon {
            version: "0.1.0".to_owned(),
            epoch: "e".to_owned(),
            uptime_ms: 125_000,
            database_kind: "sqlite".to_owned(),
            schema_version: 3,
            counts,
        }
    }

    fn endpoint() -> Endpoint {
        Endpoint {
            version: 1,
            pid: 7,
            url: Some("ws://127.0.0.1:9/rpc".to_owned()),
            socket: "/r/srvd.sock".into(),
            token_file: "/r/token".into(),
            epoch: "e".to_owned(),
        }
    }

    const HEAD: &str = "srvd 0.1.0 is running (pid 7, up 2 min, sqlite schema 3)\n  ws://127.0.0.1:9/rpc\n  /r/srvd.sock\n\n";

    #[test]
    fn an_empty_daemon_says_what_to_do_first() {
        let (daemon, endpoint) = (daemon(), endpoint());
        let accounts = Accounts { accounts: Vec::new(), corrupt: Vec::new() };
        let page = Page {
            daemon: &daemon,
            endpoint: &endpoint,
            bundles: Vec::new(),
            accounts,
            sessions: Vec::new(),
        };
        let expect = "Nobody is logged in yet. Log in with: srvd login PROVIDER   (see: srvd providers)";
        assert_eq!(page.draw(&ui(None), 0), format!("{HEAD}{expect}"));
    }

    #[test]
    fn the_page_shows_who_is_where_and_what_to_do() {
        let (daemon, endpoint) = (daemon(), endpoint());
        let mut one = account("codex", Some("a@b.c"), Status::NeedsReauth);
        one.next_step = Some("srvd login codex --bundle b1".to_owned());
        let accounts = Accounts { accounts: vec![one], corrupt: Vec::new() };
        let bundles = vec![bundle("work", "codex", Status::NeedsReauth)];
        let page = Page { daemon: &daemon, endpoint: &endpoint, bundles, accounts, sessions: Vec::new() };
        let expect = "BUNDLE  PROVIDER  STATUS         ACCOUNT  EXPIRES\n\
                      work    codex     ! needs login  a@b.c    in 1 h\n\n\
                      codex a@b.c: needs login -> srvd login codex --bundle b1";
        assert_eq!(page.draw(&ui(None), 0), format!("{HEAD}{expect}"));
    }
}
