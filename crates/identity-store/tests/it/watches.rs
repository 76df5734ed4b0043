//! Watched repositories.

use identity_store::Change;
use identity_store::StoreError;
use identity_store::watch::{NewWatch, RepoView, RepoWatch};

use crate::grants::authority;
use crate::harness::{Fixture, NOW, on_both, refusal};

on_both![
    watched_repository_is_listed_once_whatever_its_spelling,
    look_is_announced_only_when_the_repository_moved,
    watch_is_refused_when_the_limit_is_reached,
    altered_watch_is_left_out,
];

fn view(head: &str) -> RepoView {
    RepoView {
        default_branch: Some("main".to_owned()),
        head: Some(head.to_owned()),
        requests: Some("1@a".to_owned()),
        etags: Some("e".to_owned()),
    }
}

fn forge() -> identity_store::BaseUrl {
    authority("git").base_url.unwrap()
}

fn new(repo: &str) -> NewWatch {
    let forge = authority("git").provider;
    NewWatch { forge, base_url: self::forge(), repo: repo.to_owned(), view: view("c0") }
}

impl Fixture {
    /// Watches a repository of the test's forge.
    pub(crate) async fn watch(&self, repo: &str) -> bool {
        self.store.watch_repo(&new(repo), 200, NOW).await.unwrap()
    }

    async fn watched(&self) -> Vec<RepoWatch> {
        self.store.watched_repos(&forge()).await.unwrap()
    }
}

async fn watched_repository_is_listed_once_whatever_its_spelling(f: Fixture) {
    assert!(f.watch("Team/Tool").await && f.watch("a/b").await);
    assert!(!f.watch("team/tool").await, "it is watched already");
    let names: Vec<String> = f.watched().await.into_iter().map(|watch| watch.repo).collect();
    assert_eq!(names, ["a/b", "team/tool"]);
    let other: identity_store::BaseUrl = "https://other.example".parse().unwrap();
    assert_eq!(f.store.watched_repos(&other).await.unwrap(), []);
    assert!(!f.store.unwatch_repo(&other, "a/b", NOW).await.unwrap());
    assert!(f.store.unwatch_repo(&forge(), "A/B", NOW).await.unwrap());
    assert!(!f.store.unwatch_repo(&forge(), "a/b", NOW).await.unwrap());
    assert_eq!(f.watched().await.len(), 1);
}

async fn look_is_announced_only_when_the_repository_moved(f: Fixture) {
    f.watch("o/r").await;
    f.heard();
    let watch = f.watched().await.remove(0);
    let look = async |seen: Result<&RepoView, &str>, at: i64| {
        f.store.record_look(&watch, seen, at).await.unwrap();
        (f.heard(), f.watched().await.remove(0))
    };
    let (heard, same) = look(Ok(&RepoView { etags: Some("e2".into()), ..view("c0") }), NOW + 1).await;
    assert_eq!((heard, same.changed_at, same.checked_at), (vec![], None, Some(NOW + 1)));
    assert_eq!(same.view.etags.as_deref(), Some("e2"));
    let (heard, moved) = look(Ok(&view("c1")), NOW + 2).await;
    assert_eq!(heard, [Change::ForgeRepo("o/r".into())]);
    assert_eq!((moved.changed_at, moved.view), (Some(NOW + 2), view("c1")));
    let (heard, failed) = look(Err("the forge is away"), NOW + 3).await;
    assert_eq!((heard, failed.view, failed.changed_at), (vec![], view("c1"), Some(NOW + 2)));
    assert_eq!(failed.problem.as_deref(), Some("the forge is away"));
    f.store.unwatch_repo(&forge(), "o/r", NOW).await.unwrap();
    f.heard();
    f.store.record_look(&watch, Ok(&view("c2")), NOW + 4).await.unwrap();
    assert_eq!((f.heard(), f.watched().await), (vec![], vec![]));
}

async fn watch_is_refused_when_the_limit_is_reached(f: Fixture) {
    f.watch("o/one").await;
    let watch = async |repo: &str| f.store.watch_repo(&new(repo), 1, NOW).await;
    assert!(!watch("o/one").await.unwrap());
    let expected = "watched repository o/two: as many repositories as possible are watched".to_owned();
    assert_eq!(refusal(watch("o/two").await), ("conflict", expected));
}

async fn altered_watch_is_left_out(f: Fixture) {
    f.watch("o/one").await;
    f.watch("o/two").await;
    let watch = f.watched().await.remove(0);
    f.place.execute("UPDATE forge_watches SET repo = 'evil/one' WHERE repo_key = 'o/one'").await;
    let names: Vec<String> = f.watched().await.into_iter().map(|watch| watch.repo).collect();
    assert_eq!(names, ["o/two"]);
    let look = f.store.record_look(&watch, Ok(&view("c1")), NOW).await;
    assert!(matches!(look, Err(StoreError::Corrupt { .. })), "{look:?}");
}
