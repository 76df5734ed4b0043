//! Keys that the registry's format reserves for later versions, so that no file uses their names for another purpose.

use toml::{Table, Value};

/// Reserved keys below `[providers.<id>]`.
const PROVIDER: &[&str] = &["billing", "quota", "refresh", "share"];
/// Reserved keys below `[providers.<id>.cli]`.
const CLI: &[&str] = &["locks", "packages"];
/// Reserved keys below `[providers.<id>.key]`.
const KEY: &[&str] = &["home"];
/// Reserved keys below `[providers.<id>.oauth]`.
const OAUTH: &[&str] = &["revocation-url"];

/// Returns the path of the first reserved key in a file, if there is one.
pub(super) fn find(file: &Table) -> Option<String> {
    let providers = file.get("providers").and_then(Value::as_table)?;
    providers.iter().find_map(|(id, provider)| {
        in_provider(provider.as_table()?).map(|place| format!("providers.{id}.{place}"))
    })
}

fn in_provider(provider: &Table) -> Option<String> {
    let below = |name: &str, reserved: &[&str]| {
        let key = first(provider.get(name)?.as_table()?, reserved)?;
        Some(format!("{name}.{key}"))
    };
    first(provider, PROVIDER)
        .map(str::to_owned)
        .or_else(|| below("cli", CLI))
        .or_else(|| below("key", KEY))
        .or_else(|| below("oauth", OAUTH))
}

fn first<'a>(table: &Table, reserved: &[&'a str]) -> Option<&'a str> {
    reserved.iter().find(|key| table.contains_key(**key)).copied()
}
