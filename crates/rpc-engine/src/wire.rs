//! Envelopes: a message is parsed once, with borrowed fields, and replies are written straight to bytes.
//!
//! The parser reports what JSON-RPC 2.0 asks for (`Parse error` for text that is not JSON, `Invalid Request` for JSON
//! that is no request, with the id whenever one could be read). Where the standard is silent: fractional ids are
//! accepted, an `id` of `null` makes a request and no notification, a duplicate envelope member is an invalid request.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::error::RpcError;
use crate::limits::Limits;

/// The id of a request: a string, a number or null, as the bytes that the client wrote.
#[derive(Clone, Copy, Debug)]
pub struct Id<'a>(&'a RawValue);

impl<'a> Id<'a> {
    /// The JSON text.
    pub fn as_str(&self) -> &'a str {
        self.0.get()
    }
}

/// One request or notification, borrowed from its message.
#[derive(Debug)]
pub struct Request<'a> {
    /// The method's name.
    pub method: Cow<'a, str>,
    /// An array or an object, when it is there.
    pub params: Option<&'a RawValue>,
    /// None makes it a notification.
    pub id: Option<Id<'a>>,
}

/// What one element of a message turned out to be.
#[derive(Debug)]
pub enum Element<'a> {
    /// Something to call.
    Request(Request<'a>),
    /// A response, which a server ignores.
    Response,
    /// Something to refuse, with the id if one could be read.
    Invalid(Option<Id<'a>>),
}

/// What one message turned out to be.
#[derive(Debug)]
pub enum Message<'a> {
    /// One element.
    Single(Element<'a>),
    /// The elements of a batch, not yet parsed; at least one.
    Batch(Vec<&'a RawValue>),
    /// The whole message is refused, without an id.
    Refused(RpcError),
}

/// Nesting from which any text is a parse error: the limit of the JSON parser underneath.
const PARSER_DEPTH: usize = 128;

/// Parses one message.
pub fn parse<'a>(text: &'a str, limits: &Limits) -> Message<'a> {
    if deeper_than(text, PARSER_DEPTH - 1) || has_lone_surrogate(text) {
        return Message::Refused(RpcError::parse_error());
    }
    if text.trim_start_matches([' ', '\t', '\n', '\r']).starts_with('[') {
        return match parse_batch(text, limits.batch) {
            None => Message::Refused(RpcError::parse_error()),
            Some(elements) if elements.is_empty() || elements.len() > limits.batch => {
                Message::Refused(RpcError::invalid_request())
            }
            Some(elements) => Message::Batch(elements),
        };
    }
    parse_element(text, limits).map_or_else(|| Message::Refused(RpcError::parse_error()), Message::Single)
}

/// Parses one element of a batch, or a message that is no batch. None when the text is not JSON.
pub fn parse_element<'a>(text: &'a str, limits: &Limits) -> Option<Element<'a>> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let members = if text.trim_start_matches([' ', '\t', '\n', '\r']).starts_with('{') {
        let members = reader.deserialize_map(MembersVisitor).ok()?;
        reader.end().ok()?;
        members
    } else {
        serde_json::from_str::<IgnoredAny>(text).ok()?;
        return Some(Element::Invalid(None));
    };
    members.judge(limits, !deeper_than(text, limits.json_depth))
}

/// The members of an envelope before anything is known about their types.
#[derive(Default)]
struct Members<'a> {
    jsonrpc: Option<&'a RawValue>,
    method: Option<&'a RawValue>,
    params: Option<&'a RawValue>,
    id: Option<&'a RawValue>,
    answers: bool,
    duplicate: bool,
}

impl<'a> Members<'a> {
    /// None when a string in the envelope is no valid JSON string after all.
    fn judge(self, limits: &Limits, shallow: bool) -> Option<Element<'a>> {
        let id = self.id.filter(|id| id.get().len() <= limits.id_bytes && is_id(id.get())).map(Id);
        let id_is_bad = self.id.is_some() && id.is_none();
        let version = self.jsonrpc.is_some_and(|v| v.get() == r#""2.0""#);
        if self.method.is_none() && self.answers && version {
            return Some(Element::Response);
        }
        let params_are_bad = self.params.is_some_and(|p| !p.get().starts_with(['{', '[']));
        let method = match self.method.map(RawValue::get) {
            Some(text) if text.starts_with('"') => Some(string(text)?),
            _ => None,
        };
        match method {
            Some(method) if version && shallow && !self.duplicate && !id_is_bad && !params_are_bad => {
                Some(Element::Request(Request { method, params: self.params, id }))
            }
            _ => Some(Element::Invalid(id.filter(|_| !self.duplicate))),
        }
    }
}

