use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use auth_spawner::Registry;
use serde_json::json;

use super::*;
use crate::base::private;
use crate::base::programs::Search;
use crate::base::trust::Trust;

/// The recipe, the arguments that replace its own, the names of the variables, and the fields that are not used.
type Allowed<'a> = (&'a str, Option<&'a [&'a str]>, &'a [&'a str], &'a [&'a str]);

fn planned(policy: SpawnPolicy, provider: &str, request: serde_json::Value) -> Result<Plan, ApiError> {
    let mut request: Start = serde_json::from_value(request).unwrap();
    request.provider_id = provider.to_owned();
    plan(policy, Registry::builtin().unwrap().provider(provider).unwrap(), &request)
}

#[expect(clippy::needless_pass_by_value, reason = "the table reads better without references")]
fn check(policy: SpawnPolicy, provider: &str, request: serde_json::Value, expect: Result<Allowed<'_>, &str>) {
    let mut whole = json!({"providerId": ""});
    whole.as_object_mut().unwrap().extend(request.as_object().unwrap().clone());
    match (planned(policy, provider, whole), expect) {
        (Ok(plan), Ok((recipe, args, variables, not_used))) => {
            assert_eq!(plan.recipe, recipe, "{provider} {request}");
            assert_eq!(
                plan.args,
                args.map(|args| args.iter().map(ToString::to_string).collect()),
                "{provider} {request}"
            );
            assert_eq!(
                plan.env.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
                variables,
                "{provider} {request}"
            );
            let fields: Vec<&str> = plan.not_used.iter().map(|field| field.field.as_str()).collect();
            assert_eq!(fields, not_used, "{provider} {request}");
        }
        (Err(error), Err(field)) => {
            let data = rpc_engine::RpcError::from(error).data.unwrap();
            assert_eq!(data["field"], field, "{provider} {request}");
        }
        (got, expect) => panic!("{provider} {request}: {got:?} but expected {expect:?}"),
    }
}

#[test]
fn registered_policy_understands_every_form_of_login_arguments() {
    let check = |provider: &str, args: serde_json::Value, recipe: &str| {
        let request = json!({"authLoginArgs": args});
        check(SpawnPolicy::Registered, provider, request, Ok((recipe, None, &[], &[])));
    };
    check("claude", json!(["auth", "login"]), "login");
    check("claude", json!(["login"]), "login");
    check("claude", json!(["auth", "login", "--claudeai"]), "login");
    check("claude", json!(["auth", "login", "--console"]), "console");
    check("claude", json!(["setup-token"]), "setup-token");
    check("codex", json!(["login"]), "login");
    check("codex", json!(["login", "--device-auth", "--verbose"]), "device-auth");
    check("gemini", json!(["auth", "login"]), "login");
    check("gemini", json!([]), "login");
    check("kimi", json!(["login"]), "login");
    check("kimi-code", json!(["login"]), "login");
    check("openclaw", json!(["models", "auth", "login", "--provider", "openai-codex"]), "openai");
    check("openclaw", json!(["models", "auth", "login", "--provider=openai"]), "openai");
    check("openclaw", json!([]), "openai");
}

#[test]
fn registered_policy_uses_the_default_recipe_unless_a_word_may_mean_another_login() {
    let check = |provider: &str, args: serde_json::Value, expect: Result<&str, &str>| {
        let request = json!({"authLoginArgs": args});
        let expect = expect.map(|recipe| (recipe, None, &[][..], &["authLoginArgs"][..]));
        check(SpawnPolicy::Registered, provider, request, expect);
    };
    check("codex", json!(["signin"]), Ok("login"));
    check("claude", json!(["auth"]), Ok("login"));
    check("codex", json!(["login", "--with-api-key"]), Err("authLoginArgs"));
    check("codex", json!(["login", "-c", "model_provider=x"]), Err("authLoginArgs"));
    check("codex", json!(["login", "console"]), Err("authLoginArgs"));
    check("claude", json!(["auth", "login", "--sso"]), Err("authLoginArgs"));
    check("openclaw", json!(["models", "auth", "login", "--device-code"]), Err("authLoginArgs"));
    check("openclaw", json!(["models", "auth", "login", "--provider", "anthropic"]), Err("authLoginArgs"));
    check("kimi-code", json!(["login", "--region", "global"]), Err("authLoginArgs"));
}

#[test]
fn registered_policy_reports_advice_and_variables_that_it_does_not_use() {
    let check = |provider: &str, request, expect| check(SpawnPolicy::Registered, provider, request, expect);
    check("codex", json!({}), Ok(("login", None, &[], &[])));
    check("codex", json!({"recipe": "device-auth"}), Ok(("device-auth", None, &[], &[])));
    check("codex", json!({"authCheckArgs": ["login", "status"]}), Ok(("login", None, &[], &[])));
    check("codex", json!({"requiresTty": false}), Ok(("login", None, &[], &[])));
    check("gemini", json!({"authCheckArgs": []}), Ok(("login", None, &[], &[])));
    check(
        "claude",
        json!({"authCheckArgs": ["auth", "status", "--json"], "requiresTty": true}),
        Ok(("login", None, &[], &["authCheckArgs", "requiresTty"])),
    );
    check("kimi", json!({"authCheckArgs": ["whoami"]}), Ok(("login", None, &[], &["authCheckArgs"])));
    check(
        "codex",
        json!({"authEnv": {"CODEX_HOME": "/x", "LANG": "de_DE.UTF-8", "LC_ALL": "C", "LD_PRELOAD": "x", "OPENAI_API_KEY": "k"}}),
        Ok((
            "login",
            None,
            &["LANG", "LC_ALL"],
            &["authEnv.CODEX_HOME", "authEnv.LD_PRELOAD", "authEnv.OPENAI_API_KEY"],
        )),
    );
    check(
        "codex",
        json!({"recipe": "login", "authLoginArgs": ["login", "--device-auth"]}),
        Ok(("login", None, &[], &["authLoginArgs"])),
    );
    check("codex", json!({"recipe": "nope"}), Err("recipe"));
}

