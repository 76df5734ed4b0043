//! The response of `POST /pair`, after the access checks.

use hyper::StatusCode;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::json;

use super::respond::{self, HttpResponse};
use crate::hint::Step;
use crate::pairing::{Clients, Refused, Who};
use crate::wire::SecretInput;

/// The body of the request.
#[derive(Deserialize)]
struct Exchange {
    /// The six digits.
    code: SecretInput,
    /// The name that the client gives itself.
    name: String,
}

/// Exchanges the code for a token, once the person at the terminal has agreed.
pub(super) async fn exchange(clients: &Clients, body: &[u8], origin: Option<String>) -> HttpResponse {
    let Ok(Exchange { code, name }) = serde_json::from_slice(body) else {
        return refusal(Refused::InvalidName);
    };
    let code: SecretString = code.into_secret();
    match clients.exchange(code, Who { name, origin }).await {
        Ok(paired) => {
            let body = json!({
                "token": paired.token.expose_secret(), "tokenId": paired.id.as_str(), "name": paired.name,
                "scopes": paired.scopes.list(),
            });
            respond::json(StatusCode::OK, body.to_string())
        }
        Err(refused) => refusal(refused),
    }
}

fn refusal(refused: Refused) -> HttpResponse {
    let (status, kind, step) = match refused {
        Refused::InvalidName => (StatusCode::BAD_REQUEST, "invalid_params", Step::SendCode),
        Refused::WrongCode(left) => (StatusCode::FORBIDDEN, "wrong_code", Step::AttemptsLeft { left }),
        Refused::TooManyCodes => (StatusCode::GONE, "too_many_codes", Step::PairAgain),
        Refused::NoPairing => (StatusCode::GONE, "no_pairing", Step::PairAgain),
        Refused::Denied => (StatusCode::FORBIDDEN, "denied", Step::AnswerYes),
        Refused::Failed => (StatusCode::SERVICE_UNAVAILABLE, "store_unavailable", Step::RetryLater),
    };
    respond::failure(status, kind, step)
}
