//! What a person pasted, checked and brought into the form that the CLI takes.

use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::error::SubmitError;
use crate::recipe::{Delivery, Paste, PasteForm, PasteShape};
use crate::validate::is_loopback;

/// A terminal cuts a line of more than 4095 bytes without a word.
const MAX_BYTES: usize = 4000;

/// How a pasted answer goes to the CLI.
#[derive(Debug)]
pub(crate) enum Answer {
    /// One line on standard input, without its line end.
    Line(SecretString),
    /// A GET to this address.
    Get(SecretString),
}

/// Checks a pasted text against the address that the login printed.
pub(crate) fn interpret(paste: &Paste, auth_url: &str, pasted: &SecretString) -> Result<Answer, SubmitError> {
    let text = pasted.expose_secret().trim_matches([' ', '\t', '\r', '\n']);
    if text.len() > MAX_BYTES {
        return Err(SubmitError::TooLong);
    }
    if text.is_empty() {
        return Err(invalid("the answer is empty"));
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(invalid("the answer must be one line of printable characters without spaces"));
    }
    let expected = Expected::of(auth_url);
    let found = read(paste, &expected, text)?;
    if let (Some(state), Some(expected)) = (&found.state, &expected.state)
        && state != expected
    {
        return Err(SubmitError::WrongState);
    }
    let state = found.state.clone().or_else(|| expected.state.clone());
    let missing = || invalid("the answer has no state and the login has shown none");
    match paste.delivery {
        Delivery::CallbackGet => {
            let mut target = expected.redirect.ok_or_else(|| invalid("the login has shown no callback"))?;
            if target.scheme() != "http" || !is_loopback(&target) {
                return Err(invalid("the login's callback is not on this machine"));
            }
            let state = state.ok_or_else(missing)?;
            target.query_pairs_mut().clear().append_pair("code", &found.code).append_pair("state", &state);
            Ok(Answer::Get(String::from(target).into()))
        }
        Delivery::StdinLine | Delivery::StdinTyped => Ok(Answer::Line(
            match paste.form {
                PasteForm::AsPasted => text.to_owned(),
                PasteForm::Code => found.code,
                PasteForm::CodeState => format!("{}#{}", found.code, state.ok_or_else(missing)?),
            }
            .into(),
        )),
    }
}

fn invalid(reason: &'static str) -> SubmitError {
    SubmitError::Invalid { reason }
}

/// What the login's own address says about the answer to it.
struct Expected {
    redirect: Option<Url>,
    state: Option<String>,
}

impl Expected {
    fn of(auth_url: &str) -> Self {
        let url = Url::parse(auth_url).ok();
        let value = |name: &str| url.as_ref().and_then(|url| parameter(url, name));
        Self {
            redirect: value("redirect_uri").and_then(|redirect| Url::parse(&redirect).ok()),
            state: value("state"),
        }
    }
}

fn parameter(url: &Url, name: &str) -> Option<String> {
    url.query_pairs()
        .find(|(key, value)| key == name && !value.is_empty())
        .map(|(_, value)| value.into_owned())
}

struct Found {
    code: String,
    state: Option<String>,
}

fn read(paste: &Paste, expected: &Expected, text: &str) -> Result<Found, SubmitError> {
    let takes = |shape| paste.shapes.contains(&shape);
    if is_address(text) {
        return if takes(PasteShape::Url) {
            read_url(expected, text)
        } else {
            Err(invalid("an address is not what this login takes"))
        };
    }
    match text.split_once('#') {
        Some((code, state)) if takes(PasteShape::CodeState) => {
            let whole = is_word(code) && is_word(state);
            if whole { Ok(Found { code: code.into(), state: Some(state.into()) }) } else { Err(SHAPE) }
        }
        None if takes(PasteShape::Code) && is_word(text) => Ok(Found { code: text.into(), state: None }),
        _ => Err(SHAPE),
    }
}

/// Whether a text is an address, for a browser or a shell; `file:/x` is one without a host.
fn is_address(text: &str) -> bool {
    let scheme = text.split_once(':').map_or("", |(scheme, _)| scheme);
    let known = ["http", "https", "file", "data", "javascript"];
    text.contains("://") || known.iter().any(|known| scheme.eq_ignore_ascii_case(known))
}

const SHAPE: SubmitError =
    SubmitError::Invalid { reason: "the answer has none of the shapes that this login takes" };

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/=%:|".contains(&byte))
}

fn read_url(expected: &Expected, text: &str) -> Result<Found, SubmitError> {
    let url = Url::parse(text).map_err(|_| invalid("the answer is not a whole address"))?;
    let Some(redirect) = &expected.redirect else { return Err(invalid("the login has shown no callback")) };
    let same = url.scheme() == redirect.scheme()
        && same_host(&url, redirect)
        && url.port_or_known_default() == redirect.port_or_known_default()
        && url.path() == redirect.path()
        && url.username().is_empty()
        && url.password().is_none();
    if !same || !matches!(url.scheme(), "http" | "https") {
        return Err(invalid("the address is not the one that this login ends on"));
    }
    if parameter(&url, "error").is_some() {
        return Err(invalid("the address says that the login was refused"));
    }
    match (parameter(&url, "code"), parameter(&url, "state")) {
        // What the address hides behind percent signs would be typed into a terminal.
        (Some(code), Some(state)) if is_word(&code) && is_word(&state) => {
            Ok(Found { code, state: Some(state) })
        }
        _ => Err(invalid("the address carries no code and state")),
    }
}

