//! Rules that the registry's types cannot express: rules between fields, and the formats of texts.

use super::address::is_loopback;
use super::config_dir::{ConfigDir, DIR, SHARED};
use super::credential_file::{CredentialFile, Format};
use super::forms::{
    has_star, is_id, is_place, is_plain, is_pointer, is_relative, is_sql_name, is_var, is_version, is_word,
    loads_code,
};
use super::keep_alive::KeepAlive;
use super::key_home::{KEY_BASE, KEY_TAIL, KeyFile, KeyHome, MergeFormat};
use super::key_service::{BASE, HOST, KeyService};
use super::keyring_mark::KeyringMark;
use super::load::fold;
use super::provider::{Class, Cli, Provider};
use super::quota::QuotaQuestion;
use super::recipe::{Delivery, Paste, PasteShape};
use super::selection::{Mode, Slot, Template};
use super::settings_file::{SettingsFile, SettingsScope};
use super::token_endpoint::TokenEndpoint;
use super::who_am_i::WhoAmI;

/// A broken rule.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Violation {
    /// Path of the field below the provider's table.
    pub(super) field: String,
    pub(super) reason: String,
}

/// Checks the rules that the types cannot express.
pub(crate) fn validate(provider: &Provider) -> Result<(), Violation> {
    ensure(is_id(&provider.id), "id", "must be at most 64 lower case letters, digits, `-` and `_`")?;
    for alias in &provider.aliases {
        ensure(is_id(&fold(alias)), "aliases", "must be at most 64 letters, digits, `-` and `_`")?;
    }
    ensure(!provider.display_name.trim().is_empty(), "display-name", "must not be empty")?;
    match provider.class {
        Class::OAuth => ensure(provider.cli.is_some(), "cli", "class oauth needs the table `cli`")?,
        Class::ApiKey => ensure(provider.key.is_some(), "key", "class api_key needs the table `key`")?,
    }
    if let Some(cli) = &provider.cli {
        cli_holds(cli)?;
    }
    provider.key.iter().try_for_each(key_holds)?;
    provider.oauth.iter().try_for_each(endpoint_holds)
}

const VARS: &str = "must be names of environment variables";
const CODE: &str =
    "must not set PATH, LD_*, DYLD_*, NODE_OPTIONS, ENV or BASH_ENV, which decide which code a program loads";
const HTTPS: &str = "must be an https address (http on a loopback address)";
const RELATIVE: &str = "must be a path below the CLI's directory without `..`";
const POINTER: &str = "must be a JSON pointer, beginning with a slash, with at most one segment `*`";

fn key_holds(key: &KeyService) -> Result<(), Violation> {
    ensure(key.vars.is_empty() == key.pair.is_some(), "key", "needs either vars or a pair")?;
    ensure(key.variables().all(is_var), "key.vars", VARS)?;
    ensure(
        !key.variables().chain(key.base_url_vars.keys().map(String::as_str)).any(loads_code),
        "key",
        CODE,
    )?;
    if let Some(pair) = &key.pair {
        ensure(pair.vars.len() >= 2, "key.pair.vars", "a pair needs at least two variables")?;
        let visible = pair.separator.bytes().all(|byte| byte.is_ascii_graphic());
        ensure(visible && !pair.separator.is_empty(), "key.pair.separator", "must be printable ASCII text")?;
        ensure(
            key.probe.is_none(),
            "key.probe",
            "a probe sends a whole key, and this key is a pair; remove the probe",
        )?;
    }
    let other = key.other_hosts.as_ref();
    let told = other.is_none_or(|other| !other.usual.is_empty() && !other.vars.is_empty());
    ensure(
        told && (other.is_none() || key.pair.is_none()),
        "key.other-hosts",
        "needs `usual` and `vars`, and no pair",
    )?;
    let base = url::Url::parse(&key.base_url).ok();
    ensure(base.is_some_and(|url| url.scheme() == "https" || is_loopback(&url)), "key.base-url", HTTPS)?;
    ensure(!key.base_url.ends_with('/'), "key.base-url", "must not end with a slash")?;
    ensure(key.shadowing().all(is_var), "key", VARS)?;
    let unfilled = |value: &String| value.replace(BASE, "").replace(HOST, "").contains(['{', '}']);
    let known = !key.base_url_vars.values().any(unfilled);
    ensure(known, "key.base-url-vars", "only {base} and {host} are known in braces")?;
    if let Some(probe) = &key.probe {
        ensure(probe.path.starts_with('/'), "key.probe.path", "must begin with a slash")?;
        let carried = probe.headers.values().any(|value| value.contains("{key}"));
        ensure(carried, "key.probe.headers", "one header must carry {key}")?;
    }
    Ok(())
}

