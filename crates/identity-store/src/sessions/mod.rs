//! Login sessions. Their rows are written before the CLI starts and are ended once.

mod prune;

use crate::authentic::{Fields, LOGIN_SESSIONS, Seal, census, fields_in, known};
use crate::db::{Tx, Undecoded, readable, row, sql};
use crate::error::StoreError;
use crate::id::{BundleId, ProfileId, SessionId};
use crate::model::changes::Change;
use crate::model::session::{
    LoginOwner, LoginResult, LoginSession, NewSession, SessionEnd, SessionState, SessionUpdate,
};
use crate::names;
use crate::secret::Keyring;
use crate::store::Store;
use crate::store::work::Work;

/// The kind of row, for errors.
const WHAT: &str = "session";

/// The columns of [`SessionRow`].
macro_rules! columns {
    () => {
        concat!("id, provider, recipe, target_bundle, new_bundle, state, revision, pid, process_start, bundle_id, \
         account_id, email, target_user, target_agent, profile_id, error, error_kind, hint, exit_code, started_at, \
         expires_at, updated_at, ended_at, ",
            signed!(login_sessions)
        )
    };
}

row! {
    struct SessionRow {
        id: String,
        provider: String,
        recipe: String,
        target_bundle: Option<String>,
        new_bundle: i64,
        state: String,
        revision: i64,
        pid: Option<i64>,
        process_start: Option<String>,
        bundle_id: Option<String>,
        account_id: Option<String>,
        email: Option<String>,
        target_user: Option<String>,
        target_agent: Option<String>,
        profile_id: Option<String>,
        error: Option<String>,
        error_kind: Option<String>,
        hint: Option<String>,
        exit_code: Option<i64>,
        started_at: i64,
        expires_at: i64,
        updated_at: i64,
        ended_at: Option<i64>,
    } with {
        seal: Seal<LOGIN_SESSIONS>,
    }
}

