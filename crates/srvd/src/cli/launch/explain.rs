//! `srvd exec --explain`: a launch without the start.

use std::collections::BTreeMap;

use auth_spawner::Registry;

use crate::cli::subject::Subject;
use crate::cli::table;
use crate::cli::ui::{Ui, plain_line};
use crate::wire::bundle::UnboundRule;
use crate::wire::launch::{HomeState, Launch, LaunchHome};

/// Returns the text that describes a launch.
pub(super) fn draw(launch: &Launch, subject: &Subject, registry: &Registry, ui: &Ui) -> String {
    let mut parts = vec![plain_line(&subject.title())];
    let homes = launch.homes.iter().flatten().filter(|home| registry.provider(&home.provider_id).is_some());
    let rows: Vec<Vec<String>> = homes.filter_map(|home| row(home, launch, registry)).collect();
    parts.push(table::draw(ui, &["PROVIDER", "STATE", "ACCOUNT", "HOME"], rows));
    if let Subject::Bundle(bundle, _) = subject {
        parts.push(policy(&bundle.unbound.rule, &bundle.unbound.own, &bundle.unbound.sealed));
    }
    let set: Vec<&str> = launch.set.keys().map(String::as_str).collect();
    parts.push(format!("Sets: {}", set.join(", ")));
    let mut removed: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for one in launch.removed.iter().flatten() {
        removed.entry(&one.reason).or_default().push(&one.name);
    }
    for (reason, names) in removed {
        parts.push(format!("Removes: {} ({})", names.join(", "), plain_line(reason)));
    }
    parts.extend(
        launch.warnings.iter().map(|warning| format!("Note: {}", plain_line(&subject.named(warning)))),
    );
    parts.join("\n")
}

/// Returns the row of a provider, or `None` for a key service without a key.
fn row(home: &LaunchHome, launch: &Launch, registry: &Registry) -> Option<Vec<String>> {
    let account = launch.accounts.iter().find(|used| used.provider_id == home.provider_id);
    let has_cli = registry.provider(&home.provider_id).is_some_and(|provider| provider.cli.is_some());
    if !has_cli && account.is_none() {
        return None;
    }
    let state = match &home.state {
        HomeState::Account if has_cli => "logged in",
        HomeState::Account => "key",
        HomeState::Key => "runs with a key",
        HomeState::Unbound => "logged out",
        HomeState::LeftOut => "left out",
        HomeState::Own | HomeState::Tool => "your own",
        HomeState::Other(word) => word,
    };
    let who = match (&home.key_provider_id, account) {
        (Some(key), _) => format!("key of {key}"),
        (None, Some(used)) => match (&used.reason, &used.person) {
            (Some(reason), _) => reason.clone(),
            (None, Some(person)) => person.clone(),
            (None, None) => used.account_id.clone(),
        },
        (None, None) => String::new(),
    };
    let dir = home.dir.clone().unwrap_or_default();
    Some(vec![home.provider_id.clone(), state.to_owned(), plain_line(&who), plain_line(&dir)])
}

/// Returns the sentence about the providers that a bundle does not bind.
pub(in crate::cli) fn policy(rule: &UnboundRule, own: &[String], sealed: &[String]) -> String {
    let text = match rule {
        UnboundRule::Sealed => "Providers without an account are logged out",
        UnboundRule::Tools => "Agents without an account are logged out, your own tools stay as they are",
        UnboundRule::Own => "Providers without an account use your own logins",
        UnboundRule::Other(word) => return format!("The rule for providers without an account is: {word}"),
    };
    let list = |what: &str, ids: &[String]| match ids {
        [] => String::new(),
        ids => format!("; {what}: {}", ids.join(", ")),
    };
    format!("{text}{}{}.", list("your own", own), list("logged out", sealed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policy_is_one_sentence_with_the_providers_decided_by_name() {
        let ids = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
        assert_eq!(
            policy(&UnboundRule::Tools, &ids(&["codex"]), &ids(&["aws", "github"])),
            "Agents without an account are logged out, your own tools stay as they are; your own: codex; logged out: aws, \
             github."
        );
        assert_eq!(policy(&UnboundRule::Sealed, &[], &[]), "Providers without an account are logged out.");
    }
}
