//! The detection of credentials in texts and names. A text that only refers to a variable holds none.
//!
//! The detection prefers to leave out a harmless value: a value that is left out is named and can be added in the home,
//! but a key that was copied is in two places.

/// The reason for a text or a name that holds a credential.
pub(super) const CREDENTIAL: &str = "it holds a credential";
/// The reason for a text that names a file with a credential.
const CREDENTIAL_FILE: &str = "it names a file with a credential";
/// The reason for an address with a credential.
const ADDRESS: &str = "its address holds a credential";

/// The beginnings of tokens that services issue, and the least length of a token.
const PREFIXES: &[(&str, usize)] = &[
    ("sk-", 16),
    ("sk_live_", 12),
    ("sk_test_", 12),
    ("rk_live_", 12),
    ("ghp_", 10),
    ("gho_", 10),
    ("ghu_", 10),
    ("ghs_", 10),
    ("ghr_", 10),
    ("github_pat_", 16),
    ("glpat-", 12),
    ("gldt-", 12),
    ("xoxa-", 12),
    ("xoxb-", 12),
    ("xoxp-", 12),
    ("xoxr-", 12),
    ("xoxs-", 12),
    ("xapp-", 12),
    ("AIza", 30),
    ("ya29.", 12),
    ("hf_", 20),
    ("npm_", 20),
    ("pypi-", 20),
    ("dop_v1_", 16),
    ("shpat_", 16),
    ("SG.", 20),
    ("lin_api_", 16),
    ("ntn_", 16),
    ("xai-", 20),
    ("gsk_", 20),
    ("r8_", 20),
    ("tvly-", 16),
    ("pplx-", 20),
    ("ctx7sk", 12),
    ("sbp_", 20),
    ("figd_", 16),
    ("dapi", 32),
    ("AGE-SECRET-KEY-", 20),
];

/// The words of a name that say that its value is a credential.
const WORDS: &[&str] = &[
    "token",
    "secret",
    "password",
    "passwd",
    "pwd",
    "passphrase",
    "apikey",
    "authorization",
    "bearer",
    "credential",
    "credentials",
    "cookie",
];
/// The words that make a credential of a following `key`.
const BEFORE_KEY: &[&str] = &[
    "api",
    "access",
    "private",
    "secret",
    "auth",
    "signing",
    "encryption",
    "license",
    "subscription",
    "service",
    "master",
    "client",
    "account",
    "app",
];
/// The last words of names whose value is about a credential and is none.
const ABOUT: &[&str] = &[
    "file",
    "path",
    "dir",
    "directory",
    "env",
    "var",
    "variable",
    "name",
    "count",
    "limit",
    "budget",
    "length",
    "type",
    "ttl",
    "timeout",
    "url",
    "uri",
    "helper",
    "command",
    "store",
];
/// The parameters of an address that hold a credential, beside those with a word of [`WORDS`].
const PARAMETERS: &[&str] = &["sig", "signature", "code", "key", "auth", "pass", "jwt"];
/// The shortest run of letters and digits that is taken for a credential.
const RUN: usize = 32;
/// The same for a run that has upper-case and lower-case letters and digits.
const MIXED_RUN: usize = 24;
/// The longest reference to a variable, in bytes, and the longest address and the largest number of addresses that are
/// examined. A text beyond them is not a setting of a person's.
const LONGEST_REFERENCE: usize = 256;
const LONGEST_ADDRESS: usize = 4096;
const MOST_ADDRESSES: usize = 1024;
/// The lengths of the digests that Git and package managers write.
const DIGESTS: [usize; 3] = [40, 64, 128];

