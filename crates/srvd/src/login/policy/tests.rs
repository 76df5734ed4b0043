use auth_spawner::Registry;
use serde_json::json;

use super::*;

/// A program `codex` in a directory of this user that is on the search path.
fn fixture() -> (tempfile::TempDir, Registry, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    let program = root.path().join("codex");
    std::fs::write(&program, "#!/bin/sh\n").unwrap();
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    (root, Registry::builtin().unwrap(), program)
}

/// The recipe, the arguments that replace its own, and the names of the variables.
type Allowed<'a> = (&'a str, Option<&'a [&'a str]>, &'a [&'a str]);

#[expect(clippy::needless_pass_by_value, reason = "the table reads better without references")]
fn check(policy: SpawnPolicy, request: serde_json::Value, expect: Result<Allowed<'_>, &str>) {
    let (root, registry, program) = fixture();
    let text = request.to_string().replace("{codex}", &program.display().to_string());
    let mut request: Start = serde_json::from_str(&text).unwrap();
    request.provider_id = "codex".into();
    let provider = registry.provider("codex").unwrap();
    let search = Search::new(vec![root.path().to_owned()], Trust::of_process(None));
    let got = plan(policy, provider, &request, &search);
    match (got, expect) {
        (Ok(plan), Ok((recipe, args, names))) => {
            assert_eq!((plan.recipe.as_str(), &plan.program), (recipe, &program), "{request:?}");
            assert_eq!(
                plan.args,
                args.map(|args| args.iter().map(ToString::to_string).collect()),
                "{request:?}"
            );
            assert_eq!(plan.env.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), names);
        }
        (Err(error), Err(field)) => {
            let data = rpc_engine::RpcError::from(error).data.unwrap();
            assert_eq!(data["field"], field, "{request:?}");
        }
        (got, expect) => panic!("{request:?}: {got:?} but expected {expect:?}"),
    }
}

#[test]
fn registered_policy_accepts_only_registry_values() {
    let check = |request, expect| check(SpawnPolicy::Registered, request, expect);
    check(json!({"providerId": ""}), Ok(("login", None, &[])));
    check(json!({"providerId": "", "recipe": "device-auth"}), Ok(("device-auth", None, &[])));
    check(
        json!({"providerId": "", "authLoginArgs": ["login", "--device-auth"]}),
        Ok(("device-auth", None, &[])),
    );
    check(
        json!({"providerId": "", "cliPath": "{codex}", "authCheckArgs": ["login", "status"]}),
        Ok(("login", None, &[])),
    );
    check(
        json!({"providerId": "", "requiresTty": false, "authEnv": {"CODEX_HOME": "/x"}}),
        Ok(("login", None, &[])),
    );
    check(json!({"providerId": "", "authLoginArgs": ["login", "--with-api-key"]}), Err("authLoginArgs"));
    check(
        json!({"providerId": "", "recipe": "login", "authLoginArgs": ["login", "--device-auth"]}),
        Err("authLoginArgs"),
    );
    check(json!({"providerId": "", "authCheckArgs": ["status"]}), Err("authCheckArgs"));
    check(json!({"providerId": "", "requiresTty": true}), Err("requiresTty"));
    check(json!({"providerId": "", "cliPath": "/bin/sh"}), Err("cliPath"));
    check(json!({"providerId": "", "authEnv": {"FREE": "x"}}), Err("authEnv.FREE"));
    check(json!({"providerId": "", "recipe": "nope"}), Err("recipe"));
}

#[test]
fn checked_policy_accepts_extra_arguments_but_rejects_denied_variables() {
    let check = |request, expect| check(SpawnPolicy::Checked, request, expect);
    check(
        json!({"providerId": "", "authLoginArgs": ["login", "-v"], "authEnv": {"FREE": "x", "CODEX_HOME": "/y"}, "requiresTty": true}),
        Ok(("login", Some(&["login", "-v"]), &["FREE"])),
    );
    check(json!({"providerId": "", "authLoginArgs": ["a\u{0}b"]}), Err("authLoginArgs"));
    check(json!({"providerId": "", "authLoginArgs": vec!["x"; 33]}), Err("authLoginArgs"));
    check(
        json!({"providerId": "", "authEnv": {"OPENAI_BASE_URL": "http://x"}}),
        Err("authEnv.OPENAI_BASE_URL"),
    );
    check(json!({"providerId": "", "authEnv": {"LD_PRELOAD": "x"}}), Err("authEnv.LD_PRELOAD"));
    check(json!({"providerId": "", "authEnv": {"lower": "x"}}), Err("authEnv.lower"));
    check(json!({"providerId": "", "cliPath": "codex"}), Err("cliPath"));
}

#[test]
fn variable_names_are_denied_regardless_of_case() {
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
