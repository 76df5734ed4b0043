//! One run of a CLI that is to renew its login: what comes before it, its outcome, and the record of it.

use std::time::{Duration, SystemTime};

use auth_spawner::{Cli, Credential, LockSeen, LoginCommand, Reach};
use identity_store::{AccountId, AuditEntry, Keeping, RefusedLogin, StoreError};
use tokio::time::{Instant, sleep};

use super::flight::{Keeper, KeeperState, Subject, lock};
use super::notice;
use super::outcome::{self, Outcome};
use super::schedule::{self, SOON, Step, Why};
use super::seen::{self, Seen};
use crate::base::clock::now;
use crate::disk::space;
use crate::login::Located;
use crate::wire::error::with_causes;

/// The time after which a file that a CLI's answer contradicts is read again. Another process may have renewed the
/// login in the same moment, and may be about to save it.
const RACE: Duration = Duration::from_secs(1);
/// The pauses before a file that cannot be read is read again. A process may be writing it.
const UNREADABLE: [Duration; 3] =
    [Duration::from_millis(50), Duration::from_millis(200), Duration::from_millis(500)];
/// The interval at which the lock of another process is looked at.
const LOOK: Duration = Duration::from_millis(250);
/// The time for which a launch waits for the lock of another process.
const LOCKED: Duration = Duration::from_secs(4);
/// The time in which a CLI of an earlier daemon may end.
const LEFT: Duration = Duration::from_secs(20);
/// The age up to which a lock that was left explains that a CLI did not renew its login.
const LASTING: Duration = Duration::from_secs(150);
/// The pause before the CLI is run again then, in milliseconds.
const RETRY: i64 = 5_000;
/// The pause after an attempt for which no CLI was found that can be used, in milliseconds.
const NO_CLI: i64 = 60 * 60 * 1000;

/// The end of a flight.
enum Landed {
    /// The CLI was run, or could not be.
    Ran(Outcome),
    /// Nothing had to be run.
    Unneeded,
    /// The run has to wait until this time.
    Later(i64),
}

impl KeeperState {
    /// Runs the CLI of an account, and records the outcome.
    pub(super) async fn fly(&self, keeper: &Keeper, id: &AccountId, why: Why) {
        let turn = tokio::select! {
            biased;
            () = self.config.stop.cancelled() => return,
            turn = self.turns.acquire() => turn,
        };
        self.alone.get_or_init(|| self.outlast()).await;
        let (Ok(_turn), Ok(Some(subject))) = (turn, keeper.subject(id).await) else { return };
        let landed = self.run(keeper, &subject, why).await;
        let done = match landed {
            Landed::Unneeded => Ok(()),
            Landed::Later(at) => {
                let keeping = Keeping { next_at: Some(at), ..subject.account.keeping.clone() };
                self.config.store.record_keeping(id, keeping, now()).await
            }
            Landed::Ran(outcome) => self.record(keeper, &subject, why, &outcome).await,
        };
        if let Err(error) = done {
            tracing::warn!(account = %id, error = with_causes(&error), "the renewal of a login could not be recorded");
        }
        self.config.signal.changed(id);
    }

    /// Waits for the CLIs that an earlier daemon left, because one of them may be saving a new token. Those that do not end
    /// in time are ended.
    async fn outlast(&self) {
        let deadline = Instant::now() + LEFT;
        let mark = self.config.mark.clone();
        let runs = |mark: String| self.config.blocking.run(move || auth_spawner::is_marked(&mark));
        while let Ok(true) = runs(mark.clone()).await {
            if Instant::now() >= deadline || self.config.stop.is_cancelled() {
                let end = move || auth_spawner::end_leftover(&mark, None);
                let _ = self.config.blocking.run(end).await;
                return;
            }
            sleep(LOOK).await;
        }
    }

