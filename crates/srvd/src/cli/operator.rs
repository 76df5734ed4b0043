//! `srvd operator`: the operator's accounts at forges, and the choice of the one in use.

use super::client::Connection;
use super::failure::{Failure, code};
use super::list::Format;
use super::login::Person;
use super::login::browser::Opening;
use super::resolve;
use super::ui::{Ui, plain_line};
use super::vocabulary::{self, Symbol};
use super::{prompt, table};
use crate::base::clock::now;
use crate::hint::Step;
use crate::wire::forge_credential::GetCredential;
use crate::wire::operator::{
    Cancel, ConfiguredForge, Delete, Flow, ForgeType, GetActive, List, OperatorAccount, Operators,
    PendingAccount, Poll, SetActive, SignIn, SignInStatus, Start, Started,
};

/// The longest time that one poll waits for the end of a sign-in, in milliseconds.
const POLL_WAIT_MS: u64 = 20_000;

/// Subcommands of `srvd operator`.
#[derive(Debug, clap::Subcommand)]
pub(super) enum OperatorCommand {
    /// Sign in to a forge, and use that account from now on
    ///
    /// The forge must be configured in srvd.toml, under [forges.NAME]. The address must be opened on this machine; with
    /// --device, srvd shows a code that can be entered on any machine.
    Login(LoginArgs),
    /// List the accounts, and the configured forges
    List(Format),
    /// Use another account, without signing in again
    Use {
        /// The account, by id, or by a unique login
        account: String,
    },
    /// Print the token of the account in use, for a script
    ///
    /// It asks for confirmation on a terminal; a script says --yes. The audit log records it.
    Token {
        /// Do not ask for confirmation
        #[arg(long, short)]
        yes: bool,
    },
    /// Forget an account and its tokens on this machine
    Forget {
        /// The account, by id, or by a unique login
        account: String,
        /// Do not ask for confirmation
        #[arg(long, short)]
        yes: bool,
    },
}

/// Arguments of `srvd operator login`.
#[derive(Debug, clap::Args)]
pub(super) struct LoginArgs {
    /// The forge, by its name in srvd.toml, or by its type if no other forge has that type
    name: String,
    /// Use a code that can be entered on any device, if the forge supports it
    #[arg(long)]
    device: bool,
    /// Show the address without opening a browser
    #[arg(long)]
    no_browser: bool,
}

/// Runs a command about the operator's accounts, except a sign-in.
pub(super) async fn run(command: OperatorCommand, daemon: &Connection, ui: &Ui) -> Result<(), Failure> {
    match command {
        OperatorCommand::List(format) => list(&format, daemon, ui).await,
        OperatorCommand::Use { account } => {
            let known = daemon.call(&List {}).await?;
            let account_id = chosen(&known.tokens, &account)?.account_id.clone();
            let active = daemon.call(&SetActive { account_id }).await?;
            ui.result(&plain_line(&format!(
                "In use: {} at {} ({})",
                active.account_login, active.base_url, active.forge_type
            )))
        }
        OperatorCommand::Token { yes } => token(yes, daemon, ui).await,
        OperatorCommand::Forget { account, yes } => forget(&account, yes, daemon, ui).await,
        OperatorCommand::Login(_) => Err(Failure::new(code::BUG, "a sign-in is not run by this function")),
    }
}

/// Signs in and follows the sign-in to its end.
pub(super) async fn login(args: LoginArgs, daemon: &Connection, person: Person<'_>) -> Result<(), Failure> {
    let Person { ui, opener, interrupt, .. } = person;
    let known = daemon.call(&List {}).await?;
    let forge = forge(&known.forges, &args.name)?;
    let started = daemon.call(&start(forge, args.device)).await?;
    ui.note(&instructions(&started));
    let may_open = !args.no_browser && ui.stderr.is_some();
    let mut opening = match &started.auth_url {
        Some(url) if may_open => opener.start(url),
        _ => Opening::none(),
    };
    let session_id = started.session_id;
    let mut ended = std::pin::pin!(ended(&session_id, daemon));
    loop {
        tokio::select! {
            ended = &mut ended => return report(&ended?, forge, ui),
            opened = opening.news() => ui.note(opened),
            code = interrupt.next() => {
                // If the daemon cannot be reached, the sign-in ends at its deadline.
                let _ = daemon.call(&Cancel { session_id: session_id.clone() }).await;
                return Err(Failure::new(code, "the sign-in was cancelled"));
            }
        }
    }
}

