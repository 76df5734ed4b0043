use hyper::Request;

use super::*;

const SOCKET: Transport = Transport::Unix { uid: 1000 };
const TCP: Transport = Transport::Tcp { port: 7000 };
const GOOD: &[(&str, &str)] = &[
    ("host", "127.0.0.1:7000"),
    ("authorization", "Bearer token-1234"),
    ("upgrade", "websocket"),
    ("connection", "keep-alive, Upgrade"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
];

fn access() -> AccessCheck {
    access_with(Known::default())
}

fn access_with(clients: Known) -> AccessCheck {
    let origins = ["app://srvd", "vscode-webview://*"].map(str::to_owned);
    AccessCheck::new(SecretString::from("token-1234"), vec!["srvd.test:80".into()], origins.into(), clients)
}

/// Returns the head of a valid handshake with `changes` applied. A change replaces a header, or removes it if the value
/// is empty. A name prefixed with `+` adds a second header.
fn head(method: &str, path: &str, changes: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in GOOD {
        if !changes.iter().any(|(changed, _)| changed == name) {
            request = request.header(*name, *value);
        }
    }
    for (name, value) in changes.iter().filter(|(_, value)| !value.is_empty()) {
        request = request.header(name.trim_start_matches('+'), *value);
    }
    request.body(()).unwrap().into_parts().0
}

fn check(transport: Transport, changes: &[(&str, &str)], expect: u16) {
    let got = access()
        .check(transport, &head("GET", "/rpc", changes))
        .map_or_else(|refusal| refusal.status.as_u16(), |_| 101);
    assert_eq!(got, expect, "{transport:?} {changes:?}");
}

#[test]
fn access_check_accepts_the_rfc_handshake() {
    let offered = [("sec-websocket-protocol", "srvd.v1, srvd.bearer.token-1234"), ("authorization", "")];
    assert_eq!(
        access().check(TCP, &head("GET", "/rpc", &offered)),
        Ok(Route::Socket { accept: "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=".into(), subprotocol: true })
    );
    check(TCP, &[], 101);
    check(TCP, &[("sec-websocket-protocol", "other")], 101);
}

#[test]
fn access_check_rejects_unknown_hosts() {
    for good in
        ["127.0.0.1:7000", "localhost:7000", "LOCALHOST:7000", "[::1]:7000", "srvd.test:80", "Srvd.Test:80"]
    {
        check(TCP, &[("host", good)], 101);
    }
    for bad in [
        "evil.com:7000",
        "localhost.evil.com:7000",
        "127.0.0.1",
        "127.0.0.1:7001",
        "127.evil.com:7000",
        "0.0.0.0:7000",
        "srvd.sock",
    ] {
        check(TCP, &[("host", bad)], 403);
    }
    check(TCP, &[("host", "")], 400);
    check(TCP, &[("+host", "127.0.0.1:7000")], 400);
    check(SOCKET, &[("host", "srvd.sock"), ("authorization", "")], 101);
    check(SOCKET, &[("host", "Localhost"), ("authorization", "")], 101);
    check(SOCKET, &[("host", "evil.com")], 403);
}

#[test]
fn access_check_rejects_unknown_origins() {
    check(TCP, &[("origin", "app://srvd")], 101);
    check(TCP, &[("origin", "vscode-webview://1f2e-3d")], 101);
    for bad in [
        "vscode-webview://",
        "vscode-webview://a/b",
        "vscode-webview://a:1",
        "vscode-webviews://a",
        "vscode-webview://*",
    ] {
        check(TCP, &[("origin", bad)], 403);
    }
    for bad in
        ["https://evil.com", "null", "app://srvd.evil", "https://app.evil.com", "APP://SRVD", "app://srvd/"]
    {
        check(TCP, &[("origin", bad)], 403);
    }
    check(TCP, &[("origin", "app://srvd"), ("+origin", "app://srvd")], 403);
    check(SOCKET, &[("host", "srvd.sock"), ("origin", "app://srvd")], 403);
    check(SOCKET, &[("host", "srvd.sock"), ("referer", "http://localhost/")], 403);
}

#[test]
fn access_check_rejects_missing_and_wrong_tokens() {
    for bad in
        ["", "Bearer", "Bearer ", "Bearer token-123", "Bearer token-12345", "Basic token-1234", "token-1234"]
    {
        check(TCP, &[("authorization", bad)], 401);
    }
    check(TCP, &[("authorization", "bearer token-1234")], 101);
    check(TCP, &[("authorization", ""), ("sec-websocket-protocol", "srvd.v1, srvd.bearer.nope")], 401);
    check(TCP, &[("+authorization", "Bearer token-1234")], 401);
    // The Host is checked first, so strangers do not learn whether the token was right.
    check(TCP, &[("host", "evil.com"), ("authorization", "")], 403);
}

#[test]
fn client_token_is_bound_to_its_origin_unless_the_origin_is_configured() {
    let page = Some("http://localhost:3000");
    let known = Known::default().with("page-1", "login", page).with("tool-1", "login", None);
    let access = access_with(known);
    let status = |token: &str, origin: &str| {
        let bearer = format!("Bearer {token}");
        let head = head("GET", "/rpc", &[("authorization", &bearer), ("origin", origin)]);
        access.check(TCP, &head).map_or_else(|refusal| refusal.status.as_u16(), |_| 101)
    };
    assert_eq!(status("page-1", "http://localhost:3000"), 101);
    assert_eq!(status("page-1", "app://srvd"), 101);
    assert_eq!(status("tool-1", "app://srvd"), 101);
    for (token, origin) in [
        // The paired origin opens nothing for another token, not even for the daemon's own.
        ("tool-1", "http://localhost:3000"),
        ("token-1234", "http://localhost:3000"),
        ("page-1", "http://localhost:3001"),
        ("page-1", "https://evil.com"),
        ("page-1", "null"),
    ] {
        assert_eq!(status(token, origin), 403, "{token} from {origin}");
    }
    assert_eq!(status("wrong", "http://localhost:3000"), 401);
    let plain = |token: &str| access.check(TCP, &head("GET", "/rpc", &[("authorization", token)])).is_ok();
    assert!(plain("Bearer page-1") && plain("Bearer tool-1") && !plain("Bearer tool-2"));
    // A client's token counts neither on the socket nor with a foreign Host.
    assert!(
        access.client(SOCKET, &head("GET", "/rpc", &[("authorization", "Bearer page-1")]).headers).is_none()
    );
    let rebound = head("GET", "/rpc", &[("authorization", "Bearer page-1"), ("host", "evil.com:7000")]);
    assert_eq!(access.check(TCP, &rebound).unwrap_err().status, 403);
}

#[test]
fn preflight_is_answered_only_for_allowed_origins_and_served_paths() {
    let asked = |path: &str, origin: &str, host: &str| {
        let changes = [
            ("origin", origin),
            ("host", host),
            ("authorization", ""),
            ("access-control-request-method", "POST"),
        ];
        access().check(TCP, &head("OPTIONS", path, &changes)).map_err(|refusal| refusal.status.as_u16())
    };
    let here = "127.0.0.1:7000";
    for path in ["/rpc", "/openrpc.json", "/pair", "/me"] {
        assert_eq!(asked(path, "app://srvd", here), Ok(Route::Preflight), "{path}");
    }
    assert_eq!(asked("/metrics", "app://srvd", here), Err(405));
    assert_eq!(asked("/rpc", "", here), Err(405));
    assert_eq!(asked("/rpc", "https://evil.com", here), Err(403));
    assert_eq!(asked("/rpc", "app://srvd", "evil.com:7000"), Err(403));
    let readable = |origin: &str| {
        let headers = head("GET", "/rpc", &[("origin", origin)]).headers;
        access().readable_by(TCP, &headers).map(|origin| origin.to_str().unwrap().to_owned())
    };
    assert_eq!(readable("app://srvd").as_deref(), Some("app://srvd"));
    assert_eq!(readable("https://evil.com"), None);
    assert_eq!(readable(""), None);
}

#[test]
fn pairing_needs_no_token_but_the_host_the_origin_and_json() {
    let asked = |changes: &[(&str, &str)]| {
        let all = [&[("authorization", ""), ("content-type", "application/json")], changes].concat();
        access().check(TCP, &head("POST", "/pair", &all)).map_err(|refusal| refusal.status.as_u16())
    };
    assert_eq!(asked(&[]), Ok(Route::Pair));
    assert_eq!(asked(&[("origin", "app://srvd")]), Ok(Route::Pair));
    assert_eq!(asked(&[("origin", "https://evil.com")]), Err(403));
    assert_eq!(asked(&[("host", "evil.com:7000")]), Err(403));
    let text = head("POST", "/pair", &[("content-type", "text/plain")]);
    assert_eq!(access().check(TCP, &text).unwrap_err().status.as_u16(), 415);
    assert_eq!(access().check(TCP, &head("GET", "/pair", &[])).unwrap_err().status.as_u16(), 405);
    let json = head("POST", "/pair", &[("host", "srvd.sock"), ("content-type", "application/json")]);
    assert_eq!(access().check(SOCKET, &json).unwrap_err().status.as_u16(), 404);
}

#[test]
fn access_check_limits_the_rate_of_wrong_tokens_only() {
    let access = access();
    let wrong = head("GET", "/rpc", &[("authorization", "Bearer no")]);
    let statuses: Vec<u16> =
        (0..12).map(|_| access.check(TCP, &wrong).unwrap_err().status.as_u16()).collect();
    assert_eq!(statuses, [401, 401, 401, 401, 401, 401, 401, 401, 401, 401, 429, 429]);
    assert!(access.check(TCP, &head("GET", "/rpc", &[])).is_ok());
}

#[test]
fn access_check_routes_by_path_method_and_websocket_version() {
    let status = |method: &str, path: &str, changes: &[(&str, &str)]| {
        access().check(TCP, &head(method, path, changes)).map_err(|refusal| refusal.status.as_u16())
    };
    let anonymous = &[("authorization", "")];
    assert_eq!(status("GET", "/healthz", anonymous), Ok(Route::Health));
    assert_eq!(status("GET", "/readyz", anonymous), Ok(Route::Ready));
    assert_eq!(status("GET", "/openrpc.json", &[]), Ok(Route::OpenRpc));
    assert_eq!(status("GET", "/openrpc.json", anonymous), Err(401));
    assert_eq!(
        status("POST", "/rpc", &[("content-type", "application/json; charset=utf-8")]),
        Ok(Route::Post)
    );
    assert_eq!(status("POST", "/rpc", &[("content-type", "text/plain")]), Err(415));
    assert_eq!(status("PUT", "/rpc", &[]), Err(405));
    for (path, route) in [("/healthz", Route::Health), ("/readyz?verbose=1", Route::Ready)] {
        assert_eq!(status("GET", path, anonymous), Ok(route.clone()));
        assert_eq!(status("HEAD", path, anonymous), Ok(route));
        assert_eq!(status("POST", path, &[]), Err(405));
        assert_eq!(status("GET", path, &[("host", "evil.com")]), Err(403));
        assert_eq!(status("GET", path, &[("host", "")]), Err(400));
    }
    assert_eq!(status("GET", "/metrics", &[]), Ok(Route::Metrics));
    assert_eq!(status("GET", "/metrics", anonymous), Err(401));
    assert_eq!(status("POST", "/metrics", &[]), Err(405));
    assert_eq!(status("HEAD", "/openrpc.json", &[]), Err(405));
    assert_eq!(status("GET", "/", &[]), Err(404));
    assert_eq!(status("GET", "/rpc?token=token-1234", anonymous), Err(400));
    assert_eq!(status("GET", "/rpc", &[("upgrade", "")]), Err(426));
    assert_eq!(status("GET", "/rpc", &[("connection", "close")]), Err(426));
    assert_eq!(status("GET", "/rpc", &[("sec-websocket-version", "8")]), Err(426));
    assert_eq!(status("GET", "/rpc", &[("sec-websocket-key", "c2hvcnQ=")]), Err(400));
}

#[test]
fn access_check_accepts_old_http_only_for_health() {
    let old = |method: &str, path: &str, changes: &[(&str, &str)]| {
        let mut head = head(method, path, changes);
        head.version = Version::HTTP_10;
        access().check(TCP, &head).map_err(|refusal| refusal.status.as_u16())
    };
    assert_eq!(old("GET", "/healthz", &[("host", "")]), Ok(Route::Health));
    assert_eq!(old("HEAD", "/readyz", &[("host", "127.0.0.1:7000")]), Ok(Route::Ready));
    assert_eq!(old("GET", "/healthz", &[("host", "evil.com")]), Err(403));
    assert_eq!(old("GET", "/healthz", &[("host", ""), ("origin", "https://evil.com")]), Err(403));
    assert_eq!(old("GET", "/openrpc.json", &[]), Err(505));
    assert_eq!(old("GET", "/metrics", &[]), Err(505));
}

#[test]
fn access_check_accepts_a_callback_only_from_a_navigation_to_a_loopback_address() {
    let callback = |method: &str, transport: Transport, changes: &[(&str, &str)]| {
        let changes = [&[("authorization", "")], changes].concat();
        let head = head(method, "/oauth/callback?code=c&state=s", &changes);
        access().check(transport, &head).map_err(|refusal| refusal.status.as_u16())
    };
    assert_eq!(callback("GET", TCP, &[]), Ok(Route::Callback));
    assert_eq!(callback("GET", TCP, &[("host", "[::1]:7000")]), Ok(Route::Callback));
    assert_eq!(callback("GET", TCP, &[("sec-fetch-dest", "document")]), Ok(Route::Callback));
    assert_eq!(callback("GET", TCP, &[("sec-fetch-dest", "image")]), Err(403));
    assert_eq!(callback("GET", TCP, &[("sec-fetch-dest", "iframe")]), Err(403));
    assert_eq!(callback("GET", TCP, &[("host", "srvd.test:80")]), Err(403));
    assert_eq!(callback("GET", TCP, &[("host", "evil.com:7000")]), Err(403));
    assert_eq!(callback("GET", TCP, &[("origin", "https://evil.com")]), Err(403));
    assert_eq!(callback("POST", TCP, &[]), Err(405));
    assert_eq!(callback("GET", SOCKET, &[("host", "srvd.sock")]), Err(404));
}

const COOKIE: (&str, &str) = ("cookie", "srvd_session=0123456789012345678901234567890123456789012");
const ANONYMOUS: (&str, &str) = ("authorization", "");
const OWN: (&str, &str) = ("sec-fetch-site", "none");

#[test]
fn operator_paths_accept_a_token_or_a_session_and_reject_other_sites() {
    let login = |caller| Ok(Route::Login { forge: "git-hub_2".into(), caller });
    let check = |path: &str, transport: Transport, changes: &[(&str, &str)], expect: Result<Route, u16>| {
        let got =
            access().check(transport, &head("GET", path, changes)).map_err(|refusal| refusal.status.as_u16());
        assert_eq!(got, expect, "{path} {transport:?} {changes:?}");
    };
    let socket = ("host", "srvd.sock");
    for (path, trusted, browser) in [
        ("/me", Ok(Route::Me(Caller::Trusted)), Ok(Route::Me(Caller::Browser))),
        ("/login/git-hub_2", login(Caller::Trusted), login(Caller::Browser)),
    ] {
        check(path, TCP, &[], trusted.clone());
        check(path, TCP, &[("host", "srvd.test:80")], trusted.clone());
        check(path, SOCKET, &[socket, ANONYMOUS], trusted);
        check(path, TCP, &[ANONYMOUS, COOKIE, OWN], browser.clone());
        check(path, TCP, &[ANONYMOUS, COOKIE, ("sec-fetch-site", "same-origin")], browser);
        check(path, TCP, &[ANONYMOUS], Err(401));
        check(path, TCP, &[ANONYMOUS, ("cookie", "srvd_session=short"), OWN], Err(401));
        // A cookie does not compensate for a wrong token.
        check(path, TCP, &[("authorization", "Bearer no"), COOKIE, OWN], Err(401));
        for site in ["cross-site", "same-site", "odd"] {
            check(path, TCP, &[ANONYMOUS, COOKIE, ("sec-fetch-site", site)], Err(403));
            check(path, TCP, &[("sec-fetch-site", site)], Err(403));
        }
        check(path, TCP, &[ANONYMOUS, COOKIE, OWN, ("origin", "https://evil.com")], Err(403));
        check(path, TCP, &[ANONYMOUS, COOKIE, OWN, ("host", "srvd.test:80")], Err(403));
        check(path, TCP, &[ANONYMOUS, COOKIE, OWN, ("host", "evil.com:7000")], Err(403));
        check(&format!("{path}?next=x"), TCP, &[], Err(400));
    }
    check("/me", TCP, &[ANONYMOUS, COOKIE], Ok(Route::Me(Caller::Browser)));
    check("/login/git-hub_2", TCP, &[ANONYMOUS, COOKIE], Err(403));
    // A page with a configured origin may ask for the active account, but it cannot start a sign-in.
    let page = [("origin", "app://srvd"), ("sec-fetch-site", "cross-site")];
    check("/me", TCP, &page, Ok(Route::Me(Caller::Trusted)));
    check("/login/git-hub_2", TCP, &page, Err(403));
    check("/login/git-hub_2", TCP, &[ANONYMOUS, COOKIE, OWN, ("sec-fetch-dest", "iframe")], Err(403));
    check(
        "/login/git-hub_2",
        TCP,
        &[ANONYMOUS, COOKIE, OWN, ("sec-fetch-dest", "document")],
        login(Caller::Browser),
    );
    for path in ["/login/", "/login", "/login/a/b", "/login/GitHub", "/login/%2e", "/me/"] {
        check(path, TCP, &[], Err(404));
    }
    let posted = access().check(TCP, &head("POST", "/me", &[])).map_err(|refusal| refusal.status.as_u16());
    assert_eq!(posted, Err(405));
}