    async fn run(&self, keeper: &Keeper, subject: &Subject, why: Why) -> Landed {
        let settings = self.config.settings;
        let Step::Run { early } = subject.plan(settings, why, now()).step else { return Landed::Unneeded };
        let (Some(cli), Some(keep), Some(before)) = (subject.cli(), subject.keep(), subject.seen.login())
        else {
            return Landed::Unneeded;
        };
        let located = match self.config.logins.programs().located(&subject.provider, cli).await {
            Ok(located) => located,
            Err(error) => return not_run("not_installed", error.message()),
        };
        if keep.is_too_old(located.version.as_deref()) {
            let version = located.version.as_deref().unwrap_or("an unknown version");
            let since = keep.since.as_deref().unwrap_or_default();
            return not_run(
                "old_version",
                &format!("its CLI is {version}; the command is known since {since}"),
            );
        }
        if why == Why::Due
            && let Some(version) = &located.version
            && let Some(until) = self.held(subject, version)
        {
            return Landed::Later(until);
        }
        let dir = subject.dir.path.clone();
        match self.config.blocking.run(move || space::objection(&dir)).await {
            Ok(None) => {}
            Ok(Some(reason)) => return not_run("disk_full", &reason),
            Err(_) => return Landed::Unneeded,
        }
        match self.unlocked(keeper, subject, cli, why).await {
            Unlocked::Free => {}
            Unlocked::Done => return Landed::Unneeded,
            Unlocked::Until(at) => return Landed::Later(at),
        }
        let outcome = self.renew(subject, &located, before, early).await;
        // The CLI leaves its login alone while it believes that another process renews it.
        if outcome == Outcome::Unchanged
            && self.lock_of(subject, cli).await.is_some_and(|lock| lock.age < LASTING)
        {
            return Landed::Later(now() + RETRY);
        }
        Landed::Ran(outcome)
    }

    /// Returns the lock of a process that renews the login, or that has left its lock.
    async fn lock_of(&self, subject: &Subject, cli: &Cli) -> Option<LockSeen> {
        let (cli, dir) = (cli.clone(), subject.dir.path.clone());
        let seen = self.config.blocking.run(move || cli.renewing_lock(&dir, SystemTime::now())).await;
        seen.ok().flatten()
    }

    /// Runs the CLI, and judges the run by the files.
    async fn renew(&self, subject: &Subject, located: &Located, before: &Credential, early: bool) -> Outcome {
        let keep = subject.keep();
        let limit = keep.map_or(1, |keep| keep.limit_s);
        let command = LoginCommand {
            provider: &subject.provider,
            program: &located.path,
            environment: &self.config.environment,
            shared: self.config.logins.programs().shared(),
            dir: subject.dir.path.clone(),
            reach: subject.cli().map_or(Reach::Bundle, |cli| self.config.identities.reach(cli, &subject.dir)),
            work_dir: &self.config.work_dir,
            limit: Duration::from_secs(u64::from(limit)),
        };
        tracing::info!(account = %subject.account.id, provider = subject.provider.id, early, "a CLI renews its login");
        let run = command.renew(early).await;
        let refusal = keep.map(|keep| keep.refusal).unwrap_or_default();
        let judged = outcome::judge(before, &self.look(subject).await, &run, refusal);
        if judged != Outcome::Refused {
            return judged;
        }
        sleep(RACE).await;
        outcome::judge(before, &self.look(subject).await, &run, refusal)
    }

    async fn look(&self, subject: &Subject) -> Seen {
        let look = || seen::look(&self.config.identities, &subject.account, &subject.provider, &subject.dir);
        let mut found = look().await;
        for pause in UNREADABLE {
            if !matches!(found, Seen::Unreadable(_)) {
                break;
            }
            sleep(pause).await;
            found = look().await;
        }
        found
    }

    /// Returns the time until which an account waits for the first renewal with a new version.
    fn held(&self, subject: &Subject, version: &str) -> Option<i64> {
        let (id, known) = (&subject.account.id, subject.account.keeping.version.as_deref());
        lock(&self.canaries).wait(&subject.provider.id, id.as_str(), known, version, now())
    }

