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

/// The maximum time for a CLI to read its answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The pause between the text and the Enter key. Some TUIs need it to read the two separately.
const ENTER_PAUSE: Duration = Duration::from_millis(300);

/// The CLI's standard input.
pub(crate) type Stdin = Box<dyn AsyncWrite + Send + Unpin>;

/// The result of a delivery.
pub(crate) struct Delivered {
    /// The CLI's input, or `None` if the delivery did not use it or nothing more can be written to it.
    pub(crate) stdin: Option<Stdin>,
    pub(crate) result: Result<(), SubmitError>,
}

/// A line to type.
pub(crate) struct Typed {
    /// Text to write first.
    pub(crate) before: String,
    pub(crate) text: SecretString,
    /// The byte that the Enter key sends to the CLI.
    pub(crate) enter: u8,
    /// True if the Enter key is sent separately, shortly after the text.
    pub(crate) apart: bool,
}

/// Writes one line and returns the stream.
pub(crate) async fn line(stdin: Stdin, typed: Typed) -> Delivered {
    let Typed { before, text, enter, apart } = typed;
    if !apart {
        // Write the whole line at once so that it cannot be split.
        let line = SecretString::from(format!("{before}{}{}", text.expose_secret(), char::from(enter)));
        return write(stdin, line.expose_secret().as_bytes()).await;
    }
    let text = SecretString::from(format!("{before}{}", text.expose_secret()));
    match write(stdin, text.expose_secret().as_bytes()).await {
        Delivered { stdin: Some(stdin), result: Ok(()) } => {
            tokio::time::sleep(ENTER_PAUSE).await;
            write(stdin, &[enter]).await
        }
        failed => failed,
    }
}

/// Types the keystrokes of a step.
pub(crate) async fn keys(stdin: Stdin, keys: String) -> Delivered {
    write(stdin, keys.as_bytes()).await
}

async fn write(mut stdin: Stdin, bytes: &[u8]) -> Delivered {
    let write = async {
        stdin.write_all(bytes).await?;
        stdin.flush().await
    };
    match tokio::time::timeout(PATIENCE, write).await {
        Ok(Ok(())) => Delivered { stdin: Some(stdin), result: Ok(()) },
        Ok(Err(error)) => Delivered {
            stdin: None,
            result: Err(undeliverable(format!("writing to the CLI's input failed: {}", error.kind()))),
        },
        // Part of the line may already be in the pipe, so nothing may follow it.
        Err(_) => Delivered { stdin: None, result: Err(undeliverable("the CLI is not reading its input")) },
    }
}

fn undeliverable(reason: impl Into<String>) -> SubmitError {
    SubmitError::Undeliverable { reason: reason.into() }
}

/// Calls the CLI's own callback, as the browser would have done. A 2xx or 3xx status means that the CLI accepted the
/// answer; the target of a redirect does not matter.
///
/// A host name (`localhost`) is tried with both IPv4 and IPv6, because a CLI may listen on only one of them.
pub(crate) async fn callback(url: SecretString) -> Delivered {
    Delivered { stdin: None, result: call(url).await }
}

async fn call(url: SecretString) -> Result<(), SubmitError> {
    let url =
        Url::parse(url.expose_secret()).map_err(|_| undeliverable("the callback is not a valid URL"))?;
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
            Ok(Err(Unanswered::CommandError(reason))) => failure = undeliverable(reason),
            Err(_) => failure = undeliverable("the CLI's callback did not answer"),
        }
    }
    Err(failure)
}

/// A callback request that received no HTTP response.
enum Unanswered {
    /// Nothing is listening at the address.
    Unreachable,
    /// Something is listening at the address, but the request failed for this reason.
    CommandError(&'static str),
}

async fn get(url: &Url, address: IpAddr) -> Result<u16, Unanswered> {
    let no_address = || Unanswered::CommandError("the callback is not a valid URL");
    let port = url.port_or_known_default().ok_or_else(no_address)?;
    let stream =
        TcpStream::connect(SocketAddr::from((address, port))).await.map_err(|_| Unanswered::Unreachable)?;
    let failed = |error: hyper::Error| {
        Unanswered::CommandError(if error.is_parse() {
            "the CLI's callback did not answer with HTTP"
        } else {
            "the CLI's callback closed the connection without answering"
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
    // Drive the connection here rather than in a separate task, so that it ends with the response.
    let mut response = std::pin::pin!(sender.send_request(request));
    let response = tokio::select! {
        biased;
        response = &mut response => response,
        // The connection may have delivered the response just before it closed.
        _ = connection => response.await,
    };
    response.map(|response| response.status().as_u16()).map_err(failed)
}
