use std::path::PathBuf;

use auth_spawner::{Proof, Reach, Registry};
use identity_store::{Account, AccountKind, BundleId, Evidence, Owner, SecretRef, Status};
use secrecy::ExposeSecret as _;

use super::*;
use crate::keys::external::{Unavailable, Why};
use crate::launch::candidate::{Credential, Home, State};
use crate::launch::decide::{Request, decide};
use crate::launch::environment::Value;
use crate::launch::gather::bundle::{FoundCredential, judged, state};
use crate::wire::error::Kind;

const NOW: i64 = 1_795_000_000_000;

fn registry() -> Registry {
    Registry::builtin().unwrap()
}

fn account(provider: &str, kind: AccountKind) -> Account {
    Account {
        id: "acc-1".parse().unwrap(),
        provider: provider.parse().unwrap(),
        kind,
        owner: Owner::Bundle,
        name: "Work".into(),
        display_name: None,
        email: None,
        subject: None,
        base_url: None,
        client_id: None,
        scopes: None,
        secret_ref: SecretRef::Sealed,
        masked_tail: None,
        status: Status::Valid,
        status_reason: None,
        evidence: Evidence::File,
        checked_at: None,
        expires_at: None,
        login_deadline_at: None,
        bound_to: Vec::new(),
        created_at: 0,
        updated_at: 0,
    }
}

fn candidate(provider: &str, kind: AccountKind, found: FoundCredential) -> Candidate {
    at_account(account(provider, kind), found)
}

fn at_account(account: Account, found: FoundCredential) -> Candidate {
    let provider = registry().provider(account.provider.as_str()).unwrap().clone();
    judged(&Arc::new(account), &"work".parse().unwrap(), provider, found)
}

/// A login in a CLI's directory that proves this.
fn directory(dir: impl Into<PathBuf>, reach: Reach, proof: Proof) -> FoundCredential {
    let home = Some(Home { dir: dir.into(), reach });
    FoundCredential { state: state(proof), credential: Credential::Directory, home }
}

fn login(provider: &str, proof: Proof) -> Candidate {
    let dir = Path::new("/data/identities/work").join(provider);
    candidate(provider, AccountKind::OAuth, directory(dir, Reach::Bundle, proof))
}

fn key_of(secret: &str) -> FoundCredential {
    FoundCredential { state: State::Found, credential: Credential::Key(secret.into()), home: None }
}

fn token_of(secret: &str) -> FoundCredential {
    let home = Some(Home { dir: "/data/identities/work/own".into(), reach: Reach::Bundle });
    FoundCredential { state: State::Found, credential: Credential::LoginToken(secret.into()), home }
}

fn key(provider: &str) -> Candidate {
    candidate(provider, AccountKind::ApiKey, key_of("sk-planted"))
}

fn lost_secret(text: &str) -> FoundCredential {
    let state = State::Unavailable(Unavailable::new(Why::Undecryptable, text));
    FoundCredential { state, credential: Credential::Absent, home: None }
}

fn logged_in() -> Proof {
    Proof::LoggedIn(auth_spawner::Credential::default())
}

fn conflicts() -> EnvironmentConflicts {
    EnvironmentConflicts::new(&registry())
}

/// The plan of a launch of the bundle `work`, as the engine makes it.
fn plan(candidates: Vec<Candidate>, selected: Option<&str>) -> Plan {
    let subject = Subject::Bundle("work".parse().unwrap());
    let request = Request { model: None, any_model: false, min_ttl: 60_000, now: NOW };
    let context = PartContext { subject: &subject, shared: Path::new("/data/shared") };
    let part = |provider: Arc<Provider>, candidates: Vec<Candidate>| {
        let decision = decide(&candidates, &request);
        Part::new(provider, candidates, decision, &context)
    };
    let mut parts: Vec<Part> =
        candidates.into_iter().map(|one| part(one.provider.clone(), vec![one])).collect();
    if let Some(selected) = selected.filter(|_| parts.is_empty()) {
        parts.push(part(registry().provider(selected).unwrap().clone(), Vec::new()));
    }
    Plan { parts, selected: selected.is_some(), subject: subject.clone() }
}

