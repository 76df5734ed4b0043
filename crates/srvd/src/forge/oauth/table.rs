//! The table of live logins: the owner of each `state` and the stage of each login. It performs no I/O; the caller
//! passes the time.
//!
//! ```text
//! waiting -> working -> saving -> ended
//!    |          |                   ^
//!    +----------+-- cancelled, expired, superseded, failed
//! ```
//! A `state` is looked up and verified before it is consumed, so that a callback from the wrong browser consumes
//! nothing.

use secrecy::{ExposeSecret as _, SecretString};
use subtle::ConstantTimeEq as _;
use url::Url;

/// The maximum number of live logins.
const LIVE: usize = 64;
/// The maximum number of ended logins that are remembered. `ENDED_MS` is the maximum time, in milliseconds.
const ENDED: usize = 64;
const ENDED_MS: i64 = 10 * 60 * 1000;

/// All logins that a client may still ask about.
#[derive(Debug, Default)]
pub(crate) struct Table {
    flows: Vec<Flow>,
}

/// A login to start.
#[derive(Debug)]
pub(crate) struct NewFlow {
    /// The id of the login, which is not secret.
    pub id: String,
    /// The owner of the login: the operator, or a user.
    pub owner: String,
    /// The name of the forge, which identifies the complete authority.
    pub forge: String,
    /// The browser session that started the login; `None` if a local client did. Any browser may then complete it.
    pub session: Option<SecretString>,
    /// The values that a browser must return; `None` for a device login.
    pub code: Option<CodeFlow>,
    /// The deadline of the login, in Unix milliseconds.
    pub deadline: i64,
}

/// The secrets and the redirect URL of a browser login.
#[derive(Debug)]
pub(crate) struct CodeFlow {
    /// The `state` that the browser must return.
    pub state: SecretString,
    /// The PKCE verifier. During the exchange, it proves that this daemon started the login.
    pub verifier: SecretString,
    /// The redirect URL sent to the forge, byte for byte.
    pub redirect: Url,
}

/// The status of a login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Status {
    /// The login is waiting for a user.
    Waiting,
    /// The grant is being fetched or saved.
    Working,
    /// The login has ended.
    Ended(Ending),
}

/// The result of an ended login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The tokens have been committed.
    Success {
        /// The account that holds the tokens.
        account: String,
        /// The user's name at the forge; `None` until the forge reports it.
        login: Option<String>,
        /// The requested scopes that the forge did not grant.
        missing: Vec<String>,
    },
    /// The login failed.
    Failed {
        /// The stable code of the error.
        code: &'static str,
        /// The human-readable error text.
        text: String,
    },
    /// A client cancelled the login, or the daemon stopped.
    Cancelled,
    /// The same owner started another login at the same forge.
    Superseded,
    /// The login was not completed in time.
    Expired,
}

/// The reason why a `state` is rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StateInvalid {
    /// No login is waiting for this `state`: it was never issued, or its login was completed, cancelled or superseded.
    #[error("unknown")]
    Unknown,
    /// The login has expired.
    #[error("expired")]
    Expired,
    /// Another browser session started the login.
    #[error("wrong_session")]
    WrongSession,
}

/// Too many logins are in progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many logins are running")]
pub(crate) struct TooManyLogins;

#[derive(Debug)]
struct Flow {
    id: String,
    owner: String,
    forge: String,
    session: Option<SecretString>,
    deadline: i64,
    stage: Stage,
    /// True until the current stage has been reported.
    moved: bool,
}

#[derive(Debug)]
enum Stage {
    Waiting(Option<CodeFlow>),
    Working,
    Saving,
    Ended { ending: Ending, at: i64 },
}

impl Flow {
    fn is_live(&self) -> bool {
        !matches!(self.stage, Stage::Ended { .. })
    }

    fn end(&mut self, ending: Ending, at: i64) {
        self.enter(Stage::Ended { ending, at });
    }

    fn enter(&mut self, stage: Stage) {
        self.stage = stage;
        self.moved = true;
    }
}

impl Table {
    /// Adds a login. Another login by the same owner at the same forge is superseded if it is still waiting for its
    /// user.
    ///
    /// # Errors
    /// [`TooManyLogins`].
    pub(crate) fn begin(&mut self, new: NewFlow, now: i64) -> Result<(), TooManyLogins> {
        self.sweep(now);
        let same = |flow: &&mut Flow| {
            matches!(flow.stage, Stage::Waiting(_)) && flow.owner == new.owner && flow.forge == new.forge
        };
        for flow in self.flows.iter_mut().filter(same) {
            flow.end(Ending::Superseded, now);
        }
        if self.flows.iter().filter(|flow| flow.is_live()).count() >= LIVE {
            return Err(TooManyLogins);
        }
        let NewFlow { id, owner, forge, session, code, deadline } = new;
        self.flows.push(Flow {
            id,
            owner,
            forge,
            session,
            deadline,
            stage: Stage::Waiting(code),
            moved: true,
        });
        Ok(())
    }