/// Returns the words of a name in lower case: parts between punctuation, and parts that begin with a capital letter.
fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = vec![String::new()];
    let mut before = ' ';
    for letter in name.chars() {
        let starts = letter.is_ascii_uppercase() && (before.is_ascii_lowercase() || before.is_ascii_digit());
        if !letter.is_ascii_alphanumeric() || starts {
            words.push(String::new());
        }
        if letter.is_ascii_alphanumeric()
            && let Some(word) = words.last_mut()
        {
            word.push(letter.to_ascii_lowercase());
        }
        before = letter;
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Returns whether a name says that its value is a credential.
pub(super) fn is_credential_name(name: &str) -> bool {
    let words = words(name);
    if words.last().is_some_and(|last| ABOUT.contains(&last.as_str())) {
        return false;
    }
    let variable =
        name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
    words.iter().any(|word| WORDS.contains(&word.as_str()))
        || words.windows(2).any(|two| two[1] == "key" && (variable || BEFORE_KEY.contains(&two[0].as_str())))
}

/// Returns the text without the references to variables in it. The default of a reference stays.
fn without_references(text: &str) -> String {
    let mut left = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['$', '{']) {
        left.push_str(&rest[..at]);
        rest = &rest[at..];
        let reference = rest.strip_prefix("${").or(rest.strip_prefix("{env:"));
        let closed = reference.and_then(|inner| {
            let end = inner.bytes().take(LONGEST_REFERENCE).position(|byte| byte == b'}')?;
            Some((&inner[..end], &inner[end + 1..]))
        });
        let name = |text: &str| {
            text.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').count()
        };
        match closed {
            Some((inner, after)) if name(inner) > 0 => {
                let default = inner[name(inner)..].trim_start_matches([':', '-', '=']);
                left.push_str(default);
                rest = after;
            }
            _ => {
                let upper = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'_';
                let bare = rest.strip_prefix('$').map_or(0, |name| name.bytes().take_while(upper).count());
                let follows = rest.as_bytes().get(1 + bare).is_none_or(|byte| !byte.is_ascii_alphanumeric());
                let taken = if bare > 0 && follows { 1 + bare } else { 0 };
                if taken == 0 {
                    left.push_str(&rest[..1]);
                }
                rest = &rest[taken.max(1)..];
            }
        }
    }
    left.push_str(rest);
    left
}

/// Returns whether the value of a credential's name is none: it is empty, or it only refers to variables.
pub(super) fn only_refers(value: &str) -> bool {
    let left = without_references(value);
    let scheme = |word: &str| ["bearer", "basic", "token"].contains(&word.to_ascii_lowercase().as_str());
    let variable = |text: &str| {
        let upper = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
        text.contains('_') && text.bytes().all(upper) && text.starts_with(|c: char| c.is_ascii_uppercase())
    };
    left.split_whitespace().all(scheme) || variable(left.trim())
}

