use super::*;

const MINUTE: i64 = 60_000;

fn secret(text: &str) -> SecretString {
    SecretString::from(text)
}

fn device(id: &str, owner: &str, forge: &str) -> NewFlow {
    let [id, owner, forge] = [id, owner, forge].map(str::to_owned);
    NewFlow { id, owner, forge, session: None, code: None, deadline: 10 * MINUTE }
}

/// A browser login whose `state` is its id followed by `-state`.
fn browser(id: &str, owner: &str, session: Option<&str>) -> NewFlow {
    let code = CodeFlow {
        state: secret(&format!("{id}-state")),
        verifier: secret(&format!("{id}-verifier")),
        redirect: Url::parse("http://127.0.0.1:7000/oauth/callback").unwrap(),
    };
    NewFlow { session: session.map(secret), code: Some(code), ..device(id, owner, "gh") }
}

fn peek(table: &Table, state: &str, session: Option<&str>, now: i64) -> Result<String, StateInvalid> {
    table.peek(&secret(state), session.map(secret).as_ref(), now).map(|(id, _)| id.to_owned())
}

#[test]
fn state_is_accepted_once_from_its_own_session_before_it_expires() {
    let mut table = Table::default();
    table.begin(browser("a", "ada", Some("cookie")), 0).unwrap();
    let mine = Some("cookie");
    assert_eq!(peek(&table, "wrong", mine, 1), Err(StateInvalid::Unknown));
    assert_eq!(peek(&table, "", mine, 1), Err(StateInvalid::Unknown));
    assert_eq!(peek(&table, "a-state", None, 1), Err(StateInvalid::WrongSession));
    assert_eq!(peek(&table, "a-state", Some("other"), 1), Err(StateInvalid::WrongSession));
    assert_eq!(peek(&table, "a-state", mine, 10 * MINUTE), Err(StateInvalid::Expired));
    // None of these calls has consumed the `state`.
    assert_eq!(peek(&table, "a-state", mine, 10 * MINUTE - 1), Ok("a".into()));
    let code = table.consume("a").unwrap();
    assert_eq!(code.verifier.expose_secret(), "a-verifier");
    assert_eq!(peek(&table, "a-state", mine, 2), Err(StateInvalid::Unknown));
    assert!(table.consume("a").is_none());
}

#[test]
fn state_of_a_local_client_is_accepted_from_any_session() {
    let mut table = Table::default();
    table.begin(browser("a", "operator", None), 0).unwrap();
    assert_eq!(peek(&table, "a-state", Some("any"), 1), Ok("a".into()));
    assert_eq!(peek(&table, "a-state", None, 1), Ok("a".into()));
}

#[test]
fn new_login_supersedes_only_the_waiting_login_of_its_owner_and_forge() {
    let mut table = Table::default();
    table.begin(browser("a1", "ada", None), 0).unwrap();
    table.begin(browser("b1", "bob", None), 0).unwrap();
    table.begin(device("a2", "ada", "berg"), 0).unwrap();
    table.begin(browser("a3", "ada", None), 1).unwrap();
    let ended = |ending| Some(Status::Ended(ending));
    assert_eq!(table.status("a1", 2), ended(Ending::Superseded));
    assert_eq!(peek(&table, "a1-state", None, 2), Err(StateInvalid::Unknown));
    assert_eq!(table.status("b1", 2), Some(Status::Waiting));
    assert_eq!(table.status("a2", 2), Some(Status::Waiting));
    assert_eq!(peek(&table, "b1-state", None, 2), Ok("b1".into()));
    assert_eq!(peek(&table, "a3-state", None, 2), Ok("a3".into()));
    // A login whose code is being exchanged continues.
    table.consume("a3").unwrap();
    table.begin(browser("a4", "ada", None), 3).unwrap();
    assert_eq!(table.status("a3", 4), Some(Status::Working));
}