fn launch(candidates: Vec<Candidate>, selected: Option<&str>) -> Result<Change, ApiError> {
    plan(candidates, selected).change(&conflicts())
}

fn text(value: &Value) -> &str {
    match value {
        Value::Plain(text) => text,
        Value::Secret(secret) => secret.expose_secret(),
    }
}

fn shown(launch: &Change) -> Vec<(&str, &str)> {
    launch.set.iter().map(|(name, value)| (name.as_str(), text(value))).collect()
}

fn has(launch: &Change, name: &str) -> bool {
    launch.unset.iter().any(|unset| unset == name)
}

#[test]
fn launch_sets_the_variables_of_each_form_of_credential() {
    let found = launch(vec![login("codex", logged_in()), key("github")], None).unwrap();
    assert_eq!(
        shown(&found),
        [
            ("CODEX_HOME", "/data/identities/work/codex"),
            ("GH_TOKEN", "sk-planted"),
            ("GITHUB_TOKEN", "sk-planted")
        ]
    );
    let pair = candidate("aws", AccountKind::ApiKey, key_of("AKIAPLANTED:secret:more"));
    let found = launch(vec![pair], None).unwrap();
    let parts = [("AWS_ACCESS_KEY_ID", "AKIAPLANTED"), ("AWS_SECRET_ACCESS_KEY", "secret:more")];
    assert_eq!(shown(&found), parts);
    let token = candidate("claude", AccountKind::OAuth, token_of("sk-ant-oat01-planted"));
    let found = launch(vec![token], None).unwrap();
    assert_eq!(
        shown(&found),
        [
            ("ANTHROPIC_CONFIG_DIR", "/data/identities/work/own/anthropic"),
            ("CLAUDE_CODE_OAUTH_TOKEN", "sk-ant-oat01-planted"),
            ("CLAUDE_CONFIG_DIR", "/data/identities/work/own")
        ]
    );
    assert!(has(&found, "ANTHROPIC_API_KEY") && !has(&found, "CLAUDE_CODE_OAUTH_TOKEN"));
}

#[test]
fn adopted_directory_sets_no_variable_when_it_is_the_usual_one() {
    let found = directory("/home/u/.claude", Reach::Usual, logged_in());
    let found = launch(vec![candidate("claude", AccountKind::OAuth, found)], None).unwrap();
    assert!(has(&found, "CLAUDE_CONFIG_DIR") && !found.set.contains_key("CLAUDE_CONFIG_DIR"));
}

#[test]
fn launch_removes_shadowing_variables_and_keeps_those_that_it_sets() {
    for provider in registry().iter().filter(|provider| provider.cli.is_some()) {
        let found = launch(vec![login(&provider.id, logged_in())], None).unwrap();
        for name in found.unset.iter() {
            assert!(!found.set.contains_key(name), "{}: {name}", provider.id);
        }
        for name in ["ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GH_TOKEN", "OAUTH_ENCRYPTION_KEY"] {
            assert!(has(&found, name), "{}: {name}", provider.id);
        }
        let cli = provider.cli.as_ref().unwrap();
        for name in cli.scrub.iter().chain(&cli.key_vars) {
            assert!(has(&found, name) || found.set.contains_key(name), "{}: {name}", provider.id);
        }
        // Every variable with a path stays inside the identity's own directory.
        for (name, value) in shown(&found) {
            let inside =
                ["/data/identities/work/", "/data/shared/"].iter().any(|place| value.starts_with(place));
            let outside = value.starts_with('/') && !inside;
            assert!(!outside, "{}: {name}={value}", provider.id);
        }
    }
}