async fn ended(session_id: &str, daemon: &Connection) -> Result<SignIn, Failure> {
    loop {
        let poll = Poll { session_id: session_id.to_owned(), wait_ms: Some(POLL_WAIT_MS) };
        let session = daemon.call(&poll).await?;
        // A status that this program does not know is taken for an end, so that the wait ends.
        if !matches!(session.status, SignInStatus::Pending | SignInStatus::Saving) {
            return Ok(session);
        }
    }
}

/// Returns the forge of this name, or the only one of this type.
fn forge<'a>(forges: &'a [ConfiguredForge], wanted: &str) -> Result<&'a ConfiguredForge, Failure> {
    if let Some(forge) = forges.iter().find(|forge| forge.name == wanted) {
        return Ok(forge);
    }
    let mut fitting = forges.iter().filter(|forge| forge.forge_type == ForgeType::from(wanted));
    let names = || forges.iter().map(|forge| forge.name.as_str()).collect::<Vec<_>>().join(", ");
    match (fitting.next(), fitting.next()) {
        (Some(forge), None) => Ok(forge),
        (Some(_), Some(_)) => {
            Err(Failure::new(code::FAILED, format!("there are several forges of the type {wanted}"))
                .hint(Step::NameForge { known: names() }))
        }
        (None, _) if forges.is_empty() => Err(Failure::new(code::FAILED, "no forge is configured")
            .hint(Step::AddForge { name: plain_line(wanted) })),
        (None, _) => Err(Failure::new(code::FAILED, format!("no forge is called {wanted}"))
            .hint(Step::NameForge { known: names() })),
    }
}

fn start(forge: &ConfiguredForge, device: bool) -> Start {
    Start {
        forge_type: forge.forge_type.clone(),
        base_url: Some(forge.base_url.clone()),
        client_id: Some(forge.client_id.clone()),
        flow: Some(if device { Flow::Device } else { Flow::Code }),
    }
}

fn instructions(started: &Started) -> String {
    match (&started.device_code, &started.verification_url, &started.auth_url) {
        (Some(code), Some(url), _) => {
            format!("Open {}\nand enter the code: {}", plain_line(url), plain_line(code))
        }
        (_, _, Some(url)) => format!("Open this address on this machine to sign in:\n{}", plain_line(url)),
        _ => String::new(),
    }
}

fn report(ended: &SignIn, forge: &ConfiguredForge, ui: &Ui) -> Result<(), Failure> {
    if ended.status != SignInStatus::Success {
        let reason = ended.error.as_deref().unwrap_or("no reason was given");
        return Err(Failure::new(code::FAILED, format!("the sign-in to {} failed: {reason}", forge.name)));
    }
    let account = ended.account_id.as_deref().unwrap_or_default();
    if !ended.missing_scopes.is_empty() {
        let missing = ended.missing_scopes.join(", ");
        ui.note(&plain_line(&format!("srvd: the forge did not grant these scopes: {missing}")));
    }
    ui.result(&plain_line(&match &ended.account_login {
        Some(login) => format!("Signed in to {} as {login}, which is now in use (account {account})", forge.base_url),
        None => format!(
            "Signed in to {}, but the forge did not return the login name; the sign-in is stored and is completed later (account {account})",
            forge.base_url
        ),
    }))
}

