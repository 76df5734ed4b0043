//! `srvd doctor`: prints the findings of a checkup, for people or as JSON.

mod identities;

use std::time::Duration;

use serde::Serialize;

use super::client::{self, Connection};
use super::failure::{Failure, code};
use super::interrupt::Interrupt;
use super::offline::{DatabaseArgs, announce};
use super::ui::{Ui, plain_line};
use super::vocabulary::Symbol;
use crate::base::clock::now;
use crate::base::environment::Environment;
use crate::base::on_demand::OnDemand;
use crate::config::{Config, ConfigError};
use crate::daemon;
use crate::daemon::BootError;
use crate::doctor;
use crate::doctor::{Asked, DaemonAnswer, Finding, Severity, StrayLogin};
use crate::wire::daemon::Info;
use crate::wire::doctor::{self as wire, Findings};
use crate::wire::stray::{ListStrays, Stray, Strays};

/// The longest time that the daemon may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// The width of the text, in characters, if there is no terminal.
const WIDTH: usize = 100;

/// Arguments of `srvd doctor`.
#[derive(Debug, clap::Args)]
pub(super) struct DoctorArgs {
    /// Print JSON: {"findings": [...]}
    #[arg(long)]
    json: bool,
    /// Make the repairs that are safe, and print them
    ///
    /// It sets the modes of srvd's own files and directories, creates missing directories, and removes the endpoint
    /// files of a daemon that has ended. It deletes no credential, changes nothing in your own CLIs' directories and
    /// ends no process.
    #[arg(long)]
    fix: bool,
    /// Accept the database's rows as complete, after another program deleted some of them, and print what was missing
    ///
    /// It brings no row back, and makes no row valid that was changed by another program.
    #[arg(long, conflicts_with_all = ["fix", "json"])]
    accept_rows: bool,
    #[command(flatten)]
    database: DatabaseArgs,
}

/// All findings, the most severe first, for `--json`.
#[derive(Serialize)]
struct Printed<'a> {
    findings: &'a [Finding],
}

/// Runs the checkup and prints the findings. With `--fix` it repairs first, and then runs the checkup again.
pub(super) async fn run(
    args: &DoctorArgs,
    config: Result<Config, ConfigError>,
    environment: &Environment,
    ui: &Ui,
) -> Result<(), Failure> {
    if args.accept_rows {
        return accept_rows(args, &config?, environment, ui).await;
    }
    let mut interrupt = Interrupt::listen()?;
    let findings = tokio::select! {
        findings = look(args, config, environment, ui) => findings,
        code = interrupt.next() => return Err(Failure::silent(code)),
    };
    if args.json {
        ui.json(&Printed { findings: &findings })?;
    } else {
        ui.result(&render(&findings, args.fix, ui))?;
    }
    if findings.iter().any(Finding::is_error) { Err(Failure::silent(code::FAILED)) } else { Ok(()) }
}

/// Returns the checkup that the daemon runs for its clients.
pub(super) fn for_clients(config: Config, environment: Environment) -> OnDemand<Findings> {
    OnDemand::new(move || {
        let (config, environment) = (config.clone(), environment.clone());
        async move {
            let (identities, strays) = (identities::ask(&config, &environment).await, strays(&config).await);
            let asked = Asked { identities, strays };
            let findings = doctor::examine(&config, &environment, ask(&config).await, asked).await;
            Findings { findings: findings.into_iter().map(wire::Finding::from).collect() }
        }
    })
}

impl From<Finding> for wire::Finding {
    fn from(finding: Finding) -> Self {
        let severity = match finding.severity {
            Severity::Ok => wire::Severity::Ok,
            Severity::Note => wire::Severity::Note,
            Severity::Warning => wire::Severity::Warning,
            Severity::Error => wire::Severity::Error,
        };
        Self {
            id: finding.id,
            severity,
            title: finding.title,
            detail: finding.detail,
            meaning: finding.meaning,
            fix: finding.fix,
            fixable: finding.fixable,
        }
    }
}

/// Accepts the present rows as complete, even while a daemon runs. The audit log records what was missing.
async fn accept_rows(
    args: &DoctorArgs,
    config: &Config,
    environment: &Environment,
    ui: &Ui,
) -> Result<(), Failure> {
    super::serve::keep_memory_private()?;
    let config = &args.database.settle(config, ui).await?;
    announce(config, environment, ui)?;
    let store = daemon::beside(config, environment).await?;
    let accepted = store.acting_as("command line").accept_rows(now()).await;
    store.close().await;
    let faults = accepted.map_err(BootError::from)?;
    if faults.is_empty() {
        ui.note("No rows are missing.");
        return Ok(());
    }
    let texts: Vec<String> = faults.iter().map(|fault| plain_line(&fault.to_string())).collect();
    ui.result(&texts.join("\n"))?;
    ui.note("The database's rows are accepted as they are now.");
    Ok(())
}

