//! The `OpenRPC` document, built from the registered types.

use std::collections::BTreeSet;

use bytes::Bytes;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::call::Params;
use super::titles::{add_titles, add_unique_titles, joined};
use crate::wire::{
    DataKind, ENGINE_ERRORS, ErrorEntry, INTERNAL, INVALID_PARAMS, SERVER_BUSY, SHUTTING_DOWN, UNKNOWN,
};

/// The version of the `OpenRPC` specification that the document follows.
pub const OPENRPC_VERSION: &str = "1.3.2";

/// The description of a service in its `OpenRPC` document.
#[derive(Clone, Debug)]
pub struct ApiInfo {
    /// The service's name.
    pub title: String,
    /// The service's version.
    pub version: String,
    /// A one-paragraph description.
    pub description: String,
}

/// A registered method, for documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MethodInfo {
    /// The name on the wire.
    pub name: &'static str,
    /// A one-sentence summary.
    pub summary: &'static str,
    /// Further names on the wire.
    pub aliases: &'static [&'static str],
    /// The permission that the method needs.
    pub scope: Option<MethodScope>,
    /// The application error codes that the method may return.
    pub errors: &'static [i32],
}

impl MethodInfo {
    /// Every name on the wire.
    pub(super) fn names(self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }
}

/// A permission that methods need. The engine does not interpret its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MethodScope {
    /// The name.
    pub name: &'static str,
    /// True if a method of this scope rejects every unknown parameter.
    pub strict: bool,
}

/// A method and the function that describes its types.
#[derive(Clone, Copy)]
pub(super) struct DescribedMethod {
    pub(super) info: MethodInfo,
    schemas: fn(&mut SchemaGenerator) -> Schemas,
}

/// The schemas of a method's parameters and result. Shared types go into the generator's definitions.
struct Schemas {
    params: Value,
    result: Value,
}

impl DescribedMethod {
    pub(super) fn of<P: Params>() -> Self {
        let info = MethodInfo {
            name: P::METHOD,
            summary: P::SUMMARY,
            aliases: P::ALIASES,
            scope: None,
            errors: P::ERRORS,
        };
        Self { info, schemas: schemas_of::<P> }
    }
}

fn schemas_of<P: Params>(generator: &mut SchemaGenerator) -> Schemas {
    // The document lists each parameter separately, so the enclosing object must not become a definition.
    let params = P::json_schema(generator).to_value();
    let result = generator.subschema_for::<P::Result>().to_value();
    Schemas { params, result }
}

/// A function that returns application error codes of a method with these parameters.
pub type DerivedErrors = fn(&MethodInfo, &[&str]) -> Vec<i32>;

/// The data from which the `OpenRPC` document is built.
pub(super) struct Description {
    pub(super) info: ApiInfo,
    pub(super) methods: Vec<DescribedMethod>,
    /// The application's error codes.
    pub(super) errors: &'static [ErrorEntry],
    /// Returns further codes of a method, by its parameters.
    pub(super) derived: Option<DerivedErrors>,
    /// Further definitions of schemas.
    pub(super) schemas: Map<String, Value>,
    /// The `servers` of the document; null for none.
    pub(super) servers: Value,
    /// The examples of each method.
    pub(super) examples: Map<String, Value>,
    /// Further members of the document.
    pub(super) extensions: Map<String, Value>,
}

impl Description {
    /// Builds the document. Methods keep the given order. Object members are sorted by name.
    pub(super) fn document(&self) -> Bytes {
        let ApiInfo { title, version, description } = &self.info;
        let mut generator = SchemaSettings::draft07()
            .with(|s| s.definitions_path = "/components/schemas".into())
            .into_generator();
        let methods: Vec<_> =
            self.methods.iter().map(|method| (method.info, (method.schemas)(&mut generator))).collect();
        let mut definitions = generator.take_definitions(true);
        definitions.extend(self.schemas.clone());
        definitions.extend(self.error_entries().map(|entry| (data_name(entry), data_schema(entry))));
        let names: BTreeSet<String> = definitions.keys().cloned().collect();
        for (name, schema) in &mut definitions {
            add_unique_titles(schema, name, &names);
        }
        let methods: Vec<Value> =
            methods.into_iter().map(|(info, schemas)| self.describe(info, schemas, &names)).collect();
        let objects: Map<_, _> =
            self.error_entries().map(|entry| (entry.kind.to_owned(), error_object(entry))).collect();
        let mut document = json!({
            "openrpc": OPENRPC_VERSION,
            "info": {"title": title, "version": version, "description": description},
            "methods": methods,
            "components": {"schemas": definitions, "errors": objects},
            "x-errors": self.error_entries().map(listed_error).collect::<Vec<_>>(),
        });
        if let Some(members) = document.as_object_mut() {
            members.extend(self.extensions.clone());
            if !self.servers.is_null() {
                members.insert("servers".to_owned(), self.servers.clone());
            }
        }
        document.to_string().into()
    }

