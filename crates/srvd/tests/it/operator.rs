//! The operator's sign-ins at forges: callbacks, sessions, the active forge, and sign-ins whose person is still
//! unknown.

mod certified;
mod commands;
mod refreshing;
mod returned;

use serde_json::{Value, json};

use crate::forge::browser::{Browser, End};
use crate::forge::standin::{CLIENT_SECRET, Naming, Standin};
use crate::http::tcp;
use crate::support::{Daemon, Home, event, files_below};

const BEARER: (&str, &str) = ("Authorization", "Bearer {token}");
const HOST: (&str, &str) = ("Host", "{host}");
const TYPED: (&str, &str) = ("Sec-Fetch-Site", "none");
const CHANGED: &str = "operatortokens:changed";

/// Starts a daemon that is a client of these forges, each given by name, kind and address.
pub(crate) fn daemon(forges: &[(&str, &str, &str)]) -> Daemon {
    let table = |(name, kind, url): &(&str, &str, &str)| {
        format!(
            "[forges.{name}]\ntype = \"{kind}\"\nbase_url = \"{url}\"\nclient_id = \"srvd\"\nclient_secret_env = \"PLANTED\"\n"
        )
    };
    start(Home::new().config("srvd.toml", &forges.iter().map(table).collect::<String>()))
}

fn start(home: Home) -> Daemon {
    home.start_with(|command| command.env("PLANTED", CLIENT_SECRET))
}

/// Brings the browser from the forge back to the daemon's address. Returns the path with its query.
pub(crate) async fn approved(auth_url: &str) -> String {
    match Browser::of("ada").visit(auth_url).await {
        End::Callback(url) => format!("{}?{}", url.path(), url.query().unwrap()),
        End::Page(page) => panic!("no callback but {page}"),
    }
}

/// Sends a request of a browser with this cookie. Returns the status, the cookie that is set, the head and the body.
pub(crate) fn browse(
    daemon: &Daemon,
    path: &str,
    cookie: Option<&str>,
) -> (u16, Option<String>, String, String) {
    let cookie = cookie.map(|cookie| ("Cookie", cookie));
    let headers: Vec<(&str, &str)> = [HOST, TYPED].into_iter().chain(cookie).collect();
    let (status, head, body) = tcp(daemon, &format!("GET {path}"), &headers);
    let set = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("set-cookie").then(|| value.to_owned())
    });
    if let Some(set) = &set {
        let (_, attributes) = set.split_once("; ").unwrap();
        assert_eq!(attributes, "Path=/; Max-Age=43200; HttpOnly; SameSite=Lax");
    }
    let pair = set.map(|set| set.split(';').next().unwrap().to_owned());
    (status, pair, head, body)
}

pub(crate) fn me(daemon: &Daemon, cookie: Option<&str>) -> (u16, Value) {
    let (status, _, head, body) = browse(daemon, "/me", cookie);
    assert!(head.to_lowercase().contains("\r\ncache-control: no-store\r\n"), "{head}");
    (status, serde_json::from_str(&body).unwrap())
}

/// Signs in on the request of a local client, in a browser with this cookie. Returns the session and its new cookie.
pub(crate) async fn sign_in(daemon: &Daemon, start: Value, cookie: Option<&str>) -> (Value, Option<String>) {
    let started = daemon.call("operator.start", start).await;
    let callback = approved(started["authUrl"].as_str().unwrap()).await;
    let (status, fresh, _, body) = browse(daemon, &callback, cookie);
    assert_eq!(status, 200, "{body}");
    let session = json!({"sessionId": started["sessionId"], "waitMs": 30_000});
    (daemon.call("operator.poll", session).await, fresh)
}

fn named<'a>(list: &'a Value, kind: &str) -> &'a Value {
    list["tokens"].as_array().unwrap().iter().find(|token| token["forgeType"] == kind).unwrap()
}

