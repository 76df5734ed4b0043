//! `srvd login`: shows the steps of a login that the daemon runs with the provider's CLI, and sends the daemon what the
//! user pastes.

pub(super) mod browser;
mod cancel;
mod choice;
pub(super) mod own;
mod progress;
pub(super) mod show;

use rpc_engine::CallError;
use secrecy::{ExposeSecret as _, SecretString};

use super::client::Connection;
use super::failure::{self, Failure, code};
use super::interrupt::Interrupt;
use super::list::who;
use super::owner;
use super::owner::OwnerArgs;
use super::prompt::{Answer, Prompt};
use super::refresh;
use super::resolve::{self, BundleDestination};
use super::ui::{Seat, Ui, plain_line};
use crate::hint::{Step, Word};
use crate::wire::auth::{Cancel, Poll, Session, SessionStatus, Start, SubmitCallback};
use crate::wire::error::ErrorKind;
use crate::wire::keeping::KeepAlive;
use crate::wire::{SecretInput, account, bundle, provider};
use browser::{Opener, Opening};
use progress::Progress;

/// The longest time that one poll waits for a change, in milliseconds. It returns at once when there is one.
const POLL_WAIT_MS: u64 = 20_000;

/// Arguments of `srvd login`.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(super) struct LoginArgs {
    /// The provider, as listed by `srvd providers`
    provider: String,
    /// The bundle to log in to, by name or id
    #[arg(long, value_name = "BUNDLE")]
    bundle: Option<String>,
    /// Make the bundle if it does not exist
    #[arg(long, requires = "bundle")]
    new: bool,
    #[command(flatten)]
    owner: OwnerArgs,
    /// Cancel the running login of the provider, also one that another client started
    #[arg(long, conflicts_with_all = ["new", "no_browser", "recipe", "host", "renew", "replace_person"])]
    cancel: bool,
    /// Show the address without opening a browser
    #[arg(long)]
    no_browser: bool,
    /// The login method, by its id in the list of `srvd providers`
    ///
    /// By default, the first one is used. On a remote terminal (SSH), the one that shows a code is used if the provider
    /// has one: the code can be entered in a browser on any machine.
    #[arg(long, value_name = "ID")]
    recipe: Option<String>,
    /// The host to log in to, such as a GitHub Enterprise Server
    #[arg(long, value_name = "HOST")]
    host: Option<String>,
    /// Renew the login of the bundle if the person stays the same. This is always done and need not be given
    #[arg(long)]
    renew: bool,
    /// Accept the login of another person in place of the bundle's present one
    #[arg(long, alias = "force")]
    replace_person: bool,
}

/// The user at the terminal, for a command that waits for an action in a browser.
pub(super) struct Person<'a> {
    pub(super) ui: &'a Ui,
    pub(super) opener: Opener,
    pub(super) interrupt: &'a mut Interrupt,
    /// A variable of this shell with a proxy or certificates that the daemon does not use.
    pub(super) unused_proxy: Option<&'static str>,
}

/// Starts a login and follows it to its end.
pub(super) async fn run(
    args: LoginArgs,
    daemon: &Connection,
    surroundings: own::Surroundings<'_>,
    person: Person<'_>,
) -> Result<(), Failure> {
    let Person { ui, opener, interrupt, unused_proxy } = person;
    if args.cancel {
        return cancel::run(&args.provider, args.bundle.as_deref(), &args.owner, daemon, ui).await;
    }
    let target = resolve::target(daemon, args.bundle.as_deref(), args.new, ui).await?;
    let recipe = recipe(&args, daemon, ui).await?;
    let started = daemon.client.call(&start(&args, recipe, target)).await;
    let session_id = match started {
        Ok(started) => {
            for unused in &started.not_used {
                ui.note(&plain_line(&unused.reason));
            }
            started.session_id
        }
        Err(error) => match own::Login::of(&error) {
            // The account is the login of the user's own CLI.
            Some(login) => {
                return own::run(login, args.replace_person, daemon, surroundings, ui, interrupt).await;
            }
            None => return Err(refusal(&error, &args)),
        },
    };
    let mut follower = Follower {
        session_id,
        opener: (!args.no_browser && ui.stderr.is_some()).then_some(opener),
        opening: Opening::none(),
        offer: "",
        shown: show::Shown::default(),
        progress: Progress::start(ui, &format!("starting the login of {}", plain_line(&args.provider))),
        prompt: Prompt::offered(ui),
        daemon,
        ui,
    };
    let ended = tokio::select! {
        ended = follower.follow() => ended?,
        code = interrupt.next() => return Err(follower.cancel(code).await),
    };
    drop(follower);
    let reported = report(&ended, daemon, ui).await;
    reported.map_err(|failure| explained(failure, &ended, unused_proxy))
}

