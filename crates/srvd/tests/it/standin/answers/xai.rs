//! `auth.x.ai`: the browser login and the device login of Grok. Its identity tokens have a signature.

use hyper::StatusCode;
use serde_json::{Value, json};

use super::{Answer, Decision, LIFETIME_S, not_found, now, refresh_token, refused};
use crate::standin::grants::redeem;
use crate::standin::{Call, State};

const ISSUER: &str = "https://auth.x.ai";

pub(super) fn answer(state: &mut State, call: &Call) -> Answer {
    match (call.method.as_str(), call.path.as_str()) {
        ("GET", "/.well-known/openid-configuration") => (StatusCode::OK, configuration()),
        ("GET", "/jwks") => (StatusCode::OK, state.signer.keys()),
        ("POST", "/oauth2/device/code") => user_code(state),
        ("POST", "/oauth2/token") => tokens(state, call),
        _ => not_found(),
    }
}

fn configuration() -> Value {
    json!({
        "issuer": ISSUER,
        "authorization_endpoint": format!("{ISSUER}/oauth2/authorize"),
        "token_endpoint": format!("{ISSUER}/oauth2/token"),
        "device_authorization_endpoint": format!("{ISSUER}/oauth2/device/code"),
        "jwks_uri": format!("{ISSUER}/jwks"),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
        "code_challenge_methods_supported": ["S256"],
    })
}

fn user_code(state: &mut State) -> Answer {
    let number = state.next();
    let (device, code) = (format!("xai-device-{number}"), format!("GROK-{number:04}"));
    state.devices.insert(device.clone());
    let page = "https://accounts.x.ai/oauth2/device";
    let body = json!({
        "device_code": device,
        "user_code": code,
        "verification_uri": page,
        "verification_uri_complete": format!("{page}?user_code={code}"),
        "expires_in": 900,
        "interval": 1,
    });
    (StatusCode::OK, body)
}

fn tokens(state: &mut State, call: &Call) -> Answer {
    match call.field("grant_type").as_str() {
        "authorization_code" => match redeem(state, call) {
            Some(grant) if !state.refuses_codes => (StatusCode::OK, token_set(state, call, grant.nonce)),
            _ => refused(StatusCode::BAD_REQUEST, "invalid_grant"),
        },
        "urn:ietf:params:oauth:grant-type:device_code" => {
            let device = call.field("device_code");
            match state.decision {
                _ if !state.devices.contains(&device) => refused(StatusCode::BAD_REQUEST, "expired_token"),
                Decision::Pending => refused(StatusCode::BAD_REQUEST, "authorization_pending"),
                Decision::Denied => refused(StatusCode::BAD_REQUEST, "access_denied"),
                Decision::Approved => {
                    state.devices.remove(&device);
                    (StatusCode::OK, token_set(state, call, None))
                }
            }
        }
        "refresh_token" if state.refresh_tokens.remove(&call.field("refresh_token")) => {
            (StatusCode::OK, token_set(state, call, None))
        }
        _ => refused(StatusCode::BAD_REQUEST, "invalid_grant"),
    }
}

fn token_set(state: &mut State, call: &Call, nonce: Option<String>) -> Value {
    let mut claims = json!({
        "iss": ISSUER, "sub": state.account_id, "email": state.email, "aud": call.field("client_id"),
        "iat": now(), "exp": now() + LIFETIME_S, "principal_type": "User", "principal_id": "p-1", "team_id": "t-1",
        "jti": format!("at-{}", state.next()),
    });
    if let Some(nonce) = nonce {
        claims["nonce"] = json!(nonce);
    }
    let token = state.signer.token(&claims);
    state.access_tokens.insert(token.clone());
    json!({
        "access_token": token,
        "id_token": token,
        "refresh_token": refresh_token(state),
        "token_type": "Bearer",
        "expires_in": LIFETIME_S,
        "scope": "openid profile email offline_access grok-cli:access api:access",
    })
}
