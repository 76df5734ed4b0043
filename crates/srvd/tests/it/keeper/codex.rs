//! Codex, whose processes do not take turns.

use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Login, Times, audited, home_at};
use crate::support::namespace::inside;
use crate::support::{Daemon, PATIENCE, event};

/// A login past the half of its life, which is renewed early.
const HALF: Times = Times { age: 2_000, left: 1_600 };
/// A login that has ended.
const ENDED: Times = Times { age: 3_700, left: -100 };
/// A fresh login.
const FRESH: Times = Times { age: 0, left: 3_600 };

/// The requests of an agent that shows the limits of its subscription, which needs an access token.
const AGENT: &str = concat!(
    r#"{"id":1,"method":"initialize","params":{"clientInfo":{"name":"agent","title":"agent","version":"1"}}}"#,
    "\n",
    r#"{"method":"initialized"}"#,
    "\n",
    r#"{"id":2,"method":"account/rateLimits/read"}"#,
    "\n",
);

/// Starts an agent with the bundle's login, and returns its answer when it has ended.
async fn agent(daemon: &Daemon, bundle: &str) -> Value {
    use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _};
    let command = daemon.home.command(&["exec", "--bundle", bundle, "--", "codex", "app-server"]);
    let mut command = tokio::process::Command::from(command);
    command.env("SSL_CERT_FILE", daemon.home.dir("authority.pem"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(AGENT.as_bytes()).await.unwrap();
    let mut lines = tokio::io::BufReader::new(child.stdout.take().unwrap()).lines();
    let answer = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            let message: Value = serde_json::from_str(&line).unwrap_or_default();
            if message["id"] == 2 {
                return message;
            }
        }
        Value::Null
    };
    let answer = tokio::time::timeout(PATIENCE, answer).await.unwrap();
    drop(stdin);
    let ended = child.wait_with_output().await.unwrap();
    assert!(answer.is_object(), "{}", String::from_utf8_lossy(&ended.stderr));
    answer
}

#[test]
fn codex_login_is_renewed_at_half_of_its_life() {
    inside(async |vendors| {
        let home = home_at(&vendors);
        let login = Login::plant(&home, "codex", "work").await;
        login.write_codex("rt_1", HALF);
        vendors.accept_refresh_token("rt_1");
        let daemon = home.start();
        let kept = login.tried(&daemon).await;
        assert_eq!((&kept["outcome"], &kept["state"]), (&json!("moved"), &json!("waiting")), "{kept}");
        assert!(kept["keptAt"].is_i64() && kept["nextAt"].as_i64() > kept["keptAt"].as_i64(), "{kept}");
        assert_eq!(vendors.refreshes(), ["rt_1"]);
        assert!(!login.text("auth.json").contains("rt_1"));
        let status = daemon.home.run(&["status"]);
        let status = String::from_utf8(status.stdout).unwrap();
        assert!(status.contains("KEPT ALIVE") && status.contains("s ago"), "{status}");
        assert_eq!(audited(&daemon), ["moved"]);
    });
}

/// Without the daemon each of them sends the same refresh token, and all but one lose.
#[test]
fn codex_agents_that_start_together_with_an_ended_login_cause_one_refresh() {
    inside(async |vendors| {
        let home = home_at(&vendors);
        let login = Login::plant(&home, "codex", "work").await;
        login.write_codex("rt_0", FRESH);
        vendors.accept_refresh_token("rt_1");
        vendors.delay_refreshes(Duration::from_secs(1));
        let daemon = home.start();
        login.until(&daemon, "the login is not seen", |kept| kept["state"] == "waiting").await;
        login.write_codex("rt_1", ENDED);
        let answers = futures_util::future::join_all((0..8).map(|_| agent(&daemon, "work"))).await;
        for answer in answers {
            assert_eq!(answer["result"]["rateLimits"]["primary"]["usedPercent"], 42, "{answer}");
        }
        assert_eq!(vendors.refreshes(), ["rt_1"]);
    });
}

#[test]
fn codex_login_that_the_provider_refuses_is_dead_and_not_asked_for_again() {
    inside(async |vendors| {
        let home = home_at(&vendors);
        let login = Login::plant(&home, "codex", "work").await;
        login.write_codex("rt_0", FRESH);
        vendors.refuse_refreshes(Some(400));
        let daemon = home.start();
        let client = daemon.client().await;
        let mut notices = client.subscribe(["identitylogins:notice:*"]).await.unwrap();
        login.until(&daemon, "the login is not seen", |kept| kept["state"] == "waiting").await;
        login.write_codex("rt_1", ENDED);
        let before = login.text("auth.json");
        let notice = event(&mut notices, &format!("identitylogins:notice:{}", login.account)).await.unwrap();
        assert_eq!(notice["notice"], "dead");
        let kept = login.until(&daemon, "it is not dead", |kept| kept["state"] == "dead").await;
        assert_eq!((&kept["outcome"], &kept["nextAt"]), (&json!("refused"), &Value::Null), "{kept}");
        assert!(
            kept["deadAt"].is_i64() && kept["nextStep"].as_str().unwrap().starts_with("srvd login codex")
        );
        assert_eq!(login.text("auth.json"), before);
        let sent = vendors.refreshes().len();
        let refreshed = daemon.home.run(&["refresh", &login.account]);
        assert_eq!(refreshed.status.code(), Some(1), "{refreshed:?}");
        let account = daemon.call("account.refreshstatus", json!({"accountId": login.account})).await;
        assert_eq!(account["status"], "needs_reauth", "{account}");
        assert!(account["statusReason"].as_str().unwrap().contains("refused its refresh token"), "{account}");
        let launch = daemon.refused("launch.resolve", json!({"bundleId": "work"})).await;
        assert!(launch.1.to_string().contains("refused its refresh token"), "{launch:?}");
        let report = daemon.call("account.refused", json!({"accountId": login.account})).await;
        assert_eq!(report, json!({"next": "sign_in"}));
        assert_eq!(vendors.refreshes().len(), sent, "a dead login is asked for again");
        // A new login is another token.
        vendors.refuse_refreshes(None);
        login.write_codex("rt_2", FRESH);
        login.until(&daemon, "the new login is not seen", |kept| kept["state"] == "waiting").await;
    });
}