impl Store {
    /// Writes the row of a session that is about to begin.
    ///
    /// # Errors
    /// [`StoreError::InvalidName`] if the recipe is not valid; [`StoreError::Conflict`] if the session exists
    /// already; [`StoreError::Busy`], [`StoreError::Full`] or another error of the database.
    pub async fn insert_session(&self, new: NewSession) -> Result<(), StoreError> {
        let recipe = names::name("recipe", &new.recipe)?;
        let owner = new.owner.as_ref();
        let (user, agent) = (owner.map(|owner| owner.user.as_str()), owner.map(|owner| owner.agent.as_str()));
        let mut work = self.write(new.started_at).await?;
        let code = Fields::new(LOGIN_SESSIONS)
            .with("id", new.id.as_str())
            .with("provider", new.provider.as_str())
            .with("recipe", recipe.as_str())
            .with("target_bundle", new.target_bundle.as_ref().map(BundleId::as_str))
            .with("new_bundle", i64::from(new.new_bundle))
            .with("target_user", user)
            .with("target_agent", agent)
            .code(&work.tx);
        census::added(&mut work.tx, LOGIN_SESSIONS, [new.id.as_str(), ""]);
        let inserted = sql!(
            run,
            &mut work.tx,
            "INSERT INTO login_sessions (id, provider, recipe, target_bundle, new_bundle, state, revision, started_at,
                 expires_at, updated_at, mac, target_user, target_agent)
             VALUES ($1, $2, $3, $4, $5, $6, 0, $7, $8, $7, $9, $10, $11) ON CONFLICT (id) DO NOTHING",
            new.id.as_str(),
            new.provider.as_str(),
            recipe.as_str(),
            new.target_bundle.as_ref().map(BundleId::as_str),
            i64::from(new.new_bundle),
            SessionState::Pending.as_str(),
            new.started_at,
            new.expires_at,
            code,
            user,
            agent,
        )?;
        if inserted == 0 {
            return Err(StoreError::conflict("session", &new.id, "it exists already"));
        }
        work.audit("session.start", new.id.as_str());
        work.changed(Change::Session(new.id));
        work.commit().await
    }

    /// Records a step of a live session. Only `finish_session` and `save_login` write a terminal state.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if the session does not exist; [`StoreError::Conflict`] if it has ended, its revision
    /// is newer, or the state would end it; [`StoreError::Busy`], [`StoreError::Full`] or another error of the
    /// database.
    pub async fn update_session(&self, id: &SessionId, update: SessionUpdate) -> Result<(), StoreError> {
        if update.state.is_terminal() {
            return Err(StoreError::conflict("session", id, "this state ends it"));
        }
        let revision = revision(update.revision)?;
        let mut work = self.write(update.now).await?;
        let process = match update.pid {
            Some(pid) => known(&mut work.tx, LOGIN_SESSIONS, [id.as_str(), ""]).await?.map(|row| {
                row.with("pid", i64::from(pid)).or_keep("process_start", update.process_start.as_deref())
            }),
            None => None,
        };
        let updated = sql!(
            run,
            &mut work.tx,
            "UPDATE login_sessions SET state = $2, revision = $3, pid = COALESCE($4, pid),
                 process_start = CASE WHEN $4 IS NULL THEN process_start ELSE COALESCE($5, process_start) END, updated_at = $6
             WHERE id = $1 AND ended_at IS NULL AND revision <= $3",
            id.as_str(),
            update.state.as_str(),
            revision,
            update.pid.map(i64::from),
            update.process_start.as_deref(),
            update.now,
        )?;
        if updated == 0 {
            return Err(why_not(&mut work.tx, id).await?);
        }
        if let Some(row) = process {
            row.sign(&mut work.tx, [id.as_str(), ""]).await?;
        }
        work.changed(Change::Session(id.clone()));
        work.commit().await
    }

    /// Ends a session without a credential. A session that has ended never changes again; a second end is a conflict.
    ///
    /// # Errors
    /// [`StoreError::InvalidName`] if a text is not valid; [`StoreError::NotFound`] if the session does not exist;
    /// [`StoreError::Conflict`] if it has ended or its revision is newer; [`StoreError::Busy`], [`StoreError::Full`]
    /// or another error of the database.
    pub async fn finish_session(&self, id: &SessionId, end: SessionEnd) -> Result<(), StoreError> {
        let revision = revision(end.revision)?;
        let error = names::optional("error", end.error.as_deref())?;
        let hint = names::optional("hint", end.hint.as_deref())?;
        let mut work = self.write(end.now).await?;
        let updated = sql!(
            run,
            &mut work.tx,
            "UPDATE login_sessions SET state = $2, revision = $3, error = $4, error_kind = $5, hint = $6,
                 exit_code = $7, updated_at = $8, ended_at = $8
             WHERE id = $1 AND ended_at IS NULL AND revision <= $3",
            id.as_str(),
            end.state.as_str(),
            revision,
            error.as_deref(),
            end.error_kind.as_deref(),
            hint.as_deref(),
            end.exit_code.map(i64::from),
            end.now,
        )?;
        if updated == 0 {
            return Err(why_not(&mut work.tx, id).await?);
        }
        work.audit_outcome("session.end", id.as_str(), end.state.as_str());
        work.changed(Change::Session(id.clone()));
        work.commit().await
    }

    /// Returns one session.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if the session does not exist; [`StoreError::Corrupt`] if the row cannot be read;
    /// [`StoreError::Busy`], [`StoreError::Unavailable`] or another error of the database.
    pub async fn session(&self, id: &SessionId) -> Result<LoginSession, StoreError> {
        session_in(&mut self.read().await?, id).await
    }

    /// Returns the sessions that are live or ended at `since` or later, newest first, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError::Busy`], [`StoreError::Unavailable`] or another error of the database.
    pub async fn recent_sessions(&self, since: i64, limit: u32) -> Result<Vec<LoginSession>, StoreError> {
        let mut tx = self.read().await?;
        let rows = sql!(
            each,
            SessionRow,
            &mut tx,
            concat!(
                "SELECT ",
                columns!(),
                " FROM login_sessions WHERE ended_at IS NULL OR ended_at >= $1
                 ORDER BY started_at DESC, id LIMIT $2"
            ),
            since,
            i64::from(limit),
        )?;
        Ok(fitting(rows, self.keyring()))
    }

    /// Returns the sessions that have not ended, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Busy`], [`StoreError::Unavailable`] or another error of the database.
    pub async fn live_sessions(&self) -> Result<Vec<LoginSession>, StoreError> {
        live_in(&mut self.read().await?).await
    }

    /// Ends every live session as `failed` (`daemon_restarted`). Returns them as they were, so that their remaining
    /// processes can be told from unrelated ones.
    ///
    /// # Errors
    /// [`StoreError::Busy`], [`StoreError::Full`] or another error of the database.
    pub async fn fail_orphaned_sessions(&self, now: i64) -> Result<Vec<LoginSession>, StoreError> {
        let mut work = self.write(now).await?;
        let orphans = live_in(&mut work.tx).await?;
        let failed = sql!(
            all, (String,),
            &mut work.tx,
            "UPDATE login_sessions SET state = 'failed', revision = revision + 1, error_kind = 'daemon_restarted',
                 error = 'the daemon was restarted during this login', hint = 'start the login again',
                 updated_at = $1, ended_at = $1
             WHERE ended_at IS NULL RETURNING id",
            now,
        )?;
        if failed.is_empty() {
            return Ok(orphans);
        }
        for (id,) in failed {
            work.audit_outcome("session.end", &id, "failed");
            if let Ok(id) = id.parse() {
                work.changed(Change::Session(id));
            }
        }
        work.commit().await?;
        Ok(orphans)
    }
}

/// Fails unless the session exists and has not ended.
pub(crate) async fn expect_live(work: &mut Work, id: &SessionId) -> Result<(), StoreError> {
    match session_in(&mut work.tx, id).await?.ended_at {
        None => Ok(()),
        Some(_) => Err(ended(id)),
    }
}

