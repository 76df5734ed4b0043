//! `srvd refresh`: lets the CLIs renew their logins now.

use super::client::Connection;
use super::failure::{Failure, code};
use super::list::{Format, who};
use super::ui::{Ui, plain_line};
use super::{resolve, table};
use crate::base::clock::now;
use crate::wire::account::{self, Account};
use crate::wire::keeping::{KeepAlive, KeepOutcome, KeepState, KeptLogin};

/// Arguments of `srvd refresh`.
#[derive(Debug, clap::Args)]
pub(super) struct RefreshArgs {
    /// The account, by id, or by a unique address or name; all that are kept alive if absent
    account: Option<String>,
    #[command(flatten)]
    format: Format,
}

/// Renews logins, and prints the state of each.
pub(super) async fn run(args: &RefreshArgs, daemon: &Connection, ui: &Ui) -> Result<(), Failure> {
    let account_id = match &args.account {
        Some(wanted) => Some(resolve::account(daemon, wanted).await?.id),
        None => None,
    };
    let begun = now();
    let kept = daemon.call(&KeepAlive { account_id, renew: Some(true), switch: None }).await?;
    let failed = kept.logins.iter().any(has_failed);
    if args.format.json {
        ui.json(&kept)?;
    } else {
        let accounts = daemon.call(&account::List::default()).await?.accounts;
        ui.result(&draw(&kept.logins, &accounts, begun, ui))?;
    }
    if failed { Err(Failure::silent(code::FAILED)) } else { Ok(()) }
}

/// Returns whether the user has to do something about a login.
fn has_failed(login: &KeptLogin) -> bool {
    matches!(login.state, KeepState::Dead | KeepState::Failing | KeepState::Copied)
}

fn draw(logins: &[KeptLogin], accounts: &[Account], begun: i64, ui: &Ui) -> String {
    let rows = logins.iter().map(|login| {
        let account = accounts.iter().find(|account| account.id == login.account_id);
        let now = now();
        vec![
            login.provider_id.clone(),
            account.map_or_else(|| login.account_id.clone(), who),
            result(login, begun),
            table::when(login.expires_at, now),
            table::when(login.next_at, now),
        ]
    });
    let mut text = table::draw(ui, &["PROVIDER", "ACCOUNT", "RESULT", "ENDS", "NEXT"], rows);
    for step in steps(logins, accounts, ui) {
        text.push('\n');
        text.push_str(&step);
    }
    text
}

/// Returns the result of a renewal in words.
fn result(login: &KeptLogin, begun: i64) -> String {
    let tried = login.tried_at.is_some_and(|at| at >= begun);
    match (&login.outcome, &login.state) {
        (_, KeepState::Dead) => "dead: log in again".to_owned(),
        (Some(KeepOutcome::Moved), _) if tried => "renewed".to_owned(),
        (Some(_), _) if tried => login.detail.clone().unwrap_or_else(|| "not renewed".to_owned()),
        (_, KeepState::Waiting) => {
            login.reason.clone().unwrap_or_else(|| "its CLI renews it only shortly before its end".to_owned())
        }
        (_, state) => login.reason.clone().unwrap_or_else(|| state.to_string()),
    }
}

/// Returns the lines about logins that need the user: those that are dead, and copies of each other.
pub(super) fn steps(logins: &[KeptLogin], accounts: &[Account], ui: &Ui) -> Vec<String> {
    let arrow = if ui.unicode { '→' } else { '>' };
    let name = |id: &String| {
        let account = accounts.iter().find(|account| account.id == *id);
        account.map_or_else(|| plain_line(id), |account| plain_line(&who(account)))
    };
    let place = |id: &String| {
        let account = accounts.iter().find(|account| account.id == *id);
        account
            .and_then(|account| account.secret_ref.dir.clone())
            .map(|dir| plain_line(&dir))
            .unwrap_or_default()
    };
    let step = |login: &KeptLogin| {
        let next = login
            .next_step
            .as_ref()
            .map(|step| format!("\n    {arrow} {}", plain_line(step.as_str())))
            .unwrap_or_default();
        let who = name(&login.account_id);
        match login.state {
            KeepState::Dead => {
                let reason = login.reason.as_deref().map(plain_line).unwrap_or_default();
                Some(format!("! {} {who} is dead: {reason}{next}", login.provider_id))
            }
            KeepState::Copied => {
                let others: Vec<String> =
                    login.copies.iter().map(|id| format!("{} in {}", name(id), place(id))).collect();
                Some(format!(
                    "! {} {who} in {} holds the same login as {}. A renewal in one directory ends the other; log in again in one of them.{next}",
                    login.provider_id,
                    place(&login.account_id),
                    others.join(" and "),
                ))
            }
            _ => None,
        }
    };
    logins.iter().filter_map(step).collect()
}

