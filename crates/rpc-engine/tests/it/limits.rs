//! Tests of every limit: a value exactly at the limit is accepted, and one beyond it gives the documented error.

use std::time::Duration;

use rpc_engine::{Closed, Limits, RpcError};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{Server, frame, soon, text};

fn refusal(error: &RpcError, id: impl Into<Value>) -> Value {
    json!({"jsonrpc": "2.0", "error": error, "id": id.into()})
}

fn echo(text: &str) -> String {
    json!({"jsonrpc": "2.0", "id": 1, "method": "echo", "params": {"text": text}}).to_string()
}

#[tokio::test]
async fn message_is_rejected_when_it_exceeds_the_byte_limit() {
    let limits = Limits { message_bytes: 1000, frame_bytes: 800, ..Limits::default() };
    let fixed = echo("").len();
    let (fits, too_long) = (echo(&"x".repeat(1000 - fixed)), echo(&"x".repeat(1001 - fixed)));
    assert_eq!((fits.len(), too_long.len()), (1000, 1001));
    let server = Server::new(limits);
    let refused = refusal(&RpcError::message_too_large(), Value::Null);

    let cut = |message: &str| {
        [frame(0x01, &message.as_bytes()[..500]), frame(0x80, &message.as_bytes()[500..])].concat()
    };
    let mut peer = server.connect();
    peer.raw(&cut(&fits)).await;
    assert_eq!(peer.next().await["id"], 1);
    peer.raw(&cut(&too_long)).await;
    assert_eq!(peer.next().await, refused);
    assert_eq!(peer.closing().await, (1009, "a message or frame is too large".to_owned()));
    assert_eq!(peer.ended().await, Closed::TooLarge);

    assert_eq!(server.post(&fits).await.unwrap()["id"], 1);
    assert_eq!(server.post(&too_long).await.unwrap(), refused);
}

#[tokio::test]
async fn oversized_frame_is_rejected_by_its_header() {
    let server = Server::new(Limits { frame_bytes: 800, ..Limits::default() });
    let mut peer = server.connect();
    let fixed = echo("").len();
    peer.send(&echo(&"x".repeat(800 - fixed))).await;
    assert_eq!(peer.next().await["id"], 1);
    for length in [801_u64, 2 << 20, 1 << 62, (1 << 63) - 1] {
        let mut peer = server.connect();
        let header = [&[0x81, 0xff][..], &length.to_be_bytes(), &[1, 2, 3, 4]].concat();
        peer.raw(&header).await;
        assert_eq!(peer.next().await, refusal(&RpcError::message_too_large(), Value::Null));
        assert_eq!(peer.closing().await.0, 1009);
        assert_eq!(peer.ended().await, Closed::TooLarge);
    }
}

#[tokio::test]
async fn connection_closes_when_a_message_has_too_many_frames() {
    let cut = |message: &str, frames: usize| {
        let mut bytes = frame(0x01, message.as_bytes());
        bytes.extend((0..frames - 2).flat_map(|_| frame(0x00, b"")));
        bytes.extend(frame(0x80, b""));
        bytes
    };
    let server = Server::new(Limits::default());
    let mut peer = server.connect();
    for _ in 0..2 {
        peer.raw(&cut(&echo("x"), 1024)).await;
        assert_eq!(peer.next().await["result"], "x");
    }
    // A message before the one with too many frames is still answered.
    let bytes = [text(&echo("before")), cut(&echo("x"), 1025)].concat();
    peer.raw(&bytes).await;
    assert_eq!(peer.next().await["result"], "before");
    assert_eq!(peer.closing().await, (1008, "a message has too many frames".to_owned()));
    assert_eq!(peer.ended().await, Closed::TooManyFrames);

    let mut peer = server.connect();
    peer.raw(&cut("", 10_000)).await;
    assert_eq!(peer.closing().await.0, 1008);
}

