use identity_store::{AuditEntry, AuditFault, AuditFilter, History, Key, Keyring, Store};
use tokio::task::JoinSet;

use crate::harness::{Fixture, NOW, keyring, on_both, refusal};

on_both![
    audit_rows_are_written_and_read_back,
    audit_keeps_any_text,
    audit_row_names_its_actor,
    audit_chain_verifies_when_unmodified,
    audit_row_is_absent_when_write_is_refused,
    audit_check_detects_tampering_with_a_row,
    audit_check_detects_truncation_and_keeps_a_record_of_it,
    audit_chain_verifies_when_old_rows_are_pruned,
    audit_chain_restarts_with_a_mark_when_its_key_is_lost,
    audit_chain_verifies_when_several_daemons_write,
    audit_chain_verifies_when_encryption_key_is_rotated,
];

fn entry(action: &str, detail: Option<&str>) -> AuditEntry {
    AuditEntry {
        at: NOW,
        actor: "uid 1000".into(),
        action: action.into(),
        subject: "b1".into(),
        outcome: "no_credential".into(),
        detail: detail.map(Into::into),
    }
}

async fn audit_rows_are_written_and_read_back(f: Fixture) {
    f.store.audit(entry("launch", None)).await.unwrap();
    f.store.audit(AuditEntry { at: NOW - 5, ..entry("refuse", Some("ambient")) }).await.unwrap();
    let log = f.store.audit_log(2).await.unwrap();
    assert_eq!(log, [AuditEntry { at: NOW - 5, ..entry("refuse", Some("ambient")) }, entry("launch", None)]);
    f.store.audit_all(&[]).await.unwrap();
    f.store.audit_all(&[entry("one", None), entry("two", None)]).await.unwrap();
    let rows = f.store.audit_rows(AuditFilter { since: NOW, limit: 3 }).await.unwrap();
    let actions: Vec<_> = rows.iter().map(|row| row.entry.action.as_str()).collect();
    assert_eq!(actions, ["launch", "one", "two"]);
    assert!(rows.is_sorted_by_key(|row| row.seq));
}

/// Rows are sent to the database as JSON. No part of their texts is lost.
async fn audit_keeps_any_text(f: Fixture) {
    let odd = "\"a\" 'b' \\ \n\t\u{1} é 🔑 {} null \u{2028}";
    let rows = [
        AuditEntry { at: i64::MIN, subject: odd.into(), ..entry("odd", Some(odd)) },
        AuditEntry { at: i64::MAX, actor: String::new(), ..entry("null", Some("null")) },
        AuditEntry { subject: "7".into(), outcome: "true".into(), ..entry("1e3", Some("")) },
    ];
    f.store.audit_all(&rows).await.unwrap();
    // PostgreSQL cannot store a zero byte. The row is still written.
    f.store.audit(AuditEntry { subject: "a\0b".into(), ..entry("zero", Some("\0")) }).await.unwrap();
    let mut log = f.store.audit_log(4).await.unwrap();
    log.reverse();
    assert_eq!(log[..3], rows);
    assert_eq!((log[3].subject.as_str(), log[3].detail.as_deref()), ("a\u{fffd}b", Some("\u{fffd}")));
    assert_eq!(checked(&f.store).await, (5, 0, None));
}

async fn audit_row_names_its_actor(f: Fixture) {
    f.bundle("One").await;
    let client = f.store.acting_as("client 7");
    client.delete_bundle(&crate::harness::bundle_id("one"), History::Keep, NOW).await.unwrap();
    let log = f.store.audit_log(2).await.unwrap();
    let said: Vec<_> = log.iter().map(|row| (row.actor.as_str(), row.action.as_str())).collect();
    assert_eq!(said, [("client 7", "bundle.delete"), ("srvd", "bundle.create")]);
}

/// Returns the number of rows whose chain is intact, the number of removed rows, and the fault.
async fn checked(store: &Store) -> (u64, u64, Option<AuditFault>) {
    let check = store.check_audit().await.unwrap();
    (check.rows, check.let_go, check.fault)
}

async fn fill(store: &Store, rows: u32) {
    for number in 0..rows {
        store.audit(entry(&format!("a{number}"), None)).await.unwrap();
    }
}

