use std::path::Path;

use super::*;

fn load(vars: &[(&'static str, &str)], toml: &str, flags: &Flags) -> Result<Config, String> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("srvd.toml"), toml).unwrap();
    let mut all: Vec<(&'static str, String)> = vec![
        ("HOME", "/home/u".to_owned()),
        ("SRVD_CONFIG_DIR", dir.path().display().to_string()),
        ("SRVD_DATA_DIR", "/data".to_owned()),
        ("SRVD_RUNTIME_DIR", "/run/srvd".to_owned()),
        ("PATH", "/usr/bin:relative".to_owned()),
    ];
    all.extend(vars.iter().map(|(name, value)| (*name, (*value).to_owned())));
    Config::load(&Environment::of(all), flags)
        .map_err(|error| error.to_string().replace(&dir.path().display().to_string(), "CONFIG"))
}

#[test]
fn config_has_defaults_when_nothing_is_set() {
    let config = load(&[], "", &Flags::default()).unwrap();
    assert_eq!(config.database.to_string(), "sqlite:/data/srvd.db");
    assert_eq!(config.listen.unwrap().to_string(), "127.0.0.1:0");
    assert_eq!((config.log.as_str(), config.log_format), ("info", LogFormat::Text));
    assert_eq!(config.spawn_policy, SpawnPolicy::Registered);
    assert_eq!(config.search.dirs().first().unwrap(), Path::new("/usr/bin"));
    assert!(config.search.dirs().iter().all(|path| path.is_absolute()));
    assert_eq!(config.socket(), Path::new("/run/srvd/srvd.sock"));
}

#[test]
fn config_prefers_flag_over_variable_over_file() {
    let file = "[log]\nfilter = \"file\"\n[listen]\ntcp = \"127.0.0.1:1\"";
    let flags = Flags { log: Some("flag".into()), ..Flags::default() };
    let log = |vars: &[(&'static str, &str)], flags: &Flags| load(vars, file, flags).unwrap().log;
    assert_eq!(log(&[], &Flags::default()), "file");
    assert_eq!(log(&[("SRVD_LOG", "env")], &Flags::default()), "env");
    assert_eq!(log(&[("SRVD_LOG", "env")], &flags), "flag");
    assert_eq!(load(&[("SRVD_LISTEN", "off")], file, &Flags::default()).unwrap().listen, None);
}

#[test]
fn config_names_the_setting_when_it_refuses_one() {
    let check = |vars: &[(&'static str, &str)], toml: &str, expect: &str| {
        let error = load(vars, toml, &Flags::default()).unwrap_err();
        assert!(error.contains(expect), "{error:?} should contain {expect:?}");
    };
    check(&[], "[listen]\ntpc = 1", "unknown field `tpc`");
    check(&[], "color = true", "unknown field `color`");
    check(&[], "[forges.a]\ntype = \"gitea\"\nclient_id = \"x\"", "forges.a.base_url: is missing");
    check(
        &[],
        "[forges.a]\ntype = \"github\"\nclient_id = \"x\"\nclient_secret = \"s\"",
        "unknown field `client_secret`",
    );
    check(
        &[],
        "[listen]\norigins = [\"http://localhost:3000/\"]",
        "listen.origins: http://localhost:3000/ can",
    );
    check(&[], "[listen]\nhosts = [\"http://a\"]", "listen.hosts: http://a is not a value");
    check(&[], "[spawn]\npolicy = \"compat\"", "compat");
    check(&[], "[spawn]\nlive_logins = 0", "spawn.live_logins: 0 is not in the range from 1 to 1024");
    check(&[], "[spawn.environment]\n\"lower\" = \"x\"", "spawn.environment.lower");
    check(&[], "[spawn]\nsearch_path = [\"bin\"]", "spawn.search_path: bin is not an absolute path");
    let secret = |rest: &str| format!("[secrets.s]\nprovider = \"openai\"\n{rest}");
    for (rest, expect) in [
        ("", "secrets.s: needs either env or command"),
        ("env = \"A\"\ncommand = [\"/bin/a\"]", "secrets.s: needs either env or command"),
        ("env = \"a b\"", "secrets.s.env: not a valid name"),
        ("env = \"OAUTH_ENCRYPTION_KEY\"", "secrets.s.env: OAUTH_ENCRYPTION_KEY is reserved for the daemon"),
        ("env = \"SRVD_LOG\"", "secrets.s.env: SRVD_LOG is reserved for the daemon"),
        ("env = \"A\"\ninherit = [\"B\"]", "secrets.s.inherit: is allowed only together with command"),
        ("command = []", "secrets.s.command: must begin with the absolute path"),
        ("command = [\"pass\", \"show\"]", "secrets.s.command: must begin with the absolute path"),
        (
            "command = [\"/bin/a\"]\ninherit = [\"OAUTH_ENCRYPTION_KEY_FILE\"]",
            "secrets.s.inherit: OAUTH_ENCRYPTION",
        ),
        ("env = \"A\"\nbase_url = \"http://a.test\"", "secrets.s.base_url: must be an https address"),
        ("env = \"A\"\nkey = \"sk-1\"", "unknown field `key`"),
    ] {
        check(&[], &secret(rest), expect);
    }
    check(&[("SRVD_AUTH", "off")], "", "SRVD_AUTH is not a setting of srvd");
    check(&[("SRVD_LISTEN", "0.0.0.0:0")], "", "not a loopback address");
    check(&[("SRVD_LISTEN", "[::ffff:10.0.0.1]:0")], "", "not a loopback address");
    check(&[("SRVD_LISTEN", "localhost:80")], "", "literal address");
    check(&[("SRVD_LOG_FORMAT", "xml")], "", "must be text or json");
    check(&[("SRVD_DATABASE_URL", "mysql://x")], "", "database.url");
}

#[test]
fn endpoint_is_looked_for_in_usual_places_only_when_no_place_is_named() {
    let config = load(&[], "", &Flags::default()).unwrap();
    assert_eq!(config.endpoint_dirs(), [Path::new("/run/srvd"), Path::new("/data")]);
    let home = tempfile::tempdir().unwrap();
    let environment = Environment::of([("HOME", home.path().display().to_string())]);
    let dirs = Config::load(&environment, &Flags::default()).unwrap().endpoint_dirs();
    let data = environment.directories().unwrap().data;
    assert_eq!(dirs[..2], [data.join("run"), data]);
    let of_session = format!("/run/user/{}/srvd", rustix::process::geteuid().as_raw());
    assert_eq!(dirs.contains(&of_session.into()), cfg!(target_os = "linux"));
}

#[test]
fn printed_config_parses_again_and_holds_no_secrets() {
    let toml = "[database]\nurl = \"postgres://u:planted-secret@h/db\"\n[spawn.environment]\nHTTPS_PROXY = \"http://u:planted-secret@p\"
[secrets.\"a.b\"]\nprovider = \"openai\"\nenv = \"WORK_KEY\"\nbase_url = \"https://a.test\"
[secrets.c]\nprovider = \"openai\"\ncommand = [\"/bin/vault\", \"planted-secret\"]\ninherit = [\"VAULT_TOKEN\"]
[forges.berg]\ntype = \"forgejo\"\nbase_url = \"https://Codeberg.org/\"\npublic_url = \"https://pub.example\"\nclient_id = \"x\"
client_secret_file = \"berg.secret\"\nclient_auth = \"basic\"\nscopes = [\"a\"]\nallow_http = true
[forges.gh]\ntype = \"github\"\nclient_id = \"y\"\nclient_secret_env = \"GH_SECRET\"";
    let vars = [("WORK_KEY", "planted-secret"), ("VAULT_TOKEN", "planted-secret")];
    let config = load(&vars, toml, &Flags::default()).unwrap();
    let debug = format!("{:?}", config.secrets);
    assert_eq!(debug.matches("planted-secret").count(), 1, "an argument of the operator's own file: {debug}");
    let printed = config.print();
    assert!(!printed.contains("planted-secret"), "{printed}");
    let forges = FileConfig::parse(&printed).unwrap().forges;
    assert_eq!(forges::check(forges).unwrap(), config.forges);
    let toml =
        "[network]\nproxy = \"http://u:planted-secret@p:1\"\nno_proxy = [\"a\"]\nca_file = \"/ca.pem\"";
    let printed = load(&[], toml, &Flags::default()).unwrap().print();
    assert!(!printed.contains("planted-secret") && FileConfig::parse(&printed).is_ok(), "{printed}");
}
