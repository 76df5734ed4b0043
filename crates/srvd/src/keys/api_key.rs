//! Checks whether a text can be an API key of a service.

use auth_spawner::KeyService;
use secrecy::{ExposeSecret as _, SecretString};

/// The maximum length of a key, in bytes.
pub(crate) const LONGEST: usize = 8 * 1024;

/// Returns the key without surrounding white space, which pasting may have added.
///
/// # Errors
/// A description of the problem that continues the phrase "the key". It quotes no part of the key.
pub(crate) fn usable(key: &SecretString, service: &KeyService) -> Result<SecretString, String> {
    let min_length = service.min_length;
    let text = key.expose_secret().trim();
    if text.len() > LONGEST {
        Err(format!("is longer than {LONGEST} bytes"))
    } else if text.is_empty() {
        Err("is empty".to_owned())
    } else if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Err("contains characters that are not allowed in an API key".to_owned())
    } else if text.len() < min_length {
        Err(format!("is shorter than the {min_length} characters of this provider's keys"))
    } else if let Some(prefix) = service.prefix.as_deref().filter(|prefix| !text.starts_with(prefix)) {
        Err(format!("does not start with {prefix}, as this provider's keys do"))
    } else if let Some(pair) = service.pair.as_ref().filter(|pair| pair.split(text).is_none()) {
        let names = pair.vars.join(&format!(" {} ", pair.separator));
        Err(format!("must be the values of {names} in this order, none of them empty"))
    } else {
        Ok(SecretString::from(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(fields: &str) -> KeyService {
        toml::from_str(&format!("base-url = \"https://a.test\"\n{fields}")).unwrap()
    }

    #[test]
    fn key_pair_is_rejected_when_a_part_is_missing() {
        let aws = service("pair = { vars = ['ID', 'SECRET'], separator = ':' }");
        let good = usable(&SecretString::from(" AKIAplanted:planted/secret+1\n"), &aws).unwrap();
        assert_eq!(good.expose_secret(), "AKIAplanted:planted/secret+1");
        for text in ["AKIAplantedplanted", "AKIAplanted:", ":planted/secret", "planted-:", "::"] {
            let reason = usable(&SecretString::from(text), &aws).unwrap_err();
            assert!(!reason.contains("planted"), "{reason}");
        }
    }

    #[test]
    fn key_is_trimmed_and_checked_without_being_quoted() {
        let check = |text: &str, expect: Result<&str, &str>| {
            let service = service("vars = ['A']\nmin-length = 10\nprefix = 'sk-'");
            let got = usable(&SecretString::from(text), &service);
            let got = got.as_ref().map(SecretString::expose_secret).map_err(String::as_str);
            assert_eq!(got, expect, "{text:?}");
        };
        check(" sk-1234567\n", Ok("sk-1234567"));
        check("", Err("is empty"));
        check(" \n", Err("is empty"));
        check("sk-12", Err("is shorter than the 10 characters of this provider's keys"));
        check("sk-1234 567", Err("contains characters that are not allowed in an API key"));
        check("sk-1234\u{0}567", Err("contains characters that are not allowed in an API key"));
        check("pk-12345678", Err("does not start with sk-, as this provider's keys do"));
        check(&"sk".repeat(LONGEST), Err("is longer than 8192 bytes"));
    }
}