async fn look(
    args: &DoctorArgs,
    config: Result<Config, ConfigError>,
    environment: &Environment,
    ui: &Ui,
) -> Vec<Finding> {
    let config = match config {
        Ok(config) => config,
        Err(error) => return doctor::without_configuration(&error),
    };
    if ui.stderr.is_some() && !args.json {
        ui.note("checking; this takes a few seconds ...");
    }
    // The programs are those that the daemon finds, which may have been started with another PATH.
    let search = config.search.of_others(client::search_path(&config, environment).await);
    let config = Config { search, ..config };
    let (identities, strays) = (identities::ask(&config, environment).await, strays(&config).await);
    let asked = Asked { identities, strays };
    let mut findings = doctor::examine(&config, environment, ask(&config).await, asked.clone()).await;
    if args.fix && doctor::repair(&mut findings) {
        let again = doctor::examine(&config, environment, ask(&config).await, asked).await;
        return doctor::after_repair(findings, again);
    }
    findings
}

/// Asks the daemon for the logins that belong to no account. Without a daemon, none is known.
async fn strays(config: &Config) -> Vec<StrayLogin> {
    let asked = async { Connection::open(config).await?.call(&ListStrays {}).await };
    let Ok(Ok(Strays { strays })) = tokio::time::timeout(PATIENCE, asked).await else { return Vec::new() };
    let stray =
        |one: Stray| StrayLogin { provider: one.provider_id, bundle: one.bundle_id, person: one.person };
    strays.into_iter().map(stray).collect()
}

/// Asks the daemon for its version and its state.
async fn ask(config: &Config) -> DaemonAnswer {
    let asked = async { Connection::open(config).await?.call(&Info {}).await };
    match tokio::time::timeout(PATIENCE, asked).await {
        Err(_) => DaemonAnswer::Silent,
        Ok(Ok(daemon)) => DaemonAnswer::Runs {
            version: daemon.version,
            schema: daemon.schema_version,
            live_sessions: daemon.counts.live_sessions,
        },
        Ok(Err(failure)) if failure.is_no_daemon() => DaemonAnswer::Nobody,
        Ok(Err(failure)) => DaemonAnswer::Failed(failure.message().to_owned()),
    }
}

/// Renders the findings: problems as blocks, good ones as lines, and a summary at the end.
fn render(findings: &[Finding], fixing: bool, ui: &Ui) -> String {
    let width = ui.stdout.map_or(WIDTH, |screen| usize::from(screen.columns));
    let is_well = |finding: &&Finding| finding.severity == Severity::Ok && finding.fixed.is_none();
    let mut parts: Vec<String> = findings
        .iter()
        .filter(|finding| !is_well(finding))
        .map(|finding| block(finding, width, ui))
        .collect();
    let well: Vec<String> = findings.iter().filter(is_well).map(|finding| line(finding, width, ui)).collect();
    if !well.is_empty() {
        parts.push(well.join("\n"));
    }
    parts.push(sum(findings, fixing));
    parts.join("\n\n")
}

fn mark(severity: Severity, ui: &Ui) -> String {
    match severity {
        Severity::Error => format!("{} error: ", Symbol::Bad.text(ui)),
        Severity::Warning => format!("{} warning: ", Symbol::Attention.text(ui)),
        Severity::Note => format!("{} note: ", if ui.unicode { '·' } else { '-' }),
        Severity::Ok => format!("{} ", Symbol::Good.text(ui)),
    }
}

fn line(finding: &Finding, width: usize, ui: &Ui) -> String {
    let detail = if finding.detail.is_empty() { String::new() } else { format!(": {}", finding.detail) };
    folded(&mark(Severity::Ok, ui), &format!("{}{detail}", finding.title), width)
}

fn block(finding: &Finding, width: usize, ui: &Ui) -> String {
    let arrow = if ui.unicode { "    → " } else { "    -> " };
    let head = if finding.fixed == Some(true) { mark(Severity::Ok, ui) } else { mark(finding.severity, ui) };
    let repaired = if finding.fixed == Some(true) { "repaired: " } else { "" };
    let mut lines = vec![folded(&head, &format!("{repaired}{}", finding.title), width)];
    let texts = [&finding.detail, &finding.meaning];
    lines.extend(texts.into_iter().filter(|text| !text.is_empty()).map(|text| folded("    ", text, width)));
    if let Some(error) = &finding.fix_error {
        lines.push(folded("    ", &format!("It could not be repaired: {error}"), width));
    }
    if let Some(fix) = &finding.fix {
        let by_itself = match finding.fixed {
            Some(true) => "   (done)",
            None if finding.fixable => "   (srvd doctor --fix does it)",
            _ => "",
        };
        lines.push(folded(arrow, &format!("{fix}{by_itself}"), width));
    }
    lines.join("\n")
}

