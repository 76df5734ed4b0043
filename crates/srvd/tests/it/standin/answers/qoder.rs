//! Qoder: a login that the CLI asks for until the person has allowed it. Neither a code nor an address comes back.

use hyper::StatusCode;
use serde_json::json;

use super::{Answer, Decision, has_token, not_found, refresh_token, refused};
use crate::standin::{Call, State};

pub(super) fn answer(state: &mut State, call: &Call) -> Answer {
    match (call.method.as_str(), call.path.as_str()) {
        ("GET", "/api/v1/deviceToken/poll") => poll(state, call),
        ("GET", path) if path.contains("userinfo") && has_token(state, call) => {
            let body = json!({
                "id": state.account_id, "user_id": state.account_id, "email": state.email, "name": "Ada",
            });
            (StatusCode::OK, body)
        }
        _ => not_found(),
    }
}

/// Answers a poll. 404 means "not yet". The challenge has gone to the page only, so the verifier cannot be checked.
fn poll(state: &mut State, call: &Call) -> Answer {
    let named = !call.parameter("nonce").is_empty() && call.parameter("verifier").len() >= 43;
    match state.decision {
        _ if !named => refused(StatusCode::BAD_REQUEST, "invalid_request"),
        Decision::Pending => not_found(),
        Decision::Denied => refused(StatusCode::FORBIDDEN, "access_denied"),
        Decision::Approved => {
            let token = format!("qoder-standin-{}", state.next());
            state.access_tokens.insert(token.clone());
            let body = json!({
                "token": token, "refresh_token": refresh_token(state), "user_id": state.account_id,
                "expires_in": 3600, "refresh_expires_in": 86400,
            });
            (StatusCode::OK, body)
        }
    }
}
