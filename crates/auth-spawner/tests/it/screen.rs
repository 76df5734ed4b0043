//! Logins that are read from the screen: a credential shown once, menus, and a program that is no longer the provider's
//! CLI.

use auth_spawner::{Advice, Credential, FailureKind, State};
use secrecy::{ExposeSecret, SecretString};

use crate::harness::{LOGIN, NOW, PATIENCE, TERMINALS, World, saved};

const URL: &str = "https://login.example.test/authorize?state=S1";
const TOKEN: &str = "tok-abcdefghijklmnopqrstuvwxyz0123456789";
const YES: &str = "when status\nexit 0\nwhen *\ndir-var FAKE_HOME\n";

#[tokio::test]
async fn credential_shown_on_screen_is_saved_and_never_reported() {
    for terminal in TERMINALS {
        // A file that looks like a login proves nothing for this recipe, and an error line may contain the credential.
        let script = format!(
            "{YES}write auth.json {LOGIN}\nout {URL}\noutn Paste code >\nread pasted\nout Error or not: {TOKEN}\nout {TOKEN}\n"
        );
        let world = World::new(terminal, &script);
        world.start("token").unwrap();
        world.until_prompt().await;
        assert_eq!(world.spawner.submit(&world.id, SecretString::from("code#S1")).await, Ok(()));
        let end = world.end().await;
        assert_eq!((end.state, &end.saved), (State::Success, &Some(saved())), "{terminal:?}: {end:?}");
        assert_eq!(world.file("pasted").await, "code#S1\n");
        {
            let logins = world.ear.logins.lock().unwrap();
            let [login] = &logins[..] else { panic!("{logins:?}") };
            assert_eq!(login.token.as_ref().map(|token| token.secret().expose_secret()), Some(TOKEN));
            let end = Some(NOW + 86_400_000);
            let credential = Credential { expires_at: end, login_deadline_at: end, ..Credential::default() };
            assert_eq!((&login.credential, login.evidence_check), (&credential, false));
            assert!(!format!("{login:?}").contains(TOKEN));
        }
        for moved in world.ear.moves.lock().unwrap().iter() {
            let told = format!("{moved:?} {:?} {:?}", moved.auth_url, moved.device_code);
            assert!(!told.contains("tok-"), "{told}");
        }
        world.spawner.shutdown(PATIENCE).await;
        world.assert_no_process_left();
    }
}

#[tokio::test]
async fn login_fails_when_no_credential_appears_on_the_screen() {
    for terminal in TERMINALS {
        let world = World::new(terminal, &format!("{YES}write auth.json {LOGIN}\nout Error: tok-short\n"));
        world.start("token").unwrap();
        let end = world.end().await;
        let failure = end.failure.unwrap();
        assert_eq!((end.state, failure.kind), (State::Failed, FailureKind::NotAuthenticated));
        assert_eq!(world.ear.logins.lock().unwrap().len(), 0);
    }
}

#[tokio::test]
async fn login_succeeds_when_the_cli_exits_with_an_error_after_the_credential() {
    for terminal in TERMINALS {
        let world = World::new(terminal, &format!("out {TOKEN}\nexit 3\n"));
        world.start("token").unwrap();
        assert_eq!(world.end().await.state, State::Success, "{terminal:?}");
    }
}

#[tokio::test]
async fn menu_prompts_are_answered_once_and_in_order() {
    for terminal in TERMINALS {
        let script = format!(
            "{YES}out Sure?\nout Which way?\nread first\nout Which way?\nout Sure?\nread second\nout Sure?\nwait-file go\nwrite auth.json {LOGIN}\nout Logged in\n"
        );
        let world = World::new(terminal, &script);
        world.start("menu").unwrap();
        assert_eq!((world.file("first").await, world.file("second").await), ("2\n".into(), "y\n".into()));
        world.touch("go");
        assert_eq!(world.end().await.state, State::Success, "{terminal:?}");
    }
}

#[tokio::test]
async fn login_is_denied_and_the_cli_killed_when_a_denial_is_printed() {
    for terminal in TERMINALS {
        let script = format!("out {URL}\noutn Paste code >\nread pasted\nout Denied by the owner\nhang\n");
        let world = World::new(terminal, &script);
        world.start("token").unwrap();
        world.until_prompt().await;
        assert_eq!(world.spawner.submit(&world.id, SecretString::from("code#S1")).await, Ok(()));
        let end = world.end().await;
        let failure = end.failure.unwrap();
        assert_eq!((end.state, failure.kind), (State::Failed, FailureKind::Denied));
        assert_eq!(failure.message, "the login was denied: Denied by the owner");
        world.assert_no_process_left();
    }
}

#[tokio::test]
async fn login_fails_as_cli_retired_when_the_program_reports_its_retirement() {
    for terminal in TERMINALS {
        let world = World::new(terminal, "out fake is no longer maintained. See https://example.test/x\n");
        world.start("menu").unwrap();
        let end = world.end().await;
        let failure = end.failure.unwrap();
        assert_eq!((end.state, failure.kind), (State::Failed, FailureKind::CliRetired));
        assert_eq!(
            failure.message,
            "the program is no longer the provider's CLI: fake is no longer maintained. See (URL)"
        );
        let advice = Advice::Reinstall("cargo build --example fake_cli".to_owned());
        assert_eq!(failure.advice, Some(advice));
        world.assert_no_process_left();
    }
}