async fn audit_chain_verifies_when_unmodified(f: Fixture) {
    assert_eq!(checked(&f.store).await, (1, 0, None));
    let many: Vec<_> = (0..2_100).map(|number| entry(&format!("a{number}"), Some("x"))).collect();
    f.store.audit_all(&many).await.unwrap();
    f.bundle("One").await;
    f.login("one", "a@x").await;
    assert_eq!(checked(&f.store).await, (1 + 2_100 + 2, 0, None));
    f.store.close().await;
    let store = f.place.open(keyring("one")).await.unwrap();
    let check = store.check_audit().await.unwrap();
    assert_eq!((check.rows, check.marks.len(), check.fault), (2_103, 1, None));
    store.close().await;
}

async fn audit_row_is_absent_when_write_is_refused(f: Fixture) {
    f.bundle("One").await;
    let before = checked(&f.store).await;
    let new = identity_store::NewBundle {
        id: crate::harness::bundle_id("two"),
        name: "One".into(),
        description: String::new(),
    };
    assert_eq!(refusal(f.store.create_bundle(new, NOW).await).0, "conflict");
    assert_eq!(checked(&f.store).await, before);
    fill(&f.store, 1).await;
    assert_eq!(checked(&f.store).await.2, None);
}

async fn audit_check_detects_tampering_with_a_row(f: Fixture) {
    fill(&f.store, 6).await;
    let seqs = f.place.texts("SELECT CAST(seq AS text) FROM audit_log ORDER BY seq").await;
    let seq = |at: usize| seqs[at].parse::<i64>().unwrap();
    f.place.execute("CREATE TABLE kept AS SELECT * FROM audit_log").await;
    let columns = "seq, at, actor, action, subject, detail, outcome, hash";
    let forged = match f.place.kind {
        identity_store::DatabaseKind::Sqlite => "",
        identity_store::DatabaseKind::Postgres => "OVERRIDING SYSTEM VALUE",
    };
    let restore = format!(
        "DELETE FROM audit_log; INSERT INTO audit_log ({columns}) {forged} SELECT {columns} FROM kept"
    );
    for (done, found) in [
        (format!("UPDATE audit_log SET actor = 'me' WHERE seq = {}", seq(2)), 2),
        (format!("UPDATE audit_log SET at = at + 1 WHERE seq = {}", seq(1)), 1),
        (format!("UPDATE audit_log SET outcome = 'ok' WHERE seq = {}", seq(4)), 4),
        (format!("UPDATE audit_log SET detail = '' WHERE seq = {}", seq(4)), 4),
        (format!("UPDATE audit_log SET hash = NULL WHERE seq = {}", seq(6)), 6),
        (format!("DELETE FROM audit_log WHERE seq = {}", seq(3)), 4),
        (format!("DELETE FROM audit_log WHERE seq <= {}", seq(1)), 2),
        (
            format!(
                "UPDATE audit_log SET seq = -1 WHERE seq = {0}; UPDATE audit_log SET seq = {0} WHERE seq = {1};
                 UPDATE audit_log SET seq = {1} WHERE seq = -1",
                seq(2),
                seq(3)
            ),
            2,
        ),
    ] {
        // A number that the server generates can be inserted but not updated.
        let done = match f.place.kind {
            identity_store::DatabaseKind::Postgres if done.contains("SET seq") => format!(
                "DELETE FROM audit_log WHERE seq IN ({0}, {1});
                 INSERT INTO audit_log ({columns}) {forged} SELECT CASE seq WHEN {0} THEN {1} ELSE {0} END, at, actor,
                     action, subject, detail, outcome, hash FROM kept WHERE seq IN ({0}, {1})",
                seq(2),
                seq(3)
            ),
            _ => done,
        };
        f.place.execute(&done).await;
        let (_, _, fault) = checked(&f.store).await;
        assert_eq!(fault.and_then(|fault| fault.seq), Some(seq(found)), "{done}");
        f.place.execute(&restore).await;
        assert_eq!(checked(&f.store).await, (7, 0, None), "{done}");
    }
}

