//! Judgement of an account's status from the facts that were read. Pure: equal facts give equal results.

use auth_spawner::{Credential, Proof, Shadow, ShadowCause};
use identity_store::{Account, Evidence, SecretRef, Status, StatusReport};

use crate::base::person::{Person, Sameness};
use crate::keys::probe::ProbeAnswer;
use crate::wire::unfit;

/// The facts that were read about an account's credential.
#[derive(Debug, Clone)]
pub(crate) enum CredentialReading {
    /// The content of the directory's files.
    Directory {
        /// The proof as it was read, regardless of the time.
        proof: Proof,
        /// A setting that takes the place of the login.
        shadow: Option<Shadow>,
        /// True if the CLI may keep its login in this system's keychain, which only the CLI itself may query.
        keychain: bool,
    },
    /// The account may not use its directory, so the directory was not read. A launch is refused as well.
    Forbidden(String),
    /// The registry lists no CLI that could use the directory.
    NoCli,
    /// The account has no files; its row holds all that is known.
    Row,
}

/// A status, and the time at which it changes without any other event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Judgement {
    /// The report to store.
    pub report: StatusReport,
    /// The time at which the status changes, in unix milliseconds; `None` if time does not change it.
    pub next: Option<i64>,
}

const RAN_OUT: &str = "it has expired";

/// Judges an account at a moment (unix milliseconds).
pub(crate) fn judge(account: &Account, found: CredentialReading, now: i64) -> Judgement {
    match found {
        CredentialReading::Row if account.secret_ref == SecretRef::Tokens => by_tokens(account, now),
        CredentialReading::Row => by_row(account, now),
        CredentialReading::Forbidden(reason) => lasting(StatusReport {
            status: Status::Invalid,
            reason: Some(reason),
            evidence: Evidence::File,
            ..last_known(account, now)
        }),
        CredentialReading::NoCli => {
            let report = StatusReport { evidence: Evidence::None, ..last_known(account, now) };
            lasting(unknown(&report, "the registry has no CLI that can use its directory"))
        }
        CredentialReading::Directory { proof, shadow, keychain } => {
            let assumed = matches!(&proof, Proof::LoggedIn(found) if found.assumed_end);
            let judged = by_settings(by_files(account, proof, keychain, now), shadow.as_ref());
            // A result that only confirms the stored status keeps its stronger evidence.
            let evidence = match account.evidence {
                _ if assumed => Evidence::Assumed,
                Evidence::Assumed => Evidence::File,
                stored if same_answer(account, &judged.report) => stored,
                _ => Evidence::File,
            };
            Judgement { report: StatusReport { evidence, ..judged.report }, next: judged.next }
        }
    }
}

/// Returns the report after a provider was asked about a key. If it could not be asked, the known status stays.
pub(crate) fn probed(account: &Account, answer: ProbeAnswer, now: i64) -> StatusReport {
    let judged = by_row(account, now).report;
    if judged.status == Status::NeedsReauth {
        return judged;
    }
    let answered = StatusReport { evidence: Evidence::Live, reason: None, ..judged };
    match answer {
        ProbeAnswer::Accepted => StatusReport { status: Status::Valid, ..answered },
        ProbeAnswer::Rejected { status } => StatusReport {
            status: Status::Invalid,
            reason: Some(format!("its provider refused it (HTTP status {status})")),
            ..answered
        },
        ProbeAnswer::Unknown { reason } => StatusReport {
            reason: Some(reason),
            evidence: account.evidence,
            checked_at: account.checked_at,
            ..answered
        },
    }
}

/// Returns a report with an unknown status. The known times are kept.
pub(crate) fn unopened(account: &Account, reason: &str, now: i64) -> StatusReport {
    unknown(&last_known(account, now), reason)
}

/// Returns a report with an unknown status for an account whose check failed.
pub(crate) fn not_looked_at(account: &Account, now: i64) -> StatusReport {
    unknown(&last_known(account, now), "the check failed; it will be retried")
}

/// Returns whether a report differs from the stored account, apart from the time of the check.
pub(crate) fn differs(account: &Account, report: &StatusReport) -> bool {
    !same_answer(account, report) || account.evidence != report.evidence
}

fn same_answer(account: &Account, report: &StatusReport) -> bool {
    (account.status, &account.status_reason, account.expires_at, account.login_deadline_at)
        == (report.status, &report.reason, report.expires_at, report.login_deadline_at)
}

/// Judges a sealed key or token: its last known status holds until its own end.
fn by_row(account: &Account, now: i64) -> Judgement {
    let report = last_known(account, now);
    match account.expires_at {
        Some(end) if end <= now => {
            lasting(StatusReport { status: Status::NeedsReauth, reason: Some(RAN_OUT.to_owned()), ..report })
        }
        // The clock was wrong when the account was marked as expired.
        next if account.status_reason.as_deref() == Some(RAN_OUT) => {
            let status = if account.evidence == Evidence::None { Status::Unknown } else { Status::Valid };
            Judgement { report: StatusReport { status, reason: None, ..report }, next }
        }
        next => Judgement { report, next },
    }
}

/// Judges tokens that the daemon refreshes. The refresher stores its own results, so only the times are judged here.
fn by_tokens(account: &Account, now: i64) -> Judgement {
    let report = last_known(account, now);
    let past = |end: Option<i64>| end.is_some_and(|end| end <= now);
    if matches!(account.status, Status::NeedsReauth | Status::Invalid) {
        lasting(report)
    } else if past(account.login_deadline_at) {
        lasting(needs_reauth(&report, RAN_OUT))
    } else if past(account.expires_at) {
        Judgement {
            next: account.login_deadline_at,
            report: StatusReport { status: Status::Expired, ..report },
        }
    } else {
        Judgement { next: account.expires_at.or(account.login_deadline_at), report }
    }
}

