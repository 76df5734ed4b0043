//! The choice of the bundle of a command, and `srvd use` and `srvd which`, which bind a directory and show its bundle.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::binding::{self, Allowed, Bound, Content, End, FILE, Ignored, Search};
use super::client::Connection;
use super::failure::{Failure, code};
use super::launch::policy;
use super::list::Format;
use super::subject::{Subject, SubjectArgs};
use super::ui::{Ui, plain_line};
use super::vocabulary::Symbol;
use super::{resolve, table};
use crate::base::environment::Environment;
use crate::base::private;
use crate::base::trust::{Trust, TrustError};
use crate::config::Config;
use crate::hint::Step;
use crate::wire::bundle::{Bundle, UnboundPolicy};
use crate::wire::launch::ProviderReadiness;

/// The variable with the bundle that a program was launched under. The programs that it starts use the same bundle.
pub(super) const BUNDLE_VAR: &str = "SRVD_BUNDLE";

/// Arguments of `srvd use`.
#[derive(Debug, clap::Args)]
pub(super) struct UseArgs {
    /// The bundle, by name or id; by default, the bundle that applies here is shown
    #[arg(value_name = "BUNDLE", conflicts_with = "remove")]
    pub(super) bundle: Option<String>,
    /// Remove the binding of this directory
    #[arg(long)]
    pub(super) remove: bool,
    /// Obey the .srvd file that applies here, which you did not make with this command
    ///
    /// A file that came with a checkout or an archive, that was edited, or that an earlier version of srvd made, is named
    /// and has no effect until you allow it. It is allowed with its present content.
    #[arg(long, conflicts_with_all = ["bundle", "remove"])]
    pub(super) allow: bool,
}

/// Arguments of `srvd which`.
#[derive(Debug, Default, clap::Args)]
pub(super) struct WhichArgs {
    #[command(flatten)]
    pub(super) subject: SubjectArgs,
    #[command(flatten)]
    pub(super) format: Format,
}

/// The choice of a bundle, and its source.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Choice {
    /// The name or the id of the bundle.
    pub(super) wanted: String,
    /// The source of the choice.
    pub(super) source: Source,
}

/// The sources of a choice, in descending order of precedence.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// An option of the command line.
    Flag,
    /// The variable of the launch that this program is a part of.
    Variable,
    /// A `.srvd` file in the current directory or above it.
    File(PathBuf),
}

/// Returns the bundle to use: the one on the command line, else the one that this program was launched under, else the
/// one of the directory. Files that are not obeyed are named on standard error.
pub(super) fn choose(
    flag: Option<&str>,
    environment: &Environment,
    config: &Config,
    ui: &Ui,
) -> Result<Choice, Failure> {
    if let Some(choice) = named(flag, environment) {
        return Ok(choice);
    }
    let here = here()?;
    let searched = binding::search(&here, me(), &records(config));
    name(&searched.ignored, ui);
    match searched.result {
        Search::Bound(Bound { bundle, file }) => Ok(Choice { wanted: bundle, source: Source::File(file) }),
        Search::Unbound(end) => Err(unbound(&here, &end, &searched.ignored)),
    }
}

/// Returns the bundle that is named for this command, by an option or by the variable.
fn named(flag: Option<&str>, environment: &Environment) -> Option<Choice> {
    let choice = |wanted: &str, source| Choice { wanted: wanted.to_owned(), source };
    let variable = || environment.text(BUNDLE_VAR).map(|wanted| choice(wanted, Source::Variable));
    flag.map(|wanted| choice(wanted, Source::Flag)).or_else(variable)
}

/// The binding files that this user made or allowed.
fn records(config: &Config) -> Allowed {
    Allowed::new(&config.data_dir, &config.home)
}

/// Names the files that are not obeyed.
fn name(ignored: &[Ignored], ui: &Ui) {
    for one in ignored {
        let file = plain_line(&one.file.display().to_string());
        let dir = one.file.parent().unwrap_or(&one.file);
        let step = one.content.as_ref().map(|content| {
            let dir = plain_line(&dir.display().to_string());
            format!(
                "; to use the bundle \"{}\" there, run in {dir}: srvd use --allow",
                plain_line(&content.bundle)
            )
        });
        ui.note(&format!("srvd: {file} has no effect: {}{}", one.reason, step.unwrap_or_default()));
    }
}

