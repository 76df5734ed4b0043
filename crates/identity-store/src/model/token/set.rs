//! A set of tokens, which a login replaces and a refresh merges.

use secrecy::SecretString;

use super::expiry::Expiry;
use super::jwt;
use crate::error::StoreError;
use crate::model::account::words;
use crate::names;

/// The minimum life that an ID token's `exp` must leave, in milliseconds.
const ID_TOKEN_LEAST: i64 = 30 * 1000;

/// The maximum life of an ID token, in milliseconds.
const ID_TOKEN_MOST: i64 = 7 * 24 * 60 * 60 * 1000;

/// The maximum plausible life of any token, in seconds: ten years.
const LONGEST: i64 = 10 * 365 * 24 * 60 * 60;

words! {
    /// The token of a set that is used at the provider's service. Its expiry is the relevant one.
    Consumer, "consumer" {
        /// The access token.
        Access = "access",
        /// The ID token; the access token if there is none.
        Id = "id",
    }
}

/// The answer of an issuer's token endpoint.
#[derive(Debug, Clone)]
pub struct ReceivedTokens {
    /// The access token.
    pub access: SecretString,
    /// The refresh token, if the issuer sent one.
    pub refresh: Option<SecretString>,
    /// The ID token, if the issuer sent one.
    pub id: Option<SecretString>,
    /// The access token's life, in seconds.
    pub expires_in: Option<i64>,
    /// The refresh token's life, in seconds.
    pub refresh_expires_in: Option<i64>,
    /// The scopes that were granted, separated by spaces.
    pub scopes: Option<String>,
    /// The type of the access token, such as `bearer`.
    pub token_type: Option<String>,
    /// Time when the answer was received, in unix milliseconds.
    pub received_at: i64,
}

impl ReceivedTokens {
    /// Creates an answer with only an access token.
    pub fn access_only(access: SecretString, received_at: i64) -> Self {
        Self {
            access,
            refresh: None,
            id: None,
            expires_in: None,
            refresh_expires_in: None,
            scopes: None,
            token_type: None,
            received_at,
        }
    }

    /// Refuses an answer that cannot be stored: a secret that is empty, too long or contains control characters.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        names::secret("access_token", &self.access)?;
        self.refresh.iter().try_for_each(|token| names::secret("refresh_token", token))?;
        self.id.iter().try_for_each(|token| names::secret("id_token", token))?;
        names::optional("scopes", self.scopes.as_deref())?;
        names::optional("token_type", self.token_type.as_deref())?;
        Ok(())
    }

    /// Returns the expiry of a token with the given life; `None` if the life is not plausible.
    fn end(&self, seconds: i64) -> Option<Expiry> {
        let at = self.received_at.checked_add(seconds.checked_mul(1000)?)?;
        (1..=LONGEST).contains(&seconds).then(|| Expiry::issuer(at, self.received_at))
    }

    fn access_expiry(&self) -> Expiry {
        match self.expires_in {
            Some(seconds) => self.end(seconds).unwrap_or_else(|| Expiry::assumed(self.received_at)),
            // A token that can be refreshed expires. One that cannot is valid until it is revoked.
            None if self.refresh.is_some() => Expiry::assumed(self.received_at),
            None => Expiry::NEVER,
        }
    }

    fn refresh_expiry(&self) -> Expiry {
        self.refresh_expires_in.and_then(|seconds| self.end(seconds)).unwrap_or(Expiry::NEVER)
    }

    /// Returns an ID token's own expiry if it is plausible; else that of the access token; else an assumed one.
    fn id_expiry(&self, id: &SecretString) -> Expiry {
        let life = |at: i64| at.saturating_sub(self.received_at);
        if let Some(at) = jwt::exp(id)
            && life(at) > ID_TOKEN_LEAST
            && life(at) <= ID_TOKEN_MOST
        {
            return Expiry::jwt(at, self.received_at);
        }
        let access = self.access_expiry();
        match access.at() {
            Some(at) if life(at) <= ID_TOKEN_MOST => access,
            _ => Expiry::assumed(self.received_at),
        }
    }
}

/// A token and its expiry.
#[derive(Debug)]
pub struct Token {
    /// The token's text.
    pub secret: SecretString,
    /// The expiry of the token.
    pub expiry: Expiry,
}