/// The store's tests cover that a row is rolled back when its pointer cannot be written.
#[tokio::test(flavor = "multi_thread")]
async fn callback_stores_the_grant_activates_its_forge_and_renews_the_session() {
    let (hub, git) = (Standin::start("github").await, Standin::start("forgejo").await);
    let daemon = daemon(&[("hub", "github", &hub.url), ("git", "forgejo", &git.url)]);
    let client = daemon.client().await;
    let mut events = client.subscribe([CHANGED]).await.unwrap();
    let signed_out = (
        401,
        json!({"error": "Unauthorized", "kind": "unauthenticated",
        "hint": "sign in with: srvd operator login NAME"}),
    );
    assert_eq!(me(&daemon, None), signed_out);
    assert_eq!(me(&daemon, Some(&format!("srvd_session={}", "A".repeat(43)))), signed_out);
    let (status, _, body) = tcp(&daemon, "GET /me", &[HOST, BEARER]);
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &body["kind"]), (412, &json!("no_active_forge")));
    let (code, data) = daemon.refused("operator.active", json!({})).await;
    assert_eq!((code, &data["kind"]), (1010, &json!("no_active_forge")));

    let before = crate::support::now();
    let (session, first) = sign_in(&daemon, json!({"forgeType": "github"}), None).await;
    let first = first.expect("a session begins");
    event(&mut events, CHANGED).await;
    let active = daemon.call("operator.active", json!({})).await;
    let since = active["since"].as_i64().unwrap();
    assert!((before..=crate::support::now()).contains(&since), "{active}");
    let account = &session["accountId"];
    assert_eq!(
        active,
        json!({"accountId": account, "forgeType": "github", "accountLogin": "ada", "baseUrl": hub.url, "since": since})
    );
    let expect = json!({"forgeType": "github", "accountLogin": "ada", "baseUrl": hub.url, "since": since,
        "forge_type": "github", "account_login": "ada", "base_url": hub.url});
    assert_eq!(me(&daemon, Some(&first)), (200, expect));
    let listed = daemon.call("operator.list", json!({})).await;

    // The browser signs in at the other forge. Its session begins the sign-in, and only that browser can finish it.
    let (status, _, head, _) = browse(&daemon, "/login/git", Some(&first));
    assert_eq!(status, 302, "{head}");
    let location = head.lines().find_map(|line| line.strip_prefix("location: ")).unwrap();
    let callback = approved(location).await;
    assert_eq!(browse(&daemon, &callback, None).0, 400);
    assert_eq!(browse(&daemon, &callback, Some(&format!("srvd_session={}", "A".repeat(43)))).0, 400);
    assert_eq!(me(&daemon, Some(&first)).1["forgeType"], "github");
    let (status, second, _, _) = browse(&daemon, &callback, Some(&first));
    let second = second.expect("a session begins");
    assert_eq!(status, 200);
    assert_ne!(first, second);
    assert_eq!(me(&daemon, Some(&first)), signed_out);
    let (status, now_in_use) = me(&daemon, Some(&second));
    assert_eq!((status, &now_in_use["forgeType"]), (200, &json!("forgejo")));
    assert_eq!(browse(&daemon, &callback, Some(&second)).0, 400, "a state is used once");

    // The first forge's row is unchanged, except that it is not active. It can be activated again without a sign-in.
    let mut other = named(&daemon.call("operator.list", json!({})).await, "github").clone();
    assert_eq!(other["active"], false);
    other["active"] = json!(true);
    assert_eq!(&other, named(&listed, "github"));
    let requests = hub.requests();
    let again = daemon.call("operator.setactive", json!({"accountId": account})).await;
    assert_eq!((&again["accountId"], &again["forgeType"]), (account, &json!("github")));
    assert_eq!(me(&daemon, Some(&second)).1["forgeType"], "github");
    assert_eq!(hub.requests(), requests);

    let gone = daemon.call("operator.delete", json!({"accountId": account})).await;
    assert_eq!(gone, json!({"deleted": true, "wasActive": true}));
    assert_eq!(me(&daemon, Some(&second)).0, 412);
    let left = daemon.call("operator.list", json!({})).await;
    assert_eq!((left["tokens"].as_array().unwrap().len(), &left["pending"]), (1, &json!([])));
    assert_eq!(daemon.call("operator.clearactive", json!({})).await, json!({"cleared": false}));
    for method in ["operator.setactive", "operator.delete"] {
        assert_eq!(daemon.refused(method, json!({"accountId": account})).await.0, 1001, "{method}");
    }
    // The audit log contains the person that each forge named.
    let rows = crate::audit::rows(&daemon.home);
    for actor in ["operator:hub/ada", "operator:git/ada"] {
        assert!(rows.iter().any(|row| row["actor"] == actor), "{actor}: {rows:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn browser_sign_in_is_refused_without_session_or_from_another_site() {
    let hub = Standin::start("github").await;
    let daemon = daemon(&[("hub", "github", &hub.url)]);
    let (status, _, _, body) = browse(&daemon, "/login/hub", None);
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &body["hint"]), (401, &json!("sign in with: srvd operator login hub")));
    let status = |path: &str, headers: &[(&str, &str)]| {
        tcp(&daemon, &format!("GET {path}"), &[&[HOST], headers].concat()).0
    };
    assert_eq!(status("/login/hub", &[BEARER]), 302);
    assert_eq!(status("/login/other", &[BEARER]), 404);
    let (_, cookie) = sign_in(&daemon, json!({"forgeType": "github"}), None).await;
    let cookie = ("Cookie", cookie.unwrap());
    let cookie = (cookie.0, cookie.1.as_str());
    assert_eq!(status("/login/hub", &[cookie, TYPED]), 302);
    assert_eq!(status("/login/hub", &[cookie]), 403);
    assert_eq!(status("/login/hub", &[cookie, ("Sec-Fetch-Site", "cross-site")]), 403);
    assert_eq!(status("/me", &[cookie, ("Sec-Fetch-Site", "same-site")]), 403);
    assert_eq!(status("/me", &[cookie, ("Origin", "https://evil.example")]), 403);
    // The session gives access to nothing else.
    assert_eq!(status("/openrpc.json", &[cookie, TYPED]), 401);
}

