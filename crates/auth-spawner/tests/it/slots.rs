//! Tests of the rules by which a CLI chooses one of several credentials.

use auth_spawner::{Credential, Proof};
use serde_json::{Value, json};

use crate::proof::{jwt, look};

/// Two ends that differ, in Unix milliseconds.
const FIRST: i64 = 1_893_456_000_001;
const SECOND: i64 = 1_893_456_000_002;

fn login(credential: Credential) -> Proof {
    Proof::LoggedIn(credential)
}

fn no_login(reason: &str) -> Proof {
    Proof::Incomplete { reason: reason.to_owned() }
}

/// The expected results match `codex login status` 0.171. A test of the daemon compares the two.
#[test]
fn codex_login_counts_only_when_codex_would_use_its_tokens() {
    let tokens = json!({"id_token": jwt(&json!({"email": "a@x"})), "access_token": jwt(&json!({"exp": 1_893_456_000})),
        "refresh_token": "rt"});
    let used = login(Credential {
        email: Some("a@x".into()),
        expires_at: Some(1_893_456_000_000),
        refreshable: true,
        ..Credential::default()
    });
    let key = "the CLI would use the key in auth.json and not this login";
    let selects = |mode: &str| format!("auth.json selects {mode}, so the CLI would not use this login");
    for (mode, api_key, expected) in [
        (json!("chatgpt"), Value::Null, used.clone()),
        (json!("chatgpt"), json!("sk-x"), used.clone()),
        (json!("chatgptAuthTokens"), Value::Null, used.clone()),
        (Value::Null, Value::Null, used.clone()),
        (Value::Null, json!("sk-x"), no_login(key)),
        (Value::Null, json!(""), no_login(key)),
        (json!("apikey"), json!("sk-x"), no_login(&selects("apikey"))),
        (json!("apikey"), Value::Null, no_login(&selects("apikey"))),
        (json!("agentIdentity"), Value::Null, no_login(&selects("agentIdentity"))),
        (json!(7), Value::Null, no_login(&selects("another credential"))),
        (json!("sk\u{1b}[2J"), Value::Null, no_login(&selects("another credential"))),
    ] {
        let file = json!({"auth_mode": mode, "OPENAI_API_KEY": api_key, "tokens": tokens}).to_string();
        assert_eq!(look("codex", &[("auth.json", file.clone())]), expected, "{file}");
    }
    // Older versions wrote no mode and, without a key, no member for the key.
    let bare = json!({"tokens": tokens}).to_string();
    assert_eq!(look("codex", &[("auth.json", bare)]), used);
    let key_only = json!({"auth_mode": "apikey", "OPENAI_API_KEY": "sk-x"}).to_string();
    assert_eq!(look("codex", &[("auth.json", key_only)]), no_login(&selects("apikey")));
}

#[test]
fn login_expiry_is_assumed_when_it_cannot_be_read() {
    let codex = |access: &str| {
        let tokens = json!({"id_token": jwt(&json!({})), "access_token": access, "refresh_token": "rt"});
        look("codex", &[("auth.json", json!({"auth_mode": "chatgpt", "tokens": tokens}).to_string())])
    };
    let unknown = || login(Credential { assumed_end: true, refreshable: true, ..Credential::default() });
    assert_eq!(codex("opaque"), unknown());
    assert_eq!(codex("a.b.c"), unknown());
    for (written, end) in [
        ("1893456000000", Some(1_893_456_000_000)),
        ("1893456000000.5", Some(1_893_456_000_001)),
        ("\"1893456000000\"", Some(1_893_456_000_000)),
        ("\"soon\"", None),
        ("[]", None),
        ("0", None),
    ] {
        let file = format!(
            r#"{{"claudeAiOauth":{{"accessToken":"a","refreshToken":"r","expiresAt":{written},"refreshTokenExpiresAt":{written}}}}}"#
        );
        let expected = Credential {
            expires_at: end,
            assumed_end: end.is_none() && written != "0",
            login_deadline_at: end,
            refreshable: true,
            ..Credential::default()
        };
        assert_eq!(look("claude", &[(".credentials.json", file)]), login(expected), "{written}");
    }
    let kimi = r#"{"access_token":"a","refresh_token":"r","expires_at":1893456000.75}"#.to_owned();
    let expected =
        Credential { expires_at: Some(1_893_456_000_750), refreshable: true, ..Credential::default() };
    assert_eq!(look("kimi-code", &[("credentials/kimi-code.json", kimi)]), login(expected));
}