/// Adds the setting for a proxy to a login that failed on the network, if this shell has a proxy that the daemon does not
/// use.
fn explained(failure: Failure, session: &Session, unused_proxy: Option<&str>) -> Failure {
    let error = session.error.as_deref().unwrap_or_default();
    let known = session.hint.as_ref().is_some_and(|hint| hint.as_str().contains("[network]"));
    match unused_proxy.filter(|_| !known && auth_spawner::names_network(error)) {
        Some(name) => failure.hint(Step::UseNetworkSettings { variable: name.to_owned() }),
        None => failure,
    }
}

/// Returns the requested login, or the one that suits a remote terminal; `None` for the provider's first one.
async fn recipe(args: &LoginArgs, daemon: &Connection, ui: &Ui) -> Result<Option<String>, Failure> {
    if args.recipe.is_some() || ui.seat != Seat::Remote {
        return Ok(args.recipe.clone());
    }
    let only = provider::List { provider_id: Some(args.provider.clone()) };
    let mut listed = daemon.client.call(&only).await.map_err(|error| refusal(&error, args))?.providers;
    let logins = listed.pop().map(|provider| provider.logins).unwrap_or_default();
    let (Some(default), Some(device)) = (logins.first(), choice::for_remote(&logins)) else {
        return Ok(None);
    };
    ui.note(&format!(
        "This terminal is remote, so srvd shows a code that you can enter in a browser on any machine. \
         To use the default login instead: srvd login {} --recipe {}",
        plain_line(&args.provider),
        plain_line(&default.id)
    ));
    Ok(Some(device.id.clone()))
}

fn start(args: &LoginArgs, recipe: Option<String>, target: BundleDestination) -> Start {
    Start {
        provider_id: args.provider.clone(),
        into_bundle_id: target.into_bundle_id,
        bundle_name: target.bundle_name,
        user_id: args.owner.user.clone(),
        agent_id: args.owner.agent.clone(),
        recipe,
        host: args.host.clone(),
        force: args.replace_person.then_some(true),
        ..Start::default()
    }
}

/// Returns the failure for a login that did not start, with hints for this command line.
fn refusal(error: &CallError, args: &LoginArgs) -> Failure {
    failure::of_call(error, |error| {
        let provider = Word::from(&args.provider);
        let known = |field: &str| failure::field(error, field).is_some();
        // The callback port is in use by a login that may be for another provider or bundle.
        if let Some(running) = failure::field(error, "providerId")
            && let Some(session) = failure::field(error, "sessionId").map(plain_line)
        {
            return Some(Step::CancelRunningAnywhere { session, provider: Word::from(running) }.into());
        }
        if let Some([user, agent]) = args.owner.words() {
            let step = if known("accountId") {
                Step::LogInUserAnew { provider, user, agent }
            } else if known("sessionId") {
                Step::CancelUser { provider, user, agent }
            } else if failure::field(error, "field") == Some("providerId") {
                Step::AddKeyUser { provider, user, agent }
            } else {
                return None;
            };
            return Some(step.into());
        }
        let bundle = args.bundle.as_ref().map(Word::from);
        let step = if failure::field(error, "accountId").is_some() {
            Step::LogInAgain { provider, bundle: bundle? }
        } else if let Some(session) = failure::field(error, "sessionId").map(plain_line) {
            Step::CancelRunning { session, provider, bundle: bundle? }
        } else if failure::field(error, "field") == Some("providerId") {
            Step::AddKeyInstead { provider }
        } else {
            return None;
        };
        Some(step.into())
    })
}

/// One login, as the user sees it.
struct Follower<'a> {
    session_id: String,
    /// The opener of a browser; `None` if only the address is shown.
    opener: Option<Opener>,
    opening: Opening,
    /// The offer to paste that is shown; empty before the first one.
    offer: &'static str,
    shown: show::Shown,
    prompt: Prompt,
    progress: Progress,
    daemon: &'a Connection,
    ui: &'a Ui,
}

