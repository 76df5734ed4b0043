use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::super::failure::{PermanentFailure, TransientFailure};
use super::*;

/// An issuer on loopback that sends one prepared response to each request and records the requests.
struct Script {
    url: String,
    seen: Arc<Mutex<Vec<String>>>,
    server: tokio::task::JoinHandle<()>,
}

impl Script {
    async fn of(answers: impl IntoIterator<Item = String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::<Mutex<Vec<String>>>::default();
        let mut answers: VecDeque<String> = answers.into_iter().collect();
        let heard = seen.clone();
        let server = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let request = read(&mut stream).await;
                heard.lock().unwrap().push(request);
                let Some(answer) = answers.pop_front() else { return };
                // A client may close the connection before the whole response has been written.
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        Self { url, seen, server }
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    fn issuer(&self) -> Issuer {
        self.issuer_with(|config| config)
    }

    fn issuer_with(&self, change: impl FnOnce(IssuerConfig) -> IssuerConfig) -> Issuer {
        let config = IssuerConfig {
            authorize: format!("{}/authorize", self.url),
            token: format!("{}/token", self.url),
            device: Some(format!("{}/device", self.url)),
            client_id: "client".into(),
            secret: Some("client-secret".into()),
            client_auth: ClientAuth::Body,
            scopes: vec!["repo".into(), "read:user".into()],
            json: false,
            allow_http: false,
            clock: || 1_790_000_000_000,
        };
        Issuer::new(change(config), Http::new(Duration::from_secs(30))).unwrap()
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Reads one request: its head, and as much body as the head announces.
async fn read(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .to_lowercase()
                .split_once("content-length: ")
                .map_or(0, |(_, rest)| rest.split("\r\n").next().unwrap().parse().unwrap());
            if body.len() >= length {
                return text;
            }
        }
        if stream.read_buf(&mut bytes).await.unwrap() == 0 {
            return text;
        }
    }
}

fn answer(status: u16, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status} Said\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}")
}

fn json(status: u16, body: &str) -> String {
    answer(status, "content-type: application/json; charset=utf-8\r\n", body)
}

fn secret(text: &str) -> SecretString {
    SecretString::from(text)
}

async fn refresh(answer: String) -> Result<Granted, Failure> {
    Script::of([answer]).await.issuer().refresh(&secret("old-refresh")).await
}

/// Returns the parts of a grant to compare: its tokens, the lifetime, and the scopes.
fn shape(granted: &Granted) -> (String, Option<String>, Option<i64>, Option<String>) {
    let refresh = granted.refresh.as_ref().map(|token| token.expose_secret().to_owned());
    (granted.access.expose_secret().to_owned(), refresh, granted.expires_in, granted.scopes.clone())
}