/// The identity of an account, and the addresses that mean the same forge.
#[tokio::test(flavor = "multi_thread")]
async fn account_is_identified_by_forge_address_and_person() {
    let (one, two) = (Standin::start("forgejo").await, Standin::start("forgejo").await);
    let daemon = daemon(&[("one", "forgejo", &one.url), ("two", "forgejo", &two.url)]);
    let (code, data) = daemon.refused("operator.start", json!({"forgeType": "forgejo"})).await;
    assert_eq!((code, &data["field"]), (1005, &json!("baseUrl")));
    let at = |url: &str| json!({"forgeType": "forgejo", "baseUrl": url});
    let (first, _) = sign_in(&daemon, at(&one.url), None).await;
    let (other, _) = sign_in(&daemon, at(&two.url), None).await;
    assert_ne!(first["accountId"], other["accountId"]);
    // A slash at the end and capitals in the scheme do not change the address. The person now has another name.
    one.person(12, "ada-renamed");
    let spelled = format!("{}/", one.url.replace("http://", "HTTP://"));
    let (renamed, _) = sign_in(&daemon, at(&spelled), None).await;
    assert_eq!(renamed["accountId"], first["accountId"]);
    one.person(13, "ada-renamed");
    let (stranger, _) = sign_in(&daemon, at(&one.url), None).await;
    assert_ne!(stranger["accountId"], first["accountId"]);
    let list = daemon.call("operator.list", json!({})).await;
    let mut found: Vec<(&str, &str, bool)> = list["tokens"]
        .as_array()
        .unwrap()
        .iter()
        .map(|token| {
            let text = |name: &str| token[name].as_str().unwrap();
            (text("subject"), text("accountLogin"), token["active"] == true)
        })
        .collect();
    found.sort_unstable();
    assert_eq!(found, [("12", "ada", false), ("12", "ada-renamed", false), ("13", "ada-renamed", true)]);
}

