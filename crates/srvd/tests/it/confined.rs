//! No launch resolves to a path outside the daemon's root, except for an adopted account. The tests cover every
//! provider and every way to create an account, including rows that only an attacker would write.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use auth_spawner::{Cli, KeyService, Registry};
use identity_store::{
    BundleId, DestinationBundle, Evidence, KeyPlace, LoginCredential, OwnLogin, SaveApiKey, Status, Store,
};
use serde_json::{Value, json};

use crate::support::planted;
use crate::support::{self, Daemon, Home};

/// The expected answer to a launch of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// Every path that is set is inside this bundle or among the caches.
    Inside,
    /// No path is set.
    NoPath,
    /// The only path that is set is the user's own directory, below this path.
    Own(&'static str),
    /// The launch fails with an error of this kind.
    Refused(&'static str),
}

/// An account: its bundle, and the expected answer.
struct Case {
    bundle: BundleId,
    provider: String,
    answer: Answer,
}

fn bundle(provider: &str, way: &str) -> BundleId {
    format!("{provider}-{way}").parse().unwrap()
}

/// Creates an account of a CLI in every possible way.
async fn logins(store: &Store, home: &Home, provider: &str, cli: &Cli) -> Vec<Case> {
    let identities = home.dir("data/identities");
    let (user, elsewhere) = (home.dir("home"), home.dir("elsewhere").join(provider));
    let own = cli.config_dir.own(&user);
    let provable = planted::login(cli, &own, "user@example.test");
    planted::login(cli, &elsewhere, "other@example.test");
    let missing = if provable { Answer::Inside } else { Answer::Refused("needs_reauth") };
    let inside = |way: &str| identities.join(bundle(provider, way).as_str()).join(&cli.config_dir.name);
    planted::login(cli, &inside("login"), "work@example.test");
    let link = |way: &str, path: &Path, target: &Path| {
        support::private_directory(path.parent().unwrap());
        symlink(target, path).unwrap();
        inside(way)
    };
    let to_own = link("link", &inside("link"), &own);
    let whole = identities.join(bundle(provider, "whole").as_str());
    let to_all = link("whole", &whole, &identities.join(bundle(provider, "login").as_str()));
    let stranger = Answer::Refused("ambient_directory");
    let directories: [(&str, PathBuf, Answer); 7] = [
        ("login", inside("login"), missing),
        ("ambient", own.clone(), stranger),
        ("home", user.clone(), stranger),
        ("elsewhere", elsewhere.clone(), stranger),
        ("dots", inside("dots").join("../../../../elsewhere").join(provider), stranger),
        ("link", to_own, stranger),
        ("whole", to_all, stranger),
    ];
    let mut cases = Vec::new();
    let case =
        |way: &str, answer| Case { bundle: bundle(provider, way), provider: provider.to_owned(), answer };
    for (way, dir, answer) in directories {
        let save = planted::row(&bundle(provider, way), provider, LoginCredential::Directory(dir));
        store.save_login(save).await.unwrap();
        cases.push(case(way, answer));
    }
    let token = LoginCredential::Token("planted-token-0123456789".into());
    store.save_login(planted::row(&bundle(provider, "token"), provider, token)).await.unwrap();
    let answer = if cli.token.is_some() { Answer::Inside } else { Answer::Refused("secret_unavailable") };
    cases.push(case("token", answer));
    cases
}

/// Returns the path of a CLI's directory for one way of naming it.
type Place = fn(&Home, &str, &Cli) -> PathBuf;

/// The directories that an adopted row may name: the user's own one, and those that only an attacker would write.
const ADOPTED: [(&str, Place); 4] = [
    ("own", |home, _, cli| cli.config_dir.own(&home.dir("home"))),
    ("elsewhere", |home, provider, _| home.dir("elsewhere").join(provider)),
    ("open", |home, provider, _| home.dir("open").join(provider)),
    ("inside", |home, _, cli| home.dir("data/identities/default").join(&cli.config_dir.name)),
];

/// Adopts a directory of each CLI into the bundle `default`.
async fn adopt(store: &Store, home: &Home, registry: &Registry, way: usize) -> Vec<Case> {
    let (name, place) = ADOPTED[way];
    // The usual place of Cursor's login is in another of the user's directories, where this test plants none.
    let clis = registry.iter().filter(|provider| provider.id != "cursor");
    let clis = clis.filter_map(|provider| Some((provider, provider.cli.as_ref()?)));
    let (mut logins, mut cases) = (Vec::new(), Vec::new());
    for (provider, cli) in clis {
        let dir = place(home, &provider.id, cli);
        let answer = match (name, planted::login(cli, &dir, "user@example.test")) {
            ("own", true) => Answer::NoPath,
            ("elsewhere", true) => Answer::Own("elsewhere"),
            ("own" | "elsewhere", false) => Answer::Refused("needs_reauth"),
            _ => Answer::Refused("ambient_directory"),
        };
        if name == "open" {
            std::fs::DirBuilder::new().recursive(true).create(&dir).unwrap();
            std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o777)).unwrap();
        }
        cases.push(Case { bundle: "default".parse().unwrap(), provider: provider.id.clone(), answer });
        logins.push(OwnLogin {
            provider: provider.id.parse().unwrap(),
            provider_name: provider.id.clone(),
            dir,
            email: None,
            subject: None,
            expires_at: None,
            login_deadline_at: None,
        });
    }
    let adopted = store.adopt_logins(logins, 1).await.unwrap();
    assert!(adopted.outcomes.iter().all(Result::is_ok), "{adopted:?}");
    cases
}

