//! The parser for one file. It reports all errors, not just the first. No error quotes a value, because it may be a
//! key.

use std::collections::BTreeMap;
use std::path::Path;

use auth_spawner::{KeyService, Registry};
use identity_store::{AgentId, Expiry, UserId};
use secrecy::SecretString;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::{Agent, Credential, EndVariable, Fault};
use crate::base::environment::{Environment, is_variable_name};
use crate::keys::api_key;

/// The maximum number of arguments of a command.
const MOST_ARGUMENTS: usize = 64;
/// The prefixes of variables that are reserved for the daemon and never contain an agent's credential.
const OURS: [&str; 3] = ["OAUTH_ENCRYPTION_", "SRVD_", "CREDENTIALS_DIRECTORY"];

/// The content of one file.
pub(super) struct Parsed {
    /// Each agent with its id and line number. An id may occur twice.
    pub(super) agents: Vec<(String, usize, Agent)>,
    /// The line of the first key written in the file.
    pub(super) first_key: Option<usize>,
    /// All errors in the file.
    pub(super) faults: Vec<Fault>,
}

/// The text of a file and the context in which it is parsed.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    pub(super) path: &'a Path,
    pub(super) text: &'a str,
    pub(super) registry: &'a Registry,
    pub(super) environment: &'a Environment,
}

type Key<'i> = Spanned<DeString<'i>>;
type Value<'i> = Spanned<DeValue<'i>>;

/// A table entry.
#[derive(Clone, Copy)]
struct Entry<'t, 'a> {
    key: &'t Key<'a>,
    value: &'t Value<'a>,
}

