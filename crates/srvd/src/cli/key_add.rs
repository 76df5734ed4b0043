//! `srvd add-key`: stores an API key. The key is never on the command line, which every user of the machine can read.

use secrecy::ExposeSecret as _;

use super::client::Connection;
use super::failure::{self, Failure, code};
use super::owner::OwnerArgs;
use super::ui::{Ui, plain_line};
use super::{owner, prompt, resolve};
use crate::hint::Step;
use crate::wire::auth::{KeyOutcome, SubmitApiKey};
use crate::wire::error::ErrorKind;
use crate::wire::{SecretInput, Status, bundle};

/// Arguments of `srvd add-key`.
#[derive(Debug, clap::Args)]
pub(super) struct AddKeyArgs {
    /// The provider, as listed by `srvd providers`
    provider: String,
    /// The bundle for the key, by name or id
    #[arg(long, value_name = "BUNDLE")]
    bundle: Option<String>,
    /// Make the bundle if it does not exist
    #[arg(long, requires = "bundle")]
    new: bool,
    #[command(flatten)]
    owner: OwnerArgs,
    /// The name of the account
    #[arg(long, value_name = "NAME", default_value = "API key")]
    name: String,
    /// The name of a secret in srvd.toml, to use in place of a key
    #[arg(long, value_name = "SECRET", conflicts_with = "base_url")]
    from: Option<String>,
    /// The address of the service, if it is not the provider's usual address
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,
    /// Store the key without checking it with the provider
    #[arg(long)]
    no_validate: bool,
}

/// Asks for the key, sends it to the daemon and prints the result.
pub(super) async fn run(args: AddKeyArgs, daemon: &Connection, ui: &Ui) -> Result<(), Failure> {
    let target = resolve::target(daemon, args.bundle.as_deref(), args.new, ui).await?;
    let api_key = match &args.from {
        Some(_) => None,
        None => Some(ask(&args.provider, ui).await?),
    };
    let params = SubmitApiKey {
        provider_id: args.provider.clone(),
        into_bundle_id: target.into_bundle_id,
        bundle_name: target.bundle_name,
        user_id: args.owner.user.clone(),
        agent_id: args.owner.agent.clone(),
        api_key,
        secret_name: args.from,
        base_url: args.base_url,
        account_name: args.name,
        validate: args.no_validate.then_some(false),
    };
    let outcome = daemon.client.call(&params).await.map_err(|error| {
        failure::of_call(&error, |error| {
            let wrong_way = failure::field(error, "field") == Some("providerId");
            // The daemon names the provider that takes keys, if there is one.
            let taken = error.data.as_ref().is_some_and(|data| data.get("takesKeys").is_some());
            let provider = (&args.provider).into();
            (wrong_way && !taken).then(|| match args.owner.words() {
                Some([user, agent]) => Step::LogInUser { provider, user, agent }.into(),
                None => Step::LogInInstead { provider }.into(),
            })
        })
    })?;
    let id = stored(&outcome)?;
    let place = match (&outcome.bundle_id, &args.owner.user) {
        (Some(id), _) => {
            let bundle = daemon.call(&bundle::Get { bundle_id: id.clone() }).await?.name;
            format!("to bundle \"{}\"", plain_line(&bundle))
        }
        (None, Some(user)) => owner::place(user, args.owner.agent.as_deref()),
        (None, None) => String::new(),
    };
    ui.result(&format!("Added an API key of {} {place} (account {id})", args.provider))?;
    ui.result(&verdict(&outcome))
}

async fn ask(provider: &str, ui: &Ui) -> Result<SecretInput, Failure> {
    let question = format!("API key for {} (not shown): ", plain_line(provider));
    let key = prompt::hidden(ui, &question).await;
    let key = key
        .filter(|key| !key.expose_secret().trim().is_empty())
        .ok_or_else(|| Failure::new(code::USAGE, "no key was given").hint(Step::TypeKey))?;
    Ok(SecretInput::new(key.expose_secret().to_owned()))
}

/// Returns the account's id, or the failure that explains why there is none.
fn stored(outcome: &KeyOutcome) -> Result<&str, Failure> {
    outcome.account_id.as_deref().filter(|_| outcome.success).ok_or_else(|| {
        let reason = outcome.error.as_deref().unwrap_or("the daemon did not store the key");
        let step = match outcome.error_kind {
            Some(ErrorKind::Conflict) => Step::StoreUnchecked,
            _ => Step::KeyNotStored,
        };
        Failure::new(code::FAILED, reason).hint(step)
    })
}

fn verdict(outcome: &KeyOutcome) -> String {
    match (&outcome.status, &outcome.status_reason) {
        (Some(Status::Valid), _) => "The provider accepted the key.".to_owned(),
        (_, Some(reason)) => {
            format!("The key was stored, but it is not known to be valid: {}.", plain_line(reason))
        }
        (_, None) => "The key was stored, but it is not known to be valid.".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_outcome_reports_accepted_unknown_or_refused() {
        let outcome = |success: bool, status: Option<Status>, error: Option<&str>| KeyOutcome {
            success,
            bundle_id: success.then(|| "b".to_owned()),
            account_id: success.then(|| "a".to_owned()),
            profile_id: None,
            status,
            status_reason: error.filter(|_| success).map(str::to_owned),
            error: error.filter(|_| !success).map(str::to_owned),
            error_kind: None,
        };
        let check = |outcome: &KeyOutcome, expect: Result<&str, (u8, &str)>| {
            let got = stored(outcome)
                .map(|_| verdict(outcome))
                .map_err(|failure| (failure.code(), failure.render()));
            assert_eq!(got, expect.map(str::to_owned).map_err(|(code, text)| (code, text.to_owned())));
        };
        check(&outcome(true, Some(Status::Valid), None), Ok("The provider accepted the key."));
        check(
            &outcome(true, Some(Status::Unknown), Some("the provider was not asked")),
            Ok("The key was stored, but it is not known to be valid: the provider was not asked."),
        );
        check(
            &outcome(false, None, Some("OpenAI rejected the key (HTTP status 401)")),
            Err((1, "srvd: OpenAI rejected the key (HTTP status 401)\nhint: the key was not stored")),
        );
    }
}
