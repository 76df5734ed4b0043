//! The results of a check, for people and as JSON.

use auth_spawner::{Delivery, FailureKind, Names, Provider, Recipe, Snapshot};
use serde::Serialize;

use super::help::Change;
use crate::cli::table;
use crate::cli::ui::{Ui, plain_line};

/// Most names that are shown in one line.
const SHOWN: usize = 12;

/// The result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    /// Everything matches the registry.
    Ok,
    /// Something does not match the registry.
    Mismatch,
    /// The check could not be run on this machine now.
    Skipped,
    /// The check needs the network, and the connection failed.
    NotChecked,
    /// The CLI is not installed.
    NotInstalled,
}

impl Outcome {
    fn words(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Mismatch => "DOES NOT MATCH",
            Self::Skipped => "skipped",
            Self::NotChecked => "not checked",
            Self::NotInstalled => "not installed",
        }
    }
}

/// The result for one provider's CLI.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ProviderReport {
    pub(super) id: String,
    /// The worst of the results below.
    pub(super) outcome: Outcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) version: Option<String>,
    /// The version for which the registry's entry was tested.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tested: Option<String>,
    pub(super) install: String,
    /// The mismatches, apart from those of the logins.
    pub(super) problems: Vec<String>,
    /// Remarks that are no mismatches.
    pub(super) notes: Vec<String>,
    /// The environment names in the program, if it was looked through.
    #[serde(skip)]
    pub(super) names: Option<Names>,
    /// Names that the entry does not know, or nothing if the program was not looked through.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) unknown_names: Option<Vec<String>>,
    /// The help texts that have changed.
    #[serde(skip)]
    pub(super) help: Vec<Change>,
    pub(super) recipes: Vec<RecipeReport>,
}

/// The result for one way to log in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RecipeReport {
    pub(super) id: String,
    pub(super) outcome: Outcome,
    /// The items that matched, or those that did not.
    pub(super) details: Vec<String>,
}

impl ProviderReport {
    /// Sets the outcome to the worst of the results.
    pub(super) fn conclude(&mut self) {
        let broken = self.recipes.iter().any(|recipe| recipe.outcome == Outcome::Mismatch);
        if broken || !self.problems.is_empty() {
            self.outcome = Outcome::Mismatch;
        }
    }

    /// Adds the result of the search for environment names.
    pub(super) fn add_names(&mut self, names: Names) {
        match &names {
            Names::Unknown(unknown) => {
                if !unknown.is_empty() {
                    let shown = unknown.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(" ");
                    let rest = unknown.len().saturating_sub(SHOWN);
                    let rest = if rest == 0 { String::new() } else { format!(" and {rest} more") };
                    self.notes.push(format!("environment names that the entry does not know: {shown}{rest}"));
                }
                self.unknown_names = Some(unknown.clone());
            }
            Names::NotReadable => {
                self.notes.push("environment names: not readable, the program is packed".to_owned());
            }
            Names::NoPrefix => {}
        }
        self.names = Some(names);
    }

    /// Adds a help text that has changed.
    pub(super) fn add_help(&mut self, change: Change) {
        self.notes.push(change.sentence());
        self.help.push(change);
    }

    /// Adds a note if the version is not the tested one.
    pub(super) fn compare_version(&mut self) {
        if self.tested.is_none() {
            self.notes.push("the entry was never tested with the program".to_owned());
        }
        if let (Some(version), Some(tested)) = (&self.version, &self.tested)
            && version != tested
        {
            self.notes.push(format!("version {version}, but the entry was tested with {tested}"));
        }
    }
}

/// The output of a login before it was cancelled.
pub(super) struct Observed {
    pub(super) snapshot: Snapshot,
    /// The time that the check waited for the login, in seconds.
    pub(super) waited: f64,
    /// True if processes of the login were still running after its end.
    pub(super) left_over: bool,
    /// True if the login did not end in time after it was cancelled.
    pub(super) stuck: bool,
}

/// Returns whether the login has shown everything that the registry says it shows.
pub(super) fn complete(recipe: &Recipe, snapshot: &Snapshot) -> bool {
    missing(recipe, snapshot).is_empty()
}

