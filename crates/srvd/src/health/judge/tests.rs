use identity_store::{AccountKind, Keeping, Owner, SecretRef};

use super::*;

const NOW: i64 = 1_795_000_000_000;
const HOUR: i64 = 3_600_000;
const YEAR: i64 = 365 * 24 * HOUR;

fn account(kind: AccountKind, status: Status, evidence: Evidence) -> Account {
    Account {
        id: "acc-1".parse().unwrap(),
        provider: "codex".parse().unwrap(),
        kind,
        owner: Owner::Bundle,
        name: "Work".into(),
        display_name: None,
        email: Some("ann@a.test".into()),
        subject: Some("person-1".into()),
        base_url: None,
        client_id: None,
        scopes: None,
        secret_ref: SecretRef::Sealed,
        masked_tail: None,
        status,
        status_reason: None,
        evidence,
        checked_at: Some(NOW - YEAR),
        expires_at: None,
        login_deadline_at: None,
        keeping: Keeping::default(),
        bound_to: Vec::new(),
        created_at: 0,
        updated_at: 0,
    }
}

fn valid_login() -> Account {
    account(AccountKind::OAuth, Status::Valid, Evidence::File)
}

fn files(proof: Proof) -> CredentialReading {
    CredentialReading::Directory { proof, shadow: None, keychain: false }
}

fn logged_in(
    expires_at: Option<i64>,
    refreshable: bool,
    login_deadline_at: Option<i64>,
) -> CredentialReading {
    files(Proof::LoggedIn(Credential { expires_at, login_deadline_at, refreshable, ..Credential::default() }))
}

fn as_person(email: Option<&str>, subject: Option<&str>) -> CredentialReading {
    files(Proof::LoggedIn(Credential {
        email: email.map(str::to_owned),
        subject: subject.map(str::to_owned),
        ..Credential::default()
    }))
}

/// Returns the account after the report was stored.
fn stored(account: &Account, report: StatusReport) -> Account {
    Account {
        status: report.status,
        status_reason: report.reason,
        evidence: report.evidence,
        checked_at: report.checked_at,
        expires_at: report.expires_at,
        login_deadline_at: report.login_deadline_at,
        ..account.clone()
    }
}

#[test]
fn judge_maps_each_reading_to_status_reason_and_next_check() {
    use Status::{Expired, Invalid, NeedsReauth, Unknown, Valid};
    let renews = "its access token has expired; the CLI renews it automatically";
    let another = "its directory holds another person's login";
    let gone = "its directory no longer holds a login";
    let said = |reason: &str| Proof::Unreadable { reason: reason.to_owned() };
    let (past, future, later) = (Some(NOW), Some(NOW + HOUR), Some(NOW + 2 * HOUR));
    for (found, status, reason, next) in [
        (logged_in(None, false, None), Valid, None, None),
        (logged_in(future, false, None), Valid, None, future),
        (logged_in(future, true, later), Valid, None, future),
        // The access token still works.
        (logged_in(future, true, past), Valid, None, future),
        (logged_in(past, true, None), Expired, Some(renews), None),
        (logged_in(past, true, later), Expired, Some(renews), later),
        (logged_in(past, false, None), NeedsReauth, Some("it has expired"), None),
        (logged_in(past, true, past), NeedsReauth, Some("its refresh token has expired"), None),
        (as_person(Some("ANN@a.test"), None), Valid, None, None),
        (as_person(None, Some("person-1")), Valid, None, None),
        (as_person(Some("bob@a.test"), None), Invalid, Some(another), None),
        (as_person(Some("ann@a.test"), Some("person-2")), Invalid, Some(another), None),
        (files(Proof::Absent), NeedsReauth, Some(gone), None),
        (
            CredentialReading::Directory { proof: Proof::Absent, shadow: None, keychain: true },
            Unknown,
            Some(
                "its CLI may keep the login in this system's keychain, which only the CLI can read; if the directory \
                 was moved, log in again",
            ),
            None,
        ),
        (
            files(Proof::Incomplete { reason: "/access is missing".into() }),
            NeedsReauth,
            Some("/access is missing"),
            None,
        ),
        (files(said("not JSON at line 3")), Unknown, Some("not JSON at line 3"), None),
        (files(said("it is not a regular file")), Unknown, Some("it is not a regular file"), None),
        (
            CredentialReading::Forbidden("a link leads to it".into()),
            Invalid,
            Some("a link leads to it"),
            None,
        ),
        (CredentialReading::NoCli, Unknown, Some("the registry has no CLI that can use its directory"), None),
    ] {
        let judged = judge(&valid_login(), found.clone(), NOW);
        let report = &judged.report;
        assert_eq!(
            (report.status, report.reason.as_deref(), judged.next, report.checked_at),
            (status, reason, next, Some(NOW)),
            "{found:?}"
        );
    }
}