async fn audit_check_detects_truncation_and_keeps_a_record_of_it(f: Fixture) {
    fill(&f.store, 5).await;
    let last = "DELETE FROM audit_log WHERE seq = (SELECT max(seq) FROM audit_log)";
    f.place.execute(last).await;
    let fault = |seq, reason| Some(AuditFault { seq, reason });
    assert_eq!(checked(&f.store).await, (5, 0, fault(None, "the newest rows are missing")));

    // The end is corrected by hand: it matches, but it cannot be signed without the key.
    f.place
        .execute(
            "UPDATE audit_chain SET head_count = head_count - 1,
             head_hash = (SELECT hash FROM audit_log ORDER BY seq DESC LIMIT 1)",
        )
        .await;
    assert_eq!(checked(&f.store).await, (5, 0, fault(None, "the end of the log has no valid signature")));
    fill(&f.store, 1).await;
    let check = f.store.check_audit().await.unwrap();
    let marks: Vec<_> = check.marks.iter().map(|row| row.entry.action.as_str()).collect();
    assert_eq!((check.rows, check.fault), (7, None));
    assert_eq!(marks, ["audit.begin", "audit.broken"]);

    // With the end unchanged, the next row does not match.
    f.place.execute(last).await;
    fill(&f.store, 1).await;
    let (rows, _, found) = checked(&f.store).await;
    assert!(rows == 6 && found.is_some_and(|fault| fault.seq.is_some()));

    // Removing the faulty rows does not clear the fault.
    fill(&f.store, 1).await;
    f.store.prune_audit(1, NOW).await.unwrap();
    let check = f.store.check_audit().await.unwrap();
    let marks: Vec<_> = check.marks.iter().map(|row| row.entry.detail.clone().unwrap()).collect();
    assert_eq!((check.rows, check.fault), (3, None));
    assert!(marks.len() == 1 && marks[0].starts_with("among the rows up to "), "{marks:?}");
}

async fn audit_chain_verifies_when_old_rows_are_pruned(f: Fixture) {
    fill(&f.store, 20).await;
    assert_eq!(f.store.prune_audit(21, NOW).await.unwrap(), 0);
    assert_eq!(f.store.prune_audit(8, NOW).await.unwrap(), 13);
    assert_eq!(checked(&f.store).await, (9, 13, None));
    let first = f.store.audit_rows(AuditFilter { since: 0, limit: 100 }).await.unwrap();
    assert_eq!((first[0].entry.action.as_str(), first[8].entry.action.as_str()), ("a12", "audit.prune"));
    fill(&f.store, 3).await;
    assert_eq!(f.store.prune_audit(5, NOW).await.unwrap(), 7);
    assert_eq!(checked(&f.store).await, (6, 20, None));
    // A row that is deleted by hand is detected as missing.
    f.place.execute("DELETE FROM audit_log WHERE seq = (SELECT min(seq) FROM audit_log)").await;
    assert!(checked(&f.store).await.2.is_some_and(|fault| fault.seq.is_some()));
    f.place.execute("UPDATE audit_chain SET start_count = start_count + 1").await;
    let fault = AuditFault { seq: None, reason: "the beginning of the log has no valid signature" };
    assert_eq!(checked(&f.store).await.2, Some(fault));
}

async fn audit_chain_restarts_with_a_mark_when_its_key_is_lost(f: Fixture) {
    fill(&f.store, 3).await;
    f.store.close().await;
    let sealed = match f.place.kind {
        identity_store::DatabaseKind::Sqlite => "X'01'",
        identity_store::DatabaseKind::Postgres => "'\\x01'",
    };
    for done in [format!("UPDATE audit_chain SET sealed_key = {sealed}"), "DELETE FROM audit_chain".into()] {
        f.place.execute(&done).await;
        let store = f.place.open(keyring("one")).await.unwrap();
        fill(&store, 1).await;
        let check = store.check_audit().await.unwrap();
        assert_eq!(check.fault, None, "{done}");
        assert!(check.marks.len() > 1, "{done}");
        store.close().await;
    }
}

async fn audit_chain_verifies_when_several_daemons_write(f: Fixture) {
    let mut tasks = JoinSet::new();
    for daemon in 0..3 {
        let store = f.place.open(keyring("one")).await.unwrap().acting_as(format!("daemon {daemon}"));
        tasks.spawn(async move {
            fill(&store, 20).await;
            store.close().await;
        });
    }
    tasks.join_all().await;
    assert_eq!(checked(&f.store).await, (61, 0, None));
}

async fn audit_chain_verifies_when_encryption_key_is_rotated(f: Fixture) {
    fill(&f.store, 3).await;
    f.store.close().await;
    let old = Key::parse(format!("{:-<40}", "one").as_bytes()).unwrap();
    let new = Key::parse(format!("{:-<40}", "two").as_bytes()).unwrap();
    let store = f.place.open(Keyring::with_old(new.clone(), vec![old])).await.unwrap();
    store.rotate(NOW, |_| ()).await.unwrap();
    store.close().await;
    let store = f.place.open(Keyring::from_key(new)).await.unwrap();
    let check = store.check_audit().await.unwrap();
    // The first row of the chain, three rows, and the row of the retired key.
    assert_eq!((check.rows, check.marks.len(), check.fault), (5, 1, None));
    store.close().await;
}