fn endpoint_holds(endpoint: &TokenEndpoint) -> Result<(), Violation> {
    let mut addresses = vec![("oauth.token-url", &endpoint.token_url)];
    addresses.extend(endpoint.authorization_url.iter().map(|url| ("oauth.authorization-url", url)));
    addresses
        .extend(endpoint.device_authorization_url.iter().map(|url| ("oauth.device-authorization-url", url)));
    for (key, address) in addresses {
        let url = url::Url::parse(address).ok();
        let safe = url.as_ref().is_some_and(|url| url.scheme() == "https" || is_loopback(url));
        ensure(safe, key, HTTPS)?;
        let plain =
            |url: url::Url| url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
        ensure(url.is_some_and(plain), key, "must not hold a user, a password or a fragment")?;
    }
    let words = endpoint.scopes.iter().all(|scope| {
        !scope.is_empty()
            && scope.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\')
    });
    ensure(words, "oauth.scopes", "must be words without spaces")?;
    let id = &endpoint.client_id;
    let visible = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_graphic());
    ensure(visible, "oauth.client-id", "must be printable text without spaces")
}

fn cli_holds(cli: &Cli) -> Result<(), Violation> {
    let segment = |name: &String| !name.is_empty() && !name.contains('/') && name != "." && name != "..";
    let named = !cli.binaries.is_empty() && cli.binaries.iter().all(segment);
    ensure(named, "cli.binaries", "must be file names")?;
    let tested = cli.tested.as_ref().is_none_or(|version| is_version(version));
    ensure(tested, "cli.tested", "must be a version: one word of at most 64 printable characters")?;
    let words = cli.plain_commands.iter().all(|word| is_word(word));
    ensure(words, "cli.plain-commands", "must be single words, each the first argument of a command")?;
    ensure(cli.token.as_ref().is_none_or(|token| is_var(&token.var)), "cli.token.var", VARS)?;
    ensure(cli.access_token_var.as_deref().is_none_or(is_var), "cli.access-token-var", VARS)?;
    ensure(cli.credential_var.as_deref().is_none_or(is_var), "cli.credential-var", VARS)?;
    let carriers =
        cli.token.iter().map(|token| &token.var).chain(&cli.access_token_var).chain(&cli.credential_var);
    sets_no_code(carriers, "cli")?;
    config_dir_holds(&cli.config_dir)?;
    let launched = cli.config_dir.option.is_none() || cli.credential_var.is_some();
    let wanted = "a CLI with an option in place of a variable is launched by its `credential-var`";
    ensure(launched, "cli.config-dir.option", wanted)?;
    let named = cli.env.keys().chain(&cli.scrub).chain(&cli.key_vars);
    ensure(named.into_iter().all(|var| is_var(var)), "cli", VARS)?;
    sets_no_code(cli.env.keys(), "cli.env")?;
    let proven = cli.recipes.is_empty() || !cli.credential.is_empty();
    ensure(proven, "cli.credential", "a login needs a file that proves it")?;
    for (position, credential) in cli.credential.iter().enumerate() {
        let place = match cli.credential.len() {
            1 => "cli.credential".to_owned(),
            _ => format!("cli.credential.{position}"),
        };
        credential_holds(credential)
            .map_err(|violation| Violation { field: format!("{place}{}", violation.field), ..violation })?;
    }
    for (position, mark) in cli.elsewhere.iter().enumerate() {
        elsewhere_holds(mark, &format!("cli.elsewhere.{position}"))?;
    }
    let own = |prefix: &String| prefix.len() >= 3 && prefix.ends_with('_') && is_var(prefix);
    let known = cli.login_first.iter().all(|name| cli.key_vars.contains(name));
    ensure(known, "cli.login-first", "must be names that `key-vars` has")?;
    let prefixes = cli.environment_prefixes.iter().all(own);
    ensure(prefixes, "cli.environment-prefixes", "must be the beginnings of names and end with `_`")?;
    let named = cli.variables.keys().chain(cli.logged_out.keys());
    ensure(named.into_iter().all(|name| is_var(name)), "cli.variables", VARS)?;
    cli.keys.iter().try_for_each(|(provider, home)| key_home_holds(provider, home))?;
    for (position, file) in cli.shadows.iter().enumerate() {
        settings_hold(file, &format!("cli.shadows.{position}"))?;
    }
    cli.who_am_i.iter().try_for_each(question_holds)?;
    let problem = cli.keep_alive.as_ref().and_then(KeepAlive::problem);
    ensure(problem.is_none(), "cli.keep-alive", problem.unwrap_or_default())?;
    let problem = cli.quota.as_ref().and_then(QuotaQuestion::problem);
    ensure(problem.is_none(), "cli.quota", problem.unwrap_or_default())?;
    ensure(cli.host.as_ref().is_none_or(|choice| is_var(&choice.var)), "cli.host.var", VARS)?;
    ensure(cli.prepare.iter().all(|file| is_relative(&file.path)), "cli.prepare", RELATIVE)?;
    ensure(cli.history.iter().all(|path| is_relative(path)), "cli.history", RELATIVE)?;
    for (position, rule) in cli.share.iter().enumerate() {
        let problem = rule.problem(cli);
        ensure(problem.is_none(), &format!("cli.share.{position}"), problem.unwrap_or_default())?;
    }
    recipes_hold(cli)
}

