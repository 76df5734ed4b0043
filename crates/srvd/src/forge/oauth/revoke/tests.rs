use bytes::Bytes;
use hyper::StatusCode;

use super::*;

fn spent(access: &str, refresh: Option<&str>) -> RetiredTokens {
    RetiredTokens { access: Some(access.into()), refresh: refresh.map(Into::into) }
}

fn texts(spent: &RetiredTokens) -> [Option<&str>; 2] {
    [&spent.access, &spent.refresh].map(|token| token.as_ref().map(ExposeSecret::expose_secret))
}

#[test]
fn revocation_skips_tokens_shared_with_the_new_login() {
    let check = |old: RetiredTokens, new: RetiredTokens, expect: [Option<&str>; 2]| {
        assert_eq!(texts(&old.except(&new)), expect);
    };
    check(spent("a", Some("r")), spent("b", Some("s")), [Some("a"), Some("r")]);
    check(spent("a", Some("r")), spent("b", Some("r")), [Some("a"), None]);
    check(spent("a", Some("r")), spent("a", Some("r")), [None, None]);
    check(spent("a", None), spent("a", Some("r")), [None, None]);
}

#[test]
fn revocation_request_follows_the_protocol_of_each_forge() {
    let check = |way: RevocationRequest,
                 secret: Option<&str>,
                 client_auth: ClientAuth,
                 expect: &[(&str, &str, &str)]| {
        let client_id = "s rvd".to_owned();
        let revocation = Revocation { way, client_id, secret: secret.map(Into::into), client_auth };
        let requests = revocation.requests(&spent("acc", Some("ref")));
        let shown: Vec<(String, String, String)> = requests
            .into_iter()
            .map(|request| {
                let request = request.unwrap();
                let header = request.headers().get(AUTHORIZATION).map(|value| value.to_str().unwrap());
                let line = format!("{} {}", request.method(), request.uri());
                let header = header.unwrap_or_default().to_owned();
                (line, header, String::from_utf8(request.into_body()).unwrap())
            })
            .collect();
        let shown: Vec<(&str, &str, &str)> = shown
            .iter()
            .map(|(line, header, body)| (line.as_str(), header.as_str(), body.as_str()))
            .collect();
        assert_eq!(shown, expect);
    };
    let standard = || RevocationRequest::Standard("https://lab.example/oauth/revoke".to_owned());
    let post = "POST https://lab.example/oauth/revoke";
    let (refresh, access) =
        ("token=ref&token_type_hint=refresh_token", "token=acc&token_type_hint=access_token");
    let id = "&client_id=s+rvd";
    let public = [format!("{refresh}{id}"), format!("{access}{id}")];
    check(standard(), None, ClientAuth::Basic, &[(post, "", &public[0]), (post, "", &public[1])]);
    let secret = public.map(|body| format!("{body}&client_secret=x%3Ay"));
    check(standard(), Some("x:y"), ClientAuth::Body, &[(post, "", &secret[0]), (post, "", &secret[1])]);
    // The decoded text is `s+rvd:x%3Ay`.
    let basic = "Basic cytydmQ6eCUzQXk=";
    check(standard(), Some("x:y"), ClientAuth::Basic, &[(post, basic, refresh), (post, basic, access)]);
    let github = || RevocationRequest::GitHub("https://api.github.com/applications/c/token".to_owned());
    let delete = "DELETE https://api.github.com/applications/c/token";
    check(github(), Some("x:y"), ClientAuth::Body, &[(delete, basic, r#"{"access_token":"acc"}"#)]);
    check(github(), None, ClientAuth::Body, &[]);
}

#[test]
fn revocation_succeeds_when_the_token_is_unknown_to_the_forge() {
    let check = |status: u16, body: &'static str, expect: Result<(), Failure>| {
        let answer = Received {
            status: StatusCode::from_u16(status).unwrap(),
            media: String::new(),
            retry_after: None,
            headers: hyper::HeaderMap::new(),
            body: Bytes::from(body),
        };
        assert_eq!(taken(&answer), expect, "{status}");
    };
    for status in [200, 204, 404, 422] {
        check(status, "", Ok(()));
    }
    check(401, "{}", Err(Failure::Misconfigured(Misconfigured::Client)));
    check(400, r#"{"error":"invalid_client"}"#, Err(Failure::Misconfigured(Misconfigured::Client)));
    check(400, "<html>", Err(HttpFailure::Malformed(400).into()));
    check(503, "", Err(HttpFailure::Unavailable { status: 503, retry_after: None }.into()));
    check(302, "", Err(HttpFailure::Malformed(302).into()));
}
