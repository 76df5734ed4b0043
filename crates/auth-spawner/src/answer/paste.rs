//! Validates a pasted answer against the URL of its login and converts it to the form the CLI expects.
//!
//! Most CLIs do not check the `state` of a pasted answer, so pasting a code obtained by someone else would log the user
//! in to that person's account. This module performs the check instead. If the URL has no `state`, there is nothing to
//! check against; a recipe whose answers contain a state then rejects every pasted answer, in any format.

use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::error::SubmitError;
use crate::registry::{Delivery, Paste, PasteForm, PasteShape, is_loopback};

/// The maximum length of an answer. Terminals silently truncate lines longer than 4095 bytes.
const MAX_BYTES: usize = 4000;

/// The form in which a pasted answer is sent to the CLI.
#[derive(Debug)]
pub(crate) enum Answer {
    /// One line on standard input, without its line ending.
    Line(SecretString),
    /// A GET request to this URL.
    Get(SecretString),
}

/// Returns whether a login that shows this URL accepts a pasted answer.
pub(crate) fn is_taken(paste: &Paste, auth_url: &str) -> bool {
    let expected = Expected::of(auth_url);
    expected.ties(paste).is_ok() && (paste.delivery != Delivery::CallbackGet || expected.callback().is_ok())
}

/// Validates a pasted text against the URL that the login printed.
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
    let state = expected.ties(paste)?;
    let found = read(paste, &expected, text)?;
    if found.state.as_deref().is_some_and(|found| found != state) {
        return Err(SubmitError::WrongState);
    }
    match paste.delivery {
        Delivery::CallbackGet => {
            let mut target = expected.callback()?.clone();
            let mut query = target.query_pairs_mut();
            query
                .clear()
                .append_pair("code", &found.code)
                .append_pair("state", state)
                .extend_pairs(found.carried);
            drop(query);
            Ok(Answer::Get(String::from(target).into()))
        }
        Delivery::StdinLine | Delivery::StdinTyped => Ok(Answer::Line(
            match paste.form {
                PasteForm::AsPasted => text.to_owned(),
                PasteForm::Code => found.code,
                PasteForm::CodeState => format!("{}#{state}", found.code),
            }
            .into(),
        )),
    }
}

impl Paste {
    /// Returns the parameters that are missing from the login's URL and that an answer must match: `state`, and also
    /// `redirect_uri` if the user may paste a URL or the CLI's callback is called.
    #[must_use]
    pub fn missing_parameters(&self, auth_url: &str) -> Vec<&'static str> {
        let expected = Expected::of(auth_url);
        let redirects = self.shapes.contains(&PasteShape::Url) || self.delivery == Delivery::CallbackGet;
        let missing = [
            ("state", carries_state(self) && expected.state.is_none()),
            ("redirect_uri", redirects && expected.redirect.is_none()),
        ];
        missing.into_iter().filter(|(_, missing)| *missing).map(|(name, _)| name).collect()
    }
}

/// Returns whether an answer to this recipe includes the login's state, either in the pasted text or in the form sent
/// to the CLI.
fn carries_state(paste: &Paste) -> bool {
    paste.shapes.iter().any(|shape| *shape != PasteShape::Code)
        || paste.form == PasteForm::CodeState
        || paste.delivery == Delivery::CallbackGet
}

fn invalid(reason: &'static str) -> SubmitError {
    SubmitError::Invalid { reason }
}

/// The parts of the login URL that an answer must match.
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

    /// Returns the state that ties an answer to this login, or an empty string if the recipe's answers contain none.
    fn ties(&self, paste: &Paste) -> Result<&str, SubmitError> {
        match &self.state {
            Some(state) => Ok(state),
            None if carries_state(paste) => Err(invalid(
                "the login URL has no state parameter, so an answer to a different login could not be detected; \
                 finish the login in the browser, or update srvd",
            )),
            None => Ok(""),
        }
    }

    /// Returns the URL of the CLI's own listener.
    fn callback(&self) -> Result<&Url, SubmitError> {
        let redirect = self.redirect.as_ref().ok_or_else(|| invalid("the login URL contains no callback"))?;
        let near = redirect.scheme() == "http" && is_loopback(redirect);
        if near { Ok(redirect) } else { Err(invalid("the login's callback is not on this machine")) }
    }
}