/// Creates an account of a key service in every possible way.
async fn keys(store: &Store, provider: &str, service: &KeyService) -> Vec<Case> {
    let refused = Answer::Refused("secret_unavailable");
    let command = ["/bin/echo", "planted:key"].map(str::to_owned).to_vec();
    let places = [
        ("key", KeyPlace::Sealed("planted:key-0123456789".into()), Answer::NoPath),
        ("env", KeyPlace::Env("HOME".to_owned()), refused),
        ("ours", KeyPlace::Env("OAUTH_ENCRYPTION_KEY".to_owned()), refused),
        ("command", KeyPlace::Command(command), refused),
    ];
    let mut cases = Vec::new();
    for (way, key, answer) in places {
        let bundle = bundle(provider, way);
        let save = SaveApiKey {
            target: DestinationBundle::New { id: bundle.clone(), name: Some(bundle.to_string()) },
            provider: provider.parse().unwrap(),
            provider_name: provider.to_owned(),
            account_name: way.to_owned(),
            key,
            base_url: Some(service.base_url.clone()),
            email: None,
            status: Status::Unknown,
            status_reason: None,
            evidence: Evidence::None,
            checked_at: None,
            now: 1,
        };
        store.save_api_key(save).await.unwrap();
        cases.push(Case { bundle, provider: provider.to_owned(), answer });
    }
    cases
}