/// A forge that refuses to name the owner of a token refuses it for ever, so the person is told.
#[tokio::test(flavor = "multi_thread")]
async fn sign_in_fails_with_the_forge_s_reason_when_a_scope_is_missing() {
    let git = Standin::start("gitea").await;
    git.naming(Naming::Forbids);
    let daemon = daemon(&[("git", "gitea", &git.url)]);
    let started = daemon.call("operator.start", json!({"forgeType": "gitea"})).await;
    let callback = approved(started["authUrl"].as_str().unwrap()).await;
    let (status, cookie, _, page) = browse(&daemon, &callback, None);
    assert!(status >= 400 && cookie.is_none(), "{status} {page}");
    assert!(page.contains("required scope(s): [read:user]"), "{page}");
    assert!(page.contains("Add &quot;read:user&quot; to scopes of [forges.git]"), "{page}");
    let poll = json!({"sessionId": started["sessionId"], "waitMs": 30_000});
    let session = daemon.call("operator.poll", poll).await;
    assert_eq!((&session["status"], &session["errorKind"]), (&json!("failed"), &json!("invalid_scope")));
    let error = session["error"].as_str().unwrap();
    assert!(error.contains("required scope(s): [read:user]"), "{error}");
    assert!(error.contains("Add \"read:user\" to scopes of [forges.git] in srvd.toml"), "{error}");
    // The sign-in has ended, and the list says why.
    let list = daemon.call("operator.list", json!({})).await;
    assert_eq!((&list["tokens"], &list["pending"]), (&json!([]), &json!([])), "{list}");
    assert_eq!(list["forges"][0]["lastFailure"], error);
    let listed = daemon.home.run(&["operator", "list"]);
    let shown = String::from_utf8(listed.stderr).unwrap();
    assert!(shown.contains("The last sign-in at git failed: ") && shown.contains("[read:user]"), "{shown}");
    // The next sign-in succeeds, and the reason is forgotten.
    git.naming(Naming::Says);
    assert_eq!(sign_in(&daemon, json!({"forgeType": "gitea"}), None).await.0["status"], "success");
    assert_eq!(daemon.call("operator.list", json!({})).await["forges"][0].get("lastFailure"), None);
}

/// A forge may refuse a scope before it asks the person.
#[tokio::test(flavor = "multi_thread")]
async fn refused_scope_is_named_on_the_page_and_in_the_sign_in() {
    let lab = Standin::start("gitlab").await;
    let table = format!(
        "[forges.lab]\ntype = \"gitlab\"\nbase_url = \"{}\"\nclient_id = \"srvd\"\nscopes = [\"api\", \"sudo\"]\nclient_secret_env = \"PLANTED\"\n",
        lab.url
    );
    let daemon = start(Home::new().config("srvd.toml", &table));
    let started = daemon.call("operator.start", json!({"forgeType": "gitlab"})).await;
    let url = url::Url::parse(started["authUrl"].as_str().unwrap()).unwrap();
    let state = url.query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned();
    let said = "The+requested+scope+%3Csudo%3E+is+invalid";
    let callback = format!("/oauth/callback?error=invalid_scope&error_description={said}&state={state}");
    let (status, cookie, _, page) = browse(&daemon, &callback, None);
    assert_eq!((status, cookie), (400, None), "{page}");
    assert!(page.contains("the scope &quot;sudo&quot;") && page.contains("scopes of [forges.lab]"), "{page}");
    assert!(page.contains("&lt;sudo&gt;") && !page.contains("<sudo>"), "{page}");
    let poll = json!({"sessionId": started["sessionId"], "waitMs": 30_000});
    let session = daemon.call("operator.poll", poll).await;
    let error = session["error"].as_str().unwrap();
    assert!(error.contains("the forge refuses the scope \"sudo\""), "{error}");
    assert_eq!(session["errorKind"], "invalid_scope");
}

