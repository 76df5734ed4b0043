//! `srvd profiles`: the credentials that users provided for agents.

use super::client::Connection;
use super::failure::{Failure, code};
use super::list::{Format, kind, report_corrupt};
use super::ui::{Ui, plain_line};
use super::{table, vocabulary};
use crate::base::clock::now;
use crate::hint::Step;
use crate::wire::Source;
use crate::wire::profile::{Delete, List, Profile, Profiles, Reorder};

/// Arguments of `srvd profiles`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct ProfilesArgs {
    #[command(flatten)]
    list: ListArgs,
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Default, clap::Args)]
struct ListArgs {
    /// Only the credentials of this user
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// Only the credentials for this agent, and those that a file declares for it
    #[arg(long, value_name = "AGENT")]
    agent: Option<String>,
    #[command(flatten)]
    format: Format,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Remove a credential: its secrets, and the directory of its login
    Remove {
        /// The profile, by its id in the list
        profile: String,
    },
    /// Set the order in which a user's credentials of one provider are tried
    Reorder {
        /// The profiles, by id, the first choice first; each of the user, the agent and the provider once
        #[arg(required = true)]
        profiles: Vec<String>,
    },
}

/// Lists, removes or reorders profiles.
pub(super) async fn run(args: ProfilesArgs, daemon: &Connection, ui: &Ui) -> Result<(), Failure> {
    match args.action {
        None => list(args.list, daemon, ui).await,
        Some(Action::Remove { profile }) => {
            let gone = daemon.call(&Delete { profile_id: profile.clone() }).await?;
            ui.result(&format!(
                "Removed the profile {} ({} {})",
                plain_line(&profile),
                gone.secrets_deleted,
                if gone.secrets_deleted == 1 { "secret" } else { "secrets" }
            ))
        }
        Some(Action::Reorder { profiles }) => reorder(profiles, daemon, ui).await,
    }
}

async fn list(args: ListArgs, daemon: &Connection, ui: &Ui) -> Result<(), Failure> {
    let found = daemon.call(&List { user_id: args.user, agent_id: args.agent }).await?;
    if args.format.json {
        return ui.json(&found);
    }
    report_corrupt(&found.corrupt, ui);
    show(&found, ui)
}

async fn reorder(profile_ids: Vec<String>, daemon: &Connection, ui: &Ui) -> Result<(), Failure> {
    let known = daemon.call(&List::default()).await?.profiles;
    let first = profile_ids.first().and_then(|id| known.iter().find(|known| known.id == *id));
    let named = first.and_then(|profile| Some((profile, profile.user_id.clone()?)));
    let Some((profile, user_id)) = named else {
        let message = format!("no user has the profile {}", plain_line(&profile_ids[0]));
        return Err(Failure::new(code::USAGE, message).hint(Step::ListProfiles));
    };
    let (agent_id, provider_id) = (profile.agent_id.clone(), profile.provider_id.clone());
    let order = daemon.call(&Reorder { user_id, agent_id, provider_id, profile_ids }).await?;
    show(&order, ui)
}

fn show(found: &Profiles, ui: &Ui) -> Result<(), Failure> {
    if found.profiles.is_empty() {
        ui.note("No profiles. A user logs in with: srvd login PROVIDER --user USER");
        return Ok(());
    }
    let rows = found.profiles.iter().map(|profile| row(profile, ui, now()));
    let header = ["USER", "AGENT", "PROVIDER", "CREDENTIAL", "KIND", "STATUS", "EXPIRES", "ID"];
    ui.result(&table::draw(ui, &header, rows))
}

fn row(profile: &Profile, ui: &Ui, now: i64) -> Vec<String> {
    let user = match (&profile.source, &profile.user_id) {
        (Source::Declared, _) | (_, None) => "(declared)".to_owned(),
        (_, Some(user)) => user.clone(),
    };
    let named = profile.label.as_ref().or(profile.email.as_ref()).cloned().unwrap_or_default();
    vec![
        user,
        profile.agent_id.clone(),
        profile.provider_id.clone(),
        named,
        kind(&profile.kind),
        vocabulary::credential(&profile.status, Some(&profile.kind)).draw(ui),
        table::when(profile.expires_at, now),
        profile.id.clone(),
    ]
}
