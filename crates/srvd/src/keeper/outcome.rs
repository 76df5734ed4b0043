//! Judgement of a run by the files before and after it. Pure.

use auth_spawner::{CliAnswer, Credential, Refusal, RenewalRun, RunEnd};

use super::seen::Seen;

/// The outcome of an attempt to renew a login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The file holds a newer login.
    Moved {
        /// The new end, in unix milliseconds.
        until: Option<i64>,
    },
    /// The CLI emptied the tokens in its file.
    Wiped,
    /// The CLI left a tombstone in place of the tokens.
    Tombstone,
    /// The file is unchanged, and the CLI says that the login can no longer be used.
    Refused,
    /// The file is gone.
    Gone,
    /// The file holds a login of another person.
    AnotherPerson,
    /// The file cannot be judged.
    Unreadable,
    /// The file is unchanged.
    Unchanged,
    /// The file is unchanged, and the CLI showed the address of a new login.
    LoginShown,
    /// The CLI reported an error, or its exit code did, and the file is unchanged.
    Failed(String),
    /// The CLI ran too long and was ended.
    TimedOut,
    /// The CLI printed too much and was ended.
    Flooded,
    /// The CLI was not run. The text is the reason.
    NotRun(&'static str, String),
}

impl Outcome {
    /// The word in the database, in the audit log and on the wire.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Moved { .. } => "moved",
            Self::Wiped => "wiped",
            Self::Tombstone => "tombstone",
            Self::Refused => "refused",
            Self::Gone => "gone",
            Self::AnotherPerson => "another_person",
            Self::Unreadable => "unreadable",
            Self::Unchanged => "unchanged",
            Self::LoginShown => "login_shown",
            Self::Failed(_) => "cli_failed",
            Self::TimedOut => "timed_out",
            Self::Flooded => "flooded",
            Self::NotRun(word, _) => word,
        }
    }

    /// The explanation for people; `None` for a renewal.
    pub(super) fn detail(&self) -> Option<String> {
        let text = match self {
            Self::Moved { .. } => return None,
            Self::Wiped => "the provider refused its refresh token, and its CLI emptied the login",
            Self::Tombstone => "the provider refused its refresh token, and its CLI left a tombstone",
            Self::Refused => "the provider refused its refresh token: its CLI reports no usable login",
            Self::Gone => "its CLI removed the login's file",
            Self::AnotherPerson => "its directory holds a login of another person now",
            Self::Unreadable => "the login's file could not be read after the run",
            Self::Unchanged => "its CLI ran, but did not renew the login",
            Self::LoginShown => "its CLI did not renew the login and showed the address of a new one",
            Self::Failed(reason) => return Some(format!("its CLI failed: {reason}")),
            Self::TimedOut => "its CLI did not end in time",
            Self::Flooded => "its CLI printed too much",
            Self::NotRun(_, reason) => return Some(reason.clone()),
        };
        Some(text.to_owned())
    }

    /// Returns whether only a new login by the user helps.
    pub(super) fn is_dead(&self) -> bool {
        matches!(self, Self::Wiped | Self::Tombstone | Self::Refused)
    }
}

/// Judges a run.
pub(super) fn judge(before: &Credential, after: &Seen, run: &RenewalRun, refusal: Refusal) -> Outcome {
    match after {
        Seen::Login(login) if moved(before, login) => Outcome::Moved { until: login.expires_at },
        Seen::AnotherPerson => Outcome::AnotherPerson,
        Seen::Gone => Outcome::Gone,
        Seen::Emptied if refusal == Refusal::Tombstone => Outcome::Tombstone,
        Seen::Emptied => Outcome::Wiped,
        Seen::Keychain | Seen::Unreadable(_) => Outcome::Unreadable,
        Seen::Login(_) => unchanged(run),
    }
}

/// Returns whether a login is newer than the one before.
pub(super) fn moved(before: &Credential, after: &Credential) -> bool {
    let later = after.expires_at.zip(before.expires_at).is_some_and(|(after, before)| after > before);
    later || after.refresh_mark != before.refresh_mark
}

fn unchanged(run: &RenewalRun) -> Outcome {
    match (&run.end, &run.answer) {
        (RunEnd::NotStarted(reason), _) => {
            Outcome::NotRun("not_started", format!("its CLI cannot be run: {reason}"))
        }
        (RunEnd::Flooded, _) => Outcome::Flooded,
        (_, CliAnswer::NoAccount) if run.shows_refusal => Outcome::Refused,
        _ if run.shows_login => Outcome::LoginShown,
        (RunEnd::TimedOut, _) => Outcome::TimedOut,
        (_, CliAnswer::NoAccount) => {
            Outcome::Failed("it reports no usable login, for a reason that may pass".to_owned())
        }
        (_, CliAnswer::Failed(reason)) => Outcome::Failed(reason.clone()),
        (RunEnd::Exited(Some(0)) | RunEnd::Ended, _) => Outcome::Unchanged,
        (RunEnd::Exited(Some(code)), _) => Outcome::Failed(format!("exit code {code}")),
        (RunEnd::Exited(None), _) => Outcome::Failed("it was ended by a signal".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(mark: &str, end: i64) -> Credential {
        let mark = format!("{mark}0102030405060708090a0b0c0d0e0f").parse().ok();
        Credential { expires_at: Some(end), refresh_mark: mark, refreshable: true, ..Credential::default() }
    }

    #[test]
    fn only_the_file_proves_a_renewal() {
        let before = login("00", 10);
        let run = |end, answer, shows_login| {
            let shows_refusal = answer == CliAnswer::NoAccount;
            RenewalRun { end, answer, shows_login, shows_refusal }
        };
        let fine = run(RunEnd::Exited(Some(0)), CliAnswer::Account, false);
        let hung = run(RunEnd::TimedOut, CliAnswer::Silent, false);
        let failed = run(RunEnd::Exited(Some(0)), CliAnswer::Failed("routing".to_owned()), false);
        let refused = run(RunEnd::Exited(Some(0)), CliAnswer::NoAccount, false);
        let shown = run(RunEnd::TimedOut, CliAnswer::Silent, true);
        let crashed = run(RunEnd::Exited(Some(3)), CliAnswer::Silent, false);
        let same = Seen::Login(before.clone());
        let newer = Seen::Login(login("01", 20));
        for (after, run, expected) in [
            (&newer, &fine, Outcome::Moved { until: Some(20) }),
            (&newer, &failed, Outcome::Moved { until: Some(20) }),
            (&newer, &hung, Outcome::Moved { until: Some(20) }),
            (&newer, &refused, Outcome::Moved { until: Some(20) }),
            (&same, &fine, Outcome::Unchanged),
            (&same, &failed, Outcome::Failed("routing".to_owned())),
            (&same, &refused, Outcome::Refused),
            (&same, &hung, Outcome::TimedOut),
            (&same, &shown, Outcome::LoginShown),
            (&same, &crashed, Outcome::Failed("exit code 3".to_owned())),
            (&Seen::Gone, &fine, Outcome::Gone),
            (&Seen::AnotherPerson, &fine, Outcome::AnotherPerson),
            (&Seen::Unreadable("x".to_owned()), &fine, Outcome::Unreadable),
            (&Seen::Emptied, &fine, Outcome::Wiped),
        ] {
            assert_eq!(judge(&before, after, run, Refusal::Wiped), expected, "{after:?} {run:?}");
        }
        assert_eq!(judge(&before, &Seen::Emptied, &fine, Refusal::Tombstone), Outcome::Tombstone);
        assert!(!moved(&before, &login("00", 10)) && moved(&before, &login("00", 11)));
    }
}