/// No token is lost while a forge cannot say who owns it.
#[tokio::test(flavor = "multi_thread")]
async fn sign_in_is_kept_and_completed_later_when_the_forge_cannot_name_the_person() {
    let hub = Standin::start("github").await;
    hub.silent(true);
    let daemon = daemon(&[("hub", "github", &hub.url)]);
    let (session, cookie) = sign_in(&daemon, json!({"forgeType": "github"}), None).await;
    assert_eq!(cookie, None);
    let status = session["status"].as_str().unwrap();
    assert_eq!((status, session.get("accountLogin")), ("success", None), "{session}");
    let asked = hub.requests().iter().filter(|request| *request == "GET /api/v3/user").count();
    assert_eq!(asked, 4, "once, and three times more");
    let list = daemon.call("operator.list", json!({})).await;
    assert_eq!((&list["tokens"], &list["pending"][0]["accountId"]), (&json!([]), &session["accountId"]));
    assert_eq!(daemon.refused("operator.active", json!({})).await.0, 1010);

    let (_, home) = daemon.stop();
    hub.silent(false);
    let daemon = start(home);
    let client = daemon.client().await;
    let mut events = client.subscribe([CHANGED]).await.unwrap();
    let mut list = daemon.call("operator.list", json!({})).await;
    if list["tokens"] == json!([]) {
        event(&mut events, CHANGED).await;
        list = daemon.call("operator.list", json!({})).await;
    }
    let token = &list["tokens"][0];
    assert_eq!((&token["accountId"], &token["accountLogin"]), (&session["accountId"], &json!("ada")));
    assert_eq!((&token["active"], &list["pending"]), (&json!(true), &json!([])));
    let refreshes =
        hub.requests().iter().filter(|request| *request == "POST /login/oauth/access_token").count();
    assert_eq!(refreshes, 1, "the tokens are those of the sign-in");
}

#[tokio::test(flavor = "multi_thread")]
async fn device_sign_in_succeeds_or_is_refused_when_the_forge_has_no_device_flow() {
    let (hub, git) = (Standin::start("github").await, Standin::start("forgejo").await);
    let daemon = daemon(&[("hub", "github", &hub.url), ("git", "forgejo", &git.url)]);
    let error = daemon.error("operator.start", json!({"forgeType": "forgejo", "flow": "device"})).await;
    assert_eq!(error.code, 1005);
    assert!(error.message.contains("this forge does not support the device flow"), "{}", error.message);
    let started = daemon.call("operator.start", json!({"forgeType": "github", "flow": "device"})).await;
    let shown = (&started["deviceCode"], &started["verificationUrl"], started.get("authUrl"));
    assert_eq!(shown, (&json!("AB-CD"), &json!("https://github.example/device"), None));
    let session = json!({"sessionId": started["sessionId"], "waitMs": 30_000});
    let ended = daemon.call("operator.poll", session).await;
    assert_eq!((&ended["status"], &ended["accountLogin"]), (&json!("success"), &json!("ada")));
    assert_eq!(daemon.call("operator.active", json!({})).await["accountId"], ended["accountId"]);
    let (code, data) = daemon.refused("operator.start", json!({"forgeType": "sourceforge"})).await;
    assert_eq!((code, &data["known"]), (1003, &json!(["github", "gitlab", "forgejo", "gitea"])));
    assert_eq!(daemon.refused("operator.poll", json!({"sessionId": "nobody"})).await.0, 1001);
}

#[tokio::test(flavor = "multi_thread")]
async fn sign_in_stores_nothing_when_it_is_cancelled_or_superseded() {
    let hub = Standin::start("github").await;
    let daemon = daemon(&[("hub", "github", &hub.url)]);
    let start = json!({"forgeType": "github"});
    let first = daemon.call("operator.start", start.clone()).await;
    let second = daemon.call("operator.start", start).await;
    let session = |started: &Value| json!({"sessionId": started["sessionId"]});
    assert_eq!(daemon.call("operator.poll", session(&first)).await["errorKind"], "superseded");
    assert_eq!(daemon.call("operator.poll", session(&second)).await["status"], "pending");
    assert_eq!(daemon.call("operator.cancel", session(&second)).await, json!({"success": true}));
    assert_eq!(daemon.call("operator.cancel", session(&second)).await["success"], false);
    let callback = approved(second["authUrl"].as_str().unwrap()).await;
    assert_eq!(browse(&daemon, &callback, None).0, 400);
    let list = daemon.call("operator.list", json!({})).await;
    assert_eq!((&list["tokens"], &list["pending"]), (&json!([]), &json!([])));
}