fn missing(recipe: &Recipe, snapshot: &Snapshot) -> Vec<&'static str> {
    let mut missing = Vec::new();
    if !recipe.patterns.device_code.is_empty() {
        if snapshot.device_code.is_none() {
            missing.push("no code");
        }
        if snapshot.verification_url.is_none() {
            missing.push("no address");
        }
    } else if snapshot.auth_url.is_none() {
        missing.push("no address");
    }
    if prompts(recipe) && !snapshot.prompted {
        missing.push("no prompt for pasted input");
    }
    missing
}

/// Returns whether the CLI asks for a paste with a prompt that the registry knows.
fn prompts(recipe: &Recipe) -> bool {
    let typed = recipe.paste.as_ref().is_some_and(|paste| paste.delivery != Delivery::CallbackGet);
    typed && !recipe.patterns.prompt.is_empty()
}

/// Compares the output of a login with the registry.
pub(super) fn judge(provider: &Provider, recipe: &Recipe, observed: &Observed) -> RecipeReport {
    let snapshot = &observed.snapshot;
    let report = |outcome, details| RecipeReport { id: recipe.id.clone(), outcome, details };
    if let Some(failure) = snapshot.failure.as_ref().filter(|failure| failure.kind == FailureKind::CliRetired)
    {
        return report(Outcome::Mismatch, vec![failure.message.clone()]);
    }
    let mut wrong: Vec<String> = missing(recipe, snapshot).into_iter().map(str::to_owned).collect();
    wrong.extend(unmatched(recipe, snapshot));
    let ended = snapshot.failure.as_ref().map(|failure| match failure.exit_code {
        Some(code) => format!("{} (exit code {code})", failure.message),
        None => failure.message.clone(),
    });
    if !wrong.is_empty() {
        wrong.push(ended.unwrap_or_else(|| format!("no further output within {:.0} s", observed.waited)));
        let silent = snapshot.device_code.is_none() && address(snapshot).is_none();
        if silent && !recipe.offline && !observed.left_over && !observed.stuck {
            wrong.insert(0, "needs the network".to_owned());
            return report(Outcome::NotChecked, wrong);
        }
    }
    if let Some(address) = address(snapshot)
        && !snapshot.url_openable
    {
        let hosts = provider.cli.as_ref().map(|cli| cli.url_hosts.join(", ")).unwrap_or_default();
        wrong.push(format!("the address is on the host {}, which is not one of: {hosts}", host(address)));
    }
    if observed.stuck {
        wrong.push("the login did not end when it was cancelled".to_owned());
    }
    if observed.left_over {
        wrong.push("leftover processes had to be killed".to_owned());
    }
    if !wrong.is_empty() {
        return report(Outcome::Mismatch, wrong);
    }
    let mut right = vec![format!("address at {}", address(snapshot).map(host).unwrap_or_default())];
    if !recipe.patterns.device_code.is_empty() {
        right.push("code".to_owned());
    }
    if prompts(recipe) {
        right.push("prompt".to_owned());
    }
    right.push(format!("{:.1} s", observed.waited));
    report(Outcome::Ok, right)
}

/// Returns a message about the parameters that the address lacks and that are needed to check a pasted answer.
fn unmatched(recipe: &Recipe, snapshot: &Snapshot) -> Option<String> {
    let missing = recipe.paste.as_ref()?.missing_parameters(snapshot.auth_url.as_deref()?);
    (!missing.is_empty())
        .then(|| format!("the address has no {}, so pasted answers are refused", missing.join(" and no ")))
}

fn address(snapshot: &Snapshot) -> Option<&str> {
    snapshot.verification_url.as_deref().or(snapshot.auth_url.as_deref())
}

/// Returns the host of an address. The rest holds a challenge and is not useful to the user.
fn host(address: &str) -> String {
    let url = url::Url::parse(address).ok();
    url.as_ref().and_then(url::Url::host_str).unwrap_or("an unknown host").to_owned()
}

