//! `srvd status`: one page about the daemon, the logins, and the next steps for the user.

mod matrix;

use std::time::Duration;

use serde::Serialize;

use super::client::{self, Connection};
use super::failure::{Failure, code, shell_word};
use super::list::{Format, report_corrupt, who};
use super::login::show;
use super::ui::{Ui, plain_line};
use super::{refresh, table, vocabulary};
use crate::base::clock::now;
use crate::base::endpoint::Endpoint;
use crate::config::Config;
use crate::hint::{Hint, Step};
use crate::wire::account::{Account, Accounts};
use crate::wire::auth::Session;
use crate::wire::bundle::Bundle;
use crate::wire::daemon::{Daemon, Info};
use crate::wire::keeping::{KeepAlive, KeepState, KeptLogin};
use crate::wire::quota::Quota;
use crate::wire::stray::{Stray, Strays};
use crate::wire::{account, auth, bundle, provider, quota, stray};

/// Longest wait for the versions of CLIs that were not asked yet.
const PATIENCE: Duration = Duration::from_secs(3);

/// Arguments of `srvd status`.
#[derive(Debug, clap::Args)]
pub(super) struct StatusArgs {
    #[command(flatten)]
    format: Format,
    /// Longest time that the daemon may take to answer
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
}

/// The whole page. Each part is an answer of the daemon.
#[derive(Serialize)]
struct Page {
    daemon: Daemon,
    endpoint: Endpoint,
    bundles: Vec<Bundle>,
    #[serde(flatten)]
    accounts: Accounts,
    sessions: Vec<Session>,
    #[serde(flatten)]
    strays: Strays,
    /// The renewals of CLI logins.
    kept: Vec<KeptLogin>,
    /// The remaining limits of CLI logins.
    quotas: Vec<Quota>,
    /// The installed CLIs of bound providers whose version srvd was not tested with.
    untested: Vec<Untested>,
}

/// An installed CLI that srvd was not tested with.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Untested {
    provider_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tested: Option<String>,
}

impl Untested {
    fn line(&self, ui: &Ui) -> String {
        let Self { provider_id, version, tested } = self;
        let version = version.as_deref().map(plain_line).unwrap_or_default();
        let reason = match tested {
            Some(tested) => format!("version {version} is newer than {}, the tested one", plain_line(tested)),
            None => "srvd's entry was never tested with this CLI".to_owned(),
        };
        let arrow = if ui.unicode { '→' } else { '>' };
        format!("! {provider_id} (untested): {reason}\n    {arrow} srvd providers check {provider_id}")
    }
}

/// Prints the page.
pub(super) async fn run(args: &StatusArgs, config: &Config, ui: &Ui) -> Result<(), Failure> {
    let asked = tokio::time::timeout(Duration::from_secs(args.timeout), ask(config)).await;
    let page = asked.unwrap_or_else(|_| {
        let endpoint = client::announced(config);
        Err(silent(endpoint.map(|endpoint| endpoint.pid), args.timeout))
    })?;
    if args.format.json {
        return ui.json(&page);
    }
    report_corrupt(&page.accounts.corrupt, ui);
    ui.result(&page.draw(ui, now()))
}

async fn ask(config: &Config) -> Result<Page, Failure> {
    let daemon = Connection::open(config).await?;
    let mut sessions = daemon.call(&auth::List::default()).await?.sessions;
    sessions.retain(|session| !session.status.is_terminal());
    let bundles = daemon.call(&bundle::List {}).await?.bundles;
    Ok(Page {
        daemon: daemon.call(&Info {}).await?,
        untested: untested(&daemon, &bundles).await,
        bundles,
        accounts: daemon.call(&account::List::default()).await?,
        strays: daemon.call(&stray::ListStrays {}).await?,
        kept: daemon.call(&KeepAlive::default()).await?.logins,
        quotas: daemon.call(&quota::List::default()).await?.quotas,
        sessions,
        endpoint: daemon.endpoint,
    })
}

