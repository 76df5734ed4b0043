//! A client at one issuer: its requests, and the parsing of the responses.
//!
//! The `oauth2` crate builds the requests (authorization URL, PKCE, code, refresh, RFC 8628) and drives the polling.
//! `tidy` corrects each response before the crate reads it, because the crate would reject what forges actually send.
//! The response type is our own, so that an unusual `expires_in` costs only the expiry and not the login.

use std::borrow::Cow;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::header::{CONTENT_TYPE, HeaderValue};
use oauth2::basic::{BasicErrorResponse, BasicRevocationErrorResponse, BasicTokenIntrospectionResponse};
use oauth2::{
    AsyncHttpClient, AuthType, AuthUrl, AuthorizationCode, Client, ClientId, ClientSecret,
    ConfigurationError, CsrfToken, DeviceAuthorizationUrl, EndpointMaybeSet, EndpointNotSet, EndpointSet,
    ErrorResponseType, HttpRequest, HttpResponse, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl,
    RefreshToken, RequestTokenError, Scope, StandardDeviceAuthorizationResponse, StandardErrorResponse,
    StandardRevocableToken, TokenUrl,
};
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use super::failure::{Failure, Misconfigured, classify};
use super::granted::{Granted, TokenAnswer};
use super::http::{Http, HttpFailure};
use super::tidy::{self, Tidy, tidy};
use crate::config::forges::{ClientAuth, is_loopback_host};

/// The number of random bytes in a `state`.
const STATE_BYTES: u32 = 32;
/// The maximum time that a device login may wait for its user, even if the issuer allows more.
const DEVICE_LIFETIME: Duration = Duration::from_hours(1);
/// The longest pause between two polls.
const LONGEST_INTERVAL: Duration = Duration::from_mins(5);
/// The maximum length of a user code that is shown, in bytes.
const USER_CODE: usize = 64;

/// The configuration of a client at an issuer.
pub(crate) struct IssuerConfig {
    /// The authorization endpoint, to which the browser is sent.
    pub authorize: String,
    /// The token endpoint, where codes and refresh tokens are exchanged.
    pub token: String,
    /// The device authorization endpoint; `None` if the issuer has none.
    pub device: Option<String>,
    /// The client id.
    pub client_id: String,
    /// The client secret; `None` for a public client.
    pub secret: Option<SecretString>,
    /// The authentication method of the client.
    pub client_auth: ClientAuth,
    /// The scopes that a login requests.
    pub scopes: Vec<String>,
    /// True if request bodies are JSON. The standard requires forms.
    pub json: bool,
    /// True if plain HTTP to another machine is allowed.
    pub allow_http: bool,
    /// The wall clock in Unix milliseconds, read when a response has arrived.
    pub clock: fn() -> i64,
}

/// A client at an issuer.
pub(crate) struct Issuer {
    client: OAuthClient,
    scopes: Vec<Scope>,
    json: bool,
    allow_http: bool,
    clock: fn() -> i64,
    http: Http,
}

type OAuthClient = Client<
    BasicErrorResponse,
    TokenAnswer,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
    EndpointSet,
    EndpointMaybeSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointSet,
>;

/// The start of a browser login. The three values belong together and are used once.
pub(crate) struct CodeRequest {
    /// The URL for the browser to open.
    pub url: Url,
    /// The `state` that the browser must return: 32 random bytes in base64url.
    pub state: SecretString,
    /// The PKCE verifier. During the exchange, it proves that this daemon started the login.
    pub verifier: SecretString,
}

/// The start of a device login.
pub(crate) struct Device(StandardDeviceAuthorizationResponse);

impl Device {
    /// The code for the user to enter: printable, at most 64 characters.
    pub(crate) fn user_code(&self) -> &str {
        self.0.user_code().secret()
    }

    /// The page at which the user enters the code.
    pub(crate) fn verification_url(&self) -> &str {
        self.0.verification_uri()
    }

    /// The time that the user has, at most one hour.
    pub(crate) fn lifetime(&self) -> Duration {
        self.0.expires_in().min(DEVICE_LIFETIME)
    }
}