/// Returns the value of a parameter, or `None` if it occurs twice, because two parsers could choose different values.
fn parameter(url: &Url, name: &str) -> Option<String> {
    let mut values = url.query_pairs().filter(|(key, _)| key == name).map(|(_, value)| value);
    match (values.next(), values.next()) {
        (Some(value), None) if !value.is_empty() => Some(value.into_owned()),
        _ => None,
    }
}

struct Found {
    code: String,
    state: Option<String>,
    /// Further parameters for the CLI's callback.
    carried: Vec<(String, String)>,
}

impl Found {
    fn new(code: &str, state: Option<&str>) -> Self {
        Self { code: code.to_owned(), state: state.map(str::to_owned), carried: Vec::new() }
    }
}

fn read(paste: &Paste, expected: &Expected, text: &str) -> Result<Found, SubmitError> {
    let takes = |shape| paste.shapes.contains(&shape);
    if is_address(text) {
        return if takes(PasteShape::Url) {
            read_url(paste, expected, text)
        } else {
            Err(invalid("this login does not accept a URL; paste the code instead"))
        };
    }
    match text.split_once('#') {
        Some((code, state)) if takes(PasteShape::CodeState) => {
            let whole = is_word(code) && is_word(state);
            if whole { Ok(Found::new(code, Some(state))) } else { Err(SHAPE) }
        }
        None if takes(PasteShape::Code) && is_word(text) => Ok(Found::new(text, None)),
        _ => Err(SHAPE),
    }
}

/// Returns whether a text is a URL that a browser or shell could open. `file:/x` is one without a host.
fn is_address(text: &str) -> bool {
    let scheme = text.split_once(':').map_or("", |(scheme, _)| scheme);
    let known = ["http", "https", "file", "data", "javascript"];
    text.contains("://") || known.iter().any(|known| scheme.eq_ignore_ascii_case(known))
}

const SHAPE: SubmitError =
    SubmitError::Invalid { reason: "the answer has no format that this login accepts" };

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/=%:|".contains(&byte))
}

fn read_url(paste: &Paste, expected: &Expected, text: &str) -> Result<Found, SubmitError> {
    let url = Url::parse(text).map_err(|_| invalid("the answer is not a complete URL"))?;
    let Some(redirect) = &expected.redirect else {
        return Err(invalid(
            "the login URL contains no callback, so a pasted URL cannot be checked; paste the code instead",
        ));
    };
    let same = url.scheme() == redirect.scheme()
        && same_host(&url, redirect)
        && url.port_or_known_default() == redirect.port_or_known_default()
        && url.path() == redirect.path()
        && url.username().is_empty()
        && url.password().is_none();
    if !same || !matches!(url.scheme(), "http" | "https") {
        return Err(invalid("the URL is not this login's callback"));
    }
    if url.query_pairs().any(|(key, _)| key == "error") {
        return Err(invalid("the URL reports that the login was denied"));
    }
    // Check the decoded values, because those would be typed into a terminal.
    let given = |name: &str| parameter(&url, name).filter(|value| is_word(value));
    let (Some(code), Some(state)) = (given("code"), given("state")) else {
        return Err(invalid("the URL is missing its code or state"));
    };
    let carried = paste.carry.iter().map(|name| Some((name.clone(), given(name)?)));
    match carried.collect() {
        Some(carried) => Ok(Found { carried, ..Found::new(&code, Some(&state)) }),
        None => Err(invalid("the URL lacks a part; paste it as the browser shows it")),
    }
}