/// Ends a live session with the result of its login.
pub(crate) async fn succeed(
    work: &mut Work,
    id: &SessionId,
    LoginResult { bundle, account, profile, email }: LoginResult<'_>,
) -> Result<(), StoreError> {
    let (bundle, profile) = (bundle.map(BundleId::as_str), profile.map(ProfileId::as_str));
    let code = fields_in(&mut work.tx, LOGIN_SESSIONS, [id.as_str(), ""])
        .await?
        .with("bundle_id", bundle)
        .with("account_id", account.as_str())
        .with("profile_id", profile)
        .with("email", email)
        .code(&work.tx);
    sql!(
        run,
        &mut work.tx,
        "UPDATE login_sessions SET state = $2, revision = revision + 1, bundle_id = $3, account_id = $4, email = $5,
             updated_at = $6, ended_at = $6, mac = $7, profile_id = $8
         WHERE id = $1 AND ended_at IS NULL",
        id.as_str(),
        SessionState::Success.as_str(),
        bundle,
        account.as_str(),
        email,
        work.now,
        code,
        profile,
    )?;
    work.audit("session.end", id.as_str());
    work.changed(Change::Session(id.clone()));
    Ok(())
}

async fn session_in(tx: &mut Tx, id: &SessionId) -> Result<LoginSession, StoreError> {
    let row = sql!(
        optional,
        SessionRow,
        tx,
        concat!("SELECT ", columns!(), " FROM login_sessions WHERE id = $1"),
        id.as_str(),
    )?;
    let row = row.ok_or_else(|| StoreError::not_found(WHAT, id))?;
    row.parse(&tx.keyring).map_err(|reason| StoreError::corrupt(WHAT, id, &reason))
}

async fn live_in(tx: &mut Tx) -> Result<Vec<LoginSession>, StoreError> {
    let rows = sql!(
        each,
        SessionRow,
        tx,
        concat!("SELECT ", columns!(), " FROM login_sessions WHERE ended_at IS NULL ORDER BY started_at, id"),
    )?;
    Ok(fitting(rows, &tx.keyring))
}

/// Returns the sessions that can be read. A bad row must not hide the others.
fn fitting(rows: Vec<Result<SessionRow, Undecoded>>, keyring: &Keyring) -> Vec<LoginSession> {
    readable(rows, WHAT)
        .filter_map(|row| {
            let id = row.id.clone();
            row.parse(keyring)
                .inspect_err(|reason| {
                    tracing::error!(id, reason, "a session was skipped: its row cannot be read");
                })
                .ok()
        })
        .collect()
}

/// Returns the reason why an update matched no row.
async fn why_not(tx: &mut Tx, id: &SessionId) -> Result<StoreError, StoreError> {
    Ok(match session_in(tx, id).await?.ended_at {
        Some(_) => ended(id),
        None => StoreError::conflict("session", id, "its revision is newer"),
    })
}

fn ended(id: &SessionId) -> StoreError {
    StoreError::conflict("session", id, "it has ended")
}

fn revision(revision: u64) -> Result<i64, StoreError> {
    i64::try_from(revision)
        .map_err(|_| StoreError::InvalidName { field: "revision", reason: "it is too large" })
}

impl SessionRow {
    fn parse(self, keyring: &Keyring) -> Result<LoginSession, String> {
        fn id<T: std::str::FromStr<Err = crate::id::InvalidId>>(text: &str) -> Result<T, String> {
            text.parse().map_err(|error: crate::id::InvalidId| error.to_string())
        }
        self.seal.reason(keyring)?;
        let number = |_| "a number is out of range".to_owned();
        Ok(LoginSession {
            id: id(&self.id)?,
            provider: id(&self.provider)?,
            recipe: self.recipe,
            target_bundle: self.target_bundle.as_deref().map(id).transpose()?,
            new_bundle: self.new_bundle != 0,
            owner: LoginOwner::parse(self.target_user.as_deref(), self.target_agent.as_deref())?,
            state: self
                .state
                .parse()
                .map_err(|error: crate::model::account::UnknownWord| error.to_string())?,
            revision: u64::try_from(self.revision).map_err(number)?,
            pid: self.pid.map(u32::try_from).transpose().map_err(number)?,
            process_start: self.process_start,
            bundle: self.bundle_id.as_deref().map(id).transpose()?,
            account: self.account_id.as_deref().map(id).transpose()?,
            profile: self.profile_id.as_deref().map(id).transpose()?,
            email: self.email,
            error: self.error,
            error_kind: self.error_kind,
            hint: self.hint,
            exit_code: self.exit_code.map(i32::try_from).transpose().map_err(number)?,
            started_at: self.started_at,
            expires_at: self.expires_at,
            updated_at: self.updated_at,
            ended_at: self.ended_at,
        })
    }
}
