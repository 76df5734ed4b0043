//! Titles of schemas: generators of typed clients name their types by them.

use std::collections::BTreeSet;

use serde_json::{Value, json};

/// Gives a schema without a title, and every schema inside it, a title that begins with `title` and differs from the
/// names of `definitions`. A reference keeps the title of its definition.
pub(super) fn add_titles(schema: &mut Value, title: &str, definitions: &BTreeSet<String>) {
    let mut title = title.to_owned();
    if definitions.contains(&title) {
        title.push_str("Member");
    }
    add_unique_titles(schema, &title, definitions);
}

/// Like [`add_titles`], for a title that is known to be free, or that is the schema's own name as a definition.
pub(super) fn add_unique_titles(schema: &mut Value, title: &str, definitions: &BTreeSet<String>) {
    // `true` accepts any value.
    if *schema == Value::Bool(true) {
        *schema = json!({});
    }
    let Some(members) = schema.as_object_mut() else { return };
    if members.contains_key("$ref") {
        return;
    }
    members.entry("title").or_insert_with(|| title.into());
    // Formats of numbers, such as `uint64`, are no part of JSON Schema, so that strict validators refuse them.
    members.remove("format");
    if let Some(Value::Object(properties)) = members.get_mut("properties") {
        for (name, property) in properties {
            add_titles(property, &joined(title, name), definitions);
        }
    }
    for (key, suffix) in [("items", "Item"), ("additionalProperties", "Value")] {
        if let Some(inner @ Value::Object(_)) = members.get_mut(key) {
            add_titles(inner, &joined(title, suffix), definitions);
        }
    }
    for key in ["anyOf", "oneOf", "allOf"] {
        let Some(Value::Array(choices)) = members.get_mut(key) else { continue };
        for (number, choice) in (1..).zip(choices) {
            let suffix = match (&choice["const"], &choice["type"]) {
                (Value::String(word), _) => word.clone(),
                (_, Value::String(kind)) if kind == "null" => "null".to_owned(),
                _ => format!("Choice{number}"),
            };
            add_titles(choice, &joined(title, &suffix), definitions);
        }
    }
}

/// Returns `title` and `name` as one name in Pascal case: `BundleCreate` and `createdAt` are `BundleCreateCreatedAt`.
pub(super) fn joined(title: &str, name: &str) -> String {
    let mut text = title.to_owned();
    for word in name.split(|c: char| !c.is_ascii_alphanumeric()) {
        let mut letters = word.chars();
        text.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        text.push_str(letters.as_str());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemas_have_titles_at_every_depth() {
        let mut schema = json!({
            "type": "object",
            "properties": {
                "any": true,
                "names": {"type": "array", "items": {"type": "string"}},
                "owner": {"$ref": "#/components/schemas/Owner"},
                "status": {"anyOf": [{"const": "needs_reauth"}, {"type": "null"}, {"type": "integer"}]},
                "count": {"type": "integer", "format": "uint64"},
                "titled": {"title": "Kept", "additionalProperties": {"type": "string"}},
            },
        });
        add_titles(&mut schema, &joined("", "bundle.get"), &BTreeSet::from(["BundleGetNames".to_owned()]));
        let expected = json!({
            "title": "BundleGet",
            "type": "object",
            "properties": {
                "any": {"title": "BundleGetAny"},
                "count": {"title": "BundleGetCount", "type": "integer"},
                "names": {"title": "BundleGetNamesMember", "type": "array", "items": {"title": "BundleGetNamesMemberItem", "type": "string"}},
                "owner": {"$ref": "#/components/schemas/Owner"},
                "status": {"title": "BundleGetStatus", "anyOf": [
                    {"title": "BundleGetStatusNeedsReauth", "const": "needs_reauth"},
                    {"title": "BundleGetStatusNull", "type": "null"},
                    {"title": "BundleGetStatusChoice3", "type": "integer"},
                ]},
                "titled": {"title": "Kept", "additionalProperties": {"title": "BundleGetTitledValue", "type": "string"}},
            },
        });
        assert_eq!(schema, expected);
    }
}