impl Issuer {
    /// Creates a client. No request is sent.
    ///
    /// # Errors
    /// An endpoint that is not a valid URL.
    pub(crate) fn new(config: IssuerConfig, http: Http) -> Result<Self, url::ParseError> {
        let auth_type = match config.client_auth {
            ClientAuth::Body => AuthType::RequestBody,
            ClientAuth::Basic => AuthType::BasicAuth,
        };
        let mut client = Client::new(ClientId::new(config.client_id))
            .set_auth_uri(AuthUrl::new(config.authorize)?)
            .set_token_uri(TokenUrl::new(config.token)?)
            .set_device_authorization_url_option(config.device.map(DeviceAuthorizationUrl::new).transpose()?)
            .set_auth_type(auth_type);
        if let Some(secret) = config.secret {
            client = client.set_client_secret(ClientSecret::new(secret.expose_secret().to_owned()));
        }
        Ok(Self {
            client,
            scopes: config.scopes.into_iter().map(Scope::new).collect(),
            json: config.json,
            allow_http: config.allow_http,
            clock: config.clock,
            http,
        })
    }

    /// Starts a browser login that redirects the browser back to `redirect`.
    pub(crate) fn begin(&self, redirect: &Url) -> CodeRequest {
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let (url, state) = self
            .client
            .authorize_url(|| CsrfToken::new_random_len(STATE_BYTES))
            .add_scopes(self.scopes.iter().cloned())
            .set_pkce_challenge(challenge)
            .set_redirect_uri(Cow::Owned(RedirectUrl::from_url(redirect.clone())))
            .url();
        CodeRequest { url, state: state.into_secret().into(), verifier: verifier.into_secret().into() }
    }

    /// Exchanges the code of a login that was started with this verifier and exactly this `redirect`.
    ///
    /// # Errors
    /// A [`Failure`]. The code is used up in any case.
    pub(crate) async fn redeem(
        &self,
        code: &SecretString,
        verifier: &SecretString,
        redirect: &Url,
    ) -> Result<Granted, Failure> {
        let wire = Wire::to(self);
        let answer = self
            .client
            .exchange_code(AuthorizationCode::new(code.expose_secret().to_owned()))
            .set_pkce_verifier(PkceCodeVerifier::new(verifier.expose_secret().to_owned()))
            .set_redirect_uri(Cow::Owned(RedirectUrl::from_url(redirect.clone())))
            .request_async(&wire)
            .await;
        self.granted(answer.map_err(failure)?)
    }

    /// Exchanges a refresh token, even if the access token is still valid.
    ///
    /// # Errors
    /// A [`Failure`]. After [`Failure::Permanent`], the token must not be sent again.
    pub(crate) async fn refresh(&self, token: &SecretString) -> Result<Granted, Failure> {
        let wire = Wire::to(self);
        let token = RefreshToken::new(token.expose_secret().to_owned());
        let answer = self.client.exchange_refresh_token(&token).request_async(&wire).await;
        self.granted(answer.map_err(failure)?)
    }

    /// Starts a device login.
    ///
    /// # Errors
    /// A [`Failure`]; [`Misconfigured::NoDeviceFlow`] if the issuer has no device flow.
    pub(crate) async fn device(&self) -> Result<Device, Failure> {
        let wire = Wire { completed: true, ..Wire::to(self) };
        let none = |_: ConfigurationError| Failure::Misconfigured(Misconfigured::NoDeviceFlow);
        let request =
            self.client.exchange_device_code().map_err(none)?.add_scopes(self.scopes.iter().cloned());
        let device = Device(request.request_async(&wire).await.map_err(failure)?);
        let code = device.user_code();
        let shown =
            (1..=USER_CODE).contains(&code.len()) && code.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        let page = Url::parse(device.verification_url()).is_ok_and(|url| self.may_open(&url));
        if shown && page { Ok(device) } else { Err(Failure::not_a_grant()) }
    }

