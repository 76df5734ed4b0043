//! Generates `docs/providers.md` from the built-in registry.

use std::fmt::Write as _;

use auth_spawner::{
    Cli, CredentialFile, Delivery, Expiry, ExpiryUnit, Format, KeepAlive, KeepAliveBy, KeyService, Mode,
    PasteShape, Provider, Recipe, Registry, RegistryError, SettingsFile, SettingsScope, SlotFallback,
    Terminal, TokenBody, TokenEndpoint,
};

/// Returns the complete document. A test compares it with `docs/providers.md`.
///
/// # Errors
/// A [`RegistryError`] if the built-in registry is invalid. A test ensures that it is not.
pub(crate) fn providers_markdown() -> Result<String, RegistryError> {
    let registry = Registry::builtin()?;
    let mut text = String::from(INTRODUCTION);
    overview(&mut text, &registry);
    for provider in registry.iter() {
        section(&mut text, provider);
    }
    Ok(text)
}

const INTRODUCTION: &str = "\
<!-- Generated from config/providers by `srvd providers doc`; a test fails when it is stale. -->
# The providers of srvd

The providers known to this build. An operator changes or adds providers with files in `<config>/providers.d`;
[providers-format.md](providers-format.md) describes their format. `srvd providers check` compares an installed CLI with
this data.

A login runs the provider's own CLI in a directory of the bundle, never in the user's own. The CLI's credential file shows
whether the login succeeded. Removed variables would override that login; they are removed from the environment of login,
check, version and launch. Logging out with the CLI usually revokes the token at the provider, for every copy.
";

fn overview(text: &mut String, registry: &Registry) {
    text.push_str(
        "\n| provider | other names | main credential | logins | API key variables |\n|---|---|---|---|---|\n",
    );
    for provider in registry.iter() {
        let recipes = provider.cli.iter().flat_map(Cli::recipe_ids);
        let keys = provider.key.iter().flat_map(usual_variables);
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(
            text,
            "| [{}](#{}) | {} | {} | {} | {} |",
            provider.id,
            provider.id,
            codes(provider.aliases.iter().map(String::as_str)),
            provider.class.as_str(),
            codes(recipes),
            codes(keys),
        );
    }
}

fn section(text: &mut String, provider: &Provider) {
    let _ = write!(text, "\n## {}\n\n{}.\n", provider.id, escape(&provider.display_name));
    if let Some(cli) = &provider.cli {
        text.push_str("\n| CLI | |\n|---|---|\n");
        facts(text, cli);
        if !cli.recipes.is_empty() {
            text.push_str("\n| login | command | runs on | shows | accepts | ports | minutes |\n|---|---|---|---|---|---|---|\n");
        }
        for recipe in &cli.recipes {
            login(text, cli, recipe);
        }
    }
    if let Some(key) = &provider.key {
        text.push_str("\n| API key | |\n|---|---|\n");
        key_facts(text, key);
    }
    if let Some(endpoint) = &provider.oauth {
        text.push_str("\n| tokens | |\n|---|---|\n");
        endpoint_facts(text, endpoint);
    }
}

