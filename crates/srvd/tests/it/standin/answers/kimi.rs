//! Kimi: the device login of Kimi Code and of the old CLI.

use hyper::StatusCode;
use serde_json::{Value, json};

use super::{Answer, Decision, LIFETIME_S, access_token, has_token, not_found, now, refresh_token, refused};
use crate::standin::{Call, State};

pub(super) fn answer(state: &mut State, call: &Call) -> Answer {
    match (call.host.as_str(), call.method.as_str(), call.path.as_str()) {
        ("auth.kimi.com", "POST", "/api/oauth/device_authorization") => user_code(state),
        ("auth.kimi.com", "POST", "/api/oauth/token") => tokens(state, call),
        ("api.kimi.com", "GET", "/coding/v1/models") => models(state, call),
        _ => not_found(),
    }
}

fn user_code(state: &mut State) -> Answer {
    let number = state.next();
    let device = format!("kimi-device-{number}");
    state.devices.insert(device.clone());
    let code = format!("WXYZ-{number:04}");
    let page = "https://www.kimi.com/code/authorize_device";
    let body = json!({
        "device_code": device,
        "user_code": code,
        "verification_uri": page,
        "verification_uri_complete": format!("{page}?user_code={code}"),
        "expires_in": 1800,
        "interval": 1,
    });
    (StatusCode::OK, body)
}

fn tokens(state: &mut State, call: &Call) -> Answer {
    match call.field("grant_type").as_str() {
        "urn:ietf:params:oauth:grant-type:device_code" => {
            let device = call.field("device_code");
            match state.decision {
                _ if !state.devices.contains(&device) => refused(StatusCode::BAD_REQUEST, "expired_token"),
                Decision::Pending => refused(StatusCode::BAD_REQUEST, "authorization_pending"),
                Decision::Denied => refused(StatusCode::BAD_REQUEST, "access_denied"),
                Decision::Approved => {
                    state.devices.remove(&device);
                    (StatusCode::OK, token_set(state))
                }
            }
        }
        "refresh_token" if state.refresh_tokens.remove(&call.field("refresh_token")) => {
            (StatusCode::OK, token_set(state))
        }
        _ => refused(StatusCode::BAD_REQUEST, "invalid_grant"),
    }
}

fn token_set(state: &mut State) -> Value {
    let claims = json!({"user_id": state.account_id, "exp": now() + LIFETIME_S, "scope": "kimi-code"});
    json!({
        "access_token": access_token(state, claims),
        "refresh_token": refresh_token(state),
        "expires_in": LIFETIME_S,
        "scope": "kimi-code",
        "token_type": "Bearer",
    })
}

/// Returns the models. Kimi Code asks for them with the new token before it reports a login as done.
fn models(state: &State, call: &Call) -> Answer {
    if !has_token(state, call) {
        return refused(StatusCode::UNAUTHORIZED, "invalid_token");
    }
    let model = json!({"id": "kimi-for-coding", "object": "model", "context_length": 262_144});
    (StatusCode::OK, json!({"object": "list", "data": [model]}))
}
