//! Tests of topics, ordering, replay, and subscribers that cannot keep up.

use rpc_engine::{Limits, NewEvent, RpcError};
use serde_json::{Value, json};

use crate::support::{Peer, Server, soon};

fn event(id: &str, topic: &str, seq: u64) -> Value {
    let params = json!({"subscriptionId": id, "topic": topic, "seq": seq, "at": 5});
    json!({"jsonrpc": "2.0", "method": "event", "params": params})
}

fn lagged(id: &str, missed: u64, seq: u64) -> Value {
    let params = json!({"subscriptionId": id, "missed": missed, "seq": seq});
    json!({"jsonrpc": "2.0", "method": "events.lagged", "params": params})
}

fn subscribed(id: &str, seq: u64, lagged: bool) -> Value {
    json!({"subscriptionId": id, "epoch": "e1", "seq": seq, "lagged": lagged})
}

async fn subscribe(peer: &mut Peer, topics: &[&str]) -> Value {
    peer.call("events.subscribe", &json!({"topics": topics})).await
}

#[tokio::test]
async fn subscription_receives_each_matching_event_once_in_order() {
    let server = Server::new(Limits::default());
    let broker = &server.app.broker;
    let mut peer = server.connect();
    assert_eq!(subscribe(&mut peer, &["a:1", "a:*", "a:1", "b"]).await, subscribed("s1", 0, false));
    assert_eq!(subscribe(&mut peer, &["*"]).await, subscribed("s2", 0, false));
    assert_eq!(subscribe(&mut peer, &["b*c"]).await, subscribed("s3", 0, false));
    for topic in ["a:1", "a", "b", "bxc", "b*c", "a:22"] {
        broker.publish(topic, 5, None);
    }
    let expected = [
        ("s1", "a:1", 1),
        ("s2", "a:1", 1),
        ("s2", "a", 2),
        ("s1", "b", 3),
        ("s2", "b", 3),
        ("s2", "bxc", 4),
        ("s2", "b*c", 5),
        ("s3", "b*c", 5),
        ("s1", "a:22", 6),
        ("s2", "a:22", 6),
    ];
    let mut got = Vec::new();
    for _ in expected {
        got.push(peer.next().await);
    }
    // The order of one event across the subscriptions of a connection is undefined.
    got.sort_by_key(|e| (e["params"]["seq"].as_u64(), e["params"]["subscriptionId"].to_string()));
    assert_eq!(got, expected.map(|(id, topic, seq)| event(id, topic, seq)));
    assert_eq!(broker.seq(), 6);
    assert_eq!(broker.epoch(), "e1");
}

/// The topics of a burst with their sequence numbers.
fn burst(length: u64) -> impl Iterator<Item = (String, u64)> {
    (1..=length)
        .map(|seq| (format!("{}:{}", ["a", "b", "ab"][usize::try_from(seq % 3).unwrap()], seq % 7), seq))
}

fn publish_burst(server: &Server, length: u64) {
    server.app.broker.publish_all(5, burst(length).map(|(topic, _)| NewEvent { topic, data: None }));
}

#[tokio::test]
async fn each_subscription_receives_its_part_of_a_burst_in_order() {
    type Wants = fn(&str) -> bool;
    let server = Server::new(Limits::default());
    let wanted: [(&[&str], Wants); 5] = [
        (&["*"], |_| true),
        (&["a:*"], |topic| topic.starts_with("a:")),
        (&["a*", "b:1", "ab:2", "a:1"], |topic| topic.starts_with('a') || topic == "b:1"),
        (&["b:1", "ab:2"], |topic| topic == "b:1" || topic == "ab:2"),
        (&["c*"], |_| false),
    ];
    let mut peers = [server.connect(), server.connect(), server.connect()];
    for peer in &mut peers {
        for (topics, _) in wanted {
            subscribe(peer, topics).await;
        }
    }
    let length = 150;
    publish_burst(&server, length);
    for peer in &mut peers {
        let mut got = vec![Vec::new(); wanted.len()];
        let expected: Vec<Vec<Value>> = (1..)
            .zip(wanted)
            .map(|(number, (_, wants))| {
                let matching = burst(length).filter(|(topic, _)| wants(topic));
                matching.map(|(topic, seq)| event(&format!("s{number}"), &topic, seq)).collect()
            })
            .collect();
        for _ in 0..expected.iter().map(Vec::len).sum() {
            let next = peer.next().await;
            let number = next["params"]["subscriptionId"].as_str().unwrap()[1..].parse::<usize>().unwrap();
            got[number - 1].push(next);
        }
        assert_eq!(got, expected);
        assert_eq!(peer.call("sum", &json!([1])).await, 1);
    }
}

