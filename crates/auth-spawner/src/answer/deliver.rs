//! Delivery of a pasted answer to the CLI.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use http_body_util::Empty;
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use secrecy::{ExposeSecret, SecretString};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use url::{Host, Url};

use super::error::SubmitError;

/// Longest wait for a CLI to take its answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Pause between the text and the Enter key. A TUI that reads them separately needs this time.
const ENTER_PAUSE: Duration = Duration::from_millis(300);

type Stdin = Box<dyn AsyncWrite + Send + Unpin>;

/// A line to type.
pub(crate) struct Typed {
    /// Text to write first.
    pub(crate) before: String,
    pub(crate) text: SecretString,
    /// The byte that the Enter key sends to the CLI.
    pub(crate) enter: u8,
    /// True if the Enter key is sent separately, a moment after the text.
    pub(crate) apart: bool,
}

/// Writes one line and returns the stream.
pub(crate) async fn line(stdin: Stdin, typed: Typed) -> (Option<Stdin>, Result<(), SubmitError>) {
    let Typed { before, text, enter, apart } = typed;
    if !apart {
        // The line is written in one piece, so that it cannot arrive in two halves.
        let line = SecretString::from(format!("{before}{}{}", text.expose_secret(), char::from(enter)));
        return write(stdin, line.expose_secret().as_bytes()).await;
    }
    let text = SecretString::from(format!("{before}{}", text.expose_secret()));
    let (stdin, result) = write(stdin, text.expose_secret().as_bytes()).await;
    let Some(stdin) = stdin.filter(|_| result.is_ok()) else { return (None, result) };
    tokio::time::sleep(ENTER_PAUSE).await;
    write(stdin, &[enter]).await
}

/// Types the keys of a step.
pub(crate) async fn keys(stdin: Stdin, keys: String) -> (Option<Stdin>, Result<(), SubmitError>) {
    write(stdin, keys.as_bytes()).await
}

async fn write(mut stdin: Stdin, bytes: &[u8]) -> (Option<Stdin>, Result<(), SubmitError>) {
    let write = async {
        stdin.write_all(bytes).await?;
        stdin.flush().await
    };
    match tokio::time::timeout(PATIENCE, write).await {
        Ok(Ok(())) => (Some(stdin), Ok(())),
        Ok(Err(error)) => (None, Err(undeliverable(error.kind().to_string()))),
        // Half of the line may be in the pipe, so nothing may follow it.
        Err(_) => (None, Err(undeliverable("the CLI does not read its input"))),
    }
}

fn undeliverable(reason: impl Into<String>) -> SubmitError {
    SubmitError::Undeliverable { reason: reason.into() }
}

/// Calls the CLI's own callback, as the browser would have. A status of 2xx or 3xx means that the CLI took the answer;
/// the target of a redirect does not matter.
///
/// A name (`localhost`) is tried on both address families, because a CLI may listen on one of them only.
pub(crate) async fn callback(url: SecretString) -> Result<(), SubmitError> {
    let url = Url::parse(url.expose_secret()).map_err(|_| undeliverable("not an address"))?;
    let addresses: Vec<IpAddr> = match url.host() {
        Some(Host::Domain(_)) => vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
        Some(Host::Ipv4(address)) => vec![address.into()],
        Some(Host::Ipv6(address)) => vec![address.into()],
        None => Vec::new(),
    };
    let mut failure = undeliverable("the CLI's callback cannot be reached");
    for address in addresses {
        match tokio::time::timeout(PATIENCE, get(&url, address)).await {
            Ok(Ok(status)) if (200..400).contains(&status) => return Ok(()),
            Ok(Ok(status)) => failure = undeliverable(format!("the CLI's callback answered {status}")),
            Ok(Err(Unanswered::Unreachable)) => {}
            Ok(Err(Unanswered::Broken(reason))) => failure = undeliverable(reason),
            Err(_) => failure = undeliverable("the CLI's callback did not answer"),
        }
    }
    Err(failure)
}

/// A call that got no HTTP answer.
enum Unanswered {
    /// No program listens at the address.
    Unreachable,
    /// A program listens at the address, and the call failed for this reason.
    Broken(&'static str),
}

async fn get(url: &Url, address: IpAddr) -> Result<u16, Unanswered> {
    let no_address = || Unanswered::Broken("not an address");
    let port = url.port_or_known_default().ok_or_else(no_address)?;
    let stream =
        TcpStream::connect(SocketAddr::from((address, port))).await.map_err(|_| Unanswered::Unreachable)?;
    let failed = |error: hyper::Error| {
        Unanswered::Broken(if error.is_parse() {
            "the CLI's callback answered something else than HTTP"
        } else {
            "the CLI's callback hung up"
        })
    };
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
    let target = match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    };
    let request = Request::get(target)
        .header("host", format!("{}:{port}", url.host_str().unwrap_or_default()))
        .header("connection", "close")
        .body(Empty::<Bytes>::new())
        .map_err(|_| no_address())?;
    // The connection is driven here rather than in a task of its own, so that it ends with the answer.
    let mut response = std::pin::pin!(sender.send_request(request));
    let response = tokio::select! {
        biased;
        response = &mut response => response,
        // A connection that ended may have delivered the answer just before.
        _ = connection => response.await,
    };
    response.map(|response| response.status().as_u16()).map_err(failed)
}