#[test]
fn checked_policy_obeys_every_field_or_refuses_it_by_name() {
    let check = |provider: &str, request, expect| check(SpawnPolicy::Checked, provider, request, expect);
    check(
        "codex",
        json!({"authLoginArgs": ["login", "-v"], "authEnv": {"FREE": "x", "CODEX_HOME": "/y"}}),
        Ok(("login", Some(&["login", "-v"]), &["FREE"], &["authEnv.CODEX_HOME"])),
    );
    check("codex", json!({"authLoginArgs": ["a\u{0}b"]}), Err("authLoginArgs"));
    check("codex", json!({"authLoginArgs": vec!["x"; 33]}), Err("authLoginArgs"));
    check("codex", json!({"authCheckArgs": ["a\u{0}b"]}), Err("authCheckArgs"));
    check("claude", json!({"recipe": "setup-token", "authCheckArgs": ["doctor"]}), Err("authCheckArgs"));
    check("codex", json!({"authEnv": {"OPENAI_BASE_URL": "http://x"}}), Err("authEnv.OPENAI_BASE_URL"));
    check("codex", json!({"authEnv": {"LD_PRELOAD": "x"}}), Err("authEnv.LD_PRELOAD"));
    check("codex", json!({"authEnv": {"lower": "x"}}), Err("authEnv.lower"));

    let plan = |provider: &str, request: serde_json::Value| {
        planned(SpawnPolicy::Checked, provider, request).unwrap()
    };
    let asked = plan("codex", json!({"providerId": "", "requiresTty": true, "authCheckArgs": ["whoami"]}));
    assert_eq!((asked.terminal, asked.check_args), (Some(Terminal::WIDE), Some(vec!["whoami".to_owned()])));
    let asked = plan("gemini", json!({"providerId": "", "requiresTty": false, "authCheckArgs": []}));
    assert_eq!((asked.terminal, asked.check_args), (Some(Terminal::Pipe), None));
    let asked = plan("codex", json!({"providerId": "", "requiresTty": false, "authCheckArgs": []}));
    assert_eq!((asked.terminal, asked.check_args), (None, Some(Vec::new())));
}

#[test]
fn program_of_a_client_is_run_only_in_a_searched_directory_and_under_a_name_of_the_cli() {
    let (root, registry) = (tempfile::tempdir().unwrap(), Registry::builtin().unwrap());
    let cli = registry.provider("codex").unwrap().cli.as_ref().unwrap();
    let program = |dir: &str, name: &str, mode: u32| {
        let path = root.path().join(dir).join(name);
        private::directory_tree(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "#!/bin/sh\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path
    };
    let other = program("bin", "sh", 0o755);
    let target = program("lib", "codex.js", 0o755);
    let codex = root.path().join("bin/codex");
    symlink(&target, &codex).unwrap();
    let open = program("open", "codex", 0o757);
    let outside = program("outside", "codex", 0o755);
    let dirs = vec![root.path().join("bin"), root.path().join("open")];
    let search = Search::new(dirs, Trust::of_process(None));
    let registered = |path: &Path| named(SpawnPolicy::Registered, cli, path.to_str().unwrap(), &search);
    assert_eq!(registered(&codex), Ok(codex.clone()));
    for (path, is_the_cli) in [
        (other.clone(), false),
        (target.clone(), true),
        (open, true),
        (outside.clone(), true),
        (root.path().join("gone/codex"), true),
        ("codex".into(), true),
        ("/bin/../bin/sh".into(), false),
    ] {
        let unused = registered(&path).unwrap_err();
        assert_eq!(unused.is_the_cli, is_the_cli, "{unused:?}");
        let data = rpc_engine::RpcError::from(unused.refusal()).data.unwrap();
        assert_eq!(data["field"], "cliPath");
        assert!(data["hint"].as_str().unwrap().contains("search_path under [spawn]"), "{data}");
    }
    let checked = |path: &Path| named(SpawnPolicy::Checked, cli, path.to_str().unwrap(), &search);
    assert_eq!(checked(&outside), Ok(outside.canonicalize().unwrap()));
    assert_eq!(checked(&other), Ok(other.canonicalize().unwrap()));
    assert!(checked(Path::new("codex")).is_err());
}

#[test]
fn variable_names_are_denied_regardless_of_case() {
    use super::environment::is_denied;

    for name in [
        "LD_PRELOAD",
        "node_options",
        "HTTPS_PROXY",
        "x_base_url",
        "PATH",
        "GIT_SSH",
        "SRVD_X",
        "OAUTH_ENCRYPTION_KEY_FILE",
    ] {
        assert!(is_denied(name), "{name}");
    }
    for name in ["FREE", "CODEX_HOME", "PATHX", "MY_PATH"] {
        assert!(!is_denied(name), "{name}");
    }
}
