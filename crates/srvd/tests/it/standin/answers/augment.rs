//! Augment: the login of Auggie.

use hyper::StatusCode;
use serde_json::json;

use super::{Answer, not_found, refused};
use crate::standin::grants::redeem;
use crate::standin::{Call, State};

pub(super) fn answer(state: &mut State, call: &Call) -> Answer {
    match (call.host.as_str(), call.method.as_str(), call.path.as_str()) {
        ("auth.augmentcode.com", "GET", "/.well-known/openid-configuration") => {
            let base = "https://auth.augmentcode.com";
            let body = json!({
                "issuer": base,
                "authorization_endpoint": format!("{base}/authorize"),
                "token_endpoint": format!("{base}/token"),
            });
            (StatusCode::OK, body)
        }
        // The tenant's own address, which the browser has told the CLI.
        ("e1.api.augmentcode.com", "POST", "/token") => token(state, call),
        _ => not_found(),
    }
}

fn token(state: &mut State, call: &Call) -> Answer {
    if redeem(state, call).is_none() || state.refuses_codes {
        return refused(StatusCode::BAD_REQUEST, "invalid_grant");
    }
    let token = format!("augment-standin-{}", state.next());
    state.access_tokens.insert(token.clone());
    (
        StatusCode::OK,
        json!({"access_token": token, "token_type": "Bearer", "expires_in": 0, "scope": "email"}),
    )
}