/// `localhost` and a loopback address are one host: browsers and CLIs mix them.
fn same_host(left: &Url, right: &Url) -> bool {
    left.host_str() == right.host_str() || (is_loopback(left) && is_loopback(right))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Registry;

    const CLAUDE: &str = "https://claude.com/cai/oauth/authorize?code=true&redirect_uri=https%3A%2F%2Fplatform.claude.com%2Foauth%2Fcode%2Fcallback&state=S-1_x";
    const CODEX: &str = "https://auth.openai.com/oauth/authorize?redirect_uri=http%3A%2F%2F127.0.0.1%3A1455%2Fauth%2Fcallback&state=S-1_x";

    fn answer(provider: &str, url: &str, text: &str) -> Result<String, SubmitError> {
        let registry = Registry::builtin().unwrap();
        let paste = registry.provider(provider).unwrap().recipe("", None).unwrap().paste.unwrap();
        interpret(&paste, url, &SecretString::from(text)).map(|answer| match answer {
            Answer::Line(text) => format!("line {}", text.expose_secret()),
            Answer::Get(url) => format!("get {}", url.expose_secret()),
        })
    }

    #[test]
    fn shapes_become_what_the_cli_takes() {
        let check = |provider: &str, url: &str, text: &str, expected: &str| {
            assert_eq!(answer(provider, url, text).as_deref(), Ok(expected), "{text}");
        };
        check("claude", CLAUDE, "abc#S-1_x", "line abc#S-1_x");
        check("claude", CLAUDE, "  abc#S-1_x\n", "line abc#S-1_x");
        check("claude", CLAUDE, "abc", "line abc#S-1_x");
        let callback = "https://platform.claude.com/oauth/code/callback?code=abc&state=S-1_x";
        check("claude", CLAUDE, callback, "line abc#S-1_x");
        let get = "get http://127.0.0.1:1455/auth/callback?code=abc&state=S-1_x";
        check("codex", CODEX, "http://127.0.0.1:1455/auth/callback?code=abc&state=S-1_x", get);
        check("codex", CODEX, "http://localhost:1455/auth/callback?code=abc&scope=x&state=S-1_x", get);
        check("codex", CODEX, "abc#S-1_x", get);
    }

    #[test]
    fn everything_else_is_refused() {
        let check = |provider: &str, url: &str, text: &str| match answer(provider, url, text) {
            Err(SubmitError::Invalid { .. }) => {}
            other => panic!("{text:?} gave {other:?}"),
        };
        for text in [
            "",
            " \n",
            "a b",
            "a\nb",
            "abc\x03#S-1_x",
            "abc\u{7f}",
            "a\u{202e}b",
            "abc#",
            "#S-1_x",
            "a#b#c",
            "file:/etc/passwd#S-1_x",
            "FILE:x#S-1_x",
            "data:x#S-1_x",
            "https:x#S-1_x",
        ] {
            check("claude", CLAUDE, text);
        }
        check("codex", CODEX, "abc");
        for url in [
            "file:///etc/passwd",
            "javascript://127.0.0.1:1455/auth/callback?code=a&state=S-1_x",
            "http://127.0.0.1:1456/auth/callback?code=a&state=S-1_x",
            "http://127.0.0.1:1455/cancel?code=a&state=S-1_x",
            "http://evil.example:1455/auth/callback?code=a&state=S-1_x",
            "http://u:p@127.0.0.1:1455/auth/callback?code=a&state=S-1_x",
            "https://127.0.0.1:1455/auth/callback?code=a&state=S-1_x",
            "http://127.0.0.1:1455/auth/callback?state=S-1_x",
            "http://127.0.0.1:1455/auth/callback?code=a%0Ab&state=S-1_x",
            "http://127.0.0.1:1455/auth/callback?error=access_denied&state=S-1_x",
        ] {
            check("codex", CODEX, url);
        }
        // A CLI that names a callback elsewhere does not make the daemon call there.
        let far = "https://auth.openai.com/oauth/authorize?redirect_uri=http%3A%2F%2F10.0.0.1%2Fcb&state=S";
        check("codex", far, "abc#S");
    }

    #[test]
    fn state_and_length() {
        assert_eq!(answer("claude", CLAUDE, "abc#other"), Err(SubmitError::WrongState));
        let other = "http://127.0.0.1:1455/auth/callback?code=abc&state=other";
        assert_eq!(answer("codex", CODEX, other), Err(SubmitError::WrongState));
        let text = |length: usize| format!("{}#S-1_x", "a".repeat(length - "#S-1_x".len()));
        assert!(answer("claude", CLAUDE, &text(4000)).is_ok());
        assert_eq!(answer("claude", CLAUDE, &text(4001)), Err(SubmitError::TooLong));
    }
}
