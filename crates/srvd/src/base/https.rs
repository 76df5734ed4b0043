//! The HTTP client for requests to vendors and issuers: HTTP/1.1, this machine's certificate authorities and those that
//! the configuration adds, no redirects, and the proxy that the configuration names.

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use crate::hint::Hint;
use hyper::Uri;
use hyper::body::Body;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tower_service::Service;

/// The way out of this machine.
#[derive(Default)]
pub(crate) struct Egress {
    /// The proxy, and the hosts that are reached without it.
    proxy: Option<Arc<Matcher>>,
    /// Certificate authorities in addition to those of this machine.
    authorities: Vec<CertificateDer<'static>>,
    /// Next step for the user after a request that failed on the network.
    advice: Option<Hint>,
}

/// The way of this process. It is set once, at the start of the daemon, because every request takes it.
static EGRESS: OnceLock<Egress> = OnceLock::new();

impl Egress {
    /// Makes the way: through `proxy`, except to the hosts of the comma-separated list `except`.
    pub(crate) fn new(proxy: Option<&str>, except: &str, authorities: Vec<CertificateDer<'static>>) -> Self {
        let proxy = proxy.map(|proxy| Arc::new(Matcher::builder().all(proxy).no(except).build()));
        Self { proxy, authorities, advice: None }
    }

    /// Adds the next step for the user after a request that failed on the network.
    pub(crate) fn with_advice(self, advice: Option<Hint>) -> Self {
        Self { advice, ..self }
    }

    /// Makes this the way of all clients of the process from now on. A second call changes nothing.
    pub(crate) fn use_for_all(self) {
        let _ = EGRESS.set(self);
    }
}

/// Reads the certificates of a PEM file.
///
/// # Errors
/// The I/O error; `InvalidData` if the file holds no certificate.
pub(crate) fn certificates(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let text = std::fs::read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let invalid = |reason: String| io::Error::new(io::ErrorKind::InvalidData, reason);
    let found = found.map_err(|error| invalid(error.to_string()))?;
    if found.is_empty() { Err(invalid("it holds no certificate".to_owned())) } else { Ok(found) }
}

/// Returns this machine's certificate authorities.
///
/// # Errors
/// The I/O error when there are none.
pub(crate) fn native_authorities() -> io::Result<Vec<CertificateDer<'static>>> {
    let found = rustls_native_certs::load_native_certs();
    match found.errors.into_iter().next() {
        Some(error) if found.certs.is_empty() => Err(io::Error::other(error)),
        _ if found.certs.is_empty() => Err(io::Error::new(io::ErrorKind::NotFound, "this machine has none")),
        _ => Ok(found.certs),
    }
}

/// Creates a client. Loading the certificates reads files. Every request uses a separate connection: if a reused
/// connection were closed by the peer at the same moment, it would be unknown whether a token had been spent.
///
/// # Errors
/// The I/O error if this machine has no certificate authorities.
pub(crate) fn client<B>() -> io::Result<Client<HttpsConnector<Connector>, B>>
where
    B: Body + Send,
    B::Data: Send,
{
    static DIRECT: Egress = Egress { proxy: None, authorities: Vec::new(), advice: None };
    through(EGRESS.get().unwrap_or(&DIRECT))
}

fn through<B>(egress: &Egress) -> io::Result<Client<HttpsConnector<Connector>, B>>
where
    B: Body + Send,
    B::Data: Send,
{
    let mut roots = RootCertStore::empty();
    // A machine's store often has an authority that is too old to be used.
    roots.add_parsable_certificates(native_authorities()?);
    roots.add_parsable_certificates(egress.authorities.iter().cloned());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut direct = HttpConnector::new();
    direct.enforce_http(false);
    let connector = hyper_rustls::HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1()
        .wrap_connector(Connector { direct, proxy: egress.proxy.clone() });
    Ok(Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector))
}

