//! Converts JSON with comments and trailing commas to plain JSON.

/// Returns the same bytes with comments and trailing commas blanked out, so that line numbers stay the same. Invalid
/// text stays invalid.
pub(super) fn to_json(text: &[u8]) -> Vec<u8> {
    let mut json = text.to_vec();
    let mut at = if text.starts_with(b"\xef\xbb\xbf") { blank(&mut json, 0, 3) } else { 0 };
    // The last byte that is neither white space nor part of a comment, and its position if it is a possible trailing
    // comma.
    let (mut last, mut comma) = (b',', None);
    while let Some(&byte) = text.get(at) {
        let next = text.get(at + 1).copied();
        at = match (byte, next) {
            (b'/', Some(b'/')) => {
                let length = text[at..].iter().position(|byte| matches!(byte, b'\n' | b'\r'));
                let end = length.map_or(text.len(), |length| at + length);
                blank(&mut json, at, end)
            }
            (b'/', Some(b'*')) => match text[at + 2..].windows(2).position(|two| two == b"*/") {
                Some(length) => blank(&mut json, at, at + 2 + length + 2),
                // An unterminated comment stays, which makes the JSON invalid.
                None => text.len(),
            },
            _ if byte.is_ascii_whitespace() => at + 1,
            _ => {
                if let (b'}' | b']', Some(comma)) = (byte, comma) {
                    json[comma] = b' ';
                }
                comma = (byte == b',' && !matches!(last, b',' | b'[' | b'{' | b':')).then_some(at);
                last = byte;
                if byte == b'"' { end_of_string(text, at + 1) } else { at + 1 }
            }
        };
    }
    json
}

/// Returns the position after the closing quote of the string.
fn end_of_string(text: &[u8], from: usize) -> usize {
    let mut at = from;
    while let Some(byte) = text.get(at) {
        match byte {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    text.len()
}

fn blank(json: &mut [u8], from: usize, to: usize) -> usize {
    for byte in json[from..to].iter_mut().filter(|byte| !matches!(byte, b'\n' | b'\r')) {
        *byte = b' ';
    }
    to
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn jsonc_loses_comments_and_trailing_commas_but_keeps_strings() {
        let check = |text: &str, expect: Option<Value>| {
            let json = to_json(text.as_bytes());
            assert_eq!(json.len(), text.len());
            assert_eq!(serde_json::from_slice::<Value>(&json).ok(), expect, "{text}");
        };
        check("// one\n//two\n{\"a\": 1} // three", Some(json!({"a": 1})));
        check("\u{feff}{\"a\":/* b\n */1,\n}", Some(json!({"a": 1})));
        check(r#"{"https://a.b:x":"//c","d":"/*e*/","f":"\\\"//g",}"#, {
            Some(json!({"https://a.b:x": "//c", "d": "/*e*/", "f": "\\\"//g"}))
        });
        check("[1, 2, // three\n]", Some(json!([1, 2])));
        check("{\"a\":[1,],}", Some(json!({"a": [1]})));
        check(r#"[",]",]"#, Some(json!([",]"])));
        check("[1,,]", None);
        check("[,]", None);
        check("{,}", None);
        check("{} /* open", None);
        check("{} /", None);
        check(r#"{"a": "b\"#, None);
        check("", None);
        check("// only", None);
    }
}
