//! The client for requests to vendors and issuers: HTTP/1.1 by this machine's certificate authorities, no redirects,
//! no proxy.

use std::io;
use std::time::Duration;

use hyper::body::Body;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

/// How long a connection that nobody uses is kept.
const IDLE: Duration = Duration::from_secs(20);

/// A client that keeps at most this many idle connections to each host. Loading the certificates reads files.
///
/// # Errors
/// The I/O error when this machine has no certificate authorities.
pub(crate) fn client<B>(idle: usize) -> io::Result<Client<HttpsConnector<HttpConnector>, B>>
where
    B: Body + Send,
    B::Data: Send,
{
    let connector = hyper_rustls::HttpsConnectorBuilder::new()
        .with_native_roots()?
        .https_or_http()
        .enable_http1()
        .build();
    let mut builder = Client::builder(TokioExecutor::new());
    builder.pool_max_idle_per_host(idle).pool_idle_timeout(IDLE).pool_timer(TokioTimer::new());
    Ok(builder.build(connector))
}

/// The innermost cause, which names what happened ("Connection refused") without the request.
pub(crate) fn innermost(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
