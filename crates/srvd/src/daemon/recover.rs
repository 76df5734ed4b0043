//! Recovery from a crash of an earlier daemon.
//!
//! The row of a login is written before its directory and ended after an unused directory is gone. A live row therefore
//! tells the next start what may be left to clean up.

use auth_spawner::{Cli, Registry};
use identity_store::Store;

use super::BootError;
use super::services::Directories;
use crate::base::blocking::BlockingTasks;
use crate::base::clock::now;
use crate::disk::identity_dir::homes::HomeOwner;
use crate::login;

/// Cleans up after a daemon that crashed: rows of logins, their processes and the directories they were given, files
/// that were being put into place, and directories of deleted accounts.
pub(super) async fn recover(
    store: &Store,
    registry: &Registry,
    blocking: &BlockingTasks,
    Directories { identities, leftovers, renewals }: &Directories,
) -> Result<(), BootError> {
    // The rows stay live until the processes are gone, so that the next boot can recover from a crash in between.
    for session in store.live_sessions().await? {
        let process = session.pid.zip(session.process_start);
        let ended = ended_leftover(blocking, session.id.as_str(), process).await;
        tracing::warn!(session = %session.id, ended, "a login was interrupted by the end of an earlier daemon");
        if session.new_bundle
            && let Some(bundle) = &session.target_bundle
        {
            login::discard_unmade(store, identities, bundle).await;
        }
        if let (Some(owner), Some(cli)) = (session.owner, cli_of(registry, session.provider.as_str())) {
            let home = HomeOwner::Agent(Some(owner.user), owner.agent);
            login::discard_unowned(store, identities, &identities.home(&home, cli)).await;
        }
    }
    // This runs before new logins can begin, because undoing a renewal later would damage them.
    renewals.settle_all(store, |_| false).await;
    store.fail_orphaned_sessions(now()).await?;
    leftovers.clear_all(store).await;
    Ok(())
}

fn cli_of<'a>(registry: &'a Registry, provider: &str) -> Option<&'a Cli> {
    registry.provider(provider)?.cli.as_ref()
}

/// Ends the version probes that a crashed daemon left; `probes` is their mark.
pub(super) async fn end_probes(blocking: &BlockingTasks, probes: &str) {
    ended_leftover(blocking, probes, None).await;
}

/// Ends the processes that are left of a session. Returns whether there were any.
async fn ended_leftover(blocking: &BlockingTasks, session: &str, process: Option<(u32, String)>) -> bool {
    let session = session.to_owned();
    let end = move || {
        let process = process.as_ref().map(|(pid, start)| auth_spawner::ProcessIdentity { pid: *pid, start });
        auth_spawner::end_leftover(&session, process)
    };
    blocking.run(end).await.unwrap_or_default()
}