fn key_home_holds(provider: &str, home: &KeyHome) -> Result<(), Violation> {
    let place = format!("cli.keys.{provider}");
    ensure(home.files.iter().all(|file| is_relative(&file.path)), &place, RELATIVE)?;
    let vars = home.env.keys().chain(&home.vars);
    ensure(vars.into_iter().all(|name| is_var(name)), &place, VARS)?;
    home.shadows.iter().flatten().try_for_each(|file| settings_hold(file, &place))?;
    // A text that cannot be parsed would fail each launch.
    let sample = |file: &KeyFile| file.text.replace(KEY_BASE, "https://example.com").replace(KEY_TAIL, "0");
    let parses = |file: &KeyFile| match file.format {
        MergeFormat::Json => serde_json::from_str::<serde_json::Value>(&sample(file)).is_ok(),
        MergeFormat::Toml => sample(file).parse::<toml::Table>().is_ok(),
    };
    ensure(home.files.iter().all(parses), &place, "the text must be valid in its format")
}

fn config_dir_holds(dir: &ConfigDir) -> Result<(), Violation> {
    let segment = !dir.name.is_empty() && !dir.name.contains('/') && dir.name != "." && dir.name != "..";
    ensure(segment, "cli.config-dir.name", "must be one path segment")?;
    ensure(is_var(&dir.var), "cli.config-dir.var", VARS)?;
    sets_no_code(dir.extra_vars.keys().chain([&dir.var]), "cli.config-dir")?;
    ensure(dir.inner.is_empty() || is_relative(&dir.inner), "cli.config-dir.inner", RELATIVE)?;
    let option = dir.option.as_ref().is_none_or(|option| option.starts_with("--") && is_word(option));
    ensure(option, "cli.config-dir.option", "must be one word that begins with `--`")?;
    let below = dir.ambient.strip_prefix("~/");
    ensure(below.is_some_and(is_relative), "cli.config-dir.ambient", "must begin with ~/, without `..`")?;
    // `Path::ends_with` compares whole segments.
    let ends = std::path::Path::new(&dir.ambient).ends_with(&dir.inner);
    ensure(ends, "cli.config-dir.ambient", "must end with `inner`: it is the user's own inner directory")?;
    let placed = dir
        .ambient_files
        .iter()
        .all(|(name, place)| is_relative(name) && place.strip_prefix("~/").is_some_and(is_relative));
    let wanted = "must lead from a path below the CLI's directory to one that begins with ~/, without `..`";
    ensure(placed, "cli.config-dir.ambient-files", wanted)?;
    for (name, value) in &dir.extra_vars {
        let place = format!("cli.config-dir.extra-vars.{name}");
        ensure(is_var(name) && *name != dir.var, &place, VARS)?;
        let rest = value.replace(DIR, "").replace(SHARED, "");
        ensure(!rest.contains(['{', '}']), &place, "only {dir} and {shared} are known in braces")?;
    }
    Ok(())
}

