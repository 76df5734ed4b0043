//! The homes of a launch: one directory for each CLI, so that no program of the launch finds another person's.
//!
//! A home is made once, before the start. Each launch looks at it once.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use auth_spawner::{Cli, Credential, KeyHome, KeyValues, Proof, Provider, Reach, Shadow};
use blake2::digest::consts::U16;
use blake2::{Blake2b, Digest as _};
use identity_store::{AgentId, BundleId, UserId};

use super::views::{self, View};
use super::{DirError, IdentityDirs, Places};
use crate::base::private;

/// The owner of the homes of a launch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HomeOwner {
    /// A bundle.
    Bundle(BundleId),
    /// An agent, for a user or for no user.
    Agent(Option<UserId>, AgentId),
}

/// The use of a home.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum HomeUse {
    /// The CLI runs with the login in this directory of an account.
    Login(PathBuf, Reach),
    /// The CLI runs with a token that it takes in a variable.
    Token,
    /// The CLI runs with an API key, for which its settings are prepared.
    Key(KeyHome, KeyValues),
    /// The CLI has no account in the launch, and its home is empty.
    Unbound,
    /// The CLI's account is not part of this launch, so its own directory is not used.
    LeftOut,
}

/// A home that a launch needs.
#[derive(Debug, Clone)]
pub(crate) struct HomeRequest {
    pub(crate) provider: Arc<Provider>,
    pub(crate) purpose: HomeUse,
}

/// A home of a launch.
#[derive(Debug, Clone)]
pub(crate) struct Home {
    pub(crate) provider: Arc<Provider>,
    pub(crate) purpose: HomeUse,
    /// The directory that the CLI's variable names.
    pub(crate) dir: PathBuf,
    pub(crate) reach: Reach,
    /// The directory with a login that belongs to no account of the launch. It is not used.
    pub(crate) stray: Option<PathBuf>,
    /// The setting that takes the place of the key with which the CLI runs.
    pub(crate) shadow: Option<Shadow>,
}

/// A login in a home of a bundle that does not bind its provider.
#[derive(Debug)]
pub(crate) struct UnboundLogin {
    pub(crate) bundle: BundleId,
    pub(crate) provider: Arc<Provider>,
    pub(crate) dir: PathBuf,
    pub(crate) credential: Credential,
}

/// The homes of a launch.
#[derive(Debug, Default)]
pub(crate) struct Homes {
    pub(crate) homes: Vec<Home>,
    /// The directories in which the CLIs that live by an `XDG_` variable find their homes, by variable.
    pub(crate) views: BTreeMap<String, PathBuf>,
}

impl HomeOwner {
    /// Returns the directory of the homes below the root of the identities.
    fn below(&self) -> PathBuf {
        match self {
            Self::Bundle(bundle) => PathBuf::from(bundle.as_str()),
            Self::Agent(user, agent) => {
                let user = user.as_ref().map_or_else(|| "-".to_owned(), |user| segment(user.as_str()));
                Path::new(AGENTS).join(user).join(segment(agent.as_str()))
            }
        }
    }
}

/// Returns a path segment for an id of another system, which may hold any character.
fn segment(id: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if id.len() <= 64 && id.bytes().all(plain) && !id.starts_with('-') {
        return id.to_owned();
    }
    let digest = Blake2b::<U16>::digest(id.as_bytes());
    format!("={}", hex(&digest))
}

/// Returns bytes as lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

impl IdentityDirs {
    /// Returns the homes of a launch. `make` creates and prepares what is missing; without it nothing is written.
    ///
    /// # Errors
    /// [`DirError`] when a home is a link, is open to others, cannot be created or cannot be prepared, or when the owner
    /// was deleted.
    pub(crate) async fn homes(
        &self,
        owner: &HomeOwner,
        wanted: Vec<HomeRequest>,
        shared: PathBuf,
        make: bool,
    ) -> Result<Homes, DirError> {
        let owner = owner.below();
        self.run(move |places| places.homes(&owner, wanted, &shared, make)).await?
    }

    /// Returns the directory of a CLI that has no account in a bundle.
    pub(crate) fn home(&self, owner: &HomeOwner, cli: &Cli) -> PathBuf {
        self.places.root.join(owner.below()).join(&cli.config_dir.name)
    }

    /// Returns the directories of a CLI that only launches use: its home for a key, and the one while its account is left
    /// out.
    pub(crate) fn launch_homes(&self, owner: &HomeOwner, cli: &Cli) -> [PathBuf; 2] {
        let base = self.places.root.join(owner.below());
        [KEYS, LEFT_OUT].map(|folder| base.join(folder).join(&cli.config_dir.name))
    }