#[test]
fn login_can_be_cancelled_until_saved() {
    let mut table = Table::default();
    for (id, owner) in [("waiting", "a"), ("working", "b"), ("saving", "c")] {
        table.begin(device(id, owner, "gh"), 0).unwrap();
    }
    assert!(table.approve("working") && table.approve("saving"));
    assert!(table.save("saving"));
    assert_eq!(
        ["waiting", "working", "saving", "unknown"].map(|id| table.cancel(id, 1)),
        [true, true, false, false]
    );
    assert!(!table.approve("waiting"), "a cancelled login must not accept a grant");
    assert!(!table.save("working"), "a cancelled login must not save anything");
    let success = Ending::Success { account: "a1".into(), login: Some("ada".into()), missing: Vec::new() };
    table.end("saving", success.clone(), 2);
    table.end("waiting", success.clone(), 2);
    let status = |id| table.status(id, 3).unwrap();
    assert_eq!(status("saving"), Status::Ended(success));
    assert_eq!([status("waiting"), status("working")], [(); 2].map(|()| Status::Ended(Ending::Cancelled)));
    assert_eq!(table.status("unknown", 3), None);
}

#[test]
fn login_cannot_be_completed_by_the_other_flow() {
    let mut table = Table::default();
    table.begin(device("d", "a", "gh"), 0).unwrap();
    table.begin(browser("b", "b", None), 0).unwrap();
    assert!(table.consume("d").is_none());
    assert!(!table.approve("b"));
    assert_eq!([table.status("d", 1), table.status("b", 1)], [Some(Status::Waiting), Some(Status::Waiting)]);
}

#[test]
fn full_table_rejects_logins_and_forgets_ended_ones() {
    let mut table = Table::default();
    for number in 0..LIVE {
        table.begin(device(&format!("f{number}"), &format!("user-{number}"), "gh"), 0).unwrap();
    }
    assert_eq!(table.begin(device("one more", "late", "gh"), 0), Err(TooManyLogins));
    // A new login by the same owner replaces the old one, so it needs no free slot.
    table.begin(device("again", "user-0", "gh"), 0).unwrap();
    assert_eq!(table.status("f1", 10 * MINUTE), Some(Status::Ended(Ending::Expired)));
    table.begin(device("late", "late", "gh"), 10 * MINUTE).unwrap();
    assert_eq!(table.flows.len(), ENDED + 1);
    table.begin(device("later", "later", "gh"), 20 * MINUTE).unwrap();
    assert_eq!(table.flows.len(), 2, "the login started ten minutes ago must have expired");
}

#[test]
fn table_debug_output_contains_no_secret() {
    let mut table = Table::default();
    table.begin(browser("a", "ada", Some("planted-cookie")), 0).unwrap();
    let shown = format!("{table:?}");
    assert!(
        !shown.contains("a-state") && !shown.contains("a-verifier") && !shown.contains("planted"),
        "{shown}"
    );
}

#[test]
fn login_step_is_reported_once_and_abandon_ends_only_waiting_logins() {
    let mut table = Table::default();
    table.begin(device("a", "ada", "gh"), 0).unwrap();
    table.begin(device("b", "bob", "gh"), 0).unwrap();
    assert_eq!(table.take_moved(), ["a", "b"]);
    assert_eq!(table.take_moved(), [""; 0]);
    assert!(table.approve("b"));
    assert_eq!(table.take_moved(), ["b"]);
    for id in ["a", "b", "unknown"] {
        table.abandon(id, Ending::Expired, 1);
    }
    assert_eq!(table.take_moved(), ["a"]);
    assert_eq!(table.status("a", 1), Some(Status::Ended(Ending::Expired)));
    assert_eq!(table.status("b", 1), Some(Status::Working), "its grant is being fetched");
    // The same user's other login at the same forge is superseded, and that is also reported.
    table.begin(device("c", "cleo", "gh"), 2).unwrap();
    table.begin(device("d", "cleo", "gh"), 3).unwrap();
    assert!(table.save("b"));
    table.end("b", Ending::Cancelled, 4);
    assert_eq!(table.take_moved(), ["b", "c", "d"]);
}