/// Renders a table on a terminal, or one line for each item that was checked.
pub(super) fn render(reports: &[ProviderReport], ui: &Ui) -> String {
    let rows: Vec<[String; 4]> = reports.iter().flat_map(rows).collect();
    if ui.stdout.is_some() {
        let header = ["PROVIDER", "LOGIN", "RESULT", "DETAILS"];
        return table::draw(ui, &header, rows.into_iter().map(Vec::from));
    }
    let line = |[provider, login, result, seen]: &[String; 4]| {
        let subject = if login.is_empty() { provider.clone() } else { format!("{provider} {login}") };
        let seen = if seen.is_empty() { String::new() } else { format!(": {}", plain_line(seen)) };
        format!("{subject}: {result}{seen}")
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Returns a row for the program itself, and one for each login.
fn rows(report: &ProviderReport) -> Vec<[String; 4]> {
    let own = match report.outcome {
        Outcome::NotInstalled => Outcome::NotInstalled,
        _ if report.problems.is_empty() => Outcome::Ok,
        _ => Outcome::Mismatch,
    };
    let mut seen = report.problems.clone();
    if own == Outcome::NotInstalled {
        seen.push(report.install.clone());
    } else {
        seen.extend(report.version.as_ref().map(|version| format!("version {version}")));
        seen.extend(report.path.clone());
    }
    seen.extend(report.notes.iter().map(|note| format!("note: {note}")));
    let first = [report.id.clone(), String::new(), own.words().to_owned(), seen.join(", ")];
    let logins = report.recipes.iter().map(|recipe| {
        [report.id.clone(), recipe.id.clone(), recipe.outcome.words().to_owned(), recipe.details.join(", ")]
    });
    std::iter::once(first).chain(logins).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::table::tests::ui;

    fn report() -> ProviderReport {
        ProviderReport {
            id: "fake".to_owned(),
            outcome: Outcome::Ok,
            path: Some("/bin/fake".to_owned()),
            version: Some("2.0".to_owned()),
            tested: Some("1.0".to_owned()),
            install: "get fake".to_owned(),
            problems: Vec::new(),
            notes: Vec::new(),
            names: None,
            unknown_names: None,
            help: Vec::new(),
            recipes: vec![RecipeReport {
                id: "login".to_owned(),
                outcome: Outcome::Mismatch,
                details: vec!["no code".to_owned(), "it said\n\u{1b}[31mno".to_owned()],
            }],
        }
    }

    #[test]
    fn report_is_a_table_on_a_terminal_and_lines_elsewhere() {
        let mut report = report();
        report.compare_version();
        report.conclude();
        assert_eq!(report.outcome, Outcome::Mismatch);
        let note = "note: version 2.0, but the entry was tested with 1.0";
        let lines = format!(
            "fake: ok: version 2.0, /bin/fake, {note}\nfake login: DOES NOT MATCH: no code, it said \u{fffd}[31mno"
        );
        assert_eq!(render(&[report.clone()], &ui(None)), lines);
        let table = render(&[report], &ui(Some(120)));
        let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split("  ").collect()).collect();
        assert_eq!(rows[0].iter().filter(|cell| !cell.is_empty()).count(), 4, "{table}");
        assert!(table.contains("DOES NOT MATCH") && !table.contains('\u{1b}'), "{table}");
    }

    #[test]
    fn report_shows_the_first_names_and_counts_the_rest() {
        let mut report = report();
        report.add_names(Names::NotReadable);
        report.add_names(Names::Unknown((0..14).map(|number| format!("FAKE_{number}_TOKEN")).collect()));
        assert_eq!(report.notes[0], "environment names: not readable, the program is packed");
        assert!(report.notes[1].ends_with("FAKE_11_TOKEN and 2 more"), "{:?}", report.notes);
        assert_eq!(report.unknown_names.map(|names| names.len()), Some(14));
    }

    #[test]
    fn address_is_reduced_to_its_host() {
        assert_eq!(host("https://a.test/x?state=secret"), "a.test");
        assert_eq!(host("no address"), "an unknown host");
    }
}