#[tokio::test]
async fn request_is_rejected_when_its_json_is_nested_too_deeply() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let request = |depth: usize| {
        let (text, deep) = ("x", nested(depth - 2));
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"echo","params":{{"text":"{text}","deep":{deep}}}}}"#)
    };
    let server = Server::new(Limits::default());
    assert_eq!(server.post(&request(64)).await.unwrap()["result"], "x");
    assert_eq!(server.post(&request(65)).await.unwrap(), refusal(&RpcError::invalid_request(), 1));
    assert_eq!(server.post(&request(127)).await.unwrap(), refusal(&RpcError::invalid_request(), 1));
    let parse_error = refusal(&RpcError::parse_error(), Value::Null);
    assert_eq!(server.post(&request(128)).await.unwrap(), parse_error);
    assert_eq!(
        server.post(&nested(127)).await.unwrap(),
        json!([refusal(&RpcError::invalid_request(), Value::Null)])
    );
    assert_eq!(server.post(&nested(128)).await.unwrap(), parse_error);
    assert_eq!(server.post(&"[".repeat(1 << 20)).await.unwrap(), parse_error);
    // Each request of a batch may use the full depth.
    let batch = format!("[{},{}]", request(64), request(65));
    let answers = server.post(&batch).await.unwrap();
    assert_eq!(answers[0]["result"], "x");
    assert_eq!(answers[1], refusal(&RpcError::invalid_request(), 1));
}

#[tokio::test]
async fn batch_is_rejected_when_it_has_more_than_50_requests() {
    let batch = |length: usize| format!("[{}]", vec![echo("x"); length].join(","));
    let server = Server::new(Limits::default());
    assert_eq!(server.post(&batch(50)).await.unwrap().as_array().map(Vec::len), Some(50));
    let refused = refusal(&RpcError::invalid_request(), Value::Null);
    assert_eq!(server.post(&batch(51)).await.unwrap(), refused);
    assert_eq!(server.post(&format!("[{}1]", "1,".repeat(500_000))).await.unwrap(), refused);
    assert_eq!(server.engine.counters().calls, 50);
}

