//! Tests of JSON-RPC 2.0: the examples from the specification verbatim, then the cases it leaves open.

use std::borrow::Cow;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use rpc_engine::{ApiInfo, Closed, Counters, Limits, Params, Router, RpcError};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_json::{Value, json};

use tokio_util::sync::CancellationToken;

use crate::support::{Peer, Server, soon};

fn result(value: impl Into<Value>, id: impl Into<Value>) -> Value {
    json!({"jsonrpc": "2.0", "result": value.into(), "id": id.into()})
}

/// The engine's error for this code, including its data.
fn error(code: i32, id: impl Into<Value>) -> Value {
    let (message, kind) = match code {
        -32700 => ("Parse error", "parse_error"),
        -32600 => ("Invalid Request", "invalid_request"),
        -32601 => ("Method not found", "method_not_found"),
        -32603 => ("Internal error", "internal"),
        other => panic!("{other}"),
    };
    json!({"jsonrpc": "2.0", "error": {"code": code, "message": message, "data": {"kind": kind}}, "id": id.into()})
}

/// Sends one message on a fresh connection and as a POST. Both must give the same answer, or none. A second request
/// after the first shows that nothing was sent in between and that the connection still works.
async fn check(input: &str, expected: Option<Value>) {
    let server = Server::new(Limits::default());
    assert_eq!(server.post(input).await.map(sorted), expected.clone().map(sorted), "POST {input}");
    let mut peer = server.connect();
    peer.send(input).await;
    if let Some(expected) = expected {
        assert_eq!(sorted(peer.next().await), sorted(expected), "{input}");
    }
    let echo = peer.ask(r#"{"jsonrpc":"2.0","method":"echo","params":{"text":"alive"},"id":"next"}"#).await;
    assert_eq!(echo, result("alive", "next"), "{input}");
    assert_eq!(peer.ended().await, Closed::Lost);
}

/// Sorts the replies of a batch, whose order is undefined.
fn sorted(mut reply: Value) -> Value {
    if let Value::Array(replies) = &mut reply {
        replies.sort_by_key(ToString::to_string);
    }
    reply
}

#[tokio::test]
async fn engine_answers_the_specification_examples() {
    check(r#"{"jsonrpc": "2.0", "method": "subtract", "params": [42, 23], "id": 1}"#, Some(result(19, 1)))
        .await;
    check(r#"{"jsonrpc": "2.0", "method": "subtract", "params": [23, 42], "id": 2}"#, Some(result(-19, 2)))
        .await;
    let named =
        r#"{"jsonrpc": "2.0", "method": "subtract", "params": {"subtrahend": 23, "minuend": 42}, "id": 3}"#;
    check(named, Some(result(19, 3))).await;
    let named =
        r#"{"jsonrpc": "2.0", "method": "subtract", "params": {"minuend": 42, "subtrahend": 23}, "id": 4}"#;
    check(named, Some(result(19, 4))).await;
    check(r#"{"jsonrpc": "2.0", "method": "update", "params": [1,2,3,4,5]}"#, None).await;
    check(r#"{"jsonrpc": "2.0", "method": "foobar"}"#, None).await;
    check(r#"{"jsonrpc": "2.0", "method": "foobar", "id": "1"}"#, Some(error(-32601, "1"))).await;
    check(
        r#"{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]"#,
        Some(error(-32700, Value::Null)),
    )
    .await;
    check(r#"{"jsonrpc": "2.0", "method": 1, "params": "bar"}"#, Some(error(-32600, Value::Null))).await;
    let broken = r#"[
        {"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"},
        {"jsonrpc": "2.0", "method"
    ]"#;
    check(broken, Some(error(-32700, Value::Null))).await;
    check("[]", Some(error(-32600, Value::Null))).await;
    check("[1]", Some(json!([error(-32600, Value::Null)]))).await;
    let thrice = json!([error(-32600, Value::Null), error(-32600, Value::Null), error(-32600, Value::Null)]);
    check("[1,2,3]", Some(thrice)).await;
    let batch = r#"[
        {"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"},
        {"jsonrpc": "2.0", "method": "notify_hello", "params": [7]},
        {"jsonrpc": "2.0", "method": "subtract", "params": [42,23], "id": "2"},
        {"foo": "boo"},
        {"jsonrpc": "2.0", "method": "foo.get", "params": {"name": "myself"}, "id": "5"},
        {"jsonrpc": "2.0", "method": "get_data", "id": "9"}
    ]"#;
    let answers = json!([
        result(7, "1"),
        result(19, "2"),
        error(-32600, Value::Null),
        error(-32601, "5"),
        result(json!(["hello", 5]), "9"),
    ]);
    check(batch, Some(answers)).await;
    let silent = r#"[
        {"jsonrpc": "2.0", "method": "notify_sum", "params": [1,2,4]},
        {"jsonrpc": "2.0", "method": "notify_hello", "params": [7]}
    ]"#;
    check(silent, None).await;
}

#[tokio::test]
async fn engine_rejects_invalid_request_envelopes() {
    for version in ["", r#""jsonrpc":"1.0","#, r#""jsonrpc":2.0,"#] {
        check(&format!(r#"{{{version}"method":"get_data","id":7}}"#), Some(error(-32600, 7))).await;
    }
    for params in [r#""bar""#, "1", "null", "true"] {
        let input = format!(r#"{{"jsonrpc":"2.0","method":"get_data","params":{params},"id":7}}"#);
        check(&input, Some(error(-32600, 7))).await;
    }
    for id in ["{}", "[]", "true"] {
        let input = format!(r#"{{"jsonrpc":"2.0","method":"get_data","id":{id}}}"#);
        check(&input, Some(error(-32600, Value::Null))).await;
    }
    for twice in [r#""method":"get_data","method":"echo""#, r#""method":"get_data","meth\u006fd":"echo""#] {
        check(&format!(r#"{{"jsonrpc":"2.0",{twice},"id":1}}"#), Some(error(-32600, Value::Null))).await;
    }
    check(r#"{"jsonrpc":"2.0","method":"rpc.foo","id":1}"#, Some(error(-32601, 1))).await;
    check(r#""text""#, Some(error(-32600, Value::Null))).await;
    let answered = r#"{"jsonrpc":"2.0","method":"get_data","id":null}"#;
    check(answered, Some(result(json!(["hello", 5]), Value::Null))).await;
}

#[tokio::test]
async fn engine_reports_a_parse_error_when_text_is_not_json() {
    let broken = [
        "",
        "  ",
        "\u{feff}{}",
        "{} x",
        "[NaN]",
        "{",
        r#"{"a":01}"#,
        r#""\ud800""#,
        r#"{"x":"\udc00\ud800"}"#,
        r#"{"jsonrpc":"2.0","method":"echo","params":{"text":"x","y":"\ud800x"},"id":1}"#,
        r#"{"method":1,]"#,
    ];
    for input in broken {
        check(input, Some(error(-32700, Value::Null))).await;
    }
    let pair = r#"{"jsonrpc":"2.0","method":"echo","params":{"text":"\ud83d\ude00\\ud800"},"id":1}"#;
    check(pair, Some(result("😀\\ud800", 1))).await;
    let server = Server::new(Limits::default());
    let reply = server.engine.post(b"\"\xff\"").await.unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&reply).unwrap(), error(-32700, Value::Null));
}

#[tokio::test]
async fn ids_are_returned_byte_for_byte() {
    let ids = [
        "1.5",
        "-1",
        r#""""#,
        "\"é\"",
        r#""\u00e9""#,
        "9007199254740993",
        "18446744073709551615",
        "12345678901234567890123",
        "1e400",
        "null",
    ];
    let server = Server::new(Limits::default());
    for id in ids {
        let body = format!(r#"{{"jsonrpc":"2.0","method":"sum","params":[1],"id": {id} }}"#);
        let reply = server.engine.post(body.as_bytes()).await.unwrap();
        assert_eq!(reply, format!(r#"{{"jsonrpc":"2.0","result":1,"id":{id}}}"#).as_bytes());
        let body = format!(r#"[{{"jsonrpc":"2.0","method":"x","id":{id}}}]"#);
        let reply = String::from_utf8(server.engine.post(body.as_bytes()).await.unwrap().to_vec()).unwrap();
        assert!(reply.ends_with(&format!(r#","id":{id}}}]"#)), "{reply}");
    }
}

#[tokio::test]
async fn invalid_params_error_names_the_field_and_hides_the_value() {
    let cases = [
        (r#"{"minuend":1}"#, "Invalid params: missing field `subtrahend`", "subtrahend"),
        (
            r#"{"minuend":1,"subtrahend":"sk-secret"}"#,
            "Invalid params: invalid type: string \"…\", expected i64",
            "subtrahend",
        ),
    ];
    for (params, message, path) in cases {
        let input = format!(r#"{{"jsonrpc":"2.0","method":"subtract","params":{params},"id":1}}"#);
        let data = json!({"kind": "invalid_params", "path": path});
        let error = json!({"code": -32602, "message": message, "data": data});
        check(&input, Some(json!({"jsonrpc": "2.0", "error": error, "id": 1}))).await;
    }
    let unknown =
        r#"{"jsonrpc":"2.0","method":"subtract","params":{"minuend":3,"subtrahend":1,"more":0},"id":1}"#;
    check(unknown, Some(result(2, 1))).await;
    check(r#"{"jsonrpc":"2.0","method":"subtract","params":{"minuend":1}}"#, None).await;
}

#[tokio::test]
async fn handler_panic_becomes_an_internal_error_and_the_batch_continues() {
    check(r#"{"jsonrpc":"2.0","method":"crash","id":1}"#, Some(error(-32603, 1))).await;
    let batch =
        r#"[{"jsonrpc":"2.0","method":"crash","id":1},{"jsonrpc":"2.0","method":"sum","params":[2],"id":2}]"#;
    check(batch, Some(json!([error(-32603, 1), result(2, 2)]))).await;
}

#[tokio::test]
async fn application_errors_are_passed_through_unchanged() {
    let error = json!({"code": 1001, "message": "gone", "data": {"kind": "not_found"}});
    let input = r#"{"jsonrpc":"2.0","method":"refuse","id":1}"#;
    check(input, Some(json!({"jsonrpc": "2.0", "error": error, "id": 1}))).await;
}

#[tokio::test]
async fn engine_ignores_responses_and_counts_calls_and_failures() {
    let server = Server::new(Limits::default());
    let mut peer = server.connect();
    peer.send(r#"{"jsonrpc":"2.0","result":1,"id":1}"#).await;
    peer.send(r#"[{"jsonrpc":"2.0","error":{"code":1,"message":"x"},"id":null}]"#).await;
    peer.send(r#"{"jsonrpc":"2.0","method":"unknown"}"#).await;
    peer.send(r#"{"jsonrpc":"2.0","method":"subtract","params":[1]}"#).await;
    assert_eq!(peer.call("sum", &json!([1])).await, 1);
    let expected = Counters { calls: 3, failures: 2, failed_notifications: 2, ignored_responses: 2 };
    assert_eq!(server.engine.counters(), expected);
}

#[tokio::test]
async fn slow_call_does_not_block_others_and_equal_ids_are_both_answered() {
    let server = Server::new(Limits::default());
    let mut peer = server.connect();
    peer.send(r#"{"jsonrpc":"2.0","method":"wait","id":1}"#).await;
    peer.send(r#"{"jsonrpc":"2.0","method":"wait","id":1}"#).await;
    assert_eq!(peer.call("sum", &json!([1, 2])).await, 3);
    let mixed =
        r#"[{"jsonrpc":"2.0","method":"wait","id":2},{"jsonrpc":"2.0","method":"sum","params":[3],"id":3}]"#;
    peer.send(mixed).await;
    assert_eq!(peer.call("sum", &json!([4])).await, 4);
    server.app.permits.add_permits(3);
    let mut replies = [peer.next().await, peer.next().await, peer.next().await].map(sorted);
    replies.sort_by_key(ToString::to_string);
    assert_eq!(replies, [json!([result(true, 2), result(3, 3)]), result(true, 1), result(true, 1)]);
}

#[tokio::test]
async fn post_waits_for_slow_calls_and_rejects_subscriptions() {
    let server = Server::new(Limits::default());
    server.app.permits.add_permits(1);
    let slow =
        r#"[{"jsonrpc":"2.0","method":"wait","id":1},{"jsonrpc":"2.0","method":"update","params":[1]}]"#;
    assert_eq!(server.post(slow).await, Some(json!([result(true, 1)])));
    let subscribe = r#"{"jsonrpc":"2.0","method":"events.subscribe","params":{"topics":["a"]},"id":1}"#;
    let refused = server.post(subscribe).await.unwrap();
    assert_eq!(refused["error"]["code"], -32004);
    assert_eq!(refused["error"]["data"], json!({"kind": "not_supported"}));
}

#[tokio::test]
async fn call_runs_to_completion_when_the_client_disconnects() {
    let server = Server::new(Limits::default());
    let mut peer = server.connect();
    peer.send(r#"{"jsonrpc":"2.0","method":"wait","id":1}"#).await;
    soon(server.app.begun.notified()).await;
    assert_eq!(peer.ended().await, Closed::Lost);
    server.app.permits.add_permits(1);
    soon(server.app.ended.notified()).await;

    let engine = server.engine.clone();
    let post = tokio::spawn(async move { engine.post(br#"{"jsonrpc":"2.0","method":"wait","id":1}"#).await });
    soon(server.app.begun.notified()).await;
    post.abort();
    assert!(soon(post).await.unwrap_err().is_cancelled());
    server.app.permits.add_permits(1);
    soon(server.app.ended.notified()).await;
}

#[test]
fn quick_post_call_is_answered_in_the_first_poll() {
    let server = Server::new(Limits::default());
    let mut post = pin!(server.engine.post(br#"{"jsonrpc":"2.0","method":"sum","params":[1],"id":1}"#));
    let reply = post.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(reply, Poll::Ready(Some(_))), "{reply:?}");
}

/// Parameters that count how often their schema is requested.
#[derive(Deserialize)]
struct Counted {}

static DESCRIPTIONS: AtomicUsize = AtomicUsize::new(0);

impl JsonSchema for Counted {
    fn schema_name() -> Cow<'static, str> {
        "Counted".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        DESCRIPTIONS.fetch_add(1, Ordering::Relaxed);
        json_schema!({"type": "object"})
    }
}

impl Params for Counted {
    const METHOD: &'static str = "counted";
    const SUMMARY: &'static str = "Test method counted.";
    type Result = ();
}

#[test]
fn openrpc_document_is_built_once_and_only_on_request() {
    let info = ApiInfo { title: "test".into(), version: "1".into(), description: "A test.".into() };
    let router = Router::new().on(|(), _, _: Counted| async { Ok::<_, RpcError>(()) });
    let service = router.build(&(), info, Limits::default());
    assert_eq!(DESCRIPTIONS.load(Ordering::Relaxed), 0);
    assert_eq!(service.openrpc().as_ptr(), service.openrpc().as_ptr());
    assert_eq!(DESCRIPTIONS.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn openrpc_document_is_stable_and_its_references_resolve() {
    let server = Server::new(Limits::default());
    let mut peer = server.connect();
    let document = peer.call("rpc.discover", &json!({})).await;
    assert_eq!(document.to_string().as_bytes(), server.engine.openrpc());
    let again = Server::new(Limits::default());
    assert_eq!(server.engine.openrpc(), again.engine.openrpc());
    let text = document.to_string();
    for (at, _) in text.match_indices(r##""$ref":"#"##) {
        let pointer = text[at + 9..].split('"').next().unwrap();
        assert!(document.pointer(pointer).is_some(), "{pointer}");
    }
    insta::assert_json_snapshot!("openrpc", document);
}

async fn answer(server: &Server, method: &str, params: Value) -> Value {
    let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    server.post(&request.to_string()).await.unwrap()
}

#[tokio::test]
async fn unknown_parameter_is_named_in_warnings_when_it_is_ignored() {
    let server = Server::new(Limits::default());
    let result = answer(&server, "greet.person", json!({"name": "you", "colour": 1})).await;
    let warning = "the parameter `colour` is unknown and was ignored";
    assert_eq!(result["result"], json!({"text": "you", "warnings": [warning]}));
    let empty = answer(&server, "greet.person", json!({"colour": 1})).await;
    assert_eq!(empty["result"], json!({"warnings": [warning]}));
    // A result that is no object cannot name it.
    assert_eq!(answer(&server, "echo", json!({"text": "a", "colour": 1})).await["result"], "a");
    assert_eq!(answer(&server, "report", json!({"colour": 1})).await["result"], json!(["colour"]));
    let refused = answer(&server, "greet.person", json!({"nmae": "you"})).await;
    assert_eq!(
        refused["error"]["data"],
        json!({"kind": "invalid_params", "path": "nmae", "suggestion": "name"})
    );
}

#[tokio::test]
async fn method_is_found_by_its_alias_and_suggested_when_its_name_is_misspelt() {
    let server = Server::new(Limits::default());
    assert_eq!(answer(&server, "greetPerson", json!({"name": "you"})).await["result"]["text"], "you");
    let check = async |name: &str, suggestion: Value| {
        let error = answer(&server, name, json!({})).await["error"].take();
        assert_eq!((&error["code"], &error["data"]["suggestion"]), (&json!(-32601), &suggestion), "{name}");
    };
    check("Greet_Person", json!("greetPerson")).await;
    check("greet.persn", json!("greet.person")).await;
    check("something.else", Value::Null).await;
    check(&"x".repeat(10_000), Value::Null).await;
}

#[tokio::test]
async fn caller_with_a_permission_reaches_only_the_methods_of_its_scope() {
    let server = Server::new(Limits::default());
    let limited = server.granted("greet");
    assert_eq!(answer(&limited, "greetPerson", json!({"name": "you"})).await["result"]["text"], "you");
    // A method without a scope is closed to every limited caller.
    assert_eq!(answer(&limited, "echo", json!({"text": "a"})).await["error"]["code"], 1015);
    assert_eq!(answer(&server.granted("other"), "greet.person", json!({})).await["error"]["code"], 1015);
    assert_eq!(answer(&server, "echo", json!({"text": "a"})).await["result"], "a");
}

#[tokio::test]
async fn connection_is_closed_when_its_permission_ends() {
    let server = Server::new(Limits::default());
    let (near, far) = tokio::io::duplex(4096);
    let dismissal = CancellationToken::new();
    let (engine, ends) = (server.engine.clone(), dismissal.clone());
    let serving = tokio::spawn(async move { engine.serve_until(far, Bytes::new(), ends).await });
    let mut peer = Peer { stream: near, served: serving };
    assert_eq!(peer.call("sum", &json!([1])).await, 1);
    dismissal.cancel();
    assert_eq!(peer.closing().await.0, 4003);
    assert_eq!(soon(peer.served).await.unwrap(), Closed::Dismissed);
}
