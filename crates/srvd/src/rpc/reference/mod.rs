//! Generates `docs/protocol.md` from the types, the error list and the topics, so that the document matches the code.

mod providers;

use std::fmt::Write as _;

use rpc_engine::ENGINE_ERRORS;
use serde_json::{Map, Value};

use crate::rpc::routes;
use crate::wire::error::Kind;
use crate::wire::events::{TOPICS, Topic};

pub(crate) use providers::providers_markdown;

/// Returns the complete document. A test compares it with `docs/protocol.md`.
pub(crate) fn protocol_markdown() -> String {
    let document: Value =
        serde_json::from_slice(&routes::router().openrpc(routes::info())).unwrap_or_default();
    let mut text = String::from(INTRODUCTION);
    methods(&mut text, &document);
    shapes(&mut text, &document);
    errors(&mut text);
    topics(&mut text);
    limits(&mut text, &document);
    text
}

/// Returns the reference in Markdown, or the `OpenRPC` document, as `GET /openrpc.json` answers it.
pub(crate) fn document(openrpc: bool) -> Vec<u8> {
    if openrpc { routes::router().openrpc(routes::info()).to_vec() } else { protocol_markdown().into_bytes() }
}

const INTRODUCTION: &str = "\
<!-- Generated from the code by `srvd protocol`; a test fails when it is stale. Edit the types in crates/srvd/src/wire. -->
# The wire of srvd, version 1

JSON-RPC 2.0. All JSON is camelCase, all times are Unix milliseconds (`...At`) or milliseconds (`...Ms`), all ids are
strings. A result field without a value is omitted, unless its description allows `null`. Parameters are passed by name.
An unknown parameter is an error if it is within two edits of a known one that is absent (`data.suggestion`), or if the
method has the scope `launch`. Otherwise it is ignored, and the result names it in `warnings`, a list of strings. A client must accept later additions: fields, error kinds, and values of an enum.

| endpoint | use |
|---|---|
| `GET /rpc` upgrade | WebSocket, one JSON-RPC message or batch per text frame |
| `POST /rpc` | one request or batch as `application/json`; `events.*` answer `not_supported` |
| `GET /openrpc.json` | this protocol as an OpenRPC document, as `rpc.discover` |
| `GET /healthz`, `GET /readyz` | 200 or 503, without authentication; also by `HEAD` and HTTP/1.0, whatever the query is |
| `GET /metrics` | figures in the text format of Prometheus |
| `GET /me` | `{forgeType, accountLogin, baseUrl, since}` of the operator's active account; 401 without a session, 412 with the kind `no_active_forge` if no account is active |
| `GET /login/<name>` | redirects the operator's browser to the forge with that name in `srvd.toml` |
| `GET /oauth/callback` | the URL to which forges redirect the browser; authenticated only by the `state` of a sign-in |

`endpoint.json` in the runtime directory contains the addresses: `{version, pid, url, socket, tokenFile, epoch}`. On the
Unix socket, the kernel identifies the peer's user, who must be the daemon's own user or root. On TCP, every request except
the two health checks must contain `Authorization: Bearer <content of tokenFile>`. A browser, which cannot set that header on a
WebSocket, offers the subprotocols `srvd.v1` and `srvd.bearer.<token>` and receives the answer `srvd.v1`. Each start of the
daemon creates a new token.

Only `/me` and `/login/<name>` accept a session in place of the token: the cookie `srvd_session`. A browser receives it when
an operator sign-in succeeds in that browser. It is valid until the next sign-in, and for at most twelve hours. A
browser's request for these paths must not come from another site (`Sec-Fetch-Site`); for `/login/<name>`, the header is
required.
";

fn methods(text: &mut String, document: &Value) {
    text.push_str("\n## Methods\n");
    for method in document["methods"].as_array().into_iter().flatten() {
        let name = method["name"].as_str().unwrap_or_default();
        let summary = method["summary"].as_str().unwrap_or_default();
        let result = kind(&method["result"]["schema"]);
        // Writing to a String cannot fail, here and below.
        let scope = method["x-scope"].as_str().unwrap_or("none");
        let _ = write!(text, "\n### `{name}`\n\n{summary} Result: {result}. Scope: `{scope}`.");
        let aliases = method["x-alias"].as_array().into_iter().flatten().filter_map(Value::as_str);
        for alias in aliases {
            let _ = write!(text, " Also `{alias}`.");
        }
        text.push('\n');
        let params: Vec<&Value> = method["params"].as_array().into_iter().flatten().collect();
        if !params.is_empty() {
            text.push_str("\n| parameter | type | |\n|---|---|---|\n");
        }
        for param in params {
            let is_required = param["required"] == true;
            row(text, param["name"].as_str().unwrap_or_default(), is_required, &param["schema"]);
        }
    }
}

fn shapes(text: &mut String, document: &Value) {
    text.push_str("\n## Shapes\n");
    let none = Map::new();
    for (name, schema) in document["components"]["schemas"].as_object().unwrap_or(&none) {
        let _ = write!(text, "\n### {name}\n\n{}\n", sentence(schema));
        if let Some(words) = schema["oneOf"].as_array() {
            text.push_str("\n| value | |\n|---|---|\n");
            for word in words {
                let _ = writeln!(text, "| {} | {} |", kind(word), sentence(word));
            }
        }
        let Some(members) = schema["properties"].as_object() else { continue };
        let required: Vec<&str> =
            schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        text.push_str("\n| field | type | |\n|---|---|---|\n");
        for (member, schema) in members {
            row(text, member, required.contains(&member.as_str()), schema);
        }
    }
}

