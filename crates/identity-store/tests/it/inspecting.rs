use std::time::Duration;

use identity_store::maintenance::RowCheck;
use identity_store::{
    AdoptedLogins, Contents, DatabaseKind, DatabaseUrl, DestinationBundle, Inspection, KeyFit, OpenError,
    OwnLogin, inspect,
};

use crate::harness::{Fixture, NOW, api_key, keyring, new_session, provider, run_local};

crate::harness::on_both![
    inspection_returns_the_contents_of_a_database,
    inspection_names_a_wrong_key_and_hides_contents_when_the_schema_is_newer
];

const PATIENCE: Duration = Duration::from_secs(30);

async fn look(f: &Fixture, key: Option<&str>) -> Inspection {
    let url: DatabaseUrl = f.place.url.parse().unwrap();
    inspect(&url, key.map(keyring).as_ref(), PATIENCE).await.unwrap().unwrap()
}

async fn inspection_returns_the_contents_of_a_database(f: Fixture) {
    let bundle = f.bundle("One").await.id;
    f.store.save_api_key(api_key(DestinationBundle::Existing(bundle.clone()), "sk-1")).await.unwrap();
    f.store.insert_session(new_session(Some("coming"))).await.unwrap();
    let own = OwnLogin {
        provider: provider("claude"),
        dir: "/home/u/.claude".into(),
        provider_name: "Claude Code".into(),
        email: None,
        subject: None,
        expires_at: None,
        login_deadline_at: None,
    };
    let AdoptedLogins { outcomes, .. } = f.store.adopt_logins(vec![own], NOW).await.unwrap();
    let known = f.store.schema_version().await.unwrap();
    let listed = f.store.bundles().await.unwrap();
    let mut listed: Vec<_> =
        listed.iter().map(|bundle| (bundle.id.to_string(), bundle.name.clone())).collect();
    listed.sort();
    let names: Vec<String> = listed.into_iter().map(|(_, name)| name).collect();
    let expect =
        |key, declined: &[&str], adopted: &[(&str, &str)], bound: &[&str], bundles: &[&str]| Inspection {
            schema: Some(known),
            known,
            key,
            contents: Some(Contents {
                bundles: bundles.iter().map(ToString::to_string).collect(),
                names: names.clone(),
                expected: vec!["coming".to_owned()],
                bound: bound.iter().map(ToString::to_string).collect(),
                adopted: adopted.iter().map(|(id, dir)| ((*id).to_owned(), dir.into())).collect(),
                declined: declined.iter().map(ToString::to_string).collect(),
            }),
            rows: RowCheck::default(),
        };
    let mut bundles = vec!["blank", "default", bundle.as_str()];
    bundles.sort_unstable();
    // The database is inspected while the store is open, and again after it was closed.
    let before = expect(KeyFit::Fits, &[], &[("claude", "/home/u/.claude")], &["claude", "openai"], &bundles);
    assert_eq!(look(&f, Some("one")).await, before);
    let adopted = outcomes.into_iter().next().unwrap().unwrap();
    f.store.delete_account(&adopted.account, NOW).await.unwrap();
    f.store.close().await;
    let files = || match f.place.kind {
        DatabaseKind::Sqlite => std::fs::read_dir(f.place.directory()).unwrap().count(),
        DatabaseKind::Postgres => 0,
    };
    let (there, bytes) = (files(), std::fs::read(f.place.file()).ok());
    let after = expect(KeyFit::Unasked, &["claude"], &[], &["openai"], &bundles);
    assert_eq!(look(&f, None).await, after);
    assert_eq!((files(), std::fs::read(f.place.file()).ok()), (there, bytes));
}

async fn inspection_names_a_wrong_key_and_hides_contents_when_the_schema_is_newer(f: Fixture) {
    f.store.close().await;
    let (database, given) = (keyring("one").key_id(), keyring("two").key_id());
    assert_eq!(look(&f, Some("two")).await.key, KeyFit::Wrong { database, given });
    let known = look(&f, None).await.known;
    f.place.execute("UPDATE _sqlx_migrations SET version = 99 WHERE version = 1").await;
    let newer = Inspection {
        schema: Some(99),
        known,
        key: KeyFit::Unasked,
        contents: None,
        rows: RowCheck::default(),
    };
    assert_eq!(look(&f, Some("two")).await, newer);
}

#[tokio::test]
async fn inspect_changes_nothing_when_the_file_is_absent_empty_or_foreign() {
    run_local(async |f: Fixture| {
        let check = async |name: &str, text: Option<&[u8]>| {
            let path = f.place.directory().join(name);
            if let Some(text) = text {
                std::fs::write(&path, text).unwrap();
            }
            let result = inspect(&DatabaseUrl::sqlite(&path), None, PATIENCE).await;
            assert_eq!(std::fs::read(&path).ok().as_deref(), text, "{name}");
            result
        };
        assert_eq!(check("absent", None).await.unwrap(), None);
        assert_eq!(check("empty", Some(b"")).await.unwrap(), None);
        let strange = check("strange", Some(&[b'x'; 4096])).await;
        assert!(
            matches!(&strange, Err(OpenError::Corrupt { path, .. }) if path.ends_with("strange")),
            "{strange:?}"
        );
    })
    .await;
}