/// Names of the variables from which the real CLIs and the common libraries read a credential, a directory or a server.
const SHADOWING: &str = "
    CODEX_HOME CODEX_API_KEY CODEX_ACCESS_TOKEN CODEX_REFRESH_TOKEN_URL_OVERRIDE CODEX_REVOKE_TOKEN_URL_OVERRIDE
    CODEX_SQLITE_HOME CLAUDE_CONFIG_DIR CLAUDE_SECURESTORAGE_CONFIG_DIR ANTHROPIC_CONFIG_DIR ANTHROPIC_PROFILE
    ANTHROPIC_API_KEY ANTHROPIC_AUTH_TOKEN ANTHROPIC_BASE_URL ANTHROPIC_BEDROCK_BASE_URL ANTHROPIC_VERTEX_BASE_URL
    ANTHROPIC_CUSTOM_HEADERS CLAUDE_CODE_OAUTH_TOKEN CLAUDE_CODE_OAUTH_REFRESH_TOKEN CLAUDE_CODE_OAUTH_SCOPES
    CLAUDE_CODE_CUSTOM_OAUTH_URL CLAUDE_CODE_USE_BEDROCK CLAUDE_CODE_USE_VERTEX GEMINI_CLI_HOME GEMINI_API_KEY
    GOOGLE_API_KEY GOOGLE_APPLICATION_CREDENTIALS GOOGLE_GENAI_USE_GCA GOOGLE_GENAI_USE_VERTEXAI
    GEMINI_FORCE_ENCRYPTED_FILE_STORAGE GOOGLE_GEMINI_BASE_URL GOOGLE_VERTEX_BASE_URL CODE_ASSIST_ENDPOINT
    COPILOT_HOME COPILOT_GITHUB_TOKEN COPILOT_GH_HOST GH_TOKEN GITHUB_TOKEN GH_ENTERPRISE_TOKEN GH_HOST GH_CONFIG_DIR
    GITHUB_API_URL OPENCLAW_STATE_DIR OPENCLAW_HOME OPENCLAW_CONFIG_PATH OPENCLAW_PROFILE KIMI_CODE_HOME
    KIMI_SHARE_DIR KIMI_API_KEY KIMI_MODEL_API_KEY KIMI_CODE_OAUTH_HOST KIMI_OAUTH_HOST KIMI_CODE_BASE_URL KIMI_BASE_URL
    MOONSHOT_API_KEY MOONSHOT_BASE_URL QWEN_HOME BAILIAN_CODING_PLAN_API_KEY DASHSCOPE_API_KEY OPENAI_API_KEY
    OPENAI_BASE_URL OPENAI_API_BASE OPENAI_MODEL OPENCODE_AUTH_CONTENT OPENCODE_CONFIG OPENCODE_CONFIG_CONTENT
    OPENCODE_CONFIG_DIR PI_CODING_AGENT_DIR AZURE_OPENAI_API_KEY AMP_API_KEY AMP_URL OPENROUTER_API_KEY
    OPENROUTER_BASE_URL XAI_API_KEY XAI_BASE_URL GROQ_API_KEY GROQ_BASE_URL MISTRAL_API_KEY DEEPSEEK_API_KEY
    DEEPSEEK_BASE_URL AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN AWS_PROFILE AWS_BEARER_TOKEN_BEDROCK
    AWS_ENDPOINT_URL OAUTH_ENCRYPTION_KEY OAUTH_ENCRYPTION_KEY_FILE";

#[test]
fn launch_sets_or_removes_every_name_that_a_cli_reads() {
    let candidates =
        || registry().iter().filter(|provider| provider.cli.is_some()).cloned().collect::<Vec<_>>();
    let launches =
        candidates().into_iter().map(|provider| launch(vec![login(&provider.id, logged_in())], None));
    for found in launches.chain([launch(vec![key("openai")], None)]) {
        let found = found.unwrap();
        for name in SHADOWING.split_whitespace() {
            assert!(has(&found, name) != found.set.contains_key(name), "{name} with {:?}", found.set.keys());
        }
    }
}

