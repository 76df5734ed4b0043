//! `WorkOS`, which two vendors use: the device logins of Cline and of Droid. Cline changes the tokens for its own ones.

use hyper::StatusCode;
use serde_json::{Value, json};

use super::{Answer, Decision, LIFETIME_S, access_token, not_found, now, refresh_token, refused};
use crate::standin::{Call, State};

/// The client id of Droid, and the prefix of its codes. Every other client is Cline.
const DROID: (&str, &str) = ("client_01HNM792M5G5G1A2THWPXKFMXB", "DROI");

pub(super) fn answer(state: &mut State, call: &Call) -> Answer {
    match (call.host.as_str(), call.method.as_str(), call.path.as_str()) {
        ("api.workos.com", "POST", "/user_management/authorize/device") => user_code(state, call),
        ("api.workos.com", "POST", "/user_management/authenticate") => authenticate(state, call),
        ("api.cline.bot", "POST", "/api/v1/auth/register") => register(state, call),
        _ => not_found(),
    }
}

fn user_code(state: &mut State, call: &Call) -> Answer {
    let number = state.next();
    let (prefix, page) = if call.field("client_id") == DROID.0 {
        (DROID.1, "https://auth.factory.ai/device")
    } else {
        ("WORK", "https://authkit.cline.bot/device")
    };
    let (device, code) = (format!("workos-device-{number}"), format!("{prefix}-{number:04}"));
    state.devices.insert(device.clone());
    let body = json!({
        "device_code": device,
        "user_code": code,
        "verification_uri": page,
        "verification_uri_complete": format!("{page}?user_code={code}"),
        "expires_in": 300,
        "interval": 1,
    });
    (StatusCode::OK, body)
}

fn authenticate(state: &mut State, call: &Call) -> Answer {
    let device = call.field("device_code");
    match state.decision {
        _ if !state.devices.contains(&device) => refused(StatusCode::BAD_REQUEST, "expired_token"),
        Decision::Pending => refused(StatusCode::BAD_REQUEST, "authorization_pending"),
        Decision::Denied => refused(StatusCode::BAD_REQUEST, "access_denied"),
        Decision::Approved => {
            state.devices.remove(&device);
            // Droid reads a login only if its token names an organization.
            let claims = json!({
                "sub": state.account_id, "email": state.email, "org_id": "org_1", "external_org_id": "org-1",
                "sid": "session_1", "role": "member", "exp": now() + LIFETIME_S,
            });
            let body = json!({
                "user": person(state),
                "organization_id": "org_1",
                "access_token": access_token(state, claims),
                "refresh_token": refresh_token(state),
                "authentication_method": "GitHubOAuth",
            });
            (StatusCode::OK, body)
        }
    }
}

fn person(state: &State) -> Value {
    json!({"object": "user", "id": state.account_id, "email": state.email, "first_name": "Ada", "last_name": "X"})
}

/// Exchanges the tokens of `WorkOS` for Cline's own.
fn register(state: &mut State, call: &Call) -> Answer {
    if !state.access_tokens.contains(&call.field("accessToken")) {
        return refused(StatusCode::UNAUTHORIZED, "invalid_token");
    }
    let token = access_token(state, json!({"sub": state.account_id, "exp": now() + LIFETIME_S}));
    // The CLI sends it with this prefix.
    state.access_tokens.insert(format!("workos:{token}"));
    let person = json!({
        "clineUserId": state.account_id, "subject": state.account_id, "email": state.email, "name": "Ada",
        "accounts": [],
    });
    let data = json!({
        "accessToken": token, "refreshToken": refresh_token(state), "tokenType": "Bearer",
        "expiresAt": "2100-01-01T00:00:00Z", "userInfo": person,
    });
    (StatusCode::OK, json!({"success": true, "data": data}))
}
