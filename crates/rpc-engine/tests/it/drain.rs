//! Tests of draining: rejection of new calls, completion of running calls, close code 1001, and bounded waiting.

use std::sync::Arc;
use std::time::Duration;

use rpc_engine::{Closed, Limits, RpcError};
use serde_json::json;

use crate::support::{Server, soon};

const WAIT: &str = r#"{"jsonrpc":"2.0","method":"wait","id":1}"#;

#[tokio::test]
async fn drain_finishes_running_calls_and_rejects_new_ones() {
    let server = Server::new(Limits::default());
    let (mut busy, mut idle) = (server.connect(), server.connect());
    busy.send(WAIT).await;
    soon(server.app.begun.notified()).await;
    assert_eq!(idle.call("sum", &json!([1])).await, 1);
    let engine = server.engine.clone();
    let drained = tokio::spawn(async move { engine.drain(Duration::from_secs(100)).await });
    assert_eq!(idle.closing().await, (1001, "the daemon is shutting down".to_owned()));
    assert_eq!(idle.ended().await, Closed::Drained);

    let refused = json!({"jsonrpc": "2.0", "error": RpcError::shutting_down(), "id": 2});
    assert_eq!(busy.ask(r#"{"jsonrpc":"2.0","method":"sum","params":[1],"id":2}"#).await, refused);
    let post = server.post(r#"{"jsonrpc":"2.0","method":"sum","params":[1],"id":2}"#).await;
    assert_eq!(post, Some(refused));
    assert!(!drained.is_finished());
    server.app.permits.add_permits(1);
    assert_eq!(busy.next().await, json!({"jsonrpc": "2.0", "result": true, "id": 1}));
    assert_eq!(busy.closing().await.0, 1001);
    assert_eq!(busy.ended().await, Closed::Drained);
    soon(drained).await.unwrap();
    assert_eq!(server.engine.connections(), 0);
}

#[tokio::test(start_paused = true)]
async fn drain_aborts_running_calls_after_the_grace_period() {
    let server = Server::new(Limits::default());
    let handles = Arc::strong_count(&server.app.permits);
    let mut busy = server.connect();
    busy.send(WAIT).await;
    soon(server.app.begun.notified()).await;
    let mut gone = server.connect();
    gone.send(WAIT).await;
    soon(server.app.begun.notified()).await;
    assert_eq!(gone.ended().await, Closed::Lost);
    let engine = server.engine.clone();
    let post = tokio::spawn(async move { engine.post(WAIT.as_bytes()).await });
    soon(server.app.begun.notified()).await;

    soon(server.engine.drain(Duration::from_secs(5))).await;
    // Each running call holds a handle, so an unchanged count means that no call is left.
    assert_eq!(Arc::strong_count(&server.app.permits), handles);
    assert_eq!(busy.closing().await.0, 1001);
    assert_eq!(busy.ended().await, Closed::Aborted);
    let reply = soon(post).await.unwrap().unwrap();
    let refused = serde_json::to_value(RpcError::shutting_down()).unwrap();
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&reply).unwrap()["error"], refused);
}

#[tokio::test]
async fn drain_waits_for_the_calls_of_disconnected_clients() {
    let connection = Server::new(Limits::default());
    let mut gone = connection.connect();
    gone.send(WAIT).await;
    soon(connection.app.begun.notified()).await;
    assert_eq!(gone.ended().await, Closed::Lost);
    check_drain_waits(connection).await;

    let post = Server::new(Limits::default());
    let engine = post.engine.clone();
    let gone = tokio::spawn(async move { engine.post(WAIT.as_bytes()).await });
    soon(post.app.begun.notified()).await;
    gone.abort();
    assert!(soon(gone).await.unwrap_err().is_cancelled());
    check_drain_waits(post).await;
}

/// Checks that a drain waits for the one running call.
async fn check_drain_waits(server: Server) {
    let engine = server.engine.clone();
    let drained = tokio::spawn(async move { engine.drain(Duration::from_secs(100)).await });
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(!drained.is_finished());
    server.app.permits.add_permits(1);
    soon(drained).await.unwrap();
    soon(server.app.ended.notified()).await;
}

#[tokio::test]
async fn connection_is_closed_when_accepted_after_the_drain() {
    let server = Server::new(Limits::default());
    soon(server.engine.drain(Duration::from_secs(1))).await;
    let mut late = server.connect();
    assert_eq!(late.closing().await.0, 1001);
}
