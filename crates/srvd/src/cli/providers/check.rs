//! `srvd providers check`: starts each login of each installed CLI, up to the point at which a user is needed.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use auth_spawner::{
    ChildEnv, Cli, ConfirmedLogin, FailureKind, LoginRequest, Names, Provider, Recipe, Registry, SaveError,
    Saved, Sink, Snapshot, SpawnLimits, Spawner, SpawnerConfig, Version, VersionQuestion,
};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde::Serialize;

use super::CheckArgs;
use super::report::{Observed, Outcome, ProviderReport, RecipeReport, complete, judge, render};
use super::{help, propose};
use crate::base::clock::now;
use crate::base::environment::Environment;
use crate::base::programs::{Installed, Search, Skipped};
use crate::base::scratch::Scratch;
use crate::cli::client;
use crate::cli::failure::{Failure, code};
use crate::cli::interrupt::Interrupt;
use crate::cli::ui::Ui;
use crate::config::Config;
use crate::config::child;
use crate::daemon;
use crate::hint::Step;

/// The longest time that a CLI may take to print its version.
const VERSION_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest time that a cancelled login may take to end. Cancelling includes a request, a wait and a kill, which
/// together take much less.
const ENDING: Duration = Duration::from_secs(30);

/// All reports, for `--json`.
#[derive(Serialize)]
struct Reports<'a> {
    providers: &'a [ProviderReport],
}

/// Checks one provider or all of them.
pub(crate) fn run(
    args: &CheckArgs,
    config: &Config,
    environment: &Environment,
    ui: &Ui,
) -> Result<(), Failure> {
    let registry = daemon::registry(config)?;
    let chosen = choose(&registry, args.provider.as_deref())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::io)?;
    let reports = runtime.block_on(async {
        let mut interrupt = Interrupt::listen()?;
        // A program is checked that the daemon would start.
        let search = config.search.of_others(client::search_path(config, environment).await);
        let config = &Config { search, ..config.clone() };
        let scratch = Scratch::make(environment, "srvd-check").map_err(cannot_create)?;
        let mut checker = Checker::new(config, registry, &scratch, Duration::from_secs(args.wait))?;
        checker.names = args.names || args.propose || args.provider.is_some();
        tokio::select! {
            reports = checker.all(&chosen, ui) => Ok(reports),
            code = interrupt.next() => {
                checker.spawner.shutdown(ENDING).await;
                Err(Failure::silent(code))
            }
        }
    });
    // A read that still blocks a thread must not keep the program from ending.
    runtime.shutdown_timeout(Duration::from_millis(100));
    let reports = reports?;
    if args.propose {
        let tables =
            chosen.iter().zip(&reports).filter_map(|(provider, report)| propose::table(provider, report));
        let tables: Vec<String> = tables.collect();
        ui.note(&render(&reports, ui));
        let nothing = "# Nothing has changed.\n".to_owned();
        let text = if tables.is_empty() { nothing } else { format!("schema = 2\n\n{}", tables.join("\n")) };
        ui.print(text.as_bytes())?;
    } else if args.json {
        ui.json(&Reports { providers: &reports })?;
    } else {
        ui.result(&render(&reports, ui))?;
    }
    if reports.iter().any(|report| report.outcome == Outcome::Mismatch) {
        return Err(Failure::silent(code::FAILED));
    }
    let missing = reports.iter().find(|report| report.outcome == Outcome::NotInstalled);
    match missing.filter(|_| args.provider.is_some()) {
        Some(report) => {
            Err(Failure::new(code::UNAVAILABLE, format!("the CLI of {} is not installed", report.id))
                .hint(Step::InstallWith { command: report.install.clone() }))
        }
        None => Ok(()),
    }
}

fn choose(registry: &Registry, wanted: Option<&str>) -> Result<Vec<Arc<Provider>>, Failure> {
    let Some(wanted) = wanted else {
        return Ok(registry.iter().filter(|provider| provider.cli.is_some()).cloned().collect());
    };
    match registry.provider(wanted) {
        Some(provider) if provider.cli.is_some() => Ok(vec![Arc::clone(provider)]),
        Some(provider) => {
            Err(Failure::new(code::USAGE, format!("{} takes API keys and has no CLI to check", provider.id)))
        }
        None => Err(Failure::new(code::USAGE, format!("unknown provider: {wanted}"))
            .hint(Step::KnownProviders { known: registry.ids().join(", ") })),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the signature that map_err asks for")]
fn cannot_create(error: io::Error) -> Failure {
    Failure::new(code::CANNOT_CREATE, format!("cannot create a temporary directory: {error}"))
}

/// A sink that refuses every login.
struct Refusing;

impl Sink for Refusing {
    fn moved(&self, _: Snapshot) -> BoxFuture<'static, ()> {
        std::future::ready(()).boxed()
    }

    fn shown(&self, _: &Snapshot) {}

    fn save(&self, _: ConfirmedLogin) -> BoxFuture<'static, Result<Saved, SaveError>> {
        let refusal = SaveError {
            kind: FailureKind::Storage,
            message: "the CLI logged in without the user, and a check stores no login".to_owned(),
            advice: None,
        };
        std::future::ready(Err(refusal)).boxed()
    }
}