/// Returns the reason why a text must not be shared, if there is one.
pub(super) fn problem(text: &str) -> Option<&'static str> {
    if text.contains("{file:") {
        return Some(CREDENTIAL_FILE);
    }
    let left = without_references(text);
    if left.contains("-----BEGIN") && left.contains("PRIVATE KEY") {
        return Some(CREDENTIAL);
    }
    if addresses(&left).any(address_holds) || addresses(&left).nth(MOST_ADDRESSES).is_some() {
        return Some(ADDRESS);
    }
    let words: Vec<&str> = left
        .split(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`'))
        .filter(|word| !word.is_empty())
        .collect();
    let told = words.iter().enumerate().any(|(at, word)| told(word, words.get(at + 1).copied()));
    (told || words.iter().any(|word| is_token(word))).then_some(CREDENTIAL)
}

/// Returns whether the texts of a list give a credential together, as `--api-key` and its value do.
pub(super) fn list_holds(texts: &[&str]) -> bool {
    texts.iter().enumerate().any(|(at, text)| {
        let next = texts.get(at + 1).copied();
        text.starts_with('-') && !text.contains(['=', ' ']) && told(text, next)
    })
}

/// Returns whether a word, or a word and the next one, give a credential by its name: `--token abc`, `TOKEN=abc`,
/// `X-Api-Key: abc`, `Bearer abc`.
fn told(word: &str, next: Option<&str>) -> bool {
    let literal = |value: &str| !value.is_empty() && !value.starts_with('-') && !only_refers(value);
    if let Some((name, value)) = word.split_once('=').filter(|(name, _)| !name.contains("://")) {
        return is_credential_name(name) && literal(value);
    }
    if let Some((name, value)) = word.split_once(':').filter(|(_, value)| !value.starts_with("//")) {
        let value = if value.is_empty() { next.unwrap_or_default() } else { value };
        let scheme = ["bearer", "basic", "token"].contains(&value.to_ascii_lowercase().as_str());
        return is_credential_name(name) && literal(value) && !scheme;
    }
    let next = next.filter(|next| literal(next));
    if ["bearer", "basic"].contains(&word.to_ascii_lowercase().as_str()) {
        let digits = |text: &str| text.len() >= 16 || text.bytes().any(|byte| byte.is_ascii_digit());
        return next.is_some_and(|next| next.len() >= 8 && digits(next));
    }
    word.starts_with("--") && is_credential_name(word) && next.is_some()
}

/// Returns the addresses in a text, as far as they are examined.
fn addresses(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices("://").take(MOST_ADDRESSES + 1).map(|(at, _)| {
        let letters = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'+';
        let scheme = text.as_bytes()[..at]
            .iter()
            .rev()
            .take(LONGEST_REFERENCE)
            .take_while(|byte| letters(byte))
            .count();
        let ends = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '<' | '>');
        let length = text[at..].char_indices().take(LONGEST_ADDRESS).find(|(_, letter)| ends(*letter));
        let most =
            || text[at..].char_indices().nth(LONGEST_ADDRESS).map_or(text.len() - at, |(length, _)| length);
        &text[at - scheme..at + length.map_or_else(most, |(length, _)| length)]
    })
}

fn address_holds(address: &str) -> bool {
    let Some((scheme, rest)) = address.split_once("://") else { return false };
    let (authority, more) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let user = authority.rsplit_once('@').map(|(user, _)| user).unwrap_or_default();
    let password = user.split_once(':').is_some_and(|(_, password)| !password.is_empty());
    // At such an address a user without a password is a token.
    let web = ["http", "https", "ws", "wss"].contains(&scheme.to_ascii_lowercase().as_str());
    let parameter = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let named = is_credential_name(name) || PARAMETERS.contains(&name.to_ascii_lowercase().as_str());
        named && !value.is_empty()
    };
    password
        || (web && !user.trim_matches(':').is_empty())
        || more.split(['?', '&', '#']).skip(1).any(parameter)
}

/// Returns whether a word looks like a token.
fn is_token(word: &str) -> bool {
    let word = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    let parts = word.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')));
    parts.into_iter().any(|part| {
        let prefixed =
            PREFIXES.iter().any(|(prefix, least)| part.starts_with(prefix) && part.len() >= *least);
        let token = part.starts_with("eyJ") && part.len() >= 20 && part.matches('.').count() >= 2;
        let cloud = (part.starts_with("AKIA") || part.starts_with("ASIA"))
            && part.len() == 20
            && part.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
        prefixed || token || cloud || part.split(['-', '_', '.']).any(is_random)
    })
}

/// Returns whether a run of letters and digits looks random.
fn is_random(run: &str) -> bool {
    let has = |kind: fn(&u8) -> bool| run.bytes().any(|byte| kind(&byte));
    let (upper, lower, digit) =
        (has(u8::is_ascii_uppercase), has(u8::is_ascii_lowercase), has(u8::is_ascii_digit));
    let digest = DIGESTS.contains(&run.len())
        && run.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    let mixed = upper && lower && digit && run.len() >= MIXED_RUN;
    (mixed || (digit && (upper || lower) && run.len() >= RUN)) && !digest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_says_credential_when_its_value_is_one() {
        for name in [
            "apiKey",
            "API_KEY",
            "OPENAI_API_KEY",
            "FOO_KEY",
            "x-api-key",
            "Authorization",
            "accessToken",
            "GITHUB_TOKEN",
            "clientSecret",
            "DB_PASSWORD",
            "privateKey",
            "--api-key",
            "refresh_token",
            "Cookie",
            "passphrase",
        ] {
            assert!(is_credential_name(name), "{name}");
        }
        for name in [
            "maxTokens",
            "MAX_THINKING_TOKENS",
            "key",
            "keybindings",
            "apiKeyHelper",
            "env_key",
            "bearer_token_env_var",
            "TOKEN_FILE",
            "tokenLimit",
            "model",
            "PATH",
            "author",
            "sortKey",
            "tokenizer",
            "CLAUDE_CODE_MAX_OUTPUT_TOKENS",
        ] {
            assert!(!is_credential_name(name), "{name}");
        }
    }

    #[test]
    fn text_is_left_out_when_it_holds_a_credential() {
        for text in [
            "sk-ant-api03-planted-0123456789",
            "Bearer abc123def456",
            "https://user:pass@example.test/x",
            "https://ghp_token1234@github.com/o/r",
            "postgres://u:hunter2@db/x",
            "https://mcp.test/sse?api_key=abc",
            "https://mcp.test/sse?x=1&token=abc",
            "https://mcp.test/#access_token=abc",
            "--token=hunter2",
            "curl --api-key hunter2 https://x.test",
            "API_KEY=hunter2 run",
            "curl -H 'X-Api-Key: hunter2' https://x.test",
            "AKIAIOSFODNN7EXAMPLE",
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln",
            "0123456789abcdef0123456789abcdeg",
            "aB3dE5gH7jK9mN1pQ3sT5vW7",
            "-----BEGIN OPENSSH PRIVATE KEY-----\nx",
            "{file:~/.secrets/key}",
            "${TOKEN:-sk-ant-api03-planted-0123456789}",
            "export GITHUB_TOKEN=hunter2",
        ] {
            assert!(problem(text).is_some(), "{text}");
        }
    }

    #[test]
    fn text_is_kept_when_it_only_refers_to_a_credential_or_is_plain() {
        for text in [
            "${GITHUB_TOKEN}",
            "Bearer ${TOKEN}",
            "Bearer {env:TOKEN}",
            "https://mcp.test/sse?api_key=${KEY}",
            "https://${USER}:${PASSWORD}@host.test/",
            "--token=$GITHUB_TOKEN",
            "API_KEY=${KEY} run",
            "X-Api-Key: ${KEY}",
            "https://docs.example.test/a/b?page=2",
            "ssh://git@github.com/o/r",
            "claude-sonnet-4-5-20250929",
            "npx -y @modelcontextprotocol/server-filesystem@2025.1.14",
            "Bash(git log --format=%H:*)",
            "da39a3ee5e6b4b0d3255bfef95601890afd80709",
            "550e8400-e29b-41d4-a716-446655440000",
            "~/.claude/statusline.sh",
            "/home/u/My-Project-2024/Some-Long-Directory-Name/file.txt",
            "jq -r .tool_input.file_path",
            "basic types",
            "$HOME/bin/x ${VAR:-default}",
            "Ümläut $ { }",
        ] {
            assert_eq!(problem(text), None, "{text}");
        }
    }

    #[test]
    fn text_is_examined_in_a_bounded_time_when_it_is_long() {
        for part in ["${", "://", "https://a:b", "eyJ.", "--token ", "{env:", "a=", "{"] {
            // A quadratic examination of so much would take hours.
            problem(&part.repeat(1024 * 1024 / part.len()));
        }
    }

    #[test]
    fn list_is_left_out_when_a_flag_and_its_value_give_a_credential() {
        assert!(list_holds(&["-y", "server", "--api-key", "hunter2"]));
        assert!(!list_holds(&["-y", "server", "--api-key", "${KEY}"]));
        assert!(!list_holds(&["--api-key", "--verbose"]));
        assert!(!list_holds(&["a", "b"]));
    }

    #[test]
    fn value_of_a_credential_is_kept_when_it_only_refers_to_a_variable() {
        for (value, expected) in [
            ("", true),
            ("${A}", true),
            ("Bearer $TOKEN", true),
            ("{env:A}", true),
            ("MY_API_KEY", true),
            ("hunter2", false),
            ("$ecret", false),
            ("${A}x", false),
            ("${A:-hunter2}", false),
        ] {
            assert_eq!(only_refers(value), expected, "{value}");
        }
    }
}
