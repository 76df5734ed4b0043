//! Tests of the registry: the built-in file, overlays, and rejected entries.

use auth_spawner::{Class, Overlay, Registry};

fn overlaid(text: &str) -> Result<Registry, String> {
    let overlay = Overlay { source: "own.toml".to_owned(), text: text.to_owned() };
    Registry::with_overlays(&[overlay]).map_err(|error| error.to_string())
}

#[test]
fn builtin_registry_is_valid() {
    let registry = Registry::builtin().unwrap();
    for (name, id) in
        [(" Codex ", "codex"), ("CLAUDE-CODE", "claude"), ("moonshot-kimi", "kimi-code"), ("gh", "github")]
    {
        assert_eq!(registry.provider(name).unwrap().id, id, "{name}");
    }
    assert!(registry.provider("nobody").is_none());
    let recipes = |id: &str| -> Vec<String> {
        let cli = registry.provider(id).unwrap().cli.as_ref().unwrap();
        cli.recipes.iter().map(|recipe| recipe.id.clone()).collect()
    };
    assert_eq!(recipes("codex")[..2], ["login", "device-auth"]);
    assert_eq!(recipes("claude")[0], "login");
    for provider in registry.iter() {
        let logs_in = provider.cli.as_ref().is_some_and(|cli| !cli.recipes.is_empty());
        assert_eq!(provider.class == Class::OAuth, logs_in, "{}", provider.id);
        assert!(logs_in || provider.key.is_some(), "{}", provider.id);
    }
    let variables = |id: &str| -> Vec<String> {
        let key = registry.provider(id).unwrap().key.as_ref().unwrap();
        key.variables().map(str::to_owned).collect()
    };
    for (id, expected) in [
        ("anthropic", &["ANTHROPIC_API_KEY"][..]),
        ("aws", &["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]),
        ("deepseek", &["DEEPSEEK_API_KEY"]),
        ("gemini", &["GEMINI_API_KEY"]),
        ("github", &["GITHUB_TOKEN", "GH_TOKEN", "GH_ENTERPRISE_TOKEN", "GITHUB_ENTERPRISE_TOKEN"]),
        ("groq", &["GROQ_API_KEY"]),
        ("mistral", &["MISTRAL_API_KEY"]),
        ("moonshot", &["MOONSHOT_API_KEY", "KIMI_API_KEY"]),
        ("openai", &["OPENAI_API_KEY"]),
        ("openrouter", &["OPENROUTER_API_KEY"]),
        ("qwen", &["BAILIAN_CODING_PLAN_API_KEY"]),
        ("xai", &["XAI_API_KEY"]),
    ] {
        assert_eq!(variables(id), expected, "{id}");
    }
}

#[test]
fn overlay_changes_only_its_own_fields() {
    let registry = overlaid("[providers.codex.cli]\nurl-hosts = [\"127.0.0.1\"]").unwrap();
    let cli = registry.provider("codex").unwrap().cli.clone().unwrap();
    assert_eq!(cli.url_hosts, ["127.0.0.1"]);
    assert_eq!(cli.binaries, ["codex"]);
}

/// Overlays with the keys of format 1 still apply.
#[test]
fn format_1_overlay_changes_the_credential_of_an_entry_with_several() {
    let text = "[providers.opencode.cli.credential]\nrequires = ['/other/access']\n\
        expires = { pointer = '/other/expires', unit = 'float_s' }\n";
    let registry = overlaid(text).unwrap();
    let files = &registry.provider("opencode").unwrap().cli.as_ref().unwrap().credential;
    let requires: Vec<&str> = files.iter().map(|file| file.requires[0].as_str()).collect();
    assert_eq!(requires, ["/other/access", "/*/access", "/*/key"]);
    assert_eq!(files[0].path, "auth.json");
}

#[test]
fn registry_file_of_a_later_format_is_rejected() {
    let check = |text: &str, expected: &str| {
        let error = overlaid(text).map(|registry| registry.ids().join(" ")).unwrap_err();
        assert!(error.starts_with(expected), "{error}");
    };
    check("schema = 3", "own.toml: schema: this srvd reads formats 1 to 2, and the file has 3");
    check("schema = \"2\"", "own.toml: schema: ");
    for (text, place) in [
        ("[providers.codex.share]", "providers.codex.share"),
        ("[providers.codex.cli]\nlocks = []", "providers.codex.cli.locks"),
        ("[providers.openai.key]\nhome = 'x'", "providers.openai.key.home"),
        ("[providers.openai.oauth]\nrevocation-url = ''", "providers.openai.oauth.revocation-url"),
    ] {
        check(text, &format!("own.toml: {place}: this key is reserved for a later srvd"));
    }
}

#[test]
fn file_is_rejected_when_its_variables_or_key_homes_are_not_valid() {
    let check = |text: &str, expected: &str| {
        let error = overlaid(text).map(|registry| registry.ids().join(" ")).unwrap_err();
        assert!(error.starts_with(expected), "{error}");
    };
    let cli = |line: &str| format!("[providers.codex.cli]\n{line}");
    check(
        &cli("environment-prefixes = ['GITHUB_']"),
        "own.toml: providers.codex.cli.environment-prefixes: other programs share",
    );
    check(
        &cli("environment-prefixes = ['CODEX']"),
        "own.toml: providers.codex.cli.environment-prefixes: must",
    );
    check(&cli("variables = { A = { class = 'x' } }"), "own.toml: providers.codex: ");
    check(
        &cli("keys.openai.files = [{ path = 'a.json', format = 'json', text = '{' }]"),
        "own.toml: providers.codex.cli.keys.openai: the text must be valid",
    );
    check("credential-words = { NEW = 'x' }", "own.toml: credential-words: ");
}

#[test]
fn registry_error_names_its_file_and_location() {
    let check = |text: &str, expected: &str| {
        let error = overlaid(text).map(|registry| registry.ids().join(" ")).unwrap_err();
        assert!(error.starts_with(expected), "{error}");
    };
    check("providers = 1", "own.toml: providers: expected a table");
    check("x = [", "own.toml: -: ");
    check("[other]", "own.toml: other: unknown key");
    check("[providers.codex]\nspelling = 1", "own.toml: providers.codex: unknown field `spelling`");
    check("[providers.codex.cli]\nspelling = 1", "own.toml: providers.codex: unknown field `spelling`");
    check("[providers.codex]\naliases = [\"claude\"]", "own.toml: providers.codex: the name `claude`");
    check("[providers.New]\ndisplay-name = \"x\"\nclass = \"api_key\"", "own.toml: providers.New.id: ");
    check("[providers.n]\ndisplay-name = \"x\"\nclass = \"oauth\"", "own.toml: providers.n.cli: ");
    check("[providers.n]\ndisplay-name = \"x\"\nclass = \"api_key\"", "own.toml: providers.n.key: ");
    let cli = |line: &str| format!("[providers.codex.cli]\n{line}");
    check(&cli("binaries = [\"../codex\"]"), "own.toml: providers.codex.cli.binaries: ");
    check(&cli("prepare = [{ path = \"../x\", text = \"\" }]"), "own.toml: providers.codex.cli.prepare: ");
    check(&cli("credential.path = \"/etc/passwd\""), "own.toml: providers.codex.cli.credential.path: ");
    check(&cli("credential.path = \"a*/b\""), "own.toml: providers.codex.cli.credential.path: ");
    check(&cli("credential.requires = []"), "own.toml: providers.codex.cli.credential.requires: ");
    check(&cli("config-dir.var = \"A B\""), "own.toml: providers.codex.cli.config-dir.var: ");
    let recipe = |line: &str| cli(&format!("recipes = [{{ id = \"login\", args = [], {line} }}]"));
    check(&recipe("patterns.prompt = '('"), "own.toml: providers.codex: ");
    check(&recipe("patterns.device-code = 'x'"), "own.toml: providers.codex.cli.recipes.0: ");
    check(&recipe("versions = 'new'"), "own.toml: providers.codex: ");
    check(&recipe("patterns.prompt = { pattern = 'x', versions = 'new' }"), "own.toml: providers.codex: ");
    check(&recipe("patterns.prompt = { pattern = 'x', since = '1' }"), "own.toml: providers.codex: ");
    check(
        &cli("recipes = [{ id = \"a\", args = [], versions = '>=1' }, { id = \"a\", args = [] }]"),
        "own.toml: providers.codex.cli.recipes.0: another recipe has the same id",
    );
    check(&recipe("deadline-s = 0"), "own.toml: providers.codex.cli.recipes.0: the deadline");
    check(
        "[providers.openai.key]\nbase-url = \"http://api.openai.com\"",
        "own.toml: providers.openai.key.base-url: ",
    );
    let oauth = |url: &str, id: &str| {
        format!("[providers.openai.oauth]\ntoken-url = \"{url}\"\nclient-id = \"{id}\"")
    };
    let place = "own.toml: providers.openai.oauth";
    check(&oauth("http://issuer.example/token", "srvd"), &format!("{place}.token-url: must be an https"));
    check(&oauth("https://a:b@issuer.example/token", "srvd"), &format!("{place}.token-url: must not hold"));
    check(&oauth("https://issuer.example/token", "a b"), &format!("{place}.client-id: "));
    check(&oauth("https://issuer.example/token\"\nbody = \"xml", "srvd"), "own.toml: providers.openai: ");
    let key = |line: &str| format!("[providers.openai.key]\n{line}");
    check(&key("vars = []"), "own.toml: providers.openai.key: needs either vars or a pair");
    let pair = |vars: &str, separator: &str| {
        let pair = format!("pair = {{ vars = [{vars}], separator = \"{separator}\" }}");
        format!("[providers.aws.key]\n{pair}")
    };
    check(
        &key("pair = { vars = [\"A\", \"B\"], separator = \":\" }"),
        "own.toml: providers.openai.key: needs",
    );
    check(&pair("'A'", ":"), "own.toml: providers.aws.key.pair.vars: ");
    check(&pair("'A', 'B'", " "), "own.toml: providers.aws.key.pair.separator: ");
    check(&pair("'A', 'B C'", ":"), "own.toml: providers.aws.key.vars: ");
    check(
        "[providers.aws.key.probe]\npath = '/'\nheaders = {a = '{key}'}",
        "own.toml: providers.aws.key.probe: ",
    );
    check(&cli("tested = ''"), "own.toml: providers.codex.cli.tested: ");
    check(&cli("version-pattern = '('"), "own.toml: providers.codex: ");
    check(&cli("config-dir.inner = '../x'"), "own.toml: providers.codex.cli.config-dir.inner: ");
    check(
        &cli("config-dir.inner = '.other'"),
        "own.toml: providers.codex.cli.config-dir.ambient: must end with",
    );
    check(&cli("config-dir.ambient = '~/../x'"), "own.toml: providers.codex.cli.config-dir.ambient: ");
    check(
        &cli("config-dir.name = 'claude'"),
        "own.toml: providers.codex.cli.config-dir.name: the directory `claude`",
    );
    for files in ["'.x' = '/x'", "'.x' = '~/../x'", "'../x' = '~/x'"] {
        let line = format!("config-dir.ambient-files = {{ {files} }}");
        check(&cli(&line), "own.toml: providers.codex.cli.config-dir.ambient-files: must lead");
    }
    let extra = |line: &str| cli(&format!("config-dir.extra-vars = {{ {line} }}"));
    check(
        &extra("X = '{home}'"),
        "own.toml: providers.codex.cli.config-dir.extra-vars.X: only {dir} and {shared}",
    );
    check(&extra("CODEX_HOME = '{dir}'"), "own.toml: providers.codex.cli.config-dir.extra-vars.CODEX_HOME: ");
    check(&cli("credential = []"), "own.toml: providers.codex.cli.credential: a login needs a file");
    let credential = |lines: &str| {
        cli(&format!("credential = [{{ path = 'a', requires = ['/a'] }}, {{ path = 'b', {lines} }}]"))
    };
    let place = "own.toml: providers.codex.cli.credential.1";
    check(&credential("requires = []"), &format!("{place}.requires: must not be empty"));
    check(&credential("requires = ['/*/*']"), &format!("{place}.requires: must be a JSON pointer"));
    check(&credential("requires = ['/a'], refresh = '/*/b'"), &format!("{place}.requires: must have a `*`"));
    check(
        &credential("requires = ['/*'], email = { file = 'c', pointer = '/*' }"),
        &format!("{place}: `*` cannot be used"),
    );
    let slot = |names: &str| credential(&format!("requires = ['/*/a'], slot = {{ names = [{names}] }}"));
    check(&slot(""), &format!("{place}.slot.names: must not be empty"));
    check(&slot("'{a}'"), &format!("{place}.slot.names: each brace"));
    check(&slot("'{/*}'"), &format!("{place}.slot.names: each brace"));
    check(&slot("'{../x#/a}'"), &format!("{place}.slot.names: each brace"));
    check(&slot("'plain'"), "own.toml: providers.codex: ");
    check(
        &credential("requires = ['/a'], slot = { names = ['{/b}'] }"),
        &format!("{place}.slot: `requires`"),
    );
    let mode = |lines: &str| credential(&format!("requires = ['/a'], mode = {{ pointer = '/m', {lines} }}"));
    check(&mode("accepts = []"), &format!("{place}.mode.accepts: must not be empty"));
    check(&mode("accepts = ['a'], keys = ['k']"), &format!("{place}.mode: must be JSON pointers"));
    check(&mode("accepts = ['a'], file = '/etc/x'"), &format!("{place}.mode.file: "));
    check(&mode("values = ['a']"), "own.toml: providers.codex: ");
    check(
        &credential("requires = ['/a'], format = 'sqlite'"),
        &format!("{place}.sqlite: must name the table"),
    );
    let cell = "sqlite = { table = 'a', key-column = 'b', key = 'c', value-column = 'd\"' }";
    check(
        &credential(&format!("requires = ['/a'], {cell}")),
        &format!("{place}.sqlite: is for format sqlite"),
    );
    let both = format!("requires = ['/a'], format = 'sqlite', {cell}");
    check(&credential(&both), &format!("{place}.sqlite: names must be"));
    check(
        &credential("requires = ['/a'], spelling = 1"),
        "own.toml: providers.codex: credential 1: unknown field",
    );
    check(&recipe("offline = 1"), "own.toml: providers.codex: ");
}

#[test]
fn share_rule_is_rejected_when_it_leaves_its_directory_or_names_a_credential() {
    let check = |rule: &str, expected: &str| {
        let text = format!("[providers.claude.cli]\nshare = [{{ {rule} }}]\n");
        let result = overlaid(&text).map(|registry| registry.ids().join(" "));
        let place = "own.toml: providers.claude.cli.share.0: ";
        match (result, expected) {
            (Ok(_), "") => {}
            (Err(error), _)
                if !expected.is_empty() && error.starts_with(place) && error.contains(expected) => {}
            (other, _) => panic!("{rule}: {other:?}"),
        }
    };
    check("kind = 'link', paths = ['a', 'b/', 'c/*', 'd/e']", "");
    check("kind = 'copy', paths = ['a.json'], home = 'x/y', own = '~/.x', leave-out = ['/a/*/b']", "");
    check("kind = 'merge', paths = ['.claude.json'], take = ['/mcpServers'], lock = 'l'", "");
    for paths in ["", "'../a'", "'/a'", "'a/../b'", "'a//b'", "'*'", "'a*/'"] {
        check(&format!("kind = 'link', paths = [{paths}]"), "must be paths");
    }
    check("kind = 'copy', paths = ['a/']", "only a link");
    check("kind = 'copy', paths = ['a'], home = '../x'", "`home` must be");
    check("kind = 'copy', paths = ['a'], own = '/x'", "`home` must be");
    check("kind = 'copy', paths = ['a'], leave-out = ['a']", "JSON pointers");
    check("kind = 'copy', paths = ['a'], take = ['/a']", "`take` must name");
    check("kind = 'merge', paths = ['a']", "`take` must name");
    check("kind = 'copy', paths = ['a'], history = true", "history can only");
    check("kind = 'link', paths = ['.credentials.json']", "a credential");
    check("kind = 'copy', paths = ['.claude.json']", "a credential");
    check("kind = 'merge', paths = ['.claude.json'], take = ['/primaryApiKey']", "a credential");
    check("kind = 'link', paths = ['.claude/'], own = '~'", "`home` must be");
    check("kind = 'link', paths = ['x/'], home = 'y', own = '~/.claude/.credentials.json'", "");
    let text = "[providers.opencode.cli]\nshare = [{ kind = 'link', paths = ['auth.json'], home = 'opencode', own = '~/.x' }]";
    assert!(overlaid(text).unwrap_err().contains("a credential"));
}

#[test]
fn cli_without_a_login_needs_no_credential() {
    let registry = Registry::builtin().unwrap();
    let qwen = registry.provider("qwen").unwrap();
    assert!(qwen.cli.as_ref().unwrap().credential.is_empty() && qwen.recipe("", None).is_none());
    assert_eq!(
        auth_spawner::prove(qwen.cli.as_ref().unwrap(), "/nonexistent".as_ref()),
        auth_spawner::Proof::Absent
    );
}

#[test]
fn pattern_error_names_its_location_when_the_pattern_is_too_big() {
    let text = "[providers.codex.cli]\nversion-pattern = '(?:[a-z]{1000}){1000}'\n".to_owned();
    let error = Registry::with_overlays(&[Overlay { source: "own.toml".into(), text }]).unwrap_err();
    assert_eq!(
        (error.source_name.as_str(), error.place.as_str()),
        ("own.toml", "providers.codex.cli.version-pattern")
    );
    let text = "[providers.codex.cli]\nversion-pattern = '(unclosed'\n".to_owned();
    let error = Registry::with_overlays(&[Overlay { source: "own.toml".into(), text }]).unwrap_err();
    assert!(error.reason.contains("unclosed group"), "{error}");
}

/// The complete registry of srvd 0.1.0, as an operator may have copied it in order to change it.
#[test]
fn format_1_registry_loads_as_an_overlay() {
    let registry = overlaid(include_str!("../fixtures/providers-0.1.0.toml")).unwrap();
    let tested = |id: &str| registry.provider(id).unwrap().cli.as_ref().unwrap().tested.clone().unwrap();
    assert_eq!((tested("claude"), tested("pi")), ("2.1.329".to_owned(), "0.73.1".to_owned()));
    let recipe = registry.provider("pi").unwrap().recipe("openai", Some("1.6.0")).unwrap();
    assert_eq!((recipe.versions, recipe.patterns.denied.len()), (None, 1));
}

#[test]
fn format_1_overlay_loads_and_replaces_a_recipe() {
    // An overlay as written by an operator of 0.1.0: no `schema`, single patterns, and one recipe that replaces all
    // others.
    let registry = overlaid(
        "[[providers.pi.cli.recipes]]\nid = \"anthropic\"\nargs = [\"--old\"]\n\
         patterns = { url = 'https://x', prompt = 'Paste', logged-in = ['yes'], denied = ['no'] }",
    )
    .unwrap();
    let recipe = registry.provider("pi").unwrap().recipe("", Some("1.6.0")).unwrap();
    assert_eq!((recipe.args.as_slice(), recipe.patterns.url.len()), (&["--old".to_owned()][..], 1));
}

#[test]
fn recipe_and_patterns_are_selected_by_version() {
    let text = "schema = 2\n[providers.codex.cli]\nrecipes = [\n\
        { id = 'login', args = ['new'], versions = '>=2', patterns = { prompt = [{ pattern = 'a', versions = '>=3' }, 'b'] } },\n\
        { id = 'login', args = ['old'], versions = '<2' },\n\
        { id = 'other', args = ['any'] },\n]";
    let registry = overlaid(text).unwrap();
    let codex = registry.provider("codex").unwrap();
    let check = |id: &str, version: Option<&str>, args: &str, prompts: &[&str]| {
        let recipe = codex.recipe(id, version).unwrap();
        let found: Vec<&str> = recipe.patterns.prompt.iter().map(auth_spawner::Pattern::as_str).collect();
        assert_eq!((recipe.args[0].as_str(), found.as_slice()), (args, prompts), "{id} {version:?}");
    };
    check("", Some("1.9"), "old", &[]);
    check("login", Some("2.0.0"), "new", &["b"]);
    check("login", Some("3.1.0-beta"), "new", &["a", "b"]);
    check("login", None, "new", &["a", "b"]);
    check("login", Some("unknown"), "new", &["a", "b"]);
    check("other", Some("1"), "any", &[]);
    let cli = codex.cli.as_ref().unwrap();
    assert_eq!((cli.recipe_ids(), cli.depends_on_version()), (vec!["login", "other"], true));
    assert!(!registry.provider("amp").unwrap().cli.as_ref().unwrap().depends_on_version());
}

#[test]
fn version_is_untested_when_it_is_newer_or_the_entry_was_never_run() {
    let registry = Registry::builtin().unwrap();
    let untested = |provider: &str, version: Option<&str>| {
        registry.provider(provider).unwrap().cli.as_ref().unwrap().is_untested(version)
    };
    assert!(!untested("grok", Some("1.0.41")) && untested("grok", Some("1.0.42")));
    assert!(!untested("grok", Some("0.9")) && !untested("grok", None));
    assert!(untested("grok", Some("nightly")));
    assert!(untested("cursor", Some("1.0")) && untested("cursor", None));
}

#[test]
fn name_grok_means_the_cli_and_keys_stay_with_xai() {
    let registry = Registry::builtin().unwrap();
    let provider = |name: &str| registry.provider(name).unwrap().id.clone();
    assert_eq!(["grok", "Grok", "grok-cli", "xai"].map(provider), ["grok", "grok", "grok", "xai"]);
    assert!(
        registry.provider("xai").unwrap().key.is_some() && registry.provider("grok").unwrap().key.is_none()
    );
    let earlier = overlaid("[providers.xai]\naliases = ['Grok', 'x-ai']").unwrap();
    assert_eq!(["grok", "x-ai"].map(|name| earlier.provider(name).unwrap().id.clone()), ["grok", "xai"]);
    let other = overlaid("[providers.openai]\naliases = ['grok']").map(|_| ()).unwrap_err();
    assert!(other.contains("the name `grok` already belongs to"), "{other}");
}

#[test]
fn entry_is_rejected_when_an_option_or_a_carried_parameter_does_not_fit() {
    let check = |text: &str, expected: &str| {
        let error = overlaid(text).map(|_| ()).unwrap_err();
        assert!(error.contains(expected), "{error}");
    };
    check("[providers.codex.cli.config-dir]\noption = '--home'", "is launched by its `credential-var`");
    let launched = "[providers.codex.cli]\ncredential-var = 'X'\n[providers.codex.cli.config-dir]\noption = ";
    check(&format!("{launched}'-h'"), "must be one word that begins with `--`");
    check(&format!("{launched}'--a b'"), "must be one word that begins with `--`");
    check("[providers.codex.cli]\ncredential-var = '1'", "names of environment variables");
    let paste = |paste: &str| {
        format!("[[providers.codex.cli.recipes]]\nid = 'login'\nargs = []\npaste = {{ {paste} }}\n")
    };
    let get = "delivery = 'callback_get'";
    check(&paste(&format!("shapes = ['url', 'code'], {get}, carry = ['x']")), "paste.carry needs");
    check(&paste("shapes = ['url'], delivery = 'stdin_line', carry = ['x']"), "paste.carry needs");
    check(&paste(&format!("shapes = ['url'], {get}, carry = ['state']")), "other than `code` and `state`");
    assert!(overlaid(&paste(&format!("shapes = ['url'], {get}, carry = ['x']"))).is_ok());
}
