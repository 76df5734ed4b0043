//! Envelope parsing. A message is parsed once, with borrowed fields.
//!
//! The parser reports the errors of JSON-RPC 2.0: `Parse error` for text that is not JSON, and `Invalid Request` for
//! JSON that is not a request, with the id if one could be read. Where the standard is silent, fractional ids are
//! accepted, an `id` of `null` makes the message a request rather than a notification, and a duplicate envelope member
//! makes the request invalid.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::error::RpcError;
use super::limits::Limits;

/// The id of a request: a string, a number or null, exactly as the client wrote it.
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
    /// The JSON text of an array or object, if present.
    pub params: Option<&'a str>,
    /// The id of the request, or `None` for a notification.
    pub id: Option<Id<'a>>,
}

/// A parsed message element.
#[derive(Debug)]
pub enum Element<'a> {
    /// A request or notification.
    Request(Request<'a>),
    /// A response, which servers ignore.
    Response,
    /// An invalid element, with its id if one could be read.
    Invalid(Option<Id<'a>>),
}

/// A parsed message.
#[derive(Debug)]
pub enum Message<'a> {
    /// A message with one element.
    Single(Element<'a>),
    /// The elements of a batch, not yet parsed. There is at least one.
    Batch(Vec<&'a RawValue>),
    /// A message that is rejected as a whole, without an id.
    Refused(RpcError),
}

/// The nesting depth from which any text is a parse error. This is the limit of the underlying JSON parser.
const PARSER_DEPTH: usize = 128;

/// Parses one message.
pub fn parse<'a>(text: &'a str, limits: &Limits) -> Message<'a> {
    let scan = Scan::of(text);
    if scan.depth >= PARSER_DEPTH || scan.lone_surrogate {
        return Message::Refused(RpcError::parse_error());
    }
    if !first_token_is(text, '[') {
        let element = classify(text, scan.depth, limits);
        return element.map_or_else(|| Message::Refused(RpcError::parse_error()), Message::Single);
    }
    match parse_batch(text, limits.batch) {
        None => Message::Refused(RpcError::parse_error()),
        Some(elements) if elements.is_empty() || elements.len() > limits.batch => {
            Message::Refused(RpcError::invalid_request())
        }
        Some(elements) => Message::Batch(elements),
    }
}

/// Parses one element of a batch. Returns `None` when the text is not JSON.
pub fn parse_element<'a>(text: &'a str, limits: &Limits) -> Option<Element<'a>> {
    classify(text, Scan::of(text).depth, limits)
}

/// Parses a text that is not a batch and whose nesting depth is known. Returns `None` if the text is not JSON.
fn classify<'a>(text: &'a str, depth: usize, limits: &Limits) -> Option<Element<'a>> {
    if first_token_is(text, '{') {
        return Members::read(text)?.classify(depth, limits);
    }
    serde_json::from_str::<IgnoredAny>(text).ok()?;
    Some(Element::Invalid(None))
}

/// Returns whether the first character after JSON white space is `token`.
fn first_token_is(text: &str, token: char) -> bool {
    text.trim_start_matches([' ', '\t', '\n', '\r']).starts_with(token)
}

/// The JSON texts of an envelope's members, whose types have not been checked yet.
#[derive(Default)]
struct Members<'a> {
    jsonrpc: Option<&'a str>,
    method: Option<&'a str>,
    params: Option<&'a str>,
    id: Option<&'a str>,
    /// True if the object has a `result` or an `error`.
    has_outcome: bool,
    has_duplicate: bool,
}

impl<'a> Members<'a> {
    /// Reads an object. Returns `None` if the text is not exactly one JSON object.
    fn read(text: &'a str) -> Option<Self> {
        let mut reader = serde_json::Deserializer::from_str(text);
        let members = reader.deserialize_map(MembersVisitor).ok()?;
        reader.end().ok()?;
        Some(members)
    }