impl Follower<'_> {
    /// Shows every change until the session has ended. The daemon ends every session at its deadline.
    async fn follow(&mut self) -> Result<Session, Failure> {
        let mut seen = None;
        loop {
            let session = self.news(seen).await?;
            seen = Some(session.revision);
            // An end with a status that this program does not know is an end too.
            if session.status.is_terminal() || session.ended_at.is_some() {
                return Ok(session);
            }
            self.show(&session);
        }
    }

    /// Returns the next state of the session. Meanwhile it sends pasted input to the daemon and prints the opener's
    /// result.
    async fn news(&mut self, after_revision: Option<u64>) -> Result<Session, Failure> {
        let client = self.daemon.client.clone();
        let wait_ms = after_revision.map(|_| POLL_WAIT_MS);
        let poll = Poll { session_id: self.session_id.clone(), after_revision, wait_ms };
        let mut poll = std::pin::pin!(client.call(&poll));
        loop {
            let answer = tokio::select! {
                session = &mut poll => return Ok(session?),
                opened = self.opening.news() => {
                    self.progress.note(opened);
                    continue;
                }
                answer = self.prompt.answer() => answer,
            };
            match answer {
                Answer::Line(line) => self.submit(&line).await?,
                Answer::Closed => {
                    self.progress.note("You cannot paste anything here, because standard input is closed.");
                }
            }
        }
    }

    fn show(&mut self, session: &Session) {
        let block = self.shown.update(session, self.ui.stderr);
        self.progress.note(&block);
        if let Some(url) = self.shown.take_url_to_open()
            && session.openable == Some(true)
            && let Some(opener) = &self.opener
        {
            self.opening = opener.start(url);
        }
        self.progress.state(show::state(session));
        if session.prompt == Some(true) {
            self.offer = show::offer(session);
            self.ask();
        }
    }

    /// Prints the offer to paste. The spinner goes on below it, because typed input is not shown.
    fn ask(&mut self) {
        if self.prompt.is_ready() {
            let how = if self.ui.types { "(not shown; press Enter when done)" } else { "" };
            self.progress.note(format!("{}{how}", self.offer).trim_end());
            self.prompt.listen();
        }
    }

    async fn submit(&mut self, line: &SecretString) -> Result<(), Failure> {
        if line.expose_secret().trim().is_empty() {
            self.prompt.listen();
            return Ok(());
        }
        if self.ui.types {
            self.progress.note("Received. Sending it to the CLI.");
        }
        let callback_url = SecretInput::new(line.expose_secret().to_owned());
        let submit = SubmitCallback { session_id: self.session_id.clone(), callback_url };
        let outcome = self.daemon.call(&submit).await?;
        // If the session has ended meanwhile, the next poll reports it.
        if !outcome.success && outcome.error_kind != Some(ErrorKind::NotFound) {
            let reason = outcome.error.as_deref().unwrap_or("no reason was given");
            self.progress.note(&format!("The input was not accepted: {}", plain_line(reason)));
            self.ask();
        }
        Ok(())
    }

    /// Cancels the login in the daemon as well, and returns the message about the result.
    async fn cancel(self, code: u8) -> Failure {
        let Self { session_id, prompt, progress, daemon, .. } = self;
        drop(prompt);
        drop(progress);
        let cancelled = daemon.call(&Cancel { session_id: Some(session_id), ..Cancel::default() }).await;
        match cancelled {
            Ok(outcome) if outcome.success => Failure::new(code, "the login was cancelled"),
            Ok(_) => Failure::new(code, "the login had already ended").hint(Step::ShowStatus),
            Err(failure) => {
                Failure::new(code, format!("the login could not be cancelled: {}", failure.render()))
                    .hint(Step::LoginEndsAlone)
            }
        }
    }
}

async fn report(session: &Session, daemon: &Connection, ui: &Ui) -> Result<(), Failure> {
    if session.status != SessionStatus::Success {
        return Err(failed(session));
    }
    // The login is stored, even if these two calls fail.
    let place = match (&session.bundle_id, &session.user_id) {
        (None, Some(user)) => owner::place(user, session.agent_id.as_deref()),
        (id, _) => {
            let id = id.clone().unwrap_or_default();
            let get = bundle::Get { bundle_id: id.clone() };
            let name = daemon.call(&get).await.map_or(id, |bundle| bundle.name);
            format!("in bundle \"{name}\"")
        }
    };
    let account_id = session.account_id.clone().unwrap_or_default();
    let account = daemon.call(&account::Get { account_id: account_id.clone() }).await.ok();
    ui.result(&success(session, account.as_ref(), &place))?;
    // A directory that was copied holds the same login as its original.
    let asked = KeepAlive { account_id: Some(account_id), ..KeepAlive::default() };
    if let Ok(kept) = daemon.call(&asked).await
        && kept.logins.iter().any(|login| !login.copies.is_empty())
        && let Ok(all) = daemon.call(&account::List::default()).await
    {
        for step in refresh::steps(&kept.logins, &all.accounts, ui) {
            ui.note(&step);
        }
    }
    Ok(())
}