    /// Returns the logins in the homes of providers that the bundles do not bind. `bundles` names the providers that each
    /// one binds.
    ///
    /// # Errors
    /// [`DirError`] if the work broke off.
    pub(crate) async fn unbound_logins(
        &self,
        bundles: Vec<(BundleId, HashSet<String>)>,
    ) -> Result<Vec<UnboundLogin>, DirError> {
        let look = move |places: &Places| {
            let one = |(bundle, bound): &(BundleId, HashSet<String>)| places.unbound_logins_of(bundle, bound);
            bundles.iter().flat_map(one).collect()
        };
        Ok(self.run(look).await?)
    }

    /// Removes the homes of a deleted agent, for all users, or those of a deleted user.
    ///
    /// # Errors
    /// [`DirError`] when a directory cannot be removed.
    pub(crate) async fn forget_agents(
        &self,
        user: Option<&UserId>,
        agent: Option<&AgentId>,
    ) -> Result<(), DirError> {
        let user = user.map(|user| segment(user.as_str()));
        let agent = agent.map(|agent| segment(agent.as_str()));
        self.run(move |places| places.forget_agents(user.as_deref(), agent.as_deref())).await?
    }

    /// Makes no home of a bundle from now on, because the bundle is being deleted. Waits for those being made.
    ///
    /// # Errors
    /// [`DirError`] if the work broke off.
    pub(crate) async fn retire(&self, bundle: &BundleId, retired: bool) -> Result<(), DirError> {
        let owner = HomeOwner::Bundle(bundle.clone()).below();
        self.run(move |places| places.retire(owner, retired)).await?;
        Ok(())
    }

    /// Removes the views of a bundle, and the directories that are then empty.
    ///
    /// # Errors
    /// [`DirError`] when a directory cannot be removed.
    pub(crate) async fn remove_views(&self, bundle: &BundleId) -> Result<(), DirError> {
        let dir = self.bundle(bundle);
        self.run(move |_| {
            Places::discard(&dir.join(views::FOLDER))?;
            for folder in [KEYS, LEFT_OUT] {
                // A directory that still holds history stays.
                let _ = std::fs::remove_dir(dir.join(folder));
            }
            let _ = std::fs::remove_dir(&dir);
            Ok(())
        })
        .await?
    }
}

/// The folder of the homes of agents, below the root of the identities. No bundle can have this name.
const AGENTS: &str = ".agents";
/// The folder of the homes that are prepared for an API key.
pub(crate) const KEYS: &str = ".key";
/// The folder of the empty homes of CLIs whose account is not part of a launch.
const LEFT_OUT: &str = ".left-out";

impl Places {
    fn retire(&self, owner: PathBuf, retired: bool) {
        let mut known = self.retired.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        if retired {
            known.insert(owner);
        } else {
            known.remove(&owner);
        }
    }

    fn homes(
        &self,
        owner: &Path,
        wanted: Vec<HomeRequest>,
        shared: &Path,
        make: bool,
    ) -> Result<Homes, DirError> {
        let retired = self.retired.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        if retired.contains(owner) {
            return Err(DirError::Retired);
        }
        let base = self.root.join(owner);
        if make {
            self.make_dir(&base)?;
        }
        let homes = wanted.into_iter().map(|request| self.home_of(&base, request, make));
        let homes = homes.collect::<Result<Vec<_>, DirError>>()?;
        let views = self.views(&base, &homes, shared, make)?;
        Ok(Homes { homes, views })
    }