#[tokio::test]
async fn request_is_rejected_when_its_id_exceeds_256_bytes() {
    let request = |bytes: usize| {
        let id = format!("\"{}\"", "i".repeat(bytes - 2));
        format!(r#"{{"jsonrpc":"2.0","method":"sum","params":[1],"id":{id}}}"#)
    };
    let server = Server::new(Limits::default());
    assert_eq!(server.post(&request(256)).await.unwrap()["result"], 1);
    let refused = refusal(&RpcError::invalid_request(), Value::Null);
    assert_eq!(server.post(&request(257)).await.unwrap(), refused);
}

#[tokio::test]
async fn connection_answers_busy_at_its_limit_of_calls_in_flight() {
    let server = Server::new(Limits { in_flight: 3, waiting: 0, ..Limits::default() });
    let (mut busy, mut other) = (server.connect(), server.connect());
    let wait = r#"{"jsonrpc":"2.0","method":"wait","id":"w"}"#;
    for _ in 0..4 {
        busy.send(wait).await;
    }
    assert_eq!(busy.next().await, refusal(&RpcError::server_busy(), "w"));
    other.send(wait).await;
    assert_eq!(other.call("sum", &json!([1])).await, 1);
    server.app.permits.add_permits(4);
    for _ in 0..3 {
        assert_eq!(busy.next().await["result"], true);
    }
    assert_eq!(other.next().await["result"], true);
    assert_eq!(busy.call("sum", &json!([1])).await, 1);
}

#[tokio::test]
async fn batch_of_the_allowed_size_succeeds_when_its_calls_wait() {
    let server = Server::new(Limits::default());
    let wait: Vec<Value> = (1..=50).map(|id| json!({"jsonrpc": "2.0", "method": "wait", "id": id})).collect();
    let batch = Value::from(wait).to_string();
    server.app.permits.add_permits(100);
    let mut peer = server.connect();
    for mut replies in [server.post(&batch).await.unwrap(), peer.ask(&batch).await] {
        let replies = replies.as_array_mut().unwrap();
        replies.sort_by_key(|reply| reply["id"].as_u64());
        let expected: Vec<Value> =
            (1..=50).map(|id| json!({"jsonrpc": "2.0", "result": true, "id": id})).collect();
        assert_eq!(*replies, expected);
    }
}

#[tokio::test]
async fn calls_over_the_limit_wait_in_order_and_only_those_beyond_the_queue_are_refused() {
    let server = Server::new(Limits { in_flight: 2, waiting: 3, ..Limits::default() });
    let mut peer = server.connect();
    for id in 1..=6 {
        peer.send(&format!(r#"{{"jsonrpc":"2.0","method":"wait","id":{id}}}"#)).await;
    }
    // Two run and three wait, so the sixth has no place.
    assert_eq!(peer.next().await, refusal(&RpcError::server_busy(), 6));
    for id in 1..=5 {
        server.app.permits.add_permits(1);
        assert_eq!(peer.next().await["id"], id);
    }
    assert_eq!(peer.call("sum", &json!([1])).await, 1);
}

#[tokio::test]
async fn waiting_call_starts_when_another_connection_frees_its_place() {
    let server = Server::new(Limits { in_flight_total: 1, ..Limits::default() });
    let (mut first, mut second) = (server.connect(), server.connect());
    first.send(r#"{"jsonrpc":"2.0","method":"wait","id":1}"#).await;
    soon(server.app.begun.notified()).await;
    second.send(r#"{"jsonrpc":"2.0","method":"sum","params":[2],"id":2}"#).await;
    second.raw(&frame(0x89, b"")).await;
    // The pong shows that the request before it has been read.
    assert_eq!(second.frame().await.unwrap().0, 0x8a);
    server.app.permits.add_permits(1);
    assert_eq!(first.next().await["result"], true);
    assert_eq!(second.next().await["result"], 2);
}

#[tokio::test(start_paused = true)]
async fn waiting_call_is_refused_after_its_time_and_never_started() {
    let hours = Duration::from_hours(2);
    let limits = Limits { in_flight: 1, ping_every: hours, idle: hours, ..Limits::default() };
    let server = Server::new(limits);
    let mut peer = server.connect();
    for id in 1..=2 {
        peer.send(&format!(r#"{{"jsonrpc":"2.0","method":"wait","id":{id}}}"#)).await;
    }
    assert_eq!(peer.next().await, refusal(&RpcError::server_busy(), 2));
    server.app.permits.add_permits(2);
    assert_eq!(peer.next().await["id"], 1);
    assert_eq!(server.app.permits.available_permits(), 1);
}

#[tokio::test]
async fn waiting_calls_are_refused_when_the_engine_drains() {
    let server = Server::new(Limits { in_flight: 1, ..Limits::default() });
    let mut peer = server.connect();
    for id in 1..=2 {
        peer.send(&format!(r#"{{"jsonrpc":"2.0","method":"wait","id":{id}}}"#)).await;
    }
    soon(server.app.begun.notified()).await;
    let engine = server.engine.clone();
    let drained = tokio::spawn(async move { engine.drain(Duration::from_mins(1)).await });
    assert_eq!(peer.next().await, refusal(&RpcError::shutting_down(), 2));
    server.app.permits.add_permits(1);
    assert_eq!(peer.next().await["id"], 1);
    soon(drained).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn call_that_takes_too_long_is_answered_as_unknown_and_goes_on() {
    let hours = Duration::from_hours(2);
    let limits =
        Limits { in_flight_total: 1, waiting: 0, ping_every: hours, idle: hours, ..Limits::default() };
    let server = Server::new(limits);
    let mut peer = server.connect();
    let slow = r#"{"jsonrpc":"2.0","method":"slow_subscribe","params":{"topic":"a"},"id":1}"#;
    assert_eq!(peer.ask(slow).await, refusal(&RpcError::unknown(), 1));
    // The call goes on and keeps its place. Its subscription is gone with the answer.
    let sum = r#"{"jsonrpc":"2.0","method":"sum","params":[1],"id":2}"#;
    assert_eq!(peer.ask(sum).await, refusal(&RpcError::server_busy(), 2));
    server.app.broker.publish("a", 1, None);
    server.app.permits.add_permits(1);
    soon(async {
        while server.app.permits.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        while peer.ask(sum).await["result"] != 1 {}
    })
    .await;
}

#[tokio::test]
async fn engine_limit_includes_calls_of_disconnected_clients() {
    let server = Server::new(Limits { in_flight_total: 2, waiting: 0, ..Limits::default() });
    for _ in 0..2 {
        let mut peer = server.connect();
        peer.send(r#"{"jsonrpc":"2.0","method":"wait","id":1}"#).await;
        soon(server.app.begun.notified()).await;
        peer.ended().await;
    }
    let refused = refusal(&RpcError::server_busy(), 1);
    assert_eq!(server.post(&echo("x")).await.unwrap(), refused);
    server.app.permits.add_permits(2);
    let answered = soon(async {
        loop {
            let reply = server.post(&echo("x")).await.unwrap();
            if reply != refused {
                return reply;
            }
            tokio::task::yield_now().await;
        }
    });
    assert_eq!(answered.await["result"], "x");
}

#[tokio::test]
async fn subscription_is_rejected_beyond_the_count_topic_and_byte_limits() {
    let server = Server::new(Limits { subscriptions: 2, ..Limits::default() });
    let mut peer = server.connect();
    let subscribe = |topics: Vec<String>| {
        json!({"jsonrpc": "2.0", "id": 1, "method": "events.subscribe", "params": {"topics": topics}})
            .to_string()
    };
    let many = |count: usize| (0..count).map(|n| format!("t{n}")).collect::<Vec<_>>();
    let bad = |reason: &str, path: &str| refusal(&RpcError::invalid_params(reason, Some(path)), 1);
    let refused = peer.ask(&subscribe(Vec::new())).await;
    assert_eq!(refused, bad("at least one topic is required", "topics"));
    assert_eq!(
        peer.ask(&subscribe(many(33))).await,
        bad("a subscription can have at most 32 topics", "topics")
    );
    let length = "a topic must be 1 to 200 bytes long";
    assert_eq!(peer.ask(&subscribe(vec!["a".into(), String::new()])).await, bad(length, "topics[1]"));
    assert_eq!(peer.ask(&subscribe(vec!["x".repeat(201)])).await, bad(length, "topics[0]"));
    assert_eq!(peer.ask(&subscribe(vec!["x".repeat(200)])).await["result"]["subscriptionId"], "s1");
    assert_eq!(peer.ask(&subscribe(many(32))).await["result"]["subscriptionId"], "s2");
    let refused = refusal(&RpcError::too_many_subscriptions(), 1);
    assert_eq!(peer.ask(&subscribe(many(1))).await, refused);
    assert_eq!(peer.call("events.unsubscribe", &json!({"subscriptionId": "s1"})).await, true);
    assert_eq!(peer.ask(&subscribe(many(1))).await["result"]["subscriptionId"], "s3");
}

#[tokio::test]
async fn subscription_reports_missed_events_at_the_outbound_byte_limit() {
    // Each event of this topic counts as about 100 bytes, so the queue holds two.
    let server = Server::new(Limits { outbound_bytes: 290, ..Limits::default() });
    let mut peer = server.connect();
    peer.call("events.subscribe", &json!({"topics": ["a"]})).await;
    for _ in 0..5 {
        server.app.broker.publish("a", 5, None);
    }
    let mut seen = Vec::new();
    for _ in 0..3 {
        let next = peer.next().await;
        seen.push((next["method"].clone(), next["params"]["seq"].clone(), next["params"]["missed"].clone()));
    }
    let row = |method: &str, seq: u64, missed: Value| (json!(method), json!(seq), missed);
    let expected =
        [row("event", 1, Value::Null), row("event", 2, Value::Null), row("events.lagged", 5, json!(3))];
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn connection_loses_no_reply_at_the_outbound_message_limit() {
    let server = Server::new(Limits { outbound_messages: 2, ..Limits::default() });
    for pipe in [64, 1 << 20] {
        let peer = server.connect_with(pipe, &[]);
        let requests: Vec<u8> = (0..50)
            .flat_map(|id| {
                text(&json!({"jsonrpc": "2.0", "method": "sum", "params": [id], "id": id}).to_string())
            })
            .collect();
        let (mut reading, mut writing) = tokio::io::split(peer.stream);
        let wrote = tokio::spawn(async move { writing.write_all(&requests).await });
        let mut replies = Vec::new();
        for id in 0..50 {
            let mut reply = vec![0; 2 + json!({"jsonrpc": "2.0", "result": id, "id": id}).to_string().len()];
            soon(reading.read_exact(&mut reply)).await.unwrap();
            replies.push(serde_json::from_slice::<Value>(&reply[2..]).unwrap()["result"].take());
        }
        assert_eq!(replies, (0..50).map(Value::from).collect::<Vec<_>>());
        soon(wrote).await.unwrap().unwrap();
        peer.served.abort();
    }
}

#[tokio::test]
async fn connection_resumes_reading_once_a_flush_makes_room_for_replies() {
    let server = Server::new(Limits { outbound_messages: 2, ..Limits::default() });
    let (mut requests, input) = tokio::io::duplex(1 << 20);
    let (mut replies, output) = tokio::io::duplex(200);
    let serving = server.serve(tokio::io::join(input, output), &[]);
    let request = text(r#"{"jsonrpc":"2.0","method":"sum","params":[1],"id":1}"#);
    requests.write_all(&request.repeat(50)).await.unwrap();
    let reply = 2 + json!({"jsonrpc": "2.0", "result": 1, "id": 1}).to_string().len();
    let mut received = 0;
    while received < 50 * reply {
        // The engine pauses at the full pipe, which is then emptied at once.
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        received += soon(replies.read(&mut [0; 4096])).await.unwrap();
    }
    assert_eq!(received, 50 * reply);
    serving.abort();
}

#[tokio::test(start_paused = true)]
async fn connection_closes_as_slow_when_the_client_never_reads() {
    let server = Server::new(Limits { outbound_messages: 8, ..Limits::default() });
    let mut peer = server.connect_with(4096, &[]);
    // The peer writes for as long as the engine reads, but never reads.
    let request = text(&echo(&"x".repeat(500)));
    let writing = async { while peer.stream.write_all(&request).await.is_ok() {} };
    soon(writing).await;
    assert_eq!(soon(peer.served).await.unwrap(), Closed::Slow);
    assert!(server.engine.counters().calls < 200, "{:?}", server.engine.counters());
}

#[tokio::test(start_paused = true)]
async fn connection_closes_as_slow_when_the_client_pings_and_never_reads() {
    let server = Server::new(Limits { outbound_bytes: 1000, ..Limits::default() });
    let mut peer = server.connect_with(4096, &[]);
    let ping = frame(0x89, &[b'x'; 100]);
    let mut pings = 0;
    let writing = async {
        while peer.stream.write_all(&ping).await.is_ok() {
            pings += 1;
        }
    };
    soon(writing).await;
    assert_eq!(soon(peer.served).await.unwrap(), Closed::Slow);
    // The upper bound is the capacity of the pipe in both directions, one turn, and the pending output.
    assert!(pings < 200, "{pings}");
}

#[tokio::test]
async fn engine_serves_other_connections_while_one_client_floods_it() {
    let server = Server::new(Limits { requests_per_turn: 2, ..Limits::default() });
    let (mut flood, mut other) = (server.connect_with(1 << 22, &[]), server.connect());
    let many: Vec<u8> =
        (0..5000).flat_map(|_| text(r#"{"jsonrpc":"2.0","method":"sum","params":[1],"id":1}"#)).collect();
    flood.raw(&many).await;
    other.raw(&text(r#"{"jsonrpc":"2.0","method":"sum","params":[1],"id":1}"#)).await;
    assert_eq!(other.next().await["result"], 1);
    // One thread serves both connections, and it served the other one long before the flood ended.
    assert!(server.engine.counters().calls < 1000, "{:?}", server.engine.counters());
    for _ in 0..5000 {
        assert_eq!(flood.next().await["result"], 1);
    }
}

#[tokio::test]
async fn flooding_connection_yields_to_other_sockets_after_each_turn() {
    let server = Server::new(Limits { requests_per_turn: 2, ..Limits::default() });
    let (mut flood, mut other) = (server.connect_unix(), server.connect_unix());
    let request = text(r#"{"jsonrpc":"2.0","method":"sum","params":[1],"id":1}"#);
    assert_eq!(flood.call("sum", &json!([1])).await, 1);
    assert_eq!(other.call("sum", &json!([1])).await, 1);
    flood.raw(&request.repeat(800)).await;
    other.raw(&request).await;
    let before = server.engine.counters().calls;
    assert_eq!(other.next().await["result"], 1);
    // A connection that only wakes its own task would take dozens of turns before the runtime polls the other socket.
    let calls = server.engine.counters().calls - before;
    assert!(calls < 30, "{calls}");
}
