//! GitHub: the logins of gh and of Copilot, and the requests of both to the API about the person.

use hyper::StatusCode;
use serde_json::json;

use super::{Answer, Decision, has_token, not_found, refused};
use crate::standin::grants::redeem;
use crate::standin::{Call, State};

pub(super) fn answer(state: &mut State, call: &Call) -> Answer {
    // An Enterprise Server has the API on its own host.
    let enterprise = call.path.strip_prefix("/api/graphql").map(|_| "/graphql");
    let (host, path) = match enterprise.or_else(|| call.path.strip_prefix("/api/v3")) {
        Some(path) if call.host == "ghe.corp.example" => ("api.github.com", path),
        _ => (call.host.as_str(), call.path.as_str()),
    };
    match (host, call.method.as_str(), path) {
        ("github.com" | "ghe.corp.example", "POST", "/login/device/code") => user_code(state, call),
        ("github.com" | "ghe.corp.example", "POST", "/login/oauth/access_token") => token(state, call),
        ("api.github.com", ..) if !has_token(state, call) => {
            refused(StatusCode::UNAUTHORIZED, "bad_credentials")
        }
        ("api.github.com", "POST", "/graphql") => {
            let mut viewer = json!({"login": state.account_id});
            if String::from_utf8_lossy(&call.body).contains("copilotEndpoints") {
                viewer["copilotEndpoints"] = json!({"api": "https://api.individual.githubcopilot.com"});
            }
            (StatusCode::OK, json!({"data": {"viewer": viewer}}))
        }
        ("api.github.com", "GET", "/user") => {
            let user =
                json!({"login": state.account_id, "id": 1, "email": state.email, "plan": {"name": "free"}});
            (StatusCode::OK, user)
        }
        ("api.github.com", "GET", "/copilot_internal/user") => {
            let user = json!({
                "login": state.account_id,
                "access_type_sku": "free_limited_copilot",
                "chat_enabled": true,
                "copilot_plan": "individual",
                "endpoints": {"api": "https://api.individual.githubcopilot.com"},
                "quota_snapshots": {},
            });
            (StatusCode::OK, user)
        }
        _ => not_found(),
    }
}

fn user_code(state: &mut State, call: &Call) -> Answer {
    let number = state.next();
    let device = format!("github-device-{number}");
    state.devices.insert(device.clone());
    let body = json!({
        "device_code": device,
        "user_code": format!("GHGH-{number:04}"),
        "verification_uri": format!("https://{}/login/device", call.host),
        "expires_in": state.code_lifetime_s,
        "interval": 1,
    });
    (StatusCode::OK, body)
}

/// Answers a token request. GitHub answers "not yet" and "no" with status 200.
fn token(state: &mut State, call: &Call) -> Answer {
    if !call.field("code").is_empty() {
        return match redeem(state, call) {
            Some(_) => granted(state),
            None => refused(StatusCode::OK, "bad_verification_code"),
        };
    }
    let device = call.field("device_code");
    match state.decision {
        _ if !state.devices.contains(&device) => refused(StatusCode::OK, "incorrect_device_code"),
        Decision::Pending => refused(StatusCode::OK, "authorization_pending"),
        Decision::Denied => refused(StatusCode::OK, "access_denied"),
        Decision::Approved => {
            state.devices.remove(&device);
            granted(state)
        }
    }
}

fn granted(state: &mut State) -> Answer {
    let token = format!("gho_standin{}", state.next());
    state.access_tokens.insert(token.clone());
    let body = json!({"access_token": token, "token_type": "bearer", "scope": "repo,read:org,gist"});
    (StatusCode::OK, body)
}
