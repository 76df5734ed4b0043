use std::path::Path;

use auth_spawner::Overlay;

use super::*;
use crate::base::environment::Environment;
use crate::config::forges;
use crate::config::forges::ForgeTable;

const FORGES: &str = "\
[gh]\ntype = \"github\"\nclient_id = \"g\"\n\
[one]\ntype = \"forgejo\"\nbase_url = \"https://one.example.org/git/\"\nclient_id = \"srvd\"\n\
[two]\ntype = \"forgejo\"\nbase_url = \"https://two.example.org:8443\"\nclient_id = \"srvd\"\n";

const LENT: &str = "\
[providers.lent]\ndisplay-name = \"Lent\"\nclass = \"api_key\"\n\
[providers.lent.key]\nvars = [\"LENT_TOKEN\"]\nbase-url = \"https://lent.example.org\"\n\
[providers.lent.oauth]\ntoken-url = \"https://login.lent.example.org/token\"\nclient-id = \"srvd\"\n";

fn clients() -> Clients {
    let tables: BTreeMap<String, ForgeTable> = toml::from_str(FORGES).unwrap();
    let settings = forges::check(tables).unwrap();
    let forges = Forges::load(&settings, &Environment::default(), Path::new("/nowhere"), || 0).unwrap();
    let overlay = Overlay { source: "test".to_owned(), text: LENT.to_owned() };
    Clients::new(forges, &Registry::with_overlays(&[overlay]).unwrap(), || 0)
}

/// A token is sent to its own authority or not at all.
#[test]
fn authority_selects_its_own_client_or_none() {
    let clients = clients();
    let check = |provider: &str, base: Option<&str>, client: Option<&str>, host: Option<&str>| {
        let authority = Authority {
            provider: provider.parse().unwrap(),
            base_url: base.map(|base| base.parse().unwrap()),
            client_id: client.map(str::to_owned),
        };
        let found = clients.of(&authority).map(|client| client.host().to_string());
        assert_eq!(found.as_deref(), host, "{authority:?}");
    };
    check("github", Some("https://github.com"), Some("g"), Some("github.com"));
    check("forgejo", Some("https://one.example.org/git"), Some("srvd"), Some("one.example.org"));
    check("forgejo", Some("https://two.example.org:8443"), Some("srvd"), Some("two.example.org:8443"));
    check("lent", None, None, Some("login.lent.example.org"));
    check("github", None, None, None);
    check("github", Some("https://github.com"), Some("another"), None);
    check("forgejo", Some("https://three.example.org"), Some("srvd"), None);
    check("forgejo", None, Some("srvd"), None);
    check("gitea", Some("https://one.example.org/git"), Some("srvd"), None);
    check("lent", Some("https://lent.example.org"), Some("srvd"), None);
    check("anthropic", None, None, None);
    let hosts = ["github.com", "login.lent.example.org", "one.example.org", "two.example.org:8443"];
    assert_eq!(clients.hosts(), hosts.map(Arc::from).into());
}

/// Identities are compared only by fields that are known to have the same meaning.
#[test]
fn identities_are_compared_only_by_fields_with_the_same_meaning() {
    let token = |payload: &str| {
        let payload = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(payload);
        SecretString::from(format!("e30.{payload}.sig"))
    };
    let person = |subject: Option<&str>, email: Option<&str>| Identity {
        subject: subject.map(str::to_owned),
        email: email.map(str::to_owned),
        login: None,
    };
    let check = |known: Identity, old: Option<&str>, new: Option<&str>, expect: Option<Identity>| {
        let found = comparable(&known, old.map(token).as_ref(), new.map(token).as_ref());
        assert_eq!(found, expect, "{known:?} {old:?} {new:?}");
    };
    let (one, two) = (Some(r#"{"sub":"1","email":"a@x"}"#), Some(r#"{"sub":"2","email":"b@x"}"#));
    check(person(Some("1"), Some("a@x")), one, two, Some(person(Some("2"), Some("b@x"))));
    check(person(Some("1"), None), one, two, Some(person(Some("2"), None)));
    check(person(None, Some("a@x")), one, two, Some(person(None, Some("b@x"))));
    check(person(Some("account-1"), None), one, two, None);
    check(person(None, None), one, two, None);
    check(person(Some("1"), None), None, two, None);
    check(person(Some("1"), None), one, None, None);
    check(person(Some("1"), None), one, Some("no json"), None);
}
