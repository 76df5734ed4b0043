//! The `OpenRPC` document, built from the registered types.

use std::collections::BTreeSet;

use bytes::Bytes;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::call::Params;
use super::titles::{add_titles, add_unique_titles, joined};
use crate::wire::{ENGINE_ERRORS, ErrorEntry};

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
    /// The application error codes that the method may return.
    pub errors: &'static [i32],
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
        let info = MethodInfo { name: P::METHOD, summary: P::SUMMARY, errors: P::ERRORS };
        Self { info, schemas: schemas_of::<P> }
    }
}

fn schemas_of<P: Params>(generator: &mut SchemaGenerator) -> Schemas {
    // The document lists each parameter separately, so the enclosing object must not become a definition.
    let params = P::json_schema(generator).to_value();
    let result = generator.subschema_for::<P::Result>().to_value();
    Schemas { params, result }
}

/// The data from which the `OpenRPC` document is built.
pub(super) struct Description {
    pub(super) info: ApiInfo,
    pub(super) methods: Vec<DescribedMethod>,
    /// The application's error codes.
    pub(super) errors: &'static [ErrorEntry],
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
        let names: BTreeSet<String> = definitions.keys().cloned().collect();
        for (name, schema) in &mut definitions {
            add_unique_titles(schema, name, &names);
        }
        let methods: Vec<Value> =
            methods.into_iter().map(|(info, schemas)| describe(info, schemas, &names, self.errors)).collect();
        let errors: Map<_, _> =
            ENGINE_ERRORS.iter().map(|entry| (entry.kind.to_owned(), error_object(entry))).collect();
        let mut document = json!({
            "openrpc": OPENRPC_VERSION,
            "info": {"title": title, "version": version, "description": description},
            "methods": methods,
            "components": {"schemas": definitions, "errors": errors},
        });
        if let Some(members) = document.as_object_mut() {
            members.extend(self.extensions.clone());
        }
        document.to_string().into()
    }
}

fn describe(
    info: MethodInfo,
    schemas: Schemas,
    definitions: &BTreeSet<String>,
    errors: &[ErrorEntry],
) -> Value {
    let name = joined("", info.name);
    let Schemas { mut params, mut result } = schemas;
    // The members of the parameters are described one by one, so their titles begin with the method's name.
    add_titles(&mut params, &name, definitions);
    add_titles(&mut result, &joined(&name, "result"), definitions);
    let (params, structure) = parameters(params);
    let family = info.name.split('.').next().unwrap_or_default();
    let errors: Vec<Value> = info
        .errors
        .iter()
        .map(|code| {
            let known = errors.iter().chain(ENGINE_ERRORS).find(|entry| entry.code == *code);
            known.map_or_else(|| json!({"code": code, "message": "application error"}), error_object)
        })
        .collect();
    json!({
        "name": info.name,
        "summary": info.summary,
        "tags": [{"name": family}],
        "paramStructure": structure,
        "params": params,
        "result": {"name": "result", "schema": result},
        "errors": errors,
    })
}

fn error_object(entry: &ErrorEntry) -> Value {
    json!({"code": entry.code, "message": entry.when, "data": {"kind": entry.kind}})
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