    /// Returns the id and forge of the login to which this `state` belongs. The `state` is not consumed.
    ///
    /// # Errors
    /// A [`StateInvalid`].
    pub(crate) fn peek(
        &self,
        state: &SecretString,
        session: Option<&SecretString>,
        now: i64,
    ) -> Result<(&str, &str), StateInvalid> {
        let waits =
            |flow: &&Flow| matches!(&flow.stage, Stage::Waiting(Some(code)) if same(&code.state, state));
        let flow = self.flows.iter().find(waits).ok_or(StateInvalid::Unknown)?;
        if now >= flow.deadline {
            return Err(StateInvalid::Expired);
        }
        match (&flow.session, session) {
            (Some(own), Some(session)) if same(own, session) => {}
            (None, _) => {}
            (Some(_), _) => return Err(StateInvalid::WrongSession),
        }
        Ok((&flow.id, &flow.forge))
    }

    /// Consumes the `state` of a browser login, which is working from then on. Returns `None` if the login is not
    /// waiting.
    pub(crate) fn consume(&mut self, id: &str) -> Option<CodeFlow> {
        let flow = self.find(id)?;
        let Stage::Waiting(code) = &mut flow.stage else { return None };
        let code = code.take()?;
        flow.enter(Stage::Working);
        Some(code)
    }

    /// Records that the user approved a device login. Returns `false` if the login is no longer waiting.
    pub(crate) fn approve(&mut self, id: &str) -> bool {
        match self.find(id) {
            Some(flow) if matches!(flow.stage, Stage::Waiting(None)) => {
                flow.enter(Stage::Working);
                true
            }
            _ => false,
        }
    }

    /// Marks a login as saving. From then on, it cannot be cancelled. Returns `false` if it has already been cancelled.
    pub(crate) fn save(&mut self, id: &str) -> bool {
        let Some(flow) = self.find(id).filter(|flow| matches!(flow.stage, Stage::Working)) else {
            return false;
        };
        flow.enter(Stage::Saving);
        true
    }

    /// Ends a login. A login that has already ended is not changed.
    pub(crate) fn end(&mut self, id: &str, ending: Ending, now: i64) {
        if let Some(flow) = self.find(id).filter(|flow| flow.is_live()) {
            flow.end(ending, now);
        }
    }

    /// Cancels a login before its tokens are saved. Returns `false` if it is too late or the login is unknown.
    pub(crate) fn cancel(&mut self, id: &str, now: i64) -> bool {
        match self.find(id) {
            Some(flow) if matches!(flow.stage, Stage::Waiting(_) | Stage::Working) => {
                flow.end(Ending::Cancelled, now);
                true
            }
            _ => false,
        }
    }

    /// Ends a login that is still waiting for its user.
    pub(crate) fn abandon(&mut self, id: &str, ending: Ending, now: i64) {
        if let Some(flow) = self.find(id).filter(|flow| matches!(flow.stage, Stage::Waiting(_))) {
            flow.end(ending, now);
        }
    }

    /// Takes the ids of the logins that started, progressed or ended since the last call.
    pub(crate) fn take_moved(&mut self) -> Vec<String> {
        let moved = self.flows.iter_mut().filter(|flow| flow.moved);
        let taken = |flow: &mut Flow| {
            flow.moved = false;
            flow.id.clone()
        };
        moved.map(taken).collect()
    }

    /// Returns the status of a login, or `None` if the login is unknown.
    pub(crate) fn status(&self, id: &str, now: i64) -> Option<Status> {
        let flow = self.flows.iter().find(|flow| flow.id == id)?;
        Some(match &flow.stage {
            Stage::Waiting(_) if now >= flow.deadline => Status::Ended(Ending::Expired),
            Stage::Waiting(_) => Status::Waiting,
            Stage::Working | Stage::Saving => Status::Working,
            Stage::Ended { ending, .. } => Status::Ended(ending.clone()),
        })
    }

    /// Ends the logins whose time limit has passed, and forgets those that ended long ago.
    fn sweep(&mut self, now: i64) {
        for flow in &mut self.flows {
            if matches!(flow.stage, Stage::Waiting(_)) && now >= flow.deadline {
                flow.end(Ending::Expired, now);
            }
        }
        self.flows.retain(|flow| !matches!(flow.stage, Stage::Ended { at, .. } if now - at >= ENDED_MS));
        let ended = self.flows.iter().filter(|flow| !flow.is_live()).count();
        let mut excess = ended.saturating_sub(ENDED);
        self.flows.retain(|flow| {
            let goes = !flow.is_live() && excess > 0;
            excess -= usize::from(goes);
            !goes
        });
    }

    fn find(&mut self, id: &str) -> Option<&mut Flow> {
        self.flows.iter_mut().find(|flow| flow.id == id)
    }
}

fn same(one: &SecretString, other: &SecretString) -> bool {
    one.expose_secret().as_bytes().ct_eq(other.expose_secret().as_bytes()).into()
}

#[cfg(test)]
mod tests;
