//! The steps of the sign-ins at forges.

use serde_json::{Value, json};

use super::{fails, out, shell, succeeds, typed};
use crate::forge::standin::Standin;
use crate::operator::{approved, browse, daemon, me, sign_in};
use crate::support::Daemon;
use crate::support::program::Program;

/// Types the command of a sign-in, and finishes it as a browser would.
async fn signs_in(daemon: &Daemon, line: &str) {
    let login = Program::start(shell(&daemon.home, line));
    login.notes("code_challenge=").await;
    let said = login.noted_so_far();
    let url = said.lines().find(|line| line.contains("code_challenge=")).unwrap().trim();
    let callback = approved(url).await;
    assert_eq!(browse(daemon, &callback, None).0, 200);
    let ended = login.end().await;
    assert_eq!(ended.code, Some(0), "{line}: {ended:?}");
}

typed! {
    operator_signs_in_or_is_selected types [
        ListOperators, UseOperatorId, SelectOperator, ListForges, SignIn, SignInOrSelect,
    ]: |typed| {
        let (hub, git) = (Standin::start("github").await, Standin::start("forgejo").await);
        let daemon = daemon(&[("hub", "github", &hub.url), ("git", "forgejo", &git.url)]);
        let home = &daemon.home;
        let error = daemon.error("operator.active", json!({})).await.data.unwrap();
        let line = typed.step("SignInOrSelect", error["hint"].as_str().unwrap()).replace("NAME", "hub");
        let (status, body) = me(&daemon, None);
        assert_eq!(status, 401, "{body}");
        let same = typed.step("SignIn", body["hint"].as_str().unwrap()).replace("NAME", "hub");
        assert_eq!(line, same);
        signs_in(&daemon, &line).await;
        assert!(out(&typed.types("ListOperators", &fails(home, "srvd operator use nobody"), home)).contains("ada"));
        // The same person at another forge is told apart by the id.
        let (session, cookie) = sign_in(&daemon, json!({"forgeType": "forgejo"}), None).await;
        let id = session["accountId"].as_str().unwrap();
        let listed = out(&typed.types("UseOperatorId", &fails(home, "srvd operator use ada"), home));
        let shown = listed.split_whitespace().find(|word| word.len() > 7 && id.starts_with(*word));
        succeeds(home, &format!("srvd operator use {}", shown.unwrap_or_else(|| panic!("no {id} in {listed}"))));
        daemon.call("operator.clearactive", json!({})).await;
        let (status, body) = me(&daemon, cookie.as_deref());
        assert_eq!(status, 412, "{body}");
        let line = typed.step("SelectOperator", body["hint"].as_str().unwrap()).replace("ACCOUNT", id);
        succeeds(home, &line);
        let (status, _, _, body) = browse(&daemon, "/login/nowhere", cookie.as_deref());
        assert_eq!(status, 404, "{body}");
        let body: Value = serde_json::from_str(&body).unwrap();
        assert!(out(&typed.types("ListForges", body["hint"].as_str().unwrap(), home)).contains("hub"));
    }
}
