//! Property tests: for any input, the output is valid JSON-RPC.

use proptest::prelude::*;
use rpc_engine::Limits;
use serde_json::Value;

use crate::support::Server;

/// Returns whether this is a valid engine reply: exactly one of `result` and `error`, with every member well formed.
fn is_reply(reply: &Value) -> bool {
    let Some(members) = reply.as_object() else { return false };
    let answers = [members.get("result").is_some(), members.get("error").is_some()];
    let error_is_whole = members.get("error").is_none_or(|error| {
        let code = error["code"].as_i64().unwrap_or_default();
        (-32099..=-32000).contains(&code)
            || [-32700, -32600, -32601, -32602, -32603].contains(&code)
            || code > 0
    });
    members.len() == 3
        && members.get("jsonrpc").is_some_and(|v| v == "2.0")
        && members.contains_key("id")
        && answers.iter().filter(|there| **there).count() == 1
        && error_is_whole
}

fn check(body: &[u8]) -> Result<(), TestCaseError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let server = Server::new(Limits::default());
    server.app.permits.add_permits(1000);
    let Some(reply) = runtime.block_on(server.engine.post(body)) else { return Ok(()) };
    let reply: Value = serde_json::from_slice(&reply).unwrap();
    match &reply {
        Value::Array(replies) => prop_assert!(!replies.is_empty() && replies.iter().all(is_reply), "{reply}"),
        _ => prop_assert!(is_reply(&reply), "{reply}"),
    }
    Ok(())
}

/// Generates JSON that often resembles an envelope.
fn envelope() -> impl Strategy<Value = String> {
    let method = prop_oneof![
        "subtract",
        "echo",
        "wait",
        "refuse",
        "rpc\\.discover",
        "events\\.subscribe",
        "[a-z.]{0,6}"
    ];
    let params = prop_oneof![
        Just("[1,2]".to_owned()),
        Just(r#"{"text":"x"}"#.to_owned()),
        Just(r#"{"topics":["a"]}"#.to_owned()),
        "[\\[\\]{}:,\"0-9a-z]{0,8}",
    ];
    let id = prop_oneof![
        Just("1".to_owned()),
        Just("null".to_owned()),
        Just("\"x\"".to_owned()),
        "[\\[{\"0-9.e-]{1,3}"
    ];
    let version = prop_oneof![4 => Just("\"2.0\""), 1 => Just("\"1.0\""), 1 => Just("2.0")];
    (version, method, params, id, any::<[bool; 4]>()).prop_map(|(version, method, params, id, has)| {
        let members = [
            format!(r#""jsonrpc":{version}"#),
            format!(r#""method":"{method}""#),
            format!(r#""params":{params}"#),
            format!(r#""id":{id}"#),
        ];
        let members: Vec<String> =
            members.into_iter().zip(has).filter(|(_, has)| *has).map(|(m, _)| m).collect();
        format!("{{{}}}", members.join(","))
    })
}

proptest! {
    #[test]
    fn reply_is_well_formed_or_absent_for_arbitrary_bytes(body in prop::collection::vec(any::<u8>(), 0..200)) {
        check(&body)?;
    }

    #[test]
    fn reply_is_well_formed_or_absent_for_text_that_resembles_json(body in "[\\[\\]{}:,\"\\\\ntfu0-9.e \u{e9}-]{0,60}") {
        check(body.as_bytes())?;
    }

    #[test]
    fn reply_is_well_formed_or_absent_for_json_that_resembles_envelopes(
        elements in prop::collection::vec(envelope(), 1..5),
        is_batch: bool,
    ) {
        let body = if is_batch { format!("[{}]", elements.join(",")) } else { elements.concat() };
        check(body.as_bytes())?;
    }
}
