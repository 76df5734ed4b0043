//! What each vendor answers: from the state and one request to a status and a JSON body.

use std::time::{SystemTime, UNIX_EPOCH};

use hyper::StatusCode;
use serde_json::{Value, json};

use super::{Call, Decision, State, jwt};

type Answer = (StatusCode, Value);

/// Seconds that an access token lives, as the vendors were seen to give them.
const LIFETIME_S: u64 = 3600;

pub(super) fn answer(state: &mut State, call: &Call) -> Answer {
    match (call.method.as_str(), call.path.as_str()) {
        ("POST", "/api/accounts/deviceauth/usercode") => codex_user_code(state),
        ("POST", "/api/accounts/deviceauth/token") => codex_poll(state, call),
        ("POST", "/oauth/token") => codex_tokens(state, call),
        ("POST", "/oauth/revoke") => revoke(state, call),
        ("POST", "/api/oauth/device_authorization") => kimi_user_code(state),
        ("POST", "/api/oauth/token") => kimi_tokens(state, call),
        ("GET", "/coding/v1/models") => kimi_models(state, call),
        ("POST", "/login/device/code") => github_user_code(state),
        ("POST", "/login/oauth/access_token") => github_token(state, call),
        ("POST", "/graphql") => github_viewer(state, call),
        ("GET", "/v1/models") => key_check(state, call),
        ("GET", "/openai/v1/models" | "/models" | "/api/v1/key") => bearer_check(state, call),
        ("GET", "/v1beta/models") => gemini_models(state, call),
        ("GET", "/user") => github_user(state, call),
        _ => refused(StatusCode::NOT_FOUND, "not_found"),
    }
}

/// Codex's device flow is not RFC 8628: JSON bodies, the interval is a string, and 403 means "not yet".
fn codex_user_code(state: &mut State) -> Answer {
    let number = state.next();
    let device = format!("deviceauth_{number}");
    state.devices.insert(device.clone());
    let code = format!("ABCD-{number:05}");
    (StatusCode::OK, json!({"device_auth_id": device, "user_code": code, "interval": "1"}))
}

fn codex_poll(state: &mut State, call: &Call) -> Answer {
    let device = call.field("device_auth_id");
    if !state.devices.contains(&device) {
        return refused(StatusCode::BAD_REQUEST, "unknown_device");
    }
    match state.decision {
        Decision::Pending => refused(StatusCode::FORBIDDEN, "authorization_pending"),
        Decision::Denied => refused(StatusCode::BAD_REQUEST, "access_denied"),
        Decision::Approved => {
            state.devices.remove(&device);
            let code = format!("code-{}", state.next());
            state.codes.insert(code.clone());
            let body = json!({
                "authorization_code": code,
                "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
                "code_verifier": "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
            });
            (StatusCode::OK, body)
        }
    }
}

