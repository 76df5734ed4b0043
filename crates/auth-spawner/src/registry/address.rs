//! Rules for URLs that keys and tokens may be sent to.

/// Checks a URL that a key may be sent to: https, or http on a loopback address; without a user name, a password,
/// a query or a fragment. Returns it without a slash at its end.
///
/// # Errors
/// Returns the problem with the URL, in a few words.
pub fn base_url(text: &str) -> Result<&str, &'static str> {
    let text = text.trim_end_matches('/');
    let url = url::Url::parse(text).map_err(|_| "is not an address")?;
    if url.scheme() != "https" && !(url.scheme() == "http" && is_loopback(&url)) {
        return Err("must be an https address (http on a loopback address)");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not contain a user name or a password");
    }
    if url.query().is_some() || url.fragment().is_some() || !text.bytes().all(|byte| byte.is_ascii_graphic())
    {
        return Err("must be an address without a query and a fragment, in ASCII");
    }
    Ok(text)
}

/// Returns whether a URL is on this machine.
pub(crate) fn is_loopback(url: &url::Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_url_rejects_plain_http_credentials_query_and_fragment() {
        let check = |text: &str, expect: Result<&str, &str>| assert_eq!(base_url(text), expect, "{text}");
        check("https://a.test/v1/", Ok("https://a.test/v1"));
        check("http://127.0.0.1:8080", Ok("http://127.0.0.1:8080"));
        check("http://a.test", Err("must be an https address (http on a loopback address)"));
        check("ftp://127.0.0.1", Err("must be an https address (http on a loopback address)"));
        check("https://u:p@a.test", Err("must not contain a user name or a password"));
        check("https://a.test?key=1", Err("must be an address without a query and a fragment, in ASCII"));
        check("https://a.test/\n", Err("must be an address without a query and a fragment, in ASCII"));
        check("a.test", Err("is not an address"));
    }
}
