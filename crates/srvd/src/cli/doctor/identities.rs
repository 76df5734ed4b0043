//! The question to every CLI whose login it would use for its accounts.

use std::path::Path;
use std::time::Duration;

use auth_spawner::Registry;
use futures_util::StreamExt as _;
use futures_util::stream;
use tokio::time::{Instant, timeout, timeout_at};

use crate::base::environment::Environment;
use crate::cli::client::Connection;
use crate::cli::launch::verify::{Question, Verdict};
use crate::config::Config;
use crate::daemon;
use crate::doctor::{AskedIdentity, IdentityAnswer};
use crate::wire::account::{self, Account, Backend};
use crate::wire::bundle;
use crate::wire::launch::Resolve;
use crate::wire::{CredentialKind, Status};

/// The longest time for all questions together. What is answered until then is kept.
const ALL: Duration = Duration::from_secs(15);
/// The longest time for the lists of the daemon.
const LISTS: Duration = Duration::from_secs(5);
/// The number of CLIs that are asked at the same time.
const AT_ONCE: usize = 4;

/// Asks the CLI of each login in a directory that could be used otherwise. Without a daemon, none is asked.
pub(super) async fn ask(config: &Config, environment: &Environment) -> Vec<AskedIdentity> {
    let Ok(registry) = daemon::registry(config) else { return Vec::new() };
    let Ok(Some((daemon, accounts))) = timeout(LISTS, accounts(config, &registry)).await else {
        return Vec::new();
    };
    let asked = |one: &Login| AskedIdentity {
        provider: one.account.provider_id.clone(),
        bundle: one.bundle_name.clone(),
        account: one.name.clone(),
        answer: IdentityAnswer::Late,
    };
    let asked: Vec<AskedIdentity> = accounts.iter().map(asked).collect();
    let questions = accounts.into_iter().enumerate().map(|(at, one)| {
        let (daemon, registry) = (&daemon, &registry);
        async move { (at, answer(daemon, registry, environment, &one).await) }
    });
    let mut answers = vec![Some(IdentityAnswer::Late); asked.len()];
    let mut asking = Box::pin(stream::iter(questions).buffer_unordered(AT_ONCE));
    let deadline = Instant::now() + ALL;
    while let Ok(Some((at, answer))) = timeout_at(deadline, asking.next()).await {
        answers[at] = answer;
    }
    asked
        .into_iter()
        .zip(answers)
        .filter_map(|(one, answer)| Some(AskedIdentity { answer: answer?, ..one }))
        .collect()
}

/// A login to ask about.
struct Login {
    account: Account,
    /// The bundle's id.
    bundle: String,
    bundle_name: String,
    /// The account, its person and its bundle, for people.
    name: String,
}

async fn accounts(config: &Config, registry: &Registry) -> Option<(Connection, Vec<Login>)> {
    let daemon = Connection::open(config).await.ok()?;
    let accounts = daemon.call(&account::List::default()).await.ok()?.accounts;
    let bundles = daemon.call(&bundle::List {}).await.ok()?.bundles;
    let login = |account: Account| {
        let provider = registry.provider(&account.provider_id)?;
        provider.cli.as_ref()?.who_am_i.as_ref()?;
        let usable = matches!(account.status, Status::Valid | Status::Expired);
        let in_directory = account.secret_ref.backend == Backend::ConfigDir;
        if !(usable && in_directory && account.kind == CredentialKind::OAuth) {
            return None;
        }
        let bundle = account.bound_to.first()?.clone();
        let named = bundles.iter().find(|one| one.id == bundle).map_or(bundle.as_str(), |one| &one.name);
        let person = account.email.as_deref().or(account.subject.as_deref()).unwrap_or("unnamed");
        let name = format!("{} as {person} in \"{named}\"", provider.display_name);
        let bundle_name = named.to_owned();
        Some(Login { account, bundle, bundle_name, name })
    };
    let logins = accounts.into_iter().filter_map(login).collect();
    Some((daemon, logins))
}

/// Asks about one login; `None` if it cannot be asked about, because its CLI is not installed or its launch is refused.
/// The status of the account says the latter.
async fn answer(
    daemon: &Connection,
    registry: &Registry,
    environment: &Environment,
    login: &Login,
) -> Option<IdentityAnswer> {
    let provider_id = login.account.provider_id.clone();
    let cli = registry.provider(&provider_id)?.cli.as_ref()?;
    let wanted = Resolve {
        bundle_id: Some(login.bundle.clone()),
        provider_id: Some(provider_id),
        dry_run: Some(true),
        ..Resolve::default()
    };
    let launch = daemon.call(&wanted).await.ok()?;
    let question = Question::new((cli, None), &launch, Some(&login.bundle), environment, Path::new("/"))?;
    Some(match question.ask(&login.account).await {
        Verdict::Confirmed => IdentityAnswer::Confirmed,
        Verdict::Unproven => IdentityAnswer::Unproven,
        Verdict::Wrong(reason) => IdentityAnswer::Wrong(reason),
        Verdict::Unclear(reason) => IdentityAnswer::Unclear(reason),
    })
}