fn by_files(account: &Account, proof: Proof, keychain: bool, now: i64) -> Judgement {
    let report = last_known(account, now);
    let forgotten = StatusReport { expires_at: None, login_deadline_at: None, ..report.clone() };
    match proof {
        Proof::LoggedIn(found) if is_another(account, &found) => lasting(StatusReport {
            status: Status::Invalid,
            reason: Some(unfit::ANOTHER_PERSON.to_owned()),
            ..forgotten
        }),
        Proof::LoggedIn(found) if is_refused(account, &found) => {
            let known = by_login(&found, &report, now).report;
            lasting(needs_reauth(&known, &refusal(account)))
        }
        Proof::LoggedIn(found) => by_login(&found, &report, now),
        Proof::Absent if keychain => lasting(unknown(
            &report,
            "its CLI may keep the login in this system's keychain, which only the CLI can read; if the directory was \
             moved, log in again",
        )),
        Proof::Absent => lasting(needs_reauth(&forgotten, "its directory no longer holds a login")),
        Proof::Incomplete { .. } if account.keeping.refused.is_some() => {
            lasting(needs_reauth(&forgotten, &refusal(account)))
        }
        Proof::Incomplete { reason } => lasting(needs_reauth(&forgotten, &reason)),
        Proof::InKeyring { reason, hint } => lasting(unknown(&report, &format!("{reason}; {hint}"))),
        // The known facts may still be true.
        Proof::Unreadable { reason } => lasting(unknown(&report, &reason)),
    }
}

/// Applies a setting that takes the place of a login that could be used otherwise.
fn by_settings(judged: Judgement, shadow: Option<&Shadow>) -> Judgement {
    let usable = matches!(judged.report.status, Status::Valid | Status::Expired);
    let Some(shadow) = shadow.filter(|_| usable) else { return judged };
    let status = match shadow.cause {
        ShadowCause::Set(_) => Status::Invalid,
        ShadowCause::Unreadable(_) => Status::Unknown,
    };
    let report = StatusReport { status, reason: Some(unfit::reason(shadow)), ..judged.report };
    Judgement { report, ..judged }
}

/// Applies the rule of [`Proof::at`] and gives a reason for each result.
fn by_login(found: &Credential, known: &StatusReport, now: i64) -> Judgement {
    let past = |end: Option<i64>| end.is_some_and(|end| end <= now);
    let report = StatusReport {
        status: Status::Valid,
        reason: None,
        expires_at: found.expires_at,
        login_deadline_at: found.login_deadline_at,
        ..known.clone()
    };
    if !past(found.expires_at) {
        Judgement { next: found.expires_at, report }
    } else if found.assumed_end && !found.refreshable && !past(found.login_deadline_at) {
        let reason =
            "its file gives no end that can be read, and the assumed one has passed; a launch still uses it";
        Judgement { next: found.login_deadline_at, report: unknown(&report, reason) }
    } else if !found.refreshable {
        lasting(needs_reauth(&report, RAN_OUT))
    } else if past(found.login_deadline_at) {
        lasting(needs_reauth(&report, "its refresh token has expired"))
    } else {
        let reason = Some("its access token has expired; the CLI renews it automatically".to_owned());
        Judgement {
            next: found.login_deadline_at,
            report: StatusReport { status: Status::Expired, reason, ..report },
        }
    }
}

/// Returns whether the provider refused to renew this login.
fn is_refused(account: &Account, found: &Credential) -> bool {
    let refused = account.keeping.refused.as_ref();
    refused.zip(found.refresh_mark).is_some_and(|(refused, mark)| mark.to_string() == refused.mark)
}

/// Returns the time and the evidence of a refusal, for people.
fn refusal(account: &Account) -> String {
    let evidence = account.keeping.detail.as_deref().unwrap_or(unfit::REFUSED);
    let at = account.keeping.refused.as_ref().and_then(|refused| u64::try_from(refused.at).ok());
    let at = at.map(|at| std::time::UNIX_EPOCH + std::time::Duration::from_millis(at));
    at.map_or_else(|| evidence.to_owned(), |at| format!("{evidence} ({})", httpdate::fmt_http_date(at)))
}

fn is_another(account: &Account, found: &Credential) -> bool {
    Person::of(account).compare(Person::in_files(found)) == Sameness::Another
}

/// Returns the stored status as a report with the current time.
fn last_known(account: &Account, now: i64) -> StatusReport {
    StatusReport {
        status: account.status,
        reason: account.status_reason.clone(),
        evidence: account.evidence,
        checked_at: Some(now),
        expires_at: account.expires_at,
        login_deadline_at: account.login_deadline_at,
    }
}

fn unknown(report: &StatusReport, reason: &str) -> StatusReport {
    StatusReport { status: Status::Unknown, reason: Some(reason.to_owned()), ..report.clone() }
}

fn needs_reauth(report: &StatusReport, reason: &str) -> StatusReport {
    StatusReport { status: Status::NeedsReauth, reason: Some(reason.to_owned()), ..report.clone() }
}

/// Returns a judgement that time alone does not change.
fn lasting(report: StatusReport) -> Judgement {
    Judgement { report, next: None }
}

#[cfg(test)]
mod tests;
