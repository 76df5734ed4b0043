//! A CLI's own logout: the command, its environment, and the proof that it worked.

use std::path::{Path, PathBuf};
use std::time::Duration;

use auth_spawner::{ChildEnv, Logout, LogoutError, Reach, Terminal};

use crate::harness::{PATIENCE, World, fake_cli};

const LOGIN: &str = r#"{"access_token":"at","refresh_token":"rt","expires_at":1,"email":"ada@example.test"}"#;

struct Case {
    world: World,
    dir: PathBuf,
    reach: Reach,
}

impl Case {
    fn new(logout: &str, credential: Option<&str>) -> Self {
        let world = World::new(Terminal::Pipe, &format!("dir-var FAKE_HOME\nwhen logout\n{logout}"));
        let dir = world.home.path().join("config");
        if let Some(text) = credential {
            std::fs::write(dir.join("auth.json"), text).unwrap();
        }
        Self { world, dir, reach: Reach::Bundle }
    }

    async fn run(&self, timeout: Duration) -> Result<(), LogoutError> {
        let home = self.world.home.path().to_str().unwrap();
        let environment: ChildEnv =
            [("PATH", "/usr/bin:/bin"), ("HOME", home), ("FAKE_KEY", "no"), ("FAKE_HOME", "/elsewhere")]
                .into_iter()
                .collect();
        let logout = Logout {
            provider: &self.world.provider,
            program: &fake_cli(),
            environment: &environment,
            shared: &self.world.home.path().join("shared"),
            dir: self.dir.clone(),
            reach: self.reach,
            timeout,
        };
        logout.run().await
    }
}

#[tokio::test]
async fn logout_succeeds_only_when_the_login_is_gone_from_the_file() {
    let check = async |logout: &str, credential: Option<&str>, expected: Result<(), LogoutError>| {
        let case = Case::new(logout, credential);
        assert_eq!(case.run(PATIENCE).await, expected, "{logout}");
    };
    check("remove auth.json", Some(LOGIN), Ok(())).await;
    check("write auth.json {}", Some(LOGIN), Ok(())).await;
    check("later 100 remove auth.json", Some(LOGIN), Ok(())).await;
    check("out Logged out", Some(LOGIN), Err(LogoutError::StillThere)).await;
    check("remove auth.json\nexit 3", Some(LOGIN), Err(LogoutError::Failed(Some(3)))).await;
    let doubt = LogoutError::Doubtful("auth.json cannot be read: not JSON at line 1".to_owned());
    check("write auth.json {", Some(LOGIN), Err(doubt)).await;
    check("touch ran", None, Err(LogoutError::NoLogin)).await;
    check("touch ran", Some("{}"), Err(LogoutError::NoLogin)).await;
}

#[tokio::test]
async fn logout_checks_only_its_own_login_when_the_file_contains_two() {
    let member = r#"{"access":"a","refresh":"r"}"#;
    let both = format!(r#"{{"openai":{member},"github-copilot":{member}}}"#);
    let check = async |logout: &str, expected: Result<(), LogoutError>| {
        let mut case = Case::new(logout, None);
        let registry = auth_spawner::Registry::builtin().unwrap();
        let opencode = registry.provider("opencode").unwrap().cli.as_ref().unwrap().credential.clone();
        let provider = std::sync::Arc::make_mut(&mut case.world.provider);
        provider.cli.as_mut().unwrap().credential = opencode;
        std::fs::write(case.dir.join("auth.json"), &both).unwrap();
        assert_eq!(case.run(PATIENCE).await, expected, "{logout}");
    };
    check(&format!(r#"write auth.json {{"github-copilot":{member}}}"#), Ok(())).await;
    check(&format!(r#"write auth.json {{"openai":{member}}}"#), Err(LogoutError::StillThere)).await;
}

#[tokio::test]
async fn logout_runs_no_command_when_there_is_no_login() {
    let case = Case::new("touch ran", None);
    assert_eq!(case.run(PATIENCE).await, Err(LogoutError::NoLogin));
    assert!(!case.world.home.path().join("ran").exists());
}

#[tokio::test]
async fn logout_fails_and_keeps_the_login_when_the_command_hangs() {
    let case = Case::new("hang", Some(LOGIN));
    assert_eq!(case.run(Duration::from_millis(200)).await, Err(LogoutError::Failed(None)));
    assert_eq!(std::fs::read_to_string(case.dir.join("auth.json")).unwrap(), LOGIN);
}

#[tokio::test]
async fn logout_command_receives_the_listed_variables_and_its_directory() {
    let printed = async |reach: Reach| {
        let mut case = Case::new("dump-env env\nexit 4", Some(LOGIN));
        if reach != Reach::Bundle {
            case.dir = case.world.home.path().join(".fake");
            std::fs::create_dir(&case.dir).unwrap();
            std::fs::write(case.dir.join("auth.json"), LOGIN).unwrap();
            case.reach = reach;
        }
        assert_eq!(case.run(PATIENCE).await, Err(LogoutError::Failed(Some(4))));
        let home = case.world.home.path();
        let lines = std::fs::read_to_string(home.join("env")).unwrap();
        let names = |line: &str| line.split_once('=').map(|(name, _)| name.to_owned());
        let dir = lines.lines().find_map(|line| line.strip_prefix("FAKE_HOME=")).map(PathBuf::from);
        let inside = dir.map(|dir| dir.strip_prefix(home).map(Path::to_owned).unwrap());
        (lines.lines().filter_map(names).collect::<Vec<_>>(), inside)
    };
    let (names, dir) = printed(Reach::Bundle).await;
    let set = [
        "DBUS_SESSION_BUS_ADDRESS",
        "FAKE_CACHE",
        "FAKE_HOME",
        "FAKE_SCRIPT",
        "FAKE_SHARED",
        "HOME",
        "PATH",
        "TERM",
    ];
    assert_eq!(names, set);
    assert_eq!(dir, Some(PathBuf::from("config")));
    let (names, dir) = printed(Reach::Usual).await;
    assert_eq!((names.join(" ").as_str(), dir), ("FAKE_SCRIPT HOME PATH TERM", None));
    let (names, dir) = printed(Reach::Variable).await;
    let own = Some(PathBuf::from(".fake"));
    assert_eq!((names.join(" ").as_str(), dir), ("FAKE_HOME FAKE_SCRIPT HOME PATH TERM", own));
}