async fn check(daemon: &Daemon, case: &Case) {
    let params = json!({"bundleId": case.bundle.as_str(), "providerId": case.provider});
    let (place, shared) =
        (daemon.home.dir("data/identities").join(case.bundle.as_str()), daemon.home.dir("data/shared"));
    if let Answer::Refused(kind) = case.answer {
        let error = daemon.error("launch.resolve", params).await;
        assert_eq!(error.data.unwrap()["kind"], json!(kind), "{}: {}", case.bundle, error.message);
        return;
    }
    let mut params = params;
    params["explain"] = true.into();
    let launch = daemon.call("launch.resolve", params).await;
    let empty: Vec<&Value> = launch["homes"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|home| home["providerId"] != case.provider.as_str())
        .filter_map(|home| home.get("dir"))
        .collect();
    let all: Vec<&str> = launch["set"]
        .as_object()
        .unwrap()
        .values()
        .filter_map(Value::as_str)
        .filter(|value| value.starts_with('/'))
        .collect();
    let registry = Registry::builtin().unwrap();
    let cli = registry.provider(&case.provider).unwrap().cli.as_ref();
    let viewed = cli.filter(|cli| cli.config_dir.var.starts_with("XDG_"));
    // The homes of the other CLIs and the views are the identity's, too.
    let is_other = |path: &&str| {
        (Path::new(path).starts_with(place.join(".xdg")) && viewed.is_none())
            || empty.iter().any(|dir| Path::new(path).starts_with(dir.as_str().unwrap()))
            || (Path::new(path).starts_with(&shared)
                && !Path::new(path).starts_with(shared.join(&case.provider)))
    };
    assert!(
        all.iter()
            .filter(|path| is_other(path))
            .all(|path| { Path::new(path).starts_with(&place) || Path::new(path).starts_with(&shared) })
    );
    let paths: Vec<&str> = all.into_iter().filter(|path| !is_other(path)).collect();
    let own_key = cli.is_some_and(|cli| cli.keys.contains_key(&case.provider));
    let by_key = own_key
        && launch["homes"]
            .as_array()
            .unwrap()
            .iter()
            .any(|home| home["providerId"] == case.provider.as_str() && home["state"] == "key");
    // Such a CLI takes its login in a variable, without a directory.
    if cli.is_some_and(|cli| cli.credential_var.is_some()) {
        assert!(paths.is_empty(), "{}: {launch}", case.provider);
        return;
    }
    match (case.answer, viewed) {
        // The CLI of the provider's own key has a home for it.
        (Answer::NoPath, _) if by_key => {}
        // The entry of the CLI in the view is the person's, as every other entry.
        (Answer::NoPath, Some(cli)) => {
            let view = Path::new(launch["set"][&cli.config_dir.var].as_str().unwrap());
            let inner = &cli.config_dir.inner;
            let target = std::fs::read_link(view.join(inner));
            assert!(
                target.is_ok_and(|target| target.starts_with(daemon.home.dir("home"))),
                "{}",
                case.bundle
            );
            return;
        }
        (answer, _) => {
            assert_eq!(paths.is_empty(), answer == Answer::NoPath, "{}: {launch}", case.bundle);
        }
    }
    if let Answer::Own(below) = case.answer {
        let own = daemon.home.dir(below).join(&case.provider);
        if let Some(cli) = viewed {
            let view = Path::new(launch["set"][&cli.config_dir.var].as_str().unwrap());
            let inner = &cli.config_dir.inner;
            assert_eq!(std::fs::read_link(view.join(inner)).unwrap(), own.join(inner), "{}", case.provider);
            return;
        }
        assert_eq!(paths, [own.to_str().unwrap()], "{}: {launch}", case.provider);
        return;
    }
    for path in paths {
        let inside = Path::new(path).starts_with(&place) || Path::new(path).starts_with(&shared);
        assert!(inside && !path.contains(".."), "{}: {path}", case.bundle);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn launch_resolves_outside_data_root_only_when_login_is_adopted() {
    let home = Home::new();
    let registry = Registry::builtin().unwrap();
    support::private_directory(&home.dir("data/identities"));
    let store = support::store(&home).await;
    let mut cases = Vec::new();
    for provider in registry.iter() {
        if let Some(cli) = &provider.cli {
            cases.extend(logins(&store, &home, &provider.id, cli).await);
        }
        if let Some(service) = &provider.key {
            cases.extend(keys(&store, &provider.id, service).await);
        }
    }
    store.close().await;
    let daemon = home.start();
    for case in &cases {
        check(&daemon, case).await;
    }
    let kinds = cases.iter().filter(|case| case.answer == Answer::Inside).count();
    assert!(kinds > 10, "{kinds} logins resolve, so the files are what the CLIs write");

    for way in 0..ADOPTED.len() {
        let home = Home::new();
        support::private_directory(&home.dir("data/identities"));
        let store = support::store(&home).await;
        let cases = adopt(&store, &home, &registry, way).await;
        store.close().await;
        let daemon = home.start();
        for case in &cases {
            check(&daemon, case).await;
        }
    }
}
