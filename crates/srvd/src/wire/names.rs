//! A list of names shared by many answers.

use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};

/// Names of variables; on the wire, a list of strings. Clones share the names and their JSON, which is created only
/// once: a launch contains more than a hundred names, and most launches contain the same ones.
#[derive(Debug, Clone, Default)]
pub(crate) struct Names(Arc<List>);

#[derive(Debug, Default)]
struct List {
    names: Vec<String>,
    json: OnceLock<Box<RawValue>>,
}

impl FromIterator<String> for Names {
    fn from_iter<T: IntoIterator<Item = String>>(names: T) -> Self {
        Self(Arc::new(List { names: names.into_iter().collect(), json: OnceLock::new() }))
    }
}

impl Deref for Names {
    type Target = [String];

    fn deref(&self) -> &[String] {
        &self.0.names
    }
}

impl Serialize for Names {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let List { names, json } = &*self.0;
        if let Some(json) = json.get() {
            return json.serialize(serializer);
        }
        let made = to_raw_value(names).map_err(S::Error::custom)?;
        json.get_or_init(|| made).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Vec::deserialize(deserializer)?.into_iter().collect())
    }
}

impl JsonSchema for Names {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        Vec::<String>::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Vec::<String>::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_serialize_as_a_list() {
        let names: Names = ["A", "B\"\n"].map(str::to_owned).into_iter().collect();
        let text = r#"["A","B\"\n"]"#;
        for shared in [names.clone(), names] {
            assert_eq!(serde_json::to_string(&shared).unwrap(), text);
            assert_eq!(serde_json::to_value(&shared).unwrap(), serde_json::json!(["A", "B\"\n"]));
        }
        assert_eq!(*serde_json::from_str::<Names>(text).unwrap(), ["A", "B\"\n"]);
        assert_eq!(schemars::schema_for!(Names), schemars::schema_for!(Vec<String>));
    }
}