#[test]
fn key_is_launched_with_its_own_address_or_refused() {
    let at = |provider: &str, base_url: &str| {
        let base_url = Some(base_url.to_owned());
        at_account(Account { base_url, ..account(provider, AccountKind::ApiKey) }, key_of("sk-planted"))
    };
    let found = launch(vec![at("openai", "https://proxy.test:8443/openai")], None).unwrap();
    let address = "https://proxy.test:8443/openai/v1";
    assert_eq!(
        shown(&found),
        [("OPENAI_API_BASE", address), ("OPENAI_API_KEY", "sk-planted"), ("OPENAI_BASE_URL", address)]
    );
    assert!(has(&found, "ANTHROPIC_BASE_URL"));
    let found = launch(vec![at("github", "https://ghe.test/api/v3")], None).unwrap();
    assert_eq!(text(&found.set["GH_HOST"]), "ghe.test");
    // Agents use the default address without a variable.
    let found = launch(vec![at("openai", "https://api.openai.com")], None).unwrap();
    assert_eq!(shown(&found), [("OPENAI_API_KEY", "sk-planted")]);
    assert!(has(&found, "OPENAI_BASE_URL"));
    let error = launch(vec![at("qwen", "https://proxy.test")], Some("qwen")).unwrap_err();
    let message = "qwen: the registry does not define how an agent receives its address";
    assert_eq!((error.kind(), error.message()), (Kind::SecretUnavailable, message));
}

#[test]
fn launch_refuses_an_unfit_login_and_skips_an_unfit_key() {
    let check = |candidates: Vec<Candidate>, provider, expected: Result<usize, (Kind, &str)>| {
        let found = launch(candidates, provider);
        let found = found.as_ref().map(|launch| launch.set.len());
        assert_eq!(found.map_err(|error| (error.kind(), error.message())), expected);
    };
    check(
        vec![login("codex", Proof::Absent)],
        None,
        Err((Kind::NeedsReauth, "codex: its directory holds no login")),
    );
    let expired = || Proof::Incomplete { reason: "expired".into() };
    check(vec![key("openai"), login("codex", expired())], None, Err((Kind::NeedsReauth, "codex: expired")));
    let unreadable = Proof::Unreadable { reason: "not JSON at line 1".into() };
    check(
        vec![login("codex", unreadable)],
        None,
        Err((Kind::SecretUnavailable, "codex: not JSON at line 1")),
    );
    let found = directory("/home/u/.codex", Reach::Bundle, logged_in());
    let stranger = FoundCredential { state: State::Ambient, ..found };
    check(
        vec![candidate("codex", AccountKind::OAuth, stranger)],
        None,
        Err((Kind::AmbientDirectory, "codex: its directory does not belong to the daemon")),
    );
    let lost = || candidate("openai", AccountKind::ApiKey, lost_secret("it does not open"));
    check(vec![lost(), key("github")], None, Ok(2));
    check(vec![lost()], None, Err((Kind::SecretUnavailable, "openai: it does not open")));
    check(vec![lost()], Some("openai"), Err((Kind::SecretUnavailable, "openai: it does not open")));
    check(
        Vec::new(),
        Some("codex"),
        Err((Kind::NoCredential, "the bundle does not bind an account of codex")),
    );
    check(Vec::new(), None, Err((Kind::NoCredential, "the bundle does not bind any account")));
}

#[test]
fn directory_variable_belongs_to_its_own_cli() {
    for order in [["copilot", "github"], ["github", "copilot"]] {
        let found = launch(order.map(|provider| login(provider, logged_in())).into(), None).unwrap();
        assert_eq!(text(&found.set["GH_CONFIG_DIR"]), "/data/identities/work/github", "{order:?}");
    }
    let both = ["amp", "opencode"].map(|provider| login(provider, logged_in()));
    let error = launch(both.into(), None).unwrap_err();
    assert_eq!(
        (error.kind(), error.message()),
        (Kind::Conflict, "amp and opencode need different values of XDG_DATA_HOME")
    );
}

#[test]
fn token_is_refused_when_it_expires_too_soon() {
    let token = |expires_at| {
        let account = Account { expires_at: Some(expires_at), ..account("claude", AccountKind::OAuth) };
        launch(vec![at_account(account, token_of("sk-ant-oat01"))], None)
            .map(|_| ())
            .map_err(|error| error.message().to_owned())
    };
    assert_eq!(token(NOW + 60_001), Ok(()));
    assert_eq!(token(NOW + 60_000), Err("claude: it expires too soon".to_owned()));
    assert_eq!(token(NOW), Err("claude: it has expired".to_owned()));
}