impl Choice {
    /// Finds the bundle in the daemon's list.
    pub(super) async fn find(&self, daemon: &Connection) -> Result<Bundle, Failure> {
        resolve::bundle(daemon, &self.wanted).await.map_err(|failure| match &self.source {
            Source::Flag => failure,
            Source::Variable => failure.hint(Step::BundleOfVariable { variable: BUNDLE_VAR.to_owned() }),
            Source::File(file) => failure.hint(Step::BundleOfFile { file: file.display().to_string() }),
        })
    }
}

/// Returns the step after which a directory can be bound.
fn mend(dir: &Path) -> Step {
    match Trust::of_process(None).directory(dir) {
        Err(TrustError::Untrusted(found)) if found.uid == me() => found.mend(),
        _ => Step::ChangeDirectory,
    }
}

fn here() -> Result<PathBuf, Failure> {
    std::env::current_dir()
        .map_err(|error| Failure::new(code::IO, format!("cannot find the current directory: {error}")))
}

fn me() -> u32 {
    rustix::process::geteuid().as_raw()
}

fn unbound(here: &Path, end: &End, ignored: &[Ignored]) -> Failure {
    let looked = match end {
        End::Root => "nor is any directory above it".to_owned(),
        End::Before(dir, reason) => format!("{} is not searched, because {reason}", dir.display()),
    };
    let failure =
        Failure::new(code::FAILED, format!("{} is not bound to a bundle ({looked})", here.display()));
    match end {
        // A binding of this directory would be refused.
        End::Before(dir, _) if dir == here => failure.hint(mend(here)).hint(Step::NameBundle),
        _ if ignored.iter().any(|one| one.content.is_some()) => {
            failure.hint(Step::AllowFile).hint(Step::NameBundle)
        }
        _ => failure.hint(Step::BindDirectory).hint(Step::NameBundle),
    }
}

impl From<binding::Unusable> for Failure {
    fn from(error: binding::Unusable) -> Self {
        Self::new(code::CONFIG, error.to_string()).hint(Step::BindAgain)
    }
}

/// Removes the binding of the current directory. It needs no daemon.
pub(super) fn remove(config: &Config, ui: &Ui) -> Result<(), Failure> {
    let here = here()?;
    let file = here.join(FILE);
    match binding::read(&file, me()) {
        Ok(_) => {}
        Err(None) => {
            let failure = Failure::new(code::FAILED, format!("{} does not exist", file.display()));
            return Err(match binding::search(&here, me(), &records(config)).result {
                Search::Bound(_) => failure.hint(Step::ShowBinding),
                Search::Unbound(_) => failure,
            });
        }
        Err(Some(_)) if is_own_file(&file) => {}
        Err(Some(reason)) => return Err(binding::Unusable { path: file, reason }.into()),
    }
    std::fs::remove_file(&file).map_err(Failure::io)?;
    let records = records(config);
    records.forget(&file).map_err(Failure::io)?;
    ui.result(&format!("{} is no longer bound", plain_line(&here.display().to_string())))?;
    match binding::search(&here, me(), &records).result {
        Search::Bound(bound) => ui.note(&format!(
            "The bundle \"{}\" now applies here, because of {}",
            plain_line(&bound.bundle),
            plain_line(&bound.file.display().to_string())
        )),
        Search::Unbound(_) => {}
    }
    Ok(())
}

/// Allows the nearest binding file that has no effect here. It needs no daemon.
pub(super) fn allow(config: &Config, ui: &Ui) -> Result<(), Failure> {
    let here = here()?;
    let records = records(config);
    let searched = binding::search(&here, me(), &records);
    let (file, bundle) = match (searched.ignored.into_iter().next(), searched.result) {
        (Some(Ignored { file, content: Some(content), .. }), _) => {
            records.record(&file, &content).map_err(Failure::io)?;
            (file, content.bundle)
        }
        (Some(Ignored { file, reason, .. }), _) => {
            return Err(binding::Unusable { path: file, reason }.into());
        }
        (None, Search::Bound(Bound { file, bundle })) => (file, bundle),
        (None, Search::Unbound(end)) => return Err(unbound(&here, &end, &[])),
    };
    let dir = file.parent().unwrap_or(&file);
    ui.result(&format!(
        "{} and the directories below it use the bundle \"{}\" ({})",
        plain_line(&dir.display().to_string()),
        plain_line(&bundle),
        plain_line(&file.display().to_string())
    ))
}

