//! `auth.openai.com`: the browser login and the device login of Codex, and of the CLIs that use the same account.

use hyper::StatusCode;
use serde_json::json;

use super::{
    Answer, Decision, LIFETIME_S, access_token, has_token, not_found, now, refresh_token, refused, use_up,
};
use crate::standin::grants::{Grant, redeem};
use crate::standin::{Call, State, jwt};

/// The pair of RFC 7636, appendix B. For a device login the vendor creates the pair and sends it to the CLI.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

pub(super) fn answer(state: &mut State, call: &Call) -> Answer {
    match (call.method.as_str(), call.path.as_str()) {
        ("POST", "/api/accounts/deviceauth/usercode") => user_code(state),
        ("POST", "/api/accounts/deviceauth/token") => poll(state, call),
        ("POST", "/oauth/token") => tokens(state, call),
        ("POST", "/oauth/revoke") => revoke(state, call),
        ("GET", "/backend-api/wham/usage" | "/backend-api/codex/usage") => usage(state, call),
        _ => not_found(),
    }
}

/// Starts a device login, which is not RFC 8628: bodies are JSON, the interval is a string, and 403 means "not yet".
fn user_code(state: &mut State) -> Answer {
    let number = state.next();
    let device = format!("deviceauth_{number}");
    state.devices.insert(device.clone());
    let code = format!("ABCD-{number:05}");
    (StatusCode::OK, json!({"device_auth_id": device, "user_code": code, "interval": "1"}))
}

fn poll(state: &mut State, call: &Call) -> Answer {
    let device = call.field("device_auth_id");
    if !state.devices.contains(&device) {
        return refused(StatusCode::BAD_REQUEST, "unknown_device");
    }
    match state.decision {
        Decision::Pending => refused(StatusCode::FORBIDDEN, "authorization_pending"),
        Decision::Denied => refused(StatusCode::BAD_REQUEST, "access_denied"),
        Decision::Approved => {
            state.devices.remove(&device);
            let code = format!("planted-code-{}", state.next());
            let grant =
                Grant { challenge: CHALLENGE.into(), redirect: None, client: None, scope: None, nonce: None };
            state.grants.insert(code.clone(), grant);
            let body = json!({
                "authorization_code": code,
                "code_challenge": CHALLENGE,
                "code_verifier": VERIFIER,
            });
            (StatusCode::OK, body)
        }
    }
}

fn tokens(state: &mut State, call: &Call) -> Answer {
    let redeemed = match call.field("grant_type").as_str() {
        "authorization_code" => redeem(state, call).is_some(),
        "refresh_token" => match use_up(state, call) {
            Ok(()) => true,
            Err(status) => {
                let error = json!({"message": "the refresh token was used", "code": "refresh_token_reused"});
                return (status, json!({ "error": error }));
            }
        },
        // The login continues without the API key that Codex asks for.
        _ => false,
    };
    if !redeemed || state.refuses_codes {
        let error = json!({"message": "Invalid code", "code": "token_exchange_user_error"});
        return (StatusCode::BAD_REQUEST, json!({ "error": error }));
    }
    let now = now();
    let identity = json!({
        "chatgpt_account_id": state.account_id,
        "chatgpt_user_id": format!("user-{}", state.account_id),
        "chatgpt_plan_type": "pro",
    });
    let claims = json!({
        "iss": "https://auth.openai.com",
        "sub": format!("auth0|{}", state.account_id),
        "email": state.email,
        "email_verified": true,
        "iat": now,
        "exp": now + LIFETIME_S,
        "https://api.openai.com/auth": identity,
        "https://api.openai.com/profile": {"email": state.email},
    });
    let body = json!({
        "id_token": jwt(&claims),
        "access_token": access_token(state, claims),
        "refresh_token": refresh_token(state),
        "token_type": "Bearer",
        "expires_in": LIFETIME_S,
    });
    (StatusCode::OK, body)
}

/// Returns the limits of the subscription.
fn usage(state: &State, call: &Call) -> Answer {
    if !has_token(state, call) {
        return refused(StatusCode::UNAUTHORIZED, "no_token");
    }
    let window = |percent: u64, seconds: u64, left: u64| {
        json!({
            "used_percent": percent,
            "limit_window_seconds": seconds,
            "reset_after_seconds": left,
            "reset_at": now() + left,
        })
    };
    let body = json!({
        "plan_type": "pro",
        "rate_limit": {
            "allowed": true,
            "limit_reached": false,
            "primary_window": window(42, 18_000, 3_600),
            "secondary_window": window(5, 604_800, 300_000),
        },
        "credits": {"has_credits": false, "unlimited": false, "balance": "0"},
    });
    (StatusCode::OK, body)
}

/// Revokes a token. A second revocation is no error (RFC 7009).
fn revoke(state: &mut State, call: &Call) -> Answer {
    let token = call.field("token");
    state.refresh_tokens.remove(&token);
    state.access_tokens.remove(&token);
    (StatusCode::OK, json!({}))
}
