//! `srvd migrate`: takes over the user's own logins, or prints what that would do.

use super::failure::{Failure, code};
use super::offline::{DatabaseArgs, announce};
use super::serve;
use super::table;
use super::ui::Ui;
use crate::adopt::{Counts, Outcome, Report};
use crate::base::environment::Environment;
use crate::config::Config;
use crate::daemon;
use crate::hint::Step;
use crate::wire::error::with_causes;

/// Arguments of `srvd migrate`.
#[derive(Debug, clap::Args)]
pub(super) struct MigrateArgs {
    /// Only print what a run would do
    ///
    /// No bundle, account or instance is changed. The database itself is updated to the newest schema, as at every start.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    database: DatabaseArgs,
}

/// Takes over the logins while it holds the daemon's lock, so that a daemon cannot do so at the same time.
pub(super) fn run(
    args: &MigrateArgs,
    config: &Config,
    environment: &Environment,
    ui: &Ui,
) -> Result<(), Failure> {
    let take_over = async || {
        let config = &args.database.settle(config, ui).await?;
        announce(config, environment, ui)?;
        Ok::<_, Failure>(daemon::take_over(config, environment, args.dry_run).await?)
    };
    let report = serve::in_its_place(config, take_over)??;
    ui.result(&table::draw(ui, &["PROVIDER", "YOUR OWN LOGIN", "DETAIL"], rows(&report, args.dry_run)))?;
    ui.note(&summary(&report.counts, args.dry_run));
    match &report.error {
        None => Ok(()),
        Some(error) => Err(Failure::new(code::UNAVAILABLE, with_causes(error)).hint(Step::RunAgain)),
    }
}

fn rows(report: &Report, dry_run: bool) -> Vec<Vec<String>> {
    let row = |(id, outcome): &(String, Outcome)| {
        let (word, detail) = words(outcome, dry_run);
        vec![id.clone(), word.to_owned(), detail]
    };
    report.providers.iter().map(row).collect()
}

fn words(outcome: &Outcome, dry_run: bool) -> (&'static str, String) {
    match outcome {
        Outcome::Bound => ("skipped", "a bundle already has an account of this provider".to_owned()),
        Outcome::Declined => ("skipped", "its account was removed earlier".to_owned()),
        Outcome::NoLogin(reason) => ("none", reason.clone().unwrap_or_default()),
        Outcome::Elsewhere { reason, hint } => ("not accessible", format!("{reason}; {hint}")),
        Outcome::Adopted { email, dir, .. } => {
            let whose = email.as_ref().map(|email| format!("{email} ")).unwrap_or_default();
            let word = if dry_run { "would be taken over" } else { "taken over" };
            (word, format!("{whose}in {}", dir.display()))
        }
        Outcome::Failed(reason) => ("failed", reason.clone()),
    }
}

fn summary(counts: &Counts, dry_run: bool) -> String {
    let adopted = counts.seeded + counts.reused;
    let verb = if dry_run { "would be" } else { "were" };
    let made = if counts.default_created { " The bundle is new." } else { "" };
    format!(
        "{adopted} of {} logins {verb} taken over into the bundle `default`, and {} agent instances {verb} moved to it.{made}",
        counts.examined, counts.instances_backfilled
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migration_report_is_written_in_words() {
        let adopted = Outcome::Adopted { email: Some("a@x".into()), dir: "/h/.codex".into(), reused: false };
        let check = |outcome: Outcome, dry_run, expect: (&str, &str)| {
            let (word, detail) = words(&outcome, dry_run);
            assert_eq!((word, detail.as_str()), expect);
        };
        check(adopted.clone(), true, ("would be taken over", "a@x in /h/.codex"));
        check(adopted, false, ("taken over", "a@x in /h/.codex"));
        check(Outcome::NoLogin(Some("not JSON at line 1".into())), false, ("none", "not JSON at line 1"));
        check(Outcome::NoLogin(None), false, ("none", ""));
        let elsewhere =
            Outcome::Elsewhere { reason: "it is in the keyring".into(), hint: "log in again".into() };
        check(elsewhere, true, ("not accessible", "it is in the keyring; log in again"));
        let counts = Counts { examined: 3, seeded: 1, reused: 1, default_created: true, ..Counts::default() };
        assert_eq!(
            summary(&counts, false),
            "2 of 3 logins were taken over into the bundle `default`, and 0 agent instances were moved to it. The bundle is new."
        );
    }
}
