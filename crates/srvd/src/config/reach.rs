//! Checks of the values of `Host` that the operator allows. A value that no request can have is an error.

use std::net::{IpAddr, SocketAddr};

use super::{ConfigError, invalid};
use crate::base::origin::split_port;

/// Checks each value of a list.
pub(super) fn each(
    name: &str,
    values: Vec<String>,
    check: impl Fn(&str) -> Result<(), String>,
) -> Result<Vec<String>, ConfigError> {
    values.iter().try_for_each(|value| check(value)).map_err(|reason| invalid(name, reason))?;
    Ok(values)
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

/// Reads the address of the TCP listener; `None` for `off`.
///
/// # Errors
/// The reason why the address cannot be used.
pub(super) fn listener(text: &str) -> Result<Option<SocketAddr>, ConfigError> {
    if text == "off" {
        return Ok(None);
    }
    let address: SocketAddr = text
        .parse()
        .map_err(|_| invalid("listen.tcp", "must be ADDRESS:PORT with a literal address, or off"))?;
    if !address.ip().is_loopback() || matches!(address.ip(), IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some())
    {
        return Err(invalid(
            "listen.tcp",
            format!("{} is not a loopback address; srvd serves this machine only", address.ip()),
        ));
    }
    Ok(Some(address))
}

#[cfg(test)]
mod tests {
    use super::*;

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
