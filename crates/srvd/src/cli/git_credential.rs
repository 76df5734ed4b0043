//! `srvd git-credential`: the active forge's token for git, by git's protocol for credential helpers.
//!
//! It answers only where a bundle is in force: in a program that srvd started under one, or below a directory that
//! `srvd use` bound. Elsewhere it says nothing, and git asks its other helpers.

use std::io::Read as _;

use super::client::Connection;
use super::failure::{Failure, code};
use super::here::{self, Choice};
use super::subject::{Subject, SubjectArgs};
use super::ui::Ui;
use crate::base::environment::Environment;
use crate::config::Config;
use crate::hint::Step;
use crate::wire::forge_credential::{Credential, GetCredential, Rejected};
use crate::wire::{SecretInput, instance};

/// The maximum size of git's question, in bytes.
const LONGEST: u64 = 64 * 1024;

/// Answer git's questions for the active forge's token; git runs it
///
/// Set it up with: git config --global credential.helper '!srvd git-credential'
///
/// It answers for the active forge only (see: srvd operator list), and only in a program that srvd started under a
/// bundle, or below a directory that srvd use bound. A bundle with its own account of the forge's provider gets
/// nothing.
#[derive(Debug, clap::Args)]
pub(super) struct GitCredentialArgs {
    /// get, store or erase; git names it
    operation: String,
}

/// The parts of git's question that are used.
#[derive(Default)]
struct Question {
    protocol: Option<String>,
    host: Option<String>,
    path: Option<String>,
    username: Option<String>,
    password: Option<SecretInput>,
}

/// Answers git.
pub(super) async fn run(
    args: GitCredentialArgs,
    config: &Config,
    environment: &Environment,
    ui: &Ui,
) -> Result<(), Failure> {
    let mut text = zeroize::Zeroizing::new(String::new());
    std::io::stdin().take(LONGEST).read_to_string(&mut text).map_err(Failure::io)?;
    let question = Question::parse(&text);
    // Git also sends operations that this program does not know, and what it stores is stored already.
    let asks = matches!(args.operation.as_str(), "get" | "erase");
    let Some(force) = InForce::here(environment, config, ui).filter(|_| asks) else { return Ok(()) };
    let Some(url) = question.url() else { return Ok(()) };
    let daemon = Connection::open(config).await?;
    if args.operation == "erase" {
        if let Some(token) = question.password {
            daemon.call(&Rejected { url, token }).await?;
        }
        return Ok(());
    }
    let Some(bundle_id) = force.bundle(&daemon).await? else { return Ok(()) };
    let ask = GetCredential { url: Some(url), username: question.username, bundle_id: Some(bundle_id) };
    match daemon.call(&ask).await?.credential {
        Some(credential) => ui.print(answer(&credential).as_bytes()),
        None => Ok(()),
    }
}

/// The identity in force, which has a bundle.
enum InForce {
    /// An instance, by id.
    Instance(String),
    /// A bundle.
    Bundle(Choice),
}

impl InForce {
    /// Returns the identity that this program was launched under, or that the directory is bound to.
    fn here(environment: &Environment, config: &Config, ui: &Ui) -> Option<Self> {
        match SubjectArgs::default().inherited(environment) {
            Some(Subject::Instance(id)) => Some(Self::Instance(id)),
            Some(_) => None,
            None => here::choose(None, environment, config, ui).ok().map(Self::Bundle),
        }
    }

    /// Returns the id of the bundle; `None` for an instance without one.
    async fn bundle(&self, daemon: &Connection) -> Result<Option<String>, Failure> {
        match self {
            Self::Bundle(choice) => Ok(Some(choice.find(daemon).await?.id)),
            Self::Instance(id) => {
                let known = daemon.call(&instance::List::default()).await?.instances;
                Ok(known.into_iter().find(|one| one.id == *id).and_then(|one| one.bundle_id))
            }
        }
    }
}

impl Question {
    fn parse(text: &str) -> Self {
        let mut question = Self::default();
        for line in text.lines().take_while(|line| !line.is_empty()) {
            let Some((name, value)) = line.split_once('=') else { continue };
            let value = value.to_owned();
            match name {
                "protocol" => question.protocol = Some(value),
                "host" => question.host = Some(value),
                "path" => question.path = Some(value),
                "username" => question.username = Some(value),
                "password" => question.password = Some(SecretInput::new(value)),
                _ => {}
            }
        }
        question
    }

    fn url(&self) -> Option<String> {
        let path = self.path.as_deref().unwrap_or_default();
        Some(format!(
            "{}://{}/{}",
            self.protocol.as_deref()?,
            self.host.as_deref()?,
            path.trim_start_matches('/')
        ))
    }
}

/// Returns the answer in git's format.
fn answer(credential: &Credential) -> zeroize::Zeroizing<String> {
    let mut text = format!("username={}\npassword={}\n", credential.username, credential.token.expose());
    if let Some(at) = credential.expires_at {
        text.extend(["password_expiry_utc=", &(at / 1000).to_string(), "\n"]);
    }
    zeroize::Zeroizing::new(text)
}

/// Returns the failure for a launch with the variables of the forge, in a bundle with its own account there.
pub(super) fn own_account(provider: &str) -> Failure {
    Failure::new(
        code::FAILED,
        format!("the identity has its own account of {provider}, which --forge would replace"),
    )
    .hint(Step::WithoutForge)
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;

    use super::*;
    use crate::wire::operator::ForgeType;

    #[test]
    fn question_ends_at_an_empty_line_and_unknown_keys_are_ignored() {
        let text = "capability[]=authtype\nprotocol=https\nhost=git.example:3000\npath=o/r.git\nwwwauth[]=Basic realm=\"x\"\nusername=ada\n\nhost=evil.example\n";
        let question = Question::parse(text);
        assert_eq!(question.url().as_deref(), Some("https://git.example:3000/o/r.git"));
        assert_eq!(question.username.as_deref(), Some("ada"));
        assert!(question.password.is_none());
        assert_eq!(Question::parse("host=git.example\n").url(), None);
    }

    #[test]
    fn answer_has_the_expiry_in_seconds() {
        let credential = Credential {
            forge_type: ForgeType::Gitea,
            base_url: "https://git.example".to_owned(),
            username: "oauth2".to_owned(),
            token: SecretString::from("t").into(),
            expires_at: Some(1_790_000_000_999),
            environment: std::collections::BTreeMap::new(),
        };
        assert_eq!(*answer(&credential), "username=oauth2\npassword=t\npassword_expiry_utc=1790000000\n");
        assert_eq!(*answer(&Credential { expires_at: None, ..credential }), "username=oauth2\npassword=t\n");
    }
}