/// Binds the current directory to a bundle that exists.
pub(super) async fn bind(wanted: &str, daemon: &Connection, config: &Config, ui: &Ui) -> Result<(), Failure> {
    let here = here()?;
    let file = here.join(FILE);
    if let Err(reason) = binding::trusted(&here, me()) {
        let message = format!("{} cannot be bound, because {reason}", here.display());
        return Err(Failure::new(code::PERMISSION, message).hint(mend(&here)).hint(Step::NameBundle));
    }
    match binding::read(&file, me()) {
        Ok(_) | Err(None) => {}
        // A file of this user that only has invalid content is overwritten.
        Err(Some(_)) if is_own_file(&file) => {}
        Err(Some(reason)) => return Err(binding::Unusable { path: file, reason }.into()),
    }
    let bundle = resolve::bundle(daemon, wanted).await?;
    let content = Content::naming(&bundle.name);
    private::replace_file(&file, content.bytes())
        .map_err(|error| Failure::new(code::CANNOT_CREATE, format!("{}: {error}", file.display())))?;
    records(config).record(&file, &content).map_err(Failure::io)?;
    ui.result(&format!(
        "{} and the directories below it use the bundle \"{}\" ({})",
        plain_line(&here.display().to_string()),
        plain_line(&bundle.name),
        plain_line(&file.display().to_string())
    ))
}

fn is_own_file(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::symlink_metadata(path).is_ok_and(|found| found.is_file() && found.uid() == me())
}

/// The output of `srvd which --json`.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    #[serde(skip_serializing_if = "Option::is_none")]
    bundle_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bundle_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<String>,
    /// The path of the binding file, unless the bundle was chosen in another way.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<PathBuf>,
    /// The treatment of the providers that the bundle does not bind, unless it is the usual one.
    #[serde(skip_serializing_if = "Option::is_none")]
    unbound: Option<UnboundPolicy>,
    /// The same for people, as a sentence.
    #[serde(skip)]
    rule: Option<String>,
    /// The source of the choice and the title, for people.
    #[serde(skip)]
    head: String,
    ready: bool,
    providers: Vec<ProviderReadiness>,
}

/// Shows the bundle in force, the source of the choice, and whether the bundle could be launched.
pub(super) async fn which(
    args: &WhichArgs,
    daemon: &Connection,
    environment: &Environment,
    config: &Config,
    ui: &Ui,
) -> Result<(), Failure> {
    let subject = args.subject.find(daemon, environment, config, ui).await?;
    let ready = daemon.call(&subject.ready()).await?;
    let answer = Answer { ready: ready.ready, providers: ready.providers, ..Answer::of(subject) };
    if args.format.json {
        return ui.json(&answer);
    }
    ui.result(&answer.draw(ui))
}

impl Answer {
    /// Returns the answer for an identity that was not asked about yet.
    fn of(subject: Subject) -> Self {
        let title = plain_line(&subject.title());
        match subject {
            Subject::Bundle(bundle, source) => {
                let (by, file) = match source {
                    Source::File(file) => (file.display().to_string(), Some(file)),
                    Source::Flag => ("the command line".to_owned(), None),
                    Source::Variable => (format!("the variable {BUNDLE_VAR}"), None),
                };
                Self {
                    head: format!("{title} (by {})", plain_line(&by)),
                    bundle_id: Some(bundle.id),
                    bundle_name: Some(bundle.name),
                    file,
                    rule: Some(policy(&bundle.unbound.rule, &bundle.unbound.own, &bundle.unbound.sealed)),
                    unbound: Some(bundle.unbound).filter(|unbound| *unbound != UnboundPolicy::default()),
                    ..Self::default()
                }
            }
            Subject::Instance(id) => Self { head: title, instance_id: Some(id), ..Self::default() },
            Subject::Agent(agent, user_id) => {
                Self { head: title, agent_id: Some(agent), user_id, ..Self::default() }
            }
        }
    }