fn facts(text: &mut String, cli: &Cli) {
    let dir = &cli.config_dir;
    let inner = if dir.inner.is_empty() { String::new() } else { format!(", below it {}", code(&dir.inner)) };
    row(text, "program", &codes(cli.binaries.iter().map(String::as_str)));
    row(text, "install", &code(&cli.install));
    row(text, "tested with", &cli.tested.as_deref().map(escape).unwrap_or_default());
    row(
        text,
        "version output",
        &cli.version_pattern.as_ref().map(|line| code(line.as_str())).unwrap_or_default(),
    );
    row(text, "passed through by a shim", &codes(cli.plain_commands.iter().map(String::as_str)));
    row(
        text,
        "directory",
        &format!("set by {}, named {} in a bundle{inner}", code(&dir.var), code(&dir.name)),
    );
    let elsewhere = dir.ambient_files.values().map(String::as_str);
    row(text, "user's own directory", &codes(std::iter::once(dir.ambient.as_str()).chain(elsewhere)));
    for file in &cli.credential {
        row(text, "login file", &credential(file));
    }
    let set = cli.env.iter().chain(&dir.extra_vars).map(|(name, value)| format!("{name}={value}"));
    for mark in &cli.elsewhere {
        let when = mark.when.iter().map(|(pointer, texts)| match texts.as_slice() {
            [] => code(pointer),
            texts => format!("{} is {}", code(pointer), codes(texts.iter().map(String::as_str))),
        });
        let when = when.collect::<Vec<_>>().join(", ");
        row(text, "in the keyring if", &format!("{} has {when} and no login is proven", code(&mark.path)));
    }
    for file in &cli.shadows {
        row(text, "login displaced by", &settings(file));
    }
    if let Some(keep) = &cli.keep_alive {
        row(text, "kept alive by", &kept_alive(keep));
        // A CLI without locks has no row.
        row(text, "locks", &codes(keep.locks.iter().map(|lock| lock.path.as_str())));
    }
    if let Some(question) = &cli.quota {
        let method = question.request.as_ref().map(|request| format!(" and {}", code(&request.method)));
        let since =
            question.since.as_deref().map(|since| format!(", from version {since}")).unwrap_or_default();
        let words = format!("{}{}{since}", code(&question.args.join(" ")), method.unwrap_or_default());
        row(text, "tells its limits by", &words);
    }
    let asked = cli.who_am_i.as_ref().map(|who| code(&who.args.join(" ")));
    row(text, "says whose login it uses", &asked.unwrap_or_default());
    let host = cli.host.as_ref().map(|choice| {
        let var = code(&choice.var);
        format!("{} by default; a launch sets another host with {var}", code(choice.default.as_str()))
    });
    row(text, "host", &host.unwrap_or_default());
    row(text, "variables set", &codes(set.collect::<Vec<_>>().iter().map(String::as_str)));
    row(text, "removed variables", &codes(cli.scrub.iter().map(String::as_str)));
    row(text, "removed key variables", &codes(cli.key_vars.iter().map(String::as_str)));
    row(text, "URL hosts", &codes(cli.url_hosts.iter().map(String::as_str)));
    row(text, "written before a login", &codes(cli.prepare.iter().map(|file| file.path.as_str())));
    row(
        text,
        "check command",
        &cli.check.as_ref().map(|check| code(&check.args.join(" "))).unwrap_or_default(),
    );
    let token = cli.token.as_ref().map(|token| {
        let days = token.lifetime_s / 86_400;
        format!("{}, encrypted; assumed to be valid for {days} days", code(&token.var))
    });
    row(text, "displayed credential passed in", &token.unwrap_or_default());
    row(text, "user's token passed in", &cli.access_token_var.as_deref().map(code).unwrap_or_default());
    let logout = cli.logout.as_ref().map(|args| {
        let told = if cli.logout_revokes { ", which revokes the login at the provider" } else { "" };
        format!("{}{told}", code(&args.join(" ")))
    });
    row(text, "logout command", &logout.unwrap_or_default());
    let keychain = cli.keychain.iter().map(|system| system.as_str());
    row(text, "may use the keychain of", &codes(keychain));
    row(text, "not tested", &cli.untested.iter().map(|words| escape(words)).collect::<Vec<_>>().join("; "));
    for rule in &cli.share {
        let below = match (&rule.own, &rule.home) {
            (Some(own), _) => format!(" below {}", code(own)),
            (None, Some(home)) => format!(" below {}", code(home)),
            (None, None) => String::new(),
        };
        let paths = codes(rule.paths.iter().map(String::as_str));
        let members = match rule.take.as_slice() {
            [] => String::new(),
            pointers => format!(", of it {}", codes(pointers.iter().map(String::as_str))),
        };
        let request = if rule.history { ", on request" } else { "" };
        row(
            text,
            "the user's own setup",
            &format!("{}: {paths}{below}{members}{request}", rule.kind.as_str()),
        );
    }
    row(text, "history, kept on deletion", &codes(cli.history.iter().map(String::as_str)));
}