/// An installed CLI and its version.
struct Found<'a> {
    program: &'a Path,
    version: Option<String>,
}

struct Checker<'a> {
    registry: Registry,
    search: &'a Search,
    environment: ChildEnv,
    scratch: &'a Scratch,
    shared: PathBuf,
    spawner: Spawner,
    wait: Duration,
    /// True if the programs are looked through for environment names.
    names: bool,
}

impl<'a> Checker<'a> {
    fn new(
        config: &'a Config,
        registry: Registry,
        scratch: &'a Scratch,
        wait: Duration,
    ) -> Result<Self, Failure> {
        let shims = daemon::shims::install(scratch.root()).map_err(cannot_create)?;
        let environment = shims.apply(child::child_env(config));
        let spawner = Spawner::new(
            SpawnerConfig {
                environment: environment.clone(),
                browser: Some(shims.browser()),
                shared: scratch.path("shared"),
                limits: SpawnLimits::default(),
                clock: Arc::new(now),
                guard: None,
                network_advice: None,
            },
            Arc::new(Refusing),
        );
        let shared = scratch.path("shared");
        Ok(Self {
            shared,
            registry,
            search: &config.search,
            environment,
            scratch,
            spawner,
            wait,
            names: false,
        })
    }

    async fn all(&self, providers: &[Arc<Provider>], ui: &Ui) -> Vec<ProviderReport> {
        let mut reports = Vec::new();
        // The logins run one after the other, because several use the same callback port.
        for provider in providers {
            let Some(cli) = &provider.cli else { continue };
            if ui.stderr.is_some() {
                ui.note(&format!("checking {} ...", provider.id));
            }
            reports.push(self.provider(provider, cli).await);
        }
        reports
    }

    async fn provider(&self, provider: &Arc<Provider>, cli: &Cli) -> ProviderReport {
        let mut report = ProviderReport {
            id: provider.id.clone(),
            outcome: Outcome::Ok,
            path: None,
            version: None,
            tested: cli.tested.clone(),
            install: cli.install.clone(),
            problems: Vec::new(),
            notes: Vec::new(),
            names: None,
            unknown_names: None,
            help: Vec::new(),
            recipes: Vec::new(),
        };
        let Some(program) = self.find(provider, cli, &mut report).await else {
            return report;
        };
        report.path = Some(program.display().to_string());
        report.compare_version();
        if self.names {
            let (provider, program) = (Arc::clone(provider), program.clone());
            let rules = self.registry.variable_rules().clone();
            let search = move || auth_spawner::names_in(&provider, &rules, &program);
            let search = tokio::task::spawn_blocking(search).await;
            report.add_names(search.unwrap_or(Names::NotReadable));
        }
        for known in &cli.help {
            if let Some(change) = help::compare(&self.question(provider, &program), known).await {
                report.add_help(change);
            }
        }
        for id in cli.recipe_ids() {
            if let Some(recipe) = provider.recipe(id, report.version.as_deref()) {
                let found = Found { program: &program, version: report.version.clone() };
                report.recipes.push(self.recipe(provider, &recipe, found).await);
            }
        }
        report.conclude();
        report
    }