/// Returns the untested CLIs of the providers that bundles bind. A CLI that is slow to print its version is left out; the
/// daemon has its answer for the next page.
async fn untested(daemon: &Connection, bundles: &[Bundle]) -> Vec<Untested> {
    let bound = bundles.iter().flat_map(|bundle| &bundle.bindings).map(|binding| binding.provider_id.clone());
    let bound: std::collections::BTreeSet<String> = bound.collect();
    let mut found = Vec::new();
    let ask = async {
        for id in bound {
            let Ok(known) = daemon.call(&provider::List { provider_id: Some(id) }).await else { continue };
            found.extend(known.providers.into_iter().filter(|known| known.cli.untested).map(|known| {
                Untested { provider_id: known.id, version: known.cli.version, tested: known.cli.tested }
            }));
        }
    };
    // What was found until then is shown.
    let _ = tokio::time::timeout(PATIENCE, ask).await;
    found
}

/// Returns the failure for a daemon that accepted the connection, or whose process exists, but that did not answer.
fn silent(pid: Option<u32>, seconds: u64) -> Failure {
    let who = pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default();
    Failure::new(code::UNAVAILABLE, format!("the daemon{who} did not answer within {seconds} s"))
        .hint(Step::AskDoctor)
}

impl Page {
    fn draw(&self, ui: &Ui, now: i64) -> String {
        let mut parts = vec![self.facts()];
        if self.bundles.iter().all(|bundle| bundle.bindings.is_empty()) {
            parts.push(
                "No account is logged in yet. Log in with: srvd login PROVIDER   (see: srvd providers)"
                    .to_owned(),
            );
        } else {
            parts.push(matrix::draw(&self.bundles, &self.accounts.accounts, ui, now));
        }
        parts.extend(self.kept_alive(ui, now));
        let mut steps: Vec<String> =
            self.accounts.accounts.iter().filter_map(|account| self.next_step(account, ui)).collect();
        // A dead login has its step as an account that needs a login.
        let copied: Vec<KeptLogin> =
            self.kept.iter().filter(|login| login.state == KeepState::Copied).cloned().collect();
        steps.extend(refresh::steps(&copied, &self.accounts.accounts, ui));
        if !steps.is_empty() {
            parts.push(steps.join("\n"));
        }
        parts.extend(self.strays.strays.iter().map(|stray| self.stray(stray)));
        if !self.untested.is_empty() {
            parts.push(self.untested.iter().map(|cli| cli.line(ui)).collect::<Vec<_>>().join("\n"));
        }
        if let Some(unbound) = self.unbound() {
            parts.push(unbound);
        }
        if !self.sessions.is_empty() {
            let rows = self.sessions.iter().map(|session| session_row(session, now));
            parts.push(table::draw(ui, &["RUNNING LOGIN", "PROVIDER", "STATE", "STARTED", "ENDS"], rows));
        }
        parts.join("\n\n")
    }

    /// Returns the table of the logins that srvd keeps alive, or could.
    fn kept_alive(&self, ui: &Ui, now: i64) -> Option<String> {
        let rows: Vec<Vec<String>> = self
            .kept
            .iter()
            .filter(|login| login.state != KeepState::None)
            .map(|login| {
                let account = self.accounts.accounts.iter().find(|account| account.id == login.account_id);
                let [last, next] = refresh::times(login, now);
                let who = account.map_or_else(|| login.account_id.clone(), who);
                let quota = self.quotas.iter().find(|quota| quota.account_id == login.account_id);
                let used = quota.map(super::quota::short).unwrap_or_default();
                vec![login.provider_id.clone(), who, table::when(login.expires_at, now), last, next, used]
            })
            .collect();
        let header = ["LOGIN", "ACCOUNT", "ENDS", "KEPT ALIVE", "NEXT", "USED"];
        (!rows.is_empty()).then(|| table::draw(ui, &header, rows))
    }