#[tokio::test]
async fn grant_is_parsed_from_each_forges_response() {
    let check = async |answer: String, refresh_token: Option<&str>, lifetime, scopes: Option<&str>| {
        let granted = refresh(answer.clone()).await.unwrap_or_else(|failure| panic!("{answer}: {failure}"));
        let expect = ("a1".into(), refresh_token.map(Into::into), lifetime, scopes.map(Into::into));
        assert_eq!(shape(&granted), expect, "{answer}");
    };
    let github = r#"{"access_token":"a1","expires_in":28800,"refresh_token":"r1","refresh_token_expires_in":15811200,"scope":"","token_type":"bearer"}"#;
    check(json(200, github), Some("r1"), Some(28800), Some("")).await;
    let oauth_app = r#"{"access_token":"a1","scope":"repo,gist","token_type":"bearer"}"#;
    check(json(200, oauth_app), None, None, Some("repo gist")).await;
    let form = answer(
        200,
        "content-type: application/x-www-form-urlencoded; charset=utf-8\r\n",
        "access_token=a1&expires_in=28800&refresh_token=r1&scope=repo%2Cgist&token_type=bearer",
    );
    check(form, Some("r1"), Some(28800), Some("repo gist")).await;
    let gitlab = r#"{"access_token":"a1","token_type":"Bearer","expires_in":7200,"refresh_token":"r1","scope":"api","created_at":1790000000}"#;
    check(json(200, gitlab), Some("r1"), Some(7200), Some("api")).await;
    let gitea = r#"{"access_token":"a1","token_type":"bearer","expires_in":3600,"refresh_token":"r1"}"#;
    check(json(200, gitea), Some("r1"), Some(3600), None).await;
    check(json(201, r#"{"access_token":"a1"}"#), None, None, None).await;
    check(answer(200, "", r#"{"access_token":"a1"}"#), None, None, None).await;
    check(json(200, r#"{"access_token":"a1","error":""}"#), None, None, None).await;
}

/// The error responses from the specification.
#[tokio::test]
async fn issuer_error_is_classified_by_its_response() {
    let check = async |answer: String, expect: Failure| {
        let got = refresh(answer.clone()).await.map(|granted| shape(&granted));
        assert_eq!(got, Err(expect), "{}", answer.chars().take(300).collect::<String>());
    };
    let dead = Failure::Permanent;
    let http = |failure: HttpFailure| Failure::from(failure);
    let unavailable = |status, seconds: Option<u64>| {
        http(HttpFailure::Unavailable { status, retry_after: seconds.map(Duration::from_secs) })
    };
    check(json(400, r#"{"error":"invalid_grant"}"#), dead(PermanentFailure::InvalidGrant)).await;
    check(json(200, r#"{"error":"bad_refresh_token","error_description":"The refresh token is incorrect or expired.","error_uri":"https://docs"}"#), dead(PermanentFailure::InvalidGrant)).await;
    let form = answer(200, "content-type: application/x-www-form-urlencoded\r\n", "error=bad_refresh_token");
    check(form, dead(PermanentFailure::InvalidGrant)).await;
    check(
        json(400, r#"{"error":"unauthorized_client","error_description":"token was already used"}"#),
        dead(PermanentFailure::Reused),
    )
    .await;
    check(
        json(
            401,
            r#"{"error":{"code":"refresh_token_reused","message":"used","type":"invalid_request_error"}}"#,
        ),
        dead(PermanentFailure::Reused),
    )
    .await;
    check(json(401, r#"{"error":"invalid_client"}"#), Failure::Misconfigured(Misconfigured::Client)).await;
    check(json(400, r#"{"error":"unauthorized_client"}"#), Failure::Misconfigured(Misconfigured::Grant))
        .await;
    check(answer(429, "retry-after: 120\r\n", "slow"), unavailable(429, Some(120))).await;
    check(json(429, r#"{"error":"invalid_grant"}"#), unavailable(429, None)).await;
    check(json(500, r#"{"error":"invalid_grant"}"#), unavailable(500, None)).await;
    check(answer(503, "retry-after: 7\r\n", ""), unavailable(503, Some(7))).await;
    check(answer(408, "", ""), unavailable(408, None)).await;
    let html = "content-type: text/html\r\n";
    check(answer(200, html, "<html>access_token=a1</html>"), http(HttpFailure::Malformed(200))).await;
    check(answer(403, html, "<html>proxy</html>"), http(HttpFailure::Malformed(403))).await;
    check(answer(302, "location: https://evil.example/\r\n", ""), http(HttpFailure::Malformed(302))).await;
    check(json(200, ""), http(HttpFailure::Malformed(200))).await;
    check(json(200, "[]"), http(HttpFailure::Malformed(200))).await;
    check(json(200, r#"{"access_token":"#), http(HttpFailure::Malformed(200))).await;
    check(json(404, "{}"), http(HttpFailure::Malformed(404))).await;
    check(json(200, "{}"), Failure::not_a_grant()).await;
    check(json(200, r#"{"access_token":7}"#), Failure::not_a_grant()).await;
    check(json(200, r#"{"access_token":""}"#), Failure::not_a_grant()).await;
    let odd = Failure::Transient {
        reason: TransientFailure::Answered("temporarily_unavailable".into()),
        retry_after: None,
    };
    check(json(400, r#"{"error":"temporarily_unavailable"}"#), odd).await;
    let long = format!(r#"{{"access_token":"{}"}}"#, "x".repeat(10 * 1024 * 1024));
    check(json(200, &long), http(HttpFailure::TooLong)).await;
    let broken = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"access".to_owned();
    assert!(matches!(refresh(broken).await, Err(Failure::Transient { .. })));
}

#[tokio::test]
async fn issuer_call_fails_in_bounded_time_when_the_issuer_hangs_or_is_down() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/token", listener.local_addr().unwrap());
    let config = |token: String| IssuerConfig {
        authorize: token.clone(),
        token,
        device: None,
        client_id: "client".into(),
        secret: None,
        client_auth: ClientAuth::Body,
        scopes: Vec::new(),
        json: false,
        allow_http: false,
        clock: || 0,
    };
    let hung = Issuer::new(config(url.clone()), Http::new(Duration::from_millis(50))).unwrap();
    let got = hung.refresh(&secret("r")).await.map(|granted| shape(&granted));
    assert_eq!(got, Err(HttpFailure::TimedOut.into()));
    drop(listener);
    let gone = Issuer::new(config(url), Http::default()).unwrap();
    assert!(matches!(
        gone.refresh(&secret("r")).await,
        Err(Failure::Transient {
            reason: TransientFailure::Http(HttpFailure::Unreachable(_)),
            retry_after: None
        })
    ));
    let insecure = Issuer::new(config("http://forge.example/token".into()), Http::default()).unwrap();
    let got = insecure.refresh(&secret("r")).await.map(|granted| shape(&granted));
    assert_eq!(got, Err(Failure::Misconfigured(Misconfigured::Insecure)));
    assert!(matches!(insecure.device().await, Err(Failure::Misconfigured(Misconfigured::NoDeviceFlow))));
}

/// Requests are forms, or JSON if configured, and both steps use the same redirect URL.
#[tokio::test]
async fn issuer_requests_follow_the_oauth_standards() {
    let good = || json(200, r#"{"access_token":"a1","refresh_token":"r1","expires_in":60}"#);
    let script = Script::of([good(), good(), good(), good()]).await;
    let issuer = script.issuer();
    let redirect = Url::parse("http://127.0.0.1:7000/oauth/callback?x=%20y").unwrap();
    let begun = issuer.begin(&redirect);
    let query: std::collections::BTreeMap<String, String> = begun.url.query_pairs().into_owned().collect();
    let state = begun.state.expose_secret();
    assert_eq!((state.len(), begun.verifier.expose_secret().len()), (43, 43));
    let challenge = PkceCodeChallenge::from_code_verifier_sha256(&PkceCodeVerifier::new(
        begun.verifier.expose_secret().into(),
    ));
    let expect = [
        ("client_id", "client"),
        ("code_challenge", challenge.as_str()),
        ("code_challenge_method", "S256"),
        ("redirect_uri", redirect.as_str()),
        ("response_type", "code"),
        ("scope", "repo read:user"),
        ("state", state),
    ];
    assert_eq!(query, expect.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    assert_ne!(issuer.begin(&redirect).state.expose_secret(), state);

    issuer.redeem(&secret("c/1"), &begun.verifier, &redirect).await.unwrap();
    issuer.refresh(&secret("old")).await.unwrap();
    let basic = script.issuer_with(|config| IssuerConfig { client_auth: ClientAuth::Basic, ..config });
    basic.refresh(&secret("old")).await.unwrap();
    let jsonic = script.issuer_with(|config| IssuerConfig { json: true, secret: None, ..config });
    jsonic.refresh(&secret("old")).await.unwrap();

    let seen = script.seen();
    let parts: Vec<(String, &str)> = seen
        .iter()
        .map(|request| {
            request.split_once("\r\n\r\n").map(|(head, body)| (head.to_lowercase(), body)).unwrap()
        })
        .collect();
    let form = |body: &str| -> std::collections::BTreeMap<String, String> {
        url::form_urlencoded::parse(body.as_bytes()).into_owned().collect()
    };
    let map =
        |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let verifier = begun.verifier.expose_secret();
    let client = [("client_id", "client"), ("client_secret", "client-secret")];
    let code = [
        ("grant_type", "authorization_code"),
        ("code", "c/1"),
        ("code_verifier", verifier),
        ("redirect_uri", redirect.as_str()),
    ];
    let renewal = [("grant_type", "refresh_token"), ("refresh_token", "old")];
    assert_eq!(form(parts[0].1), map(&[&code[..], &client].concat()));
    assert_eq!(form(parts[1].1), map(&[&renewal[..], &client].concat()));
    assert_eq!(form(parts[2].1), map(&renewal));
    let expect =
        serde_json::json!({"grant_type": "refresh_token", "refresh_token": "old", "client_id": "client"});
    assert_eq!(serde_json::from_str::<serde_json::Value>(parts[3].1).unwrap(), expect);
    for (position, (head, _)) in parts.iter().enumerate() {
        assert!(head.starts_with("post /token http/1.1"), "{head}");
        assert!(head.contains("accept: application/json") && head.contains("user-agent: srvd/"), "{head}");
        let kind = if position == 3 { "application/json" } else { "application/x-www-form-urlencoded" };
        assert!(head.contains(&format!("content-type: {kind}")), "{head}");
        let authorized = head.contains("authorization: basic y2xpzw50omnsawvudc1zzwnyzxq=");
        assert_eq!(authorized, position == 2, "{head}");
    }
}

const STARTED: &str = r#"{"device_code":"d-1","user_code":"WDJB-MJHT","verification_uri":"https://forge.example/device","expires_in":900,"interval":5}"#;

/// The polls, and the pauses between them.
#[tokio::test]
async fn device_login_polls_at_the_issuers_interval() {
    let check = async |answers: &[String], waits: &[u64], expect: Result<&str, Failure>| {
        let script = Script::of([json(200, STARTED)].into_iter().chain(answers.iter().cloned())).await;
        let issuer = script.issuer();
        let device = issuer.device().await.unwrap();
        assert_eq!(
            (device.user_code(), device.verification_url()),
            ("WDJB-MJHT", "https://forge.example/device")
        );
        let waited = Mutex::new(Vec::new());
        let pause = async |interval: Duration| waited.lock().unwrap().push(interval.as_secs());
        let got =
            issuer.approved(&device, pause).await.map(|granted| granted.access.expose_secret().to_owned());
        assert_eq!(got, expect.map(str::to_owned), "{answers:?}");
        assert_eq!(*waited.lock().unwrap(), waits, "{answers:?}");
        assert_eq!(script.seen().len(), answers.len() + 1);
        let body = script.seen()[1].split_once("\r\n\r\n").unwrap().1.to_owned();
        assert!(body.contains("device_code=d-1") && body.contains("client_id=client"), "{body}");
    };
    let error = |word: &str| json(400, &format!(r#"{{"error":"{word}"}}"#));
    let pending = || error("authorization_pending");
    let good = || json(200, r#"{"access_token":"a1","token_type":"bearer"}"#);
    check(&[good()], &[], Ok("a1")).await;
    check(&[pending(), pending(), good()], &[5, 5], Ok("a1")).await;
    check(&[error("slow_down"), pending(), error("slow_down"), good()], &[10, 10, 15], Ok("a1")).await;
    let github =
        |word: &str, more: &str| json(200, &format!(r#"{{"error":"{word}","error_description":"x"{more}}}"#));
    let slow = github("slow_down", r#","interval":30"#);
    check(&[github("authorization_pending", ""), slow, good()], &[5, 30], Ok("a1")).await;
    check(&[pending(), github("access_denied", "")], &[5], Err(Failure::Permanent(PermanentFailure::Denied)))
        .await;
    check(&[error("expired_token")], &[], Err(Failure::Permanent(PermanentFailure::Expired))).await;
    check(&[error("invalid_client")], &[], Err(Failure::Misconfigured(Misconfigured::Client))).await;
    check(
        &[github("incorrect_device_code", "")],
        &[],
        Err(Failure::Permanent(PermanentFailure::InvalidGrant)),
    )
    .await;
    let busy = answer(429, "retry-after: 60\r\n", "");
    check(&[busy, answer(502, "content-type: text/html\r\n", "<html>"), good()], &[60, 10], Ok("a1")).await;
}

#[tokio::test]
async fn device_login_start_adds_defaults_and_rejects_bad_responses() {
    let start = async |answer: String| {
        let script = Script::of([answer]).await;
        script
            .issuer()
            .device()
            .await
            .map(|device| (device.user_code().to_owned(), device.lifetime().as_secs()))
    };
    let body = |more: &str| format!(r#"{{"device_code":"d","user_code":"AB-CD"{more}}}"#);
    let page = r#","verification_uri":"https://f.example/d""#;
    let good = |seconds| Ok(("AB-CD".to_owned(), seconds));
    assert_eq!(start(json(200, &body(page))).await, good(3600));
    assert_eq!(
        start(json(200, &body(&format!(r#"{page},"expires_in":"300","interval":"7""#)))).await,
        good(300)
    );
    assert_eq!(
        start(json(200, &body(&format!(r#"{page},"expires_in":-1,"interval":null"#)))).await,
        good(3600)
    );
    assert_eq!(start(json(200, &body(&format!(r#"{page},"expires_in":999999999"#)))).await, good(3600));
    let form = "device_code=d&user_code=AB-CD&verification_uri=https%3A%2F%2Ff.example%2Fd&expires_in=899&interval=5";
    let form = answer(200, "content-type: application/x-www-form-urlencoded\r\n", form);
    assert_eq!(start(form).await, good(899));
    let bad = Err(Failure::not_a_grant());
    assert_eq!(start(json(200, &body(""))).await, bad);
    assert_eq!(start(json(200, &body(r#","verification_uri":"javascript:alert(1)""#))).await, bad);
    assert_eq!(start(json(200, &body(r#","verification_uri":"http://f.example/d""#))).await, bad);
    let odd = body(page).replace("AB-CD", r"AB\u001b[2J");
    assert_eq!(start(json(200, &odd)).await, bad);
    let disabled = json(200, r#"{"error":"device_flow_disabled"}"#);
    assert_eq!(start(disabled).await, Err(Failure::Misconfigured(Misconfigured::Grant)));
}

/// A refresh sends its request whatever lifetime is left.
#[tokio::test]
async fn grant_retains_its_lifetime_and_time_of_receipt() {
    let script = Script::of([json(200, r#"{"access_token":"a1","expires_in":7200}"#)]).await;
    let granted = script.issuer().refresh(&secret("r")).await.unwrap();
    assert_eq!((granted.expires_in, granted.received_at), (Some(7200), 1_790_000_000_000));
}