#[tokio::test(flavor = "multi_thread")]
async fn upserted_token_is_stored_for_the_person_that_the_forge_names() {
    let (hub, lab) = (Standin::start("github").await, Standin::start("gitlab").await);
    let daemon = daemon(&[("hub", "github", &hub.url)]);
    let bring = |kind: &str, url: &str, more: Value| {
        let mut params =
            json!({"forgeType": kind, "baseUrl": url, "tokens": {"accessToken": "planted-brought-token"}});
        for (name, value) in more.as_object().unwrap() {
            params[name] = value.clone();
        }
        params
    };
    let (code, data) = daemon.refused("operator.upsert", bring("github", &hub.url, json!({}))).await;
    assert_eq!((code, &data["field"]), (1005, &json!("tokens")));
    hub.silent(true);
    assert_eq!(daemon.refused("operator.upsert", bring("github", &hub.url, json!({}))).await.0, 1014);
    hub.silent(false);
    hub.accept("planted-brought-token");
    let foreign = bring("github", &hub.url, json!({"accountLogin": "somebody"}));
    assert_eq!(daemon.refused("operator.upsert", foreign).await.0, 1013);
    assert_eq!(daemon.call("operator.list", json!({})).await["tokens"], json!([]));

    let stored = daemon.call("operator.upsert", bring("github", &hub.url, json!({}))).await;
    let facts =
        ["subject", "accountLogin", "email", "clientId", "state"].map(|name| stored[name].as_str().unwrap());
    assert_eq!(facts, ["12", "ada", "ada@example.org", "srvd", "active"]);
    assert_eq!((&stored["active"], stored.get("expiresAt")), (&json!(false), None), "{stored}");
    let again = daemon.call("operator.upsert", bring("github", &hub.url, json!({"activate": true}))).await;
    assert_eq!((&again["accountId"], &again["active"]), (&stored["accountId"], &json!(true)));
    // The forge is not configured and the request names the person, so no request is sent to the forge.
    let mut told = bring("gitlab", &format!("{}/", lab.url), json!({"accountLogin": "bob"}));
    told["tokens"]["subject"] = json!("77");
    let told = daemon.call("operator.upsert", told).await;
    assert_eq!(
        (&told["baseUrl"], &told["subject"], told.get("clientId")),
        (&json!(lab.url), &json!("77"), None)
    );
    assert_eq!(lab.requests(), [""; 0]);
    let remote = bring("gitlab", "http://git.example", json!({}));
    assert_eq!(daemon.refused("operator.upsert", remote).await.1["field"], "baseUrl");
}

/// The planted secrets are in no log, event, answer, page or file.
#[tokio::test(flavor = "multi_thread")]
async fn sign_in_secrets_appear_in_no_answer_log_or_file() {
    let hub = Standin::start("github").await;
    let daemon = daemon(&[("hub", "github", &hub.url)]);
    let started = daemon.call("operator.start", json!({"forgeType": "github"})).await;
    let callback = approved(started["authUrl"].as_str().unwrap()).await;
    let (_, cookie, _, page) = browse(&daemon, &callback, None);
    let cookie = cookie.unwrap();
    let (_, refused, _, refusal) = browse(&daemon, &callback, Some(&cookie));
    assert_eq!(refused, None);
    let state = callback.split("state=").nth(1).unwrap().split('&').next().unwrap();
    let secrets = ["planted-", state, cookie.split('=').nth(1).unwrap()];
    let mut answers = format!("{page}{refusal}");
    for method in ["operator.list", "operator.active", "account.list", "srvd.info"] {
        answers += &daemon.call(method, json!({})).await.to_string();
    }
    let poll = daemon.call("operator.poll", json!({"sessionId": started["sessionId"]})).await;
    answers += &poll.to_string();
    answers += &me(&daemon, Some(&cookie)).1.to_string();
    let log = daemon.log();
    for secret in secrets {
        assert!(!answers.contains(secret), "{secret} in {answers}");
        assert!(!log.contains(secret), "{secret} in the log");
    }
    let (_, home) = daemon.stop();
    let audit = home.run(&["audit", "--json"]);
    let audit = String::from_utf8(audit.stdout).unwrap();
    for action in ["operator.login", "operator.setactive"] {
        assert!(audit.contains(action), "{audit}");
    }
    for path in files_below(&home.dir("data")).into_iter().chain(files_below(&home.dir("run"))) {
        let bytes = std::fs::read(&path).unwrap();
        for secret in secrets {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{secret} in {}", path.display());
        }
    }
}
