//! The vendors' answers to the checks of an API key.

use hyper::StatusCode;
use serde_json::json;

use super::{Answer, not_found, refused};
use crate::standin::{Call, State};

pub(super) fn answer(state: &State, call: &Call) -> Answer {
    match (call.method.as_str(), call.path.as_str()) {
        ("GET", "/v1/models") => key_check(state, call),
        ("GET", "/openai/v1/models" | "/models" | "/api/v1/key") => bearer_check(state, call),
        ("GET", "/v1beta/models") => gemini_models(state, call),
        ("GET", "/user") => github_user(state, call),
        _ => not_found(),
    }
}

/// Checks an API key. Anthropic uses `x-api-key`, which also requires a version. All other vendors use a bearer.
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

/// Checks a Gemini key. A bad key is answered with 400.
fn gemini_models(state: &State, call: &Call) -> Answer {
    if call.header("x-goog-api-key").is_some_and(|key| state.keys.contains(key)) {
        return (StatusCode::OK, json!({"models": []}));
    }
    refused(StatusCode::BAD_REQUEST, "API_KEY_INVALID")
}

/// Checks a GitHub key. GitHub answers 403 to any request without a `User-Agent`, whatever its key.
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