/// Connects to a host directly, or through a tunnel that a proxy opens. Plain `http`, which is used on this machine and
/// where the operator allows it, is never sent to a proxy.
#[derive(Clone)]
pub(crate) struct Connector {
    direct: HttpConnector,
    proxy: Option<Arc<Matcher>>,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

impl Service<Uri> for Connector {
    type Response = TokioIo<TcpStream>;
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Failure>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.direct.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let secure = to.scheme_str() == Some("https");
        let proxy = self.proxy.as_ref().filter(|_| secure).and_then(|proxy| proxy.intercept(&to));
        let Some(proxy) = proxy else {
            let connecting = self.direct.call(to);
            return Box::pin(async move { Ok(connecting.await?) });
        };
        let mut tunnel = Tunnel::new(proxy.uri().clone(), self.direct.clone());
        if let Some(auth) = proxy.basic_auth() {
            tunnel = tunnel.with_auth(auth.clone());
        }
        let opening = tunnel.call(to);
        let name = proxy.uri().authority().map(|authority| {
            let text = authority.as_str();
            text.rsplit_once('@').map_or(text, |(_, host)| host).to_owned()
        });
        Box::pin(async move {
            opening.await.map_err(|error| {
                let reason = innermost(&error);
                format!("the proxy {} opened no connection: {reason}", name.unwrap_or_default()).into()
            })
        })
    }
}

/// Returns the reason of a failed request, with the next step if the way out of this machine may be wrong.
pub(crate) fn reason(error: &dyn std::error::Error) -> String {
    match EGRESS.get().and_then(|egress| egress.advice.as_ref()) {
        Some(advice) => format!("{} ({advice})", innermost(error)),
        None => innermost(error),
    }
}

/// Returns the text of the innermost cause, which says what happened ("Connection refused") without the request.
pub(crate) fn innermost(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http_body_util::Empty;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// A proxy that answers each request with this status, and returns the first request.
    async fn proxy(answer: &'static str) -> (String, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let asked = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(stream.read_u8().await.unwrap());
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8(request).unwrap()
        });
        (address, asked)
    }

    fn get(uri: &str) -> hyper::Request<Empty<Bytes>> {
        hyper::Request::builder().uri(uri).body(Empty::new()).unwrap()
    }

    #[tokio::test]
    async fn request_goes_through_the_proxy_with_its_password_and_names_the_proxy_when_it_fails() {
        let (address, asked) = proxy("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n").await;
        let egress = Egress::new(Some(&format!("http://ann:pass@{address}")), "localhost", Vec::new());
        let Ok(client) = through::<Empty<Bytes>>(&egress) else { return };
        let error = client.request(get("https://vendor.invalid/v1")).await.unwrap_err();
        let asked = asked.await.unwrap();
        assert!(asked.starts_with("CONNECT vendor.invalid:443 HTTP/1.1\r\n"), "{asked}");
        assert!(asked.to_lowercase().contains("proxy-authorization: basic yw5uonbhc3m="), "{asked}");
        let reason = innermost(&error);
        assert!(reason.contains(&format!("the proxy {address} opened no connection")), "{reason}");
        assert!(!reason.contains("pass@"), "{reason}");
    }

    #[tokio::test]
    async fn excepted_hosts_and_plain_http_are_reached_without_the_proxy() {
        let (address, asked) = proxy("HTTP/1.1 204 No Content\r\n\r\n").await;
        // No process listens at the proxy's address.
        let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let egress = Egress::new(Some(&format!("http://{gone}")), "localhost,127.0.0.1", Vec::new());
        let Ok(client) = through::<Empty<Bytes>>(&egress) else { return };
        assert_eq!(client.request(get(&format!("http://{address}/x"))).await.unwrap().status(), 204);
        assert!(asked.await.unwrap().starts_with("GET /x HTTP/1.1"));
        let excepted = client.request(get(&format!("https://{gone}/x"))).await.unwrap_err();
        assert!(!innermost(&excepted).contains("the proxy"), "{}", innermost(&excepted));
        let other = client.request(get("https://vendor.invalid/x")).await.unwrap_err();
        assert!(innermost(&other).contains("the proxy"), "{}", innermost(&other));
    }

    #[test]
    fn certificates_are_read_from_pem_and_a_file_without_one_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.pem");
        assert_eq!(certificates(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
        std::fs::write(&path, "no certificate").unwrap();
        assert_eq!(certificates(&path).unwrap_err().kind(), io::ErrorKind::InvalidData);
        let made = rcgen::generate_simple_self_signed(["ca.test".to_owned()]).unwrap();
        std::fs::write(&path, made.cert.pem().repeat(2)).unwrap();
        assert_eq!(certificates(&path).unwrap(), [made.cert.der().clone(), made.cert.der().clone()]);
    }
}