/// Returns whether two URLs have the same host. `localhost` and a loopback address count as the same host, because
/// browsers and CLIs mix them.
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
    fn paste_is_converted_to_the_form_the_cli_expects() {
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
    fn paste_carries_the_parameters_that_the_callback_needs() {
        let page = "https://auth.augmentcode.com/authorize?state=S-1_x&redirect_uri=http%3A%2F%2F127.0.0.1%3A4000%2Fcallback";
        let callback = "http://127.0.0.1:4000/callback?code=abc&state=S-1_x";
        let tenant = "&tenant_url=https%3A%2F%2Fe1.api.augmentcode.com%2F";
        let pasted = answer("auggie", page, &format!("{callback}{tenant}&other=1"));
        assert_eq!(pasted.as_deref(), Ok(format!("get {callback}{tenant}").as_str()));
        for text in [
            callback,
            &format!("{callback}&tenant_url="),
            &format!("{callback}{tenant}{tenant}"),
            "abc#S-1_x",
        ] {
            let refused = matches!(answer("auggie", page, text), Err(SubmitError::Invalid { .. }));
            assert!(refused, "{text}");
        }
    }

    #[test]
    fn paste_is_rejected_when_malformed_or_for_another_callback() {
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
        // A CLI that names a callback on another machine must not make the daemon call it.
        let far = "https://auth.openai.com/oauth/authorize?redirect_uri=http%3A%2F%2F10.0.0.1%2Fcb&state=S";
        check("codex", far, "abc#S");
    }

    #[test]
    fn paste_is_rejected_when_its_state_differs_or_it_is_too_long() {
        assert_eq!(answer("claude", CLAUDE, "abc#other"), Err(SubmitError::WrongState));
        let other = "http://127.0.0.1:1455/auth/callback?code=abc&state=other";
        assert_eq!(answer("codex", CODEX, other), Err(SubmitError::WrongState));
        let text = |length: usize| format!("{}#S-1_x", "a".repeat(length - "#S-1_x".len()));
        assert!(answer("claude", CLAUDE, &text(4000)).is_ok());
        assert_eq!(answer("claude", CLAUDE, &text(4001)), Err(SubmitError::TooLong));
    }

    /// Returns every built-in recipe that accepts a paste, with its name.
    fn recipes() -> Vec<(String, Paste)> {
        let registry = Registry::builtin().unwrap();
        let recipes = registry.iter().flat_map(|provider| {
            let recipes = provider.cli.iter().flat_map(|cli| &cli.recipes);
            recipes
                .filter_map(|recipe| Some((format!("{} {}", provider.id, recipe.id), recipe.paste.clone()?)))
        });
        recipes.collect()
    }

    fn forms(state: &str) -> [String; 4] {
        [
            format!("http://127.0.0.1:1455/auth/callback?code=abc&state={state}"),
            format!("http://127.0.0.1:1455/auth/callback?code=abc&state={state}&state=S-1_x"),
            format!("abc#{state}"),
            "abc".to_owned(),
        ]
    }

    #[test]
    fn paste_is_rejected_in_every_format_when_the_url_has_no_state() {
        let addresses = [
            "https://claude.ai/oauth/authorize?z-abc",
            "https://a.test/authorize?redirect_uri=http%3A%2F%2F127.0.0.1%3A1455%2Fauth%2Fcallback",
            "https://a.test/authorize?redirect_uri=http%3A%2F%2F127.0.0.1%3A1455%2Fauth%2Fcallback&state=",
            "https://a.test/authorize?redirect_uri=http%3A%2F%2F127.0.0.1%3A1455%2Fauth%2Fcallback&state=a&state=S-1_x",
        ];
        let mut carrying = 0;
        for (name, paste) in recipes() {
            if !carries_state(&paste) {
                assert_eq!(paste.shapes, [PasteShape::Code], "{name}");
                continue;
            }
            carrying += 1;
            for (address, text) in
                addresses.iter().flat_map(|address| forms("S-1_x").map(|text| (address, text)))
            {
                let answer = interpret(&paste, address, &SecretString::from(text.as_str()));
                assert!(
                    matches!(answer, Err(SubmitError::Invalid { .. })),
                    "{name} accepted {text} for {address}"
                );
                assert!(!is_taken(&paste, address), "{name} offers a paste for {address}");
                assert!(paste.missing_parameters(address).contains(&"state"), "{name}: {address}");
            }
        }
        assert!(carrying > 10, "too few built-in recipes were tested: {carrying}");
    }

    #[test]
    fn paste_is_rejected_in_every_format_when_its_state_differs() {
        for (name, paste) in recipes().into_iter().filter(|(_, paste)| carries_state(paste)) {
            assert!(is_taken(&paste, CODEX), "{name}");
            for text in &forms("S-other")[..3] {
                let answer = interpret(&paste, CODEX, &SecretString::from(text.as_str()));
                assert!(answer.is_err(), "{name} accepted {text}");
            }
            let carried: Vec<String> = paste.carry.iter().map(|name| format!("&{name}=x")).collect();
            let carried = carried.concat();
            let whole = SecretString::from(format!("{}{carried}", forms("S-1_x")[0]));
            let whole = interpret(&paste, CODEX, &whole);
            assert_eq!(whole.is_ok(), paste.shapes.contains(&PasteShape::Url), "{name}");
        }
    }
}