    /// Returns every error: the engine's, then the application's with other codes.
    fn error_entries(&self) -> impl Iterator<Item = &'static ErrorEntry> + Clone + use<> {
        let own =
            self.errors.iter().filter(|entry| ENGINE_ERRORS.iter().all(|known| known.code != entry.code));
        ENGINE_ERRORS.iter().chain(own)
    }

    fn describe(&self, info: MethodInfo, schemas: Schemas, definitions: &BTreeSet<String>) -> Value {
        let name = joined("", info.name);
        let Schemas { mut params, mut result } = schemas;
        // The members of the parameters are described one by one, so their titles begin with the method's name.
        add_titles(&mut params, &name, definitions);
        add_titles(&mut result, &joined(&name, "result"), definitions);
        let (params, structure) = parameters(params);
        let mut method = json!({
            "name": info.name,
            "summary": info.summary,
            "tags": [{"name": info.name.split('.').next().unwrap_or_default()}],
            "paramStructure": structure,
            "errors": self.errors_of(&info, &params),
            "params": params,
            "result": {"name": "result", "schema": result},
        });
        if let Some(examples) = self.examples.get(info.name) {
            method["examples"] = examples.clone();
        }
        if let Some(scope) = info.scope {
            method["x-scope"] = scope.name.into();
        }
        if !info.aliases.is_empty() {
            method["x-alias"] = info.aliases.into();
        }
        method
    }

    /// Returns references to the errors of a method, by code. A code that no table lists is described on the spot.
    fn errors_of(&self, info: &MethodInfo, params: &[Value]) -> Vec<Value> {
        let names: Vec<&str> = params.iter().filter_map(|param| param["name"].as_str()).collect();
        let mut codes: BTreeSet<i32> = info.errors.iter().copied().collect();
        codes.extend(ANY_METHOD.iter().filter(|code| **code != INVALID_PARAMS || !names.is_empty()));
        codes.extend(self.derived.iter().flat_map(|derived| derived(info, &names)));
        let reference = |code: i32| match self.error_entries().find(|entry| entry.code == code) {
            Some(entry) => json!({"$ref": format!("#/components/errors/{}", entry.kind)}),
            None => json!({"code": code, "message": "application error"}),
        };
        codes.into_iter().map(reference).collect()
    }
}

/// The errors of the engine that a call of any method can end with.
const ANY_METHOD: &[i32] = &[INVALID_PARAMS, INTERNAL, SERVER_BUSY, SHUTTING_DOWN, UNKNOWN];

fn error_object(entry: &ErrorEntry) -> Value {
    json!({"code": entry.code, "message": entry.when, "data": {"kind": entry.kind}})
}

/// Returns an error as `x-errors` lists it. The specification has no place for the schema of an error's data.
fn listed_error(entry: &ErrorEntry) -> Value {
    let data = format!("#/components/schemas/{}", data_name(entry));
    json!({"code": entry.code, "kind": entry.kind, "summary": entry.when, "data": {"$ref": data}})
}

/// Returns the name of the schema of an error's data.
fn data_name(entry: &ErrorEntry) -> String {
    format!("{}ErrorData", joined("", entry.kind))
}

fn data_schema(entry: &ErrorEntry) -> Value {
    let mut members = Map::new();
    members.insert("kind".to_owned(), json!({"const": entry.kind, "type": "string"}));
    members
        .insert("hint".to_owned(), json!({"type": "string", "description": "The next step for the user."}));
    for field in entry.data {
        let schema = match field.kind {
            DataKind::Text => json!({"type": "string"}),
            DataKind::Number => json!({"type": "integer"}),
            DataKind::Flag => json!({"type": "boolean"}),
            DataKind::Texts => json!({"type": "array", "items": {"type": "string"}}),
            DataKind::Any => json!({}),
        };
        members.insert(field.name.to_owned(), schema);
    }
    json!({"type": "object", "description": entry.when, "properties": members, "required": ["kind"]})
}

/// Returns one descriptor for each member of an object. Any other type (a tuple, list or enum) becomes a single
/// descriptor.
fn parameters(mut schema: Value) -> (Vec<Value>, &'static str) {
    let is_object = schema.get("type").and_then(Value::as_str) == Some("object");
    let is_choice = ["anyOf", "oneOf", "allOf"].iter().any(|key| schema.get(key).is_some());
    if !is_object || is_choice {
        let structure = if schema.get("type").and_then(Value::as_str) == Some("array") {
            "by-position"
        } else {
            "by-name"
        };
        return (vec![json!({"name": "params", "required": true, "schema": schema})], structure);
    }
    let required: Vec<String> = schema
        .get("required")
        .and_then(Value::as_array)
        .map(|names| names.iter().filter_map(Value::as_str).map(str::to_owned).collect())
        .unwrap_or_default();
    let members = match schema.get_mut("properties").map(Value::take) {
        Some(Value::Object(members)) => members,
        _ => Map::new(),
    };
    // Required parameters come first, as OpenRPC requires.
    let (first, then): (Vec<_>, Vec<_>) = members.into_iter().partition(|(name, _)| required.contains(name));
    let descriptor = |(name, schema): (String, Value), required: bool| {
        let mut descriptor = json!({"name": name, "required": required});
        if let Some(description) = schema.get("description") {
            descriptor["description"] = description.clone();
        }
        descriptor["schema"] = schema;
        descriptor
    };
    let first = first.into_iter().map(|member| descriptor(member, true));
    let then = then.into_iter().map(|member| descriptor(member, false));
    (first.chain(then).collect(), "by-name")
}