fn settings(file: &SettingsFile) -> String {
    let place = match file.scope {
        SettingsScope::Home => "",
        SettingsScope::System => " (of the system)",
        SettingsScope::Project => " (of a project: a warning)",
    };
    let some = |texts: &[String]| codes(texts.iter().map(String::as_str));
    let mut when: Vec<String> = file.keys.iter().map(|key| code(key)).collect();
    when.extend(file.values.iter().map(|(key, texts)| format!("{} is {}", code(key), some(texts))));
    when.extend(file.other_than.iter().map(|(key, texts)| format!("{} is not {}", code(key), some(texts))));
    when.extend(file.variables.as_ref().map(|key| match key.as_str() {
        "" => "a removed variable".to_owned(),
        key => format!("a removed variable in {}", code(key)),
    }));
    format!("{}{place}: {}", code(&file.path), when.join("; "))
}

fn credential(file: &CredentialFile) -> String {
    let mut words = code(&file.path);
    match (&file.sqlite, file.format) {
        (Some(cell), _) => {
            let _ = write!(words, " (sqlite, {} in {})", code(&cell.key), code(&cell.table));
        }
        (None, Format::Json) => {}
        (None, format) => {
            let _ = write!(words, " ({})", format.as_str());
        }
    }
    let _ = write!(words, ": {}", codes(file.requires.iter().map(String::as_str)));
    if let Some(slot) = &file.slot {
        let names: Vec<String> = slot.names.iter().map(ToString::to_string).collect();
        let _ = write!(words, "; `*` is {}", codes(names.iter().map(String::as_str)));
        if slot.otherwise == SlotFallback::First {
            words.push_str(", or else the first login");
        }
    }
    if let Some(mode) = &file.mode {
        words.push_str(&condition(mode));
    }
    if let Some(expiry) = &file.expires {
        let _ = write!(words, "; expires at {}", end(expiry));
    }
    if let Some(issued) = &file.issued {
        let _ = write!(words, "; issued at {}", end(issued));
    }
    if let Some(refresh) = &file.refresh {
        let _ = write!(words, "; refreshed with {}", code(refresh));
    }
    if let Some(expiry) = &file.refresh_expires {
        let _ = write!(words, " until {}", end(expiry));
    }
    for (what, place) in [("email", &file.email), ("account", &file.subject)] {
        if let Some(place) = place {
            let other = place.file.as_ref().map(|file| format!(" in {}", code(file))).unwrap_or_default();
            let claim =
                place.claim.as_ref().map(|claim| format!(", claim {}", code(claim))).unwrap_or_default();
            let _ = write!(words, "; {what} {}{claim}{other}", code(&place.pointer));
        }
    }
    words
}

fn kept_alive(keep: &KeepAlive) -> String {
    let reason = keep.reason.as_deref().map(|reason| format!("; {}", escape(reason))).unwrap_or_default();
    let since = keep.since.as_deref().map(|since| format!(", from version {since}")).unwrap_or_default();
    let request =
        keep.request.as_ref().map(|request| format!(" and {}", code(&request.method))).unwrap_or_default();
    let when = match (keep.renews_early(), keep.window_s / 60) {
        (true, _) => " at half of the login's life".to_owned(),
        (false, 0) => " after its end".to_owned(),
        (false, minutes) => format!(" in the last {minutes} minutes"),
    };
    let place = if keep.at_launch_only { ", only before a launch" } else { "" };
    match keep.by {
        KeepAliveBy::None => format!("nothing{reason}"),
        _ => format!("{}{request}{when}{place}{since}{reason}", code(&keep.args.join(" "))),
    }
}

fn condition(mode: &Mode) -> String {
    let place = mode.file.as_ref().map(|file| format!(" in {}", code(file))).unwrap_or_default();
    let accepts = codes(mode.accepts.iter().map(String::as_str));
    let mut words = format!("; used if {}{place} is {accepts}, or is absent", code(&mode.pointer));
    if !mode.keys.is_empty() {
        let _ = write!(words, " and neither is {}", codes(mode.keys.iter().map(String::as_str)));
    }
    words
}

fn end(expiry: &Expiry) -> String {
    let unit = match expiry.unit {
        ExpiryUnit::Ms => "milliseconds",
        ExpiryUnit::S | ExpiryUnit::FloatS => "seconds",
        ExpiryUnit::Rfc3339 => "RFC 3339",
        ExpiryUnit::JwtExp => "the token's `exp`",
        ExpiryUnit::JwtIat => "the token's `iat`",
    };
    format!("{} ({unit})", code(&expiry.pointer))
}

