//! Origins of web pages (RFC 6454): the form of one that is allowed, and its comparison with that of a request.

/// Checks an origin that is to be allowed: a value of `listen.origins` or of `srvd pair --origin`.
///
/// # Errors
/// The reason, with the right form if there is one.
pub(crate) fn check(text: &str) -> Result<(), String> {
    let form = "an origin has the form scheme://host or scheme://host:port";
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err(match text {
            "null" => String::from(
                "null is the origin of every local file and of every sandboxed frame, so it would allow any page; serve the page by HTTP, or let it pair with a token from a program",
            ),
            "*" => format!("{text} would allow every web page; {form}"),
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

/// Returns whether an allowed value matches an origin. `scheme://*` matches every host of the scheme.
pub(crate) fn matches(known: &str, origin: &str) -> bool {
    let Some(scheme) = known.strip_suffix('*') else { return known == origin };
    let in_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    origin.strip_prefix(scheme).is_some_and(|host| !host.is_empty() && host.bytes().all(in_host))
}

/// Splits a port off. The colons of an IPv6 address are in brackets.
pub(crate) fn split_port(text: &str) -> (&str, Option<&str>) {
    let after_address = text.rfind(']').map_or(0, |end| end + 1);
    match text.rfind(':').filter(|colon| *colon >= after_address) {
        Some(colon) => (&text[..colon], Some(&text[colon + 1..])),
        None => (text, None),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn origin_is_accepted_only_in_the_form_that_browsers_send() {
        let check = |text: &str, expect: Result<(), &str>| match (super::check(text), expect) {
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
            check(every, Err("would allow"));
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
}