/// A JSON string as text, borrowed when it holds no escape.
fn string(json: &str) -> Option<Cow<'_, str>> {
    let inner = json.get(1..json.len().checked_sub(1)?)?;
    if inner.contains('\\') {
        serde_json::from_str(json).ok().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(inner))
    }
}

fn is_id(json: &str) -> bool {
    json == "null" || json.starts_with(|c: char| c == '"' || c == '-' || c.is_ascii_digit())
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON-RPC envelope")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Members::default();
        while let Some(Key(key)) = map.next_key()? {
            let slot = match &*key {
                "jsonrpc" => &mut members.jsonrpc,
                "method" => &mut members.method,
                "params" => &mut members.params,
                "id" => &mut members.id,
                other => {
                    members.answers |= matches!(other, "result" | "error");
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            members.duplicate |= slot.replace(map.next_value()?).is_some();
        }
        Ok(members)
    }
}

/// A member's name, borrowed unless it is written with escapes.
#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

/// The elements of an array; reading stops being remembered one past `limit`, so a long batch costs no memory.
fn parse_batch(text: &str, limit: usize) -> Option<Vec<&RawValue>> {
    struct Elements(usize);
    impl<'de> Visitor<'de> for Elements {
        type Value = Vec<&'de RawValue>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a batch")
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            let mut elements = Vec::new();
            while let Some(element) = seq.next_element::<&RawValue>()? {
                if elements.len() <= self.0 {
                    elements.push(element);
                }
            }
            Ok(elements)
        }
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    let elements = reader.deserialize_seq(Elements(limit)).ok()?;
    reader.end().ok()?;
    Some(elements)
}

/// Whether arrays and objects nest deeper than `limit`. Text that is too short for that, or opens too few of them, is not
/// looked at more closely, which is nearly all.
fn deeper_than(text: &str, limit: usize) -> bool {
    if text.len() <= 2 * limit || openings(text) <= limit {
        return false;
    }
    let (mut open, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                open += 1;
                if open > limit {
                    return true;
                }
            }
            b']' | b'}' if !in_string => open = open.saturating_sub(1),
            _ => {}
        }
    }
    false
}

/// How many arrays and objects a text could open. Chunks are so short that a byte holds each count, and nothing is checked
/// for overflow: so the compiler counts many bytes at once.
fn openings(text: &str) -> usize {
    let opens = |count: u8, byte: &u8| count.wrapping_add(u8::from(matches!(byte, b'[' | b'{')));
    text.as_bytes().chunks(192).map(|chunk| usize::from(chunk.iter().fold(0, opens))).sum()
}

/// Whether a `\uD800`-style escape stands without its other half. The parser skips over members that nobody reads
/// without looking at them, so this is asked of the text as a whole.
fn has_lone_surrogate(text: &str) -> bool {
    let unit = |at: usize| {
        let hex = text.as_bytes().get(at..at + 6)?.strip_prefix(b"\\u")?;
        u16::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()
    };
    let mut from = 0;
    while let Some(found) = text.get(from..).and_then(|rest| rest.find('\\')) {
        let at = from + found;
        from = at + 2;
        match unit(at) {
            Some(0xD800..=0xDBFF) => match unit(at + 6) {
                Some(0xDC00..=0xDFFF) => from = at + 12,
                _ => return true,
            },
            Some(0xDC00..=0xDFFF) => return true,
            _ => {}
        }
    }
    false
}

/// The front of a reply, up to where the result's JSON begins; [`finish_result`] ends it.
pub(crate) const RESULT_HEAD: &[u8] = br#"{"jsonrpc":"2.0","result":"#;

/// Ends a reply that was begun with [`RESULT_HEAD`].
pub(crate) fn finish_result(mut reply: Vec<u8>, id: &str) -> Vec<u8> {
    reply.extend_from_slice(br#","id":"#);
    reply.extend_from_slice(id.as_bytes());
    reply.push(b'}');
    reply
}

/// An error reply; without an id it says null.
pub(crate) fn error_reply(error: &RpcError, id: Option<&str>) -> Vec<u8> {
    #[derive(Serialize)]
    struct Reply<'a> {
        jsonrpc: &'static str,
        error: &'a RpcError,
    }
    let mut reply = serde_json::to_vec(&Reply { jsonrpc: "2.0", error }).unwrap_or_else(|_| {
        // Only data of an application that is no JSON can get here; the client still gets a whole answer.
        br#"{"jsonrpc":"2.0","error":{"code":-32603,"message":"Internal error","data":{"kind":"internal"}}}"#
            .to_vec()
    });
    reply.pop();
    finish_result(reply, id.unwrap_or("null"))
}
