//! The operator's sign-ins at forges, as started, polled and cancelled by a local client.

use std::time::Duration;

use super::accounts::{kind, unselected};
use super::{OWNER, Operators};
use crate::forge::oauth::failure::Misconfigured;
use crate::forge::oauth::flows::{self, StartError};
use crate::forge::oauth::table::{Ending, Status};
use crate::forge::oauth::{Failure, Flows, Forge};
use crate::wire::auth::Outcome;
use crate::wire::error::{ApiError, ErrorKind, Kind};
use crate::wire::operator::{Cancel, Flow, Poll, SignIn, SignInStatus, Start, Started};

/// The maximum wait of a poll, in milliseconds.
const LONGEST_WAIT_MS: u64 = 30_000;

impl Operators {
    /// Starts a sign-in at a configured forge.
    ///
    /// # Errors
    /// `unknown_provider`, `invalid_input` or `not_found` for the forge or the flow, `conflict` if too many sign-ins
    /// are in progress, and `refresh_failed` if the forge cannot be asked.
    pub(crate) async fn start(&self, flows: &Flows, params: Start) -> Result<Started, ApiError> {
        let kind = kind(&params.forge_type)?;
        let forge = self.forges.select(kind, params.base_url.as_deref(), params.client_id.as_deref());
        let forge = forge.map_err(unselected)?.clone();
        // The forge may now be able to name the user of an earlier sign-in.
        let operators = self.clone();
        flows.aside(async move { operators.complete_pending().await });
        let begin = flows::Start { owner: OWNER.to_owned(), forge, session: None };
        match params.flow.unwrap_or(Flow::Code) {
            Flow::Code => {
                let started = flows.start_code(&begin).map_err(|error| not_started(&begin.forge, error))?;
                Ok(Started {
                    session_id: started.session_id,
                    auth_url: Some(started.auth_url.into()),
                    device_code: None,
                    verification_url: None,
                })
            }
            Flow::Device => {
                let named = begin.forge.clone();
                let started = flows.start_device(begin).await.map_err(|error| not_started(&named, error))?;
                Ok(Started {
                    session_id: started.session_id,
                    auth_url: None,
                    device_code: Some(started.user_code),
                    verification_url: Some(started.verification_url),
                })
            }
            Flow::Other(_) => Err(ApiError::invalid_input("flow", "is neither code nor device")),
        }
    }
}

/// Returns the state of a sign-in. Waits for it to end if requested.
///
/// # Errors
/// `invalid_input` for a wait that is too long, `not_found` for an unknown sign-in.
pub(crate) async fn poll(flows: &Flows, params: Poll) -> Result<SignIn, ApiError> {
    let wait = params.wait_ms.unwrap_or(0);
    if wait > LONGEST_WAIT_MS {
        return Err(ApiError::invalid_input("waitMs", format!("must be at most {LONGEST_WAIT_MS}")));
    }
    let status = flows.ended(&params.session_id, Duration::from_millis(wait)).await;
    let status = status.ok_or_else(|| ApiError::not_found("session", &params.session_id))?;
    Ok(sign_in(params.session_id, status))
}

/// Cancels a sign-in before its tokens are saved.
pub(crate) fn cancel(flows: &Flows, params: &Cancel) -> Outcome {
    let success = flows.cancel(&params.session_id);
    Outcome {
        success,
        error: (!success).then(|| "no sign-in with this id is waiting for the user".to_owned()),
        error_kind: (!success).then_some(ErrorKind::NotFound),
    }
}

fn not_started(forge: &Forge, error: StartError) -> ApiError {
    match error {
        StartError::NoRedirect => ApiError::invalid_input("flow", error),
        StartError::Full(_) => ApiError::new(Kind::Conflict, error.to_string()),
        StartError::Forge(failure) => match failure {
            Failure::Transient { .. } => ApiError::new(Kind::RefreshFailed, failure.to_string()),
            Failure::Misconfigured(Misconfigured::Scope) => {
                ApiError::invalid_input("flow", forge.scopes_refused(""))
            }
            _ => ApiError::invalid_input("flow", &failure),
        },
    }
}

fn sign_in(session_id: String, status: Status) -> SignIn {
    let mut shown = SignIn {
        session_id,
        status: SignInStatus::Failed,
        account_id: None,
        account_login: None,
        error: None,
        error_kind: None,
        missing_scopes: Vec::new(),
    };
    let (kind, text) = match status {
        Status::Waiting => return SignIn { status: SignInStatus::Pending, ..shown },
        Status::Working => return SignIn { status: SignInStatus::Saving, ..shown },
        Status::Ended(Ending::Success { account, login, missing }) => {
            shown.status = SignInStatus::Success;
            return SignIn {
                account_id: Some(account),
                account_login: login,
                missing_scopes: missing,
                ..shown
            };
        }
        Status::Ended(Ending::Failed { code, text }) => (ErrorKind::from(code), text),
        Status::Ended(Ending::Cancelled) => (ErrorKind::Cancelled, "the sign-in was cancelled".to_owned()),
        Status::Ended(Ending::Superseded) => {
            (ErrorKind::Superseded, "another sign-in at the same forge replaced it".to_owned())
        }
        Status::Ended(Ending::Expired) => {
            (ErrorKind::Expired, "the sign-in was not completed in time".to_owned())
        }
    };
    SignIn { error: Some(text), error_kind: Some(kind), ..shown }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forge::oauth::failure::{PermanentFailure, TransientFailure};

    #[test]
    fn sign_in_failure_is_a_documented_error_kind() {
        let permanent = [
            PermanentFailure::InvalidGrant,
            PermanentFailure::Reused,
            PermanentFailure::Denied,
            PermanentFailure::Expired,
        ]
        .map(Failure::Permanent);
        let misconfigured = [
            Misconfigured::Client,
            Misconfigured::Grant,
            Misconfigured::Scope,
            Misconfigured::RedirectUri,
            Misconfigured::Request,
            Misconfigured::Insecure,
            Misconfigured::NoDeviceFlow,
        ]
        .map(Failure::Misconfigured);
        let transient = Failure::Transient { reason: TransientFailure::NotAGrant, retry_after: None };
        for failure in permanent.into_iter().chain(misconfigured).chain([transient]) {
            let ended = Ending::Failed { code: failure.code(), text: failure.to_string() };
            let kind = sign_in("operator-1".to_owned(), Status::Ended(ended)).error_kind.unwrap();
            assert!(!matches!(kind, ErrorKind::Other(_)), "{kind}");
            assert_eq!(kind.to_string(), failure.code());
        }
    }
}
