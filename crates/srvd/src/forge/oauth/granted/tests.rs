use secrecy::ExposeSecret;
use serde_json::json;

use super::*;

/// The time of receipt: a second in 2026.
const NOW: i64 = 1_790_000_000_000;

/// Returns the grant from a response that contains these fields in addition to its access token.
fn granted(more: &Value) -> Granted {
    let mut body = json!({"access_token": "a"});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Granted::of(serde_json::from_value(body).unwrap(), NOW).unwrap()
}

/// The lifetime passed to the store is valid, absent, or zero for an unusable value.
#[test]
fn lifetime_is_zero_when_the_value_is_unusable() {
    let check = |value: Value, expect: Option<i64>| {
        assert_eq!(granted(&json!({"expires_in": value})).expires_in, expect, "{value}");
        assert_eq!(
            granted(&json!({"refresh_token_expires_in": value})).refresh_expires_in,
            expect,
            "{value}"
        );
        assert_eq!(granted(&json!({"refresh_expires_in": value})).refresh_expires_in, expect, "{value}");
    };
    check(json!(7200), Some(7200));
    check(json!("7200"), Some(7200));
    check(json!(7200.0), Some(7200));
    check(Value::Null, None);
    for odd in
        [json!(0), json!(-1), json!(1e300), json!(0.5), json!(""), json!("soon"), json!("NaN"), json!({})]
    {
        check(odd, Some(0));
    }
    check(json!(u64::MAX), Some(0));
    let bare = granted(&json!({}));
    assert_eq!((bare.expires_in, bare.refresh_expires_in, bare.received_at), (None, None, NOW));
}

#[test]
fn grant_reads_optional_tokens_and_scopes() {
    let check = |more: Value, expect: (Option<&str>, Option<&str>, Option<&str>)| {
        let got = granted(&more);
        let text =
            |token: &Option<SecretString>| token.as_ref().map(|token| token.expose_secret().to_owned());
        let owned = |text: Option<&str>| text.map(str::to_owned);
        assert_eq!(text(&got.refresh), owned(expect.0), "{more}");
        assert_eq!(text(&got.id_token), owned(expect.1), "{more}");
        assert_eq!(got.scopes, owned(expect.2), "{more}");
    };
    check(json!({}), (None, None, None));
    check(json!({"refresh_token": "r", "id_token": "i"}), (Some("r"), Some("i"), None));
    check(json!({"refresh_token": "", "id_token": ""}), (None, None, None));
    check(json!({"refresh_token": null, "id_token": null, "scope": null}), (None, None, None));
    check(json!({"scope": "repo,read:user"}), (None, None, Some("repo read:user")));
    check(json!({"scope": "api  read_user"}), (None, None, Some("api read_user")));
    check(json!({"scope": ["api", "read_user"]}), (None, None, Some("api read_user")));
    check(json!({"scope": ""}), (None, None, Some("")));
    check(json!({"scope": 7}), (None, None, None));
}

#[test]
fn grant_requires_an_access_token_and_hides_tokens_in_debug_output() {
    let answer = |body: Value| serde_json::from_value::<TokenAnswer>(body);
    assert!(answer(json!({"refresh_token": "r"})).is_err());
    assert!(Granted::of(answer(json!({"access_token": ""})).unwrap(), NOW).is_none());
    let planted = json!({"access_token": "planted-a", "refresh_token": "planted-r", "id_token": "planted-i"});
    let shown = format!("{:?} {:?}", answer(planted.clone()).unwrap(), granted(&planted));
    assert!(!shown.contains("planted"), "{shown}");
}
