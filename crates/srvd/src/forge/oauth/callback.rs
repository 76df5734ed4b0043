//! The browser's request to `GET /oauth/callback`, and the page that answers it. The page contains no part of the
//! request: no code and no state. A forge's text is shown only where it refuses a scope, and never as markup.

use hyper::StatusCode;
use secrecy::SecretString;

use super::scopes::quoted;
use super::table::StateInvalid;

/// The path of the redirect URL.
pub(crate) const PATH: &str = "/oauth/callback";
/// The path to which a browser returns after a user's login at a provider.
pub(crate) const LOGIN_PATH: &str = "/oauth/login";
/// The length of a `state`: 32 bytes in base64url.
const STATE: usize = 43;
/// The maximum length of a code, in bytes.
const CODE: usize = 2048;

/// A well-formed callback.
#[derive(Debug)]
pub(crate) struct CallbackQuery {
    /// The `state`, which identifies the login.
    pub state: SecretString,
    /// The code, or the forge's error code and text.
    pub answer: Result<SecretString, (String, String)>,
    /// The issuer named in the callback (RFC 9207).
    pub issuer: Option<String>,
}

impl CallbackQuery {
    /// Parses the query, which must contain one `state`, and one `code` or `error`. Other parameters are ignored (RFC
    /// 6749, 4.1.2).
    pub(crate) fn parse(query: &str) -> Option<Self> {
        let only = |name: &str| {
            let mut values = url::form_urlencoded::parse(query.as_bytes()).filter(|(key, _)| key == name);
            match (values.next(), values.next()) {
                (Some((_, value)), None) => Ok(Some(value.into_owned())),
                (None, _) => Ok(None),
                (Some(_), Some(_)) => Err(()),
            }
        };
        let state = only("state").ok()??;
        let safe = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if state.len() != STATE || !state.bytes().all(safe) {
            return None;
        }
        let answer = match (only("code").ok()?, only("error").ok()?) {
            (Some(code), None) => {
                let visible =
                    (1..=CODE).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_graphic());
                Ok(SecretString::from(visible.then_some(code)?))
            }
            (None, Some(error)) => Err((error, only("error_description").ok()?.unwrap_or_default())),
            _ => return None,
        };
        Some(Self { state: state.into(), answer, issuer: only("iss").ok()? })
    }
}

/// The page shown in the browser.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Page {
    /// The tokens have been committed.
    SignedIn {
        /// The requested scopes that the forge did not grant.
        missing: Vec<String>,
    },
    /// The tokens have been committed, but the forge has not named their owner.
    Unnamed,
    /// The request is not a callback.
    Malformed,
    /// No login from this browser is waiting for the callback.
    NotAwaited(StateInvalid),
    /// The user or the forge denied the sign-in.
    Denied,
    /// The forge refused a scope. The text names it and the next step.
    Refused(String),
    /// The forge's answer did not lead to a saved login. The daemon's client shows the reason.
    Failed,
}

impl Page {
    /// The HTTP status.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::SignedIn { .. } | Self::Unnamed => StatusCode::OK,
            Self::Malformed | Self::NotAwaited(_) | Self::Denied | Self::Refused(_) => {
                StatusCode::BAD_REQUEST
            }
            Self::Failed => StatusCode::BAD_GATEWAY,
        }
    }

    /// The complete HTML document. It is fixed text, except for the scopes that the forge refused.
    pub(crate) fn html(&self) -> String {
        let refused;
        let (title, text) = match self {
            Self::SignedIn { missing } if !missing.is_empty() => {
                refused = format!(
                    "The forge did not grant {}. You can close this window.",
                    escaped(&quoted(missing))
                );
                ("You are signed in", refused.as_str())
            }
            Self::SignedIn { .. } => ("You are signed in", "You can close this window."),
            Self::Refused(reason) => {
                refused = escaped(&capitalized(reason));
                ("Not signed in", refused.as_str())
            }
            Self::Unnamed => (
                "Almost signed in",
                "The forge did not return your identity. The sign-in has been saved and will be completed when the forge returns it.",
            ),
            Self::Malformed => ("Nothing to do here", "A forge opens this page at the end of a sign-in."),
            Self::NotAwaited(StateInvalid::Expired) => {
                ("Sign-in expired", "This sign-in has expired. Please start it again.")
            }
            Self::NotAwaited(StateInvalid::WrongSession) => (
                "Different browser",
                "This sign-in was started in another browser session. Please finish it there.",
            ),
            Self::NotAwaited(StateInvalid::Unknown) => (
                "No sign-in in progress",
                "No sign-in is waiting for this answer. It may already have been used. Please start again.",
            ),
            Self::Denied => ("Not signed in", "The sign-in was denied. You can close this window."),
            Self::Failed => {
                ("Not signed in", "The sign-in could not be completed. Your client shows the reason.")
            }
        };
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}</title>\n\
             <h1>{title}</h1>\n<p>{text}</p>\n</html>\n"
        )
    }
}

/// Returns a text with its first letter as a capital.
fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// Returns a text that a page shows as it is.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

#[cfg(test)]
mod tests;
