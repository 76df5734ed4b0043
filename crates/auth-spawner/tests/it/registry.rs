//! The registry: the shipped file, overlays, and what is refused.

use auth_spawner::{Class, Overlay, Registry};

fn overlaid(text: &str) -> Result<Registry, String> {
    let overlay = Overlay { source: "own.toml".to_owned(), text: text.to_owned() };
    Registry::with_overlays(&[overlay]).map_err(|error| error.to_string())
}

#[test]
fn the_shipped_registry_is_valid() {
    let registry = Registry::builtin().unwrap();
    let ids = ["anthropic", "claude", "codex", "github", "kimi-code", "moonshot", "openai"];
    assert_eq!(registry.ids(), ids);
    for (name, id) in
        [(" Codex ", "codex"), ("CLAUDE-CODE", "claude"), ("kimi", "kimi-code"), ("gh", "github")]
    {
        assert_eq!(registry.provider(name).unwrap().id, id, "{name}");
    }
    assert!(registry.provider("nobody").is_none());
    let recipes = |id: &str| -> Vec<String> {
        let cli = registry.provider(id).unwrap().cli.as_ref().unwrap();
        cli.recipes.iter().map(|recipe| recipe.id.clone()).collect()
    };
    assert_eq!(recipes("codex"), ["login", "device-auth"]);
    assert_eq!(recipes("claude"), ["login"]);
    for provider in registry.iter() {
        assert_eq!(provider.class == Class::OAuth, provider.cli.is_some(), "{}", provider.id);
        assert_eq!(provider.class == Class::ApiKey, provider.key.is_some(), "{}", provider.id);
    }
    let keys: Vec<(&str, &[String])> = registry
        .iter()
        .filter_map(|provider| Some((provider.id.as_str(), &provider.key.as_ref()?.vars[..])))
        .collect();
    let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let expected = [
        ("anthropic", &list(&["ANTHROPIC_API_KEY"])[..]),
        ("github", &list(&["GITHUB_TOKEN", "GH_TOKEN"])[..]),
        ("moonshot", &list(&["MOONSHOT_API_KEY", "KIMI_API_KEY"])[..]),
        ("openai", &list(&["OPENAI_API_KEY"])[..]),
    ];
    assert_eq!(keys, expected);
}

#[test]
fn an_overlay_changes_one_thing_and_leaves_the_rest() {
    let registry = overlaid("[providers.codex.cli]\nurl-hosts = [\"127.0.0.1\"]").unwrap();
    let cli = registry.provider("codex").unwrap().cli.clone().unwrap();
    assert_eq!(cli.url_hosts, ["127.0.0.1"]);
    assert_eq!(cli.binaries, ["codex"]);
}

#[test]
fn what_is_wrong_is_named_with_its_file_and_place() {
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
    check(&recipe("deadline-s = 0"), "own.toml: providers.codex.cli.recipes.0: the deadline");
    check(
        "[providers.openai.key]\nbase-url = \"http://api.openai.com\"",
        "own.toml: providers.openai.key.base-url: ",
    );
}