#[test]
fn codex_login_is_kept_and_tried_later_when_the_provider_fails() {
    inside(async |vendors| {
        let home = home_at(&vendors);
        let login = Login::plant(&home, "codex", "work").await;
        login.write_codex("rt_1", HALF);
        vendors.accept_refresh_token("rt_1");
        vendors.refuse_refreshes(Some(500));
        let before = login.text("auth.json");
        let daemon = home.start();
        let kept = login.tried(&daemon).await;
        assert_eq!((&kept["outcome"], &kept["state"]), (&json!("cli_failed"), &json!("failing")), "{kept}");
        assert!(kept["nextAt"].as_i64() > kept["triedAt"].as_i64(), "{kept}");
        assert_eq!(login.text("auth.json"), before);
        vendors.refuse_refreshes(None);
        let refreshed = daemon.home.run(&["refresh", &login.account]);
        assert_eq!(refreshed.status.code(), Some(0), "{refreshed:?}");
        assert!(String::from_utf8(refreshed.stdout).unwrap().contains("renewed"));
        assert_eq!(login.kept(&daemon).await["failures"], 0);
    });
}

#[test]
fn codex_login_is_renewed_once_when_a_service_refused_its_access_token() {
    inside(async |vendors| {
        let home = home_at(&vendors);
        let login = Login::plant(&home, "codex", "work").await;
        login.write_codex("rt_1", FRESH);
        vendors.accept_refresh_token("rt_1");
        let daemon = home.start();
        login.until(&daemon, "the login is not seen", |kept| kept["state"] == "waiting").await;
        let report = json!({"accountId": login.account, "status": 401});
        let told =
            futures_util::future::join_all((0..4).map(|_| daemon.call("account.refused", report.clone())))
                .await;
        assert!(told.iter().all(|told| *told == json!({"next": "retry"})), "{told:?}");
        // The new token was refused as well, so another renewal would not help.
        let again = json!({"accountId": login.account, "status": 401, "retried": true});
        assert_eq!(daemon.call("account.refused", again).await, json!({"next": "nothing"}));
        assert_eq!(vendors.refreshes(), ["rt_1"]);
        assert_eq!(login.kept(&daemon).await["refusals"], 5);
    });
}

#[test]
fn codex_login_is_left_alone_when_it_is_switched_off() {
    inside(async |vendors| {
        let home = home_at(&vendors);
        let login = Login::plant(&home, "codex", "work").await;
        login.write_codex("rt_1", FRESH);
        vendors.accept_refresh_token("rt_1");
        let daemon = home.start();
        let off = daemon.home.run(&["account", "keepalive", &login.account, "off"]);
        assert!(off.status.success(), "{off:?}");
        login.write_codex("rt_1", HALF);
        let kept = login.until(&daemon, "it is not off", |kept| kept["state"] == "off").await;
        assert_eq!(kept["switch"], "off");
        let all = daemon.home.run(&["refresh"]);
        assert!(all.status.success() && vendors.refreshes().is_empty(), "{all:?}");
        daemon.home.run(&["account", "keepalive", &login.account, "default"]);
        login.until(&daemon, "it is not renewed", |kept| kept["outcome"] == "moved").await;
        assert_eq!(vendors.refreshes(), ["rt_1"]);
    });
}

/// The CLI goes on when the daemon is killed, and saves the new token.
#[test]
fn codex_login_survives_a_daemon_that_is_killed_while_it_is_renewed() {
    inside(async |vendors| {
        let mut home = home_at(&vendors);
        let login = Login::plant(&home, "codex", "work").await;
        vendors.delay_refreshes(Duration::from_millis(600));
        let rounds = crate::keeper::rounds();
        for round in 0..rounds {
            let token = format!("rt_round_{round}");
            login.write_codex(&token, HALF);
            vendors.accept_refresh_token(&token);
            let daemon = home.start();
            // The moments are spread over the start of the CLI, its request and its save.
            let moment = Duration::from_millis(u64::from(round * 1_500 / rounds));
            tokio::time::sleep(moment).await;
            home = daemon.kill();
            let daemon = home.start();
            let kept = login
                .until(&daemon, "the next run does not recover", |kept| {
                    kept["state"] == "waiting"
                        && kept["nextAt"].as_i64() > Some(crate::support::now() + 60_000)
                })
                .await;
            assert_ne!(kept["state"], "dead", "{kept}");
            serde_json::from_str::<Value>(&login.text("auth.json")).unwrap();
            home = daemon.stop().1;
        }
    });
}