#[tokio::test]
async fn full_queue_delivers_the_first_events_of_a_burst_and_counts_the_rest() {
    // Each event counts as about 100 bytes.
    for limits in [
        Limits { outbound_messages: 5, ..Limits::default() },
        Limits { outbound_bytes: 550, ..Limits::default() },
    ] {
        let server = Server::new(limits);
        let mut peer = server.connect();
        subscribe(&mut peer, &["*"]).await;
        for length in [5, 6, 200] {
            let before = server.app.broker.seq();
            publish_burst(&server, length);
            let mut expected: Vec<Value> =
                burst(5).map(|(topic, seq)| event("s1", &topic, before + seq)).collect();
            if length > 5 {
                expected.push(lagged("s1", length - 5, before + length));
            }
            for expected in expected {
                assert_eq!(peer.next().await, expected);
            }
        }
    }
}

#[tokio::test]
async fn event_topic_and_data_are_encoded_as_json() {
    let server = Server::new(Limits::default());
    let mut peer = server.connect();
    subscribe(&mut peer, &["q\"é"]).await;
    server.app.broker.publish("q\"é", -5, Some(json!({"id": "x\n"})));
    let params = json!({"subscriptionId": "s1", "topic": "q\"é", "seq": 1, "at": -5, "data": {"id": "x\n"}});
    assert_eq!(peer.next().await, json!({"jsonrpc": "2.0", "method": "event", "params": params}));
}

#[tokio::test]
async fn unsubscribe_stops_the_events_of_its_subscription() {
    let server = Server::new(Limits::default());
    let mut peer = server.connect();
    subscribe(&mut peer, &["a"]).await;
    assert_eq!(peer.call("events.unsubscribe", &json!({"subscriptionId": "s1"})).await, true);
    for id in ["s1", "s2", "x", "", "s"] {
        assert_eq!(peer.call("events.unsubscribe", &json!({"subscriptionId": id})).await, false);
    }
    server.app.broker.publish("a", 5, None);
    assert_eq!(peer.call("sum", &json!([1])).await, 1);
    assert_eq!(subscribe(&mut peer, &["a"]).await, subscribed("s2", 1, false));
    server.app.broker.publish("a", 5, None);
    assert_eq!(peer.next().await, event("s2", "a", 2));
}

#[tokio::test]
async fn cursor_replays_retained_events_and_reports_lag_when_events_are_lost() {
    let server = Server::keeping(Limits::default(), 3);
    for topic in ["a", "b", "a", "a", "b"] {
        server.app.broker.publish(topic, 5, None);
    }
    let mut peer = server.connect();
    let mut resume = async |since: Value| {
        let reply = peer.call("events.subscribe", &json!({"topics": ["a"], "since": since})).await;
        let mut replayed = Vec::new();
        let marker = server.app.broker.publish("a", 5, None);
        loop {
            let event = peer.next().await;
            let seq = event["params"]["seq"].as_u64().unwrap();
            if event["params"]["subscriptionId"] == reply["subscriptionId"] {
                if seq == marker {
                    break;
                }
                replayed.push(seq);
            }
        }
        (reply["lagged"].as_bool().unwrap(), reply["seq"].as_u64().unwrap(), replayed)
    };
    // Events 3, 4 and 5 are retained. Each round adds one event and drops the oldest.
    assert_eq!(resume(json!({"epoch": "e1", "seq": 2})).await, (false, 5, vec![3, 4]));
    assert_eq!(resume(json!({"epoch": "e1", "seq": 2})).await, (true, 6, vec![]));
    assert_eq!(resume(json!({"epoch": "e1", "seq": 7})).await, (false, 7, vec![]));
    assert_eq!(resume(json!({"epoch": "e1", "seq": 9})).await, (true, 8, vec![]));
    assert_eq!(resume(json!({"epoch": "e0", "seq": 9})).await, (true, 9, vec![]));
    assert_eq!(resume(Value::Null).await, (false, 10, vec![]));
}

#[tokio::test]
async fn subscribe_reply_precedes_events_when_the_call_is_slow() {
    let server = Server::new(Limits::default());
    let mut peer = server.connect();
    peer.send(r#"{"jsonrpc":"2.0","id":1,"method":"slow_subscribe","params":{"topic":"a"}}"#).await;
    soon(server.app.begun.notified()).await;
    server.app.broker.publish("a", 5, None);
    // Meanwhile, other calls are answered, and the events of their subscriptions are not held back.
    assert_eq!(subscribe(&mut peer, &["b"]).await, subscribed("s2", 2, false));
    server.app.broker.publish("b", 5, None);
    assert_eq!(peer.next().await, event("s2", "b", 3));
    server.app.permits.add_permits(1);
    assert_eq!(peer.next().await["result"], subscribed("s1", 0, false));
    let mut first = event("s1", "a", 1);
    first["params"]["at"] = 1.into();
    assert_eq!(peer.next().await, first);
    assert_eq!(peer.next().await, event("s1", "a", 2));

    // For a batch, the reply is the whole array.
    let batch = r#"[{"jsonrpc":"2.0","id":1,"method":"events.subscribe","params":{"topics":["c"]}},
                    {"jsonrpc":"2.0","id":2,"method":"publish","params":{"topic":"c"}},
                    {"jsonrpc":"2.0","id":3,"method":"wait"}]"#;
    peer.send(batch).await;
    soon(server.app.begun.notified()).await;
    server.app.permits.add_permits(1);
    assert_eq!(peer.next().await.as_array().map(Vec::len), Some(3));
    assert_eq!(peer.next().await["params"]["subscriptionId"], "s3");
}

