//! `srvd login`: the daemon drives the provider's CLI, this shows the person what to do and brings back what they paste.

pub(super) mod browser;
mod progress;
mod show;

use rpc_engine::CallError;
use secrecy::{ExposeSecret as _, SecretString};

use super::client::Connection;
use super::failure::{self, Failure, code};
use super::interrupt::Interrupt;
use super::prompt::{Answer, Prompt};
use super::resolve::{self, Target};
use super::ui::{Ui, plain_line};
use crate::api::auth::{Cancel, Poll, Session, SessionStatus, Start, SubmitCallback};
use crate::api::{SecretInput, bundle};
use progress::Progress;

/// How long one poll waits for news; it answers at once when there are some.
const POLL_WAIT_MS: u64 = 20_000;

/// `srvd login`.
#[derive(Debug, clap::Args)]
pub(super) struct LoginArgs {
    /// The provider, as `srvd providers` lists it
    provider: String,
    /// The bundle to log in to, by name or id; one that does not exist is made
    #[arg(long, value_name = "BUNDLE")]
    bundle: Option<String>,
    /// Only show the address, do not open a browser
    #[arg(long)]
    no_browser: bool,
    /// Which of the provider's ways to log in; the first one that `srvd providers` lists when absent
    #[arg(long, value_name = "ID")]
    recipe: Option<String>,
    /// The host to log in to, such as a GitHub Enterprise Server
    #[arg(long, value_name = "HOST")]
    host: Option<String>,
    /// Log in again although a login is there, and accept another person in its place
    #[arg(long)]
    force: bool,
}

/// Starts a login and follows it to its end.
pub(super) async fn run(
    args: LoginArgs,
    daemon: &Connection,
    ui: &Ui,
    interrupt: &mut Interrupt,
) -> Result<(), Failure> {
    let target = resolve::target(daemon, args.bundle.as_deref()).await?;
    let start = start(&args, target);
    let started = daemon.client.call(&start).await.map_err(|error| refusal(&error, &args))?;
    let mut follower = Follower {
        session_id: started.session_id,
        opens_browser: !args.no_browser,
        told_hidden: false,
        shown: show::Shown::default(),
        progress: Progress::start(ui, &format!("starting the login of {}", plain_line(&args.provider))),
        prompt: Prompt::new(ui),
        daemon,
        ui,
    };
    let ended = tokio::select! {
        ended = follower.follow() => ended?,
        code = interrupt.next() => return Err(follower.cancel(code).await),
    };
    drop(follower);
    report(&ended, daemon, ui).await
}

fn start(args: &LoginArgs, target: Target) -> Start {
    Start {
        provider_id: args.provider.clone(),
        into_bundle_id: target.into_bundle_id,
        bundle_name: target.bundle_name,
        recipe: args.recipe.clone(),
        host: args.host.clone(),
        force: args.force.then_some(true),
        ..Start::default()
    }
}

/// A login that did not start, with what to do in the words of this command line.
fn refusal(error: &CallError, args: &LoginArgs) -> Failure {
    failure::of_call(error, |error| {
        let bundle = args.bundle.as_ref().map(|bundle| format!(" --bundle \"{bundle}\"")).unwrap_or_default();
        if failure::field(error, "accountId").is_some() {
            Some(format!("to log in again: srvd login {}{bundle} --force", args.provider))
        } else if let Some(session) = failure::field(error, "sessionId") {
            Some(format!("finish or cancel the login that is running ({session}); see: srvd status"))
        } else if failure::field(error, "field") == Some("providerId") {
            Some(format!("add a key with: srvd add-key {}", args.provider))
        } else {
            None
        }
    })
}

/// One login, as the person sees it.
struct Follower<'a> {
    session_id: String,
    opens_browser: bool,
    /// The person knows that nothing appears when they paste.
    told_hidden: bool,
    shown: show::Shown,
    prompt: Prompt,
    progress: Progress,
    daemon: &'a Connection,
    ui: &'a Ui,
}

