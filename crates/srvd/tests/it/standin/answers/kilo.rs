//! Kilo Code: its device login, in JSON and by the status of the answers.

use hyper::StatusCode;
use serde_json::json;

use super::{Answer, Decision, LIFETIME_S, access_token, has_token, not_found, now, refused};
use crate::standin::{Call, State};

pub(super) fn answer(state: &mut State, call: &Call) -> Answer {
    match (call.method.as_str(), call.path.as_str()) {
        ("POST", "/api/device-auth/codes") => user_code(state),
        ("GET", "/api/profile") if !has_token(state, call) => {
            refused(StatusCode::UNAUTHORIZED, "invalid_token")
        }
        ("GET", "/api/profile") => {
            (StatusCode::OK, json!({"user": {"email": state.email, "name": "Ada"}, "organizations": []}))
        }
        ("GET", path) => match path.strip_prefix("/api/device-auth/codes/") {
            Some(code) => poll(state, code),
            None => not_found(),
        },
        _ => not_found(),
    }
}

fn user_code(state: &mut State) -> Answer {
    let code = format!("KILO-{:04}", state.next());
    state.devices.insert(code.clone());
    let page = format!("https://app.kilo.ai/device-auth?code={code}");
    (StatusCode::OK, json!({"code": code, "verificationUrl": page, "expiresIn": 600}))
}

fn poll(state: &mut State, code: &str) -> Answer {
    match state.decision {
        _ if !state.devices.contains(code) => (StatusCode::GONE, json!({"status": "expired"})),
        Decision::Pending => (StatusCode::ACCEPTED, json!({"status": "pending"})),
        Decision::Denied => (StatusCode::FORBIDDEN, json!({"status": "denied"})),
        Decision::Approved => {
            state.devices.remove(code);
            let claims = json!({"kiloUserId": state.account_id, "exp": now() + LIFETIME_S});
            let token = access_token(state, claims);
            let body = json!({
                "status": "approved", "token": token, "userId": state.account_id, "userEmail": state.email,
            });
            (StatusCode::OK, body)
        }
    }
}