/// The tokens of one account. They are always replaced together.
#[derive(Debug)]
pub struct TokenSet {
    /// The access token.
    pub access: Token,
    /// The refresh token.
    pub refresh: Option<Token>,
    /// The ID token.
    pub id: Option<Token>,
    /// The token that is used at the provider's service.
    pub consumer: Consumer,
    /// The scopes that were granted, separated by spaces.
    pub scopes: Option<String>,
    /// The type of the access token, such as `bearer`.
    pub token_type: Option<String>,
    /// Time when the newest token was received, in unix milliseconds.
    pub received_at: i64,
}

impl TokenSet {
    /// Creates the set of a login: only the received tokens, nothing of an earlier set.
    pub fn login(received: ReceivedTokens, consumer: Consumer) -> Self {
        let access_expiry = received.access_expiry();
        let refresh_expiry = received.refresh_expiry();
        let id_expiry = received.id.as_ref().map(|id| received.id_expiry(id));
        Self {
            access: Token { secret: received.access, expiry: access_expiry },
            refresh: received.refresh.map(|secret| Token { secret, expiry: refresh_expiry }),
            id: received.id.zip(id_expiry).map(|(secret, expiry)| Token { secret, expiry }),
            consumer,
            scopes: received.scopes,
            token_type: received.token_type,
            received_at: received.received_at,
        }
    }

    /// Returns the set after a refresh. Received values replace the old ones; the others stay.
    #[must_use]
    pub fn refreshed(self, received: ReceivedTokens) -> Self {
        // The old refresh token is still present, so a missing life does not mean an endless one.
        let said = received.expires_in.is_some() || received.refresh.is_some() || self.refresh.is_none();
        let assumed = Expiry::assumed(received.received_at);
        let mut new = Self::login(received, self.consumer);
        if !said {
            new.access.expiry = assumed;
        }
        Self {
            access: new.access,
            refresh: new.refresh.or(self.refresh),
            id: new.id.or(self.id),
            consumer: self.consumer,
            scopes: new.scopes.or(self.scopes),
            token_type: new.token_type.or(self.token_type),
            received_at: new.received_at,
        }
    }

    /// Returns the token that is used at the provider's service.
    pub fn used(&self) -> &Token {
        match (self.consumer, &self.id) {
            (Consumer::Id, Some(id)) => id,
            _ => &self.access,
        }
    }

