//! Checks of the values of `Host` and `Origin` that the operator allows. A value that no request can have is an error.

use super::{ConfigError, invalid};

/// Checks each value of a list.
pub(super) fn each(
    name: &str,
    values: Vec<String>,
    check: impl Fn(&str) -> Result<(), String>,
) -> Result<Vec<String>, ConfigError> {
    values.iter().try_for_each(|value| check(value)).map_err(|reason| invalid(name, reason))?;
    Ok(values)
}

/// Checks a value of `listen.origins`.
///
/// # Errors
/// The reason, with the right form if there is one.
pub(super) fn check_origin(text: &str) -> Result<(), String> {
    let form = "an origin has the form scheme://host or scheme://host:port";
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err(match text {
            "*" | "null" => format!("{text} would allow every web page; {form}"),
            _ => format!("{text} has no scheme; {form}"),
        });
    };
    let in_scheme = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    if !scheme.starts_with(|first: char| first.is_ascii_alphabetic()) || !scheme.bytes().all(in_scheme) {
        return Err(format!("{text} has no valid scheme; {form}"));
    }
    let bare = rest.trim_end_matches('/');
    let right = format!("{}://{}", scheme.to_ascii_lowercase(), bare.to_ascii_lowercase());
    if rest == "*" {
        return match scheme.to_ascii_lowercase().as_str() {
            "http" | "https" | "file" => Err(format!(
                "{text} would allow every web page; name the host. Only schemes of applications, such as vscode-webview://*, allow any host"
            )),
            lower if lower != scheme => Err(format!("{text} can never match; write {right}")),
            _ => Ok(()),
        };
    }
    if bare.is_empty() || bare.contains(['/', '?', '#', '@', '*']) || bare.contains(char::is_whitespace) {
        return Err(format!("{text} is not an origin; {form}"));
    }
    let (host, port) = split_port(bare);
    if host.is_empty() || port.is_some_and(|port| port.parse::<u16>().is_err()) {
        return Err(format!("{text} is not an origin; {form}"));
    }
    let usual =
        matches!((scheme.to_ascii_lowercase().as_str(), port), ("http", Some("80")) | ("https", Some("443")));
    let right = if usual {
        format!("{}://{}", scheme.to_ascii_lowercase(), host.to_ascii_lowercase())
    } else {
        right
    };
    if right == text {
        Ok(())
    } else {
        Err(format!("{text} can never match, because browsers send {right}; write that"))
    }
}

/// Checks a value of `listen.hosts`.
///
/// # Errors
/// The reason, with the right form.
pub(super) fn check_host(text: &str) -> Result<(), String> {
    let (host, port) = split_port(text);
    let bad = |c: char| c.is_whitespace() || "/?#@*,".contains(c);
    if host.is_empty() || host.contains(bad) || port.is_some_and(|port| port.parse::<u16>().is_err()) {
        return Err(format!("{text} is not a value of the Host header; write name:port, without a scheme"));
    }
    Ok(())
}

/// Splits a port off. The colons of an IPv6 address are in brackets.
fn split_port(text: &str) -> (&str, Option<&str>) {
    let after_address = text.rfind(']').map_or(0, |end| end + 1);
    match text.rfind(':').filter(|colon| *colon >= after_address) {
        Some(colon) => (&text[..colon], Some(&text[colon + 1..])),
        None => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origin_is_accepted_only_in_the_form_that_browsers_send() {
        let check = |text: &str, expect: Result<(), &str>| match (check_origin(text), expect) {
            (Ok(()), Ok(())) => {}
            (Err(reason), Err(part)) => assert!(reason.contains(part), "{reason:?} should contain {part:?}"),
            (got, expect) => panic!("{text}: {got:?}, not {expect:?}"),
        };
        for good in [
            "http://localhost:3000",
            "https://app.example",
            "https://[::1]:8443",
            "app://srvd",
            "vscode-webview://*",
            "tauri://localhost",
            "chrome-extension://abcdef",
        ] {
            check(good, Ok(()));
        }
        check("http://localhost:3000/", Err("browsers send http://localhost:3000; write that"));
        check("https://App.Example", Err("browsers send https://app.example; write that"));
        check("https://app.example:443", Err("browsers send https://app.example; write that"));
        check("http://app.example:80/", Err("browsers send http://app.example; write that"));
        check("VSCODE-WEBVIEW://*", Err("write vscode-webview://*"));
        for every in ["http://*", "https://*", "file://*", "*", "null"] {
            check(every, Err("would allow every web page"));
        }
        check("localhost:3000", Err("has no scheme"));
        for bad in [
            "http://",
            "http://:1",
            "http://a:99999",
            "http://a/b",
            "http://a?b",
            "http://u@a",
            "http://*.a",
            "http://a b",
        ] {
            check(bad, Err("is not an origin"));
        }
        check("1http://a", Err("no valid scheme"));
    }

    #[test]
    fn host_is_a_name_with_or_without_a_port() {
        for good in ["srvd.test", "srvd.test:8080", "localhost:3000", "[::1]:80", "[::1]"] {
            assert_eq!(check_host(good), Ok(()), "{good}");
        }
        for bad in ["", ":80", "http://a", "a:b", "a/", "*", "a b", "a:99999"] {
            assert!(check_host(bad).unwrap_err().contains("write name:port"), "{bad}");
        }
    }
}
