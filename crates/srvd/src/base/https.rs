//! The HTTP client for requests to vendors and issuers: HTTP/1.1, this machine's certificate authorities, no redirects,
//! no proxy.

use std::io;

use hyper::body::Body;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// Creates a client. Loading the certificates reads files. Every request uses a separate connection: if a reused
/// connection were closed by the peer at the same moment, it would be unknown whether a token had been spent.
///
/// # Errors
/// The I/O error if this machine has no certificate authorities.
pub(crate) fn client<B>() -> io::Result<Client<HttpsConnector<HttpConnector>, B>>
where
    B: Body + Send,
    B::Data: Send,
{
    let connector = hyper_rustls::HttpsConnectorBuilder::new()
        .with_native_roots()?
        .https_or_http()
        .enable_http1()
        .build();
    Ok(Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector))
}

/// Returns the text of the innermost cause, which says what happened ("Connection refused") without the request.
pub(crate) fn innermost(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
