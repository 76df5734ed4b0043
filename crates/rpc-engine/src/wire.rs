//! Envelopes. A message is parsed once, with borrowed fields, and replies are written straight to bytes.
//!
//! The parser reports the errors of JSON-RPC 2.0: `Parse error` for text that is not JSON, and `Invalid Request` for
//! JSON that is not a request, with the id if one could be read. Where the standard is silent, fractional ids are
//! accepted, an `id` of `null` makes a request and not a notification, and a duplicate envelope member is an invalid
//! request.

use std::borrow::Cow;
use std::fmt;

use memchr::{memchr, memchr2_iter};
use serde::de::{Deserializer as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::error::RpcError;
use crate::limits::Limits;

/// The id of a request: a string, a number or null, as the bytes that the client wrote.
#[derive(Clone, Copy, Debug)]
pub struct Id<'a>(&'a str);

impl<'a> Id<'a> {
    /// The JSON text of the id.
    pub fn as_str(&self) -> &'a str {
        self.0
    }
}

/// One request or notification, borrowed from its message.
#[derive(Debug)]
pub struct Request<'a> {
    /// The method's name.
    pub method: Cow<'a, str>,
    /// The JSON text of an array or an object, if present.
    pub params: Option<&'a str>,
    /// The id of the request, or `None` for a notification.
    pub id: Option<Id<'a>>,
}

/// A parsed element of a message.
#[derive(Debug)]
pub enum Element<'a> {
    /// A request or notification to call.
    Request(Request<'a>),
    /// A response, which a server ignores.
    Response,
    /// An element to refuse, with the id if one could be read.
    Invalid(Option<Id<'a>>),
}

/// A parsed message.
#[derive(Debug)]
pub enum Message<'a> {
    /// A message with one element.
    Single(Element<'a>),
    /// The elements of a batch, not yet parsed; at least one.
    Batch(Vec<&'a RawValue>),
    /// A message that is refused as a whole, without an id.
    Refused(RpcError),
}

/// The nesting from which any text is a parse error. It is the limit of the underlying JSON parser.
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

/// Parses one element of a batch, or a message that is not a batch. Returns `None` when the text is not JSON.
pub fn parse_element<'a>(text: &'a str, limits: &Limits) -> Option<Element<'a>> {
    if let Some(members) = Members::plain(text) {
        // An array or object in any other member is refused, however deep it is.
        let below = limits.json_depth.saturating_sub(1);
        let shallow = members.params.is_none_or(|params| !deeper_than(params, below));
        return members.judge(limits, shallow);
    }
    if !text.trim_start_matches([' ', '\t', '\n', '\r']).starts_with('{') {
        serde_json::from_str::<IgnoredAny>(text).ok()?;
        return Some(Element::Invalid(None));
    }
    Members::read(text)?.judge(limits, !deeper_than(text, limits.json_depth))
}

/// The JSON texts of an envelope's members, whose types have not been checked yet.
#[derive(Debug, Default, PartialEq)]
struct Members<'a> {
    jsonrpc: Option<&'a str>,
    method: Option<&'a str>,
    params: Option<&'a str>,
    id: Option<&'a str>,
    answers: bool,
    duplicate: bool,
}

impl<'a> Members<'a> {
    /// Reads any object. Returns `None` when the text is not a JSON object.
    fn read(text: &'a str) -> Option<Self> {
        let mut reader = serde_json::Deserializer::from_str(text);
        let members = reader.deserialize_map(MembersVisitor).ok()?;
        reader.end().ok()?;
        Some(members)
    }

    /// Reads the form that nearly every client writes: only members of a request, each once, without blanks and
    /// escapes, and with a number or a string as the id. Returns `None` for any other text, valid or not, which
    /// [`Self::read`] decides.
    fn plain(text: &'a str) -> Option<Self> {
        let mut members = Self::default();
        let mut rest = text.strip_prefix('{')?;
        loop {
            let (slot, value) = members.slot(rest)?;
            let (value, after) = value.split_at_checked(plain_value(value)?)?;
            if slot.replace(value).is_some() {
                return None;
            }
            if after == "}" {
                return Some(members);
            }
            rest = after.strip_prefix(',')?;
        }
    }

