//! `srvd providers check --propose`: a file for providers.d with what has changed, for the operator to look at.

use std::fmt::Write as _;

use auth_spawner::{Cli, Names, Provider};

use super::help::Change;
use super::report::{Outcome, ProviderReport};

/// Returns the table of one provider; `None` if nothing has changed.
///
/// Nothing is proposed that would make srvd trust more, such as another host of an address. Such a change is a comment.
pub(super) fn table(provider: &Provider, report: &ProviderReport) -> Option<String> {
    let cli = provider.cli.as_ref()?;
    let mut keys = String::new();
    let well = report.outcome == Outcome::Ok;
    let version = report.version.as_ref().filter(|version| well && cli.tested.as_ref() != Some(version));
    // Writing to a String cannot fail.
    if let Some(version) = version {
        let _ = writeln!(keys, "tested = {}", quoted(version));
    }
    if let Some(Names::Unknown(names)) = &report.names
        && !names.is_empty()
    {
        keys.push_str("# Remove the names that lead to no credential and to no other address.\n");
        let _ = writeln!(keys, "scrub = {}", list(cli.scrub.iter().chain(names)));
    }
    if !report.help.is_empty() {
        let _ = writeln!(keys, "help = [\n{}]", help(cli, &report.help));
    }
    let remarks: Vec<&String> = report
        .problems
        .iter()
        .chain(
            report
                .recipes
                .iter()
                .filter(|recipe| recipe.outcome == Outcome::Mismatch)
                .flat_map(|recipe| &recipe.details),
        )
        .collect();
    if keys.is_empty() && remarks.is_empty() {
        return None;
    }
    let mut text = String::new();
    for remark in remarks {
        let _ = writeln!(text, "# {}: {}", provider.id, crate::cli::ui::plain_line(remark));
    }
    if !keys.is_empty() {
        let _ = write!(text, "[providers.{}.cli]\n{keys}", provider.id);
    }
    Some(text)
}

/// Returns the help texts of an entry with the changed ones replaced.
fn help(cli: &Cli, changes: &[Change]) -> String {
    let mut text = String::new();
    for known in &cli.help {
        let change = changes.iter().find(|change| change.args == known.args);
        let now = change.map_or(Some(&known.options), |change| change.now.as_ref());
        if let Some(options) = now {
            let _ = writeln!(text, "    {{ args = {}, options = {} }},", list(&known.args), list(options));
        }
    }
    text
}

fn list<'a>(texts: impl IntoIterator<Item = &'a String>) -> String {
    let texts: Vec<String> = texts.into_iter().map(|text| quoted(text)).collect();
    format!("[{}]", texts.join(", "))
}

/// Returns a text as TOML writes it.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