#[test]
fn judge_names_the_setting_that_takes_the_place_of_a_login() {
    let shadow = |cause| Shadow { file: "/h/settings.json".into(), cause };
    let set = || shadow(ShadowCause::Set("apiKeyHelper".to_owned()));
    let torn = shadow(ShadowCause::Unreadable("not JSON at line 1".to_owned()));
    let read = |found: CredentialReading, shadow: Shadow| match found {
        CredentialReading::Directory { proof, keychain, .. } => {
            CredentialReading::Directory { proof, keychain, shadow: Some(shadow) }
        }
        other => other,
    };
    let check = |found: CredentialReading, status: Status, reason: &str| {
        let judged = judge(&valid_login(), found, NOW);
        let report = &judged.report;
        assert_eq!((report.status, report.reason.as_deref()), (status, Some(reason)));
        judged
    };
    let named = "/h/settings.json sets apiKeyHelper, which its CLI uses in place of this login";
    let valid = || logged_in(Some(NOW + HOUR), true, None);
    // The end of the login is kept, so that the status follows it when the setting has gone.
    let judged = check(read(valid(), set()), Status::Invalid, named);
    assert_eq!((judged.next, judged.report.expires_at), (Some(NOW + HOUR), Some(NOW + HOUR)));
    check(read(logged_in(Some(NOW - HOUR), true, None), set()), Status::Invalid, named);
    let unread = "/h/settings.json cannot be read: not JSON at line 1, so it is not known which credential its CLI uses";
    check(read(valid(), torn), Status::Unknown, unread);
    check(read(files(Proof::Absent), set()), Status::NeedsReauth, "its directory no longer holds a login");
    let another = "its directory holds another person's login";
    check(read(as_person(Some("bob@a.test"), None), set()), Status::Invalid, another);
}

/// The clock is set forward by a year and back. The same files give the right status at each moment, and nothing is
/// lost.
#[test]
fn judge_keeps_expiry_times_when_clock_is_set_forward_and_back() {
    use Status::{Expired, NeedsReauth, Valid};
    let (month, decade) = (Some(NOW + 30 * 24 * HOUR), Some(NOW + 10 * YEAR));
    for (found, statuses) in [
        (logged_in(month, true, decade), [Valid, Expired, Valid, Valid, Valid]),
        (logged_in(month, true, month), [Valid, NeedsReauth, Valid, Valid, Valid]),
        (logged_in(month, false, None), [Valid, NeedsReauth, Valid, Valid, Valid]),
        (logged_in(None, false, None), [Valid; 5]),
    ] {
        let mut known = valid_login();
        let times = [NOW, NOW + YEAR, NOW, NOW - YEAR, NOW];
        for (now, status) in times.into_iter().zip(statuses) {
            let judged = judge(&known, found.clone(), now);
            assert_eq!(judged.report.status, status, "{found:?} at {}", (now - NOW) / YEAR);
            known = stored(&known, judged.report);
            let CredentialReading::Directory { proof: Proof::LoggedIn(file), .. } = &found else {
                unreachable!()
            };
            assert_eq!(
                (known.expires_at, known.login_deadline_at),
                (file.expires_at, file.login_deadline_at)
            );
        }
    }
    // The end of a sealed token is only in its row.
    let mut known = Account { expires_at: month, evidence: Evidence::Login, ..valid_login() };
    for (now, status) in [(NOW, Valid), (NOW + YEAR, NeedsReauth), (NOW - YEAR, Valid), (NOW, Valid)] {
        let judged = judge(&known, CredentialReading::Row, now);
        assert_eq!((judged.report.status, judged.report.expires_at), (status, month));
        known = stored(&known, judged.report);
    }
}

#[test]
fn judge_keeps_expiry_when_file_is_unreadable_and_restores_status_later() {
    let found = || logged_in(Some(NOW + HOUR), true, Some(NOW + YEAR));
    let before = stored(&valid_login(), judge(&valid_login(), found(), NOW).report);
    let torn = judge(&before, files(Proof::Unreadable { reason: "not JSON".into() }), NOW + 1).report;
    assert_eq!((torn.status, torn.expires_at), (Status::Unknown, before.expires_at));
    let after = judge(&stored(&before, torn), found(), NOW + 2).report;
    assert!(!differs(&before, &after));
}

