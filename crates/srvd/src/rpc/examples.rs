//! The examples of calls in the `OpenRPC` document. They were recorded from a daemon; a test makes the same calls and
//! compares the results.

use serde_json::{Map, Value, json};

/// A list of `{method, params, result}`.
const EXAMPLES: &str = include_str!("examples.json");

/// Returns the example pairings of each method.
pub(super) fn all() -> Map<String, Value> {
    let listed: Vec<Value> = serde_json::from_str(EXAMPLES).unwrap_or_default();
    let mut all = Map::new();
    for mut example in listed {
        let params = example["params"].as_object().into_iter().flatten();
        let params: Vec<Value> = params.map(|(name, value)| json!({"name": name, "value": value})).collect();
        let result = json!({"name": "result", "value": example["result"].take()});
        let method = example["method"].as_str().unwrap_or_default().to_owned();
        let examples = all.entry(method).or_insert_with(|| json!([]));
        if let Value::Array(examples) = examples {
            let name = format!("example{}", examples.len() + 1);
            examples.push(json!({"name": name, "params": params, "result": result}));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_are_a_list_of_calls() {
        let listed: Vec<Value> = serde_json::from_str(EXAMPLES).unwrap();
        assert!(listed.iter().all(|one| one["method"].is_string() && one["params"].is_object()));
    }
}