    fn forget_agents(&self, user: Option<&str>, agent: Option<&str>) -> Result<(), DirError> {
        let base = self.root.join(AGENTS);
        let users: Vec<PathBuf> = match user {
            Some(user) => vec![base.join(user)],
            None => match std::fs::read_dir(&base) {
                Ok(entries) => {
                    entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
                Err(error) => return Err(error.into()),
            },
        };
        for dir in users {
            Self::discard(&agent.map_or_else(|| dir.clone(), |agent| dir.join(agent)))?;
        }
        Ok(())
    }

    fn unbound_logins_of(&self, bundle: &BundleId, bound: &HashSet<String>) -> Vec<UnboundLogin> {
        let dir = self.bundle(bundle);
        // Most bundles have few homes, so the directory says which providers to look at.
        let Ok(entries) = std::fs::read_dir(&dir) else { return Vec::new() };
        let names: HashSet<_> =
            entries.filter_map(|entry| entry.ok().map(|entry| entry.file_name())).collect();
        let unbound = self.registry.iter().filter(|provider| !bound.contains(&provider.id));
        let login = |provider: &Arc<Provider>| {
            let cli = provider.cli.as_ref()?;
            if !names.contains(std::ffi::OsStr::new(&cli.config_dir.name)) {
                return None;
            }
            let dir = dir.join(&cli.config_dir.name);
            let Proof::LoggedIn(credential) = cli.prove(&dir, Reach::Bundle) else { return None };
            Some(UnboundLogin { bundle: bundle.clone(), provider: Arc::clone(provider), dir, credential })
        };
        unbound.filter_map(login).collect()
    }

    fn home_of(&self, base: &Path, request: HomeRequest, make: bool) -> Result<Home, DirError> {
        let HomeRequest { provider, mut purpose } = request;
        let Some(cli) = &provider.cli else { return Err(DirError::NoCli(provider.id.clone())) };
        let own = base.join(&cli.config_dir.name);
        let (mut reach, mut stray, mut shadow) = (Reach::Bundle, None, None);
        let dir = match &purpose {
            HomeUse::Login(dir, found) => {
                reach = *found;
                dir.clone()
            }
            HomeUse::Token => {
                self.ready(cli, &own, true, make)?;
                own
            }
            HomeUse::Key(home, values) => {
                let dir = base.join(KEYS).join(&cli.config_dir.name);
                self.ready(cli, &dir, false, make)?;
                if make {
                    auth_spawner::prepare_key(cli, home, &dir, values)?;
                }
                shadow = cli.shadow_of_key(home, &dir);
                dir
            }
            HomeUse::Unbound => {
                if matches!(cli.prove(&own, Reach::Bundle), Proof::LoggedIn(_)) {
                    stray = Some(own);
                    purpose = HomeUse::LeftOut;
                    self.left_out(base, cli, make)?
                } else {
                    self.ready(cli, &own, true, make)?;
                    own
                }
            }
            HomeUse::LeftOut => self.left_out(base, cli, make)?,
        };
        Ok(Home { provider, purpose, dir, reach, stray, shadow })
    }

    fn left_out(&self, base: &Path, cli: &Cli, make: bool) -> Result<PathBuf, DirError> {
        let dir = base.join(LEFT_OUT).join(&cli.config_dir.name);
        self.ready(cli, &dir, false, make)?;
        Ok(dir)
    }

    /// Creates a home that does not exist, with the files that its CLI expects if `prepared`. An existing one must belong
    /// to this user alone.
    fn ready(&self, cli: &Cli, dir: &Path, prepared: bool, make: bool) -> Result<(), DirError> {
        if !make {
            return Ok(());
        }
        let is_new = match private::existing(dir) {
            Ok(found) => !found,
            Err(error) => return Err(error.into()),
        };
        if is_new {
            self.make_dir(dir)?;
            let inside = cli.config_dir.inside(dir);
            private::directory(&inside)?;
            if prepared {
                auth_spawner::prepare(cli, dir)?;
            }
        }
        Ok(())
    }

    /// Brings the views of the `XDG_` variables up to date, and returns them. There are none if every CLI that lives by
    /// such a variable is the person's own.
    fn views(
        &self,
        base: &Path,
        homes: &[Home],
        shared: &Path,
        make: bool,
    ) -> Result<BTreeMap<String, PathBuf>, DirError> {
        let mut found: BTreeMap<String, View> = BTreeMap::new();
        for home in homes {
            let Some(cli) = home.provider.cli.as_ref().filter(|cli| views::lives_by(cli)) else { continue };
            // The person's own directory in its usual place is reached by the link that every other entry has.
            if home.reach == Reach::Usual {
                continue;
            }
            let Some(entry) = views::entry(cli) else { continue };
            let variables =
                cli.config_dir.variables_for(home.reach, &home.dir, &shared.join(&home.provider.id));
            for (name, value) in variables {
                let Some(own) = self.base_of(&name) else { continue };
                let view = found.entry(name.clone()).or_insert_with(|| View::new(own));
                view.entries.insert(entry.clone(), Path::new(&value).join(&entry));
            }
        }
        for (name, view) in &mut found {
            view.place(base, name);
        }
        if make {
            for view in found.values() {
                private::directory(&base.join(views::FOLDER))?;
                view.refresh()?;
            }
        }
        Ok(found.into_iter().map(|(name, view)| (name, view.dir)).collect())
    }

    /// Returns the person's own directory of an `XDG_` variable.
    fn base_of(&self, name: &str) -> Option<PathBuf> {
        let usual = views::usual(name)?;
        Some(self.bases.get(name).cloned().unwrap_or_else(|| self.home.join(usual)))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use auth_spawner::Registry;

    use super::*;
    use crate::base::private::PrivateError;

    fn fixture() -> (tempfile::TempDir, Places) {
        let root = tempfile::tempdir().unwrap();
        let places = Places::new(
            root.path().join("identities"),
            root.path().join("home"),
            Registry::builtin().unwrap(),
        );
        private::directory_tree(&root.path().join("home/.local/share/tool")).unwrap();
        (root, places)
    }

    fn request(places: &Places, provider: &str, purpose: HomeUse) -> HomeRequest {
        HomeRequest { provider: Arc::clone(places.registry.provider(provider).unwrap()), purpose }
    }

    #[test]
    fn home_is_made_once_and_refused_when_it_is_a_link() {
        let (root, places) = fixture();
        let wanted = || vec![request(&places, "claude", HomeUse::Unbound)];
        let shared = root.path().join("shared");
        let made = |make| places.homes(Path::new("work"), wanted(), &shared, make);
        let dir = root.path().join("identities/work/claude");
        assert_eq!(made(false).unwrap().homes[0].dir, dir);
        assert!(!dir.exists());
        made(true).unwrap();
        assert!(dir.join(".claude.json").exists());
        // What the CLI removed or wrote is its own affair.
        std::fs::remove_file(dir.join(".claude.json")).unwrap();
        made(true).unwrap();
        assert!(!dir.join(".claude.json").exists());
        std::fs::remove_dir(&dir).unwrap();
        symlink(root.path(), &dir).unwrap();
        assert!(matches!(made(true), Err(DirError::Private(PrivateError::Link(_)))));
        places.retire("work".into(), true);
        assert!(matches!(made(true), Err(DirError::Retired)));
    }

    #[test]
    fn login_without_an_account_is_reported_and_its_home_is_not_used() {
        let (root, places) = fixture();
        let dir = root.path().join("identities/work/copilot");
        private::directory_tree(&dir).unwrap();
        let text = r#"{"lastLoggedInUser":{"host":"https://github.com","login":"me"},"authTokens":{"https://github.com:me":{"token":"x"}}}"#;
        std::fs::write(dir.join("config.json"), text).unwrap();
        let wanted = vec![request(&places, "copilot", HomeUse::Unbound)];
        let homes = places.homes(Path::new("work"), wanted, &root.path().join("shared"), true).unwrap().homes;
        assert_eq!(homes[0].stray.as_deref(), Some(&*dir));
        assert_eq!(homes[0].dir, root.path().join("identities/work/.left-out/copilot"));
    }

    #[test]
    fn views_hold_the_homes_and_link_everything_else_of_the_person() {
        let (root, places) = fixture();
        let shared = root.path().join("shared");
        let own = root.path().join("home/.local/share");
        private::directory_tree(&own.join("opencode")).unwrap();
        let wanted = || {
            let both = ["amp", "opencode"];
            both.map(|provider| request(&places, provider, HomeUse::Unbound)).into_iter().collect()
        };
        let made = || places.homes(Path::new("work"), wanted(), &shared, true).unwrap().views;
        let view = made()["XDG_DATA_HOME"].clone();
        let work = root.path().join("identities/work");
        let target = |name: &str| std::fs::read_link(view.join(name)).unwrap();
        assert_eq!(target("opencode"), work.join("opencode/opencode"));
        assert_eq!(target("amp"), work.join("amp/amp"));
        assert_eq!(target("tool"), own.join("tool"));
        std::fs::create_dir(own.join("new")).unwrap();
        std::fs::remove_dir(own.join("tool")).unwrap();
        std::fs::create_dir(view.join("kept")).unwrap();
        made();
        assert_eq!(target("new"), own.join("new"));
        assert!(!view.join("tool").is_symlink() && view.join("kept").is_dir());
        assert!(made().contains_key("XDG_CONFIG_HOME"));
    }

    #[test]
    fn owner_of_homes_has_one_directory_for_any_id() {
        let below = |user: Option<&str>, agent: &str| {
            let user = user.map(|user| user.parse().unwrap());
            HomeOwner::Agent(user, agent.parse().unwrap()).below()
        };
        assert_eq!(below(Some("u1"), "coder"), Path::new(".agents/u1/coder"));
        assert_eq!(below(None, "coder"), Path::new(".agents/-/coder"));
        for id in ["../x", "a/b", "U1", "-", "ü"] {
            let below = below(Some(id), "coder");
            let name = below.components().nth(1).unwrap().as_os_str().to_str().unwrap();
            assert!(name.starts_with('=') && name.len() == 33, "{id}: {name}");
        }
    }
}
