//! Decoding of parameters into a typed request, with error messages that do not repeat the input.
//!
//! serde's messages quote the offending value. If a client puts an API key into the wrong field, the key must not
//! appear in an error or a log. Quoted values are therefore elided, and only names that look like field names are
//! repeated.

use serde::de::DeserializeOwned;

use super::fields::{Unknown, nearest_absent};
use crate::wire::RpcError;

/// The replacement for an elided value.
const ELIDED: &str = "…";

/// Decoded parameters, and the names of those that the method does not have.
#[derive(Debug)]
pub(super) struct Decoded<P> {
    pub(super) params: P,
    pub(super) unknown: Vec<String>,
}

/// Decodes `params`. Absent parameters are treated as an empty object. An unknown parameter is an error if it is
/// probably a misspelt one, or if the method is `strict`.
pub(super) fn decode<P: DeserializeOwned>(
    params: Option<&str>,
    strict: bool,
) -> Result<Decoded<P>, RpcError> {
    let text = params.unwrap_or("{}");
    let mut unknown = Unknown::default();
    let mut reader = serde_json::Deserializer::from_str(text);
    let decoded = serde_ignored::deserialize(&mut reader, |path| unknown.add(&path))
        .and_then(|params| reader.end().map(|()| params));
    for name in &unknown.parameters {
        if let Some(known) = nearest_absent::<P>(name, text) {
            return Err(misspelt(name, Some(known)));
        }
    }
    let params = decoded.map_err(|error| described(text, &error))?;
    match unknown.shown(field_name) {
        names if strict && !names.is_empty() => Err(misspelt(&names[0], None)),
        unknown => Ok(Decoded { params, unknown }),
    }
}

/// Returns the error for an unknown parameter.
fn misspelt(name: &str, known: Option<&'static str>) -> RpcError {
    let name = field_name(name);
    let reason = match known {
        Some(known) => format!("unknown parameter `{name}`; did you mean `{known}`?"),
        None => format!("unknown parameter `{name}`"),
    };
    let error = RpcError::invalid_params(reason, Some(name));
    match known {
        Some(known) => error.with_member("suggestion", known.into()),
        None => error,
    }
}

/// Returns the error for parameters that do not fit the method.
fn described(text: &str, error: &serde_json::Error) -> RpcError {
    let words = error.to_string();
    let words = words.rsplit_once(" at line ").map_or(words.as_str(), |(words, _)| words);
    let path = path_at(text, offset(text, error.line(), error.column()));
    let path = match between(words, "missing field `", "`") {
        Some(field) => join(&path, field),
        None => path,
    };
    RpcError::invalid_params(elide(words), Some(path.as_str()).filter(|path| !path.is_empty()))
}

/// Returns the text of a serde error with all quoted values elided.
fn elide(words: &str) -> String {
    for shape in ["unknown variant `", "unknown field `"] {
        // The quoted text comes from the client and may contain backticks, so match its end as late as possible.
        if let Some((value, rest)) = words.strip_prefix(shape).and_then(split_expectation) {
            let shown = if shape.contains("field") { field_name(value) } else { ELIDED };
            return format!("{shape}{shown}`{rest}");
        }
    }
    if let Some(field) = between(words, "missing field `", "`").filter(|f| field_name(f) == *f) {
        return format!("missing field `{field}`");
    }
    elide_quoted(words)
}

