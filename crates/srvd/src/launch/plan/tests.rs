use std::path::PathBuf;

use auth_spawner::{Proof, Reach, Registry, Shadow, ShadowCause};
use identity_store::{
    Account, AccountKind, BundleId, Evidence, Keeping, Owner, SecretRef, Status, UnboundPolicy, UnboundRule,
};
use secrecy::ExposeSecret as _;

use super::*;
use crate::disk::identity_dir::homes::{HomeRequest, HomeUse};
use crate::keys::external::{Unavailable, Why};
use crate::launch::candidate::{Credential, Home, State};
use crate::launch::decide::{Request, decide};
use crate::launch::environment::{RemovalRules, Value};
use crate::launch::gather::bundle::{FoundCredential, fit, judged, state};
use crate::launch::placement::{self, Rules};
use crate::wire::error::Kind;
use crate::wire::launch::HomeState;

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
        keeping: Keeping::default(),
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
    FoundCredential { state: state(proof), credential: Credential::Directory, home, unproven: false }
}

fn login(provider: &str, proof: Proof) -> Candidate {
    let dir = Path::new("/data/identities/work").join(provider);
    candidate(provider, AccountKind::OAuth, directory(dir, Reach::Bundle, proof))
}

fn key_of(secret: &str) -> FoundCredential {
    FoundCredential {
        state: State::Found,
        credential: Credential::Key(secret.into()),
        home: None,
        unproven: false,
    }
}

fn token_of(secret: &str) -> FoundCredential {
    let credential = Credential::LoginToken(secret.into());
    FoundCredential { state: State::Found, credential, home: None, unproven: false }
}

fn key(provider: &str) -> Candidate {
    candidate(provider, AccountKind::ApiKey, key_of("sk-planted"))
}

fn lost_secret(text: &str) -> FoundCredential {
    let state = State::Unavailable(Unavailable::new(Why::Undecryptable, text));
    FoundCredential { state, credential: Credential::Absent, home: None, unproven: false }
}

fn logged_in() -> Proof {
    Proof::LoggedIn(auth_spawner::Credential::default())
}

/// The change of an environment that a launch makes.
#[derive(Debug)]
struct Change {
    set: Variables,
    unset: crate::wire::Names,
    /// The names of the variables that lead CLIs without an account to their empty homes.
    sealed: Vec<String>,
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
    change(&plan(candidates, selected), UnboundRule::Tools)
}

/// Returns the change of a plan with this rule, without making a home.
fn change(plan: &Plan, rule: UnboundRule) -> Result<Change, ApiError> {
    let registry = registry();
    plan.check(&[], false)?;
    let rules = Rules { policy: UnboundPolicy::of(rule), ..Rules::default() };
    let placed = placement::place(&registry, plan, &rules);
    let home = |request: HomeRequest| {
        let cli = request.provider.cli.as_ref().unwrap();
        let name = &cli.config_dir.name;
        let (dir, reach) = match &request.purpose {
            HomeUse::Login(dir, reach) => (dir.clone(), *reach),
            HomeUse::Token => (Path::new("/data/identities/work").join(name), Reach::Bundle),
            HomeUse::Key(..) => (Path::new("/data/identities/work/.key").join(name), Reach::Bundle),
            _ => (Path::new("/data/identities/work/sealed").join(name), Reach::Bundle),
        };
        let HomeRequest { provider, purpose } = request;
        crate::disk::identity_dir::homes::Home { provider, purpose, dir, reach, stray: None, shadow: None }
    };
    let homes: Vec<_> = placed.iter().filter_map(|placed| placed.request.clone()).map(home).collect();
    let view = |name: &str| (name.to_owned(), Path::new("/data/identities/work/.xdg").join(name));
    let views = ["XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"].map(view).into();
    let mut set = plan.credentials();
    let readers: Vec<&str> = plan.parts.iter().map(|part| part.provider.id.as_str()).collect();
    let shared = Path::new("/data/shared");
    let context =
        placement::LeadContext { registry: &registry, plan, shared, views: &views, started: &readers };
    placement::lead(&mut set, &homes, &placed, &context)?;
    let situation = placement::situation(&placed, &rules, &readers);
    let unset = RemovalRules::new(&registry, []).beside(&set, &situation);
    let empty = |purpose: &HomeUse| matches!(purpose, HomeUse::Unbound | HomeUse::LeftOut);
    let sealed = homes.iter().filter(|home| empty(&home.purpose)).flat_map(|home| {
        let cli = home.provider.cli.as_ref().unwrap();
        std::iter::once(&cli.config_dir.var)
            .chain(cli.config_dir.extra_vars.keys().chain(cli.logged_out.keys()))
            .cloned()
            .collect::<Vec<_>>()
    });
    let used = homes.iter().filter(|home| !empty(&home.purpose));
    let used: Vec<&String> = used.map(|home| &home.provider.cli.as_ref().unwrap().config_dir.var).collect();
    let sealed = sealed.filter(|name| !used.contains(&name)).chain(views.into_keys()).collect();
    Ok(Change { set, unset, sealed })
}