fn sum(findings: &[Finding], fixing: bool) -> String {
    let count = |severity: Severity| {
        findings.iter().filter(|finding| finding.severity == severity && finding.fixed != Some(true)).count()
    };
    let plural = |number: usize, word: &str| match number {
        0 => None,
        1 => Some(format!("1 {word}")),
        more => Some(format!("{more} {word}s")),
    };
    let repaired = findings.iter().filter(|finding| finding.fixed == Some(true)).count();
    let found: Vec<String> = [
        plural(count(Severity::Error), "error"),
        plural(count(Severity::Warning), "warning"),
        plural(count(Severity::Note), "note"),
        (repaired > 0).then(|| format!("{repaired} repaired")),
    ]
    .into_iter()
    .flatten()
    .collect();
    match (found.is_empty(), fixing && repaired == 0) {
        (true, _) => "No problems were found.".to_owned(),
        (false, true) => format!("{}. There was nothing to repair.", found.join(", ")),
        (false, false) => format!("{}.", found.join(", ")),
    }
}

/// Folds a text after its head into lines of at most `width` characters. Later lines are indented to the start of the
/// text. A word that is longer, such as a path, is not split.
fn folded(head: &str, text: &str, width: usize) -> String {
    let indent = head.chars().count();
    let (mut lines, mut column) = (head.to_owned(), indent);
    for word in plain_line(text).split(' ') {
        let length = word.chars().count();
        if column > indent && column + 1 + length > width {
            lines = format!("{}\n{:indent$}", lines.trim_end(), "");
            column = indent;
        } else if column > indent {
            lines.push(' ');
            column += 1;
        }
        lines.push_str(word);
        column += length;
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::super::table::tests::ui;
    use super::*;

    fn finding(severity: Severity, title: &str) -> Finding {
        Finding::new(title, severity, title, "the detail", "What it means.")
            .fix(crate::hint::Step::RestartDaemon)
    }

    /// Returns the finding after a change.
    fn but(mut finding: Finding, change: impl FnOnce(&mut Finding)) -> Finding {
        change(&mut finding);
        finding
    }

    #[test]
    fn report_shows_problems_in_full_and_ok_findings_in_one_line() {
        let well = but(finding(Severity::Ok, "Well"), |finding| {
            finding.meaning.clear();
            finding.fix = None;
        });
        let findings = [
            finding(Severity::Error, "Broken"),
            but(finding(Severity::Warning, "Open"), |finding| finding.fixable = true),
            well.clone(),
            but(well, |finding| finding.detail.clear()),
        ];
        assert_eq!(
            render(&findings, false, &ui(Some(80))),
            "✗ error: Broken\n    the detail\n    What it means.\n    → restart the daemon\n\n\
             ! warning: Open\n    the detail\n    What it means.\n    → restart the daemon   (srvd doctor --fix does it)\n\n\
             ✓ Well: the detail\n✓ Well\n\n\
             1 error, 1 warning."
        );
        let plain = Ui { unicode: false, ..ui(None) };
        assert_eq!(
            render(&findings[..1], true, &plain),
            "x error: Broken\n    the detail\n    What it means.\n    -> restart the daemon\n\n1 error. There was nothing to repair."
        );
        assert_eq!(render(&findings[2..3], false, &plain), "+ Well: the detail\n\nNo problems were found.");
    }

    #[test]
    fn report_shows_whether_repair_was_done_or_why_it_failed() {
        let done = but(finding(Severity::Error, "Open"), |finding| {
            finding.fixable = true;
            finding.fixed = Some(true);
        });
        let failed = but(finding(Severity::Error, "Shut"), |finding| {
            finding.fixable = true;
            finding.fixed = Some(false);
            finding.fix_error = Some("no".to_owned());
        });
        assert_eq!(
            render(&[done, failed], true, &ui(None)),
            "✓ repaired: Open\n    the detail\n    What it means.\n    → restart the daemon   (done)\n\n\
             ✗ error: Shut\n    the detail\n    What it means.\n    It could not be repaired: no\n    → restart the daemon\n\n\
             1 error, 1 repaired."
        );
    }

    #[test]
    fn report_lines_wrap_only_between_words() {
        let check = |text: &str, width, expect: &str| assert_eq!(folded("* ", text, width), expect);
        check("one two three", 9, "* one two\n  three");
        check("/a/very/long/path x", 6, "* /a/very/long/path\n  x");
        check("a\u{1b}b\nc", 80, "* a\u{fffd}b c");
        check("", 80, "* ");
    }
}