    /// Classifies the members. Returns `None` if the method is not a valid JSON string.
    fn classify(self, depth: usize, limits: &Limits) -> Option<Element<'a>> {
        let id = self.id.filter(|id| id.len() <= limits.id_bytes && is_id(id)).map(Id);
        let id_is_bad = self.id.is_some() && id.is_none();
        let version = self.jsonrpc == Some(r#""2.0""#);
        if self.method.is_none() && self.has_outcome && version {
            return Some(Element::Response);
        }
        let params_are_bad =
            self.params.is_some_and(|params| !matches!(params.as_bytes(), [b'{' | b'[', ..]));
        let too_deep = depth > limits.json_depth;
        let method = match self.method {
            Some(text) if text.starts_with('"') => Some(serde_json::from_str::<Text<'_>>(text).ok()?.0),
            _ => None,
        };
        match method {
            Some(method) if version && !too_deep && !self.has_duplicate && !id_is_bad && !params_are_bad => {
                Some(Element::Request(Request { method, params: self.params, id }))
            }
            _ => Some(Element::Invalid(id.filter(|_| !self.has_duplicate))),
        }
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
        while let Some(Text(name)) = map.next_key()? {
            let slot = match &*name {
                "jsonrpc" => &mut members.jsonrpc,
                "method" => &mut members.method,
                "params" => &mut members.params,
                "id" => &mut members.id,
                other => {
                    members.has_outcome |= matches!(other, "result" | "error");
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            members.has_duplicate |= slot.replace(map.next_value::<&RawValue>()?.get()).is_some();
        }
        Ok(members)
    }
}

/// A JSON string, borrowed unless it contains escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// Returns the elements of an array. Stores at most one element beyond `limit`, so that a long batch uses no memory.
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

/// Properties of a text that the JSON parser does not check when it skips a value.
#[derive(Debug, Default, PartialEq, Eq)]
struct Scan {
    /// The deepest nesting of arrays and objects.
    depth: usize,
    /// True if a surrogate escape such as `\uD800` appears without its other half.
    lone_surrogate: bool,
}

impl Scan {
    fn of(text: &str) -> Self {
        let bytes = text.as_bytes();
        let (mut scan, mut open, mut at, mut in_string) = (Self::default(), 0_usize, 0, false);
        while let Some(byte) = bytes.get(at) {
            let mut length = 1;
            match byte {
                b'"' => in_string = !in_string,
                b'\\' if in_string => match escape_length(bytes, at) {
                    Some(escape) => length = escape,
                    None => return Self { lone_surrogate: true, ..scan },
                },
                b'[' | b'{' if !in_string => {
                    open += 1;
                    scan.depth = scan.depth.max(open);
                }
                b']' | b'}' if !in_string => open = open.saturating_sub(1),
                _ => {}
            }
            at += length;
        }
        scan
    }
}

/// Returns the length of the escape at this position, or `None` for half of a surrogate pair.
fn escape_length(bytes: &[u8], at: usize) -> Option<usize> {
    let unit = |at: usize| {
        let hex = bytes.get(at..at + 6)?.strip_prefix(b"\\u")?;
        u16::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()
    };
    match (unit(at), unit(at + 6)) {
        (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => Some(12),
        (Some(0xD800..=0xDFFF), _) => None,
        _ => Some(2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, depth: usize, lone_surrogate: bool) {
        assert_eq!(Scan::of(text), Scan { depth, lone_surrogate }, "{text}");
    }

    #[test]
    fn scan_finds_depth_outside_strings_and_lone_surrogates() {
        check("1", 0, false);
        check("[{},[[]]]", 3, false);
        check(r#"{"a[[":"\"[[","b":[1]}"#, 2, false);
        check(r#"["\\",[]]"#, 2, false);
        check(r#"["\ud83d\ude00",[]]"#, 2, false);
        check(r#"["\\ud800",[]]"#, 2, false);
        check(r#"[["\ud800"]]"#, 2, true);
        check(r#"["\udc00"]"#, 1, true);
        check(r#"["\ud800\n"]"#, 1, true);
        check("]]]{", 1, false);
    }

    #[test]
    fn method_is_borrowed_unless_it_contains_escapes() {
        for (method, borrowed) in [("srvd.ping", true), (r"srvd\u002eping", false)] {
            let text = format!(r#"{{"jsonrpc":"2.0","method":"{method}"}}"#);
            let Message::Single(Element::Request(request)) = parse(&text, &Limits::default()) else {
                panic!("{text}")
            };
            assert_eq!(request.method, "srvd.ping");
            assert_eq!(matches!(request.method, Cow::Borrowed(_)), borrowed);
        }
    }
}
