//! The table of live logins: the owner of each `state` and the stage of each login. It does no I/O; the caller passes
//! the time.
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

/// Largest number of live logins.
const LIVE: usize = 64;
/// Largest number of ended logins that are remembered; `ENDED_MS` is the longest time, in milliseconds.
const ENDED: usize = 64;
const ENDED_MS: i64 = 10 * 60 * 1000;

/// All logins that a client may still ask about.
#[derive(Debug, Default)]
pub(crate) struct Table {
    flows: Vec<Flow>,
}

/// A login that begins.
#[derive(Debug)]
pub(crate) struct NewFlow {
    /// The id of the login, which is not secret.
    pub id: String,
    /// The owner of the login: the operator, or a user.
    pub owner: String,
    /// The name of the forge, which identifies the whole authority.
    pub forge: String,
    /// The browser session that began the login; `None` when a local client began it. Any browser may then finish it.
    pub session: Option<SecretString>,
    /// The values that a browser must bring back; `None` for a device login.
    pub code: Option<CodeFlow>,
    /// The end of the login's time, in unix milliseconds.
    pub deadline: i64,
}

/// The secrets and the address of one browser login.
#[derive(Debug)]
pub(crate) struct CodeFlow {
    /// The `state` that the browser must bring back.
    pub state: SecretString,
    /// The PKCE verifier. At the exchange it proves that this daemon began the login.
    pub verifier: SecretString,
    /// The redirect address that was sent to the forge, byte for byte.
    pub redirect: Url,
}

/// The status of a login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Status {
    /// The login waits for a person.
    Waiting,
    /// The grant is being fetched or saved.
    Working,
    /// The login has ended.
    Ended(Ending),
}

/// The result of a login that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The tokens are committed.
    Success {
        /// The account that holds the tokens.
        account: String,
        /// The person's name at the forge; `None` until the forge reports it.
        login: Option<String>,
    },
    /// The login failed.
    Failed {
        /// The stable code of the error.
        code: &'static str,
        /// The error text for people.
        text: String,
    },
    /// A client cancelled the login, or the daemon stopped.
    Cancelled,
    /// The same owner began another login at the same forge.
    Superseded,
    /// The login was not finished in time.
    Expired,
}

/// The reason why a `state` is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StateInvalid {
    /// No login waits for this `state`: it was never given out, or its login was used, cancelled or superseded.
    #[error("unknown")]
    Unknown,
    /// The time of the login is over.
    #[error("expired")]
    Expired,
    /// Another browser session began the login.
    #[error("wrong_session")]
    WrongSession,
}

/// Too many logins are live.
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
    /// Adds a login. Another login of the same owner at the same forge is superseded if it still waits for its person.
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

    /// Returns the id and the forge of the login that this `state` belongs to. The `state` is not consumed.
    ///
    /// # Errors
    /// [`StateInvalid`].
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

    /// Consumes the `state` of a browser login, which is working from then on. Returns `None` when the login does not
    /// wait.
    pub(crate) fn consume(&mut self, id: &str) -> Option<CodeFlow> {
        let flow = self.find(id)?;
        let Stage::Waiting(code) = &mut flow.stage else { return None };
        let code = code.take()?;
        flow.enter(Stage::Working);
        Some(code)
    }

    /// Records that the person approved a device login. Returns `false` when the login does not wait any more.
    pub(crate) fn approve(&mut self, id: &str) -> bool {
        match self.find(id) {
            Some(flow) if matches!(flow.stage, Stage::Waiting(None)) => {
                flow.enter(Stage::Working);
                true
            }
            _ => false,
        }
    }

    /// Marks a login as saving. From then on the login cannot be cancelled. Returns `false` when the login was cancelled
    /// before.
    pub(crate) fn save(&mut self, id: &str) -> bool {
        let Some(flow) = self.find(id).filter(|flow| matches!(flow.stage, Stage::Working)) else {
            return false;
        };
        flow.enter(Stage::Saving);
        true
    }

    /// Ends a login. A login that has ended is not changed.
    pub(crate) fn end(&mut self, id: &str, ending: Ending, now: i64) {
        if let Some(flow) = self.find(id).filter(|flow| flow.is_live()) {
            flow.end(ending, now);
        }
    }

    /// Cancels a login before its tokens are saved. Returns `false` when it is too late or the login is not known.
    pub(crate) fn cancel(&mut self, id: &str, now: i64) -> bool {
        match self.find(id) {
            Some(flow) if matches!(flow.stage, Stage::Waiting(_) | Stage::Working) => {
                flow.end(Ending::Cancelled, now);
                true
            }
            _ => false,
        }
    }

    /// Ends a login that still waits for its person.
    pub(crate) fn abandon(&mut self, id: &str, ending: Ending, now: i64) {
        if let Some(flow) = self.find(id).filter(|flow| matches!(flow.stage, Stage::Waiting(_))) {
            flow.end(ending, now);
        }
    }

    /// Takes the ids of the logins that began, moved or ended since the last call.
    pub(crate) fn take_moved(&mut self) -> Vec<String> {
        let moved = self.flows.iter_mut().filter(|flow| flow.moved);
        let taken = |flow: &mut Flow| {
            flow.moved = false;
            flow.id.clone()
        };
        moved.map(taken).collect()
    }

    /// Returns the status of a login; `None` when the login is not known.
    pub(crate) fn status(&self, id: &str, now: i64) -> Option<Status> {
        let flow = self.flows.iter().find(|flow| flow.id == id)?;
        Some(match &flow.stage {
            Stage::Waiting(_) if now >= flow.deadline => Status::Ended(Ending::Expired),
            Stage::Waiting(_) => Status::Waiting,
            Stage::Working | Stage::Saving => Status::Working,
            Stage::Ended { ending, .. } => Status::Ended(ending.clone()),
        })
    }

    /// Ends the logins whose time is over, and forgets those that ended long ago.
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