    /// Returns the program to check, if there is one. Problems of the programs that were found go into the report.
    async fn find(&self, provider: &Provider, cli: &Cli, report: &mut ProviderReport) -> Option<PathBuf> {
        let (mut silent, mut strange) = (None, None);
        let Installed { usable, refused } = self.search.installed(cli);
        report.notes.extend(refused.iter().map(|Skipped { path, reason, remedy }| {
            let step = remedy.as_ref().map(|step| format!(". {step}")).unwrap_or_default();
            format!("{} is not used: {reason}{step}", path.display())
        }));
        for program in usable {
            let said = match self.version(provider, &program).await {
                Version::Is(version) => {
                    report.version = Some(version);
                    return Some(program);
                }
                Version::Other(line) => Some(line),
                Version::Silent => None,
            };
            match (self.owner(provider, cli, &program).await, said) {
                (Some(owner), _) => report.notes.push(format!("{} is the CLI of {owner}", program.display())),
                (None, None) => silent = silent.or(Some(program)),
                (None, Some(line)) => strange = strange.or(Some((program, line))),
            }
        }
        if let Some(program) = silent {
            report.problems.push(format!("prints no version with: {}", cli.version_args.join(" ")));
            return Some(program);
        }
        report.outcome = Outcome::NotInstalled;
        if let Some((program, line)) = strange {
            report.problems.push(format!("its version output is not that of this CLI: {line:?}"));
            report.path = Some(program.display().to_string());
            report.outcome = Outcome::Mismatch;
        }
        None
    }

    /// Returns the id of another provider whose CLI the program is.
    async fn owner(&self, provider: &Provider, cli: &Cli, program: &Path) -> Option<String> {
        for other in self.registry.iter().filter(|other| other.id != provider.id) {
            let Some(its) = other.cli.as_ref().filter(|its| its.version_pattern.is_some()) else { continue };
            let shares = its.binaries.iter().any(|name| cli.binaries.contains(name));
            if shares && matches!(self.version(other, program).await, Version::Is(_)) {
                return Some(other.id.clone());
            }
        }
        None
    }

    async fn version(&self, provider: &Provider, program: &Path) -> Version {
        self.question(provider, program).ask().await
    }

    fn question<'q>(&'q self, provider: &'q Provider, program: &'q Path) -> VersionQuestion<'q> {
        VersionQuestion {
            provider,
            program,
            environment: &self.environment,
            shared: &self.shared,
            timeout: VERSION_TIMEOUT,
        }
    }

    async fn recipe(&self, provider: &Arc<Provider>, recipe: &Recipe, found: Found<'_>) -> RecipeReport {
        let skipped = |why: String| RecipeReport {
            id: recipe.id.clone(),
            outcome: Outcome::Skipped,
            details: vec![why],
        };
        let config_dir = match self.scratch.directory(&format!("{}.{}", provider.id, recipe.id)) {
            Ok(path) => path,
            Err(error) => return skipped(format!("cannot create a directory for the login: {error}")),
        };
        let id = format!("check-{}", uuid::Uuid::new_v4().simple());
        // The session's deadline is later than the check's, so that the check sees everything that the session shows.
        let longest = i64::try_from((self.wait + ENDING).as_millis()).unwrap_or(i64::MAX);
        let request = LoginRequest {
            id: id.clone(),
            provider: Arc::clone(provider),
            recipe: recipe.id.clone(),
            program: found.program.to_owned(),
            version: found.version,
            args: None,
            check_args: None,
            extra_env: Vec::new(),
            config_dir,
            destination: None,
            scope: id.clone(),
            expires_at: now().saturating_add(longest),
            terminal: None,
        };
        match self.spawner.start(request) {
            Ok(()) => match self.observe(&id, recipe).await {
                Some(Observed { snapshot: Snapshot { failure: Some(failure), .. }, .. })
                    if failure.kind == FailureKind::PortInUse =>
                {
                    skipped(failure.message)
                }
                Some(observed) => judge(provider, recipe, &observed),
                None => skipped("the state of the login is unknown".to_owned()),
            },
            Err(error) => skipped(error.to_string()),
        }
    }

    /// Waits until the login has shown everything, has ended, or takes too long, and then cancels it.
    async fn observe(&self, id: &str, recipe: &Recipe) -> Option<Observed> {
        let started = Instant::now();
        let settled = |snapshot: &Snapshot| complete(recipe, snapshot) || snapshot.state.is_terminal();
        if let Some(mut follower) = self.spawner.watch(id) {
            // The snapshot shows whether the wait succeeded.
            let _ = tokio::time::timeout(self.wait, follower.wait_for(settled)).await;
        }
        let waited = started.elapsed().as_secs_f64();
        let seen = self.spawner.snapshot(id);
        // Cancelling a login that has ended meanwhile succeeds.
        let stuck = tokio::time::timeout(ENDING, self.spawner.cancel(id)).await.is_err();
        let session = id.to_owned();
        let sweep = tokio::task::spawn_blocking(move || auth_spawner::end_leftover(&session, None));
        Some(Observed { snapshot: seen?, waited, left_over: sweep.await.unwrap_or(false), stuck })
    }
}
