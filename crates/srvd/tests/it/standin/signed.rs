//! JSON Web Tokens with a signature (RFC 7515, ES256), for the one CLI that verifies its identity token.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, SigningKey as _};
use serde_json::{Value, json};

/// The id of the key.
const KEY: &str = "standin-key";
/// The length of a coordinate of the curve, in bytes.
const COORDINATE: usize = 32;

/// A key of its own for each stand-in.
pub(super) struct Signer(KeyPair);

impl Signer {
    pub(super) fn new() -> Self {
        Self(KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap())
    }

    /// Returns a token with these claims.
    pub(super) fn token(&self, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let text = format!("{}.{}", part(&json!({"alg": "ES256", "typ": "JWT", "kid": KEY})), part(claims));
        let signature = self.0.sign(text.as_bytes()).unwrap();
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(fixed(&signature)))
    }

    /// Returns the key set (RFC 7517) with which a client verifies the tokens.
    pub(super) fn keys(&self) -> Value {
        // A point that is not compressed: one byte, and the two coordinates.
        let (x, y) = self.0.public_key_raw()[1..].split_at(COORDINATE);
        let [x, y] = [x, y].map(|bytes| URL_SAFE_NO_PAD.encode(bytes));
        json!({"keys": [{"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": KEY, "x": x, "y": y}]})
    }
}

/// Returns the two numbers of a DER signature as RFC 7518 wants them: each with the length of a coordinate.
fn fixed(der: &[u8]) -> Vec<u8> {
    let number = |at: usize| {
        let bytes = &der[at + 2..at + 2 + usize::from(der[at + 1])];
        let bytes = &bytes[bytes.len().saturating_sub(COORDINATE)..];
        ([vec![0; COORDINATE - bytes.len()], bytes.to_vec()].concat(), at + 2 + usize::from(der[at + 1]))
    };
    let (r, next) = number(2);
    [r, number(next).0].concat()
}

#[test]
fn signature_has_two_coordinates_when_a_number_is_short_or_has_a_sign_byte() {
    let der = |r: &[u8], s: &[u8]| {
        let part = |number: &[u8]| [&[2, u8::try_from(number.len()).unwrap()], number].concat();
        let body = [part(r), part(s)].concat();
        [vec![0x30, u8::try_from(body.len()).unwrap()], body].concat()
    };
    let long = [&[0_u8][..], &[0xff; 32]].concat();
    let expected = [vec![0xff; 32], vec![0; 30], vec![1, 2]].concat();
    assert_eq!(fixed(&der(&long, &[1, 2])), expected);
    let token = Signer::new().token(&json!({"sub": "ada"}));
    assert_eq!(URL_SAFE_NO_PAD.decode(token.rsplit('.').next().unwrap()).unwrap().len(), 64);
}