/// The expected results match the tokens that Copilot 1.0.102 sent to a test server.
#[test]
fn copilot_login_belongs_to_the_last_logged_in_user() {
    let host = "https://github.com";
    let check = |tokens: &[&str], last: Option<&str>, expected: Result<Option<&str>, &str>| {
        let tokens: serde_json::Map<String, Value> =
            tokens.iter().map(|name| (format!("{host}:{name}"), json!({"token": "gho_x"}))).collect();
        let mut file = json!({"authTokens": tokens});
        if let Some(last) = last {
            file["lastLoggedInUser"] = json!({"host": host, "login": last});
        }
        let subject =
            |name: Option<&str>| Credential { subject: name.map(Into::into), ..Credential::default() };
        let expected = match expected {
            Ok(name) => login(subject(name)),
            Err(reason) => no_login(reason),
        };
        let text = format!("// managed\n{file}");
        assert_eq!(look("copilot", &[("config.json", text)]), expected, "{file}");
    };
    check(&["ann:github", "bob:github"], Some("bob"), Ok(Some("bob")));
    check(&["ann:github", "bob"], Some("bob"), Ok(Some("bob")));
    check(&["ann", "ann:github"], Some("ann"), Ok(Some("ann")));
    let missing = "config.json selects https://github.com:cleo but contains no login with that name";
    check(&["ann:github"], Some("cleo"), Err(missing));
    check(&["ann:github"], None, Ok(None));
    check(&[], None, Err("config.json holds no login: the file has no token"));
    // An empty slot of the selected user is not replaced by another user's slot.
    let file = json!({"authTokens": {(format!("{host}:ann:github")): {"token": "gho"}, (format!("{host}:bob:github")): {}},
        "lastLoggedInUser": {"host": host, "login": "bob"}});
    let missing = no_login("config.json selects https://github.com:bob but contains no login with that name");
    assert_eq!(look("copilot", &[("config.json", file.to_string())]), missing);
}

/// The expected results match `gh auth token` 2.23. A test of the daemon compares the two. The token next to `user` is
/// the active one in newer versions as well: `gh auth switch` copies it there from `users`.
#[test]
fn github_login_is_the_token_that_gh_would_use() {
    let octo = || login(Credential { subject: Some("octo".into()), ..Credential::default() });
    let missing = || no_login("hosts.yml holds no login: the file has no token");
    // Without an active token in the file, gh asks the keyring.
    let keyring = || Proof::InKeyring {
        reason: "gh stored the token in your keyring, where srvd does not look".to_owned(),
        hint: "log in again with srvd and gh 2.26 or newer".to_owned(),
    };
    for (hosts, expected) in [
        ("github.com: {user: octo, oauth_token: gho_x}", octo()),
        (
            "github.com: {user: octo, oauth_token: gho_x, users: {octo: {oauth_token: gho_x}, other: {oauth_token: gho_y}}}",
            octo(),
        ),
        ("github.com: {oauth_token: gho_x}", login(Credential::default())),
        ("github.com: {user: octo, users: {octo: {oauth_token: gho_x}}}", keyring()),
        ("github.com: {user: octo, oauth_token: '', users: {octo: {oauth_token: gho_x}}}", keyring()),
        ("github.com: {git_protocol: https, users: {octo: }, user: octo}", keyring()),
        ("ghe.test: {user: octo, oauth_token: gho_x}", missing()),
    ] {
        assert_eq!(look("github", &[("hosts.yml", hosts.to_owned())]), expected, "{hosts}");
    }
}

