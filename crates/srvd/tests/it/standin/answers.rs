//! The answers of each vendor: a status and a JSON body for the state and one request.

mod anthropic;
mod augment;
mod github;
mod google;
mod keys;
mod kilo;
mod kimi;
mod openai;
mod qoder;
mod workos;
mod xai;

use std::time::{SystemTime, UNIX_EPOCH};

use hyper::StatusCode;
use serde_json::{Value, json};

use super::{Call, Decision, State, jwt};

type Answer = (StatusCode, Value);

/// The life of an access token in seconds, as observed at the vendors.
const LIFETIME_S: u64 = 3600;

/// Answers a request. The vendor is identified by its name. Without a name, only API keys are checked.
pub(super) fn answer(state: &mut State, call: &Call) -> Answer {
    match call.host.as_str() {
        "auth.openai.com" | "chatgpt.com" => openai::answer(state, call),
        "platform.claude.com" | "console.anthropic.com" | "api.anthropic.com" => {
            anthropic::answer(state, call)
        }
        "github.com" | "api.github.com" | "ghe.corp.example" => github::answer(state, call),
        "oauth2.googleapis.com" | "www.googleapis.com" | "cloudcode-pa.googleapis.com" => {
            google::answer(state, call)
        }
        "auth.kimi.com" | "api.kimi.com" => kimi::answer(state, call),
        "auth.augmentcode.com" | "e1.api.augmentcode.com" => augment::answer(state, call),
        "api.kilo.ai" => kilo::answer(state, call),
        "openapi.qoder.sh" => qoder::answer(state, call),
        "api.workos.com" | "api.cline.bot" => workos::answer(state, call),
        "auth.x.ai" => xai::answer(state, call),
        _ => keys::answer(state, call),
    }
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

/// Uses up the refresh token of a request. A token that was used before ends the login: every token is revoked.
///
/// # Errors
/// The status of the refusal.
fn use_up(state: &mut State, call: &Call) -> Result<(), StatusCode> {
    if let Some(status) = state.refresh_refusal {
        return Err(status);
    }
    if state.refresh_tokens.remove(&call.field("refresh_token")) {
        return Ok(());
    }
    state.refresh_tokens.clear();
    Err(StatusCode::UNAUTHORIZED)
}

/// Returns whether the request carries an issued token, as a bearer or in GitHub's format.
fn has_token(state: &State, call: &Call) -> bool {
    let token = call.header("authorization").and_then(|header| header.split_once(' '));
    token.is_some_and(|(_, token)| state.accepts_every_token || state.access_tokens.contains(token))
}

fn refused(status: StatusCode, error: &str) -> Answer {
    (status, json!({"error": error}))
}

fn not_found() -> Answer {
    refused(StatusCode::NOT_FOUND, "not_found")
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
