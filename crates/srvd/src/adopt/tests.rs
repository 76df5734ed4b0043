use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use identity_store::{
    AccountList, Bundle, Change, DatabaseUrl, DestinationBundle, History, Key, Keyring, LoginCredential,
    NewBundle, NewInstance, PersonRule, SaveLogin, Status, StoreOptions,
};
use serde_json::json;

use super::*;

const NOW: i64 = 1_800_000_000_000;

/// A store and a home for one test.
struct World {
    root: tempfile::TempDir,
    store: Store,
    registry: Registry,
    heard: Arc<Mutex<Vec<Change>>>,
}

/// All state that a run could change.
type State = (Vec<Bundle>, AccountList, Vec<Instance>, Vec<ProviderId>, usize, BTreeMap<PathBuf, Vec<u8>>);

impl World {
    async fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("home")).unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let ear = Arc::clone(&heard);
        let announce: identity_store::Announce =
            Arc::new(move |changes| ear.lock().unwrap().extend_from_slice(changes));
        let url: DatabaseUrl = format!("sqlite:{}", root.path().join("srvd.db").display()).parse().unwrap();
        let keyring = Keyring::from_key(Key::parse(b"a-key-of-tests-0123456789-0123456789-01").unwrap());
        let store = Store::open(StoreOptions::new(url, announce, NOW), keyring).await.unwrap();
        Self { root, store, registry: Registry::builtin().unwrap(), heard }
    }

    fn home(&self) -> PathBuf {
        self.root.path().join("home")
    }

    fn own(&self) -> OwnDirs {
        OwnDirs::usual(&self.home(), &self.root.path().join("data"))
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.home().join(path);
        directory(path.parent().unwrap());
        std::fs::write(path, text).unwrap();
    }

    async fn run(&self) -> Report {
        run(&self.store, &self.registry, &self.own(), NOW).await
    }

    async fn preview(&self) -> Report {
        preview(&self.store, &self.registry, &self.own(), NOW).await
    }

    fn heard(&self) -> Vec<Change> {
        std::mem::take(&mut *self.heard.lock().unwrap())
    }

    async fn state(&self) -> State {
        let all = InstanceFilter { ended: true, ..InstanceFilter::default() };
        (
            self.store.bundles().await.unwrap(),
            self.store.accounts(AccountFilter::default()).await.unwrap(),
            self.store.instances(all).await.unwrap(),
            self.store.declined_providers().await.unwrap(),
            self.store.audit_log(1000).await.unwrap().len(),
            files(&self.home()),
        )
    }

    async fn bundle(&self, id: &str, name: &str) {
        let new = NewBundle { id: id.parse().unwrap(), name: name.into(), description: String::new() };
        self.store.create_bundle(new, NOW).await.unwrap();
    }

    /// Binds a Codex login that the daemon owns.
    async fn log_in(&self, bundle: &str) {
        let login = SaveLogin {
            session: None,
            target: DestinationBundle::Existing(bundle.parse().unwrap()),
            provider: codex(),
            provider_name: "Codex".into(),
            credential: LoginCredential::Directory("/data/identities/work/codex".into()),
            email: None,
            subject: None,
            base_url: None,
            expires_at: None,
            login_deadline_at: None,
            evidence: identity_store::Evidence::File,
            person: PersonRule::NotAnother,
            now: NOW,
        };
        self.store.save_login(login).await.unwrap();
    }

    async fn instance(&self, bundle: Option<&str>) {
        let bundle = bundle.map(|id| id.parse().unwrap());
        let new = NewInstance { definition: "agent".into(), name: None, bundle };
        self.store.create_instance(new, NOW).await.unwrap();
    }

    async fn accounts(&self) -> Vec<Account> {
        self.store.accounts(AccountFilter::default()).await.unwrap().accounts
    }
}

