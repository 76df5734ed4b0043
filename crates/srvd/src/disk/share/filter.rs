//! The part of a settings file that may be copied: everything except credentials, helpers that print them, and settings
//! that choose a login or a destination. What is left out is named, without its value.

use auth_spawner::ShareRule;
use serde_json::{Map, Value};

use super::secret::{self, CREDENTIAL, is_credential_name, only_refers};
use super::variables::ListedVariables;

/// The reason for a setting that the registry leaves out.
const CHOOSES: &str = "it belongs to a login, a key, an address or a plugin";
/// The reason for a setting that belongs to one that is left out.
const WITH_ANOTHER: &str = "it belongs to a setting that is left out";
/// The member with which a server of Claude's names a program that prints its headers.
const SERVER_HELPERS: &[&str] = &["headersHelper"];

/// A place that was left out, and the reason. It holds no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LeftOut {
    /// The place in the file, its segments separated by dots. Empty for the whole file.
    pub place: String,
    /// The reason, for people.
    pub reason: String,
}

/// A filter of the files of one rule.
pub(super) struct Filter<'a> {
    pub(super) rule: &'a ShareRule,
    pub(super) listed: &'a ListedVariables,
}

impl Filter<'_> {
    /// Returns the part of a document that may be shared, and the places that were left out. `None` if nothing is left.
    pub(super) fn apply(&self, mut document: Value) -> (Option<Value>, Vec<LeftOut>) {
        let mut left = Vec::new();
        for pointer in &self.rule.leave_out {
            let before = left.len();
            drop_at(&mut document, &segments(pointer), &mut Vec::new(), CHOOSES, &mut left);
            if left.len() > before {
                for more in self.rule.leave_out_with.get(pointer).into_iter().flatten() {
                    drop_at(&mut document, &segments(more), &mut Vec::new(), WITH_ANOTHER, &mut left);
                }
            }
        }
        for pointer in &self.rule.servers {
            drop_members(&mut document, pointer, &mut left, |_, server| of_server(server));
        }
        for pointer in &self.rule.variables {
            drop_members(&mut document, pointer, &mut left, |name, _| {
                self.listed.chooses(name).then_some(CHOOSES)
            });
        }
        let kept = match kept(document, &mut Vec::new(), &mut left) {
            Some(Value::Object(members)) if members.is_empty() => None,
            Some(Value::String(text)) if text.is_empty() => None,
            kept => kept,
        };
        (kept, left)
    }
}

/// Returns the reason why a server must not be shared. It works only with all of its members.
fn of_server(server: &Value) -> Option<&'static str> {
    if let Value::Object(members) = server
        && members.keys().any(|name| SERVER_HELPERS.contains(&name.as_str()))
    {
        return Some("a program prints its credentials");
    }
    let mut left = Vec::new();
    kept(server.clone(), &mut Vec::new(), &mut left);
    (!left.is_empty()).then_some(CREDENTIAL)
}

/// Returns the members that may be shared of the map at `pointer`, and the names of the others.
pub(super) fn members(document: &Value, pointer: &str) -> (Map<String, Value>, Vec<LeftOut>) {
    let (mut taken, mut left) = (Map::new(), Vec::new());
    for (name, value) in document.pointer(pointer).and_then(Value::as_object).into_iter().flatten() {
        let problem = secret::problem(name).or_else(|| of_server(value));
        match problem {
            None => {
                taken.insert(name.clone(), value.clone());
            }
            Some(reason) => {
                let place = [&segments(pointer)[..], &[name.as_str()]].concat();
                left.push(LeftOut { place: shown(&place), reason: reason.to_owned() });
            }
        }
    }
    (taken, left)
}

fn segments(pointer: &str) -> Vec<&str> {
    pointer.split('/').skip(1).collect()
}

/// Returns a place for people. A name that looks like a credential is not shown.
fn shown<T: AsRef<str>>(place: &[T]) -> String {
    let segment = |name: &T| match secret::problem(name.as_ref()) {
        None => name.as_ref().to_owned(),
        Some(_) => "(hidden)".to_owned(),
    };
    place.iter().map(segment).collect::<Vec<_>>().join(".")
}

/// Removes what a pointer leads to. A segment `*` means every member or element.
fn drop_at(
    value: &mut Value,
    pointer: &[&str],
    place: &mut Vec<String>,
    reason: &str,
    left: &mut Vec<LeftOut>,
) {
    let Some((first, rest)) = pointer.split_first() else { return };
    let name = first.replace("~1", "/").replace("~0", "~");
    match value {
        Value::Object(members) => {
            let names: Vec<String> = match *first {
                "*" => members.keys().cloned().collect(),
                _ => members.contains_key(&name).then_some(name).into_iter().collect(),
            };
            for name in names {
                place.push(name.clone());
                if rest.is_empty() {
                    members.remove(&name);
                    left.push(LeftOut { place: shown(place), reason: reason.to_owned() });
                } else if let Some(below) = members.get_mut(&name) {
                    drop_at(below, rest, place, reason, left);
                    if below.as_object().is_some_and(Map::is_empty) {
                        members.remove(&name);
                    }
                }
                place.pop();
            }
        }
        Value::Array(elements) if *first == "*" && !rest.is_empty() => {
            for (position, below) in elements.iter_mut().enumerate() {
                place.push(position.to_string());
                drop_at(below, rest, place, reason, left);
                place.pop();
            }
        }
        _ => {}
    }
}

