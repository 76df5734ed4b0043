use crate::base::private;
use secrecy::ExposeSecret;

use super::*;
use crate::config::forges::{ForgeTable, check as check_tables};

fn settings(text: &str) -> Vec<ForgeSettings> {
    let tables: std::collections::BTreeMap<String, ForgeTable> = toml::from_str(text).unwrap();
    check_tables(tables).unwrap()
}

fn forges(text: &str) -> Forges {
    Forges::load(&settings(text), &Environment::default(), Path::new("/nowhere"), || 0).unwrap()
}

const FOUR: &str = "[berg]\ntype = \"forgejo\"\nbase_url = \"https://codeberg.org\"\nclient_id = \"b\"\n\
    [gh]\ntype = \"github\"\nclient_id = \"g\"\n\
    [lab]\ntype = \"gitlab\"\nbase_url = \"https://code.example.org/gitlab/\"\npublic_url = \"https://pub.example.org\"\nclient_id = \"l\"\n\
    [own]\ntype = \"forgejo\"\nbase_url = \"https://git.example.org\"\nclient_id = \"o\"\n";

#[test]
fn forge_has_the_endpoints_of_its_kind() {
    let check = |name: &str, authorize: &str, identity: &str| {
        let forges = forges(FOUR);
        let forge = forges.named(name).unwrap();
        let url = forge.issuer.begin(&Url::parse("http://127.0.0.1:7/oauth/callback").unwrap()).url;
        assert_eq!((&url[..url::Position::AfterPath], forge.identity.as_str()), (authorize, identity));
    };
    check("gh", "https://github.com/login/oauth/authorize", "https://api.github.com/user");
    check("lab", "https://pub.example.org/oauth/authorize", "https://code.example.org/gitlab/api/v4/user");
    check("berg", "https://codeberg.org/login/oauth/authorize", "https://codeberg.org/api/v1/user");
}

#[test]
fn github_api_url_depends_on_the_edition() {
    let check = |base: &str, expect: &str| {
        assert_eq!(github_api(&BaseUrl::parse(base, false).unwrap(), "/user"), expect);
    };
    check("https://github.com/", "https://api.github.com/user");
    check("https://octo.ghe.com", "https://api.octo.ghe.com/user");
    check("https://github.example.org", "https://github.example.org/api/v3/user");
    check("https://github.com.example.org", "https://github.com.example.org/api/v3/user");
}

#[test]
fn forge_is_selected_when_a_request_matches_exactly_one() {
    let forges = forges(FOUR);
    let check = |kind, base: Option<&str>, client: Option<&str>, expect: Result<&str, SelectError>| {
        let got = forges.select(kind, base, client).map(|forge| forge.settings.name.as_str());
        assert_eq!(got, expect, "{kind:?} {base:?} {client:?}");
    };
    check(ForgeKind::GitHub, None, None, Ok("gh"));
    check(ForgeKind::GitHub, None, Some("g"), Ok("gh"));
    check(ForgeKind::GitHub, None, Some("x"), Err(SelectError::Unknown));
    check(ForgeKind::Gitea, None, None, Err(SelectError::Unknown));
    check(ForgeKind::Forgejo, None, None, Err(SelectError::Ambiguous));
    check(ForgeKind::Forgejo, Some("https://CODEBERG.org/"), None, Ok("berg"));
    check(ForgeKind::Forgejo, None, Some("o"), Ok("own"));
    check(ForgeKind::Forgejo, Some("https://evil.example"), None, Err(SelectError::Unknown));
    check(ForgeKind::Forgejo, Some("nonsense"), None, Err(SelectError::Unknown));
    check(ForgeKind::GitLab, Some("https://pub.example.org"), None, Ok("lab"));
}

#[test]
fn issuer_matches_only_the_two_origins_of_its_forge() {
    let forges = forges(FOUR);
    let check = |issuer: &str, expect: bool| {
        assert_eq!(forges.named("lab").unwrap().is_issuer(issuer), expect, "{issuer}");
    };
    check("https://code.example.org/gitlab", true);
    check("https://pub.example.org", true);
    check("https://pub.example.org:8443", false);
    check("http://pub.example.org", false);
    check("https://evil.example", false);
    check("nonsense", false);
}

#[test]
fn client_secret_is_read_from_its_file_or_variable() {
    let dir = tempfile::tempdir().unwrap();
    private::replace_file(&dir.path().join("good"), b"s3cret\n").unwrap();
    private::replace_file(&dir.path().join("empty"), b"\n").unwrap();
    std::fs::write(dir.path().join("open"), "s3cret").unwrap();
    std::fs::set_permissions(dir.path().join("open"), std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .unwrap();
    let environment = Environment::of([("GH_SECRET", "from-env".to_owned())]);
    let check = |line: &str, expect: Result<Option<&str>, (&str, &str)>| {
        let settings = settings(&format!("[gh]\ntype = \"github\"\nclient_id = \"g\"\n{line}\n"));
        let got = secret(&settings[0], &environment, dir.path());
        match (got, expect) {
            (Ok(got), Ok(expect)) => assert_eq!(got.as_ref().map(ExposeSecret::expose_secret), expect),
            (Err((key, reason)), Err((expect, part))) => {
                assert_eq!(key, expect);
                assert!(reason.contains(part) && !reason.contains("s3cret"), "{reason}");
            }
            (got, _) => panic!("{line}: {got:?}"),
        }
    };
    check("", Ok(None));
    check("client_secret_file = \"good\"", Ok(Some("s3cret")));
    check("client_secret_env = \"GH_SECRET\"", Ok(Some("from-env")));
    check("client_secret_file = \"empty\"", Err(("gh.client_secret_file", "one line")));
    check("client_secret_file = \"absent\"", Err(("gh.client_secret_file", "does not exist")));
    check("client_secret_file = \"open\"", Err(("gh.client_secret_file", "mode 0644")));
    check("client_secret_env = \"OTHER\"", Err(("gh.client_secret_env", "OTHER is not set")));
}
