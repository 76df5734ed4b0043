//! The files of a `SQLite` database are deleted or replaced while it is open, and a database has objects of another program.

use std::path::{Path, PathBuf};

use identity_store::{DatabaseKind, OpenError};

use crate::harness::{Fixture, NOW, keyring, on_both, refusal, run_local};

on_both![database_with_objects_of_another_program_does_not_open];

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// No step depends on time: the store holds each file open, so another file at its path has another inode, and the path is
/// compared before each commit. The write uses the one writing connection, which exists from the opening on.
#[tokio::test]
async fn write_is_refused_when_a_file_was_deleted_or_replaced() {
    run_local(async |f: Fixture| {
        for suffix in ["", "-wal", "-shm"] {
            let file = beside(&f.place.file(), suffix);
            let kept = beside(&f.place.file(), ".kept");
            f.store.put_setting("before", suffix, NOW).await.unwrap();

            std::fs::rename(&file, &kept).unwrap();
            let (kind, _) = refusal(f.store.put_setting("deleted", suffix, NOW).await);
            assert_eq!(kind, "replaced", "{suffix} was deleted");
            std::fs::copy(&kept, &file).unwrap();
            let (kind, _) = refusal(f.store.put_setting("replaced", suffix, NOW).await);
            assert_eq!(kind, "replaced", "{suffix} was replaced");
            // A file that another one took the place of again, as often as an inode could be given out.
            for _ in 0..3 {
                std::fs::remove_file(&file).unwrap();
                std::fs::write(&file, b"other").unwrap();
                let (kind, _) = refusal(f.store.put_setting("replaced", suffix, NOW).await);
                assert_eq!(kind, "replaced", "{suffix} was replaced again");
            }

            std::fs::rename(&kept, &file).unwrap();
            f.store.put_setting("after", suffix, NOW).await.unwrap();
            for (key, expected) in
                [("before", Some(suffix)), ("after", Some(suffix)), ("deleted", None), ("replaced", None)]
            {
                assert_eq!(f.store.setting(key).await.unwrap().as_deref(), expected, "{suffix}: {key}");
            }
        }
    })
    .await;
}

async fn database_with_objects_of_another_program_does_not_open(f: Fixture) {
    f.bundle("One").await;
    f.store.close().await;
    let trigger = match f.place.kind {
        DatabaseKind::Sqlite => (
            "CREATE TRIGGER evil AFTER UPDATE ON accounts BEGIN SELECT 1; END",
            "DROP TRIGGER evil",
            "trigger evil",
        ),
        DatabaseKind::Postgres => (
            "CREATE FUNCTION evil() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
             CREATE TRIGGER evil AFTER UPDATE ON accounts FOR EACH ROW EXECUTE FUNCTION evil()",
            "DROP TRIGGER evil ON accounts; DROP FUNCTION evil()",
            "trigger evil",
        ),
    };
    let mut planted = vec![
        trigger,
        ("CREATE VIEW evil AS SELECT * FROM accounts", "DROP VIEW evil", "view evil"),
        ("CREATE TABLE evil (id TEXT)", "DROP TABLE evil", "table evil"),
        ("CREATE INDEX evil ON accounts (lower(name))", "DROP INDEX evil", "index evil"),
    ];
    match f.place.kind {
        DatabaseKind::Sqlite => {}
        DatabaseKind::Postgres => planted.extend([
            (
                "CREATE RULE evil AS ON UPDATE TO accounts DO ALSO NOTHING",
                "DROP RULE evil ON accounts",
                "rule evil",
            ),
            (
                "CREATE MATERIALIZED VIEW evil AS SELECT 1 AS one",
                "DROP MATERIALIZED VIEW evil",
                "materialized view evil",
            ),
            ("CREATE POLICY evil ON accounts USING (true)", "DROP POLICY evil ON accounts", "policy evil"),
        ]),
    }
    for (plant, remove, name) in planted {
        f.place.execute(plant).await;
        match f.place.open(keyring("one")).await {
            Err(OpenError::ForeignObjects { objects }) => assert_eq!(objects, [name]),
            other => panic!("{name}: {other:?}"),
        }
        let attached =
            identity_store::Store::attach(f.place.options(std::sync::Arc::new(|_| {})), keyring("one"));
        assert!(matches!(attached.await, Err(OpenError::ForeignObjects { .. })), "{name}");
        f.place.execute(remove).await;
        f.place.open(keyring("one")).await.unwrap().close().await;
    }
}

/// A page in the middle of the file is overwritten. The check at the start finds it; no row of it has to be read.
#[tokio::test]
async fn damaged_page_is_found_by_the_check_of_pages() {
    run_local(async |f: Fixture| {
        for number in 0..40 {
            f.bundle(&format!("Bundle-{number}")).await;
        }
        f.store.check_pages().await.unwrap();
        f.store.close().await;
        let mut bytes = std::fs::read(f.place.file()).unwrap();
        let page = usize::from(u16::from_be_bytes([bytes[16], bytes[17]]));
        let name = bytes.windows(9).rposition(|text| text == b"Bundle-20").unwrap();
        let start = name / page * page;
        bytes[start..start + 64].fill(0xff);
        std::fs::write(f.place.file(), bytes).unwrap();
        match f.place.open(keyring("one")).await {
            Ok(store) => {
                assert_eq!(refusal(store.check_pages().await).0, "damaged");
                store.close().await;
            }
            Err(error) => assert!(matches!(error, OpenError::Corrupt { .. }), "{error:?}"),
        }
    })
    .await;
}