/// Removes the members of a map for which there is a reason.
fn drop_members(
    document: &mut Value,
    pointer: &str,
    left: &mut Vec<LeftOut>,
    reason: impl Fn(&str, &Value) -> Option<&'static str>,
) {
    let Some(Value::Object(members)) = document.pointer_mut(pointer) else { return };
    let before = left.len();
    members.retain(|name, value| match reason(name, value) {
        None => true,
        Some(reason) => {
            let place = [&segments(pointer)[..], &[name.as_str()]].concat();
            left.push(LeftOut { place: shown(&place), reason: reason.to_owned() });
            false
        }
    });
    if members.is_empty() && left.len() > before {
        drop_at(document, &segments(pointer), &mut Vec::new(), "", &mut Vec::new());
    }
}

/// Returns a value without the credentials in it. A list with a credential is left out whole, because the meaning of its
/// other elements may depend on it. `None` if the value is left out.
fn kept(value: Value, place: &mut Vec<String>, left: &mut Vec<LeftOut>) -> Option<Value> {
    let mut leave = |reason: &str, place: &[String]| {
        left.push(LeftOut { place: shown(place), reason: reason.to_owned() });
    };
    match value {
        Value::String(text) => match secret::problem(&text) {
            None => Some(Value::String(text)),
            Some(reason) => {
                leave(reason, place);
                None
            }
        },
        Value::Array(elements) => {
            if list_holds(&elements) {
                leave(CREDENTIAL, place);
                return None;
            }
            Some(Value::Array(elements))
        }
        Value::Object(members) => {
            let (mut result, any) = (Map::new(), !members.is_empty());
            for (name, value) in members {
                place.push(name.clone());
                if secret::problem(&name).is_some() || (is_credential_name(&name) && is_literal(&value)) {
                    left.push(LeftOut { place: shown(place), reason: CREDENTIAL.to_owned() });
                } else if let Some(value) = kept(value, place, left) {
                    result.insert(name, value);
                }
                place.pop();
            }
            // An object that is empty because of what was left out means something else than before.
            (!any || !result.is_empty() || place.is_empty()).then_some(Value::Object(result))
        }
        other => Some(other),
    }
}

/// Returns whether a value has a text that is more than a reference to a variable.
fn is_literal(value: &Value) -> bool {
    match value {
        Value::String(text) => !only_refers(text),
        Value::Array(elements) => elements.iter().any(is_literal),
        _ => false,
    }
}

/// Returns whether there is a credential anywhere in a list.
fn list_holds(elements: &[Value]) -> bool {
    let texts: Vec<&str> = elements.iter().filter_map(Value::as_str).collect();
    secret::list_holds(&texts)
        || elements.iter().any(|element| match element {
            Value::Array(elements) => list_holds(elements),
            element => {
                let mut left = Vec::new();
                kept(element.clone(), &mut Vec::new(), &mut left);
                !left.is_empty()
            }
        })
}

#[cfg(test)]
mod tests {
    use auth_spawner::Registry;
    use serde_json::json;

    use super::*;

    /// Returns the filtered document and the places that were left out, by the first copied file of a provider.
    fn filtered(provider: &str, document: Value) -> (Option<Value>, Vec<String>) {
        let registry = Registry::builtin().unwrap();
        let cli = registry.provider(provider).unwrap().cli.clone().unwrap();
        let rule = cli.share.iter().find(|rule| rule.kind == auth_spawner::ShareKind::Copy).unwrap();
        let listed = ListedVariables::new(&registry);
        let (kept, left) = Filter { rule, listed: &listed }.apply(document);
        let mut places: Vec<String> = left.into_iter().map(|left| left.place).collect();
        places.sort();
        (kept, places)
    }

    fn check(provider: &str, document: Value, expected: Value, left: &[&str]) {
        let shown = document.to_string();
        let (kept, places) = filtered(provider, document);
        assert_eq!(
            (kept.unwrap_or(Value::Null), places),
            (expected, left.iter().map(|place| (*place).to_owned()).collect()),
            "{shown}"
        );
    }

    #[test]
    fn claude_settings_lose_helpers_keys_and_destinations() {
        check(
            "claude",
            json!({
                "model": "opus", "apiKeyHelper": "/bin/key", "forceLoginMethod": "console", "awsAuthRefresh": "aws sso login",
                "env": {"ANTHROPIC_API_KEY": "x", "ANTHROPIC_BASE_URL": "https://x.test", "EDITOR": "vi", "MAX_THINKING_TOKENS": "9"},
                "permissions": {"allow": ["Bash(ls:*)"], "deny": ["Read(./.env)"]},
                "statusLine": {"type": "command", "command": "~/.claude/status.sh"},
            }),
            json!({
                "model": "opus", "env": {"EDITOR": "vi", "MAX_THINKING_TOKENS": "9"},
                "permissions": {"allow": ["Bash(ls:*)"], "deny": ["Read(./.env)"]},
                "statusLine": {"type": "command", "command": "~/.claude/status.sh"},
            }),
            &[
                "apiKeyHelper",
                "awsAuthRefresh",
                "env.ANTHROPIC_API_KEY",
                "env.ANTHROPIC_BASE_URL",
                "forceLoginMethod",
            ],
        );
    }

