//! `srvd pair`: gives a page or a program a token of its own. `srvd tokens`: lists and revokes these tokens.

use super::client::Connection;
use super::failure::{Failure, code};
use super::list::Format;
use super::login::browser::Opener;
use super::ui::{Ui, plain_line};
use super::{prompt, table};
use crate::base::clock::now;
use crate::hint::Step;
use crate::wire::pair::{Answer, ListTokens, PairStatus, Pairing, Poll, Revoke, Start, Started, Token};

/// The longest time that one poll waits for a client, in milliseconds.
const POLL_WAIT_MS: u64 = 20_000;

/// Arguments of `srvd pair`.
#[derive(Debug, clap::Args)]
pub(super) struct PairArgs {
    /// The permissions of the client: one or more of read, login, launch and admin, separated by commas
    ///
    /// Only launch lets the client receive credentials.
    #[arg(long, value_name = "SCOPES", default_value = "login")]
    scope: String,
    /// The origin of the page, if it is not in listen.origins of srvd.toml; vscode-webview://* allows any host
    #[arg(long, value_name = "ORIGIN")]
    origin: Option<String>,
    /// Open this page in the browser, with the code in the fragment of its address
    #[arg(long, value_name = "URL")]
    open: Option<String>,
    /// Give the token to the first client with the code, without asking
    #[arg(long, short)]
    yes: bool,
}

/// Arguments of `srvd tokens`.
#[derive(Debug, clap::Args)]
pub(super) struct TokensArgs {
    #[command(subcommand)]
    action: Option<TokensCommand>,
    #[command(flatten)]
    format: Format,
}

/// Subcommands of `srvd tokens`.
#[derive(Debug, clap::Subcommand)]
pub(super) enum TokensCommand {
    /// List the tokens of paired clients (the default)
    List(Format),
    /// Revoke a token and close its connections
    Revoke {
        /// The token, by id, or by a unique name
        token: String,
    },
}

/// Opens a pairing, shows its code and asks about the client that exchanges it.
pub(super) async fn pair(
    args: PairArgs,
    daemon: &Connection,
    opener: Opener,
    ui: &Ui,
) -> Result<(), Failure> {
    let start = Start { scopes: Some(args.scope), origin: args.origin };
    let started = daemon.call(&start).await?;
    let url = daemon.endpoint.url.as_deref().unwrap_or("(the daemon does not listen on TCP)");
    ui.note(&instructions(&started, url));
    if let Some(page) = &args.open {
        let address = format!("{page}#srvd-pair={}", started.code);
        // The outcome of the browser is not needed: the code can be typed.
        let _opening = opener.start(&address);
    }
    let pairing = exchanged(daemon, &started.pairing_id).await?;
    if pairing.status != PairStatus::Asked {
        return Err(ended(&pairing.status));
    }
    let agreed = prompt::confirm(ui, &question(&pairing), args.yes).await;
    let answer = Answer { pairing_id: started.pairing_id, accept: agreed.is_ok() };
    let answered = daemon.call(&answer).await?;
    agreed?;
    if !answered.success {
        return Err(ended(&PairStatus::Expired));
    }
    ui.result(&format!(
        "Paired: {} ({})\nEnd it with: srvd tokens revoke {}",
        name(&pairing),
        words(&pairing.scopes),
        super::failure::shell_word(&name(&pairing))
    ))
}

/// Lists the tokens, or revokes one.
pub(super) async fn tokens(args: TokensArgs, daemon: &Connection, ui: &Ui) -> Result<(), Failure> {
    let known = daemon.call(&ListTokens {}).await?;
    match args.action {
        Some(TokensCommand::Revoke { token }) => {
            let token = chosen(&known.tokens, &token)?;
            daemon.call(&Revoke { token_id: token.id.clone() }).await?;
            ui.result(&format!("Revoked: {}", plain_line(&token.name)))
        }
        Some(TokensCommand::List(format)) if format.json => ui.json(&known),
        None if args.format.json => ui.json(&known),
        _ if known.tokens.is_empty() => {
            ui.note("No client is paired. Pair one with: srvd pair");
            Ok(())
        }
        _ => {
            let header = ["NAME", "SCOPES", "ORIGIN", "PAIRED", "ID"];
            ui.result(&table::draw(ui, &header, known.tokens.iter().map(cells)))
        }
    }
}