/// Checks a credential file. The field in an error has its leading dot and is below the table.
fn credential_holds(credential: &CredentialFile) -> Result<(), Violation> {
    ensure(is_relative(&credential.path), ".path", RELATIVE)?;
    let (folders, _) = credential.path.rsplit_once('/').unwrap_or(("", ""));
    let stars = credential.path.matches('*').count();
    ensure(
        stars <= 1 && !folders.contains('*'),
        ".path",
        "may have one `*`, in the last segment of the path",
    )?;
    match (&credential.sqlite, credential.format) {
        (None, Format::Sqlite) => ensure(
            false,
            ".sqlite",
            "must name the table, the columns and the key, because the format is sqlite",
        )?,
        (Some(_), Format::Json | Format::Jsonc | Format::Yaml | Format::Toml | Format::Text) => {
            ensure(false, ".sqlite", "is for format sqlite only")?;
        }
        (Some(cell), Format::Sqlite) => {
            let names = [&cell.table, &cell.key_column, &cell.value_column];
            let sound = names.iter().all(|name| is_sql_name(name)) && !cell.key.is_empty();
            ensure(sound, ".sqlite", "names must be letters, digits and `_`, and the key not empty")?;
        }
        (None, _) => {}
    }
    ensure(
        !credential.requires.is_empty(),
        ".requires",
        "must not be empty, or an empty file would prove a login",
    )?;
    ensure(credential.requires.iter().all(|pointer| is_pointer(pointer)), ".requires", POINTER)?;
    let expiries =
        [&credential.expires, &credential.issued, &credential.refresh_expires].into_iter().flatten();
    let others = credential.refresh.iter().chain(expiries.map(|expiry| &expiry.pointer));
    let places = || [&credential.email, &credential.subject].into_iter().flatten();
    ensure(
        places().all(is_place),
        "",
        "`email` and `subject` must have valid JSON pointers and relative paths",
    )?;
    let own = places().filter(|place| place.file.is_none()).map(|place| &place.pointer);
    let elsewhere = places().filter(|place| place.file.is_some());
    ensure(
        elsewhere.into_iter().all(|place| !has_star(&place.pointer)),
        "",
        "`*` cannot be used in another file",
    )?;
    let chosen = credential.requires.iter().any(|pointer| has_star(pointer));
    if let Some(slot) = &credential.slot {
        ensure(chosen, ".slot", "`requires` must have a `*` when there is a slot")?;
        slot_holds(slot)?;
    }
    credential.mode.iter().try_for_each(mode_holds)?;
    for pointer in others.chain(own) {
        ensure(is_pointer(pointer), "", POINTER)?;
        ensure(chosen || !has_star(pointer), ".requires", "must have a `*` when another pointer has one")?;
    }
    Ok(())
}

fn slot_holds(slot: &Slot) -> Result<(), Violation> {
    ensure(!slot.names.is_empty(), ".slot.names", "must not be empty")?;
    let mut places = slot.names.iter().flat_map(Template::pointers);
    let sound = places.all(|(file, pointer)| is_plain(pointer) && file.is_none_or(is_relative));
    ensure(sound, ".slot.names", "each brace must hold a JSON pointer without `*`, or `file#` and a pointer")
}

fn mode_holds(mode: &Mode) -> Result<(), Violation> {
    let pointers = std::iter::once(&mode.pointer).chain(&mode.keys);
    ensure(
        pointers.into_iter().all(|pointer| is_plain(pointer)),
        ".mode",
        "must be JSON pointers without `*`",
    )?;
    ensure(mode.file.as_deref().is_none_or(is_relative), ".mode.file", RELATIVE)?;
    ensure(!mode.accepts.is_empty(), ".mode.accepts", "must not be empty, or there would never be a login")
}

fn elsewhere_holds(mark: &KeyringMark, place: &str) -> Result<(), Violation> {
    ensure(is_relative(&mark.path), place, RELATIVE)?;
    ensure(mark.format != Format::Sqlite, place, "a database cannot be a mark; choose another format")?;
    ensure(!mark.when.is_empty(), place, "`when` must name at least one pointer")?;
    let plain = mark.when.keys().all(|pointer| is_pointer(pointer) && !has_star(pointer));
    ensure(plain, place, "`when` must hold JSON pointers without `*`")?;
    let told = !mark.reason.trim().is_empty() && !mark.hint.trim().is_empty();
    ensure(told, place, "`reason` and `hint` must not be empty")
}