    fn draw(&self, ui: &Ui) -> String {
        let head = &self.head;
        let rule = self.rule.as_ref().map_or_else(String::new, |rule| format!("\n{rule}"));
        if self.providers.is_empty() {
            let what = if self.bundle_id.is_some() { "The bundle" } else { "It" };
            return format!("{head}\n{what} has no account.{rule}");
        }
        let row = |one: &ProviderReadiness| {
            let (symbol, word) = match (one.ready, one.unproven) {
                (true, Some(true)) => (Symbol::Good, "ready, person unproven"),
                (true, _) => (Symbol::Good, "ready"),
                (false, _) => (Symbol::Attention, "not ready"),
            };
            let reason = one.reason.clone().unwrap_or_default();
            let mark = format!("{} {word}", symbol.text(ui));
            vec![
                one.provider_id.clone(),
                mark,
                reason,
                one.next_step.as_ref().map(|step| step.command.to_string()).unwrap_or_default(),
            ]
        };
        let rows = self.providers.iter().map(row);
        let fit = self.providers.iter().all(|one| one.ready && one.reason.is_none());
        let header: &[&str] = if fit { &["PROVIDER", ""] } else { &["PROVIDER", "", "WHY", "NEXT STEP"] };
        let rows = rows.map(|mut row| {
            row.truncate(header.len());
            row
        });
        format!("{head}\n\n{}{rule}", table::draw(ui, header, rows))
    }
}

#[cfg(test)]
mod tests {
    use super::super::list::tests::bundle;
    use super::super::table::tests::ui;
    use super::*;
    use crate::wire::Status;

    #[test]
    fn bundle_flag_takes_precedence_over_the_launch_variable() {
        let launched = Environment::of([(BUNDLE_VAR, "b-1".to_owned())]);
        let check = |flag: Option<&str>, wanted: &str, source: Source| {
            let expected = Choice { wanted: wanted.to_owned(), source };
            assert_eq!(named(flag, &launched), Some(expected));
        };
        check(Some("home"), "home", Source::Flag);
        check(None, "b-1", Source::Variable);
    }

    #[test]
    fn unbound_directory_error_says_where_the_search_ended() {
        let check = |end: End, expected: &str| {
            let said = unbound(Path::new("/tmp/x"), &end, &[]).render();
            assert_eq!(said.lines().next(), Some(expected), "{said}");
        };
        check(End::Root, "srvd: /tmp/x is not bound to a bundle (nor is any directory above it)");
        check(
            End::Before("/tmp".into(), "it is world-writable"),
            "srvd: /tmp/x is not bound to a bundle (/tmp is not searched, because it is world-writable)",
        );
    }

    #[test]
    fn which_command_shows_why_a_provider_is_not_ready() {
        let one = |id: &str, reason: Option<&str>| ProviderReadiness {
            provider_id: id.to_owned(),
            ready: reason.is_none(),
            unproven: None,
            reason: reason.map(str::to_owned),
            next_step: reason.map(|_| Step::LogInInstead { provider: id.into() }.into()),
        };
        let answer = |file: Option<&str>, providers: Vec<ProviderReadiness>| Answer {
            ready: true,
            providers,
            ..Answer::of(Subject::Bundle(
                Box::new(Bundle { id: "b-1".to_owned(), ..bundle("Work", "codex", Status::Valid) }),
                file.map_or(Source::Variable, |file| Source::File(file.into())),
            ))
        };
        let rule = "Agents without an account are logged out, your own tools stay as they are.";
        let check = |answer: Answer, expected: &str| {
            assert_eq!(answer.draw(&ui(None)), format!("{expected}\n{rule}"));
        };
        check(answer(None, vec![]), "Work (by the variable SRVD_BUNDLE)\nThe bundle has no account.");
        check(
            answer(Some("/w/.srvd"), vec![one("codex", None)]),
            "Work (by /w/.srvd)\n\nPROVIDER\ncodex     ✓ ready",
        );
        check(
            answer(Some("/w/.srvd"), vec![one("codex", None), one("kimi", Some("it has expired"))]),
            "Work (by /w/.srvd)\n\nPROVIDER               WHY             NEXT STEP\n\
             codex     ✓ ready\nkimi      ! not ready  it has expired  log in with: srvd login kimi",
        );
    }
}