    #[test]
    fn list_is_left_out_whole_when_one_element_holds_a_credential() {
        check(
            "claude",
            json!({
                "hooks": {
                    "Stop": [{"hooks": [{"type": "command", "command": "curl -H 'Authorization: Bearer abc123def456' x"}]}],
                    "PreToolUse": [{"hooks": [{"type": "command", "command": "~/.claude/hooks/a.sh"}]}],
                },
                "permissions": {"allow": ["Bash(export GITHUB_TOKEN=hunter2)", "Bash(ls)"]},
            }),
            json!({"hooks": {"PreToolUse": [{"hooks": [{"type": "command", "command": "~/.claude/hooks/a.sh"}]}]}}),
            &["hooks.Stop", "permissions.allow"],
        );
    }

    #[test]
    fn document_is_nothing_when_all_of_it_is_left_out() {
        check("claude", json!({"env": {"ANTHROPIC_API_KEY": "x"}}), Value::Null, &["env.ANTHROPIC_API_KEY"]);
        check("claude", json!({"apiKeyHelper": "x"}), Value::Null, &["apiKeyHelper"]);
        check("claude", json!({}), Value::Null, &[]);
        check("claude", json!({"env": {}}), json!({"env": {}}), &[]);
    }

    #[test]
    fn codex_configuration_loses_other_providers_and_servers_with_credentials() {
        check(
            "codex",
            json!({
                "model": "x", "model_provider": "mine", "model_providers": {"mine": {"base_url": "https://x.test"}},
                "approval_policy": "never", "cli_auth_credentials_store": "keyring", "chatgpt_base_url": "https://x.test",
                "profiles": {"a": {"model_provider": "mine", "approval_policy": "never"}},
                "mcp_servers": {
                    "plain": {"command": "npx", "args": ["-y", "server"]},
                    "refers": {"url": "https://mcp.test/", "bearer_token_env_var": "MCP_TOKEN"},
                    "holds": {"command": "npx", "env": {"API_KEY": "hunter2"}},
                    "flag": {"command": "npx", "args": ["--api-key", "hunter2"]},
                },
                "shell_environment_policy": {"set": {"OPENAI_API_KEY": "x", "LANG": "C"}},
            }),
            json!({
                "approval_policy": "never", "profiles": {"a": {"approval_policy": "never"}},
                "mcp_servers": {
                    "plain": {"command": "npx", "args": ["-y", "server"]},
                    "refers": {"url": "https://mcp.test/", "bearer_token_env_var": "MCP_TOKEN"},
                },
                "shell_environment_policy": {"set": {"LANG": "C"}},
            }),
            &[
                "chatgpt_base_url",
                "cli_auth_credentials_store",
                "mcp_servers.flag",
                "mcp_servers.holds",
                "model",
                "model_provider",
                "model_providers",
                "profiles.a.model_provider",
                "shell_environment_policy.set.OPENAI_API_KEY",
            ],
        );
    }

    #[test]
    fn gemini_settings_lose_the_choice_of_the_login() {
        check(
            "gemini",
            json!({
                "security": {"auth": {"selectedType": "gemini-api-key"}, "folderTrust": {"enabled": true}},
                "selectedAuthType": "oauth-personal",
                "mcpServers": {"a": {"command": "x", "env": {"K": "$MY_KEY"}}, "b": {"httpUrl": "https://x.test/?token=abc"}},
            }),
            json!({
                "security": {"folderTrust": {"enabled": true}},
                "mcpServers": {"a": {"command": "x", "env": {"K": "$MY_KEY"}}},
            }),
            &["mcpServers.b", "security.auth", "selectedAuthType"],
        );
    }

    #[test]
    fn merged_members_are_whole_servers_without_credentials() {
        let document = json!({"mcpServers": {
            "fs": {"command": "npx", "args": ["fs"]},
            "http": {"type": "http", "url": "https://mcp.test/", "headers": {"Authorization": "Bearer ${T}"}},
            "key": {"type": "http", "url": "https://mcp.test/", "headers": {"Authorization": "Bearer abc"}},
            "helper": {"type": "http", "url": "https://mcp.test/", "headersHelper": "x"},
            "sk-ant-api03-planted-0123456789": {"command": "x"},
        }});
        let (taken, left) = members(&document, "/mcpServers");
        assert_eq!(taken.keys().collect::<Vec<_>>(), ["fs", "http"]);
        let mut places: Vec<&str> = left.iter().map(|left| left.place.as_str()).collect();
        places.sort_unstable();
        assert_eq!(places, ["mcpServers.(hidden)", "mcpServers.helper", "mcpServers.key"]);
    }
}
