//! The user's environment apart from srvd. Only the names of variables are read, and of files only whether they are a
//! login.

use std::path::{Path, PathBuf};

use auth_spawner::{Cli, KeyService, Proof, Provider, Registry};
use identity_store::Contents;

use crate::base::clock::now;
use crate::base::environment::Environment;
use crate::disk::own_dir::OwnDirs;
use crate::doctor::facts::{AdoptionState, LoginState, OwnLogin, Role, Service, Variable};
use crate::launch::RemovalRules;

/// The daemon's own variables, which other parts of the checkup report.
const OURS: [&str; 2] = ["OAUTH_ENCRYPTION_KEY", "SRVD_DATABASE_URL"];

/// Returns the variables that are set here and that a launch of any identity removes.
pub(super) fn variables(environment: &Environment, registry: &Registry) -> Vec<Variable> {
    let set = |name: &String| environment.bytes(name).is_some_and(|value| !value.is_empty());
    let removed = RemovalRules::new(registry, []).removed_without_account(registry);
    let names = removed.iter().filter(|name| !OURS.iter().any(|ours| name.starts_with(ours)) && set(name));
    names.map(|name| describe(name.clone(), registry)).collect()
}

fn describe(name: String, registry: &Registry) -> Variable {
    let mut roles: Vec<(Role, String)> = registry
        .iter()
        .filter_map(|provider| Some((role(provider, &name)?, provider.display_name.clone())))
        .collect();
    roles.sort();
    let role = roles.first().map_or(Role::Override, |(role, _)| *role);
    let heeded_by =
        roles.into_iter().filter(|(other, _)| *other == role).map(|(_, provider)| provider).collect();
    Variable { name, role, heeded_by }
}

/// Returns the effect of a variable on a provider's programs.
fn role(provider: &Provider, name: &str) -> Option<Role> {
    let is = |known: &String| known == name;
    let of_cli = |cli: &Cli| {
        let dirs = std::iter::once(&cli.config_dir.var).chain(cli.config_dir.extra_vars.keys());
        let token =
            cli.token.iter().map(|token| &token.var).chain(&cli.access_token_var).chain(&cli.credential_var);
        let host = cli.host.iter().map(|host| &host.var);
        if cli.key_vars.iter().chain(token).any(is) {
            Some(Role::Credential)
        } else if dirs.into_iter().any(is) {
            Some(Role::Directory)
        } else {
            cli.scrub.iter().chain(host).chain(cli.variables.keys()).any(is).then_some(Role::Override)
        }
    };
    let of_key = |key: &KeyService| {
        let role = if key.variables().any(|known| known == name) { Role::Credential } else { Role::Override };
        key.shadowing().any(|known| known == name).then_some(role)
    };
    let (of_key, of_cli) = (provider.key.as_ref().and_then(of_key), provider.cli.as_ref().and_then(of_cli));
    of_key.filter(|role| *role == Role::Credential).or(of_cli).or(of_key)
}

/// Returns the logins in the user's own directories. The variables of this environment may name other directories.
pub(super) fn own_logins(own: &OwnDirs, registry: &Registry, contents: Option<&Contents>) -> Vec<OwnLogin> {
    let look = |provider: &Provider| {
        let cli = provider.cli.as_ref()?;
        let place = own.of(cli);
        let state = match place.prove(cli).at(now()) {
            Proof::Absent => return None,
            Proof::LoggedIn(_) => LoginState::Good,
            Proof::Incomplete { reason } | Proof::Unreadable { reason } => LoginState::Unusable(reason),
            Proof::InKeyring { reason, hint } => LoginState::Elsewhere { reason, hint },
        };
        Some(OwnLogin {
            provider: provider.id.clone(),
            name: provider.display_name.clone(),
            directory: match &place.variable {
                None => cli.config_dir.ambient.clone(),
                Some(_) => place.describe(),
            },
            shadow: Some(&state).filter(|state| **state == LoginState::Good).and_then(|_| place.shadow(cli)),
            state,
            fate: contents
                .map_or(AdoptionState::Unknown, |contents| fate(contents, &provider.id, &place.dir)),
            variable: place.variable,
        })
    };
    registry.iter().filter_map(|provider| look(provider)).collect()
}