fn split_expectation(text: &str) -> Option<(&str, &str)> {
    let at = text.rfind("`, expected ").or_else(|| text.rfind("`, there are no "))?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

/// Replaces text in double quotes (with escapes) and in backticks.
fn elide_quoted(words: &str) -> String {
    let mut out = String::with_capacity(words.len());
    let mut rest = words.chars();
    while let Some(c) = rest.next() {
        out.push(c);
        if c != '"' && c != '`' {
            continue;
        }
        out.push_str(ELIDED);
        while let Some(inner) = rest.next() {
            match inner {
                '\\' if c == '"' => drop(rest.next()),
                _ if inner == c => {
                    out.push(c);
                    break;
                }
                _ => {}
            }
        }
    }
    out
}

/// Returns the name if it looks like a field name, otherwise [`ELIDED`]. A map key can be any text from a client.
fn field_name(name: &str) -> &str {
    let plausible = !name.is_empty()
        && name.len() <= 40
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !name.starts_with(|c: char| c.is_ascii_digit());
    if plausible { name } else { ELIDED }
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    text.strip_prefix(start)?.split_once(end).map(|(inner, _)| inner)
}

fn join(path: &str, field: &str) -> String {
    let field = field_name(field);
    if path.is_empty() { field.to_owned() } else { format!("{path}.{field}") }
}

/// Returns the byte offset of serde's line and column, which both start at 1. The column is past the offending value.
fn offset(text: &str, line: usize, column: usize) -> usize {
    let start: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    (start + column).min(text.len())
}

/// Returns the path of the byte before `end` in a JSON document, such as `a.b[2]`.
fn path_at(text: &str, end: usize) -> String {
    enum Step {
        Key(String),
        Index(usize),
    }
    let bytes = text.as_bytes().get(..end).unwrap_or_default();
    let mut steps: Vec<Step> = Vec::new();
    let (mut at, mut key_next) = (0, false);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'{' => {
                steps.push(Step::Key(String::new()));
                key_next = true;
            }
            b'[' => {
                steps.push(Step::Index(0));
                key_next = false;
            }
            b'}' | b']' => drop(steps.pop()),
            b',' => match steps.last_mut() {
                Some(Step::Index(index)) => *index += 1,
                _ => key_next = true,
            },
            b'"' => {
                let start = at + 1;
                at = start;
                while let Some(byte) = bytes.get(at).filter(|byte| **byte != b'"') {
                    at += if *byte == b'\\' { 2 } else { 1 };
                }
                if let (true, Some(Step::Key(key))) = (key_next, steps.last_mut()) {
                    field_name(text.get(start..at).unwrap_or_default()).clone_into(key);
                    key_next = false;
                }
            }
            _ => {}
        }
        at += 1;
    }
    let mut path = String::new();
    for step in steps {
        match step {
            Step::Key(key) if key.is_empty() => {}
            Step::Key(key) if path.is_empty() => path = key,
            Step::Key(key) => path = format!("{path}.{key}"),
            Step::Index(index) => path = format!("{path}[{index}]"),
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only decoding errors are inspected")]
    struct Outer {
        name: String,
        #[serde(default)]
        inner: Option<Inner>,
        #[serde(default)]
        kind: Kind,
        #[serde(default)]
        map: BTreeMap<String, u8>,
        #[serde(default)]
        list: Vec<u8>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only decoding errors are inspected")]
    struct Inner {
        port: u16,
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Kind {
        #[default]
        Small,
        Large,
    }

    fn check(params: &str, message: &str, path: Option<&str>) {
        let error = decode::<Outer>(Some(params), false).unwrap_err();
        assert_eq!(error, RpcError::invalid_params(message, path), "{params}");
    }

    #[test]
    fn decode_error_gives_reason_and_path_without_values() {
        check("{}", "missing field `name`", Some("name"));
        check(r#"{"name":7123456}"#, "invalid type: integer `…`, expected a string", Some("name"));
        check(r#"{"name":true}"#, "invalid type: boolean `…`, expected a string", Some("name"));
        check(
            r#"{"name":"n","inner":"sk-\"secret"}"#,
            r#"invalid type: string "…", expected struct Inner"#,
            Some("inner"),
        );
        check(r#"{"name":"n","inner":{}}"#, "missing field `port`", Some("inner.port"));
        check(
            "{\"name\":\"n\",\n \"inner\":{\n\"port\":\"sk-secret\"}}",
            r#"invalid type: string "…", expected u16"#,
            Some("inner.port"),
        );
        check(
            r#"{"name":"n","inner":{"port":99999}}"#,
            "invalid value: integer `…`, expected u16",
            Some("inner.port"),
        );
        check(
            r#"{"name":"n","inner":{"prot":1}}"#,
            "unknown field `prot`, expected `port`",
            Some("inner.prot"),
        );
        check(
            r#"{"name":"n","inner":{"sk-secret":1}}"#,
            "unknown field `…`, expected `port`",
            Some("inner.…"),
        );
        check(
            r#"{"name":"n","kind":"sk-`, expected `x"}"#,
            "unknown variant `…`, expected `small` or `large`",
            Some("kind"),
        );
        check(
            r#"{"name":"n","map":{"sk-secret":"x"}}"#,
            r#"invalid type: string "…", expected u8"#,
            Some("map.…"),
        );
        check(
            r#"{"name":"n","list":[1,2,"x"]}"#,
            r#"invalid type: string "…", expected u8"#,
            Some("list[2]"),
        );
        check("[[1]]", "invalid type: sequence, expected a string", Some("[0]"));
    }

    #[test]
    fn unknown_parameter_is_named_and_ignored_unless_the_method_is_strict() {
        let params = r#"{"name":"n","colour":"red","inner":{"port":1},"sk secret":1,"list":[1]}"#;
        let decoded = decode::<Outer>(Some(params), false).unwrap();
        assert_eq!(decoded.params.name, "n");
        assert_eq!(decoded.unknown, ["colour", "…"]);
        let error = decode::<Outer>(Some(params), true).unwrap_err();
        assert_eq!(error, RpcError::invalid_params("unknown parameter `colour`", Some("colour")));
    }

    #[test]
    fn unknown_parameter_is_rejected_when_it_is_within_two_edits_of_an_absent_one() {
        let refused = |name: &str, known: &str| {
            let reason = format!("unknown parameter `{name}`; did you mean `{known}`?");
            RpcError::invalid_params(reason, Some(name)).with_member("suggestion", known.into())
        };
        let check = |params: &str, name: &str, known: &str| {
            assert_eq!(decode::<Outer>(Some(params), false).unwrap_err(), refused(name, known), "{params}");
        };
        // The misspelt name is a better explanation than the missing field.
        check(r#"{"naem":"n"}"#, "naem", "name");
        check(r#"{"name":"n","Inner":{"port":1}}"#, "Inner", "inner");
        check(r#"{"name":"n","lists":[]}"#, "lists", "list");
        // The only parameter that is near is present.
        assert_eq!(decode::<Outer>(Some(r#"{"name":"n","names":1}"#), false).unwrap().unknown, ["names"]);
    }
}
