use hyper::header::HeaderValue;

use super::*;

const LIFETIME: i64 = LIFETIME_S * 1000;

fn secret(text: &str) -> SecretString {
    SecretString::from(text)
}

#[test]
fn session_ends_when_renewed_or_expired_or_over_the_limit() {
    let mut live = Live::default();
    live.renew(None, secret("a"), 0);
    assert!(live.knows(&secret("a"), LIFETIME - 1));
    assert!(!live.knows(&secret("a"), LIFETIME));
    assert!(!live.knows(&secret("b"), 0));
    live.renew(None, secret("b"), 1);
    // An unknown previous secret made up by the client neither ends a session nor becomes one.
    live.renew(Some(&secret("made-up")), secret("c"), 2);
    assert_eq!(["a", "b", "c", "made-up"].map(|one| live.knows(&secret(one), 2)), [true, true, true, false]);
    live.renew(Some(&secret("a")), secret("d"), 3);
    assert_eq!(["a", "b", "c", "d"].map(|one| live.knows(&secret(one), 3)), [false, true, true, true]);
    for number in 0..MOST - 1 {
        live.renew(None, secret(&number.to_string()), 4);
    }
    assert_eq!((live.0.len(), live.knows(&secret("c"), 4), live.knows(&secret("d"), 4)), (MOST, false, true));
    live.renew(None, secret("late"), 4 + LIFETIME);
    assert_eq!(live.0.len(), 1);
}

#[test]
fn session_cookie_is_accepted_when_single_and_well_formed() {
    let good = "A-_".to_owned() + &"a".repeat(40);
    let check = |cookies: &[String], expect: Option<&str>| {
        let mut headers = HeaderMap::new();
        for cookie in cookies {
            headers.append(COOKIE, HeaderValue::from_str(cookie).unwrap());
        }
        let found = presented(&headers);
        assert_eq!(found.as_ref().map(secrecy::ExposeSecret::expose_secret), expect, "{cookies:?}");
    };
    check(&[], None);
    check(&[format!("srvd_session={good}")], Some(&good));
    check(&[format!("a=b; srvd_session={good}; c=d")], Some(&good));
    check(&["a=b".into(), format!("srvd_session={good}")], Some(&good));
    check(&[format!("srvd_session={good}; srvd_session={good}")], None);
    check(&[format!("srvd_session={good}"), format!("srvd_session={good}")], None);
    check(&[format!("srvd_session={good}a")], None);
    check(&[format!("srvd_session={}", good.replace('-', "."))], None);
    check(&["srvd_session=".into()], None);
    check(&[format!("SRVD_SESSION={good}")], None);
}

#[test]
fn session_secret_is_random_and_its_cookie_is_http_only_and_same_site() {
    let sessions = BrowserSessions::new(Redactor::default());
    let [one, two] = [(); 2].map(|()| sessions.renew(None, 0).unwrap());
    assert_ne!(one.expose_secret(), two.expose_secret());
    assert_eq!(one.expose_secret().len(), LENGTH);
    assert_eq!(set_cookie(&secret("s")), "srvd_session=s; Path=/; Max-Age=43200; HttpOnly; SameSite=Lax");
}