/// The expected results match Gemini 0.61 with both a login and a selected method.
#[test]
fn gemini_login_counts_only_when_its_settings_select_it() {
    let creds = json!({"access_token": "a", "refresh_token": "r"}).to_string();
    let used = || login(Credential { assumed_end: true, refreshable: true, ..Credential::default() });
    let selects =
        |kind: &str| no_login(&format!("settings.json selects {kind}, so the CLI would not use this login"));
    let none = || no_login("settings.json selects no login, so the CLI would not use this login");
    let selected = |kind: &str| json!({"security": {"auth": {"selectedType": kind}}}).to_string();
    for (settings, expected) in [
        (selected("oauth-personal"), used()),
        (format!("// mine\n{}", selected("gemini-api-key")), selects("gemini-api-key")),
        (selected("vertex-ai"), selects("vertex-ai")),
        ("{}".to_owned(), none()),
        // Half a file selects no method.
        (selected("oauth-personal")[..20].to_owned(), none()),
    ] {
        let files = [(".gemini/oauth_creds.json", creds.clone()), (".gemini/settings.json", settings)];
        assert_eq!(look("gemini", &files), expected, "{files:?}");
    }
    assert_eq!(look("gemini", &[(".gemini/oauth_creds.json", creds)]), none());
}

#[test]
fn pi_login_is_the_default_providers_or_else_the_first() {
    let member = |end: i64| json!({"type": "oauth", "access": "a", "refresh": "r", "expires": end});
    let auth = json!({"anthropic": member(FIRST), "google": {"type": "api_key", "key": "k"}, "openai-codex": member(SECOND)});
    for (settings, end) in [
        (Some(r#"{"defaultProvider": "openai-codex"}"#), SECOND),
        (Some(r#"{"defaultProvider": "anthropic"}"#), FIRST),
        // pi would use this key first, but its logins still count.
        (Some(r#"{"defaultProvider": "google"}"#), FIRST),
        (Some(r#"{"defaultProvider": "groq"}"#), FIRST),
        (Some("{}"), FIRST),
        (None, FIRST),
    ] {
        let mut files = vec![("auth.json", auth.to_string())];
        files.extend(settings.map(|text| ("settings.json", text.to_owned())));
        let expected = Credential { expires_at: Some(end), refreshable: true, ..Credential::default() };
        assert_eq!(look("pi", &files), login(expected), "{settings:?}");
    }
}

#[test]
fn opencode_login_is_openai_or_else_any_usable_one() {
    let oauth = |end: i64, account: &str| json!({"type": "oauth", "access": "a", "refresh": "r", "expires": end, "accountId": account});
    let key = json!({"type": "api", "key": "sk-zen"});
    let refreshable = Credential { refreshable: true, ..Credential::default() };
    for (file, expected) in [
        (
            json!({"github-copilot": oauth(0, "c"), "openai": oauth(FIRST, "o"), "opencode": key}),
            Credential { expires_at: Some(FIRST), subject: Some("o".into()), ..refreshable.clone() },
        ),
        (
            json!({"github-copilot": {"type": "oauth", "refresh": "ghu", "access": "ghu", "expires": 0}, "opencode": key}),
            refreshable,
        ),
        (json!({"opencode": key}), Credential::default()),
        (json!({"openai": key}), Credential::default()),
    ] {
        assert_eq!(look("opencode", &[("opencode/auth.json", file.to_string())]), login(expected), "{file}");
    }
    let reason = "auth.json holds no login: the file has no access token";
    for file in [json!({}), json!({"openai": {"type": "oauth"}}), json!({"openai": "text"})] {
        assert_eq!(look("opencode", &[("opencode/auth.json", file.to_string())]), no_login(reason), "{file}");
    }
}

#[test]
fn reason_never_shows_a_secret() {
    let secret = "sk-planted-in-the-file";
    for (provider, path, file) in [
        ("codex", "auth.json", json!({"OPENAI_API_KEY": secret, "tokens": {"id_token": secret}})),
        ("codex", "auth.json", json!({"tokens": {"id_token": secret}})),
        (
            "copilot",
            "config.json",
            json!({"authTokens": {"a": {"token": secret}}, "lastLoggedInUser": {"host": "h", "login": "l"}}),
        ),
        ("opencode", "opencode/auth.json", json!({"openai": {"access": secret}})),
    ] {
        match look(provider, &[(path, file.to_string())]) {
            Proof::Incomplete { reason } => assert!(!reason.contains(secret), "{reason}"),
            other => panic!("{provider}: {other:?}"),
        }
    }
}