/// Returns every path below a directory with its content; for a link, the content is its target.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_symlink() {
            let target = std::fs::read_link(&path).unwrap();
            found.insert(path, target.into_os_string().into_encoded_bytes());
        } else if path.is_dir() {
            found.extend(files(&path));
        } else {
            let bytes = std::fs::read(&path).unwrap();
            found.insert(path, bytes);
        }
    }
    found
}

fn directory(path: &Path) {
    std::fs::DirBuilder::new().recursive(true).create(path).unwrap();
}

fn codex() -> ProviderId {
    "codex".parse().unwrap()
}

fn default() -> BundleId {
    BundleId::default_bundle()
}

fn jwt(claims: &serde_json::Value) -> String {
    let encode = |text: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
    format!("{}.{}.c2ln", encode(r#"{"alg":"none"}"#), encode(&claims.to_string()))
}

fn codex_file(email: &str, expires_at: i64, refresh: bool) -> String {
    let mut tokens = json!({
        "id_token": jwt(&json!({"email": email})),
        "access_token": jwt(&json!({"exp": expires_at / 1000})),
        "account_id": format!("id of {email}"),
    });
    if refresh {
        tokens["refresh_token"] = json!("rt-planted");
    }
    json!({"auth_mode": "chatgpt", "tokens": tokens}).to_string()
}

/// The content of the user's own directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ambient {
    Absent,
    Good,
    Empty,
    Truncated,
    Renewable,
    Ended,
    Link,
    Dangling,
    Directory,
    Key,
}

impl Ambient {
    const ALL: [Self; 10] = [
        Self::Absent,
        Self::Good,
        Self::Empty,
        Self::Truncated,
        Self::Renewable,
        Self::Ended,
        Self::Link,
        Self::Dangling,
        Self::Directory,
        Self::Key,
    ];

    fn plant(self, world: &World) {
        let good = codex_file("ada@x", NOW + 60_000, true);
        let place = ".codex/auth.json";
        match self {
            Self::Absent => {}
            Self::Good => world.write(place, &good),
            Self::Empty => world.write(place, "{}"),
            Self::Truncated => world.write(place, &good[..good.len() / 2]),
            Self::Renewable => world.write(place, &codex_file("ada@x", NOW - 60_000, true)),
            Self::Ended => world.write(place, &codex_file("ada@x", NOW - 60_000, false)),
            Self::Link => {
                world.write("elsewhere.json", &good);
                std::fs::create_dir(world.home().join(".codex")).unwrap();
                let target = world.home().join("elsewhere.json");
                std::os::unix::fs::symlink(target, world.home().join(place)).unwrap();
            }
            Self::Dangling => {
                std::fs::create_dir(world.home().join(".codex")).unwrap();
                std::os::unix::fs::symlink("nothing.json", world.home().join(place)).unwrap();
            }
            Self::Directory => directory(&world.home().join(place)),
            // Codex uses this key and ignores the tokens next to it.
            Self::Key => world.write(place, &good.replace("\"chatgpt\"", "\"apikey\"")),
        }
    }

    fn status(self) -> Option<Status> {
        match self {
            Self::Good | Self::Link => Some(Status::Valid),
            Self::Renewable => Some(Status::Expired),
            _ => None,
        }
    }
}

/// A test case: the content of the home, and the content of the store before the run.
#[derive(Debug, Clone, Copy)]
struct Case {
    ambient: Ambient,
    bound: bool,
    declined: bool,
    /// Number of running instances under no identity: 0 or 2.
    idle: u64,
    default_exists: bool,
}

impl Case {
    async fn plant(self, world: &World) {
        self.ambient.plant(world);
        if self.declined {
            world.bundle("former", "Former").await;
            world.log_in("former").await;
            world.store.delete_bundle(&"former".parse().unwrap(), History::Keep, NOW).await.unwrap();
        }
        world.bundle("work", "Work").await;
        if self.bound {
            world.log_in("work").await;
        }
        if self.default_exists {
            world.bundle("default", "Mine").await;
        }
        world.instance(Some("work")).await;
        if self.idle > 0 {
            world.instance(None).await;
            world.instance(Some("blank")).await;
        }
    }

    fn expected(self, examined: usize) -> Counts {
        let left_alone = self.bound || self.declined;
        let seeded = !left_alone && self.ambient.status().is_some();
        let is_default = self.default_exists || seeded;
        Counts {
            examined,
            skipped_bound: usize::from(self.bound),
            tombstoned: usize::from(self.declined && !self.bound),
            no_ambient: examined - usize::from(left_alone || seeded),
            seeded: usize::from(seeded),
            default_created: seeded && !self.default_exists,
            instances_backfilled: if is_default { self.idle } else { 0 },
            ..Counts::default()
        }
    }
}

#[tokio::test]
async fn home_is_migrated_once_from_each_initial_state() {
    let examined = candidates(&Registry::builtin().unwrap()).count();
    for ambient in Ambient::ALL {
        for bits in 0..16 {
            let bit = |place: u8| bits & (1 << place) != 0;
            let (bound, declined, idle, default_exists) = (bit(0), bit(1), 2 * u64::from(bit(2)), bit(3));
            let case = Case { ambient, bound, declined, idle, default_exists };
            let world = World::new().await;
            case.plant(&world).await;
            check(&world, case, case.expected(examined)).await;
            world.store.close().await;
        }
    }
}

async fn check(world: &World, case: Case, expected: Counts) {
    let (home, before) = (files(&world.home()), world.state().await);
    world.heard();
    let preview = world.preview().await;
    assert_eq!((preview.counts, world.heard()), (expected, vec![]), "preview of {case:?}");
    assert_eq!(world.state().await, before, "a preview changed something: {case:?}");

    let report = world.run().await;
    assert!(report.error.is_none(), "{case:?}");
    assert_eq!(report.counts, expected, "{case:?}");
    assert_eq!(report.providers, preview.providers, "{case:?}");
    assert_eq!(files(&world.home()), home, "{case:?}");
    let heard = world.heard();
    if expected.seeded == 1 {
        let account = world.store.bound_account(&default(), &codex()).await.unwrap().unwrap();
        let own = SecretRef::ConfigDir { dir: world.home().join(".codex"), adopted: true };
        assert_eq!((&account.secret_ref, Some(account.status)), (&own, case.ambient.status()), "{case:?}");
        assert_eq!(account.email.as_deref(), Some("ada@x"));
        let mut expect = vec![Change::Bindings(default()), Change::Account(account.id)];
        if expected.default_created {
            expect.insert(0, Change::Bundles);
        }
        assert_eq!(heard, expect, "{case:?}");
        let name = world.store.bundle(&default()).await.unwrap().name;
        assert_eq!(name, if case.default_exists { "Mine" } else { "Default" });
    } else {
        assert_eq!(heard, [], "{case:?}");
    }
    let idle = world.store.instances(InstanceFilter::default()).await.unwrap();
    let moved = idle.iter().filter(|instance| instance.bundle == Some(default())).count();
    assert_eq!(moved as u64, expected.instances_backfilled, "{case:?}");
    if expected.seeded == 0 && expected.instances_backfilled == 0 {
        assert_eq!(world.state().await, before, "{case:?}");
    }

    let after = world.state().await;
    let again = world.run().await;
    let adopted = usize::from(expected.seeded == 1);
    let expected = Counts {
        skipped_bound: expected.skipped_bound + adopted,
        seeded: 0,
        default_created: false,
        instances_backfilled: 0,
        ..expected
    };
    assert_eq!(again.counts, expected, "again: {case:?}");
    assert_eq!((world.state().await, world.heard()), (after, vec![]), "again: {case:?}");
}

#[tokio::test]
async fn several_logins_make_one_bundle_and_one_announcement() {
    let world = World::new().await;
    world.bundle("other", "default").await;
    world.heard();
    world.write(".codex/auth.json", &codex_file("codex@x", NOW + 60_000, true));
    let claude = json!({"claudeAiOauth": {"accessToken": "sk-ant-oat01-planted", "refreshToken": "r", "expiresAt": NOW + 1,
        "refreshTokenExpiresAt": NOW + 9}});
    world.write(".claude/.credentials.json", &claude.to_string());
    // Claude Code keeps this file next to its directory, not inside, unless a variable names the directory.
    let person = json!({"oauthAccount": {"emailAddress": "claude@x", "accountUuid": "u-u"}});
    world.write(".claude.json", &person.to_string());
    let gemini = json!({"access_token": "a", "refresh_token": "r", "expiry_date": NOW - 1});
    world.write(".gemini/oauth_creds.json", &gemini.to_string());
    world.write(".gemini/settings.json", r#"{"security": {"auth": {"selectedType": "oauth-personal"}}}"#);
    world.write(".gemini/google_accounts.json", r#"{"active": "gemini@x"}"#);
    world.write(".config/gh/hosts.yml", "github.com:\n  oauth_token: gho_planted\n  user: octo\n");
    let opencode =
        json!({"openai": {"access": "a", "refresh": "r", "expires": NOW + 5, "accountId": "acct"}});
    world.write(".local/share/opencode/auth.json", &opencode.to_string());
    world.write(".local/share/amp/secrets.json", r#"{"apiKey@https://ampcode.com/": "sgamp_planted"}"#);
    // An unreadable login does not hide the others.
    world.write(".copilot/config.json", "{ // half");

    let report = world.run().await;
    assert_eq!((report.counts.seeded, report.counts.default_created), (6, true), "{report:?}");
    let reason = report.providers.iter().find(|(id, _)| id == "copilot").unwrap();
    assert!(matches!(&reason.1, Outcome::NoLogin(Some(_))), "{reason:?}");
    let mut found: Vec<_> = world.accounts().await;
    found.sort_by(|left, right| left.provider.cmp(&right.provider));
    let seen: Vec<_> = found
        .iter()
        .map(|account| {
            let SecretRef::ConfigDir { dir, adopted: true } = &account.secret_ref else {
                panic!("{account:?}")
            };
            let dir = dir.strip_prefix(world.home()).unwrap().to_str().unwrap();
            (account.provider.as_str(), dir, account.email.as_deref(), account.status)
        })
        .collect();
    let valid = Status::Valid;
    assert_eq!(
        seen,
        [
            ("amp", ".local/share", None, valid),
            ("claude", ".claude", Some("claude@x"), valid),
            ("codex", ".codex", Some("codex@x"), valid),
            // The variable of this CLI names the parent of its directory.
            ("gemini", "", Some("gemini@x"), Status::Expired),
            ("github", ".config/gh", None, valid),
            ("opencode", ".local/share", None, valid),
        ]
    );
    assert_eq!(world.store.bundle(&default()).await.unwrap().name, "Default 2");
    let heard = world.heard();
    assert_eq!(heard.iter().filter(|change| **change == Change::Bindings(default())).count(), 1);
    assert_eq!(heard.len(), 2 + found.len(), "{heard:?}");
    assert_eq!(found[1].login_deadline_at, Some(NOW + 9));
    world.run().await;
    assert_eq!(world.heard(), []);
}

#[tokio::test]
async fn unusable_login_is_skipped_with_a_reason() {
    let world = World::new().await;
    world.write(".codex/auth.json", r#"{"OPENAI_API_KEY": "sk-planted", "tokens": null}"#);
    world.write(".config/gh/hosts.yml", "github.com:\n  git_protocol: https\n");
    world.write(".local/share/opencode/auth.json", r#"{"opencode": {"type": "api", "key": "sk-zen"}}"#);
    world.write(".gemini/oauth_creds.json", r#"{"access_token": "a", "refresh_token": "r"}"#);
    world.write(".gemini/settings.json", r#"{"security": {"auth": {"selectedType": "gemini-api-key"}}}"#);
    let report = world.run().await;
    let reason = |provider: &str| match report.providers.iter().find(|(id, _)| id == provider) {
        Some((_, Outcome::NoLogin(Some(reason)))) => reason.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        [reason("codex"), reason("github"), reason("gemini")],
        [
            "the CLI would use the key in auth.json and not this login",
            "hosts.yml holds no login: the file has no token",
            "settings.json selects gemini-api-key, so the CLI would not use this login",
        ]
    );
    // opencode uses logins of providers other than the one that srvd logs in to.
    assert_eq!((report.counts.seeded, world.accounts().await[0].provider.as_str()), (1, "opencode"));
}

#[tokio::test]
async fn account_is_reused_when_it_already_points_to_the_directory() {
    let world = World::new().await;
    world.write(".codex/auth.json", &codex_file("ada@x", NOW + 60_000, true));
    world.run().await;
    let before = world.store.bound_account(&default(), &codex()).await.unwrap().unwrap();
    world.bundle("work", "Work").await;
    let work = "work".parse().unwrap();
    world.store.bind(&work, &before.id, NOW).await.unwrap();
    world.store.delete_bundle(&default(), History::Keep, NOW).await.unwrap();
    world.store.unbind(&work, &codex(), NOW).await.unwrap();
    let preview = world.preview().await;
    let report = world.run().await;
    let counts = (report.counts.reused, report.counts.seeded, report.counts.default_created);
    assert_eq!((counts, preview.counts), ((1, 0, true), report.counts));
    let after = world.store.bound_account(&default(), &codex()).await.unwrap().unwrap();
    assert_eq!((after.id, after.created_at), (before.id, before.created_at));

    // Another person's login in the same directory does not replace that account.
    world.bundle("third", "Third").await;
    let third = "third".parse().unwrap();
    world.store.bind(&third, &world.accounts().await[0].id, NOW).await.unwrap();
    world.store.delete_bundle(&default(), History::Keep, NOW).await.unwrap();
    world.store.unbind(&third, &codex(), NOW).await.unwrap();
    world.write(".codex/auth.json", &codex_file("eve@x", NOW + 60_000, true));
    let state = world.state().await;
    world.heard();
    let report = world.run().await;
    assert_eq!((report.counts.failed, report.counts.seeded), (1, 0), "{report:?}");
    assert_eq!((world.state().await, world.heard()), (state, vec![]));
}

/// A store in which one operation fails.
struct Faulty<'a> {
    store: &'a Store,
    broken: &'static str,
}

impl Faulty<'_> {
    fn at(&self, operation: &str) -> Result<(), StoreError> {
        if self.broken == operation { Err(StoreError::Unavailable("planted".into())) } else { Ok(()) }
    }
}

impl AdoptionStore for Faulty<'_> {
    async fn bound(&self) -> Result<(Vec<ProviderId>, bool), StoreError> {
        self.at("bound")?;
        self.store.bound().await
    }

    async fn declined(&self) -> Result<Vec<ProviderId>, StoreError> {
        self.at("declined")?;
        self.store.declined_providers().await
    }

    async fn adopt(&self, logins: Vec<OwnLogin>, now: i64) -> Result<AdoptedLogins, StoreError> {
        self.at("adopt")?;
        self.store.adopt_logins(logins, now).await
    }

    async fn backfill(&self, now: i64) -> Result<u64, StoreError> {
        self.at("backfill")?;
        self.store.backfill_instances(&default(), now).await
    }
}

#[tokio::test]
async fn migration_is_completed_by_the_next_run_when_the_store_fails() {
    for broken in ["bound", "declined", "adopt", "backfill"] {
        let world = World::new().await;
        world.write(".codex/auth.json", &codex_file("ada@x", NOW + 60_000, true));
        world.instance(None).await;
        let before = world.state().await;
        world.heard();
        let faulty = Faulty { store: &world.store, broken };
        let report = migrate(&faulty, &world.registry, &world.own(), NOW).await;
        assert!(matches!(report.error, Some(StoreError::Unavailable(_))), "{broken}: {report:?}");
        if broken == "backfill" {
            assert_eq!((report.counts.seeded, report.counts.default_created), (1, true));
        } else {
            assert_eq!((world.state().await, world.heard()), (before, vec![]), "{broken}");
            assert_eq!(report.counts.failed, usize::from(broken == "adopt"));
        }
        let report = world.run().await;
        assert!(report.error.is_none(), "{broken}");
        assert_eq!(report.counts.instances_backfilled, 1, "{broken}");
        assert!(world.store.bound_account(&default(), &codex()).await.unwrap().is_some(), "{broken}");
    }
}

#[tokio::test]
async fn migration_ends_in_a_report_when_the_store_is_closed_or_the_home_is_missing() {
    let world = World::new().await;
    let before = world.state().await;
    let nowhere = OwnDirs::usual(Path::new("/nonexistent/home"), Path::new("/nonexistent/data"));
    let nowhere = run(&world.store, &world.registry, &nowhere, NOW).await;
    assert_eq!((nowhere.counts.no_ambient, nowhere.error.is_none()), (nowhere.counts.examined, true));
    assert_eq!((world.state().await, world.heard()), (before, vec![]));
    world.store.close().await;
    let report = world.run().await;
    assert!(report.error.is_some());
    assert_eq!(report.counts, Counts::default());
    assert!(world.preview().await.error.is_some());
}

/// A store that cannot store the login of one provider, whatever else it is stored with.
struct Rejecting<'a> {
    store: &'a Store,
    provider: ProviderId,
}

impl AdoptionStore for Rejecting<'_> {
    async fn bound(&self) -> Result<(Vec<ProviderId>, bool), StoreError> {
        self.store.bound().await
    }

    async fn declined(&self) -> Result<Vec<ProviderId>, StoreError> {
        self.store.declined_providers().await
    }

    async fn adopt(&self, logins: Vec<OwnLogin>, now: i64) -> Result<AdoptedLogins, StoreError> {
        if logins.iter().any(|login| login.provider == self.provider) {
            return Err(StoreError::Database("planted".into()));
        }
        self.store.adopt_logins(logins, now).await
    }

    async fn backfill(&self, now: i64) -> Result<u64, StoreError> {
        self.store.backfill_instances(&default(), now).await
    }
}

#[tokio::test]
async fn fault_of_one_provider_keeps_no_other_login_out() {
    let world = World::new().await;
    world.write(".codex/auth.json", &codex_file("ada@x", NOW + 60_000, true));
    world.write(".config/gh/hosts.yml", "github.com:\n  oauth_token: gho_planted\n  user: octo\n");
    world.write(".local/share/amp/secrets.json", r#"{"apiKey@https://ampcode.com/": "sgamp_planted"}"#);
    let rejecting = Rejecting { store: &world.store, provider: codex() };
    let report = migrate(&rejecting, &world.registry, &world.own(), NOW).await;
    assert_eq!((report.counts.seeded, report.counts.failed), (2, 1), "{report:?}");
    assert!(report.error.is_none() && report.counts.default_created, "{report:?}");
    let failed = report.providers.iter().find(|(id, _)| id == "codex").unwrap();
    assert!(
        matches!(&failed.1, Outcome::Failed(reason) if reason.starts_with("it could not be stored: ")),
        "{failed:?}"
    );
    let stored: Vec<String> =
        world.accounts().await.iter().map(|account| account.provider.to_string()).collect();
    assert_eq!(stored.len(), 2, "{stored:?}");
    // The next run does the rest.
    assert_eq!(world.run().await.counts.seeded, 1);
}
