//! The reasons why a token request failed, grouped by what the caller can do.

use std::time::Duration;

use super::http::HttpFailure;

/// The reason why there are no tokens.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    /// The failure is permanent. The code or token must never be sent again, and the user must sign in.
    #[error("{}", .0.text())]
    Permanent(PermanentFailure),
    /// The failure is temporary. The tokens are retained and the request is retried later.
    #[error("{reason}")]
    Transient {
        /// The cause of the failure.
        reason: TransientFailure,
        /// The minimum delay before the next attempt, if the issuer specifies one.
        retry_after: Option<Duration>,
    },
    /// The operator's configuration of this client is wrong. The tokens are retained.
    #[error("{}", .0.text())]
    Misconfigured(Misconfigured),
    /// The forge refuses to name the owner of a valid token, which lacks a scope. A new sign-in is needed.
    #[error("the forge refuses to name the owner of the token{}", .0.as_deref().map(|said| format!(" ({said})")).unwrap_or_default())]
    Forbidden(Option<String>),
}

/// The cause of a permanent failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PermanentFailure {
    /// The issuer rejects the code or token: it was revoked, has expired, or was never issued.
    InvalidGrant,
    /// The refresh token has already been used. Issuers often respond by revoking all tokens of the login.
    Reused,
    /// The user denied the request.
    Denied,
    /// The user did not approve the request in time.
    Expired,
}

/// The cause of a temporary failure.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TransientFailure {
    /// There was no usable response.
    #[error(transparent)]
    Http(#[from] HttpFailure),
    /// A protocol error that says nothing about the tokens. Contains its code, reduced to letters.
    #[error("the issuer returned the error {0}")]
    Answered(String),
    /// A response without the fields of a grant.
    #[error("the issuer's response contains no grant")]
    NotAGrant,
}

/// The setting that the operator has to change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Misconfigured {
    /// The client id or the secret is wrong.
    Client,
    /// The issuer does not allow this client to use this grant or endpoint, for example because the device flow is
    /// disabled.
    Grant,
    /// The issuer does not recognize a scope.
    Scope,
    /// The redirect URL does not match the registered one.
    RedirectUri,
    /// The issuer rejected the request as invalid.
    Request,
    /// Plain HTTP is not allowed for this issuer.
    Insecure,
    /// The forge has no device flow.
    NoDeviceFlow,
}

impl PermanentFailure {
    /// The stable code for rows, events and logs.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::InvalidGrant => "invalid_grant",
            Self::Reused => "refresh_token_reused",
            Self::Denied => "denied",
            Self::Expired => "expired",
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::InvalidGrant => "the issuer no longer accepts the grant",
            Self::Reused => "the refresh token has already been used",
            Self::Denied => "the user denied the request",
            Self::Expired => "the sign-in was not approved in time",
        }
    }
}

impl Misconfigured {
    /// The stable code for rows, events and logs.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::Client => "invalid_client",
            Self::Grant => "grant_not_allowed",
            Self::Scope => "invalid_scope",
            Self::RedirectUri => "redirect_uri_mismatch",
            Self::Request => "invalid_request",
            Self::Insecure => "insecure",
            Self::NoDeviceFlow => "no_device_flow",
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::Client => "the issuer does not recognize the client id and secret",
            Self::Grant => "the issuer does not allow this client to use this login method",
            Self::Scope => "the issuer does not recognize a requested scope",
            Self::RedirectUri => "the redirect URL is not registered with the issuer",
            Self::Request => "the issuer rejected the request as invalid",
            Self::Insecure => "plain http is not allowed for this issuer",
            Self::NoDeviceFlow => {
                "this forge does not support the device flow; sign in with the browser instead"
            }
        }
    }
}

impl Failure {
    /// The stable code for rows, events and logs.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Permanent(dead) => dead.code(),
            Self::Transient { .. } => "refresh_failed",
            Self::Misconfigured(wrong) => wrong.code(),
            Self::Forbidden(_) => Misconfigured::Scope.code(),
        }
    }

    /// The failure for a response without the fields of a grant.
    pub(super) fn not_a_grant() -> Self {
        Self::Transient { reason: TransientFailure::NotAGrant, retry_after: None }
    }
}

