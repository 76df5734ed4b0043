//! The HTTP side of the examples: WebSocket upgrades and POST requests.

use std::convert::Infallible;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rpc_engine::{Engine, accept_key};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::task::TaskTracker;

/// The maximum size of a POST body, in bytes.
const BODY_BYTES: usize = 1 << 20;

/// Serves one HTTP connection. An upgraded connection runs in a task tracked by `tasks`.
///
/// A server on a network must also check `Host`, `Origin` and a token before it upgrades, and limit how long a client
/// may take to send the request head.
pub(crate) async fn serve_http<S>(engine: Engine, stream: S, tasks: TaskTracker) -> hyper::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request| {
        let (engine, tasks) = (engine.clone(), tasks.clone());
        async move { Ok::<_, Infallible>(answer(&engine, request, &tasks).await) }
    });
    http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades().await
}

async fn answer(
    engine: &Engine,
    mut request: Request<Incoming>,
    tasks: &TaskTracker,
) -> Response<Full<Bytes>> {
    if let Some(key) = request.headers().get(SEC_WEBSOCKET_KEY) {
        let key = accept_key(key.as_bytes());
        let upgrade = hyper::upgrade::on(&mut request);
        let engine = engine.clone();
        tasks.spawn(async move {
            // The client may disconnect before the upgrade, which leaves nothing to serve.
            if let Ok(upgraded) = upgrade.await {
                engine.serve(TokioIo::new(upgraded), Bytes::new()).await;
            }
        });
        let response = Response::builder().status(StatusCode::SWITCHING_PROTOCOLS);
        let response = response.header(CONNECTION, "Upgrade").header(UPGRADE, "websocket");
        return response
            .header(SEC_WEBSOCKET_ACCEPT, key)
            .body(Full::default())
            .unwrap_or_else(|_| status(StatusCode::BAD_REQUEST));
    }
    if request.method() != Method::POST {
        return status(StatusCode::METHOD_NOT_ALLOWED);
    }
    match Limited::new(request.into_body(), BODY_BYTES).collect().await {
        Ok(body) => match engine.post(&body.to_bytes()).await {
            Some(reply) => Response::new(Full::new(reply)),
            None => status(StatusCode::NO_CONTENT),
        },
        Err(_) => status(StatusCode::PAYLOAD_TOO_LARGE),
    }
}

fn status(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}