async fn list(format: &Format, daemon: &Connection, ui: &Ui) -> Result<(), Failure> {
    let known = daemon.call(&List {}).await?;
    if format.json {
        return ui.json(&known);
    }
    let Operators { tokens, pending, forges, .. } = known;
    for forge in &forges {
        if let Some(reason) = &forge.last_failure {
            ui.note(&plain_line(&format!("The last sign-in at {} failed: {reason}", forge.name)));
        }
    }
    if tokens.is_empty() && pending.is_empty() {
        let names: Vec<&str> = forges.iter().map(|forge| forge.name.as_str()).collect();
        let forges = if names.is_empty() { "none is configured".to_owned() } else { names.join(", ") };
        ui.note(&format!("No accounts. Sign in with: srvd operator login NAME   (forges: {forges})"));
        return Ok(());
    }
    for pending in pending.iter().filter(|pending| pending.reason.is_some()) {
        let reason = pending.reason.as_deref().unwrap_or_default();
        let id = &pending.account_id;
        ui.note(&plain_line(&format!(
            "The sign-in {id} is not complete: {reason}   (to forget it: srvd operator forget {id})"
        )));
    }
    let rows = tokens
        .iter()
        .map(|token| row(token, ui, now()))
        .chain(pending.iter().map(|pending| pending_row(pending, ui)));
    ui.result(&table::draw(ui, &["", "FORGE", "LOGIN", "ADDRESS", "STATE", "EXPIRES", "ID"], rows))
}

fn row(token: &OperatorAccount, ui: &Ui, now: i64) -> Vec<String> {
    vec![
        if token.active { "*" } else { "" }.to_owned(),
        token.forge_type.to_string(),
        token.account_login.clone(),
        token.base_url.clone(),
        vocabulary::tokens(&token.state).draw(ui),
        table::when(token.expires_at, now),
        token.account_id.clone(),
    ]
}

fn pending_row(pending: &PendingAccount, ui: &Ui) -> Vec<String> {
    let address = pending.base_url.clone().unwrap_or_default();
    let id = pending.account_id.clone();
    vec![
        String::new(),
        pending.forge_type.to_string(),
        "?".to_owned(),
        address,
        format!("{} not complete", Symbol::Unknown.text(ui)),
        String::new(),
        id,
    ]
}

async fn token(yes: bool, daemon: &Connection, ui: &Ui) -> Result<(), Failure> {
    let active = daemon.call(&GetActive {}).await?;
    let name = plain_line(&format!("{} at {}", active.account_login, active.base_url));
    prompt::confirm(ui, &format!("Print the token of {name}?"), yes).await?;
    let answer = daemon.call(&GetCredential::default()).await?;
    let missing = || Failure::new(code::BUG, "the daemon returned no token");
    let credential = answer.credential.ok_or_else(missing)?;
    ui.print(format!("{}\n", credential.token.expose()).as_bytes())
}

async fn forget(wanted: &str, yes: bool, daemon: &Connection, ui: &Ui) -> Result<(), Failure> {
    let known = daemon.call(&List {}).await?;
    let pending = known.pending.iter().find(|pending| pending.account_id == wanted);
    let (name, account_id) = if let Some(pending) = pending {
        (format!("the unfinished sign-in {wanted}"), pending.account_id.clone())
    } else {
        let token = chosen(&known.tokens, wanted)?;
        (format!("{} at {}", token.account_login, token.base_url), token.account_id.clone())
    };
    let name = plain_line(&name);
    let question = format!("Forget {name} on this machine? The tokens stay valid at the forge.");
    prompt::confirm(ui, &question, yes).await?;
    let done = daemon.call(&Delete { account_id }).await?;
    ui.result(&format!("Forgot {name}"))?;
    if done.was_active {
        ui.note("No account is in use now. Choose one with: srvd operator use ACCOUNT");
    }
    Ok(())
}