fn settings_hold(file: &SettingsFile, place: &str) -> Result<(), Violation> {
    let (sound, wanted) = match file.scope {
        SettingsScope::Home => {
            let below = file.path.strip_prefix(DIR).and_then(|rest| rest.strip_prefix('/'));
            (is_relative(below.unwrap_or(&file.path)), RELATIVE)
        }
        SettingsScope::System => {
            let below = file.path.strip_prefix('/');
            (below.is_some_and(is_relative), "a file of the system must have an absolute path without `..`")
        }
        SettingsScope::Project => (is_relative(&file.path), "must be a path below the project without `..`"),
    };
    ensure(sound, place, wanted)?;
    let (folders, name) = file.path.rsplit_once('/').unwrap_or(("", &file.path));
    let stars = name.matches('*').count();
    let starred = !folders.contains('*') && stars <= usize::from(file.scope != SettingsScope::Project);
    ensure(starred, place, "may have one `*`, in the last segment of a path outside a project")?;
    let upward = !file.upward || file.scope == SettingsScope::Project;
    ensure(upward, place, "`upward` is for files of a project only")?;
    let own = file.own.as_ref().is_none_or(|own| own.strip_prefix("~/").is_some_and(is_relative));
    ensure(own, place, "`own` must begin with ~/, without `..`")?;
    let named = file.values.keys().chain(file.other_than.keys());
    ensure(named.into_iter().all(|pointer| is_plain(pointer)), place, "must be JSON pointers without `*`")?;
    ensure(file.keys.iter().all(|pointer| is_pointer(pointer)), place, POINTER)?;
    let variables = file.variables.as_deref().is_none_or(|pointer| pointer.is_empty() || is_plain(pointer));
    ensure(variables, place, "`variables` must be empty or a JSON pointer without `*`")?;
    let says = !file.keys.is_empty()
        || file.variables.is_some()
        || !(file.values.is_empty() && file.other_than.is_empty());
    ensure(says, place, "needs `keys`, `values`, `other-than` or `variables`")
}

fn question_holds(who: &WhoAmI) -> Result<(), Violation> {
    let place = "cli.who-am-i";
    ensure(who.pointers().all(|pointer| is_plain(pointer)), place, "must be JSON pointers without `*`")?;
    ensure(!who.logged_out.is_empty(), place, "needs `logged-out`")?;
    let says = who.prints_json() || !who.logged_in.is_empty();
    ensure(says, place, "needs `logged-in`, `email`, `subject` or `expects`")
}

fn recipes_hold(cli: &Cli) -> Result<(), Violation> {
    for (position, recipe) in cli.recipes.iter().enumerate() {
        let place = format!("cli.recipes.{position}");
        ensure(is_id(&recipe.id), &place, "the id must be lower case letters, digits, `-` and `_`")?;
        let twins = || cli.recipes.iter().filter(|other| other.id == recipe.id);
        let told_apart = twins().count() == 1 || twins().all(|twin| twin.versions.is_some());
        ensure(told_apart, &place, "another recipe has the same id, so each must name its `versions`")?;
        ensure(recipe.env.keys().all(|var| is_var(var)), &place, VARS)?;
        sets_no_code(recipe.env.keys(), &format!("{place}.env"))?;
        ensure(!recipe.deadline.is_zero(), &place, "the deadline must not be zero")?;
        for pattern in &recipe.patterns.device_code {
            ensure(pattern.names("code"), &place, "the device-code pattern needs a group named `code`")?;
        }
        for pattern in &recipe.patterns.token {
            ensure(pattern.names("token"), &place, "the token pattern needs a group named `token`")?;
            ensure(cli.token.is_some(), &place, "a token pattern needs the table `cli.token`")?;
        }
        ensure(
            recipe.steps.iter().all(|step| !step.send.is_empty()),
            &place,
            "`send` of a step must not be empty",
        )?;
        recipe.paste.iter().try_for_each(|paste| paste_holds(paste, &place))?;
    }
    Ok(())
}

/// Checks that no variable that an entry sets decides which code a program loads.
fn sets_no_code<'a>(names: impl IntoIterator<Item = &'a String>, field: &str) -> Result<(), Violation> {
    ensure(!names.into_iter().any(|name| loads_code(name)), field, CODE)
}

fn paste_holds(paste: &Paste, place: &str) -> Result<(), Violation> {
    ensure(!paste.shapes.is_empty(), place, "paste.shapes must not be empty")?;
    let own = paste.carry.iter().any(|name| name.is_empty() || matches!(name.as_str(), "code" | "state"));
    ensure(!own, place, "paste.carry names parameters other than `code` and `state`")?;
    // The other shapes have no such parameters, and the callback is the only delivery that accepts them.
    let whole = paste.shapes == [PasteShape::Url] && paste.delivery == Delivery::CallbackGet;
    ensure(paste.carry.is_empty() || whole, place, "paste.carry needs the one shape url, and callback_get")
}

fn ensure(holds: bool, field: &str, reason: &str) -> Result<(), Violation> {
    if holds { Ok(()) } else { Err(Violation { field: field.to_owned(), reason: reason.to_owned() }) }
}