/// Writes a member. An optional one has a question mark; one that is always there may be `null`.
fn row(text: &mut String, name: &str, is_required: bool, schema: &Value) {
    let (mark, null) = match (is_required, allows_null(schema)) {
        (false, _) => ("?", ""),
        (true, true) => ("", " or `null`"),
        (true, false) => ("", ""),
    };
    let _ = writeln!(text, "| `{name}{mark}` | {}{null} | {} |", kind(schema), sentence(schema));
}

fn allows_null(schema: &Value) -> bool {
    let is_null = |kind: &Value| kind == "null" || kind["type"] == "null";
    let lists = [&schema["type"], &schema["anyOf"], &schema["oneOf"]];
    lists.iter().any(|list| list.as_array().is_some_and(|kinds| kinds.iter().any(is_null)))
}

/// Returns the doc comment as one table cell.
fn sentence(schema: &Value) -> String {
    schema["description"]
        .as_str()
        .unwrap_or_default()
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .replace('|', "\\|")
}

/// Returns a schema in type notation.
fn kind(schema: &Value) -> String {
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.rsplit('/').next().unwrap_or_default();
        return format!("[{name}](#{})", name.to_lowercase());
    }
    if let Some(word) = schema["const"].as_str() {
        return format!("`{word}`");
    }
    if let Some(words) = schema["enum"].as_array() {
        return words
            .iter()
            .filter_map(Value::as_str)
            .map(|word| format!("`{word}`"))
            .collect::<Vec<_>>()
            .join(" or ");
    }
    for choice in ["anyOf", "oneOf", "allOf"] {
        if let Some(kinds) = schema[choice].as_array() {
            return kinds.iter().map(kind).filter(|kind| kind != "null").collect::<Vec<_>>().join(" or ");
        }
    }
    match &schema["type"] {
        Value::Array(kinds) => kinds
            .iter()
            .filter_map(Value::as_str)
            .filter(|kind| *kind != "null")
            .map(|name| simple(name, schema))
            .collect::<Vec<_>>()
            .join(" or "),
        Value::String(name) => simple(name, schema),
        _ => "any".to_owned(),
    }
}

/// Returns a type with the type of its items.
fn simple(name: &str, schema: &Value) -> String {
    match name {
        "array" if schema["items"].is_object() => format!("list of {}", kind(&schema["items"])),
        "object" if schema["additionalProperties"].is_object() => {
            format!("object of {}", kind(&schema["additionalProperties"]))
        }
        name => name.to_owned(),
    }
}

fn errors(text: &mut String) {
    text.push_str("\n## Errors\n\nPrograms should rely on `data.kind`; the message is for humans. `data.hint`, if present, says what to do.\n\n");
    text.push_str("| code | kind | when |\n|---|---|---|\n");
    let engine = ENGINE_ERRORS.iter().map(|error| (error.code, error.kind, error.when));
    // A kind that the engine also uses is listed only once.
    let own = Kind::ENTRIES.iter().filter(|kind| ENGINE_ERRORS.iter().all(|error| error.code != kind.code));
    let own = own.map(|kind| (kind.code, kind.kind, kind.when));
    for (code, kind, when) in engine.chain(own) {
        let _ = writeln!(text, "| {code} | `{kind}` | {when} |");
    }
    text.push_str("\nThe values of `errorKind` in a result are those of [ErrorKind](#errorkind).\n");
}

fn topics(text: &mut String) {
    text.push_str(
        "\n## Events\n\n`{\"jsonrpc\":\"2.0\",\"method\":\"event\",\"params\":{topic, seq, at, data?, subscriptionId}}`. An event means \
         \"fetch again\"; `data` contains ids and states, never secrets, URLs or codes. A client that was disconnected subscribes with \
         `since`; a client that missed more events than are retained, or that reads too slowly, receives `lagged: true` or\n\
         `{\"jsonrpc\":\"2.0\",\"method\":\"events.lagged\",\"params\":{subscriptionId, missed, seq}}` and fetches again.\n\n",
    );
    text.push_str("| topic | when |\n|---|---|\n");
    for Topic { topic, when, .. } in TOPICS {
        let _ = writeln!(text, "| `{topic}` | {when} |");
    }
}

fn limits(text: &mut String, document: &Value) {
    text.push_str(
        "\n## Limits\n\n`srvd.info` returns them as `limits` ([Limits](#limits-1)). Calls over the limit of running calls wait in a queue; only a call \
         that finds the queue full, or that waits too long, is answered with `server_busy`, and it has not been started then.\n\n| limit | value |\n|---|---|\n",
    );
    for (name, value) in document["x-limits"].as_object().into_iter().flatten() {
        let _ = writeln!(text, "| `{name}` | {value} |");
    }
    text.push_str("\nThe daemon closes a WebSocket with these codes:\n\n| code | when |\n|---|---|\n");
    for closed in document["x-close-codes"].as_array().into_iter().flatten() {
        let _ = writeln!(text, "| {} | {} |", closed["code"], closed["summary"].as_str().unwrap_or_default());
    }
}
