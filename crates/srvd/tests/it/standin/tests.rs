//! Tests of the stand-in, because the daemon's tests rely on its answers.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Method, Request, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use url::Url;

use super::Standin;

struct Ask<'a> {
    method: Method,
    path: &'a str,
    headers: &'a [(&'a str, &'a str)],
    body: Value,
}

async fn ask(standin: &Standin, ask: Ask<'_>) -> (StatusCode, Value) {
    let mut request = Request::builder().method(ask.method).uri(format!("{}{}", standin.url(), ask.path));
    for (name, value) in ask.headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(Bytes::from(ask.body.to_string()))).unwrap();
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let response = client.request(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap())
}

async fn get(standin: &Standin, path: &str, headers: &[(&str, &str)]) -> StatusCode {
    ask(standin, Ask { method: Method::GET, path, headers, body: Value::Null }).await.0
}

async fn post(standin: &Standin, host: &str, path: &str, body: Value) -> (StatusCode, Value) {
    ask(standin, Ask { method: Method::POST, path, headers: &[("host", host)], body }).await
}

#[tokio::test]
async fn standin_key_checks_pass_only_accepted_key() {
    let standin = Standin::start().await;
    standin.accept_key("sk-good");
    let version = ("anthropic-version", "2023-06-01");
    let agent = ("user-agent", "test");
    let (good, bad) = (("authorization", "Bearer sk-good"), ("authorization", "Bearer sk-bad"));
    let check = async |path: &str, headers: &[(&str, &str)], expected: u16| {
        assert_eq!(get(&standin, path, headers).await.as_u16(), expected, "{path} {headers:?}");
    };
    check("/v1/models", &[("x-api-key", "sk-good"), version], 200).await;
    check("/v1/models", &[("x-api-key", "sk-good")], 400).await;
    check("/v1/models", &[("x-api-key", "sk-bad"), version], 401).await;
    check("/v1/models", &[good], 200).await;
    check("/v1/models", &[bad], 401).await;
    check("/v1/models", &[], 401).await;
    check("/user", &[good, agent], 200).await;
    check("/user", &[good], 403).await;
    check("/user", &[bad, agent], 401).await;
    check("/elsewhere", &[good], 404).await;
}

#[tokio::test]
async fn device_login_waits_for_approval_and_is_redeemed_once() {
    let standin = Standin::start().await;
    standin.person("grace@example.com", "acct-7");
    let openai = "auth.openai.com";
    let (_, login) =
        post(&standin, openai, "/api/accounts/deviceauth/usercode", json!({"client_id": "x"})).await;
    let poll = || post(&standin, openai, "/api/accounts/deviceauth/token", login.clone());
    assert_eq!(poll().await.0, StatusCode::FORBIDDEN);
    standin.seen("POST auth.openai.com/api/accounts/deviceauth/token").await;
    standin.approve();
    let (status, code) = poll().await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(poll().await.0, StatusCode::BAD_REQUEST);

    let exchange = json!({
        "grant_type": "authorization_code",
        "code": code["authorization_code"],
        "code_verifier": code["code_verifier"],
    });
    assert_eq!(post(&standin, openai, "/oauth/token", exchange.clone()).await.0, StatusCode::OK);
    assert_eq!(post(&standin, openai, "/oauth/token", exchange).await.0, StatusCode::BAD_REQUEST);
    assert_eq!(
        standin.requests(),
        [
            "POST auth.openai.com/api/accounts/deviceauth/usercode",
            "POST auth.openai.com/api/accounts/deviceauth/token",
            "POST auth.openai.com/api/accounts/deviceauth/token",
            "POST auth.openai.com/api/accounts/deviceauth/token",
            "POST auth.openai.com/oauth/token",
            "POST auth.openai.com/oauth/token",
        ]
    );
}

#[tokio::test]
async fn device_login_poll_reports_access_denied_when_denied() {
    let standin = Standin::start().await;
    let kimi = "auth.kimi.com";
    let (_, login) = post(&standin, kimi, "/api/oauth/device_authorization", json!({})).await;
    standin.deny();
    let poll = json!({
        "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
        "device_code": login["device_code"],
    });
    let denied = post(&standin, kimi, "/api/oauth/token", poll).await;
    assert_eq!(denied, (StatusCode::BAD_REQUEST, json!({"error": "access_denied"})));
}

#[tokio::test]
async fn code_is_redeemed_only_when_parameters_match_its_page() {
    // The pair of RFC 7636, appendix B.
    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
    const REDIRECT: &str = "https://platform.claude.com/oauth/code/callback";
    let standin = Standin::start().await;
    let page = Url::parse_with_params(
        "https://claude.com/cai/oauth/authorize?response_type=code&code_challenge_method=S256",
        [("client_id", "client"), ("state", "st"), ("redirect_uri", REDIRECT), ("code_challenge", CHALLENGE)],
    )
    .unwrap();
    let check = async |change: (&str, &str), expected: StatusCode| {
        let target = standin.consent(&page);
        assert!(target.as_str().starts_with(REDIRECT) && target.as_str().ends_with("&state=st"), "{target}");
        let code = target.query_pairs().next().unwrap().1.into_owned();
        let mut body = json!({
            "grant_type": "authorization_code",
            "code": code,
            "client_id": "client",
            "redirect_uri": REDIRECT,
            "code_verifier": VERIFIER,
            "state": "st",
        });
        body[change.0] = change.1.into();
        let (status, answer) = post(&standin, "platform.claude.com", "/v1/oauth/token", body).await;
        assert_eq!(status, expected, "{change:?}: {answer}");
        assert_eq!(standin.exchanged("state"), "st");
    };
    check(("unknown", ""), StatusCode::OK).await;
    check(("code", "planted-code-0"), StatusCode::BAD_REQUEST).await;
    check(("client_id", "another"), StatusCode::BAD_REQUEST).await;
    check(("redirect_uri", "http://localhost/callback"), StatusCode::BAD_REQUEST).await;
    check(("code_verifier", CHALLENGE), StatusCode::BAD_REQUEST).await;
    standin.refuse_codes();
    check(("unknown", ""), StatusCode::BAD_REQUEST).await;
}