impl From<HttpFailure> for Failure {
    fn from(failure: HttpFailure) -> Self {
        let retry_after = match failure {
            HttpFailure::Insecure => return Self::Misconfigured(Misconfigured::Insecure),
            HttpFailure::Unavailable { retry_after, .. } => retry_after,
            _ => None,
        };
        Self::Transient { reason: failure.into(), retry_after }
    }
}

/// Classifies a protocol error according to RFC 6749 (5.2 and 4.1.2.1), RFC 8628 (3.5), and the forges' own codes.
pub(crate) fn classify(code: &str, text: &str) -> Failure {
    match code {
        // Gitea and Forgejo: 400 `unauthorized_client`, "token was already used".
        "unauthorized_client" if text.to_lowercase().contains("already used") => {
            Failure::Permanent(PermanentFailure::Reused)
        }
        "refresh_token_reused" => Failure::Permanent(PermanentFailure::Reused),
        "invalid_grant"
        | "bad_refresh_token"
        | "refresh_token_expired"
        | "refresh_token_invalidated"
        | "bad_verification_code"
        | "incorrect_device_code" => Failure::Permanent(PermanentFailure::InvalidGrant),
        "access_denied" => Failure::Permanent(PermanentFailure::Denied),
        "expired_token" | "token_expired" => Failure::Permanent(PermanentFailure::Expired),
        "invalid_client" | "incorrect_client_credentials" | "application_suspended" => {
            Failure::Misconfigured(Misconfigured::Client)
        }
        "unauthorized_client"
        | "unsupported_grant_type"
        | "unsupported_response_type"
        | "device_flow_disabled" => Failure::Misconfigured(Misconfigured::Grant),
        "invalid_scope" => Failure::Misconfigured(Misconfigured::Scope),
        "redirect_uri_mismatch" => Failure::Misconfigured(Misconfigured::RedirectUri),
        "invalid_request" => Failure::Misconfigured(Misconfigured::Request),
        other => {
            let word = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
            let named: String = other.chars().filter(word).take(64).collect();
            Failure::Transient { reason: TransientFailure::Answered(named), retry_after: None }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oauth_error_is_classified_by_code_and_text() {
        let check =
            |code: &str, text: &str, expect: Failure| assert_eq!(classify(code, text), expect, "{code}");
        let answered = |word: &str| Failure::Transient {
            reason: TransientFailure::Answered(word.into()),
            retry_after: None,
        };
        check("invalid_grant", "", Failure::Permanent(PermanentFailure::InvalidGrant));
        check("unauthorized_client", "token was already used", Failure::Permanent(PermanentFailure::Reused));
        check("unauthorized_client", "Token was ALREADY USED", Failure::Permanent(PermanentFailure::Reused));
        check("unauthorized_client", "", Failure::Misconfigured(Misconfigured::Grant));
        check("bad_refresh_token", "", Failure::Permanent(PermanentFailure::InvalidGrant));
        check("refresh_token_reused", "", Failure::Permanent(PermanentFailure::Reused));
        check("access_denied", "", Failure::Permanent(PermanentFailure::Denied));
        check("expired_token", "", Failure::Permanent(PermanentFailure::Expired));
        check("invalid_client", "", Failure::Misconfigured(Misconfigured::Client));
        check("incorrect_client_credentials", "", Failure::Misconfigured(Misconfigured::Client));
        check("device_flow_disabled", "", Failure::Misconfigured(Misconfigured::Grant));
        check("redirect_uri_mismatch", "", Failure::Misconfigured(Misconfigured::RedirectUri));
        check("temporarily_unavailable", "", answered("temporarily_unavailable"));
        check("server_error", "", answered("server_error"));
        check("<b>\nodd", "", answered("bodd"));
    }

    #[test]
    fn retry_delay_of_a_busy_issuer_is_retained() {
        let retry_after = Some(Duration::from_mins(2));
        let busy = HttpFailure::Unavailable { status: 429, retry_after };
        let expect = Failure::Transient { reason: TransientFailure::Http(busy.clone()), retry_after };
        assert_eq!(Failure::from(busy), expect);
        assert_eq!(Failure::from(HttpFailure::Insecure), Failure::Misconfigured(Misconfigured::Insecure));
    }
}
