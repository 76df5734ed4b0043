//! The state of a CLI login that its own CLI renews before it ends.

/// The state of the renewals of an account's login. All of it is empty for an account whose login is never renewed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Keeping {
    /// The user's choice for this account; `None` for the rule of the configuration.
    pub switch: Option<bool>,
    /// Time of the last renewal, in unix milliseconds.
    pub kept_at: Option<i64>,
    /// Time of the last attempt, in unix milliseconds.
    pub tried_at: Option<i64>,
    /// The outcome of the last attempt, as a word.
    pub outcome: Option<String>,
    /// The explanation of the outcome, as text for people.
    pub detail: Option<String>,
    /// Time of the next attempt, in unix milliseconds.
    pub next_at: Option<i64>,
    /// Number of failed attempts since the last renewal.
    pub failures: u32,
    /// Version of the CLI at the last renewal.
    pub version: Option<String>,
    /// The login that the provider refused.
    pub refused: Option<RefusedLogin>,
    /// The last notice about the deadline of the login.
    pub notice: Option<DeadlineNotice>,
}

/// A login that the provider refused to renew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedLogin {
    /// The mark of its refresh token.
    pub mark: String,
    /// Time of the refusal, in unix milliseconds.
    pub at: i64,
}

/// A notice that a login's own deadline is near.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeadlineNotice {
    /// Number of days before the deadline for which the notice was made.
    pub days: u8,
    /// The deadline, in unix milliseconds.
    pub deadline: i64,
}

impl DeadlineNotice {
    /// Returns the text in the database.
    pub(crate) fn text(self) -> String {
        format!("{}:{}", self.days, self.deadline)
    }

    /// Reads the text in the database. A text that is not one counts as no notice, which is then made again.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (days, deadline) = text.split_once(':')?;
        Some(Self { days: days.parse().ok()?, deadline: deadline.parse().ok()? })
    }
}