    /// Returns the slot for the member that begins here, and the text from its value on.
    fn slot(&mut self, text: &'a str) -> Option<(&mut Option<&'a str>, &'a str)> {
        Some(if let Some(rest) = text.strip_prefix(r#""params":"#) {
            (&mut self.params, rest)
        } else if let Some(rest) = text.strip_prefix(r#""method":"#) {
            (&mut self.method, rest)
        } else if let Some(rest) = text.strip_prefix(r#""jsonrpc":"#) {
            (&mut self.jsonrpc, rest)
        } else {
            (&mut self.id, text.strip_prefix(r#""id":"#)?)
        })
    }

    /// Classifies the members. Returns `None` when a string in the envelope is not a valid JSON string.
    fn judge(self, limits: &Limits, shallow: bool) -> Option<Element<'a>> {
        let id = self.id.filter(|id| id.len() <= limits.id_bytes && is_id(id)).map(Id);
        let id_is_bad = self.id.is_some() && id.is_none();
        let version = self.jsonrpc == Some(r#""2.0""#);
        if self.method.is_none() && self.answers && version {
            return Some(Element::Response);
        }
        let params_are_bad =
            self.params.is_some_and(|params| !matches!(params.as_bytes(), [b'{' | b'[', ..]));
        let method = match self.method {
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

/// Returns the end of the value that begins here, if it is an array, an object, a whole number or a string without
/// escapes. The caller has to check the text that follows a number.
fn plain_value(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    match bytes {
        [b'[' | b'{', ..] => {
            let mut values = serde_json::Deserializer::from_str(text).into_iter::<IgnoredAny>();
            values.next()?.ok()?;
            Some(values.byte_offset())
        }
        [b'"', inner @ ..] => {
            let plain = |byte: &u8| *byte >= b' ' && *byte != b'\\';
            let end = memchr(b'"', inner)?;
            inner.get(..end)?.iter().all(plain).then_some(end + 2)
        }
        [b'0'..=b'9', ..] => {
            let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
            (digits == 1 || bytes.first() != Some(&b'0')).then_some(digits)
        }
        _ => None,
    }
}

/// Decodes a JSON string, borrowed when it holds no escape.
fn string(json: &str) -> Option<Cow<'_, str>> {
    let inner = json.get(1..json.len().checked_sub(1)?)?;
    if memchr(b'\\', inner.as_bytes()).is_some() {
        serde_json::from_str(json).ok().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(inner))
    }
}

fn is_id(json: &str) -> bool {
    json == "null" || matches!(json.as_bytes(), [b'"' | b'-' | b'0'..=b'9', ..])
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
            members.duplicate |= slot.replace(map.next_value::<&RawValue>()?.get()).is_some();
        }
        Ok(members)
    }
}

/// A member's name, borrowed unless it is written with escapes.
#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

/// Returns the elements of an array. At most one element past `limit` is kept, so that a long batch costs no memory.
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

/// Returns whether arrays and objects nest deeper than `limit`. Text that is too short for that, or opens too few of
/// them, is not examined further. Nearly all texts are of this kind.
fn deeper_than(text: &str, limit: usize) -> bool {
    if text.len() <= 2 * limit || memchr2_iter(b'[', b'{', text.as_bytes()).nth(limit).is_none() {
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

/// Returns whether a `\uD800`-style escape appears without its other half. The parser skips unused members without
/// checking them, so the text is checked as a whole.
fn has_lone_surrogate(text: &str) -> bool {
    let unit = |at: usize| {
        let hex = text.as_bytes().get(at..at + 6)?.strip_prefix(b"\\u")?;
        u16::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()
    };
    let mut from = 0;
    while let Some(found) = text.as_bytes().get(from..).and_then(|rest| memchr(b'\\', rest)) {
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

/// The front of a reply, up to the JSON of the result. [`finish_result`] ends the reply.
pub(crate) const RESULT_HEAD: &[u8] = br#"{"jsonrpc":"2.0","result":"#;

/// Ends a reply that was begun with [`RESULT_HEAD`].
pub(crate) fn finish_result(mut reply: Vec<u8>, id: &str) -> Vec<u8> {
    reply.extend_from_slice(br#","id":"#);
    reply.extend_from_slice(id.as_bytes());
    reply.push(b'}');
    reply
}

/// Encodes an error reply. Without an id, the reply has a null id.
pub(crate) fn error_reply(error: &RpcError, id: Option<&str>) -> Vec<u8> {
    #[derive(Serialize)]
    struct Reply<'a> {
        jsonrpc: &'static str,
        error: &'a RpcError,
    }
    let mut reply = serde_json::to_vec(&Reply { jsonrpc: "2.0", error }).unwrap_or_else(|_| {
        // Only application data that is not JSON can get here. The client still receives a complete answer.
        br#"{"jsonrpc":"2.0","error":{"code":-32603,"message":"Internal error","data":{"kind":"internal"}}}"#
            .to_vec()
    });
    reply.pop();
    finish_result(reply, id.unwrap_or("null"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn member() -> impl Strategy<Value = String> {
        let name =
            prop::sample::select(vec!["jsonrpc", "method", "params", "id", "result", "other", r"i\u0064"]);
        let value = prop::sample::select(vec![
            r#""2.0""#,
            r#""srvd.ping""#,
            r#""""#,
            r#""a\"b""#,
            "\"a\u{1}b\"",
            r#""ü""#,
            "\"open",
            "7",
            "0",
            "01",
            "1.5",
            "-1",
            "1e3",
            "null",
            "true",
            "{}",
            "[]",
            r#"{"a":[1,{"b":"}]\\"}]}"#,
            "[1,]",
            "[1",
            "{ }",
            "{\"a\":\u{1}}",
            "",
        ]);
        let blank = || prop::sample::select(vec!["", "", "", " ", "\n"]);
        (name, blank(), blank(), value, blank())
            .prop_map(|(name, a, b, value, c)| format!("\"{name}\"{a}:{b}{value}{c}"))
    }

    proptest! {
        /// An envelope that the short reader accepts is read the same by the full reader.
        #[test]
        fn plain_reader_agrees_with_full_reader(
            members in prop::collection::vec(member(), 0..5),
            separator in prop::sample::select(vec![",", ",", ",", ", ", ""]),
            end in prop::sample::select(vec!["}", "}", "}", "", "} ", "}}", ",}"]),
        ) {
            let text = format!("{{{}{end}", members.join(separator));
            if let Some(members) = Members::plain(&text) {
                prop_assert_eq!(Some(members), Members::read(&text));
            }
        }
    }

    #[test]
    fn plain_reader_accepts_usual_client_requests() {
        for text in [
            r#"{"jsonrpc":"2.0","id":17,"method":"srvd.ping","params":{"text":"x \" y"}}"#,
            r#"{"jsonrpc":"2.0","method":"srvd.ping","params":[1,{"a":[]}],"id":"ü-1"}"#,
            r#"{"method":"srvd.ping","id":0,"jsonrpc":"2.0"}"#,
        ] {
            assert_eq!(Members::plain(text), Members::read(text));
            assert!(Members::plain(text).is_some(), "{text}");
        }
    }
}