#[tokio::test]
async fn failed_call_removes_its_subscription() {
    let server = Server::new(Limits::default());
    let mut peer = server.connect();
    peer.send(r#"{"jsonrpc":"2.0","id":1,"method":"slow_subscribe","params":{"topic":"a","fail":true}}"#)
        .await;
    soon(server.app.begun.notified()).await;
    server.app.permits.add_permits(1);
    assert_eq!(peer.next().await["error"]["code"], 1001);
    server.app.broker.publish("a", 5, None);
    assert_eq!(peer.call("events.unsubscribe", &json!({"subscriptionId": "s1"})).await, false);
}

#[tokio::test]
async fn slow_reader_receives_lag_notifications_and_does_not_delay_others() {
    let limits = Limits { outbound_messages: 4, ..Limits::default() };
    let server = Server::new(limits);
    let mut slow = server.connect_with(64, &[]);
    let mut quick = server.connect();
    subscribe(&mut slow, &["a"]).await;
    subscribe(&mut quick, &["a"]).await;
    let total = 2000;
    for seq in 1..=total {
        assert_eq!(server.app.broker.publish("a", 5, None), seq);
        assert_eq!(quick.next().await, event("s1", "a", seq));
    }
    // The slow subscriber receives its events in order, and its events and gaps add up to the total.
    let (mut at, mut notices) = (0, 0);
    while at < total {
        let next = slow.next().await;
        let params = &next["params"];
        let seq = params["seq"].as_u64().unwrap();
        if next["method"] == "events.lagged" {
            let missed = params["missed"].as_u64().unwrap();
            assert_eq!(next, lagged("s1", missed, at + missed));
            at += missed;
            notices += 1;
        } else {
            assert_eq!(next, event("s1", "a", at + 1));
            at += 1;
        }
        assert_eq!(seq, at);
    }
    assert!(notices > 0);
    server.app.broker.publish("a", 5, None);
    assert_eq!(slow.next().await, event("s1", "a", total + 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn subscription_accounts_for_each_event_once_under_concurrent_publishing() {
    let server = Server::keeping(Limits::default(), 100_000);
    let broker = server.app.broker.clone();
    let total = 2000;
    let publisher = tokio::spawn(async move {
        for _ in 0..total {
            broker.publish("a", 5, None);
            tokio::task::yield_now().await;
        }
    });
    for round in 0..20 {
        let mut peer = server.connect();
        let since = json!({"epoch": "e1", "seq": round});
        let reply = peer.call("events.subscribe", &json!({"topics": ["a"], "since": since})).await;
        assert_eq!(reply["lagged"], false);
        let mut expected = round + 1;
        while expected <= total {
            let next = peer.next().await;
            expected = if next["method"] == "events.lagged" {
                // All the events together may exceed the queue. In that case the gap is reported exactly.
                let missed = next["params"]["missed"].as_u64().unwrap();
                assert_eq!(next, lagged("s1", missed, expected + missed - 1));
                expected + missed
            } else {
                assert_eq!(next, event("s1", "a", expected));
                expected + 1
            };
        }
    }
    soon(publisher).await.unwrap();
}

#[tokio::test]
async fn subscriptions_end_with_their_connection() {
    let server = Server::new(Limits { subscriptions: 1, ..Limits::default() });
    for is_aborted in [false, true, false] {
        let mut peer = server.connect();
        assert_eq!(subscribe(&mut peer, &["a", "b*"]).await["subscriptionId"], "s1");
        let again =
            json!({"jsonrpc": "2.0", "id": 1, "method": "events.subscribe", "params": {"topics": ["a"]}});
        let error = serde_json::to_value(RpcError::too_many_subscriptions()).unwrap();
        assert_eq!(peer.ask(&again.to_string()).await["error"], error);
        assert!(format!("{:?}", server.app.broker).contains("subscribed_topics: 2"));
        if is_aborted {
            peer.served.abort();
            assert!(peer.served.await.unwrap_err().is_cancelled());
        } else {
            peer.ended().await;
        }
        assert_eq!(server.engine.connections(), 0);
        assert!(format!("{:?}", server.app.broker).contains("subscribed_topics: 0"));
    }
}