    /// Polls until the user has decided or the time limit is reached. `pause` waits between polls: as long as the
    /// issuer requests, five seconds longer after each `slow_down` (RFC 8628, 3.5), and at least one second. Dropping
    /// the future cancels the polling.
    ///
    /// # Errors
    /// A [`Failure`]; `Denied` and `Expired` are caused by the user.
    pub(crate) async fn approved<S, F>(&self, device: &Device, pause: S) -> Result<Granted, Failure>
    where
        S: Fn(Duration) -> F,
        F: Future<Output = ()>,
    {
        let wire = Wire::to(self);
        let polls = self.client.exchange_device_access_token(&device.0).request_async(
            &wire,
            |interval| pause(wire.pace.next(interval)),
            Some(device.lifetime()),
        );
        match tokio::time::timeout(device.lifetime(), polls).await {
            Ok(answer) => self.granted(answer.map_err(failure)?),
            Err(_) => Err(Failure::Permanent(super::failure::PermanentFailure::Expired)),
        }
    }

    async fn ask(&self, mut request: HttpRequest) -> Result<Tidy, HttpFailure> {
        if self.json {
            let fields: std::collections::BTreeMap<_, _> =
                url::form_urlencoded::parse(request.body()).collect();
            // A map of strings can always be serialized to JSON.
            *request.body_mut() = serde_json::to_vec(&fields).unwrap_or_default();
            request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        tidy(&self.http.send(request, self.allow_http).await?)
    }

    fn granted(&self, answer: TokenAnswer) -> Result<Granted, Failure> {
        Granted::of(answer, (self.clock)()).ok_or_else(Failure::not_a_grant)
    }

    /// Returns whether the daemon may send a user to this page.
    fn may_open(&self, url: &Url) -> bool {
        let loopback = url.host_str().is_some_and(is_loopback_host);
        url.scheme() == "https" || (url.scheme() == "http" && (loopback || self.allow_http))
    }
}

/// The HTTP client used by the `oauth2` crate for one request.
struct Wire<'i> {
    issuer: &'i Issuer,
    /// True if this response starts a device login. Missing fields are then added.
    completed: bool,
    pace: Pace,
}

impl<'i> Wire<'i> {
    fn to(issuer: &'i Issuer) -> Self {
        Self { issuer, completed: false, pace: Pace::default() }
    }
}

impl<'c> AsyncHttpClient<'c> for Wire<'_> {
    type Error = HttpFailure;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, HttpFailure>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(async move {
            let tidy = self.issuer.ask(request).await.inspect_err(|failure| self.pace.refused(failure))?;
            self.pace.asked(tidy.interval);
            if self.completed { tidy::device(tidy) } else { Ok(tidy.response) }
        })
    }
}

/// The polling interval requested by an issuer, in seconds.
#[derive(Default)]
struct Pace {
    /// The minimum interval from now on.
    least: AtomicU64,
    /// The minimum pause before the next poll only.
    once: AtomicU64,
}

impl Pace {
    fn asked(&self, interval: Option<Duration>) {
        self.least.fetch_max(interval.unwrap_or_default().as_secs(), Ordering::Relaxed);
    }

    fn refused(&self, failure: &HttpFailure) {
        if let HttpFailure::Unavailable { retry_after: Some(pause), .. } = failure {
            self.once.store(pause.as_secs(), Ordering::Relaxed);
        }
    }

    fn next(&self, interval: Duration) -> Duration {
        let least = self.least.load(Ordering::Relaxed).max(self.once.swap(0, Ordering::Relaxed)).max(1);
        interval.max(Duration::from_secs(least)).min(LONGEST_INTERVAL)
    }
}

/// Converts an error of the `oauth2` crate. An unparsable response is omitted from the error because it may contain
/// tokens.
fn failure<T>(error: RequestTokenError<HttpFailure, StandardErrorResponse<T>>) -> Failure
where
    T: ErrorResponseType + AsRef<str> + std::fmt::Display + 'static,
{
    match error {
        RequestTokenError::ServerResponse(answer) => {
            classify(answer.error().as_ref(), answer.error_description().map_or("", String::as_str))
        }
        RequestTokenError::Request(failure) => failure.into(),
        RequestTokenError::Parse(..) | RequestTokenError::Other(_) => Failure::not_a_grant(),
    }
}

#[cfg(test)]
mod tests;