#[test]
fn judge_keeps_check_evidence_when_file_is_unchanged() {
    let checked = account(AccountKind::OAuth, Status::Valid, Evidence::Check);
    let same = judge(&checked, logged_in(None, true, None), NOW).report;
    assert_eq!(same.evidence, Evidence::Check);
    assert!(!differs(&checked, &same));
    let renewed = judge(&checked, logged_in(Some(NOW + HOUR), true, None), NOW).report;
    assert_eq!(renewed.evidence, Evidence::File);
    assert!(differs(&checked, &renewed));
}

#[test]
fn judge_restores_status_and_evidence_when_clock_moves_back() {
    let found = || logged_in(Some(NOW + HOUR), true, Some(NOW + 2 * HOUR));
    let mut known = valid_login();
    for (at, status, next) in [
        (NOW, Status::Valid, Some(NOW + HOUR)),
        (NOW + YEAR, Status::NeedsReauth, None),
        (NOW + HOUR, Status::Expired, Some(NOW + 2 * HOUR)),
        (NOW - YEAR, Status::Valid, Some(NOW + HOUR)),
    ] {
        let judged = judge(&known, found(), at);
        assert_eq!((judged.report.status, judged.next), (status, next), "{at}");
        known = stored(&known, judged.report);
    }
    for (evidence, good) in [(Evidence::Login, Status::Valid), (Evidence::None, Status::Unknown)] {
        let mut key = account(AccountKind::ApiKey, good, evidence);
        key.expires_at = Some(NOW);
        for (at, status) in [(NOW - 1, good), (NOW + YEAR, Status::NeedsReauth), (NOW - YEAR, good)] {
            let judged = judge(&key, CredentialReading::Row, at);
            assert_eq!((judged.report.status, judged.report.evidence), (status, evidence), "{at}");
            assert_eq!(judged.next, (at < NOW).then_some(NOW));
            key = stored(&key, judged.report);
        }
    }
}

#[test]
fn judge_keeps_live_status_of_api_key_row() {
    for status in [Status::Valid, Status::Invalid, Status::Unknown] {
        let key = account(AccountKind::ApiKey, status, Evidence::Live);
        let judged = judge(&key, CredentialReading::Row, NOW);
        assert!(!differs(&key, &judged.report) && judged.next.is_none(), "{status}");
    }
}

/// Tokens that have expired but can be refreshed require no login.
#[test]
fn tokens_need_login_only_when_refresh_deadline_has_passed() {
    for (status, expires, deadline, expected, next) in [
        (Status::Valid, Some(NOW + 1), Some(NOW + HOUR), Status::Valid, Some(NOW + 1)),
        (Status::Valid, Some(NOW), Some(NOW + HOUR), Status::Expired, Some(NOW + HOUR)),
        (Status::Valid, Some(NOW), None, Status::Expired, None),
        (Status::Valid, Some(NOW), Some(NOW), Status::NeedsReauth, None),
        (Status::NeedsReauth, Some(NOW + 1), None, Status::NeedsReauth, None),
        (Status::Valid, None, None, Status::Valid, None),
    ] {
        let tokens = Account {
            secret_ref: SecretRef::Tokens,
            expires_at: expires,
            login_deadline_at: deadline,
            ..account(AccountKind::OAuth, status, Evidence::Live)
        };
        let judged = judge(&tokens, CredentialReading::Row, NOW);
        assert_eq!(
            (judged.report.status, judged.next),
            (expected, next),
            "{status} {expires:?} {deadline:?}"
        );
    }
}

#[test]
fn probe_keeps_status_when_provider_cannot_be_reached() {
    let offline =
        || ProbeAnswer::Unknown { reason: "the request to a.test failed: Connection refused".into() };
    for (before, answer, status, evidence) in [
        (Status::Valid, ProbeAnswer::Accepted, Status::Valid, Evidence::Live),
        (Status::Invalid, ProbeAnswer::Accepted, Status::Valid, Evidence::Live),
        (Status::Valid, ProbeAnswer::Rejected { status: 401 }, Status::Invalid, Evidence::Live),
        (Status::Valid, offline(), Status::Valid, Evidence::Login),
        (Status::Unknown, offline(), Status::Unknown, Evidence::Login),
    ] {
        let key = account(AccountKind::ApiKey, before, Evidence::Login);
        let asked = !matches!(answer, ProbeAnswer::Unknown { .. });
        let report = probed(&key, answer, NOW);
        assert_eq!((report.status, report.evidence), (status, evidence));
        assert_eq!(report.checked_at, if asked { Some(NOW) } else { key.checked_at });
    }
    let mut ended = account(AccountKind::ApiKey, Status::Valid, Evidence::Live);
    ended.expires_at = Some(NOW);
    assert_eq!(probed(&ended, ProbeAnswer::Accepted, NOW).status, Status::NeedsReauth);
    assert_eq!(unopened(&ended, "it does not open", NOW).status, Status::Unknown);
}