    /// Returns the lines about a login that belongs to no account.
    fn stray(&self, stray: &Stray) -> String {
        let Stray { provider_id: id, bundle_id, person, .. } = stray;
        let name = self.bundles.iter().find(|bundle| bundle.id == *bundle_id).map(|bundle| &bundle.name);
        let name = shell_word(name.unwrap_or(bundle_id));
        let who = person.as_deref().map(|person| format!(" of {}", plain_line(person))).unwrap_or_default();
        format!(
            "A login of {id}{who} in the bundle {name} belongs to no account, and no launch uses it.\n    keep it: srvd account keep {id} --bundle {name}\n    remove it: srvd account discard {id} --bundle {name}"
        )
    }

    /// Returns a line about the daemon.
    fn facts(&self) -> String {
        let Daemon { version, uptime_ms, database_kind, schema_version, .. } = &self.daemon;
        let up = table::span(i64::try_from(*uptime_ms).unwrap_or(i64::MAX));
        format!(
            "srvd {version} is running (pid {}, up {up}, {database_kind} schema {schema_version}) at {}",
            self.endpoint.pid,
            plain_line(&self.endpoint.socket.display().to_string()),
        )
    }

    /// Returns the reason why an account cannot be used, and the next step. Returns `None` for an account that is
    /// valid, or that is renewed without the user.
    fn next_step(&self, account: &Account, ui: &Ui) -> Option<String> {
        let state = vocabulary::credential(&account.status, Some(&account.kind));
        if state.is_fine() || account.bound_to.is_empty() {
            return None;
        }
        let state = state.because(account.status_reason.as_deref());
        let name = |id: &String| {
            self.bundles
                .iter()
                .find(|bundle| bundle.id == *id)
                .map_or_else(|| plain_line(id), |bundle| plain_line(&bundle.name))
        };
        let bundles: Vec<String> = account.bound_to.iter().map(name).collect();
        let arrow = if ui.unicode { '→' } else { '>' };
        let named =
            |step: Hint| self.bundles.iter().fold(step, |step, bundle| step.naming(&bundle.id, &bundle.name));
        let step = account.next_step.clone().map(|step| named(step.command));
        let step = step.map(|step| format!("\n    {arrow} {}", plain_line(step.as_str())));
        Some(format!(
            "{} {} in {} ({}): {}{}",
            state.symbol.text(ui),
            account.provider_id,
            bundles.join(", "),
            plain_line(&who(account)),
            state.words,
            step.unwrap_or_default()
        ))
    }

    /// Returns a line about the accounts that are in no bundle and so cannot be used for a launch.
    fn unbound(&self) -> Option<String> {
        let accounts = self.accounts.accounts.iter().filter(|account| account.bound_to.is_empty());
        let names: Vec<String> = accounts
            .map(|account| format!("{} {}", account.provider_id, plain_line(&who(account))))
            .collect();
        (!names.is_empty()).then(|| format!("In no bundle: {}", names.join(", ")))
    }
}

