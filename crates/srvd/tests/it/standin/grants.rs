//! Grants that a person gave in the browser and that the CLI has not redeemed.

use oauth2::{PkceCodeChallenge, PkceCodeVerifier};
use url::Url;

use super::{Call, State};

/// The pages where a person allows a login: host and path.
const PAGES: [(&str, &str); 8] = [
    ("accounts.google.com", "/o/oauth2/v2/auth"),
    ("auth.augmentcode.com", "/authorize"),
    ("auth.openai.com", "/oauth/authorize"),
    ("auth.x.ai", "/oauth2/authorize"),
    ("claude.ai", "/oauth/authorize"),
    ("claude.com", "/cai/oauth/authorize"),
    ("github.com", "/login/oauth/authorize"),
    ("platform.claude.com", "/oauth/authorize"),
];
/// Anthropic's scopes. An account that pays by use may create keys, one with a subscription may use the models.
const CONSOLE: &str = "org:create_api_key user:profile";
const SUBSCRIPTION: &str = "user:inference user:profile user:sessions:claude_code";
/// The tenant of the person at Augment, which tells the CLI its address with the code.
pub(super) const TENANT: &str = "https://e1.api.augmentcode.com/";
/// The lengths that a PKCE verifier may have (RFC 7636).
const VERIFIER: std::ops::RangeInclusive<usize> = 43..=128;

/// The conditions of a one-time code.
pub(super) struct Grant {
    pub(super) challenge: String,
    /// The redirect address; `None` for a device login, which has none.
    pub(super) redirect: Option<String>,
    pub(super) client: Option<String>,
    /// The scopes of the tokens, for CLIs that depend on them.
    pub(super) scope: Option<&'static str>,
    /// The number that the identity token has to repeat.
    pub(super) nonce: Option<String>,
}

/// Allows the login of this page, and returns the address to which the vendor sends the browser.
pub(super) fn consent(state: &mut State, page: &Url) -> Url {
    let place = (page.host_str().unwrap_or_default(), page.path());
    assert!(page.scheme() == "https" && PAGES.contains(&place), "no vendor's page: {page}");
    let given =
        |name: &str| page.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
    let parameter = |name: &str| given(name).unwrap_or_else(|| panic!("no {name} in {page}"));
    // The request to GitHub's page has no type, because GitHub knows no other.
    assert_eq!(given("response_type").as_deref().unwrap_or("code"), "code", "{page}");
    // Augment's page takes no other method and is not told one.
    assert_eq!(given("code_challenge_method").as_deref().unwrap_or("S256"), "S256");
    let code = format!("planted-code-{}", state.next());
    let grant = Grant {
        challenge: parameter("code_challenge"),
        redirect: Some(parameter("redirect_uri")),
        client: Some(parameter("client_id")),
        scope: Some(if place.0 == "platform.claude.com" { CONSOLE } else { SUBSCRIPTION }),
        nonce: given("nonce"),
    };
    let mut target = Url::parse(&parameter("redirect_uri")).unwrap();
    target.query_pairs_mut().append_pair("code", &code).append_pair("state", &parameter("state"));
    if place.0 == "auth.augmentcode.com" {
        target.query_pairs_mut().append_pair("tenant_url", TENANT);
    }
    state.grants.insert(code, grant);
    target
}

/// Returns the grant of a token request that presents a code for the first time and on its conditions.
pub(super) fn redeem(state: &mut State, call: &Call) -> Option<Grant> {
    let grant = state.grants.remove(&call.field("code"))?;
    let verifier = call.field("code_verifier");
    let proven = VERIFIER.contains(&verifier.len())
        && PkceCodeChallenge::from_code_verifier_sha256(&PkceCodeVerifier::new(verifier)).as_str()
            == grant.challenge;
    let same = |condition: &Option<String>, name: &str| {
        condition.as_ref().is_none_or(|expected| *expected == call.field(name))
    };
    (proven && same(&grant.redirect, "redirect_uri") && same(&grant.client, "client_id")).then_some(grant)
}
