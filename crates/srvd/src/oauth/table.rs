//! The live logins: which `state` belongs to whom, and how far each has come. Pure; the caller gives the time.
//!
//! ```text
//! waiting -> working -> saving -> ended
//!    |          |                   ^
//!    +----------+-- cancelled, expired, superseded, failed
//! ```
//! A `state` is looked up and verified before it is consumed, so that a callback in the wrong hands spends nothing.

use secrecy::{ExposeSecret as _, SecretString};
use subtle::ConstantTimeEq as _;
use url::Url;

/// How many logins may be live at once.
const LIVE: usize = 64;
/// How many ended logins are remembered, and for how long, in milliseconds.
const ENDED: usize = 64;
const ENDED_MS: i64 = 10 * 60 * 1000;

/// All logins that somebody may still ask about.
#[derive(Debug, Default)]
pub struct Table {
    flows: Vec<Flow>,
}

/// A login that begins.
#[derive(Debug)]
pub struct NewFlow {
    /// Its id, which is no secret.
    pub id: String,
    /// Who logs in: the operator, or a user.
    pub owner: String,
    /// The name of the forge, which stands for the whole authority.
    pub forge: String,
    /// The browser session that began it; `None` when a local client did, whose person uses any browser.
    pub session: Option<SecretString>,
    /// What a browser must bring back; `None` for a device login.
    pub code: Option<CodeFlow>,
    /// When it is over, in unix milliseconds.
    pub deadline: i64,
}

/// What belongs to one login by the browser.
#[derive(Debug)]
pub struct CodeFlow {
    /// What the browser must bring back.
    pub state: SecretString,
    /// What proves at the exchange that the code is ours.
    pub verifier: SecretString,
    /// Where the browser was told to come back to, byte for byte.
    pub redirect: Url,
}

/// How a login stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// A person is awaited.
    Waiting,
    /// The grant is being fetched or saved.
    Working,
    /// It is over.
    Ended(Ending),
}

/// How a login ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// The tokens are committed.
    Success {
        /// The account that holds them.
        account: String,
        /// The person's name at the forge; `None` while the forge has not told it.
        login: Option<String>,
    },
    /// It failed; the word is stable, the text is for people.
    Failed {
        /// The word.
        code: &'static str,
        /// The text.
        text: String,
    },
    /// Somebody cancelled it.
    Cancelled,
    /// The same owner began another one at the same forge.
    Superseded,
    /// Nobody came in time.
    Expired,
}

/// Why a `state` is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StateInvalid {
    /// No login waits for it: never given, used, cancelled or superseded.
    #[error("unknown")]
    Unknown,
    /// The login's time is over.
    #[error("expired")]
    Expired,
    /// Another browser session began the login.
    #[error("wrong_session")]
    WrongSession,
}

/// Too many logins are live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many logins are running")]
pub struct Full;

#[derive(Debug)]
struct Flow {
    id: String,
    owner: String,
    forge: String,
    session: Option<SecretString>,
    deadline: i64,
    stage: Stage,
    /// Nobody was told of the stage yet.
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
    /// Takes a login in. The owner's other one at the same forge is superseded if it still waits for its person.
    ///
    /// # Errors
    /// [`Full`].
    pub fn begin(&mut self, new: NewFlow, now: i64) -> Result<(), Full> {
        self.sweep(now);
        let same = |flow: &&mut Flow| {
            matches!(flow.stage, Stage::Waiting(_)) && flow.owner == new.owner && flow.forge == new.forge
        };
        for flow in self.flows.iter_mut().filter(same) {
            flow.end(Ending::Superseded, now);
        }
        if self.flows.iter().filter(|flow| flow.is_live()).count() >= LIVE {
            return Err(Full);
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

    /// The id and the forge of the login that this `state` belongs to; nothing is spent.
    ///
    /// # Errors
    /// [`StateInvalid`].
    pub fn peek(
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

    /// Spends the `state` of a login by the browser, which is working from here on. `None` when it does not wait.
    pub fn consume(&mut self, id: &str) -> Option<CodeFlow> {
        let flow = self.find(id)?;
        let Stage::Waiting(code) = &mut flow.stage else { return None };
        let code = code.take()?;
        flow.enter(Stage::Working);
        Some(code)
    }

    /// The person of a device login has approved. `false` when it does not wait any more.
    pub fn approve(&mut self, id: &str) -> bool {
        match self.find(id) {
            Some(flow) if matches!(flow.stage, Stage::Waiting(None)) => {
                flow.enter(Stage::Working);
                true
            }
            _ => false,
        }
    }

    /// The tokens are about to be committed, for this owner; from here on nothing cancels. `None` when it was cancelled
    /// before.
    pub fn save(&mut self, id: &str) -> Option<String> {
        let flow = self.find(id).filter(|flow| matches!(flow.stage, Stage::Working))?;
        flow.enter(Stage::Saving);
        Some(flow.owner.clone())
    }

    /// Ends a login; one that has ended stays as it is.
    pub fn end(&mut self, id: &str, ending: Ending, now: i64) {
        if let Some(flow) = self.find(id).filter(|flow| flow.is_live()) {
            flow.end(ending, now);
        }
    }

    /// Cancels a login before its tokens are saved; `false` when that is too late, or nothing is known of it.
    pub fn cancel(&mut self, id: &str, now: i64) -> bool {
        match self.find(id) {
            Some(flow) if matches!(flow.stage, Stage::Waiting(_) | Stage::Working) => {
                flow.end(Ending::Cancelled, now);
                true
            }
            _ => false,
        }
    }

    /// Ends a login that still waits for its person.
    pub fn abandon(&mut self, id: &str, ending: Ending, now: i64) {
        if let Some(flow) = self.find(id).filter(|flow| matches!(flow.stage, Stage::Waiting(_))) {
            flow.end(ending, now);
        }
    }

    /// The logins that began, moved or ended since this was asked last.
    pub fn take_moved(&mut self) -> Vec<String> {
        let moved = self.flows.iter_mut().filter(|flow| flow.moved);
        let taken = |flow: &mut Flow| {
            flow.moved = false;
            flow.id.clone()
        };
        moved.map(taken).collect()
    }

    /// How a login stands; `None` when nothing is known of it.
    pub fn status(&self, id: &str, now: i64) -> Option<Status> {
        let flow = self.flows.iter().find(|flow| flow.id == id)?;
        Some(match &flow.stage {
            Stage::Waiting(_) if now >= flow.deadline => Status::Ended(Ending::Expired),
            Stage::Waiting(_) => Status::Waiting,
            Stage::Working | Stage::Saving => Status::Working,
            Stage::Ended { ending, .. } => Status::Ended(ending.clone()),
        })
    }

    /// Ends what nobody came for, and forgets what ended long ago.
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
