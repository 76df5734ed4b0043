//! `srvd login --cancel`: ends a login that another client has started and left.

use super::super::client::Connection;
use super::super::failure::{Failure, code};
use super::super::owner::OwnerArgs;
use super::super::resolve;
use super::super::ui::{Ui, plain_line};
use crate::hint::Step;
use crate::wire::auth::{Cancel, List, Outcome, Session};
use crate::wire::provider;

/// Cancels the running login of a provider: the one for a bundle or a user, or the only one.
pub(super) async fn run(
    wanted: &str,
    bundle: Option<&str>,
    owner: &OwnerArgs,
    daemon: &Connection,
    ui: &Ui,
) -> Result<(), Failure> {
    let only = provider::List { provider_id: Some(wanted.to_owned()) };
    let mut providers = daemon.call(&only).await?.providers;
    let name = providers.pop().map_or_else(|| wanted.to_owned(), |provider| provider.id);
    let cancel = if let Some(bundle) = bundle {
        let bundle_id = Some(resolve::existing(daemon, bundle).await?);
        Cancel { bundle_id, provider_id: Some(name.clone()), ..Cancel::default() }
    } else if let Some(user) = &owner.user {
        let (user_id, agent_id) = (Some(user.clone()), owner.agent.clone());
        Cancel { user_id, agent_id, provider_id: Some(name.clone()), ..Cancel::default() }
    } else {
        let sessions = daemon.call(&List::default()).await?.sessions;
        Cancel { session_id: Some(running(&sessions, &name)?), ..Cancel::default() }
    };
    let Outcome { success, error, .. } = daemon.call(&cancel).await?;
    if success {
        return ui.result(&format!("Cancelled the login of {}", plain_line(&name)));
    }
    let reason = error.unwrap_or_else(|| format!("no login of {name} is running"));
    Err(Failure::new(code::FAILED, plain_line(&reason)))
}

/// Returns the only session of a provider that has not ended.
fn running(sessions: &[Session], provider: &str) -> Result<String, Failure> {
    let live = |session: &&Session| {
        session.provider_id == provider && session.ended_at.is_none() && !session.status.is_terminal()
    };
    let mut live = sessions.iter().filter(live);
    match (live.next(), live.next()) {
        (Some(session), None) => Ok(session.session_id.clone()),
        (Some(_), Some(_)) => {
            let provider = plain_line(provider);
            let message = format!("several logins of {provider} are running");
            Err(Failure::new(code::FAILED, message).hint(Step::CancelOne { provider: provider.into() }))
        }
        (None, _) => {
            Err(Failure::new(code::FAILED, format!("no login of {} is running", plain_line(provider))))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::auth::SessionStatus;

    #[test]
    fn running_login_is_found_only_when_it_is_the_only_one() {
        let session = |id: &str, provider: &str, ended: bool| -> Session {
            let mut value = serde_json::json!({
                "sessionId": id, "providerId": provider, "revision": 1, "status": "pending",
                "startedAt": 1, "expiresAt": 2,
            });
            if ended {
                value["endedAt"] = 2.into();
                value["status"] = serde_json::json!(SessionStatus::Failed);
            }
            serde_json::from_value(value).unwrap()
        };
        let all = [session("a", "codex", true), session("b", "codex", false), session("c", "gemini", false)];
        assert_eq!(running(&all, "codex"), Ok("b".to_owned()));
        assert!(running(&all, "claude").unwrap_err().render().contains("no login of claude is running"));
        let two = [session("a", "codex", false), session("b", "codex", false)];
        assert!(running(&two, "codex").unwrap_err().render().contains("--cancel --bundle BUNDLE"));
    }
}