fn cells(token: &Token) -> Vec<String> {
    vec![
        token.name.clone(),
        words(&token.scopes),
        token.origin.clone().unwrap_or_default(),
        table::when(Some(token.created_at), now()),
        token.id.clone(),
    ]
}

/// Returns the token with this id, or the only one with this name.
fn chosen<'a>(tokens: &'a [Token], wanted: &str) -> Result<&'a Token, Failure> {
    if let Some(token) = tokens.iter().find(|token| token.id == wanted) {
        return Ok(token);
    }
    let mut named = tokens.iter().filter(|token| token.name == wanted);
    match (named.next(), named.next()) {
        (Some(token), None) => Ok(token),
        (Some(_), Some(_)) => {
            Err(Failure::new(code::FAILED, format!("there are several tokens called {}", plain_line(wanted)))
                .hint(Step::NameTokenId))
        }
        (None, _) => Err(Failure::new(code::FAILED, format!("no token is called {}", plain_line(wanted)))
            .hint(Step::ListTokens)),
    }
}

/// Waits until a client has exchanged the code, or the pairing has ended.
async fn exchanged(daemon: &Connection, id: &str) -> Result<Pairing, Failure> {
    loop {
        let poll = Poll { pairing_id: id.to_owned(), wait_ms: Some(POLL_WAIT_MS) };
        let pairing = daemon.call(&poll).await?;
        if pairing.status != PairStatus::Waiting {
            return Ok(pairing);
        }
    }
}

fn instructions(started: &Started, url: &str) -> String {
    let (first, last) = started.code.split_at(started.code.len() / 2);
    format!(
        "Enter this code in the page or program within a minute: {first} {last}\nThe daemon is at {url}; it will be asked for: {}",
        words(&started.scopes)
    )
}

fn question(pairing: &Pairing) -> String {
    let place = match &pairing.origin {
        Some(origin) => format!("the page at {}", plain_line(origin)),
        None => "a program on this machine".to_owned(),
    };
    format!(
        "{} ({place}) has entered the code. Give it a token for: {}?",
        name(pairing),
        words(&pairing.scopes)
    )
}

fn name(pairing: &Pairing) -> String {
    plain_line(pairing.name.as_deref().unwrap_or_default())
}

fn words(scopes: &[crate::wire::scope::Scope]) -> String {
    scopes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn ended(status: &PairStatus) -> Failure {
    let reason = match status {
        PairStatus::TooManyCodes => "five wrong codes were entered, so the pairing has ended",
        PairStatus::Expired => "the time is over",
        _ => "the pairing has ended",
    };
    Failure::new(code::FAILED, reason).hint(Step::PairAgain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::scope::Scope;

    #[test]
    fn question_names_the_client_and_its_permissions_in_one_line() {
        let pairing = Pairing {
            pairing_id: "p".to_owned(),
            status: PairStatus::Asked,
            name: Some("My page\u{1b}[2J".to_owned()),
            origin: Some("http://localhost:3000".to_owned()),
            scopes: vec![Scope::Read, Scope::Login],
        };
        let text = question(&pairing);
        assert!(text.starts_with("My page") && !text.contains('\u{1b}'), "{text:?}");
        assert!(text.contains("the page at http://localhost:3000"), "{text}");
        assert!(text.ends_with("Give it a token for: read, login?"), "{text}");
        let program = Pairing { origin: None, ..pairing };
        assert!(question(&program).contains("a program on this machine"));
    }

    #[test]
    fn token_is_chosen_by_id_or_by_a_unique_name() {
        let token = |id: &str, name: &str| Token {
            id: id.to_owned(),
            name: name.to_owned(),
            scopes: Vec::new(),
            origin: None,
            created_at: 0,
        };
        let tokens = [token("1", "page"), token("2", "page"), token("3", "tool")];
        let found = |wanted: &str| chosen(&tokens, wanted).map(|token| token.id.clone()).ok();
        assert_eq!(
            [found("3"), found("tool"), found("page"), found("none")],
            [Some("3".to_owned()), Some("3".to_owned()), None, None]
        );
    }
}
