//! Scopes: the permission that a method needs, and the permissions that a client's token has.

use rpc_engine::MethodScope;

use super::words;

words! {
    /// A permission of a client's token.
    #[derive(PartialOrd, Ord)]
    Scope {
        /// Read the state of identities, and receive events. Every token may do this.
        Read = "read",
        /// Log in, add API keys, and sign in at forges.
        Login = "login",
        /// Receive credentials to start agents with. No other permission includes this one.
        Launch = "launch",
        /// Change and delete bundles, accounts and profiles, read the audit log, and revoke tokens.
        Admin = "admin",
    }
}

/// Methods that read.
pub(crate) const READ: MethodScope = MethodScope { name: "read", strict: false };
/// Methods of logins.
pub(crate) const LOGIN: MethodScope = MethodScope { name: "login", strict: false };
/// Methods that return secrets, and those that belong to launches.
pub(crate) const LAUNCH: MethodScope = MethodScope { name: "launch", strict: true };
/// Methods that change what is stored.
pub(crate) const ADMIN: MethodScope = MethodScope { name: "admin", strict: false };
/// Methods that only the daemon's own user may call: no token of a client has this permission.
pub(crate) const OWNER: MethodScope = MethodScope { name: "owner", strict: false };

/// The permissions of a token, in order and without repetition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scopes(Vec<Scope>);

impl Scopes {
    /// Parses a list such as `login,launch`. `read` is always part of it.
    ///
    /// # Errors
    /// The first word that is no scope.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut scopes = vec![Scope::Read];
        for word in text.split(',').map(str::trim) {
            match Scope::from(word) {
                Scope::Other(word) => return Err(word),
                Scope::Admin => scopes.extend([Scope::Login, Scope::Admin]),
                scope => scopes.push(scope),
            }
        }
        scopes.sort();
        scopes.dedup();
        Ok(Self(scopes))
    }

    /// Returns whether a token with these scopes may call a method that needs `scope`.
    pub(crate) fn allow(&self, scope: &MethodScope) -> bool {
        self.0.iter().any(|own| own.to_string() == scope.name)
    }

    /// Returns whether the scope is among these.
    pub(crate) fn contains(&self, scope: &Scope) -> bool {
        self.0.contains(scope)
    }

    /// The scopes, in order.
    pub(crate) fn list(&self) -> Vec<Scope> {
        self.0.clone()
    }
}

impl std::fmt::Display for Scopes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let words: Vec<String> = self.0.iter().map(Scope::to_string).collect();
        f.write_str(&words.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_allow_only_their_methods_and_launch_is_never_implied() {
        let check = |text: &str, allowed: &[&str]| {
            let scopes = Scopes::parse(text).unwrap();
            let all = [READ, LOGIN, LAUNCH, ADMIN, OWNER];
            let found: Vec<&str> =
                all.iter().filter(|scope| scopes.allow(scope)).map(|scope| scope.name).collect();
            assert_eq!(found, allowed, "{text}");
            assert_eq!(Scopes::parse(&scopes.to_string()).unwrap(), scopes);
        };
        check("read", &["read"]);
        check("login", &["read", "login"]);
        check("launch", &["read", "launch"]);
        check("admin", &["read", "login", "admin"]);
        check("launch, login", &["read", "login", "launch"]);
        for other in ["", "owner", "read,all"] {
            assert!(Scopes::parse(other).is_err(), "{other}");
        }
    }
}