impl Follower<'_> {
    /// Shows every change, until the session has ended. The daemon ends every session at its deadline.
    async fn follow(&mut self) -> Result<Session, Failure> {
        let mut seen = None;
        loop {
            let session = self.news(seen).await?;
            seen = Some(session.revision);
            if session.status.is_terminal() {
                return Ok(session);
            }
            self.show(&session);
        }
    }

    /// The session's next state; what is pasted meanwhile goes its own way.
    async fn news(&mut self, after_revision: Option<u64>) -> Result<Session, Failure> {
        let client = self.daemon.client.clone();
        let wait_ms = after_revision.map(|_| POLL_WAIT_MS);
        let poll = Poll { session_id: self.session_id.clone(), after_revision, wait_ms };
        let mut poll = std::pin::pin!(client.call(&poll));
        loop {
            let answer = tokio::select! {
                session = &mut poll => return Ok(session?),
                answer = self.prompt.answer() => answer,
            };
            match answer {
                Answer::Line(line) => self.submit(&line).await?,
                Answer::Closed => self
                    .progress
                    .note("Nothing can be pasted here; waiting for the login to go on without it."),
            }
        }
    }

    fn show(&mut self, session: &Session) {
        let block = self.shown.update(session, self.ui.stderr);
        self.progress.note(&block);
        if let Some(url) = self.shown.take_url_to_open() {
            let may_open = self.opens_browser && self.ui.stderr.is_some();
            if may_open && session.openable == Some(true) && browser::open(url, self.ui.seat) {
                self.progress.note("Your browser has been asked to open it.");
            }
        }
        self.progress.state(show::state(session));
        if session.prompt == Some(true) {
            self.ask();
        }
    }

    /// The spinner and a line that is being typed would write over each other.
    fn ask(&mut self) {
        if !self.prompt.is_open() {
            self.progress.pause();
            if self.ui.types && !std::mem::replace(&mut self.told_hidden, true) {
                self.ui.note("What you paste is not shown.");
            }
            self.prompt.ask("Paste the code or the full callback URL here: ");
        }
    }

    async fn submit(&mut self, line: &SecretString) -> Result<(), Failure> {
        self.progress.resume();
        if line.expose_secret().trim().is_empty() {
            self.ask();
            return Ok(());
        }
        let callback_url = SecretInput::new(line.expose_secret().to_owned());
        let submit = SubmitCallback { session_id: self.session_id.clone(), callback_url };
        let outcome = self.daemon.call(&submit).await?;
        // A session that has ended meanwhile is the next poll's news.
        if !outcome.success && outcome.error_kind.as_deref() != Some("not_found") {
            let reason = outcome.error.as_deref().unwrap_or("it was not taken");
            self.progress.note(&format!("That did not work: {}", plain_line(reason)));
            self.ask();
        }
        Ok(())
    }

    /// Ends the login in the daemon as well, and says whether that worked.
    async fn cancel(self, code: u8) -> Failure {
        let Self { session_id, prompt, progress, daemon, .. } = self;
        drop(prompt);
        drop(progress);
        let cancelled = daemon.call(&Cancel { session_id }).await;
        match cancelled {
            Ok(outcome) if outcome.success => Failure::new(code, "the login was cancelled"),
            Ok(_) => Failure::new(code, "the login had ended already").hint("see: srvd status"),
            Err(failure) => {
                Failure::new(code, format!("the login could not be cancelled: {}", failure.render()))
                    .hint("it ends by itself at its deadline")
            }
        }
    }
}

async fn report(session: &Session, daemon: &Connection, ui: &Ui) -> Result<(), Failure> {
    if session.status != SessionStatus::Success {
        return Err(failed(session));
    }
    let id = session.bundle_id.clone().unwrap_or_default();
    // The login stands, whatever becomes of this question.
    let name = daemon.call(&bundle::Get { bundle_id: id.clone() }).await.map_or(id, |bundle| bundle.name);
    ui.result(&success(session, &provider_name(&session.provider_id), &name))
}

fn success(session: &Session, provider: &str, bundle: &str) -> String {
    let email = session
        .email
        .as_ref()
        .and_then(Option::as_ref)
        .map(|email| format!(" as {email}"))
        .unwrap_or_default();
    let account = session.account_id.as_ref().map(|id| format!(" (account {id})")).unwrap_or_default();
    plain_line(&format!("Logged in to {provider}{email} in bundle \"{bundle}\"{account}"))
}

/// The name for people, of a provider that this program knows; others are called by their id.
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
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

#[cfg(test)]
mod tests {
    use rpc_engine::RpcError;
    use serde_json::{Value, json};

    use super::show::tests::session;
    use super::*;

    #[test]
    fn success_names_the_person_the_bundle_and_the_account() {
        let known = session(json!({"email": "a@b.c", "accountId": "a1"}));
        assert_eq!(
            success(&known, "Codex", "work"),
            "Logged in to Codex as a@b.c in bundle \"work\" (account a1)"
        );
        let nameless = session(json!({"email": null, "accountId": "a1"}));
        assert_eq!(success(&nameless, "Codex", "work"), "Logged in to Codex in bundle \"work\" (account a1)");
    }

    #[test]
    fn failure_tells_the_reason_the_exit_code_and_the_hint() {
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
    fn a_refusal_says_what_to_type() {
        let args = LoginArgs {
            provider: "codex".to_owned(),
            bundle: Some("work".to_owned()),
            no_browser: false,
            recipe: None,
            host: None,
            force: false,
        };
        let check = |data: Value, hint: &str| {
            let error = CallError::Rpc(RpcError::new(1002, "no").with_data(data).with_kind("conflict"));
            assert_eq!(refusal(&error, &args).render(), format!("srvd: no\nhint: {hint}"));
        };
        check(json!({"accountId": "a"}), "to log in again: srvd login codex --bundle \"work\" --force");
        check(json!({"sessionId": "s"}), "finish or cancel the login that is running (s); see: srvd status");
        check(json!({"field": "providerId", "hint": "x"}), "add a key with: srvd add-key codex");
        check(json!({"hint": "the daemon's own"}), "the daemon's own");
    }
}