impl Reader<'_> {
    pub(super) fn parse(self) -> Parsed {
        let mut parsed = Parsed { agents: Vec::new(), first_key: None, faults: Vec::new() };
        let (document, errors) = DeTable::parse_recoverable(self.text);
        if !errors.is_empty() {
            // The rest of the document cannot be interpreted reliably.
            parsed.faults = errors
                .iter()
                .map(|error| self.fault(error.span().map_or(0, |span| span.start), error.message()))
                .collect();
            return parsed;
        }
        for (key, value) in document.get_ref() {
            match (key.get_ref().as_ref(), value.get_ref().as_array()) {
                ("agents", Some(agents)) => agents.iter().for_each(|agent| self.agent(agent, &mut parsed)),
                ("agents", None) => {
                    parsed.faults.push(self.fault(at(key), "agents must be written as [[agents]]"));
                }
                _ => parsed.faults.push(self.unknown(key, "agents")),
            }
        }
        parsed
    }

    fn agent(self, value: &Value<'_>, parsed: &mut Parsed) {
        let Some(table) = value.get_ref().as_table() else {
            return parsed
                .faults
                .push(self.fault(value.span().start, "an agent must be a table, [[agents]]"));
        };
        let mut id = None;
        let (mut owner, mut run_as_owner) = (None, None);
        let mut credentials = BTreeMap::new();
        for (key, value) in table {
            match key.get_ref().as_ref() {
                "id" => match value.get_ref().as_str().map(str::parse::<AgentId>) {
                    Some(Ok(agent)) if agent.is_any() => {
                        parsed
                            .faults
                            .push(self.fault(at(key), "* means every agent; specify a single agent"));
                    }
                    Some(Ok(agent)) => id = Some((agent.to_string(), self.line(value.span().start))),
                    Some(Err(error)) => parsed.faults.push(self.fault(at(key), error.to_string())),
                    None => parsed.faults.push(self.fault(at(key), "the agent's id must be a string")),
                },
                "providers" => match value.get_ref().as_table() {
                    Some(providers) => credentials = self.credentials(providers, parsed),
                    None => parsed.faults.push(self.fault(at(key), "providers must be a table")),
                },
                "owner" => match value.get_ref().as_str().map(str::parse::<UserId>) {
                    Some(Ok(user)) => owner = Some(user),
                    Some(Err(error)) => parsed.faults.push(self.fault(at(key), error.to_string())),
                    None => parsed.faults.push(self.fault(at(key), "the owner must be a string")),
                },
                "run_as_owner" => match value.get_ref().as_bool() {
                    Some(chosen) => run_as_owner = Some((chosen, at(key))),
                    None => parsed.faults.push(self.fault(at(key), "run_as_owner must be true or false")),
                },
                _ => parsed.faults.push(self.unknown(key, "id, owner, run_as_owner and providers")),
            }
        }
        if let Some((true, position)) = run_as_owner
            && !table.keys().any(|key| key.get_ref() == "owner")
        {
            parsed.faults.push(self.fault(position, "run_as_owner requires an owner"));
        }
        let run_as_owner = run_as_owner.is_some_and(|(chosen, _)| chosen);
        match id {
            Some((id, line)) => {
                let agent = Agent { source: self.path.to_owned(), credentials, owner, run_as_owner };
                parsed.agents.push((id, line, agent));
            }
            None if !table.keys().any(|key| key.get_ref() == "id") => {
                parsed.faults.push(self.fault(value.span().start, "the agent has no id"));
            }
            None => {}
        }
    }

    fn credentials(self, table: &DeTable<'_>, parsed: &mut Parsed) -> BTreeMap<String, Credential> {
        let mut found = BTreeMap::new();
        let mut lines: BTreeMap<String, usize> = BTreeMap::new();
        let mut entries: Vec<(&Key<'_>, &Value<'_>)> = table.iter().collect();
        entries.sort_by_key(|(key, _)| at(key));
        for (key, value) in entries {
            let name = key.get_ref();
            let Some(provider) = self.registry.provider(name) else {
                parsed.faults.push(self.fault(at(key), format!("no provider {name:?} in the registry")));
                continue;
            };
            let Some(service) = &provider.key else {
                parsed.faults.push(self.fault(at(key), format!("{} does not accept API keys", provider.id)));
                continue;
            };
            if let Some(line) = lines.insert(provider.id.clone(), self.line(at(key))) {
                let twice = format!("{} already has a credential in line {line}", provider.id);
                parsed.faults.push(self.fault(at(key), twice));
                continue;
            }
            match self.credential(Entry { key, value }, service, parsed) {
                Ok(credential) => drop(found.insert(provider.id.clone(), credential)),
                Err(fault) => parsed.faults.push(fault),
            }
        }
        found
    }

    fn credential(
        self,
        entry: Entry<'_, '_>,
        service: &KeyService,
        parsed: &mut Parsed,
    ) -> Result<Credential, Fault> {
        const FORMS: &str = "key, env and command";
        const ENDS: &str = "expires_env";
        let Entry { key: name, value } = entry;
        let table = value.get_ref().as_table().ok_or_else(|| {
            self.fault(at(name), format!("a credential must be a table with one of {FORMS}"))
        })?;
        let ends = table.iter().find(|(key, _)| key.get_ref() == ENDS);
        let mut forms = table.iter().filter(|(key, _)| key.get_ref() != ENDS);
        let (Some((key, value)), None) = (forms.next(), forms.next()) else {
            return Err(self.fault(at(name), format!("a credential must have exactly one of {FORMS}")));
        };
        let fault = |reason: &str| self.fault(at(key), reason);
        if let Some((ends, _)) = ends.filter(|_| key.get_ref() != "env") {
            return Err(self.fault(at(ends), "expires_env is allowed only together with env"));
        }
        match key.get_ref().as_ref() {
            "key" => {
                let line = self.line(at(key));
                parsed.first_key = Some(parsed.first_key.map_or(line, |first| first.min(line)));
                let text = value.get_ref().as_str().ok_or_else(|| fault("the key must be a string"))?;
                let key = api_key::usable(&SecretString::from(text), service);
                key.map(Credential::Key).map_err(|reason| fault(&format!("the key {reason}")))
            }
            "env" => {
                let var = self.variable(Entry { key, value })?;
                let end = |(key, value)| {
                    let var = self.variable(Entry { key, value })?;
                    // Only a known expiry time is used, so the time of reading (0) does not matter.
                    let at = Expiry::read(self.environment.text(var), 0).known();
                    Ok(EndVariable { var: var.to_owned(), at })
                };
                let ends = ends.map(end).transpose()?;
                let value = self.environment.text(var).map(SecretString::from);
                Ok(Credential::Env { var: var.to_owned(), value, ends })
            }
            "command" => command(value).map(Credential::Command).map_err(fault),
            _ => Err(self.unknown(key, FORMS)),
        }
    }

    /// Returns the name of a variable in the daemon's environment.
    fn variable<'v>(self, entry: Entry<'v, '_>) -> Result<&'v str, Fault> {
        let Entry { key, value } = entry;
        let fault = |reason: &str| self.fault(at(key), reason);
        let var = value.get_ref().as_str().filter(|var| is_variable_name(var));
        let var = var.ok_or_else(|| fault(&format!("{} is not a valid variable name", key.get_ref())))?;
        if OURS.iter().any(|prefix| var.starts_with(prefix)) {
            return Err(fault("this variable is reserved for the daemon"));
        }
        Ok(var)
    }

    /// Returns the error for an unknown key. The name may be a misplaced secret, so it is not quoted.
    fn unknown(self, key: &Key<'_>, known: &str) -> Fault {
        self.fault(at(key), format!("unknown key; allowed here: {known}"))
    }

    fn fault(self, position: usize, reason: impl Into<String>) -> Fault {
        Fault { file: self.path.to_owned(), line: Some(self.line(position)), reason: reason.into() }
    }

    fn line(self, position: usize) -> usize {
        let before = self.text.as_bytes().iter().take(position);
        before.filter(|byte| **byte == b'\n').count() + 1
    }
}

fn at(key: &Key<'_>) -> usize {
    key.span().start
}

fn command(value: &Value<'_>) -> Result<Vec<String>, &'static str> {
    let array = value.get_ref().as_array().ok_or("command must be a list of strings")?;
    let argument = |one: &Value<'_>| one.get_ref().as_str().map(str::to_owned);
    let argv: Option<Vec<String>> = array.iter().map(argument).collect();
    let argv = argv.ok_or("command must be a list of strings")?;
    if argv.len() > MOST_ARGUMENTS || argv.iter().any(|argument| argument.contains('\0')) {
        return Err("command has too many arguments, or an argument contains a NUL");
    }
    match argv.first() {
        Some(program) if Path::new(program).is_absolute() => Ok(argv),
        _ => Err("command must start with the absolute path of a program"),
    }
}
