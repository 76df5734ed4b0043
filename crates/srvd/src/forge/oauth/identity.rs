//! The owner of a token, as reported by the forge's own endpoint.

use hyper::Request;
use hyper::header::{AUTHORIZATION, HeaderValue};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use super::failure::{Failure, Misconfigured, PermanentFailure};
use super::http::{Http, HttpFailure};

/// A user at a forge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The forge's own account number, as text. It stays the same when the user is renamed.
    pub account_id: String,
    /// The name shown by the forge. It can change.
    pub login: String,
    /// The email address; `None` if the forge does not report it.
    pub email: Option<String>,
}

/// The maximum length of a stored name or email address, in bytes.
const TEXT: usize = 320;

impl Identity {
    /// Parses a forge's response: `id` as a number or text, and `login` (GitHub, Forgejo, Gitea) or `username`
    /// (GitLab).
    pub(crate) fn parse(body: &[u8]) -> Option<Self> {
        let fields: serde_json::Map<String, Value> = serde_json::from_slice(body).ok()?;
        let text = |name: &str| {
            let text = fields.get(name)?.as_str()?;
            let shown = (1..=TEXT).contains(&text.len()) && !text.chars().any(char::is_control);
            shown.then(|| text.to_owned())
        };
        let account_id = match fields.get("id")? {
            Value::Number(number) => number.as_u64().filter(|number| *number > 0)?.to_string(),
            _ => text("id")?,
        };
        Some(Self { account_id, login: text("login").or_else(|| text("username"))?, email: text("email") })
    }
}

/// Asks the forge for the owner of this token.
///
/// # Errors
/// A [`Failure`]: a rejected token is dead, a forbidden one lacks a scope, and every other failure is temporary.
pub(crate) async fn identify(
    http: &Http,
    url: &str,
    allow_http: bool,
    access: &SecretString,
) -> Result<Identity, Failure> {
    let mut bearer = HeaderValue::from_str(&format!("Bearer {}", access.expose_secret()))
        .map_err(|_| Failure::not_a_grant())?;
    bearer.set_sensitive(true);
    let request = Request::builder()
        .uri(url)
        .header(AUTHORIZATION, bearer)
        .body(Vec::new())
        .map_err(|_| Failure::Misconfigured(Misconfigured::Request))?;
    let received = http.send(request, allow_http).await?;
    let status = received.status.as_u16();
    if let Some(pause) = received.rate_limited(std::time::SystemTime::now()) {
        return Err(HttpFailure::Unavailable { status, retry_after: Some(pause) }.into());
    }
    match status {
        200 => Identity::parse(&received.body).ok_or_else(|| HttpFailure::Malformed(status).into()),
        401 => Err(Failure::Permanent(PermanentFailure::InvalidGrant)),
        403 => Err(Failure::Forbidden(said(&received.body))),
        408 | 429 | 500.. => {
            Err(HttpFailure::Unavailable { status, retry_after: received.retry_after }.into())
        }
        _ => Err(HttpFailure::Malformed(status).into()),
    }
}

/// Returns the reason in a forge's refusal: `message` (GitHub, Forgejo, Gitea) or `error_description` (GitLab).
pub(crate) fn said(body: &[u8]) -> Option<String> {
    let fields: serde_json::Map<String, Value> = serde_json::from_slice(body).ok()?;
    let text = ["message", "error_description"].iter().find_map(|name| fields.get(*name)?.as_str())?;
    let text: String = text.chars().filter(|c| !c.is_control()).take(200).collect();
    (!text.trim().is_empty()).then(|| text.trim().to_owned())
}

/// The next step after an API has answered a request that used a supposedly valid token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// The token was accepted, or the response says nothing about it.
    Nothing,
    /// The token is refreshed once, whatever its expiry, and the request is repeated once.
    RefreshAndRetry,
    /// The user must sign in again.
    NeedsReauth,
    /// The token is valid but lacks a scope. A refresh would not help.
    MissingScope,
}

/// Decides based on the status, and on whether the token has already been refreshed for this call.
pub(crate) fn after_api_answer(status: u16, refreshed: bool) -> Next {
    match (status, refreshed) {
        (401, false) => Next::RefreshAndRetry,
        (401, true) => Next::NeedsReauth,
        (403, _) => Next::MissingScope,
        _ => Next::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identity_is_parsed_from_each_forges_response() {
        let check = |body: &str, expect: Option<(&str, &str, Option<&str>)>| {
            let expect = expect.map(|(id, login, email)| Identity {
                account_id: id.into(),
                login: login.into(),
                email: email.map(Into::into),
            });
            assert_eq!(Identity::parse(body.as_bytes()), expect, "{body}");
        };
        check(r#"{"id":583231,"login":"octocat","email":null}"#, Some(("583231", "octocat", None)));
        check(r#"{"id":1,"username":"john","email":"j@x.org"}"#, Some(("1", "john", Some("j@x.org"))));
        check(r#"{"id":7,"login":"ada","username":"ada","email":""}"#, Some(("7", "ada", None)));
        check(r#"{"id":"u-7","login":"ada"}"#, Some(("u-7", "ada", None)));
        check(r#"{"id":0,"login":"ghost"}"#, None);
        check(r#"{"id":-1,"login":"ghost"}"#, None);
        check(r#"{"id":1.5,"login":"ghost"}"#, None);
        check(r#"{"id":"","login":"ghost"}"#, None);
        check(r#"{"id":1}"#, None);
        check(r#"{"login":"octocat"}"#, None);
        check(r#"{"id":1,"login":"a\u001bb"}"#, None);
        check("[]", None);
        check("<html>", None);
    }

    #[test]
    fn refusal_is_told_in_the_forge_s_words() {
        let check = |body: &str, expect: Option<&str>| assert_eq!(said(body.as_bytes()).as_deref(), expect);
        check(
            r#"{"message":"token does not have at least one of required scope(s): [read:user]"}"#,
            Some("token does not have at least one of required scope(s): [read:user]"),
        );
        check(
            r#"{"error":"insufficient_scope","error_description":"needs\u001b read_user"}"#,
            Some("needs read_user"),
        );
        check(r#"{"message":" "}"#, None);
        check("<html>", None);
        let failure = Failure::Forbidden(Some("no".to_owned()));
        assert_eq!(failure.to_string(), "the forge refuses to name the owner of the token (no)");
        assert_eq!(failure.code(), "invalid_scope");
    }

    #[test]
    fn token_is_refreshed_once_when_rejected_and_never_when_forbidden() {
        let check = |status, refreshed, expect| assert_eq!(after_api_answer(status, refreshed), expect);
        check(200, false, Next::Nothing);
        check(401, false, Next::RefreshAndRetry);
        check(401, true, Next::NeedsReauth);
        check(403, false, Next::MissingScope);
        check(403, true, Next::MissingScope);
        check(500, false, Next::Nothing);
    }
}