/// Returns the line for a login that was stored. The account's name is left out if it is not known.
fn success(session: &Session, account: Option<&account::Account>, place: &str) -> String {
    let provider = provider_name(&session.provider_id);
    let named = |account: &&account::Account| {
        [&account.display_name, &account.email, &account.subject].iter().any(|name| name.is_some())
    };
    let person = account.filter(named).map(who).or_else(|| session.email.clone().flatten());
    let person = person.map(|person| format!(" as {person}")).unwrap_or_default();
    let id = session.account_id.as_ref().map(|id| format!(" (account {id})")).unwrap_or_default();
    let replaced = session.replaced_person.as_ref();
    let replaced = replaced.map(|replaced| format!("; it replaces the login of {}", replaced.former));
    let replaced = replaced.unwrap_or_default();
    plain_line(&format!("Logged in to {provider}{person} {place}{id}{replaced}"))
}

/// Returns the display name of a provider that this program knows, else the provider's id.
fn provider_name(id: &str) -> String {
    let registry = auth_spawner::Registry::builtin().ok();
    let known = registry.as_ref().and_then(|registry| registry.provider(id));
    known.map_or_else(|| id.to_owned(), |provider| provider.display_name.clone())
}

fn failed(session: &Session) -> Failure {
    let reason = session.error.as_deref().unwrap_or("no reason was given");
    let exit = session.exit_code.map(|code| format!(" (exit code {code})")).unwrap_or_default();
    let failure =
        Failure::new(code::FAILED, format!("the login of {} failed: {reason}{exit}", session.provider_id));
    match &session.hint {
        Some(hint) => failure.hint(hint.clone()),
        None => failure,
    }
}

#[cfg(test)]
mod tests {
    use rpc_engine::RpcError;
    use serde_json::{Value, json};

    use super::super::list::tests::account;
    use super::show::tests::session;
    use super::*;
    use crate::wire::Status;

    #[test]
    fn login_success_names_person_bundle_and_account() {
        let check = |email: Option<&str>, subject: Option<&str>, who: &str| {
            let mut account = account("codex", email, Status::Valid);
            account.subject = subject.map(str::to_owned);
            let ended = session(json!({"email": email, "accountId": "a1"}));
            let expect = format!("Logged in to Codex{who} in bundle \"work\" (account a1)");
            assert_eq!(success(&ended, Some(&account), "in bundle \"work\""), expect);
        };
        check(Some("a@b.c"), Some("octocat"), " as a@b.c");
        check(None, Some("octocat"), " as octocat");
        check(None, None, "");
        let deleted = session(json!({"email": "a@b.c", "accountId": "a1"}));
        assert_eq!(
            success(&deleted, None, "in bundle \"work\""),
            "Logged in to Codex as a@b.c in bundle \"work\" (account a1)"
        );
    }

    #[test]
    fn login_failure_shows_reason_exit_code_and_hint() {
        let check = |fields: Value, expect: &str| {
            let failure = failed(&session(fields));
            assert_eq!((failure.code(), failure.render().as_str()), (1, expect));
        };
        check(json!({"error": "denied"}), "srvd: the login of codex failed: denied");
        check(
            json!({"error": "the CLI ended", "exitCode": 3, "hint": "look at it"}),
            "srvd: the login of codex failed: the CLI ended (exit code 3)\nhint: look at it",
        );
    }

    #[test]
    fn network_failure_names_the_setting_when_the_shell_has_a_proxy() {
        let hints = |error: &str, hint: &str, unused: Option<&str>| {
            let ended = session(json!({"error": error, "hint": hint}));
            explained(failed(&ended), &ended, unused).render().matches("[network]").count()
        };
        let network = "error sending request for url (https://a.test)";
        assert_eq!(hints(network, "start the login again", Some("HTTPS_PROXY")), 1);
        assert_eq!(hints(network, "set proxy under [network]", Some("HTTPS_PROXY")), 1);
        assert_eq!(hints(network, "start the login again", None), 0);
        assert_eq!(hints("denied", "start the login again", Some("HTTPS_PROXY")), 0);
    }

    #[test]
    fn login_refusal_hints_at_the_command_to_run() {
        let args = LoginArgs {
            new: false,
            cancel: false,
            provider: "codex".to_owned(),
            bundle: Some("work".to_owned()),
            owner: OwnerArgs::default(),
            no_browser: false,
            recipe: None,
            host: None,
            renew: false,
            replace_person: false,
        };
        let check = |data: Value, hint: &str| {
            let error = CallError::Rpc(RpcError::new(1002, "no").with_data(data).with_kind("conflict"));
            assert_eq!(refusal(&error, &args).render(), format!("srvd: no\nhint: {hint}"));
        };
        check(
            json!({"accountId": "a"}),
            "to replace it, whoever the new login belongs to: srvd login codex --bundle work --replace-person",
        );
        check(
            json!({"sessionId": "s"}),
            "to cancel the running login (s): srvd login codex --bundle work --cancel",
        );
        check(json!({"field": "providerId", "hint": "x"}), "add a key with: srvd add-key codex");
        check(json!({"hint": "the daemon's own"}), "the daemon's own");
    }
}