fn fate(contents: &Contents, provider: &str, dir: &Path) -> AdoptionState {
    let among = |ids: &[String]| ids.iter().any(|id| id == provider);
    let mut adopted = contents.adopted.iter().filter(|(id, _)| id == provider).map(|(_, dir)| dir);
    if adopted.clone().any(|known| known == dir) {
        AdoptionState::Adopted
    } else if let Some(other) = adopted.next() {
        AdoptionState::AdoptedElsewhere(other.clone())
    } else if among(&contents.bound) {
        AdoptionState::Bound
    } else if among(&contents.declined) {
        AdoptionState::Declined
    } else {
        AdoptionState::Waiting
    }
}

pub(super) fn no_service() -> Service {
    Service { managed: false, unit: None, system_wide: false, lingers: None }
}

/// Returns the service that starts the daemon.
pub(super) fn service(home: &Path, environment: &Environment) -> Service {
    if cfg!(target_os = "macos") {
        let unit = home.join("Library/LaunchAgents/dev.srvd.srvd.plist");
        return Service { managed: true, unit: unit.exists().then_some(unit), ..no_service() };
    }
    let config = environment.path("XDG_CONFIG_HOME").unwrap_or_else(|| home.join(".config"));
    let own: [PathBuf; 3] = [
        config.join("systemd/user/srvd.service"),
        "/etc/systemd/user/srvd.service".into(),
        "/usr/lib/systemd/user/srvd.service".into(),
    ];
    let system_unit = PathBuf::from("/etc/systemd/system/srvd@.service");
    let managed = Path::new("/run/systemd/system").is_dir();
    let found = own.into_iter().find(|path| path.exists());
    let system_wide = found.is_none() && system_unit.exists();
    let user = environment.text("USER").filter(|user| !user.contains('/'));
    // There is one file for each user that lingers (loginctl(1)).
    let lingers =
        user.filter(|_| managed).map(|user| Path::new("/var/lib/systemd/linger").join(user).exists());
    Service { managed, unit: found.or_else(|| system_wide.then_some(system_unit)), system_wide, lingers }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_listed_with_role_and_without_value() {
        let registry = Registry::builtin().unwrap();
        let environment = Environment::of(
            [
                ("ANTHROPIC_API_KEY", "planted"),
                ("ANTHROPIC_BASE_URL", "planted"),
                ("CODEX_HOME", "planted"),
                ("OPENAI_API_KEY", ""),
                ("OAUTH_ENCRYPTION_KEY", "planted"),
                ("EDITOR", "planted"),
            ]
            .map(|(name, value)| (name, value.to_owned())),
        );
        let found = variables(&environment, &registry);
        let roles: Vec<_> = found.iter().map(|variable| (variable.name.as_str(), variable.role)).collect();
        assert_eq!(
            roles,
            [
                ("ANTHROPIC_API_KEY", Role::Credential),
                ("ANTHROPIC_BASE_URL", Role::Override),
                ("CODEX_HOME", Role::Directory),
            ]
        );
        assert!(found[0].heeded_by.contains(&"Claude Code".to_owned()), "{:?}", found[0]);
        assert!(!format!("{found:?}").contains("planted"));
    }

    #[test]
    fn variable_has_a_role_when_launch_removes_it() {
        let registry = Registry::builtin().unwrap();
        let names = RemovalRules::new(&registry, []).removed_without_account(&registry);
        assert!(names.len() > 20, "{names:?}");
        for name in names.iter().filter(|name| !OURS.iter().any(|ours| name.starts_with(ours))) {
            assert!(!describe(name.clone(), &registry).heeded_by.is_empty(), "{name}");
        }
    }
}
