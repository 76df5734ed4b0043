use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::ExposeSecret;
use serde_json::json;

use super::*;

/// The receipt: some second of 2026.
const NOW: i64 = 1_790_000_000_000;
const HOUR: i64 = 3_600_000;

fn granted(body: &Value) -> Granted {
    Granted::of(serde_json::from_value(body.clone()).unwrap(), NOW).unwrap()
}

fn jwt(claims: &Value) -> String {
    format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims.to_string()))
}

fn issuer(ms: i64) -> Expiry {
    Expiry { at: Some(NOW + ms), source: ExpirySource::Issuer }
}

const ASSUMED: Expiry = Expiry { at: Some(NOW + HOUR), source: ExpirySource::Assumed };

/// Cases 43, 57, 63 and 80.
#[test]
fn the_access_tokens_expiry_is_the_issuers_or_says_that_it_is_not() {
    let check = |expires_in: Value, refresh: bool, expect: Expiry| {
        let mut body = json!({"access_token": "a", "expires_in": expires_in});
        if refresh {
            body["refresh_token"] = "r".into();
        }
        assert_eq!(granted(&body).access_expiry, expect, "{body}");
    };
    check(json!(7200), true, issuer(2 * HOUR));
    check(json!(7200), false, issuer(2 * HOUR));
    check(json!("7200"), true, issuer(2 * HOUR));
    check(json!(7200.0), true, issuer(2 * HOUR));
    check(json!(28800), false, issuer(8 * HOUR));
    for odd in [
        json!(0),
        json!(-1),
        json!(1e300),
        json!(0.5),
        json!(""),
        json!("soon"),
        json!("NaN"),
        json!({}),
        json!(u64::MAX),
    ] {
        check(odd.clone(), true, ASSUMED);
        check(odd, false, ASSUMED);
    }
    check(Value::Null, true, ASSUMED);
    // GitHub's OAuth apps: nothing is said, nothing renews it, and it lasts.
    check(Value::Null, false, Expiry::NEVER);
    assert_eq!(granted(&json!({"access_token": "a"})).access_expiry, Expiry::NEVER);
    let own = jwt(&json!({"exp": NOW / 1000 + 1800}));
    let by_jwt = Expiry { at: Some(NOW + HOUR / 2), source: ExpirySource::Jwt };
    assert_eq!(granted(&json!({"access_token": own, "refresh_token": "r"})).access_expiry, by_jwt);
    assert_eq!(granted(&json!({"access_token": own, "expires_in": 60})).access_expiry, issuer(60_000));
}

/// Cases 42 to 45.
#[test]
fn the_id_token_has_an_expiry_of_its_own() {
    let check = |token: &str, expires_in: Value, expect: Expiry| {
        let body =
            json!({"access_token": "a", "refresh_token": "r", "id_token": token, "expires_in": expires_in});
        assert_eq!(granted(&body).id_expiry, expect, "{body}");
    };
    let exp = |seconds: i64| jwt(&json!({"exp": NOW / 1000 + seconds}));
    let day = json!(86_400);
    check(&exp(45 * 60), day.clone(), Expiry { at: Some(NOW + 45 * 60_000), source: ExpirySource::Jwt });
    check("not a jwt", day.clone(), issuer(24 * HOUR));
    check("a.%%%.c", day.clone(), issuer(24 * HOUR));
    check(&jwt(&json!({"exp": "soon"})), day.clone(), issuer(24 * HOUR));
    check(&exp(-5), day.clone(), issuer(24 * HOUR));
    check(&exp(30), day.clone(), issuer(24 * HOUR));
    check(&exp(8 * 86_400), day.clone(), issuer(24 * HOUR));
    check(&jwt(&json!({"exp": i64::MAX})), day, issuer(24 * HOUR));
    check(&exp(-5), json!(-1), ASSUMED);
}

#[test]
fn refresh_tokens_and_scopes_are_taken_as_they_are_named() {
    let check = |body: Value, refresh: Option<&str>, expiry: Expiry, scopes: Option<&[&str]>| {
        let mut whole = json!({"access_token": "a"});
        whole.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
        let got = granted(&whole);
        assert_eq!(got.refresh.as_ref().map(ExposeSecret::expose_secret), refresh, "{whole}");
        assert_eq!(got.refresh_expiry, expiry, "{whole}");
        let expect = scopes.map(|list| list.iter().map(|scope| (*scope).to_owned()).collect());
        assert_eq!(got.scopes, expect, "{whole}");
    };
    let half_year = issuer(15_811_200_000);
    check(json!({"refresh_token": "r", "refresh_token_expires_in": 15_811_200}), Some("r"), half_year, None);
    check(json!({"refresh_token": "r", "refresh_expires_in": "15811200"}), Some("r"), half_year, None);
    check(json!({"refresh_token": "r", "refresh_token_expires_in": 0}), Some("r"), Expiry::NEVER, None);
    check(json!({"refresh_token_expires_in": 60}), None, Expiry::NEVER, None);
    check(json!({"refresh_token": ""}), None, Expiry::NEVER, None);
    check(json!({"scope": "repo,read:user"}), None, Expiry::NEVER, Some(&["repo", "read:user"]));
    check(json!({"scope": "api read_user"}), None, Expiry::NEVER, Some(&["api", "read_user"]));
    check(json!({"scope": ["api", "read_user"]}), None, Expiry::NEVER, Some(&["api", "read_user"]));
    check(json!({"scope": ""}), None, Expiry::NEVER, Some(&[]));
    check(json!({"scope": 7}), None, Expiry::NEVER, None);
}

#[test]
fn an_answer_without_an_access_token_is_none_and_nothing_is_shown() {
    let answer = |body: Value| serde_json::from_value::<Answer>(body);
    assert!(answer(json!({"refresh_token": "r"})).is_err());
    assert!(Granted::of(answer(json!({"access_token": ""})).unwrap(), NOW).is_none());
    let planted = json!({"access_token": "planted-a", "refresh_token": "planted-r", "id_token": "planted-i"});
    let shown = format!("{:?} {:?}", answer(planted.clone()).unwrap(), granted(&planted));
    assert!(!shown.contains("planted"), "{shown}");
}