fn login(text: &mut String, cli: &Cli, recipe: &Recipe) {
    let program = cli.binaries.first().map(String::as_str).unwrap_or_default();
    let command = std::iter::once(program).chain(recipe.args.iter().map(String::as_str));
    let terminal = match recipe.terminal {
        Terminal::Pipe => "pipes".to_owned(),
        Terminal::Pty { columns, rows } => format!("terminal {columns}x{rows}"),
    };
    let mut shows = match (!recipe.patterns.device_code.is_empty(), recipe.offline) {
        (true, true) => "URL and code",
        (true, false) => "URL and code; needs the network",
        (false, true) => "URL",
        (false, false) => "URL; needs the network",
    }
    .to_owned();
    if !recipe.patterns.token.is_empty() {
        shows.push_str("; finally the credential, which is encrypted");
    }
    if !recipe.steps.is_empty() {
        let _ = write!(shows, "; {} menu answers are typed first", recipe.steps.len());
    }
    let paste = recipe.paste.as_ref().map(|paste| {
        let shapes = paste.shapes.iter().map(|shape| match shape {
            PasteShape::Url => "url",
            PasteShape::CodeState => "code#state",
            PasteShape::Code => "code",
        });
        let way = match paste.delivery {
            Delivery::StdinLine | Delivery::StdinTyped => "typed",
            Delivery::CallbackGet => "to its callback",
        };
        format!("{} {way}", codes(shapes))
    });
    let ports: Vec<String> = recipe.callback_ports.iter().map(ToString::to_string).collect();
    let _ = writeln!(
        text,
        "| {}{} | {} | {terminal} | {shows} | {} | {} | {} |",
        code(&recipe.id),
        recipe.versions.as_ref().map(|range| format!(", version {range}")).unwrap_or_default(),
        code(&command.collect::<Vec<_>>().join(" ")),
        paste.unwrap_or_default(),
        ports.join(", "),
        recipe.deadline.as_secs() / 60,
    );
}

/// The variables that contain a key for the vendor's own service.
fn usual_variables(key: &KeyService) -> impl Iterator<Item = &str> {
    key.vars.iter().chain(key.pair.iter().flat_map(|pair| &pair.vars)).map(String::as_str)
}

fn key_facts(text: &mut String, key: &KeyService) {
    let carried = match &key.pair {
        Some(pair) => {
            format!("{}, joined with {}", codes(usual_variables(key)), code(&pair.separator))
        }
        None => codes(usual_variables(key)),
    };
    row(text, "variables", &carried);
    let other = key.other_hosts.as_ref().map(|other| {
        let usual = codes(other.usual.iter().map(String::as_str));
        format!("{}, if the host is none of {usual}", codes(other.vars.iter().map(String::as_str)))
    });
    row(text, "variables for other hosts", &other.unwrap_or_default());
    row(text, "service", &code(&key.base_url));
    let address = key.base_url_vars.iter().map(|(name, value)| format!("{name}={value}"));
    row(text, "variables for another URL", &codes(address.collect::<Vec<_>>().iter().map(String::as_str)));
    row(text, "removed variables", &codes(key.scrub.iter().map(String::as_str)));
    row(text, "starts with", &key.prefix.as_deref().map(code).unwrap_or_default());
    let probe = key.probe.as_ref().map(|probe| code(&format!("{} {}", probe.method, probe.path)));
    row(
        text,
        "checked by",
        &probe.unwrap_or_else(|| "nothing; the first use shows whether the key works".to_owned()),
    );
}

fn endpoint_facts(text: &mut String, endpoint: &TokenEndpoint) {
    let body = match endpoint.body {
        TokenBody::Form => "a form",
        TokenBody::Json => "JSON",
    };
    row(text, "refreshed at", &format!("{}, with {body}", code(&endpoint.token_url)));
    row(text, "as the client", &code(&endpoint.client_id));
}

/// Writes a table row, unless its text is empty.
fn row(text: &mut String, what: &str, words: &str) {
    if !words.is_empty() {
        let _ = writeln!(text, "| {what} | {words} |");
    }
}

fn codes<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    words.into_iter().map(code).collect::<Vec<_>>().join(", ")
}

fn code(text: &str) -> String {
    format!("`{}`", escape(text))
}

/// Escapes bars, which would end the cell even inside code.
fn escape(text: &str) -> String {
    text.replace('|', "\\|")
}
