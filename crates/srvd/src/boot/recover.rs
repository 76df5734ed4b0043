//! What a daemon that crashed left behind, and what the next one makes of it.

use super::BootError;
use crate::app::now;
use crate::leftovers::Broom;
use crate::login;
use crate::renewal::{self, Renewals};

/// Ends what a daemon that crashed left behind: rows of logins, their processes, the directories they were
/// given, files that were being put into place, directories of accounts that were deleted. Gives back the
/// renewals, which are settled.
pub(super) async fn recover(broom: Broom<'_>, renewals: Renewals) -> Result<Renewals, BootError> {
    let Broom { store, identities, .. } = broom;
    // The rows stay live until the processes are gone: a crash in between is understood by the next boot.
    for session in store.live_sessions().await? {
        let process = session.pid.zip(session.process_start);
        let ended = ended_leftover(session.id.as_str(), process).await;
        tracing::warn!(session = %session.id, ended, "a login was cut off by the end of an earlier daemon");
        if session.new_bundle
            && let Some(bundle) = &session.target_bundle
        {
            login::discard_unmade(store, identities, bundle).await;
        }
    }
    // Before new logins can begin: what is undone later would spoil them.
    renewal::settle_all(store, &renewals, |_| false).await;
    store.fail_orphaned_sessions(now()).await?;
    broom.clear_all().await;
    Ok(renewals)
}

/// Ends what asked a CLI for its version when a daemon crashed; `probes` is their mark.
pub(super) async fn end_probes(probes: &str) {
    ended_leftover(probes, None).await;
}

/// Ends what is left of a session, off the runtime's threads; says whether there was anything.
async fn ended_leftover(session: &str, process: Option<(u32, String)>) -> bool {
    let session = session.to_owned();
    let end = move || {
        let process = process.as_ref().map(|(pid, start)| (*pid, start.as_str()));
        auth_spawner::end_leftover(&session, process)
    };
    tokio::task::spawn_blocking(end).await.unwrap_or_default()
}
