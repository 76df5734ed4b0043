//! The question to a CLI, in the environment of a launch, whose login it would use.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use auth_spawner::{ChildEnv, Cli, Identity, Provider, Registry, WhoAmI, WhoAmICommand};

use super::program::{find, search_path, trust};
use crate::base::environment::Environment;
use crate::base::person::{Person, Sameness};
use crate::cli::client::Connection;
use crate::cli::failure::{Failure, code};
use crate::cli::here::BUNDLE_VAR;
use crate::hint::Step;
use crate::wire::account::{Account, Get};
use crate::wire::launch::{Launch, Used};

/// The longest time that a CLI may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The result of comparing a CLI's answer with the account of a launch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) enum Verdict {
    /// The CLI would use the login of the account's person.
    Confirmed,
    /// The CLI would use its login, and one of the two persons has no name to compare.
    Unproven,
    /// The CLI would use another credential or none. The text says which.
    Wrong(String),
    /// The answer is not understood, or there is none. The text is the reason.
    Unclear(String),
}

/// A question to a CLI about one account of a launch.
pub(in crate::cli) struct Question {
    program: PathBuf,
    who: WhoAmI,
    environment: ChildEnv,
    dir: PathBuf,
}

impl Question {
    /// Returns the question about an account, with the environment that the launch gives to a program started in `dir`.
    /// `named` is the program that the user named, if it is the account's CLI. `bundle` is named to the CLI, unless the
    /// variables of the launch name the identity already. `None` if the registry knows no command for the question, or the
    /// program is not found.
    pub(in crate::cli) fn new(
        (cli, named): (&Cli, Option<&OsStr>),
        launch: &Launch,
        bundle: Option<&str>,
        environment: &Environment,
        dir: &Path,
    ) -> Option<Self> {
        let who = cli.who_am_i.as_ref()?;
        let path = search_path(environment);
        let trust = trust(environment);
        let program = match named {
            Some(name) => find(name, path, &trust).ok()?,
            None => cli.binaries.iter().find_map(|name| find(OsStr::new(name), path, &trust).ok())?,
        };
        let by_token = cli.token.as_ref().is_some_and(|token| launch.set.contains_key(&token.var));
        let who = if by_token { who.about_token() } else { who.clone() };
        let mut child: ChildEnv = environment.texts().collect();
        for name in launch.unset.iter() {
            child.remove(name);
        }
        for (name, value) in &launch.set {
            child.set(name, value.expose());
        }
        if let Some(bundle) = bundle {
            child.set(BUNDLE_VAR, bundle);
        }
        Some(Self { program, who, environment: child, dir: dir.to_owned() })
    }

    /// Asks the CLI, and compares its answer with the account.
    pub(in crate::cli) async fn ask(self, account: &Account) -> Verdict {
        let Self { program, who, environment, dir } = &self;
        let command = WhoAmICommand { question: who, program, environment, dir, limit: PATIENCE };
        judge(account, command.ask().await)
    }
}

/// Compares the answer of a CLI with an account.
fn judge(account: &Account, answer: Identity) -> Verdict {
    let ours = Person { email: account.email.as_deref(), subject: account.subject.as_deref() };
    match answer {
        Identity::LoggedIn { email, subject } => {
            let theirs = Person { email: email.as_deref(), subject: subject.as_deref() };
            match ours.compare(theirs) {
                Sameness::Same => Verdict::Confirmed,
                Sameness::Unproven => Verdict::Unproven,
                Sameness::Another => {
                    let who = email.or(subject).unwrap_or_default();
                    Verdict::Wrong(format!("it would use the login of {who}"))
                }
            }
        }
        Identity::Other(credential) => {
            Verdict::Wrong(format!("it would use another credential ({credential})"))
        }
        Identity::LoggedOut => Verdict::Wrong("it says that it is not logged in".to_owned()),
        Identity::Unclear(reason) => Verdict::Unclear(reason),
    }
}

/// Asks the CLIs of a launch whose logins they would use when they are started here. Returns notes for the user.
///
/// If `program` is the CLI of an account of the launch, only that CLI is asked, and its answer must confirm the account.
/// Otherwise all CLIs are asked that can be. A wrong or unclear answer is an error.
pub(super) async fn verify(
    daemon: &Connection,
    registry: &Registry,
    launch: &Launch,
    program: &OsStr,
    environment: &Environment,
) -> Result<Vec<String>, Failure> {
    let dir = std::env::current_dir().map_err(Failure::io)?;
    let own: Vec<&str> =
        super::gather::named(registry, program).map(|(provider, _)| provider.id.as_str()).collect();
    let mut notes = Vec::new();
    for used in launch.accounts.iter().filter(|used| used.reason.is_none()) {
        let named = own.contains(&used.provider_id.as_str());
        let provider = registry.provider(&used.provider_id).filter(|_| own.is_empty() || named);
        let Some((provider, cli)) = provider.and_then(|provider| Some((provider, provider.cli.as_ref()?)))
        else {
            continue;
        };
        let cli = (cli, named.then_some(program));
        match Question::new(cli, launch, None, environment, &dir) {
            None if named => return Err(cannot_be_asked(provider)),
            None => notes.push(format!("{} was not verified: it cannot be asked", provider.id)),
            Some(question) => notes.extend(one(daemon, provider, used, question).await?),
        }
    }
    Ok(notes)
}

async fn one(
    daemon: &Connection,
    provider: &Provider,
    used: &Used,
    question: Question,
) -> Result<Option<String>, Failure> {
    let account = daemon.call(&Get { account_id: used.account_id.clone() }).await?;
    let refused = |reason: String| {
        let whose = account.email.as_ref().or(account.subject.as_ref());
        let login = whose.map_or_else(|| "the login".to_owned(), |name| format!("the login of {name}"));
        let message = format!("{} does not confirm {login}: {reason}", provider.display_name);
        Err(Failure::new(code::FAILED, message).hint(Step::SettingsMayDiffer))
    };
    match question.ask(&account).await {
        Verdict::Confirmed => Ok(None),
        Verdict::Unproven => {
            Ok(Some(format!("{} is logged in, but does not say as which person", provider.display_name)))
        }
        Verdict::Wrong(reason) | Verdict::Unclear(reason) => refused(reason),
    }
}

fn cannot_be_asked(provider: &Provider) -> Failure {
    let message = format!(
        "{} cannot be verified: srvd knows no command by which it says whose login it uses",
        provider.display_name
    );
    Failure::new(code::FAILED, message).hint(Step::DoNotVerify)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::list::tests::account;
    use crate::wire::Status;

    #[test]
    fn answer_is_confirmed_only_for_the_person_of_the_account() {
        let check = |answer: Identity, expected: Verdict| {
            let ann = account("claude", Some("ann@a.test"), Status::Valid);
            assert_eq!(judge(&ann, answer.clone()), expected, "{answer:?}");
        };
        let person =
            |email: Option<&str>| Identity::LoggedIn { email: email.map(str::to_owned), subject: None };
        check(person(Some("Ann@a.test")), Verdict::Confirmed);
        check(person(None), Verdict::Unproven);
        let bob = "it would use the login of bob@a.test".to_owned();
        check(person(Some("bob@a.test")), Verdict::Wrong(bob));
        let other = "it would use another credential (an API key)".to_owned();
        check(Identity::Other("an API key".to_owned()), Verdict::Wrong(other));
        check(Identity::LoggedOut, Verdict::Wrong("it says that it is not logged in".to_owned()));
        check(Identity::Unclear("no answer".to_owned()), Verdict::Unclear("no answer".to_owned()));
    }
}
