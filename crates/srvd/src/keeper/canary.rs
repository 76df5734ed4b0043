//! The order of the first renewals with a new version of a CLI: one account first, the others an hour later. Pure.

use std::collections::HashMap;

/// The time for which the other accounts of a provider wait, in milliseconds.
const WAIT: i64 = 60 * 60 * 1000;

/// The versions that are tried, by provider.
#[derive(Debug, Default)]
pub(super) struct Canaries(HashMap<String, Trial>);

#[derive(Debug)]
struct Trial {
    version: String,
    account: String,
    since: i64,
}

impl Canaries {
    /// Returns the time until which an account waits; `None` if it may use the version now. `known` is the version at the
    /// account's last renewal.
    pub(super) fn wait(
        &mut self,
        provider: &str,
        account: &str,
        known: Option<&str>,
        version: &str,
        now: i64,
    ) -> Option<i64> {
        if known.is_none_or(|known| known == version) {
            return None;
        }
        let trial = self.0.get(provider).filter(|trial| trial.version == version);
        match trial {
            Some(trial) if trial.account != account => Some(trial.since + WAIT).filter(|until| *until > now),
            Some(_) => None,
            None => {
                let (version, account) = (version.to_owned(), account.to_owned());
                self.0.insert(provider.to_owned(), Trial { version, account, since: now });
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_account_tries_a_new_version_and_the_others_follow_an_hour_later() {
        let mut canaries = Canaries::default();
        let mut wait = |account, known, version, now| canaries.wait("codex", account, known, version, now);
        assert_eq!(wait("a", None, "1", 0), None);
        assert_eq!(wait("a", Some("1"), "1", 0), None);
        assert_eq!(wait("a", Some("1"), "2", 10), None);
        assert_eq!(wait("b", Some("1"), "2", 20), Some(10 + WAIT));
        assert_eq!(wait("a", Some("1"), "2", 30), None);
        assert_eq!(wait("c", None, "2", 30), None);
        assert_eq!(wait("b", Some("1"), "2", 10 + WAIT), None);
        assert_eq!(wait("b", Some("2"), "3", 11 + WAIT), None);
        assert_eq!(wait("a", Some("2"), "3", 12 + WAIT), Some(11 + 2 * WAIT));
    }
}