/// Returns the words about a login's renewals, for a table: the last one and the next one.
pub(super) fn times(login: &KeptLogin, now: i64) -> [String; 2] {
    let last = table::when(login.kept_at.map(|at| at.min(now - 1)), now);
    let last = if last.is_empty() { "-".to_owned() } else { last };
    let next = match (&login.state, login.next_at) {
        (KeepState::Waiting | KeepState::Failing | KeepState::Held, Some(at)) => {
            table::when(Some(at.max(now)), now)
        }
        (KeepState::Idle, _) => "when used".to_owned(),
        (KeepState::None, _) => "by its CLI".to_owned(),
        (KeepState::Own, _) => "left alone".to_owned(),
        (KeepState::NoLogin, _) => "no login".to_owned(),
        (KeepState::Keychain, _) => "unknown: keychain".to_owned(),
        (state, _) => state.to_string(),
    };
    [last, next]
}

#[cfg(test)]
mod tests {
    use super::super::list::tests::account;
    use super::super::table::tests::ui;
    use super::*;
    use crate::hint::Step;
    use crate::wire::Status;
    use crate::wire::keeping::KeepSwitch;

    const NOW: i64 = 10_000_000;

    fn login(state: KeepState) -> KeptLogin {
        KeptLogin {
            account_id: "a1".to_owned(),
            provider_id: "codex".to_owned(),
            switch: KeepSwitch::Default,
            state,
            reason: None,
            by: "app_server".to_owned(),
            expires_at: None,
            kept_at: None,
            tried_at: None,
            outcome: None,
            detail: None,
            next_at: None,
            failures: 0,
            refusals: 0,
            dead_at: None,
            copies: Vec::new(),
            next_step: Some(Step::LogIn { provider: "codex".into(), bundle: "b1".into() }.into()),
        }
    }

    #[test]
    fn dead_login_and_copies_are_named_with_the_next_step() {
        let mut one = account("codex", Some("a@b.c"), Status::Valid);
        (one.id, one.secret_ref.dir) = ("a1".to_owned(), Some("/i/b1/codex".to_owned()));
        let mut other = account("codex", Some("a@b.c"), Status::Valid);
        (other.id, other.secret_ref.dir) = ("a2".to_owned(), Some("/i/b2/codex".to_owned()));
        let accounts = [one, other];
        let copied = KeptLogin { copies: vec!["a2".to_owned()], ..login(KeepState::Copied) };
        let dead = KeptLogin { reason: Some("refused".to_owned()), ..login(KeepState::Dead) };
        assert_eq!(
            steps(&[copied, dead, login(KeepState::Waiting)], &accounts, &ui(None)),
            [
                "! codex a@b.c in /i/b1/codex holds the same login as a@b.c in /i/b2/codex. A renewal in one directory \
                 ends the other; log in again in one of them.\n    → srvd login codex --bundle b1",
                "! codex a@b.c is dead: refused\n    → srvd login codex --bundle b1",
            ]
        );
    }

    #[test]
    fn result_names_the_outcome_of_this_attempt_only() {
        let tried = |outcome, at| KeptLogin {
            outcome: Some(outcome),
            detail: Some("why".to_owned()),
            tried_at: Some(at),
            ..login(KeepState::Waiting)
        };
        assert_eq!(result(&tried(KeepOutcome::Moved, NOW), NOW), "renewed");
        assert_eq!(result(&tried(KeepOutcome::TimedOut, NOW), NOW), "why");
        let early = "its CLI renews it only shortly before its end";
        assert_eq!(result(&tried(KeepOutcome::Moved, NOW - 1), NOW), early);
    }

    #[test]
    fn times_show_the_last_and_the_next_renewal() {
        let waiting = KeptLogin {
            kept_at: Some(NOW - 120_000),
            next_at: Some(NOW + 7_200_000),
            ..login(KeepState::Waiting)
        };
        assert_eq!(times(&waiting, NOW), ["2 min ago", "in 2 h"]);
        assert_eq!(times(&login(KeepState::Own), NOW), ["-", "left alone"]);
    }
}
