//! Documents of settings: writing, comparing, and the limits of their size.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use auth_spawner::ShareFormat;
use blake2::{Blake2b256, Digest as _};
use serde_json::{Map, Value};

/// The member by which the TOML library marks a date.
const DATE: &str = "$__toml_private_datetime";

/// Reads a document.
///
/// # Errors
/// The reason, without any of the text.
pub(super) fn read(format: ShareFormat, bytes: &[u8]) -> Result<Value, String> {
    let document = dates(auth_spawner::read_document(format, bytes)?);
    match (format, &document) {
        (ShareFormat::Text, _) | (_, Value::Object(_)) => Ok(document),
        (ShareFormat::Yaml, Value::Null) => Ok(Value::Object(Map::new())),
        _ => Err("not an object".to_owned()),
    }
}

/// Writes a document. Comments of the original are lost.
///
/// # Errors
/// The reason, when the format cannot express the document.
pub(super) fn write(format: ShareFormat, document: &Value) -> Result<Vec<u8>, String> {
    let text = match (format, document) {
        (ShareFormat::Text, Value::String(text)) => text.clone(),
        (ShareFormat::Toml, _) => toml::to_string(document).map_err(|error| error.to_string())?,
        (ShareFormat::Yaml, Value::Object(members)) => {
            let mut text = String::new();
            yaml(members, 0, &mut text);
            text
        }
        _ => format!("{document:#}\n"),
    };
    Ok(text.into_bytes())
}

/// Returns a digest of a document that does not depend on its layout.
pub(super) fn digest(document: &Value) -> String {
    fn canonical(value: &Value, text: &mut String) {
        match value {
            Value::Object(members) => {
                text.push('{');
                for (name, value) in members.iter().collect::<BTreeMap<_, _>>() {
                    // Writing to a String cannot fail, here and below.
                    let _ = write!(text, "{}:", Value::from(name.as_str()));
                    canonical(value, text);
                    text.push(',');
                }
                text.push('}');
            }
            Value::Array(elements) => {
                text.push('[');
                for value in elements {
                    canonical(value, text);
                    text.push(',');
                }
                text.push(']');
            }
            other => {
                let _ = write!(text, "{other}");
            }
        }
    }
    let mut text = String::new();
    canonical(document, &mut text);
    let hash = Blake2b256::digest(text.as_bytes());
    hash.iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Returns a document without the members at these JSON pointers.
pub(super) fn without(document: &Value, pointers: &[String]) -> Value {
    let mut document = document.clone();
    for pointer in pointers {
        let Some((above, name)) = pointer.rsplit_once('/') else { continue };
        if let Some(Value::Object(members)) = document.pointer_mut(above) {
            members.remove(&name.replace("~1", "/").replace("~0", "~"));
        }
    }
    document
}

/// Puts the members at these JSON pointers over those of another document.
pub(super) fn keep(under: &mut Value, over: &Value, pointers: &[String]) {
    for pointer in pointers {
        let Some(value) = over.pointer(pointer) else { continue };
        let mut place = &mut *under;
        for name in pointer.split('/').skip(1) {
            let name = name.replace("~1", "/").replace("~0", "~");
            if !place.is_object() {
                *place = Value::Object(Map::new());
            }
            let Value::Object(members) = place else { return };
            place = members.entry(name).or_insert(Value::Null);
        }
        overlay(place, value);
    }
}

/// Puts the members of one document over those of another.
pub(super) fn overlay(under: &mut Value, over: &Value) {
    match (under, over) {
        (Value::Object(under), Value::Object(over)) => {
            for (name, value) in over {
                overlay(under.entry(name).or_insert(Value::Null), value);
            }
        }
        (under, over) => *under = over.clone(),
    }
}

/// Puts texts in place of dates, which JSON does not have.
fn dates(value: Value) -> Value {
    match value {
        Value::Object(members) => match members.get(DATE).and_then(Value::as_str) {
            Some(date) => Value::String(date.to_owned()),
            None => Value::Object(members.into_iter().map(|(name, value)| (name, dates(value))).collect()),
        },
        Value::Array(elements) => Value::Array(elements.into_iter().map(dates).collect()),
        other => other,
    }
}

/// Writes maps as blocks, and everything else as JSON, which is YAML as well.
fn yaml(members: &Map<String, Value>, depth: usize, text: &mut String) {
    for (name, value) in members {
        // Writing to a String cannot fail, here and below.
        let _ = write!(text, "{:indent$}{}:", "", Value::from(name.as_str()), indent = depth * 4);
        match value {
            Value::Object(below) if !below.is_empty() => {
                text.push('\n');
                yaml(below, depth + 1, text);
            }
            value => {
                let _ = writeln!(text, " {value}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn document_is_read_as_it_was_written_in_each_format() {
        let document = json!({
            "a": {"b": "ü \"quoted\" \\ # : {x}", "empty": {}, "list": ["x", {"y": 1}]}, "n": 3, "yes": true, "text": "a: b",
        });
        for format in [ShareFormat::Json, ShareFormat::Jsonc, ShareFormat::Yaml, ShareFormat::Toml] {
            let bytes = write(format, &document).unwrap();
            let read = read(format, &bytes).unwrap();
            assert_eq!(read, document, "{format:?}\n{}", String::from_utf8(bytes).unwrap());
        }
        let text = Value::from("# Mine\n");
        assert_eq!(read(ShareFormat::Text, &write(ShareFormat::Text, &text).unwrap()).unwrap(), text);
    }

    #[test]
    fn document_is_refused_when_it_is_no_object_or_not_of_its_format() {
        for (format, bytes) in [
            (ShareFormat::Json, &b"[1]"[..]),
            (ShareFormat::Json, b"{"),
            (ShareFormat::Json, b""),
            (ShareFormat::Toml, b"a = "),
            (ShareFormat::Yaml, b"- a"),
            (ShareFormat::Text, b"\xff"),
            (ShareFormat::Jsonc, b"\xff"),
        ] {
            assert!(read(format, bytes).is_err(), "{format:?} {bytes:?}");
        }
        assert_eq!(
            read(ShareFormat::Toml, b"a = 2026-01-02T03:04:05Z"),
            Ok(json!({"a": "2026-01-02T03:04:05Z"}))
        );
    }

    #[test]
    fn member_of_the_cli_is_taken_out_and_put_back() {
        let own = ["/$version".to_owned(), "/a/b".to_owned(), "/none/x".to_owned()];
        let document = json!({"$version": 4, "a": {"b": {"x": 1}, "c": 2}, "d": 3});
        assert_eq!(without(&document, &own), json!({"a": {"c": 2}, "d": 3}));
        let mut other = json!({"a": {"b": {"y": 2}}, "e": 5});
        keep(&mut other, &document, &own);
        assert_eq!(other, json!({"$version": 4, "a": {"b": {"x": 1, "y": 2}}, "e": 5}));
    }

    #[test]
    fn digest_depends_on_the_content_and_not_on_the_layout() {
        let of = |text: &str| digest(&serde_json::from_str(text).unwrap());
        assert_eq!(of(r#"{"a":1,"b":{"c":2,"d":3}}"#), of("{ \"b\": {\"d\":3, \"c\":2}, \"a\": 1 }"));
        let all = [
            r#"{"a":1}"#,
            r#"{"a":2}"#,
            r#"["a",1,null]"#,
            r#"{"a":{"b":1}}"#,
            r#"{"a":["b",1,null]}"#,
            "null",
        ];
        for (at, one) in all.iter().enumerate() {
            assert!(all[at + 1..].iter().all(|other| of(one) != of(other)), "{one}");
        }
    }
}
