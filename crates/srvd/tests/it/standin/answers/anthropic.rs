//! Anthropic: the logins of Claude Code and of pi.

use hyper::StatusCode;
use serde_json::{Value, json};

use super::{Answer, LIFETIME_S, has_token, not_found, refused};
use crate::standin::grants::redeem;
use crate::standin::{Call, State};

const ORGANIZATION: &str = "11111111-1111-4111-8111-111111111111";

pub(super) fn answer(state: &mut State, call: &Call) -> Answer {
    match (call.method.as_str(), call.path.as_str()) {
        ("POST", "/v1/oauth/token") => tokens(state, call),
        ("GET", "/api/oauth/profile") => with_token(state, call, profile),
        ("GET", "/api/oauth/claude_cli/roles") => with_token(state, call, roles),
        ("POST", "/api/oauth/claude_cli/create_api_key") => {
            with_token(state, call, |_| json!({"raw_key": "sk-ant-api03-planted-key"}))
        }
        _ => not_found(),
    }
}

fn tokens(state: &mut State, call: &Call) -> Answer {
    let grant = redeem(state, call).filter(|_| !state.refuses_codes);
    let Some(scope) = grant.and_then(|grant| grant.scope) else {
        let body = json!({"error": "invalid_grant", "error_description": "Invalid code"});
        return (StatusCode::BAD_REQUEST, body);
    };
    let filler = "A1b2C3d4-".repeat(9);
    let access = format!("sk-ant-oat01-{filler}{}", state.next());
    let refresh = format!("sk-ant-ort01-{filler}{}", state.next());
    state.access_tokens.insert(access.clone());
    state.refresh_tokens.insert(refresh.clone());
    let lifetime = call.number("expires_in").unwrap_or(LIFETIME_S);
    let body = json!({
        "token_type": "Bearer",
        "access_token": access,
        "refresh_token": refresh,
        "expires_in": lifetime,
        "scope": scope,
        "organization": {"uuid": ORGANIZATION, "name": "Stand-in"},
        "account": {"uuid": state.account_id, "email_address": state.email},
    });
    (StatusCode::OK, body)
}

fn with_token(state: &State, call: &Call, body: impl FnOnce(&State) -> Value) -> Answer {
    if has_token(state, call) {
        (StatusCode::OK, body(state))
    } else {
        refused(StatusCode::UNAUTHORIZED, "no_token")
    }
}

fn profile(state: &State) -> Value {
    json!({
        "account": {
            "uuid": state.account_id,
            "full_name": "Stand In",
            "display_name": "Stand",
            "email": state.email,
            "has_claude_max": true,
            "has_claude_pro": false,
            "created_at": "2025-01-01T00:00:00Z",
        },
        "organization": {
            "uuid": ORGANIZATION,
            "name": "Stand-in",
            "organization_type": "claude_max",
            "billing_type": "stripe_subscription",
            "rate_limit_tier": "default_claude_max_5x",
            "has_extra_usage_enabled": false,
            "subscription_status": "active",
        },
    })
}

fn roles(_: &State) -> Value {
    json!({
        "organization_uuid": ORGANIZATION,
        "organization_name": "Stand-in",
        "organization_role": "admin",
        "workspace_uuid": null,
        "workspace_name": null,
        "workspace_role": null,
    })
}
