//! The scopes that a forge refused, and the words in which the operator hears of them.

use super::forge::Forge;

/// The words that stand for more rights than `read`.
const STRONGER: [&str; 2] = ["write", "admin"];

impl Forge {
    /// Returns the reason and the next step for a sign-in whose scopes the forge refuses. `said` is the forge's text. The
    /// scopes that it mentions are named; if it mentions none, all requested ones are.
    pub(crate) fn scopes_refused(&self, said: &str) -> String {
        let said: String = said.chars().filter(|c| !c.is_control()).take(200).collect();
        let requested = &self.settings.scopes;
        let mentioned: Vec<&str> =
            requested.iter().map(String::as_str).filter(|scope| mentions(&said, scope)).collect();
        let named =
            if mentioned.is_empty() { requested.iter().map(String::as_str).collect() } else { mentioned };
        let what = if named.is_empty() { "the scopes of the application".to_owned() } else { quoted(&named) };
        let words = if said.trim().is_empty() { String::new() } else { format!(" ({})", said.trim()) };
        let name = &self.settings.name;
        format!(
            "the forge refuses {what}{words}. Correct scopes of [forges.{name}] in srvd.toml, restart the daemon and run: srvd operator login {name}"
        )
    }

    /// Returns the requested scopes that a grant does not cover. A grant that lists no scopes covers all: the tokens of a
    /// GitHub App have rights of another kind, and GitHub sends an empty list with them.
    pub(crate) fn missing_scopes(&self, granted: Option<&str>) -> Vec<String> {
        let Some(granted) = granted else { return Vec::new() };
        let granted: Vec<&str> = granted.split_whitespace().collect();
        if granted.is_empty() {
            return Vec::new();
        }
        let missing = |scope: &&String| !granted.iter().any(|have| covers(have, scope));
        self.settings.scopes.iter().filter(missing).cloned().collect()
    }
}

/// Returns the scopes in quotation marks.
pub(crate) fn quoted(scopes: &[impl AsRef<str>]) -> String {
    let quoted: Vec<String> = scopes.iter().map(|scope| format!("\"{}\"", scope.as_ref())).collect();
    let noun = if quoted.len() == 1 { "the scope" } else { "the scopes" };
    format!("{noun} {}", quoted.join(", "))
}

/// Returns whether a text has the scope as a word.
fn mentions(text: &str, scope: &str) -> bool {
    let part = |c: char| c.is_ascii_alphanumeric() || matches!(c, ':' | '_' | '-' | '.');
    text.split(|c: char| !part(c)).any(|word| word.trim_end_matches(['.', ':']) == scope)
}

/// Returns whether a granted scope includes another one: `repo` includes `repo:status`, `user` includes `read:user`, and
/// `write:org` includes `read:org`.
fn covers(granted: &str, scope: &str) -> bool {
    if granted == scope {
        return true;
    }
    match scope.split_once(':') {
        Some((area, _)) if area == granted => true,
        Some(("read", area)) => {
            granted == area
                || granted.split_once(':').is_some_and(|(word, of)| of == area && STRONGER.contains(&word))
        }
        Some(("write", area)) => granted == area || granted == format!("admin:{area}"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn granted_scope_covers_the_scopes_below_it() {
        let check = |granted: &str, scope: &str, expect| {
            assert_eq!(covers(granted, scope), expect, "{granted} {scope}");
        };
        check("repo", "repo", true);
        check("repo", "repo:status", true);
        check("user", "read:user", true);
        check("user", "user:email", true);
        check("admin:org", "read:org", true);
        check("write:repository", "read:repository", true);
        check("admin:org", "write:org", true);
        check("read:org", "write:org", false);
        check("repo:status", "repo", false);
        check("api", "read_user", false);
    }

    #[test]
    fn scope_is_found_in_a_text_as_a_word() {
        assert!(mentions("required scope(s): [read:user]", "read:user"));
        assert!(mentions("The scope api.", "api"));
        assert!(!mentions("the rapid api-v2", "api"));
    }
}
