//! `srvd audit`: shows the audit log, and checks that it was not changed.

use identity_store::{AuditCheck, AuditFilter, AuditRow};
use serde_json::{Value, json};

use super::failure::{Failure, code};
use super::offline::{DatabaseArgs, announce};
use super::table;
use super::ui::Ui;
use crate::base::clock::now;
use crate::base::environment::Environment;
use crate::config::Config;
use crate::daemon;
use crate::daemon::BootError;
use crate::hint::Step;

/// Arguments of `srvd audit`.
#[derive(Debug, clap::Args)]
pub(super) struct AuditArgs {
    /// Show only rows since this time: a duration such as 90m, 24h or 7d, or a date such as 2026-11-21 (UTC)
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// The maximum number of rows; the newest ones are shown
    #[arg(long, value_name = "ROWS", default_value_t = 100)]
    limit: u32,
    /// Print the result of the check of the chain that links the rows, from the first one that is kept to the last one
    ///
    /// A broken chain is reported, with the exit code 1, without this option too.
    #[arg(long)]
    verify: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: DatabaseArgs,
}

/// Reads the database directly, even while a daemon runs. The log is evidence about the daemon too, so the daemon is
/// not asked for it.
pub(super) async fn run(
    args: &AuditArgs,
    config: &Config,
    environment: &Environment,
    ui: &Ui,
) -> Result<(), Failure> {
    let since = args.since.as_deref().map(|text| instant(text, now()).ok_or_else(usage)).transpose()?;
    super::serve::keep_memory_private()?;
    let config = &args.database.settle(config, ui).await?;
    announce(config, environment, ui)?;
    let store = daemon::beside(config, environment).await?;
    let filter = AuditFilter { since: since.unwrap_or(i64::MIN), limit: args.limit };
    let read = async {
        let check = store.check_audit().await?;
        Ok((store.audit_rows(filter).await?, check))
    };
    let read: Result<_, identity_store::StoreError> = read.await;
    store.close().await;
    let (rows, check) = read.map_err(BootError::from)?;
    if args.json {
        ui.json(&as_json(&rows, args.verify.then_some(&check)))?;
    } else {
        let header = ["TIME", "ACTOR", "ACTION", "SUBJECT", "OUTCOME", "DETAIL"];
        ui.result(&table::draw(ui, &header, rows.iter().map(cells)))?;
    }
    // A log that is shown without its verification must not look sound when it is not.
    if args.verify || check.fault.is_some() { verdict(&check, ui) } else { Ok(()) }
}

fn usage() -> Failure {
    Failure::new(
        code::USAGE,
        "--since must be a duration such as 90m, 24h or 7d, or a date such as 2026-11-21",
    )
}

fn cells(row: &AuditRow) -> Vec<String> {
    let entry = &row.entry;
    let detail = entry.detail.clone().unwrap_or_default();
    vec![
        utc(entry.at),
        entry.actor.clone(),
        entry.action.clone(),
        entry.subject.clone(),
        entry.outcome.clone(),
        detail,
    ]
}

fn as_json(rows: &[AuditRow], check: Option<&AuditCheck>) -> Value {
    let row = |row: &AuditRow| {
        let entry = &row.entry;
        json!({
            "seq": row.seq, "at": entry.at, "actor": entry.actor, "action": entry.action,
            "subject": entry.subject, "outcome": entry.outcome, "detail": entry.detail,
        })
    };
    let mut document = json!({"rows": rows.iter().map(row).collect::<Vec<_>>()});
    if let Some(check) = check {
        let fault = check.fault.as_ref().map(|fault| json!({"seq": fault.seq, "reason": fault.reason}));
        document["check"] = json!({
            "holds": fault.is_none(), "rows": check.rows, "letGo": check.let_go, "fault": fault,
            "marks": check.marks.iter().map(row).collect::<Vec<_>>(),
        });
    }
    document
}

