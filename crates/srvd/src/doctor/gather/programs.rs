//! The CLIs on the search path, and their versions.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use auth_spawner::{ChildEnv, Cli, Provider, Registry, Version, VersionQuestion};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::base::environment::Environment;
use crate::base::programs::Skipped;
use crate::base::scratch::Scratch;
use crate::config::Config;
use crate::config::child;
use crate::doctor::facts::Program;

/// The longest time that a CLI may take to print its version.
const VERSION: Duration = Duration::from_secs(10);
/// The longest time for all CLIs together. A CLI that has not answered by then counts as silent.
const ALL: Duration = Duration::from_secs(25);
/// The number of CLIs that are asked at the same time, and the largest number with the same name.
const AT_ONCE: usize = 4;
const OF_A_NAME: usize = 4;

/// Returns each fixed port with the names of the providers whose logins need it.
pub(super) fn fixed_ports(registry: &Registry) -> Vec<(u16, Vec<String>)> {
    let mut ports: BTreeMap<u16, Vec<String>> = BTreeMap::new();
    for provider in registry.iter() {
        let recipes = provider.cli.iter().flat_map(|cli| &cli.recipes);
        for port in recipes.flat_map(|recipe| &recipe.callback_ports) {
            let names = ports.entry(*port).or_default();
            if !names.contains(&provider.id) {
                names.push(provider.id.clone());
            }
        }
    }
    ports.into_iter().collect()
}

/// Finds every provider's CLI, and asks each program once for its version. It runs in an empty directory and without
/// the caller's environment.
pub(super) async fn look(config: &Config, environment: &Environment, registry: &Registry) -> Vec<Program> {
    let mut programs = Vec::new();
    let mut questions = Vec::new();
    for provider in registry.iter() {
        let Some(cli) = &provider.cli else { continue };
        for (position, path) in different(cli, config).into_iter().enumerate() {
            questions.push((programs.len(), position, Arc::clone(provider), path));
        }
        let found = different(cli, config).into_iter().map(|path| (path, Version::Silent)).collect();
        let (provider, name, tested) =
            (provider.id.clone(), provider.display_name.clone(), cli.tested.clone());
        programs.push(Program { provider, name, tested, found });
    }
    // No program is asked if there is no directory to run it in.
    if let Ok(scratch) = Scratch::make(environment, "srvd-doctor") {
        let answers = ask(questions, child::child_env(config), scratch.path("shared"));
        // A program that has not answered in time is ended when its task is dropped.
        for (program, position, version) in answers.await {
            programs[program].found[position].1 = version;
        }
    }
    programs
}

type Question = (usize, usize, Arc<Provider>, PathBuf);

async fn ask(
    questions: Vec<Question>,
    environment: ChildEnv,
    shared: PathBuf,
) -> Vec<(usize, usize, Version)> {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut asked = JoinSet::new();
    for (program, position, provider, path) in questions {
        let (places, environment, shared) = (Arc::clone(&places), environment.clone(), shared.clone());
        asked.spawn(async move {
            let _place = places.acquire_owned().await;
            let question = VersionQuestion {
                provider: &provider,
                program: &path,
                environment: &environment,
                shared: &shared,
                timeout: VERSION,
            };
            (program, position, question.ask().await)
        });
    }
    let mut answers = Vec::new();
    let collect = async {
        while let Some(answer) = asked.join_next().await {
            answers.extend(answer);
        }
    };
    // A program without an answer stays recorded as silent.
    let _ = tokio::time::timeout(ALL, collect).await;
    answers
}

/// Returns the directories and programs that are not used, because another user can change them.
pub(super) fn skipped(config: &Config, registry: &Registry) -> Vec<Skipped> {
    let clis = registry.iter().filter_map(|provider| provider.cli.as_ref());
    let programs = clis.flat_map(|cli| config.search.installed(cli).refused);
    let mut all: Vec<Skipped> = config.search.skipped().iter().cloned().chain(programs).collect();
    let mut seen = std::collections::HashSet::new();
    all.retain(|skipped| seen.insert(skipped.path.clone()));
    all
}

/// Returns the programs with one of the CLI's names, each file once. `/bin` is often the same directory as `/usr/bin`.
fn different(cli: &Cli, config: &Config) -> Vec<PathBuf> {
    let mut seen = Vec::new();
    let mut paths = Vec::new();
    for path in config.search.installed(cli).usable {
        let real = std::fs::canonicalize(&path).unwrap_or_else(|_| path.clone());
        if !seen.contains(&real) && paths.len() < OF_A_NAME {
            seen.push(real);
            paths.push(path);
        }
    }
    paths
}
