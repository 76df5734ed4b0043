//! Google: the login of Gemini, and the requests that Gemini makes before it reports a login as done.

use hyper::StatusCode;
use serde_json::json;

use super::{Answer, LIFETIME_S, access_token, has_token, not_found, now, refresh_token, refused};
use crate::standin::grants::redeem;
use crate::standin::{Call, State, jwt};

pub(super) fn answer(state: &mut State, call: &Call) -> Answer {
    match (call.host.as_str(), call.path.as_str()) {
        ("oauth2.googleapis.com", "/token") => tokens(state, call),
        ("oauth2.googleapis.com", "/tokeninfo") => {
            (StatusCode::OK, json!({"email": state.email, "expires_in": "3599", "scope": "openid"}))
        }
        ("www.googleapis.com" | "cloudcode-pa.googleapis.com", _) if !has_token(state, call) => {
            refused(StatusCode::UNAUTHORIZED, "no_token")
        }
        ("www.googleapis.com", "/oauth2/v2/userinfo") => {
            (StatusCode::OK, json!({"email": state.email, "id": state.account_id, "name": "Stand In"}))
        }
        ("cloudcode-pa.googleapis.com", "/v1internal:loadCodeAssist") => {
            let body = json!({
                "currentTier": {"id": "free-tier", "name": "Free"},
                "allowedTiers": [{"id": "free-tier", "isDefault": true}],
                "cloudaicompanionProject": "stand-in",
            });
            (StatusCode::OK, body)
        }
        _ => not_found(),
    }
}

fn tokens(state: &mut State, call: &Call) -> Answer {
    if redeem(state, call).is_none() || state.refuses_codes {
        let body = json!({"error": "invalid_grant", "error_description": "Malformed auth code."});
        return (StatusCode::BAD_REQUEST, body);
    }
    let claims = json!({"sub": state.account_id, "email": state.email, "exp": now() + LIFETIME_S});
    let body = json!({
        "id_token": jwt(&claims),
        "access_token": access_token(state, claims),
        "refresh_token": refresh_token(state),
        "scope": "https://www.googleapis.com/auth/cloud-platform openid",
        "token_type": "Bearer",
        "expires_in": LIFETIME_S,
    });
    (StatusCode::OK, body)
}