/// Prints the result of the check. A log that was changed is a failure of the command.
fn verdict(check: &AuditCheck, ui: &Ui) -> Result<(), Failure> {
    for mark in &check.marks {
        let (what, at) = (&mark.entry.action, utc(mark.entry.at));
        ui.note(&format!(
            "Row {} of {at}: {what}, {}",
            mark.seq,
            mark.entry.detail.as_deref().unwrap_or_default()
        ));
    }
    match &check.fault {
        None => {
            ui.note(&format!("{} rows are intact; {} older rows were removed.", check.rows, check.let_go));
            Ok(())
        }
        Some(fault) => {
            let place = fault.seq.map(|seq| format!(" at row {seq}")).unwrap_or_default();
            Err(Failure::new(code::FAILED, format!("the audit log is broken{place}: {}", fault.reason))
                .hint(Step::RowsIntact { rows: check.rows }))
        }
    }
}

/// Parses a time from the command line into unix milliseconds.
fn instant(text: &str, now: i64) -> Option<i64> {
    if let Some((year, rest)) = text.split_once('-') {
        let (month, day) = rest.split_once('-')?;
        let (year, month, day) = (year.parse().ok()?, month.parse().ok()?, day.parse().ok()?);
        let days = days_of(year, month, day);
        return (date_of(days) == (year, month, day)).then_some(days * 86_400_000);
    }
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    let number: i64 = number.parse().ok().filter(|number| *number >= 0)?;
    now.checked_sub(number.checked_mul(seconds * 1000)?)
}

/// Formats a time as `2026-11-21T16:20:55Z`.
fn utc(at: i64) -> String {
    let seconds = at.div_euclid(1000);
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = date_of(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Returns the Gregorian date of a number of days since 1970-01-01. This is Howard Hinnant's `civil_from_days`.
fn date_of(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// Returns the number of days from 1970-01-01 to a date. This is Howard Hinnant's `days_from_civil`.
fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year.saturating_sub(1) } else { year };
    let year = year.clamp(-9999, 9999);
    let (month, day) = (month.clamp(1, 12), day.clamp(1, 31));
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let from_march = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * from_march + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use identity_store::{AuditEntry, AuditFault};

    use super::super::table::tests::ui;
    use super::*;

    #[test]
    fn audit_times_are_parsed_and_formatted() {
        for (at, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399_999, "2000-02-28T23:59:59Z"),
            (951_782_400_000, "2000-02-29T00:00:00Z"),
            (1_795_278_055_123, "2026-11-21T16:20:55Z"),
            (-1, "1969-12-31T23:59:59Z"),
        ] {
            assert_eq!(utc(at), text);
        }
        let now = 1_795_278_055_123;
        for (text, expected) in [
            ("90m", Some(now - 5_400_000)),
            ("24h", Some(now - 86_400_000)),
            ("7d", Some(now - 604_800_000)),
            ("2000-02-29", Some(951_782_400_000)),
            ("2001-02-29", None),
            ("2026-13-01", None),
            ("2026-1", None),
            ("-5d", None),
            ("d", None),
            ("", None),
            ("5ü", None),
            ("99999999999999999d", None),
            ("yesterday", None),
        ] {
            assert_eq!(instant(text, now), expected, "{text}");
        }
    }

    #[test]
    fn audit_check_fails_when_the_log_is_broken() {
        let entry = AuditEntry {
            at: 0,
            actor: "srvd".into(),
            action: "audit.begin".into(),
            subject: String::new(),
            outcome: "ok".into(),
            detail: None,
        };
        let mut check =
            AuditCheck { rows: 3, let_go: 0, marks: vec![AuditRow { seq: 1, entry }], fault: None };
        verdict(&check, &ui(None)).unwrap();
        assert_eq!(as_json(&check.marks, Some(&check))["check"]["holds"], true);
        check.fault = Some(AuditFault { seq: Some(4), reason: "it is not right" });
        let failure = verdict(&check, &ui(None)).unwrap_err();
        assert_eq!(
            (failure.code(), failure.render().as_str()),
            (
                1,
                "srvd: the audit log is broken at row 4: it is not right\nhint: the 3 rows before that are intact"
            )
        );
        let document = as_json(&[], Some(&check));
        assert_eq!(document["check"]["fault"], json!({"seq": 4, "reason": "it is not right"}));
    }
}
