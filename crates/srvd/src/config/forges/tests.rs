use std::collections::BTreeMap;

use super::*;

fn read(text: &str) -> Result<Vec<ForgeSettings>, String> {
    let tables: BTreeMap<String, ForgeTable> =
        toml::from_str(text).map_err(|error| error.message().to_owned())?;
    check(tables).map_err(|(key, reason)| format!("{key}: {reason}"))
}

#[test]
fn base_url_is_normalised_or_refused_with_a_reason() {
    let check = |text: &str, expect: Result<&str, &str>| {
        let got = BaseUrl::parse(text, false);
        assert_eq!(got.as_ref().map(BaseUrl::as_str).map_err(|reason| *reason), expect, "{text}");
    };
    check("https://GIT.Example.org/", Ok("https://git.example.org"));
    check("https://git.example.org", Ok("https://git.example.org"));
    check("https://git.example.org:443//", Ok("https://git.example.org"));
    check("https://git.example.org:8443/Code/git/", Ok("https://git.example.org:8443/Code/git"));
    check("http://127.0.0.1:3000/", Ok("http://127.0.0.1:3000"));
    check("http://[::1]:3000/", Ok("http://[::1]:3000"));
    check("http://git.example.org", Err("is plain http, which requires allow_http = true"));
    check("ftp://git.example.org", Err("must be an https address"));
    check("https://u:p@git.example.org", Err("must not contain a user name or a password"));
    check("https://git.example.org/?a=b", Err("must not have a query or a fragment"));
    check("https://git.example.org/#a", Err("must not have a query or a fragment"));
    check("git.example.org", Err("is not a URL"));
    let allowed = BaseUrl::parse("http://git.example.org/", true).unwrap();
    assert_eq!(allowed.join("/login"), "http://git.example.org/login");
}

#[test]
fn forge_is_read_with_defaults_when_fields_are_missing() {
    let forges = read(
        "[gh]\ntype = \"github\"\nclient_id = \"Iv1.abc\"\n\
         [berg]\ntype = \"forgejo\"\nbase_url = \"https://codeberg.org/\"\npublic_url = \"https://berg.example\"\n\
         client_id = \"uuid\"\nclient_secret_file = \"berg.secret\"\nclient_auth = \"basic\"\nscopes = [\"a\", \"b\"]\n",
    );
    let url = |text| BaseUrl::parse(text, false).unwrap();
    let berg = ForgeSettings {
        name: "berg".into(),
        kind: ForgeKind::Forgejo,
        base: url("https://codeberg.org"),
        public: url("https://berg.example"),
        client_id: "uuid".into(),
        secret: Some(SecretPlace::File("berg.secret".into())),
        client_auth: ClientAuth::Basic,
        scopes: vec!["a".into(), "b".into()],
        allow_http: false,
    };
    let gh = ForgeSettings {
        name: "gh".into(),
        kind: ForgeKind::GitHub,
        base: url("https://github.com"),
        public: url("https://github.com"),
        client_id: "Iv1.abc".into(),
        secret: None,
        client_auth: ClientAuth::Body,
        scopes: vec!["repo".into()],
        allow_http: false,
    };
    assert_eq!(forges, Ok(vec![berg, gh]));
}

#[test]
fn forge_error_names_the_field_that_cannot_be_used() {
    let check = |text: &str, expect: &str| assert_eq!(read(text), Err(expect.to_owned()), "{text}");
    let github = "[gh]\ntype = \"github\"\nclient_id = \"x\"\n";
    check("[a]\ntype = \"gitea\"\nclient_id = \"x\"\n", "a.base_url: is missing; this type has no default");
    check(
        "[A]\ntype = \"github\"\nclient_id = \"x\"\n",
        "A.type: the table's name must be lower case letters, digits, `-` and `_`",
    );
    check(
        &format!("{github}base_url = \"http://a.example\"\n"),
        "gh.base_url: is plain http, which requires allow_http = true",
    );
    check(&format!("{github}public_url = \"a.example\"\n"), "gh.public_url: is not a URL");
    check(&format!("{github}scopes = [\"a b\"]\n"), "gh.scopes: must be a list of words without spaces");
    check(
        "[gh]\ntype = \"github\"\nclient_id = \"\"\n",
        "gh.client_id: must be printable text without spaces",
    );
    check(
        &format!("{github}client_secret_env = \"SRVD_SECRET\"\n"),
        "gh.client_secret_env: must be the name of a variable that does not begin with SRVD_",
    );
    check(
        &format!("{github}client_secret_env = \"A\"\nclient_secret_file = \"b\"\n"),
        "gh.client_secret_env: client_secret_file is set as well; keep only one of them",
    );
    check(
        &format!("{github}[gh2]\ntype = \"github\"\nclient_id = \"x\"\nbase_url = \"https://GitHub.com/\"\n"),
        "gh2.client_id: another forge has the same type, base_url and client_id",
    );
    let unknown = |text: &str| read(text).unwrap_err();
    assert!(
        unknown(&format!("{github}client_secret = \"s\"\n")).starts_with("unknown field `client_secret`")
    );
    assert!(unknown("[gh]\ntype = \"svn\"\nclient_id = \"x\"\n").starts_with("unknown variant `svn`"));
}