fn text(value: &Value) -> &str {
    match value {
        Value::Plain(text) => text,
        Value::Secret(secret) => secret.expose_secret(),
    }
}

/// Returns the variables apart from those that lead to empty homes and to views.
fn shown(launch: &Change) -> Vec<(&str, &str)> {
    let own = launch.set.iter().filter(|(name, _)| !launch.sealed.contains(name));
    own.map(|(name, value)| (name.as_str(), text(value))).collect()
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
            ("GH_CONFIG_DIR", "/data/identities/work/.key/gh"),
            ("GH_NO_UPDATE_NOTIFIER", "1"),
            ("GH_PROMPT_DISABLED", "1"),
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
            ("ANTHROPIC_CONFIG_DIR", "/data/identities/work/claude/anthropic"),
            ("CLAUDE_CODE_OAUTH_TOKEN", "sk-ant-oat01-planted"),
            ("CLAUDE_CONFIG_DIR", "/data/identities/work/claude")
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
        for name in ["ANTHROPIC_API_KEY", "OPENAI_API_KEY", "OAUTH_ENCRYPTION_KEY"] {
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
    let sealed = |candidates| change(&plan(candidates, None), UnboundRule::Sealed);
    let launches = candidates().into_iter().map(|provider| sealed(vec![login(&provider.id, logged_in())]));
    for found in launches.chain([sealed(vec![key("openai")])]) {
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
        [
            ("CODEX_HOME", "/data/identities/work/.key/codex"),
            ("OPENAI_API_BASE", address),
            ("OPENAI_API_KEY", "sk-planted"),
            ("OPENAI_BASE_URL", address),
            ("OPENCLAW_STATE_DIR", "/data/identities/work/.key/openclaw"),
            ("OPENCODE_DISABLE_AUTOUPDATE", "1"),
            ("PI_CODING_AGENT_DIR", "/data/identities/work/.key/pi"),
        ]
    );
    assert!(has(&found, "ANTHROPIC_BASE_URL"));
    let found = launch(vec![at("github", "https://ghe.test/api/v3")], None).unwrap();
    assert_eq!(text(&found.set["GH_HOST"]), "ghe.test");
    // Agents use the default address without a variable.
    let found = launch(vec![at("openai", "https://api.openai.com")], None).unwrap();
    assert!(!found.set.contains_key("OPENAI_BASE_URL") && has(&found, "OPENAI_BASE_URL"));
    let error = launch(vec![at("qwen", "https://proxy.test")], Some("qwen")).unwrap_err();
    let message = "qwen: the registry does not define how an agent receives its address";
    assert_eq!((error.kind(), error.message()), (Kind::SecretUnavailable, message));
}

#[test]
fn launch_refuses_an_unfit_login_and_skips_an_unfit_key() {
    let check = |candidates: Vec<Candidate>, provider, expected: Result<usize, (Kind, &str)>| {
        let found = launch(candidates, provider);
        let found = found.as_ref().map(|launch| shown(launch).len());
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
    let unfit = |shadow: Option<&Shadow>| {
        let ann = Account { email: Some("ann@x".into()), ..account("codex", AccountKind::OAuth) };
        let proof = Proof::LoggedIn(auth_spawner::Credential {
            email: Some(if shadow.is_none() { "bob@x" } else { "Ann@x" }.to_owned()),
            ..auth_spawner::Credential::default()
        });
        let (state, unproven) = fit(&ann, proof, shadow);
        let found = directory("/data/identities/work/codex", Reach::Bundle, logged_in());
        at_account(ann, FoundCredential { state, unproven, ..found })
    };
    let another = "codex: its directory holds another person's login";
    check(vec![unfit(None)], None, Err((Kind::IdentityMismatch, another)));
    let shadow = |cause| Shadow { file: "/h/config.toml".into(), cause };
    let set = shadow(ShadowCause::Set("model_provider".to_owned()));
    let named = "codex: /h/config.toml sets model_provider, which its CLI uses in place of this login";
    check(vec![unfit(Some(&set))], None, Err((Kind::Shadowed, named)));
    check(vec![key("openai"), unfit(Some(&set))], None, Err((Kind::Shadowed, named)));
    assert_eq!(
        unfit(Some(&set)).next_step.as_ref().map(crate::hint::Hint::as_str),
        Some("remove model_provider from /h/config.toml")
    );
    let torn = shadow(ShadowCause::Unreadable("not TOML".to_owned()));
    let unread =
        "codex: /h/config.toml cannot be read: not TOML, so it is not known which credential its CLI uses";
    check(vec![unfit(Some(&torn))], None, Err((Kind::SecretUnavailable, unread)));
    assert_eq!(
        unfit(Some(&torn)).next_step.as_ref().map(crate::hint::Hint::as_str),
        Some("correct or remove /h/config.toml")
    );
    let lost = || candidate("openai", AccountKind::ApiKey, lost_secret("it does not open"));
    // OpenCode and pi run with the key, each in a home of its own.
    check(vec![lost(), key("groq")], None, Ok(3));
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
fn login_is_unproven_when_one_of_the_persons_has_no_name() {
    let check = |ours: Option<&str>, theirs: Option<&str>, expected: bool| {
        let ann = Account { email: ours.map(str::to_owned), ..account("codex", AccountKind::OAuth) };
        let email = theirs.map(str::to_owned);
        let proof =
            Proof::LoggedIn(auth_spawner::Credential { email, ..auth_spawner::Credential::default() });
        assert_eq!(fit(&ann, proof, None), (State::Found, expected), "{ours:?} {theirs:?}");
    };
    check(Some("ann@x"), Some("ANN@x"), false);
    check(Some("ann@x"), None, true);
    check(None, Some("ann@x"), true);
    check(None, None, true);
}

#[test]
fn directory_variable_belongs_to_its_own_cli() {
    for order in [["copilot", "github"], ["github", "copilot"]] {
        let found = launch(order.map(|provider| login(provider, logged_in())).into(), None).unwrap();
        assert_eq!(text(&found.set["GH_CONFIG_DIR"]), "/data/identities/work/github", "{order:?}");
    }
    // CLIs that live by the same variable find their homes in one view.
    let both = ["amp", "opencode"].map(|provider| login(provider, logged_in()));
    let found = launch(both.into(), None).unwrap();
    assert_eq!(text(&found.set["XDG_DATA_HOME"]), "/data/identities/work/.xdg/XDG_DATA_HOME");
    // The agent's own login does not need the directory of the person's tool.
    let found = launch(vec![login("copilot", logged_in())], None).unwrap();
    assert!(!found.set.contains_key("GH_CONFIG_DIR"));
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
fn blank_bundle_launch_leads_every_cli_to_an_empty_home() {
    let blank = Plan { subject: Subject::Bundle(BundleId::blank()), parts: Vec::new(), selected: false };
    let found = change(&blank, UnboundRule::Sealed).unwrap();
    assert!(shown(&found).is_empty() && has(&found, "ANTHROPIC_API_KEY") && has(&found, "GITHUB_TOKEN"));
    for provider in registry().iter() {
        let Some(cli) = &provider.cli else { continue };
        assert!(found.set.contains_key(&cli.config_dir.var), "{}", provider.id);
    }
}

#[test]
fn unbound_cli_keeps_the_persons_own_only_by_the_rule() {
    let check = |rule: UnboundRule, agent: bool, tool: bool| {
        let found = change(&plan(vec![key("groq")], None), rule).unwrap();
        let sets = |name: &str| found.set.contains_key(name);
        assert_eq!((sets("CODEX_HOME"), sets("GH_CONFIG_DIR")), (agent, tool), "{rule:?}");
        assert_eq!((has(&found, "CODEX_API_KEY"), has(&found, "GH_TOKEN")), (agent, tool), "{rule:?}");
    };
    check(UnboundRule::Sealed, true, true);
    check(UnboundRule::Tools, true, false);
    check(UnboundRule::Own, false, false);
}

#[test]
fn key_runs_its_cli_in_a_home_of_its_own_and_a_login_comes_first() {
    let found = launch(vec![key("openai")], None).unwrap();
    assert_eq!(text(&found.set["CODEX_HOME"]), "/data/identities/work/.key/codex");
    let found = launch(vec![key("openai"), login("codex", logged_in())], None).unwrap();
    assert_eq!(text(&found.set["CODEX_HOME"]), "/data/identities/work/codex");
    let placed = |candidates| {
        let plan = plan(candidates, None);
        let placed = placement::place(&registry(), &plan, &Rules::default());
        let one = placed.into_iter().find(|placed| placed.provider.id == "gemini").unwrap();
        (one.state, one.key_of)
    };
    assert_eq!(placed(vec![key("gemini")]), (HomeState::Key, Some("gemini".to_owned())));
    assert_eq!(placed(vec![login("gemini", logged_in())]), (HomeState::Account, None));
    assert_eq!(placed(vec![key("groq")]), (HomeState::Unbound, None));
}

#[test]
fn key_is_withheld_when_a_cli_of_the_launch_would_prefer_it_to_its_login() {
    let check = |candidates: Vec<Candidate>, started: &[&str], expected: &[&str]| {
        let ids: Vec<String> = candidates.iter().map(|one| one.provider.id.clone()).collect();
        let mut plan = plan(candidates, None);
        plan.withhold_keys(&registry(), started);
        let withheld: Vec<&str> = plan
            .parts
            .iter()
            .filter(|part| part.withheld.is_some())
            .map(|part| part.provider.id.as_str())
            .collect();
        assert_eq!(withheld, expected, "{ids:?} {started:?}");
        let set = plan.credentials();
        for (id, name) in
            [("anthropic", "ANTHROPIC_API_KEY"), ("openai", "OPENAI_API_KEY"), ("github", "GH_TOKEN")]
        {
            let is_set = ids.iter().any(|one| one == id) && !expected.contains(&id);
            assert_eq!(set.contains_key(name), is_set, "{name} {ids:?} {started:?}");
        }
    };
    let in_bundle = |logins: &[&str], keys: &[&str]| {
        let logins = logins.iter().map(|id| login(id, logged_in()));
        logins.chain(keys.iter().map(|id| key(id))).collect::<Vec<_>>()
    };
    let claude = || in_bundle(&["claude"], &["anthropic", "groq"]);
    check(claude(), &[], &["anthropic"]);
    check(claude(), &["claude"], &["anthropic"]);
    // This CLI has no login and runs with the key.
    check(claude(), &["opencode"], &[]);
    check(in_bundle(&["claude", "opencode"], &["anthropic"]), &["opencode"], &["anthropic"]);
    // Codex ignores this key beside a login, but not the address that a key at another place comes with.
    check(in_bundle(&["codex"], &["openai"]), &[], &[]);
    check(in_bundle(&["codex"], &["openai"]), &["codex"], &["openai"]);
    let elsewhere = Candidate { base_url: Some("https://gateway.test".to_owned()), ..key("openai") };
    check(vec![login("codex", logged_in()), elsewhere], &[], &["openai"]);
    check(in_bundle(&["copilot"], &["github"]), &[], &["github"]);
    check(in_bundle(&["codex"], &["github"]), &[], &[]);
    // A login that cannot be used does not make way for the key either.
    check(vec![login("claude", Proof::Absent), key("anthropic")], &[], &[]);
    // A token in a variable is a login as well.
    check(
        vec![candidate("claude", AccountKind::OAuth, token_of("t")), key("anthropic")],
        &[],
        &["anthropic"],
    );
    check(in_bundle(&[], &["anthropic", "openai", "github"]), &[], &[]);
}

#[test]
fn withheld_key_is_reported_with_its_reason_and_is_no_refusal() {
    let mut plan = plan(vec![login("claude", logged_in()), key("anthropic")], None);
    plan.withhold_keys(&registry(), &[]);
    let [_, part] = &plan.parts[..] else { panic!("two parts") };
    let reason = "Claude Code would use it instead of its login";
    assert_eq!(part.used().unwrap().reason.as_deref(), Some(reason));
    assert_eq!(part.readiness().reason.as_deref(), Some(reason));
    assert!(part.readiness().ready && part.warning().is_none());
    assert!(part.trace().all(|trace| !trace.chosen && trace.reason == reason));
    let placed = placement::place(&registry(), &plan, &Rules::default());
    let state = |id: &str| placed.iter().find(|placed| placed.provider.id == id).unwrap().state.clone();
    assert_eq!((state("claude"), state("anthropic")), (HomeState::Account, HomeState::LeftOut));
    assert_eq!(state("opencode"), HomeState::Unbound);
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
            ("GH_CONFIG_DIR", "/data/identities/work/.key/gh"),
            ("GH_ENTERPRISE_TOKEN", "sk-planted"),
            ("GH_HOST", "ghe.corp.example"),
            ("GH_NO_UPDATE_NOTIFIER", "1"),
            ("GH_PROMPT_DISABLED", "1"),
            ("GITHUB_API_URL", "https://ghe.corp.example/api/v3"),
            ("GITHUB_ENTERPRISE_TOKEN", "sk-planted"),
        ]
    );
    assert!(has(&found, "GH_TOKEN") && has(&found, "GITHUB_TOKEN"));
}

#[test]
fn login_file_is_passed_in_a_variable() {
    let home = Some(Home { dir: "/data/identities/work/auggie".into(), reach: Reach::Bundle });
    let text = r#"{"accessToken":"planted"}"#;
    let credential = Credential::LoginFile(text.into());
    let found = FoundCredential { state: State::Found, credential, home, unproven: false };
    let change = launch(vec![candidate("auggie", AccountKind::OAuth, found)], None).unwrap();
    let secret = |name: &str| match change.set.get(name) {
        Some(Value::Secret(secret)) => Some(secret.expose_secret().to_owned()),
        _ => None,
    };
    assert_eq!(secret("AUGMENT_SESSION_AUTH").as_deref(), Some(text));
    assert!(
        ["AUGMENT_API_TOKEN", "AUGMENT_API_URL"]
            .iter()
            .all(|name| change.unset.contains(&(*name).to_owned()))
    );
    assert!(!format!("{change:?}").contains("planted"));
    // A launch of another provider keeps the user's own login from Auggie.
    let other = launch(vec![login("codex", logged_in())], None).unwrap();
    let Some(Value::Plain(logged_out)) = other.set.get("AUGMENT_SESSION_AUTH") else {
        panic!("{:?}", other.set.keys())
    };
    assert!(logged_out.contains("logged-out.invalid"), "{logged_out}");
}