/// Returns the row of a login that waits for a user. Its URL and code are left out, because they are only for the user
/// who started it.
fn session_row(session: &Session, now: i64) -> Vec<String> {
    vec![
        session.session_id.clone(),
        session.provider_id.clone(),
        show::state(session).to_owned(),
        table::when(Some(session.started_at), now),
        table::when(Some(session.expires_at), now),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::list::tests::{account, bundle};
    use super::super::table::tests::ui;
    use super::*;
    use crate::wire::Status;
    use crate::wire::daemon::{Counts, DatabaseKind};

    fn page(accounts: Vec<Account>, bundles: Vec<Bundle>) -> Page {
        let counts = Counts { bundles: 1, accounts: 0, bindings: 0, live_sessions: 0, connections: 1 };
        Page {
            untested: Vec::new(),
            daemon: Daemon {
                version: "0.1.0".to_owned(),
                epoch: "e".to_owned(),
                uptime_ms: 125_000,
                database_kind: DatabaseKind::Sqlite,
                schema_version: 3,
                counts,
                limits: crate::wire::daemon::Limits::default(),
                search_path: Vec::new(),
            },
            endpoint: Endpoint {
                version: 1,
                pid: 7,
                url: Some("ws://127.0.0.1:9/rpc".to_owned()),
                socket: "/r/srvd.sock".into(),
                token_file: "/r/token".into(),
                epoch: "e".to_owned(),
            },
            bundles,
            accounts: Accounts { accounts, corrupt: Vec::new(), next_cursor: None },
            sessions: Vec::new(),
            strays: Strays { strays: Vec::new() },
            kept: Vec::new(),
            quotas: Vec::new(),
        }
    }

    const HEAD: &str = "srvd 0.1.0 is running (pid 7, up 2 min, sqlite schema 3) at /r/srvd.sock\n\n";

    #[test]
    fn status_page_suggests_a_login_when_no_account_exists() {
        let expect = "No account is logged in yet. Log in with: srvd login PROVIDER   (see: srvd providers)";
        assert_eq!(page(Vec::new(), Vec::new()).draw(&ui(None), 0), format!("{HEAD}{expect}"));
    }

    #[test]
    fn status_page_lists_next_steps_and_unbound_accounts_below_the_table() {
        let mut one = account("codex", Some("a@b.c"), Status::NeedsReauth);
        one.next_step = Some(Step::LogIn { provider: "codex".into(), bundle: "b1".into() }.into());
        one.bound_to = vec!["b1".to_owned()];
        let mut loose = account("openai", None, Status::Invalid);
        loose.bound_to.clear();
        let page = page(vec![one, loose], vec![bundle("work", "codex", Status::NeedsReauth)]);
        let expect = |arrow: &str, mark: &str| {
            format!(
                "{HEAD}BUNDLE  CODEX\nwork    {mark} a@b.c, never checked\n{mark} needs you to log in\n\n\
                 {mark} codex in work (a@b.c): needs you to log in\n    {arrow} srvd login codex --bundle work\n\n\
                 In no bundle: openai Name"
            )
        };
        assert_eq!(page.draw(&ui(None), 0), expect("→", "!"));
        assert_eq!(page.draw(&Ui { unicode: false, ..ui(None) }, 0), expect(">", "!"));
    }

    #[test]
    fn status_page_marks_an_untested_cli() {
        let mut page = page(Vec::new(), Vec::new());
        let untested = |tested: Option<&str>| Untested {
            provider_id: "grok".to_owned(),
            version: Some("9.0".to_owned()),
            tested: tested.map(str::to_owned),
        };
        page.untested = vec![untested(Some("1.0")), untested(None)];
        let shown = page.draw(&ui(None), 0);
        let expected = "! grok (untested): version 9.0 is newer than 1.0, the tested one\n    → srvd providers check grok\n\
            ! grok (untested): srvd's entry was never tested with this CLI\n    → srvd providers check grok";
        assert!(shown.ends_with(expected), "{shown}");
    }

    #[test]
    fn next_step_is_absent_when_the_status_is_valid_or_expired() {
        let check = |status: Status, expect: Option<&str>| {
            let mut one = account("codex", Some("a@b.c"), status.clone());
            one.status_reason = Some("why\u{1b}".to_owned());
            let page = page(Vec::new(), Vec::new());
            assert_eq!(page.next_step(&one, &ui(None)).as_deref(), expect, "{status:?}");
        };
        check(Status::Valid, None);
        check(Status::Expired, None);
        check(Status::NeedsReauth, Some("! codex in b1, gone (a@b.c): why\u{fffd}"));
        check(Status::Invalid, Some("✗ codex in b1, gone (a@b.c): why\u{fffd}"));
        check(Status::Unknown, Some("? codex in b1, gone (a@b.c): why\u{fffd}"));
    }

    #[test]
    fn daemon_error_names_the_pid_and_timeout_when_no_answer_comes() {
        let failure = silent(Some(7), 10);
        assert_eq!(failure.code(), 69);
        assert_eq!(
            failure.render(),
            "srvd: the daemon (pid 7) did not answer within 10 s\n\
             hint: it may be stopped or busy: check its log, and run: srvd doctor"
        );
        assert!(silent(None, 1).render().starts_with("srvd: the daemon did not answer within 1 s\n"));
    }
}