    /// Waits for the lock of another process that renews the same login.
    async fn unlocked(&self, keeper: &Keeper, subject: &Subject, cli: &Cli, why: Why) -> Unlocked {
        let deadline = Instant::now() + LOCKED;
        loop {
            let seen = self.lock_of(subject, cli).await;
            let Some(lock) = seen.filter(|lock| !lock.stale_in.is_zero()) else { break };
            if why == Why::Due || Instant::now() >= deadline {
                let left = i64::try_from(lock.stale_in.as_millis()).unwrap_or(SOON);
                return Unlocked::Until(now() + left.min(SOON));
            }
            sleep(LOOK).await;
        }
        // The other process may have renewed the login.
        match keeper.subject(&subject.account.id).await {
            Ok(Some(again))
                if matches!(again.plan(self.config.settings, why, now()).step, Step::Run { .. }) =>
            {
                Unlocked::Free
            }
            _ => Unlocked::Done,
        }
    }

    /// Stores the outcome of a run, and tells the user about a refusal.
    async fn record(
        &self,
        keeper: &Keeper,
        subject: &Subject,
        why: Why,
        outcome: &Outcome,
    ) -> Result<(), StoreError> {
        let (id, at) = (&subject.account.id, now());
        let found = self.look(subject).await;
        let version = self.version(subject).await;
        let mark = subject.seen.login().and_then(|login| login.refresh_mark);
        let mark = mark.map(|mark| mark.to_string()).unwrap_or_default();
        tracing::info!(account = %id, outcome = outcome.word(), "the renewal of a login ended");
        self.config.auditor.note(AuditEntry {
            at,
            actor: "srvd".to_owned(),
            action: "account.keepalive".to_owned(),
            subject: id.to_string(),
            outcome: outcome.word().to_owned(),
            detail: Some(format!(
                "{}: {}",
                why.word(),
                outcome.detail().unwrap_or_else(|| "renewed".to_owned())
            )),
        });
        if outcome.is_dead() {
            notice::dead(keeper.broker(), &subject.account, &outcome.detail().unwrap_or_default(), at);
        }
        for id in std::iter::once(id).chain(&subject.siblings) {
            let before = self.config.store.account(id).await?.keeping;
            let refused = if outcome.is_dead() {
                Some(RefusedLogin { mark: mark.clone(), at })
            } else {
                before.refused.clone().filter(|_| found.login().is_none())
            };
            let keeping = Keeping { refused, ..after(&before, outcome, version.clone(), at) };
            self.config.store.record_keeping(id, keeping, at).await?;
        }
        Ok(())
    }

    async fn version(&self, subject: &Subject) -> Option<String> {
        let located = self.config.logins.programs().located(&subject.provider, subject.cli()?).await;
        located.ok()?.version
    }
}

/// The result of waiting for a lock.
enum Unlocked {
    /// No other process renews the login.
    Free,
    /// The login needs no renewal any more.
    Done,
    /// Another process renews it. It is looked at again at this time.
    Until(i64),
}

fn not_run(word: &'static str, reason: &str) -> Landed {
    Landed::Ran(Outcome::NotRun(word, reason.to_owned()))
}

/// Returns the state after an outcome, apart from the refused login.
fn after(before: &Keeping, outcome: &Outcome, version: Option<String>, at: i64) -> Keeping {
    let moved = matches!(outcome, Outcome::Moved { .. });
    let failures = if moved || outcome.is_dead() { 0 } else { before.failures.saturating_add(1) };
    let pause = match outcome {
        Outcome::NotRun("not_installed" | "old_version", _) => NO_CLI,
        _ => schedule::back_off(failures, i64::from(getrandom::u32().unwrap_or(100) % 200)),
    };
    Keeping {
        kept_at: if moved { Some(at) } else { before.kept_at },
        tried_at: Some(at),
        outcome: Some(outcome.word().to_owned()),
        detail: outcome.detail(),
        next_at: (failures > 0).then(|| at + pause),
        failures,
        version: if moved { version } else { before.version.clone() },
        ..before.clone()
    }
}

impl Why {
    /// The word in the audit log.
    fn word(self) -> &'static str {
        match self {
            Self::Due => "due",
            Self::Launch => "launch",
            Self::Asked => "asked",
            Self::Refused => "refused",
        }
    }
}