fn codex_tokens(state: &mut State, call: &Call) -> Answer {
    let redeemed = match call.field("grant_type").as_str() {
        "authorization_code" => {
            state.codes.remove(&call.field("code")) && !call.field("code_verifier").is_empty()
        }
        "refresh_token" => state.refresh_tokens.remove(&call.field("refresh_token")),
        _ => false,
    };
    if !redeemed {
        return refused(StatusCode::BAD_REQUEST, "invalid_grant");
    }
    let now = now();
    let identity = json!({
        "chatgpt_account_id": state.account_id,
        "chatgpt_user_id": format!("user-{}", state.account_id),
        "chatgpt_plan_type": "pro",
    });
    let claims = json!({
        "iss": state.url,
        "sub": format!("auth0|{}", state.account_id),
        "email": state.email,
        "email_verified": true,
        "iat": now,
        "exp": now + LIFETIME_S,
        "https://api.openai.com/auth": identity,
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

/// A revoked token is gone, and a second revocation is no error (RFC 7009).
fn revoke(state: &mut State, call: &Call) -> Answer {
    let token = call.field("token");
    state.refresh_tokens.remove(&token);
    state.access_tokens.remove(&token);
    (StatusCode::OK, json!({}))
}

fn kimi_user_code(state: &mut State) -> Answer {
    let number = state.next();
    let device = format!("kimi-device-{number}");
    state.devices.insert(device.clone());
    let code = format!("WXYZ-{number:04}");
    // The vendor's own host, because the registry opens only such a link. Nothing here ever contacts it.
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

fn kimi_tokens(state: &mut State, call: &Call) -> Answer {
    match call.field("grant_type").as_str() {
        "urn:ietf:params:oauth:grant-type:device_code" => {
            let device = call.field("device_code");
            match state.decision {
                _ if !state.devices.contains(&device) => refused(StatusCode::BAD_REQUEST, "expired_token"),
                Decision::Pending => refused(StatusCode::BAD_REQUEST, "authorization_pending"),
                Decision::Denied => refused(StatusCode::BAD_REQUEST, "access_denied"),
                Decision::Approved => {
                    state.devices.remove(&device);
                    (StatusCode::OK, kimi_token_set(state))
                }
            }
        }
        "refresh_token" if state.refresh_tokens.remove(&call.field("refresh_token")) => {
            (StatusCode::OK, kimi_token_set(state))
        }
        _ => refused(StatusCode::BAD_REQUEST, "invalid_grant"),
    }
}

fn kimi_token_set(state: &mut State) -> Value {
    let claims = json!({"user_id": state.account_id, "exp": now() + LIFETIME_S, "scope": "kimi-code"});
    json!({
        "access_token": access_token(state, claims),
        "refresh_token": refresh_token(state),
        "expires_in": LIFETIME_S,
        "scope": "kimi-code",
        "token_type": "Bearer",
    })
}

/// Kimi Code asks for the models before it calls a login done, with the token it has just got.
fn kimi_models(state: &State, call: &Call) -> Answer {
    if !call.bearer().is_some_and(|token| state.access_tokens.contains(token)) {
        return refused(StatusCode::UNAUTHORIZED, "invalid_token");
    }
    let model = json!({"id": "kimi-for-coding", "object": "model", "context_length": 262_144});
    (StatusCode::OK, json!({"object": "list", "data": [model]}))
}

/// `x-api-key` is Anthropic's way, which also wants a version; a bearer is everybody else's.
fn key_check(state: &State, call: &Call) -> Answer {
    let key = call.header("x-api-key").or_else(|| call.bearer());
    if !key.is_some_and(|key| state.keys.contains(key)) {
        return refused(StatusCode::UNAUTHORIZED, "authentication_error");
    }
    if call.header("x-api-key").is_some() && call.header("anthropic-version").is_none() {
        return refused(StatusCode::BAD_REQUEST, "invalid_request_error");
    }
    (StatusCode::OK, json!({"object": "list", "data": [{"id": "standin-model", "object": "model"}]}))
}

fn bearer_check(state: &State, call: &Call) -> Answer {
    if call.bearer().is_some_and(|key| state.keys.contains(key)) {
        return (StatusCode::OK, json!({"data": []}));
    }
    refused(StatusCode::UNAUTHORIZED, "invalid_api_key")
}

/// Gemini answers a bad key with 400.
fn gemini_models(state: &State, call: &Call) -> Answer {
    if call.header("x-goog-api-key").is_some_and(|key| state.keys.contains(key)) {
        return (StatusCode::OK, json!({"models": []}));
    }
    refused(StatusCode::BAD_REQUEST, "API_KEY_INVALID")
}

/// GitHub's device flow says "not yet" and "no" with 200.
fn github_user_code(state: &mut State) -> Answer {
    let number = state.next();
    let device = format!("github-device-{number}");
    state.devices.insert(device.clone());
    let body = json!({
        "device_code": device,
        "user_code": format!("GHGH-{number:04}"),
        "verification_uri": "https://github.com/login/device",
        "expires_in": 899,
        "interval": 1,
    });
    (StatusCode::OK, body)
}

fn github_token(state: &mut State, call: &Call) -> Answer {
    let device = call.field("device_code");
    match state.decision {
        _ if !state.devices.contains(&device) => refused(StatusCode::OK, "incorrect_device_code"),
        Decision::Pending => refused(StatusCode::OK, "authorization_pending"),
        Decision::Denied => refused(StatusCode::OK, "access_denied"),
        Decision::Approved => {
            state.devices.remove(&device);
            let token = format!("gho_standin{}", state.next());
            state.access_tokens.insert(token.clone());
            let body = json!({"access_token": token, "token_type": "bearer", "scope": "repo,read:org,gist"});
            (StatusCode::OK, body)
        }
    }
}

/// gh asks who has logged in, with the token that it has just got.
fn github_viewer(state: &State, call: &Call) -> Answer {
    let token = call.header("authorization").and_then(|header| header.split_once(' '));
    if !token.is_some_and(|(_, token)| state.access_tokens.contains(token)) {
        return refused(StatusCode::UNAUTHORIZED, "bad_credentials");
    }
    (StatusCode::OK, json!({"data": {"viewer": {"login": state.account_id}}}))
}

/// GitHub answers 403 to any request without a `User-Agent`, whatever its key.
fn github_user(state: &State, call: &Call) -> Answer {
    if call.header("user-agent").is_none() {
        return refused(StatusCode::FORBIDDEN, "user_agent_required");
    }
    if !call.bearer().is_some_and(|key| state.keys.contains(key)) {
        return refused(StatusCode::UNAUTHORIZED, "bad_credentials");
    }
    let login = state.email.split('@').next().unwrap_or_default();
    (StatusCode::OK, json!({"login": login, "id": 1, "email": state.email}))
}

fn access_token(state: &mut State, mut claims: Value) -> String {
    claims["jti"] = json!(format!("at-{}", state.next()));
    let token = jwt(&claims);
    state.access_tokens.insert(token.clone());
    token
}

fn refresh_token(state: &mut State) -> String {
    let token = format!("standin-refresh-{}", state.next());
    state.refresh_tokens.insert(token.clone());
    token
}

fn refused(status: StatusCode, error: &str) -> Answer {
    (status, json!({"error": error}))
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
