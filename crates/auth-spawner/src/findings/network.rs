//! Recognizes the errors by which CLIs report that they did not reach their vendor.

/// Parts of such errors, in lower case: of Rust's reqwest, of Node and Bun, of Go, of Python and of curl.
const WORDS: &[&str] = &[
    "error sending request",
    "enotfound",
    "eai_again",
    "econnrefused",
    "econnreset",
    "etimedout",
    "enetunreach",
    "ehostunreach",
    "getaddrinfo",
    "fetch failed",
    "failed to fetch",
    "unable to connect",
    "connection refused",
    "connection reset",
    "connection timed out",
    "network is unreachable",
    "network error",
    "no such host",
    "dial tcp",
    "i/o timeout",
    "could not resolve",
    "failed to resolve",
    "dns error",
    "name or service not known",
    "temporary failure in name resolution",
    "max retries exceeded",
    "proxy",
    "self-signed certificate",
    "self signed certificate",
    "unable to get local issuer certificate",
    "unable_to_get_issuer_cert",
    "unable to verify the first certificate",
    "certificate verify failed",
    "certificate signed by unknown authority",
    "unknownissuer",
    "invalid peer certificate",
];

/// Returns whether an error text of a CLI says that it did not reach its vendor, or did not trust the certificate.
pub fn names_network(text: &str) -> bool {
    let text = text.to_lowercase();
    WORDS.iter().any(|word| text.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_errors_of_real_clis_are_recognized() {
        for text in [
            "Error logging in with device code: error sending request for url (https://auth.openai.com/x)",
            "TypeError: fetch failed",
            "getaddrinfo ENOTFOUND api.anthropic.com",
            "connect ECONNREFUSED 127.0.0.1:443",
            "Post \"https://github.com/login/device/code\": dial tcp: lookup github.com: no such host",
            "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
            "self-signed certificate in certificate chain",
            "invalid peer certificate: UnknownIssuer",
        ] {
            assert!(names_network(text), "{text}");
        }
        for text in ["the CLI ended with an error: invalid grant", "Denied", "access_denied", ""] {
            assert!(!names_network(text), "{text}");
        }
    }
}