/// Returns the account with this id, or the only one with this login.
fn chosen<'a>(tokens: &'a [OperatorAccount], wanted: &str) -> Result<&'a OperatorAccount, Failure> {
    if let Some(token) = tokens.iter().find(|token| token.account_id == wanted) {
        return Ok(token);
    }
    let beginning = tokens.iter().filter(|token| resolve::begins(&token.account_id, wanted));
    if let Some(token) = resolve::only(beginning) {
        return Ok(token);
    }
    let mut fitting = tokens.iter().filter(|token| token.account_login == wanted);
    match (fitting.next(), fitting.next()) {
        (Some(token), None) => Ok(token),
        (Some(_), Some(_)) => {
            Err(Failure::new(code::FAILED, format!("several accounts are called {wanted}"))
                .hint(Step::UseOperatorId))
        }
        (None, _) => Err(Failure::new(code::FAILED, format!("no operator account is called {wanted}"))
            .hint(Step::ListOperators)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::tests::ui;
    use super::*;
    use crate::wire::operator::TokenState;

    fn configured(name: &str, forge_type: &str) -> ConfiguredForge {
        let [name, base_url, client_id] = [name, "https://git.example", "srvd"].map(str::to_owned);
        let forge_type = ForgeType::from(forge_type);
        ConfiguredForge { name, forge_type, base_url, client_id, flows: vec![Flow::Code], last_failure: None }
    }

    fn token(account_id: &str, account_login: &str) -> OperatorAccount {
        OperatorAccount {
            account_id: account_id.to_owned(),
            forge_type: ForgeType::Forgejo,
            base_url: "https://git.example".to_owned(),
            client_id: None,
            account_login: account_login.to_owned(),
            subject: "1".to_owned(),
            email: None,
            active: true,
            state: TokenState::Active,
            state_reason: None,
            expires_at: Some(2 * 60 * 60 * 1000),
            created_at: 0,
            updated_at: 0,
        }
    }

    #[test]
    fn forge_is_found_by_name_or_by_type_when_only_one_has_it() {
        let forges =
            [configured("work", "forgejo"), configured("home", "forgejo"), configured("github", "gitlab")];
        let check = |forges: &[ConfiguredForge], wanted: &str, expect: Result<&str, &str>| {
            let found =
                forge(forges, wanted).map(|forge| forge.name.clone()).map_err(|failure| failure.render());
            assert_eq!(found.as_deref().map_err(String::as_str), expect, "{wanted}");
        };
        check(&forges, "home", Ok("home"));
        check(&forges, "gitlab", Ok("github"));
        check(&forges, "github", Ok("github"));
        check(
            &forges,
            "forgejo",
            Err("srvd: there are several forges of the type forgejo\nhint: name one of: work, home, github"),
        );
        check(&forges, "x", Err("srvd: no forge is called x\nhint: name one of: work, home, github"));
        check(
            &[],
            "x",
            Err("srvd: no forge is configured\nhint: add [forges.x] to srvd.toml and restart the daemon"),
        );
    }

    #[test]
    fn account_is_found_by_id_or_by_login_when_unambiguous() {
        let tokens = [token("a1", "ada"), token("a2", "bob"), token("bob", "bob")];
        let check = |wanted: &str, expect: Option<&str>| {
            let found = chosen(&tokens, wanted).ok().map(|token| token.account_id.as_str());
            assert_eq!(found, expect, "{wanted}");
        };
        check("a1", Some("a1"));
        check("ada", Some("a1"));
        check("bob", Some("bob"));
        check("carl", None);
        assert!(chosen(&tokens[1..2], "bob").is_ok());
        assert!(chosen(&[token("a", "x"), token("b", "x")], "x").is_err());
    }

    #[test]
    fn row_marks_account_in_use() {
        let shown = ["*", "forgejo", "ada", "https://git.example", "✓ valid", "in 2 h", "a1"];
        assert_eq!(row(&token("a1", "ada"), &ui(None), 0), shown);
    }
}
