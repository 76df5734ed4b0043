//! Anthropic: the logins of Claude Code and of pi.

use hyper::StatusCode;
use serde_json::{Value, json};

use super::{Answer, LIFETIME_S, has_token, not_found, refused, use_up};
use crate::standin::grants::redeem;
use crate::standin::{Call, State};

/// The scopes after a refresh. They are more than those of the login.
const REFRESHED: &str =
    "user:inference user:profile user:sessions:claude_code user:mcp_servers user:file_upload";
const ORGANIZATION: &str = "11111111-1111-4111-8111-111111111111";

pub(super) fn answer(state: &mut State, call: &Call) -> Answer {
    match (call.method.as_str(), call.path.as_str()) {
        ("POST", "/v1/oauth/token") => tokens(state, call),
        ("GET", "/api/oauth/profile") => with_token(state, call, profile),
        ("GET", "/api/oauth/usage") => with_token(state, call, usage),
        ("GET", "/api/hello" | "/v1/oauth/hello") => (StatusCode::OK, json!({"message": "hello"})),
        ("GET", "/api/oauth/claude_cli/roles") => with_token(state, call, roles),
        ("POST", "/api/oauth/claude_cli/create_api_key") => {
            with_token(state, call, |_| json!({"raw_key": "sk-ant-api03-planted-key"}))
        }
        _ => not_found(),
    }
}

fn tokens(state: &mut State, call: &Call) -> Answer {
    let scope = match call.field("grant_type").as_str() {
        "refresh_token" => match use_up(state, call) {
            Ok(()) => Some(REFRESHED),
            Err(status) if status.is_server_error() => return refused(status, "server_error"),
            Err(_) => None,
        },
        _ => redeem(state, call).filter(|_| !state.refuses_codes).and_then(|grant| grant.scope),
    };
    let Some(scope) = scope else {
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

/// Returns the limits of the subscription. The times are those of a recorded answer, so they are in the past.
fn usage(_: &State) -> Value {
    let window = |percent: f64, end: &str| json!({"utilization": percent, "resets_at": end});
    json!({
        "five_hour": window(42.0, "2100-11-29T23:00:00.000000+00:00"),
        "seven_day": window(61.0, "2100-12-03T10:00:00.000000+00:00"),
        "seven_day_opus": null,
        "seven_day_sonnet": window(12.0, "2100-12-03T10:00:00+00:00"),
        "extra_usage": {"is_enabled": false, "monthly_limit": null, "used_credits": null, "utilization": null},
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