#[test]
fn blank_bundle_launch_sets_no_variables() {
    let blank = Plan { subject: Subject::Bundle(BundleId::blank()), parts: Vec::new(), selected: false };
    let found = blank.change(&conflicts()).unwrap();
    assert!(found.set.is_empty() && has(&found, "ANTHROPIC_API_KEY"));
}

#[test]
fn launch_shows_no_secret_in_debug_output() {
    assert!(!format!("{:?}", launch(vec![key("openai")], None).unwrap()).contains("planted"));
}

#[test]
fn named_directory_of_the_users_own_is_launched_by_its_variable_only() {
    let own = |provider: &str, dir: &str| {
        candidate(provider, AccountKind::OAuth, directory(dir, Reach::Variable, logged_in()))
    };
    let found = launch(vec![own("copilot", "/work/copilot")], None).unwrap();
    assert_eq!(shown(&found), [("COPILOT_HOME", "/work/copilot")]);
    assert!(has(&found, "GH_CONFIG_DIR"));
    // Two CLIs with the same XDG_DATA_HOME can be launched together. With two different values they cannot.
    let found = launch(vec![own("amp", "/work/share"), own("opencode", "/work/share")], None).unwrap();
    assert!(shown(&found).contains(&("XDG_DATA_HOME", "/work/share")));
    let error = launch(vec![own("amp", "/work/share"), own("opencode", "/other/share")], None).unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict);
}

#[test]
fn login_in_a_keyring_is_refused_with_its_reason() {
    let proof = Proof::InKeyring { reason: "it is in the keyring".into(), hint: "log in again".into() };
    let error = launch(vec![login("github", proof)], None).unwrap_err();
    assert_eq!(error.kind(), Kind::SecretUnavailable);
    assert!(error.message().contains("it is in the keyring"), "{}", error.message());
}

#[test]
fn enterprise_key_is_launched_for_its_host_only() {
    let base_url = Some("https://ghe.corp.example/api/v3".into());
    let account = Account { base_url, ..account("github", AccountKind::ApiKey) };
    let found = launch(vec![at_account(account, key_of("sk-planted"))], None).unwrap();
    assert_eq!(
        shown(&found),
        [
            ("GH_ENTERPRISE_TOKEN", "sk-planted"),
            ("GH_HOST", "ghe.corp.example"),
            ("GITHUB_API_URL", "https://ghe.corp.example/api/v3"),
            ("GITHUB_ENTERPRISE_TOKEN", "sk-planted"),
        ]
    );
    assert!(has(&found, "GH_TOKEN") && has(&found, "GITHUB_TOKEN"));
}

#[test]
fn login_file_is_passed_in_a_variable_and_no_directory_is_set() {
    let home = Some(Home { dir: "/data/identities/work/auggie".into(), reach: Reach::Bundle });
    let text = r#"{"accessToken":"planted"}"#;
    let found = FoundCredential { state: State::Found, credential: Credential::LoginFile(text.into()), home };
    let change =
        plan(vec![candidate("auggie", AccountKind::OAuth, found)], None).change(&conflicts()).unwrap();
    let secret = |name: &str| match change.set.get(name) {
        Some(Value::Secret(secret)) => Some(secret.expose_secret().to_owned()),
        _ => None,
    };
    assert_eq!(secret("AUGMENT_SESSION_AUTH").as_deref(), Some(text));
    assert!(!change.set.contains_key("AUGMENT_CACHE_DIR"), "{:?}", change.set.keys());
    assert!(
        ["AUGMENT_API_TOKEN", "AUGMENT_API_URL"]
            .iter()
            .all(|name| change.unset.contains(&(*name).to_owned()))
    );
    assert!(!format!("{change:?}").contains("planted"));
    // A launch of another provider keeps the user's own login from Auggie.
    let other = plan(vec![login("codex", logged_in())], None).change(&conflicts()).unwrap();
    assert!(other.unset.contains(&"AUGMENT_SESSION_AUTH".to_owned()));
}
