use secrecy::ExposeSecret as _;

use super::*;

const S: &str = "abcdefghijklmnopqrstuvwxyz0123456789-_ABCDE";

#[test]
fn callback_requires_exactly_one_state_and_one_answer() {
    let check = |query: &str, expect: Option<Result<&str, (&str, &str)>>| {
        let query = query.replace("{s}", S);
        let got = CallbackQuery::parse(&query);
        assert!(got.as_ref().is_none_or(|query_values| query_values.state.expose_secret() == S), "{query}");
        let answer = got.map(|query_values| query_values.answer.map(|code| code.expose_secret().to_owned()));
        let expect = expect.map(|answer| {
            answer.map(str::to_owned).map_err(|(code, text)| (code.to_owned(), text.to_owned()))
        });
        assert_eq!(answer, expect, "{query}");
    };
    check("code=c1&state={s}", Some(Ok("c1")));
    check("state={s}&code=a%2Fb%3D%3D&scope=x&session_state=y", Some(Ok("a/b==")));
    check("state={s}&error=access_denied", Some(Err(("access_denied", ""))));
    check("state={s}&error=access_denied&error_description=No+way", Some(Err(("access_denied", "No way"))));
    check("", None);
    check("code=c1", None);
    check("state={s}", None);
    check("state=&code=c1", None);
    check("state={s}x&code=c1", None);
    check("state={s}&state={s}&code=c1", None);
    check("state={s}&code=c1&code=c2", None);
    check("state={s}&code=c1&error=access_denied", None);
    check("state={s}&code=", None);
    check("state={s}&code=a%0Ab", None);
    check("state={s}&code=a%20b", None);
    check(&format!("state={{s}}&code={}", "x".repeat(2049)), None);
    let spaced = S.replace('a', "%20");
    check(&format!("state={spaced}&code=c1"), None);
}

#[test]
fn callback_parses_the_issuer_and_hides_secrets_in_debug_output() {
    let query = format!("state={S}&code=planted-code&iss=https%3A%2F%2Fgit.example.org");
    let query_values = CallbackQuery::parse(&query).unwrap();
    assert_eq!(query_values.issuer.as_deref(), Some("https://git.example.org"));
    let shown = format!("{query_values:?}");
    assert!(!shown.contains(S) && !shown.contains("planted"), "{shown}");
}