    /// Returns the expiry of the token that is used.
    pub fn expiry(&self) -> Expiry {
        self.used().expiry
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use secrecy::ExposeSecret as _;

    use super::super::expiry::ExpirySource;
    use super::*;

    const T: i64 = 1_800_000_000_000;
    const HOUR: i64 = 60 * 60 * 1000;

    fn received() -> ReceivedTokens {
        ReceivedTokens::access_only("access".into(), T)
    }

    fn id_token(exp: i64) -> SecretString {
        let payload = format!(r#"{{"exp":{}}}"#, exp / 1000);
        let payload = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(payload);
        format!("e30.{payload}.sig").into()
    }

    fn check(id: Option<SecretString>, expires_in: Option<i64>, expected: Expiry) {
        let refresh = Some("refresh".into());
        let set = TokenSet::login(ReceivedTokens { refresh, id, expires_in, ..received() }, Consumer::Id);
        assert_eq!(set.expiry(), expected);
    }

    /// The expiry of the ID token counts, else that of the access token, else an hour.
    #[test]
    fn set_expiry_comes_from_id_token_then_access_token_then_one_hour() {
        let day = Some(24 * 3600);
        check(Some(id_token(T + HOUR * 3 / 4)), day, Expiry::jwt(T + HOUR * 3 / 4, T));
        check(None, day, Expiry::issuer(T + 24 * HOUR, T));
        check(Some("not.a.jwt".into()), day, Expiry::issuer(T + 24 * HOUR, T));
        check(Some(id_token(T - HOUR)), day, Expiry::issuer(T + 24 * HOUR, T));
        check(Some(id_token(T + 30_000)), day, Expiry::issuer(T + 24 * HOUR, T));
        check(Some(id_token(T + 8 * 24 * HOUR)), day, Expiry::issuer(T + 24 * HOUR, T));
        check(Some(id_token(T + 7 * 24 * HOUR)), day, Expiry::jwt(T + 7 * 24 * HOUR, T));
        check(Some(id_token(T - HOUR)), Some(8 * 24 * 3600), Expiry::assumed(T));
        check(Some(id_token(T - HOUR)), None, Expiry::assumed(T));
        check(None, Some(-5), Expiry::assumed(T));
        assert_eq!(Expiry::assumed(T).at(), Some(T + HOUR));
    }

    /// The access token keeps its own expiry beside that of the ID token.
    #[test]
    fn token_set_keeps_an_expiry_for_each_token() {
        let id = Some(id_token(T + HOUR));
        let refresh = Some("refresh".into());
        let received = ReceivedTokens {
            refresh,
            id,
            expires_in: Some(7200),
            refresh_expires_in: Some(86400),
            ..received()
        };
        let set = TokenSet::login(received, Consumer::Access);
        let ends = (set.access.expiry, set.refresh.unwrap().expiry, set.id.unwrap().expiry);
        let expected =
            (Expiry::issuer(T + 2 * HOUR, T), Expiry::issuer(T + 24 * HOUR, T), Expiry::jwt(T + HOUR, T));
        assert_eq!(ends, expected);
    }

    /// A missing `expires_in` means an hour with a refresh token, and no expiry without one.
    #[test]
    fn expiry_is_assumed_or_never_when_the_issuer_gives_no_valid_lifetime() {
        let refresh = Some("refresh".into());
        let with = TokenSet::login(ReceivedTokens { refresh, ..received() }, Consumer::Access);
        let without = TokenSet::login(received(), Consumer::Access);
        assert_eq!((with.expiry(), without.expiry()), (Expiry::assumed(T), Expiry::NEVER));
        for bad in [0, -1, i64::MIN, i64::MAX, LONGEST + 1] {
            let set =
                TokenSet::login(ReceivedTokens { expires_in: Some(bad), ..received() }, Consumer::Access);
            assert_eq!(set.expiry().source(), ExpirySource::Assumed, "{bad}");
        }
    }

    fn texts(set: &TokenSet) -> [Option<&str>; 5] {
        [
            Some(set.access.secret.expose_secret()),
            set.refresh.as_ref().map(|token| token.secret.expose_secret()),
            set.id.as_ref().map(|token| token.secret.expose_secret()),
            set.scopes.as_deref(),
            set.token_type.as_deref(),
        ]
    }

    fn old() -> TokenSet {
        let received = ReceivedTokens {
            access: "a0".into(),
            refresh: Some("r0".into()),
            id: Some("i0".into()),
            expires_in: Some(3600),
            refresh_expires_in: Some(86400),
            scopes: Some("s0".into()),
            token_type: Some("bearer".into()),
            received_at: T,
        };
        TokenSet::login(received, Consumer::Access)
    }

    /// Values missing in a refresh stay, the others are replaced.
    #[test]
    fn refresh_keeps_values_that_the_answer_lacks() {
        let bare = ReceivedTokens::access_only("a1".into(), T + HOUR);
        let set = old().refreshed(bare);
        assert_eq!(texts(&set), [Some("a1"), Some("r0"), Some("i0"), Some("s0"), Some("bearer")]);
        assert_eq!(set.expiry(), Expiry::assumed(T + HOUR));
        assert_eq!(set.refresh.unwrap().expiry, Expiry::issuer(T + 24 * HOUR, T));
        let full = ReceivedTokens {
            refresh: Some("r1".into()),
            id: Some("i1".into()),
            scopes: Some("s1".into()),
            token_type: Some("Bearer".into()),
            expires_in: Some(60),
            ..ReceivedTokens::access_only("a1".into(), T)
        };
        let set = old().refreshed(full);
        assert_eq!(texts(&set), [Some("a1"), Some("r1"), Some("i1"), Some("s1"), Some("Bearer")]);
        // A new refresh token without a given life does not inherit the life of the old one.
        assert_eq!(set.refresh.unwrap().expiry, Expiry::NEVER);
    }

    /// Values missing in a login are removed.
    #[test]
    fn login_removes_values_that_the_answer_lacks() {
        let set = TokenSet::login(ReceivedTokens::access_only("a1".into(), T), Consumer::Access);
        assert_eq!(texts(&set), [Some("a1"), None, None, None, None]);
    }

    /// No part of a token is shown.
    #[test]
    fn debug_output_holds_no_token() {
        let text = format!("{:?} {:?}", old(), ReceivedTokens::access_only("planted".into(), T));
        assert!(!["a0", "r0", "i0", "planted"].iter().any(|secret| text.contains(secret)), "{text}");
    }
}
